//! What is answered to something that never became a request.
//!
//! hyper answers a head that it cannot read by itself, with a status and nothing else. Every
//! answer of ours has the envelope and an id, so its bytes are replaced on their way out.

use ambient::{Clock, Random, RequestId};
use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode};

/// Our answer in place of hyper's own, or `None` when `bytes` are not such an answer: each of ours
/// carries `x-request-id`.
pub(super) fn replacement(bytes: &[u8], clock: &dyn Clock, random: &dyn Random) -> Option<Vec<u8>> {
    let status = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let (line, code, message) = match status {
        b"400" => ("400 Bad Request", "INVALID_REQUEST", "This is not an HTTP/1.1 request"),
        b"414" => ("414 URI Too Long", "URI_TOO_LONG", "The request's address is too long"),
        b"431" => (
            "431 Request Header Fields Too Large",
            "HEADERS_TOO_LARGE",
            "The request's headers are over 16 KiB, or more than 100",
        ),
        _ => return None,
    };
    let has = |name: &[u8]| bytes.windows(name.len()).any(|window| window.eq_ignore_ascii_case(name));
    if has(b"\r\nx-request-id:") || !has(b"\r\ncontent-length: 0\r\n") {
        return None;
    }
    let id = RequestId::mint(clock, random).ok()?;
    let body = envelope(code, message, &id);
    let head = format!(
        "HTTP/1.1 {line}\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: {}\r\n\
         x-request-id: {id}\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n",
        body.len()
    );
    Some([head.as_bytes(), body.as_bytes()].concat())
}

fn envelope(code: &str, message: &str, id: &RequestId) -> String {
    serde_json::json!({"error": {"code": code, "message": message, "request_id": id}}).to_string()
}

/// The answer to a request that does not say for whom it is. The connection ends: who wrote it may
/// mean something else by what follows.
pub(super) fn without_host(clock: &dyn Clock, random: &dyn Random) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let headers = response.headers_mut();
    headers.insert("connection", HeaderValue::from_static("close"));
    headers.insert("content-type", HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    // Without an id there is no body either: there is no randomness then, and worse to worry about.
    if let Ok(id) = RequestId::mint(clock, random)
        && let Ok(value) = HeaderValue::from_str(&id.to_string())
    {
        headers.insert("x-request-id", value);
        *response.body_mut() =
            envelope("INVALID_REQUEST", "A request of HTTP/1.1 has exactly one `Host` header", &id).into();
    }
    response
}

/// Whether the client may still be sending what nobody will read.
pub(super) fn leaves_input_unread(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/1.1 413 ")
}

#[cfg(test)]
mod tests {
    use ambient::{ManualClock, Millis, SeededRandom};

    use super::*;

    fn replaced(text: &str) -> Option<String> {
        let bytes = replacement(text.as_bytes(), &ManualClock::new(Millis(1)), &SeededRandom::new(1))?;
        Some(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_bare_refusal_gets_the_envelope_and_an_id() {
        let text = replaced("HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n").unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let id = body["error"]["request_id"].as_str().unwrap();
        assert!(head.starts_with("HTTP/1.1 431 ") && head.contains(&format!("x-request-id: {id}")), "{head}");
        assert!(head.contains(&format!("content-length: {}", text.len() - head.len() - 4)), "{head}");
        assert_eq!(body["error"]["code"], "HEADERS_TOO_LARGE");
    }

    #[test]
    fn an_answer_of_ours_is_left_alone() {
        assert_eq!(replaced("HTTP/1.1 400 Bad Request\r\nx-request-id: req_1\r\ncontent-length: 0\r\n\r\n"), None);
        assert_eq!(replaced("HTTP/1.1 400 Bad Request\r\ncontent-length: 12\r\n\r\n"), None);
        assert_eq!(replaced("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n"), None);
        assert_eq!(replaced("HTTP/1.1 40"), None);
    }
}
