//! The two seeds on keys of teams (S1) and of service accounts (S3), line by line.

use std::{process::Stdio, time::Duration};

use serde_json::{Value, json};
use testkit::{Answer, Persona, World, id_of};

use crate::matrix::table;

on_both! {
    the_curl_line_of_s1_works_as_printed;
    the_curl_lines_of_s3_work_as_printed;
    each_scope_of_s1_opens_its_row_and_no_other;
    the_error_bodies_of_s1_are_what_it_prints;
    a_missing_malformed_expired_or_revoked_token_is_401;
    a_valid_credential_without_the_permission_is_403_and_says_which;
    what_is_not_visible_is_404_like_what_is_not_there;
    a_key_made_is_good_at_once_and_a_key_deleted_stops_at_once;
    every_operation_names_its_scopes_and_its_roles;
}

/// Runs a line as a shell does, with these variables and nothing else but the path.
async fn shell(line: &str, variables: &[(&str, &str)]) -> Value {
    let mut command = tokio::process::Command::new("/bin/sh");
    command.arg("-c").arg(line).env_clear().env("PATH", "/usr/bin:/bin:/usr/local/bin");
    let output = command.envs(variables.iter().copied()).stdin(Stdio::null()).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{line}: {text}"))
}

async fn the_curl_line_of_s1_works_as_printed(world: &World) {
    let bot = world.bot().await;
    let printed = r#"curl https://api.chatbotplatform.io/v1/bots \
  -H "Authorization: Bearer sk_live_abc123xyz...""#;
    let line = printed
        .replace("https://api.chatbotplatform.io", world.server().url())
        .replace("sk_live_abc123xyz...", world.secret().credential());
    let answer = shell(&line, &[]).await;
    assert_eq!(answer["data"][0]["id"], bot, "{answer}");
    // The key in the variable that S1 exports.
    let line = line.replace(world.secret().credential(), "$CHATBOT_API_KEY");
    let answer = shell(&line, &[("CHATBOT_API_KEY", world.secret().credential())]).await;
    assert_eq!(answer["data"][0]["id"], bot, "{answer}");
}

async fn the_curl_lines_of_s3_work_as_printed(world: &World) {
    let (base, owner) = (format!("{}/v1", world.server().url()), world.secret());
    let token = owner.credential().to_owned();
    let variables = [("FLOWNALLY_API_BASE_URL", base.as_str()), ("FLOWNALLY_API_TOKEN", token.as_str())];
    let account = r#"curl -X POST "$FLOWNALLY_API_BASE_URL/service-accounts" \
  -H "Authorization: Bearer $FLOWNALLY_API_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{
    "name": "production-crm-sync"
  }'"#;
    let made = shell(account, &variables).await;
    assert_eq!(made["data"]["name"], "production-crm-sync", "{made}");
    let id = made["data"]["id"].as_str().unwrap();
    let key = r#"curl -X POST "$FLOWNALLY_API_BASE_URL/service-accounts/$SERVICE_ACCOUNT_ID/api-keys" \
  -H "Authorization: Bearer $FLOWNALLY_API_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{
    "name": "sync-worker"
  }'"#;
    let [one, two] = variables;
    let made = shell(key, &[one, two, ("SERVICE_ACCOUNT_ID", id)]).await;
    let plaintext = made["data"]["key"].as_str().unwrap();
    assert!(plaintext.starts_with("fln_live_"), "{made}");
    // With the key that was just made, as the page goes on.
    let contacts = r#"curl -G "$FLOWNALLY_API_BASE_URL/contacts" \
  -H "Authorization: Bearer $FLOWNALLY_API_TOKEN" \
  -H "Accept: application/json""#;
    if table(world).iter().any(|operation| operation.id == "list_contacts") {
        let list = shell(contacts, &[one, ("FLOWNALLY_API_TOKEN", plaintext)]).await;
        assert_eq!(list["data"], json!([]), "{list}");
    }
    let _ = world.client().get("/v1/bots").bearer(plaintext).send().await.expect(200);
}

/// A row of S1's table: what its scope opens, as method, path and body.
struct Row {
    scope: &'static str,
    calls: Vec<(&'static str, String, Value)>,
}

/// The rows, on things that are there. Running an agent loop and opening a channel are in the table of operations.
async fn rows(world: &World) -> Vec<Row> {
    let bot = world.bot().await;
    let by = world.secret();
    let integrations = format!("/v1/bots/{bot}/integrations");
    let integration = id_of(&by.post(&integrations, &json!({"name": "E", "kind": "echo"})).await.expect(201));
    let (conversation, deleted) = (world.session().await, world.session().await);
    let (bots, one) = ("/v1/bots".to_owned(), format!("/v1/bots/{bot}"));
    let own = format!("/v1/integrations/{integration}");
    let talk = format!("/v1/conversations/{}", conversation.id());
    let row = |scope, calls| Row { scope, calls };
    vec![
        row("bots:read", vec![("GET", bots.clone(), Value::Null), ("GET", one.clone(), Value::Null)]),
        row("bots:write", vec![("POST", bots, json!({"name": "New"})), ("PATCH", one, json!({"name": "Other"}))]),
        row("integrations:read", vec![("GET", integrations.clone(), Value::Null), ("GET", own.clone(), Value::Null)]),
        row(
            "integrations:write",
            vec![
                ("POST", integrations, json!({"name": "New", "kind": "echo"})),
                ("PATCH", own, json!({"name": "Other"})),
            ],
        ),
        row("conversations:read", vec![("GET", "/v1/conversations".into(), Value::Null), ("GET", talk, Value::Null)]),
        row("conversations:write", vec![("DELETE", format!("/v1/conversations/{}", deleted.id()), Value::Null)]),
    ]
}

async fn send(by: &Persona, (method, path, body): &(&'static str, String, Value)) -> Answer {
    let request = by.request(method, path);
    if body.is_null() { request.send().await } else { request.json(body).send().await }
}

async fn each_scope_of_s1_opens_its_row_and_no_other(world: &World) {
    let rows = rows(world).await;
    for row in &rows {
        let key = world.key("row", json!({"name": row.scope, "scopes": [row.scope]})).await;
        // First what is refused: what is deleted is gone.
        for other in rows.iter().filter(|other| other.scope != row.scope) {
            for call in &other.calls {
                let refused = send(&key, call).await.refused(403, "INSUFFICIENT_PERMISSIONS");
                assert_eq!(refused.json()["error"]["required_scope"], other.scope, "{} {call:?}", row.scope);
            }
        }
    }
    for row in &rows {
        let key = world.key("row", json!({"name": row.scope, "scopes": [row.scope]})).await;
        for call in &row.calls {
            let answer = send(&key, call).await;
            assert!((200..300).contains(&answer.status), "{} {call:?}: {}", row.scope, answer.text());
        }
    }
    // What S1 calls "View", "Create/update", "Delete" and "Create/run", as the table of operations has it; `admin`
    // has all of it.
    let promised = [
        ("channels:read", &["list_channels", "get_channel"][..]),
        ("channels:write", &["create_channel", "update_channel"]),
        ("agent-loops:read", &["list_agent_loops", "get_agent_loop"]),
        ("agent-loops:write", &["create_agent_loop", "run_agent_loop"]),
    ];
    let operations = table(world);
    for (scope, ids) in promised {
        for operation in operations.iter().filter(|operation| ids.contains(&operation.id)) {
            let required = operation.access.required_scope().map(access::Scope::as_str);
            assert_eq!(required, Some(scope), "{}", operation.id);
        }
    }
    let admin = world.key("admin", json!({"name": "A", "scopes": ["admin"]})).await;
    for call in rows.iter().flat_map(|row| &row.calls).filter(|(method, ..)| *method != "DELETE") {
        let answer = send(&admin, call).await;
        assert!((200..300).contains(&answer.status), "{call:?}: {}", answer.text());
    }
    // "This key can view but not modify resources."
    let production = json!({"name": "P", "scopes": ["bots:read", "conversations:read"]});
    let production = world.key("production", production).await;
    let _ = production.get("/v1/bots").await.expect(200);
    let _ = production.get("/v1/conversations").await.expect(200);
    let _ = production.post("/v1/bots", &json!({"name": "B"})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
}

async fn the_error_bodies_of_s1_are_what_it_prints(world: &World) {
    let error = |answer: Answer, printed: &Value| {
        let said = answer.json();
        for (name, value) in printed.as_object().unwrap() {
            assert_eq!(&said["error"][name], value, "{said}");
        }
    };
    let printed = json!({"code": "INVALID_API_KEY", "message": "The provided API key is invalid"});
    let deleted = world.key("deleted", json!({"name": "D"})).await;
    let _ = world.secret().delete(&format!("/v1/api-keys/{}", deleted.id())).await.expect(200);
    let unknown = format!("sk_live_{}", "0".repeat(38));
    for key in [unknown.as_str(), deleted.credential(), "sk_live_abc123xyz..."] {
        let answer = world.client().get("/v1/bots").bearer(key).send().await;
        error(answer.refused(401, "INVALID_API_KEY"), &printed);
    }
    let soon = ambient::Clock::now(&ambient::SystemClock::new()).plus(200).to_string();
    let expired = world.key("expired", json!({"name": "E", "expires_at": soon})).await;
    tokio::time::sleep(Duration::from_millis(250)).await;
    let printed = json!({"code": "API_KEY_EXPIRED", "message": "This API key has expired"});
    error(expired.get("/v1/bots").await.refused(401, "API_KEY_EXPIRED"), &printed);
    let printed = json!({
        "code": "INSUFFICIENT_PERMISSIONS",
        "message": "API key does not have permission to perform this action",
        "required_scope": "bots:write",
    });
    let reads = world.restricted().await;
    let refused = reads.post("/v1/bots", &json!({"name": "B"})).await;
    error(refused.refused(403, "INSUFFICIENT_PERMISSIONS"), &printed);
}

async fn a_missing_malformed_expired_or_revoked_token_is_401(world: &World) {
    let get = |header: Option<&str>| {
        let request = world.client().get("/v1/bots");
        header.map_or(request.clone(), |value| request.header("authorization", value))
    };
    let _ = get(None).send().await.refused(401, "MISSING_CREDENTIAL");
    let good = world.secret().credential().to_owned();
    for malformed in ["Bearer", "Bearer ", &good, &format!("Basic {good}"), "Bearer a b", &format!("Bearer {good}x")] {
        let _ = get(Some(malformed)).send().await.refused(401, "INVALID_API_KEY");
    }
    // "No extra spaces" (S1): more than one between scheme and key is allowed by the standard.
    let _ = get(Some(&format!("Bearer  {good}"))).send().await.expect(200);
    let soon = ambient::Clock::now(&ambient::SystemClock::new()).plus(200).to_string();
    let expired = world.key("expired", json!({"name": "E", "expires_at": soon})).await;
    tokio::time::sleep(Duration::from_millis(250)).await;
    let _ = expired.get("/v1/bots").await.refused(401, "API_KEY_EXPIRED");
    let revoked = world.key("revoked", json!({"name": "R"})).await;
    let _ = world.secret().delete(&format!("/v1/api-keys/{}", revoked.id())).await.expect(200);
    let answer = revoked.get("/v1/bots").await.refused(401, "INVALID_API_KEY");
    assert!(answer.header("www-authenticate").starts_with("Bearer "), "{:?}", answer.headers);
}

async fn a_valid_credential_without_the_permission_is_403_and_says_which(world: &World) {
    let (_, software) = world.account("software", "member").await;
    let refused = software.post("/v1/bots", &json!({"name": "B"})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    assert_eq!(refused.json()["error"]["required_scope"], "bots:write");
    assert!(refused.header("www-authenticate").contains("insufficient_scope"), "{:?}", refused.headers);
    let person = world.member("a_member", "member").await;
    let refused = person.post("/v1/bots", &json!({"name": "B"})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    assert_eq!(refused.json()["error"]["required_role"], "admin");
    assert!(refused.json()["error"]["required_scope"].is_null(), "a person has a role: {}", refused.text());
}

async fn what_is_not_visible_is_404_like_what_is_not_there(world: &World) {
    let bot = world.bot().await;
    let (never, other) = ("bot_00000000000000000000000001", world.other_workspace_secret());
    let absent = other.get(&format!("/v1/bots/{never}")).await.refused(404, "NOT_FOUND");
    for by in [other, world.test_secret().await] {
        let hidden = by.get(&format!("/v1/bots/{bot}")).await.refused(404, "NOT_FOUND");
        assert_eq!(hidden.body_without_id(), absent.body_without_id());
    }
    let _ = world.secret().get(&format!("/v1/bots/{bot}")).await.expect(200);
}

/// "Deleted keys stop working immediately"; and a new one need not propagate for seconds.
async fn a_key_made_is_good_at_once_and_a_key_deleted_stops_at_once(world: &World) {
    for _ in 0..20 {
        let key = world.key("short", json!({"name": "S", "scopes": ["bots:read"]})).await;
        let _ = key.get("/v1/bots").await.expect(200);
        let _ = world.secret().delete(&format!("/v1/api-keys/{}", key.id())).await.expect(200);
        let _ = key.get("/v1/bots").await.refused(401, "INVALID_API_KEY");
    }
}

/// "Required scopes list the permissions", "Allowed roles show which workspace roles grant those": on each operation.
async fn every_operation_names_its_scopes_and_its_roles(world: &World) {
    let document = world.client().get("/openapi.json").send().await.expect(200).json();
    let operations = table(world);
    let mut seen = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            let row = operations.iter().find(|row| row.id == id).unwrap();
            assert_eq!((row.path, row.method.as_str()), (path.as_str(), method.to_ascii_uppercase().as_str()));
            let scopes: Vec<_> = row.access.required_scope().into_iter().map(access::Scope::as_str).collect();
            assert_eq!(operation["x-required-scopes"], json!(scopes), "{id}");
            let least = row.access.required_role();
            let roles = access::Role::ALL.into_iter().filter(|role| least.is_some_and(|least| *role >= least));
            let roles: Vec<_> = roles.map(access::Role::as_str).collect();
            assert_eq!(operation["x-allowed-roles"], json!(roles), "{id}");
            let names_cookie = operation["security"].to_string().contains("cookieAuth");
            let needs = !row.access.admits_strangers() && row.access.admits_members();
            assert_eq!(names_cookie, needs, "{id}: how a person is known");
            seen += 1;
        }
    }
    assert!(seen > 80 && seen <= operations.len(), "{seen} of {}", operations.len());
}
