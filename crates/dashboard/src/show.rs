//! How things are shown: times, errors, pages of lists.

use std::fmt;

use ambient::Millis;
use askama::filters::HtmlSafe;
use gate::{FieldError, Outcome, Problem};
use jiff::{Timestamp, tz::TimeZone};
use serde::Deserialize;

/// A moment, shown in UTC to the minute, with the whole of it for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub(crate) struct When(pub(crate) Millis);

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(time) = Timestamp::from_millisecond(self.0.0) else { return f.write_str("–") };
        let shown = time.to_zoned(TimeZone::UTC).strftime("%-d %b %Y, %H:%M").to_string();
        write!(f, "<time datetime=\"{}\">{shown}</time>", self.0)
    }
}

/// Digits, letters and our own element.
impl HtmlSafe for When {}

impl When {
    /// The same to the second, where much happens within a minute.
    pub(crate) fn to_the_second(self) -> Second {
        Second(self.0)
    }
}

/// See [`When::to_the_second`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Second(Millis);

impl fmt::Display for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(time) = Timestamp::from_millisecond(self.0.0) else { return f.write_str("–") };
        let shown = time.to_zoned(TimeZone::UTC).strftime("%-d %b %Y, %H:%M:%S").to_string();
        write!(f, "<time datetime=\"{}\">{shown}</time>", self.0)
    }
}

impl HtmlSafe for Second {}

/// A sentence of the API, in which moments (RFC 3339, UTC) are written as pages write them.
pub(crate) fn with_plain_dates(sentence: &str) -> String {
    let plain = |word: &str| {
        let bare = word.trim_end_matches(['.', ',', ';']);
        let time: Timestamp = bare.strip_suffix('Z').filter(|rest| rest.contains('T')).and(bare.parse().ok())?;
        let shown = time.to_zoned(TimeZone::UTC).strftime("%-d %b %Y, %H:%M UTC").to_string();
        Some(format!("{shown}{}", word.get(bare.len()..).unwrap_or_default()))
    };
    let words = sentence.split(' ').map(|word| plain(word).unwrap_or_else(|| word.to_owned()));
    words.collect::<Vec<_>>().join(" ")
}

/// A text that may be missing: then a dash is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct OrDash(pub(crate) Option<String>);

impl OrDash {
    pub(crate) fn text(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

impl fmt::Display for OrDash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("–"))
    }
}

/// One object of the API: `{"data":{…}}`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct One<T> {
    pub(crate) data: T,
}

/// A page of a list of the API.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Paged<T> {
    pub(crate) data: Vec<T>,
    pub(crate) meta: PagedMeta,
}

/// Where in its list a page is.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct PagedMeta {
    pub(crate) page: u64,
    pub(crate) per_page: u64,
    pub(crate) total: u64,
    /// There are more than `total`.
    #[serde(default)]
    pub(crate) capped: bool,
}

impl PagedMeta {
    pub(crate) fn last(&self) -> u64 {
        self.total.div_ceil(self.per_page.max(1)).max(1)
    }

    /// Which page of how many.
    pub(crate) fn place(&self) -> String {
        let Self { page, total, .. } = self;
        if self.capped {
            format!("Page {page}, more than {total} in all")
        } else {
            format!("Page {page} of {}, {total} in all", self.last())
        }
    }
}

/// Rows on a page of a list.
pub(crate) const PER_PAGE: u32 = 25;

/// Where the pages of a list are: the same address, another `page`.
#[derive(Clone, Debug)]
pub(crate) struct Pager {
    pub(crate) meta: PagedMeta,
    /// The address with its other parameters, up to the page's number: `/_/api-keys?q=a&page=`.
    pub(crate) base: String,
}

impl Pager {
    /// Of a list at `path`, asked for with these other parameters.
    pub(crate) fn new(meta: PagedMeta, path: &str, others: &[(&str, &str)]) -> Self {
        let base = address(path, others);
        let mark = if base.contains('?') { '&' } else { '?' };
        Self { meta, base: format!("{base}{mark}page=") }
    }
}

/// A path with those of these parameters that say something.
pub(crate) fn address(path: &str, parameters: &[(&str, &str)]) -> String {
    let said: Vec<_> = parameters.iter().filter(|(_, value)| !value.is_empty()).collect();
    match serde_urlencoded::to_string(said) {
        Ok(query) if !query.is_empty() => format!("{path}?{query}"),
        _ => path.to_owned(),
    }
}

/// What was wrong with what was sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble {
    pub(crate) message: String,
    pub(crate) code: &'static str,
    pub(crate) fields: Vec<FieldError>,
    /// Of the page that says it; with when to try again.
    pub(crate) status: Outcome,
}

impl Trouble {
    pub(crate) fn of(problem: &Problem) -> Self {
        let (message, code, status) = (problem.message().to_owned(), problem.code(), problem.outcome());
        Self { message, code, fields: problem.errors().to_vec(), status }
    }

    /// Of what another try with the same form can mend; anything else is a page of its own.
    ///
    /// # Errors
    /// The problem.
    pub(crate) fn again(problem: Problem) -> Result<Self, Problem> {
        let is_mendable = matches!(problem.status().as_u16(), 400 | 402 | 409 | 413 | 422 | 429);
        // Whoever has proved again who it is, in another tab, sends the form once more.
        if is_mendable || problem.code() == "CONFIRMATION_REQUIRED" { Ok(Self::of(&problem)) } else { Err(problem) }
    }

    /// Whether there is any.
    pub(crate) fn is_some(&self) -> bool {
        !self.code.is_empty()
    }

    /// What is wrong with a field, or with a part of it; empty when nothing is.
    pub(crate) fn at(&self, field: &str) -> &str {
        let is_of = |error: &&FieldError| {
            error.field.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']))
        };
        self.fields.iter().find(is_of).map_or("", |error| error.message.as_str())
    }
}

/// What a field is called on pages: its name in words; of a part of one there is no word for, nothing.
pub(crate) fn label(field: &str) -> Option<String> {
    let words = match field {
        "url" => "address".to_owned(),
        "reply_url" => "address of replies".to_owned(),
        _ if field.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') => field.replace('_', " "),
        _ => return None,
    };
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_in_utc_and_whole_for_machines() {
        let text = When(Millis(1_795_372_496_789)).to_string();
        assert_eq!(text, "<time datetime=\"2026-11-22T18:34:56.789Z\">22 Nov 2026, 18:34</time>");
        let text = When(Millis(1_795_372_496_789)).to_the_second().to_string();
        assert_eq!(text, "<time datetime=\"2026-11-22T18:34:56.789Z\">22 Nov 2026, 18:34:56</time>");
    }

    #[test]
    fn a_sentence_has_its_dates_as_pages_write_them() {
        let said = with_plain_dates("The key is revoked. That was at 2026-11-22T18:34:56.789Z.");
        assert_eq!(said, "The key is revoked. That was at 22 Nov 2026, 18:34 UTC.");
        for other in ["The fields: a, b.", "TZ", "  two  spaces ", ""] {
            assert_eq!(with_plain_dates(other), other);
        }
    }

    #[test]
    fn a_field_is_called_as_pages_call_it() {
        let called = |field| label(field).unwrap_or_default();
        assert_eq!([called("url"), called("request_id"), called("name")], ["Address", "Request id", "Name"]);
        assert_eq!([label("definition.steps[0]"), label("scopes[1]"), label("")], [None, None, None]);
    }

    #[test]
    fn an_error_of_a_part_is_an_error_of_its_field() {
        let trouble = Trouble::of(&Problem::invalid_field("scopes[1]", "is no scope"));
        assert_eq!((trouble.at("scopes"), trouble.at("scope"), trouble.is_some()), ("is no scope", "", true));
        assert!(!Trouble::default().is_some());
    }

    #[test]
    fn a_form_comes_back_for_what_can_be_mended_in_it() {
        for problem in [
            Problem::invalid_field("name", "is too long"),
            Problem::conflict("There are 500 already"),
            Problem::confirmation_required(),
        ] {
            let status = problem.status();
            assert_eq!(Trouble::again(problem).unwrap().status.status, status);
        }
        let wait = Trouble::again(Problem::rate_limited(7)).unwrap().status;
        let page = gate::Raw::new("text/html", "").with_status(wait);
        assert_eq!((page.status.unwrap().as_u16(), &page.headers["retry-after"]), (429, &"7".parse().unwrap()));
        for problem in [Problem::not_found(), Problem::unavailable("gone")] {
            assert!(Trouble::again(problem).is_err());
        }
    }

    #[test]
    fn a_pager_keeps_the_other_parameters() {
        let meta = PagedMeta { page: 1, per_page: 25, total: 51, capped: false };
        let pager = Pager::new(meta, "/_/api-keys", &[("q", "a b&c"), ("kind", "")]);
        assert_eq!((pager.base.as_str(), meta.last()), ("/_/api-keys?q=a+b%26c&page=", 3));
        assert_eq!(meta.place(), "Page 1 of 3, 51 in all");
        let many = PagedMeta { page: 7, total: 10_000, capped: true, ..meta };
        assert_eq!(many.place(), "Page 7, more than 10000 in all");
    }
}
