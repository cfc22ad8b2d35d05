//! What a group of changes reads and writes: the part that each store does in its own way.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{CounterKey, Credit, RatedEvent, Tally, Used};
use crate::Error;
use crate::domain::credit::{CreditGrant, GrantId};
use crate::domain::invoice::{Quantities, Quantity};
use crate::domain::{
    self, AlertRule, ApiKey, CatalogVersions, Customer, CustomerId, ExportRule, Frame, HolderId, KeyHash, Meter, Money,
    Period, Quota, Recipient, Standing, Subscription, TierTable, TimeZone, Timestamp, UsageEvent, WindowUsage,
};
use crate::store::{Catalog, CreditRefund, Lease, LeasePart, StripeEventRow};

/// The tables of a store, inside one transaction. What was written before is read afterwards, and whoever decides from
/// what he reads here decides alone: nobody else changes it before the transaction ends.
pub trait Tables {
    /// Ends the whole group.
    type Error: From<Error>;

    fn catalog(&self) -> &Catalog;
    fn set_tiers(&mut self, tiers: TierTable) -> Result<(), Self::Error>;
    /// Puts these into the place of the versions that are there.
    fn set_versions(&mut self, versions: Arc<CatalogVersions>) -> Result<(), Self::Error>;
    /// Puts all customers who have a tier of this catalog and no version into this version.
    fn sign_up_all(&mut self, catalog: &domain::Catalog) -> Result<(), Self::Error>;
    /// Sorts all events into the calendar months of a new time zone, too, but for those of customers whose periods have an
    /// anchor.
    fn set_time_zone(&mut self, time_zone: TimeZone) -> Result<(), Self::Error>;
    fn set_export(&mut self, rule: Option<ExportRule>) -> Result<(), Self::Error>;
    fn set_alerts(&mut self, rule: AlertRule) -> Result<(), Self::Error>;
    /// The ids of the tiers that customers have.
    fn tiers_in_use(&mut self) -> Result<Vec<String>, Self::Error>;
    /// Keys, customers or the catalog have changed: caches must notice.
    fn revise(&mut self);

    fn customer(&mut self, id: &CustomerId) -> Result<Option<Customer>, Self::Error>;
    fn put_customer(&mut self, customer: &Customer) -> Result<(), Self::Error>;
    /// What he has used, by the hour that begins then (UTC).
    fn used_by_hour(&mut self, customer_id: &CustomerId) -> Result<Vec<Used>, Self::Error>;
    /// The same by single events, of a span.
    fn used_within(&mut self, customer_id: &CustomerId, span: Period) -> Result<Vec<Used>, Self::Error>;
    /// Puts these into the place of all of a customer's.
    fn set_counters(
        &mut self,
        customer_id: &CustomerId,
        counters: BTreeMap<CounterKey, Tally>,
    ) -> Result<(), Self::Error>;

    fn key(&mut self, id: &str) -> Result<Option<&ApiKey>, Self::Error>;
    fn has_secret(&mut self, hash: &KeyHash) -> Result<bool, Self::Error>;
    fn insert_key(&mut self, key: &ApiKey, hash: &KeyHash) -> Result<(), Self::Error>;
    /// Writes when it expires and when it was revoked.
    fn end_key(&mut self, key: &ApiKey) -> Result<(), Self::Error>;

    /// The units that are counted on a meter in the period that starts then.
    fn used(&mut self, customer_id: &CustomerId, meter: Meter, period: Period) -> Result<u64, Self::Error>;
    /// What all that is counted in a period costs, on every meter.
    fn spent(&mut self, customer_id: &CustomerId, period: Period) -> Result<Money, Self::Error>;
    /// What a customer has used of a meter in a period, by price.
    fn quantities(&mut self, key: &CounterKey) -> Result<Quantities, Self::Error>;
    fn set_quantity(&mut self, key: &CounterKey, price: &str, quantity: Quantity) -> Result<(), Self::Error>;
    /// All of a customer's that are still there.
    fn rated_events(&mut self, customer_id: &CustomerId) -> Result<Vec<RatedEvent>, Self::Error>;
    /// Puts these into the place of all of a customer's.
    fn set_quantities(
        &mut self,
        customer_id: &CustomerId,
        quantities: BTreeMap<CounterKey, Quantities>,
    ) -> Result<(), Self::Error>;
    /// Whether the event's id was seen, and if so whether with the same contents.
    fn seen(&mut self, event: &UsageEvent) -> Result<Option<bool>, Self::Error>;
    /// Counts an event at what it costs in the end, and writes it and its id down. The inner error: a sum would overflow, and
    /// nothing was done.
    fn record(
        &mut self,
        event: &UsageEvent,
        cost: Money,
        customer: &Customer,
        period: Period,
        now: Timestamp,
    ) -> Counted<Self>;

    /// Of a customer who has credit. What is changed in its books here is written at the end.
    fn credit(&mut self, customer_id: &CustomerId) -> Result<&mut Credit, Self::Error>;
    fn put_grant(&mut self, customer_id: &CustomerId, grant: &CreditGrant) -> Result<(), Self::Error>;
    fn credit_refund(&mut self, customer_id: &CustomerId, id: &GrantId) -> Result<Option<CreditRefund>, Self::Error>;
    fn put_credit_refund(&mut self, customer_id: &CustomerId, refund: &CreditRefund) -> Result<(), Self::Error>;

    /// Adds an event that was counted to the open report of its window, or opens one.
    fn enqueue(
        &mut self,
        event: &UsageEvent,
        recipient: Recipient,
        rule: &ExportRule,
        now: Timestamp,
    ) -> Result<(), Self::Error>;

    /// Those for another period that overlaps this one count too: a change of the time zone moves the periods, and what
    /// was set aside before may be spent in either of two.
    fn leases(&mut self, customer_id: &CustomerId, quota: Quota, span: Period) -> Result<Vec<Lease>, Self::Error>;
    /// The one statement that makes leases larger. It does so, and answers true, only where the limit of this standing has
    /// room for what is used, what all holders have in the span, and this. Periods of two time zones may start together:
    /// their lease is one, and reaches as far as the longer one.
    fn set_aside(&mut self, part: &LeasePart, frame: Frame, standing: Standing) -> Result<bool, Self::Error>;
    /// Takes units out of a lease. Where it holds fewer it ends.
    fn settle(&mut self, part: &LeasePart) -> Result<(), Self::Error>;
    /// Ends all of a holder's leases, and the recalls that nobody can heed any more.
    fn end_leases(&mut self, holder: &HolderId) -> Result<(), Self::Error>;
    fn is_recalled(&mut self, customer_id: &CustomerId, quota: Quota) -> Result<bool, Self::Error>;
    fn set_recalled(&mut self, customer_id: &CustomerId, quota: Quota, recalled: bool) -> Result<(), Self::Error>;

    /// What is known of a quota whose window is no billing period.
    fn window_usage(&mut self, customer_id: &CustomerId, quota: Quota) -> Result<Option<WindowUsage>, Self::Error>;
    fn set_window_usage(&mut self, customer_id: &CustomerId, quota: Quota, usage: WindowUsage);
    /// Of one customer, or of all: it will be counted anew.
    fn forget_window_usage(&mut self, customer_id: Option<&CustomerId>) -> Result<(), Self::Error>;

    /// How far a holder's journal is recorded.
    fn journal_position(&mut self, holder: &HolderId) -> Result<u64, Self::Error>;
    fn set_journal_position(&mut self, holder: &HolderId, position: u64);
    fn forget_journal(&mut self, holder: &HolderId) -> Result<(), Self::Error>;

    fn takeover_position(&mut self, file: &str) -> Result<u64, Self::Error>;
    fn set_takeover_position(&mut self, file: &str, position: u64) -> Result<(), Self::Error>;

    fn stripe_event(&mut self, id: &str) -> Result<Option<StripeEventRow>, Self::Error>;
    fn put_stripe_event(&mut self, row: &StripeEventRow) -> Result<(), Self::Error>;
    fn delete_stripe_event(&mut self, id: &str) -> Result<(), Self::Error>;
    /// Those that came into their state before an instant.
    fn forget_stripe_events(&mut self, before: Timestamp) -> Result<(), Self::Error>;
    fn subscription(&mut self, id: &str) -> Result<Option<Subscription>, Self::Error>;
    fn put_subscription(&mut self, subscription: &Subscription) -> Result<(), Self::Error>;
    /// All of a customer of Stripe's.
    fn subscriptions_of(&mut self, stripe_customer_id: &str) -> Result<Vec<Subscription>, Self::Error>;
    /// Who is known by either of these ids, in the order of their own.
    fn customers_at_stripe(
        &mut self,
        stripe_customer_id: &str,
        subscription_id: &str,
    ) -> Result<Vec<Customer>, Self::Error>;
}

/// The outer error ends the group; the inner one is the event's own.
pub type Counted<T> = Result<crate::Result<()>, <T as Tables>::Error>;
