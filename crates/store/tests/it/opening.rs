use std::{os::unix::fs::PermissionsExt, sync::Arc};

use ambient::{ManualClock, SeededRandom};
use sqlx::{Connection, Row};
use store::{Store, StoreError};

use crate::databases::{START, World, by, connect, new_key, on_each, run};

async fn open(url: &str) -> Result<Store, StoreError> {
    Store::open(url, Arc::new(ManualClock::new(START)), Arc::new(SeededRandom::new(2))).await
}

#[tokio::test]
async fn a_database_opens_twice_and_keeps_what_it_had() {
    on_each(async |world| {
        world.store.set_meta("secret_id", "abc").await.unwrap();
        let again = open(&world.url).await.unwrap();
        assert_eq!(again.meta("secret_id").await.unwrap().as_deref(), Some("abc"));
        again.ping().await.unwrap();
        again.close().await;
        assert!(again.ping().await.is_err(), "closed is closed");
    })
    .await;
}

#[tokio::test]
async fn two_processes_write_side_by_side() {
    on_each(async |world| {
        let other = open(&world.url).await.unwrap();
        let (live, _) = world.tenant("ours").await;
        let theirs = other.workspace(live.tenant());
        let id = live.create_key(new_key(1), by("create")).await.unwrap().id;
        for _ in 0..20 {
            let change = store::KeyChange::default;
            let (a, b) = tokio::join!(live.update_key(id, change(), by("a")), theirs.update_key(id, change(), by("b")));
            assert!(a.is_ok() && b.is_ok(), "{a:?} {b:?}");
        }
        assert_eq!(live.key(id).await.unwrap().version, 41);
        other.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_database_of_a_newer_binary_is_refused_with_a_sentence() {
    on_each(async |world| {
        run(&world.url, "INSERT INTO schema_migrations (version, name, applied_at) VALUES (1000, 'later', 0)").await;
        let error = open(&world.url).await.unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 1000, .. }), "{error:?}");
        assert!(error.to_string().contains("newer binary"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn nodes_that_start_together_migrate_once() {
    on_each(async |world| {
        let mut connection = connect(&world.url).await;
        let tables = [
            "leaks",
            "contact_import_errors",
            "contact_import_parts",
            "contact_imports",
            "contact_tags",
            "contacts",
            "execution_steps",
            "executions",
            "agent_loops",
            "channel_deliveries",
            "channels",
            "webhook_attempts",
            "webhook_deliveries",
            "webhook_events",
            "webhooks",
            "outcomes",
            "usage_days",
            "key_usage_months",
            "key_usage_hours",
            "member_recovery_codes",
            "key_notices",
            "key_usage",
            "invitations",
            "member_sessions",
            "connections",
            "trigger_deliveries",
            "triggers",
            "run_participants",
            "run_effects",
            "run_events",
            "runs",
            "deployments",
            "workflow_versions",
            "workflows",
            "credit_entries",
            "credit_holds",
            "credit_accounts",
            "audit_log",
            "messages",
            "conversations",
            "integrations",
            "bots",
            "api_key_secrets",
            "api_keys",
        ];
        let more =
            ["service_accounts", "members", "workspaces", "meta", "idempotency", "node_lease", "schema_migrations"];
        for table in tables.iter().chain(&more) {
            let drop = format!("DROP TABLE {table}");
            sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
        let (a, b, c) = tokio::join!(open(&world.url), open(&world.url), open(&world.url));
        for store in [a, b, c] {
            let store = store.unwrap();
            assert_eq!(store.workspace_count().await.unwrap(), 0);
            store.close().await;
        }
    })
    .await;
}

#[tokio::test]
async fn only_the_two_databases_are_known() {
    for url in ["mysql://localhost/x", "sqlite::memory:", "chatelaine.db", ""] {
        let error = open(url).await.unwrap_err();
        assert!(matches!(&error, StoreError::Unsupported(text) if text.contains("sqlite://")), "{url}: {error:?}");
    }
    let missing = open("sqlite:///nowhere/at/all/chatelaine.db").await.unwrap_err();
    assert!(matches!(missing, StoreError::Unavailable(_)), "{missing:?}");
}

#[tokio::test]
async fn the_file_is_its_owners_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chatelaine.db");
    let world = World::open(format!("sqlite://{}", path.display())).await;
    world.store.set_meta("a", "b").await.unwrap();
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
    }
    world.store.close().await;
}

#[tokio::test]
async fn sqlite_keeps_a_write_ahead_log_and_strict_tables() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::open(format!("sqlite://{}/chatelaine.db", directory.path().display())).await;
    let mut connection = connect(&world.url).await;
    let mode: String = sqlx::query("PRAGMA journal_mode").fetch_one(&mut connection).await.unwrap().get(0);
    assert_eq!(mode, "wal");
    let loose = "SELECT COUNT(*) FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND strict = 0 \
        AND name NOT LIKE 'sqlite_%'";
    let loose: i64 = sqlx::query(loose).fetch_one(&mut connection).await.unwrap().get(0);
    assert_eq!(loose, 0);
    connection.close().await.unwrap();
    world.store.close().await;
}

#[tokio::test]
async fn postgresql_sorts_ids_and_names_as_bytes() {
    on_each(async |world| {
        if world.store.backend() != "postgresql" {
            return;
        }
        let mut connection = connect(&world.url).await;
        let unsorted = "SELECT CAST(COUNT(*) AS BIGINT) FROM information_schema.columns \
            WHERE table_schema = current_schema() AND column_name IN ('id', 'workspace_id', 'environment', 'email') \
            AND collation_name IS DISTINCT FROM 'C'";
        let unsorted: i64 = sqlx::query(unsorted).fetch_one(&mut connection).await.unwrap().get(0);
        assert_eq!(unsorted, 0);
        connection.close().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn reads_and_writes_are_counted() {
    on_each(async |world| {
        let (reads, writes) = (world.store.reads(), world.store.writes());
        world.store.set_meta("a", "b").await.unwrap();
        assert_eq!((world.store.reads(), world.store.writes()), (reads, writes + 1));
        world.store.meta("a").await.unwrap();
        assert_eq!((world.store.reads(), world.store.writes()), (reads + 1, writes + 1));
    })
    .await;
}
