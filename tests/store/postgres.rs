//! PostgreSQL: the contract of every store, and what only a server can suffer.

use weighbridge::store::Store;

use crate::conformance::Fixture;
use crate::support::postgres::OwnSchema;

impl Fixture for OwnSchema {
    fn new() -> Self {
        OwnSchema::new()
    }

    fn open(&self) -> Box<dyn Store> {
        Box::new(OwnSchema::open(self, "").expect("a store"))
    }
}

store_conformance!(OwnSchema);
