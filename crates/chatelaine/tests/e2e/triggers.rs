//! Triggers, and webhooks whose address is the credential. Schedules are in `schedules.rs`.

use std::{sync::Arc, time::Duration};

use ambient::{Clock, DeploymentId, ManualClock, Millis, RunId, SeededRandom};
use credential::{
    key::mint_trigger,
    webhook::{WebhookSecret, sign, sign_plain},
};
use gate::Method;
use serde_json::{Value, json};
use store::PageRequest;
use testkit::{Answer, Backend, Options, World, eventually, id_of};

use crate::{matrix::table, workflows::survey};

on_both! {
    a_webhook_starts_a_run_with_the_inputs_that_are_declared;
    a_mapping_fills_inputs_from_body_and_query;
    an_event_that_comes_twice_starts_one_run;
    whatever_starts_nothing_is_one_and_the_same_404;
    a_standard_webhook_is_taken_with_its_signature_and_in_its_minutes_alone;
    a_hub_signature_is_over_the_exact_body;
    an_address_is_shown_once_and_stored_nowhere;
    a_trigger_is_made_read_changed_and_deleted;
    what_does_not_fit_is_refused_by_its_field;
    a_deployment_s_budget_bounds_its_webhooks;
    a_deployment_has_a_bounded_number_of_triggers;
}

on_each! {
    who_guesses_addresses_is_stopped_and_stops_no_other;
    a_key_that_has_expired_closes_its_webhooks;
    a_workspace_s_budget_bounds_its_webhooks;
}

/// A workflow that is started with inputs.
pub(crate) fn design() -> Value {
    let mut design = survey();
    design["inputs"] = json!([
        {"name": "customer", "type": "text", "required": true}, {"name": "amount", "type": "number", "required": false},
    ]);
    design
}

pub(crate) async fn deploy(world: &World, definition: &Value, settings: Value) -> String {
    let workflow = json!({"name": "Started", "definition": definition});
    let workflow = id_of(&world.secret().post("/v1/workflows", &workflow).await.expect(201));
    id_of(&world.secret().post(&format!("/v1/workflows/{workflow}/deployments"), &settings).await.expect(201))
}

pub(crate) async fn make(world: &World, deployment: &str, body: Value) -> Value {
    world.secret().post(&format!("/v1/deployments/{deployment}/triggers"), &body).await.expect(201).data()
}

/// The path of a new webhook.
async fn webhook(world: &World, deployment: &str) -> String {
    path_of(&make(world, deployment, json!({"kind": "webhook", "name": "Shop"})).await)
}

fn path_of(made: &Value) -> String {
    let url = made["url"].as_str().unwrap();
    url[url.find("/api/webhooks/cht_").unwrap()..].to_owned()
}

/// A call with headers, as its sender makes it.
async fn call(world: &World, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let request = world.client().request("POST", path).body("application/json", body.to_owned());
    headers.iter().fold(request, |request, (name, value)| request.header(name, value)).send().await
}

fn run_of(answer: &Answer) -> RunId {
    answer.json()["run_id"].as_str().unwrap().parse().unwrap()
}

/// Inputs of the runs of a deployment, the oldest first, and what started them.
pub(crate) async fn runs(world: &World, deployment: &str) -> Vec<(String, Value)> {
    let data = world.store().workspace(world.tenant());
    let deployment: DeploymentId = deployment.parse().unwrap();
    let page = data.runs(PageRequest { page: 1, per_page: 100 }, Some(deployment)).await.unwrap();
    let mut runs = Vec::new();
    for row in page.rows.iter().rev() {
        let run = data.run(row.id).await.unwrap();
        runs.push((run.origin, serde_json::from_str(&run.input).unwrap()));
    }
    runs
}

fn fields(refusal: &Answer) -> Vec<String> {
    let errors = refusal.json()["error"]["errors"].take();
    errors.as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
}

async fn a_webhook_starts_a_run_with_the_inputs_that_are_declared(world: &World) {
    let deployment = deploy(world, &design(), json!({})).await;
    let path = webhook(world, &deployment).await;
    let answer = call(world, &path, &[], r#"{"customer":"Ada","amount":"7","other":{"a":1}}"#).await.expect(202);
    assert_eq!(answer.json()["duplicate"], false, "{}", answer.text());
    let record = world.store().workspace(world.tenant()).run(run_of(&answer)).await.unwrap();
    assert_eq!((record.origin.as_str(), record.deployment.to_string()), ("webhook", deployment.clone()));
    let form =
        world.client().request("POST", &path).body("application/x-www-form-urlencoded", "customer=Bo&amount=2.5");
    let _ = form.send().await.expect(202);
    assert_eq!(
        runs(world, &deployment).await,
        [
            ("webhook".to_owned(), json!({"customer": "Ada", "amount": 7})),
            ("webhook".to_owned(), json!({"customer": "Bo", "amount": 2.5}))
        ]
    );

    let refused = call(world, &path, &[], r#"{"amount":"many"}"#).await.refused(422, "VALIDATION_FAILED");
    assert_eq!(fields(&refused), ["input.customer", "input.amount"]);
    let _ = call(world, &path, &[], "{").await.refused(400, "INVALID_REQUEST");
    let text = world.client().request("POST", &path).body("text/plain", "customer=Ada");
    let _ = text.send().await.refused(415, "UNSUPPORTED_MEDIA_TYPE");
    let large = format!(r#"{{"customer":"{}"}}"#, "x".repeat(256 * 1024));
    let _ = call(world, &path, &[], &large).await.refused(413, "PAYLOAD_TOO_LARGE");
    let _ = world.client().get(&path).send().await.refused(405, "METHOD_NOT_ALLOWED");
    assert_eq!(runs(world, &deployment).await.len(), 2, "what is refused starts nothing");
}

async fn a_mapping_fills_inputs_from_body_and_query(world: &World) {
    let mapping = json!({"customer": "{{body.order.customers.0}} of {{query.shop}}", "amount": "{{body.order.total}}"});
    let deployment = deploy(world, &design(), json!({"input_mapping": mapping})).await;
    let shown = world.secret().get(&format!("/v1/deployments/{deployment}")).await.expect(200).data();
    assert_eq!((&shown["input_mapping"], &shown["challenge"]), (&mapping, &json!("off")));
    let path = webhook(world, &deployment).await;
    let body = r#"{"order":{"customers":["Ada","Bo"],"total":12.5},"customer":"not this"}"#;
    let _ = call(world, &format!("{path}?shop=North%20Street"), &[], body).await.expect(202);
    let input = json!({"customer": "Ada of North Street", "amount": 12.5});
    assert_eq!(runs(world, &deployment).await, [("webhook".to_owned(), input)]);

    let workflow = shown["workflow_id"].as_str().unwrap();
    for (mapping, field) in [
        (json!({"nobody": "{{body.a}}"}), "input_mapping.nobody"),
        (json!({"customer": "{{state.a}}"}), "input_mapping.customer"),
        (json!({"customer": "{{body.a|upper}}"}), "input_mapping.customer"),
    ] {
        let body = json!({ "input_mapping": mapping });
        let refused = world.secret().post(&format!("/v1/workflows/{workflow}/deployments"), &body).await;
        assert_eq!(fields(&refused.refused(422, "VALIDATION_FAILED")), [field]);
    }
}

async fn an_event_that_comes_twice_starts_one_run(world: &World) {
    let deployment = deploy(world, &survey(), json!({})).await;
    let made = make(world, &deployment, json!({"kind": "webhook", "name": "A", "delivery_id_header": "X-Event"})).await;
    let path = path_of(&made);
    for header in ["webhook-id", "X-GitHub-Delivery", "Idempotency-Key", "x-event"] {
        let before = runs(world, &deployment).await.len();
        // The same name of an event by each header, and of all calls at once.
        let name = format!("event-{header}");
        let headers = [(header, name.as_str())];
        let calls = (0..8).map(|_| call(world, &path, &headers, "{}"));
        let answers = futures_util::future::join_all(calls).await;
        let first = run_of(&answers[0]);
        let fresh = answers.iter().filter(|answer| answer.json()["duplicate"] == false).count();
        assert!(answers.iter().all(|answer| answer.status == 202 && run_of(answer) == first), "{header}");
        assert_eq!((fresh, runs(world, &deployment).await.len()), (1, before + 1), "{header}");
        let late = call(world, &path, &headers, r#"{"later":true}"#).await.expect(202);
        assert_eq!((run_of(&late), &late.json()["duplicate"]), (first, &json!(true)));
    }
    let other = webhook(world, &deployment).await;
    let fresh = call(world, &other, &[("webhook-id", "event-webhook-id")], "{}").await.expect(202);
    assert_eq!(fresh.json()["duplicate"], false, "another trigger's events are others");
    let _ = call(world, &path, &[("webhook-id", &"x".repeat(257))], "{}").await.refused(400, "INVALID_REQUEST");
}

async fn whatever_starts_nothing_is_one_and_the_same_404(world: &World) {
    let by = world.secret();
    let deployment = deploy(world, &survey(), json!({})).await;
    let (off, gone) = (
        make(world, &deployment, json!({"kind": "webhook", "name": "Off"})).await,
        make(world, &deployment, json!({"kind": "webhook", "name": "Gone"})).await,
    );
    for made in [&off, &gone] {
        let _ = call(world, &path_of(made), &[], "{}").await.expect(202);
    }
    let trigger = |made: &Value| format!("/v1/triggers/{}", made["id"].as_str().unwrap());
    let _ = by.patch(&trigger(&off), &json!({"enabled": false})).await.expect(200);
    let _ = by.delete(&trigger(&gone)).await.expect(204);
    let revoked = deploy(world, &survey(), json!({})).await;
    let signed = json!({"kind": "webhook", "name": "Revoked", "signing": "hub_sha256"});
    let (plain, signed) = (webhook(world, &revoked).await, path_of(&make(world, &revoked, signed).await));
    let _ = by.post(&format!("/v1/deployments/{revoked}/revoke"), &json!({"runs": "finish"})).await.expect(200);
    let unknown = format!("/api/webhooks/{}", mint_trigger(&SeededRandom::new(5)).unwrap().expose());
    let mistyped = path_of(&off).replace("cht_", "cht_x");
    let mut bodies = Vec::new();
    for path in [&path_of(&off), &path_of(&gone), &plain, &signed, &unknown, &mistyped, "/api/webhooks/x"] {
        bodies.push(call(world, path, &[], "{").await.refused(404, "NOT_FOUND").body_without_id());
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert_eq!(runs(world, &revoked).await.len(), 0);
    let _ = by.patch(&trigger(&off), &json!({"enabled": true})).await.expect(200);
    let _ = call(world, &path_of(&off), &[], "{}").await.expect(202);
}

async fn a_standard_webhook_is_taken_with_its_signature_and_in_its_minutes_alone(world: &World) {
    let deployment = deploy(world, &survey(), json!({})).await;
    let body = json!({"kind": "webhook", "name": "Signed", "signing": "standard_webhooks"});
    let made = make(world, &deployment, body).await;
    let secret = WebhookSecret::parse(made["secret"].as_str().unwrap()).unwrap();
    let path = path_of(&made);
    let now = world.server().running().app().clock().now().seconds();
    let send = async |secret: &WebhookSecret, id: &str, at: i64, signed: &str, sent: &str| {
        let signature = sign(secret, id, at, signed.as_bytes()).unwrap();
        let at = at.to_string();
        let headers = [("webhook-id", id), ("webhook-timestamp", &at), ("webhook-signature", &signature)];
        call(world, &path, &headers, sent).await
    };
    let body = r#"{"a": 1}"#;
    let first = send(&secret, "msg_1", now, body, body).await.expect(202);
    let again = send(&secret, "msg_1", now + 1, body, body).await.expect(202);
    assert_eq!((run_of(&again), &again.json()["duplicate"]), (run_of(&first), &json!(true)));
    let refused = "INVALID_SIGNATURE";
    // The same JSON in other bytes, an old call, one from the future, and another's.
    let wrong = send(&secret, "msg_2", now, body, r#"{"a":1}"#).await.refused(401, refused);
    assert_eq!(wrong.header("www-authenticate"), "HMAC-SHA256 realm=\"chatelaine\"");
    let _ = send(&secret, "msg_2", now - 301, body, body).await.refused(401, refused);
    let _ = send(&secret, "msg_2", now + 330, body, body).await.refused(401, refused);
    let other = WebhookSecret::generate(&SeededRandom::new(8)).unwrap();
    let _ = send(&other, "msg_2", now, body, body).await.refused(401, refused);
    let _ = call(world, &path, &[("webhook-id", "msg_2")], body).await.refused(401, refused);
    let _ = call(world, &path, &[("Idempotency-Key", "msg_1")], body).await.refused(401, refused);
    assert_eq!(runs(world, &deployment).await.len(), 1);

    let trigger = format!("/v1/triggers/{}", made["id"].as_str().unwrap());
    let change = json!({"secret": other.to_text().as_str()});
    let _ = world.secret().patch(&trigger, &change).await.expect(200);
    let _ = send(&secret, "msg_3", now, body, body).await.refused(401, refused);
    let _ = send(&other, "msg_3", now, body, body).await.expect(202);
}

async fn a_hub_signature_is_over_the_exact_body(world: &World) {
    let deployment = deploy(world, &survey(), json!({})).await;
    let secret = "a secret that GitHub knows";
    let body = json!({"kind": "webhook", "name": "GitHub", "signing": "hub_sha256", "secret": secret});
    let made = make(world, &deployment, body).await;
    assert_eq!(made["secret"], Value::Null, "its sender has it");
    let path = path_of(&made);
    let body = r#"{"action":"opened"}"#;
    let right = sign_plain(secret.as_bytes(), body.as_bytes());
    let send = async |signature: &str, id: &str, body: &str| {
        call(world, &path, &[("X-Hub-Signature-256", signature), ("X-GitHub-Delivery", id)], body).await
    };
    let _ = send(&right, "d1", body).await.expect(202);
    assert_eq!(send(&right, "d1", body).await.expect(202).json()["duplicate"], true);
    for (signature, body) in [
        (right.as_str(), r#"{"action":"closed"}"#),
        (&right[..70], body),
        (&right.replace("sha256=", "sha1="), body),
        (&sign_plain(b"another secret", body.as_bytes()), body),
        ("", body),
    ] {
        let _ = send(signature, "d2", body).await.refused(401, "INVALID_SIGNATURE");
    }
    let _ = call(world, &path, &[], body).await.refused(401, "INVALID_SIGNATURE");
    assert_eq!(runs(world, &deployment).await.len(), 1);
}

async fn an_address_is_shown_once_and_stored_nowhere(world: &World) {
    let deployment = deploy(world, &survey(), json!({})).await;
    let made = make(world, &deployment, json!({"kind": "webhook", "name": "S", "signing": "hub_sha256"})).await;
    let (path, secret) = (path_of(&made), made["secret"].as_str().unwrap());
    let token = path.rsplit('/').next().unwrap();
    let signature = sign_plain(secret.as_bytes(), b"{}");
    let _ = call(world, &path, &[("x-hub-signature-256", &signature)], "{}").await.expect(202);
    let _ = call(world, &path, &[("x-hub-signature-256", &signature)], "[]").await.refused(401, "INVALID_SIGNATURE");
    let _ = call(world, &format!("{path}/more"), &[], "{}").await.refused(404, "NOT_FOUND");
    let _ = world.client().get(&path).send().await.refused(405, "METHOD_NOT_ALLOWED");
    let by = world.secret();
    let trigger = format!("/v1/triggers/{}", made["id"].as_str().unwrap());
    let mut places = vec![
        ("metrics", world.client().get("/metrics").send().await.expect(200).body.to_vec()),
        ("database", world.server().database().bytes().await),
    ];
    for place in [trigger.as_str(), "/v1/audit-log?per_page=100", &format!("/v1/deployments/{deployment}/triggers")] {
        places.push(("answer", by.get(place).await.expect(200).body.to_vec()));
    }
    // Lines are written a moment later.
    let log = || world.server().request_log();
    let written = eventually(Duration::from_secs(10), async || log().contains("list_triggers"));
    assert!(written.await && log().matches("call_webhook").count() == 2, "{}", log());
    places.push(("request log", log().into_bytes()));
    for (place, bytes) in &places {
        for secret in [&token[4..24], &token[20..42], &secret[6..30], &signature[7..40]] {
            let holds = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!holds, "{place} holds {secret}");
        }
    }
}

async fn a_trigger_is_made_read_changed_and_deleted(world: &World) {
    let by = world.secret();
    let deployment = deploy(world, &design(), json!({})).await;
    let list = format!("/v1/deployments/{deployment}/triggers");
    let hook = make(world, &deployment, json!({"kind": "webhook", "name": "Hook", "delivery_id_header": "X-Id"})).await;
    assert!(hook["url"].as_str().unwrap().starts_with("http://"), "{hook}");
    assert_eq!((&hook["signing"], &hook["delivery_id_header"]), (&json!("none"), &json!("x-id")));
    let body = json!({
        "kind": "cron", "name": "Weekdays", "schedule": "0 9 * * mon-fri", "timezone": "europe/berlin",
        "input": {"customer": "Ada"},
    });
    let cron = make(world, &deployment, body).await;
    assert_eq!(
        (&cron["timezone"], &cron["url"], &cron["secret"]),
        (&json!("Europe/Berlin"), &json!(null), &json!(null))
    );
    assert_eq!((&cron["input"], &cron["enabled"]), (&json!({"customer": "Ada"}), &json!(true)));
    let times: Vec<Millis> = serde_json::from_value(cron["next_times"].clone()).unwrap();
    let now = world.server().running().app().clock().now();
    assert!(times.len() == 3 && times[0] > now && times.is_sorted(), "{cron}");
    let rows = by.get(&list).await.expect(200).json();
    assert_eq!((&rows["meta"]["total"], &rows["data"][0]["id"]), (&json!(2), &hook["id"]));

    let path = format!("/v1/triggers/{}", cron["id"].as_str().unwrap());
    let changed = json!({"name": "Nights", "schedule": "@daily", "timezone": "UTC", "input": {"customer": "Bo"}});
    let shown = by.patch(&path, &changed).await.expect(200).data();
    for (name, value) in changed.as_object().unwrap() {
        assert_eq!(&shown[name], value, "{name}");
    }
    assert!(shown["next_times"][0].as_str().unwrap().ends_with("T00:00:00.000Z"), "{shown}");
    assert_eq!(by.get(&path).await.expect(200).data(), shown);
    let off = by.patch(&path, &json!({"enabled": false})).await.expect(200).data();
    assert_eq!((&off["enabled"], &off["next_times"]), (&json!(false), &json!([])));
    let on = by.patch(&path, &json!({"enabled": true})).await.expect(200).data();
    assert_eq!((&on["enabled"], &on["next_times"]), (&json!(true), &shown["next_times"]));

    for stranger in [world.other_workspace_secret(), world.test_secret().await] {
        let _ = stranger.get(&path).await.refused(404, "NOT_FOUND");
        let _ = stranger.get(&list).await.refused(404, "NOT_FOUND");
        let _ = stranger.patch(&path, &json!({"enabled": false})).await.refused(404, "NOT_FOUND");
        let _ = stranger.delete(&path).await.refused(404, "NOT_FOUND");
        let _ = stranger.post(&list, &json!({"kind": "webhook", "name": "No"})).await.refused(404, "NOT_FOUND");
    }
    let _ = by.delete(&path).await.expect(204);
    let _ = by.get(&path).await.refused(404, "NOT_FOUND");
    let _ = by.post(&format!("/v1/deployments/{deployment}/revoke"), &json!({"runs": "finish"})).await.expect(200);
    let _ = by.post(&list, &json!({"kind": "webhook", "name": "Late"})).await.refused(409, "CONFLICT");
    let hook = format!("/v1/triggers/{}", hook["id"].as_str().unwrap());
    let _ = by.patch(&hook, &json!({"enabled": true})).await.refused(409, "CONFLICT");
    assert!(table(world).iter().any(|operation| operation.id == "call_webhook" && operation.method == Method::Post));
}

async fn what_does_not_fit_is_refused_by_its_field(world: &World) {
    let by = world.secret();
    let deployment = deploy(world, &design(), json!({})).await;
    let list = format!("/v1/deployments/{deployment}/triggers");
    let hook = |more: Value| with(json!({"kind": "webhook", "name": "A"}), more);
    let cron = |more: Value| with(json!({"kind": "cron", "name": "A", "input": {"customer": "Ada"}}), more);
    for (body, wrong) in [
        (hook(json!({"name": " "})), "name"),
        (hook(json!({"schedule": "@daily"})), "schedule"),
        (hook(json!({"input": {}})), "input"),
        (hook(json!({"secret": "without a signature"})), "secret"),
        (hook(json!({"signing": "standard_webhooks", "secret": "whsec_short"})), "secret"),
        (hook(json!({"signing": "standard_webhooks", "delivery_id_header": "x-id"})), "delivery_id_header"),
        (hook(json!({"delivery_id_header": "x id"})), "delivery_id_header"),
        (cron(json!({})), "schedule"),
        (cron(json!({"schedule": "61 * * * *"})), "schedule"),
        (cron(json!({"schedule": "@daily", "timezone": "Berlin"})), "timezone"),
        (cron(json!({"schedule": "@daily", "signing": "none"})), "signing"),
        (cron(json!({"schedule": "@daily", "input": {}})), "input.customer"),
        (cron(json!({"schedule": "@daily", "input": {"customer": "x".repeat(70_000)}})), "input"),
    ] {
        let refused = by.post(&list, &body).await.refused(422, "VALIDATION_FAILED");
        assert_eq!(fields(&refused), [wrong], "{body}");
    }
    let made = make(world, &deployment, cron(json!({"schedule": "@daily"}))).await;
    let path = format!("/v1/triggers/{}", made["id"].as_str().unwrap());
    for (body, wrong) in [
        (json!({"schedule": "x"}), "schedule"),
        (json!({"timezone": "x"}), "timezone"),
        (json!({"secret": "x"}), "secret"),
        (json!({"input": {"amount": 1}}), "input.customer"),
    ] {
        assert_eq!(fields(&by.patch(&path, &body).await.refused(422, "VALIDATION_FAILED")), [wrong]);
    }
    assert_eq!(by.get(&list).await.expect(200).json()["meta"]["total"], 1);
}

fn with(mut body: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("an object") };
    body.as_object_mut().unwrap().extend(more);
    body
}

async fn a_deployment_s_budget_bounds_its_webhooks(world: &World) {
    let deployment = deploy(world, &survey(), json!({"daily_runs": 2})).await;
    let path = webhook(world, &deployment).await;
    for id in ["1", "2"] {
        let _ = call(world, &path, &[("webhook-id", id)], "{}").await.expect(202);
    }
    let _ = call(world, &path, &[("webhook-id", "3")], "{}").await.refused(429, "RATE_LIMITED");
    let known = call(world, &path, &[("webhook-id", "2")], "{}").await.expect(202).json();
    assert_eq!(known["duplicate"], true, "what was started is told, whatever the budget");
}

async fn a_workspace_s_budget_bounds_its_webhooks(backend: Backend) {
    let clock = Arc::new(ManualClock::new("2026-11-22T12:00:00Z".parse().unwrap()));
    let mut options = Options { clock: clock.clone(), ..Options::default() };
    options.limits.workspace_per_minute = 6;
    let world = World::with(backend, options).await;
    let deployment = deploy(&world, &survey(), json!({})).await;
    let paths = [webhook(&world, &deployment).await, webhook(&world, &deployment).await];
    // Four requests have made them.
    for (n, path) in paths.iter().enumerate() {
        let _ = call(&world, path, &[("webhook-id", &n.to_string())], "{}").await.expect(202);
    }
    let refused = call(&world, &paths[0], &[("webhook-id", "more")], "{}").await.refused(429, "RATE_LIMITED");
    assert!(refused.header("ratelimit").starts_with("\"workspace\""), "{:?}", refused.headers);
    let known = call(&world, &paths[0], &[("webhook-id", "0")], "{}").await.expect(202).json();
    assert_eq!(known["duplicate"], true);
    clock.advance(Duration::from_secs(60));
    let _ = call(&world, &paths[0], &[("webhook-id", "more")], "{}").await.expect(202);
    world.end().await;
}

async fn a_deployment_has_a_bounded_number_of_triggers(world: &World) {
    let deployment = deploy(world, &survey(), json!({})).await;
    for n in 0..20 {
        let _ = make(world, &deployment, json!({"kind": "webhook", "name": format!("{n}")})).await;
    }
    let list = format!("/v1/deployments/{deployment}/triggers");
    let _ = world.secret().post(&list, &json!({"kind": "webhook", "name": "more"})).await.refused(409, "CONFLICT");
}

async fn who_guesses_addresses_is_stopped_and_stops_no_other(backend: Backend) {
    let mut options = Options::default();
    options.limits.failures_per_minute = 5;
    let world = World::with(backend, options).await;
    let deployment = deploy(&world, &survey(), json!({})).await;
    let path = webhook(&world, &deployment).await;
    let made = make(&world, &deployment, json!({"kind": "webhook", "name": "Off"})).await;
    let (off, trigger) = (path_of(&made), made["id"].as_str().unwrap());
    let _ = world.secret().patch(&format!("/v1/triggers/{trigger}"), &json!({"enabled": false})).await.expect(200);
    for _ in 0..7 {
        let _ = call(&world, &off, &[], "{}").await.refused(404, "NOT_FOUND");
    }
    let guess = |seed| format!("/api/webhooks/{}", mint_trigger(&SeededRandom::new(seed)).unwrap().expose());
    for seed in 0..5 {
        let _ = call(&world, &guess(seed), &[], "{}").await.refused(404, "NOT_FOUND");
    }
    let refused = call(&world, &guess(9), &[], "{}").await.refused(429, "RATE_LIMITED");
    assert!(!refused.header("retry-after").is_empty());
    let _ = call(&world, "/api/webhooks/cht_no", &[], "{}").await.refused(429, "RATE_LIMITED");
    // Whose customers' other addresses were wrong has the same address with the right one.
    let _ = call(&world, &path, &[], "{}").await.expect(202);
    let _ = call(&world, &off, &[], "{}").await.refused(404, "NOT_FOUND");
    world.end().await;
}

async fn a_key_that_has_expired_closes_its_webhooks(backend: Backend) {
    let clock = Arc::new(ManualClock::new("2026-11-22T12:00:00Z".parse().unwrap()));
    let world = World::with(backend, Options { clock: clock.clone(), ..Options::default() }).await;
    let deployment = deploy(&world, &survey(), json!({})).await;
    let plain = webhook(&world, &deployment).await;
    let signed =
        path_of(&make(&world, &deployment, json!({"kind": "webhook", "name": "S", "signing": "hub_sha256"})).await);
    let key = format!("/v1/api-keys/{}", deployment.replace("dep_", "key_"));
    let end = json!({"expires_at": clock.now().plus(60_000)});
    let _ = world.secret().patch(&key, &end).await.expect(200);
    clock.advance(Duration::from_millis(59_999));
    let _ = call(&world, &plain, &[("webhook-id", "1")], "{}").await.expect(202);
    clock.advance(Duration::from_millis(1));
    let unknown = format!("/api/webhooks/{}", mint_trigger(&SeededRandom::new(5)).unwrap().expose());
    let mut bodies = Vec::new();
    // Also for an event that has its run: who holds the address learns nothing more.
    for path in [&plain, &signed, &unknown] {
        bodies.push(call(&world, path, &[("webhook-id", "1")], "{}").await.refused(404, "NOT_FOUND").body_without_id());
    }
    bodies.dedup();
    assert_eq!((bodies.len(), runs(&world, &deployment).await.len()), (1, 1), "{bodies:?}");
    let _ = world.secret().patch(&key, &json!({"expires_at": null})).await.expect(200);
    let _ = call(&world, &plain, &[("webhook-id", "2")], "{}").await.expect(202);
    world.end().await;
}
