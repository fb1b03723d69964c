//! The chat in a frame: for pages that let no script of others in.

use ambient::KeyId;
use api::App;
use gate::{Call, Nothing, Problem, Raw};

pub(crate) const SCRIPT: &str = include_str!("../frame/frame.js");
const PAGE: &str = include_str!("../frame/frame.html");

/// Our own script and our own API, and nothing else. Who may embed it follows.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors ";

/// The same answer for a key that is unknown, revoked, expired or of another kind: an id tells nothing.
pub(crate) async fn show_widget_frame(app: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let key = app.cluster().find_key(call.id::<KeyId>("key_id")?).await?;
    let sources = key.and_then(|key| key.frame_sources()).ok_or_else(Problem::not_found)?;
    let policy = policy(&sources)?;
    Ok(Raw::new("text/html; charset=utf-8", PAGE)
        .computed_header("content-security-policy", &policy)
        .header("referrer-policy", "no-referrer")
        // A page under COEP may embed it.
        .header("cross-origin-resource-policy", "cross-origin")
        .header("cross-origin-embedder-policy", "require-corp"))
}

/// Which pages may be around this one. A source that is not plain text would end the policy early.
fn policy(sources: &[String]) -> Result<String, Problem> {
    let is_plain = |source: &String| source.bytes().all(|byte| byte.is_ascii_graphic() && !b";,'\"".contains(&byte));
    if !sources.iter().all(is_plain) {
        return Err(Problem::unavailable("an allowed domain is not a source of a content policy"));
    }
    let ancestors = if sources.is_empty() { "'none'".to_owned() } else { sources.join(" ") };
    Ok(format!("{POLICY}{ancestors}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_names_the_pages_and_lets_nothing_else_in() {
        let one = policy(&["https://mysite.com".to_owned(), "https://*.mysite.com".to_owned()]).unwrap();
        assert!(one.ends_with("; frame-ancestors https://mysite.com https://*.mysite.com"), "{one}");
        assert!(one.starts_with("default-src 'none'") && !one.contains("unsafe"));
        assert!(policy(&[]).unwrap().ends_with("frame-ancestors 'none'"), "no page, not every page");
    }

    #[test]
    fn a_source_cannot_end_the_policy() {
        for wrong in
            ["https://a.example; script-src *", "https://a.example,b", "a b", "https://\u{e9}.example", "'self'"]
        {
            assert_eq!(policy(&[wrong.to_owned()]).unwrap_err().status().as_u16(), 503, "{wrong}");
        }
    }

    #[test]
    fn the_page_and_its_script_hold_nothing_that_the_policy_refuses() {
        let page = PAGE.to_lowercase();
        for refused in ["<style", " style=", "onload", "javascript:", "http://", "https://"] {
            assert!(!page.contains(refused), "{refused}");
        }
        assert!(page.contains("<script src=\"/widget/frame.js\""));
        for refused in ["innerHTML", "eval(", "\"*\"", "'*'"] {
            assert!(!SCRIPT.contains(refused), "{refused}");
        }
    }
}
