//! Input and Tool.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Object, Outcome, Parser};
use crate::{
    limits::MAX_JSON_DEPTH,
    model::{Input, InputType, Method, OnError, SelectOption, Tool},
    template::Template,
};

const INPUT_TYPES: [(&str, InputType); 10] = [
    ("text", InputType::Text),
    ("textarea", InputType::Textarea),
    ("select", InputType::Select),
    ("multiselect", InputType::Multiselect),
    ("rating", InputType::Rating),
    ("nps", InputType::Nps),
    ("boolean", InputType::Boolean),
    ("number", InputType::Number),
    ("date", InputType::Date),
    ("email", InputType::Email),
];

const METHODS: [(&str, Method); 5] = [
    ("GET", Method::Get),
    ("POST", Method::Post),
    ("PUT", Method::Put),
    ("PATCH", Method::Patch),
    ("DELETE", Method::Delete),
];

/// Headers that carry a secret, or that the HTTP client writes itself.
const FORBIDDEN_HEADERS: [&str; 12] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-api-key",
];

impl Parser {
    /// An Input; `alone` when it is a step of its own and not part of a form.
    pub(super) fn input(&mut self, object: &mut Object<'_>, id: String, alone: bool) -> Option<Input> {
        object.rename("an Input");
        let role = match (object.has("role"), self.roles.as_slice()) {
            (false, [only]) => Some(only.clone()),
            (false, _) => {
                self.faults.add(&object.path, object.node.as_ref(), format!("Add `role`. {}", self.roles_sentence()));
                None
            }
            (true, _) => self.role(object),
        };
        let prompt = self.need_template(object, "prompt");
        let input_type = object.choice("input_type", &INPUT_TYPES, &mut self.faults);
        let known = input_type.is_some() || !object.has("input_type");
        let input_type = input_type.unwrap_or_default();
        let options = self.options(object, input_type, known);
        let required = object.flag("required", true, &mut self.faults);
        let (min, max) = self.numbers(object, input_type, known);
        let (min_length, max_length) = self.lengths(object, input_type, known);
        if let Some(outcome) = self.ids.get_mut(&id) {
            *outcome = if input_type == InputType::Multiselect { Outcome::Any } else { Outcome::Value };
        }
        let (role, prompt) = (role?, prompt?);
        if alone {
            self.askers.insert(id.clone(), role.clone());
        }
        Some(Input { id, role, prompt, input_type, options, required, min, max, min_length, max_length })
    }

    fn options(&mut self, object: &mut Object<'_>, kind: InputType, known: bool) -> Vec<SelectOption> {
        let wanted = matches!(kind, InputType::Select | InputType::Multiselect);
        if object.has("options") && known && !wanted {
            object.add("options", &mut self.faults, "Take `options` out: they belong to a select or multiselect.");
        }
        let mut options: Vec<SelectOption> = Vec::new();
        for (path, value) in object.list("options", 100, &mut self.faults) {
            let Some(mut option) = Object::new(value, &path, object.node.as_ref(), "an option", &mut self.faults)
            else {
                continue;
            };
            option.need("value", &mut self.faults);
            let value = option.text("value", 200, &mut self.faults);
            let label = option.text("label", 200, &mut self.faults).or(value).unwrap_or_default().to_owned();
            option.finish(&mut self.faults);
            let Some(value) = value else { continue };
            if options.iter().any(|other| other.value == value) {
                option.add("value", &mut self.faults, "Give every option another value.");
            }
            options.push(SelectOption { value: value.to_owned(), label });
        }
        if wanted && options.is_empty() {
            self.faults.add(&object.path, object.node.as_ref(), "Add `options`, a list of `{value, label}`.");
        }
        options
    }

    fn numbers(&mut self, object: &mut Object<'_>, kind: InputType, known: bool) -> (Option<f64>, Option<f64>) {
        let bounds = match kind {
            InputType::Number => {
                let (min, max) = (object.number("min", &mut self.faults), object.number("max", &mut self.faults));
                if let (Some(least), Some(most)) = (min, max)
                    && least > most
                {
                    object.add("min", &mut self.faults, "Make `min` at most `max`.");
                }
                return (min, max);
            }
            InputType::Rating => (Some(1.0), Some(object.whole("max", 2, 10, &mut self.faults).map_or(5.0, f64::from))),
            InputType::Nps => (Some(0.0), Some(10.0)),
            _ => (None, None),
        };
        for name in ["min", "max"] {
            if object.has(name) && known && !(name == "max" && kind == InputType::Rating) {
                let message = format!("Take `{name}` out: `min` and `max` belong to a number, `max` also to a rating.");
                object.add(name, &mut self.faults, message);
            }
        }
        bounds
    }

    fn lengths(&mut self, object: &mut Object<'_>, kind: InputType, known: bool) -> (Option<u32>, Option<u32>) {
        let min = object.whole("min_length", 0, 4000, &mut self.faults);
        let max = object.whole("max_length", 1, 4000, &mut self.faults);
        if matches!(kind, InputType::Text | InputType::Textarea) {
            if let (Some(least), Some(most)) = (min, max)
                && least > most
            {
                object.add("min_length", &mut self.faults, "Make `min_length` at most `max_length`.");
            }
            return (min, max.or(Some(4000)));
        }
        for name in ["min_length", "max_length"] {
            if object.has(name) && known {
                object.add(name, &mut self.faults, format!("Take `{name}` out: it belongs to a text or textarea."));
            }
        }
        (None, None)
    }

    pub(super) fn tool(&mut self, object: &mut Object<'_>, id: String) -> Option<Tool> {
        object.rename("a Tool");
        let method = object.choice("method", &METHODS, &mut self.faults).unwrap_or_default();
        let url = self.need_template(object, "url");
        if url.as_ref().is_some_and(|url| !has_fixed_host(url.literal_start())) {
            let message = "Begin with https:// or http:// and the host, written out and followed by a `/`; \
                           templates may stand behind it. User names and passwords belong into a connection.";
            object.add("url", &mut self.faults, message);
        }
        let headers = self.headers(object);
        let body = object.get("body").cloned();
        if let Some(body) = &body {
            if method == Method::Get {
                object.add("body", &mut self.faults, "Take `body` out, or use another method than GET.");
            }
            self.body_templates(&object.at("body"), object.node.as_ref(), body, 1);
        }
        let connection = object.text("connection", 64, &mut self.faults).map(str::to_owned);
        let timeout_seconds = object.whole("timeout_seconds", 1, 120, &mut self.faults).unwrap_or(30);
        let retries = object.whole("retries", 0, 5, &mut self.faults).unwrap_or(2);
        let choices = [("fail", OnError::Fail), ("continue", OnError::Continue)];
        let on_error = object.choice("on_error", &choices, &mut self.faults).unwrap_or_default();
        self.has_members(&id, ["status", "body", "error"].map(str::to_owned).to_vec());
        self.connections.extend(connection.clone());
        Some(Tool { id, method, url: url?, headers, body, connection, timeout_seconds, retries, on_error })
    }

    fn headers(&mut self, object: &mut Object<'_>) -> BTreeMap<String, Template> {
        let mut headers = BTreeMap::new();
        for (name, path, value) in object.map("headers", 20, &mut self.faults) {
            let lower = name.to_ascii_lowercase();
            if !(1..=100).contains(&lower.len()) || !lower.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                let message = "Name the header with letters, digits and `-`.";
                self.faults.add(&path, object.node.as_ref(), message);
            } else if FORBIDDEN_HEADERS.contains(&lower.as_str()) {
                let message = "Take this header out: secrets belong into a connection, the rest is written for you.";
                self.faults.add(&path, object.node.as_ref(), message);
            }
            match value.as_str() {
                Some(text) => {
                    let template = self.template(&path, object.node.as_ref(), text);
                    if template.is_some_and(|template| headers.insert(lower, template).is_some()) {
                        self.faults.add(&path, object.node.as_ref(), "Write every header once.");
                    }
                }
                None => self.faults.add(&path, object.node.as_ref(), "Write the header's value as text."),
            }
        }
        headers
    }

    /// The body stays JSON; its texts are read as templates when it is sent, and checked here.
    fn body_templates(&mut self, path: &str, node: Option<&String>, value: &Value, depth: usize) {
        match value {
            Value::Array(_) | Value::Object(_) if depth > MAX_JSON_DEPTH => {
                self.faults.add(path, node, format!("Nest the body at most {MAX_JSON_DEPTH} deep."));
            }
            Value::String(text) => drop(self.template(path, node, text)),
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.body_templates(&format!("{path}/{at}"), node, item, depth + 1);
                }
            }
            Value::Object(members) => {
                for (name, item) in members {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    self.body_templates(&format!("{path}/{name}"), node, item, depth + 1);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// A template behind the host cannot send a connection's secrets elsewhere.
fn has_fixed_host(start: &str) -> bool {
    let Some(rest) = start.strip_prefix("https://").or_else(|| start.strip_prefix("http://")) else { return false };
    let Some((host, _)) = rest.split_once('/') else { return false };
    !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-.:[]_".contains(c))
}
