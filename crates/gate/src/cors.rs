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
        HeaderValue::from_static("authorization, content-type, idempotency-key, last-event-id, x-api-key"),
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
