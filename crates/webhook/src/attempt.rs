//! One attempt: what is sent, and what the answer means.

use std::{sync::Arc, time::Duration};

use ambient::Millis;
use outbound::{Bytes, OutboundError, Request, Response};
use store::{AfterAttempt, AttemptOutcome, DeliveryJob, DueDelivery};
use tokio::time::timeout;

use crate::{
    MAX_ATTEMPTS,
    body::body,
    schedule::{next_attempt, retry_after},
    sender::Inner,
    signed::{headers, secrets_of},
};

/// For the whole of it: name, connection, answer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How much of an answer is read before the connection is dropped.
const READ: usize = 64 * 1024;
/// How much of it is kept.
const KEPT: usize = 1024;
/// An endpoint that has done nothing but fail for so long is disabled, in milliseconds.
const FAILING: i64 = 5 * 24 * 3600 * 1000;
/// But only by an event that was tried so often: a first failure after a quiet week is none of five days.
const FAILING_ATTEMPTS: u32 = 5;

/// What came back.
struct Answer {
    status: u16,
    not_before: Option<Millis>,
    text: String,
}

impl Inner {
    /// Makes the attempt; nothing when it could not even be made, on our side: it is due again when its claim ends.
    pub(crate) async fn attempt(self: &Arc<Self>, due: &DueDelivery, job: &DeliveryJob) -> Option<AttemptOutcome> {
        let started = self.parts.clock.elapsed();
        let answer = match timeout(TIMEOUT, self.send(due, job)).await {
            Ok(Err(Refused::Ours(cause))) => {
                tracing::warn!(webhook = %due.webhook, event = %due.event, cause, "an event could not be sent yet");
                return None;
            }
            Ok(Err(Refused::Theirs(word))) => Err(word),
            Ok(Ok(answer)) => Ok(answer),
            Err(_) => Err("timeout"),
        };
        let took = self.parts.clock.elapsed().saturating_sub(started);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let now = self.parts.clock.now();
        let (status, error, answer, not_before) = match answer {
            Err(word) => (None, Some(word), None, None),
            Ok(Answer { status, not_before, text }) => {
                let error = match status {
                    200..=299 => None,
                    300..=399 => Some("redirect"),
                    _ => Some("status"),
                };
                (Some(status), error, Some(text), not_before.filter(|_| error.is_some()))
            }
        };
        let then = match (status, error) {
            (_, None) => AfterAttempt::Delivered,
            (Some(410), _) => AfterAttempt::Disable("gone"),
            _ => self.after_failure(job, now, not_before),
        };
        let throttled_until = not_before.filter(|_| matches!(status, Some(429 | 502..=504)));
        Some(AttemptOutcome { status, error, answer, took_ms, throttled_until, then })
    }

    fn after_failure(&self, job: &DeliveryJob, now: Millis, not_before: Option<Millis>) -> AfterAttempt {
        let tried = job.attempts.saturating_add(1);
        let is_hopeless = job.webhook.failing_since.is_some_and(|since| now.since(since) >= FAILING);
        if is_hopeless && tried >= FAILING_ATTEMPTS.min(MAX_ATTEMPTS) {
            return AfterAttempt::Disable("failing");
        }
        match next_attempt(job.attempts, now, not_before, &*self.parts.random) {
            Some(time) => AfterAttempt::Again(time),
            None => AfterAttempt::GiveUp,
        }
    }

    async fn send(&self, due: &DueDelivery, job: &DeliveryJob) -> Result<Answer, Refused> {
        let now = self.parts.clock.now();
        let body = body(&job.kind, due.event, job.event_at, &job.data).map_err(|e| Refused::Ours(e.to_string()))?;
        let secrets = secrets_of(&self.parts.secrets, due, &job.webhook, now);
        let secrets = secrets.map_err(|e| Refused::Ours(e.to_string()))?;
        let headers = headers(&secrets, due.event, job.attempts, &body, now);
        let headers = headers.map_err(Refused::Ours)?;
        // Judged at each attempt: the policy may have changed since it was saved.
        let url = self.parts.outbound.check_url(&job.webhook.url).map_err(|_| Refused::Theirs("refused"))?;
        let request = Request { url, headers, body: Bytes::from(body), timeout: TIMEOUT };
        let response = self.parts.outbound.post_json_stream(request).await.map_err(|error| refused(&error))?;
        let asked = response.headers.get("retry-after").and_then(|value| value.to_str().ok());
        let not_before = asked.and_then(|text| retry_after(text, now));
        Ok(Answer { status: response.status, not_before, text: first_kilobyte(response).await })
    }
}

/// Why there is no answer.
enum Refused {
    /// The cause, for the operator.
    Ours(String),
    /// A word for the endpoint's owner.
    Theirs(&'static str),
}

fn refused(error: &OutboundError) -> Refused {
    match error {
        OutboundError::Busy | OutboundError::Setup(_) | OutboundError::Header(_) => Refused::Ours(error.to_string()),
        OutboundError::Refused(_) => Refused::Theirs("refused"),
        OutboundError::Resolve(_) => Refused::Theirs("resolve"),
        OutboundError::Connect(_) => Refused::Theirs("connect"),
        OutboundError::Timeout => Refused::Theirs("timeout"),
        _ => Refused::Theirs("transport"),
    }
}

/// Reads on a little, so that the connection can be used again; what is longer costs nothing. The status has decided
/// before.
async fn first_kilobyte(mut response: Response) -> String {
    let (mut kept, mut read) = (Vec::new(), 0);
    let reading = async {
        while read < READ
            && let Ok(Some(chunk)) = response.chunk().await
        {
            read += chunk.len();
            kept.extend_from_slice(&chunk[..chunk.len().min(KEPT - kept.len())]);
        }
    };
    // Who answers and then says nothing has answered.
    let _ = timeout(Duration::from_secs(2), reading).await;
    text_of(&kept)
}

/// As text of at most a kilobyte, without what a database does not store.
fn text_of(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
    while text.len() > KEPT {
        text.pop();
    }
    // A character that was cut is left out.
    if bytes.len() == KEPT && text.ends_with('\u{fffd}') {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_as_text_of_at_most_a_kilobyte() {
        assert_eq!(text_of(b"no\0such"), "no\u{fffd}such");
        assert_eq!(text_of(&[0xff; 1024]).len() % 3, 0);
        assert!(text_of(&[0xff; 1024]).len() <= KEPT);
        let cut = ["x".repeat(1023).as_bytes(), "ä".as_bytes()].concat();
        assert_eq!(text_of(&cut[..KEPT]), "x".repeat(1023));
    }
}
