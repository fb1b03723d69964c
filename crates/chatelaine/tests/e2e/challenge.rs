//! The work that a survey asks of strangers before it starts.

use std::{sync::Arc, time::Duration};

use ambient::{Clock, ManualClock, Millis, SystemClock};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use testkit::{Answer, Backend, Options, World, id_of};

use crate::workflows::survey;

on_both! {
    a_start_without_a_solution_is_told_what_to_solve;
    a_solution_is_good_for_one_start_of_its_survey;
    a_page_starts_with_a_solution_and_without_one_says_so;
    where_there_is_no_survey_there_is_no_challenge;
}

on_each! {
    with_auto_there_is_work_once_many_come;
    a_solution_expires_and_none_outlives_the_process;
    the_work_rises_with_the_day_and_what_was_hoarded_is_too_easy;
    a_start_that_a_ceiling_refuses_uses_no_solution_up;
}

async fn deploy(world: &World, settings: &Value) -> String {
    let workflow = json!({"name": "Survey", "definition": survey()});
    let workflow = id_of(&world.secret().post("/v1/workflows", &workflow).await.expect(201));
    id_of(&world.secret().post(&format!("/v1/workflows/{workflow}/deployments"), settings).await.expect(201))
}

async fn guarded(world: &World, challenge: &str) -> String {
    deploy(world, &json!({"survey_mode": true, "challenge": challenge})).await
}

async fn start(world: &World, survey: &str, solved: Value) -> Answer {
    let body = json!({ "challenge": solved });
    world.anonymous().post(&format!("/api/public/surveys/{survey}/start"), &body).await
}

async fn ask(world: &World, survey: &str) -> Value {
    world.anonymous().get(&format!("/api/public/surveys/{survey}/challenge")).await.expect(200).json()
}

fn zero_bits(nonce: &str, solution: &str) -> u32 {
    let hash = Sha256::digest(format!("{nonce}.{solution}"));
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]).leading_zeros()
}

/// What a page sends.
fn solve(challenge: &Value) -> Value {
    let nonce = challenge["nonce"].as_str().unwrap();
    let wanted = u32::try_from(challenge["difficulty"].as_u64().unwrap()).unwrap();
    let solution = (0..).map(|n: u64| n.to_string()).find(|text| zero_bits(nonce, text) >= wanted).unwrap();
    json!({"nonce": nonce, "solution": solution})
}

/// A text that is almost a solution.
fn miss(challenge: &Value) -> Value {
    let nonce = challenge["nonce"].as_str().unwrap();
    let wanted = u32::try_from(challenge["difficulty"].as_u64().unwrap()).unwrap();
    let close = |text: &String| (wanted - 4..wanted).contains(&zero_bits(nonce, text));
    json!({"nonce": nonce, "solution": (0..).map(|n: u64| n.to_string()).find(close).unwrap()})
}

#[track_caller]
fn required(answer: Answer) -> Value {
    let refused = answer.refused(403, "CHALLENGE_REQUIRED");
    refused.json()["error"]["challenge"].clone()
}

async fn a_start_without_a_solution_is_told_what_to_solve(world: &World) {
    let survey = guarded(world, "on").await;
    let challenge = required(start(world, &survey, Value::Null).await);
    assert_eq!((&challenge["algorithm"], &challenge["expires_in"]), (&json!("SHA-256"), &json!(120)), "{challenge}");
    assert_eq!(challenge["difficulty"], 16);
    let bare = world.anonymous().at(Some("https://anywhere.example"));
    let bare = bare.request("POST", &format!("/api/public/surveys/{survey}/start")).send().await;
    assert_eq!(bare.header("access-control-allow-origin"), "*", "a page must read what it is to solve");
    let _ = required(bare);
    let started = start(world, &survey, solve(&challenge)).await.expect(200).json();
    assert!(started["participant_token"].is_string(), "{started}");

    let asked = ask(world, &survey).await;
    assert_ne!(asked["nonce"], challenge["nonce"]);
    let _ = start(world, &survey, solve(&asked)).await.expect(200);
    let free = guarded(world, "off").await;
    assert_eq!(ask(world, &free).await, json!({"difficulty": 0}));
    let _ = start(world, &free, Value::Null).await.expect(200);
}

async fn a_solution_is_good_for_one_start_of_its_survey(world: &World) {
    let (survey, other) = (guarded(world, "on").await, guarded(world, "on").await);
    let challenge = ask(world, &survey).await;
    let _ = required(start(world, &survey, miss(&challenge)).await);
    let solved = solve(&challenge);
    let _ = required(start(world, &other, solved.clone()).await);
    let mut forged = solved.clone();
    let nonce = solved["nonce"].as_str().unwrap();
    // The first byte is the difficulty: 0 would be no work at all.
    forged["nonce"] = json!(format!("AA{}", &nonce[2..]));
    for wrong in [forged, json!({"nonce": "", "solution": ""}), json!({"nonce": "é".repeat(500), "solution": "1"})] {
        let _ = required(start(world, &survey, wrong).await);
    }
    let _ = start(world, &survey, json!({"nonce": 1})).await.refused(422, "VALIDATION_FAILED");
    let _ = start(world, &survey, solved.clone()).await.expect(200);
    let again = required(start(world, &survey, solved).await);
    assert_ne!(again["nonce"], challenge["nonce"]);
}

async fn a_page_starts_with_a_solution_and_without_one_says_so(world: &World) {
    let survey = guarded(world, "on").await;
    let (path, server) = (format!("/s/{survey}"), world.server().url().to_owned());
    let page = world.anonymous().get(&path).await.expect(200).text();
    let told = format!("data-challenge=\"/api/public/surveys/{survey}/challenge\"");
    assert!(page.contains(&told) && page.contains("<noscript>"), "{page}");
    let send = async |form: String| {
        let request = world.client().request("POST", &path).header("origin", &server);
        request.header("sec-fetch-site", "same-origin").body("application/x-www-form-urlencoded", form).send().await
    };
    let refused = send(String::new()).await.expect(403).text();
    assert!(refused.contains(&told) && refused.contains("once more") && refused.contains("<form"), "{refused}");
    let solved = solve(&ask(world, &survey).await);
    let [nonce, solution] = ["nonce", "solution"].map(|name| solved[name].as_str().unwrap());
    let started = send(format!("nonce={nonce}&solution={solution}")).await.expect(303);
    assert_eq!(started.header("location"), format!("{path}/run"));
    let _ = send(format!("nonce={nonce}&solution={solution}")).await.expect(403);
    let free = guarded(world, "off").await;
    assert!(!world.anonymous().get(&format!("/s/{free}")).await.expect(200).text().contains("data-challenge"));
}

async fn where_there_is_no_survey_there_is_no_challenge(world: &World) {
    let by = world.secret();
    let (off, revoked) = (deploy(world, &json!({})).await, guarded(world, "on").await);
    let _ = by.post(&format!("/v1/deployments/{revoked}/revoke"), &json!({"runs": "finish"})).await.expect(200);
    let mut bodies = Vec::new();
    for id in [off.as_str(), &revoked, "dep_00000000000000000000000001", "what", "key_1"] {
        let answer = world.anonymous().get(&format!("/api/public/surveys/{id}/challenge")).await;
        bodies.push(answer.refused(404, "NOT_FOUND").body_without_id());
        bodies.push(start(world, id, Value::Null).await.refused(404, "NOT_FOUND").body_without_id());
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

/// A world whose clock stands still.
async fn still(backend: Backend) -> (World, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Millis::from_seconds(SystemClock::new().now().seconds())));
    (World::with(backend, Options { clock: clock.clone(), ..Options::default() }).await, clock)
}

async fn with_auto_there_is_work_once_many_come(backend: Backend) {
    let (world, clock) = still(backend).await;
    let (survey, other) = (guarded(&world, "auto").await, guarded(&world, "auto").await);
    for _ in 0..10 {
        assert_eq!(ask(&world, &survey).await["difficulty"], 0);
        let _ = start(&world, &survey, Value::Null).await.expect(200);
    }
    let mut challenge = required(start(&world, &survey, Value::Null).await);
    assert_eq!((&challenge["difficulty"], &ask(&world, &other).await["difficulty"]), (&json!(16), &json!(0)));
    for _ in 0..10 {
        let _ = start(&world, &survey, solve(&challenge)).await.expect(200);
        challenge = ask(&world, &survey).await;
    }
    assert_eq!(challenge["difficulty"], 17, "twice as many, one bit more");
    clock.advance(Duration::from_secs(120));
    let _ = start(&world, &survey, Value::Null).await.expect(200);
    world.end().await;
}

async fn a_solution_expires_and_none_outlives_the_process(backend: Backend) {
    let (world, clock) = still(backend).await;
    let survey = guarded(&world, "on").await;
    let solved = solve(&ask(&world, &survey).await);
    clock.advance(Duration::from_millis(119_999));
    let _ = start(&world, &survey, solved).await.expect(200);
    let solved = solve(&ask(&world, &survey).await);
    clock.advance(Duration::from_secs(120));
    let _ = required(start(&world, &survey, solved).await);
    let solved = solve(&ask(&world, &survey).await);
    clock.advance(Duration::from_secs(1));
    let world = world.restart().await;
    let _ = required(start(&world, &survey, solved).await);
    let _ = start(&world, &survey, solve(&ask(&world, &survey).await)).await.expect(200);
    world.end().await;
}

async fn the_work_rises_with_the_day_and_what_was_hoarded_is_too_easy(backend: Backend) {
    let (world, clock) = still(backend).await;
    let survey = deploy(&world, &json!({"survey_mode": true, "challenge": "on", "daily_runs": 4})).await;
    let hoarded = solve(&ask(&world, &survey).await);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let challenge = ask(&world, &survey).await;
        seen.push(challenge["difficulty"].as_u64().unwrap());
        let _ = start(&world, &survey, solve(&challenge)).await.expect(200);
    }
    assert_eq!(seen, [16, 17, 18]);
    let told = required(start(&world, &survey, hoarded).await);
    assert_eq!((&told["difficulty"], &ask(&world, &survey).await["difficulty"]), (&json!(20), &json!(20)));
    let world = world.restart().await;
    assert_eq!(ask(&world, &survey).await["difficulty"], 20, "the day goes on");
    clock.advance(Duration::from_hours(24));
    assert_eq!(ask(&world, &survey).await["difficulty"], 16);
    world.end().await;
}

async fn a_start_that_a_ceiling_refuses_uses_no_solution_up(backend: Backend) {
    let (world, clock) = still(backend).await;
    let survey = deploy(&world, &json!({"survey_mode": true, "challenge": "on", "runs_per_minute": 1})).await;
    let [first, second] = [solve(&ask(&world, &survey).await), solve(&ask(&world, &survey).await)];
    let _ = start(&world, &survey, first).await.expect(200);
    for solved in [second.clone(), Value::Null] {
        let _ = start(&world, &survey, solved).await.refused(429, "RATE_LIMITED");
    }
    clock.advance(Duration::from_secs(60));
    let _ = start(&world, &survey, second).await.expect(200);
    world.end().await;
}
