//! Whether a customer's quotas have room for an event.

use super::{Group, Tables};
use crate::domain::credit::Payment;
use crate::domain::{Customer, Frame, Money, Period, Quota, Refusal, Spending, Standing, Timestamp, UsageEvent};
use crate::store::{Charge, LeasePart, paid_of};

/// Why there is no room.
pub(super) struct Shortage {
    pub refusal: Refusal,
    /// Where the customer stands in the window that is full, where that is no billing period.
    pub window: Option<(Standing, Period)>,
}

impl<T: Tables> Group<T> {
    pub(super) fn frame(&mut self, customer: &Customer, quota: Quota, at: Timestamp) -> Frame {
        match quota {
            Quota::Period(_) | Quota::Spend => Frame::whole(self.period_of(customer, at)),
            Quota::Window(..) | Quota::Credit => quota.frame(customer, at, self.tables.catalog().time_zone),
        }
    }

    /// What is used counts what is recorded; leases do not.
    pub(super) fn standing(&mut self, customer: &Customer, quota: Quota, frame: Frame) -> Result<Standing, T::Error> {
        let used = match quota {
            // What is used of credit is not left any more.
            Quota::Credit => 0,
            Quota::Period(meter) => self.tables.used(&customer.id, meter, frame.period)?,
            Quota::Window(..) => self.used_in_window(customer, quota, frame.span)?,
            Quota::Spend => self.spending(customer, frame.period)?.map_or(0, |spending| spending.standing().used),
        };
        Ok(Standing { limit: self.tables.catalog().tiers.limit_on(customer, quota), used })
    }

    /// `None` for a customer without a spend cap.
    fn spending(&mut self, customer: &Customer, period: Period) -> Result<Option<Spending>, T::Error> {
        let Some(cap) = customer.spend_cap else { return Ok(None) };
        Ok(Some(Spending { cap, spent: self.tables.spent(&customer.id, period)? }))
    }

    pub(super) fn leased(&mut self, customer: &Customer, quota: Quota, span: Period) -> Result<u64, T::Error> {
        let leases = self.tables.leases(&customer.id, quota, span)?;
        Ok(leases.iter().fold(0, |sum: u64, lease| sum.saturating_add(lease.units)))
    }

    /// The first quota of units that has no room for what leases do not pay for.
    pub(super) fn shortage(&mut self, charge: &Charge, customer: &Customer) -> Result<Option<Shortage>, T::Error> {
        let Charge { event, paid, .. } = charge;
        let windows: Vec<Quota> =
            self.tables.catalog().tiers.windows(customer, event.meter).map(|(quota, _)| quota).collect();
        for quota in [Quota::Period(event.meter)].into_iter().chain(windows) {
            let unpaid = event.units.get().saturating_sub(paid_of(paid, quota));
            if unpaid == 0 || self.tables.catalog().tiers.limit_on(customer, quota).is_none() {
                continue;
            }
            let frame = self.frame(customer, quota, event.timestamp);
            let standing = self.standing(customer, quota, frame)?;
            let leased = self.leased(customer, quota, frame.span)?;
            let spoken_for = Standing { used: standing.used.saturating_add(leased), ..standing };
            if !spoken_for.has_room_for(unpaid) {
                let window = matches!(quota, Quota::Window(..)).then_some((standing, frame.period));
                return Ok(Some(Shortage { refusal: Refusal::LimitExceeded(standing), window }));
            }
        }
        Ok(None)
    }

    /// Why a customer cannot pay for an event: his cap has no room for it, or his credit does not cover it.
    pub(super) fn unaffordable(
        &mut self,
        event: &UsageEvent,
        payment: &Payment,
        paid: &[LeasePart],
        customer: &Customer,
    ) -> Result<Option<Refusal>, T::Error> {
        let overspending = self.overspending(event, payment.cost, paid, customer)?;
        if overspending.is_some() || !customer.prepaid {
            return Ok(overspending);
        }
        self.exhausted(event, payment, paid, customer)
    }

    /// Whether an event costs more than the customer may still spend: to the last digit, unlike leases.
    fn overspending(
        &mut self,
        event: &UsageEvent,
        cost: Money,
        paid: &[LeasePart],
        customer: &Customer,
    ) -> Result<Option<Refusal>, T::Error> {
        let period = self.period_of(customer, event.timestamp);
        let paid = paid_of(paid, Quota::Spend);
        if Money::from_billionths(paid) >= cost {
            return Ok(None);
        }
        let Some(spending) = self.spending(customer, period)? else { return Ok(None) };
        let leased = self.leased(customer, Quota::Spend, period)?.saturating_sub(paid);
        let spoken_for = spending.spent.checked_add(Money::from_billionths(leased));
        // A sum that fits no number passes every cap.
        let has_room = spoken_for.is_ok_and(|spent| Spending { spent, ..spending }.admits(cost));
        Ok((!has_room).then_some(Refusal::SpendCapExceeded { spending, cost }))
    }
}
