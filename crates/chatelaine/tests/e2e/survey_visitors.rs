//! What the pages of a survey cost whom, and what they leave behind in a browser.

use std::{sync::Arc, time::Duration};

use ambient::{Clock, ManualClock, Millis, SystemClock};
use serde_json::{Value, json};
use testkit::{Answer, Backend, Options, World};

use crate::{
    survey_page::{Browser, HTML, asking, heading, open},
    workflows::survey,
};

on_each! {
    who_has_no_good_cookie_pays_with_the_address;
    a_run_that_is_over_leaves_the_browser_after_five_minutes;
}

on_both! {
    a_form_is_as_large_as_a_page_makes_it_and_no_larger;
}

async fn still(backend: Backend, change: impl FnOnce(&mut Options)) -> (World, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Millis::from_seconds(SystemClock::new().now().seconds())));
    let mut options = Options { clock: clock.clone(), ..Options::default() };
    change(&mut options);
    (World::with(backend, options).await, clock)
}

async fn send(world: &World, method: &str, path: &str, cookie: &str, address: &str) -> Answer {
    let request = world.client().request(method, path).header("accept", HTML).header("x-forwarded-for", address);
    let request = if cookie.is_empty() { request } else { request.header("cookie", cookie) };
    let request = match method {
        "POST" => request
            .header("origin", world.server().url())
            .header("sec-fetch-site", "same-origin")
            .body("application/x-www-form-urlencoded", "step=score&f-score=9".to_owned()),
        _ => request,
    };
    request.send().await
}

async fn who_has_no_good_cookie_pays_with_the_address(backend: Backend) {
    let change = |options: &mut Options| {
        options.limits.public_per_minute = 3;
        options.trusted_proxies = vec!["127.0.0.1/32".to_owned()];
    };
    let (world, clock) = still(backend, change).await;
    let id = open(&world, &survey()).await;
    let mut browser = Browser::new(&world);
    let _ = browser.start(&id).await;
    let good = browser.cookie.clone().unwrap();
    let other = open(&world, &survey()).await;
    let path = format!("/s/{id}/run");
    let paths = [path.clone(), format!("/s/{other}/run"), "/s/anything/run".to_owned()];
    for (at, method) in ["GET", "POST"].into_iter().enumerate() {
        for (n, cookie) in ["", "chatelaine-survey=x", "chatelaine-survey=a.b.c"].into_iter().enumerate() {
            let address = format!("192.0.2.{}", 10 * at + n + 1);
            for path in &paths {
                let _ = send(&world, method, path, cookie, &address).await.expect(303);
            }
            let refused = send(&world, method, &path, cookie, &address).await.expect(429);
            assert_eq!(heading(&refused.text()), "Please come back later", "{method} {cookie}");
            assert!(refused.header("ratelimit").starts_with("\"address\""), "{:?}", refused.headers);
            let _ = send(&world, "GET", &path, &good, &address).await.expect(200);
        }
    }
    // A good cookie of another survey is none here.
    for _ in 0..3 {
        let _ = send(&world, "GET", &paths[1], &good, "192.0.2.99").await.expect(303);
    }
    let _ = send(&world, "GET", &paths[1], &good, "192.0.2.99").await.expect(429);
    for _ in 0..10 {
        let _ = send(&world, "GET", &path, &good, "192.0.2.99").await.expect(200);
    }
    let _ = send(&world, "POST", &path, &good, "192.0.2.99").await.expect(303);
    clock.advance(Duration::from_secs(60));
    let _ = send(&world, "GET", &path, "", "192.0.2.1").await.expect(303);
    world.end().await;
}

async fn a_form_is_as_large_as_a_page_makes_it_and_no_larger(world: &World) {
    let ask = json!([{"type": "Input", "id": "why", "prompt": "Why?", "input_type": "textarea"}]);
    let id = open(world, &asking(&ask)).await;
    let mut browser = Browser::new(world);
    let _ = browser.start(&id).await;
    let send = async |browser: &Browser<'_>, body: String| {
        let request = browser.request("POST", &format!("/s/{id}/run")).origin(&browser.origin);
        let request = request.header("sec-fetch-site", "same-origin");
        request.body("application/x-www-form-urlencoded", body).send().await
    };
    let _ = send(&browser, format!("step=why&f-why={}", "x".repeat(256 * 1024))).await.expect(413);
    let many = |pairs: usize| format!("step=why&f-why=a{}", "&b=c".repeat(pairs - 2));
    let _ = send(&browser, many(1001)).await.expect(400);
    let largest = send(&browser, format!("step=why&f-why={}", "x".repeat(256 * 1024 - 15))).await.expect(422);
    assert!(largest.text().contains("f-why-error"), "its 4000 characters are counted: {}", largest.text().len());
    // The longest answer that there is, in letters of which each is nine in a form.
    let answer = format!("step=why&f-why={}", "%E6%84%9B".repeat(4000));
    assert_eq!(send(&browser, answer).await.expect(303).header("location"), format!("/s/{id}/run"));
    let mut another = Browser::new(world);
    let _ = another.start(&id).await;
    let _ = send(&another, many(1000)).await.expect(303);
    let page: Value = json!(another.asked(&id).await);
    assert!(page.as_str().unwrap().contains("That was all"), "{page}");
}

async fn a_run_that_is_over_leaves_the_browser_after_five_minutes(backend: Backend) {
    let (world, clock) = still(backend, |_| ()).await;
    let design = asking(&json!([
        {"type": "Input", "id": "one", "prompt": "One?"}, {"type": "Input", "id": "two", "prompt": "Two?"},
    ]));
    let id = open(&world, &design).await;
    let (start, path) = (format!("/s/{id}"), format!("/s/{id}/run"));
    let mut browser = Browser::new(&world);
    let _ = browser.start(&id).await;
    let first = browser.answer(&id, &[("step", "one"), ("f-one", "secret words")]).await.expect(303);
    assert_eq!(first.header("set-cookie"), "", "not over yet");
    let token = browser.token().to_owned();
    let last = browser.answer(&id, &[("step", "two"), ("f-two", "b")]).await.expect(303);
    let kept =
        |seconds: u32| format!("chatelaine-survey={token}; Path={start}; Max-Age={seconds}; HttpOnly; SameSite=Lax");
    assert_eq!((last.header("location"), last.header("set-cookie")), (path.as_str(), kept(300).as_str()));
    clock.advance(Duration::from_secs(100));
    let shown = browser.get(&path).await.expect(200);
    assert_eq!(heading(&shown.text()), "That was all");
    assert_eq!(shown.header("set-cookie"), kept(200), "looking again gives no more time");
    // In the second half of the token's hour nothing is renewed either.
    let held = browser.cookie.clone();
    clock.advance(Duration::from_secs(200));
    let gone = browser.get(&path).await.expect(303);
    assert_eq!((gone.header("location"), &browser.cookie), (start.as_str(), &None));
    browser.cookie = held;
    assert_eq!(browser.get(&start).await.expect(200).header("set-cookie"), "");
    world.end().await;
}
