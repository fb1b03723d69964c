use access::{Actor, ActorKind};
use ambient::{RequestId, Ulid};
use store::{AuditEntry, AuditFilter, PageRequest};

use crate::{
    contacts::plan,
    databases::{FIRST, by, new_key, on_each, run},
};

#[tokio::test]
async fn an_entry_says_who_did_what_to_what_from_where() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let actor = Actor {
            kind: ActorKind::ApiKey,
            id: "key_1".to_owned(),
            epoch: Some(0),
            address: Some("192.0.2.1".parse().unwrap()),
            request: Some(RequestId(Ulid(5))),
        };
        let entry = AuditEntry {
            actor: &actor,
            action: "create_api_key",
            detail: Some(serde_json::json!({"fields": ["name"]})),
        };
        let now = world.advance(1);
        let key = live.create_key(new_key(1), entry).await.unwrap();
        assert_eq!(key.created_by, "api_key:key_1");
        let log = live.audit(FIRST, Some("create_api_key")).await.unwrap();
        assert_eq!(log.total, 1);
        let row = &log.rows[0];
        assert_eq!((row.actor_kind.as_str(), row.actor_id.as_str(), row.created_at), ("api_key", "key_1", now));
        assert_eq!((row.target_kind.as_str(), row.target_id.clone()), ("api_key", key.id.to_string()));
        assert_eq!(row.address.as_deref(), Some("192.0.2.1"));
        assert_eq!(row.request_id, Some(RequestId(Ulid(5)).to_string()));
        assert_eq!(row.detail, Some(serde_json::json!({"fields": ["name"]})));
    })
    .await;
}

#[tokio::test]
async fn the_log_is_read_by_page_by_action_and_onwards() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        for n in 0..3 {
            world.advance(1);
            live.write_audit(by("api_key.exposed"), "api_key", &format!("key_{n}")).await.unwrap();
            world.advance(1);
            test.write_audit(by("other"), "api_key", "key_x").await.unwrap();
        }
        let all = live.audit(PageRequest { page: 1, per_page: 2 }, None).await.unwrap();
        assert_eq!((all.total, all.rows[0].action.as_str(), all.rows.len()), (7, "other", 2));
        let exposed = live.audit(PageRequest { page: 2, per_page: 2 }, Some("api_key.exposed")).await.unwrap();
        assert_eq!((exposed.total, exposed.rows[0].target_id.as_str(), exposed.rows.len()), (3, "key_0", 1));

        let from = exposed.rows[0].id;
        let onwards = live.audit_after(2, &AuditFilter { after: Some(from), ..AuditFilter::default() }).await.unwrap();
        let actions: Vec<_> = onwards.iter().map(|row| row.action.as_str()).collect();
        assert_eq!(actions, ["other", "api_key.exposed"], "the oldest first");
        let onwards =
            live.audit_after(10, &AuditFilter { after: Some(from), ..Some("api_key.exposed").into() }).await.unwrap();
        let targets: Vec<_> = onwards.iter().map(|row| row.target_id.as_str()).collect();
        assert_eq!(targets, ["key_1", "key_2"]);
        assert_eq!(test.audit(FIRST, None).await.unwrap().total, 3, "a test credential reads of its own");
    })
    .await;
}

#[tokio::test]
async fn records_are_found_by_all_that_is_asked() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        let (other, _) = world.tenant("others").await;
        let mut ids = Vec::new();
        for (actor, action, target) in [
            ("key_1", "update", "bot_1"),
            ("key_2", "update", "bot_1"),
            ("key_1", "delete", "bot_2"),
            ("key_1", "update", "bot_1"),
        ] {
            world.advance(1);
            let actor =
                Actor { kind: ActorKind::ApiKey, id: actor.to_owned(), epoch: None, address: None, request: None };
            let entry = || AuditEntry { actor: &actor, action, detail: None };
            live.write_audit(entry(), "bot", target).await.unwrap();
            other.write_audit(entry(), "bot", target).await.unwrap();
            ids.push(live.audit(FIRST, None).await.unwrap().rows[0].id);
        }
        let some = |text: &'static str| (!text.is_empty()).then_some(text);
        let found = async |filter: AuditFilter<'static>| {
            let page = live.audit(FIRST, filter).await.unwrap();
            let onwards = live.audit_after(100, &filter).await.unwrap();
            let (rows, back) = (page.rows.iter().map(|row| row.id), onwards.iter().rev().map(|row| row.id));
            assert!(rows.clone().eq(back) && page.total == rows.len() as u64, "{filter:?}");
            rows.map(|row| ids.iter().position(|id| *id == row).unwrap()).collect::<Vec<_>>()
        };
        for (actor, action, target, expected) in [
            ("key_1", "", "", &[3, 2, 0][..]),
            ("key_1", "update", "", &[3, 0]),
            ("", "", "bot_1", &[3, 1, 0]),
            ("key_1", "", "bot_1", &[3, 0]),
            ("", "delete", "bot_1", &[]),
            ("key_1", "delete", "bot_2", &[2]),
            ("key_3", "", "", &[]),
        ] {
            let filter = AuditFilter {
                actor: some(actor),
                action: some(action),
                target: some(target),
                ..AuditFilter::default()
            };
            assert_eq!(found(filter).await, expected, "{actor} {action} {target}");
            assert_eq!(test.audit(FIRST, filter).await.unwrap().total, 0, "a test credential reads of its own");
        }
        let between = AuditFilter { after: Some(ids[0]), before: Some(ids[3]), ..AuditFilter::default() };
        assert_eq!(found(between).await, [2, 1]);
        assert_eq!(found(AuditFilter { actor: Some("key_1"), ..between }).await, [2]);
    })
    .await;
}

#[tokio::test]
async fn what_one_did_and_what_was_done_to_one_is_found_in_an_index() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let workspace = format!("'{}'", live.tenant().workspace);
        run(
            &world.url,
            &format!(
                "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
                INSERT INTO audit_log (workspace_id, id, environment, created_at, actor_kind, actor_id, action,
                    target_kind, target_id)
                SELECT {workspace}, 'aud_0000000000000000' || (1000000000 + n), 'live', n, 'system', 'key_' || (n % 50),
                    'update_bot', 'bot', 'bot_' || (n % 50) FROM n"
            ),
        )
        .await;
        if world.store.backend() != "sqlite" {
            run(&world.url, "ANALYZE audit_log").await;
        }
        let bounds = ["25", "0", "''", "'aud_~'"];
        for (statement, asked) in [("actor", &["'key_1'", "''"][..]), ("target", &["'bot_1'", "''", "''"])] {
            for name in ["audit_of", "audit_after_of", "audit_count_of"] {
                let arguments = [&[workspace.as_str()], &bounds[..], asked].concat();
                for (rest, index) in [("", "audit_log_by"), ("_of_test", "audit_log_of_test_by")] {
                    let found = plan(world, &format!("{name}_{statement}{rest}"), &arguments).await;
                    assert!(found.contains(&format!("{index}_{statement}")), "{name}_{statement}{rest}: {found}");
                }
            }
        }
    })
    .await;
}
