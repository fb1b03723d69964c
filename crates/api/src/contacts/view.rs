//! What a contact is on the wire.

use ::contacts::{
    EMAIL_PATTERN, LINE_PATTERN, MAX_CUSTOM_NAME, MAX_EMAIL, MAX_EXTERNAL_ID, MAX_NAME, MAX_PHONE, MAX_TAG,
    PHONE_PATTERN,
};
use ambient::{ContactId, Millis};
use gate::{FieldError, Problem};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::{ContactChange, ContactRecord, MAX_CUSTOM_FIELDS, MAX_TAGS, NewContact as NewRecord};

use crate::input;

/// A contact to be made: one of `name`, `email`, `phone` and `external_id` at least.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = json!([
    {"required": ["name"], "properties": {"name": {"type": "string"}}},
    {"required": ["email"], "properties": {"email": {"type": "string"}}},
    {"required": ["phone"], "properties": {"phone": {"type": "string"}}},
    {"required": ["external_id"], "properties": {"external_id": {"type": "string"}}},
])))]
pub(crate) struct NewContact {
    /// What people call it: a line of at most 200 characters.
    #[serde(default)]
    #[schemars(length(min = 1, max = MAX_NAME), regex(pattern = LINE_PATTERN))]
    name: Option<String>,
    /// Its address. Kept as it is given, found whatever its case; two contacts may have the same.
    #[serde(default)]
    #[schemars(length(min = 3, max = MAX_EMAIL), regex(pattern = EMAIL_PATTERN))]
    email: Option<String>,
    /// Its number, 3 to 15 digits; blanks, dots, dashes, slashes and parentheses are taken out.
    #[serde(default)]
    #[schemars(length(min = 3, max = MAX_PHONE), regex(pattern = PHONE_PATTERN))]
    phone: Option<String>,
    /// Your own name for it, unique in its environment: a line of at most 200 characters.
    #[serde(default)]
    #[schemars(length(min = 1, max = MAX_EXTERNAL_ID), regex(pattern = LINE_PATTERN))]
    external_id: Option<String>,
    /// Labels, at most 50 of at most 50 characters.
    #[serde(default)]
    #[schemars(length(max = MAX_TAGS), inner(length(min = 1, max = MAX_TAG), regex(pattern = LINE_PATTERN)))]
    tags: Vec<String>,
    /// Whatever else you know: at most 100 texts, numbers and booleans, 16 KiB of JSON together.
    #[serde(default)]
    #[schemars(schema_with = "custom_fields")]
    custom_fields: Map<String, Value>,
}

/// What is to be different about a contact; what is absent stays as it is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContactPatch {
    /// What people call it: a line of at most 200 characters.
    #[serde(default, deserialize_with = "gate::patch::nullable")]
    #[schemars(with = "Option<String>", length(min = 1, max = MAX_NAME), regex(pattern = LINE_PATTERN))]
    name: Option<Option<String>>,
    /// Its address.
    #[serde(default, deserialize_with = "gate::patch::nullable")]
    #[schemars(with = "Option<String>", length(min = 3, max = MAX_EMAIL), regex(pattern = EMAIL_PATTERN))]
    email: Option<Option<String>>,
    /// Its number.
    #[serde(default, deserialize_with = "gate::patch::nullable")]
    #[schemars(with = "Option<String>", length(min = 3, max = MAX_PHONE), regex(pattern = PHONE_PATTERN))]
    phone: Option<Option<String>>,
    /// Your own name for it, unique in its environment.
    #[serde(default, deserialize_with = "gate::patch::nullable")]
    #[schemars(with = "Option<String>", length(min = 1, max = MAX_EXTERNAL_ID), regex(pattern = LINE_PATTERN))]
    external_id: Option<Option<String>>,
    /// All of its labels: those that are not named go.
    #[serde(default)]
    #[schemars(length(max = MAX_TAGS), inner(length(min = 1, max = MAX_TAG), regex(pattern = LINE_PATTERN)))]
    tags: Option<Vec<String>>,
    /// All of its custom fields: those that are not named go.
    #[serde(default)]
    #[schemars(schema_with = "nullable_custom_fields")]
    custom_fields: Option<Map<String, Value>>,
    /// Whether it is out of the way: archived contacts are listed where they are asked for.
    #[serde(default)]
    archived: Option<bool>,
}

fn custom_fields(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": MAX_CUSTOM_FIELDS,
        "propertyNames": {"minLength": 1, "maxLength": MAX_CUSTOM_NAME},
        "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
    })
}

fn nullable_custom_fields(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = custom_fields(generator);
    schema.insert("type".to_owned(), json!(["object", "null"]));
    schema
}

/// A customer's customer.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Contact {
    /// Its id.
    id: ContactId,
    /// What people call it.
    name: Option<String>,
    /// Its address.
    email: Option<String>,
    /// Its number: digits, perhaps behind a `+`.
    phone: Option<String>,
    /// Your own name for it.
    external_id: Option<String>,
    /// Labels, in order.
    tags: Vec<String>,
    /// Whatever else you know.
    custom_fields: Map<String, Value>,
    /// When it was made.
    created_at: Millis,
    /// When it last changed.
    updated_at: Millis,
    /// Since when it is out of the way.
    archived_at: Option<Millis>,
}

impl Contact {
    /// As texts, in the order of its fields: labels with commas between them, as an import reads them, and custom
    /// fields as JSON.
    pub(super) fn cells(self) -> [String; 10] {
        let custom =
            if self.custom_fields.is_empty() { String::new() } else { Value::from(self.custom_fields).to_string() };
        [
            self.id.to_string(),
            self.name.unwrap_or_default(),
            self.email.unwrap_or_default(),
            self.phone.unwrap_or_default(),
            self.external_id.unwrap_or_default(),
            self.tags.join(","),
            custom,
            self.created_at.to_string(),
            self.updated_at.to_string(),
            self.archived_at.map(|at| at.to_string()).unwrap_or_default(),
        ]
    }
}

impl From<ContactRecord> for Contact {
    fn from(record: ContactRecord) -> Self {
        Self {
            id: record.id,
            name: record.name,
            email: record.email,
            phone: record.phone,
            external_id: record.external_id,
            tags: record.tags,
            custom_fields: record.custom_fields,
            created_at: record.created_at,
            updated_at: record.updated_at,
            archived_at: record.archived_at,
        }
    }
}

/// What is wrong, by field.
#[derive(Default)]
struct Checks(Vec<FieldError>);

impl Checks {
    /// The form in which a text is stored.
    fn text(&mut self, field: &str, text: Option<String>, check: fn(&str) -> Result<String, String>) -> Option<String> {
        check(&text?).map_err(|message| self.0.push(FieldError::new(field, message))).ok()
    }

    fn tags(&mut self, tags: Vec<String>) -> Vec<String> {
        if tags.len() > MAX_TAGS {
            self.0.push(FieldError::new("tags", format!("must be at most {MAX_TAGS}")));
            return Vec::new();
        }
        let checked = tags.into_iter().enumerate();
        checked.filter_map(|(n, tag)| self.text(&format!("tags[{n}]"), Some(tag), ::contacts::tag)).collect()
    }

    fn custom(&mut self, fields: &Map<String, Value>) {
        if let Err(message) = ::contacts::check_custom(fields) {
            self.0.push(FieldError::new("custom_fields", message));
        }
    }
}

impl NewContact {
    pub(super) fn checked(self) -> Result<NewRecord, Problem> {
        let mut checks = Checks::default();
        if [&self.name, &self.email, &self.phone, &self.external_id].into_iter().all(Option::is_none) {
            let text = "is missing, and so are `email`, `phone` and `external_id`: one of them is needed";
            checks.0.push(FieldError::new("name", text));
        }
        checks.custom(&self.custom_fields);
        let record = NewRecord {
            name: checks.text("name", self.name, ::contacts::name),
            email: checks.text("email", self.email, ::contacts::email),
            phone: checks.text("phone", self.phone, ::contacts::phone),
            external_id: checks.text("external_id", self.external_id, ::contacts::external_id),
            tags: checks.tags(self.tags),
            custom_fields: self.custom_fields,
        };
        input::done(checks.0).map(|()| record)
    }
}

impl ContactPatch {
    pub(super) fn checked(self) -> Result<ContactChange, Problem> {
        let mut checks = Checks::default();
        self.custom_fields.iter().for_each(|fields| checks.custom(fields));
        let change = ContactChange {
            name: self.name.map(|text| checks.text("name", text, ::contacts::name)),
            email: self.email.map(|text| checks.text("email", text, ::contacts::email)),
            phone: self.phone.map(|text| checks.text("phone", text, ::contacts::phone)),
            external_id: self.external_id.map(|text| checks.text("external_id", text, ::contacts::external_id)),
            tags: self.tags.map(|tags| checks.tags(tags)),
            custom_fields: self.custom_fields,
            archived: self.archived,
        };
        input::done(checks.0).map(|()| change)
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        let sent = [
            ("name", self.name.is_some()),
            ("email", self.email.is_some()),
            ("phone", self.phone.is_some()),
            ("external_id", self.external_id.is_some()),
            ("tags", self.tags.is_some()),
            ("custom_fields", self.custom_fields.is_some()),
            ("archived", self.archived.is_some()),
        ];
        sent.into_iter().filter_map(|(name, sent)| sent.then_some(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(body: Value) -> Vec<String> {
        let refused = serde_json::from_value::<NewContact>(body).unwrap().checked().unwrap_err();
        refused.errors().iter().map(|error| error.field.clone()).collect()
    }

    #[test]
    fn every_field_that_is_wrong_is_named() {
        let body = json!({
            "name": " ", "email": "nobody", "phone": "12", "external_id": "a\nb", "tags": ["a", "x".repeat(51)],
            "custom_fields": {"a": []},
        });
        assert_eq!(wrong(body), ["custom_fields", "name", "email", "phone", "external_id", "tags[1]"]);
        assert_eq!(wrong(json!({"tags": ["a"]})), ["name"]);
        assert_eq!(wrong(json!({"name": null})), ["name"]);
        assert_eq!(wrong(json!({"name": "a", "tags": vec!["a"; 51]})), ["tags"]);
        assert!(serde_json::from_value::<NewContact>(json!({"name": "a", "archived_at": null})).is_err());
    }

    #[test]
    fn null_clears_and_absence_leaves() {
        let patch: ContactPatch = serde_json::from_value(json!({"email": null, "phone": "+49 30 1"})).unwrap();
        assert_eq!(patch.names(), ["email", "phone"]);
        let change = patch.checked().unwrap();
        assert_eq!((change.name, change.email, change.phone), (None, Some(None), Some(Some("+49301".to_owned()))));
    }
}
