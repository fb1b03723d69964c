//! What a page on another origin may see (security rules 2.7).
//!
//! A preflight carries no key, so it gets a fixed answer; the origin rule runs on the real
//! request. Credentials are never allowed across origins: there are no cookies on these routes.

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// The fixed answer to a preflight of an operation for browsers.
pub(crate) fn preflight(methods: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if let Ok(value) = HeaderValue::from_str(methods) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, value);
    }
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(
            "authorization, content-type, idempotency-key, last-event-id, x-api-key, x-widget-api-key, \
             x-admin-api-key, x-embedding-origin",
        ),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// Lets the page that asked read the answer, and tells caches that the answer depends on it.
pub(crate) fn expose(headers: &mut HeaderMap, origin: &HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("ratelimit, ratelimit-policy, retry-after, x-request-id"),
    );
}

/// The one `Origin` of a request; several, or one that is not text, count as one that is refused.
pub(crate) fn origin(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::ORIGIN).iter();
    let first = values.next()?;
    if values.next().is_some() {
        return Some("");
    }
    Some(first.to_str().unwrap_or(""))
}

/// Which pages are ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnPages {
    /// Their origins, as browsers write them, the one that the world knows first: `https://chat.example.com`.
    pub origins: Vec<String>,
    /// What `Host` says besides where a proxy asks for them: `127.0.0.1:8787`.
    pub hosts: Vec<String>,
}

/// Which origin of ours the page is of: it says so by `Origin`. Where a browser sends none, its metadata
/// says that the page came from where it asks, and `Host` must then be ours: behind a proxy that serves us
/// under another site's name, that site's pages are not ours.
fn own_page<'a>(headers: &HeaderMap, own: &'a OwnPages) -> Option<&'a str> {
    let found = match origin(headers) {
        Some(origin) => own.origins.iter().find(|ours| *ours == origin),
        None => {
            let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            let is_same = headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin");
            let named = own.origins.iter().find(|ours| ours.split_once("://").is_some_and(|(_, at)| at == host));
            let asked_for = || own.origins.first().filter(|_| own.hosts.iter().any(|ours| ours == host));
            named.or_else(asked_for).filter(|_| is_same)
        }
    };
    found.map(String::as_str)
}

/// The page that asks. A page in our own frame says by `X-Embedding-Origin` who embeds it, and is believed:
/// on our origins only our own code runs (decision 0012). From anywhere else that header is not looked at.
/// Several of them, or one that is not text, count as one that is refused.
pub(crate) fn page_origin<'a>(headers: &'a HeaderMap, own: &'a OwnPages) -> Option<&'a str> {
    let Some(ours) = own_page(headers, own) else { return origin(headers) };
    let mut values = headers.get_all("x-embedding-origin").iter();
    match (values.next(), values.next()) {
        (None, _) => Some(ours),
        (Some(one), None) => Some(one.to_str().unwrap_or("")),
        (Some(_), Some(_)) => Some(""),
    }
}

/// Whether a page of ours asks, for itself: one in our frame asks for the page around it.
pub(crate) fn is_for_our_page(headers: &HeaderMap, own: &OwnPages) -> bool {
    page_origin(headers, own).is_some_and(|page| own.origins.iter().any(|ours| ours == page))
}

/// Whether a page of ours sends this form, not in somebody's frame, or what is no browser. Every browser of
/// these years says where a form that it posts comes from.
pub(crate) fn is_of_our_form(headers: &HeaderMap, own: &OwnPages) -> bool {
    let is_from_browser = headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site");
    !is_from_browser || is_for_our_page(headers, own)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "https://chat.example";
    const CUSTOMER: &str = "https://customer.example";
    /// Where a proxy finds us; to a visitor's browser it is the visitor's own machine.
    const LOCAL: &str = "http://127.0.0.1:8787";

    fn page(list: &[(&'static str, &'static str)]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let own = OwnPages {
            origins: vec![OWN.to_owned(), "https://chat.other.example".to_owned()],
            hosts: vec!["127.0.0.1:8787".to_owned()],
        };
        page_origin(&headers, &own).map(str::to_owned)
    }

    #[test]
    fn only_a_page_of_ours_says_who_embeds_it() {
        let embedded = ("x-embedding-origin", CUSTOMER);
        assert_eq!(page(&[("origin", OWN), embedded]).as_deref(), Some(CUSTOMER));
        assert_eq!(page(&[("origin", OWN)]).as_deref(), Some(OWN));
        let evil =
            ["https://evil.example", "null", "https://chat.example.evil.example", "HTTPS://CHAT.EXAMPLE", "", LOCAL];
        for evil in evil {
            assert_eq!(page(&[("origin", evil), embedded]).as_deref(), Some(evil));
        }
        assert_eq!(page(&[embedded]), None, "a server says nothing of pages");
        assert_eq!(page(&[("origin", OWN), ("origin", OWN), embedded]).as_deref(), Some(""));
        assert_eq!(page(&[("origin", OWN), embedded, embedded]).as_deref(), Some(""), "which of the two?");
        assert_eq!(page(&[("origin", OWN), ("x-embedding-origin", "null")]).as_deref(), Some("null"));
    }

    #[test]
    fn a_form_comes_from_our_page_or_from_no_browser() {
        let own = OwnPages { origins: vec![OWN.to_owned()], hosts: Vec::new() };
        let is_ours = |list: &[(&'static str, &'static str)]| {
            let headers =
                list.iter().map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
            is_of_our_form(&HeaderMap::from_iter(headers), &own)
        };
        assert!(is_ours(&[]) && is_ours(&[("origin", OWN), ("sec-fetch-site", "same-origin")]));
        assert!(is_ours(&[("sec-fetch-site", "same-origin"), ("host", "chat.example")]));
        for strange in [
            &[("origin", CUSTOMER), ("sec-fetch-site", "cross-site")][..],
            &[("origin", "null")],
            &[("sec-fetch-site", "cross-site"), ("host", "chat.example")],
            &[("sec-fetch-site", "same-site"), ("host", "chat.example")],
            &[("origin", OWN), ("x-embedding-origin", CUSTOMER)],
        ] {
            assert!(!is_ours(strange), "{strange:?}");
        }
    }

    #[test]
    fn a_page_of_ours_that_sends_no_origin_is_known_by_its_metadata_and_our_host() {
        let embedded = ("x-embedding-origin", CUSTOMER);
        let (same, host) = (("sec-fetch-site", "same-origin"), ("host", "chat.example"));
        assert_eq!(page(&[same, host, embedded]).as_deref(), Some(CUSTOMER));
        assert_eq!(page(&[same, host]).as_deref(), Some(OWN));
        assert_eq!(page(&[same, ("host", "evil.example"), embedded]), None, "a proxy under another name");
        let inside = ("host", "127.0.0.1:8787");
        assert_eq!(page(&[same, inside]).as_deref(), Some(OWN), "a proxy that does not hand on the name");
        assert_eq!(page(&[same, inside, embedded]).as_deref(), Some(CUSTOMER));
        assert_eq!(page(&[("sec-fetch-site", "same-site"), host, embedded]), None);
        assert_eq!(
            page(&[("origin", "https://evil.example"), same, host, embedded]).as_deref(),
            Some("https://evil.example")
        );
    }
}
