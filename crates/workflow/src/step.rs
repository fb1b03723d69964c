//! What a participant is shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    effect::Line,
    model::{InputType, SelectOption},
};

/// What a step wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// One answer: the value of `field`.
    Input,
    /// One object with the answers of the fields among `items`, by their ids.
    Form,
    /// A dialogue with an agent, until the participant is done.
    Agent,
}

/// A step that waits for a participant, with everything needed to show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OpenStep {
    /// The step's id: the node's, with the round of each loop around it, such as `ask.2`.
    pub step: String,
    /// What it wants.
    pub kind: StepKind,
    /// Whose step it is.
    pub role: String,
    /// A form's heading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The question of an `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<Field>,
    /// The parts of a `form`, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<FormItem>,
    /// What was said so far with an `agent`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<Line>,
    /// Whether the agent is about to answer.
    #[serde(default, skip_serializing_if = "is_false")]
    pub busy: bool,
    /// Whether the participant may end the dialogue.
    #[serde(default, skip_serializing_if = "is_false")]
    pub may_end: bool,
}

/// One part of a form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FormItem {
    /// Words between the fields.
    Message {
        /// Plain text.
        text: String,
    },
    /// A question.
    Field(Field),
}

/// A question and what its answer must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Field {
    /// The Input's id.
    pub id: String,
    /// The question. Plain text.
    pub prompt: String,
    /// What kind of answer.
    pub input_type: InputType,
    /// The choices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<SelectOption>,
    /// Whether it must be answered.
    pub required: bool,
    /// The least number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The greatest number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The least number of characters of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u32>,
    /// The greatest number of characters of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl OpenStep {
    pub(crate) fn new(step: &str, kind: StepKind, role: &str) -> Self {
        Self {
            step: step.to_owned(),
            kind,
            role: role.to_owned(),
            title: None,
            field: None,
            items: Vec::new(),
            lines: Vec::new(),
            busy: false,
            may_end: false,
        }
    }

    /// The questions: of an `input` the one, of a `form` all of them.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        self.field.iter().chain(self.items.iter().filter_map(|item| match item {
            FormItem::Field(field) => Some(field),
            FormItem::Message { .. } => None,
        }))
    }
}

impl Field {
    /// The value that the texts of a plain HTML form stand for. What cannot be read stays text, so
    /// that the engine says what is wrong with it.
    #[must_use]
    pub fn read_texts(&self, texts: &[&str]) -> Value {
        let first = texts.first().map_or("", |text| text.trim());
        match self.input_type {
            InputType::Multiselect => texts.iter().filter(|text| !text.is_empty()).copied().collect(),
            _ if first.is_empty() => Value::Null,
            InputType::Rating | InputType::Nps | InputType::Number => first
                .parse::<i64>()
                .map_or_else(|_| first.parse::<f64>().map_or(first.into(), Value::from), Value::from),
            InputType::Boolean => match first {
                "true" | "on" | "yes" => true.into(),
                "false" | "off" | "no" => false.into(),
                other => other.into(),
            },
            InputType::Text | InputType::Textarea | InputType::Select | InputType::Date | InputType::Email => {
                first.into()
            }
        }
    }
}
