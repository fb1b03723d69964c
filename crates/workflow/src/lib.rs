//! Workflows with people in them: the definition, and the engine that runs it.
//!
//! A run is a fold: [`start`] and [`advance`] take the definition, the state and what came in, and
//! give the new state, the events to append and the effects to carry out. Whoever calls them writes
//! state and events in one transaction and starts the effects afterwards; after a crash
//! [`RunState::open_effects`] says what to start again. What is never here: I/O, a clock, randomness.

mod answer;
mod condition;
mod definition;
mod effect;
mod engine;
mod event;
mod extract;
mod fault;
mod limits;
mod mapping;
mod model;
mod parse;
mod questions;
mod state;
mod step;
mod template;

pub use definition::Definition;
pub use effect::{Effect, EffectKind, Line, Speaker, ToolCall};
pub use engine::{Incoming, Turn, advance, start};
pub use event::{Event, EventKind};
pub use fault::{Fault, FieldFault, Rejection};
pub use limits::{MAX_DEFINITION_BYTES, MAX_DEPTH, MAX_NODES, MAX_SAY_CHARACTERS, MAX_TOOL_BODY_BYTES};
pub use mapping::InputMapping;
pub use model::{Bind, InputType, Method, Participant, SelectOption, StartInput, StartType, Surface};
pub use questions::{AnswerKind, Question};
pub use state::{Ending, RunState, RunStatus, Usage};
pub use step::{Field, FormItem, OpenStep, StepKind};

/// The JSON Schema of a definition. [`Definition::parse`] is stricter: it also knows ids, roles and references.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(model::Root).to_value()
}

/// The examples that ship with the product, as name and JSON. Their agent is the bot `bot_example`.
#[must_use]
pub fn examples() -> [(&'static str, &'static str); 3] {
    [
        ("support-intake", include_str!("../examples/support-intake.json")),
        ("nps-survey", include_str!("../examples/nps-survey.json")),
        ("two-role-review", include_str!("../examples/two-role-review.json")),
    ]
}
