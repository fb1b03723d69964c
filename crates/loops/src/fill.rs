//! Addresses with `{places}` that a model's arguments fill. A model is no more trusted than whoever talks to it:
//! it fills a segment or a value, and never reaches another host, another path or another parameter.

use std::fmt::Write as _;

use outbound::Url;
use serde_json::{Map, Value};

/// The longest name of a place.
const MAX_NAME: usize = 64;

enum Piece<'a> {
    Text(&'a str),
    Place(&'a str),
}

/// Checks a template as it is saved: what it is with something in each place.
///
/// # Errors
/// With a sentence.
pub(crate) fn check(template: &str) -> Result<String, String> {
    let pieces = pieces(template)?;
    let scheme = template.find("://").map_or(0, |at| at + 3);
    let authority = template[scheme..].find(['/', '?']).map_or(template.len(), |at| scheme + at);
    if template[..authority].contains(['{', '}']) {
        return Err("has a place before its path: the host is not for a model to choose".to_owned());
    }
    Ok(pieces.iter().map(|piece| if let Piece::Text(text) = piece { text } else { "x" }).collect())
}

/// Fills the places and takes their arguments out.
///
/// # Errors
/// With a sentence for the model.
pub(crate) fn fill(template: &str, arguments: &mut Map<String, Value>) -> Result<Url, String> {
    let (mut filled, mut used) = (String::new(), Vec::new());
    for piece in pieces(template)? {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Place(name) => {
                let text = match arguments.get(name) {
                    Some(Value::String(text)) => text.clone(),
                    Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
                    Some(_) => return Err(format!("The argument `{name}` must be a text, a number or a boolean.")),
                    None => return Err(format!("The argument `{name}` is missing.")),
                };
                encode(&text, &mut filled);
                used.push(name.to_owned());
            }
        }
    }
    let parse = |text: &str| Url::parse(text).map_err(|_| "The address cannot be read.".to_owned());
    let (url, expected) = (parse(&filled)?, parse(&check(template)?)?);
    let segments = |url: &Url| -> Vec<String> {
        url.path_segments().map(|all| all.map(str::to_owned).collect()).unwrap_or_default()
    };
    let (reached, meant) = (segments(&url), segments(&expected));
    // `..` and `.` are steps in a path, however they are written, and nothing is the collection itself.
    let is_emptied = reached.iter().zip(&meant).any(|(reached, meant)| reached.is_empty() && !meant.is_empty());
    if url.origin() != expected.origin() || reached.len() != meant.len() || is_emptied {
        return Err("An argument would lead to another path.".to_owned());
    }
    for name in used {
        arguments.remove(&name);
    }
    Ok(url)
}

fn pieces(template: &str) -> Result<Vec<Piece<'_>>, String> {
    let (mut pieces, mut rest) = (Vec::new(), template);
    while let Some(open) = rest.find(['{', '}']) {
        let (text, tail) = rest.split_at(open);
        let place = tail.strip_prefix('{').and_then(|tail| tail.split_once('}'));
        let is_name = |name: &str| {
            !name.is_empty()
                && name.len() <= MAX_NAME
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let (name, tail) = place
            .filter(|(name, _)| is_name(name))
            .ok_or_else(|| "has a brace that is no place; a place is a name in braces, such as {city}".to_owned())?;
        pieces.extend([Piece::Text(text), Piece::Place(name)]);
        rest = tail;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

/// As RFC 3986, 2.1 has it: all but the unreserved.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            // A text takes whatever is written into it.
            _ => _ = write!(out, "%{byte:02X}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(template: &str, arguments: Value) -> Result<(String, usize), String> {
        let Value::Object(mut arguments) = arguments else { panic!("an object") };
        fill(template, &mut arguments).map(|url| (url.to_string(), arguments.len()))
    }

    #[test]
    fn places_are_filled_and_encoded_and_the_rest_is_left() {
        let template = "https://a.example/u/{id}/things?q={q}&n=1";
        let arguments = json!({"id": 7, "q": "a&b=c/ü d", "more": true});
        let want = "https://a.example/u/7/things?q=a%26b%3Dc%2F%C3%BC%20d&n=1";
        assert_eq!(filled(template, arguments), Ok((want.to_owned(), 1)));
    }

    #[test]
    fn an_argument_leads_to_no_other_path_host_or_parameter() {
        let template = "https://a.example/u/{id}/x";
        for step in ["..", ".", "%2e%2e"] {
            let done = filled(template, json!({"id": step}));
            assert!(done.is_err() || done.as_ref().is_ok_and(|(url, _)| url.ends_with("/u/%252e%252e/x")), "{done:?}");
        }
        assert!(filled("https://a.example/u/.{id}", json!({"id": "."})).is_err());
        for nothing in ["", ".", ".."] {
            assert!(filled("https://a.example/users/{id}", json!({"id": nothing})).is_err(), "{nothing}");
        }
        assert!(filled("https://a.example/users/?q={id}", json!({"id": ""})).is_ok(), "a value may be nothing");
        let inside = filled(template, json!({"id": "a/../../b?c#d@e\\f"})).unwrap().0;
        assert_eq!(inside, "https://a.example/u/a%2F..%2F..%2Fb%3Fc%23d%40e%5Cf/x");
        assert!(filled(template, json!({})).unwrap_err().contains("`id` is missing"));
        assert!(filled(template, json!({"id": {"a": 1}})).is_err());
    }

    #[test]
    fn a_template_has_places_behind_its_host_alone() {
        assert_eq!(check("https://a.example/{b}?c={d}").unwrap(), "https://a.example/x?c=x");
        for wrong in ["https://{host}/x", "https://a.example:{port}/", "https://a.{b}", "{url}", "https://a.example/{"]
        {
            assert!(check(wrong).is_err(), "{wrong}");
        }
        for wrong in ["https://a.example/{}", "https://a.example/{a b}", "https://a.example/a}", "https://a/{{a}}"] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
