//! Signing in: who gets a cookie, what it is worth, and what a page of somebody else can do with it.

use std::{sync::Arc, time::Duration};

use ambient::{Clock, ManualClock, Millis, SystemClock};
use serde_json::json;
use testkit::{Answer, Backend, Options, PASSWORD, Persona, Request, World, now};

on_both! {
    a_wrong_password_and_an_unknown_address_are_one_answer;
    a_cookie_and_a_key_are_too_much;
    pages_of_others_neither_sign_in_nor_act;
    signing_out_ends_it_on_the_server;
    a_persons_other_browsers_are_listed_and_signed_out;
    a_person_sees_test_data_by_asking_for_them;
    where_strangers_come_a_cookie_is_not_looked_at;
    only_a_digest_of_the_cookie_is_stored;
    a_browser_that_signs_in_again_is_signed_out_of_what_it_was;
    a_person_changes_the_own_password;
}

on_each! {
    a_cookie_ends_after_half_an_idle_hour_and_after_twelve;
    what_a_page_asks_for_by_itself_keeps_nobody_signed_in;
    under_tls_the_cookie_is_the_hosts_alone;
    guesses_are_counted_by_account_and_by_address;
    guesses_of_the_own_password_are_counted_too;
}

fn attempt(world: &World, email: &str, password: &str) -> Request {
    world.client().post("/v1/sign-in", &json!({"email": email, "password": password}))
}

async fn still(backend: Backend, change: impl FnOnce(&mut Options)) -> (World, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Millis::from_seconds(SystemClock::new().now().seconds())));
    let mut options = Options { clock: clock.clone(), ..Options::default() };
    change(&mut options);
    (World::with(backend, options).await, clock)
}

async fn a_wrong_password_and_an_unknown_address_are_one_answer(world: &World) {
    let _ = world.member("ada", "member").await;
    let wrong = attempt(world, "ada@people.example", "another few words").send().await;
    let unknown = attempt(world, "nobody@people.example", "another few words").send().await;
    // Made at the command line, without a password.
    let locked = attempt(world, "owner@acme.example", "none").send().await;
    for answer in [&wrong, &unknown, &locked] {
        let answer = answer.clone().refused(401, "INVALID_CREDENTIALS");
        assert_eq!(answer.body_without_id(), wrong.body_without_id());
        assert_eq!(answer.header("set-cookie"), "");
    }
    // Nor does the time tell: without an account a hash is made all the same.
    let (mut known, mut unknown) = (Duration::MAX, Duration::MAX);
    for _ in 0..6 {
        for (email, best) in [("ada@people.example", &mut known), ("nobody@people.example", &mut unknown)] {
            let start = now();
            let _ = attempt(world, email, "another few words").send().await;
            *best = start.elapsed().min(*best);
        }
    }
    assert!(unknown * 3 > known, "{known:?} {unknown:?}");
    let _ = attempt(world, " ADA@people.example ", PASSWORD).send().await.expect(200);
}

async fn a_cookie_and_a_key_are_too_much(world: &World) {
    let person = world.member("ada", "owner").await;
    let key = world.secret();
    let both = person.request("GET", "/v1/bots").bearer(key.credential());
    let _ = both.send().await.refused(400, "MULTIPLE_CREDENTIALS");
    let both = person.request("GET", "/v1/me").header("x-api-key", key.credential());
    let _ = both.send().await.refused(400, "MULTIPLE_CREDENTIALS");
    // Whatever the cookie is worth.
    let stale = key.request("GET", "/v1/bots").header("cookie", "chatelaine=x");
    let _ = stale.send().await.refused(400, "MULTIPLE_CREDENTIALS");
    let twice = person.request("GET", "/v1/bots").header("cookie", person.cookie());
    let _ = twice.send().await.refused(401, "INVALID_TOKEN");
    let other = key.request("GET", "/v1/bots").header("cookie", "theme=dark");
    let _ = other.send().await.expect(200);
    // A page that chats with a session's token may be of a person who is signed in.
    let session = world.session().await;
    let chat = session.request("GET", &session.messages()).header("cookie", person.cookie());
    let _ = chat.send().await.expect(200);
}

async fn pages_of_others_neither_sign_in_nor_act(world: &World) {
    let person = world.member("ada", "owner").await;
    let own = world.server().url().to_owned();
    let foreign: [&[(&str, &str)]; 6] = [
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
        &[("origin", "null"), ("sec-fetch-site", "same-origin")],
    ];
    let with = |request: Request, list: &[(&str, &str)]| {
        list.iter().fold(request, |request, (name, value)| request.header(name, value))
    };
    for list in foreign {
        let sign_in = with(attempt(world, "ada@people.example", PASSWORD), list);
        let refused = sign_in.send().await.refused(403, "ORIGIN_NOT_ALLOWED");
        assert_eq!(refused.header("set-cookie"), "", "{list:?}");
        let said = refused.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(said.contains("page of another site"), "no key is there to have a list: {said}");
        let invitation = json!({"token": "x", "name": "A", "password": PASSWORD});
        let accept = with(world.client().post("/v1/invitations/accept", &invitation), list);
        let _ = accept.send().await.refused(403, "ORIGIN_NOT_ALLOWED");
        let act = with(person.at(None).request("POST", "/v1/bots").json(&json!({"name": "B"})), list);
        let _ = act.send().await.refused(403, "ORIGIN_NOT_ALLOWED");
    }
    // Nor what says nothing at all, where a cookie comes along; reading shows nothing to another page.
    let silent = person.at(None);
    let refused = silent.post("/v1/bots", &json!({"name": "B"})).await.refused(403, "ORIGIN_NOT_ALLOWED");
    let said = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(said.contains(&format!("Send `Origin: {own}`")), "what to do: {said}");
    let _ = silent.delete("/v1/bots/bot_00000000000000000000000001").await.refused(403, "ORIGIN_NOT_ALLOWED");
    let read = person.at(Some("https://evil.example")).get("/v1/bots").await.expect(200);
    assert_eq!(read.header("access-control-allow-origin"), "");
    assert_eq!(read.header("access-control-allow-credentials"), "");
    let bots = world.secret().get("/v1/bots").await.expect(200).json();
    assert_eq!(bots["meta"]["total"], 0, "nothing was made");
    let _ = silent.at(Some(&own)).post("/v1/bots", &json!({"name": "B"})).await.expect(201);
    let embedded = person.request("POST", "/v1/bots").header("x-embedding-origin", "https://evil.example");
    let _ = embedded.json(&json!({"name": "B"})).send().await.refused(403, "ORIGIN_NOT_ALLOWED");
}

async fn signing_out_ends_it_on_the_server(world: &World) {
    let person = world.member("ada", "member").await;
    let second = world.sign_in("ada@people.example").await;
    assert_ne!(person.cookie(), second.cookie(), "a new one each time");
    let out = person.post("/v1/sign-out", &json!({})).await.expect(204);
    assert!(out.header("set-cookie").starts_with("chatelaine=; Path=/; Max-Age=0;"), "{:?}", out.headers);
    let _ = person.get("/v1/me").await.refused(401, "INVALID_TOKEN");
    let _ = person.post("/v1/sign-out", &json!({})).await.refused(401, "INVALID_TOKEN");
    let _ = second.get("/v1/me").await.expect(200);
    let _ = world.secret().post("/v1/sign-out", &json!({})).await.refused(403, "WRONG_CREDENTIAL");
}

async fn a_persons_other_browsers_are_listed_and_signed_out(world: &World) {
    let (ada, bob) = (world.member("ada", "member").await, world.member("bob", "owner").await);
    let second = world.sign_in("ada@people.example").await;
    let list = ada.get("/v1/sign-ins").await.expect(200).json();
    assert_eq!(list["meta"]["total"], 2, "one's own alone: {list}");
    assert_eq!(list["data"].as_array().unwrap().len(), 2, "one's own alone: {list}");
    let find = |is_current: bool| {
        let rows = list["data"].as_array().unwrap();
        rows.iter().find(|row| row["is_current"] == is_current).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let (own, other) = (find(true), find(false));
    let _ = bob.delete(&format!("/v1/sign-ins/{other}")).await.refused(404, "NOT_FOUND");
    let _ = second.get("/v1/me").await.expect(200);
    let _ = ada.delete(&format!("/v1/sign-ins/{other}")).await.expect(204);
    let _ = second.get("/v1/me").await.refused(401, "INVALID_TOKEN");
    let _ = ada.delete(&format!("/v1/sign-ins/{other}")).await.refused(404, "NOT_FOUND");
    let _ = ada.delete(&format!("/v1/sign-ins/{own}")).await.expect(204);
    let _ = ada.get("/v1/me").await.refused(401, "INVALID_TOKEN");
}

async fn a_person_sees_test_data_by_asking_for_them(world: &World) {
    let person = world.member("ada", "admin").await;
    let bot = world.bot_of(&world.test_secret().await).await;
    let path = format!("/v1/bots/{bot}");
    let _ = person.get(&path).await.refused(404, "NOT_FOUND");
    let _ = person.request("GET", &path).header("x-environment", "live").send().await.refused(404, "NOT_FOUND");
    let _ = person.request("GET", &path).header("x-environment", "test").send().await.expect(200);
    let wrong = person.request("GET", &path).header("x-environment", "prod").send().await;
    let _ = wrong.refused(400, "INVALID_REQUEST");
    // A key's environment is its own.
    let _ = world.secret().request("GET", &path).header("x-environment", "test").send().await.refused(404, "NOT_FOUND");
}

async fn where_strangers_come_a_cookie_is_not_looked_at(world: &World) {
    for cookie in ["chatelaine=x", &format!("chatelaine={}", "a".repeat(43))] {
        let attempt = attempt(world, "nobody@people.example", PASSWORD).header("cookie", cookie);
        let _ = attempt.send().await.refused(401, "INVALID_CREDENTIALS");
        let accept = json!({"token": "x", "name": "A", "password": PASSWORD});
        let accept = world.client().post("/v1/invitations/accept", &accept).header("cookie", cookie);
        let _ = accept.send().await.refused(404, "NOT_FOUND");
        let _ = world.client().get("/v1/bots").header("cookie", cookie).send().await.refused(401, "INVALID_TOKEN");
    }
}

async fn only_a_digest_of_the_cookie_is_stored(world: &World) {
    let person = world.member("ada", "member").await;
    let text = person.cookie().split_once('=').unwrap().1;
    let secrets = world.server().running().app().secrets();
    let digest = secrets.digest_for(gate::SIGN_IN_PURPOSE, text.as_bytes());
    assert!(world.store().find_sign_in(&digest).await.unwrap().is_some(), "by the digest under the pepper");
    assert!(!world.server().request_log().contains(text));
}

async fn a_browser_that_signs_in_again_is_signed_out_of_what_it_was(world: &World) {
    let (ada, bob) = (world.member("ada", "member").await, world.member("bob", "member").await);
    let elsewhere = world.sign_in("ada@people.example").await;
    let again = |password: &str| attempt(world, "bob@people.example", password).header("cookie", ada.cookie());
    let _ = again("a wrong password").send().await.refused(401, "INVALID_CREDENTIALS");
    let _ = ada.get("/v1/me").await.expect(200);
    let _ = again(PASSWORD).send().await.expect(200);
    let _ = ada.get("/v1/me").await.refused(401, "INVALID_TOKEN");
    for untouched in [elsewhere, bob] {
        let _ = untouched.get("/v1/me").await.expect(200);
    }
}

async fn a_person_changes_the_own_password(world: &World) {
    const NEXT: &str = "another few easy words";
    let (ada, bob) = (world.member("ada", "member").await, world.member("bob", "member").await);
    let other = world.sign_in("ada@people.example").await;
    let change = |by: &Persona, current: &str, new: &str| {
        let body = json!({"current_password": current, "new_password": new});
        by.request("POST", "/v1/me/password").json(&body)
    };
    for (current, new, field) in [
        ("not the password", NEXT, "current_password"),
        (PASSWORD, "ada@people.example", "new_password"),
        (PASSWORD, "passwordpassword", "new_password"),
        (PASSWORD, "short", "new_password"),
    ] {
        let refused = change(&ada, current, new).send().await.refused(422, "VALIDATION_FAILED");
        assert_eq!(refused.json()["error"]["errors"][0]["field"], field);
    }
    let _ = other.get("/v1/me").await.expect(200);
    let _ = change(&world.secret(), PASSWORD, NEXT).send().await.refused(403, "WRONG_CREDENTIAL");
    let _ = change(&ada.at(None), PASSWORD, NEXT).send().await.refused(403, "ORIGIN_NOT_ALLOWED");
    let _ = change(&ada, PASSWORD, NEXT).send().await.expect(204);
    let _ = other.get("/v1/me").await.refused(401, "INVALID_TOKEN");
    for untouched in [&ada, &bob] {
        let _ = untouched.get("/v1/me").await.expect(200);
    }
    let _ = attempt(world, "ada@people.example", PASSWORD).send().await.refused(401, "INVALID_CREDENTIALS");
    let _ = attempt(world, "ada@people.example", NEXT).send().await.expect(200);
    let _ = attempt(world, "bob@people.example", PASSWORD).send().await.expect(200);
}

async fn guesses_of_the_own_password_are_counted_too(backend: Backend) {
    let (world, clock) = still(backend, |options| {
        options.trusted_proxies = vec!["127.0.0.1/32".to_owned()];
        options.limits.sign_ins_per_account_per_minute = 10;
    })
    .await;
    let ada = world.member("ada", "member").await;
    let change = async |n: u8, current: &str| -> Answer {
        let body = json!({"current_password": current, "new_password": "another few easy words"});
        let request = ada.request("POST", "/v1/me/password").json(&body);
        request.header("x-forwarded-for", format!("198.51.100.{n}")).send().await
    };
    for n in 0..10 {
        let _ = change(n, "a wrong password").await.refused(422, "VALIDATION_FAILED");
    }
    let _ = change(10, PASSWORD).await.refused(429, "RATE_LIMITED");
    // The owner still signs in: these guesses are counted apart.
    let _ = world.sign_in("ada@people.example").await;
    clock.advance(Duration::from_secs(60));
    let _ = change(11, PASSWORD).await.expect(204);
    world.end().await;
}

async fn a_cookie_ends_after_half_an_idle_hour_and_after_twelve(backend: Backend) {
    let (world, clock) = still(backend, |_| {}).await;
    let person = world.member("ada", "member").await;
    clock.advance(Duration::from_secs(30 * 60 - 1));
    let _ = person.get("/v1/me").await.expect(200);
    clock.advance(Duration::from_secs(30 * 60 - 1));
    let _ = person.get("/v1/me").await.expect(200);
    clock.advance(Duration::from_secs(30 * 60));
    let _ = person.get("/v1/me").await.refused(401, "INVALID_TOKEN");
    let busy = world.sign_in("ada@people.example").await;
    for _ in 0..35 {
        clock.advance(Duration::from_secs(20 * 60));
        let _ = busy.get("/v1/me").await.expect(200);
    }
    clock.advance(Duration::from_secs(20 * 60));
    let _ = busy.get("/v1/me").await.refused(401, "INVALID_TOKEN");
    world.end().await;
}

async fn what_a_page_asks_for_by_itself_keeps_nobody_signed_in(backend: Backend) {
    let (world, clock) = still(backend, |_| {}).await;
    let (ada, mia) = (world.member("ada", "admin").await, world.member("mia", "admin").await);
    let mut tail = ada.request("GET", "/v1/requests/stream").header("accept", "text/event-stream").stream().await;
    for n in 1..=29 {
        clock.advance(Duration::from_secs(60));
        let _ = ada.request("GET", "/_/").header("hx-request", "true").send().await.expect(200);
        if n % 10 == 0 {
            let _ = mia.get("/_/").await.expect(200);
        }
    }
    let followed = ada.request("GET", "/v1/requests/stream").header("accept", "text/event-stream").stream().await;
    drop(followed);
    assert_eq!(tail.next().await.unwrap().data["type"], "request");
    clock.advance(Duration::from_secs(60));
    let _ = ada.get("/v1/me").await.refused(401, "INVALID_TOKEN");
    let _ = mia.get("/v1/me").await.expect(200);
    let ended = tail.rest().await;
    assert_eq!(ended.last().unwrap().data, json!({"type": "error", "code": "revoked"}));
    world.end().await;
}

async fn under_tls_the_cookie_is_the_hosts_alone(backend: Backend) {
    let public = "https://chat.example.com";
    let options = Options { public_url: Some(public.to_owned()), ..Options::default() };
    let world = World::with(backend, options).await;
    let body = json!({"email": "ada@people.example", "role": "member"});
    let invited = world.secret().post("/v1/invitations", &body).await.expect(201).data();
    assert!(invited["url"].as_str().unwrap().starts_with("https://chat.example.com/invitations#"));
    let accept = json!({"token": invited["token"], "name": "Ada", "password": PASSWORD});
    let _ = world.client().post("/v1/invitations/accept", &accept).send().await.expect(201);
    let answer = attempt(&world, "ada@people.example", PASSWORD).origin(public).send().await.expect(200);
    let cookie = answer.header("set-cookie").to_owned();
    assert!(cookie.starts_with("__Host-chatelaine=") && !cookie.contains("Domain"), "{cookie}");
    for part in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax", "; Max-Age=43200"] {
        assert!(cookie.contains(part), "{part}: {cookie}");
    }
    assert!(!answer.text().contains(cookie.split(['=', ';']).nth(1).unwrap()), "in the cookie alone");
    let value = cookie.split(';').next().unwrap();
    let get = |cookie: &str| world.client().get("/v1/me").header("cookie", cookie);
    let _ = get(value).send().await.expect(200);
    let tossed = value.replace("__Host-", "");
    let _ = get(&tossed).send().await.refused(401, "MISSING_CREDENTIAL");
    world.end().await;
}

async fn guesses_are_counted_by_account_and_by_address(backend: Backend) {
    let (world, clock) = still(backend, |options| {
        options.trusted_proxies = vec!["127.0.0.1/32".to_owned()];
        options.limits.sign_ins_per_minute = 30;
        options.limits.sign_ins_per_account_per_minute = 10;
    })
    .await;
    let _ = world.member("ada", "member").await;
    let from = async |address: &str, email: &str, password: &str| -> Answer {
        attempt(&world, email, password).header("x-forwarded-for", address).send().await
    };
    let (ada, home) = ("ada@people.example", "192.0.2.1");
    let _ = from(home, ada, PASSWORD).await.expect(200);
    // With the two times that the owner has signed in, from addresses that were new then.
    for n in 0..8 {
        let _ = from(&format!("198.51.100.{n}"), ada, "a wrong password").await.refused(401, "INVALID_CREDENTIALS");
    }
    let _ = from("198.51.100.77", ada, PASSWORD).await.refused(429, "RATE_LIMITED");
    let _ = from(home, ada, PASSWORD).await.expect(200);
    // An address without an account is counted the same way.
    for _ in 0..10 {
        let _ = from("203.0.113.9", "nobody@people.example", "x").await.refused(401, "INVALID_CREDENTIALS");
    }
    let _ = from("203.0.113.9", "nobody@people.example", "x").await.refused(429, "RATE_LIMITED");
    for n in 0..19 {
        let _ = from("203.0.113.9", &format!("p{n}@people.example"), "x").await.refused(401, "INVALID_CREDENTIALS");
    }
    let limited = from("203.0.113.9", "p99@people.example", "x").await.refused(429, "RATE_LIMITED");
    assert!(limited.header("ratelimit").starts_with("\"sign-ins\""), "{:?}", limited.headers);
    clock.advance(Duration::from_secs(60));
    let _ = from("198.51.100.77", ada, PASSWORD).await.expect(200);
    world.end().await;
}
