//! SQLite: the contract of every store, and what only a file can suffer.

use std::path::PathBuf;

use tempfile::TempDir;
use weighbridge::store::{Durability, SqliteStore, Store};

use crate::conformance::Fixture;

mod disks;
mod files;
mod migration;
mod processes;
mod segments;

struct SqliteFixture {
    dir: TempDir,
}

impl SqliteFixture {
    fn path(&self) -> PathBuf {
        self.dir.path().join("weighbridge.db")
    }
}

impl Fixture for SqliteFixture {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    fn open(&self) -> Box<dyn Store> {
        Box::new(SqliteStore::open(&self.path(), Durability::Process).expect("a store"))
    }
}

store_conformance!(SqliteFixture);
