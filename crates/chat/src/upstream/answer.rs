use outbound::OutboundError;

use crate::{Cause, ReplyErrorCode, log::ReplyLog, text::count_words};

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

/// Where an upstream's words go; whoever reads the reply has them before the next are read.
pub(crate) struct Answer<'a>(pub(crate) &'a ReplyLog);

impl Answer<'_> {
    /// Appends `delta`.
    pub(crate) fn say(&self, mut delta: String) -> Result<(), Failure> {
        // PostgreSQL has no room for it in a text: an answer that holds it would be lost whole.
        delta.retain(|c| c != '\0');
        if delta.is_empty() {
            return Ok(());
        }
        if self.0.len() + delta.len() > MAX_ANSWER {
            return Err(Failure::new(ReplyErrorCode::UpstreamUnavailable, "the answer is longer than 1 MiB"));
        }
        self.0.say(&delta);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    pub(crate) fn words(&self) -> u64 {
        count_words(&self.0.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_database_keeps_is_not_said() {
        let log = ReplyLog::new(1, 0, "hi", None);
        let answer = Answer(&log);
        answer.say("a\0b".to_owned()).unwrap();
        answer.say("\0".to_owned()).unwrap();
        assert_eq!(log.text(), "ab");
        assert_eq!(log.last_id().number, 1, "nothing said is no event");
    }

    #[test]
    fn an_answer_has_a_mebibyte_at_most() {
        let log = ReplyLog::new(1, 0, "hi", None);
        let answer = Answer(&log);
        answer.say("x".repeat(MAX_ANSWER)).unwrap();
        assert_eq!(answer.say("y".to_owned()).unwrap_err().code, ReplyErrorCode::UpstreamUnavailable);
        assert_eq!(log.len(), MAX_ANSWER);
    }
}
