//! Conversations as files: one of them, or all of a workspace, written while they are sent.

mod encode;

use access::{Access, Limit, Role, Scope};
use ambient::{BotId, ConversationId};
use bytes::Bytes;
use gate::{Call, Download, Operation, Problem, Routes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::ConversationExport;

use self::encode::Encoder;
use crate::{
    App,
    results::{
        day, flag,
        rows::{DayOrTime, time},
    },
    streamed::{FilePlace, Parts},
};

const READ: Access = Access::closed(Limit::Read).member(Role::Member).key(Scope::ConversationsRead);
const EXPORT: Access = Access::closed(Limit::Read).member(Role::Member).key(Scope::ExportRead);
/// Everything that people have said leaves at once: it is recorded.
const EXPORT_ALL: Access = EXPORT.audited();

pub(crate) const EXPORT_CONVERSATION: Operation<ExportQuery, Download> = Operation::get(
    "/v1/conversations/{id}/export",
    "export_conversation",
    "Export a conversation with its messages, as JSON or Markdown.",
    READ,
);
pub(crate) const EXPORT_CONVERSATION_FORM: Operation<ExportRequest, Download> = Operation::post(
    "/api/export/conversation",
    "export_conversation_form",
    "Export the conversation that a form names, as JSON or Markdown.",
    EXPORT,
)
.form();
pub(crate) const EXPORT_CONVERSATION_JSON: Operation<ExportRequest, Download> = Operation::post(
    "/api/export/conversation/json",
    "export_conversation_json",
    "Export the conversation that a JSON body names, as JSON or Markdown.",
    EXPORT,
);
pub(crate) const EXPORT_CONVERSATIONS: Operation<ExportAllQuery, Download> = Operation::get(
    "/v1/export/conversations",
    "export_conversations",
    "Export all conversations with their messages, the oldest first, as they are when it begins: NDJSON or CSV.",
    EXPORT_ALL,
)
.dangerous();

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(EXPORT_CONVERSATION, export_conversation);
    routes.mount(EXPORT_CONVERSATION_FORM, export_conversation_of_body);
    routes.mount(EXPORT_CONVERSATION_JSON, export_conversation_of_body);
    routes.mount(EXPORT_CONVERSATIONS, export_conversations);
}

/// How one conversation is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OneFormat {
    /// `{"conversation":{…},"messages":[…]}`.
    #[default]
    Json,
    /// To be read by people.
    Markdown,
}

/// How all of them are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AllFormat {
    /// A JSON object on each line, a conversation before its messages; the last of them is `{"type":"end"}`.
    #[default]
    Ndjson,
    /// Comma-separated values (RFC 4180), a message on each line, with a first line of names.
    Csv,
}

/// How a conversation is exported.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct ExportQuery {
    /// `json` by default.
    #[serde(default)]
    format: OneFormat,
}

/// Which conversation is exported, and how.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportRequest {
    /// Which.
    conversation_id: ConversationId,
    /// `json` by default.
    #[serde(default)]
    format: OneFormat,
}

/// Which conversations are exported, and how.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct ExportAllQuery {
    /// `ndjson` by default.
    #[serde(default)]
    format: AllFormat,
    /// Those of one bot alone.
    bot_id: Option<BotId>,
    /// Opened at this time or later: RFC 3339, or a day in UTC.
    #[schemars(with = "Option<DayOrTime>")]
    from: Option<String>,
    /// Opened before this time: RFC 3339, or a day in UTC.
    #[schemars(with = "Option<DayOrTime>")]
    to: Option<String>,
    /// Of CSV: `1` begins with the signature of UTF-8, which some spreadsheets need.
    #[schemars(range(max = 1))]
    bom: Option<u8>,
}

/// A file of conversations.
struct Writing {
    source: ConversationExport,
    encoder: Encoder,
    is_over: bool,
}

impl Parts for Writing {
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        if self.is_over {
            return Ok(None);
        }
        let mut out = self.encoder.head();
        if !out.is_empty() {
            return Ok(Some(out.into()));
        }
        let items = self.source.next().await?;
        if items.is_empty() {
            self.is_over = true;
            return self.encoder.end().map(|end| Some(end.into()));
        }
        for item in items {
            self.encoder.write(&mut out, item);
        }
        Ok(Some(out.into()))
    }

    fn error(&self, code: &str) -> Option<Bytes> {
        self.encoder.error(code).map(Bytes::from)
    }
}

async fn export_conversation(app: App, call: Call<ExportQuery>) -> Result<Download, Problem> {
    one(&app, &call, call.id("id")?, call.input.format).await
}

async fn export_conversation_of_body(app: App, call: Call<ExportRequest>) -> Result<Download, Problem> {
    one(&app, &call, call.input.conversation_id, call.input.format).await
}

async fn one<I>(app: &App, call: &Call<I>, id: ConversationId, format: OneFormat) -> Result<Download, Problem> {
    let data = app.workspace(call)?;
    let _ = data.conversation(id).await?;
    let place = FilePlace::take(app, call).await?;
    let (encoder, content_type, ending) = match format {
        OneFormat::Json => (Encoder::json(), "application/json; charset=utf-8", "json"),
        OneFormat::Markdown => (Encoder::markdown(), "text/markdown; charset=utf-8", "md"),
    };
    let writing = Writing { source: data.export_conversation(id), encoder, is_over: false };
    Ok(place.file(writing, content_type, &format!("{id}.{ending}")))
}

async fn export_conversations(app: App, call: Call<ExportAllQuery>) -> Result<Download, Problem> {
    let ExportAllQuery { format, bot_id, from, to, bom } = &call.input;
    let [start, end] = [("from", from), ("to", to)].map(|(name, text)| text.as_deref().map(|text| time(name, text)));
    let (start, end, bom) = (start.transpose()?, end.transpose()?, flag("bom", *bom)?);
    let place = FilePlace::take(&app, &call).await?;
    let (encoder, content_type, ending) = match format {
        AllFormat::Ndjson => (Encoder::ndjson(), "application/x-ndjson; charset=utf-8", "ndjson"),
        AllFormat::Csv => (Encoder::csv(bom), "text/csv; charset=utf-8; header=present", "csv"),
    };
    let data = app.workspace(&call)?;
    let source = data.export_conversations(*bot_id, start, end);
    let workspace = call.tenant()?.workspace;
    let detail = json!({"format": format, "bot_id": bot_id, "from": from, "to": to});
    let actor = call.actor();
    // Recorded before the first byte: what is cut later has left in part.
    data.write_audit(call.audit(&actor, Some(detail)), "workspace", &workspace.to_string()).await?;
    let name = format!("conversations-{workspace}-{}.{ending}", day(call.request.now));
    Ok(place.file(Writing { source, encoder, is_over: false }, content_type, &name))
}
