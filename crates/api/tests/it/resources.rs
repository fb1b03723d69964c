use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn a_bot_is_made_changed_and_deleted() {
    let world = World::new().await;
    let bot = world.make_bot().await;
    let path = format!("/v1/bots/{bot}");
    let read = world.owner().get(&path).await.ok(200);
    assert_eq!((read.text_at("/data/model"), read.at("/data/context_messages")), ("echo".to_owned(), json!(10)));
    let changed = world.owner().patch(&path, json!({"greeting": null, "name": "Bob"})).await.ok(200);
    assert_eq!((changed.at("/data/greeting"), changed.text_at("/data/name")), (json!(null), "Bob".to_owned()));
    assert_eq!(world.owner().get("/v1/bots").await.ok(200).text_at("/data/0/name"), "Bob");
    world.owner().delete(&path).await.ok(204);
    assert_eq!(world.owner().get(&path).await.code(), (404, "NOT_FOUND".to_owned()));
    assert_eq!(world.log().await[..3], ["delete_bot", "update_bot", "create_bot"]);
}

#[tokio::test]
async fn a_test_keys_bots_are_its_own() {
    let world = World::new().await;
    let bot = world.make_bot().await;
    let (_, test) = world.make_key(json!({"name": "t", "environment": "test"})).await;
    assert_eq!(world.with(&test).get(&format!("/v1/bots/{bot}")).await.status, 404);
    assert_eq!(world.with(&test).get(&format!("/v1/bots/{bot}/integrations")).await.status, 404);
    assert_eq!(world.with(&test).get("/v1/bots").await.ok(200).at("/meta/total"), 0);
}

#[tokio::test]
async fn an_integration_keeps_its_secret() {
    let world = World::new().await;
    let bot = world.make_bot().await;
    let list = format!("/v1/bots/{bot}/integrations");
    let body = json!({
        "kind": "openai", "url": "https://api.example.com/v1", "model": "small", "weight": 5,
        "headers": {"Authorization": "Bearer hunter2"},
    });
    let made = world.owner().post(&list, body).await.ok(201);
    assert!(!made.text.contains("hunter2"));
    assert_eq!(made.at("/data/headers"), json!({"authorization": "••••••••"}));
    let id = made.text_at("/data/id");
    let path = format!("/v1/integrations/{id}");
    assert_eq!(world.owner().get(&format!("/v1/bots/{bot}")).await.ok(200).text_at("/data/model"), "small");
    let moved = world.owner().patch(&path, json!({"url": "https://evil.example.net/v1"})).await;
    assert_eq!(moved.wrong_fields(), (422, vec!["headers".to_owned()]), "a new address must not get the old secret");
    let changed = world.owner().patch(&path, json!({"weight": 0})).await.ok(200);
    assert_eq!(changed.at("/data/headers"), json!({"authorization": "••••••••"}));
    assert_eq!(world.owner().get(&list).await.ok(200).at("/meta/total"), 2, "and the echo of every bot");
    let second = world.owner().get(&format!("{list}?page=2&per_page=1")).await.ok(200);
    assert_eq!(second.text_at("/data/0/id"), id);
    world.owner().delete(&path).await.ok(204);
    assert!(!world.owner().get("/v1/audit-log").await.ok(200).text.contains("hunter2"));
}

#[tokio::test]
async fn an_address_inside_is_refused_on_save() {
    let world = World::new().await;
    let list = format!("/v1/bots/{}/integrations", world.make_bot().await);
    for url in ["https://127.0.0.1/v1", "http://api.example.com/v1", "https://localhost/v1", "nonsense"] {
        let refused = world.owner().post(&list, json!({"kind": "openai", "url": url, "model": "m"})).await;
        assert_eq!(refused.wrong_fields(), (422, vec!["url".to_owned()]), "{url}: {}", refused.text);
    }
    let host = json!({"kind": "openai", "url": "https://a.example.com/v1", "model": "m", "headers": {"Host": "b"}});
    assert_eq!(world.owner().post(&list, host).await.wrong_fields(), (422, vec!["headers".to_owned()]));
}

#[tokio::test]
async fn a_wrong_page_is_400_and_an_id_of_another_kind_404() {
    let world = World::new().await;
    for query in ["page=0", "per_page=0", "per_page=101", "page=x"] {
        assert_eq!(
            world.owner().get(&format!("/v1/bots?{query}")).await.code(),
            (400, "INVALID_REQUEST".to_owned()),
            "{query}"
        );
    }
    let bot = world.make_bot().await;
    for path in [
        "/v1/bots/x".to_owned(),
        format!("/v1/bots/{}", bot.replace("bot_", "key_")),
        bot.replace("bot_", "/v1/api-keys/bot_"),
    ] {
        assert_eq!(world.owner().get(&path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_log_is_read_by_action_and_from_a_record_on() {
    let world = World::new().await;
    for name in ["a", "b", "c"] {
        world.advance(1);
        world.owner().post("/v1/bots", json!({ "name": name })).await.ok(201);
    }
    let events = world.owner().get("/v1/audit-log?action=create_bot").await.ok(200);
    assert_eq!((events.at("/meta/total"), events.text_at("/data/0/detail/name")), (json!(3), "c".to_owned()));
    assert!(events.text_at("/data/0/request_id").starts_with("req_"));
    let after = events.text_at("/data/2/id");
    let rest = world.owner().get(&format!("/v1/audit-log?action=create_bot&after={after}")).await.ok(200);
    let names: Vec<_> =
        rest.at("/data").as_array().unwrap().iter().map(|event| event["detail"]["name"].clone()).collect();
    assert_eq!(names, ["b", "c"], "the oldest first");
    assert_eq!(world.owner().get("/v1/audit-log?after=x").await.status, 400);
    for action in ["%00", "", "create_bot%00", "Create", &"a".repeat(65)] {
        let refused = world.owner().get(&format!("/v1/audit-log?action={action}")).await;
        assert!(refused.status == 400 && refused.text.contains("`action`"), "{action}: {}", refused.text);
    }
    assert_eq!(world.owner().get("/v1/audit-log?action=api_key.exposed").await.ok(200).at("/meta/total"), json!(0));
}

#[tokio::test]
async fn a_bot_takes_no_integration_after_its_twentieth_also_of_two_at_once() {
    let world = World::new().await;
    let path = format!("/v1/bots/{}/integrations", world.make_bot().await);
    let create = async || world.owner().post(&path, json!({"kind": "echo"})).await;
    let there = world.owner().get(&path).await.ok(200).at("/meta/total").as_u64().unwrap();
    for _ in there..19 {
        create().await.ok(201);
    }
    let (one, other) = tokio::join!(create(), create());
    let (full, made) = if one.status == 201 { (other, one) } else { (one, other) };
    assert_eq!((full.code(), made.status), ((409, "CONFLICT".to_owned()), 201));
    assert!(full.text_at("/error/message").contains("20 integrations"));
    assert_eq!(world.owner().get(&path).await.ok(200).at("/meta/total"), json!(20));
}
