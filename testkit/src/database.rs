//! Databases that are gone when the test is over.
#![expect(clippy::expect_used, clippy::panic, reason = "a test without its database is over")]

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use ambient::{OsRandom, Random};
use futures_util::TryStreamExt;
use sqlx::{AnyConnection, Connection, Executor, PgConnection, Row};
use tempfile::TempDir;

/// Where a test's server keeps its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A file in a directory of its own.
    Sqlite,
    /// A schema of its own in the server that `CHATELAINE_TEST_POSTGRES_URL` names.
    Postgres,
}

/// A data directory, and with PostgreSQL a schema; both are removed at the end.
#[derive(Debug)]
pub struct TestDatabase {
    directory: TempDir,
    schema: Option<Schema>,
    secret: String,
}

#[derive(Debug)]
struct Schema {
    server: String,
    name: String,
}

impl TestDatabase {
    /// An empty one.
    ///
    /// # Panics
    /// Without PostgreSQL where it is asked for, and where no temporary directory can be made.
    pub async fn new(backend: Backend) -> Self {
        let schema = match backend {
            Backend::Sqlite => None,
            Backend::Postgres => Some(Schema::create().await),
        };
        let directory = tempfile::Builder::new().prefix("chatelaine-test-").tempdir().expect("a temporary directory");
        Self { directory, schema, secret: random_hex(32) }
    }

    /// The server's data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A file that the test itself may write.
    #[must_use]
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The database's address; `None` is SQLite in [`TestDatabase::data`].
    #[must_use]
    pub fn url(&self) -> Option<String> {
        let Schema { server, name } = self.schema.as_ref()?;
        let joint = if server.contains('?') { '&' } else { '?' };
        Some(format!("{server}{joint}options=-csearch_path%3D{name}"))
    }

    /// The installation's secret, where the server does not make one itself.
    #[must_use]
    pub fn secret(&self) -> Option<&str> {
        self.schema.as_ref().map(|_| self.secret.as_str())
    }

    /// Runs a statement past the server; how many rows it changed.
    ///
    /// # Panics
    /// When it fails.
    pub async fn execute(&self, statement: &str) -> u64 {
        let mut connection = self.connect().await;
        let done = connection.execute(sqlx::AssertSqlSafe(statement.to_owned())).await.expect("a statement");
        connection.close().await.expect("the end of a connection");
        done.rows_affected()
    }

    /// The first column, a text, of every row of a query past the server.
    ///
    /// # Panics
    /// When it fails.
    pub async fn texts(&self, query: &str) -> Vec<String> {
        let mut connection = self.connect().await;
        let rows = connection.fetch_all(sqlx::AssertSqlSafe(query.to_owned())).await.expect("a query");
        connection.close().await.expect("the end of a connection");
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn connect(&self) -> AnyConnection {
        sqlx::any::install_default_drivers();
        let url = self.url().unwrap_or_else(|| format!("sqlite://{}/chatelaine.db", self.data().display()));
        AnyConnection::connect(&url).await.expect("the database answers")
    }

    /// Every byte that is stored: the files of SQLite with its log, or all tables as text. The file
    /// with the installation's secret is left out.
    ///
    /// # Panics
    /// When something cannot be read.
    pub async fn bytes(&self) -> Vec<u8> {
        match &self.schema {
            None => files(&self.data()),
            Some(schema) => schema.dump().await,
        }
    }
}

fn files(directory: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(directory).expect("the data directory").flatten() {
        let name = entry.file_name();
        if entry.path().is_file() && name != "secret" && name != "lock" {
            bytes.extend(std::fs::read(entry.path()).expect("a file of the database"));
        }
    }
    bytes
}

impl Schema {
    async fn create() -> Self {
        let schema = Self { server: server_url(), name: format!("e2e_{}", random_hex(8)) };
        schema.run(&format!("CREATE SCHEMA {}", schema.name)).await.expect("PostgreSQL answers");
        schema
    }

    async fn run(&self, statement: &str) -> Result<(), sqlx::Error> {
        let mut connection = PgConnection::connect(&self.server).await?;
        connection.execute(sqlx::AssertSqlSafe(statement.to_owned())).await?;
        connection.close().await
    }

    async fn dump(&self) -> Vec<u8> {
        let mut connection = PgConnection::connect(&self.server).await.expect("PostgreSQL answers");
        let rows = connection.fetch_all("TABLE pg_catalog.pg_tables").await.expect("the list of tables");
        let mut bytes = Vec::new();
        for row in rows {
            let (schema, table): (String, String) = (row.get("schemaname"), row.get("tablename"));
            if schema == self.name {
                let copy = format!("COPY {schema}.{table} TO STDOUT");
                let mut parts = connection.copy_out_raw(&copy).await.expect("a table");
                while let Some(part) = parts.try_next().await.expect("a table's rows") {
                    bytes.extend_from_slice(&part);
                }
            }
        }
        bytes
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let (server, statement) = (self.server.clone(), format!("DROP SCHEMA IF EXISTS {} CASCADE", self.name));
        // The test's own runtime may be ending: this has one of its own.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            let work = async {
                let mut connection = PgConnection::connect(&server).await?;
                connection.execute("SET lock_timeout = '3s'").await?;
                connection.execute(sqlx::AssertSqlSafe(statement)).await?;
                connection.close().await
            };
            // A schema that stays is a nuisance, and no reason to fail.
            let _ = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), work).await });
        });
        let _ = dropping.join();
    }
}

/// The test server of PostgreSQL.
///
/// # Panics
/// When the environment names none.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the test rig's own variable, not a setting")]
pub fn server_url() -> String {
    std::env::var("CHATELAINE_TEST_POSTGRES_URL")
        .unwrap_or_else(|_| panic!("run scripts/test, or set CHATELAINE_TEST_POSTGRES_URL"))
}

fn random_hex(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    OsRandom.fill(&mut buffer).expect("randomness");
    buffer.iter().map(|byte| format!("{byte:02x}")).collect()
}
