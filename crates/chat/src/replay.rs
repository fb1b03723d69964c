//! A message that was sent before, and what became of its answer.

use store::{MessageRecord, StoreError, Workspace};

use crate::{ReplyErrorCode, ReplyEvent, Usage, log::ReplyLog};

/// Events that are made from the history are numbered from here on: those of the reply itself had other
/// numbers, and text of their own.
const FROM_HISTORY: u64 = 1 << 21;
/// How far behind a message its answer is looked for.
const NEXT: u32 = 16;

/// A message of the history, and the next ones after it.
pub(crate) struct Stored {
    pub(crate) message: MessageRecord,
    next: Vec<MessageRecord>,
}

impl Stored {
    /// A message that was stored just now.
    pub(crate) fn new(message: MessageRecord) -> Self {
        Self { message, next: Vec::new() }
    }

    /// Reads what came after it.
    pub(crate) async fn read(data: &Workspace, message: MessageRecord) -> Result<Self, StoreError> {
        let next = data.messages_after(message.conversation, message.id, NEXT).await?;
        Ok(Self { message, next })
    }

    /// How many messages came after it.
    pub(crate) fn later(&self) -> u32 {
        u32::try_from(self.next.len()).unwrap_or(NEXT)
    }

    /// Its reply as the history has it, if it is there, or if it can no longer come. `None`: the message
    /// is to be answered.
    pub(crate) fn replay(&self, agent_name: &str) -> Option<ReplyLog> {
        let answers = || self.next.iter().take_while(|message| message.role != "user");
        let whole = answers().find(|answer| answer.status == "complete");
        let (text, last) = match whole {
            Some(answer) => {
                let usage = Usage {
                    input_tokens: self.message.token_count.unwrap_or(0),
                    output_tokens: answer.token_count.unwrap_or(0),
                };
                (Some(&answer.content), ReplyEvent::End { usage, end_session: false })
            }
            None if self.next.iter().any(|message| message.role == "user") => {
                (answers().last().map(|part| &part.content), ReplyErrorCode::Superseded.event())
            }
            None => return None,
        };
        let log = ReplyLog::new(self.message.position, FROM_HISTORY, "", None);
        log.add(ReplyEvent::Start { agent_name: agent_name.to_owned() });
        text.into_iter().for_each(|text| log.say_whole(text));
        log.end(last);
        Some(log)
    }
}

/// Where the numbers of an answer begin that is not the message's first: far from those of any other.
pub(crate) fn base_of_another(random: u32) -> u64 {
    (u64::from(random >> 2) + 1) << 22
}

#[cfg(test)]
mod tests {
    use ambient::{ConversationId, MessageId, Millis, Ulid};

    use super::*;
    use crate::log::Found;

    fn message(position: u64, role: &str, content: &str, status: &str) -> MessageRecord {
        MessageRecord {
            id: MessageId(Ulid(position.into())),
            conversation: ConversationId(Ulid(1)),
            position,
            role: role.to_owned(),
            content: content.to_owned(),
            status: status.to_owned(),
            token_count: Some(position),
            created_at: Millis(0),
        }
    }

    fn replay(next: &[(&str, &str, &str)]) -> Option<Vec<ReplyEvent>> {
        let next = (4..).zip(next).map(|(at, (role, text, status))| message(at, role, text, status)).collect();
        let log = Stored { message: message(3, "user", "hi", "complete"), next }.replay("Ada")?;
        let (mut seen, mut events) = (0, Vec::new());
        while let Found::Event(event) = log.read(&mut seen) {
            assert!(event.id.position == 3 && event.id.number > FROM_HISTORY);
            events.push(event.event);
        }
        Some(events)
    }

    fn start() -> ReplyEvent {
        ReplyEvent::Start { agent_name: "Ada".to_owned() }
    }

    #[test]
    fn a_whole_answer_is_told_again_and_an_unanswered_message_is_not() {
        let end = ReplyEvent::End { usage: Usage { input_tokens: 3, output_tokens: 5 }, end_session: false };
        let told = replay(&[("assistant", "pa", "partial"), ("assistant", "part", "complete")]);
        assert_eq!(told, Some(vec![start(), ReplyEvent::Delta("part".to_owned()), end]));
        assert_eq!(replay(&[]), None);
        assert_eq!(replay(&[("assistant", "pa", "partial")]), None);
    }

    #[test]
    fn a_long_answer_is_told_again_in_pieces() {
        let text = "long ".repeat(20_000);
        let told = replay(&[("assistant", &text, "complete")]).unwrap();
        let pieces: Vec<_> = told
            .iter()
            .filter_map(|event| if let ReplyEvent::Delta(text) = event { Some(text) } else { None })
            .collect();
        assert!(pieces.len() > 4 && pieces.iter().all(|piece| piece.len() <= 16 * 1024));
        assert!(pieces.into_iter().map(String::as_str).collect::<String>() == text);
    }

    #[test]
    fn once_the_conversation_has_gone_on_no_answer_comes_late() {
        let told =
            replay(&[("assistant", "pa", "partial"), ("user", "so?", "complete"), ("assistant", "no", "complete")]);
        let superseded = ReplyErrorCode::Superseded.event();
        assert_eq!(told, Some(vec![start(), ReplyEvent::Delta("pa".to_owned()), superseded.clone()]));
        assert_eq!(replay(&[("user", "so?", "complete")]), Some(vec![start(), superseded]));
    }

    #[test]
    fn numbers_of_another_answer_meet_no_other_and_fit_a_javascript_number() {
        for random in [0, 1, 3, 4, u32::MAX] {
            let base = base_of_another(random);
            assert!(base > FROM_HISTORY + 3 && base + (1 << 22) < 1 << 53);
        }
        assert_ne!(base_of_another(0), base_of_another(4));
    }
}
