//! Giving credit, ending it, giving it back, and burning it for what is counted.

use std::collections::BTreeMap;

use super::{Group, Step, Tables};
use crate::domain::credit::{Books, CreditGrant, Entry, Grant, GrantId, GrantRequest, Payment, Unit};
use crate::domain::{
    Customer, CustomerId, Decimal, Frame, HolderId, Money, Period, Quota, Refusal, Standing, Timestamp, UsageEvent,
};
use crate::store::{Applied, CreditRefund, Lease, LeasePart, paid_of};
use crate::{Code, Error};

/// A customer's credit, as a transaction knows it.
#[derive(Debug, Default)]
pub struct Credit {
    pub grants: BTreeMap<GrantId, CreditGrant>,
    pub books: BTreeMap<Unit, Books>,
}

impl Credit {
    /// From what the store has: all grants, and of each books the last entry.
    pub fn open(grants: Vec<CreditGrant>, last: Vec<(Unit, Entry)>) -> crate::Result<Self> {
        let mut books = BTreeMap::new();
        for (unit, entry) in last {
            let of_unit: Vec<Grant> =
                grants.iter().filter(|given| given.request.unit == unit).map(|given| given.grant.clone()).collect();
            let opened = Books::from_last(entry, of_unit)
                .ok_or_else(|| Error::new(Code::StoreCorrupt, "the last entry of some credit has no snapshot"))?;
            books.insert(unit, opened);
        }
        let grants = grants.into_iter().map(|given| (given.request.id.clone(), given)).collect();
        Ok(Self { grants, books })
    }

    /// What was added to the books or changed in them since it was asked last.
    pub fn take_changes(&mut self) -> impl Iterator<Item = (Unit, Entry)> {
        self.books.iter_mut().flat_map(|(unit, books)| {
            let unit = *unit;
            books.take_changes().into_iter().map(move |entry| (unit, entry))
        })
    }
}

impl<T: Tables> Group<T> {
    pub(super) fn grant_credit(&mut self, customer_id: &CustomerId, request: &GrantRequest, now: Timestamp) -> Step<T> {
        if let Unit::Meter(meter) = request.unit
            && let Err(error) = self.tables.catalog().tiers.require_meter(meter)
        {
            return Ok(Err(error));
        }
        let known = self.tables.customer(customer_id)?;
        let customer = known.unwrap_or_else(|| Customer::new(customer_id.clone(), now));
        let next_reset = self.next_reset(&customer);
        let credit = self.tables.credit(customer_id)?;
        if let Some(given) = credit.grants.get(&request.id) {
            return Ok(if given.request == *request {
                Ok(Applied::Granted(given.clone()))
            } else {
                Err(conflict("grant", request.id.as_str()))
            });
        }
        let new = || Books::begin(now);
        let mut books = credit.books.get(&request.unit).cloned().unwrap_or_else(new);
        books.turn_to(now, next_reset)?;
        let given = match books.grant(request.clone(), now) {
            Ok(given) => given,
            Err(error) => return Ok(Err(error)),
        };
        credit.books.insert(request.unit, books);
        credit.grants.insert(request.id.clone(), given.clone());
        self.tables.put_grant(customer_id, &given)?;
        if !customer.has_credit {
            self.tables.put_customer(&Customer { has_credit: true, ..customer })?;
        }
        self.tables.revise();
        Ok(Ok(Applied::Granted(given)))
    }

    pub(super) fn void_grant(
        &mut self,
        customer_id: &CustomerId,
        id: &GrantId,
        at: Timestamp,
        now: Timestamp,
    ) -> Step<T> {
        let unknown = || {
            let message = format!("the customer {:?} has no grant {:?}", customer_id.as_str(), id.as_str());
            Error::new(Code::UnknownGrant, message)
        };
        let Some(customer) = self.tables.customer(customer_id)?.filter(|customer| customer.has_credit) else {
            return Ok(Err(unknown()));
        };
        let next_reset = self.next_reset(&customer);
        let credit = self.tables.credit(customer_id)?;
        let Some(given) = credit.grants.get_mut(id) else { return Ok(Err(unknown())) };
        let Some(books) = credit.books.get_mut(&given.request.unit) else { return Ok(Err(unknown())) };
        let before = (books.clone(), given.grant.clone());
        books.turn_to(now, next_reset)?;
        books.void(&mut given.grant, at.max(now))?;
        let given = given.clone();
        if given.grant == before.1 {
            // Nothing has happened, not even that time has passed.
            *books = before.0;
            return Ok(Ok(Applied::Granted(given)));
        }
        self.tables.put_grant(customer_id, &given)?;
        self.tables.revise();
        Ok(Ok(Applied::Granted(given)))
    }

    pub(super) fn refund_credit(&mut self, customer_id: &CustomerId, refund: &CreditRefund) -> Step<T> {
        let CreditRefund { id, unit, amount, at } = refund;
        let customer = self.tables.customer(customer_id)?;
        if let Some(known) = self.tables.credit_refund(customer_id, id)? {
            return Ok(if (&known.unit, &known.amount) == (unit, amount) {
                Ok(Applied::Refunded(known))
            } else {
                Err(conflict("refund", id.as_str()))
            });
        }
        let none = || Error::invalid(format!("the customer {:?} was never given {unit}", customer_id.as_str()));
        let Some(customer) = customer.filter(|customer| customer.has_credit) else { return Ok(Err(none())) };
        let next_reset = self.next_reset(&customer);
        let credit = self.tables.credit(customer_id)?;
        let Some(books) = credit.books.get_mut(unit) else { return Ok(Err(none())) };
        let before = books.clone();
        books.turn_to(*at, next_reset)?;
        let refund = CreditRefund { at: books.at(), ..refund.clone() };
        if let Err(error) = books.refund(amount) {
            *books = before;
            return Ok(Err(error));
        }
        self.tables.put_credit_refund(customer_id, &refund)?;
        self.tables.revise();
        Ok(Ok(Applied::Refunded(refund)))
    }

    /// What pays for an event that is counted now: it burns when it happened, but not before what was counted before it, and not
    /// before its time.
    pub(super) fn payment(
        &mut self,
        event: &UsageEvent,
        customer: &Customer,
        now: Timestamp,
    ) -> Result<Payment, T::Error> {
        if !customer.has_credit {
            return Ok(Payment::by_money(event.cost));
        }
        let at = event.timestamp.min(now);
        let next_reset = self.next_reset(customer);
        let credit = self.tables.credit(&customer.id)?;
        let mut payment = match credit.books.get_mut(&Unit::Meter(event.meter)) {
            Some(books) => {
                books.turn_to(at, &next_reset)?;
                Payment::of_units(event, &books.left()?)?
            }
            None => Payment::by_money(event.cost),
        };
        if payment.cost != Money::ZERO
            && let Some(books) = credit.books.get_mut(&Unit::Money)
        {
            books.turn_to(at, &next_reset)?;
            payment.burns.push((Unit::Money, payment.cost.into()));
        }
        Ok(payment)
    }

    pub(super) fn pay(&mut self, customer: &Customer, payment: &Payment) -> Result<(), T::Error> {
        if payment.burns.is_empty() {
            return Ok(());
        }
        let credit = self.tables.credit(&customer.id)?;
        for (unit, amount) in &payment.burns {
            let Some(books) = credit.books.get_mut(unit) else { continue };
            if amount.is_negative() {
                // Where credit has paid less than a volume price gives back there is nothing to give back to.
                if let Err(error) = books.refund(&(&Decimal::default() - amount)) {
                    tracing::debug!(%error, "what events cost less than before was not paid by credit");
                }
            } else {
                books.burn(amount);
            }
        }
        Ok(())
    }

    /// Why a customer who pays beforehand may not have this: his credit does not cover it.
    pub(super) fn exhausted(
        &mut self,
        event: &UsageEvent,
        payment: &Payment,
        paid: &[LeasePart],
        customer: &Customer,
    ) -> Result<Option<Refusal>, T::Error> {
        let paid = paid_of(paid, Quota::Credit);
        if Money::from_billionths(paid) >= payment.cost && payment.owed.is_zero() {
            return Ok(None);
        }
        let leased = self.leased(customer, Quota::Credit, Period::EVER)?.saturating_sub(paid);
        let left = match customer.has_credit {
            true => {
                let books = &self.tables.credit(&customer.id)?.books;
                books.get(&Unit::Money).map_or(Ok(Decimal::default()), Books::left)?
            }
            false => Decimal::default(),
        };
        Ok(payment.shortfall(event, left, Money::from_billionths(leased)).map(Refusal::CreditExhausted))
    }

    /// How much credit in money can be set aside, and until when. None where there is credit for units too, which may make an
    /// event cheaper than its price. What was set aside counts until it is burnt or given back, also when its time is over: it
    /// may still be burnt.
    pub(super) fn credit_to_lease(
        &mut self,
        customer: &Customer,
        holder: &HolderId,
        at: Timestamp,
    ) -> Result<(Frame, Standing), T::Error> {
        let leases = self.tables.leases(&customer.id, Quota::Credit, Period::EVER)?;
        let next_reset = self.next_reset(customer);
        let mut period = Period { start: at, end: next_reset(at) };
        // The limit is always the same: so it is another standing that a top-up makes, and no other limit.
        let most = Money::MOST_BILLIONTHS;
        let standing = |left| Standing { limit: Some(most), used: most - left };
        if !customer.prepaid || !customer.has_credit {
            return Ok((Frame { period, span: Period::EVER }, standing(0)));
        }
        let books = &mut self.tables.credit(&customer.id)?.books;
        let has_units = books.keys().any(|unit| *unit != Unit::Money);
        let Some(money) = books.get_mut(&Unit::Money).filter(|_| !has_units) else {
            return Ok((Frame { period, span: Period::EVER }, standing(0)));
        };
        money.turn_to(at, &next_reset)?;
        period.end = money.next_change(&next_reset);
        // One lease for all that is asked for until then.
        let is_of_now =
            |lease: &&Lease| lease.holder == *holder && lease.period_start <= at && lease.period_end == period.end;
        period.start = leases.iter().filter(is_of_now).map(|lease| lease.period_start).max().unwrap_or(at);
        let left = Money::from_decimal(&money.left()?).unwrap_or(Money::MAX);
        Ok((Frame { period, span: Period::EVER }, standing(left.billionths().0)))
    }

    /// Writes down what has become of a customer's credit by the billing periods that he has had until now.
    pub(super) fn bring_books_forward(&mut self, customer: &Customer, now: Timestamp) -> Result<(), T::Error> {
        let next_reset = self.next_reset(customer);
        for books in self.tables.credit(&customer.id)?.books.values_mut() {
            books.keep_until(now, &next_reset)?;
        }
        Ok(())
    }

    /// When usage is reset first after an instant: when the customer's next billing period begins.
    fn next_reset(&self, customer: &Customer) -> impl Fn(Timestamp) -> Timestamp + use<T> {
        let (anchor, zone) = (customer.billing_cycle_anchor, self.tables.catalog().time_zone);
        move |at| crate::domain::billing_period(anchor, at, zone).end
    }
}

fn conflict(what: &str, id: &str) -> Error {
    let message = format!("the {what} {id:?} was made before with other contents: use another id");
    Error::new(Code::IdempotencyConflict, message)
}
