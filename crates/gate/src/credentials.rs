//! What was presented, before anyone asks what it is worth.

use access::Refusal;
use http::{HeaderMap, header};

use crate::upgrade;

/// One credential, or none. A query string never carries one (ASVS 14.2.1): it is not looked at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Presented<'a> {
    /// Nothing.
    None,
    /// One text.
    One(&'a str),
    /// Something that is not a credential at all: another scheme, bytes outside ASCII.
    Malformed,
}

/// Reads `Authorization` and `X-API-Key`. More than one credential is refused, also when they are
/// the same (RFC 6750, section 2): two readers might choose differently.
///
/// A socket's may also be among the subprotocols.
pub(crate) fn presented(headers: &HeaderMap, is_socket: bool) -> Result<Presented<'_>, Refusal> {
    let mut values = headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .map(|value| bearer(value.as_bytes()))
        .chain(headers.get_all("x-api-key").iter().map(|value| text(value.as_bytes())))
        .chain(is_socket.then(|| upgrade::bearers(headers)).into_iter().flatten());
    let Some(first) = values.next() else { return Ok(Presented::None) };
    if values.next().is_some() {
        return Err(Refusal::MultipleCredentials);
    }
    Ok(first.map_or(Presented::Malformed, Presented::One))
}

/// The scheme's case does not matter, and one space or more follows it (RFC 9110, section 11).
fn bearer(value: &[u8]) -> Option<&str> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"bearer") || rest.first() != Some(&b' ') {
        return None;
    }
    text(rest.trim_ascii_start())
}

/// `[A-Za-z0-9-._~+/]+=*` (RFC 6750, section 2.1), at most 4 KiB.
pub(crate) fn text(value: &[u8]) -> Option<&str> {
    let body = value.iter().rposition(|byte| *byte != b'=').map(|last| &value[..=last])?;
    let fits = value.len() <= 4096
        && body
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/'));
    if fits { std::str::from_utf8(value).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn the_scheme_is_read_in_any_case_and_with_any_spaces() {
        for value in ["Bearer abc", "bearer abc", "BEARER   abc"] {
            assert_eq!(presented(&headers(&[("authorization", value)]), false), Ok(Presented::One("abc")), "{value}");
        }
        assert_eq!(presented(&headers(&[("x-api-key", "abc")]), false), Ok(Presented::One("abc")));
        assert_eq!(presented(&HeaderMap::new(), false), Ok(Presented::None));
    }

    #[test]
    fn what_is_no_credential_is_malformed_and_not_absent() {
        for value in [
            "Basic YTpi",
            "Bearer",
            "Bearer ",
            "Bearerabc",
            "Bearer a b",
            "Bearer a,b",
            "Bearer \"a\"",
            "Bearer é",
            "Bearer =",
        ] {
            assert_eq!(presented(&headers(&[("authorization", value)]), false), Ok(Presented::Malformed), "{value}");
        }
        assert_eq!(presented(&headers(&[("x-api-key", &"a".repeat(5000))]), false), Ok(Presented::Malformed));
    }

    #[test]
    fn two_credentials_are_refused_even_when_they_are_the_same() {
        for second in [("x-api-key", "abc"), ("authorization", "Bearer abc"), ("x-api-key", "other")] {
            let both = headers(&[("authorization", "Bearer abc"), second]);
            assert_eq!(presented(&both, false), Err(Refusal::MultipleCredentials), "{second:?}");
        }
    }
}
