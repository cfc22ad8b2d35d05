//! Meters: what is counted.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::{PoisonError, RwLock};

use crate::{Error, Result};

const MAX_BYTES: usize = 64;
/// How many names may come from elsewhere than catalogs and stores, which bring a few: a name is kept for ever.
const MOST_UNDECLARED: usize = 10_000;

/// All names but the built-in ones. A name means the same wherever it is met, so that nobody has to own this.
static NAMES: RwLock<BTreeSet<&'static str>> = RwLock::new(BTreeSet::new());

/// A kind of usage that is counted on its own: a name of 1 to 64 characters out of `a` to `z`, `0` to `9`, `_`, `.` and `-`.
/// The built-in ones are the seed's event types; others are named by a catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Meter(&'static str);

impl Meter {
    pub const API_REQUEST: Meter = Meter("api_request");
    pub const AGENT_EXECUTION: Meter = Meter("agent_execution");
    pub const DATA_ACCESS: Meter = Meter("data_access");
    pub const BUILT_IN: [Meter; 3] = [Meter::API_REQUEST, Meter::AGENT_EXECUTION, Meter::DATA_ACCESS];

    pub fn as_str(self) -> &'static str {
        self.0
    }

    pub fn built_in(name: &str) -> Result<Self> {
        let found = Meter::BUILT_IN.into_iter().find(|meter| meter.0 == name);
        found.ok_or_else(|| Meter::unknown(name, &Meter::BUILT_IN))
    }

    /// By a name that a catalog gives, or that was written down before.
    pub fn declared(name: &str) -> Result<Self> {
        Meter::find(name, usize::MAX)
    }

    /// That none of the known meters has this name.
    pub fn unknown(name: &str, known: &[Meter]) -> Error {
        let names: Vec<&str> = known.iter().map(|meter| meter.0).collect();
        let (last, others) = names.split_last().unwrap_or((&"a meter", &[]));
        Error::invalid(format!("`eventType` must be {} or {last}, got {name:?}", others.join(", ")))
    }

    pub fn is_name(text: &str) -> bool {
        let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-');
        (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(is_allowed)
    }

    /// `most`: with how many names known another one is refused.
    fn find(name: &str, most: usize) -> Result<Self> {
        if let Some(meter) = Meter::BUILT_IN.into_iter().find(|meter| meter.0 == name) {
            return Ok(meter);
        }
        if let Some(known) = NAMES.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(Meter(known));
        }
        let mut names = NAMES.write().unwrap_or_else(PoisonError::into_inner);
        if !Meter::is_name(name) || names.len() >= most {
            return Err(Meter::unknown(name, &Meter::BUILT_IN));
        }
        if !names.contains(name) {
            names.insert(Box::leak(name.into()));
        }
        names.get(name).map(|known| Meter(known)).ok_or_else(|| Meter::unknown(name, &Meter::BUILT_IN))
    }
}

/// Any name that a meter may have: whether there is such a meter, the store's catalog says.
impl FromStr for Meter {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Meter::find(text, MOST_UNDECLARED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_are_one_meter() {
        let tokens: Meter = "tokens".parse().unwrap();
        assert_eq!(tokens, Meter::declared("tokens").unwrap());
        assert_eq!(tokens.as_str(), "tokens");
        assert_eq!("api_request".parse::<Meter>(), Ok(Meter::API_REQUEST));
        assert_eq!(Meter::built_in("data_access"), Ok(Meter::DATA_ACCESS));
        assert!(Meter::built_in("tokens").is_err());
    }

    #[test]
    fn a_name_is_short_and_plain() {
        let long = "m".repeat(64);
        for good in ["a", "tokens.input-4_k", long.as_str()] {
            assert_eq!(good.parse::<Meter>().unwrap().as_str(), good);
        }
        let longer = "m".repeat(65);
        for bad in ["", "Tokens", "to kens", "tökens", "a\n", longer.as_str()] {
            let message = bad.parse::<Meter>().unwrap_err().message;
            let known = "`eventType` must be api_request, agent_execution or data_access, got ";
            assert!(message.starts_with(known), "{message}");
        }
    }
}
