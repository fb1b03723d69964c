//! What a form's texts say to a step.

use std::collections::HashMap;

use serde_json::{Map, Value};
use workflow::{Field, OpenStep, StepKind};

use super::{Form, fields::name_of};

/// The texts of a form by name, in their order. Grouped once: a form of many fields would be searched for each.
#[derive(Debug, Default)]
pub(super) struct Texts(HashMap<String, Vec<String>>);

impl Texts {
    /// With lines that end as they do elsewhere: browsers send a carriage return too (HTML, section 4.10.22.4).
    pub(super) fn of(form: Form) -> Self {
        let mut texts = Self::default();
        for (name, value) in form {
            texts.0.entry(name).or_default().push(value.replace("\r\n", "\n"));
        }
        texts
    }

    /// The first text of this name.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.first().map(String::as_str)
    }

    /// All texts that answer a question.
    pub(super) fn answering(&self, field: &Field) -> Vec<&str> {
        self.0.get(&name_of(field)).into_iter().flatten().map(String::as_str).collect()
    }
}

/// The answer to a step: a value, or for a form an object. Names that the step does not ask for are not
/// looked at.
pub(super) fn value_of(step: &OpenStep, texts: &Texts) -> Value {
    let read = |field: &Field| field.read_texts(&texts.answering(field));
    match (&step.field, step.kind) {
        (Some(field), StepKind::Input) => read(field),
        _ => Value::Object(step.fields().map(|field| (field.id.clone(), read(field))).collect::<Map<_, _>>()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn form(pairs: &[(&str, &str)]) -> Texts {
        Texts::of(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_form_s_texts_become_the_answer_of_its_step() {
        let field = |id: &str, kind: &str| json!({"kind": "field", "id": id, "prompt": "?", "input_type": kind, "required": true});
        let step: OpenStep = serde_json::from_value(json!({
            "step": "s", "kind": "form", "role": "r",
            "items": [field("step", "text"), field("some", "multiselect"), field("many", "number"), field("left", "date")],
        }))
        .unwrap();
        let sent = form(&[
            ("step", "s"),
            ("f-step", " a "),
            ("f-some", "x"),
            ("f-some", "y"),
            ("f-many", "3"),
            ("f-else", "z"),
        ]);
        assert_eq!(value_of(&step, &sent), json!({"step": "a", "some": ["x", "y"], "many": 3, "left": null}));
        let step: OpenStep =
            serde_json::from_value(json!({"step": "s", "kind": "input", "role": "r", "field": field("q", "boolean")}))
                .unwrap();
        assert_eq!(value_of(&step, &form(&[("f-q", "true")])), json!(true));
        assert_eq!(value_of(&step, &form(&[])), json!(null));
        assert_eq!((sent.first("step"), sent.first("f-some"), sent.first("none")), (Some("s"), Some("x"), None));
        assert_eq!(form(&[("f-a", "1\r\n2")]).first("f-a"), Some("1\n2"));
    }
}
