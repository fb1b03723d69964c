//! What a form's texts say to a step.

use serde_json::{Map, Value};
use workflow::{Field, OpenStep, StepKind};

use super::{Form, fields::name_of};

/// The form with lines that end as they do elsewhere: browsers send a carriage return too (HTML, section
/// 4.10.22.4).
pub(super) fn with_plain_lines(form: Form) -> Form {
    form.into_iter().map(|(name, value)| (name, value.replace("\r\n", "\n"))).collect()
}

/// The first text of this name.
pub(super) fn first<'a>(form: &'a Form, name: &str) -> Option<&'a str> {
    form.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
}

/// All texts that answer a question.
pub(super) fn texts_of<'a>(form: &'a Form, field: &Field) -> Vec<&'a str> {
    let name = name_of(field);
    form.iter().filter(|(of, _)| *of == name).map(|(_, value)| value.as_str()).collect()
}

/// The answer to a step: a value, or for a form an object. Names that the step does not ask for are not
/// looked at.
pub(super) fn value_of(step: &OpenStep, form: &Form) -> Value {
    let read = |field: &Field| field.read_texts(&texts_of(form, field));
    match (&step.field, step.kind) {
        (Some(field), StepKind::Input) => read(field),
        _ => Value::Object(step.fields().map(|field| (field.id.clone(), read(field))).collect::<Map<_, _>>()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn form(pairs: &[(&str, &str)]) -> Form {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
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
        assert_eq!(first(&sent, "step"), Some("s"));
        assert_eq!(with_plain_lines(form(&[("f-a", "1\r\n2")])), form(&[("f-a", "1\n2")]));
    }
}
