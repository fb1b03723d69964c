use outbound::OutboundError;
use tokio::sync::mpsc;

use crate::{Cause, ReplyErrorCode, ReplyEvent};

/// The longest answer that is kept, in bytes.
pub(crate) const MAX_ANSWER: usize = 1024 * 1024;

/// Why there is no (whole) answer: a code for the end user, the cause for the operator.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: ReplyErrorCode,
    pub(crate) cause: Cause,
}

impl Failure {
    pub(crate) fn new(code: ReplyErrorCode, cause: impl Into<Cause>) -> Self {
        Self { code, cause: cause.into() }
    }

    pub(crate) fn internal(cause: impl Into<Cause>) -> Self {
        Self::new(ReplyErrorCode::Internal, cause)
    }
}

impl From<OutboundError> for Failure {
    fn from(error: OutboundError) -> Self {
        let code = match error {
            OutboundError::Timeout => ReplyErrorCode::UpstreamTimeout,
            _ => ReplyErrorCode::UpstreamUnavailable,
        };
        Self::new(code, error)
    }
}

/// What has been said so far; each part is on its way to the reader before the next is read.
pub(crate) struct Answer<'a> {
    text: String,
    events: &'a mpsc::Sender<ReplyEvent>,
}

impl<'a> Answer<'a> {
    pub(crate) fn new(events: &'a mpsc::Sender<ReplyEvent>) -> Self {
        Self { text: String::new(), events }
    }

    /// Appends `delta` and passes it on; waits while the reader is behind.
    pub(crate) async fn say(&mut self, mut delta: String) -> Result<(), Failure> {
        // PostgreSQL has no room for it in a text: an answer that holds it would be lost whole.
        delta.retain(|c| c != '\0');
        if delta.is_empty() {
            return Ok(());
        }
        if self.text.len() + delta.len() > MAX_ANSWER {
            return Err(Failure::new(ReplyErrorCode::UpstreamUnavailable, "the answer is longer than 1 MiB"));
        }
        self.text.push_str(&delta);
        self.events.send(ReplyEvent::Delta(delta)).await.map_err(Failure::internal)
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_no_database_keeps_is_not_said() {
        let (events, mut said) = mpsc::channel(4);
        let mut answer = Answer::new(&events);
        answer.say("a\0b".to_owned()).await.unwrap();
        answer.say("\0".to_owned()).await.unwrap();
        assert_eq!(answer.text(), "ab");
        assert_eq!(said.try_recv().ok(), Some(ReplyEvent::Delta("ab".to_owned())));
        assert!(said.try_recv().is_err());
    }
}
