//! Snapshots as the store keeps them.

use serde::{Deserialize, Serialize};

use super::burns::Source;
use super::{Account, Burns, Ending, GrantId, Snapshot};
use crate::domain::{Decimal, Timestamp};
use crate::{Code, Error, Result};

#[derive(Serialize, Deserialize)]
struct StoredSnapshot {
    at: i64,
    accounts: Vec<StoredAccount>,
    overage: String,
    billed: String,
    burns: Vec<StoredBurn>,
}

#[derive(Serialize, Deserialize)]
struct StoredAccount {
    id: String,
    granted: String,
    burnt: String,
    left: String,
    expired: String,
    voided: String,
    issue: u64,
    ended: Option<StoredEnding>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredEnding {
    Expired,
    Voided,
}

#[derive(Serialize, Deserialize)]
struct StoredBurn {
    /// Of a grant; `None`: it was billed.
    issue: Option<(String, u64)>,
    units: String,
}

impl Snapshot {
    /// The text that the store keeps.
    pub fn to_stored(&self) -> Result<String> {
        let account = |(id, account): (&GrantId, &Account)| StoredAccount {
            id: id.as_str().to_owned(),
            granted: account.granted.to_string(),
            burnt: account.burnt.to_string(),
            left: account.left.to_string(),
            expired: account.expired.to_string(),
            voided: account.voided.to_string(),
            issue: account.issue,
            ended: account.ended.map(|ending| match ending {
                Ending::Expired => StoredEnding::Expired,
                Ending::Voided => StoredEnding::Voided,
            }),
        };
        let burn = |(source, units): &(Source, Decimal)| StoredBurn {
            issue: match source {
                Source::Grant(id, issue) => Some((id.as_str().to_owned(), *issue)),
                Source::Bill => None,
            },
            units: units.to_string(),
        };
        let stored = StoredSnapshot {
            at: self.at.as_millis(),
            accounts: self.accounts.iter().map(account).collect(),
            overage: self.overage.to_string(),
            billed: self.billed.to_string(),
            burns: self.burns.runs().iter().map(burn).collect(),
        };
        serde_json::to_string(&stored).map_err(|error| Error::new(Code::Internal, error.to_string()))
    }

    pub fn from_stored(text: &str) -> Result<Self> {
        let damaged =
            |why: &dyn std::fmt::Display| Error::new(Code::StoreCorrupt, format!("a snapshot of credit: {why}"));
        let stored: StoredSnapshot = serde_json::from_str(text).map_err(|error| damaged(&error))?;
        let decimal = |text: &str| Decimal::parse("amount", text).map_err(|error| damaged(&error));
        let grant = |id: &str| GrantId::parse("id", id).map_err(|error| damaged(&error));
        let account = |stored: &StoredAccount| {
            let account = Account {
                granted: decimal(&stored.granted)?,
                burnt: decimal(&stored.burnt)?,
                left: decimal(&stored.left)?,
                expired: decimal(&stored.expired)?,
                voided: decimal(&stored.voided)?,
                issue: stored.issue,
                ended: stored.ended.as_ref().map(|ending| match ending {
                    StoredEnding::Expired => Ending::Expired,
                    StoredEnding::Voided => Ending::Voided,
                }),
            };
            Ok((grant(&stored.id)?, account))
        };
        let mut burns = Burns::default();
        for StoredBurn { issue, units } in &stored.burns {
            let source = match issue {
                Some((id, issue)) => Source::Grant(grant(id)?, *issue),
                None => Source::Bill,
            };
            burns.push(source, decimal(units)?);
        }
        Ok(Self {
            at: Timestamp::from_stored(stored.at),
            accounts: stored.accounts.iter().map(account).collect::<Result<_>>()?,
            overage: decimal(&stored.overage)?,
            billed: decimal(&stored.billed)?,
            burns,
        })
    }
}
