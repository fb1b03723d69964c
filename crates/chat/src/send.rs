use std::sync::Arc;

use access::SessionCaller;
use cluster::CutReason;

use crate::{Chat, ChatError, Reply, job::Job, text::count_words};

/// The longest message of an end user, in characters (seed S2).
pub const MAX_MESSAGE: usize = 10_000;

impl Chat {
    /// Stores the message durably and begins its answer. Waits while an earlier message of the
    /// conversation is answered.
    ///
    /// # Errors
    /// [`ChatError::Busy`] when eight wait already; [`ChatError::Ended`] and [`ChatError::Revoked`]
    /// when the session died, also while waiting; [`ChatError::Invalid`] for an empty or too long text.
    pub async fn send(&self, session: &SessionCaller, text: String) -> Result<Reply, ChatError> {
        check_text(&text)?;
        let grant =
            self.parts.cluster.hold(session.key, Some(session.conversation)).ok_or_else(|| self.gone(session))?;
        let turn = tokio::select! {
            biased;
            reason = grant.cancelled() => return Err(refuse(reason)),
            turn = self.turns.wait(session.conversation) => turn.map_err(|_| ChatError::Busy)?,
        };
        let data = self.parts.store.workspace(session.tenant);
        let conversation = data.conversation(session.conversation).await?;
        let bot = data.bot(conversation.bot).await?;
        data.append_message(session.conversation, "user", &text, "complete", Some(count_words(&text))).await?;
        let (sink, reply) = Reply::channel();
        let job = Job {
            parts: Arc::clone(&self.parts),
            tenant: session.tenant,
            conversation: session.conversation,
            bot,
            text,
        };
        self.parts.drain.spawn(job.run(grant, turn, sink));
        Ok(reply)
    }

    /// Why there is no place in the tree for this session.
    fn gone(&self, session: &SessionCaller) -> ChatError {
        match self.parts.cluster.key_by_id(session.key) {
            Some(key) if key.epoch() == session.epoch => ChatError::Ended,
            _ => ChatError::Revoked,
        }
    }
}

fn check_text(text: &str) -> Result<(), ChatError> {
    if text.trim().is_empty() || text.chars().count() > MAX_MESSAGE {
        return Err(ChatError::invalid("message", "It must have between 1 and 10000 characters"));
    }
    Ok(())
}

fn refuse(reason: CutReason) -> ChatError {
    match reason {
        CutReason::Ended => ChatError::Ended,
        CutReason::Shutdown => ChatError::Stopping,
        CutReason::Revoked | CutReason::Expired | CutReason::Disabled | CutReason::OriginRemoved => ChatError::Revoked,
    }
}
