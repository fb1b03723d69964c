use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Map, Value};

use crate::{
    Definition, FieldFault, StartType,
    template::{Scope, Template, text_of},
};

/// What references of a mapping begin with.
const SOURCES: [&str; 2] = ["body", "query"];

/// How the declared inputs of a workflow are filled from what an outside event brought, its `body` and its
/// `query`.
#[derive(Clone, Debug, PartialEq)]
pub struct InputMapping(Vec<(String, StartType, Template)>);

impl InputMapping {
    /// Reads declared inputs and their templates.
    ///
    /// # Errors
    /// Every fault at once, under the input's name.
    pub fn parse(definition: &Definition, templates: &BTreeMap<String, String>) -> Result<Self, Vec<FieldFault>> {
        let (mut mapping, mut faults) = (Vec::new(), Vec::new());
        for (name, text) in templates {
            let Some(declared) = definition.inputs().iter().find(|one| one.name == *name) else {
                faults.push(FieldFault::new(name, "is no input that the workflow declares"));
                continue;
            };
            match Template::parse(text) {
                Err(sentence) => faults.push(FieldFault::new(name, sentence)),
                Ok(template) if !template.references().all(|one| SOURCES.contains(&one.0[0].as_str())) => {
                    let message = "Begin each reference with `body` or `query`, such as {{body.customer.email}}.";
                    faults.push(FieldFault::new(name, message));
                }
                Ok(template) => mapping.push((name.clone(), declared.kind, template)),
            }
        }
        if faults.is_empty() { Ok(Self(mapping)) } else { Err(faults) }
    }

    /// The inputs that `body` and `query` give; to be checked like any other. What a lone reference does not
    /// find is left out. Text is read as the number or the truth value that is declared, and the reverse.
    #[must_use]
    pub fn render(&self, body: Value, query: Value) -> Value {
        let results = BTreeMap::from([("body".to_owned(), body), ("query".to_owned(), query)]);
        let scope = Scope { results: &results, input: &Map::new(), index: None };
        let mut input = Map::new();
        for (name, kind, template) in &self.0 {
            let value = match template.whole() {
                Some(reference) => scope.find(reference).map_or(Value::Null, Cow::into_owned),
                None => Value::from(template.render_text(scope)),
            };
            if !value.is_null() {
                input.insert(name.clone(), fitted(*kind, value));
            }
        }
        Value::Object(input)
    }

    /// The inputs that are members of `body`; to be checked like any other. The rest of it is nobody's.
    #[must_use]
    pub fn members(definition: &Definition, body: Value) -> Value {
        let Value::Object(mut members) = body else { return Value::Object(Map::new()) };
        let declared = definition.inputs().iter();
        let found = declared.filter_map(|one| {
            let value = members.remove(&one.name).filter(|value| !value.is_null())?;
            Some((one.name.clone(), fitted(one.kind, value)))
        });
        Value::Object(found.collect())
    }
}

/// Forms and queries know text alone, and whoever sends JSON writes numbers where people read text.
fn fitted(kind: StartType, value: Value) -> Value {
    match (kind, &value) {
        (StartType::Number | StartType::Boolean, Value::String(text)) => {
            let read = serde_json::from_str(text.trim()).ok();
            let is_kind = |read: &Value| if kind == StartType::Number { read.is_number() } else { read.is_boolean() };
            read.filter(is_kind).unwrap_or(value)
        }
        (StartType::Text | StartType::Email | StartType::Date, Value::Number(_) | Value::Bool(_)) => {
            Value::from(text_of(&value).into_owned())
        }
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition() -> Definition {
        let inputs = json!([
            {"name": "email", "type": "email", "required": false},
            {"name": "text", "type": "text", "required": false},
            {"name": "n", "type": "number", "required": false},
            {"name": "sure", "type": "boolean", "required": false},
        ]);
        let children = json!([{"type": "Message", "id": "hello", "text": "Hello"}]);
        let root = json!({"type": "Workflow", "id": "root", "inputs": inputs, "children": children});
        Definition::parse(&root).unwrap()
    }

    fn parse(templates: &Value) -> Result<InputMapping, Vec<FieldFault>> {
        InputMapping::parse(&definition(), &serde_json::from_value(templates.clone()).unwrap())
    }

    #[test]
    fn inputs_are_filled_from_body_and_query_in_their_declared_types() {
        let templates = json!({"email": "{{body.who.0.mail}}", "text": "{{query.from}}: {{body.n}}", "n": "{{query.n}}",
            "sure": "{{body.sure}}"});
        let (body, query) = (json!({"who": [{"mail": "a@example.com"}], "n": 7}), json!({"from": "shop", "n": "2.5"}));
        let input = parse(&templates).unwrap().render(body, query);
        assert_eq!(
            input,
            json!({"email": "a@example.com", "text": "shop: 7", "n": 2.5}),
            "what is missing is left out"
        );
        assert!(definition().check_input(&input).is_ok());
    }

    #[test]
    fn without_a_mapping_declared_members_are_taken_and_the_rest_is_left() {
        let body = json!({"text": 12, "n": "12", "sure": "true", "email": null, "other": {"a": 1}});
        let input = InputMapping::members(&definition(), body);
        assert_eq!(input, json!({"text": "12", "n": 12, "sure": true}));
        assert_eq!(InputMapping::members(&definition(), json!([1])), json!({}));
        assert_eq!(
            InputMapping::members(&definition(), json!({"n": "x", "sure": "1"})),
            json!({"n": "x", "sure": "1"})
        );
    }

    #[test]
    fn every_fault_of_a_mapping_is_named() {
        let faults = parse(&json!({"nobody": "x", "n": "{{body.a", "text": "{{state.a}}"})).unwrap_err();
        let names: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(names, ["n", "nobody", "text"]);
    }

    #[test]
    fn what_came_in_is_not_read_as_a_template() {
        let input =
            parse(&json!({"text": "{{body.a}}"})).unwrap().render(json!({"a": "{{query.b}}"}), json!({"b": "x"}));
        assert_eq!(input, json!({"text": "{{query.b}}"}));
    }
}
