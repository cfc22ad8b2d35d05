//! "Did you mean …?" for the names of options.

use napi_derive::napi;

/// The known name that a misspelt one was probably meant to be.
#[napi(catch_unwind, ts_return_type = "string | null")]
pub fn closest(name: String, known: Vec<String>) -> Option<String> {
    crate::domain::suggestion::closest(&name, known.iter().map(String::as_str)).map(str::to_owned)
}
