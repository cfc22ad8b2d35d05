//! Opening the store, and what is done at the end.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::{Sender, bounded};

use super::housekeeper::{self, Election, Housekeeper};
use super::journal::directory::{self, Directory};
use super::recorder::guarded;
use super::{Location, Options, Report, Shared, journal, replay, takeover};
use crate::Result;
use crate::domain::CatalogVersions;
use crate::domain::customer::Patch;
use crate::store::{Catalog, Change, PostgresStore, SqliteStore, Store};

/// They are told once in a billing period, which must be over by then.
const ALERTS_KEPT_MILLIS: i64 = 90 * 24 * 3_600_000;
const ALERTS_FORGOTTEN_AT_ONCE: usize = 10_000;

/// A store that was opened, and what to do when all is recorded at the end.
pub struct Opened {
    pub store: Arc<dyn Store>,
    pub report: Report,
    /// Makes the journal refuse what comes from now on.
    pub close: Box<dyn FnOnce() + Send>,
    /// Waits until the journal has written what it was given.
    pub drain: Arc<dyn Fn() + Send + Sync>,
    pub ending: Ending,
}

/// What is done with the store at the end, when all is recorded.
pub type Ending = Box<dyn FnOnce(&dyn Store) -> Result<()> + Send>;

/// Opens the store, takes over what others have left, makes this engine's journal, and starts the housekeeper. The journal's
/// thread is told where to write, or why it cannot; after an error that may pass this can be called again.
pub fn open(
    options: &Options,
    shared: &Arc<Shared>,
    files: &Arc<journal::Files>,
    directory_sender: &Sender<Result<PathBuf>>,
    drain: &Arc<dyn Fn() + Send + Sync>,
) -> Result<Opened> {
    let opened = guarded(|| open_parts(options, shared));
    let Parts { store, journals, report, directory } = match opened {
        Ok(opened) => opened,
        Err(error) => {
            // The journal's thread waits for it; where that has ended, nobody needs it.
            drop(directory_sender.send(Err(error.clone())));
            return Err(error);
        }
    };
    drop(directory_sender.send(Ok(directory.path.clone())));
    let (alive, ended) = bounded(0);
    let housekeeper = Housekeeper {
        store: Arc::downgrade(&store),
        shared: Arc::clone(shared),
        journals: journals.clone(),
        holder: options.holder.clone(),
        unreadable: RefCell::default(),
        files: Arc::clone(files),
    }
    .start(ended)?;
    let (shared, files) = (Arc::clone(shared), Arc::clone(files));
    let closing = Arc::clone(&files);
    let close = Box::new(move || closing.close());
    let ending = Box::new(move |store: &dyn Store| {
        drop(alive);
        // A thread that panicked has nothing left to do.
        let election = housekeeper.join().ok().flatten().or_else(|| housekeeper::elect(&journals));
        replay::settle(store, &directory.holder, false)?;
        store.sync()?;
        if files.delete_all(shared.position())? {
            directory.sync()?;
            replay::settle(store, &directory.holder, true)?;
            directory.remove()?;
        }
        election.into_iter().for_each(Election::end);
        // Where anything is left in it, it stays.
        drop(std::fs::remove_dir(&journals));
        Ok(())
    });
    Ok(Opened { store, report, close, drain: Arc::clone(drain), ending })
}

struct Parts {
    store: Arc<dyn Store>,
    /// The directory of all journals of this machine that the store is told of.
    journals: PathBuf,
    report: Report,
    directory: Directory,
}

fn open_parts(options: &Options, shared: &Shared) -> Result<Parts> {
    let (store, journals, origin): (Arc<dyn Store>, _, _) = match &options.location {
        Location::Sqlite(path) => {
            let store = SqliteStore::open(path, options.durability)?;
            // Everybody must find everybody else's journals, whatever links lead to the database.
            let journals = directory::of_database(store.path());
            (Arc::new(store), journals, String::new())
        }
        Location::Postgres { options, directory } => {
            let home = format!("{}/", options.home);
            let store = PostgresStore::open(options.as_ref().clone())?;
            let journals = directory::of_database(&directory.join(format!("postgres-{}", store.id()?)));
            (Arc::new(store), journals, home)
        }
    };
    shared.opened(&store);
    // Where it is opened once more it is the same directory.
    let _ = shared.journals.set(journals.clone());
    let changes = settings(options, &store.catalog()?);
    store.commit(&changes)?.outcomes.into_iter().collect::<Result<Vec<_>>>()?;
    store.forget_alerts(options.now.plus_millis(-ALERTS_KEPT_MILLIS), ALERTS_FORGOTTEN_AT_ONCE)?;
    let takeover = takeover::run(store.as_ref(), &origin, &options.legacy_dir, options.now)?;
    shared.observe(store.as_ref(), store.revision()?)?;
    let replay = replay::run(store.as_ref(), &journals, None, &|reached| shared.tell(reached))?;
    // Last, for it can be made only once.
    let directory = Directory::create(&journals, options.holder.clone())?;
    Ok(Parts { store, journals, report: Report { takeover, replay }, directory })
}

/// What has to be changed for all to agree on what this engine was told. Most often nothing: whoever changes a setting keeps
/// all others from counting meanwhile.
fn settings(options: &Options, known: &Catalog) -> Vec<Change> {
    let time_zone = options.time_zone.filter(|time_zone| *time_zone != known.time_zone);
    let plans = &known.tiers;
    // Where there is a catalog, tiers are refused.
    let tiers = options.tiers.as_ref().filter(|tiers| plans.catalog.is_some() || **tiers != plans.table).cloned();
    let configure = (tiers.is_some() || time_zone.is_some()).then_some(Change::Configure { tiers, time_zone });
    let is_known = |given: &CatalogVersions| {
        plans.catalog.as_ref().is_some_and(|known| known.succeeded_by(given).is_ok_and(|versions| versions == **known))
    };
    let offer = options.catalog.clone().filter(|given| !is_known(given)).map(Change::Offer);
    let has_none = plans.is_empty() && options.tiers.is_none() && options.catalog.is_none();
    let introduce = has_none.then(|| Change::IntroduceTiers(options.default_tiers.clone()));
    let export = match &options.export {
        Patch::Keep => known.export.clone(),
        Patch::Clear => None,
        Patch::Set(rule) => Some(rule.clone()),
    };
    let report = (export != known.export).then_some(Change::Export(export));
    let mut alerts = known.alerts.clone().unwrap_or_default();
    alerts.thresholds = options.thresholds.clone().unwrap_or(alerts.thresholds);
    alerts.is_sent = options.sends_alerts.unwrap_or(alerts.is_sent);
    let tell = (known.alerts.as_ref() != Some(&alerts)).then_some(Change::Alert(alerts));
    [configure, offer, introduce, report, tell].into_iter().flatten().collect()
}
