//! A file that is too large for memory: its handler reads it in parts, when the caller has been let in.

use std::{fmt, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use sha2::{Digest as _, Sha256};
use tokio::{sync::Mutex, time::timeout};

use crate::Problem;

/// Which files an operation takes.
#[derive(Clone, Copy, Debug)]
pub struct UploadRule {
    /// What `Content-Type` may say. None of them crosses origins without a question: no form can send it.
    pub media_types: &'static [&'static str],
    /// The most bytes.
    pub limit: usize,
    /// How long it may take to arrive.
    pub deadline: Duration,
}

/// How long a client may send nothing.
const IDLE: Duration = Duration::from_secs(30);

/// The body of a request that nobody has read yet. Clones share it.
#[derive(Clone)]
pub struct Upload(Arc<Mutex<Rest>>);

struct Rest {
    body: Body,
    left: usize,
    rule: UploadRule,
    is_over: bool,
    /// Of what was read so far, where it will be compared with what comes under the same `Idempotency-Key`.
    hash: Option<Sha256>,
}

/// SHA-256 of a whole file.
pub(crate) type FileDigest = [u8; 32];

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
        let hash = headers.contains_key("idempotency-key").then(Sha256::new);
        Ok(Self(Arc::new(Mutex::new(Rest { body, left: rule.limit, rule: *rule, is_over: false, hash }))))
    }

    /// A file that is in memory already.
    pub(crate) fn of(bytes: Bytes, rule: &UploadRule) -> Result<Self, Problem> {
        if bytes.len() > rule.limit {
            return Err(Problem::payload_too_large(rule.limit));
        }
        let (left, body) = (rule.limit, Body::from(bytes));
        Ok(Self(Arc::new(Mutex::new(Rest { body, left, rule: *rule, is_over: false, hash: None }))))
    }

    /// The next bytes, some KiB of them; `None` behind the last.
    ///
    /// # Errors
    /// 413 over the limit, 408 for a client that sends nothing for 30 s, 400 for one that has gone.
    pub async fn next(&self) -> Result<Option<Bytes>, Problem> {
        self.0.lock().await.next().await
    }

    /// Reads what nobody has read, and says what the whole was: nothing where no `Idempotency-Key` came with it.
    pub(crate) async fn digest(&self) -> Result<Option<FileDigest>, Problem> {
        let mut rest = self.0.lock().await;
        let deadline = rest.rule.deadline;
        let reading = async {
            while rest.next().await?.is_some() {}
            Ok(rest.hash.clone().map(|hash| hash.finalize().into()))
        };
        timeout(deadline, reading).await.unwrap_or_else(|_| Err(Problem::request_timeout()))
    }
}

impl Rest {
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        while !self.is_over {
            let frame = match timeout(IDLE, self.body.frame()).await {
                Err(_) => return Err(Problem::request_timeout()),
                Ok(None) => {
                    self.is_over = true;
                    break;
                }
                Ok(Some(Err(_))) => return Err(Problem::invalid_request("The request body could not be read")),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(bytes) = frame.into_data() else { continue };
            match self.left.checked_sub(bytes.len()) {
                None => return Err(Problem::payload_too_large(self.rule.limit)),
                Some(left) => self.left = left,
            }
            if !bytes.is_empty() {
                if let Some(hash) = &mut self.hash {
                    hash.update(&bytes);
                }
                return Ok(Some(bytes));
            }
        }
        Ok(None)
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

/// What an `Idempotency-Key` stands for besides the path, as far as it is known before the file is read: how that is to
/// be read, and its length. The answer that is kept says what was in it.
pub(crate) fn outline(headers: &HeaderMap, query: Option<&str>) -> Bytes {
    let length = declared_length(headers).map_or_else(|| "-".to_owned(), |length| length.to_string());
    format!("{}\0{length}", query.unwrap_or_default()).into()
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http::{HeaderName, HeaderValue};

    use super::*;

    const RULE: UploadRule = UploadRule { media_types: &["text/csv"], limit: 10, deadline: Duration::from_secs(60) };

    fn open(headers: &[(HeaderName, &'static str)], parts: &'static [&'static str]) -> Result<Upload, Problem> {
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

    #[tokio::test]
    async fn a_file_in_memory_has_the_same_limit() {
        let upload = Upload::of(Bytes::from_static(b"1234567890"), &RULE).unwrap();
        assert_eq!(upload.next().await.unwrap().as_deref(), Some(&b"1234567890"[..]));
        assert!(upload.next().await.unwrap().is_none());
        assert_eq!(Upload::of(Bytes::from_static(b"12345678901"), &RULE).unwrap_err().status(), 413);
    }

    #[test]
    fn another_kind_of_file_is_refused_and_so_is_one_that_says_nothing() {
        for other in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", "text/csvx"]
        {
            assert_eq!(open(&[(header::CONTENT_TYPE, other)], &[]).unwrap_err().status(), 415, "{other}");
        }
        assert_eq!(open(&[], &[]).unwrap_err().status(), 415);
    }

    #[tokio::test]
    async fn a_file_with_a_key_is_known_by_all_of_it_however_much_was_read() {
        let (kind, key) = ((header::CONTENT_TYPE, "text/csv"), (HeaderName::from_static("idempotency-key"), "once"));
        let of = |parts| open(&[kind.clone(), key.clone()], parts).unwrap();
        let whole: FileDigest = Sha256::digest(b"1234567").into();
        for parts in [&["1234567"][..], &["123", "4567"]] {
            assert_eq!(of(parts).digest().await.unwrap(), Some(whole), "unread");
            let read = of(parts);
            assert!(read.next().await.unwrap().is_some());
            assert_eq!(read.digest().await.unwrap(), Some(whole), "begun");
            assert_eq!((read.next().await.unwrap(), read.digest().await.unwrap()), (None, Some(whole)), "over");
        }
        assert_ne!(of(&["1234568"]).digest().await.unwrap(), Some(whole));
        assert_eq!(of(&["12345", "678901"]).digest().await.unwrap_err().status(), 413);
        assert_eq!(open(&[kind], &["1234567"]).unwrap().digest().await.unwrap(), None, "nobody asks");
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
