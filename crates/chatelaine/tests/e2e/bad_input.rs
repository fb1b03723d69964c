//! Requests that are wrong: the envelope, the right status, and nothing of what is inside.

use serde_json::{Value, json};
use testkit::{Answer, World};

/// What a refusal must never show.
const INSIDE: [&str; 12] = [
    "sqlx",
    "SELECT",
    "INSERT",
    "panicked",
    "/crates/",
    "src/",
    ".rs",
    "axum",
    "hyper",
    "serde",
    "tokio",
    "SqliteError",
];

#[track_caller]
pub(crate) fn shows_nothing_inside(answer: &str) {
    // Of some thousand ids one spells `serde` or `hyper` by chance.
    let is_id = |run: &str| run.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).len() == 26;
    let runs = answer.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    let text: String = runs.filter(|run| !is_id(run)).collect();
    for word in INSIDE {
        assert!(!text.contains(word), "{word}: {answer}");
    }
}

#[test]
fn an_id_that_spells_a_word_shows_nothing_and_the_word_does() {
    shows_nothing_inside("{\"request_id\":\"req_01m8236g7cjgrserdew5c7m8m8\"}");
    for shown in ["at src/lib.rs:3", "a serde error", "req_01m8236g7cjgr2wwy5c7m8m8r8 hyper"] {
        assert!(std::panic::catch_unwind(|| shows_nothing_inside(shown)).is_err(), "{shown}");
    }
}

/// The status and the code of an answer that was read raw.
#[track_caller]
fn envelope(raw: &str) -> (u16, String) {
    let (head, body) = raw.split_once("\r\n\r\n").unwrap_or((raw, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    let error = &json["error"];
    assert!(error["message"].is_string() && error["request_id"].is_string(), "no envelope: {raw}");
    assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
    shows_nothing_inside(body);
    (status.unwrap_or_else(|| panic!("no status: {raw}")), error["code"].as_str().unwrap_or_default().to_owned())
}

async fn create_bot(world: &World, media_type: &str, body: &[u8]) -> Answer {
    world.secret().request("POST", "/v1/bots").body(media_type, body.to_vec()).send().await
}

fn first_field(answer: &Answer) -> String {
    answer.json()["error"]["errors"][0]["field"].as_str().unwrap_or_default().to_owned()
}

on_both! {
    malformed_json_is_400;
    a_wrong_type_is_422_and_names_the_field;
    a_member_that_is_not_known_is_422;
    all_that_is_wrong_is_said_at_once;
    a_body_over_256_kib_is_413;
    an_unknown_path_is_404_and_an_unknown_method_is_405;
    a_header_of_a_megabyte_is_431;
    a_request_that_is_not_http_is_refused_and_the_server_stays;
    a_form_or_a_page_is_415;
    an_id_that_is_none_is_404;
    a_page_that_is_none_is_400;
    a_nul_is_refused_wherever_it_stands;
}

async fn malformed_json_is_400(world: &World) {
    let bodies: [&[u8]; 14] = [
        b"{",
        b"}",
        b"{\"name\":",
        b"{\"name\":\"a\"",
        b"{'name':'a'}",
        b"{\"name\":\"a\",}",
        b"{\"name\":\"a\"} {}",
        b"nonsense",
        b"{\"name\":\"\xff\"}",
        b"\x00",
        b"{\"name\":NaN}",
        b"{\"name\":\"a\nb\"}",
        b"{\"name\":\"\\ud800\"}",
        b"\xef\xbb\xbf{\"name\":\"a\"}",
    ];
    for body in bodies {
        let answer = create_bot(world, "application/json", body).await;
        shows_nothing_inside(&answer.text());
        let _ = answer.refused(400, "INVALID_REQUEST");
    }
    let deep = [b"{\"name\":".as_slice(), &b"[".repeat(100_000), b"1"].concat();
    let answer = create_bot(world, "application/json", &deep).await;
    assert!([400, 422].contains(&answer.status), "{}", answer.text());
    assert_eq!(world.secret().get("/v1/bots").await.json()["meta"]["total"], 0, "nothing half-stored");
}

async fn a_wrong_type_is_422_and_names_the_field(world: &World) {
    for (body, field) in [
        (json!({"name": 1}), "name"),
        (json!({"name": null}), "name"),
        (json!({"name": "a", "context_messages": "ten"}), "context_messages"),
        (json!({"name": "a", "context_messages": -1}), "context_messages"),
        (json!({"name": "a", "context_messages": 1.5}), "context_messages"),
        (json!({"name": "a", "context_messages": 1e300}), "context_messages"),
        (json!({"name": "a", "greeting": {}}), "greeting"),
        (json!({"name": "a", "architecture": "brain"}), "architecture"),
        (json!({"name": ""}), "name"),
        (json!({"name": "x".repeat(101)}), "name"),
        (json!({"name": "a\u{0}b"}), "name"),
    ] {
        let answer = world.secret().post("/v1/bots", &body).await.refused(422, "VALIDATION_FAILED");
        assert_eq!(first_field(&answer), field, "{body}: {}", answer.text());
        shows_nothing_inside(&answer.text());
    }
    for body in [json!([]), json!(null), json!("a"), json!(1), json!({})] {
        let _ = world.secret().post("/v1/bots", &body).await.refused(422, "VALIDATION_FAILED");
    }
    let scopes = json!({"name": "a", "scopes": ["bots:read", "bots:fly"]});
    let answer = world.secret().post("/v1/api-keys", &scopes).await.refused(422, "VALIDATION_FAILED");
    assert_eq!(first_field(&answer), "scopes[1]");
    assert_eq!(world.secret().get("/v1/bots").await.json()["meta"]["total"], 0, "nothing half-stored");
}

async fn a_member_that_is_not_known_is_422(world: &World) {
    for extra in ["id", "workspace_id", "created_at", "model", "is_admin", "__proto__"] {
        let mut body = json!({"name": "a"});
        body[extra] = json!("x");
        let answer = world.secret().post("/v1/bots", &body).await.refused(422, "VALIDATION_FAILED");
        assert!(answer.text().contains(extra), "{}", answer.text());
    }
    for extra in ["id", "revoked_at", "created_by", "key", "service_account_id", "epoch", "workspace_id", "digest"] {
        let mut body = json!({"name": "a"});
        body[extra] = json!("x");
        let _ = world.secret().post("/v1/api-keys", &body).await.refused(422, "VALIDATION_FAILED");
    }
}

async fn all_that_is_wrong_is_said_at_once(world: &World) {
    let body = json!({"name": "", "context_messages": 0, "greeting": "g".repeat(2001)});
    let answer = world.secret().post("/v1/bots", &body).await.refused(422, "VALIDATION_FAILED");
    let fields: Vec<String> =
        answer.json()["error"]["errors"].as_array().unwrap().iter().map(|e| e["field"].to_string()).collect();
    assert_eq!(fields.len(), 3, "{fields:?}");
}

async fn a_body_over_256_kib_is_413(world: &World) {
    let key = world.secret();
    let head = |length: &str| {
        format!(
            "POST /v1/bots HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Connection: close\r\n{length}\r\n\r\n",
            key.credential()
        )
    };
    let declared = world.client().raw(head("Content-Length: 262145").as_bytes()).await;
    assert_eq!(envelope(&declared), (413, "PAYLOAD_TOO_LARGE".to_owned()), "refused unread");
    let huge = world.client().raw(head("Content-Length: 99999999999999").as_bytes()).await;
    assert_eq!(envelope(&huge), (413, "PAYLOAD_TOO_LARGE".to_owned()));
    let chunk = format!("8000\r\n{}\r\n", "x".repeat(0x8000)).repeat(9);
    let chunked =
        world.client().raw(format!("{}{chunk}0\r\n\r\n", head("Transfer-Encoding: chunked")).as_bytes()).await;
    assert_eq!(envelope(&chunked), (413, "PAYLOAD_TOO_LARGE".to_owned()));
    let answer = create_bot(world, "application/json", &vec![b' '; 300 * 1024]).await;
    let _ = answer.refused(413, "PAYLOAD_TOO_LARGE");
    let mut fits = json!({"name": "Big", "instructions": "i".repeat(32_000)}).to_string().into_bytes();
    fits.resize(256 * 1024, b' ');
    let _ = create_bot(world, "application/json", &fits).await.expect(201);
}

async fn an_unknown_path_is_404_and_an_unknown_method_is_405(world: &World) {
    for path in [
        "/v1/nothing",
        "/v1",
        "/v1/",
        "/v1/bots/",
        "/v2/bots",
        "/v1/bots/a/b/c",
        "/%00",
        "/..%2f..%2fetc/passwd",
        "/v1//bots",
        "/V1/BOTS",
        "/robots.txt",
    ] {
        let _ = world.secret().get(path).await.refused(404, "NOT_FOUND");
        let _ = world.anonymous().get(path).await.refused(404, "NOT_FOUND");
    }
    for (method, path, allowed) in [
        ("PUT", "/v1/bots", ["GET", "POST"].as_slice()),
        ("DELETE", "/v1/bots", &["GET", "POST"]),
        ("POST", "/v1/me", &["GET"]),
        ("PUT", "/v1/api-keys/key_1", &["GET", "PATCH", "DELETE"]),
        ("GET", "/v1/setup", &["POST"]),
        ("TRACE", "/v1/me", &["GET"]),
        ("BREW", "/v1/me", &["GET"]),
        ("OPTIONS", "/v1/bots", &["GET", "POST"]),
    ] {
        for by in [world.anonymous(), world.secret()] {
            let answer = by.request(method, path).send().await.refused(405, "METHOD_NOT_ALLOWED");
            for method in allowed {
                assert!(
                    answer.header("allow").split(',').any(|given| given.trim() == *method),
                    "{path}: {}",
                    answer.header("allow")
                );
            }
        }
    }
    let head = world.secret().request("HEAD", "/v1/me").send().await;
    assert!(head.body.is_empty() && (head.status == 200 || head.status == 405), "{}", head.status);
}

async fn a_header_of_a_megabyte_is_431(world: &World) {
    for name in ["X-Big", "Authorization", "Cookie"] {
        let request = format!("GET /v1/me HTTP/1.1\r\nHost: x\r\n{name}: {}\r\n\r\n", "a".repeat(1 << 20));
        assert_eq!(
            envelope(&world.client().raw(request.as_bytes()).await),
            (431, "HEADERS_TOO_LARGE".to_owned()),
            "{name}"
        );
    }
    let many = "X-Many: 1\r\n".repeat(1000);
    let raw = world.client().raw(format!("GET /v1/me HTTP/1.1\r\nHost: x\r\n{many}\r\n").as_bytes()).await;
    assert_eq!(envelope(&raw).0, 431);
    let _ = world.secret().get("/v1/me").await.expect(200);
}

async fn a_request_that_is_not_http_is_refused_and_the_server_stays(world: &World) {
    let key = world.secret();
    for raw in [
        "nonsense\r\n\r\n",
        "GET\r\n\r\n",
        "GET /v1/me HTTP/9.9\r\n\r\n",
        "GET /v1/me HTTP/1.1\r\nbad header\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}",
        "GET /v1/me HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        "POST /v1/bots HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = world.client().raw(raw.as_bytes()).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.0 4"),
            "{raw:?}: {answer}"
        );
        shows_nothing_inside(&answer);
    }
    let smuggled = format!(
        "POST /v1/bots HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 6\r\n\
         Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/me HTTP/1.1\r\n\r\n",
        key.credential()
    );
    let answer = world.client().raw(smuggled.as_bytes()).await;
    assert!(!answer.contains("HTTP/1.1 20"), "{answer}");
    let _ = key.get("/v1/me").await.expect(200);
}

async fn a_form_or_a_page_is_415(world: &World) {
    let body = br#"{"name":"Bot"}"#;
    for media_type in [
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/form-data; boundary=x",
        "text/html",
        "application/xml",
        "json",
        "\"application/json\"",
    ] {
        let _ = create_bot(world, media_type, body).await.refused(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    for media_type in
        ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.x+json", ""]
    {
        let _ = create_bot(world, media_type, body).await.expect(201);
    }
}

async fn an_id_that_is_none_is_404(world: &World) {
    let key = world.secret();
    for id in [
        "x",
        "bot_",
        "bot_1",
        "key_00000000000000000000000001",
        "bot_ZZZZZZZZZZZZZZZZZZZZZZZZZZ",
        "%27",
        "..",
        "bot_0000000000000000000000000%31",
        &"a".repeat(5000),
        "bot_00000000000000000000000001%00",
    ] {
        for path in [
            format!("/v1/bots/{id}"),
            format!("/v1/bots/{id}/integrations"),
            format!("/v1/bots/{id}/conversations"),
            format!("/v1/integrations/{id}"),
        ] {
            let answer = key.get(&path).await;
            if path.ends_with("/conversations") && answer.status == 200 {
                assert_eq!(answer.json()["meta"]["total"], 0);
                continue;
            }
            let _ = answer.refused(404, "NOT_FOUND");
        }
        let _ = key.delete(&format!("/v1/api-keys/{id}")).await.refused(404, "NOT_FOUND");
        let _ = key.delete(&format!("/v1/conversations/{id}")).await.refused(404, "NOT_FOUND");
        let _ = key.patch(&format!("/v1/service-accounts/{id}"), &json!({})).await.refused(404, "NOT_FOUND");
    }
}

async fn a_page_that_is_none_is_400(world: &World) {
    for query in [
        "page=0",
        "page=-1",
        "page=x",
        "page=1.5",
        "page=99999999999999999999",
        "per_page=0",
        "per_page=101",
        "per_page=x",
        "page=",
        "page=1%00",
    ] {
        let answer = world.secret().get(&format!("/v1/bots?{query}")).await.refused(400, "INVALID_REQUEST");
        assert!(answer.text().contains("page"), "{query}: {}", answer.text());
        shows_nothing_inside(&answer.text());
    }
    assert_eq!(world.secret().get("/v1/bots?page=1000000&per_page=100").await.expect(200).data(), json!([]));
    let session = world.session().await;
    for query in ["limit=0", "limit=101", "limit=x", "limit=-5"] {
        let _ = session.get(&format!("{}?{query}", session.messages())).await.refused(400, "INVALID_REQUEST");
    }
    let _ = world
        .secret()
        .get("/v1/audit-log?page=1&after=aud_00000000000000000000000001")
        .await
        .refused(400, "INVALID_REQUEST");
    let _ = world.secret().get("/v1/conversations?bot_id=nonsense").await.refused(400, "INVALID_REQUEST");
}

/// SQLite would take it and PostgreSQL has no room for it: neither is our own outage.
async fn a_nul_is_refused_wherever_it_stands(world: &World) {
    let key = world.secret();
    let bot = world.bot().await;
    let integrations = format!("/v1/bots/{bot}/integrations");
    for (path, body) in [
        ("/v1/bots", json!({"name": "a", "description": "\0"})),
        ("/v1/bots", json!({"name": "a", "greeting": "a\0"})),
        ("/v1/bots", json!({"name": "a", "instructions": "a\0"})),
        ("/v1/api-keys", json!({"name": "a\0"})),
        ("/v1/api-keys", json!({"name": "a", "owner": "\0"})),
        ("/v1/api-keys", json!({"name": "a", "purpose": "\0"})),
        ("/v1/api-keys", json!({"name": "a", "metadata": {"a": "\0"}})),
        ("/v1/api-keys", json!({"name": "a", "metadata": {"a\0": [1]}})),
        ("/v1/api-keys", json!({"name": "a", "kind": "widget", "allowed_domains": ["a\0.example.com"]})),
        ("/v1/service-accounts", json!({"name": "a", "description": "\0"})),
        ("/v1/chat/sessions", json!({"agent_id": bot, "user_identifier": "\0"})),
        ("/v1/chat/sessions", json!({"agent_id": bot, "metadata": {"a": {"b": ["\0"]}}})),
        (&integrations, json!({"kind": "echo", "name": "\0"})),
        (&integrations, json!({"kind": "\0"})),
        (&integrations, json!({"kind": "openai", "url": "https://a\0.example/v1", "model": "m"})),
        (&integrations, json!({"kind": "openai", "url": "https://example.com/v1", "model": "m\0"})),
        (
            &integrations,
            json!({"kind": "openai", "url": "https://example.com/v1", "model": "m", "headers": {"a\0": "b"}}),
        ),
    ] {
        let _ = key.post(path, &body).await.refused(422, "VALIDATION_FAILED");
    }
    let session = world.session().await;
    let _ = session.post(&session.messages(), &json!({"message": "a\0"})).await.refused(422, "VALIDATION_FAILED");
    for path in ["/v1/audit-log?action=%00", "/v1/audit-log?after=%00", "/v1/conversations?bot_id=%00"] {
        let _ = key.get(path).await.refused(400, "INVALID_REQUEST");
    }
}
