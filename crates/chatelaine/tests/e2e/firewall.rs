//! The audience firewall and the origin rule: server keys on servers, widget keys on listed pages.

use std::time::Duration;

use ambient::{RunId, Ulid};
use serde_json::{Value, json};
use testkit::{ORIGIN, World, eventually};

async fn audited(world: &World, action: &str) -> Vec<Value> {
    let list = world.secret().get(&format!("/v1/audit-log?per_page=100&action={action}")).await.expect(200).data();
    list.as_array().unwrap().iter().filter(|record| record["action"] == action).cloned().collect()
}

async fn conversations(world: &World) -> Value {
    world.secret().get("/v1/conversations").await.expect(200).json()["meta"]["total"].take()
}

on_both! {
    a_server_key_from_a_browser_is_refused_and_reported;
    the_firewall_stands_before_every_operation;
    our_own_page_and_a_key_behind_a_proxy_may;
    a_server_key_in_our_frame_is_reported_with_the_page_around_it;
    a_deployment_s_key_is_for_servers_and_a_participant_s_token_for_browsers;
    a_widget_key_opens_sessions_and_nothing_else;
    a_widget_key_works_on_listed_origins_and_leaves_no_row_elsewhere;
    localhost_can_be_switched_off;
    editing_the_list_is_in_force_at_once;
    a_preflight_gets_a_fixed_answer_without_a_key;
    a_page_may_read_why_it_was_refused;
    a_widget_session_stays_on_its_origin;
    a_list_that_would_admit_everybody_is_refused_when_saved;
}

async fn a_server_key_from_a_browser_is_refused_and_reported(world: &World) {
    let key = world.key("leaked", json!({"name": "Leaked", "scopes": ["bots:read"]})).await;
    let _ = key.at(Some("https://example.com")).get("/v1/bots").await.refused(403, "SECRET_KEY_IN_BROWSER");
    let seen = async || !audited(world, "api_key.exposed").await.is_empty();
    assert!(eventually(Duration::from_secs(5), seen).await, "no audit record");
    let record = audited(world, "api_key.exposed").await.remove(0);
    assert!(record.to_string().contains(key.id()), "{record}");
    assert!(record.to_string().contains("https://example.com"), "{record}");
    assert!(!record.to_string().contains(key.credential()), "never the key itself");
    for (name, value) in [
        ("origin", "null"),
        ("origin", ""),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "none"),
        ("sec-fetch-site", "same-site"),
    ] {
        let _ = key.request("GET", "/v1/bots").header(name, value).send().await.refused(403, "SECRET_KEY_IN_BROWSER");
    }
    let _ = key.get("/v1/bots").await.expect(200);
    assert_eq!(audited(world, "api_key.exposed").await.len(), 1, "a page that retries is one exposure");
}

async fn the_firewall_stands_before_every_operation(world: &World) {
    let key = world.secret().at(Some("https://evil.example"));
    for path in ["/v1/me", "/v1/bots", "/v1/api-keys", "/v1/service-accounts", "/v1/conversations", "/v1/audit-log"] {
        let _ = key.get(path).await.refused(403, "SECRET_KEY_IN_BROWSER");
    }
    let _ = key.post("/v1/bots", &json!({"name": "No"})).await.refused(403, "SECRET_KEY_IN_BROWSER");
    let _ = key.post("/v1/chat/sessions", &json!({"agent_id": "bot_1"})).await.refused(403, "SECRET_KEY_IN_BROWSER");
    let account = world.service_account().await.at(Some(ORIGIN));
    let _ = account.get("/v1/bots").await.refused(403, "SECRET_KEY_IN_BROWSER");
}

async fn a_deployment_s_key_is_for_servers_and_a_participant_s_token_for_browsers(world: &World) {
    let key = world.deployment().await;
    let me = key.get("/v1/me").await.expect(200).data();
    assert_eq!((&me["kind"], &me["scopes"]), (&json!("deployment"), &json!([])));
    let _ = key.at(Some(ORIGIN)).get("/v1/me").await.refused(403, "SECRET_KEY_IN_BROWSER");
    let _ = key.get("/v1/bots").await.refused(403, "WRONG_CREDENTIAL");
    let seen = async || !audited(world, "api_key.exposed").await.is_empty();
    assert!(eventually(Duration::from_secs(5), seen).await, "no audit record");
    let customer = world.participant(&key, RunId(Ulid(1)), "customer");
    for origin in [Some(ORIGIN), Some("https://anywhere.example"), None] {
        let _ = customer.at(origin).get("/v1/bots").await.refused(403, "WRONG_CREDENTIAL");
    }
    let _ = world.secret().delete(&format!("/v1/api-keys/{}", key.id())).await.expect(200);
    let _ = key.get("/v1/me").await.refused(401, "INVALID_API_KEY");
    let _ = customer.get("/v1/bots").await.refused(401, "INVALID_TOKEN");
}

async fn our_own_page_and_a_key_behind_a_proxy_may(world: &World) {
    let own = world.server().url().to_owned();
    let _ = world.secret().at(Some(&own)).get("/v1/me").await.expect(200);
    let _ = world.secret().request("GET", "/v1/me").header("sec-fetch-site", "same-origin").send().await.expect(200);
    let lie = world.secret().at(Some("https://evil.example")).request("GET", "/v1/me");
    let _ = lie.header("sec-fetch-site", "same-origin").send().await.refused(403, "SECRET_KEY_IN_BROWSER");
    let proxied = world.key("proxied", json!({"name": "Proxied", "allow_origin_header": true})).await;
    let _ = proxied.at(Some("https://anything.example")).get("/v1/me").await.expect(200);
}

async fn a_server_key_in_our_frame_is_reported_with_the_page_around_it(world: &World) {
    let (key, own) = (world.secret(), world.server().url().to_owned());
    let body = json!({"agent_id": world.bot().await});
    let send = |around: &str| {
        let request = key.at(Some(&own)).request("POST", "/v1/chat/sessions");
        request.header("x-embedding-origin", around).json(&body)
    };
    let _ = send("https://customer.example").send().await.refused(403, "SECRET_KEY_IN_BROWSER");
    assert_eq!(conversations(world).await, 0, "refused before any side effect");
    let seen = async || !audited(world, "api_key.exposed").await.is_empty();
    assert!(eventually(Duration::from_secs(5), seen).await, "no audit record");
    assert_eq!(audited(world, "api_key.exposed").await[0]["detail"]["origin"], "https://customer.example");
    let _ = send(&own).send().await.expect(201);
}

async fn a_widget_key_opens_sessions_and_nothing_else(world: &World) {
    let widget = world.widget().await;
    for path in ["/v1/bots", "/v1/api-keys", "/v1/conversations", "/v1/audit-log", "/v1/service-accounts"] {
        let _ = widget.get(path).await.refused(403, "WRONG_CREDENTIAL");
    }
    let _ = widget.post("/v1/bots", &json!({"name": "No"})).await.refused(403, "WRONG_CREDENTIAL");
    let _ = widget.at(None).get("/v1/bots").await.refused(403, "WRONG_CREDENTIAL");
    let session = world.open_session("widget_session", &widget, &world.bot().await).await;
    assert!(session.say("hello").await.rest().await.len() > 2);
}

async fn a_widget_key_works_on_listed_origins_and_leaves_no_row_elsewhere(world: &World) {
    let (widget, bot) = (world.widget().await, world.bot().await);
    let body = json!({"agent_id": bot});
    let refused = [
        None,
        Some("null"),
        Some(""),
        Some("https://evil-example.com"),
        Some("https://notexample.com"),
        Some("https://example.com.evil.net"),
        Some("https://evil.net/https://example.com"),
        Some("http://example.com@evil.net"),
        Some("https://example.co"),
        Some("https://com"),
        Some("example.com"),
        Some("https://example.com/"),
        Some("ftp://example.com"),
        Some("https://xn--xample-9ua.com"),
        Some("https://example.com, https://example.com"),
    ];
    for origin in refused {
        let _ = widget.at(origin).post("/v1/chat/sessions", &body).await.refused(403, "ORIGIN_NOT_ALLOWED");
    }
    let twice = widget.at(Some(ORIGIN)).request("POST", "/v1/chat/sessions").origin(ORIGIN).json(&body).send().await;
    let _ = twice.refused(403, "ORIGIN_NOT_ALLOWED");
    assert_eq!(conversations(world).await, 0, "refused before any side effect");
    let allowed = [
        "https://example.com",
        "https://sub.example.com",
        "https://a.b.example.com",
        "http://localhost:3000",
        "http://127.0.0.1:8080",
        "http://[::1]:5173",
    ];
    for origin in allowed {
        let answer = widget.at(Some(origin)).post("/v1/chat/sessions", &body).await.expect(201);
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        assert!(answer.header("access-control-allow-credentials").is_empty());
        assert!(answer.header("vary").to_lowercase().contains("origin"), "{:?}", answer.headers);
    }
    assert_eq!(conversations(world).await, allowed.len());
}

async fn localhost_can_be_switched_off(world: &World) {
    let domains = "https://example.com, shop.example.org";
    let strict = json!({"name": "Strict", "kind": "widget", "allowed_domains": domains, "allow_localhost": false});
    let (strict, bot) = (world.key("strict", strict).await, world.bot().await);
    let body = json!({"agent_id": bot});
    let _ = strict
        .at(Some("http://localhost:3000"))
        .post("/v1/chat/sessions", &body)
        .await
        .refused(403, "ORIGIN_NOT_ALLOWED");
    let _ = strict.at(Some("https://shop.example.org")).post("/v1/chat/sessions", &body).await.expect(201);
    let _ = strict
        .at(Some("https://example.org"))
        .post("/v1/chat/sessions", &body)
        .await
        .refused(403, "ORIGIN_NOT_ALLOWED");
}

async fn editing_the_list_is_in_force_at_once(world: &World) {
    let (widget, bot) = (world.widget().await, world.bot().await);
    let session = world.open_session("widget_session", &widget, &bot).await;
    let path = format!("/v1/api-keys/{}", widget.id());
    let _ = world.secret().patch(&path, &json!({"allowed_domains": ["example.org"]})).await.expect(200);
    let _ = widget.post("/v1/chat/sessions", &json!({"agent_id": bot})).await.refused(403, "ORIGIN_NOT_ALLOWED");
    let _ = session.get(&session.messages()).await.refused(403, "ORIGIN_NOT_ALLOWED");
    let moved = widget.at(Some("https://example.org"));
    let _ = moved.post("/v1/chat/sessions", &json!({"agent_id": bot})).await.expect(201);
}

async fn a_preflight_gets_a_fixed_answer_without_a_key(world: &World) {
    let preflight = |path: &str| {
        let request = world.client().request("OPTIONS", path).origin("https://anywhere.example");
        request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization")
            .send()
    };
    for path in ["/v1/chat/sessions", "/v1/chat/sessions/conv_1/messages", "/v1/chat/sessions/conv_1/end"] {
        let answer = preflight(path).await.expect(204);
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert!(answer.header("access-control-allow-methods").contains("POST"), "{path}");
        assert!(answer.header("access-control-allow-headers").contains("authorization"), "{path}");
        assert!(answer.header("access-control-allow-credentials").is_empty());
    }
    let answer = preflight("/v1/bots").await;
    assert!(answer.header("access-control-allow-origin").is_empty() && answer.status == 405, "{}", answer.status);
    let proxied = world.key("proxied", json!({"name": "Proxied", "allow_origin_header": true})).await;
    let read = proxied.at(Some("https://anything.example")).get("/v1/bots").await.expect(200);
    assert!(read.header("access-control-allow-origin").is_empty(), "no page may read the management API");
}

async fn a_page_may_read_why_it_was_refused(world: &World) {
    let (widget, body) = (world.widget().await, json!({"agent_id": world.bot().await}));
    let evil = "https://evil-example.com";
    let unlisted = widget.at(Some(evil)).post("/v1/chat/sessions", &body).await.refused(403, "ORIGIN_NOT_ALLOWED");
    let unknown = world.client().post("/v1/chat/sessions", &body).bearer("tk_widget_wrong").origin(evil).send().await;
    let token =
        world.client().post("/v1/chat/sessions/conv_1/end", &json!({})).bearer("wrong").origin(evil).send().await;
    for answer in [unlisted, unknown, token] {
        assert_eq!(answer.header("access-control-allow-origin"), evil, "{} {}", answer.status, answer.text());
        assert!(answer.header("access-control-expose-headers").contains("retry-after"));
        assert!(answer.header("access-control-allow-credentials").is_empty());
    }
}

async fn a_widget_session_stays_on_its_origin(world: &World) {
    let session = world.widget_session().await;
    let path = session.messages();
    let _ = session.get(&path).await.expect(200);
    for origin in
        [None, Some("null"), Some("https://sub.example.com"), Some("https://evil.example"), Some("http://example.com")]
    {
        let _ = session.at(origin).get(&path).await.refused(403, "ORIGIN_NOT_ALLOWED");
        let _ = session.at(origin).post(&path, &json!({"message": "hi"})).await.refused(403, "ORIGIN_NOT_ALLOWED");
    }
    assert!(session.history().await.is_empty(), "nothing was stored");
    let server_session = world.session().await;
    let _ = server_session.at(Some("https://evil.example")).get(&server_session.messages()).await.expect(200);
}

async fn a_list_that_would_admit_everybody_is_refused_when_saved(world: &World) {
    for domains in [
        json!(["com"]),
        json!(["co.uk"]),
        json!(["*"]),
        json!([]),
        json!(["github.io"]),
        json!(""),
        json!(["https://"]),
        json!(["a b"]),
    ] {
        let body = json!({"name": "Wide", "kind": "widget", "allowed_domains": domains});
        let _ = world.secret().post("/v1/api-keys", &body).await.refused(422, "VALIDATION_FAILED");
    }
    let many: Vec<String> = (0..51).map(|n| format!("a{n}.example")).collect();
    let body = json!({"name": "Many", "kind": "widget", "allowed_domains": many});
    let _ = world.secret().post("/v1/api-keys", &body).await.refused(422, "VALIDATION_FAILED");
    let _ = world
        .secret()
        .post("/v1/api-keys", &json!({"name": "None", "kind": "widget"}))
        .await
        .refused(422, "VALIDATION_FAILED");
}
