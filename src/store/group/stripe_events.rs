//! What Stripe tells: who works on an event, and what it makes of customers.

use super::{Group, Step, Tables};
use crate::domain::subscription::{Report, follow, followed};
use crate::domain::{Customer, CustomerId, Subscription, Timestamp};
use crate::store::{Applied, Claim, FinishedStripeEvent, StripeEvent, StripeEventRow, StripeEventState};

/// Whoever has claimed an event and not finished it for so long has died.
const CLAIM_MILLIS: i64 = 60_000;
/// Stripe sends an event again for three days, and by hand for thirty.
const REMEMBERED_MILLIS: i64 = 90 * 24 * 3_600_000;

impl<T: Tables> Group<T> {
    pub(super) fn claim_stripe_event(&mut self, event: &StripeEvent, now: Timestamp) -> Step<T> {
        let claim = match self.tables.stripe_event(&event.id)? {
            Some(row) if row.state != StripeEventState::Claimed => Claim::Finished,
            // A clock that was set back must not lengthen it.
            Some(row) if (now.as_millis() - row.changed_at.as_millis()).abs() < CLAIM_MILLIS => Claim::Taken,
            _ => {
                self.tables.forget_stripe_events(now.plus_millis(-REMEMBERED_MILLIS))?;
                self.put_stripe_event(event, StripeEventState::Claimed, None, now)?;
                Claim::Granted
            }
        };
        Ok(Ok(Applied::Claim(claim)))
    }

    /// One that is finished already does nothing: somebody else was faster.
    pub(super) fn finish_stripe_event(&mut self, finished: &FinishedStripeEvent) -> Step<T> {
        let FinishedStripeEvent { event, reports, kept, now } = finished;
        let known = self.tables.stripe_event(&event.id)?;
        let is_open = known.is_none_or(|row| row.state == StripeEventState::Claimed);
        if is_open {
            for report in reports {
                self.heed(report, *now)?;
            }
            let state = if kept.is_some() { StripeEventState::Kept } else { StripeEventState::Done };
            self.put_stripe_event(event, state, kept.clone(), *now)?;
        }
        Ok(Ok(Applied::Claim(if is_open { Claim::Granted } else { Claim::Finished })))
    }

    pub(super) fn release_stripe_event(&mut self, id: &str) -> Step<T> {
        if self.tables.stripe_event(id)?.is_some_and(|row| row.state == StripeEventState::Claimed) {
            self.tables.delete_stripe_event(id)?;
        }
        Ok(Ok(Applied::Returned))
    }

    fn put_stripe_event(
        &mut self,
        event: &StripeEvent,
        state: StripeEventState,
        payload: Option<String>,
        now: Timestamp,
    ) -> Result<(), T::Error> {
        self.tables.put_stripe_event(&StripeEventRow { event: event.clone(), state, changed_at: now, payload })
    }

    fn heed(&mut self, report: &Report, now: Timestamp) -> Result<(), T::Error> {
        match report {
            Report::Subscription { subscription, customer_id } => {
                let known = self.tables.subscription(&subscription.id)?;
                self.put_and_follow(&Subscription::after(known, subscription), customer_id.as_ref(), now)
            }
            Report::Payment { subscription_id, succeeded, at } => match self.tables.subscription(subscription_id)? {
                Some(known) => self.put_and_follow(&known.after_payment(*succeeded, *at), None, now),
                None => Ok(()),
            },
            Report::Checkout { subscription_id, stripe_customer_id, customer_id, at } => {
                for customer in self.customers_of(stripe_customer_id, subscription_id, customer_id.as_ref())? {
                    self.buy(customer, stripe_customer_id, subscription_id, *at, now)?;
                }
                self.follow_subscriptions(stripe_customer_id, subscription_id, now)
            }
        }
    }

    fn put_and_follow(
        &mut self,
        subscription: &Subscription,
        named: Option<&CustomerId>,
        now: Timestamp,
    ) -> Result<(), T::Error> {
        self.tables.put_subscription(subscription)?;
        let Subscription { id, stripe_customer_id, .. } = subscription;
        // Its metadata may be the first to say whose customer of Stripe's this is.
        if let Some(named) = named
            && let Some(customer) = self.tables.customer(named)?
            && customer.stripe_customer_id.is_none()
        {
            let after = Customer { stripe_customer_id: Some(stripe_customer_id.clone()), ..customer.clone() };
            self.put_changed(Some(&customer), after, now)?;
        }
        self.follow_subscriptions(stripe_customer_id, id, now)
    }

    /// The customer that was named, if there is one; else those who are known by Stripe's ids.
    fn customers_of(
        &mut self,
        stripe_customer_id: &str,
        subscription_id: &str,
        named: Option<&CustomerId>,
    ) -> Result<Vec<Customer>, T::Error> {
        if let Some(named) = named
            && let Some(customer) = self.tables.customer(named)?
        {
            return Ok(vec![customer]);
        }
        self.tables.customers_at_stripe(stripe_customer_id, subscription_id)
    }

    /// A customer has bought a subscription: he follows it from now on, unless he has a newer one, or it has ended since.
    fn buy(
        &mut self,
        customer: Customer,
        stripe_customer_id: &str,
        subscription_id: &str,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<(), T::Error> {
        let is_his = customer.subscription_id.as_deref() == Some(subscription_id);
        let own = match &customer.subscription_id {
            Some(own) => self.tables.subscription(own)?,
            None => None,
        };
        let bought = self.tables.subscription(subscription_id)?;
        let has_ended = bought.is_some_and(|bought| bought.status.has_ended());
        let is_newer = own.is_none_or(|own| own.may_be_replaced(at));
        if is_his || has_ended || !is_newer {
            return Ok(());
        }
        let after = Customer {
            stripe_customer_id: Some(stripe_customer_id.to_owned()),
            subscription_id: Some(subscription_id.to_owned()),
            subscription_status: None,
            ..customer.clone()
        };
        self.put_changed(Some(&customer), after, now)?;
        Ok(())
    }

    /// Gives all customers concerned what they have because of the subscriptions that are known. Several may share one
    /// customer of Stripe's; each has a subscription of his own.
    pub(super) fn follow_subscriptions(
        &mut self,
        stripe_customer_id: &str,
        subscription_id: &str,
        now: Timestamp,
    ) -> Result<(), T::Error> {
        let mut customers = self.tables.customers_at_stripe(stripe_customer_id, subscription_id)?;
        let known = self.tables.subscriptions_of(stripe_customer_id)?;
        for place in 0..customers.len() {
            let has = |customer: &Customer, other: &Subscription| customer.subscription_id.as_ref() == Some(&other.id);
            let is_free = |other: &&Subscription| {
                let others = customers.iter().enumerate().filter(|(number, _)| *number != place);
                !others.into_iter().any(|(_, customer)| has(customer, other))
            };
            let free: Vec<_> = known.iter().filter(is_free).collect();
            let mut customer = customers[place].clone();
            let tiers = &self.tables.catalog().tiers;
            if let Some(subscription) = followed(&customer, &free, tiers) {
                follow(&mut customer, subscription, tiers);
            }
            if customer != customers[place] {
                customers[place] = self.put_changed(Some(&customers[place]), customer, now)?;
            }
        }
        Ok(())
    }
}
