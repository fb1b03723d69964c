//! Why a page passes the origin rule or not, in words for the person who writes the list.

use std::fmt;

use url::Url;

use super::{AllowedOrigins, MAX_LENGTH, Origin, Scheme, is_canonical_origin, is_localhost};

/// What the rule says of an origin; as text, one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It passes: this entry allows it.
    Listed(String),
    /// It passes: it is this machine, and `localhost` may.
    Localhost,
    /// It is this machine, and `localhost` may not.
    LocalhostRefused,
    /// This entry names it, but over https alone.
    PlainHttp(String),
    /// This entry names its host, with another port.
    OtherPort(String),
    /// No entry names it.
    NotListed,
    /// It is not what a browser sends for a page of the web.
    NoOrigin,
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed(entry) => write!(f, "It passes: {entry} is on the list."),
            Self::Localhost => f.write_str("It passes: pages on localhost may use this key."),
            Self::LocalhostRefused => f.write_str("It does not pass: pages on localhost may not use this key."),
            Self::PlainHttp(entry) => {
                write!(f, "It does not pass: {entry} allows https alone. Use https, or list it with http:// before it.")
            }
            Self::OtherPort(entry) => {
                write!(f, "It does not pass: {entry} is listed with another port. List it with the page's port.")
            }
            Self::NotListed => f.write_str("It does not pass: none of the domains covers it. Add its domain."),
            Self::NoOrigin => f.write_str("This is not the address of a page. Write it as https://www.mysite.com."),
        }
    }
}

impl AllowedOrigins {
    /// Why a page of this `Origin` may use the key, or may not; passes what [`AllowedOrigins::allows`] passes.
    #[must_use]
    pub fn judge(&self, origin: &str, allow_localhost: bool) -> Judgement {
        let Some(origin) = Origin::parse(origin) else { return Judgement::NoOrigin };
        if let Some(entry) = self.0.iter().find(|entry| entry.matches(&origin)) {
            return Judgement::Listed(entry.to_string());
        }
        if is_localhost(&origin.host) {
            return if allow_localhost { Judgement::Localhost } else { Judgement::LocalhostRefused };
        }
        let over_https = Origin { scheme: Scheme::Https, host: origin.host.clone(), port: origin.port };
        if let Some(entry) = self.0.iter().find(|entry| entry.matches(&over_https)) {
            return Judgement::PlainHttp(entry.to_string());
        }
        let elsewhere = |entry: &&super::Entry| {
            entry.matches(&Origin { scheme: Scheme::Https, host: origin.host.clone(), port: entry.port })
        };
        self.0.iter().find(elsewhere).map_or(Judgement::NotListed, |entry| Judgement::OtherPort(entry.to_string()))
    }
}

/// What a browser sends as `Origin` of the page at this address; `https` where it says no scheme.
#[must_use]
pub fn origin_of(page: &str) -> Option<String> {
    let page = page.trim();
    if page.is_empty() || page == "null" {
        return None;
    }
    let page = if page.contains("://") { page.to_owned() } else { format!("https://{page}") };
    let origin = Url::parse(&page).ok()?.origin().ascii_serialization();
    (origin.len() <= MAX_LENGTH && is_canonical_origin(&origin)).then_some(origin)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn judged(page: &str, allow_localhost: bool) -> Judgement {
        let list = ["mysite.com", "http://old.example", "shop.example:8443", "localhost:3000"];
        let origins = AllowedOrigins::parse(&list).unwrap();
        origin_of(page).map_or(Judgement::NoOrigin, |origin| {
            let judgement = origins.judge(&origin, allow_localhost);
            let passes = matches!(judgement, Judgement::Listed(_) | Judgement::Localhost);
            assert_eq!(passes, origins.allows(&origin, allow_localhost), "{page}");
            judgement
        })
    }

    #[test]
    fn a_page_is_told_why() {
        let entry = |text: &str| text.to_owned();
        for (page, expected) in [
            ("https://www.mysite.com", Judgement::Listed(entry("mysite.com"))),
            ("www.MySite.com/shop?a=1#b", Judgement::Listed(entry("mysite.com"))),
            ("https://mysite.com:443/", Judgement::Listed(entry("mysite.com"))),
            ("http://www.mysite.com", Judgement::PlainHttp(entry("mysite.com"))),
            ("https://mysite.com:8080", Judgement::OtherPort(entry("mysite.com"))),
            ("https://mysite.com.evil.example", Judgement::NotListed),
            ("https://notmysite.com", Judgement::NotListed),
            ("http://a.old.example", Judgement::Listed(entry("http://old.example"))),
            ("https://shop.example", Judgement::OtherPort(entry("shop.example:8443"))),
            ("https://localhost:3000", Judgement::Listed(entry("localhost:3000"))),
            ("http://localhost:4000", Judgement::Localhost),
            ("file:///page.html", Judgement::NoOrigin),
            ("null", Judgement::NoOrigin),
            ("", Judgement::NoOrigin),
            ("https://a..mysite.com", Judgement::NoOrigin),
        ] {
            assert_eq!(judged(page, true), expected, "{page}");
        }
        assert_eq!(judged("http://localhost:4000", false), Judgement::LocalhostRefused);
    }

    proptest! {
        #[test]
        fn the_reason_and_the_rule_say_the_same(page in "(https?://)?[a-z.]{0,6}(mysite\\.com|old\\.example|localhost)(:[0-9]{1,4})?[a-z.]{0,3}", local: bool) {
            judged(&page, local);
        }
    }
}
