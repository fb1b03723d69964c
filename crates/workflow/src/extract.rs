//! What is read out of an agent's words: a small part of JSON Schema, and the check of what came.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

/// The most characters of an extracted text.
const MAX_TEXT: usize = 4000;
/// The most items of an extracted list.
const MAX_ITEMS: usize = 100;

/// An object with these members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extract {
    pub properties: BTreeMap<String, Property>,
    pub required: Vec<String>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Property {
    pub shape: Shape,
    pub description: Option<String>,
}

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Text,
    OneOf(Vec<String>),
    Integer,
    Number,
    Boolean,
    List(Box<Self>),
}

impl JsonSchema for Extract {
    fn schema_name() -> Cow<'static, str> {
        "Extract".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let scalar = json!({
            "type": "object",
            "properties": {
                "type": {"enum": ["string", "integer", "number", "boolean"]},
                "enum": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 100},
                "description": {"type": "string", "maxLength": 500},
            },
            "required": ["type"],
            "additionalProperties": false,
        });
        let list = json!({
            "type": "object",
            "properties": {
                "type": {"const": "array"},
                "items": scalar.clone(),
                "description": {"type": "string", "maxLength": 500},
            },
            "required": ["type", "items"],
            "additionalProperties": false,
        });
        json_schema!({
            "type": "object",
            "description": "A JSON Schema of an object whose members are texts, numbers, booleans or lists of those.",
            "properties": {
                "type": {"const": "object"},
                "properties": {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": 50,
                    "additionalProperties": {"anyOf": [scalar, list]},
                },
                "required": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["type", "properties"],
            "additionalProperties": false,
        })
    }
}

impl Extract {
    /// The JSON Schema, as models and people read it.
    pub(crate) fn to_schema(&self) -> Value {
        let properties: Map<String, Value> = self
            .properties
            .iter()
            .map(|(name, property)| {
                let mut schema = property.shape.to_schema();
                if let (Some(text), Some(members)) = (&property.description, schema.as_object_mut()) {
                    members.insert("description".to_owned(), text.as_str().into());
                }
                (name.clone(), schema)
            })
            .collect();
        json!({"type": "object", "properties": properties, "required": self.required, "additionalProperties": false})
    }

    /// What the model is told to do.
    pub(crate) fn request(&self) -> String {
        format!("Answer with one JSON object and nothing else. It must fit this JSON Schema: {}", self.to_schema())
    }

    /// What a model is told whose answer did not fit.
    pub(crate) fn correction(faults: &[String]) -> String {
        format!(
            "That does not fit the JSON Schema. {} Answer with the corrected JSON object and nothing else.",
            faults.join(" ")
        )
    }

    /// The object in a model's answer, with the known members alone; or what is wrong with it.
    pub(crate) fn read(&self, answer: &str) -> Result<Value, Vec<String>> {
        // Models like to put a fence or a sentence around the object.
        let object = answer.find('{').zip(answer.rfind('}')).and_then(|(from, to)| answer.get(from..=to));
        let Some(Ok(Value::Object(given))) = object.map(serde_json::from_str::<Value>) else {
            return Err(vec!["It is not a JSON object.".to_owned()]);
        };
        let (mut out, mut faults) = (Map::new(), Vec::new());
        for (name, property) in &self.properties {
            match given.get(name).filter(|value| !value.is_null()) {
                Some(value) if property.shape.fits(value) => drop(out.insert(name.clone(), value.clone())),
                Some(_) => faults.push(format!("`{name}` must be {}.", property.shape.words())),
                None if self.required.contains(name) => faults.push(format!("`{name}` is missing.")),
                None => {}
            }
        }
        if faults.is_empty() { Ok(Value::Object(out)) } else { Err(faults) }
    }
}

impl Shape {
    fn to_schema(&self) -> Value {
        match self {
            Self::Text => json!({"type": "string"}),
            Self::OneOf(values) => json!({"type": "string", "enum": values}),
            Self::Integer => json!({"type": "integer"}),
            Self::Number => json!({"type": "number"}),
            Self::Boolean => json!({"type": "boolean"}),
            Self::List(item) => json!({"type": "array", "items": item.to_schema()}),
        }
    }

    fn fits(&self, value: &Value) -> bool {
        match self {
            Self::Text => value.as_str().is_some_and(|text| text.chars().count() <= MAX_TEXT && !text.contains('\0')),
            Self::OneOf(values) => value.as_str().is_some_and(|text| values.iter().any(|one| one == text)),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::List(item) => {
                value.as_array().is_some_and(|items| items.len() <= MAX_ITEMS && items.iter().all(|one| item.fits(one)))
            }
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Text => format!("a text of at most {MAX_TEXT} characters"),
            Self::OneOf(values) => format!("one of {}", values.join(", ")),
            Self::Integer => "a whole number".to_owned(),
            Self::Number => "a number".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::List(item) => format!("a list of at most {MAX_ITEMS} items, each {}", item.words()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extract() -> Extract {
        let property = |shape| Property { shape, description: None };
        Extract {
            properties: BTreeMap::from([
                ("topic".to_owned(), property(Shape::OneOf(vec!["bill".to_owned(), "bug".to_owned()]))),
                ("count".to_owned(), property(Shape::Integer)),
                ("tags".to_owned(), property(Shape::List(Box::new(Shape::Text)))),
            ]),
            required: vec!["topic".to_owned()],
        }
    }

    #[test]
    fn an_object_is_found_in_what_surrounds_it_and_stripped_of_the_unknown() {
        let answer = "Sure!\n```json\n{\"topic\": \"bug\", \"mood\": \"bad\", \"count\": null}\n```";
        assert_eq!(extract().read(answer), Ok(json!({"topic": "bug"})));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        assert_eq!(extract().read("I cannot"), Err(vec!["It is not a JSON object.".to_owned()]));
        assert_eq!(extract().read("} {"), Err(vec!["It is not a JSON object.".to_owned()]));
        let faults = extract().read("{\"count\": 1.5, \"tags\": [1]}").unwrap_err();
        assert_eq!(faults.len(), 3);
        assert!(faults.contains(&"`topic` is missing.".to_owned()), "{faults:?}");
        assert!(extract().read("{\"topic\": \"rain\"}").is_err());
    }
}
