//! A participant's hour: tokens that are minted early, that end, and that are renewed.

use std::{sync::Arc, time::Duration};

use ambient::{Clock, ManualClock, Millis, RunId, SystemClock};
use credential::token::ParticipantClaims;
use serde_json::{Value, json};
use testkit::{Backend, ORIGIN, Options, Persona, WebSocket, World, eventually};

use crate::{
    participant_socket::{answer, ask, asked, events, join, listed, rest, start, two_roles},
    workflows::survey,
};

on_both! {
    a_token_of_another_run_or_role_renews_nothing;
    a_run_of_a_server_is_renewed_by_the_server;
    a_token_closes_its_socket_at_its_end;
}

on_each! {
    a_token_that_was_minted_early_works_for_an_hour_and_is_renewed_in_its_socket;
    a_public_run_is_renewed_for_a_day;
    a_server_that_stops_says_so;
    a_budget_is_said_and_too_much_beyond_it_closes;
}

fn manual() -> (Arc<ManualClock>, Options) {
    let clock = Arc::new(ManualClock::new(Millis::from_seconds(SystemClock::new().now().seconds())));
    (clock.clone(), Options { clock, ..Options::default() })
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A token as a server gets it for one of its people.
async fn mint(world: &World, holder: &Persona, run: RunId, role: &str) -> Persona {
    let path = format!("/api/v1/runs/{run}/tokens");
    let minted = holder.post(&path, &json!({ "role": role })).await.expect(201).json();
    let token = minted["participant_token"].as_str().unwrap();
    world.anonymous().at(Some(ORIGIN)).with("participant", token)
}

async fn renew(socket: &mut WebSocket, id: &str, by: &Persona) -> Value {
    socket.send_json(&json!({"type": "auth.renew", "id": id, "token": by.credential()})).await;
    loop {
        let one = socket.next_json().await;
        if one["id"] == id {
            return one;
        }
        assert_ne!(one["type"], "event", "the tests that renew are told of no event meanwhile: {one}");
    }
}

async fn a_token_that_was_minted_early_works_for_an_hour_and_is_renewed_in_its_socket(backend: Backend) {
    let (clock, options) = manual();
    let world = World::with(backend, options).await;
    let holder = world.deployment_of(&two_roles().to_string()).await;
    let run = start(&holder).await;
    // The customer is asked first: it is not the reviewer's turn, and possibly not the run's yet.
    let reviewer = mint(&world, &holder, run, "reviewer").await;
    let (mut staying, mut leaving) = (join(&world, &reviewer, 0).await, join(&world, &reviewer, 0).await);
    let customer = mint(&world, &holder, run, "customer").await;
    let mut told = Vec::new();
    told.push(staying.next_json().await);
    assert_eq!((&told[0]["type"], &told[0]["steps"]), (&json!("view"), &json!([])));

    clock.advance(seconds(1800));
    assert_eq!(asked(&mut join(&world, &customer, 0).await).await["steps"][0]["step"], "wish");
    let _ = customer.post("/api/participant/steps/wish", &json!({"value": "soon"})).await.expect(200);
    let view = reviewer.get("/api/participant/run").await.expect(200).json();
    assert_eq!(view["steps"][0]["step"], "verdict", "the token of before the step");
    assert_eq!(asked(&mut leaving).await["steps"][0]["step"], "verdict");
    while told.last().unwrap()["steps"][0]["step"] != "verdict" {
        told.push(staying.next_json().await);
    }

    clock.advance(seconds(1750));
    answer(&mut staying, 1, "never", json!(0)).await;
    let first_end = told[0]["expires_at"].as_i64().unwrap();
    // Whichever the server came to first.
    let (mut refused, mut warned) = (None, None);
    while refused.is_none() || warned.is_none() {
        let message = staying.next_json().await;
        match message["type"].as_str() {
            Some("error") => refused = Some(message["code"].clone()),
            Some("auth.expiring") => warned = message["expires_at"].as_i64(),
            _ => {}
        }
    }
    assert_eq!((refused, warned), (Some(json!("NOT_FOUND")), Some(first_end)), "120 s before");
    let next = mint(&world, &holder, run, "reviewer").await;
    let renewed = renew(&mut staying, "r", &next).await;
    assert_eq!((&renewed["type"], &renewed["expires_at"]), (&json!("auth.renewed"), &json!(first_end + 3_550_000)));
    assert_eq!(renew(&mut staying, "back", &reviewer).await["expires_at"], first_end + 3_550_000, "the longer one");

    // 3600 s, and the 5 s by which clocks may differ.
    clock.advance(seconds(55));
    for path in ["/api/participant/run", "/api/participant/events"] {
        let _ = reviewer.get(path).await.refused(401, "TOKEN_EXPIRED");
    }
    let step = "/api/participant/steps/verdict";
    let _ = reviewer.post(step, &json!({"value": "late"})).await.refused(401, "TOKEN_EXPIRED");
    let _ = reviewer.request("POST", "/api/participant/renew").send().await.refused(401, "TOKEN_EXPIRED");
    let again = reviewer.request("GET", "/api/participant/ws").socket(&[]).await;
    let _ = again.unwrap_err().refused(401, "TOKEN_EXPIRED");
    let mut introduced = world.anonymous().request("GET", "/api/participant/ws").socket(&[]).await.unwrap();
    introduced.send_json(&json!({"type": "auth", "token": reviewer.credential()})).await;
    let (refused, how) = rest(&mut introduced).await;
    assert_eq!((refused[0]["code"].as_str(), how), (Some("TOKEN_EXPIRED"), Some((4401, "expired".to_owned()))));
    answer(&mut leaving, 1, "verdict", json!("late")).await;
    let (last, how) = rest(&mut leaving).await;
    assert_eq!((last.last().unwrap()["code"].as_str(), how), (Some("expired"), Some((4401, "expired".to_owned()))));
    assert!(last.iter().all(|one| one["type"] != "ok"), "{last:?}");
    let refused = renew(&mut staying, "old", &reviewer).await;
    assert_eq!(refused["code"], "TOKEN_EXPIRED");

    // The renewed one goes on where it was.
    answer(&mut staying, 2, "verdict", json!("fine")).await;
    let customer = mint(&world, &holder, run, "customer").await;
    let done = async || customer.post("/api/participant/steps/thanks", &json!({"value": "bye"})).await.status == 200;
    assert!(eventually(seconds(10), done).await);
    let (more, how) = rest(&mut staying).await;
    assert_eq!(how, Some((1000, "ended".to_owned())));
    assert!(more.contains(&json!({"type": "ok", "id": 2})), "{more:?}");
    told.extend(more);
    assert_eq!(events(&told), listed(&next).await, "none is lost, none comes twice");
    world.end().await;
}

async fn a_token_of_another_run_or_role_renews_nothing(world: &World) {
    let holder = world.deployment_of(&two_roles().to_string()).await;
    let (run, other_run) = (start(&holder).await, start(&holder).await);
    let by = world.participant(&holder, run, "customer");
    let elsewhere = world.deployment_of(&two_roles().to_string()).await;
    let mut socket = join(world, &by, 0).await;
    let view = asked(&mut socket).await;
    answer(&mut socket, 1, "never", json!(0)).await;
    let _ = socket.until("error").await;
    for (other, code) in [
        (world.participant(&holder, other_run, "customer"), "WRONG_CREDENTIAL"),
        (world.participant(&holder, run, "reviewer"), "WRONG_CREDENTIAL"),
        (world.participant(&elsewhere, run, "customer"), "WRONG_CREDENTIAL"),
        (holder.clone(), "INVALID_TOKEN"),
        (by.with("broken", format!("{}x", by.credential())), "INVALID_TOKEN"),
        (world.session().await, "INVALID_TOKEN"),
    ] {
        let refused = renew(&mut socket, "x", &other).await;
        assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!(code)), "{refused}");
    }
    // The one before counts.
    let renewed = renew(&mut socket, "same", &by).await;
    assert_eq!((&renewed["type"], &renewed["expires_at"]), (&json!("auth.renewed"), &view["expires_at"]));
    answer(&mut socket, 2, "wish", json!("x")).await;
    assert_eq!(socket.until("ok").await["id"], 2);
}

async fn a_run_of_a_server_is_renewed_by_the_server(world: &World) {
    let holder = world.deployment_of(&survey().to_string()).await;
    let by = world.participant(&holder, start(&holder).await, "respondent");
    let refused = by.request("POST", "/api/participant/renew").send().await.refused(403, "WRONG_CREDENTIAL").json();
    assert!(refused["error"]["message"].as_str().unwrap().contains("your application"), "{refused}");
}

async fn a_public_run_is_renewed_for_a_day(backend: Backend) {
    let (clock, options) = manual();
    let world = World::with(backend, options).await;
    let design = json!({
        "type": "Workflow", "id": "w", "participants": [{"name": "customer"}], "children": [ask("wish", "customer")],
    });
    let holder = world.deployment_of(&design.to_string()).await;
    let start = format!("/api/public/surveys/{}/start", holder.id().replace("key_", "dep_"));
    let stranger = world.anonymous().at(Some(ORIGIN));
    let started = stranger.post(&start, &json!({})).await.expect(200).json();
    let run: RunId = started["run_id"].as_str().unwrap().parse().unwrap();
    let first = stranger.with("participant", started["participant_token"].as_str().unwrap());
    let mut socket = join(&world, &first, 0).await;
    let view = asked(&mut socket).await;
    answer(&mut socket, 1, "never", json!(0)).await;
    let _ = socket.until("error").await;

    clock.advance(seconds(3500));
    let answered = async |by: &Persona| by.request("POST", "/api/participant/renew").send().await;
    let renewed = answered(&first).await.expect(200).json();
    let (end, expires_in) = (clock.now().plus(3_600_000), &renewed["expires_in"]);
    assert_eq!((expires_in, &renewed["expires_at"]), (&json!(3600), &json!(end.to_string())));
    assert_eq!(renewed.as_object().unwrap().len(), 3, "{renewed}");
    let second = stranger.with("participant", renewed["participant_token"].as_str().unwrap());
    let _ = first.get("/api/participant/run").await.expect(200);
    assert_eq!(renew(&mut socket, "r", &second).await["expires_at"], json!(end.0));
    assert_ne!(view["expires_at"], json!(end.0));

    // The next hour, and so on.
    clock.advance(seconds(3500));
    let third = answered(&second).await.expect(200).json();
    let third = stranger.with("participant", third["participant_token"].as_str().unwrap());
    assert_eq!(third.get("/api/participant/run").await.expect(200).json()["run_id"], run.to_string());
    clock.advance(seconds(24 * 3600 - 7000 - 1));
    let late = world.participant(&holder, run, "customer");
    let _ = answered(&late).await.expect(200);
    clock.advance(seconds(1));
    let refused = answered(&late).await.refused(403, "WRONG_CREDENTIAL").json();
    assert!(refused["error"]["message"].as_str().unwrap().contains("24 hours"), "{refused}");
    let fresh = stranger.post(&start, &json!({})).await.expect(200).json();
    let fresh = stranger.with("participant", fresh["participant_token"].as_str().unwrap());
    let _ = asked(&mut join(&world, &fresh, 0).await).await;
    let _ = fresh.post("/api/participant/steps/wish", &json!({"value": "x"})).await.expect(200);
    let _ = answered(&fresh).await.refused(409, "CONFLICT");
    world.end().await;
}

async fn a_server_that_stops_says_so(backend: Backend) {
    let world = World::new(backend).await;
    let holder = world.deployment_of(&survey().to_string()).await;
    let by = world.participant(&holder, start(&holder).await, "respondent");
    let mut socket = join(&world, &by, 0).await;
    let view = asked(&mut socket).await;
    let (world, (told, how)) = tokio::join!(world.restart(), rest(&mut socket));
    assert_eq!(how, Some((1001, "shutdown".to_owned())));
    assert_eq!(told.last().unwrap()["code"], "shutdown", "{told:?}");
    // Another process, the same token.
    let mut socket = join(&world, &by, view["last_seq"].as_u64().unwrap()).await;
    assert_eq!(socket.next_json().await["steps"], view["steps"]);
    answer(&mut socket, 1, "score", json!(3)).await;
    assert_eq!(rest(&mut socket).await.1, Some((1000, "ended".to_owned())));
    world.end().await;
}

async fn a_budget_is_said_and_too_much_beyond_it_closes(backend: Backend) {
    let (_clock, mut options) = manual();
    options.limits.participant_per_minute = 8;
    let world = World::with(backend, options).await;
    let holder = world.deployment_of(&survey().to_string()).await;
    let by = world.participant(&holder, start(&holder).await, "respondent");
    let mut socket = join(&world, &by, 0).await;
    let _ = asked(&mut socket).await;
    for n in 0..40 {
        answer(&mut socket, n, "never", json!(0)).await;
    }
    let (told, how) = rest(&mut socket).await;
    assert_eq!(how, Some((1008, "flood".to_owned())));
    let of = |code: &str| told.iter().filter(|one| one["code"] == code).count();
    assert_eq!((of("NOT_FOUND"), of("RATE_LIMITED")), (7, 20), "the handshake was one");
    let limited = told.iter().find(|one| one["code"] == "RATE_LIMITED").unwrap();
    assert!(limited["retry_after"].as_u64().unwrap() > 0, "{limited}");
    let _ = by.get("/api/participant/run").await.refused(429, "RATE_LIMITED");
    world.end().await;
}

async fn a_token_closes_its_socket_at_its_end(world: &World) {
    let holder = world.deployment_of(&survey().to_string()).await;
    let run = start(&holder).await;
    let now = SystemClock::new().now();
    let (issued_at, expires_at) = (now.plus(-3_597_000), now.plus(3_000));
    let claims = world.participant_claims(&holder, run, "respondent");
    let claims = ParticipantClaims { issued_at, expires_at, ..claims };
    let token = world.server().running().tokens().sign_participant(&claims).unwrap();
    let mut socket = join(world, &world.anonymous().with("participant", token), 0).await;
    let warned = socket.until("auth.expiring").await;
    let end = warned["expires_at"].as_i64().unwrap();
    assert!((expires_at.0 - 1000..=expires_at.0).contains(&end), "{warned}");
    let (told, how) = rest(&mut socket).await;
    assert_eq!((told.last().unwrap()["code"].as_str(), how), (Some("expired"), Some((4401, "expired".to_owned()))));
    let over = SystemClock::new().now().0 - end;
    assert!((0..3000).contains(&over), "{over} ms after the end");
}
