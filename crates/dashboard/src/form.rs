//! What a page's form sends.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// The pairs of a form, in their order; a name may come more than once.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// The first value of a name without spaces around it; empty when it is missing.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// The first value as it was sent: a password, a text of many lines.
    pub(crate) fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(of, _)| of == name).map_or("", |(_, value)| value.as_str())
    }

    /// The text, unless nothing was typed in.
    pub(crate) fn some(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// Every value of a name that says something: ticked boxes.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let values = self.0.iter().filter(|(of, _)| of == name).map(|(_, value)| value.trim());
        values.filter(|value| !value.is_empty()).collect()
    }

    /// The lines of a text field, and what stands between commas in them.
    pub(crate) fn lines(&self, name: &str) -> Vec<&str> {
        let parts = self.raw(name).split(['\n', '\r', ',']).map(str::trim);
        parts.filter(|part| !part.is_empty()).collect()
    }

    /// Whether a box is ticked.
    pub(crate) fn flag(&self, name: &str) -> bool {
        !self.text(name).is_empty()
    }

    /// A number as JSON; what is none is sent on as text, and the API says what is wrong with it.
    pub(crate) fn number(&self, name: &str) -> Option<Value> {
        self.some(name).map(|text| text.parse::<i64>().map_or_else(|_| json!(text), Value::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_by_its_names() {
        let pairs = [("name", " Ada "), ("scopes", "bots:read"), ("scopes", ""), ("scopes", "chat:write"), ("n", "x7")];
        let form = Form(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
        assert_eq!((form.text("name"), form.raw("name"), form.some("missing")), ("Ada", " Ada ", None));
        assert_eq!(form.all("scopes"), ["bots:read", "chat:write"]);
        assert!(form.flag("name") && !form.flag("missing"));
        assert_eq!(form.number("n"), Some(json!("x7")));
    }

    #[test]
    fn lines_are_parts_between_line_ends_and_commas() {
        let form = Form(vec![("ips".to_owned(), "10.0.0.1\r\n , 10.0.0.0/8,\n".to_owned())]);
        assert_eq!(form.lines("ips"), ["10.0.0.1", "10.0.0.0/8"]);
    }
}
