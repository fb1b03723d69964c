//! Connections: the secrets of workflows' tools, sent to one origin and shown to nobody.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use testkit::{Persona, World, eventually, id_of};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

on_both! {
    a_tool_sends_its_connection_s_headers_and_nobody_reads_them;
    the_headers_go_to_one_origin_alone;
    a_definition_names_connections_that_are_there;
    a_change_counts_at_once_and_another_origin_gets_no_old_secret;
    a_connection_that_a_deployment_names_is_not_deleted;
    what_is_no_connection_is_refused_and_named;
    who_deploys_what_uses_a_connection_may_know_connections;
}

const SECRET: &str = "hunter2-of-these-tests";

/// A server that answers with the head that it was sent.
pub(crate) struct Mirror {
    pub(crate) origin: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Mirror {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    let mut part = [0; 4096];
                    match stream.read(&mut part).await {
                        Ok(0) | Err(_) => break,
                        Ok(n) => head.extend_from_slice(&part[..n]),
                    }
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let body = json!({ "you_sent": head }).to_string();
                seen.lock().unwrap().push(head);
                let answer =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { origin, heads }
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn connect(world: &World, origin: &str) -> String {
    let headers = json!({"Authorization": format!("Bearer {SECRET}"), "X-Team": "of the connection"});
    let body = json!({"name": "Their API", "origin": origin, "headers": headers});
    id_of(&world.secret().post("/v1/connections", &body).await.expect(201))
}

pub(crate) fn calling(url: &str, connection: &str) -> Value {
    json!({"type": "Workflow", "id": "root", "children": [{
        "type": "Tool", "id": "call", "url": url, "connection": connection, "retries": 0, "on_error": "continue",
        "headers": {"x-team": "of the tool", "x-own": "of the tool"},
    }]})
}

/// The id and the holder of the key of a new deployment.
pub(crate) async fn deploy(world: &World, definition: &Value) -> (String, Persona) {
    let workflow = json!({"name": "Calls", "definition": definition});
    let workflow = id_of(&world.secret().post("/v1/workflows", &workflow).await.expect(201));
    let made = world.secret().post(&format!("/v1/workflows/{workflow}/deployments"), &json!({})).await.expect(201);
    let key = made.data()["key"].as_str().unwrap().to_owned();
    (id_of(&made), world.anonymous().with("deployment", key))
}

/// A run to its end.
pub(crate) async fn run(by: &Persona) -> Value {
    let started = by.post("/api/v1/runs", &json!({})).await.expect(202).json();
    let path = format!("/api/v1/runs/{}", started["run_id"].as_str().unwrap());
    let look = async || by.get(&path).await.expect(200).json();
    let over = eventually(Duration::from_secs(10), async || !look().await["finished_at"].is_null()).await;
    assert!(over, "{}", look().await);
    look().await
}

async fn a_tool_sends_its_connection_s_headers_and_nobody_reads_them(world: &World) {
    let mirror = Mirror::start().await;
    let connection = connect(world, &mirror.origin).await;
    let (_, by) = deploy(world, &calling(&format!("{}/things", mirror.origin), &connection)).await;
    let done = run(&by).await;
    assert_eq!((&done["status"], &done["state"]["call"]["status"]), (&json!("completed"), &json!(200)), "{done}");
    let [head] = &mirror.heads()[..] else { panic!("{:?}", mirror.heads()) };
    assert!(head.contains(&format!("authorization: Bearer {SECRET}\r\n")), "{head}");
    assert!(head.contains("x-team: of the connection\r\n") && head.contains("x-own: of the tool\r\n"), "{head}");
    assert!(!head.contains("x-team: of the tool"), "{head}");
    let echoed = done["state"]["call"]["body"]["you_sent"].as_str().unwrap();
    assert!(echoed.contains("authorization: [secret]") && !echoed.contains(SECRET), "{echoed}");

    let events = by.get(&format!("/api/v1/runs/{}/events", done["id"].as_str().unwrap())).await.expect(200).text();
    let shown = world.secret().get(&format!("/v1/connections/{connection}")).await.expect(200);
    let masked = json!({"authorization": "••••••••", "x-team": "••••••••"});
    assert_eq!((&shown.data()["headers"], &shown.data()["origin"]), (&masked, &json!(mirror.origin)));
    let list = world.secret().get("/v1/connections").await.expect(200);
    assert_eq!((list.json()["meta"]["total"].as_u64(), &list.data()[0]["id"]), (Some(1), &json!(connection)));
    let log = world.secret().get("/v1/audit-log").await.expect(200).text();
    let stored = world.server().database().bytes().await;
    let places = [
        ("run", done.to_string().into_bytes()),
        ("events", events.into_bytes()),
        ("connection", shown.text().into_bytes()),
        ("list", list.text().into_bytes()),
        ("audit log", log.into_bytes()),
        ("request log", world.server().request_log().into_bytes()),
        ("database", stored),
    ];
    for (place, bytes) in places {
        assert!(!bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()), "{place}");
    }
}

async fn the_headers_go_to_one_origin_alone(world: &World) {
    let (theirs, other) = (Mirror::start().await, Mirror::start().await);
    let connection = connect(world, &theirs.origin).await;
    let named = theirs.origin.replace("127.0.0.1", "localhost");
    for url in [format!("{}/x", other.origin), format!("{named}/x"), theirs.origin.replace("http:", "https:") + "/x"] {
        let (_, by) = deploy(world, &calling(&url, &connection)).await;
        assert_eq!(run(&by).await["state"]["call"]["error"], "connection_origin", "{url}");
    }
    assert!(theirs.heads().is_empty() && other.heads().is_empty(), "nothing goes out, not even without secrets");
}

async fn a_definition_names_connections_that_are_there(world: &World) {
    let by = world.secret();
    let connection = connect(world, "https://api.example.com").await;
    let save = async |by: &Persona, connection: &str| {
        let definition = calling("https://api.example.com/x", connection);
        by.post("/v1/workflows", &json!({"name": "W", "definition": definition})).await
    };
    for absent in ["conn_1", "conn_00000000000000000000000001"] {
        let refused = save(&by, absent).await.refused(422, "VALIDATION_FAILED").json();
        assert_eq!(refused["error"]["errors"][0]["field"], "/definition/children/0/connection", "{refused}");
        assert!(refused["error"]["message"].as_str().unwrap().contains("`call`"), "{refused}");
    }
    let _ = save(&world.test_secret().await, &connection).await.refused(422, "VALIDATION_FAILED");
    let _ = save(&world.other_workspace_secret(), &connection).await.refused(422, "VALIDATION_FAILED");
    let workflow = id_of(&save(&by, &connection).await.expect(201));
    let _ = by.delete(&format!("/v1/connections/{connection}")).await.expect(204);
    let deploy = by.post(&format!("/v1/workflows/{workflow}/deployments"), &json!({})).await;
    let refused = deploy.refused(422, "VALIDATION_FAILED").json();
    assert_eq!(refused["error"]["errors"][0]["field"], "/definition/children/0/connection", "{refused}");
}

async fn a_change_counts_at_once_and_another_origin_gets_no_old_secret(world: &World) {
    let (mirror, other) = (Mirror::start().await, Mirror::start().await);
    let connection = connect(world, &mirror.origin).await;
    let path = format!("/v1/connections/{connection}");
    let (_, by) = deploy(world, &calling(&format!("{}/x", mirror.origin), &connection)).await;
    let _ = run(&by).await;
    let change = json!({"headers": {"authorization": "Bearer another-one", "x-team": "••••••••"}});
    let _ = world.secret().patch(&path, &change).await.expect(200);
    let _ = run(&by).await;
    let heads = mirror.heads();
    assert!(heads[0].contains(SECRET) && heads[1].contains("Bearer another-one\r\n") && !heads[1].contains(SECRET));
    assert!(heads[1].contains("x-team: of the connection\r\n"), "what was sent back masked stays: {}", heads[1]);

    let moves = [
        json!({"origin": other.origin}),
        json!({"origin": other.origin, "headers": {"authorization": "••••••••"}}),
        json!({"origin": mirror.origin.replace("http:", "https:")}),
    ];
    for body in moves {
        let refused = world.secret().patch(&path, &body).await.refused(422, "VALIDATION_FAILED").json();
        assert_eq!(refused["error"]["errors"][0]["field"], "headers", "{body}");
    }
    let _ = world.secret().patch(&path, &json!({"name": "New name"})).await.expect(200);
    let _ = run(&by).await;
    assert!(mirror.heads()[2].contains("Bearer another-one\r\n"), "a new name changes nothing else");
    let moved = json!({"origin": other.origin, "headers": {"authorization": "Bearer a-third"}});
    let _ = world.secret().patch(&path, &moved).await.expect(200);
    assert_eq!(run(&by).await["state"]["call"]["error"], "connection_origin");
    let (_, by) = deploy(world, &calling(&format!("{}/x", other.origin), &connection)).await;
    let _ = run(&by).await;
    assert!(other.heads()[0].contains("Bearer a-third\r\n") && !other.heads()[0].contains("of the connection"));
}

async fn a_connection_that_a_deployment_names_is_not_deleted(world: &World) {
    let by = world.secret();
    let connection = connect(world, "https://api.example.com").await;
    let path = format!("/v1/connections/{connection}");
    let (deployment, _) = deploy(world, &calling("https://api.example.com/x", &connection)).await;
    let _ = by.delete(&path).await.refused(409, "CONFLICT");
    let _ = world.other_workspace_secret().delete(&path).await.refused(404, "NOT_FOUND");
    let _ = world.test_secret().await.get(&path).await.refused(404, "NOT_FOUND");
    let revoke = format!("/v1/deployments/{deployment}/revoke");
    let _ = by.post(&revoke, &json!({"runs": "finish"})).await.expect(200);
    let _ = by.delete(&path).await.expect(204);
    let _ = by.get(&path).await.refused(404, "NOT_FOUND");
    let _ = by.delete(&path).await.refused(404, "NOT_FOUND");
}

async fn what_is_no_connection_is_refused_and_named(world: &World) {
    let right = json!({"name": "A", "origin": "https://api.example.com", "headers": {"authorization": "Bearer a"}});
    let with = |field: &str, value: Value| {
        let mut body = right.clone();
        body[field] = value;
        body
    };
    let wrong = [
        ("name", json!("")),
        ("origin", json!("https://api.example.com/v1")),
        ("origin", json!("https://api.example.com/?")),
        ("origin", json!("https://user:pass@api.example.com")),
        ("origin", json!("ftp://api.example.com")),
        ("origin", json!("https://10.0.0.1")),
        ("origin", json!("api.example.com")),
        ("headers", json!({})),
        ("headers", json!({"host": "other.example"})),
        ("headers", json!({"authorization": "••••••••"})),
    ];
    for (field, value) in wrong {
        let refused = world.secret().post("/v1/connections", &with(field, value.clone())).await;
        let refused = refused.refused(422, "VALIDATION_FAILED").json();
        assert_eq!(refused["error"]["errors"][0]["field"], field, "{value}: {refused}");
    }
    let broken = with("headers", json!({"authorization": "Bearer a\r\nhost: b"}));
    let _ = world.secret().post("/v1/connections", &broken).await.refused(422, "VALIDATION_FAILED");
    let slash = world.secret().post("/v1/connections", &with("origin", json!("https://API.example.com:443/"))).await;
    assert_eq!(slash.expect(201).data()["origin"], "https://api.example.com", "in its canonical form");
    let narrow = world.key("narrow", json!({"name": "Narrow", "scopes": ["integrations:read"]})).await;
    let _ = narrow.post("/v1/connections", &right).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let _ = narrow.get("/v1/connections").await.expect(200);
}

async fn who_deploys_what_uses_a_connection_may_know_connections(world: &World) {
    let connection = connect(world, "https://api.example.com").await;
    let design = json!({"name": "W", "definition": calling("https://api.example.com/x", &connection)});
    let plain = json!({"name": "W", "definition": {"type": "Workflow", "id": "root", "children": [
        {"type": "Message", "id": "hello", "text": "Hello"},
    ]}});
    let narrow = json!({"name": "Narrow", "scopes": ["deployments:write"]});
    let narrow = world.key("narrow", narrow).await;
    let wide = json!({"name": "Wide", "scopes": ["deployments:write", "integrations:read"]});
    let wide = world.key("wide", wide).await;
    let mut paths = Vec::new();
    for design in [design, plain] {
        // To write one down sends nothing.
        let workflow = id_of(&narrow.post("/v1/workflows", &design).await.expect(201));
        paths.push(format!("/v1/workflows/{workflow}/deployments"));
    }
    let refused = narrow.post(&paths[0], &json!({})).await.refused(403, "INSUFFICIENT_PERMISSIONS").json();
    assert_eq!(refused["error"]["required_scope"], "integrations:read", "{refused}");
    let _ = narrow.post(&paths[1], &json!({})).await.expect(201);
    let _ = wide.post(&paths[0], &json!({})).await.expect(201);
}
