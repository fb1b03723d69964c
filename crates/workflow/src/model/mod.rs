//! The tree of a definition, as [`crate::Definition::parse`] leaves it and as the JSON Schema shows it.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

mod asking;

pub(crate) use asking::Input;
pub use asking::{Bind, InputType, Participant, SelectOption, StartInput, StartType, Surface};

use crate::{extract::Extract, template::Template};

/// The whole definition: a node of type `Workflow` with participants and inputs.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields, title = "Workflow definition", transform = add_type)]
pub(crate) struct Root {
    /// Unique in the tree: a small letter, then small letters, digits and `_`, at most 64 characters.
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]{0,63}$"))]
    pub id: String,
    /// What people call it, at most 200 characters.
    #[schemars(default)]
    pub title: Option<String>,
    /// Who takes part.
    #[schemars(default)]
    pub participants: Vec<Participant>,
    /// What a run is started with.
    #[schemars(default)]
    pub inputs: Vec<StartInput>,
    /// `form`: the children are asked together.
    #[schemars(default)]
    pub ui: Option<Ui>,
    /// The nodes, in the order in which they run.
    pub children: Vec<Node>,
}

/// How a group of nodes is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum Ui {
    /// The inputs are asked together, of one role, and answered in one call.
    Form,
}

/// A node. Its result is stored under its id and read as `{{id}}`.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(tag = "type")]
pub(crate) enum Node {
    /// Nodes in a row, or one form. A form's result is an object of its inputs' answers.
    Workflow(Group),
    /// Says something. No result.
    Message(Message),
    /// Asks one participant. The result is the answer.
    Input(Input),
    /// A bot answers, alone or in a dialogue. The result is `{text}`, or what `extract` describes.
    Agent(Agent),
    /// The first branch whose condition holds. No result.
    Conditional(Conditional),
    /// Runs its children again and again. No result.
    Loop(Loop),
    /// Calls HTTP. The result is `{status, body}`, with `error` when it failed and the run went on.
    Tool(Tool),
    /// Waits. No result.
    Wait(Wait),
}

/// Nodes in a row, or one form.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Group {
    /// Unique in the tree.
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]{0,63}$"))]
    pub id: String,
    /// A form's heading.
    #[schemars(default)]
    pub title: Option<String>,
    /// `form`: inputs and messages of one role, asked together.
    #[schemars(default)]
    pub ui: Option<Ui>,
    /// The nodes, in order.
    pub children: Vec<Node>,
}

/// Says something to all participants, or to some.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Message {
    /// Unique in the tree.
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]{0,63}$"))]
    pub id: String,
    /// What is said.
    pub text: Template,
    /// The roles that read it; all when it is not said.
    #[schemars(default)]
    pub to: Option<Vec<String>>,
}

/// A bot answers.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Agent {
    /// Unique in the tree.
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]{0,63}$"))]
    pub id: String,
    /// The bot's id.
    pub bot: String,
    /// The participant it talks with; without one it answers `prompt` once.
    #[schemars(default)]
    pub role: Option<String>,
    /// Alone: the question. With a participant: what the agent says first.
    #[schemars(default)]
    pub prompt: Option<Template>,
    /// Added to the bot's own instructions.
    #[schemars(default)]
    pub instructions: Option<Template>,
    /// After how many answers the dialogue ends, 1 to 50, 10 when it is not said.
    #[schemars(default = "ten", range(min = 1, max = 50))]
    pub max_turns: u32,
    /// Who ends the dialogue.
    #[schemars(default)]
    pub until: Until,
    /// What is read out of the answer or the dialogue: a small part of JSON Schema.
    #[schemars(default)]
    pub extract: Option<Extract>,
    /// Go on with the result null when the bot fails.
    #[schemars(default)]
    pub optional: bool,
}

/// Who ends a dialogue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum Until {
    /// The participant, or else the last turn.
    #[default]
    ParticipantDone,
    /// The last turn alone.
    MaxTurns,
}

/// The first branch whose condition holds.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Conditional {
    /// Unique in the tree.
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]{0,63}$"))]
    pub id: String,
    /// Tried in order.
    pub branches: Vec<Branch>,
    /// When no branch holds.
    #[schemars(rename = "else", default)]
    pub otherwise: Vec<Node>,
}

/// A condition and what runs when it holds.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Branch {
    /// The condition.
    pub when: Condition,
    /// The nodes, in order.
    pub children: Vec<Node>,
}

/// A comparison, or several.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(untagged, deny_unknown_fields)]
pub(crate) enum Condition {
    /// Compares two values, each a template or written out.
    Compare {
        /// What is compared.
        left: Operand,
        /// How.
        op: Operator,
        /// With what; not for `exists` and `empty`.
        #[schemars(default)]
        right: Option<Operand>,
    },
    /// All hold.
    All {
        /// The conditions.
        all: Vec<Condition>,
    },
    /// At least one holds.
    Any {
        /// The conditions.
        any: Vec<Condition>,
    },
    /// It does not hold.
    Not {
        /// The condition.
        not: Box<Condition>,
    },
}

/// A text with references, or any other JSON value as it is.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Operand {
    /// Text.
    Template(Template),
    /// Any other value.
    Value(Value),
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum Operator {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Greater: numbers, or texts such as dates.
    Gt,
    /// Greater or equal.
    Ge,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// A text has the other in it, or a list the value.
    Contains,
    /// The other way round.
    In,
    /// There is a value, and it is not null.
    Exists,
    /// There is none, or an empty text, list or object.
    Empty,
}

/// Runs its children again and again: `times`, `while` or `until`, one of the three.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Loop {
    /// Unique in the tree.
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]{0,63}$"))]
    pub id: String,
    /// How often: a number, or a template that gives one (0 when it gives none).
    #[schemars(default)]
    pub times: Option<Times>,
    /// Asked before every round.
    #[schemars(rename = "while", default)]
    pub while_true: Option<Condition>,
    /// Asked after every round.
    #[schemars(default)]
    pub until: Option<Condition>,
    /// Where it ends in any case, 1 to 100; 10, or a written-out `times`, when it is not said.
    #[schemars(with = "Option<u32>", range(min = 1, max = 100))]
    pub max_iterations: u32,
    /// The nodes of a round; `{{loop.index}}` counts the rounds from 1.
    pub children: Vec<Node>,
}

/// How often a loop runs.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Times {
    /// Written out.
    Number(u32),
    /// Read from the run.
    Template(Template),
}

/// Calls HTTP.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Tool {
    /// Unique in the tree.
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]{0,63}$"))]
    pub id: String,
    /// The HTTP method; GET when it is not said.
    #[schemars(default)]
    pub method: Method,
    /// Scheme and host written out, then templates; what they give is percent-encoded.
    pub url: Template,
    /// Headers. Secrets go into a connection.
    #[schemars(default)]
    pub headers: BTreeMap<String, Template>,
    /// The body: JSON whose texts are templates.
    #[schemars(default)]
    pub body: Option<Value>,
    /// The id of a connection whose secrets go along.
    #[schemars(default)]
    pub connection: Option<String>,
    /// 1 to 120 seconds, 30 when it is not said.
    #[schemars(default = "thirty", range(min = 1, max = 120))]
    pub timeout_seconds: u32,
    /// How often it is tried again after a failure that may pass, 0 to 5, 2 when it is not said.
    #[schemars(default = "two", range(max = 5))]
    pub retries: u32,
    /// What a failure does to the run.
    #[schemars(default)]
    pub on_error: OnError,
}

/// The HTTP methods a Tool may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// GET, without a body.
    #[default]
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

/// What a failure does to the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum OnError {
    /// Ends it.
    #[default]
    Fail,
    /// Nothing; the result says what failed.
    Continue,
}

/// Waits.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Wait {
    /// Unique in the tree.
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]{0,63}$"))]
    pub id: String,
    /// How long, 1 to 2,592,000 seconds (30 days).
    #[schemars(range(min = 1, max = 2_592_000))]
    pub seconds: u32,
}

fn ten() -> u32 {
    10
}

fn thirty() -> u32 {
    30
}

fn two() -> u32 {
    2
}

/// Adds what tells a root from other objects; nodes have it from their enum.
fn add_type(schema: &mut Schema) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("type".to_owned(), json!({"type": "string", "const": "Workflow"}));
    }
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.push("type".into());
    }
}

impl Node {
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Workflow(node) => &node.id,
            Self::Message(node) => &node.id,
            Self::Input(node) => &node.id,
            Self::Agent(node) => &node.id,
            Self::Conditional(node) => &node.id,
            Self::Loop(node) => &node.id,
            Self::Tool(node) => &node.id,
            Self::Wait(node) => &node.id,
        }
    }

    /// The lists of children; a conditional has one for each branch, and the last is `else`.
    pub(crate) fn children(&self, list: usize) -> Option<&[Self]> {
        match self {
            Self::Workflow(node) if list == 0 => Some(&node.children),
            Self::Loop(node) if list == 0 => Some(&node.children),
            Self::Conditional(node) if list == node.branches.len() => Some(&node.otherwise),
            Self::Conditional(node) => node.branches.get(list).map(|branch| branch.children.as_slice()),
            _ => None,
        }
    }
}
