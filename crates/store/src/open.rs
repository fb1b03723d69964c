//! Connections: how many, and what each is told before its first statement.

use std::{path::Path, str::FromStr, time::Duration};

use sqlx::{
    AnyConnection, AnyPool, ConnectOptions,
    any::{AnyConnectOptions, AnyPoolOptions},
    sqlite::SqliteConnectOptions,
};

use crate::{dialect::Dialect, error::StoreError};

/// Readers beside SQLite's one writer.
const SQLITE_READERS: u32 = 4;
/// Connections to PostgreSQL, for both.
const POSTGRES_CONNECTIONS: u32 = 16;
/// How long a request waits for a connection before it is answered 503.
const ACQUIRE: Duration = Duration::from_secs(10);
/// Older ones can lose a write that they acknowledged (a WAL reset race, fixed in 3.51.3).
const OLDEST_SQLITE: [u32; 3] = [3, 51, 3];

/// `synchronous = FULL`: what was answered survives a power cut.
const SQLITE_WRITER: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;";
const SQLITE_READER: &str = "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON; PRAGMA trusted_schema = OFF;
    PRAGMA temp_store = MEMORY;";
/// For the keyring's load alone: it goes through the whole file once, and mapped pages need no copying.
/// They count as the process's memory for as long as the connection lives.
const SQLITE_LOADER: &str = "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON; PRAGMA trusted_schema = OFF;
    PRAGMA mmap_size = 1073741824;";
/// A lock that is held longer than this is somebody else's fault, and answered 503; so is a statement
/// that never ends. The load of the keyring goes by parts, each far below that.
const POSTGRES_SESSION: &str = "SET lock_timeout = '5s'; SET statement_timeout = '10s'";

pub(crate) struct Pools {
    pub(crate) writer: AnyPool,
    pub(crate) reader: AnyPool,
    /// For the lease alone, so that a busy server does not seem dead.
    pub(crate) lease: AnyPool,
    /// How to make connections for the keyring's load, where they differ.
    loader: Option<AnyConnectOptions>,
}

impl Pools {
    /// Connections for the load: two for parts, one to look where the next begins. To be closed after it.
    pub(crate) fn loader(&self) -> AnyPool {
        match &self.loader {
            Some(options) => pool_options(3, SQLITE_LOADER).connect_lazy_with(options.clone()),
            None => self.reader.clone(),
        }
    }

    /// Closes what [`Pools::loader`] gave.
    pub(crate) async fn close_loader(&self, loader: AnyPool) {
        if self.loader.is_some() {
            loader.close().await;
        }
    }
}

pub(crate) async fn connect(url: &str, dialect: Dialect) -> Result<Pools, StoreError> {
    sqlx::any::install_default_drivers();
    let options =
        AnyConnectOptions::from_str(url).map_err(|error| StoreError::from_statement("database url", &error))?;
    let options = options.disable_statement_logging();
    match dialect {
        Dialect::Sqlite => {
            create_file(url)?;
            let writer = pool(1, SQLITE_WRITER, options.clone()).await?;
            check_sqlite(&writer).await?;
            let reader = pool(SQLITE_READERS, SQLITE_READER, options.clone()).await?;
            Ok(Pools { lease: writer.clone(), writer, reader, loader: Some(options) })
        }
        Dialect::Postgres => {
            let lease = pool_options(1, POSTGRES_SESSION).connect_lazy_with(options.clone());
            let both = pool(POSTGRES_CONNECTIONS, POSTGRES_SESSION, options).await?;
            Ok(Pools { lease, writer: both.clone(), reader: both, loader: None })
        }
    }
}

fn pool_options(size: u32, setup: &'static str) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(ACQUIRE)
        .after_connect(move |connection, _| Box::pin(prepare(connection, setup)))
}

async fn pool(size: u32, setup: &'static str, options: AnyConnectOptions) -> Result<AnyPool, StoreError> {
    let connected = pool_options(size, setup).connect_with(options).await;
    connected.map_err(|error| StoreError::from_statement("connect", &error))
}

async fn prepare(connection: &mut AnyConnection, setup: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(setup).execute(connection).await.map(|_| ())
}

/// Makes the file before SQLite does, so that nobody else may read it; its companions inherit that.
fn create_file(url: &str) -> Result<(), StoreError> {
    let options =
        SqliteConnectOptions::from_str(url).map_err(|error| StoreError::from_statement("database url", &error))?;
    let path: &Path = options.get_filename();
    let mut open = std::fs::OpenOptions::new();
    open.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
    match open.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::unavailable(format!("{}: {error}", path.display()))),
    }
}

async fn check_sqlite(pool: &AnyPool) -> Result<(), StoreError> {
    let version: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(pool)
        .await
        .map_err(|error| StoreError::from_statement("sqlite_version", &error))?;
    if is_supported(&version) {
        return Ok(());
    }
    Err(StoreError::Unsupported(format!(
        "this binary is linked with SQLite {version}; 3.51.3 or later is needed, older ones can lose acknowledged writes"
    )))
}

fn is_supported(version: &str) -> bool {
    let parts: Vec<u32> = version.split('.').map_while(|part| part.parse().ok()).collect();
    parts.len() >= 3 && parts.as_slice() >= OLDEST_SQLITE.as_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_before_3_51_3_is_refused() {
        for good in ["3.51.3", "3.54.1", "3.100.0", "4.0.0"] {
            assert!(is_supported(good), "{good}");
        }
        for bad in ["3.51.2", "3.9.99", "2.100.100", "3.51", "", "unknown"] {
            assert!(!is_supported(bad), "{bad}");
        }
    }
}
