//! Conversations: found, read, followed, exported and deleted.

use access::{Access, Limit, Role};
use ambient::ConversationId;
use api::App;
use askama::Template;
use gate::{Ask, Call, Download, Operation, Problem, Raw, Routes};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    Form,
    bots::{Bot, Thread},
    desk::Desk,
    form,
    frame::Frame,
    layout, page,
    show::{One, PER_PAGE, PagedMeta, Pager, Trouble, When},
};

const SHOW_CONVERSATIONS: Operation<ConversationsQuery, Raw> =
    page("/_/conversations", "show_conversations_page", "Conversations, listed or found.", Role::Member);
const SHOW_CONVERSATION: Operation<ThreadQuery, Raw> =
    page("/_/conversations/{id}", "show_conversation_page", "A conversation with its messages.", Role::Member);
const DELETE_CONVERSATION: Operation<Form, Raw> = form(
    "/_/conversations/{id}/delete",
    "delete_conversation_page",
    "Delete a conversation with its messages.",
    Role::Admin,
);
const EXPORT_CONVERSATION: Operation<ExportQuery, Download> =
    file("/_/conversations/{id}/export", "export_conversation_page", "A conversation as a file.");
const EXPORT_CONVERSATIONS: Operation<ExportQuery, Download> =
    file("/_/conversations/export", "export_conversations_page", "All conversations as a file.");

/// The API is asked in the half of the data that is shown.
const fn file(path: &'static str, id: &'static str, summary: &'static str) -> Operation<ExportQuery, Download> {
    Operation::get(path, id, summary, Access::closed(Limit::Read).member(Role::Member)).page(layout::refusal)
}

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_CONVERSATIONS, show_conversations);
    routes.mount(EXPORT_CONVERSATIONS, export_conversations);
    routes.mount(SHOW_CONVERSATION, show_conversation);
    routes.mount(EXPORT_CONVERSATION, export_conversation);
    routes.mount(DELETE_CONVERSATION, delete_conversation);
}

/// Which conversations; an empty parameter asks for nothing.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
struct ConversationsQuery {
    /// Which page; not with `q`.
    page: Option<u32>,
    /// Words in them.
    #[serde(default)]
    q: String,
    /// Of one bot.
    #[serde(default)]
    bot_id: String,
    /// Through one door.
    #[serde(default)]
    channel: String,
    /// Of one channel.
    #[serde(default)]
    channel_id: String,
    /// Of one user.
    #[serde(default)]
    user: String,
    /// `open` or `ended`.
    #[serde(default)]
    status: String,
    /// Opened on this day or later.
    #[serde(default)]
    from: String,
    /// Opened before this day.
    #[serde(default)]
    to: String,
    /// Where a search goes on.
    #[serde(default)]
    before: String,
}

impl ConversationsQuery {
    /// What a link to the same search, elsewhere in it, keeps.
    fn kept(&self) -> [(&'static str, &str); 8] {
        [
            ("q", &self.q),
            ("bot_id", &self.bot_id),
            ("channel", &self.channel),
            ("channel_id", &self.channel_id),
            ("user", &self.user),
            ("status", &self.status),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    fn is_filtered(&self) -> bool {
        self.kept().iter().any(|(_, value)| !value.is_empty())
    }

    fn ask(&self) -> Ask {
        let ask = Ask::to("list_conversations").query("per_page", PER_PAGE);
        let ask = ask
            .query_if("bot_id", Some(&self.bot_id))
            .query_if("channel", Some(&self.channel))
            .query_if("channel_id", Some(&self.channel_id))
            .query_if("user_identifier", Some(&self.user))
            .query_if("status", Some(&self.status))
            .query_if("from", Some(&self.from))
            .query_if("to", Some(&self.to));
        if self.q.is_empty() {
            return ask.query("page", self.page.unwrap_or(1));
        }
        ask.query("search", &self.q).query_if("before", Some(&self.before))
    }
}

/// Which part of a conversation.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
struct ThreadQuery {
    /// A page of the earlier messages; the newest ones by default.
    page: Option<u64>,
}

/// Which file.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
struct ExportQuery {
    /// `json` or `markdown` of one; `ndjson` or `csv` of all.
    #[serde(default)]
    format: String,
    /// Of all: those of one bot.
    #[serde(default)]
    bot_id: String,
    /// Of all: opened on this day or later.
    #[serde(default)]
    from: String,
    /// Of all: opened before this day.
    #[serde(default)]
    to: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Conversation {
    id: String,
    bot_id: String,
    channel: String,
    channel_id: Option<String>,
    key_id: Option<String>,
    user_identifier: Option<String>,
    metadata: Option<serde_json::Value>,
    message_count: u64,
    created_at: When,
    updated_at: When,
    ended_at: Option<When>,
}

/// Doors, and what people call them.
const DOORS: [(&str, &str); 5] = [
    ("session", "Widget or own page"),
    ("webhook", "Channel with signed messages"),
    ("dropin", "Widget of before"),
    ("voice", "Voice"),
    ("trial", "Tried out here"),
];

fn door(channel: &str) -> &str {
    DOORS.iter().find(|(of, _)| *of == channel).map_or(channel, |(_, words)| words)
}

impl Conversation {
    /// What it is called in lists: the user, or the end of its id.
    fn title(&self) -> String {
        match self.user_identifier.as_deref().filter(|user| !user.is_empty()) {
            Some(user) => user.to_owned(),
            None => format!("…{}", self.id.get(self.id.len().saturating_sub(8)..).unwrap_or_default()),
        }
    }

    fn door(&self) -> &str {
        door(&self.channel)
    }

    fn is_open(&self) -> bool {
        self.ended_at.is_none()
    }

    fn notes(&self) -> Option<String> {
        self.metadata.as_ref().and_then(|notes| serde_json::to_string_pretty(notes).ok())
    }
}

/// A page of a list, or of what a search has found, which has no pages.
#[derive(Debug, Deserialize)]
struct Found {
    data: Vec<Conversation>,
    meta: FoundMeta,
}

#[derive(Debug, Deserialize)]
struct FoundMeta {
    page: u64,
    per_page: u64,
    total: Option<u64>,
    #[serde(default)]
    capped: bool,
    #[serde(default)]
    truncated: bool,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "conversations/list.html")]
struct ListPage {
    frame: Frame,
    query: ConversationsQuery,
    conversations: Vec<Conversation>,
    bots: Vec<Bot>,
    doors: &'static [(&'static str, &'static str)],
    pager: Option<Pager>,
    /// Where a search goes on.
    next: Option<String>,
    /// A search has not looked at everything.
    is_cut: bool,
    trouble: Trouble,
    may_export: bool,
}

impl ListPage {
    /// The name of a bot, while it is there and not one of very many.
    fn bot(&self, id: &str) -> Option<&str> {
        self.bots.iter().find(|bot| bot.id == id).map(|bot| bot.name.as_str())
    }
}

#[derive(Template)]
#[template(path = "conversations/show.html")]
struct ConversationPage {
    frame: Frame,
    conversation: Conversation,
    /// None when it was deleted: its conversations stay readable.
    bot: Option<String>,
    thread: Thread,
    may_delete: bool,
}

async fn show_conversations(_: App, call: Call<ConversationsQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let query = call.input.clone();
    let bots = Bot::choices(&desk).await?;
    let mut page = ListPage {
        frame: desk.frame("Conversations", "show_conversations_page"),
        conversations: Vec::new(),
        bots,
        doors: &DOORS,
        pager: None,
        next: None,
        is_cut: false,
        trouble: Trouble::default(),
        may_export: desk.may("export_conversations"),
        query,
    };
    let found: Found = match desk.get(page.query.ask()).await {
        Ok(found) => found,
        Err(problem) => {
            let trouble = Trouble::again(problem)?;
            let status = trouble.status;
            page.trouble = trouble;
            return Ok(desk.render(&page)?.with_status(status));
        }
    };
    let FoundMeta { page: number, per_page, total, capped, truncated, next } = found.meta;
    page.conversations = found.data;
    page.is_cut = truncated;
    if page.query.q.is_empty() {
        let meta = PagedMeta { page: number, per_page, total: total.unwrap_or_default(), capped };
        page.pager = Some(Pager::new(meta, "/_/conversations", &page.query.kept()));
    } else if let Some(next) = next {
        let pairs: Vec<_> = page.query.kept().into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let kept = serde_urlencoded::to_string(pairs).unwrap_or_default();
        page.next = Some(format!("/_/conversations?{kept}&before={next}"));
    }
    desk.render(&page)
}

async fn show_conversation(_: App, call: Call<ThreadQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let id = call.id::<ConversationId>("id")?;
    let conversation = desk.get::<One<Conversation>>(Ask::to("get_conversation").at("id", id)).await?.data;
    let bot = match desk.get::<One<Bot>>(Ask::to("get_bot").at("id", &conversation.bot_id)).await {
        Ok(bot) => Some(bot.data.name),
        Err(problem) if problem.status() == http::StatusCode::NOT_FOUND => None,
        Err(problem) => return Err(problem),
    };
    let thread = Thread::read(&desk, id, conversation.message_count, call.input.page).await?;
    desk.render(&ConversationPage {
        frame: desk.frame(format!("Conversation with {}", conversation.title()), "show_conversations_page"),
        conversation,
        bot,
        thread,
        may_delete: desk.may("delete_conversation"),
    })
}

async fn delete_conversation(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    desk.ask(Ask::to("delete_conversation").at("id", call.id::<ConversationId>("id")?)).await?;
    Ok(Raw::see_other("/_/conversations?done=deleted"))
}

async fn export_conversation(_: App, call: Call<ExportQuery>) -> Result<Download, Problem> {
    let desk = Desk::open(&call).await?;
    let ask = Ask::to("export_conversation").at("id", call.id::<ConversationId>("id")?);
    desk.file(ask.query_if("format", Some(&call.input.format))).await
}

async fn export_conversations(_: App, call: Call<ExportQuery>) -> Result<Download, Problem> {
    let desk = Desk::open(&call).await?;
    let ExportQuery { format, bot_id, from, to } = &call.input;
    let ask = Ask::to("export_conversations").query_if("format", Some(format)).query_if("bot_id", Some(bot_id));
    desk.file(ask.query_if("from", Some(from)).query_if("to", Some(to))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_has_no_pages_and_a_list_no_before() {
        let query = ConversationsQuery { page: Some(3), before: "conv_x".to_owned(), ..ConversationsQuery::default() };
        let asked = |query: &ConversationsQuery| format!("{:?}", query.ask());
        assert!(asked(&query).contains("page=3") && !asked(&query).contains("before"));
        let query = ConversationsQuery { q: "shoes".to_owned(), ..query };
        let search = asked(&query);
        assert!(search.contains("search=shoes") && search.contains("before=conv_x") && !search.contains("&page="));
        assert!(query.is_filtered() && !ConversationsQuery::default().is_filtered());
    }
}
