//! Moving a store from SQLite into PostgreSQL: what it takes besides copying, which is [`crate::store::migration`].
//!
//! No process may use the store. What those that died have left in their journals is recorded first, as an opening does.

use std::path::{Path, PathBuf};

use super::Reply;
use super::journal::directory;
use super::recorder::{guarded, spawn};
use super::{home, replay};
use crate::store::migration::position::Stage;
use crate::store::migration::totals::{Comparison, Totals};
use crate::store::migration::{self, Ended, Pace, Progress, Watch};
use crate::store::postgres::{Address, Import, Schema};
use crate::store::sqlite::Export;
use crate::store::{Durability, SqliteStore};
use crate::{Code, Error, Result};

/// What is moved, and where to.
#[derive(Clone)]
pub struct Options {
    /// The file of the store that is moved.
    pub source: PathBuf,
    /// Where engines on the new store will have their journals, and where the seed's files are.
    pub directory: PathBuf,
    pub address: Address,
    pub schema: Schema,
    /// To find out whether it could be moved, and change nothing.
    pub dry_run: bool,
    pub pace: Pace,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// All is moved: both stores hold the same.
    Moved(Comparison),
    /// It was moved by an earlier run.
    WasMoved,
    /// Nothing stands in the way of moving this.
    CanBeMoved(Survey),
}

/// What a dry run has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survey {
    /// How many rows there are; units and cost are left out.
    pub sizes: Totals,
    /// Journals of processes that died, which will be recorded first.
    pub journals: u64,
    /// Events that an earlier run has copied already.
    pub copied: u64,
}

/// Runs on a thread of its own.
pub fn start(options: Options, mut watch: impl FnMut(Progress) + Send + 'static, reply: Reply<Report>) -> Result<()> {
    spawn("weighbridge-migration".to_owned(), move || {
        reply(guarded(|| {
            run(&options, &mut |progress| {
                watch(progress);
                Ok(())
            })
        }));
    })
    .map(drop)
}

/// Moves the store, or goes on where an earlier run ended.
///
/// Errors: `invalid_argument` where there is no store, `store_in_use` while processes use it, those of [`migration::run`], and those of the stores.
pub fn run(options: &Options, watch: Watch<'_>) -> Result<Report> {
    let journals = directory::of_database(&options.source);
    if !options.source.is_file() {
        // Opening it would make one.
        let path = options.source.display();
        return Err(Error::invalid(format!("there is no store at {path}; name the directory or the file of one")));
    }
    refuse_processes(&journals)?;
    if options.dry_run {
        return survey(options, &journals).map(Report::CanBeMoved);
    }
    replay_journals(&options.source, &journals)?;
    let mut target = Import::open(&options.address, &options.schema)?;
    let mut source = Export::open(&options.source)?;
    refuse_another_target(&source, Some(&target))?;
    // Whoever was opened in between is found out now; whoever comes later waits for the lock that we have.
    refuse_processes(&journals)?;
    if source.has_holders()? {
        return Err(in_use("a process has just used it"));
    }
    let home = home::name(&options.directory)?;
    let check = || refuse_traces(&journals);
    Ok(match migration::run(&mut source, &mut target, &home, options.pace, check, watch)? {
        Ended::Moved(comparison) => Report::Moved(*comparison),
        Ended::WasMoved => Report::WasMoved,
    })
}

fn survey(options: &Options, journals: &Path) -> Result<Survey> {
    let source = Export::look(&options.source)?;
    let id = source.known_id()?;
    let target = Import::look(&options.address, &options.schema)?;
    refuse_another_target(&source, target.as_ref())?;
    let position = match target {
        Some(target) => target.may_claim(id.as_deref())?,
        None => None,
    };
    let sizes = source.sizes()?;
    let copied = match position {
        Some(position) if position.stage == Stage::Done => sizes.events,
        Some(position) => position.events,
        None => 0,
    };
    Ok(Survey { sizes, journals: directory::holders(journals)?.len() as u64, copied })
}

fn replay_journals(source: &Path, journals: &Path) -> Result<()> {
    match SqliteStore::open(source, Durability::Power) {
        Ok(store) => match replay::run(&store, journals, None, &drop)?.unreadable.first() {
            Some(journal) => {
                let message = format!("{} cannot be read, and may hold events; see to it first", journal.display());
                Err(Error::new(Code::StoreUnavailable, message))
            }
            None => Ok(()),
        },
        // The last run ended just before its end, and nobody has used the store since.
        Err(error) if error.code == Code::StoreMoved => Ok(()),
        Err(error) => Err(error),
    }
}

fn refuse_another_target(source: &Export, target: Option<&Import>) -> Result<()> {
    let Some(mark) = source.mark()? else { return Ok(()) };
    if target.map(Import::mark).transpose()?.is_some_and(|target| target.store == mark.store) {
        return Ok(());
    }
    let message = format!("the store was moved to {} before; it cannot be moved twice", mark.place);
    Err(Error::new(Code::StoreMoved, message))
}

/// Whoever lives has locked his journal.
fn refuse_processes(journals: &Path) -> Result<()> {
    let alive = directory::alive(journals)?;
    if alive.is_empty() {
        return Ok(());
    }
    Err(in_use(&format!("{} of its journals in {} belong to processes that run", alive.len(), journals.display())))
}

/// At the end there must not even be a journal of somebody who died since.
fn refuse_traces(journals: &Path) -> Result<()> {
    if directory::holders(journals)?.is_empty() {
        return Ok(());
    }
    Err(in_use("a process has used it meanwhile"))
}

fn in_use(how: &str) -> Error {
    let message = format!("the store is in use: {how}; close all that use it, and call this again");
    Error::new(Code::StoreInUse, message)
}
