//! One line of a journal: `{"checksum":"…","entry":{…}}`, where the checksum is the CRC-32 of the entry's bytes in
//! hexadecimal.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::{
    CostBasis, CustomerId, EventId, HolderId, Meter, Money, PriceId, Quota, Timestamp, Units, UsageEvent,
};
use crate::store::{LeasePart, Record};
use crate::{Error, Result};

#[derive(Deserialize)]
struct Line<'a> {
    checksum: &'a str,
    #[serde(borrow)]
    entry: &'a RawValue,
}

type Text<'a> = Cow<'a, str>;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    sequence: u64,
    #[serde(borrow)]
    customer_id: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Text<'a>>,
    event_type: Text<'a>,
    units: u64,
    /// A decimal.
    cost: Text<'a>,
    /// Nobody has said it but a price list.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    listed: bool,
    /// By which the event is rated when it is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<Price<'a>>,
    timestamp: i64,
    recorded_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_id: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_type: Option<Text<'a>>,
    /// JSON within JSON: whatever it holds, it is on one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Text<'a>>,
    /// What a lease pays for of the units in the billing period.
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<Lease>,
    /// What leases pay for of other quotas, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    leases: BTreeMap<Text<'a>, Lease>,
}

#[derive(Serialize, Deserialize)]
struct Price<'a> {
    #[serde(borrow)]
    version: Text<'a>,
    #[serde(borrow)]
    id: Text<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lease {
    period_start: i64,
    units: u64,
}

impl Lease {
    fn of(part: &LeasePart) -> Self {
        Self { period_start: part.period_start.as_millis(), units: part.units }
    }

    fn part(self, holder: &HolderId, customer_id: &CustomerId, quota: Quota) -> LeasePart {
        let Lease { period_start, units } = self;
        let period_start = Timestamp::from_stored(period_start);
        LeasePart { holder: holder.clone(), customer_id: customer_id.clone(), quota, period_start, units }
    }
}

/// Appends the line of a record, with its line feed.
pub fn write(record: &Record, lines: &mut String) -> Result<()> {
    let Record { holder: _, sequence, event, paid, now } = record;
    let first = Quota::Period(event.meter);
    let further = paid.iter().filter(|part| part.quota != first);
    let entry = Entry {
        sequence: *sequence,
        customer_id: event.customer_id.as_str().into(),
        id: event.id.as_ref().map(|id| id.as_str().into()),
        event_type: event.meter.as_str().into(),
        units: event.units.get(),
        cost: event.cost.to_string().into(),
        listed: event.cost_basis == CostBasis::UnitPrice,
        price: match &event.cost_basis {
            CostBasis::Period(PriceId { version, id }) => Some(Price { version: version.into(), id: id.into() }),
            CostBasis::Caller | CostBasis::UnitPrice => None,
        },
        timestamp: event.timestamp.as_millis(),
        recorded_at: now.as_millis(),
        subscription_id: event.subscription_id.as_deref().map(Into::into),
        endpoint: event.endpoint.as_deref().map(Into::into),
        agent_type: event.agent_type.as_deref().map(Into::into),
        metadata: event.metadata.as_deref().map(Into::into),
        lease: paid.iter().find(|part| part.quota == first).map(Lease::of),
        leases: further.map(|part| (part.quota.name(), Lease::of(part))).collect(),
    };
    let entry = serde_json::to_string(&entry).map_err(|error| Error::invalid(error.to_string()))?;
    // Writing to a String cannot fail.
    let _ = writeln!(lines, r#"{{"checksum":"{:08x}","entry":{entry}}}"#, crc32fast::hash(entry.as_bytes()));
    Ok(())
}

/// Reads a line without its line feed. The error says what is wrong with it.
pub fn read(line: &[u8], holder: &HolderId) -> std::result::Result<Record, String> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let checksum = format!("{:08x}", crc32fast::hash(line.entry.get().as_bytes()));
    if checksum != line.checksum {
        return Err(format!("its checksum is {checksum} and not {}", line.checksum));
    }
    let entry: Entry<'_> = serde_json::from_str(line.entry.get()).map_err(|error| error.to_string())?;
    record(entry, holder).map_err(|error| error.message)
}

fn record(entry: Entry<'_>, holder: &HolderId) -> Result<Record> {
    let customer_id = CustomerId::new(entry.customer_id)?;
    let meter = Meter::declared(&entry.event_type)?;
    let first = entry.lease.map(|lease| Ok(lease.part(holder, &customer_id, Quota::Period(meter))));
    let further = entry.leases.into_iter().map(|(name, lease)| Ok(lease.part(holder, &customer_id, name.parse()?)));
    let paid = first.into_iter().chain(further).collect::<Result<Vec<_>>>()?;
    let event = UsageEvent {
        customer_id,
        id: entry.id.map(EventId::new).transpose()?,
        meter,
        units: Units::from_number(entry.units as f64)?,
        cost: Money::from_stored(&entry.cost)?,
        cost_basis: match entry.price {
            Some(Price { version, id }) => {
                CostBasis::Period(PriceId { version: version.into_owned(), id: id.into_owned() })
            }
            None if entry.listed => CostBasis::UnitPrice,
            None => CostBasis::Caller,
        },
        timestamp: Timestamp::from_stored(entry.timestamp),
        subscription_id: entry.subscription_id.map(Cow::into_owned),
        endpoint: entry.endpoint.map(Cow::into_owned),
        agent_type: entry.agent_type.map(Cow::into_owned),
        metadata: entry.metadata.map(Cow::into_owned),
    };
    Ok(Record {
        holder: holder.clone(),
        sequence: entry.sequence,
        event,
        paid,
        now: Timestamp::from_stored(entry.recorded_at),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Meter;
    use crate::domain::catalog::LimitWindow;

    fn sample(text: &str, units: u64) -> Record {
        let holder = HolderId::from_stored("holder".to_owned());
        let customer_id = CustomerId::from_stored("ann".to_owned());
        let period_start = Timestamp::from_stored(5);
        let part =
            |quota| LeasePart { holder: holder.clone(), customer_id: customer_id.clone(), quota, period_start, units };
        let window = Quota::Window(Meter::API_REQUEST, LimitWindow::Sliding { seconds: 60 });
        let paid = vec![part(Quota::Period(Meter::API_REQUEST)), part(Quota::Spend), part(window)];
        let event = UsageEvent {
            customer_id: customer_id.clone(),
            id: EventId::new(format!("id{units}")).ok(),
            meter: Meter::API_REQUEST,
            units: Units::from_stored(units as i64),
            cost: Money::from_stored("0.10").expect("an amount"),
            cost_basis: match units % 3 {
                0 => CostBasis::Caller,
                1 => CostBasis::UnitPrice,
                _ => CostBasis::Period(PriceId { version: text.to_owned(), id: text.to_owned() }),
            },
            timestamp: Timestamp::from_stored(7),
            subscription_id: None,
            endpoint: Some(text.to_owned()),
            agent_type: Some(text.to_owned()),
            metadata: Some(format!("{{\n\"text\":{text:?}}}")),
        };
        Record { holder, sequence: units, event, paid, now: Timestamp::from_stored(9) }
    }

    fn line(record: &Record) -> Vec<u8> {
        let mut lines = String::new();
        write(record, &mut lines).expect("a line");
        lines.into_bytes()
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(text in any::<String>(), units in 1u64..1 << 53) {
            let record = sample(&text, units);
            let mut bytes = line(&record);
            prop_assert_eq!(bytes.pop(), Some(b'\n'));
            prop_assert!(!bytes.contains(&b'\n'));
            let read = read(&bytes, &record.holder).expect("a record");
            prop_assert_eq!(read.sequence, record.sequence);
            prop_assert_eq!(read.event, record.event);
            prop_assert_eq!(read.paid, record.paid);
            prop_assert_eq!(read.now, record.now);
        }

        #[test]
        fn a_line_without_a_word_of_where_its_cost_is_from_is_read(text in any::<String>()) {
            let caller = Record { event: UsageEvent { cost_basis: CostBasis::Caller, ..sample(&text, 3).event }, ..sample(&text, 3) };
            let mut bytes = line(&caller);
            bytes.pop();
            prop_assert!(!bytes.windows(8).any(|word| word == b"\"listed\"" || word == b"\"price\":"));
            prop_assert_eq!(read(&bytes, &caller.holder).expect("a record").event, caller.event);
        }

        #[test]
        fn a_damaged_line_is_noticed(bit in 0usize..2_000, cut in 0usize..250) {
            let record = sample("text", 3);
            let mut bytes = line(&record);
            bytes.pop();
            prop_assert!(read(&bytes[..cut.min(bytes.len() - 1)], &record.holder).is_err());
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            // A letter of a name may be damaged such that JSON's reader ignores it; then nothing that is read is.
            if let Ok(read) = read(&bytes, &record.holder) {
                prop_assert_eq!(read.event, record.event);
            }
        }
    }
}
