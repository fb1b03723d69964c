//! Steps as they are stored, and what they come to: an execution is a fold over them.

use std::collections::VecDeque;

use chat::{ToolAnswer, ToolCall, Usage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{ExecutionStepRecord, NewExecutionStep};

use crate::{LoopError, cut::Outcome};

/// The most bytes of all steps: a model reads them all with each question.
pub(crate) const MAX_TRANSCRIPT: usize = 1024 * 1024;

/// A call as a step shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "ToolCall")]
pub struct CallData {
    /// What its result is given back under.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// What the bot wrote: JSON as a rule.
    pub arguments: String,
}

/// One thing that an execution did.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StepData {
    /// The bot has answered.
    Model {
        /// What it said.
        text: String,
        /// What it calls.
        tool_calls: Vec<CallData>,
        /// Tokens that it read.
        input_tokens: u64,
        /// Tokens that it wrote.
        output_tokens: u64,
    },
    /// A tool is called: without a result behind it, it may have been called.
    ToolCall {
        /// As the bot named the call.
        tool_call_id: String,
        /// Which tool.
        name: String,
    },
    /// A tool has answered.
    ToolResult {
        /// As the bot named the call.
        tool_call_id: String,
        /// Which tool.
        name: String,
        /// What it said.
        content: String,
        /// Whether it is an error, also one on the way there.
        is_error: bool,
        /// Whether it was longer.
        is_cut: bool,
    },
}

impl StepData {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Model { .. } => "model",
            Self::ToolCall { .. } => "tool_call",
            Self::ToolResult { .. } => "tool_result",
        }
    }
}

/// Where an execution stands.
#[derive(Default)]
pub(crate) struct Progress {
    /// What the bot is told, as OpenAI's messages.
    pub(crate) messages: Vec<Value>,
    /// Calls without a result, in order.
    pub(crate) calls: VecDeque<ToolCall>,
    /// The number of the step that began the first of them, if it was begun.
    pub(crate) begun: Option<u32>,
    pub(crate) iterations: u32,
    /// What the bot said last, if anything.
    pub(crate) said: Option<String>,
    /// Steps there are.
    pub(crate) position: u32,
    bytes: usize,
}

impl Progress {
    /// Of an execution that is given `input`: JSON.
    pub(crate) fn begin(input: &str) -> Self {
        let text = match serde_json::from_str(input) {
            Ok(Value::String(text)) => text,
            Ok(Value::Null) | Err(_) => "Begin.".to_owned(),
            Ok(_) => input.to_owned(),
        };
        Self { messages: vec![json!({"role": "user", "content": text})], ..Self::default() }
    }

    /// Goes on where stored steps end.
    pub(crate) fn resume(input: &str, steps: &[ExecutionStepRecord]) -> Result<Self, LoopError> {
        let mut progress = Self::begin(input);
        for step in steps {
            let data = serde_json::from_str(&step.data).map_err(LoopError::unavailable)?;
            progress.apply(&data, step.data.len());
        }
        Ok(progress)
    }

    /// Takes a step, and gives it as it is to be stored.
    pub(crate) fn step(&mut self, data: &StepData, took_ms: u64) -> Result<NewExecutionStep, LoopError> {
        let text = serde_json::to_string(data).map_err(LoopError::unavailable)?;
        self.apply(data, text.len());
        let (iterations, input_tokens, output_tokens) = match data {
            StepData::Model { input_tokens, output_tokens, .. } => (1, *input_tokens, *output_tokens),
            StepData::ToolCall { .. } | StepData::ToolResult { .. } => (0, 0, 0),
        };
        let (position, kind) = (self.position, data.kind());
        Ok(NewExecutionStep { position, kind, data: text, took_ms, iterations, input_tokens, output_tokens })
    }

    pub(crate) const fn is_too_large(&self) -> bool {
        self.bytes > MAX_TRANSCRIPT
    }

    fn apply(&mut self, data: &StepData, bytes: usize) {
        self.position += 1;
        self.bytes += bytes;
        match data {
            StepData::Model { text, tool_calls, .. } => {
                self.iterations += 1;
                if !text.is_empty() {
                    self.said = Some(text.clone());
                }
                let mut message = json!({"role": "assistant", "content": text});
                if !tool_calls.is_empty() {
                    let shown = tool_calls.iter().map(|call| {
                        let function = json!({"name": call.name, "arguments": call.arguments});
                        json!({"id": call.id, "type": "function", "function": function})
                    });
                    message["tool_calls"] = shown.collect();
                }
                self.messages.push(message);
                self.calls = tool_calls.iter().map(of_data).collect();
            }
            StepData::ToolCall { .. } => self.begun = Some(self.position),
            StepData::ToolResult { tool_call_id, content, is_error, .. } => {
                let content = if *is_error { format!("Error: {content}") } else { content.clone() };
                self.messages.push(json!({"role": "tool", "tool_call_id": tool_call_id, "content": content}));
                self.calls.pop_front();
                self.begun = None;
            }
        }
    }
}

fn of_data(call: &CallData) -> ToolCall {
    ToolCall { id: call.id.clone(), name: call.name.clone(), arguments: call.arguments.clone() }
}

pub(crate) fn answered(answer: ToolAnswer, usage: Usage) -> StepData {
    let ToolAnswer { text, calls } = answer;
    let data = |ToolCall { id, name, arguments }| CallData { id, name, arguments };
    let Usage { input_tokens, output_tokens } = usage;
    StepData::Model { text, tool_calls: calls.into_iter().map(data).collect(), input_tokens, output_tokens }
}

pub(crate) fn begun(call: &ToolCall) -> StepData {
    StepData::ToolCall { tool_call_id: call.id.clone(), name: call.name.clone() }
}

pub(crate) fn returned(call: &ToolCall, outcome: Outcome) -> StepData {
    let Outcome { content, is_error, is_cut } = outcome;
    StepData::ToolResult { tool_call_id: call.id.clone(), name: call.name.clone(), content, is_error, is_cut }
}

#[cfg(test)]
mod tests {
    use ambient::Millis;

    use super::*;

    fn calls(n: usize) -> ToolAnswer {
        let call = |n| ToolCall { id: format!("call_{n}"), name: "look".to_owned(), arguments: "{}".to_owned() };
        ToolAnswer { text: "Let me look.".to_owned(), calls: (0..n).map(call).collect() }
    }

    fn stored(steps: &[NewExecutionStep]) -> Vec<ExecutionStepRecord> {
        let record = |step: &NewExecutionStep| ExecutionStepRecord {
            position: step.position,
            kind: step.kind.to_owned(),
            data: step.data.clone(),
            took_ms: step.took_ms,
            at: Millis(0),
        };
        steps.iter().map(record).collect()
    }

    #[test]
    fn stored_steps_come_to_where_it_was() {
        let mut progress = Progress::begin("\"go\"");
        let usage = Usage { input_tokens: 5, output_tokens: 2 };
        let mut steps = vec![progress.step(&answered(calls(2), usage), 7).unwrap()];
        let first = progress.calls[0].clone();
        steps.push(progress.step(&begun(&first), 0).unwrap());
        steps.push(progress.step(&returned(&first, Outcome::error("no")), 3).unwrap());
        let second = progress.calls[0].clone();
        steps.push(progress.step(&begun(&second), 0).unwrap());
        assert_eq!((steps[0].iterations, steps[0].input_tokens, steps[3].iterations), (1, 5, 0));
        let again = Progress::resume("\"go\"", &stored(&steps)).unwrap();
        assert_eq!(again.messages, progress.messages);
        assert_eq!((again.calls.len(), again.begun, again.position, again.iterations), (1, Some(4), 4, 1));
        assert_eq!(again.calls[0].id, "call_1");
        assert_eq!(again.messages[2]["content"], "Error: no", "the bot is told");
        assert_eq!(again.messages[1]["tool_calls"][1]["id"], "call_1");
        assert_eq!(again.said.as_deref(), Some("Let me look."));
    }

    #[test]
    fn input_is_a_text_or_json() {
        let said = |input: &str| Progress::begin(input).messages[0]["content"].as_str().unwrap().to_owned();
        assert_eq!([said("\"a\""), said("{\"b\":1}"), said("null")], ["a", "{\"b\":1}", "Begin."]);
    }
}
