//! What every page has around it, and the pages that say why there is nothing else.

use gate::{Problem, Raw, RefusedRequest};

use super::html::Html;

/// Our own files and our own server, and nothing else, in no frame: the widget is what is embedded.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// A page before it is one.
#[derive(Default)]
pub(super) struct Page {
    /// For the window and the list of tabs.
    pub(super) title: String,
    /// The survey's name, where the heading is another.
    pub(super) banner: Option<String>,
    /// Inside `<main>`.
    pub(super) body: Html,
    /// Whether it is worth to look again in a moment.
    pub(super) waits: bool,
}

impl Page {
    /// The whole document.
    pub(super) fn render(&self) -> Raw {
        let mut html = Html::default();
        html.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")
            .raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")
            .raw("<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"robots\" content=\"noindex\">\n<title>")
            .text(&self.title)
            .raw("</title>\n<link rel=\"stylesheet\" href=\"/s/survey.css\">\n")
            .raw("<script src=\"/s/survey.js\" defer></script>\n")
            // The script looks again by itself, and loses no place in the page.
            .raw_if(self.waits, "<noscript><meta http-equiv=\"refresh\" content=\"2\"></noscript>\n")
            .raw("</head>\n<body>\n");
        if let Some(banner) = &self.banner {
            html.raw("<header><p dir=\"auto\">").text(banner).raw("</p></header>\n");
        }
        html.raw("<main")
            .raw_if(self.waits, " data-waits")
            .raw(">\n")
            .put(&self.body)
            .raw("</main>\n<p id=\"said\" role=\"status\" class=\"unseen\"></p>\n</body>\n</html>\n");
        Raw::new("text/html; charset=utf-8", html.into_string())
            .header("content-security-policy", POLICY)
            // Not `no-referrer`: browsers then post our own forms with `Origin: null` (Fetch, section 3.2).
            .header("referrer-policy", "same-origin")
            .header("x-frame-options", "DENY")
            .header("cross-origin-opener-policy", "same-origin")
            .header("cache-control", "no-store")
    }

    /// A page of a heading and a sentence.
    pub(super) fn saying(heading: &'static str, sentence: &str) -> Self {
        let mut body = Html::default();
        body.raw("<h1 tabindex=\"-1\" data-focus>").raw(heading).raw("</h1>\n<p>").text(sentence).raw("</p>\n");
        Self { title: heading.to_owned(), banner: None, body, waits: false }
    }
}

/// The page that says why it is not the one that was asked for.
pub(crate) fn refusal(problem: &Problem, _: RefusedRequest<'_>) -> Raw {
    why_not(problem)
}

fn why_not(problem: &Problem) -> Raw {
    let wait = problem.retry_after().unwrap_or(1);
    let (heading, sentence) = match (problem.status().as_u16(), problem.code()) {
        (404, _) => (
            "There is no survey here",
            "The link may be incomplete, or the survey is over. Ask whoever sent it to you.".to_owned(),
        ),
        (403, "ORIGIN_NOT_ALLOWED") => (
            "This did not come from our page",
            "To be safe, nothing was sent. Open the survey's link again and answer there.".to_owned(),
        ),
        (429, _) => {
            ("Please come back later", format!("Too many people ask at this moment. Try again in {}.", span(wait)))
        }
        (400..=499, _) => (
            "This could not be taken",
            "What was sent is not what this page asks for. Go back and try again.".to_owned(),
        ),
        _ => ("Something went wrong on our side", "Nothing was changed. Please try again in a moment.".to_owned()),
    };
    Page::saying(heading, &sentence).render().with_status(problem.status())
}

/// A time to wait, in words.
fn span(seconds: u32) -> String {
    let (count, unit) = match seconds {
        0..=90 => (seconds, "second"),
        91..=5400 => (seconds.div_ceil(60), "minute"),
        _ => (seconds.div_ceil(3600), "hour"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(raw: &Raw) -> String {
        String::from_utf8(raw.body.to_vec()).unwrap()
    }

    #[test]
    fn a_page_is_one_heading_and_holds_nothing_that_its_policy_refuses() {
        let raw = why_not(&Problem::not_found());
        let page = text(&raw).to_lowercase();
        assert_eq!(page.matches("<h1").count(), 1, "{page}");
        for refused in ["<style", " style=", "onclick", "onload", "onsubmit", "javascript:", "http://", "https://"] {
            assert!(!page.contains(refused), "{refused}");
        }
        for script in page.split("<script").skip(1) {
            assert!(script.starts_with(" src=\"/s/"), "{script}");
        }
        let policy = raw.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(raw.headers["cache-control"], "no-store");
    }

    #[test]
    fn only_a_page_that_waits_looks_again() {
        let page = |waits| text(&Page { waits, ..Page::default() }.render());
        assert!(page(true).contains("refresh") && page(true).contains("<main data-waits>"));
        assert!(!page(false).contains("refresh") && !page(false).contains("data-waits"));
    }

    #[test]
    fn a_time_is_said_in_the_unit_that_people_use() {
        let said = [(1, "1 second"), (59, "59 seconds"), (91, "2 minutes"), (3600, "60 minutes"), (86_000, "24 hours")];
        for (seconds, words) in said {
            assert_eq!(span(seconds), words);
        }
    }
}
