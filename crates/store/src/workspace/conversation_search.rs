use std::{collections::HashSet, time::Duration};

use ambient::{BotId, ChannelId, ConversationId, Millis, Ulid};

use super::{Workspace, conversations::conversation_record, limits};
use crate::{
    catalogue::{
        Bound, Statement,
        conversations::{self as sql, SEARCHED},
    },
    error::StoreError,
    record::{ConversationRecord, Page, PageRequest},
};

/// Conversations that are read at a time.
const BATCH: u32 = 100;
/// Messages of one statement, and of one conversation at most, the newest.
const TEXTS: u64 = 100;
const TEXTS_OF_ONE: u64 = 500;
/// The most characters that a database looks for: what one of them takes grows with their number.
const PART: usize = 32;
/// Conversations and messages that one search looks at, and how long it looks, at some of them in any case.
const MOST_CONVERSATIONS: u32 = 1_000;
const MOST_TEXTS: u64 = 10_000;
const PATIENCE: Duration = Duration::from_millis(10);

/// Which conversations; what is not said is not asked.
#[derive(Clone, Debug, Default)]
pub struct ConversationFilter {
    /// Who answers.
    pub bot: Option<BotId>,
    /// Which door they came through.
    pub channel: Option<String>,
    /// Which channel of a bot they belong to.
    pub channel_id: Option<ChannelId>,
    /// The customer's own name for the user, as it is.
    pub user_identifier: Option<String>,
    /// Whether they have ended.
    pub ended: Option<bool>,
    /// Opened at this time or later.
    pub from: Option<Millis>,
    /// Opened before this time.
    pub to: Option<Millis>,
    /// Opened before this one.
    pub before: Option<ConversationId>,
}

/// What a search has found.
#[derive(Clone, Debug)]
pub struct FoundConversations {
    /// The newest first.
    pub rows: Vec<ConversationRecord>,
    /// Where to go on, as [`ConversationFilter::before`]: `None` when everything was looked at.
    pub next: Option<ConversationId>,
    /// Whether it ended because it had looked at as much as a search may.
    pub is_cut: bool,
}

impl ConversationFilter {
    fn is_of_bot_alone(&self) -> bool {
        let Self { bot: _, channel, channel_id, user_identifier, ended, from, to, before } = self;
        channel.is_none()
            && channel_id.is_none()
            && user_identifier.is_none()
            && ended.is_none()
            && (from, to, before) == (&None, &None, &None)
    }

    fn bind(&self, bound: Bound, lead: &str) -> Bound {
        let (after, end) = ids(self.from, self.to);
        let end = self.before.map_or(end.clone(), |before| before.to_string().min(end));
        let text = |id: Option<String>| id.unwrap_or_default();
        let bound = bound.text(lead).text(after).text(end).text(self.channel.as_deref().unwrap_or_default());
        let bound = bound.text(text(self.bot.map(|id| id.to_string())));
        let bound = bound.text(text(self.channel_id.map(|id| id.to_string())));
        bound.text(match self.ended {
            None => "",
            Some(false) => "open",
            Some(true) => "ended",
        })
    }

    /// The statements that have an index for what is asked, and what that is.
    fn plan(&self) -> (&'static Statement, &'static Statement, String) {
        if let Some(user) = &self.user_identifier {
            return (&sql::FOUND_CONVERSATIONS_OF_USER, &sql::FOUND_CONVERSATION_COUNT_OF_USER, user.clone());
        }
        if let Some(channel) = self.channel_id {
            let (rows, total) = (&sql::FOUND_CONVERSATIONS_OF_CHANNEL, &sql::FOUND_CONVERSATION_COUNT_OF_CHANNEL);
            return (rows, total, channel.to_string());
        }
        if let Some(bot) = self.bot {
            return (&sql::FOUND_CONVERSATIONS_OF_BOT, &sql::FOUND_CONVERSATION_COUNT_OF_BOT, bot.to_string());
        }
        if let Some(door) = &self.channel {
            return (&sql::FOUND_CONVERSATIONS_OF_DOOR, &sql::FOUND_CONVERSATION_COUNT_OF_DOOR, door.clone());
        }
        let (rows, total) = match self.ended {
            Some(false) => (&sql::FOUND_OPEN_CONVERSATIONS, &sql::FOUND_OPEN_CONVERSATION_COUNT),
            Some(true) => (&sql::FOUND_ENDED_CONVERSATIONS, &sql::FOUND_ENDED_CONVERSATION_COUNT),
            None => (&sql::FOUND_CONVERSATIONS, &sql::FOUND_CONVERSATION_COUNT),
        };
        (rows, total, String::new())
    }
}

/// A period is a range of ids, which begin with the time: after the first, and before the second.
pub(super) fn ids(from: Option<Millis>, to: Option<Millis>) -> (String, String) {
    let first = |at: Millis| u128::try_from(at.0).unwrap_or(0) << 80;
    let after = from.map_or(0, |from| first(from).saturating_sub(1));
    (ConversationId(Ulid(after)).to_string(), ConversationId(Ulid(to.map_or(u128::MAX, first))).to_string())
}

impl Workspace {
    /// A page of the conversations that are meant, the newest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn find_conversations(
        &self,
        page: PageRequest,
        filter: &ConversationFilter,
    ) -> Result<Page<ConversationRecord>, StoreError> {
        if filter.is_of_bot_alone() {
            return self.conversations(page, filter.bot).await;
        }
        let (rows, total, lead) = filter.plan();
        let rows = limits(filter.bind(self.own(rows), &lead), page);
        self.page(rows, filter.bind(self.own(total), &lead), conversation_record).await
    }

    /// The newest of them, at most `limit`, whose user, id or messages have these words in them, whatever their
    /// case. One call looks at the newest 1,000 conversations, or at their newest 10,000 messages: 500 of a
    /// conversation, 10,000 characters of each; or as far as it comes in 10 ms, and to the end of the group that it
    /// is in then: 100 messages, or one conversation. [`FoundConversations::next`] says where to go on.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn search_conversations(
        &self,
        words: &str,
        filter: &ConversationFilter,
        limit: usize,
    ) -> Result<FoundConversations, StoreError> {
        let began = self.store.clock().elapsed();
        let words = folded(words);
        let mut filter = filter.clone();
        let (mut rows, mut conversations, mut texts) = (Vec::new(), 0, 0);
        loop {
            let (statement, _, lead) = filter.plan();
            let batch = filter.bind(self.own(statement), &lead).count(BATCH).count(0);
            let batch = self.store.rows(batch).await?.iter().map(conversation_record).collect::<Result<Vec<_>, _>>()?;
            let is_last = batch.len() < BATCH as usize;
            let mut rest = batch.into_iter().peekable();
            while rest.peek().is_some() {
                let is_over = self.store.clock().elapsed().saturating_sub(began) >= PATIENCE;
                if conversations >= MOST_CONVERSATIONS || texts >= MOST_TEXTS || (is_over && conversations > 0) {
                    return Ok(FoundConversations { rows, next: filter.before, is_cut: true });
                }
                let mut group: Vec<ConversationRecord> = Vec::new();
                let mut size = 0;
                while let Some(record) = rest
                    .next_if(|next| group.is_empty() || (group.len() < SEARCHED && size + next.message_count <= TEXTS))
                {
                    size += record.message_count;
                    group.push(record);
                }
                let found = self.having_words(&group, &words).await?;
                for record in group {
                    filter.before = Some(record.id);
                    conversations += 1;
                    texts += record.message_count.min(TEXTS_OF_ONE);
                    if found.contains(&record.id) {
                        rows.push(record);
                    }
                    if rows.len() >= limit {
                        return Ok(FoundConversations { rows, next: filter.before, is_cut: false });
                    }
                }
            }
            if is_last {
                return Ok(FoundConversations { rows, next: None, is_cut: false });
            }
        }
    }

    /// Which of a few conversations have the words in them, of those that have more than [`TEXTS`] messages one alone.
    /// What the databases know of a character's case is ASCII, so they look for that part of the words, and what they
    /// find is read where that is not all.
    async fn having_words(
        &self,
        group: &[ConversationRecord],
        words: &str,
    ) -> Result<HashSet<ConversationId>, StoreError> {
        let (meant, others): (Vec<_>, Vec<_>) = group.iter().partition(|record| {
            let user = record.user_identifier.as_deref().unwrap_or_default();
            folded(user).contains(words) || record.id.to_string().contains(words)
        });
        let mut found: HashSet<_> = meant.iter().map(|record| record.id).collect();
        let part = ascii_part(words);
        let mut last = others.iter().map(|record| record.message_count).max().unwrap_or(0);
        let end = last.saturating_sub(TEXTS_OF_ONE);
        while last > end && found.len() < group.len() {
            let before = last.saturating_sub(TEXTS).max(end);
            let mut bound = self.own(&sql::CONVERSATIONS_WITH_WORDS).text(part).count(before).count(last);
            for at in 0..SEARCHED {
                bound = bound.text(others.get(at).map(|record| record.id.to_string()).unwrap_or_default());
            }
            for row in self.store.rows(bound).await? {
                let id = row.id("id")?;
                if part == words || self.has_words(id, words, before, last).await? {
                    found.insert(id);
                }
            }
            last = before;
        }
        Ok(found)
    }

    /// Whether one of the messages behind a place, up to another, has the words in it.
    async fn has_words(&self, id: ConversationId, words: &str, before: u64, last: u64) -> Result<bool, StoreError> {
        let texts = self.own(&sql::MESSAGE_TEXTS).id(id).count(before).count(last);
        for row in self.store.rows(texts).await? {
            if folded(&row.string("content")?).contains(words) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A text whatever its case. `İ` is an `i`: its own lower case has a second dot, which nobody types.
fn folded(text: &str) -> String {
    text.to_lowercase().replace("i\u{307}", "i")
}

/// The longest part of folded words that a database finds in a text, of at most [`PART`] characters.
fn ascii_part(words: &str) -> &str {
    let parts = words.split(|c: char| !c.is_ascii()).map(|part| part.get(..PART).unwrap_or(part));
    parts.max_by_key(|part| part.len()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_asked_for_the_longest_part_that_they_can_find() {
        let long = "0123456789".repeat(20);
        for (words, part) in [
            ("delivery", "delivery"),
            ("grüsse an alle", "sse an alle"),
            ("привет", ""),
            ("", ""),
            ("é\u{307}stanbul", "stanbul"),
            (&long, &long[..32]),
            (&format!("{}ü{long}", &long[..31]), &long[..32]),
        ] {
            assert_eq!(ascii_part(words), part);
        }
    }

    #[test]
    fn what_is_an_ascii_letter_in_lower_case_is_found_by_databases_too() {
        for c in (char::MIN..=char::MAX).filter(|c| !c.is_ascii()) {
            let folded = folded(&c.to_string());
            assert_eq!(folded.contains(|c: char| c.is_ascii()), ['\u{130}', '\u{212a}'].contains(&c), "{c:?}");
        }
    }
}
