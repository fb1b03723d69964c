use std::collections::VecDeque;

use ambient::{BotId, ConversationId, Millis, Ulid};

use super::{Workspace, conversation_search::ids, conversations::conversation_record, messages::message_record};
use crate::{
    catalogue::conversations as sql,
    error::StoreError,
    record::{ConversationRecord, MessageRecord},
};

/// Conversations and messages that are read at a time.
const CONVERSATIONS: u32 = 200;
const MESSAGES: u32 = 500;
/// The most text that is read at a time, in bytes: a message may have as much.
const BYTES: u64 = 1024 * 1024;

/// Something of an export.
#[derive(Clone, Debug)]
pub enum Exported {
    /// Before its messages.
    Conversation(ConversationRecord),
    /// In order.
    Message(MessageRecord),
}

/// All conversations of a tenant with their messages, the oldest first, as they were when it began: what is
/// opened or said after that is not in it. One that is deleted meanwhile is left out, or ends early.
#[derive(Debug)]
pub struct ConversationExport {
    data: Workspace,
    bot: Option<BotId>,
    /// Conversations after this one, and before the other.
    after: String,
    end: String,
    /// Messages after this moment are none of it.
    as_of: Millis,
    /// Read, and not exported.
    open: VecDeque<ConversationRecord>,
    range: Option<Range>,
    /// The last that was exported.
    current: Option<ConversationId>,
}

/// Conversations whose messages are read one after the other.
#[derive(Clone, Copy, Debug)]
struct Range {
    /// After this message.
    place: (ConversationId, u64),
    /// The last of them.
    until: ConversationId,
}

impl Workspace {
    /// Begins an export: of those that were opened from `from` on and before `to`, and of one bot, if asked.
    #[must_use]
    pub fn export_conversations(
        &self,
        bot: Option<BotId>,
        from: Option<Millis>,
        to: Option<Millis>,
    ) -> ConversationExport {
        let next = self.store.now().plus(1);
        self.export_between(bot, ids(from, Some(to.map_or(next, |to| to.min(next)))))
    }

    /// The same of one conversation.
    #[must_use]
    pub fn export_conversation(&self, id: ConversationId) -> ConversationExport {
        let neighbours =
            [id.0.0.saturating_sub(1), id.0.0.saturating_add(1)].map(|number| ConversationId(Ulid(number)));
        let [after, end] = neighbours.map(|id| id.to_string());
        self.export_between(None, (after, end))
    }

    fn export_between(&self, bot: Option<BotId>, (after, end): (String, String)) -> ConversationExport {
        let as_of = self.store.now();
        let (open, range, current) = (VecDeque::new(), None, None);
        ConversationExport { data: self.clone(), bot, after, end, as_of, open, range, current }
    }
}

impl ConversationExport {
    /// What comes next, about a megabyte of text at most; nothing at the end.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn next(&mut self) -> Result<Vec<Exported>, StoreError> {
        loop {
            let Some(range) = self.range().await? else { return Ok(Vec::new()) };
            let (messages, is_over) = self.messages(range).await?;
            let mut exported = Vec::with_capacity(messages.len());
            for message in messages {
                self.range = Some(Range { place: (message.conversation, message.position), ..range });
                self.open_until(message.conversation, &mut exported);
                // Of one that was not there when the conversations were read, nothing.
                if self.current == Some(message.conversation) {
                    exported.push(Exported::Message(message));
                }
            }
            if is_over {
                self.open_until(range.until, &mut exported);
                self.range = None;
            }
            if !exported.is_empty() {
                return Ok(exported);
            }
        }
    }

    async fn range(&mut self) -> Result<Option<Range>, StoreError> {
        if self.range.is_some() {
            return Ok(self.range);
        }
        if self.open.is_empty() {
            let bot = self.bot.map(|bot| bot.to_string()).unwrap_or_default();
            let batch = self.data.own(&sql::CONVERSATIONS_IN_ORDER).text(&self.after).text(&self.end).text(bot);
            for row in self.data.store.rows(batch.count(CONVERSATIONS)).await? {
                self.open.push_back(conversation_record(&row)?);
            }
        }
        let (Some(first), Some(last)) = (self.open.front(), self.open.back()) else { return Ok(None) };
        // Between those of one bot are others': each by itself.
        let until = if self.bot.is_some() { first.id } else { last.id };
        self.range = Some(Range { place: (first.id, 0), until });
        self.after = last.id.to_string();
        Ok(self.range)
    }

    /// The next messages of a range, and whether there are no more.
    async fn messages(&self, Range { place, until }: Range) -> Result<(Vec<MessageRecord>, bool), StoreError> {
        let bound = |statement| {
            let bound = self.data.own(statement).id(place.0).count(place.1).id(until);
            bound.time(self.as_of)
        };
        let sizes = self.data.store.rows(bound(&sql::MESSAGE_SIZES_IN_ORDER).count(MESSAGES)).await?;
        let (mut bytes, mut count) = (0, 0);
        for size in &sizes {
            bytes += size.count::<u64>("size")?;
            if count > 0 && bytes > BYTES {
                break;
            }
            count += 1;
        }
        let is_over = count == sizes.len() && count < MESSAGES as usize;
        if count == 0 {
            return Ok((Vec::new(), is_over));
        }
        let rows = self.data.store.rows(bound(&sql::MESSAGES_IN_ORDER).count(count)).await?;
        Ok((rows.iter().map(message_record).collect::<Result<_, _>>()?, is_over))
    }

    fn open_until(&mut self, last: ConversationId, exported: &mut Vec<Exported>) {
        while let Some(next) = self.open.pop_front_if(|next| next.id <= last) {
            self.current = Some(next.id);
            exported.push(Exported::Conversation(next));
        }
    }
}
