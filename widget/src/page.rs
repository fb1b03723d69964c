//! `/demo`: a page that embeds the chat as a customer would.

use bytes::Bytes;
use gate::Raw;

use crate::script::Script;

pub(crate) const SCRIPT: &str = include_str!("../demo/demo.js");
pub(crate) const STYLE: &str = include_str!("../demo/demo.css");
const PAGE: &str = include_str!("../demo/demo.html");

/// Our own files and our own API, and nothing else, in no frame. What a customer's page needs at least.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

/// The page of this server: `server` is how the world calls it, `https://chat.example.com`.
pub(crate) fn demo(server: &str, script: &Script) -> Bytes {
    let page = PAGE
        .replace("{{server}}", &escape(server))
        .replace("{{pinned}}", &format!("/widget/{}", script.pinned_name()))
        .replace("{{integrity}}", &script.integrity());
    Bytes::from(page)
}

pub(crate) fn show(page: &Bytes) -> Raw {
    Raw::new("text/html; charset=utf-8", page.clone())
        .header("content-security-policy", POLICY)
        .header("referrer-policy", "no-referrer")
        .header("x-frame-options", "DENY")
        .header("cross-origin-opener-policy", "same-origin")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_nothing_that_the_policy_refuses() {
        let page = PAGE.to_lowercase();
        for refused in ["<style", " style=", "onclick", "onload", "onsubmit", "javascript:", "http://", "https://"] {
            assert!(!page.contains(refused), "{refused}");
        }
        for script in page.split("<script").skip(1) {
            assert!(script.trim_start().starts_with("src=\"/widget/"), "{script}");
        }
        for refused in ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "document.write", "localStorage"] {
            assert!(!SCRIPT.contains(refused), "{refused}");
        }
        assert!(!POLICY.contains("unsafe"));
    }

    #[test]
    fn every_placeholder_is_filled_and_the_server_stays_in_its_attribute() {
        let page = demo("https://chat.example.com", &Script::build());
        let text = std::str::from_utf8(&page).unwrap();
        assert!(text.contains("data-server=\"https://chat.example.com\"") && text.contains("sha384-"));
        assert!(!text.contains("{{") && text.contains("data-pinned=\"/widget/chat-widget-"));
        assert_eq!(escape("\"><b>&"), "&quot;>&lt;b>&amp;");
    }
}
