//! Templates: text with references. Nothing in them is code, and what they give is never read again.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

use crate::limits::{MAX_REFERENCES, MAX_TEXT};

/// A parsed text with `{{references}}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Reference(Reference),
}

/// The words of a reference: `{{a.0.b}}` is `a`, `0`, `b`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference(pub(crate) Vec<String>);

/// What references are read from.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'s> {
    pub results: &'s BTreeMap<String, Value>,
    pub input: &'s Map<String, Value>,
    /// The round of the innermost loop.
    pub index: Option<u32>,
}

impl JsonSchema for Template {
    fn schema_name() -> Cow<'static, str> {
        "Template".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Text with references such as {{id}}, {{id.member}}, {{state.id}}, {{input.name}} and, in a loop, {{loop.index}}.",
        })
    }
}

impl Template {
    /// Reads a text; the error is a sentence for the author.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_TEXT {
            return Err(format!("Shorten the text to at most {MAX_TEXT} bytes."));
        }
        if text.contains('\0') {
            return Err("Take the NUL character out of the text.".to_owned());
        }
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, behind)) = rest.split_once("{{") {
            let Some((inside, after)) = behind.split_once("}}") else {
                return Err("Close the reference: `{{` needs a `}}` behind it.".to_owned());
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Reference(Reference::parse(inside.trim())?));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        let template = Self(parts);
        if template.references().count() > MAX_REFERENCES {
            return Err(format!("Use at most {MAX_REFERENCES} references in one text."));
        }
        Ok(template)
    }

    pub(crate) fn references(&self) -> impl Iterator<Item = &Reference> {
        self.0.iter().filter_map(|part| match part {
            Part::Reference(reference) => Some(reference),
            Part::Text(_) => None,
        })
    }

    /// The reference, when the text is nothing else.
    pub(crate) fn whole(&self) -> Option<&Reference> {
        match self.0.as_slice() {
            [Part::Reference(reference)] => Some(reference),
            _ => None,
        }
    }

    /// The text as it was written, but for blanks around references.
    pub(crate) fn source(&self) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Reference(reference) => format!("{{{{{}}}}}", reference.0.join(".")),
        };
        self.0.iter().map(part).collect()
    }

    /// The text before the first reference.
    pub(crate) fn literal_start(&self) -> &str {
        match self.0.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Text(text) if text.trim().is_empty()))
    }

    /// A lone reference keeps its JSON type (a missing one is the empty text); everything else is text.
    pub(crate) fn render<'s>(&'s self, scope: Scope<'s>) -> Cow<'s, Value> {
        match self.whole() {
            Some(reference) => scope.find(reference).unwrap_or_else(|| Cow::Owned(Value::from(""))),
            None => Cow::Owned(Value::from(self.render_text(scope))),
        }
    }

    /// Text of at most 16 KiB; what is missing or null is empty.
    pub(crate) fn render_text(&self, scope: Scope<'_>) -> String {
        self.render_with(scope, |text, out| out.push_str(text))
    }

    /// As text, with `insert` deciding how a value's text is written.
    pub(crate) fn render_with(&self, scope: Scope<'_>, insert: fn(&str, &mut String)) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Reference(reference) => {
                    if let Some(value) = scope.find(reference) {
                        insert(&text_of(&value), &mut out);
                    }
                }
            }
            if out.len() > MAX_TEXT {
                out.truncate(out.floor_char_boundary(MAX_TEXT));
                break;
            }
        }
        out
    }
}

impl Reference {
    fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<String> = text.split('.').map(str::to_owned).collect();
        let fits =
            |word: &String| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
        if words.len() > 10 || !words.iter().all(fits) {
            return Err(format!(
                "Write `{{{{{}}}}}` as a reference such as {{{{id}}}}, {{{{id.member}}}} or {{{{input.name}}}}; filters and code do not exist here.",
                text.chars().take(60).collect::<String>()
            ));
        }
        Ok(Self(words))
    }
}

impl<'s> Scope<'s> {
    /// What a reference stands for; nothing when there is no such value (yet).
    pub(crate) fn find(self, reference: &Reference) -> Option<Cow<'s, Value>> {
        let mut words = reference.0.iter().map(String::as_str);
        let found = match words.next()? {
            "loop" => return self.index.filter(|_| words.next() == Some("index")).map(|n| Cow::Owned(Value::from(n))),
            "input" => self.input.get(words.next()?)?,
            "state" => self.results.get(words.next()?)?,
            id => self.results.get(id)?,
        };
        words
            .try_fold(found, |value, word| match value {
                Value::Object(members) => members.get(word),
                Value::Array(items) => items.get(word.parse::<usize>().ok()?),
                _ => None,
            })
            .map(Cow::Borrowed)
    }
}

/// A value as people read it: lists with commas, objects as JSON.
pub(crate) fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => "".into(),
        Value::String(text) => text.into(),
        Value::Array(items) if !items.iter().any(|item| item.is_array() || item.is_object()) => {
            items.iter().map(text_of).collect::<Vec<_>>().join(", ").into()
        }
        other => other.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(text: &str) -> Value {
        let results = BTreeMap::from([
            ("name".to_owned(), json!("Ada {{secret}}")),
            ("score".to_owned(), json!(9)),
            ("many".to_owned(), json!(["a", "b"])),
            ("deep".to_owned(), json!({"list": [{"x": true}], "none": null})),
            ("secret".to_owned(), json!("hidden")),
        ]);
        let input = json!({"plan": "gold"});
        let scope = Scope { results: &results, input: input.as_object().unwrap(), index: Some(3) };
        Template::parse(text).unwrap().render(scope).into_owned()
    }

    #[test]
    fn a_lone_reference_keeps_its_type_and_the_rest_is_text() {
        assert_eq!(render("{{score}}"), json!(9));
        assert_eq!(render("{{ deep.list.0 }}"), json!({"x": true}));
        assert_eq!(render("{{score}} of 10"), json!("9 of 10"));
        assert_eq!(render("{{state.score}}/{{input.plan}}/{{loop.index}}"), json!("9/gold/3"));
        assert_eq!(render("{{many}}!"), json!("a, b!"));
        assert_eq!(render("x{{deep.list}}"), json!("x[{\"x\":true}]"));
    }

    #[test]
    fn what_is_missing_is_empty_and_what_came_in_is_not_read_again() {
        assert_eq!(render("{{nobody}}"), json!(""));
        assert_eq!(render("<{{deep.none}}{{deep.list.7}}{{score.x}}{{input.no}}>"), json!("<>"));
        assert_eq!(render("Hello {{name}}"), json!("Hello Ada {{secret}}"));
    }

    #[test]
    fn code_filters_and_open_braces_are_refused() {
        for text in ["{{a|upper}}", "{{a()}}", "{{}}", "{{a..b}}", "{{a", "{{{a}}}", "{{a b}}", "\0"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
        assert!(Template::parse(&"{{a}}".repeat(101)).is_err());
        assert!(Template::parse(&"x".repeat(MAX_TEXT + 1)).is_err());
    }

    #[test]
    fn a_rendered_text_is_cut_at_the_limit_on_a_character() {
        let results = BTreeMap::from([("a".to_owned(), json!("é".repeat(1000)))]);
        let empty = Map::new();
        let text = Template::parse(&format!("x{}", "{{a}}".repeat(50))).unwrap();
        let out = text.render_text(Scope { results: &results, input: &empty, index: None });
        assert!(out.len() <= MAX_TEXT && out.len() > MAX_TEXT - 3);
    }
}
