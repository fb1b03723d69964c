//! `Idempotency-Key`: the same key and body get the same answer for 24 h.
//!
//! The record is found under the caller and the operation, so one caller's key means nothing to
//! another. Stored answers are sealed: the one to a created API key holds its plaintext.

use access::{Caller, KeyKind};
use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use store::{Attempt, Idempotent};

use crate::{Problem, Upload, flow::Inner, operation::Meta, upload::FileDigest};

/// The largest answer that is kept.
const ANSWER_LIMIT: usize = 256 * 1024;

/// What a caller reads whose first attempt was carried out and never answered, where that answer cannot be made anew.
const LOST: &str = "An earlier request with this `Idempotency-Key` was carried out, and its answer was lost: look for \
                    what it made, and use another key for another one";

/// A request that holds its key: it runs within its attempt, and ends in [`Claim::settle`].
pub(crate) struct Claim {
    caller: String,
    operation: &'static str,
    is_file: bool,
    key: String,
    pub(crate) attempt: Attempt,
}

pub(crate) enum Claimed {
    /// No key was sent, or the caller is a stranger.
    No,
    /// The first request with this key, or the next one after an attempt that was cut by a crash.
    Fresh(Claim),
    /// A later one, if it also has the same file.
    Replay(Replay),
}

/// The answer to an earlier request.
pub(crate) struct Replay {
    response: Response,
    file: Option<FileDigest>,
}

impl Replay {
    /// Gives it to whoever has sent the same file, if it was the answer to one. The file is read for that.
    pub(crate) async fn answer_to(self, file: Option<&Upload>) -> Result<Response, Problem> {
        let sent = match file {
            Some(file) => file.digest().await?,
            None => None,
        };
        if sent.unwrap_or_default() == self.file.unwrap_or_default() { Ok(self.response) } else { Err(other_body()) }
    }
}

fn other_body() -> Problem {
    Problem::invalid_field("Idempotency-Key", "was used with another request body in the last 24 h")
}

/// Bare or quoted (the draft says quoted, Stripe's clients send it bare): compared unquoted.
pub(crate) fn read_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().unwrap_or("");
    let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    if headers.get_all("idempotency-key").iter().count() > 1 {
        return Err(no_key());
    }
    check_key(text).map(|()| Some(text.to_owned()))
}

fn no_key() -> Problem {
    Problem::invalid_request("`Idempotency-Key` is 1 to 255 printable ASCII characters, once")
}

/// Whether a text is such a key; also of a form's nonce, which comes from the form.
pub(crate) fn check_key(text: &str) -> Result<(), Problem> {
    let fits = (1..=255).contains(&text.len()) && text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if fits { Ok(()) } else { Err(no_key()) }
}

pub(crate) async fn claim(
    gate: &Inner,
    operation: &'static Meta,
    caller: &Caller,
    key: Option<String>,
    path: &str,
    body: &Bytes,
) -> Result<Claimed, Problem> {
    let Some(key) = key else { return Ok(Claimed::No) };
    let (caller_id, tenant) = match caller {
        // The operator's keys are as public, and no operation that admits them keeps answers.
        Caller::Anonymous | Caller::Static(_) => return Ok(Claimed::No),
        // Everybody has a widget key: one visitor's answer, with a session's token in it, is not
        // another's.
        Caller::Key(caller) if caller.kind == KeyKind::Widget => return Ok(Claimed::No),
        Caller::Key(caller) => (caller.key.to_string(), caller.tenant),
        Caller::Session(caller) => (caller.conversation.to_string(), caller.tenant),
        Caller::Participant(caller) => (format!("{}/{}", caller.run, caller.role), caller.tenant),
        Caller::Member(caller) => (caller.member.to_string(), caller.tenant),
    };
    let mut content = Vec::with_capacity(path.len() + 1 + body.len());
    content.extend_from_slice(path.as_bytes());
    content.push(0);
    content.extend_from_slice(body);
    let fingerprint = gate.secrets.digest_for("idempotency", &content);
    let records = gate.store.workspace(tenant);
    match records.begin_idempotent(&caller_id, operation.id, &key, &fingerprint, gate.clock.now()).await? {
        Idempotent::Fresh(attempt) => {
            let is_file = operation.upload.is_some();
            Ok(Claimed::Fresh(Claim { caller: caller_id, operation: operation.id, is_file, key, attempt }))
        }
        Idempotent::Lost => Err(Problem::conflict(LOST)),
        Idempotent::Running => Err(Problem::conflict("A request with this `Idempotency-Key` is still running")),
        Idempotent::OtherBody => Err(other_body()),
        Idempotent::Replay { status, body } => {
            let plain = gate.secrets.sealer().open(&context(&caller_id, operation.id, &key), &body);
            let plain = plain.map_err(Problem::unavailable)?;
            let (file, answer) = match plain.split_first_chunk() {
                Some((file, answer)) if operation.upload.is_some() => (Some(*file), answer),
                _ => (None, &plain[..]),
            };
            let mut response = Response::new(Body::from(answer.to_vec()));
            *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
            headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
            Ok(Claimed::Replay(Replay { response, file }))
        }
    }
}

fn context(caller: &str, operation: &str, key: &str) -> Vec<u8> {
    format!("idempotency\0{caller}\0{operation}\0{key}").into_bytes()
}

impl Claim {
    /// Keeps a success, behind the digest of the file that it is the answer to; forgets everything else, so that a
    /// corrected request may use the key.
    pub(crate) async fn settle(
        self,
        gate: &Inner,
        caller: &Caller,
        outcome: Result<Response, Problem>,
        file: Option<&Upload>,
    ) -> Result<Response, Problem> {
        let Some(tenant) = caller.tenant() else { return outcome };
        let records = gate.store.workspace(tenant);
        // An attempt that went on with what one before it has made may have read nothing.
        let outcome = match (outcome, file) {
            (Ok(response), Some(file)) if response.status().is_success() => {
                file.digest().await.map(|digest| (response, digest))
            }
            (outcome, _) => outcome.map(|response| (response, None)),
        };
        match outcome {
            Ok((response, file)) if response.status().is_success() => {
                let (parts, body) = response.into_parts();
                let bytes = body.collect().await.map_err(Problem::unavailable)?.to_bytes();
                if bytes.len() <= ANSWER_LIMIT {
                    // Of a file that was in memory, the fingerprint is of the whole.
                    let file: FileDigest = file.unwrap_or_default();
                    let kept = [if self.is_file { &file[..] } else { &[] }, &bytes].concat();
                    let sealed = gate
                        .secrets
                        .sealer()
                        .seal(&context(&self.caller, self.operation, &self.key), &kept, &*gate.random)
                        .map_err(Problem::unavailable)?;
                    // What was asked for is done. A record that cannot be written makes a retry wait for a
                    // minute, and then answer from what was made, or 409.
                    let status = parts.status.as_u16();
                    if let Err(error) = records.finish_idempotent(&self.attempt, status, &sealed).await {
                        tracing::warn!(%error, "an idempotent answer could not be kept");
                    }
                }
                Ok(Response::from_parts(parts, Body::from(bytes)))
            }
            other => {
                if let Err(error) = records.abandon_idempotent(&self.attempt).await {
                    tracing::warn!(%error, "an idempotency record could not be dropped");
                }
                other.map(|(response, _)| response)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(value: &str) -> Result<Option<String>, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", HeaderValue::from_str(value).unwrap());
        read_key(&headers)
    }

    #[test]
    fn quoted_and_bare_are_the_same_key() {
        assert_eq!(key("\"8e03\"").unwrap(), key("8e03").unwrap());
        assert!(read_key(&HeaderMap::new()).unwrap().is_none());
        assert!(key("").is_err() && key("\"\"").is_err() && key(&"a".repeat(256)).is_err());
    }
}
