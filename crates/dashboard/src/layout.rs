//! The bytes around a page, and the pages that say why there is nothing else.

use std::io::Write as _;

use access::Role;
use askama::Template;
use bytes::Bytes;
use credential::key::Environment;
use flate2::{Compression, write::GzEncoder};
use gate::{Problem, Raw, RefusedRequest};

use crate::frame;

/// Our own files and our own server, and nothing else, in no frame (ASVS 3.4.3).
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A template, written, with the headers of every page.
///
/// # Errors
/// 503 when it cannot be written.
pub(crate) fn html(page: &impl Template) -> Result<Raw, Problem> {
    Ok(whole(page.render().map_err(Problem::unavailable)?))
}

/// The same, compressed: for a long page that holds nothing secret and repeats nothing that was sent (BREACH).
///
/// # Errors
/// 503 when it cannot be written.
pub(crate) fn zipped(page: &impl Template) -> Result<Raw, Problem> {
    let text = page.render().map_err(Problem::unavailable)?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let bytes = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()).map_err(Problem::unavailable)?;
    Ok(whole(bytes).header("content-encoding", "gzip").header("vary", "accept-encoding"))
}

fn whole(text: impl Into<Bytes>) -> Raw {
    Raw::new("text/html; charset=utf-8", text)
        .header("content-security-policy", POLICY)
        // Not `no-referrer`: browsers then post our own forms with `Origin: null` (Fetch, section 3.2).
        .header("referrer-policy", "same-origin")
        .header("x-frame-options", "DENY")
        .header("cross-origin-opener-policy", "same-origin")
        .header("cache-control", "no-store")
}

/// A page for whom nothing is known of.
#[derive(Template)]
#[template(path = "refusal.html")]
struct Refusal<'a> {
    title: &'a str,
    sentence: &'a str,
    link: Option<(&'a str, String)>,
    /// A half of the data to be shown, and the page to go on with.
    switch: Option<(Environment, &'a str)>,
    request: String,
}

/// `next` of a page that leads back: a path of the dashboard's own, or its home. Browsers take `..` out of a path, also
/// where its points are encoded (URL Standard, section 4.4), and so it would lead elsewhere.
pub(crate) fn local(next: &str) -> &str {
    let path = next.split(['?', '#']).next().unwrap_or_default();
    let climbs = |segment: &str| segment.to_ascii_lowercase().replace("%2e", ".") == "..";
    let is_ours = path.starts_with("/_/")
        && !path.contains("//")
        && !path.split('/').any(climbs)
        && next.bytes().all(|byte| (0x21..0x7f).contains(&byte) && byte != b'\\');
    if is_ours { next } else { "/_/" }
}

fn leading_to(page: &str, asked: RefusedRequest<'_>) -> String {
    let back = asked.uri.path_and_query().map_or("/_/", |path| local(path.as_str()));
    let next = serde_urlencoded::to_string([("next", back)]).unwrap_or_default();
    format!("{page}?{next}")
}

/// The same page of another part of its list.
fn with_page(uri: &http::Uri, page: u64) -> String {
    let asked = serde_urlencoded::from_str::<Vec<(String, String)>>(uri.query().unwrap_or_default());
    let mut query = asked.unwrap_or_default();
    query.retain(|(name, _)| name != "page");
    query.push(("page".to_owned(), page.to_string()));
    let query = serde_urlencoded::to_string(query).unwrap_or_default();
    local(&format!("{}?{query}", uri.path())).to_owned()
}

/// The page that says why it is not the one that was asked for.
pub(crate) fn refusal(problem: &Problem, asked: RefusedRequest<'_>) -> Raw {
    let is_read = asked.is_read;
    if let Some(last) = problem.last_page().filter(|_| is_read) {
        return Raw::see_other(&with_page(asked.uri, last));
    }
    let path = asked.uri.path();
    let above = frame::list_of(path).filter(|(list, _)| !is_read || *list != path);
    let back = || {
        let (path, name) = above.unwrap_or(("/_/", "the dashboard"));
        Some((path, format!("Go to {name}")))
    };
    let home = || Some(("/_/", "Go to the dashboard".to_owned()));
    let mut switch = None;
    let (sign_in, confirm) = (leading_to("/_/sign-in", asked), leading_to("/_/confirm", asked));
    let wait;
    let (title, sentence, link) = match (problem.status().as_u16(), problem.code()) {
        (401, _) if is_read => return Raw::see_other(&sign_in),
        (403, "CONFIRMATION_REQUIRED") if is_read => return Raw::see_other(&confirm),
        (401, _) => (
            "You are signed out",
            "Nothing was changed. Sign in, and send it once more.",
            Some(("/_/sign-in", "Sign in".to_owned())),
        ),
        (403, "CONFIRMATION_REQUIRED") => (
            "Say once more who you are",
            "Nothing was changed. This is dangerous in somebody else's hands: confirm your password, then go back and \
             send it once more.",
            Some(("/_/confirm", "Confirm".to_owned())),
        ),
        (403, "ORIGIN_NOT_ALLOWED") if is_read => (
            "Another site led here",
            "To be safe, no file was made. Open the page, and take the file from there.",
            back(),
        ),
        (403, "ORIGIN_NOT_ALLOWED") => (
            "This did not come from our page",
            "To be safe, nothing was changed. Open the page again, and send it from there.",
            back(),
        ),
        (403, _) => {
            wait = match problem.required_role() {
                Some(role) => format!("This takes {} of the workspace. Ask one of them.", a_role(role)),
                None => problem.message().to_owned(),
            };
            ("Your role does not allow this", wait.as_str(), home())
        }
        (404, _) => {
            let here = asked.uri.path_and_query().map_or("/_/", |path| local(path.as_str()));
            let next = if is_read { here } else { above.map_or("/_/", |(path, _)| path) };
            // Known where a person is signed in, and shown one of the halves.
            switch = problem.shown_environment().map(|shown| (other_half(shown), next));
            let sentence = match switch {
                Some(_) => "It was deleted, it never was, or it is in the other half of your data.",
                None => "It was deleted, or it never was.",
            };
            ("There is nothing here", sentence, back())
        }
        (405, _) if is_read => (
            "There is nothing to read here",
            "This address takes what a form sends. Open the page of the form, and send it from there.",
            back(),
        ),
        (409, "OTHER_ENVIRONMENT") => {
            let shown = problem.shown_environment().unwrap_or(Environment::Live);
            switch = Some((shown, above.map_or("/_/", |(path, _)| path)));
            let (done, what, title, again) = if is_read {
                ("No file was made", "link", "This file is of the other half of your data", "take the file")
            } else {
                ("Nothing was changed", "form", "This form is of the other half of your data", "send the form")
            };
            wait = format!(
                "{done}. The page of this {what} showed the {shown} data, and by now this browser is shown the other half: \
                 it was switched in another tab. Show the {shown} data again, and {again} from its page."
            );
            (title, wait.as_str(), None)
        }
        (429, _) => {
            wait = format!("Try again in {} seconds.", problem.retry_after().unwrap_or(1));
            ("Too many requests", wait.as_str(), None)
        }
        (500.., _) => {
            ("This is our fault", "The server could not do it. Its log says why, under the number below.", None)
        }
        _ => ("This could not be taken", problem.message(), back()),
    };
    let page = Refusal { title, sentence, link, switch, request: asked.id.to_string() };
    page.render().map_or_else(|_| whole(title.to_owned()), whole)
}

const fn other_half(half: Environment) -> Environment {
    match half {
        Environment::Live => Environment::Test,
        Environment::Test => Environment::Live,
    }
}

const fn a_role(role: Role) -> &'static str {
    match role {
        Role::Owner => "an owner",
        Role::Admin => "an admin or an owner",
        Role::Member => "a member",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_led_back_to_pages_of_ours_alone() {
        for ours in ["/_/", "/_/api-keys?page=2", "/_/a/b", "/_/a..b", "/_/audit?from=..//..&next=//x"] {
            assert_eq!(local(ours), ours);
        }
        for climbing in
            ["/_/../v1/me", "/_/..", "/_/a/../../x", "/_/%2e%2E/x", "/_/.%2e?a", "/_//evil.example", "/_/a//b"]
        {
            assert_eq!(local(climbing), "/_/", "{climbing:?}");
        }
        for other in ["", "/", "//evil.example", "https://evil.example/_/", "/\\evil", "/_/\n", "/_/ü", "/_\\", "_/"] {
            assert_eq!(local(other), "/_/", "{other:?}");
        }
    }

    fn refused(problem: &Problem, is_read: bool, path: &'static str) -> String {
        let id = ambient::RequestId(ambient::Ulid(1));
        let page = refusal(problem, RefusedRequest { id, is_read, uri: &http::Uri::from_static(path) });
        String::from_utf8(page.body.to_vec()).unwrap()
    }

    #[test]
    fn a_refusal_says_what_to_do_next() {
        let wrong = Problem::invalid_request("Too many");
        assert!(
            refused(&wrong, false, "/_/bots/x/try").contains("<a class=\"button\" href=\"/_/bots\">Go to Bots</a>")
        );
        assert!(refused(&wrong, false, "/_/bots").contains("href=\"/_/bots\""), "the form's own list");
        assert!(refused(&wrong, true, "/_/bots").contains("href=\"/_/\""), "not to where it was refused");
        let ours = refused(&Problem::unavailable("hunter2"), true, "/_/bots");
        assert!(ours.contains("This is our fault") && !ours.contains("hunter2") && ours.contains("req_"), "{ours}");
        let other = refused(&Problem::other_environment(Environment::Test), false, "/_/channels/chn_1");
        assert!(other.contains("name=\"environment\" value=\"test\">Show test data<"), "{other}");
        assert!(other.contains("name=\"next\" value=\"/_/bots\"") && !other.contains("href=\"/_/"), "{other}");
        let nowhere = refused(&Problem::not_found(), true, "/_/bots/bot_1");
        assert!(nowhere.contains("It was deleted, or it never was.") && !nowhere.contains("<form"), "{nowhere}");
        for (is_read, next) in [(true, "/_/bots/bot_1?done=saved"), (false, "/_/bots")] {
            let missing = Problem::not_found().looked_for_in(Environment::Test);
            let missing = refused(&missing, is_read, "/_/bots/bot_1?done=saved");
            assert!(missing.contains("name=\"environment\" value=\"live\">Show live data<"), "{missing}");
            assert!(missing.contains(&format!("name=\"next\" value=\"{next}\"")), "{missing}");
        }
    }

    #[test]
    fn a_page_past_the_end_of_a_list_leads_to_the_last_one() {
        let past = |is_read, path: &'static str| {
            let id = ambient::RequestId(ambient::Ulid(1));
            let page =
                refusal(&Problem::past_the_end(3), RefusedRequest { id, is_read, uri: &http::Uri::from_static(path) });
            let location = page.headers.get("location").map(|value| value.to_str().unwrap().to_owned());
            (page.status.map(|status| status.as_u16()), location)
        };
        let led = |to: &str| (Some(303), Some(to.to_owned()));
        assert_eq!(past(true, "/_/bots?page=7"), led("/_/bots?page=3"));
        assert_eq!(past(true, "/_/api-keys?q=a+b%26c&page=7&kind=x"), led("/_/api-keys?q=a+b%26c&kind=x&page=3"));
        assert_eq!(past(false, "/_/bots?page=7"), (None, None));
    }

    #[test]
    fn the_policy_holds_nothing_unsafe() {
        assert!(POLICY.starts_with("default-src 'none'") && !POLICY.contains("unsafe") && !POLICY.contains('*'));
    }
}
