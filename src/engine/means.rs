//! What a customer can pay for, where nothing is counted yet: the same rules as in the transaction that counts, read only.

use super::{credits, usage};
use crate::Result;
use crate::domain::credit::{Payment, Unit};
use crate::domain::{Customer, Decimal, Money, Period, Quota, Refusal, Spending, Timestamp, UsageEvent};
use crate::store::{Catalog, Store};

/// What there is to pay with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Means {
    /// With a spend cap.
    pub spending: Option<Spending>,
    /// Where the customer was ever given credit, or pays beforehand.
    pub credit: Option<CreditLeft>,
    is_prepaid: bool,
    /// Of the credit in money, by leases.
    set_apart: Money,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreditLeft {
    pub money: Decimal,
    /// Of the meter's units; `None` where none were ever given.
    pub units: Option<Decimal>,
}

impl Means {
    pub fn of(
        store: &dyn Store,
        catalog: &Catalog,
        customer: &Customer,
        event: &UsageEvent,
        now: Timestamp,
    ) -> Result<Self> {
        // Before the balance: what is burnt meanwhile is missing twice then, and not set apart twice.
        let leases = store.leases(&customer.id, Quota::Credit, Period::EVER)?;
        let set_apart = leases.iter().fold(0, |sum: u64, lease| sum.saturating_add(lease.units));
        let set_apart = Money::from_billionths(set_apart);
        let period = customer.billing_period(event.timestamp, catalog.time_zone);
        let spent = |cap| Ok(Spending { cap, spent: usage::spent(store, &customer.id, period)? });
        let left = |unit| Ok(credits::balance(store, catalog, &customer.id, unit, None, now)?.1.left);
        let unit = Unit::Meter(event.meter);
        let has_units = || -> Result<bool> {
            let grants = store.credit_grants(&customer.id)?;
            Ok(grants.iter().any(|given| given.request.unit == unit))
        };
        let credit = match (customer.has_credit, customer.prepaid) {
            (true, _) => Some(CreditLeft {
                money: left(Unit::Money)?,
                units: if has_units()? { Some(left(unit)?) } else { None },
            }),
            (false, true) => Some(CreditLeft { money: Decimal::default(), units: None }),
            (false, false) => None,
        };
        Ok(Self {
            spending: customer.spend_cap.map(spent).transpose()?,
            credit,
            is_prepaid: customer.prepaid,
            set_apart,
        })
    }

    /// Why they do not suffice.
    pub fn refusal(&self, event: &UsageEvent) -> Result<Option<Refusal>> {
        let units = self.credit.as_ref().and_then(|credit| credit.units.as_ref());
        let payment = match units {
            Some(left) => Payment::of_units(event, left)?,
            None => Payment::by_money(event.cost),
        };
        if let Some(spending) = self.spending.filter(|spending| !spending.admits(payment.cost)) {
            return Ok(Some(Refusal::SpendCapExceeded { spending, cost: payment.cost }));
        }
        let credit = self.credit.as_ref().filter(|_| self.is_prepaid);
        let shortfall = credit.and_then(|credit| payment.shortfall(event, credit.money.clone(), self.set_apart));
        Ok(shortfall.map(Refusal::CreditExhausted))
    }
}
