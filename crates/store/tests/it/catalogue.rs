use std::collections::HashSet;

use sqlx::{Connection, Executor, SqlSafeStr};
use store::catalogue;

use crate::databases::{connect, on_each};

/// Statements without a tenant, each with the reason. This list only shrinks.
const WITHOUT_TENANT: &[(&str, &str)] = &[
    ("schema_version", "migration"),
    ("insert_schema_version", "migration"),
    ("ping", "no table"),
    ("meta", "the installation's"),
    ("set_meta", "the installation's"),
    ("set_meta_if_absent", "the installation's"),
    ("delete_meta", "the installation's"),
    ("take_meta", "the installation's"),
    ("workspace_count", "the installation's"),
    ("member_count", "the installation's"),
    ("oldest_workspace", "the installation's"),
    ("workspace", "the tenant itself: id = $1"),
    ("insert_workspace", "the tenant itself"),
    ("rename_workspace", "the tenant itself: id = $1"),
    ("lock_people", "the tenant itself: id = $1"),
    ("update_workspace", "the tenant itself: id = $1"),
    ("workspaces", "the installation's, for its operator"),
    ("leak_policy", "the tenant itself: id = $1"),
    ("member_by_email", "an address is one person's in the installation; the row says which tenant it is"),
    ("sign_in_by_digest", "whoever has the cookie says no more; the row says which tenant it is"),
    ("invitation_by_digest", "whoever has the token says no more; the row says which tenant it is"),
    ("sweep_sign_ins", "age alone, of every tenant"),
    ("strip_channel_messages", "age alone, of every tenant"),
    ("sweep_invitations", "age alone, of every tenant"),
    ("lease", "the installation's"),
    ("take_free_lease", "the installation's"),
    ("take_stale_lease", "the installation's"),
    ("renew_lease", "the installation's"),
    ("release_lease", "the installation's"),
    ("sweep_idempotency", "age alone, of every tenant"),
    ("expired_credit_holds", "age alone, of every tenant; each is released as its tenant's"),
    ("end_of_part", "the keyring holds every tenant's"),
    ("load_live_keys", "the keyring holds every tenant's"),
    ("live_key_by_digest", "the key says which tenant it is"),
    ("live_key_by_id", "the key says which tenant it is"),
    ("import_marks", "a key that was made elsewhere is one tenant's, whoever imports it again"),
    ("foreign_peppers", "the installation's"),
    ("pepper_in_use", "a pepper is the installation's, and so every tenant's"),
    ("record_uses", "usage of every tenant, by digest"),
    ("deployment_by_id", "a stranger names it; the row says which tenant's it is"),
    ("open_imports", "of every tenant; each row says whose it is"),
    ("delete_stale_uploads", "age alone, of every tenant"),
    ("due_run_effects", "time alone, of every tenant; each row says whose it is"),
    ("due_run_effects_of_each", "time alone, of every tenant; each row says whose it is"),
    ("next_run_effect", "time alone, of every tenant"),
    ("open_executions", "of every tenant; each row says whose it is"),
    ("trigger_by_digest", "whoever has the token says no more; the row says which tenant's it is"),
    ("due_triggers", "time alone, of every tenant; each row says whose it is"),
    ("due_deliveries", "time alone, of every tenant; each row says whose it is"),
    ("due_deliveries_of_each", "time alone, of every tenant; each row says whose it is"),
    ("next_delivery", "the time alone"),
    ("release_deliveries", "what a process was busy with when it died, of every tenant"),
    ("sweep_events", "age alone, of every tenant"),
    ("sweep_attempts", "age alone, of every tenant"),
    ("attempts", "both parts are cut to the tenant; the rest reads from them, and joins by the tenant"),
    ("attempts_after", "as `attempts`"),
    ("sealed_webhooks", "every tenant's, at the start after a change of the installation's secret"),
    ("sealed_previous_webhooks", "every tenant's, at the start after a change of the installation's secret"),
    ("next_trigger", "time alone, of every tenant"),
    ("sweep_trigger_deliveries", "age alone, of every tenant"),
    ("sealed_connections", "the installation's secret has sealed every tenant's; each row says whose it is"),
    ("sealed_totp", "the installation's secret has sealed every tenant's; each row says whose it is"),
    ("sealed_integrations", "the installation's secret has sealed every tenant's; each row says whose it is"),
    ("sealed_triggers", "the installation's secret has sealed every tenant's; each row says whose it is"),
    ("sealed_integration_secrets", "the installation's secret has sealed every tenant's; each row says whose it is"),
    ("sealed_previous_integration_secrets", "as those in force"),
    ("sealed_channel_secrets", "the installation's secret has sealed every tenant's; each row says whose it is"),
    ("sealed_previous_channel_secrets", "as those in force"),
    ("tenant_of_channel", "by the channel's id, which is all that a signed message names; the row says whose it is"),
    ("due_channel_messages", "time alone, of every tenant; each row says whose it is"),
    ("next_channel_message", "time alone, of every tenant"),
    ("sweep_channel_messages", "age alone, of every tenant"),
    ("due_notices", "time alone, of every tenant; each key says whose it is"),
    ("take_notice", "by id and the time that was found"),
    ("count_requests", "usage of every tenant; each row says whose it is"),
    ("sweep_usage", "age alone, of every tenant"),
    ("count_hours", "usage of every tenant; each row says whose it is"),
    ("count_months", "usage of every tenant; each row says whose it is"),
    ("count_days", "usage of every tenant; each row says whose it is"),
    ("sweep_usage_days", "age alone, of every tenant"),
    ("sweep_usage_months", "age alone, of every tenant"),
    ("sweep_usage_hours", "age alone, of every tenant"),
    ("count_outcomes", "outcomes of every tenant; each row says whose it is"),
    ("sweep_outcomes", "age alone, of every tenant"),
    ("has_any", "each of its tables is cut to $1; the outermost SELECT has none"),
    ("renew_digest", "by digest, once the key was proved"),
];

/// Whether every table that is read or changed is cut to `$1`.
fn names_the_tenant(sql: &str) -> bool {
    let sql = &sql.split_whitespace().collect::<Vec<_>>().join(" ").replace("( SELECT", "(SELECT");
    if let Some(insert) = sql.strip_prefix("INSERT INTO ") {
        let columns = insert.split_once('(').unwrap().1;
        let first = columns.starts_with("workspace_id,");
        return first && (sql.contains("VALUES ($1,") || sql.contains("WHERE workspace_id = $1"));
    }
    let tables = sql.matches("SELECT ").count() + sql.matches("UPDATE ").count() + sql.matches("DELETE ").count();
    let wrapped = sql.matches("FROM (SELECT").count();
    sql.matches("WHERE workspace_id = $1").count() == tables - wrapped
}

#[test]
fn every_statement_names_its_tenant_or_has_a_reason_not_to() {
    let is_excepted = |wanted: &str| WITHOUT_TENANT.iter().any(|(name, _)| *name == wanted);
    let wrong = catalogue::all().into_iter().filter(|one| names_the_tenant(one.sql) == is_excepted(one.name));
    assert_eq!(wrong.map(|one| format!("{}: {}", one.name, one.sql)).collect::<Vec<_>>(), Vec::<String>::new());
    let names: HashSet<_> = catalogue::all().iter().map(|statement| statement.name).collect();
    assert_eq!(names.len(), catalogue::all().len(), "one name, one statement");
    assert!(WITHOUT_TENANT.iter().all(|(name, _)| names.contains(name)), "an exception for a statement that is gone");
}

#[test]
fn the_check_of_tenants_sees_what_is_wrong() {
    assert!(!names_the_tenant("SELECT id FROM bots WHERE id = $1"));
    assert!(!names_the_tenant("UPDATE bots SET name = $1"));
    assert!(!names_the_tenant("INSERT INTO bots (id, workspace_id) VALUES ($1, $2)"));
    assert!(!names_the_tenant(
        "SELECT id FROM bots WHERE workspace_id = $1 AND id IN (SELECT bot_id FROM integrations)"
    ));
}

#[tokio::test]
async fn every_statement_prepares_on_both_databases() {
    on_each(async |world| {
        let mut connection = connect(&world.url).await;
        for statement in catalogue::all() {
            let prepared = connection.prepare(statement.sql.into_sql_str()).await;
            assert!(prepared.is_ok(), "{}: {:?}", statement.name, prepared.err());
        }
        connection.close().await.unwrap();
    })
    .await;
}
