//! The journal: what is admitted is written here before anybody is told so.
//!
//! One thread takes whatever waits, writes it as one group, hands it to the recorder and answers. What is written
//! survives the death of the process: [`super::replay`] brings it into the store. A segment is deleted when all that it
//! holds is in the store and safe there.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, bounded, never, select};

use super::mailbox::Mailbox;
use super::recorder::{Journaled, Recorder, contained, spawn};
use super::{Reply, Shared};
use crate::domain::{HolderId, Timestamp, UsageEvent};
use crate::store::{Durability, LeasePart, Record};
use crate::{Code, Error, Result};

pub mod directory;
pub mod line;

use self::directory::{failed, segment};

/// A segment of more bytes than these is closed.
const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;
/// The most entries of one write.
const MAX_GROUP: usize = 4_096;

/// An admitted event.
pub struct Entry {
    pub event: UsageEvent,
    pub paid: Vec<LeasePart>,
    /// Of the billing period that its units were taken from.
    pub period_start: Timestamp,
    pub now: Timestamp,
    /// Answered when it is written.
    pub reply: Reply<()>,
}

enum Job {
    Append(Vec<Entry>),
    /// Answered when all before is written and handed to the recorder.
    Drain(Box<dyn FnOnce() + Send>),
    /// Nothing will come any more that could be written.
    End,
}

impl Job {
    fn refuse(self, why: &Error) {
        match self {
            Job::Append(entries) => entries.into_iter().for_each(|entry| (entry.reply)(Err(why.clone()))),
            Job::Drain(then) => then(),
            Job::End => {}
        }
    }

    fn refuse_closed(self) {
        self.refuse(&super::recorder::closed());
    }
}

pub struct Journal {
    mailbox: Mailbox<Job>,
    /// Not handed to the thread yet.
    staged: Mutex<Vec<Entry>>,
    files: Arc<Files>,
}

/// The segments of this journal, as far as other threads have to know of them.
#[derive(Default)]
pub struct Files(Mutex<Segments>);

#[derive(Default)]
struct Segments {
    /// Where it is, once the store is open.
    directory: Option<PathBuf>,
    /// The one that is written to, if something is in it.
    current: Option<Segment>,
    closed: Vec<Segment>,
    last_number: u64,
    /// Nothing is written any more.
    has_ended: bool,
}

struct Segment {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// Of its last entry.
    last_sequence: u64,
    is_synced: bool,
}

impl Journal {
    /// It writes once the directory has come. As long as none comes, everything is answered with the error that comes in its
    /// place.
    pub fn start(
        holder: HolderId,
        durability: Durability,
        shared: Arc<Shared>,
        recorder: Recorder,
        directory: Receiver<Result<PathBuf>>,
    ) -> Result<Self> {
        let mailbox = Mailbox::new();
        let files = Arc::new(Files::default());
        let mut writer = Writer {
            mailbox: mailbox.clone(),
            holder,
            durability,
            shared,
            recorder,
            files: Arc::clone(&files),
            sequence: 0,
            lines: String::new(),
        };
        spawn("weighbridge-journal".to_owned(), move || {
            writer.run(directory);
            writer.mailbox.end().for_each(Job::refuse_closed);
        })?;
        Ok(Self { mailbox, staged: Mutex::default(), files })
    }

    /// It is written after the next [`Journal::hand_over`]: waking the thread for each entry would cost more than all else.
    pub fn stage(&self, entry: Entry) {
        self.staged().push(entry);
    }

    /// Lets the thread write what is staged.
    pub fn hand_over(&self) {
        let entries = std::mem::take(&mut *self.staged());
        if !entries.is_empty() {
            self.mailbox.send(Job::Append(entries)).for_each(Job::refuse_closed);
        }
    }

    fn staged(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls back when everything before is written and handed to the recorder.
    pub fn drain(&self, then: Box<dyn FnOnce() + Send>) {
        self.hand_over();
        self.mailbox.send(Job::Drain(then)).for_each(Job::refuse_closed);
    }

    /// Ends the thread, which writes nothing more.
    pub fn end(&self) -> impl FnOnce() + Send + 'static {
        let mailbox = self.mailbox.clone();
        move || mailbox.send(Job::End).for_each(Job::refuse_closed)
    }

    /// Waits until all before is written and handed to the recorder.
    pub fn drainer(&self) -> Arc<dyn Fn() + Send + Sync> {
        let mailbox = self.mailbox.clone();
        Arc::new(move || {
            let (sender, drained) = bounded(1);
            let told = Box::new(move || {
                // Whoever waits has not gone away.
                let _ = sender.send(());
            });
            mailbox.send(Job::Drain(told)).for_each(Job::refuse_closed);
            // Cannot fail: whoever finds the job answers it.
            let _ = drained.recv();
        })
    }

    /// Its segments, for the thread that syncs and deletes them.
    pub fn files(&self) -> Arc<Files> {
        Arc::clone(&self.files)
    }
}

struct Writer {
    mailbox: Mailbox<Job>,
    holder: HolderId,
    durability: Durability,
    shared: Arc<Shared>,
    recorder: Recorder,
    files: Arc<Files>,
    sequence: u64,
    lines: String,
}

impl Writer {
    /// Until the store is open everything waits, and after an attempt that failed it is refused.
    fn run(&mut self, mut directory: Receiver<Result<PathBuf>>) {
        let mut missing: Option<Error> = None;
        let directory = loop {
            let jobs = if missing.is_some() { self.mailbox.jobs().clone() } else { never() };
            select! {
                recv(directory) -> opened => match opened {
                    Ok(Ok(path)) => break path,
                    Ok(Err(error)) => missing = Some(error),
                    Err(_) => {
                        missing.get_or_insert_with(super::recorder::closed);
                        directory = never();
                    }
                },
                recv(jobs) -> job => match (job, &missing) {
                    (Ok(Job::End) | Err(_), _) | (_, None) => return,
                    (Ok(job), Some(error)) => job.refuse(error),
                },
            }
        };
        self.files.lock().directory = Some(directory);
        while let Ok(job) = self.mailbox.jobs().recv()
            && self.write_group(job)
        {}
    }

    /// Writes what waits, up to the next drain or to the end. Answers whether there will be more.
    fn write_group(&mut self, first: Job) -> bool {
        let mut group = Vec::new();
        let mut drain = None;
        let mut has_ended = false;
        let mut next = Some(first);
        while let Some(job) = next.take() {
            match job {
                Job::Append(entries) => group.extend(entries),
                Job::Drain(then) => {
                    drain = Some(then);
                    break;
                }
                Job::End => {
                    has_ended = true;
                    break;
                }
            }
            if group.len() < MAX_GROUP {
                next = self.mailbox.jobs().try_recv().ok();
            }
        }
        if !group.is_empty() {
            self.write(group);
        }
        if let Some(then) = drain {
            then();
        }
        !has_ended
    }

    fn write(&mut self, group: Vec<Entry>) {
        let first = self.sequence + 1;
        let mut replies = Vec::with_capacity(group.len());
        let mut records = Vec::with_capacity(group.len());
        for (sequence, Entry { event, paid, period_start, now, reply }) in (first..).zip(group) {
            let record = Record { holder: self.holder.clone(), sequence, event, paid, now };
            records.push(Journaled { record, period_start });
            replies.push(reply);
        }
        self.lines.clear();
        let formatted = records.iter().try_for_each(|entry| line::write(&entry.record, &mut self.lines));
        let last = first + records.len() as u64 - 1;
        // A number that was tried is not used again, whatever became of it.
        self.sequence = last;
        let written = formatted.and_then(|()| self.files.lock().append(&self.lines, last, self.durability));
        match written {
            Ok(()) => {
                self.recorder.journaled(records);
                replies.into_iter().for_each(|reply| contained(|| reply(Ok(()))));
                self.shared.health.journal_works();
            }
            Err(error) => {
                self.shared.not_journaled(&records);
                self.shared.health.failed(&error);
                replies.into_iter().for_each(|reply| contained(|| reply(Err(error.clone()))));
            }
        }
    }
}

impl Files {
    fn lock(&self) -> MutexGuard<'_, Segments> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings what is written to the disk. Appending goes on meanwhile.
    pub fn sync(&self) -> Result<()> {
        let mut unsynced = Vec::new();
        {
            let mut segments = self.lock();
            let Segments { current, closed, .. } = &mut *segments;
            for segment in closed.iter_mut().chain(current).filter(|segment| !segment.is_synced) {
                let file = segment.file.try_clone().map_err(|error| failed(&segment.path, &error))?;
                segment.is_synced = true;
                unsynced.push((segment.path.clone(), file));
            }
        }
        for (path, file) in unsynced {
            if let Err(error) = file.sync_data() {
                let mut segments = self.lock();
                let Segments { current, closed, .. } = &mut *segments;
                closed.iter_mut().chain(current).for_each(|segment| segment.is_synced = false);
                return Err(failed(&path, &error));
            }
        }
        Ok(())
    }

    /// Refuses everything from now on.
    pub fn close(&self) {
        self.lock().has_ended = true;
    }

    /// Whether some closed segment is recorded to its end.
    pub fn has_recorded(&self, position: u64) -> bool {
        self.lock().closed.iter().any(|segment| segment.last_sequence <= position)
    }

    /// Deletes the segments that are recorded to their ends, which must be safe in the store.
    pub fn delete_recorded(&self, position: u64) -> Result<()> {
        let mut segments = self.lock();
        while let Some(index) = segments.closed.iter().position(|segment| segment.last_sequence <= position) {
            remove(&segments.closed[index])?;
            segments.closed.remove(index);
        }
        Ok(())
    }

    /// The same at the end, when nothing is written any more. Answers whether nothing is left.
    pub fn delete_all(&self, position: u64) -> Result<bool> {
        let mut segments = self.lock();
        let current = segments.current.take();
        segments.closed.extend(current);
        drop(segments);
        self.delete_recorded(position)?;
        Ok(self.lock().closed.is_empty())
    }
}

fn remove(segment: &Segment) -> Result<()> {
    match std::fs::remove_file(&segment.path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(&segment.path, &error)),
        _ => Ok(()),
    }
}

impl Segments {
    /// Writes lines whole or not at all.
    fn append(&mut self, lines: &str, last_sequence: u64, durability: Durability) -> Result<()> {
        if self.has_ended {
            return Err(super::recorder::closed());
        }
        if self.current.as_ref().is_none_or(|segment| segment.bytes >= SEGMENT_BYTES) {
            self.rotate()?;
        }
        let no_directory = || Error::new(Code::Internal, "the journal has no directory");
        let segment = self.current.as_mut().ok_or_else(no_directory)?;
        let mut written = segment.file.write_all(lines.as_bytes());
        if durability == Durability::Power {
            written = written.and_then(|()| segment.file.sync_data());
        }
        if let Err(error) = written {
            // What was written of them must not be read one day: nobody was told that it is there.
            let undone = segment
                .file
                .set_len(segment.bytes)
                .and_then(|()| segment.file.seek(SeekFrom::Start(segment.bytes)).map(|_| ()));
            let failure = failed(&segment.path, &error);
            if undone.is_err()
                && let Some(segment) = self.current.take()
            {
                self.closed.push(segment);
            }
            return Err(failure);
        }
        segment.bytes += lines.len() as u64;
        segment.last_sequence = last_sequence;
        segment.is_synced = durability == Durability::Power;
        Ok(())
    }

    fn rotate(&mut self) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        // A number that was tried is not used again: a file may have been made.
        self.last_number += 1;
        let path = segment(directory, self.last_number);
        // The name has to survive a power cut too.
        let create = || {
            let file = File::create_new(&path)?;
            File::open(directory)?.sync_all()?;
            Ok(file)
        };
        let file = create().map_err(|error| failed(&path, &error))?;
        let new = Segment { path, file, bytes: 0, last_sequence: 0, is_synced: true };
        self.closed.extend(self.current.replace(new));
        Ok(())
    }
}
