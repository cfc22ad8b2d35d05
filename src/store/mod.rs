//! What is remembered, and the one contract for remembering it.
//!
//! A [`Store`] is synchronous: the engine calls it from threads of its own. Writing happens in groups, one transaction
//! for each, on one thread; reading never waits for writing. `tests/store` holds every implementation to the same
//! conformance suite.

use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use crate::domain::credit::{CreditGrant, GrantId, GrantRequest, Unit};
use crate::domain::customer::CustomerPatch;
use crate::domain::invoice::Quantities;
use crate::domain::lease::Wish;
use crate::domain::repricing::RecordedUsage;
use crate::domain::subscription::Report;
use crate::domain::{
    AlertRule, ApiKey, CatalogVersions, Customer, CustomerId, ExportRule, HolderId, KeyHash, Meter, Money, Period,
    Plans, Quota, Reached, Refusal, Requirements, Standing, TierTable, TimeZone, Timestamp, UsageEvent,
};
use crate::{Code, Error, Result};

pub mod alerts;
mod credits;
mod group;
pub mod migration;
pub mod outbox;
pub mod postgres;
pub mod sqlite;
mod versions;

pub use alerts::{AlertClaim, AlertQuery, AlertSettlement, Alerts};
pub use credits::{CreditRecord, CreditRefund};
pub use group::random;
pub use outbox::{Backlog, Book, Division, Line, Outbox, ReportQuery, Settlement};
pub use postgres::PostgresStore;
pub use sqlite::SqliteStore;

/// A place that remembers customers, keys, events and counters, shared by any number of processes.
pub trait Store: Outbox + Alerts + Send + Sync {
    /// Applies a group of changes in one transaction. When this returns `Ok`, all of them survive a `kill -9`; when it
    /// returns an error, none of them happened. A change that is refused on its own (its outcome is an error) changes
    /// nothing and leaves the others alone.
    fn commit(&self, group: &[Change]) -> Result<Committed>;

    /// How many events to commit at a time where many wait. A larger group costs less for each event, but others who need
    /// the store wait for it.
    fn group_size(&self) -> usize;

    /// Grows with every change to keys, customers or the catalog, by whichever process. What was read before it grew
    /// may be out of date. It may be some hundred milliseconds behind what other processes have changed.
    fn revision(&self) -> Result<u64>;

    /// What all processes on this store agree on.
    fn catalog(&self) -> Result<Catalog>;

    /// The key with this hash, and the customer whose key it is.
    fn identify(&self, hash: &KeyHash) -> Result<Option<(ApiKey, Customer)>>;

    fn customer(&self, id: &CustomerId) -> Result<Option<Customer>>;

    /// By id, beginning after `after`, at most `limit`.
    fn customers(&self, after: Option<&str>, limit: usize) -> Result<Vec<Customer>>;

    /// A customer's keys, revoked ones too, the oldest first.
    fn keys(&self, customer_id: &CustomerId) -> Result<Vec<ApiKey>>;

    /// What a customer used in the billing period that starts at an instant. Meters without usage are left out.
    fn counters(&self, customer_id: &CustomerId, period_start: Timestamp) -> Result<Vec<Counter>>;

    /// What he used of a meter then, under each price that tells its amount only by the whole of it.
    fn quantities(&self, customer_id: &CustomerId, period_start: Timestamp, meter: Meter) -> Result<Quantities>;
    /// All that a customer was ever given, by id.
    fn credit_grants(&self, customer_id: &CustomerId) -> Result<Vec<CreditGrant>>;

    /// What tells the balance of a customer's credit at an instant; `None`: at the last one that is known.
    fn credit_record(&self, customer_id: &CustomerId, unit: Unit, at: Option<Timestamp>) -> Result<CreditRecord>;

    /// Visits the hourly rollups of `[from, to)`, which must be whole UTC hours.
    fn hourly_rollups(&self, customer: Option<&CustomerId>, span: Period, visit: Visitor<'_>) -> Result<()>;

    /// Visits the single events of `[from, to)`.
    fn events(&self, customer: Option<&CustomerId>, span: Period, visit: Visitor<'_>) -> Result<()>;

    /// Parts of the history in a span that may be visited side by side, each by a thread of its own. Together they hold
    /// each event of the span that is there now once.
    fn stretches(&self, span: Period) -> Result<Vec<Stretch>>;

    /// Visits the hourly rollups of `[from, to)`, which must be whole UTC hours: as [`Store::hourly_rollups`], for long times.
    fn recorded_hours(&self, customer: Option<&CustomerId>, span: Period, visit: HistoryVisitor<'_>) -> Result<()>;

    /// Visits the single events of a stretch, with their metadata.
    fn history(&self, customer: Option<&CustomerId>, stretch: &Stretch, visit: HistoryVisitor<'_>) -> Result<()>;

    /// An event of Stripe's that was delivered.
    fn stripe_event(&self, id: &str) -> Result<Option<StripeEventRow>>;

    /// How many bytes of a file that the seed's code left behind were taken over.
    fn takeover_position(&self, file: &str) -> Result<u64>;

    /// The leases on a customer's quota whose periods overlap this one.
    fn leases(&self, customer_id: &CustomerId, quota: Quota, period: Period) -> Result<Vec<Lease>>;

    /// On which quotas of which customers somebody asked in vain while others held leases: they should give them back.
    fn recalls(&self) -> Result<Vec<(CustomerId, Quota)>>;

    /// Whether it is worth asking for recalls now, which somebody does some fifty times a second. A store that is told of
    /// them may know better.
    fn may_be_recalling(&self) -> bool {
        true
    }

    /// Who has leases, or a journal of whose the store has recorded a part.
    fn holders(&self) -> Result<Vec<HolderId>>;

    /// A holder has died: waits until nothing of his is being committed any more, and lets nothing that still lingers on
    /// its way be committed later. A store in which transactions die with their process has nothing to do.
    fn fence(&self, _holder: &HolderId) -> Result<()> {
        Ok(())
    }

    /// It is going to be closed: what does not answer is not waited for much longer, whatever is in doubt then.
    fn hurry(&self) {}

    /// Makes everything committed so far survive a power cut too.
    fn sync(&self) -> Result<()>;

    /// Keeps the store's files small. Called about once a second by one of the processes.
    fn maintain(&self) -> Result<()>;
}

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The death of the process. A power cut may take the last moments.
    #[default]
    Process,
    /// A power cut too.
    Power,
}

pub type Visitor<'a> = &'a mut dyn FnMut(UsageRow) -> Result<()>;
pub type HistoryVisitor<'a> = &'a mut dyn FnMut(&RecordedUsage<'_>) -> Result<()>;

/// A part of the history: the events of a span, and of these those that the store has numbered so, where it numbers them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    pub span: Period,
    pub sequences: Range<i64>,
}

/// What all processes on one store agree on: the last one to say otherwise decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    pub tiers: Plans,
    /// In which the billing periods begin and end.
    pub time_zone: TimeZone,
    /// What is written into the outbox: nothing where there is no rule.
    pub export: Option<ExportRule>,
    /// Of what somebody is told.
    pub alerts: Option<AlertRule>,
}

/// One change, applied whole or not at all.
#[derive(Debug, Clone)]
pub enum Change {
    Charge(Charge),
    Record(Record),
    Lease(LeaseRequest),
    /// Gives back units of a lease that are not used.
    Release(LeasePart),
    /// Gives back all that a holder has not used: he has ended, and his journal is recorded to its end.
    ReturnLeases {
        holder: HolderId,
    },
    /// Forgets how far a holder's journal is recorded: it exists no more.
    ForgetJournal {
        holder: HolderId,
    },
    UpsertCustomer {
        id: CustomerId,
        patch: CustomerPatch,
        now: Timestamp,
    },
    CreateKey {
        key: ApiKey,
        hash: KeyHash,
    },
    RevokeKey {
        id: String,
        now: Timestamp,
    },
    /// Gives the customer of key `id` a successor and lets the old key live until `until`.
    RotateKey {
        id: String,
        successor_id: String,
        prefix: String,
        hash: KeyHash,
        now: Timestamp,
        until: Timestamp,
    },
    /// Gives credit, unless it was given before.
    GrantCredit {
        customer_id: CustomerId,
        request: GrantRequest,
        now: Timestamp,
    },
    /// Ends a grant at an instant, but not before `now`.
    VoidGrant {
        customer_id: CustomerId,
        id: GrantId,
        at: Timestamp,
        now: Timestamp,
    },
    /// Gives back what was used last, unless it was given back before. It counts from `at` on, or later.
    RefundCredit {
        customer_id: CustomerId,
        refund: CreditRefund,
    },
    /// `None` leaves what the store has. Tiers that are no longer listed stay for the customers who have them.
    Configure {
        tiers: Option<TierTable>,
        time_zone: Option<TimeZone>,
    },
    /// Gives the store these versions of a catalog, in the place of tiers. Those that it has and that are not given stay, below
    /// the given ones: customers are in them.
    Offer(Arc<CatalogVersions>),
    /// Gives a store tiers that has none. Who opens a store without saying which tiers overrules nobody.
    IntroduceTiers(TierTable),
    /// From now on events are reported by this rule, or not at all.
    Export(Option<ExportRule>),
    /// From now on alerts are made by this rule.
    Alert(AlertRule),
    /// Takes over a stretch of a legacy file, unless another process already has.
    TakeOver(Takeover),
    /// Takes an event of Stripe's to work on, unless somebody else has or it is finished.
    ClaimStripeEvent {
        event: StripeEvent,
        now: Timestamp,
    },
    /// Does what an event says, and remembers that it was done.
    FinishStripeEvent(FinishedStripeEvent),
    /// Gives an event back that could not be worked on: whoever gets it next may claim it at once.
    ReleaseStripeEvent {
        id: String,
    },
}

/// An event to be counted, and whether it may be refused.
#[derive(Debug, Clone)]
pub struct Charge {
    pub event: UsageEvent,
    /// `None`: it has happened and is recorded whatever the limit says.
    pub admission: Option<Admission>,
    /// What was set aside for it, of each quota at most once, where it was admitted from leases; then that quota is not
    /// asked again. An event that is not recorded leaves it in the lease.
    pub paid: Vec<LeasePart>,
    pub now: Timestamp,
}

/// An event that a holder has admitted and written to his journal. It is counted once, however often it is handed over,
/// as long as a holder's events come in the order of his journal. Where a sum would overflow it is not counted, and the
/// outcome is an error; its place in the journal and what a lease pays for it are settled all the same.
#[derive(Debug, Clone)]
pub struct Record {
    pub holder: HolderId,
    /// In the holder's journal, from 1.
    pub sequence: u64,
    pub event: UsageEvent,
    /// What leases pay for, of each quota at most once; it leaves the lease whether the event is new or not.
    pub paid: Vec<LeasePart>,
    pub now: Timestamp,
}

/// Some of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeasePart {
    pub holder: HolderId,
    pub customer_id: CustomerId,
    pub quota: Quota,
    /// Of the period that the lease is for.
    pub period_start: Timestamp,
    /// As the quota counts.
    pub units: u64,
}

/// How much of a quota these parts pay for.
pub fn paid_of(parts: &[LeasePart], quota: Quota) -> u64 {
    parts.iter().find(|part| part.quota == quota).map_or(0, |part| part.units)
}

/// Asks for units to be set aside.
#[derive(Debug, Clone)]
pub struct LeaseRequest {
    pub holder: HolderId,
    pub customer_id: CustomerId,
    pub quota: Quota,
    /// Decides the period.
    pub now: Timestamp,
    pub wish: Wish,
    /// Somebody waits for them: what he needs and is set aside elsewhere is recalled.
    pub urgent: bool,
}

/// A lease as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub holder: HolderId,
    pub period_start: Timestamp,
    /// When what is left of it can be used no more.
    pub period_end: Timestamp,
    /// Set aside, and not counted as used. Never none: a lease that is used up is no lease any more.
    pub units: u64,
}

/// What must hold for an event to be counted. All of it is checked in the very transaction that counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Admission {
    pub key_id: Option<String>,
    pub required: Requirements,
}

#[derive(Debug, Clone)]
pub struct Takeover {
    pub file: String,
    /// The bytes of the file that this stretch covers; it is applied only where the store stands at `from`.
    pub from: u64,
    pub to: u64,
    pub events: Vec<UsageEvent>,
    /// Customers that come into being even without an event.
    pub customers: Vec<CustomerId>,
    pub now: Timestamp,
}

/// An event of Stripe's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripeEvent {
    pub id: String,
    pub kind: String,
    /// When it happened, as Stripe says.
    pub created: Timestamp,
}

#[derive(Debug, Clone)]
pub struct FinishedStripeEvent {
    pub event: StripeEvent,
    /// What it says of subscriptions.
    pub reports: Vec<Report>,
    /// Its text, where it says nothing that matters here.
    pub kept: Option<String>,
    pub now: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripeEventRow {
    pub event: StripeEvent,
    pub state: StripeEventState,
    /// When it came into this state.
    pub changed_at: Timestamp,
    pub payload: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StripeEventState {
    /// Somebody works on it, or did and has died: the claim ends after a minute.
    Claimed,
    Done,
    /// It means nothing here, and its text is kept.
    Kept,
}

impl StripeEventState {
    pub fn as_str(self) -> &'static str {
        match self {
            StripeEventState::Claimed => "claimed",
            StripeEventState::Done => "done",
            StripeEventState::Kept => "kept",
        }
    }
}

impl FromStr for StripeEventState {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = [StripeEventState::Claimed, StripeEventState::Done, StripeEventState::Kept];
        let found = all.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| Error::invalid(format!("{text:?} is no state of an event")))
    }
}

/// Who may work on an event of Stripe's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Whoever has asked.
    Granted,
    /// Somebody else works on it.
    Taken,
    /// Nobody: it is finished.
    Finished,
}

/// A group that was committed.
#[derive(Debug)]
pub struct Committed {
    pub revision: u64,
    /// One for each change, in order.
    pub outcomes: Vec<Outcome>,
    /// What the group has reached, and nobody had before. Where the answer of the store was lost, it is not known.
    pub reached: Vec<Reached>,
}

pub type Outcome = std::result::Result<Applied, Error>;

#[derive(Debug, Clone)]
pub enum Applied {
    Charged(Charged),
    Recorded(Recorded),
    Leased(Leased),
    /// Leases were given back, or a journal forgotten.
    Returned,
    Customer(Customer),
    Granted(CreditGrant),
    Refunded(CreditRefund),
    Key(ApiKey),
    Configured,
    /// `false`: the store did not stand where the stretch begins, so nothing was done.
    TakenOver(bool),
    /// The answer to a claim. To what was finished: whether it was not finished before.
    Claim(Claim),
}

/// Taking out what a change of a certain kind gives. Anything else is a bug in the store.
impl Applied {
    pub fn charged(self) -> Result<Charged> {
        if let Applied::Charged(charged) = self { Ok(charged) } else { Err(self.mismatch()) }
    }

    pub fn recorded(self) -> Result<Recorded> {
        if let Applied::Recorded(recorded) = self { Ok(recorded) } else { Err(self.mismatch()) }
    }

    pub fn leased(self) -> Result<Leased> {
        if let Applied::Leased(leased) = self { Ok(leased) } else { Err(self.mismatch()) }
    }

    pub fn customer(self) -> Result<Customer> {
        if let Applied::Customer(customer) = self { Ok(customer) } else { Err(self.mismatch()) }
    }

    pub fn granted(self) -> Result<CreditGrant> {
        if let Applied::Granted(granted) = self { Ok(granted) } else { Err(self.mismatch()) }
    }

    pub fn refunded(self) -> Result<CreditRefund> {
        if let Applied::Refunded(refund) = self { Ok(refund) } else { Err(self.mismatch()) }
    }

    pub fn claim(self) -> Result<Claim> {
        if let Applied::Claim(claim) = self { Ok(claim) } else { Err(self.mismatch()) }
    }

    pub fn key(self) -> Result<ApiKey> {
        if let Applied::Key(key) = self { Ok(key) } else { Err(self.mismatch()) }
    }

    fn mismatch(&self) -> Error {
        Error::new(Code::Internal, format!("the store answered a change with {self:?}"))
    }
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charged {
    pub verdict: Verdict,
    pub customer: Customer,
    /// On the event's meter in the billing period, after the event; or, where another limit refuses it, on that one.
    pub standing: Standing,
    /// Of the standing.
    pub period: Period,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Recorded,
    /// An event with this id and these contents was recorded before.
    Duplicate,
    Refused(Refusal),
}

/// What became of an event of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    pub status: RecordStatus,
    /// What is used on the event's meter in its period now.
    pub used: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordStatus {
    Counted,
    /// An event with this id and these contents was counted before.
    Duplicate,
    /// An event with this id and other contents was counted before.
    Conflict,
    /// This place of the journal was recorded before.
    Replayed,
}

impl RecordStatus {
    pub fn is_counted(self) -> bool {
        self == RecordStatus::Counted
    }
}

/// The answer to a [`LeaseRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    /// As many as were needed, and perhaps more; or none.
    pub granted: u64,
    /// What the other holders have set aside, and this one for another period that overlaps.
    pub leased_elsewhere: u64,
    pub customer: Customer,
    /// What is used counts what is recorded; leases do not.
    pub standing: Standing,
    pub period: Period,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    pub meter: Meter,
    pub units: u64,
    pub cost: Money,
}

/// Usage of one customer, meter and endpoint: of one event, or of all in an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// When the event happened, or when the hour began.
    pub at: Timestamp,
    pub customer_id: CustomerId,
    pub meter: Meter,
    /// An empty one counts as none.
    pub endpoint: Option<String>,
    pub events: u64,
    pub units: u64,
    pub cost: Money,
}
