//! Some hundred odd bodies for every operation that takes one: never our fault, never a word of what
//! is inside.

use access::Access;
use ambient::{OsRandom, Random};
use gate::{Meta, Method, Surface};
use serde_json::{Value, json};
use testkit::{Backend, Persona, World, id_of};

use crate::{bad_input::shows_nothing_inside, matrix::table, workflows::survey};

on_each! {
    no_body_is_our_fault;
}

/// Bodies that are odd for any operation.
fn odd_values() -> Vec<Value> {
    let long = "x".repeat(20_000);
    let mut values = vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e308),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(""),
        json!("a"),
        json!(long),
        json!([]),
        json!([[]]),
        json!({}),
        json!({"": ""}),
        json!("\u{0}"),
        json!("\u{202e}\u{feff}"),
        json!("😀".repeat(600)),
        json!("' OR 1=1 --"),
        json!("$1; DROP TABLE api_keys"),
        json!("%s%n{}"),
        json!("../../etc/passwd"),
        json!("9999-12-31T23:59:59Z"),
        json!("0000-01-01T00:00:00Z"),
        json!("-271821-04-20T00:00:00Z"),
        json!(["admin"]),
        json!(["bots:read", 1]),
        json!({"a": {"b": {"c": []}}}),
        json!("http://[::1"),
        json!("a\r\nb: c"),
    ];
    values.push((0..40).fold(json!(1), |inner, _| json!([inner])));
    values.push((0..40).fold(json!(1), |inner, _| json!({ "a": inner })));
    values
}

/// Members that some operation knows; an odd value in each is odd in its own way.
const MEMBERS: [&str; 40] = [
    "name",
    "kind",
    "environment",
    "scopes",
    "allowed_domains",
    "allow_localhost",
    "allowed_ips",
    "expires_at",
    "rate_limit",
    "owner",
    "purpose",
    "rotate_after",
    "metadata",
    "grace_seconds",
    "description",
    "role",
    "is_active",
    "greeting",
    "instructions",
    "architecture",
    "context_messages",
    "url",
    "model",
    "headers",
    "timeout_seconds",
    "weight",
    "fallback",
    "agent_id",
    "user_identifier",
    "message",
    "token",
    "password",
    "definition",
    "survey_mode",
    "daily_runs",
    "daily_replies",
    "runs",
    "input",
    "reason",
    "value",
];

fn raw_bodies() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = ["{", "[", "\"", "nul", "{\"a\":1,\"a\":2}", "{}{}", "\u{feff}{}", " ", "\0"]
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .collect();
    for size in [1, 2, 7, 64, 1000] {
        let mut noise = vec![0; size];
        OsRandom.fill(&mut noise).unwrap();
        bodies.push(noise);
    }
    bodies
}

/// Those of the drop-in surface have tests and error bodies of their own.
fn takes_a_body(operation: &Meta) -> bool {
    operation.surface == Surface::House && matches!(operation.method, Method::Post | Method::Patch)
}

/// Whoever may call it, and the path with things of his own in it.
struct Target {
    by: Persona,
    path: String,
}

async fn targets(world: &World) -> Vec<Target> {
    let (secret, session) = (world.secret(), world.session().await);
    let bot = world.bot().await;
    let integration =
        secret.get(&format!("/v1/bots/{bot}/integrations")).await.data()[0]["id"].as_str().unwrap().to_owned();
    let (account, _) = world.account("software", "admin").await;
    let key = world.key("key", json!({"name": "Key"})).await;
    let design = json!({"name": "W", "definition": survey()});
    let workflow = id_of(&secret.post("/v1/workflows", &design).await.expect(201));
    let deployed = secret.post(&format!("/v1/workflows/{workflow}/deployments"), &json!({})).await;
    let deployment = id_of(&deployed.expect(201));
    let holder = world.deployment_of(&survey().to_string()).await;
    let started = holder.post("/api/v1/runs", &json!({})).await.expect(202).json();
    let run = started["run_id"].as_str().unwrap().to_owned();
    let participant = world.participant(&holder, run.parse().unwrap(), "respondent");
    let public = holder.id().replace("key_", "dep_");
    let mut targets = Vec::new();
    for operation in table(world).iter().filter(|operation| takes_a_body(operation)) {
        let access: &Access = &operation.access;
        let by = if access.admits_sessions() {
            session.clone()
        } else if access.admits_deployments() {
            holder.clone()
        } else if access.admits_participants() {
            participant.clone()
        } else if access.is_public() {
            world.anonymous()
        } else {
            secret.clone()
        };
        let id = match operation.path {
            path if path.starts_with("/v1/api-keys/") => key.id(),
            path if path.starts_with("/v1/service-accounts/") => &account,
            path if path.starts_with("/v1/integrations/") => &integration,
            path if path.starts_with("/v1/chat/") => session.id(),
            path if path.starts_with("/api/v1/runs/") => &run,
            path if path.starts_with("/api/participant/steps/") => "score",
            path if path.starts_with("/api/public/surveys/") => &public,
            path if path.starts_with("/v1/workflows/") => &workflow,
            path if path.starts_with("/v1/deployments/") => &deployment,
            _ => &bot,
        };
        if operation.id != "end_chat_session" {
            targets.push(Target {
                by,
                path: ["{id}", "{step_id}", "{deployment_id}"]
                    .iter()
                    .fold(operation.path.replace("{bot_id}", &bot), |path, name| path.replace(name, id))
                    + "\n"
                    + operation.method.as_str(),
            });
        }
    }
    targets
}

async fn no_body_is_our_fault(backend: Backend) {
    let world = World::new(backend).await;
    let (odd, raw) = (odd_values(), raw_bodies());
    for target in targets(&world).await {
        let (path, method) = target.path.split_once('\n').unwrap();
        let mut bodies: Vec<Vec<u8>> = raw.clone();
        bodies.extend(odd.iter().map(|value| value.to_string().into_bytes()));
        for (n, member) in MEMBERS.iter().enumerate() {
            // Each member meets a third of the values, each value a third of the members.
            for value in odd.iter().enumerate().filter(|(m, _)| (n + m) % 4 == 0).map(|(_, value)| value) {
                let mut body = json!({"name": "Odd", "kind": "echo", "agent_id": "bot_1", "message": "hi"});
                body[*member] = value.clone();
                bodies.push(body.to_string().into_bytes());
            }
        }
        let sent =
            bodies.iter().map(|body| target.by.request(method, path).body("application/json", body.clone()).send());
        let answers: Vec<_> =
            futures_util::StreamExt::collect(futures_util::StreamExt::buffered(futures_util::stream::iter(sent), 8))
                .await;
        for (body, answer) in bodies.iter().zip(answers) {
            let shown = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
            assert!(answer.status < 500, "{method} {path} {shown}: {} {}", answer.status, answer.text());
            if answer.status >= 400 {
                assert!(!answer.code().is_empty(), "{method} {path} {shown}: {}", answer.text());
                shows_nothing_inside(&answer.text());
            }
        }
    }
    let _ = world.secret().get("/v1/bots").await.expect(200);
    let log = world.server().request_log();
    assert!(!log.contains("\"status\":5"), "a line of the log tells of a fault");
    world.end().await;
}
