//! Who takes part, what a run starts with, and what is asked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::template::Template;

/// A role that takes part in runs.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Participant {
    /// The role's name: a small letter, then small letters, digits, `_` and `-`, at most 32 characters.
    #[schemars(regex(pattern = "^[a-z][a-z0-9_-]{0,31}$"))]
    pub name: String,
    /// How a person becomes the participant.
    #[schemars(default)]
    pub bind: Bind,
    /// Where they take part; anywhere when it is not said.
    #[schemars(default)]
    pub surface: Option<Surface>,
}

/// How a person becomes the participant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Bind {
    /// Who comes first with a token of the role.
    #[default]
    FirstContact,
    /// Whom the token names.
    Token,
}

/// Where a participant takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Surface {
    /// In the embedded widget.
    Widget,
    /// On the hosted page.
    Page,
    /// Through the API.
    Api,
}

/// A value that a run is started with; read as `{{input.name}}`.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct StartInput {
    /// A small letter, then small letters, digits and `_`, at most 64 characters.
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]{0,63}$"))]
    pub name: String,
    /// What it must be; text when it is not said.
    #[schemars(rename = "type", default)]
    pub kind: StartType,
    /// Whether a run cannot start without it; it cannot when it is not said.
    #[schemars(default = "yes")]
    pub required: bool,
}

/// What a start input must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum StartType {
    /// At most 4000 characters.
    #[default]
    Text,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `YYYY-MM-DD`.
    Date,
    /// An email address.
    Email,
}

/// Asks one participant.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Input {
    /// Unique in the tree.
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]{0,63}$"))]
    pub id: String,
    /// Who is asked. May be left out where there is one participant.
    #[schemars(with = "Option<String>")]
    pub role: String,
    /// The question.
    pub prompt: Template,
    /// What kind of answer; text when it is not said.
    #[schemars(default)]
    pub input_type: InputType,
    /// The choices of a select or multiselect.
    #[schemars(default)]
    pub options: Vec<SelectOption>,
    /// Whether an answer must be given; it must when it is not said.
    #[schemars(default = "yes")]
    pub required: bool,
    /// The least number.
    #[schemars(default)]
    pub min: Option<f64>,
    /// The greatest number; of a rating the number of steps, 5 when it is not said.
    #[schemars(default)]
    pub max: Option<f64>,
    /// The least number of characters.
    #[schemars(default, range(max = 4000))]
    pub min_length: Option<u32>,
    /// The greatest number of characters, 4000 when it is not said.
    #[schemars(default, range(min = 1, max = 4000))]
    pub max_length: Option<u32>,
}

/// What kind of answer an Input takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InputType {
    /// One line of text.
    #[default]
    Text,
    /// Text of several lines.
    Textarea,
    /// One of the options: its value.
    Select,
    /// Some of the options: a list of values.
    Multiselect,
    /// A whole number from 1 to `max`.
    Rating,
    /// A whole number from 0 to 10.
    Nps,
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number,
    /// `YYYY-MM-DD`.
    Date,
    /// An email address.
    Email,
}

/// One choice of a select.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SelectOption {
    /// What is stored.
    pub value: String,
    /// What is shown; the value when it is not said.
    #[serde(default)]
    pub label: String,
}

fn yes() -> bool {
    true
}
