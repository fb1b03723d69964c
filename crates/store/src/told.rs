//! What is told of things that happened: as the API shows them, and small.

use serde_json::{Value, json};

use crate::{
    participation::RunRecord,
    record::{ConversationRecord, MessageRecord},
};

/// The most of a message that is told, in bytes.
const MAX_CONTENT: usize = 12 * 1024;

impl ConversationRecord {
    pub(crate) fn told(&self) -> Value {
        json!({
            "id": self.id,
            "bot_id": self.bot,
            "channel": self.channel,
            "channel_id": self.channel_id,
            "status": if self.ended_at.is_some() { "ended" } else { "open" },
            "key_id": self.key,
            "user_identifier": self.user_identifier,
            "metadata": self.metadata,
            "message_count": self.message_count,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "ended_at": self.ended_at,
        })
    }
}

impl MessageRecord {
    /// Of a long message the beginning; the API has the rest.
    pub(crate) fn told(&self) -> Value {
        let content = &self.content[..self.content.floor_char_boundary(MAX_CONTENT)];
        json!({
            "id": self.id,
            "conversation_id": self.conversation,
            "position": self.position,
            "role": self.role,
            "content": content,
            "truncated": content.len() < self.content.len(),
            "status": self.status,
            "token_count": self.token_count,
            "created_at": self.created_at,
        })
    }
}

impl RunRecord {
    /// Without what people have answered: that may be long, and is not for everybody who listens.
    pub(crate) fn told(&self) -> Value {
        json!({
            "id": self.id,
            "deployment_id": self.deployment,
            "status": self.status,
            "origin": self.origin,
            "current_step_id": self.current_step,
            "ending": self.ending(),
            "last_seq": self.seq,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "finished_at": self.finished_at,
        })
    }

    /// Why it failed, which its state says.
    fn ending(&self) -> Value {
        if self.status != "failed" {
            return Value::Null;
        }
        let state = serde_json::from_str::<Value>(&self.state).unwrap_or_default();
        state.get("ending").cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use ambient::{ConversationId, MessageId, Millis, Ulid};

    use super::*;

    #[test]
    fn of_a_long_message_the_beginning_is_told_in_whole_letters() {
        let message = |content: String| MessageRecord {
            id: MessageId(Ulid(1)),
            conversation: ConversationId(Ulid(2)),
            position: 1,
            role: "user".to_owned(),
            content,
            status: "complete".to_owned(),
            token_count: None,
            created_at: Millis(0),
        };
        let told = message("é".repeat(MAX_CONTENT)).told();
        assert_eq!((&told["truncated"], told["content"].as_str().unwrap().len()), (&json!(true), MAX_CONTENT));
        let told = message(format!("a{}", "é".repeat(MAX_CONTENT))).told();
        assert_eq!(told["content"].as_str().unwrap().len(), MAX_CONTENT - 1);
        assert_eq!(message("Hi".to_owned()).told()["truncated"], false);
    }
}
