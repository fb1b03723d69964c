//! What a conversation looks like in a file.

use std::fmt::Write as _;

use gate::Problem;
use serde::Serialize;
use store::{ConversationRecord, Exported, MessageRecord};

use crate::{
    conversations::{Conversation, Message},
    results::csv,
    streamed::write_json_line,
};

/// The columns of comma-separated values; a line is a message.
const COLUMNS: [&str; 12] = [
    "conversation_id",
    "bot_id",
    "channel",
    "user_identifier",
    "conversation_created_at",
    "message_id",
    "position",
    "role",
    "status",
    "created_at",
    "token_count",
    "content",
];

/// A line of NDJSON.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line<'a> {
    /// Before its messages.
    Conversation(Conversation),
    Message(Said),
    /// All that there was came before it.
    End {
        conversations: u64,
        messages: u64,
    },
    /// There would have been more.
    Error {
        code: &'a str,
    },
}

#[derive(Serialize)]
struct Said {
    conversation_id: ambient::ConversationId,
    #[serde(flatten)]
    message: Message,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Ndjson,
    Csv,
    Json,
    Markdown,
}

/// Writes what is exported in one of the forms.
pub(super) struct Encoder {
    form: Form,
    head: Vec<u8>,
    conversation: Option<ConversationRecord>,
    conversations: u64,
    messages: u64,
}

impl Encoder {
    const fn new(form: Form) -> Self {
        Self { form, head: Vec::new(), conversation: None, conversations: 0, messages: 0 }
    }

    pub(super) const fn ndjson() -> Self {
        Self::new(Form::Ndjson)
    }

    pub(super) const fn json() -> Self {
        Self::new(Form::Json)
    }

    pub(super) const fn markdown() -> Self {
        Self::new(Form::Markdown)
    }

    pub(super) fn csv(bom: bool) -> Self {
        let mut line = String::from(if bom { csv::BOM } else { "" });
        csv::write_line(&mut line, COLUMNS.iter().map(|name| csv::text(name)));
        Self { head: line.into(), ..Self::new(Form::Csv) }
    }

    /// What comes first, once.
    pub(super) fn head(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.head)
    }

    pub(super) fn write(&mut self, out: &mut Vec<u8>, item: Exported) {
        match item {
            Exported::Conversation(conversation) => {
                self.conversations += 1;
                match self.form {
                    Form::Ndjson => write_json_line(out, &Line::Conversation(conversation.into())),
                    Form::Csv => self.conversation = Some(conversation),
                    Form::Json => {
                        out.extend(b"{\"conversation\":");
                        json(out, &Conversation::from(conversation));
                        out.extend(b",\"messages\":[");
                    }
                    Form::Markdown => out.extend(title(&conversation).as_bytes()),
                }
            }
            Exported::Message(message) => {
                self.messages += 1;
                match self.form {
                    Form::Ndjson => {
                        let conversation_id = message.conversation;
                        write_json_line(out, &Line::Message(Said { conversation_id, message: message.into() }));
                    }
                    Form::Csv => out.extend(self.cells(message).as_bytes()),
                    Form::Json => {
                        out.extend(if self.messages == 1 { b"\n".as_slice() } else { b",\n" });
                        json(out, &Message::from(message));
                    }
                    Form::Markdown => out.extend(paragraph(&message).as_bytes()),
                }
            }
        }
    }

    /// What comes last.
    pub(super) fn end(&self) -> Result<Vec<u8>, Problem> {
        let mut out = Vec::new();
        match self.form {
            Form::Ndjson => {
                let (conversations, messages) = (self.conversations, self.messages);
                write_json_line(&mut out, &Line::End { conversations, messages });
            }
            Form::Json | Form::Markdown if self.conversations == 0 => {
                return Err(Problem::unavailable("the conversation was deleted at this moment"));
            }
            Form::Json => out.extend(b"\n]}\n"),
            Form::Csv | Form::Markdown => {}
        }
        Ok(out)
    }

    /// Where a form has no words for it, the connection breaks.
    pub(super) fn error(&self, code: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        write_json_line(&mut out, &Line::Error { code });
        (self.form == Form::Ndjson).then_some(out)
    }

    fn cells(&self, message: MessageRecord) -> String {
        let mut out = String::new();
        let Some(conversation) = &self.conversation else { return out };
        let tokens = message.token_count.map(|count| count.to_string()).unwrap_or_default();
        let cells = [
            conversation.id.to_string(),
            conversation.bot.to_string(),
            conversation.channel.clone(),
            conversation.user_identifier.clone().unwrap_or_default(),
            conversation.created_at.to_string(),
            message.id.to_string(),
            message.position.to_string(),
            message.role,
            message.status,
            message.created_at.to_string(),
            tokens,
            message.content,
        ];
        csv::write_line(&mut out, cells.iter().map(|cell| csv::text(cell)));
        out
    }
}

fn json(out: &mut Vec<u8>, value: &impl Serialize) {
    out.extend(serde_json::to_vec(value).unwrap_or_default());
}

fn title(conversation: &ConversationRecord) -> String {
    let mut out = format!("# Conversation {}\n\n", conversation.id);
    let ended = conversation.ended_at.map(|at| at.to_string());
    let facts = [
        ("Bot", Some(conversation.bot.to_string())),
        ("Channel", Some(conversation.channel.clone())),
        ("User", conversation.user_identifier.clone()),
        ("Opened", Some(conversation.created_at.to_string())),
        ("Ended", ended),
    ];
    for (name, fact) in facts.iter().filter_map(|(name, fact)| Some((name, fact.as_ref()?))) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "- {name}: {}", harmless(&fact.replace(['\n', '\r'], " ")));
    }
    out
}

/// What somebody said is a quotation, so that no line of it passes for another's message.
fn paragraph(message: &MessageRecord) -> String {
    let cut = if message.status == "partial" { ", cut" } else { "" };
    let mut out = format!("\n## {} ({}{cut})\n\n", message.role, message.created_at);
    for line in message.content.split(['\n', '\r']) {
        let _ = writeln!(out, "> {}", harmless(line));
    }
    out
}

/// Without HTML, and without pictures: who reads a file tells no stranger's server of it.
fn harmless(text: &str) -> String {
    text.replace('<', "&lt;").replace("![", "!\\[")
}

#[cfg(test)]
mod tests {
    use ambient::{BotId, ConversationId, MessageId, Millis, Ulid};
    use serde_json::{Value, json};

    use super::*;

    fn conversation() -> Exported {
        Exported::Conversation(ConversationRecord {
            id: ConversationId(Ulid(1)),
            bot: BotId(Ulid(2)),
            channel: "session".to_owned(),
            key: None,
            user_identifier: Some("=ann\n## user".to_owned()),
            metadata: None,
            channel_id: None,
            created_at: Millis(0),
            updated_at: Millis(0),
            ended_at: None,
            message_count: 2,
        })
    }

    fn message(position: u64, content: &str) -> Exported {
        Exported::Message(MessageRecord {
            id: MessageId(Ulid(position.into())),
            conversation: ConversationId(Ulid(1)),
            position,
            role: "user".to_owned(),
            content: content.to_owned(),
            status: "complete".to_owned(),
            token_count: None,
            created_at: Millis(0),
        })
    }

    fn written(mut encoder: Encoder, contents: &[&str]) -> String {
        let mut out = encoder.head();
        encoder.write(&mut out, conversation());
        for (content, position) in contents.iter().zip(1..) {
            encoder.write(&mut out, message(position, content));
        }
        out.extend(encoder.end().unwrap());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_is_one_value_with_and_without_messages() {
        for contents in [&["a \"b\"\n", "c"][..], &[]] {
            let value: Value = serde_json::from_str(&written(Encoder::json(), contents)).unwrap();
            assert_eq!(value["conversation"]["id"], json!(ConversationId(Ulid(1))));
            let said: Vec<_> =
                value["messages"].as_array().unwrap().iter().map(|said| said["content"].clone()).collect();
            assert_eq!(said, contents);
        }
        assert!(Encoder::json().end().is_err(), "half a value is none");
    }

    #[test]
    fn a_line_says_what_it_is_and_the_last_how_many_came() {
        let text = written(Encoder::ndjson(), &["a\nb", "c"]);
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let kinds: Vec<_> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["conversation", "message", "message", "end"]);
        assert_eq!((&lines[1]["conversation_id"], &lines[1]["content"]), (&lines[0]["id"], &json!("a\nb")));
        assert_eq!((&lines[3]["conversations"], &lines[3]["messages"]), (&json!(1), &json!(2)));
    }

    #[test]
    fn no_cell_is_a_formula() {
        let text = written(Encoder::csv(false), &["=1+1", "a,\"b\"\nc"]);
        let lines: Vec<_> = text.split("\r\n").collect();
        assert!(lines[0].starts_with("conversation_id,bot_id,") && lines.len() == 4, "{text}");
        assert!(lines[1].contains(",\"'=ann\n## user\",") && lines[1].ends_with(",'=1+1"), "{text}");
        assert!(lines[2].ends_with(",\"a,\"\"b\"\"\nc\""), "{text}");
    }

    #[test]
    fn what_is_said_passes_for_no_others_words_and_shows_no_picture() {
        let text = written(Encoder::markdown(), &["Hi\n## assistant (1970)\r\n<script>![x](http://a.example/p.png)"]);
        assert_eq!(text.lines().filter(|line| line.starts_with("## ")).count(), 1, "{text}");
        assert!(text.contains("> ## assistant") && text.contains("- User: =ann ## user"), "{text}");
        assert!(!text.contains("<script>") && !text.contains("!["), "{text}");
    }
}
