//! Conversations as the customer reads and deletes them.

use serde_json::{Value, json};
use testkit::World;

fn ids(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

on_both! {
    lists_are_paged_and_filtered;
    messages_read_on_from_one;
    deleting_takes_the_messages_and_the_session_with_it;
    a_deleted_bots_conversations_stay_readable;
    another_workspace_finds_nothing_and_learns_nothing;
}

async fn lists_are_paged_and_filtered(world: &World) {
    let (first_bot, second_bot) = (world.bot().await, world.bot().await);
    let mut made = Vec::new();
    for n in 0..5 {
        let bot = if n == 4 { &second_bot } else { &first_bot };
        made.push(world.open_session("session", &world.secret(), bot).await.id().to_owned());
    }
    let reader = world.restricted().await;
    let all = reader.get("/v1/conversations").await.expect(200).json();
    assert_eq!(all["meta"], json!({"page": 1, "per_page": 20, "total": 5}));
    let mut seen = Vec::new();
    for page in 1..=3 {
        let part = reader.get(&format!("/v1/conversations?page={page}&per_page=2")).await.expect(200);
        assert_eq!(part.json()["meta"]["total"], 5);
        seen.extend(ids(&part.data()));
    }
    assert_eq!(seen, ids(&all["data"]), "pages join without gaps or doubles");
    seen.sort();
    made.sort();
    assert_eq!(seen, made);
    assert!(reader.get("/v1/conversations?page=4&per_page=2").await.expect(200).data().as_array().unwrap().is_empty());
    let of_second = reader.get(&format!("/v1/bots/{second_bot}/conversations")).await.expect(200).data();
    let filtered = reader.get(&format!("/v1/conversations?bot_id={second_bot}")).await.expect(200).data();
    assert_eq!((ids(&of_second).len(), ids(&filtered)), (1, ids(&of_second)));
}

async fn messages_read_on_from_one(world: &World) {
    let session = world.session().await;
    for word in ["a", "b", "c"] {
        let _ = session.say(word).await.rest().await;
    }
    let path = format!("/v1/conversations/{}/messages", session.id());
    let all = world.secret().get(&path).await.expect(200).data();
    let known = ids(&all);
    assert_eq!(known.len(), 6);
    let positions: Vec<_> = all.as_array().unwrap().iter().map(|m| m["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, [1, 2, 3, 4, 5, 6]);
    let rest = world.secret().get(&format!("{path}?after={}&per_page=2", known[2])).await.expect(200).data();
    assert_eq!(ids(&rest), known[3..5]);
    let none = world.secret().get(&format!("{path}?after={}", known[5])).await.expect(200).data();
    assert!(none.as_array().unwrap().is_empty());
    let _ = world.secret().get(&format!("{path}?after=nonsense")).await.refused(400, "INVALID_REQUEST");
    let shown = world.secret().get(&format!("/v1/conversations/{}", session.id())).await.expect(200).data();
    assert_eq!((&shown["message_count"], &shown["key_id"]), (&json!(6), &json!(world.secret().id())));
}

async fn deleting_takes_the_messages_and_the_session_with_it(world: &World) {
    let (session, other) = (world.session().await, world.session().await);
    let canary = "canary-4f1d2b7c9e";
    let _ = session.say(canary).await.rest().await;
    let _ = other.say("stays").await.rest().await;
    let path = format!("/v1/conversations/{}", session.id());
    let _ = world.restricted().await.delete(&path).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let _ = world.other_workspace_secret().delete(&path).await.refused(404, "NOT_FOUND");
    let _ = world.secret().delete(&path).await.expect(204);
    let _ = world.secret().delete(&path).await.refused(404, "NOT_FOUND");
    let _ = world.secret().get(&path).await.refused(404, "NOT_FOUND");
    let _ = world.secret().get(&format!("{path}/messages")).await.refused(404, "NOT_FOUND");
    let answer = session.get(&session.messages()).await;
    assert_eq!(answer.status, 401, "{}", answer.text());
    let _ = session.post(&session.messages(), &json!({"message": "x"})).await.refused(401, "INVALID_TOKEN");
    assert_eq!(other.history().await.len(), 2);
    assert!(!world.secret().get("/v1/audit-log").await.text().contains(canary));
}

async fn a_deleted_bots_conversations_stay_readable(world: &World) {
    let bot = world.bot().await;
    let session = world.open_session("session", &world.secret(), &bot).await;
    let _ = session.say("remember").await.rest().await;
    let _ = world.secret().delete(&format!("/v1/bots/{bot}")).await.expect(204);
    let messages = world.secret().get(&format!("/v1/conversations/{}/messages", session.id())).await.expect(200);
    assert!(messages.text().contains("remember"));
    let list = world.secret().get(&format!("/v1/bots/{bot}/conversations")).await.expect(200).data();
    assert_eq!(list.as_array().unwrap().len(), 1);
    let answer = session.post(&session.messages(), &json!({"message": "anybody?"})).await;
    assert!(answer.status < 500, "{} {}", answer.status, answer.text());
}

async fn another_workspace_finds_nothing_and_learns_nothing(world: &World) {
    let session = world.session().await;
    let bot = world.bot().await;
    let integration =
        world.secret().get(&format!("/v1/bots/{bot}/integrations")).await.data()[0]["id"].as_str().unwrap().to_owned();
    let (account, key) = world.account("software", "member").await;
    let foreign = world.other_workspace_secret();
    let random = "00000000000000000000000001";
    for (own, prefix, suffix) in [
        (format!("/v1/conversations/{}", session.id()), "conv_", ""),
        (format!("/v1/conversations/{}/messages", session.id()), "conv_", "/messages"),
        (format!("/v1/bots/{bot}"), "bot_", ""),
        (format!("/v1/bots/{bot}/integrations"), "bot_", "/integrations"),
        (format!("/v1/integrations/{integration}"), "int_", ""),
        (format!("/v1/service-accounts/{account}"), "svc_", ""),
        (format!("/v1/service-accounts/{account}/api-keys"), "svc_", "/api-keys"),
        (format!("/v1/api-keys/{}", key.id()), "key_", ""),
    ] {
        let absent = format!("{}{prefix}{random}{suffix}", &own[..own.find(prefix).unwrap()]);
        let (found, missing) =
            (foreign.get(&own).await.refused(404, "NOT_FOUND"), foreign.get(&absent).await.refused(404, "NOT_FOUND"));
        assert_eq!(found.body_without_id(), missing.body_without_id(), "{own}");
        assert_eq!(found.body.len(), missing.body.len(), "{own}");
    }
    for path in ["/v1/bots", "/v1/conversations", "/v1/service-accounts"] {
        assert_eq!(foreign.get(path).await.expect(200).json()["meta"]["total"], 0, "{path}");
    }
    assert_eq!(foreign.get("/v1/api-keys").await.json()["meta"]["total"], 1);
    assert!(!foreign.get("/v1/audit-log?per_page=100").await.expect(200).text().contains(key.id()));
}
