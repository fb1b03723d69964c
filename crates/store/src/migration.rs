use std::time::Duration;

use ambient::Clock;
use sqlx::{Any, AnyPool, Row as _, Transaction};

use crate::{
    catalogue::installation::{INSERT_SCHEMA_VERSION, SCHEMA_VERSION},
    dialect::Dialect,
    error::StoreError,
    schema::{MIGRATIONS, Migration},
};

/// Where the versions are kept. Made on its own, before anything else.
const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL) STRICT";

/// How often a start is tried that loses against another node's.
const TRIES: u32 = 10;

/// Brings the database to the newest schema. Nodes that start together do not need a lock that only
/// one of the databases has: each step first inserts its number, and whoever comes second waits for
/// that row, fails on it, and looks again.
pub(crate) async fn migrate(pool: &AnyPool, dialect: Dialect, clock: &dyn Clock) -> Result<(), StoreError> {
    let mut tried = 0;
    loop {
        match try_migrate(pool, dialect, clock).await {
            Err(StoreError::Conflict(_) | StoreError::Unavailable(_)) if tried < TRIES => {
                tried += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            done => return done,
        }
    }
}

async fn try_migrate(pool: &AnyPool, dialect: Dialect, clock: &dyn Clock) -> Result<(), StoreError> {
    let known = MIGRATIONS.last().map_or(0, |last| last.version);
    let found = match version(pool).await {
        Ok(found) => found,
        Err(_) => {
            let mut tx = begin(pool, dialect).await?;
            run(&mut tx, dialect, "create_schema_migrations", VERSIONS).await?;
            commit(tx).await?;
            version(pool).await?
        }
    };
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        apply(pool, dialect, migration, clock).await?;
    }
    Ok(())
}

async fn version(pool: &AnyPool) -> Result<u32, StoreError> {
    let row = SCHEMA_VERSION.bound().query.fetch_one(pool).await;
    let row = row.map_err(|error| StoreError::from_statement(SCHEMA_VERSION.name, &error))?;
    let version: i64 =
        row.try_get("version").map_err(|error| StoreError::from_statement(SCHEMA_VERSION.name, &error))?;
    u32::try_from(version).map_err(|_| StoreError::Corrupt("schema_migrations: version".to_owned()))
}

async fn apply(pool: &AnyPool, dialect: Dialect, migration: &Migration, clock: &dyn Clock) -> Result<(), StoreError> {
    let mut tx = begin(pool, dialect).await?;
    let bound =
        INSERT_SCHEMA_VERSION.bound().count(i64::from(migration.version)).text(migration.name).time(clock.now());
    let inserted = bound.query.execute(&mut *tx).await;
    inserted.map_err(|error| StoreError::from_statement(INSERT_SCHEMA_VERSION.name, &error))?;
    for sql in migration.statements {
        run(&mut tx, dialect, migration.name, sql).await?;
    }
    commit(tx).await
}

async fn begin(pool: &AnyPool, dialect: Dialect) -> Result<Transaction<'static, Any>, StoreError> {
    pool.begin_with(dialect.begin()).await.map_err(|error| StoreError::from_statement("begin", &error))
}

async fn commit(tx: Transaction<'static, Any>) -> Result<(), StoreError> {
    tx.commit().await.map_err(|error| StoreError::from_statement("commit", &error))
}

async fn run(
    tx: &mut Transaction<'static, Any>,
    dialect: Dialect,
    name: &'static str,
    sql: &str,
) -> Result<(), StoreError> {
    let sql = sqlx::AssertSqlSafe(dialect.translate(sql));
    let done = sqlx::raw_sql(sql).execute(&mut **tx).await;
    done.map(|_| ()).map_err(|error| StoreError::from_statement(name, &error))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ambient::{ManualClock, Millis};
    use sqlx::any::AnyPoolOptions;

    use super::*;
    use crate::workspace::month_of;

    #[test]
    fn versions_count_up_from_one_without_gaps() {
        let versions: Vec<u32> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        assert_eq!(versions, (1..).take(versions.len()).collect::<Vec<u32>>());
    }

    #[test]
    fn columns_are_text_bigint_or_blob_and_every_table_is_strict() {
        for sql in MIGRATIONS.iter().flat_map(|migration| migration.statements) {
            let words = ["INTEGER", "BOOLEAN", "TIMESTAMP", "JSON", "REAL", "VARCHAR", "SERIAL", "NUMERIC", "UUID"];
            assert!(words.iter().all(|word| !sql.contains(word)), "{sql}");
            assert!(!sql.starts_with("CREATE TABLE") || sql.ends_with(") STRICT"), "{sql}");
            for line in sql.lines().filter(|line| line.contains("id TEXT") || line.contains("environment TEXT")) {
                let own_text = ["pepper_id", "actor_id", "target_id", "request_id"];
                assert!(line.contains("COLLATE \"C\"") || own_text.iter().any(|name| line.contains(name)), "{line}");
            }
        }
    }

    /// A database as it was before a version, with these rows, and then as it is.
    async fn upgraded(pool: &AnyPool, dialect: Dialect, version: u32, rows: &[String]) {
        let mut tx = begin(pool, dialect).await.unwrap();
        run(&mut tx, dialect, "versions", VERSIONS).await.unwrap();
        commit(tx).await.unwrap();
        let clock = ManualClock::new(Millis(0));
        for migration in MIGRATIONS {
            if migration.version == version {
                let mut tx = begin(pool, dialect).await.unwrap();
                for row in rows {
                    run(&mut tx, dialect, "rows", row).await.unwrap();
                }
                commit(tx).await.unwrap();
            }
            apply(pool, dialect, migration, &clock).await.unwrap();
        }
    }

    async fn sums(pool: &AnyPool, sql: &'static str) -> Vec<(String, i64, i64)> {
        let rows = sqlx::query(sql).fetch_all(pool).await.unwrap();
        rows.iter().map(|row| (row.get("of"), row.get("requests"), row.get("refused"))).collect()
    }

    async fn usage_is_summed_up(pool: &AnyPool, dialect: Dialect) {
        // 2000-01-31 to 2000-03-01 and the turn of a year, by two keys.
        let days = [10_987, 10_988, 11_016, 11_017, 20_453, 20_454];
        let mut rows = vec!["INSERT INTO workspaces (id, name, created_at) VALUES ('wsp', '', 0)".to_owned()];
        let mut months = BTreeMap::new();
        for day in days {
            for (key, requests) in [("a", day), ("b", 3)] {
                rows.push(format!("INSERT INTO key_usage VALUES ('wsp', 'live', '{key}', {day}, {requests}, 1)"));
                let (sum, refused) = months.entry((key, month_of(day))).or_insert((0, 0));
                *sum += requests;
                *refused += 1;
            }
        }
        upgraded(pool, dialect, 7, &rows).await;
        let expected: Vec<_> =
            months.iter().map(|((key, month), (sum, refused))| (format!("{key} {month}"), *sum, *refused)).collect();
        assert_eq!(expected.len(), 10);
        let found = "SELECT key_id || ' ' || CAST(month AS TEXT) AS of, requests, refused FROM key_usage_months
            WHERE workspace_id = 'wsp' AND environment = 'live' ORDER BY key_id, month";
        assert_eq!(sums(pool, found).await, expected);
        let found = "SELECT CAST(day AS TEXT) AS of, requests, refused FROM usage_days
            WHERE workspace_id = 'wsp' AND environment = 'live' ORDER BY day";
        assert_eq!(sums(pool, found).await, days.map(|day| (day.to_string(), day + 3, 2)));
    }

    #[tokio::test]
    async fn what_was_used_before_there_were_sums_is_in_them() {
        sqlx::any::install_default_drivers();
        let open = async |url: &str| AnyPoolOptions::new().max_connections(1).connect(url).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let pool = open(&format!("sqlite://{}/chatelaine.db?mode=rwc", directory.path().display())).await;
        usage_is_summed_up(&pool, Dialect::Sqlite).await;
        pool.close().await;
        #[expect(clippy::disallowed_methods, reason = "where the databases of tests are is no configuration")]
        let url = std::env::var("CHATELAINE_TEST_POSTGRES_URL").expect("run scripts/test");
        let pool = open(&url).await;
        let schema = format!("migration_{}", std::process::id());
        for sql in [format!("CREATE SCHEMA {schema}"), format!("SET search_path TO {schema}")] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
        }
        usage_is_summed_up(&pool, Dialect::Postgres).await;
        let drop = format!("DROP SCHEMA {schema} CASCADE");
        sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&pool).await.unwrap();
        pool.close().await;
    }
}
