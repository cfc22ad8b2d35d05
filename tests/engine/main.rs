//! The engine, through its public interface.

mod credits;
mod gate;
mod held_means;
mod leases;
mod lifecycle;
mod migration;
mod rating;
mod rejections;
mod replay;
mod reports;
mod spend_cap;
#[path = "../support/mod.rs"]
mod support;
mod takeover;
mod windows;

use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tempfile::TempDir;
use weighbridge::Result;
use weighbridge::domain::customer::Patch;
use weighbridge::domain::{HolderId, TierTable};
use weighbridge::engine::takeover::TakeoverReport;
use weighbridge::engine::{Engine, Location, Options, Reply};
use weighbridge::store::{Applied, Change, Durability, Outcome, SqliteStore};

/// Where engines are opened.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("weighbridge.db")
    }

    fn options(&self) -> Options {
        Options {
            location: Location::Sqlite(self.path()),
            legacy_dir: self.dir.path().to_owned(),
            catalog: None,
            tiers: None,
            default_tiers: TierTable::default(),
            time_zone: None,
            export: Patch::Keep,
            now: support::now(),
            durability: Durability::default(),
            // A busy machine is slow, which is not what the tests are about.
            deadline: Duration::from_secs(60),
            thresholds: None,
            sends_alerts: None,
            holder: HolderId::new(uuid::Uuid::now_v7().to_string()).expect("an id"),
            listener: Arc::new(|_| ()),
        }
    }

    /// Opens an engine, as another process would each time.
    fn open(&self) -> Arc<Engine> {
        Engine::open(self.options()).expect("an engine")
    }

    /// Looks at what is recorded, past all engines.
    fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.path(), Durability::default()).expect("a store")
    }
}

/// An answer that is still to come. A reply that is dropped unanswered fails at once; the deadline is for a hang.
struct Answer<T>(mpsc::Receiver<Result<T>>);

impl<T> Answer<T> {
    fn get(self) -> Result<T> {
        self.0.recv_timeout(Duration::from_secs(60)).expect("an answer")
    }
}

/// Asks for something without waiting for it.
fn ask<T: Send + 'static>(question: impl FnOnce(Reply<T>)) -> Answer<T> {
    let (sender, receiver) = mpsc::channel();
    question(Box::new(move |answer| drop(sender.send(answer))));
    Answer(receiver)
}

fn ready(engine: &Engine) -> Result<TakeoverReport> {
    ask(|reply| engine.ready(reply)).get().map(|report| report.takeover)
}

fn commit(engine: &Arc<Engine>, changes: Vec<Change>) -> Result<Vec<Outcome>> {
    ask(|reply| engine.commit(changes, reply)).get()
}

fn apply(engine: &Arc<Engine>, change: Change) -> Applied {
    ask(|reply| engine.commit_one(change, reply)).get().expect("a change")
}

fn close(engine: &Engine) {
    ask(|reply| engine.close(reply)).get().expect("a closed engine");
}
