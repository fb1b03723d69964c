//! What a credential is and why it was refused: `POST /v1/access/explain`, the list of requests, and their stream.

mod attention;
mod command;
mod kinds;
mod requests;

use serde_json::{Value, json};
use testkit::{Backend, Persona, World, id_of};

use crate::limits::world_with;

on_both! {
    what_is_pasted_is_explained_as_it_would_be;
    asking_charges_counts_and_keeps_nothing;
    another_workspace_s_credentials_read_as_ones_that_do_not_exist;
    a_request_is_explained_to_who_may_see_it;
    of_a_dead_key_of_another_workspace_a_stranger_s_part_alone_is_told;
    what_would_be_let_in_says_so;
    what_others_did_is_not_told;
}

on_each! {
    a_token_of_another_workspace_that_is_over_reads_as_forged;
    what_is_asked_about_an_address_costs_that_address_nothing;
}

/// What is said of this.
pub(crate) async fn explain(by: &Persona, asked: &Value) -> Value {
    by.post("/v1/access/explain", asked).await.expect(200).data()
}

/// The reason alone; empty when it would be let in.
async fn reason(by: &Persona, asked: &Value) -> String {
    explain(by, asked).await["reason"].as_str().unwrap_or_default().to_owned()
}

async fn rotate(world: &World, key: &Persona, grace_seconds: u32) -> Persona {
    let path = format!("/v1/api-keys/{}/rotate", key.id());
    let made = world.secret().post(&path, &json!({"grace_seconds": grace_seconds})).await.expect(200).data();
    world.holder("rotated", &made)
}

async fn what_is_pasted_is_explained_as_it_would_be(world: &World) {
    let by = world.secret();
    let reader = world.restricted().await;
    let revoked = world.key("revoked", json!({"name": "Revoked"})).await;
    let _ = by.delete(&format!("/v1/api-keys/{}", revoked.id())).await.expect(200);
    let replaced = world.key("replaced", json!({"name": "Replaced"})).await;
    let _ = rotate(world, &replaced, 0).await;
    let (account, disabled) = world.account("software", "admin").await;
    let _ = by.patch(&format!("/v1/service-accounts/{account}"), &json!({"is_active": false})).await.expect(200);
    let (gone, deleted) = world.account("gone", "admin").await;
    let _ = by.delete(&format!("/v1/service-accounts/{gone}")).await;
    let office = world.key("office", json!({"name": "Office", "allowed_ips": ["203.0.113.0/24"]})).await;
    let widget = world.widget().await;
    let session = world.session().await;
    let (text, last) = reader.credential().split_at(reader.credential().len() - 1);
    let mistyped = format!("{text}{}", if last == "a" { "b" } else { "a" });
    let forged = {
        let (head, signature) = session.credential().rsplit_once('.').unwrap();
        let turned = if signature.starts_with('A') { "B" } else { "A" };
        format!("{head}.{turned}{}", &signature[1..])
    };
    for (asked, wanted) in [
        (json!({"credential": mistyped}), "key_checksum"),
        (json!({"credential": text}), "key_length"),
        (json!({"credential": format!("{text}-")}), "key_alphabet"),
        (json!({"credential": "two words"}), "credential_malformed"),
        (json!({"credential": revoked.credential()}), "key_revoked"),
        (json!({"credential": replaced.credential()}), "secret_replaced"),
        (json!({"credential": disabled.credential()}), "account_disabled"),
        (json!({"credential": deleted.credential()}), "account_deleted"),
        (json!({"credential": reader.credential(), "method": "POST", "path": "/v1/bots"}), "scope_missing"),
        (
            json!({"credential": reader.credential(), "path": "/v1/bots", "origin": "https://a.example"}),
            "secret_in_browser",
        ),
        (json!({"credential": office.credential(), "address": "198.51.100.7"}), "address_not_listed"),
        (json!({"credential": office.credential()}), "address_not_listed"),
        (json!({"credential": office.credential(), "address": "203.0.113.9"}), ""),
        (json!({"credential": widget.credential(), "method": "POST", "path": "/v1/chat/sessions"}), "origin_missing"),
        (
            json!({"credential": widget.credential(), "method": "POST", "path": "/v1/chat/sessions",
            "origin": "https://example.com"}),
            "",
        ),
        (json!({"credential": widget.credential(), "path": "/v1/bots", "origin": "https://example.com"}), "wrong_kind"),
        (json!({"credential": forged}), "token_forged"),
        (json!({"credential": session.credential(), "path": "/v1/bots"}), "wrong_kind"),
        (json!({"credential": session.credential()}), ""),
        (json!({"path": "/v1/bots"}), "credential_missing"),
        (json!({"path": "/v1/nothing", "credential": reader.credential()}), "unknown_path"),
        (json!({"path": "/v1/bots", "method": "DELETE", "credential": reader.credential()}), "method_not_allowed"),
    ] {
        assert_eq!(reason(&by, &asked).await, wanted, "{asked}");
    }
    let found = explain(&by, &json!({"credential": revoked.credential()})).await;
    assert_eq!((&found["code"], &found["status"]), (&json!("INVALID_API_KEY"), &json!(401)), "{found}");
    let key = &found["credential"]["key"];
    assert_eq!((&key["id"], &key["name"], &key["state"]), (&json!(revoked.id()), &json!("Revoked"), &json!("revoked")));
    assert!(found["message"].as_str().unwrap().contains(key["revoked_at"].as_str().unwrap()), "{found}");
    let old = explain(&by, &json!({"credential": replaced.credential()})).await;
    assert_eq!(old["credential"]["secret"], "older");
    let steps = |found: &Value| {
        let all = found["checks"].as_array().unwrap().iter();
        all.map(|step| format!("{}:{}", step["name"].as_str().unwrap(), step["outcome"].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(steps(&old)[1..4], ["credential:passed", "state:failed", "place:not_reached"]);
    let narrow = json!({"credential": reader.credential(), "method": "POST", "path": "/v1/bots"});
    let narrow = explain(&by, &narrow).await;
    let operation = &narrow["operation"];
    assert_eq!((&operation["id"], &operation["required_scope"]), (&json!("create_bot"), &json!("bots:write")));
    assert!(narrow["message"].as_str().unwrap().contains("bots:read, conversations:read"), "{narrow}");
}

async fn asking_charges_counts_and_keeps_nothing(world: &World) {
    let by = world.secret();
    let key =
        world.key("key", json!({"name": "K", "scopes": ["bots:read"], "rate_limit": 2, "daily_requests": 5})).await;
    let revoked = world.key("revoked", json!({"name": "Revoked"})).await;
    let _ = by.delete(&format!("/v1/api-keys/{}", revoked.id())).await.expect(200);
    for _ in 0..9 {
        for (path, origin) in [("/v1/bots", None), ("/v1/contacts", None), ("/v1/bots", Some("https://a.example"))] {
            let mut asked = json!({"credential": key.credential(), "path": path});
            if let Some(origin) = origin {
                asked["origin"] = json!(origin);
            }
            let _ = explain(&by, &asked).await;
        }
        let _ = explain(&by, &json!({"credential": revoked.credential()})).await;
    }
    world.server().running().app().cluster().flush_uses(true).await;
    let used = by.get(&format!("/v1/usage?key_id={}", key.id())).await.expect(200).json();
    assert_eq!(used["data"], json!([]), "nothing was let in or refused");
    let answer = key.get("/v1/bots").await.expect(200);
    assert!(answer.header("ratelimit").contains("r=1"), "the first that is charged: {}", answer.header("ratelimit"));
    let shown = by.get(&format!("/v1/api-keys/{}", key.id())).await.expect(200).data();
    assert_eq!(shown["secrets"][0]["uses"], 1, "{shown}");
    let log = by.get("/v1/audit-log?per_page=100").await.expect(200).data();
    let rows = log.as_array().unwrap();
    assert!(rows.iter().all(|row| row["action"] != "api_key.exposed"), "nobody has exposed anything");
    let asked: Vec<_> = rows.iter().filter(|row| row["action"] == "explain_access").collect();
    assert_eq!(asked.len(), 36);
    assert!(asked.iter().any(|row| row["target"] == json!({"kind": "api_key", "id": revoked.id()})), "{asked:?}");
    for secret in [key.credential(), revoked.credential()] {
        assert!(!log.to_string().contains(secret) && !world.server().request_log().contains(secret));
        let listed = by.get("/v1/requests?per_page=100").await.expect(200).text();
        assert!(!listed.contains(secret));
    }
    let refused = by.get("/v1/requests?outcome=refused").await.expect(200).data();
    assert_eq!(refused.as_array().unwrap().len(), 0, "what was not made was not refused: {refused}");
}

async fn another_workspace_s_credentials_read_as_ones_that_do_not_exist(world: &World) {
    let (by, other) = (world.secret(), world.other_workspace_secret());
    let made_up = crate::auth::unknown_key(world, credential::key::Family::Secret);
    let like = |mut found: Value| {
        found["request"] = Value::Null;
        found
    };
    let unknown = like(explain(&by, &json!({"credential": made_up})).await);
    assert_eq!((&unknown["reason"], &unknown["credential"]), (&json!("key_unknown"), &Value::Null));
    let made = other.post("/v1/api-keys", &json!({"name": "Theirs"})).await.expect(201).data();
    let theirs = world.holder("theirs", &made);
    for path in ["/v1/me", "/v1/bots", "/v1/nowhere"] {
        for origin in [None, Some("https://a.example")] {
            let asked = |credential: &str| json!({"credential": credential, "path": path, "origin": origin});
            let known = like(explain(&by, &asked(theirs.credential())).await);
            assert_eq!(known, like(explain(&by, &asked(&made_up)).await), "{path} {origin:?}");
        }
    }
    let _ = other.delete(&format!("/v1/api-keys/{}", theirs.id())).await.expect(200);
    assert_eq!(like(explain(&by, &json!({"credential": theirs.credential()})).await), unknown, "nor a revoked one");
    let bot = id_of(&other.post("/v1/bots", &json!({"name": "B"})).await.expect(201));
    let session = world.open_session("session", &other, &bot).await;
    let found = explain(&by, &json!({"credential": session.credential()})).await;
    assert_eq!((&found["reason"], &found["credential"]), (&json!("token_forged"), &Value::Null), "{found}");
    // A test key's view is of test data alone.
    let test = world.test_secret().await;
    assert_eq!(reason(&test, &json!({"credential": by.credential()})).await, "key_unknown");
    assert_eq!(reason(&by, &json!({"credential": test.credential()})).await, "");
}

async fn what_others_did_is_not_told(world: &World) {
    let (by, other) = (world.secret(), world.other_workspace_secret());
    for credential in [by.credential(), other.credential(), "nonsense"] {
        let found = explain(&by, &json!({"credential": credential, "path": "/healthz"})).await;
        assert_eq!((&found["allowed"], &found["credential"]), (&json!(true), &Value::Null), "{found}");
        assert!(!found["message"].as_str().unwrap().contains("data"), "{found}");
    }
    let stranger = json!({"path": "/v1/sign-in", "method": "POST", "address": "127.0.0.1"});
    let found = explain(&by, &stranger).await;
    assert!(!found["message"].as_str().unwrap().contains("left in"), "an address's budget is anybody's: {found}");
    let found = explain(&by, &json!({"credential": by.credential(), "path": "/v1/bots"})).await;
    assert!(found["message"].as_str().unwrap().contains("left in `workspace`"), "{found}");
    let stray = world.anonymous().at(Some("https://a.example")).get("/v1/bots").await.expect(401);
    let found = explain(&by, &json!({"request_id": stray.header("x-request-id")})).await;
    let request = &found["request"];
    assert_eq!((&request["operation"], &request["code"]), (&json!("list_bots"), &json!("MISSING_CREDENTIAL")));
    assert_eq!((&request["agent"], &request["duration_us"]), (&json!("silent"), &json!(0)), "{request}");
    for member in ["credential", "environment", "ip", "origin"] {
        assert_eq!(request[member], Value::Null, "{member}: {request}");
    }
}

async fn a_token_of_another_workspace_that_is_over_reads_as_forged(backend: Backend) {
    let (world, clock) = world_with(backend, |_| {}).await;
    let (by, other) = (world.secret(), world.other_workspace_secret());
    let own = world.session().await;
    let bot = id_of(&other.post("/v1/bots", &json!({"name": "B"})).await.expect(201));
    let theirs = world.open_session("session", &other, &bot).await;
    clock.advance(std::time::Duration::from_secs(25 * 3600));
    assert_eq!(reason(&by, &json!({"credential": own.credential()})).await, "token_expired");
    let found = explain(&by, &json!({"credential": theirs.credential()})).await;
    assert_eq!((&found["reason"], &found["code"]), (&json!("token_forged"), &json!("INVALID_TOKEN")), "{found}");
}

async fn what_is_asked_about_an_address_costs_that_address_nothing(backend: Backend) {
    let (world, _clock) = world_with(backend, |options| options.limits.failures_per_minute = 3).await;
    let by = world.secret();
    let wrong = crate::auth::unknown_key(&world, credential::key::Family::Secret);
    for _ in 0..6 {
        let asked = json!({"credential": wrong, "path": "/v1/bots", "address": "127.0.0.1"});
        assert_eq!(reason(&by, &asked).await, "key_unknown");
    }
    let _ = world.secret().with("wrong", wrong).get("/v1/bots").await.refused(401, "INVALID_API_KEY");
    world.end().await;
}

async fn a_request_is_explained_to_who_may_see_it(world: &World) {
    let (by, other) = (world.secret(), world.other_workspace_secret());
    let (admin, member) = (world.member("ada", "admin").await, world.member("mia", "member").await);
    let refused = world.restricted().await.post("/v1/bots", &json!({"name": "B"})).await.expect(403);
    let id = refused.header("x-request-id").to_owned();
    let asked = json!({"request_id": id});
    let found = explain(&admin, &asked).await;
    assert_eq!((&found["reason"], &found["request"]["id"]), (&json!("scope_missing"), &json!(id)), "{found}");
    assert!(found["request"]["ip"].is_string(), "{found}");
    let _ = member.post("/v1/access/explain", &asked).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let _ = explain(&member, &json!({"credential": by.credential()})).await;
    let _ = other.post("/v1/access/explain", &asked).await.refused(422, "VALIDATION_FAILED");
    let narrow = world.key("narrow", json!({"name": "N", "scopes": ["api-keys:read"]})).await;
    let _ = narrow.post("/v1/access/explain", &asked).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    // A stranger's is told without saying where it came from.
    let stray = world.anonymous().get("/v1/bots").await.expect(401);
    let found = explain(&by, &json!({"request_id": stray.header("x-request-id")})).await;
    assert_eq!((&found["reason"], &found["request"]["ip"]), (&json!("credential_missing"), &Value::Null), "{found}");
    let theirs = other.get("/v1/bots/bot_00000000000000000000000000").await.expect(404);
    let theirs = json!({"request_id": theirs.header("x-request-id")});
    let _ = by.post("/v1/access/explain", &theirs).await.refused(422, "VALIDATION_FAILED");
    // A test key asks about test data alone, and is told nothing of the other half.
    let test = world.test_secret().await;
    let _ = test.post("/v1/access/explain", &asked).await.refused(422, "VALIDATION_FAILED");
    let unlike = json!({"request_id": id, "credential": "x"});
    let _ = by.post("/v1/access/explain", &unlike).await.refused(422, "VALIDATION_FAILED");
}

async fn of_a_dead_key_of_another_workspace_a_stranger_s_part_alone_is_told(world: &World) {
    let (by, other) = (world.secret(), world.other_workspace_secret());
    let made = other.post("/v1/api-keys", &json!({"name": "Theirs"})).await.expect(201).data();
    let theirs = world.holder("theirs", &made);
    let _ = other.delete(&format!("/v1/api-keys/{}", theirs.id())).await.expect(200);
    // More than are looked for at once: the first of them is nobody's yet.
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(theirs.get("/v1/bots").await.expect(401).header("x-request-id").to_owned());
    }
    let asked = json!({"request_id": ids[0]});
    let found = explain(&by, &asked).await;
    for member in ["credential", "environment", "ip"] {
        assert_eq!(found["request"][member], Value::Null, "{member}: {found}");
    }
    assert_eq!((&found["credential"], &found["reason"]), (&Value::Null, &json!("key_unknown")), "{found}");
    let found = explain(&other, &asked).await;
    assert_eq!((&found["request"]["credential"]["id"], &found["reason"]), (&json!(theirs.id()), &json!("key_revoked")));
}

async fn what_would_be_let_in_says_so(world: &World) {
    let by = world.secret();
    let test = world.test_secret().await;
    let found =
        explain(&by, &json!({"credential": test.credential(), "path": "/v1/bots", "environment": "live"})).await;
    assert_eq!((&found["allowed"], &found["status"]), (&json!(true), &json!(200)), "{found}");
    assert!(found["message"].as_str().unwrap().contains("of the test data"), "{found}");
    let bot = world.bot().await;
    let missing = test.get(&format!("/v1/bots/{bot}")).await.expect(404);
    let found = explain(&by, &json!({"request_id": missing.header("x-request-id")})).await;
    assert!(found["message"].as_str().unwrap().contains("It is there, in the live data"), "{found}");
    let let_in = by.get("/v1/bots").await.expect(200);
    let found = explain(&by, &json!({"request_id": let_in.header("x-request-id")})).await;
    assert_eq!((&found["allowed"], &found["reason"]), (&json!(true), &Value::Null), "{found}");
}
