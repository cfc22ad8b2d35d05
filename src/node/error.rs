//! Our errors as JavaScript's: the code becomes the Error's `code`, and `lib/errors.ts` makes a `BillingError` of it.

use crate::{Code, Error};

/// What an exported function that can refuse its arguments returns.
pub type Result<T> = napi::Result<T, Code>;

impl AsRef<str> for Code {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl From<Error> for napi::Error<Code> {
    fn from(error: Error) -> Self {
        napi::Error::new(error.code, error.message)
    }
}
