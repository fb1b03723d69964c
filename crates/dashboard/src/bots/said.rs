//! The newest messages of a conversation, or a page of the earlier ones.

use ambient::ConversationId;
use gate::{Ask, Problem};
use serde::Deserialize;

use crate::{
    desk::Desk,
    show::{PER_PAGE, Paged, When},
};

/// One message. Its text is shown as it is, and never as markup.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) role: String,
    pub(crate) content: String,
    pub(crate) status: String,
    pub(crate) created_at: When,
}

impl Message {
    /// Who said it, in words.
    pub(crate) fn who(&self) -> &str {
        match self.role.as_str() {
            "user" => "User",
            "assistant" => "Bot",
            "system" => "System",
            other => other,
        }
    }
}

/// A part of a conversation, the oldest of it first.
#[derive(Clone, Debug)]
pub(crate) struct Thread {
    pub(crate) messages: Vec<Message>,
    /// The page before, if there is one.
    pub(crate) older: Option<u64>,
    /// The page after; 0 is the newest part. None when this is it.
    pub(crate) newer: Option<u64>,
}

impl Thread {
    /// Page `page` of a conversation with so many messages; without one its newest part: two pages, so that there is
    /// always something before what was just said.
    pub(crate) async fn read(
        desk: &Desk<'_>,
        id: ConversationId,
        count: u64,
        page: Option<u64>,
    ) -> Result<Self, Problem> {
        let last = count.div_ceil(u64::from(PER_PAGE)).max(1);
        let (first, until, newer) = part(page, last);
        let mut messages = Vec::new();
        for number in first..=until {
            let ask = Ask::to("list_messages").at("id", id).query("page", number).query("per_page", PER_PAGE);
            messages.extend(desk.get::<Paged<Message>>(ask).await?.data);
        }
        Ok(Self { messages, older: (first > 1).then(|| first - 1), newer })
    }
}

/// The first and the last page of the part, and the one after.
fn part(page: Option<u64>, last: u64) -> (u64, u64, Option<u64>) {
    let newest = last.saturating_sub(1).max(1);
    match page.filter(|page| (1..newest).contains(page)) {
        Some(page) if page + 1 < newest => (page, page, Some(page + 1)),
        Some(page) => (page, page, Some(0)),
        None => (newest, last, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_part_is_two_pages_and_each_page_is_in_one_part() {
        assert_eq!(part(None, 1), (1, 1, None));
        assert_eq!(part(None, 5), (4, 5, None));
        assert_eq!(part(Some(3), 5), (3, 3, Some(0)));
        assert_eq!(part(Some(1), 5), (1, 1, Some(2)));
        // What the newest part holds has no page of its own, nor has what is not there.
        for page in [0, 4, 5, 6, u64::MAX] {
            assert_eq!(part(Some(page), 5), (4, 5, None), "{page}");
        }
    }
}
