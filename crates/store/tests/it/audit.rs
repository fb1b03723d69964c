use access::{Actor, ActorKind};
use ambient::{RequestId, Ulid};
use store::{AuditEntry, PageRequest};

use crate::databases::{FIRST, by, new_key, on_each};

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
        let onwards = live.audit_after(from, 2, None).await.unwrap();
        let actions: Vec<_> = onwards.iter().map(|row| row.action.as_str()).collect();
        assert_eq!(actions, ["other", "api_key.exposed"], "the oldest first");
        let onwards = live.audit_after(from, 10, Some("api_key.exposed")).await.unwrap();
        let targets: Vec<_> = onwards.iter().map(|row| row.target_id.as_str()).collect();
        assert_eq!(targets, ["key_1", "key_2"]);
        assert_eq!(test.audit(FIRST, None).await.unwrap().total, 3, "a test credential reads of its own");
    })
    .await;
}
