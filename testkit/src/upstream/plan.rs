use std::time::Duration;

use axum::body::Bytes;
use serde_json::{Value, json};

use super::Options;

pub(super) const MIDWAY: &str = "the model failed midway";
const SLOW: Duration = Duration::from_millis(50);
const HUGE_TOKENS: usize = 10 * 1024;
const HUGE_TOKEN_BYTES: usize = 1024;

/// A piece of an answer.
pub(super) enum Step {
    /// Written at once.
    Text(Bytes),
    /// Written after the pause.
    Token(Bytes),
    /// The connection breaks.
    Cut,
}

/// What is going to be written.
pub(super) struct Plan {
    pub(super) steps: Box<dyn Iterator<Item = Step> + Send>,
    pub(super) delay: Duration,
}

/// What all chunks of one answer have in common.
#[derive(Clone)]
struct Answer {
    id: String,
    model: String,
    include_usage: bool,
    prompt_tokens: usize,
    user: String,
}

impl Plan {
    /// The streamed answer to `request`.
    pub(super) fn streamed(request: &Value, number: usize, options: &Options) -> Self {
        let answer = Answer::new(request, number);
        let mut delay = options.delay;
        let head = std::iter::once(answer.delta(&json!({"role": "assistant", "content": ""}), &Value::Null));
        let head = head.map(Step::Text);
        let steps: Box<dyn Iterator<Item = Step> + Send> = match answer.model.as_str() {
            "script" => {
                let steps: Vec<Step> = answer.scripted(request).into_iter().collect();
                Box::new(head.chain(steps))
            }
            "slow" => {
                delay = delay.max(SLOW);
                let token = answer.clone();
                Box::new(head.chain((0_u64..).map(move |n| token.token(&format!("{n} ")))))
            }
            "garbage" => Box::new(
                [
                    Step::Token(Bytes::from_static(b"data: {\"choices\": [\n\n")),
                    Step::Token(Bytes::from_static(b":::\r\r\nevent\ndata: \xff\xfe\x00\n\n<html>")),
                ]
                .into_iter(),
            ),
            "midway-error" => {
                let error = json!({"error": {"message": MIDWAY, "type": "server_error", "param": null, "code": null}});
                let tokens: Vec<Step> = numbered_words(3).iter().map(|word| answer.token(word)).collect();
                Box::new(head.chain(tokens).chain([Step::Text(event(&error))]))
            }
            "cut" => {
                let tokens: Vec<Step> = numbered_words(3).iter().map(|word| answer.token(word)).collect();
                Box::new(head.chain(tokens).chain([Step::Cut]))
            }
            "huge" => {
                let (token, word) = (answer.clone(), "x".repeat(HUGE_TOKEN_BYTES));
                let tokens = (0..HUGE_TOKENS).map(move |_| token.token(&word));
                Box::new(head.chain(tokens).chain(answer.tail(HUGE_TOKENS)))
            }
            _ => {
                let (token, words) = (answer.clone(), answer.words(options));
                let count = words.len();
                let tokens = words.into_iter().map(move |word| token.token(&word));
                Box::new(head.chain(tokens).chain(answer.tail(count)))
            }
        };
        Self { steps, delay }
    }

    /// The answer in one piece, to a request without `stream`.
    pub(super) fn whole(request: &Value, number: usize, options: &Options) -> Self {
        let answer = Answer::new(request, number);
        let words = match answer.model.as_str() {
            "huge" => vec!["x".repeat(HUGE_TOKEN_BYTES); HUGE_TOKENS],
            _ => answer.words(options),
        };
        let message = json!({"role": "assistant", "content": words.concat()});
        let body = json!({
            "id": answer.id, "object": "chat.completion", "created": 0, "model": answer.model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage(answer.prompt_tokens, words.len()),
        });
        let bytes = Bytes::from(body.to_string());
        let steps = match answer.model.as_str() {
            "garbage" => vec![Step::Token(Bytes::from_static(b"<html>\xff"))],
            "cut" => vec![Step::Token(bytes.slice(..bytes.len() / 2)), Step::Cut],
            _ => vec![Step::Token(bytes)],
        };
        Self { steps: Box::new(steps.into_iter()), delay: options.delay }
    }
}

impl Answer {
    fn new(request: &Value, number: usize) -> Self {
        let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let user = messages.iter().rev().find(|message| message["role"] == "user").map(text_of).unwrap_or_default();
        Self {
            id: format!("chatcmpl-{number}"),
            model: request["model"].as_str().unwrap_or_default().to_owned(),
            include_usage: request["stream_options"]["include_usage"] == true,
            prompt_tokens: messages.iter().map(|message| text_of(message).split_whitespace().count()).sum(),
            user,
        }
    }

    /// The turn of the script in the system message whose number is that of the answers so far, or the last one:
    /// `{"say": text}` or `{"call": [{"name", "arguments"}]}`.
    fn scripted(&self, request: &Value) -> Vec<Step> {
        let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let system = messages.iter().find(|message| message["role"] == "system").map(text_of).unwrap_or_default();
        let answers = messages.iter().filter(|message| message["role"] == "assistant").count();
        let script: Vec<Value> = serde_json::from_str(&system).unwrap_or_default();
        let turn = script.get(answers).or_else(|| script.last()).cloned().unwrap_or_default();
        let Some(calls) = turn["call"].as_array() else {
            let text = turn["say"].as_str().unwrap_or_default();
            return std::iter::once(self.token(text)).chain(self.tail(1)).collect();
        };
        let mut steps = Vec::new();
        for (index, call) in calls.iter().enumerate() {
            let arguments = call["arguments"].to_string();
            let (first, second) = arguments.split_at(arguments.floor_char_boundary(arguments.len() / 2));
            let function = json!({"name": call["name"], "arguments": first});
            let id = format!("call_{answers}_{index}");
            let begun = json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]});
            let rest = json!({"tool_calls": [{"index": index, "function": {"arguments": second}}]});
            steps.push(Step::Token(self.delta(&begun, &Value::Null)));
            steps.push(Step::Token(self.delta(&rest, &Value::Null)));
        }
        steps.push(Step::Text(self.delta(&json!({}), &json!("tool_calls"))));
        steps.extend(self.tail(calls.len()).into_iter().skip(1));
        steps
    }

    fn words(&self, options: &Options) -> Vec<String> {
        options.tokens.map_or_else(|| split_words(&self.user), numbered_words)
    }

    fn chunk(&self, choices: &Value, usage: Value) -> Bytes {
        let mut chunk = json!({
            "id": self.id, "object": "chat.completion.chunk", "created": 0, "model": self.model, "choices": choices,
        });
        if self.include_usage {
            chunk["usage"] = usage;
        }
        event(&chunk)
    }

    fn delta(&self, delta: &Value, finish_reason: &Value) -> Bytes {
        self.chunk(&json!([{"index": 0, "delta": delta, "finish_reason": finish_reason}]), Value::Null)
    }

    fn token(&self, word: &str) -> Step {
        Step::Token(self.delta(&json!({"content": word}), &Value::Null))
    }

    fn tail(&self, completion_tokens: usize) -> Vec<Step> {
        let mut steps = vec![Step::Text(self.delta(&json!({}), &json!("stop")))];
        if self.include_usage {
            steps.push(Step::Text(self.chunk(&json!([]), usage(self.prompt_tokens, completion_tokens))));
        }
        steps.push(Step::Text(Bytes::from_static(b"data: [DONE]\n\n")));
        steps
    }
}

fn usage(prompt: usize, completion: usize) -> Value {
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
}

fn event(data: &Value) -> Bytes {
    Bytes::from(format!("data: {data}\n\n"))
}

/// A message's text, written as a string or as parts.
fn text_of(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join(" "),
        _ => String::new(),
    }
}

/// Words with the blanks after them, so that the tokens add up to the text.
fn split_words(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

fn numbered_words(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("word{n} ")).collect()
}
