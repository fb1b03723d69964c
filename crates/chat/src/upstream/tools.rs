//! A question with tools to an OpenAI-compatible server: the answer is words, or calls of tools, or both.

use std::collections::BTreeMap;

use outbound::{Bytes, Client, Request, Response};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

use super::{Call, Failure, openai::completions_url};
use crate::{ReplyErrorCode, ToolAnswer, ToolCall, Usage, sse};

/// The most bytes that are read of one answer, with everything that surrounds it.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// The most bytes of text and arguments that are kept.
const MAX_KEPT: usize = 512 * 1024;
/// The most calls in one answer.
const MAX_CALLS: usize = 32;

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    usage: Option<WireUsage>,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    index: Option<u64>,
    #[serde(alias = "message")]
    delta: Option<Delta>,
    finish_reason: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<Value>,
    tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Deserialize)]
struct CallDelta {
    index: Option<u64>,
    id: Option<String>,
    function: Option<FunctionDelta>,
}

#[derive(Deserialize)]
struct FunctionDelta {
    name: Option<String>,
    arguments: Option<Value>,
}

#[derive(Deserialize)]
struct WireUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

/// An answer as far as it has come.
#[derive(Default)]
struct Heard {
    text: String,
    calls: BTreeMap<u64, ToolCall>,
    usage: Option<Usage>,
    finished: bool,
    kept: usize,
}

/// Asks, streamed, and reads the answer whole. `messages` and `tools` are OpenAI's. Dropping the future closes the
/// connection.
pub(crate) async fn ask_with_tools(
    client: &Client,
    call: Call,
    messages: &[Value],
    tools: &[Value],
) -> Result<(ToolAnswer, Option<Usage>), Failure> {
    let mut body = json!({
        "model": call.model, "messages": messages, "stream": true, "stream_options": {"include_usage": true},
    });
    if !tools.is_empty() {
        body["tools"] = Value::Array(tools.to_vec());
    }
    let request = Request {
        url: completions_url(call.base)?,
        headers: call.headers,
        body: Bytes::from(body.to_string()),
        timeout: call.timeout,
    };
    let response = client.post_json_stream(request).await?;
    if !(200..300).contains(&response.status) {
        let cause = format!("the upstream answered {}", response.status);
        return Err(Failure::new(ReplyErrorCode::UpstreamRefused, cause));
    }
    let mut heard = Heard::default();
    read(response, &mut heard).await?;
    let usage = heard.usage;
    Ok((heard.into_answer(), usage))
}

/// Events, or one JSON body: servers that do not stream send that whole.
async fn read(mut response: Response, heard: &mut Heard) -> Result<(), Failure> {
    let kind = response.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.trim_start().to_ascii_lowercase().starts_with("application/json") {
        let body = response.bytes(MAX_BYTES).await?;
        heard.hear(&body)?;
        return Ok(());
    }
    let (mut parser, mut events, mut bytes) = (sse::Parser::default(), Vec::new(), 0_usize);
    loop {
        let chunk = match response.chunk().await {
            Ok(chunk) => chunk,
            // Servers that close without the last piece of chunked encoding have said it all by then.
            Err(_) if heard.finished => None,
            Err(error) => return Err(error.into()),
        };
        let at_end = chunk.is_none();
        if let Some(chunk) = chunk {
            bytes += chunk.len();
            parser.push(&chunk, &mut events).map_err(broken)?;
        } else {
            events.extend(parser.finish());
        }
        for data in events.drain(..) {
            match data.trim() {
                "[DONE]" => return Ok(()),
                "" => {}
                json => heard.hear(json.as_bytes())?,
            }
        }
        match at_end {
            true if heard.finished => return Ok(()),
            true => return Err(broken("the stream ended before the answer did")),
            false if bytes > MAX_BYTES => return Err(broken("the stream is too long")),
            false => {}
        }
    }
}

impl Heard {
    fn hear(&mut self, json: &[u8]) -> Result<(), Failure> {
        let body: Body = serde_json::from_slice(json).map_err(|error| {
            // Where in the text, not what: serde_json would quote the answer.
            broken(format!("not a completion: {:?} at column {}", error.classify(), error.column()))
        })?;
        if body.error.is_some() {
            return Err(Failure::new(ReplyErrorCode::UpstreamRefused, "the upstream reported an error in its answer"));
        }
        let usage = body.usage.and_then(|usage| {
            Some(Usage { input_tokens: usage.prompt_tokens?, output_tokens: usage.completion_tokens? })
        });
        self.usage = usage.or(self.usage);
        let first = body.choices.unwrap_or_default().into_iter().find(|choice| choice.index.unwrap_or(0) == 0);
        let Some(choice) = first else { return Ok(()) };
        self.finished |= choice.finish_reason.is_some();
        let Some(delta) = choice.delta else { return Ok(()) };
        if let Some(Value::String(text)) = delta.content {
            self.keep(text.len())?;
            self.text.push_str(&text);
        }
        for (place, part) in delta.tool_calls.unwrap_or_default().into_iter().enumerate() {
            self.hear_call(part.index.unwrap_or(place as u64), part)?;
        }
        Ok(())
    }

    fn hear_call(&mut self, index: u64, part: CallDelta) -> Result<(), Failure> {
        if !self.calls.contains_key(&index) && self.calls.len() >= MAX_CALLS {
            return Err(broken("the answer calls more than 32 tools"));
        }
        let FunctionDelta { name, arguments } = part.function.unwrap_or(FunctionDelta { name: None, arguments: None });
        let arguments = match arguments {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text,
            // Some servers send the object itself.
            Some(other) => other.to_string(),
        };
        self.keep(arguments.len())?;
        let call = self.calls.entry(index).or_default();
        // Some repeat id and name with each part.
        if let Some(id) = part.id.filter(|id| !id.is_empty() && call.id.is_empty()) {
            call.id = id.chars().take(MAX_ID).collect();
        }
        if let Some(name) = name.filter(|name| !name.is_empty() && call.name.is_empty()) {
            call.name = name.chars().take(MAX_ID).collect();
        }
        call.arguments.push_str(&arguments);
        Ok(())
    }

    fn keep(&mut self, bytes: usize) -> Result<(), Failure> {
        self.kept += bytes;
        if self.kept > MAX_KEPT { Err(broken("the answer is longer than 512 KiB")) } else { Ok(()) }
    }

    fn into_answer(self) -> ToolAnswer {
        // PostgreSQL has no room for NUL in a text.
        let clean = |text: String| if text.contains('\0') { text.replace('\0', "") } else { text };
        let calls = self.calls.into_values().enumerate().map(|(n, call)| ToolCall {
            // What has none is told apart by its place.
            id: if call.id.is_empty() { format!("call_{n}") } else { clean(call.id) },
            name: clean(call.name),
            arguments: clean(call.arguments),
        });
        ToolAnswer { text: clean(self.text), calls: calls.collect() }
    }
}

/// The longest id or name of a call that is kept, in characters.
const MAX_ID: usize = 128;

fn broken(cause: impl Into<crate::Cause>) -> Failure {
    Failure::new(ReplyErrorCode::UpstreamUnavailable, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(events: &[Value]) -> Heard {
        let mut heard = Heard::default();
        for event in events {
            heard.hear(event.to_string().as_bytes()).unwrap();
        }
        heard
    }

    #[test]
    fn a_call_is_put_together_from_its_parts() {
        let part = |part: Value| json!({"choices": [{"delta": {"tool_calls": [part]}}]});
        let heard = heard(&[
            json!({"choices": [{"delta": {"role": "assistant", "content": null}}]}),
            part(json!({"index": 0, "id": "call_a", "function": {"name": "look", "arguments": ""}})),
            part(json!({"index": 1, "id": "call_b", "function": {"name": "write", "arguments": "{}"}})),
            part(json!({"index": 0, "id": "call_a", "function": {"name": "look", "arguments": "{\"q\":"}})),
            part(json!({"index": 0, "function": {"arguments": "1}"}})),
            json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}),
            json!({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}),
        ]);
        assert!(heard.finished);
        assert_eq!(heard.usage, Some(Usage { input_tokens: 3, output_tokens: 4 }));
        let calls = heard.into_answer().calls;
        let shown: Vec<_> = calls.iter().map(|c| (c.id.as_str(), c.name.as_str(), c.arguments.as_str())).collect();
        assert_eq!(shown, [("call_a", "look", "{\"q\":1}"), ("call_b", "write", "{}")]);
    }

    #[test]
    fn what_servers_do_differently_is_tolerated() {
        let whole = json!({"choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
            "content": "Let me see\u{0}.", "tool_calls": [{"function": {"name": "look", "arguments": {"q": 1}}}],
        }}]});
        let answer = heard(&[whole, json!({}), json!({"choices": null})]).into_answer();
        assert_eq!((answer.text.as_str(), answer.calls[0].id.as_str()), ("Let me see.", "call_0"));
        assert_eq!(answer.calls[0].arguments, "{\"q\":1}");
    }

    #[test]
    fn an_answer_has_its_bounds() {
        let mut heard = Heard::default();
        let call = |n: usize| json!({"choices": [{"delta": {"tool_calls": [{"index": n}]}}]}).to_string();
        for n in 0..MAX_CALLS {
            heard.hear(call(n).as_bytes()).unwrap();
        }
        assert_eq!(heard.hear(call(MAX_CALLS).as_bytes()).unwrap_err().code, ReplyErrorCode::UpstreamUnavailable);
        let text = json!({"choices": [{"delta": {"content": "x".repeat(MAX_KEPT + 1)}}]}).to_string();
        assert!(Heard::default().hear(text.as_bytes()).is_err());
        let error = Heard::default().hear(br#"{"error": {"message": "overloaded"}}"#).unwrap_err();
        assert_eq!(error.code, ReplyErrorCode::UpstreamRefused);
    }
}
