//! The dashboard's pages, as a browser without scripts asks for them. One file for each family.

mod account;
mod bots;
mod contacts;
mod conversations;
mod decisions;
mod halves;
mod joining;
mod keys;
mod members;
mod refusals;
mod runs;
mod service_accounts;
mod webhooks;
mod workflows;
mod workspace;

use serde_json::Value;
use testkit::{Answer, Persona, Request, World};

on_both! {
    a_page_is_for_who_is_signed_in;
    a_page_shows_the_half_of_the_data_that_was_chosen;
    one_is_led_to_pages_of_ours_alone;
    a_page_s_script_is_never_older_than_the_page;
}

/// A page, as a browser asks for it.
pub(crate) async fn page(person: &Persona, path: &str) -> Answer {
    person.request("GET", path).header("accept", "text/html,application/xhtml+xml").send().await
}

/// A form, as a page of ours sends it that showed the live data.
pub(crate) async fn submit(person: &Persona, path: &str, fields: &[(&str, &str)]) -> Answer {
    form(person, path, &[fields, &[("seen", "live")]].concat()).send().await
}

/// A form of just these fields.
fn form(person: &Persona, path: &str, fields: &[(&str, &str)]) -> Request {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = person.request("POST", path).header("accept", "text/html").header("sec-fetch-site", "same-origin");
    request.body("application/x-www-form-urlencoded", body)
}

/// The same, of which the answer leads to another page: its path.
#[track_caller]
pub(crate) fn leads_to(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.header("location").to_owned()
}

/// Whether a page says this, as text: without its markup and with its entities read.
pub(crate) fn says(answer: &Answer, words: &str) -> bool {
    let mut text = String::new();
    for part in answer.text().split('<') {
        text.push(' ');
        text.push_str(part.split_once('>').map_or(part, |(_, after)| after));
    }
    let text = text.replace("&#38;", "&").replace("&#60;", "<").replace("&#62;", ">").replace("&#39;", "'");
    let text = text.replace("&#34;", "\"").split_whitespace().collect::<Vec<_>>().join(" ");
    text.contains(words)
}

/// The code of an answer in JSON, of a page that refuses who is no browser.
pub(crate) fn code(answer: &Answer) -> String {
    serde_json::from_str::<Value>(&answer.text())
        .map_or_else(|_| String::new(), |json| json["error"]["code"].to_string())
}

async fn a_page_is_for_who_is_signed_in(world: &World) {
    let ada = world.member("ada", "member").await;
    let home = page(&ada, "/_/").await.expect(200);
    assert!(says(&home, "Home") && says(&home, "ada") && says(&home, "Sign out"), "{}", home.text());
    for (header, holds) in [
        ("content-security-policy", "default-src 'none'"),
        ("cache-control", "no-store"),
        ("referrer-policy", "same-origin"),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert!(home.header(header).contains(holds), "{header}: {}", home.header(header));
    }
    let stranger = world.anonymous();
    assert_eq!(leads_to(&page(&stranger, "/_/?done=saved").await), "/_/sign-in?next=%2F_%2F%3Fdone%3Dsaved");
    // Who is no browser gets what the API says, and a key is for no page.
    assert_eq!(code(&stranger.get("/_/").await.expect(401)), "\"MISSING_CREDENTIAL\"");
    let _ = page(&world.secret(), "/_/").await.expect(403);
    let _ = submit(&stranger, "/_/view", &[("theme", "dark")]).await.expect(401);
}

async fn a_page_shows_the_half_of_the_data_that_was_chosen(world: &World) {
    let ada = world.member("ada", "member").await;
    assert!(says(&page(&ada, "/_/").await, "Show test data"));
    let chosen = submit(&ada, "/_/view", &[("environment", "test"), ("next", "/_/?done=saved")]).await;
    assert_eq!(leads_to(&chosen), "/_/?done=saved");
    let cookie = chosen.header("set-cookie").to_owned();
    assert!(cookie.starts_with("chatelaine-environment=test; Path=/_/;") && cookie.contains("HttpOnly"), "{cookie}");
    let shown = ada.request("GET", "/_/").header("cookie", "chatelaine-environment=test").send().await.expect(200);
    assert!(says(&shown, "Show live data"), "{}", shown.text());
    let _ = submit(&ada, "/_/view", &[("environment", "prod")]).await.expect(400);
}

async fn a_page_s_script_is_never_older_than_the_page(world: &World) {
    for path in ["/static/dashboard.js", "/static/dashboard.css", "/static/import.js"] {
        let first = world.client().get(path).send().await.expect(200);
        assert_eq!(first.header("cache-control"), "no-cache", "{path}");
        let tag = first.header("etag").to_owned();
        let again = world.client().get(path).header("if-none-match", &tag).send().await.expect(304);
        assert!(again.body.is_empty() && again.header("etag") == tag, "{path}");
    }
}

async fn one_is_led_to_pages_of_ours_alone(world: &World) {
    let ada = world.member("ada", "member").await;
    for next in ["https://evil.example/_/", "//evil.example", "/\\evil.example", "", "/v1/me"] {
        let answer = submit(&ada, "/_/view", &[("theme", "dark"), ("next", next)]).await;
        assert_eq!(leads_to(&answer), "/_/", "{next:?}");
    }
    // Another site's page changes nothing, not even colours.
    let fields = "theme=dark&next=%2F_%2F";
    for (site, origin) in
        [("cross-site", "https://evil.example"), ("same-site", "https://sub.example"), ("none", "null")]
    {
        let request = world.anonymous().request("POST", "/_/view").header("accept", "text/html");
        let request = request.header("sec-fetch-site", site).origin(origin).header("cookie", ada.cookie());
        let answer = request.body("application/x-www-form-urlencoded", fields).send().await;
        assert_eq!((answer.status, answer.header("set-cookie")), (403, ""), "{site}: {}", answer.text());
    }
}
