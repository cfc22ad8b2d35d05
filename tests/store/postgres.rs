//! PostgreSQL: the contract of every store, and what only a server can suffer.

use std::sync::atomic::{AtomicU64, Ordering};

use weighbridge::store::postgres::{Address, PostgresOptions, Schema};
use weighbridge::store::{PostgresStore, Store};

use crate::conformance::Fixture;
use crate::support::leases::holder;

/// Where the tests may make schemas. `npm run test:rust` starts a server and says so here.
fn url() -> String {
    std::env::var("WEIGHBRIDGE_TEST_POSTGRES_URL").expect(
        "WEIGHBRIDGE_TEST_POSTGRES_URL, the URL of a PostgreSQL database to test with; `npm run test:rust` starts one",
    )
}

/// A schema of its own, dropped at the end.
struct PostgresFixture {
    url: String,
    schema: String,
    stores: AtomicU64,
}

impl PostgresFixture {
    fn options(&self) -> PostgresOptions {
        let number = self.stores.fetch_add(1, Ordering::Relaxed);
        PostgresOptions {
            address: Address::parse(&self.url).expect("a URL"),
            schema: Schema::new(&self.schema).expect("a schema"),
            retention_months: None,
            writer: holder(&format!("writer-{number}")),
            home: String::new(),
        }
    }
}

impl Fixture for PostgresFixture {
    fn new() -> Self {
        let schema = format!("test_{}", uuid::Uuid::new_v4().simple());
        Self { url: url(), schema, stores: AtomicU64::new(0) }
    }

    fn open(&self) -> Box<dyn Store> {
        Box::new(PostgresStore::open(self.options()).expect("a store"))
    }
}

impl Drop for PostgresFixture {
    fn drop(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (client, connection) =
                tokio_postgres::connect(&self.url, tokio_postgres::NoTls).await.expect("a connection");
            tokio::spawn(connection);
            client.batch_execute(&format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema)).await.expect("a schema");
        });
    }
}

store_conformance!(PostgresFixture);
