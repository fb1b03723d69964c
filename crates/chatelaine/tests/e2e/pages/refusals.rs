//! What is refused below `/_/` is refused by a page, for whoever reads pages.

use testkit::{Answer, Backend, Options, World};

use super::{leads_to, page, says, submit};

on_both! {
    what_is_no_page_is_refused_by_a_page;
    a_form_that_cannot_be_read_is_refused_by_a_page;
    a_page_past_the_end_of_a_list_leads_to_its_last_one;
}

on_each! {
    too_many_requests_are_refused_by_a_page;
}

#[track_caller]
fn is_page(answer: &Answer, status: u16, words: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert!(answer.header("content-type").starts_with("text/html"), "{}", answer.text());
    assert!(says(answer, words) && says(answer, "Request req_"), "{words}: {}", answer.text());
    assert!(answer.header("x-request-id").starts_with("req_") && answer.header("cache-control") == "no-store");
    assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{:?}", answer.headers);
}

async fn what_is_no_page_is_refused_by_a_page(world: &World) {
    let ada = world.member("ada", "owner").await;
    // The address of a form, as it stands in the browser's line once the form was refused.
    for (path, list) in [
        ("/_/api-keys/revoke", "href=\"/_/api-keys\""),
        ("/_/channels/chn_00000000000000000000000001/delete", "href=\"/_/bots\""),
        ("/_/view", "href=\"/_/\""),
    ] {
        let answer = page(&ada, path).await;
        is_page(&answer, 405, "There is nothing to read here");
        assert!(
            answer.text().contains(list) && answer.header("allow") == "POST",
            "{:?} {}",
            answer.headers,
            answer.text()
        );
    }
    for by in [&ada, &world.anonymous()] {
        for (path, list) in [("/_/nowhere", "href=\"/_/\""), ("/_/bots/a/b/c", "href=\"/_/bots\"")] {
            let answer = page(by, path).await;
            is_page(&answer, 404, "There is nothing here");
            assert!(answer.text().contains(list), "{}", answer.text());
        }
    }
    is_page(&submit(&ada, "/_/nowhere", &[]).await, 404, "There is nothing here");
    let wrong = ada.request("DELETE", "/_/bots").header("accept", "text/html").send().await;
    is_page(&wrong, 405, "This could not be taken");
    // Programs read JSON, and elsewhere so does everybody.
    let _ = ada.get("/_/api-keys/revoke").await.refused(405, "METHOD_NOT_ALLOWED");
    let _ = ada.get("/_/nowhere").await.refused(404, "NOT_FOUND");
    let _ = page(&ada, "/v1/nowhere").await.refused(404, "NOT_FOUND");
    let _ = page(&ada, "/nowhere").await.refused(404, "NOT_FOUND");
    let wrong = ada.request("DELETE", "/v1/bots").header("accept", "text/html").send().await;
    let _ = wrong.refused(405, "METHOD_NOT_ALLOWED");
}

async fn a_form_that_cannot_be_read_is_refused_by_a_page(world: &World) {
    let ada = world.member("ada", "owner").await;
    let back = |answer: &Answer| answer.text().contains("href=\"/_/bots\"");
    let large = submit(&ada, "/_/bots", &[("name", &"n".repeat(256 * 1024))]).await;
    is_page(&large, 413, "The request body is over 256 KiB");
    assert!(back(&large));
    let many = submit(&ada, "/_/bots", &[("name", "n"); 1000]).await;
    is_page(&many, 400, "A form has 1000 fields at most");
    assert!(back(&many));
    let strange = ada.request("POST", "/_/bots").header("accept", "text/html").header("sec-fetch-site", "same-origin");
    let strange = strange.body("text/plain", "name=n&seen=live").send().await;
    is_page(&strange, 415, "Send a form");
    assert!(back(&strange));
}

async fn a_page_past_the_end_of_a_list_leads_to_its_last_one(world: &World) {
    let ada = world.member("ada", "owner").await;
    for _ in 0..26 {
        let _ = world.bot().await;
    }
    assert_eq!(leads_to(&page(&ada, "/_/bots?page=7").await), "/_/bots?page=2");
    let last = page(&ada, "/_/bots?page=2").await.expect(200);
    assert!(says(&last, "Page 2 of 2, 26 in all") && says(&last, "New bot"), "{}", last.text());
    // Of what there is none of, the first page says so; what else was asked for is kept.
    assert_eq!(leads_to(&page(&ada, "/_/api-keys?q=a+b%26c&page=2").await), "/_/api-keys?q=a+b%26c&page=1");
    let _ = page(&ada, "/_/api-keys?q=a+b%26c&page=1").await.expect(200);
    let _ = ada.get("/_/bots?page=7").await.refused(404, "NOT_FOUND");
}

async fn too_many_requests_are_refused_by_a_page(backend: Backend) {
    let world = World::new(backend).await;
    let ada = world.member("ada", "member").await;
    let few = |options: &mut Options| {
        options.limits.workspace_per_minute = 3;
        options.limits.public_per_minute = 1;
    };
    let world = world.restart_with(few).await;
    for (by, path) in [(ada.on(world.client()), "/_/"), (world.anonymous(), "/_/sign-in")] {
        let mut last = page(&by, path).await;
        for _ in 0..8 {
            last = page(&by, path).await;
        }
        is_page(&last, 429, "Too many requests");
        assert!(!last.header("retry-after").is_empty(), "{:?}", last.headers);
    }
    world.end().await;
}
