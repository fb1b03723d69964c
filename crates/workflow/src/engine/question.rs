//! Inputs and forms.

use serde_json::{Value, json};

use super::Run;
use crate::{
    answer::check_step,
    event::EventKind,
    fault::{FieldFault, Rejection},
    model::{Group, Input, Node},
    state::Work,
    step::{Field, FormItem, OpenStep, StepKind},
};

impl Run<'_> {
    pub(super) fn ask_input(&mut self, input: &Input) {
        let mut step = OpenStep::new(&self.step_of(&input.id), StepKind::Input, &input.role);
        step.field = Some(self.field(input));
        self.open_question(step);
    }

    pub(super) fn ask_form(&mut self, form: &Group) {
        let role = self.definition.askers.get(&form.id).map_or("", String::as_str);
        let mut step = OpenStep::new(&self.step_of(&form.id), StepKind::Form, role);
        step.title.clone_from(&form.title);
        let item = |node: &Node| match node {
            Node::Input(input) => Some(FormItem::Field(self.field(input))),
            Node::Message(message) => Some(FormItem::Message { text: message.text.render_text(self.scope()) }),
            _ => None,
        };
        step.items = form.children.iter().filter_map(item).collect();
        self.open_question(step);
    }

    fn open_question(&mut self, step: OpenStep) {
        let data = serde_json::to_value(&step).unwrap_or_default();
        let role = step.role.clone();
        self.open(step.step.clone(), Work::Question(step));
        self.emit(EventKind::StepOpened, Some(&[&role]), data);
    }

    fn field(&self, input: &Input) -> Field {
        Field {
            id: input.id.clone(),
            prompt: input.prompt.render_text(self.scope()),
            input_type: input.input_type,
            options: input.options.clone(),
            required: input.required,
            min: input.min,
            max: input.max,
            min_length: input.min_length,
            max_length: input.max_length,
        }
    }

    pub(super) fn answer(&mut self, step: &str, role: &str, value: &Value) -> Result<(), Rejection> {
        let Work::Question(shown) = &self.step_for(step, role)?.work else {
            let sentence = "Talk with the agent instead of answering this step.";
            return Err(Rejection::Invalid(vec![FieldFault::new("value", sentence)]));
        };
        let value = check_step(shown, value).map_err(Rejection::Invalid)?;
        let node = self.current()?.ok_or(Rejection::Mismatch)?;
        self.state.answered.insert(step.to_owned());
        self.emit(EventKind::StepAnswered, Some(&[role]), json!({"step": step, "value": value}));
        if let (Node::Workflow(_), Some(fields)) = (node, value.as_object()) {
            // Inputs are nodes of their own: their results stand under their ids too.
            for (id, answer) in fields {
                self.store(id, answer.clone());
            }
        }
        self.close_node(node.id(), Some(value));
        Ok(())
    }
}
