//! All that is wrong with what people wrote, not only the first of it.
//!
//! Whoever reads notes a mistake here and reads on; `None` means that it was noted.

use super::Decimal;
use super::json::{Object, Value};
use crate::{Error, Result};

/// Errors in the order in which they were found, each with its place.
#[derive(Debug, Default)]
pub struct Mistakes(Vec<Error>);

impl Mistakes {
    pub fn note(&mut self, error: Error) {
        self.0.push(error);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a value.
    pub fn value<'a, T>(&mut self, value: &Value<'a>, read: impl FnOnce(&Value<'a>) -> Result<T>) -> Option<T> {
        let note = |error: Error| self.note(if error.place.is_none() { error.at(value.place()) } else { error });
        read(value).map_err(note).ok()
    }

    /// An object with no other fields than these.
    pub fn object<'a>(&mut self, value: &Value<'a>, fields: &[&'static str]) -> Option<Object<'a>> {
        let object = self.value(value, Value::object)?;
        self.0.extend(object.unknown(fields));
        Some(object)
    }

    pub fn required<'a, T>(
        &mut self,
        object: &Object<'a>,
        name: &str,
        read: impl FnOnce(&Value<'a>) -> Result<T>,
    ) -> Option<T> {
        match object.required(name) {
            Ok(value) => self.value(&value, read),
            Err(missing) => {
                self.note(missing);
                None
            }
        }
    }

    /// `Some(None)` where the field is missing or null.
    pub fn optional<'a, T>(
        &mut self,
        object: &Object<'a>,
        name: &str,
        read: impl FnOnce(&Value<'a>) -> Result<T>,
    ) -> Option<Option<T>> {
        object.optional(name).map_or(Some(None), |value| self.value(&value, read).map(Some))
    }

    /// A decimal from 0, and 0 where there is none.
    pub fn non_negative_or_zero(&mut self, object: &Object<'_>, name: &str) -> Option<Decimal> {
        self.optional(object, name, Value::non_negative).map(Option::unwrap_or_default)
    }

    /// What was read, if nothing was wrong.
    pub fn or<T>(self, read: Option<T>) -> std::result::Result<T, Vec<Error>> {
        read.filter(|_| self.0.is_empty()).ok_or(self.0)
    }
}
