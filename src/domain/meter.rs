//! Meters: what is counted.

use std::str::FromStr;

use crate::Error;

/// A kind of usage that is counted on its own. The names are the seed's event types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Meter {
    ApiRequest,
    AgentExecution,
    DataAccess,
}

impl Meter {
    pub const ALL: [Meter; 3] = [Meter::ApiRequest, Meter::AgentExecution, Meter::DataAccess];

    pub fn as_str(self) -> &'static str {
        match self {
            Meter::ApiRequest => "api_request",
            Meter::AgentExecution => "agent_execution",
            Meter::DataAccess => "data_access",
        }
    }
}

impl FromStr for Meter {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Meter::ALL.into_iter().find(|meter| meter.as_str() == text).ok_or_else(|| {
            Error::invalid(format!("`eventType` must be api_request, agent_execution or data_access, got {text:?}"))
        })
    }
}
