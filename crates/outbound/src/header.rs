use http::{HeaderName, HeaderValue};

/// What a request may carry besides what the client writes itself.
pub(crate) const MAX_HEADERS: usize = 32;
pub(crate) const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Why a header is not sent; one sentence that a tenant can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderRefusal {
    /// RFC 9110 5.1.
    #[error("This is not a header name; it may hold letters, digits and hyphens.")]
    Name,
    /// RFC 9110 5.5: line breaks and control characters would begin another header.
    #[error("A header's value may hold no line breaks or control characters.")]
    Value,
    /// It would change where the request goes, or where it ends (RFC 9112 6).
    #[error("This header is written by the server itself and cannot be set.")]
    Reserved,
    /// At most 32 headers and 16 KiB.
    #[error("There are too many headers, or they are too long; at most 32 with 16 KiB together.")]
    TooMany,
}

const RESERVED: [&str; 14] = [
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// A header as a tenant wrote it, checked and marked so that no `Debug` shows its value.
///
/// # Errors
/// When it is malformed, or one that the client must write itself.
pub fn check_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), HeaderRefusal> {
    let name: HeaderName = name.parse().map_err(|_| HeaderRefusal::Name)?;
    if is_reserved(&name) {
        return Err(HeaderRefusal::Reserved);
    }
    if value.len() > MAX_HEADER_BYTES {
        return Err(HeaderRefusal::TooMany);
    }
    let mut value = HeaderValue::from_str(value).map_err(|_| HeaderRefusal::Value)?;
    value.set_sensitive(true);
    Ok((name, value))
}

pub(crate) fn is_reserved(name: &HeaderName) -> bool {
    RESERVED.contains(&name.as_str()) || name.as_str().starts_with("proxy-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_steer_the_connection_are_refused() {
        for name in RESERVED.into_iter().chain(["Host", "CONTENT-LENGTH", "Proxy-Authorization"]) {
            assert_eq!(check_header(name, "x"), Err(HeaderRefusal::Reserved), "{name}");
        }
        assert!(check_header("Authorization", "Bearer x").is_ok());
    }

    #[test]
    fn a_value_cannot_begin_another_header() {
        assert_eq!(check_header("x-a", "1\r\nhost: b"), Err(HeaderRefusal::Value));
        assert_eq!(check_header("x-a: b", "1"), Err(HeaderRefusal::Name));
        assert_eq!(check_header("x-a", &"y".repeat(MAX_HEADER_BYTES + 1)), Err(HeaderRefusal::TooMany));
    }

    #[test]
    fn a_checked_value_is_not_in_debug() {
        let (_, value) = check_header("authorization", "Bearer hunter2").unwrap();
        assert!(!format!("{value:?}").contains("hunter2"));
    }
}
