//! What another service is to the sender.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::domain::Report;
use crate::domain::outbox::delivery::Answer;

/// A service that takes reports. It makes one attempt for each, under the report's id, and never tries again by itself: that
/// is the sender's business, who remembers attempts over the death of a process.
pub trait UsageSink: Send + Sync {
    /// The most reports in one call. They are of different customers or meters.
    fn batch_size(&self) -> usize;

    /// Answers for each report, in their order.
    fn send<'a>(&'a self, reports: &'a [Report]) -> BoxFuture<'a, Vec<Attempt>>;
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub answer: Answer,
    /// Why it was not taken, in the service's words.
    pub reason: Option<String>,
    /// How long the service asked to be left alone.
    pub retry_after: Option<Duration>,
}

impl Attempt {
    pub fn accepted() -> Self {
        Self { answer: Answer::Accepted, reason: None, retry_after: None }
    }

    pub fn failed(answer: Answer, reason: impl Into<String>) -> Self {
        Self { answer, reason: Some(reason.into()), retry_after: None }
    }
}
