//! The outbox, as processes that send share it. What is in it is written by the groups that count: see [`super::group`].

use std::str::FromStr;

use crate::domain::outbox::State;
use crate::domain::outbox::delivery::Settled;
use crate::domain::reconciliation::Entry;
use crate::domain::{CustomerId, HolderId, Meter, Period, Report, ReportId, Timestamp};
use crate::{Code, Error, Result};

/// What is reported to another service, and how far that is. Every call is a transaction of its own, and can be repeated
/// where its answer was lost.
pub trait Outbox {
    /// Claims reports to be sent, at most one for each customer and meter, and none where anybody has one. A claim lasts
    /// until an instant; whoever takes over one that has run out does not know whether it was sent.
    fn claim_reports(&self, claim: &Claim) -> Result<Vec<Report>>;

    /// Writes what became of reports that a holder has claimed. One that somebody else has claimed since is left alone.
    fn settle_reports(&self, holder: &HolderId, settlements: &[Settlement]) -> Result<()>;

    /// By id, which is the order of their making.
    fn reports(&self, query: &ReportQuery) -> Result<Vec<Report>>;

    /// How much is in each state, except what was sent. States without a report are left out.
    fn backlog(&self) -> Result<Vec<Backlog>>;

    /// Whether usage until an instant is still to be sent.
    fn has_unsent(&self, until: Timestamp) -> Result<bool>;

    /// What all books say of a span of whole UTC hours, as they were at one instant.
    fn books(&self, customer: Option<&CustomerId>, span: Period) -> Result<Vec<Line>>;

    /// The reports of a customer's meter whose usage is told of in a span, by id.
    fn entries(&self, customer: &CustomerId, meter: Meter, span: Period) -> Result<Vec<Entry>>;

    /// Makes a part of a report, or all of it, another one. Answers whether the report was as it is said to be; the other
    /// one is there then.
    fn divide_report(&self, division: &Division) -> Result<bool>;

    /// The other side has told, after it took a report, that it could not use it. Answers whose report that is.
    fn reject_report(&self, id: &ReportId, reason: &str, now: Timestamp) -> Result<Option<Report>>;

    /// Sends again what the other side has refused: as a new report, because it remembers the old one. Answers whether
    /// there was a dead report with this id.
    fn retry_report(&self, id: &ReportId, successor: &ReportId, now: Timestamp) -> Result<bool>;

    /// Forgets reports that were sent before an instant, at most so many; answers how many.
    fn forget_reports(&self, sent_before: Timestamp, limit: usize) -> Result<u64>;
}

/// Asks for reports to send.
#[derive(Debug, Clone)]
pub struct Claim {
    pub holder: HolderId,
    pub now: Timestamp,
    pub until: Timestamp,
    pub limit: usize,
    /// Accounts are taken in their order, beginning after this one: so that everybody's turn comes.
    pub after: Option<(CustomerId, Meter)>,
    /// Those whose window has not ended, too.
    pub early: bool,
}

/// What became of a report.
#[derive(Debug, Clone)]
pub struct Settlement {
    pub customer_id: CustomerId,
    pub id: ReportId,
    /// Which attempt it was: a later one is not settled by this.
    pub attempts: u32,
    pub settled: Settled,
    pub reason: Option<String>,
    pub now: Timestamp,
}

/// Which reports to read.
#[derive(Debug, Clone, Default)]
pub struct ReportQuery {
    pub state: Option<State>,
    pub customer_id: Option<CustomerId>,
    pub id: Option<ReportId>,
    /// The id after which they begin.
    pub after: Option<String>,
    pub limit: usize,
}

/// How much is in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    pub state: State,
    pub reports: u64,
    pub units: u64,
    /// When the oldest of its windows began.
    pub since: Timestamp,
}

/// What a book says of a customer's meter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub book: Book,
    pub customer_id: CustomerId,
    pub meter: Meter,
    /// Of reports.
    pub state: Option<State>,
    /// Of whom the other side is told, in [`Book::Told`].
    pub stripe_customer_id: Option<String>,
    pub units: u64,
}

/// Where units are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Book {
    Events,
    Rollups,
    /// Reports by the window of their usage.
    Reported,
    /// Reports by the instant that the other side is told.
    Told,
}

impl Book {
    pub const ALL: [Book; 4] = [Book::Events, Book::Rollups, Book::Reported, Book::Told];

    pub fn as_str(self) -> &'static str {
        match self {
            Book::Events => "events",
            Book::Rollups => "rollups",
            Book::Reported => "reported",
            Book::Told => "told",
        }
    }
}

impl FromStr for Book {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Book::ALL.into_iter().find(|book| book.as_str() == text);
        found.ok_or_else(|| Error::new(Code::Internal, format!("{text:?} is no book")))
    }
}

/// What becomes of a part of a report.
#[derive(Debug, Clone)]
pub struct Division {
    pub customer_id: CustomerId,
    pub id: ReportId,
    /// As the report is now: else nothing is done.
    pub state: State,
    pub attempts: u32,
    /// As many as the part has; the report keeps the others.
    pub units: u64,
    /// The id of the part, which was never sent under it.
    pub part: ReportId,
    /// What the part is from now on: to be sent, or sent.
    pub becomes: State,
    pub timestamp: Timestamp,
    pub reason: Option<String>,
    pub now: Timestamp,
}
