//! Reads JSON that people write, such as a price, and says of each mistake where it is and what to do.
//!
//! Numbers are read from their digits and never become floats, which a derived reader cannot promise.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::decimal::{Decimal, Positive};
use super::quota::Units;
use super::suggestion::advice;
use super::timestamp::Timestamp;
use crate::{Error, Result};

/// A message shows no more of what it refuses.
const SHOWN: usize = 60;

/// A value, and the place where it stands, such as `price.tiers[1].upTo`.
#[derive(Debug, Clone)]
pub struct Value<'a> {
    place: String,
    json: &'a RawValue,
}

impl<'a> Value<'a> {
    /// `place` names the whole of it; empty, the places of its fields begin with their own names.
    pub fn parse(place: &str, text: &'a str) -> Result<Self> {
        let json = serde_json::from_str(text)
            .map_err(|error| Error::invalid(format!("`{place}` is no JSON: {error}")).at(place))?;
        Ok(Self { place: place.to_owned(), json })
    }

    pub fn place(&self) -> &str {
        &self.place
    }

    /// The JSON as it was written.
    pub fn json(&self) -> &'a str {
        self.json.get()
    }

    pub fn is_null(&self) -> bool {
        self.json.get() == "null"
    }

    /// The error that it is not what it must be.
    pub fn must_be(&self, what: &str) -> Error {
        let json = self.json.get();
        let shown: String = json.chars().take(SHOWN).collect();
        let rest = if shown.len() < json.len() { "…" } else { "" };
        Error::invalid(format!("`{}` must be {what}, got {shown}{rest}", self.place)).at(&self.place)
    }

    pub fn string(&self) -> Result<String> {
        serde_json::from_str(self.json.get()).map_err(|_| self.must_be("a string"))
    }

    pub fn boolean(&self) -> Result<bool> {
        serde_json::from_str(self.json.get()).map_err(|_| self.must_be("true or false"))
    }

    /// What one of a few names stands for.
    pub fn one_of<T: Clone>(&self, known: &[(&str, T)]) -> Result<T> {
        let name = self.string()?;
        known.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()).ok_or_else(|| {
            let advice = advice(&name, "there are", known.iter().map(|(name, _)| *name));
            Error::invalid(format!("`{}`: there is no {name:?}; {advice}", self.place)).at(&self.place)
        })
    }

    pub fn array(&self) -> Result<Vec<Value<'a>>> {
        let items: Vec<&RawValue> = serde_json::from_str(self.json.get()).map_err(|_| self.must_be("an array"))?;
        let item = |(index, json)| Value { place: format!("{}[{index}]", self.place), json };
        Ok(items.into_iter().enumerate().map(item).collect())
    }

    pub fn object(&self) -> Result<Object<'a>> {
        let fields = serde_json::from_str(self.json.get()).map_err(|_| self.must_be("an object"))?;
        Ok(Object { place: self.place.clone(), fields })
    }

    /// A decimal string, or a number that is exact.
    pub fn decimal(&self) -> Result<Decimal> {
        let json = self.json.get();
        match json.as_bytes().first() {
            Some(b'"') => Decimal::parse(&self.place, &self.string()?),
            Some(b'-' | b'0'..=b'9') => Decimal::from_number(&self.place, json),
            _ => Err(self.must_be("a decimal string or a number")),
        }
    }

    /// Milliseconds since the epoch, or an instant as ISO 8601 writes it, with an offset.
    pub fn timestamp(&self) -> Result<Timestamp> {
        match self.json.get().as_bytes().first() {
            Some(b'"') => Timestamp::parse(&self.place, &self.string()?),
            Some(b'-' | b'0'..=b'9') => {
                let millis: f64 = self.json.get().parse().map_err(|_| self.must_be("a number"))?;
                Timestamp::from_millis(&self.place, millis)
            }
            _ => Err(self.must_be("milliseconds since 1970 or an instant such as \"2026-01-31T00:00:00Z\"")),
        }
    }

    /// A decimal from 0.
    pub fn non_negative(&self) -> Result<Decimal> {
        let decimal = self.decimal()?;
        if decimal.is_negative() { Err(self.must_be("a decimal from 0")) } else { Ok(decimal) }
    }

    /// A decimal above 0.
    pub fn positive(&self) -> Result<Positive> {
        Positive::new(self.decimal()?).ok_or_else(|| self.must_be("a decimal above 0"))
    }

    /// A whole number from 0 to `Number.MAX_SAFE_INTEGER`.
    pub fn units(&self) -> Result<u64> {
        let units = self.count()?.to_string().parse().ok().filter(|units| *units <= Units::MAX);
        units.ok_or_else(|| self.must_be("at most Number.MAX_SAFE_INTEGER"))
    }

    /// A whole number from 0.
    pub fn count(&self) -> Result<Decimal> {
        let decimal = self.non_negative()?;
        if decimal.is_whole() { Ok(decimal) } else { Err(self.must_be("a whole number from 0")) }
    }
}

/// The fields of an object.
#[derive(Debug, Clone)]
pub struct Object<'a> {
    place: String,
    fields: BTreeMap<String, &'a RawValue>,
}

impl<'a> Object<'a> {
    /// Refuses names that are not among the known ones, with the one that was probably meant.
    pub fn only(&self, known: &[&'static str]) -> Result<()> {
        self.unknown(known).next().map_or(Ok(()), Err)
    }

    /// An error for each name that is not among the known ones.
    pub fn unknown(&self, known: &[&'static str]) -> impl Iterator<Item = Error> {
        self.fields.keys().filter(|name| !known.contains(&name.as_str())).map(|name| {
            let advice = advice(name, "the fields are", known.iter().copied());
            Error::invalid(format!("`{}`: unknown field {name:?}; {advice}", self.place)).at(&self.place_of(name))
        })
    }

    /// All fields, by name.
    pub fn fields(&self) -> impl Iterator<Item = (&str, Value<'a>)> {
        self.fields.iter().map(|(name, json)| (name.as_str(), Value { place: self.place_of(name), json }))
    }

    pub fn required(&self, name: &str) -> Result<Value<'a>> {
        let missing = || Error::invalid(format!("`{}` is missing", self.place_of(name))).at(&self.place_of(name));
        self.field(name).ok_or_else(missing)
    }

    /// `None` where the field is missing or null.
    pub fn optional(&self, name: &str) -> Option<Value<'a>> {
        self.field(name).filter(|value| !value.is_null())
    }

    fn field(&self, name: &str) -> Option<Value<'a>> {
        self.fields.get(name).map(|json| Value { place: self.place_of(name), json })
    }

    fn place_of(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }
}
