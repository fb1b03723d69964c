//! A definition as text: written so that people can read it, and its faults with their lines.

use std::collections::BTreeMap;

use gate::FieldError;
use serde_json::{Map, Value};

/// Characters of a line, before what is in it is spread over more.
const WIDTH: usize = 100;
/// Characters of a line that are shown beside a fault.
const EXCERPT: usize = 120;

/// What is wrong with a definition, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// From 1; 0 when there is no such line.
    pub(crate) line: usize,
    /// A JSON pointer (RFC 6901) into the definition.
    pub(crate) place: String,
    pub(crate) message: String,
    /// What stands in that line.
    pub(crate) excerpt: String,
}

/// Reads what was typed in.
///
/// # Errors
/// The one fault of a text that is no JSON.
pub(crate) fn parse(text: &str) -> Result<Value, Fault> {
    serde_json::from_str(text).map_err(|error| {
        let said = error.to_string();
        let what = said.split(" at line ").next().unwrap_or_default();
        let message = format!("This is no JSON: {what}, at column {}", error.column());
        Fault { line: error.line(), place: String::new(), message, excerpt: line_of(text, error.line()) }
    })
}

/// The faults of a definition among those of a body that holds it as `definition`, with their lines in the text.
pub(crate) fn faults(text: &str, errors: &[FieldError]) -> Vec<Fault> {
    let lines = places(text);
    let own = |error: &FieldError| {
        let place = error.field.strip_prefix("/definition").or((error.field == "definition").then_some(""))?;
        // What is missing has no line: that of what it is missing from.
        let mut at = place;
        let line = loop {
            match lines.get(at) {
                Some(line) => break *line,
                None => at = at.rsplit_once('/')?.0,
            }
        };
        Some(Fault { line, place: place.to_owned(), message: error.message.clone(), excerpt: line_of(text, line) })
    };
    let mut faults: Vec<Fault> = errors.iter().filter_map(own).collect();
    faults.sort_by_key(|fault| fault.line);
    faults
}

fn line_of(text: &str, line: usize) -> String {
    let line = line.checked_sub(1).and_then(|before| text.lines().nth(before)).unwrap_or_default().trim();
    let mut shown: String = line.chars().take(EXCERPT).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    shown
}

/// In which line each value of a text that is JSON begins, by its pointer.
fn places(text: &str) -> BTreeMap<String, usize> {
    let mut scan = Scan { text, at: 0, line: 1, places: BTreeMap::new() };
    // The scan follows texts that were read; of any other it finds less.
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        scan.value(&mut String::new());
    }
    scan.places
}

struct Scan<'t> {
    text: &'t str,
    at: usize,
    line: usize,
    places: BTreeMap<String, usize>,
}

impl Scan<'_> {
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at)? {
                b'\n' => self.line += 1,
                b' ' | b'\t' | b'\r' => {}
                other => return Some(*other),
            }
            self.at += 1;
        }
    }

    /// A text in quotes, as it is written.
    fn string(&mut self) -> &str {
        let begin = self.at;
        self.at += 1;
        while let Some(byte) = self.text.as_bytes().get(self.at) {
            self.at += if *byte == b'\\' { 2 } else { 1 };
            if *byte == b'"' {
                break;
            }
        }
        self.text.get(begin..self.at).unwrap_or_default()
    }

    fn value(&mut self, path: &mut String) {
        let Some(first) = self.peek() else { return };
        self.places.insert(path.clone(), self.line);
        match first {
            b'{' | b'[' => self.members(path, first == b'{'),
            b'"' => {
                self.string();
            }
            _ => {
                while self.text.as_bytes().get(self.at).is_some_and(|byte| !b",]} \n\r\t".contains(byte)) {
                    self.at += 1;
                }
            }
        }
    }

    fn members(&mut self, path: &mut String, is_object: bool) {
        let here = path.len();
        for index in 0.. {
            // Behind the bracket or the comma.
            self.at += 1;
            match self.peek() {
                None => return,
                Some(b']' | b'}') => break,
                Some(_) => {}
            }
            path.push('/');
            if is_object {
                let name: String = serde_json::from_str(self.string()).unwrap_or_default();
                path.push_str(&name.replace('~', "~0").replace('/', "~1"));
                // The colon.
                self.peek();
                self.at += 1;
            } else {
                path.push_str(&index.to_string());
            }
            self.value(path);
            path.truncate(here);
            if self.peek() != Some(b',') {
                break;
            }
        }
        self.at += 1;
    }
}

/// Where a member of a node is written: what it is before what is in it.
fn rank(name: &str) -> usize {
    const FIRST: [&str; 8] = ["type", "id", "name", "when", "title", "participants", "inputs", "role"];
    const LAST: [&str; 3] = ["branches", "children", "else"];
    let first = FIRST.iter().position(|one| *one == name);
    let last = || LAST.iter().position(|one| *one == name).map(|place| FIRST.len() + 1 + place);
    first.or_else(last).unwrap_or(FIRST.len())
}

fn ordered(members: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut ordered: Vec<_> = members.iter().collect();
    ordered.sort_by_key(|(name, _)| rank(name));
    ordered
}

/// A definition in lines, the same ones for the same definition.
pub(crate) fn pretty(value: &Value) -> String {
    let mut out = String::new();
    write(value, 0, &mut out);
    out
}

fn write(value: &Value, depth: usize, out: &mut String) {
    let open = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    let flat = flat(value);
    if depth > 0 && flat.chars().count() + 2 * depth <= WIDTH {
        out.push_str(&flat);
        return;
    }
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (n, (name, inner)) in ordered(members).into_iter().enumerate() {
                out.push(if n == 0 { '{' } else { ',' });
                open(out, depth + 1);
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push_str(": ");
                write(inner, depth + 1, out);
            }
            open(out, depth);
            out.push('}');
        }
        Value::Array(values) if !values.is_empty() => {
            for (n, inner) in values.iter().enumerate() {
                out.push(if n == 0 { '[' } else { ',' });
                open(out, depth + 1);
                write(inner, depth + 1, out);
            }
            open(out, depth);
            out.push(']');
        }
        _ => out.push_str(&flat),
    }
}

/// In one line.
fn flat(value: &Value) -> String {
    match value {
        Value::Object(members) if !members.is_empty() => {
            let member = |(name, inner): (&String, &Value)| format!("{}: {}", Value::from(name.as_str()), flat(inner));
            format!("{{ {} }}", ordered(members).into_iter().map(member).collect::<Vec<_>>().join(", "))
        }
        Value::Array(values) => format!("[{}]", values.iter().map(flat).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT: &str = "{\n  \"type\": \"Workflow\",\n  \"a/b\": {\"~\": [1,\n 2]},\n  \"children\": [\n    {},\n    \
                        {\"id\": \"q\\\"{\",\n     \"prompt\": \"x\"}\n  ]\n}";

    #[test]
    fn every_value_has_its_line() {
        let places = places(TEXT);
        let line = |pointer: &str| places.get(pointer).copied();
        assert_eq!((line(""), line("/type"), line("/a~1b"), line("/a~1b/~0/1")), (Some(1), Some(2), Some(3), Some(4)));
        assert_eq!((line("/children"), line("/children/0"), line("/children/1")), (Some(5), Some(6), Some(7)));
        assert_eq!((line("/children/1/prompt"), line("/children/1/id")), (Some(8), Some(7)));
        assert_eq!((places.len(), line("/children/2")), (11, None));
        assert!(super::places("{\"a\": [1, ").is_empty());
    }

    #[test]
    fn a_fault_stands_where_it_is_or_where_something_is_missing() {
        let error = |field: &str| FieldError::new(field, "is wrong");
        let fields = ["/definition/children/1/role", "name", "/definition/type", "/definition", "definition"];
        let found: Vec<_> =
            faults(TEXT, &fields.map(error)).into_iter().map(|one| (one.line, one.place, one.excerpt)).collect();
        let expected = [
            (1, "", "{"),
            (1, "", "{"),
            (2, "/type", "\"type\": \"Workflow\","),
            (7, "/children/1/role", "{\"id\": \"q\\\"{\","),
        ];
        assert_eq!(found, expected.map(|(line, place, excerpt)| (line, place.to_owned(), excerpt.to_owned())));
    }

    #[test]
    fn what_is_no_json_has_its_line_too() {
        let fault = parse("{\n  \"type\": \"Workflow\",\n}").unwrap_err();
        assert_eq!((fault.line, fault.excerpt.as_str()), (3, "}"));
        assert!(fault.message.starts_with("This is no JSON: trailing comma, at column"), "{}", fault.message);
        assert_eq!(parse(" {} ").unwrap(), json!({}));
    }

    #[test]
    fn what_a_node_is_stands_before_what_is_in_it() {
        let long = "x".repeat(90);
        let value = json!({"children": [{"text": "Hi", "id": "a", "type": "Message"}, {"type": "Message", "text": long}],
            "participants": [], "id": "w", "type": "Workflow"});
        let text = pretty(&value);
        let expected = "{\n  \"type\": \"Workflow\",\n  \"id\": \"w\",\n  \"participants\": [],\n  \"children\": [\n    \
                        { \"type\": \"Message\", \"id\": \"a\", \"text\": \"Hi\" },\n    {\n      \"type\": \"Message\",\n      \
                        \"text\": \"";
        assert!(text.starts_with(expected), "{text}");
        assert_eq!(parse(&text).unwrap(), value);
        assert_eq!(pretty(&json!({})), "{}");
    }
}
