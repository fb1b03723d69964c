//! What one stranger may take of what participants share: requests by address, sockets by role and by address.

use std::{sync::Arc, time::Duration};

use ambient::{Clock, DeploymentId, KeyId, ManualClock, Millis, SystemClock};
use serde_json::{Value, json};
use testkit::{Answer, Backend, Options, Persona, Request, WebSocket, World, eventually};

use crate::{
    participant_socket::{answer, join, rest, start, two_roles},
    workflows::survey,
};

on_each! {
    an_address_uses_up_its_own_budget_and_leaves_the_workspaces_to_others;
    an_address_has_so_many_sockets_and_a_network_is_one;
}

on_both! {
    a_ninth_socket_of_a_role_takes_the_place_of_the_oldest;
}

/// A client behind a proxy.
fn from(request: Request, address: &str) -> Request {
    request.header("x-forwarded-for", address)
}

async fn see(by: &Persona, address: &str) -> Answer {
    from(by.request("GET", "/api/participant/run"), address).send().await
}

async fn follow(by: &Persona, address: &str) -> Result<WebSocket, Answer> {
    from(by.request("GET", "/api/participant/ws"), address).socket(&["chatelaine.v1"]).await
}

#[track_caller]
fn refused(answer: Answer) {
    let answer = answer.refused(429, "RATE_LIMITED");
    assert!(answer.header("ratelimit").starts_with("\"participant-address\";r=0;t="), "{:?}", answer.headers);
    assert_eq!(answer.header("ratelimit-policy"), "\"participant-address\";q=10;w=60");
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|wait| wait >= 1), "{:?}", answer.headers);
}

async fn an_address_uses_up_its_own_budget_and_leaves_the_workspaces_to_others(backend: Backend) {
    let clock = Arc::new(ManualClock::new(Millis::from_seconds(SystemClock::new().now().seconds())));
    let mut options = Options { clock: clock.clone(), ..Options::default() };
    options.limits.participant_per_address_per_minute = 10;
    options.limits.workspace_per_minute = 40;
    options.trusted_proxies = vec!["127.0.0.1/32".to_owned()];
    let world = World::with(backend, options).await;
    let holder = world.deployment_of(&survey().to_string()).await;
    let mut people = Vec::new();
    for _ in 0..5 {
        people.push(world.participant(&holder, start(&holder).await, "respondent"));
    }
    // Run after run from one network, by each way that there is.
    let mut socket = follow(&people[0], "2001:db8:1:2::1").await.unwrap();
    for host in 2..=9 {
        let _ = see(&people[host % 5], &format!("2001:db8:1:2:{host}::{host}")).await.expect(200);
    }
    socket.send_json(&json!({"type": "answer", "id": 1, "step": "never", "value": 1})).await;
    assert_eq!(socket.until("error").await["code"], "NOT_FOUND", "the tenth");
    for by in people.iter().cycle().take(50) {
        refused(see(by, "2001:db8:1:2:ffff::1").await);
    }
    refused(follow(&people[1], "2001:db8:1:2::2").await.unwrap_err());
    socket.send_json(&json!({"type": "answer", "id": 2, "step": "score", "value": 1})).await;
    let limited = socket.until("error").await;
    assert_eq!((&limited["id"], &limited["code"]), (&json!(2), &json!("RATE_LIMITED")));
    assert!(limited["retry_after"].as_u64().unwrap() > 0, "{limited}");
    let page = format!("/s/{}/run", DeploymentId(holder.id().parse::<KeyId>().unwrap().0));
    let show = async |address: &str| {
        let cookie = format!("chatelaine-survey={}", people[2].credential());
        from(world.anonymous().request("GET", &page), address).header("cookie", cookie).send().await
    };
    let _ = show("2001:db8:1:2::3").await.expect(429);
    // Nobody else has lost anything: a network beside it, an address of the old kind, the workspace.
    for address in ["2001:db8:1:3::1", "192.0.2.1"] {
        for by in &people {
            let _ = see(by, address).await.expect(200);
        }
        let _ = show(address).await.expect(200);
    }
    clock.advance(Duration::from_secs(6));
    let _ = see(&people[0], "2001:db8:1:2::1").await.expect(200);
    refused(see(&people[0], "2001:db8:1:2::1").await);
    world.end().await;
}

async fn an_address_has_so_many_sockets_and_a_network_is_one(backend: Backend) {
    let mut options = Options::default();
    options.limits.sockets_per_address = 3;
    options.trusted_proxies = vec!["127.0.0.1/32".to_owned()];
    let world = World::with(backend, options).await;
    let holder = world.deployment_of(&survey().to_string()).await;
    let mut people = Vec::new();
    for _ in 0..3 {
        people.push(world.participant(&holder, start(&holder).await, "respondent"));
    }
    let stranger = world.anonymous();
    let mut open = Vec::new();
    for (by, address) in [(&people[0], "2001:db8::1"), (&people[1], "2001:db8::2"), (&stranger, "2001:db8::3")] {
        open.push(follow(by, address).await.unwrap());
    }
    for by in [&people[2], &people[0], &stranger] {
        let answer = follow(by, "2001:db8::ffff").await.unwrap_err().refused(429, "RATE_LIMITED");
        assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|wait| wait >= 1), "{:?}", answer.headers);
    }
    let mut beside = follow(&people[2], "2001:db8:0:1::1").await.unwrap();
    assert_eq!(beside.next_json().await["type"], "view");
    assert_eq!(open[0].until("view").await["type"], "view", "those that are open stay");
    let _ = see(&people[0], "2001:db8::1").await.expect(200);
    drop(open.remove(1));
    let is_free = async || follow(&people[2], "2001:db8::4").await.is_ok();
    assert!(eventually(Duration::from_secs(10), is_free).await, "who has gone makes room");
    world.end().await;
}

async fn a_ninth_socket_of_a_role_takes_the_place_of_the_oldest(world: &World) {
    let holder = world.deployment_of(&two_roles().to_string()).await;
    let run = start(&holder).await;
    let (customer, reviewer) =
        (world.participant(&holder, run, "customer"), world.participant(&holder, run, "reviewer"));
    let mut other = join(world, &reviewer, 0).await;
    let _ = other.until("view").await;
    let mut sockets = Vec::new();
    for n in 0..9 {
        // Two ways in, one count; another token of the same role is no other role.
        let mut socket = match n % 2 {
            0 => join(world, &world.participant(&holder, run, "customer"), 0).await,
            _ => {
                let page = world.anonymous().at(Some(testkit::ORIGIN));
                let mut socket = page.request("GET", "/api/participant/ws").socket(&["chatelaine.v1"]).await.unwrap();
                socket.send_json(&json!({"type": "auth", "token": customer.credential()})).await;
                socket
            }
        };
        let _ = socket.until("view").await;
        sockets.push(socket);
    }
    let (told, how) = rest(&mut sockets.remove(0)).await;
    assert_eq!(how, Some((1013, "replaced".to_owned())));
    let last = told.last().unwrap();
    assert_eq!((&last["code"], &last["retry_after"]), (&json!("replaced"), &json!(60)), "{told:?}");
    // The eight and the other role go on.
    let newest = sockets.last_mut().unwrap();
    answer(newest, 7, "wish", json!("x")).await;
    assert_eq!(newest.until("ok").await["id"], 7);
    for socket in sockets.iter_mut().rev().skip(1) {
        while socket.until("event").await["kind"] != "step.answered" {}
    }
    let asked = |view: &Value| view["steps"][0]["step"] == "verdict";
    while !asked(&other.until("view").await) {}
}
