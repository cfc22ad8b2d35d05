//! No line makes a reader of access logs panic, and what is read of one holds what entries hold. The same is run by
//! `tests/access_log/lines.rs`.

#![no_main]

#[path = "../../tests/access_log/entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|line: &[u8]| entry::check(line));
