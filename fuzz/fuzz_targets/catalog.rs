//! Whatever is read as a catalog holds what catalogs hold; whatever is not says where the mistake is. The same is run by
//! `tests/catalog/hostile.rs`.

#![no_main]

#[path = "../../tests/catalog/entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::check(bytes));
