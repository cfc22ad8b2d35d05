//! Where journals are: `<database>.journals/<holder>/`, with a file `lock` that its owner has locked as long as he lives,
//! and segments `1.jsonl`, `2.jsonl`, ….

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use same_file::Handle;

use crate::domain::HolderId;
use crate::{Code, Error, Result};

const LOCK: &str = "lock";
const SEGMENT_EXTENSION: &str = "jsonl";
/// Not for ever: a path may lead nowhere.
const ATTEMPTS: usize = 100;

/// The directory of all journals of a database.
pub fn of_database(path: &Path) -> PathBuf {
    let mut journals = path.as_os_str().to_owned();
    journals.push(".journals");
    journals.into()
}

/// A holder's directory, and the lock that says that he is alive; or that he is dead and we are his heir.
pub struct Directory {
    pub path: PathBuf,
    pub holder: HolderId,
    _lock: File,
}

impl Directory {
    /// It is locked before it has its name, so nobody ever sees it without an owner.
    pub fn create(journals: &Path, holder: HolderId) -> Result<Self> {
        let path = journals.join(holder.as_str());
        let unnamed = journals.join(format!(".{}", holder.as_str()));
        let create = || {
            make(&unnamed)?;
            // It may be there from an attempt that failed.
            let lock = File::create(unnamed.join(LOCK))?;
            lock.lock()?;
            std::fs::rename(&unnamed, &path)?;
            // Its name has to survive a power cut, and that of the directory that it is in.
            sync(journals)?;
            journals.parent().map_or(Ok(()), sync)?;
            Ok(lock)
        };
        let lock = create().map_err(|error| failed(&path, &error))?;
        Ok(Self { path, holder, _lock: lock })
    }

    /// Becomes the heir of a holder, if he is dead and nobody else is that. `None`: he is alive, or has left nothing.
    pub fn inherit(journals: &Path, holder: HolderId) -> Result<Option<Self>> {
        let path = journals.join(holder.as_str());
        let file = path.join(LOCK);
        match lock(&file, OpenOptions::new().read(true)) {
            Ok(lock) => Ok(lock.map(|lock| Self { path, holder, _lock: lock })),
            // Another heir has finished.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&file, &error)),
        }
    }

    /// Makes it survive a power cut that segments are gone: one that came back would be counted again.
    pub fn sync(&self) -> Result<()> {
        sync(&self.path).map_err(|error| failed(&self.path, &error))
    }

    /// Removes what is left of it: the segments are gone already.
    pub fn remove(self) -> Result<()> {
        let remove = || {
            std::fs::remove_file(self.path.join(LOCK))?;
            std::fs::remove_dir(&self.path)
        };
        remove().map_err(|error| failed(&self.path, &error))
    }

    /// Its segments, the oldest first.
    pub fn segments(&self) -> Result<Vec<PathBuf>> {
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(|error| failed(&self.path, &error))? {
            let path = entry.map_err(|error| failed(&self.path, &error))?.path();
            let is_segment = path.extension().is_some_and(|extension| extension == SEGMENT_EXTENSION);
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
            numbers.extend(number.filter(|_| is_segment));
        }
        numbers.sort_unstable();
        Ok(numbers.into_iter().map(|number| segment(&self.path, number)).collect())
    }
}

/// Locks a file, unless somebody else has. Whoever has locked it may have removed it: then it is locked under its name no
/// more, and another one may be there already.
pub fn lock(path: &Path, options: &OpenOptions) -> io::Result<Option<File>> {
    loop {
        let file = options.open(path)?;
        match file.try_lock() {
            Ok(()) if leads_to(path, &file)? => return Ok(Some(file)),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

fn leads_to(path: &Path, file: &File) -> io::Result<bool> {
    match Handle::from_path(path) {
        Ok(found) => Ok(found == Handle::from_file(file.try_clone()?)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whoever closes last removes the directory of all journals, perhaps just when another one makes his own in it.
fn make(directory: &Path) -> io::Result<()> {
    let mut made = std::fs::create_dir_all(directory);
    for _ in 0..ATTEMPTS {
        if !made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            break;
        }
        made = std::fs::create_dir_all(directory);
    }
    made
}

/// Brings the names in a directory to the disk. Where a directory cannot be opened, as on Windows, the system does that.
fn sync(directory: &Path) -> io::Result<()> {
    match File::open(directory) {
        Ok(directory) => directory.sync_all(),
        Err(error) if cfg!(unix) => Err(error),
        Err(_) => Ok(()),
    }
}

pub fn segment(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number}.{SEGMENT_EXTENSION}"))
}

/// Who has a directory, alive or dead.
pub fn holders(journals: &Path) -> Result<Vec<HolderId>> {
    let entries = match std::fs::read_dir(journals) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(journals, &error)),
    };
    let mut holders = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| failed(journals, &error))?;
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let name = entry.file_name().to_str().map(str::to_owned).filter(|_| is_directory);
        holders.extend(name.and_then(|name| HolderId::new(name).ok()));
    }
    Ok(holders)
}

/// Who has a directory and holds its lock.
pub fn alive(journals: &Path) -> Result<Vec<HolderId>> {
    let mut alive = Vec::new();
    for holder in holders(journals)? {
        let path = journals.join(holder.as_str());
        let is_inherited = Directory::inherit(journals, holder.clone())?.is_some();
        if !is_inherited && path.join(LOCK).exists() {
            alive.push(holder);
        }
    }
    Ok(alive)
}

/// What a failure to write or read a journal means to a user.
pub fn failed(path: &Path, error: &io::Error) -> Error {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Error::new(Code::StoreFull, format!("the disk that holds {path} is full; make room, then try again"))
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Error::new(
            Code::StoreReadOnly,
            format!("{path} cannot be written; give this process the right to write it ({error})"),
        ),
        _ => Error::new(Code::StoreUnavailable, format!("the journal {path} cannot be used: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn whoever_has_locked_a_file_is_the_only_one_though_each_removes_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let (holders, rounds) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while rounds.load(Ordering::SeqCst) < 500 {
                        let Some(lock) = lock(&path, OpenOptions::new().write(true).create(true)).unwrap() else {
                            continue;
                        };
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        holders.fetch_sub(1, Ordering::SeqCst);
                        rounds.fetch_add(1, Ordering::SeqCst);
                        std::fs::remove_file(&path).unwrap();
                        drop(lock);
                    }
                });
            }
        });
    }
}
