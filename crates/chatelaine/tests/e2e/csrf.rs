//! What a page of somebody else makes a browser send: every change that a cookie could pay for, and every form,
//! from the table itself (security rules 2.6).

use gate::{Meta, Method};
use serde_json::json;
use testkit::{Answer, Backend, Client, Options, PASSWORD, Persona, Request, World};

use crate::{
    matrix::table,
    pages::{leads_to, page, says, submit},
};

on_both! {
    no_page_of_others_changes_anything;
    nobody_is_signed_in_by_a_page_of_somebody_else;
    a_cookie_that_was_there_before_is_not_taken_over;
    every_page_says_that_nobody_may_frame_or_keep_it;
}

on_each! {
    under_tls_a_browser_never_comes_without_it_again;
}

/// What a browser says of a page that is not ours.
const FOREIGN: [&[(&str, &str)]; 7] = [
    &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")],
    &[("sec-fetch-site", "cross-site")],
    &[("sec-fetch-site", "same-site"), ("origin", "https://sub.chat.example")],
    &[("sec-fetch-site", "same-site")],
    &[("origin", "null")],
    &[("origin", "null"), ("sec-fetch-site", "same-origin")],
    &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
];

/// A path of the operation, which names nothing that is there.
fn path_of(operation: &Meta) -> String {
    let name =
        |part: &str| if part.starts_with('{') { "key_00000000000000000000000001".to_owned() } else { part.to_owned() };
    operation.path.split('/').map(name).collect::<Vec<_>>().join("/")
}

fn request(client: &Client, operation: &Meta, cookie: &str, said: &[(&str, &str)]) -> Request {
    let mut request = client.request(operation.method.as_str(), &path_of(operation));
    if !cookie.is_empty() {
        request = request.header("cookie", cookie);
    }
    for (name, value) in said {
        request = request.header(name, value);
    }
    if operation.form {
        request.body("application/x-www-form-urlencoded", "name=x")
    } else {
        request.json(&json!({"name": "x"}))
    }
}

fn acts_by_cookie(operation: &Meta) -> bool {
    operation.access.required_role().is_some() && operation.method != Method::Get
}

async fn no_page_of_others_changes_anything(world: &World) {
    let ada = world.member("ada", "owner").await;
    let log = async || world.secret().get("/v1/audit-log?per_page=1").await.expect(200).json()["meta"]["total"].clone();
    let before = log().await;
    let table = table(world);
    let guarded: Vec<&Meta> = table.iter().filter(|row| acts_by_cookie(row) || row.form || row.own_pages).collect();
    assert!(guarded.len() > 60, "they are all here: {}", guarded.len());
    for operation in guarded {
        for said in FOREIGN {
            let answer = request(&world.client(), operation, ada.cookie(), said).send().await;
            let _ = refused(operation, said, answer);
        }
        // What says nothing at all is no page of ours either, where a cookie comes along or signs somebody in.
        if acts_by_cookie(operation) || (operation.form && operation.own_pages) {
            let answer = request(&world.client(), operation, ada.cookie(), &[]).send().await;
            let _ = refused(operation, &[], answer);
        }
    }
    assert_eq!(log().await, before, "nothing was changed");
    let _ = ada.get("/v1/me").await.expect(200);
}

fn refused(operation: &Meta, said: &[(&str, &str)], answer: Answer) -> Answer {
    assert_eq!((answer.status, answer.header("set-cookie")), (403, ""), "{} {said:?}: {}", operation.id, answer.text());
    assert!(answer.text().contains("ORIGIN_NOT_ALLOWED"), "{} {said:?}: {}", operation.id, answer.text());
    answer
}

async fn nobody_is_signed_in_by_a_page_of_somebody_else(world: &World) {
    let _ = world.member("mallory", "member").await;
    let form = format!("email=mallory%40people.example&password={}", PASSWORD.replace(' ', "+"));
    let sign_in = |said: &[(&str, &str)]| {
        let request = world.client().request("POST", "/_/sign-in").header("accept", "text/html");
        let request = said.iter().fold(request, |request, (name, value)| request.header(name, value));
        request.body("application/x-www-form-urlencoded", form.clone())
    };
    for said in FOREIGN.into_iter().chain([&[][..]]) {
        let answer = sign_in(said).send().await;
        assert_eq!((answer.status, answer.header("set-cookie")), (403, ""), "{said:?}: {}", answer.text());
        assert!(says(&answer, "This did not come from our page"), "a person reads why: {}", answer.text());
    }
    let own = world.server().url().to_owned();
    let answer = sign_in(&[("origin", &own)]).send().await;
    assert!(leads_to(&answer) == "/_/" && answer.header("set-cookie").starts_with("chatelaine="));
}

async fn a_cookie_that_was_there_before_is_not_taken_over(world: &World) {
    let mallory = world.member("mallory", "member").await;
    let _ = world.member("ada", "member").await;
    let made_up = format!("chatelaine={}", "A".repeat(43));
    let fields = [("email", "ada@people.example"), ("password", PASSWORD)];
    for planted in [made_up.as_str(), mallory.cookie()] {
        let own = world.server().url().to_owned();
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = world.client().request("POST", "/_/sign-in").origin(&own).header("cookie", planted);
        let answer = request.body("application/x-www-form-urlencoded", body).send().await;
        assert_eq!(leads_to(&answer), "/_/");
        let given = answer.header("set-cookie").split(';').next().unwrap().to_owned();
        assert_ne!(given, planted, "a new one");
        let me = |cookie: &str| world.client().get("/v1/me").header("cookie", cookie);
        assert_eq!(me(&given).send().await.expect(200).data()["email"], "ada@people.example");
        let _ = me(planted).send().await.refused(401, "INVALID_TOKEN");
    }
}

async fn every_page_says_that_nobody_may_frame_or_keep_it(world: &World) {
    let ada = world.member("ada", "owner").await;
    let strangers = world.anonymous();
    let is_page = |row: &&Meta| row.method == Method::Get && row.path.starts_with("/_/");
    let table = table(world);
    let pages: Vec<&Meta> = table.iter().filter(is_page).collect();
    assert!(pages.len() > 3, "{}", pages.len());
    for operation in pages {
        // What names nothing is a page, too.
        for by in [&ada, &strangers] {
            let answer = page(by, &path_of(operation)).await;
            must_be_kept_to_itself(operation, &answer);
        }
    }
}

fn must_be_kept_to_itself(operation: &Meta, answer: &Answer) {
    let id = operation.id;
    assert!(matches!(answer.status, 200 | 303 | 400 | 404 | 422), "{id}: {} {}", answer.status, answer.text());
    assert!(answer.header("cache-control").contains("no-store"), "{id}: {:?}", answer.headers);
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{id}");
    if !answer.header("content-type").starts_with("text/html") {
        return;
    }
    let policy = answer.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{id}: {policy}");
    assert!(!policy.contains("unsafe") && policy.contains("base-uri 'none'"), "{id}: {policy}");
    assert_eq!((answer.header("x-frame-options"), answer.header("referrer-policy")), ("DENY", "same-origin"), "{id}");
    assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin", "{id}");
    let lower = answer.text().to_lowercase();
    for inline in ["<style", " style=\"", "onclick=", "onsubmit=", "onload=", "javascript:"] {
        assert!(!lower.contains(inline), "{id}: {inline}");
    }
}

async fn under_tls_a_browser_never_comes_without_it_again(backend: Backend) {
    let public = "https://chat.example.com";
    let world = World::with(backend, Options { public_url: Some(public.to_owned()), ..Options::default() }).await;
    for path in ["/_/sign-in", "/", "/v1/me", "/nowhere"] {
        let answer = page(&world.anonymous(), path).await;
        assert_eq!(answer.header("strict-transport-security"), "max-age=31536000", "{path}");
    }
    world.end().await;
    let world = World::new(backend).await;
    let answer = page(&world.anonymous(), "/_/sign-in").await;
    assert_eq!(answer.header("strict-transport-security"), "", "a developer's machine has no TLS");
    let ada = world.member("ada", "member").await;
    let out = submit(&ada, "/_/sign-out", &[]).await;
    assert_eq!(leads_to(&out), "/_/sign-in?done=signed-out");
    assert_signed_out(&ada).await;
    world.end().await;
}

async fn assert_signed_out(person: &Persona) {
    let _ = person.get("/v1/me").await.refused(401, "INVALID_TOKEN");
}
