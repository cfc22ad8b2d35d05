//! A PostgreSQL server to test with.

use tokio_postgres::{NoTls, Row};
use weighbridge::store::PostgresStore;
use weighbridge::store::postgres::{Address, PostgresOptions, Schema};

use super::leases::holder;

/// Where the tests may make schemas. `npm run test:rust` starts a server and says so here.
pub fn url() -> String {
    std::env::var("WEIGHBRIDGE_TEST_POSTGRES_URL").expect(
        "WEIGHBRIDGE_TEST_POSTGRES_URL, the URL of a PostgreSQL database to test with; `npm run test:rust` starts one",
    )
}

/// A schema of its own, dropped at the end.
pub struct OwnSchema {
    url: String,
    pub name: String,
}

impl OwnSchema {
    /// It is not made yet.
    pub fn new() -> Self {
        Self { url: url(), name: format!("test_{}", uuid::Uuid::new_v4().simple()) }
    }

    pub fn address(&self) -> Address {
        // So that what its connections do can be told from what others do.
        let separator = if self.url.contains('?') { '&' } else { '?' };
        Address::parse(&format!("{}{separator}application_name={}", self.url, self.name)).expect("a URL")
    }

    pub fn schema(&self) -> Schema {
        Schema::new(&self.name).expect("a schema")
    }

    /// As a process opens it whose journals are in the place with this name.
    pub fn options(&self, home: &str) -> PostgresOptions {
        PostgresOptions {
            address: self.address(),
            schema: self.schema(),
            retention_months: None,
            writer: holder(&format!("{home}{}", uuid::Uuid::now_v7())),
            home: home.to_owned(),
        }
    }

    pub fn open(&self, home: &str) -> weighbridge::Result<PostgresStore> {
        PostgresStore::open(self.options(home))
    }

    /// How many of the stores' connections wait for a lock.
    pub fn waiting(&self) -> i64 {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name =";
        self.query(&format!("{sql} '{}'", self.name))[0].get(0)
    }

    /// While a statement has been run whose transaction goes on, such as one that locks something.
    pub fn during<T>(&self, sql: &str, body: impl FnOnce() -> T) -> T {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let client = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.expect("a connection");
            tokio::spawn(connection);
            let begin = format!("BEGIN; SET LOCAL search_path = {}; {sql}", self.name);
            client.batch_execute(&begin).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
            client
        });
        let value = body();
        runtime.block_on(client.batch_execute("ROLLBACK")).expect("the end of a transaction");
        value
    }

    /// Past all of Weighbridge. In one transaction and by no prepared statement, so that a pooler may stand between.
    pub fn query(&self, sql: &str) -> Vec<Row> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (mut client, connection) = tokio_postgres::connect(&self.url, NoTls).await.expect("a connection");
            tokio::spawn(connection);
            let transaction = client.transaction().await.expect("a transaction");
            transaction.batch_execute(&format!("SET LOCAL search_path = {}", self.name)).await.expect("a schema");
            let rows = transaction.query_typed(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
            transaction.commit().await.expect("a commit");
            rows
        })
    }
}

impl Drop for OwnSchema {
    fn drop(&mut self) {
        self.query(&format!("DROP SCHEMA IF EXISTS {} CASCADE", self.name));
    }
}
