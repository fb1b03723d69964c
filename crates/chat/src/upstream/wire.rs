//! OpenAI's chat completions on the wire: the request that we send, and the parts of the answers
//! that we read. Unknown and null members are read over; servers differ.

use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};
use serde_json::{Value, json};

use crate::Usage;

/// One message of the prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Message {
    pub(crate) role: String,
    pub(crate) content: String,
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: &'a [Message],
    stream: bool,
    stream_options: StreamOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// The body of `POST /chat/completions`; with a schema the answer is to be JSON of it.
pub(crate) fn write_request(
    model: &str,
    messages: &[Message],
    schema: Option<&Value>,
) -> Result<Vec<u8>, serde_json::Error> {
    let stream_options = StreamOptions { include_usage: true };
    let response_format =
        schema.map(|schema| json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}));
    serde_json::to_vec(&Request { model, messages, stream: true, stream_options, response_format })
}

/// What one event of the stream says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// More of the answer; any member may be empty.
    Part(Part),
    /// `[DONE]`.
    Done,
    /// The upstream reports an error. Its text stays unread: it may quote the key it was sent.
    Refused,
}

/// A piece of an answer, or a whole one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) text: String,
    pub(crate) finished: bool,
    pub(crate) usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default, deserialize_with = "null_is_default")]
    choices: Vec<Choice>,
    usage: Option<WireUsage>,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default, deserialize_with = "null_is_default")]
    index: u64,
    #[serde(alias = "message")]
    delta: Option<Delta>,
    finish_reason: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<Value>,
}

#[derive(Deserialize)]
struct WireUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(input: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// Reads the data of one event.
pub(crate) fn read_event(data: &str) -> Result<Event, serde_json::Error> {
    match data.trim() {
        "[DONE]" => Ok(Event::Done),
        "" => Ok(Event::Part(Part::default())),
        json => read_body(json.as_bytes()),
    }
}

/// Reads a whole answer (from servers that do not stream) or the JSON of one event.
pub(crate) fn read_body(json: &[u8]) -> Result<Event, serde_json::Error> {
    let body: Body = serde_json::from_slice(json)?;
    if body.error.is_some() {
        return Ok(Event::Refused);
    }
    let usage = body
        .usage
        .and_then(|usage| Some(Usage { input_tokens: usage.prompt_tokens?, output_tokens: usage.completion_tokens? }));
    let mut part = Part { usage, ..Part::default() };
    if let Some(choice) = body.choices.into_iter().find(|choice| choice.index == 0) {
        part.finished = choice.finish_reason.is_some();
        if let Some(Value::String(text)) = choice.delta.and_then(|delta| delta.content) {
            part.text = text;
        }
    }
    Ok(Event::Part(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(data: &str) -> Part {
        match read_event(data).unwrap() {
            Event::Part(part) => part,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_request_asks_for_a_stream_with_usage() {
        let message = Message { role: "user".to_owned(), content: "hi".to_owned() };
        let body: Value = serde_json::from_slice(&write_request("m", &[message], None).unwrap()).unwrap();
        let want = serde_json::json!({"model": "m", "messages": [{"role": "user", "content": "hi"}],
            "stream": true, "stream_options": {"include_usage": true}});
        assert_eq!(body, want);
    }

    #[test]
    fn the_parts_of_a_stream_are_read() {
        assert_eq!(text(r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#), Part::default());
        assert_eq!(text(r#"{"choices":[{"delta":{"content":"Hi"},"finish_reason":null}],"usage":null}"#).text, "Hi");
        assert!(text(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#).finished);
        let usage = text(r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}"#).usage;
        assert_eq!(usage, Some(Usage { input_tokens: 3, output_tokens: 5 }));
        assert_eq!(read_event(" [DONE] ").unwrap(), Event::Done);
    }

    #[test]
    fn what_servers_do_differently_is_tolerated() {
        for odd in ["", r#"{"choices":null}"#, "{}", r#"{"choices":[{"delta":null}]}"#, r#"{"usage":{}}"#] {
            assert_eq!(text(odd), Part::default(), "{odd}");
        }
        let second = r#"{"choices":[{"index":1,"delta":{"content":"no"}},{"index":0,"delta":{"content":"yes"}}]}"#;
        assert_eq!(text(second).text, "yes");
        assert_eq!(text(r#"{"error":null,"choices":[{"message":{"content":"whole"}}]}"#).text, "whole");
    }

    #[test]
    fn an_error_object_and_nonsense_are_told_apart() {
        assert_eq!(read_event(r#"{"error":{"message":"overloaded"}}"#).unwrap(), Event::Refused);
        assert_eq!(read_event(r#"{"error":"overloaded"}"#).unwrap(), Event::Refused);
        assert!(read_event("{not json").is_err() && read_event("[1]").is_err());
    }
}
