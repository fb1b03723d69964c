//! A file that is too large for memory: its handler reads it in parts, when the caller has been let in.

use std::{fmt, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use tokio::{sync::Mutex, time::timeout};

use crate::Problem;

/// Which files an operation takes.
#[derive(Clone, Copy, Debug)]
pub struct UploadRule {
    /// What `Content-Type` may say. None of them crosses origins without a question: no form can send it.
    pub media_types: &'static [&'static str],
    /// The most bytes.
    pub limit: usize,
}

/// How long a client may send nothing.
const IDLE: Duration = Duration::from_secs(30);

/// The body of a request that nobody has read yet. Clones share it.
#[derive(Clone)]
pub struct Upload(Arc<Mutex<Rest>>);

struct Rest {
    body: Body,
    left: usize,
    limit: usize,
}

impl Upload {
    /// A declared length over the limit is refused unread, and so is another kind of file.
    pub(crate) fn open(headers: &HeaderMap, body: Body, rule: &UploadRule) -> Result<Self, Problem> {
        if declared_length(headers).is_some_and(|length| length > rule.limit as u64) {
            return Err(Problem::payload_too_large(rule.limit));
        }
        let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = value.split(';').next().unwrap_or_default().trim();
        if !rule.media_types.iter().any(|known| essence.eq_ignore_ascii_case(known)) {
            return Err(Problem::not_such_a_file(rule.media_types));
        }
        Ok(Self(Arc::new(Mutex::new(Rest { body, left: rule.limit, limit: rule.limit }))))
    }

    /// The next bytes, some KiB of them; `None` behind the last.
    ///
    /// # Errors
    /// 413 over the limit, 408 for a client that sends nothing for 30 s, 400 for one that has gone.
    pub async fn next(&self) -> Result<Option<Bytes>, Problem> {
        let mut rest = self.0.lock().await;
        loop {
            let frame = match timeout(IDLE, rest.body.frame()).await {
                Err(_) => return Err(Problem::request_timeout()),
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => return Err(Problem::invalid_request("The request body could not be read")),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(bytes) = frame.into_data() else { continue };
            match rest.left.checked_sub(bytes.len()) {
                None => return Err(Problem::payload_too_large(rest.limit)),
                Some(left) => rest.left = left,
            }
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upload(…)")
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What an `Idempotency-Key` stands for besides the path, where the file itself is not read before the answer to an
/// earlier request is: how it is to be read, and its length.
pub(crate) fn outline(headers: &HeaderMap, query: Option<&str>) -> Bytes {
    let length = declared_length(headers).map_or_else(|| "-".to_owned(), |length| length.to_string());
    format!("{}\0{length}", query.unwrap_or_default()).into()
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http::HeaderValue;

    use super::*;

    const RULE: UploadRule = UploadRule { media_types: &["text/csv"], limit: 10 };

    fn open(headers: &[(header::HeaderName, &'static str)], parts: &'static [&'static str]) -> Result<Upload, Problem> {
        let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        let parts = parts.iter().map(|part| Ok::<_, std::convert::Infallible>(Bytes::from_static(part.as_bytes())));
        Upload::open(&headers, Body::from_stream(stream::iter(parts)), &RULE)
    }

    #[tokio::test]
    async fn a_file_ends_at_its_limit_whatever_was_declared() {
        let kind = (header::CONTENT_TYPE, "Text/CSV; charset=utf-8");
        let upload = open(std::slice::from_ref(&kind), &["12345", "", "67890"]).unwrap();
        assert_eq!(upload.next().await.unwrap().as_deref(), Some(&b"12345"[..]));
        assert_eq!(upload.next().await.unwrap().as_deref(), Some(&b"67890"[..]));
        assert!(upload.next().await.unwrap().is_none());
        let upload = open(std::slice::from_ref(&kind), &["12345", "678901"]).unwrap();
        assert!(upload.next().await.is_ok());
        assert_eq!(upload.next().await.unwrap_err().status(), 413);
        assert_eq!(open(&[kind.clone(), (header::CONTENT_LENGTH, "11")], &[]).unwrap_err().status(), 413);
        assert!(open(&[kind, (header::CONTENT_LENGTH, "10")], &[]).is_ok());
    }

    #[test]
    fn another_kind_of_file_is_refused_and_so_is_one_that_says_nothing() {
        for other in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", "text/csvx"]
        {
            assert_eq!(open(&[(header::CONTENT_TYPE, other)], &[]).unwrap_err().status(), 415, "{other}");
        }
        assert_eq!(open(&[], &[]).unwrap_err().status(), 415);
    }

    #[test]
    fn another_length_or_query_is_another_request() {
        let of = |length: &'static str, query| {
            outline(&HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from_static(length))]), query)
        };
        assert_eq!(of("10", Some("a")), of("10", Some("a")));
        assert_ne!(of("10", Some("a")), of("11", Some("a")));
        assert_ne!(of("10", Some("a")), of("10", None));
    }
}
