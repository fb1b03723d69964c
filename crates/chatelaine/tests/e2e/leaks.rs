//! Reports of leaked keys: what is done, what is told, and what a stranger learns from it.

use std::time::Duration;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use data_encoding::BASE64;
use serde_json::{Value, json};
use testkit::{Answer, Persona, World, now};

on_both! {
    a_reported_key_is_dead_at_once_and_everybody_concerned_is_told;
    a_stranger_learns_nothing_from_a_report;
    a_workspace_that_rotates_gives_a_leaked_key_its_grace;
    a_workspace_that_wants_to_know_only_is_told_once;
    a_secret_that_was_replaced_takes_nothing_with_it;
    a_widget_key_is_no_secret_and_a_deployment_s_is;
    reports_have_a_form_and_a_size;
    a_known_reporter_hears_which_tokens_were_keys;
    reports_are_listed_for_those_who_may_see_them;
    a_crowd_of_reports_from_one_address_is_turned_away;
}

fn found(token: &str) -> Value {
    json!([{"token": token, "type": "chatelaine_key", "url": "https://github.com/a/b/blob/c/.env", "source": "commit"}])
}

async fn report(world: &World, token: &str) -> Answer {
    world.client().post("/v1/leaks", &found(token)).send().await.expect(202)
}

async fn set_policy(world: &World, policy: &str, grace_seconds: u32) {
    let body = json!({"leak_policy": policy, "leak_grace_seconds": grace_seconds});
    let _ = world.secret().patch("/v1/workspace", &body).await.expect(200);
}

async fn leaks(by: &Persona) -> Vec<Value> {
    by.get("/v1/leaks").await.expect(200).data().as_array().unwrap().clone()
}

async fn audited(by: &Persona) -> Vec<Value> {
    by.get("/v1/audit-log?action=api_key.exposed&per_page=100").await.expect(200).data().as_array().unwrap().clone()
}

async fn a_reported_key_is_dead_at_once_and_everybody_concerned_is_told(world: &World) {
    let (owner, key) = (world.secret(), world.key("leaked", json!({"name": "Leaked"})).await);
    let answer = report(world, key.credential()).await;
    assert_eq!(answer.json(), json!([]));
    let _ = key.get("/v1/me").await.refused(401, "INVALID_API_KEY");
    let shown = owner.get(&format!("/v1/api-keys/{}", key.id())).await.expect(200).data();
    assert_eq!(shown["status"], "revoked");
    let listed = leaks(&owner).await;
    let wanted = (&json!("revoked"), &json!(key.id()), &json!("commit"));
    assert_eq!((listed.len(), (&listed[0]["action"], &listed[0]["api_key_id"], &listed[0]["source"])), (1, wanted));
    assert!(
        listed[0]["url"].as_str().unwrap().ends_with("/.env") && listed[0]["id"].as_str().unwrap().starts_with("leak_")
    );
    let log = audited(&owner).await;
    assert_eq!(
        (log.len(), &log[0]["detail"]["action"], &log[0]["target"]["id"]),
        (1, &json!("revoked"), &json!(key.id()))
    );
    let _ = report(world, key.credential()).await;
    assert_eq!((leaks(&owner).await.len(), audited(&owner).await.len()), (1, 1), "it was dead already");
    let _ = owner.get("/v1/me").await.expect(200);
    assert!(leaks(&world.other_workspace_secret()).await.is_empty());
}

async fn a_stranger_learns_nothing_from_a_report(world: &World) {
    let key = world.key("leaked", json!({"name": "Leaked"})).await;
    let unknown = format!("{}x", &key.credential()[..key.credential().len() - 1]);
    let other = world.server().running().parser();
    let never = other.mint(credential::Family::Secret, credential::Environment::Live, &ambient::OsRandom).unwrap();
    let mut took = Vec::new();
    for token in [unknown.as_str(), never.expose(), "nonsense", key.credential(), key.credential()] {
        let started = now();
        let answer = report(world, token).await;
        took.push(started.elapsed());
        assert_eq!(
            (answer.text(), answer.header("content-type")),
            ("[]".to_owned(), "application/json; charset=utf-8")
        );
    }
    let least = took.iter().min().unwrap();
    assert!(*least >= Duration::from_millis(290), "as long as what is done about a key: {took:?}");
    let wrong = world.secret().with("stranger", unknown);
    let _ = wrong.post("/v1/leaks", &found("nonsense")).await.refused(401, "INVALID_API_KEY");
}

async fn a_workspace_that_rotates_gives_a_leaked_key_its_grace(world: &World) {
    set_policy(world, "rotate", 3600).await;
    let (owner, key) = (world.secret(), world.key("leaked", json!({"name": "Leaked"})).await);
    for _ in 0..2 {
        let _ = report(world, key.credential()).await;
    }
    let _ = key.get("/v1/me").await.expect(200);
    let path = format!("/v1/api-keys/{}", key.id());
    let shown = owner.get(&path).await.expect(200).data();
    let secrets = shown["secrets"].as_array().unwrap();
    assert!(secrets.len() == 2 && shown["display"] == "sk_live_…" && secrets[1]["expires_at"].is_string(), "{shown}");
    let listed = leaks(&owner).await;
    assert_eq!(
        listed.iter().map(|leak| &leak["action"]).collect::<Vec<_>>(),
        ["grace_started"],
        "the same is told once"
    );
    let rotated = owner.post(&format!("{path}/rotate"), &json!({})).await.expect(200).data();
    let new = key.with("rotated", rotated["key"].as_str().unwrap());
    for key in [&key, &new] {
        let _ = key.get("/v1/me").await.expect(200);
    }
    let after = owner.get(&path).await.expect(200).data();
    assert_eq!(after["secrets"][1]["expires_at"], secrets[1]["expires_at"], "its end stays");
    assert_eq!(after["secrets"].as_array().unwrap().len(), 2);
    set_policy(world, "rotate", 0).await;
    let _ = report(world, new.credential()).await;
    let _ = new.get("/v1/me").await.refused(401, "INVALID_API_KEY");
}

async fn a_workspace_that_wants_to_know_only_is_told_once(world: &World) {
    set_policy(world, "notify", 0).await;
    let (owner, key) = (world.secret(), world.key("leaked", json!({"name": "Leaked"})).await);
    for _ in 0..3 {
        let _ = report(world, key.credential()).await;
    }
    let elsewhere = json!([{"token": key.credential(), "url": "", "source": "\u{1b}[2Jpaste"}]);
    let _ = world.client().post("/v1/leaks", &elsewhere).send().await.expect(202);
    let _ = key.get("/v1/me").await.expect(200);
    let listed = leaks(&owner).await;
    assert_eq!((listed.len(), &listed[0]["source"], &listed[0]["url"]), (2, &json!("[2Jpaste"), &Value::Null));
    assert!(listed.iter().all(|leak| leak["action"] == "notified") && audited(&owner).await.len() == 2);
}

async fn a_secret_that_was_replaced_takes_nothing_with_it(world: &World) {
    let (owner, key) = (world.secret(), world.key("leaked", json!({"name": "Leaked"})).await);
    let rotate = format!("/v1/api-keys/{}/rotate", key.id());
    let rotated = owner.post(&rotate, &json!({"grace_seconds": 3600})).await.expect(200).data();
    let new = key.with("rotated", rotated["key"].as_str().unwrap());
    let _ = report(world, key.credential()).await;
    let _ = key.get("/v1/me").await.refused(401, "INVALID_API_KEY");
    let _ = new.get("/v1/me").await.expect(200);
    assert_eq!(leaks(&owner).await[0]["action"], "secret_ended");
    let _ = report(world, key.credential()).await;
    assert_eq!(leaks(&owner).await.len(), 1, "it was dead already");
}

async fn a_widget_key_is_no_secret_and_a_deployment_s_is(world: &World) {
    let (owner, widget, deployment) = (world.secret(), world.widget().await, world.deployment().await);
    let both = json!([{"token": widget.credential()}, {"token": deployment.credential()}]);
    let _ = world.client().post("/v1/leaks", &both).send().await.expect(202);
    let _ = widget.get("/v1/me").await.expect(200);
    let _ = deployment.get("/v1/me").await.refused(401, "INVALID_API_KEY");
    let listed = leaks(&owner).await;
    assert_eq!((listed.len(), &listed[0]["action"], &listed[0]["source"]), (1, &json!("revoked"), &json!("")));
    let deployments = owner.get("/v1/deployments").await.expect(200).data();
    assert!(deployments.as_array().unwrap().iter().all(|one| one["revoked_at"].is_string()), "{deployments}");
}

async fn reports_have_a_form_and_a_size(world: &World) {
    let client = world.client();
    let secret = "sk_live_a_key_that_must_not_be_repeated";
    for body in [
        json!({}),
        json!([]),
        json!([{"token": ""}]),
        json!([{"type": "x"}]),
        json!([{"token": [secret]}]),
        json!([{"token": "x".repeat(1025)}]),
        json!([{"token": "x", "url": "y".repeat(2049)}]),
        json!(vec![json!({"token": "x"}); 1001]),
        json!(secret),
    ] {
        let answer = client.post("/v1/leaks", &body).send().await.refused(422, "VALIDATION_FAILED");
        assert!(!answer.text().contains(secret), "{}", answer.text());
    }
    let many = json!(vec![json!({"token": "nonsense-0123456789"}); 1000]);
    let _ = client.post("/v1/leaks", &many).send().await.expect(202);
    let _ = client.request("POST", "/v1/leaks").body("text/plain", "[]").send().await.expect(415);
    let _ = client.request("POST", "/v1/leaks").body("application/json", "[{").send().await.expect(400);
    let form = client.request("POST", "/v1/leaks").body("application/x-www-form-urlencoded", "token=x");
    let _ = form.send().await.expect(415);
    let large = format!("[{{\"token\":\"x\",\"more\":\"{}\"}}]", "y".repeat(256 * 1024));
    let _ = client.request("POST", "/v1/leaks").body("application/json", large).send().await.expect(413);
}

/// What a known reporter has.
struct Reporter {
    pair: EcdsaKeyPair,
}

impl Reporter {
    async fn send(&self, world: &World, identifier: &str, signed: &str, body: &str) -> Answer {
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        let request = world.client().request("POST", "/v1/leaks").body("application/json", body.to_owned());
        let request = request.header("github-public-key-identifier", identifier);
        request.header("github-public-key-signature", BASE64.encode(signature.as_ref())).send().await
    }
}

/// Trusts a new pair of keys under the name `now`.
fn trusted(world: &World) -> Reporter {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let head = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
    let head = data_encoding::HEXLOWER.decode(head.as_bytes()).unwrap();
    let key = BASE64.encode(&[&head, pair.public_key().as_ref()].concat());
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n");
    let list = json!({"public_keys": [
        {"key_identifier": "now", "key": pem, "is_current": true},
        {"key_identifier": "then", "key": pem, "is_current": false},
    ]})
    .to_string();
    world.server().running().app().trust_leak_reports(Box::new(move || {
        let list = list.clone();
        Box::pin(async move { Ok(list.into()) })
    }));
    Reporter { pair }
}

async fn a_known_reporter_hears_which_tokens_were_keys(world: &World) {
    let (live, dead) =
        (world.key("leaked", json!({"name": "A"})).await, world.key("revoked", json!({"name": "B"})).await);
    let _ = world.secret().delete(&format!("/v1/api-keys/{}", dead.id())).await.expect(200);
    let never = world.server().running().parser();
    let never = never.mint(credential::Family::Secret, credential::Environment::Live, &ambient::OsRandom).unwrap();
    let widget = world.widget().await;
    let tokens = [live.credential(), dead.credential(), never.expose(), "nonsense", widget.credential()];
    let body: Vec<Value> = tokens.iter().map(|token| json!({"token": token, "type": "t"})).collect();
    let body = Value::from(body).to_string();
    let reporter = trusted(world);
    for (identifier, signed) in [("then", body.as_str()), ("never", &body), ("now", "[]")] {
        let _ = reporter.send(world, identifier, signed, &body).await.refused(401, "INVALID_SIGNATURE");
    }
    let half = world.client().request("POST", "/v1/leaks").body("application/json", body.clone());
    for header in ["github-public-key-identifier", "github-public-key-signature"] {
        let _ = half.clone().header(header, "now").send().await.refused(401, "INVALID_SIGNATURE");
    }
    let _ = live.get("/v1/me").await.expect(200);
    let answer = reporter.send(world, "now", &body, &body).await.expect(202).json();
    let labels: Vec<&str> = answer.as_array().unwrap().iter().map(|one| one["label"].as_str().unwrap()).collect();
    let (yes, no) = ("true_positive", "false_positive");
    assert_eq!(labels, [yes, yes, no, no, no], "{answer}");
    let hash = credential::Digest::of_import(live.credential()).to_hex();
    assert_eq!((&answer[0]["token_hash"], &answer[0]["token_type"]), (&json!(hash), &json!("t")));
    assert!(tokens.iter().all(|token| !answer.to_string().contains(token)));
    let _ = live.get("/v1/me").await.refused(401, "INVALID_API_KEY");
    assert_eq!(report(world, live.credential()).await.json(), json!([]), "who signs nothing hears nothing");
}

async fn a_crowd_of_reports_from_one_address_is_turned_away(world: &World) {
    let report = async || world.client().post("/v1/leaks", &found("nonsense")).send().await.status;
    let statuses = futures_util::future::join_all((0..20).map(|_| report())).await;
    let turned_away = statuses.iter().filter(|status| **status == 429).count();
    assert!((1..=10).contains(&turned_away) && statuses.iter().all(|s| [202, 429].contains(s)), "{statuses:?}");
}

async fn reports_are_listed_for_those_who_may_see_them(world: &World) {
    let test = world.test_secret().await;
    let live = world.key("leaked", json!({"name": "A"})).await;
    let body = json!({"name": "T", "environment": "test"});
    let of_test = world.key("leaked_test", body).await;
    for key in [&live, &of_test] {
        let _ = report(world, key.credential()).await;
    }
    assert_eq!(leaks(&world.secret()).await.len(), 2);
    let seen = leaks(&test).await;
    assert_eq!((seen.len(), &seen[0]["api_key_id"]), (1, &json!(of_test.id())), "test keys see test keys");
    let _ = world.restricted().await.get("/v1/leaks").await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let _ = world.anonymous().get("/v1/leaks").await.refused(401, "MISSING_CREDENTIAL");
    let page = world.secret().get("/v1/leaks?page=2&per_page=1").await.expect(200).json();
    assert_eq!((&page["meta"]["total"], page["data"].as_array().unwrap().len()), (&json!(2), 1));
}
