//! Before anybody is signed in: the landing page, the first step of an installation, and where invited people join.
//!
//! Static files under a content policy that lets nothing else in; what they do, they ask the API for.

use access::{Access, Limit};
use api::App;
use gate::{Call, Nothing, Operation, Problem, Raw, Routes};

/// Our own files and our own API, and nothing else, in no frame (ASVS 3.4.3).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

const OPEN: Access = Access::closed(Limit::Public).public();

const LANDING: Operation<Nothing, Raw> = Operation::get("/", "show_landing_page", "The landing page.", OPEN);
const SETUP: Operation<Nothing, Raw> =
    Operation::get("/setup", "show_setup_page", "The page that makes the first workspace.", OPEN);
const INVITATION: Operation<Nothing, Raw> = Operation::get(
    "/invitations",
    "show_invitation_page",
    "The page where somebody who was invited joins, and a member chooses a new password.",
    OPEN,
);
const STYLE: Operation<Nothing, Raw> =
    Operation::get("/static/pages.css", "get_pages_style", "The pages' style.", OPEN);
const FORM: Operation<Nothing, Raw> =
    Operation::get("/static/form.js", "get_form_script", "What the scripts of the pages' forms share.", OPEN);
const SCRIPT: Operation<Nothing, Raw> =
    Operation::get("/static/setup.js", "get_setup_script", "The setup page's script.", OPEN);
const INVITATION_SCRIPT: Operation<Nothing, Raw> = Operation::get(
    "/static/invitation.js",
    "get_invitation_script",
    "The script of the page where somebody who was invited joins.",
    OPEN,
);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(LANDING, show_landing_page);
    routes.mount(SETUP, show_setup_page);
    routes.mount(INVITATION, show_invitation_page);
    routes.mount(STYLE, get_pages_style);
    routes.mount(FORM, get_form_script);
    routes.mount(SCRIPT, get_setup_script);
    routes.mount(INVITATION_SCRIPT, get_invitation_script);
}

async fn show_landing_page(app: App, _: Call<Nothing>) -> Result<Raw, Problem> {
    let first = app.store().member_count().await? == 0;
    Ok(page(landing(first)))
}

/// The link to the setup is shown while it can be used; the page itself says what is missing.
fn landing(first: bool) -> String {
    let page = include_str!("pages/landing.html");
    let (before, rest) = page.split_once("<!-- first -->").unwrap_or((page, ""));
    let (link, after) = rest.split_once("<!-- end -->").unwrap_or(("", rest));
    if first { format!("{before}{link}{after}") } else { format!("{before}{after}") }
}

async fn show_setup_page(_: App, _: Call<Nothing>) -> Result<Raw, Problem> {
    Ok(page(include_str!("pages/setup.html").to_owned()))
}

async fn show_invitation_page(_: App, _: Call<Nothing>) -> Result<Raw, Problem> {
    Ok(page(include_str!("pages/invitation.html").to_owned()))
}

async fn get_pages_style(_: App, _: Call<Nothing>) -> Result<Raw, Problem> {
    Ok(Raw::new("text/css; charset=utf-8", include_str!("static/pages.css")))
}

async fn get_form_script(_: App, _: Call<Nothing>) -> Result<Raw, Problem> {
    Ok(Raw::new("text/javascript; charset=utf-8", include_str!("static/form.js")))
}

async fn get_setup_script(_: App, _: Call<Nothing>) -> Result<Raw, Problem> {
    Ok(Raw::new("text/javascript; charset=utf-8", include_str!("static/setup.js")))
}

async fn get_invitation_script(_: App, _: Call<Nothing>) -> Result<Raw, Problem> {
    Ok(Raw::new("text/javascript; charset=utf-8", include_str!("static/invitation.js")))
}

/// A token is in the page's address until the script has read it: no referrer is sent.
fn page(html: String) -> Raw {
    Raw::new("text/html; charset=utf-8", html)
        .header("content-security-policy", POLICY)
        .header("referrer-policy", "no-referrer")
        .header("x-frame-options", "DENY")
        .header("cross-origin-opener-policy", "same-origin")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGES: [&str; 3] =
        [include_str!("pages/landing.html"), include_str!("pages/setup.html"), include_str!("pages/invitation.html")];
    const SCRIPTS: [&str; 3] =
        [include_str!("static/form.js"), include_str!("static/setup.js"), include_str!("static/invitation.js")];

    #[test]
    fn pages_hold_nothing_that_the_policy_refuses() {
        for page in PAGES {
            let lower = page.to_lowercase();
            for refused in ["<style", " style=", "onclick", "onload", "onsubmit", "javascript:", "http://", "https://"]
            {
                assert!(!lower.contains(refused), "{refused}");
            }
            for script in lower.split("<script").skip(1) {
                assert!(script.trim_start().starts_with("src=\"/static/"), "{script}");
            }
        }
        let headers = page(String::new()).headers;
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    }

    #[test]
    fn no_script_writes_markup_and_each_forgets_the_token_in_the_address() {
        for script in SCRIPTS {
            for refused in ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "document.write", "localStorage"] {
                assert!(!script.contains(refused), "{refused}");
            }
        }
        assert!(SCRIPTS[0].contains("history.replaceState"));
        assert!(SCRIPTS[1..].iter().all(|script| script.contains("takeToken(")));
    }

    #[test]
    fn every_field_has_a_label() {
        for page in PAGES {
            for input in page.split("<input").skip(1) {
                let id = input.split("id=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
                assert!(page.contains(&format!("<label for=\"{id}\"")), "{id}");
            }
        }
    }

    #[test]
    fn the_landing_page_offers_the_setup_only_before_there_is_an_owner() {
        assert!(landing(true).contains("href=\"/setup\""));
        assert!(!landing(false).contains("href=\"/setup\"") && landing(false).ends_with("</html>\n"));
        assert!(landing(false).contains("href=\"/openapi.json\""));
    }
}
