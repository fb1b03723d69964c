//! Lists of keys, their use by the hour, what revoking one would cut, and the origin rule tried out.

use std::{sync::Arc, time::Duration};

use ambient::{ManualClock, Millis};
use serde_json::{Value, json};
use testkit::{Backend, Options, Persona, Upstream, World, eventually};

/// 2026-01-01, at noon.
const NOON: Millis = Millis(1_767_225_600_000 + 43_200_000);
const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

on_both! {
    keys_are_listed_by_what_people_look_for;
    what_a_list_is_not_asked_by_is_refused;
    the_origin_rule_is_tried_without_a_key;
    what_a_revocation_would_cut_is_what_it_cuts;
}

on_each! {
    use_is_shown_by_the_hour_for_many_keys_at_once;
}

async fn names(by: &Persona, query: &str) -> Vec<String> {
    let answer = by.get(&format!("/v1/api-keys?{query}")).await.expect(200);
    let names: Vec<String> =
        answer.data().as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(answer.json()["meta"]["total"], names.len(), "{query}");
    names
}

async fn keys_are_listed_by_what_people_look_for(world: &World) {
    let by = &world.secret();
    let site = json!({"name": "Website", "kind": "widget", "allowed_domains": ["shop.example"], "expires_at": null});
    let widget = world.key("widget", site).await;
    let soon = world.server().running().app().clock().now().plus(86_400_000).to_string();
    let near = world.key("near", json!({"name": "backup job", "expires_at": soon})).await;
    let gone = world.key("gone", json!({"name": "Archive"})).await;
    let _ = by.delete(&format!("/v1/api-keys/{}", gone.id())).await.expect(200);
    let (account, of_account) = world.account("software", "member").await;
    let own = by.get(&format!("/v1/api-keys/{}", by.id())).await.data()["name"].as_str().unwrap().to_owned();
    let owned = by.get(&format!("/v1/api-keys/{}", of_account.id())).await.data()["name"].as_str().unwrap().to_owned();

    assert_eq!(names(by, "q=web").await, ["Website"]);
    assert!(names(by, "q=site").await.is_empty(), "a name is found by its start");
    assert_eq!(names(by, "q=WEBSITE&kind=widget").await, ["Website"]);
    assert!(names(by, "q=website&kind=secret").await.is_empty());
    assert_eq!(names(by, &format!("q={}", near.id())).await, ["backup job"]);
    let display = by.get(&format!("/v1/api-keys/{}", widget.id())).await.data()["display"].as_str().unwrap().to_owned();
    let display: String = display.replace('…', "%E2%80%A6");
    assert_eq!(names(by, &format!("q={display}")).await, ["Website"]);
    assert_eq!(names(by, "status=revoked").await, ["Archive"]);
    assert_eq!(names(by, "status=expiring").await, ["backup job"]);
    assert!(names(by, "status=expired").await.is_empty() && names(by, "status=disabled").await.is_empty());
    assert_eq!(names(by, &format!("service_account_id={account}")).await, std::slice::from_ref(&owned));
    let _ = by.patch(&format!("/v1/service-accounts/{account}"), &json!({"is_active": false})).await.expect(200);
    assert_eq!(names(by, "status=disabled").await, std::slice::from_ref(&owned));
    let mut sorted = vec!["Archive".to_owned(), "backup job".to_owned(), "Website".to_owned(), own.clone(), owned];
    sorted.sort_by_key(|name| name.to_lowercase());
    assert_eq!(names(by, "sort=name").await, sorted);
    sorted.reverse();
    assert_eq!(names(by, "sort=name&reverse=true").await, sorted);
    assert_eq!(names(by, "sort=expires").await[0], "backup job");
    assert_eq!(names(by, "sort=expires&reverse=true").await[0], "Website");
    world.server().running().app().cluster().flush_uses(true).await;
    assert_eq!(names(by, "sort=last_used").await[0], own, "it asks");
    assert_eq!(names(by, "sort=last_used&reverse=true").await.last(), Some(&own));
    assert!(names(&world.other_workspace_secret(), "q=website").await.is_empty());
}

async fn what_a_list_is_not_asked_by_is_refused(world: &World) {
    let by = &world.secret();
    for wrong in ["sort=size", "status=open", "kind=magic", "reverse=perhaps", "service_account_id=key_1"] {
        let _ = by.get(&format!("/v1/api-keys?{wrong}")).await.refused(400, "INVALID_REQUEST");
    }
    let _ = by.get(&format!("/v1/api-keys?q={}", "a".repeat(101))).await.refused(400, "INVALID_REQUEST");
    for wrong in ["hours=0", "hours=193", "key_ids=", "key_ids=bot_1"] {
        let _ = by.get(&format!("/v1/usage/hours?{wrong}")).await.refused(400, "INVALID_REQUEST");
    }
}

async fn use_is_shown_by_the_hour_for_many_keys_at_once(backend: Backend) {
    let clock = Arc::new(ManualClock::new(NOON));
    let world = World::with(backend, Options { clock: clock.clone(), ..Options::default() }).await;
    let one = world.key("one", json!({"name": "One", "scopes": ["bots:read"]})).await;
    let two = world.key("two", json!({"name": "Two", "scopes": []})).await;
    let flush = async || world.server().running().app().cluster().flush_uses(true).await;
    let _ = one.get("/v1/bots").await.expect(200);
    flush().await;
    clock.advance(HOUR * 2);
    for _ in 0..2 {
        let _ = one.get("/v1/bots").await.expect(200);
    }
    let _ = one.get("/v1/conversations").await.expect(403);
    flush().await;
    let asked = format!("/v1/usage/hours?key_ids={},{}", one.id(), two.id());
    let shown = world.secret().get(&format!("{asked}&hours=4")).await.expect(200).data();
    let expected = json!({
        "from": "2026-01-01T11:00:00.000Z",
        "hours": 4,
        "keys": [
            {"key_id": one.id(), "requests": [0, 1, 0, 2], "refused": [0, 0, 0, 1]},
            {"key_id": two.id(), "requests": [0, 0, 0, 0], "refused": [0, 0, 0, 0]},
        ],
    });
    assert_eq!(shown, expected);
    let usual = world.secret().get(&asked).await.expect(200).data();
    assert_eq!((usual["hours"].clone(), usual["keys"][0]["requests"][35].clone()), (json!(36), json!(2)));
    let foreign = world.other_workspace_secret().get(&asked).await.expect(200).data();
    assert_eq!(foreign["keys"][0]["requests"], json!(vec![0; 36]), "another workspace's key was not used");
    world.end().await;
}

async fn the_origin_rule_is_tried_without_a_key(world: &World) {
    let check = async |body: Value| world.secret().post("/v1/origins/check", &body).await;
    let list = json!(["MySite.com", "shop.example:8443"]);
    for (origin, allowed, matched) in [
        ("https://www.mysite.com", true, json!("mysite.com")),
        ("www.mysite.com/contact", true, json!("mysite.com")),
        ("http://www.mysite.com", false, Value::Null),
        ("https://shop.example", false, Value::Null),
        ("https://mysite.com.evil.example", false, Value::Null),
        ("http://localhost:3000", true, json!("localhost")),
        ("null", false, Value::Null),
    ] {
        let data = check(json!({"origin": origin, "allowed_domains": list})).await.expect(200).data();
        assert_eq!((&data["allowed"], &data["matched"]), (&json!(allowed), &matched), "{origin}");
        assert_eq!(data["allowed_domains"], json!(["mysite.com", "shop.example:8443"]));
        let widget = json!({"name": "W", "kind": "widget", "allowed_domains": list});
        let key = world.key("widget", widget).await;
        if let Some(sent) = data["origin"].as_str() {
            let made =
                key.request("POST", "/v1/chat/sessions").origin(sent).json(&json!({"agent_id": world.bot().await}));
            assert_eq!(made.send().await.status == 201, allowed, "as the key itself does: {origin}");
        }
    }
    let refused = json!({"origin": "http://localhost", "allowed_domains": list, "allow_localhost": false});
    assert_eq!(check(refused).await.expect(200).data()["allowed"], false);
    let wrong = check(json!({"origin": "", "allowed_domains": ["com"]})).await.expect(422).json();
    assert_eq!(wrong["error"]["errors"].as_array().unwrap().len(), 2, "{wrong}");
}

async fn what_a_revocation_would_cut_is_what_it_cuts(world: &World) {
    let upstream = Upstream::start().await;
    let bot = world.bot_on(&upstream, "slow").await;
    let key = world.key("chat", json!({"name": "Chat", "scopes": ["chat:write"]})).await;
    let path = format!("/v1/api-keys/{}", key.id());
    let impact = async || world.secret().get(&format!("{path}/impact")).await.expect(200).data();
    assert_eq!(impact().await, json!({"open_streams": 0, "live_sessions": 0, "ends_deployment": false}));
    let session = world.open_session("talks", &key, &bot).await;
    let idle = world.open_session("idle", &key, &bot).await;
    let _ = idle.history().await;
    let mut events = session.say("hello").await;
    let _ = events.until("chunk").await;
    assert!(eventually(SECOND, async || impact().await["open_streams"] == 1).await);
    assert_eq!(impact().await["live_sessions"], 2);
    let receipt = world.secret().delete(&path).await.expect(200).data();
    assert_eq!(receipt["streams_closed"], 1);
    assert_eq!(impact().await["open_streams"], 0);
    let _ = world.other_workspace_secret().get(&format!("{path}/impact")).await.expect(404);
}
