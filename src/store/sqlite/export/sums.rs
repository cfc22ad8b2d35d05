//! Adding all events up anew, past the counters.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::super::error::Result;
use super::super::{columns, read};
use crate::domain::{CustomerId, Meter, Period, Timestamp, billing_period};
use crate::store::group::Tally;
use crate::store::migration::rows::Counted;

/// Start of the period, and the meter's name, which is how the rows are sorted.
type Sums = BTreeMap<(Timestamp, &'static str), (Meter, Tally)>;

/// Visits the sums of whole customers, at least so many sums at a time, by customer, period and meter.
pub fn run(
    connection: &Connection,
    at_least: usize,
    mut visit: impl FnMut(Vec<Counted>) -> crate::Result<()>,
) -> Result<()> {
    let time_zone = read::time_zone(connection)?;
    let mut statement = connection.prepare(
        "SELECT e.customer_id, e.timestamp, e.meter, e.units, e.cost, c.billing_cycle_anchor
         FROM events e LEFT JOIN customers c ON c.id = e.customer_id ORDER BY e.customer_id",
    )?;
    let mut rows = statement.query([])?;
    let mut customer: Option<CustomerId> = None;
    let (mut sums, mut page) = (Sums::new(), Vec::new());
    let mut period: Option<Period> = None;
    while let Some(row) = rows.next()? {
        let name = row.get_ref(0)?.as_str()?;
        if customer.as_ref().is_none_or(|customer| customer.as_str() != name) {
            let next = CustomerId::from_stored(name.to_owned());
            if let Some(customer) = customer.replace(next) {
                flush(&customer, &mut sums, &mut page);
            }
            period = None;
            if page.len() >= at_least {
                visit(std::mem::take(&mut page))?;
            }
        }
        let at = columns::timestamp(row, 1)?;
        // The last event's is most often this one's too.
        let of_event = match period {
            Some(period) if period.contains(at) => period,
            _ => *period.insert(billing_period(columns::optional_timestamp(row, 5)?, at, time_zone)),
        };
        let meter = columns::meter(row, 2)?;
        let (_, tally) = sums.entry((of_event.start, meter.as_str())).or_insert((meter, Tally::default()));
        tally.events += 1;
        tally.units += row.get::<_, u64>(3)?;
        tally.cost = tally.cost.checked_add(columns::money(row, 4)?)?;
    }
    if let Some(customer) = customer {
        flush(&customer, &mut sums, &mut page);
        visit(page)?;
    }
    Ok(())
}

fn flush(customer: &CustomerId, sums: &mut Sums, page: &mut Vec<Counted>) {
    let sums = std::mem::take(sums).into_iter();
    page.extend(sums.map(|((start, _), (meter, tally))| ((customer.clone(), start, meter), tally)));
}
