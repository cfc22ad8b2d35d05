//! Writing what is used in the windows of quotas.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio_postgres::types::Type;

use super::columns;
use super::database::Statement;
use crate::domain::{CustomerId, Quota, WindowUsage};
use crate::store::group::window_usage_to_stored;

pub fn forget_statement(customers: &BTreeSet<CustomerId>) -> Option<Statement> {
    let ids: Vec<String> = customers.iter().map(|id| id.as_str().to_owned()).collect();
    (!ids.is_empty()).then(|| Statement::new("DELETE FROM window_usage WHERE customer_id = ANY($1)").texts(ids))
}

pub fn usage_statement(
    changed: &BTreeSet<(CustomerId, Quota)>,
    known: &HashMap<CustomerId, BTreeMap<Quota, WindowUsage>>,
) -> Option<Statement> {
    let (mut customers, mut quotas, mut since, mut usages) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (customer_id, quota) in changed {
        let Some(usage) = known.get(customer_id).and_then(|windows| windows.get(quota)) else { continue };
        customers.push(customer_id.as_str().to_owned());
        quotas.push(quota.name().into_owned());
        since.push(columns::instant(usage.since));
        usages.push(window_usage_to_stored(usage));
    }
    (!customers.is_empty()).then(|| {
        Statement::new(
            "INSERT INTO window_usage (customer_id, quota, since, usage) SELECT * FROM unnest($1, $2, $3, $4)
             ON CONFLICT (customer_id, quota) DO UPDATE SET since = excluded.since, usage = excluded.usage",
        )
        .texts(customers)
        .texts(quotas)
        .with(since, Type::TIMESTAMPTZ_ARRAY)
        .texts(usages)
    })
}
