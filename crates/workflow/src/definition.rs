use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::{
    answer::check_fields,
    fault::{Fault, FieldFault},
    model::{InputType, Participant, Root, StartInput, StartType},
    parse,
    step::Field,
};

/// A definition that can run.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    pub(crate) root: Root,
    /// Whose step each node's is: Inputs outside forms, forms, Agents in a dialogue.
    pub(crate) askers: BTreeMap<String, String>,
    /// Bots and connections that the nodes name.
    pub(crate) bots: BTreeSet<String>,
    pub(crate) connections: BTreeSet<String>,
}

impl Definition {
    /// Reads a definition.
    ///
    /// # Errors
    /// Every fault at once, up to 100, each with its place and what to write instead.
    pub fn parse(value: &Value) -> Result<Self, Vec<Fault>> {
        parse::parse(value)
    }

    /// The root's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.root.id
    }

    /// What people call it.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        self.root.title.as_deref()
    }

    /// Who takes part.
    #[must_use]
    pub fn participants(&self) -> &[Participant] {
        &self.root.participants
    }

    /// What a run is started with.
    #[must_use]
    pub fn inputs(&self) -> &[StartInput] {
        &self.root.inputs
    }

    /// Whether the workflow declares a participant of this name.
    #[must_use]
    pub fn declares_role(&self, role: &str) -> bool {
        self.root.participants.iter().any(|one| one.name == role)
    }

    /// The ids of the bots that its agents are, to be checked when it is saved.
    pub fn bots(&self) -> impl Iterator<Item = &str> {
        self.bots.iter().map(String::as_str)
    }

    /// The ids of the connections that its tools use, to be checked when it is saved.
    pub fn connections(&self) -> impl Iterator<Item = &str> {
        self.connections.iter().map(String::as_str)
    }

    /// The value that a run is started with, checked; nothing or null counts as an empty object.
    ///
    /// # Errors
    /// Every fault at once, under the input's name.
    pub fn check_input(&self, input: &Value) -> Result<Map<String, Value>, Vec<FieldFault>> {
        let fields: Vec<Field> = self.root.inputs.iter().map(field_of).collect();
        let empty = Value::Object(Map::new());
        match check_fields(fields.iter(), if input.is_null() { &empty } else { input })? {
            Value::Object(members) => Ok(members),
            _ => Ok(Map::new()),
        }
    }
}

fn field_of(input: &StartInput) -> Field {
    Field {
        id: input.name.clone(),
        prompt: String::new(),
        // A program may start a run with an address or a letter: lines are fine.
        input_type: match input.kind {
            StartType::Text => InputType::Textarea,
            StartType::Number => InputType::Number,
            StartType::Boolean => InputType::Boolean,
            StartType::Date => InputType::Date,
            StartType::Email => InputType::Email,
        },
        options: Vec::new(),
        required: input.required,
        min: None,
        max: None,
        min_length: None,
        max_length: Some(4000),
    }
}
