//! Probes, numbers, the document, the pages, and what every answer carries.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::World;

on_both! {
    probes_answer_everybody;
    every_answer_has_its_own_request_id;
    numbers_are_openmetrics_and_name_nobody;
    the_document_describes_what_is_served;
    the_pages_let_nothing_in;
    the_request_log_has_a_line_for_each_request_and_no_secret;
}

async fn probes_answer_everybody(world: &World) {
    for path in ["/health", "/healthz"] {
        assert_eq!(world.client().get(path).send().await.expect(200).json()["status"], "ok");
    }
    let ready = world.client().get("/readyz").send().await.expect(200).json();
    assert_eq!((&ready["status"], &ready["parts"]["database"]), (&json!("ready"), &json!("ok")));
}

async fn every_answer_has_its_own_request_id(world: &World) {
    let mut seen = BTreeSet::new();
    for path in ["/v1/me", "/v1/nothing", "/healthz", "/v1/bots", "/openapi.json"] {
        for by in [world.secret(), world.anonymous()] {
            let answer = by.get(path).await;
            let id = answer.header("x-request-id").to_owned();
            assert!(id.starts_with("req_") && seen.insert(id), "{path}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
            assert!(!answer.header("cache-control").is_empty(), "{path}");
        }
    }
    let claimed = world.client().get("/healthz").header("x-request-id", "req_mine").send().await;
    assert_ne!(claimed.header("x-request-id"), "req_mine");
}

async fn numbers_are_openmetrics_and_name_nobody(world: &World) {
    let session = world.session().await;
    let _ = session.say("hello").await.rest().await;
    let _ = world.secret().get("/v1/bots/bot_1").await.refused(404, "NOT_FOUND");
    let answer = world.client().get("/metrics").send().await.expect(200);
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"));
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok() && name.starts_with("chatelaine_"), "{line}");
    }
    assert!(text.contains("operation=\"send_chat_message\"") && text.contains("code=\"NOT_FOUND\""), "{text}");
    let (secret, workspace) = (world.secret(), world.workspace().to_string());
    for id in [secret.id(), session.id(), secret.credential(), session.credential(), &workspace] {
        assert!(!text.contains(id), "{id}");
    }
    for prefix in ["key_", "ws_", "conv_", "bot_", "sk_live", "usr_", "req_"] {
        let labels = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('{'));
        let values: Vec<&str> = labels.flat_map(|(_, labels)| labels.split('"').skip(1).step_by(2)).collect();
        assert!(values.iter().all(|value| !value.starts_with(prefix)), "{prefix}: {values:?}");
    }
}

async fn the_document_describes_what_is_served(world: &World) {
    let answer = world.client().get("/v1/openapi.json").send().await.expect(200);
    assert_eq!(answer.body, world.client().get("/openapi.json").send().await.expect(200).body);
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["servers"][0]["url"], world.server().url());
    let mut ids = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let about = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{about}");
            assert!(operation["x-required-scopes"].is_array() && operation["x-allowed-roles"].is_array(), "{about}");
            let responses = operation["responses"].as_object().unwrap();
            // A socket's success is its change of protocol.
            assert!(responses.keys().any(|status| status.starts_with('2') || status == "101"), "{about}");
            let declared: BTreeSet<&str> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            let needed: BTreeSet<&str> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(declared, needed, "{about}");
            let filled = path.replace("{id}", "x").replace("{bot_id}", "x");
            let found = world.client().request(&method.to_uppercase(), &filled).send().await;
            assert!(
                found.status != 405 && (found.status != 404 || operation["security"] == json!([])),
                "{about}: {}",
                found.status
            );
        }
    }
    assert!(ids.len() > 30, "{ids:?}");
    references_resolve(&document, &document);
    let bots = &document["paths"]["/v1/bots"]["post"];
    assert_eq!(
        (&bots["x-required-scopes"], &bots["x-allowed-roles"]),
        (&json!(["bots:write"]), &json!(["admin", "owner"]))
    );
}

async fn the_pages_let_nothing_in(world: &World) {
    for path in ["/", "/setup"] {
        let page = world.client().get(path).send().await.expect(200);
        assert!(page.header("content-type").starts_with("text/html"));
        let policy = page.header("content-security-policy");
        for rule in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "script-src 'self'"] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        let text = page.text();
        for link in text.split(['"', '\'']).filter(|part| part.starts_with("/static/")) {
            let _ = world.client().get(link).send().await.expect(200);
        }
    }
    let secret = world.secret();
    let _ = secret.get("/setup").await.expect(200);
    assert!(!world.client().get("/").send().await.text().contains("/setup"), "there is a workspace already");
}

async fn the_request_log_has_a_line_for_each_request_and_no_secret(world: &World) {
    let (secret, session) = (world.secret(), world.session().await);
    let asked = secret.get("/v1/bots?name=canary-in-query").await.expect(200);
    let _ = session.say("canary-in-body").await.rest().await;
    let unknown = world.client().get("/v1/canary-in-path").send().await.refused(404, "NOT_FOUND");
    let there = async || world.server().request_log().contains(unknown.header("x-request-id"));
    assert!(testkit::eventually(std::time::Duration::from_secs(2), there).await);
    let log = world.server().request_log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = lines.iter().find(|line| line["request_id"] == asked.header("x-request-id")).unwrap();
    assert_eq!(
        (&line["operation"], &line["status"], &line["credential_id"]),
        (&json!("list_bots"), &json!(200), &json!(secret.id()))
    );
    assert!(!log.contains("canary") && !log.contains(secret.credential()) && !log.contains(session.credential()));
}

/// Every `$ref` of the document names something in it.
fn references_resolve(value: &Value, document: &Value) {
    match value {
        Value::Object(members) => {
            if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
            }
            members.values().for_each(|value| references_resolve(value, document));
        }
        Value::Array(items) => items.iter().for_each(|value| references_resolve(value, document)),
        _ => {}
    }
}
