//! The balance of credits, as a plain function. Question and answer are JSON texts.

use std::collections::BTreeMap;

use napi_derive::napi;
use serde_json::{Value as Json, json};

use super::error::Result;
use crate::domain::credit::{
    Account, Activity, Balance, Change, Ending, Grant, GrantId, OverageAtReset, Segment, Snapshot, Terms, run,
};
use crate::domain::json::{Object, Value};
use crate::domain::{Decimal, Timestamp};

/// The question is `{ grants, usage?, refunds?, resets?, overageAtReset?, at }`.
#[napi(catch_unwind)]
pub fn credit_balance(question: String) -> Result<String> {
    let question = Value::parse("", &question)?.object()?;
    let at = question.required("at")?.timestamp()?;
    let grants: Vec<Grant> =
        question.required("grants")?.array()?.iter().map(Grant::read).collect::<crate::Result<_>>()?;
    let resets: Vec<Timestamp> = list(&question, "resets", Value::timestamp)?;
    let at_reset = question.optional("overageAtReset").map(|name| overage_at_reset(&name)).transpose()?;
    let terms = Terms { grants: &grants, resets: &resets, at_reset: at_reset.unwrap_or_default() };

    let mut activity =
        list(&question, "usage", |event| amount_at(event).map(|(at, amount)| Activity::Usage { at, amount }))?;
    activity.extend(list(&question, "refunds", |refund| {
        amount_at(refund).map(|(at, amount)| Activity::Refund { at, amount })
    })?);
    activity.retain(|activity| activity.at() < at);
    activity.sort_by_key(Activity::at);

    let beginnings = grants.iter().map(|grant| grant.effective_at).chain(activity.iter().map(Activity::at));
    let first = Snapshot::empty(beginnings.min().map_or(at, |first| first.min(at)));
    let outcome = run(&first, &terms, activity, at)?;
    let balance = Balance::of(&outcome.snapshot, &terms)?;
    Ok(answer(&balance, &outcome.history).to_string())
}

fn list<'a, Item>(
    question: &Object<'a>,
    name: &str,
    read: impl Fn(&Value<'a>) -> crate::Result<Item>,
) -> crate::Result<Vec<Item>> {
    question.optional(name).map_or_else(|| Ok(vec![]), |list| list.array()?.iter().map(read).collect())
}

fn amount_at(value: &Value<'_>) -> crate::Result<(Timestamp, Decimal)> {
    let object = value.object()?;
    object.only(&["at", "amount"])?;
    Ok((object.required("at")?.timestamp()?, object.required("amount")?.non_negative()?))
}

fn overage_at_reset(name: &Value<'_>) -> crate::Result<OverageAtReset> {
    match name.string()?.as_str() {
        "bill" => Ok(OverageAtReset::Bill),
        "carry" => Ok(OverageAtReset::Carry),
        _ => Err(name.must_be("\"bill\" or \"carry\"")),
    }
}

fn answer(balance: &Balance, history: &[Segment]) -> Json {
    json!({
        "balance": text(&balance.left),
        "overage": text(&balance.overage),
        "billed": text(&balance.billed),
        "grants": balance.grants.iter().map(account).collect::<Vec<_>>(),
        "history": history.iter().map(segment).collect::<Vec<_>>(),
    })
}

pub fn account((id, account): &(GrantId, Account)) -> Json {
    let Account { granted, left, burnt, expired, voided, ended, .. } = account;
    json!({
        "id": text(id),
        "granted": text(granted),
        "left": text(left),
        "burnt": text(burnt),
        "expired": text(expired),
        "voided": text(voided),
        "ended": ended.map(ending),
    })
}

fn segment(segment: &Segment) -> Json {
    let by_grant = |amounts: &BTreeMap<GrantId, Decimal>| -> Json {
        amounts
            .iter()
            .map(|(id, amount)| (text(id), Json::String(text(amount))))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    json!({
        "start": segment.period.start.as_millis(),
        "end": segment.period.end.as_millis(),
        "changes": segment.changes.iter().map(change).collect::<Vec<_>>(),
        "used": text(&segment.used),
        "refunded": text(&segment.refunded),
        "burnt": by_grant(&segment.burnt),
        "left": by_grant(&segment.left),
        "overage": text(&segment.overage),
    })
}

fn change(change: &Change) -> Json {
    match change {
        Change::Given { grant, amount, forfeited } => {
            json!({ "type": "given", "grant": text(grant), "amount": text(amount), "forfeited": text(forfeited) })
        }
        Change::Ended { grant, ending: how, forfeited } => {
            json!({ "type": ending(*how), "grant": text(grant), "forfeited": text(forfeited) })
        }
        Change::RolledOver { grant, before, after } => {
            json!({ "type": "rolled_over", "grant": text(grant), "before": text(before), "after": text(after) })
        }
        Change::Reset { billed } => json!({ "type": "reset", "billed": text(billed) }),
    }
}

fn ending(ending: Ending) -> &'static str {
    match ending {
        Ending::Expired => "expired",
        Ending::Voided => "voided",
    }
}

fn text(value: &impl ToString) -> String {
    value.to_string()
}
