//! Agent loops: a bot that calls tools until it has an answer, within its limits, and through crashes.

mod limits;
mod mcp;
mod resume;
mod tools;

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Persona, Upstream, World, eventually, id_of};

use tools::ToolServer;

on_both! {
    a_bot_calls_a_tool_and_answers_with_what_it_says;
    the_headers_of_a_connection_go_to_its_origin_alone_and_nobody_reads_them;
    a_bot_that_echoes_answers_at_once;
    an_end_is_told_to_the_callback_signed_with_its_own_secret;
    loops_are_kept_changed_and_deleted;
    a_loop_and_its_executions_are_one_tenant_s;
    who_writes_a_loop_with_connections_may_know_connections;
    what_is_no_loop_is_refused_and_named;
    an_execution_keeps_the_loop_it_was_started_with;
}

#[expect(clippy::needless_pass_by_value, reason = "a script is written where it is passed")]
pub(crate) fn script(turns: Value) -> String {
    turns.to_string()
}

#[expect(clippy::needless_pass_by_value, reason = "as above")]
pub(crate) fn call(name: &str, arguments: Value) -> Value {
    json!({"call": [{"name": name, "arguments": arguments}]})
}

/// A loop whose bot does what the script says.
pub(crate) async fn scripted(world: &World, upstream: &Upstream, turns: Value, extra: Value) -> String {
    let bot = world.bot_on(upstream, "script").await;
    let mut body = json!({"name": "Loop", "prompt": script(turns), "bot_id": bot});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    id_of(&world.secret().post("/v1/agent-loops", &body).await.expect(201))
}

pub(crate) async fn start(by: &Persona, agent_loop: &str, body: &Value) -> String {
    let started = by.post(&format!("/v1/agent-loops/{agent_loop}/run"), body).await.expect(202).data();
    assert_eq!(started["status"], "pending", "{started}");
    started["id"].as_str().unwrap().to_owned()
}

pub(crate) async fn look(by: &Persona, execution: &str) -> Value {
    by.get(&format!("/v1/executions/{execution}")).await.expect(200).data()
}

/// Waits for its end.
pub(crate) async fn ended(by: &Persona, execution: &str) -> Value {
    let over = eventually(Duration::from_secs(30), async || !look(by, execution).await["finished_at"].is_null()).await;
    assert!(over, "{}", look(by, execution).await);
    look(by, execution).await
}

pub(crate) async fn run(world: &World, agent_loop: &str) -> Value {
    let by = world.secret();
    ended(&by, &start(&by, agent_loop, &json!({"input": "go"})).await).await
}

/// An execution whose bot never answers.
pub(crate) async fn waiting_execution(world: &World) -> String {
    // Nobody takes what comes to it; it is there as long as the tests are.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::mem::forget(listener);
    let bot = world.bot().await;
    world.switch_off(&bot).await;
    let by = world.secret();
    let integration = json!({"name": "never", "kind": "openai", "url": format!("http://{address}/v1"), "model": "m"});
    let _ = by.post(&format!("/v1/bots/{bot}/integrations"), &integration).await.expect(201);
    let body = json!({"name": "Waits", "prompt": "Help.", "bot_id": bot});
    start(&by, &id_of(&by.post("/v1/agent-loops", &body).await.expect(201)), &json!({})).await
}

async fn a_bot_calls_a_tool_and_answers_with_what_it_says(world: &World) {
    let (upstream, server) = (Upstream::start().await, ToolServer::start().await);
    let tools = json!([
        {"type": "http", "name": "look", "description": "Looks.", "url": format!("{}/things/{{id}}?v=1", server.origin),
         "headers": {"x-own": "of the tool"}},
        {"type": "http", "name": "write", "method": "POST", "url": format!("{}/write", server.origin),
         "parameters": {"type": "object", "properties": {"text": {"type": "string"}}}},
    ]);
    let both = json!({"call": [
        {"name": "http__look", "arguments": {"id": "a/b c", "n": 2}},
        {"name": "http__write", "arguments": {"text": "hi"}},
    ]});
    let turns = json!([both, {"say": "It is done."}]);
    let agent_loop = scripted(world, &upstream, turns, json!({"tools": tools})).await;
    let by = world.secret();
    let body = json!({"input": {"order": 7}, "metadata": {"ref": "r-1"}});
    let id = start(&by, &agent_loop, &body).await;
    let done = ended(&by, &id).await;
    assert_eq!(
        (&done["status"], &done["output"], &done["reason"]),
        (&json!("completed"), &json!("It is done."), &Value::Null)
    );
    assert_eq!(
        (&done["iterations"], &done["metadata"], &done["input"]),
        (&json!(2), &json!({"ref": "r-1"}), &json!({"order": 7}))
    );
    assert_eq!(done["started_by"], format!("api_key:{}", by.id()));
    assert!(done["usage"]["input_tokens"].as_u64().unwrap() > 0 && done["usage"]["output_tokens"] == 3, "{done}");
    let steps = done["steps"].as_array().unwrap();
    let kinds: Vec<_> = steps.iter().map(|step| step["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["model", "tool_call", "tool_result", "tool_call", "tool_result", "model"], "{done}");
    assert_eq!((&steps[2]["content"], &steps[2]["is_error"]), (&json!("ok"), &json!(false)));
    assert_eq!(steps[0]["tool_calls"][0]["arguments"], "{\"id\":\"a/b c\",\"n\":2}");

    let [looked] = &server.seen("/things")[..] else { panic!("once") };
    assert!(looked.head.starts_with("GET /things/a%2Fb%20c?v=1&n=2 HTTP/1.1\r\n"), "{}", looked.head);
    assert_eq!((looked.header("x-own"), looked.header("idempotency-key")), ("of the tool", format!("{id}/2").as_str()));
    let [wrote] = &server.seen("/write")[..] else { panic!("once") };
    assert_eq!(
        (wrote.body.as_str(), wrote.header("idempotency-key")),
        ("{\"text\":\"hi\"}", format!("{id}/4").as_str())
    );

    let asked = &upstream.requests()[1].body;
    let messages = asked["messages"].as_array().unwrap();
    let roles: Vec<_> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "tool"]);
    assert_eq!(messages[1]["content"], "{\"order\":7}");
    assert_eq!((&messages[3]["tool_call_id"], &messages[3]["content"]), (&json!("call_0_0"), &json!("ok")));
    assert_eq!(messages[2]["tool_calls"][1]["function"]["name"], "http__write");
    let told: Vec<_> = asked["tools"].as_array().unwrap().iter().map(|tool| &tool["function"]["name"]).collect();
    assert_eq!(told, ["http__look", "http__write"]);

    let list = by.get(&format!("/v1/agent-loops/{agent_loop}/executions")).await.expect(200).json();
    assert_eq!((&list["meta"]["total"], &list["data"][0]["id"]), (&json!(1), &json!(id)));
    assert_eq!((&list["data"][0]["output"], &list["data"][0]["steps"]), (&json!("It is done."), &Value::Null));
}

async fn the_headers_of_a_connection_go_to_its_origin_alone_and_nobody_reads_them(world: &World) {
    let (upstream, server, other) = (Upstream::start().await, ToolServer::start().await, ToolServer::start().await);
    let (by, secret) = (world.secret(), "hunter2-of-these-loops");
    let body = json!({"name": "C", "origin": server.origin, "headers": {"authorization": format!("Bearer {secret}")}});
    let connection = id_of(&by.post("/v1/connections", &body).await.expect(201));
    let tools = json!([
        {"type": "http", "name": "own", "url": format!("{}/echo", server.origin), "connection": connection},
        {"type": "http", "name": "other", "url": format!("{}/echo", other.origin), "connection": connection},
    ]);
    let turns = json!([call("http__own", json!({})), call("http__other", json!({})), {"say": "end"}]);
    let agent_loop = scripted(world, &upstream, turns, json!({"tools": tools})).await;
    let done = run(world, &agent_loop).await;
    assert_eq!(done["status"], "completed", "{done}");
    assert_eq!(server.seen("/echo")[0].header("authorization"), format!("Bearer {secret}"));
    let (echoed, refused) = (&done["steps"][2], &done["steps"][5]);
    assert!(echoed["content"].as_str().unwrap().contains("authorization: [secret]"), "{echoed}");
    assert_eq!((&refused["is_error"], other.seen("/").len()), (&json!(true), 0), "{refused}");
    for bytes in [done.to_string().into_bytes(), world.server().database().bytes().await] {
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()));
    }
    assert!(!upstream.requests().iter().any(|request| request.body.to_string().contains(secret)), "nor does the model");
    let path = format!("/v1/connections/{connection}");
    let _ = by.delete(&path).await.refused(409, "CONFLICT");
    let _ = by.delete(&format!("/v1/agent-loops/{agent_loop}")).await.expect(204);
    let _ = by.delete(&path).await.expect(204);
}

async fn a_bot_that_echoes_answers_at_once(world: &World) {
    let by = world.secret();
    let body = json!({"name": "Echo", "prompt": "Help.", "bot_id": world.bot().await});
    let agent_loop = id_of(&by.post("/v1/agent-loops", &body).await.expect(201));
    let done = run(world, &agent_loop).await;
    assert_eq!(
        (&done["status"], &done["output"], &done["iterations"]),
        (&json!("completed"), &json!("You said: go"), &json!(1))
    );
    let empty = ended(&by, &start(&by, &agent_loop, &json!({})).await).await;
    assert_eq!((&empty["output"], &empty["input"]), (&json!("You said: Begin."), &Value::Null));
}

async fn an_end_is_told_to_the_callback_signed_with_its_own_secret(world: &World) {
    let (by, server) = (world.secret(), ToolServer::start().await);
    let url = format!("{}/callback", server.origin);
    let body = json!({"name": "Tells", "prompt": "Help.", "bot_id": world.bot().await, "callback_url": url});
    let made = by.post("/v1/agent-loops", &body).await.expect(201).data();
    let (id, first) = (made["id"].as_str().unwrap().to_owned(), made["callback_secret"].as_str().unwrap().to_owned());
    assert!(first.starts_with("whsec_"), "{made}");
    let path = format!("/v1/agent-loops/{id}");
    let shown = by.get(&path).await.expect(200);
    assert!(shown.data()["callback_url"] == url.as_str() && !shown.text().contains(&first), "{}", shown.text());
    assert_eq!(by.get("/v1/webhooks").await.expect(200).json()["meta"]["total"], 0, "it is the loop's own");
    let done = run(world, &id).await;
    assert!(eventually(Duration::from_secs(15), async || !server.seen("/callback").is_empty()).await);
    let told = &server.seen("/callback")[0];
    let sent: Value = serde_json::from_str(&told.body).unwrap();
    assert_eq!((&sent["type"], &sent["data"]["id"]), (&json!("agent_loop.finished"), &done["id"]), "{sent}");
    assert_eq!((&sent["data"]["output"], &sent["data"]["status"]), (&json!("You said: go"), &json!("completed")));
    let is_signed = |secret: &str| {
        let secret = credential::webhook::WebhookSecret::parse(secret).unwrap();
        let (id, time) = (told.header("webhook-id"), told.header("webhook-timestamp").parse().unwrap());
        let signed = credential::webhook::sign(&secret, id, time, told.body.as_bytes()).unwrap();
        told.header("webhook-signature").split(' ').any(|one| one == signed)
    };
    assert!(is_signed(&first), "{}", told.head);

    let same = by.patch(&path, &json!({"callback_url": url, "name": "Still"})).await.expect(200).data();
    assert_eq!(same["callback_secret"], Value::Null, "the same address keeps its secret");
    let moved = by.patch(&path, &json!({"callback_url": format!("{url}-2")})).await.expect(200).data();
    assert!(moved["callback_secret"].as_str().is_some_and(|secret| secret != first), "{moved}");
    let _ = by.patch(&path, &json!({"callback_url": null})).await.expect(200);
    let _ = run(world, &id).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.seen("/callback").len(), 1, "nobody is told any more");
}

async fn loops_are_kept_changed_and_deleted(world: &World) {
    let by = world.secret();
    let bot = world.bot().await;
    let tools = json!([{"type": "http", "name": "look", "url": "https://api.example.com/{id}"}]);
    let body =
        json!({"name": "L", "description": "d", "prompt": "p", "bot_id": bot, "tools": tools, "timeout_seconds": 60});
    let made = by.post("/v1/agent-loops", &body).await.expect(201).data();
    let path = format!("/v1/agent-loops/{}", made["id"].as_str().unwrap());
    assert_eq!(
        (&made["max_iterations"], &made["timeout_seconds"], &made["callback_secret"]),
        (&json!(10), &json!(60), &Value::Null)
    );
    assert_eq!((&made["tools"][0]["method"], &made["tools"][0]["timeout_seconds"]), (&json!("GET"), &json!(30)));
    let changed = by.patch(&path, &json!({"description": null, "max_iterations": 3})).await.expect(200).data();
    assert_eq!(
        (&changed["description"], &changed["max_iterations"], &changed["prompt"]),
        (&Value::Null, &json!(3), &json!("p"))
    );
    assert_eq!(changed["tools"], made["tools"], "what is not sent stays");
    let list = by.get("/v1/agent-loops").await.expect(200).json();
    assert_eq!(
        (&list["meta"]["total"], &list["data"][0]["name"], &list["data"][0]["prompt"]),
        (&json!(1), &json!("L"), &Value::Null)
    );
    let execution = start(&by, made["id"].as_str().unwrap(), &json!({})).await;
    let _ = by.delete(&path).await.expect(204);
    let _ = by.get(&path).await.refused(404, "NOT_FOUND");
    let _ = by.get(&format!("/v1/executions/{execution}")).await.refused(404, "NOT_FOUND");
    let _ = by.delete(&path).await.refused(404, "NOT_FOUND");
}

async fn a_loop_and_its_executions_are_one_tenant_s(world: &World) {
    let execution = waiting_execution(world).await;
    let agent_loop = look(&world.secret(), &execution).await["agent_loop_id"].as_str().unwrap().to_owned();
    let bot = world.secret().get(&format!("/v1/agent-loops/{agent_loop}")).await.expect(200).data()["bot_id"].clone();
    for other in [world.other_workspace_secret(), world.test_secret().await] {
        let path = format!("/v1/agent-loops/{agent_loop}");
        let _ = other.get(&path).await.refused(404, "NOT_FOUND");
        let _ = other.patch(&path, &json!({"name": "Mine"})).await.refused(404, "NOT_FOUND");
        let _ = other.delete(&path).await.refused(404, "NOT_FOUND");
        let _ = other.post(&format!("{path}/run"), &json!({})).await.refused(404, "NOT_FOUND");
        let _ = other.get(&format!("{path}/executions")).await.refused(404, "NOT_FOUND");
        let _ = other.get(&format!("/v1/executions/{execution}")).await.refused(404, "NOT_FOUND");
        let _ = other.post(&format!("/v1/executions/{execution}/cancel"), &json!({})).await.refused(404, "NOT_FOUND");
        let body = json!({"name": "L", "prompt": "p", "bot_id": bot});
        let refused = other.post("/v1/agent-loops", &body).await.refused(422, "VALIDATION_FAILED").json();
        assert_eq!(refused["error"]["errors"][0]["field"], "bot_id");
    }
    assert_eq!(look(&world.secret(), &execution).await["finished_at"], Value::Null);
}

async fn who_writes_a_loop_with_connections_may_know_connections(world: &World) {
    let body = json!({"name": "C", "origin": "https://api.example.com", "headers": {"x-a": "1"}});
    let connection = id_of(&world.secret().post("/v1/connections", &body).await.expect(201));
    let tools = json!([{"type": "http", "name": "a", "url": "https://api.example.com/x", "connection": connection}]);
    let with = json!({"name": "L", "prompt": "p", "bot_id": world.bot().await, "tools": tools});
    let mut without = with.clone();
    without["tools"] = json!([]);
    let scopes = json!(["agent-loops:read", "agent-loops:write"]);
    let narrow = world.key("narrow", json!({"name": "Narrow", "scopes": scopes})).await;
    let _ = narrow.post("/v1/agent-loops", &with).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let own = id_of(&narrow.post("/v1/agent-loops", &without).await.expect(201));
    let path = format!("/v1/agent-loops/{own}");
    let _ = narrow.patch(&path, &json!({"tools": with["tools"]})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let _ = world.secret().patch(&path, &json!({"tools": with["tools"]})).await.expect(200);
    let _ = narrow.post(&format!("{path}/run"), &json!({})).await.expect(202);
    let reads = world.key("reads", json!({"name": "Reads", "scopes": ["agent-loops:read"]})).await;
    let _ = reads.get(&path).await.expect(200);
    let _ = reads.post(&format!("{path}/run"), &json!({})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
}

async fn what_is_no_loop_is_refused_and_named(world: &World) {
    let by = world.secret();
    let right = json!({"name": "L", "prompt": "p", "bot_id": world.bot().await, "tools": []});
    let http = |change: Value| {
        let mut tool = json!({"type": "http", "name": "a", "url": "https://api.example.com/{id}"});
        tool.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!([tool])
    };
    let wrong = [
        ("name", json!(" "), "name"),
        ("prompt", json!(""), "prompt"),
        ("prompt", json!("x".repeat(32_001)), "prompt"),
        ("bot_id", json!("bot_00000000000000000000000001"), "bot_id"),
        ("max_iterations", json!(51), "max_iterations"),
        ("timeout_seconds", json!(0), "timeout_seconds"),
        ("callback_url", json!("https://10.0.0.1/"), "callback_url"),
        ("callback_url", json!("ftp://a.example/"), "callback_url"),
        ("tools", http(json!({"url": "https://169.254.169.254/latest"})), "tools[0].url"),
        ("tools", http(json!({"url": "https://{host}/x"})), "tools[0].url"),
        ("tools", http(json!({"name": "a b"})), "tools[0].name"),
        ("tools", http(json!({"headers": {"host": "b"}})), "tools[0].headers"),
        ("tools", http(json!({"connection": "conn_00000000000000000000000001"})), "tools[0].connection"),
        ("tools", json!([{"type": "mcp", "url": "https://10.0.0.1/mcp"}]), "tools[0].url"),
    ];
    for (field, value, named) in wrong {
        let mut body = right.clone();
        body[field] = value;
        let refused = by.post("/v1/agent-loops", &body).await.refused(422, "VALIDATION_FAILED").json();
        assert_eq!(refused["error"]["errors"][0]["field"], named, "{refused}");
    }
    let made = id_of(&by.post("/v1/agent-loops", &right).await.expect(201));
    let path = format!("/v1/agent-loops/{made}");
    let _ = by.patch(&path, &json!({"max_iterations": 0})).await.refused(422, "VALIDATION_FAILED");
    for body in [
        json!({"input": "x".repeat(64 * 1024)}),
        json!({"metadata": {"a": "x".repeat(4096)}}),
        json!({"input": 7}),
        json!({"other": 1}),
    ] {
        let _ = by.post(&format!("{path}/run"), &body).await.refused(422, "VALIDATION_FAILED");
    }
}

async fn an_execution_keeps_the_loop_it_was_started_with(world: &World) {
    let (upstream, server) = (Upstream::start().await, ToolServer::start().await);
    let tools =
        json!([{"type": "http", "name": "second", "url": format!("{}/second", server.origin), "timeout_seconds": 2}]);
    let turns = json!([call("http__second", json!({})), {"say": "old"}]);
    let agent_loop = scripted(world, &upstream, turns, json!({"tools": tools})).await;
    let by = world.secret();
    let id = start(&by, &agent_loop, &json!({})).await;
    assert!(eventually(Duration::from_secs(10), async || !server.seen("/second").is_empty()).await);
    let change = json!({"prompt": script(json!([{"say": "new"}])), "tools": []});
    let _ = by.patch(&format!("/v1/agent-loops/{agent_loop}"), &change).await.expect(200);
    assert_eq!(ended(&by, &id).await["output"], "old");
    assert_eq!(run(world, &agent_loop).await["output"], "new");
}
