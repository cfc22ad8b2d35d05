//! What was used under prices.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::columns;
use super::database::Statement;
use super::error::Result;
use crate::domain::CustomerId;
use crate::domain::invoice::{Quantities, Quantity};
use crate::store::group::{CounterKey, RatedEvent};

/// Asks for customer, start of the period, meter, price, units, events.
pub fn find_statement(wanted: &BTreeSet<CounterKey>) -> Statement {
    let (mut customers, mut starts, mut meters) = (Vec::new(), Vec::new(), Vec::new());
    for (customer_id, start, meter) in wanted {
        customers.push(customer_id.as_str().to_owned());
        starts.push(columns::instant(*start));
        meters.push(meter.as_str().to_owned());
    }
    Statement::new(
        "SELECT customer_id, period_start, meter, price, units, events FROM period_quantities
         JOIN unnest($1, $2, $3) AS w(customer_id, period_start, meter) USING (customer_id, period_start, meter)",
    )
    .texts(customers)
    .with(starts, Type::TIMESTAMPTZ_ARRAY)
    .texts(meters)
}

pub fn found(row: &Row) -> Result<(CounterKey, String, Quantity)> {
    let key = (CustomerId::from_stored(row.try_get(0)?), columns::timestamp(row, 1)?, columns::meter(row, 2)?);
    let quantity = Quantity { units: columns::count(row, 4)?, events: columns::count(row, 5)? };
    Ok((key, row.try_get(3)?, quantity))
}

/// Whoever writes them has locked their customers, so that they are what they were read as.
pub fn put_statement(changed: &BTreeMap<CounterKey, Quantities>) -> Option<Statement> {
    let (mut customers, mut starts, mut meters) = (Vec::new(), Vec::new(), Vec::new());
    let (mut prices, mut units, mut events) = (Vec::new(), Vec::new(), Vec::new());
    for ((customer_id, start, meter), quantities) in changed {
        for (price, quantity) in quantities {
            customers.push(customer_id.as_str().to_owned());
            starts.push(columns::instant(*start));
            meters.push(meter.as_str().to_owned());
            prices.push(price.clone());
            units.push(columns::bigint(quantity.units));
            events.push(columns::bigint(quantity.events));
        }
    }
    (!prices.is_empty()).then(|| {
        Statement::new(
            "INSERT INTO period_quantities (customer_id, period_start, meter, price, units, events)
             SELECT * FROM unnest($1, $2, $3, $4, $5, $6)
             ON CONFLICT (customer_id, period_start, meter, price)
             DO UPDATE SET units = excluded.units, events = excluded.events",
        )
        .texts(customers)
        .with(starts, Type::TIMESTAMPTZ_ARRAY)
        .texts(meters)
        .texts(prices)
        .with(units, Type::INT8_ARRAY)
        .with(events, Type::INT8_ARRAY)
    })
}

pub fn delete_statement(customer_id: &CustomerId) -> Statement {
    Statement::new("DELETE FROM period_quantities WHERE customer_id = $1").text(customer_id.as_str())
}

/// Of a customer who has none the events are not searched.
pub fn rated_events(customer_id: &CustomerId) -> Statement {
    Statement::new(
        "SELECT timestamp, meter, price, units FROM events
         WHERE customer_id = $1 AND price IS NOT NULL
             AND (SELECT EXISTS (SELECT 1 FROM period_quantities WHERE customer_id = $1))",
    )
    .text(customer_id.as_str())
}

pub fn rated_event(row: &Row) -> Result<RatedEvent> {
    let (at, meter) = (columns::timestamp(row, 0)?, columns::meter(row, 1)?);
    Ok(RatedEvent { at, meter, price: row.try_get(2)?, units: columns::count(row, 3)? })
}
