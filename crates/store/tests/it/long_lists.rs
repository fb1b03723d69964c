//! Lists of very many: counted up to a bound, and found in the order of an index.

use store::{KeyFilter, MAX_TOTAL, PageRequest, Workspace};

use crate::{
    contacts::plan,
    databases::{FIRST, World, by, new_key, on_each, run, test_key},
};

/// So many records past the store, the first of them long ago; every second one is an `update_bot`.
async fn fill_audit(world: &World, tenant: &Workspace, count: u64) {
    let (workspace, environment) = (tenant.tenant().workspace, tenant.tenant().environment.as_str());
    run(
        &world.url,
        &format!(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})
            INSERT INTO audit_log (workspace_id, id, environment, created_at, actor_kind, actor_id, action, target_kind,
                target_id)
            SELECT '{workspace}', 'aud_0000000000000000' || (1000000000 + n), '{environment}', n, 'system', '',
                CASE n % 2 WHEN 0 THEN 'update_bot' ELSE 'create_bot' END, 'bot', '' FROM n"
        ),
    )
    .await;
}

#[tokio::test]
async fn counting_ends_at_a_bound_and_says_so() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        let logged = live.audit(FIRST, None).await.unwrap().total;
        fill_audit(world, &live, MAX_TOTAL - logged).await;
        let page = live.audit(PageRequest { page: 100, per_page: 100 }, None).await.unwrap();
        assert_eq!((page.total, page.is_capped, page.rows.len()), (MAX_TOTAL, false, 100), "exact to the last one");
        live.write_audit(by("other"), "bot", "").await.unwrap();
        let page = live.audit(PageRequest { page: 101, per_page: 100 }, None).await.unwrap();
        assert_eq!((page.total, page.is_capped, page.rows.len()), (MAX_TOTAL, true, 1), "and it can be read on");
        let half = live.audit(FIRST, Some("update_bot")).await.unwrap();
        assert_eq!((half.total, half.is_capped), ((MAX_TOTAL - logged) / 2, false));
        assert_eq!(test.audit(FIRST, None).await.unwrap().total, 0);
        let mapped = page.with_rows(vec![()]);
        assert_eq!((mapped.total, mapped.is_capped, mapped.rows.len()), (MAX_TOTAL, true, 1));
    })
    .await;
}

#[tokio::test]
async fn both_environments_are_one_list_in_its_order() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        for n in 1..=6 {
            world.advance(1);
            let (tenant, key) = if n % 2 == 0 { (&live, new_key(n)) } else { (&test, test_key(n)) };
            tenant.create_key(key, by("create")).await.unwrap();
        }
        let names = async |tenant: &Workspace, page| {
            let keys = tenant.keys(PageRequest { page, per_page: 2 }, KeyFilter::default()).await.unwrap();
            (keys.rows.into_iter().map(|key| key.name).collect::<Vec<_>>(), keys.total)
        };
        let named = |ns: [u8; 2], total| (ns.map(|n| format!("key {n}")).to_vec(), total);
        assert_eq!(names(&live, 1).await, named([6, 5], 6));
        assert_eq!(names(&live, 3).await, named([2, 1], 6));
        assert_eq!(names(&test, 1).await, named([5, 3], 3));
        assert_eq!(names(&test, 2).await, (vec!["key 1".to_owned()], 3));
        let log = test.audit(FIRST, None).await.unwrap();
        assert_eq!((log.total, log.rows.len()), (3, 3), "none comes twice");
    })
    .await;
}

#[tokio::test]
async fn a_page_of_a_long_log_reads_no_more_than_the_page() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        fill_audit(world, &live, 20_000).await;
        let is_sqlite = world.store.backend() == "sqlite";
        if !is_sqlite {
            run(&world.url, "ANALYZE audit_log").await;
        }
        let workspace = format!("'{}'", live.tenant().workspace);
        let bounds = ["25", "0", "''", "'aud_~'"];
        let names = ["audit", "audit_of_action", "audit_after", "audit_after_of_action", "audit_count"];
        for name in names.into_iter().chain(["audit_count_of_action"]) {
            let action: &[&str] = if name.ends_with("action") { &["'update_bot'"] } else { &[] };
            // However PostgreSQL counts in a table of one tenant: it ends at the bound.
            let counts = name.starts_with("audit_count");
            let of_all = match (name, is_sqlite) {
                _ if counts => ["Limit", "COVERING INDEX"][usize::from(is_sqlite)],
                ("audit" | "audit_after", true) => "sqlite_autoindex_audit_log_1 (",
                ("audit" | "audit_after", false) => "audit_log_pkey on",
                _ => "audit_log_by_action",
            };
            let of_test = if name.ends_with("action") { "audit_log_of_test_by_action" } else { "audit_log_of_test" };
            for (statement, index) in [(name.to_owned(), of_all), (format!("{name}_of_test"), of_test)] {
                let found = plan(world, &statement, &[&[workspace.as_str()], &bounds[..], action].concat()).await;
                assert!(found.contains(index), "{statement}: {found}");
                for slow in ["TEMP B-TREE", "Sort", "Seq Scan", "Bitmap"] {
                    assert!((counts && !is_sqlite) || !found.contains(slow), "{statement}: {found}");
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_conversations_are_filtered_by_has_an_index() {
    on_each(async |world| {
        if world.store.backend() != "sqlite" {
            return;
        }
        for (rows, count, lead, index) in [
            ("found_conversations_of_bot", "found_conversation_count_of_bot", "'bot_1'", "conversations_by_bot ("),
            ("found_conversations_of_door", "found_conversation_count_of_door", "'voice'", "conversations_by_door ("),
            ("found_open_conversations", "found_open_conversation_count", "''", "conversations_open ("),
            ("found_ended_conversations", "found_ended_conversation_count", "''", "conversations_ended ("),
        ] {
            let asked = ["'wsp_1'", "'live'", lead, "'conv_'", "'conv_~'", "'voice'", "''", "''", "''"];
            let found = plan(world, rows, &[&asked[..], &["25", "0"]].concat()).await;
            assert!(found.contains(index) && !found.contains("TEMP B-TREE"), "{rows}: {found}");
            let found = plan(world, count, &asked).await;
            assert!(found.contains(&format!("COVERING INDEX {index}")), "{count}: {found}");
        }
        let asked = ["'wsp_1'", "'live'", "0", "9", "25", "0", "'key_1'"];
        for name in ["usage_of_key", "usage_by_key_of_key"] {
            let found = plan(world, name, &asked).await;
            assert!(found.contains("key_id=?"), "{name}: {found}");
        }
        for (name, index) in [
            ("usage", "key_usage_summed (workspace_id=? AND environment=? AND day>? AND day<?)"),
            ("usage_by_day", "sqlite_autoindex_usage_days_1 (workspace_id=? AND environment=? AND day>? AND day<?)"),
            ("usage_by_key_of_day", "key_usage_ranked (workspace_id=? AND environment=? AND day=?)"),
            ("usage_by_key_of_month", "key_usage_months_ranked (workspace_id=? AND environment=? AND month=?)"),
        ] {
            let found = plan(world, name, &asked[..6]).await;
            assert!(found.contains(index) && !found.contains("TEMP B-TREE"), "{name}: {found}");
        }
    })
    .await;
}
