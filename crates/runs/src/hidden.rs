//! Secrets that a tool was sent, taken out of what it answers. Best effort: what a tool makes of them by
//! arithmetic, or piece by piece, nobody can know.

use std::fmt::Write as _;

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD};
use serde_json::{Number, Value};

/// What stands where a tool answered with a secret that it was sent.
const HIDDEN: &str = "[secret]";
/// Shorter values are words of any text: they are left where they are.
const MIN_HIDDEN: usize = 8;
/// The most forms that are looked for, the longest first: each is one search of the whole answer.
const MAX_FORMS: usize = 256;

/// The forms in which secrets may come back.
pub(crate) struct Secrets(Vec<String>);

impl Secrets {
    /// Of the values of headers.
    pub(crate) fn of<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        let mut plain = Vec::new();
        for value in values {
            plain.push(value.to_owned());
            // With a scheme before it, `Bearer …`, the secret is what stands behind.
            if let Some((scheme, secret)) = value.split_once(' ') {
                plain.push(secret.trim().to_owned());
                if scheme.eq_ignore_ascii_case("basic")
                    && let Some(decoded) = decode(secret.trim())
                {
                    plain.extend(
                        decoded
                            .split_once(':')
                            .map(|(name, word)| [name.to_owned(), word.to_owned()])
                            .into_iter()
                            .flatten(),
                    );
                    plain.push(decoded);
                }
            }
            // Of `a=b; c=d` and `Digest k="…", …`, each.
            let pieces = value.split([' ', '\t', ',', ';', '=']).map(|piece| piece.trim_matches(['"', '\'']));
            plain.extend(pieces.map(str::to_owned));
        }
        let mut forms: Vec<String> = plain
            .into_iter()
            .filter(|secret| secret.len() >= MIN_HIDDEN)
            .flat_map(|secret| {
                // Some writers of JSON escape the slash, too.
                let slashed = quoted(&secret).replace('/', "\\/");
                [percent(&secret, false), percent(&secret, true), slashed, quoted(&secret), secret]
            })
            .collect();
        // The whole before its parts.
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        forms.truncate(MAX_FORMS);
        Self(forms)
    }

    /// Takes them out of texts, names and numbers.
    pub(crate) fn hide(&self, answer: &mut Value) {
        match answer {
            Value::String(text) if self.are_in(text) => *text = self.without(text),
            Value::Number(number) if self.are_number(number) => *answer = Value::String(HIDDEN.to_owned()),
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide(item)),
            Value::Object(members) => {
                members.values_mut().for_each(|item| self.hide(item));
                if members.keys().any(|name| self.are_in(name)) {
                    let shown = std::mem::take(members).into_iter();
                    *members = shown.map(|(name, item)| (self.without(&name), item)).collect();
                }
            }
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn are_in(&self, text: &str) -> bool {
        text.len() >= MIN_HIDDEN && self.0.iter().any(|secret| text.contains(secret.as_str()))
    }

    fn without(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), HIDDEN))
    }

    /// Also one so long that it was rounded.
    fn are_number(&self, number: &Number) -> bool {
        let is_same = |secret: &String| match (secret.parse::<f64>(), number.as_f64()) {
            (Ok(secret), Some(number)) => secret.total_cmp(&number).is_eq(),
            _ => false,
        };
        self.are_in(&number.to_string()) || self.0.iter().any(is_same)
    }
}

fn decode(text: &str) -> Option<String> {
    let encodings = [BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD];
    let bytes = encodings.iter().find_map(|encoding| encoding.decode(text.as_bytes()).ok())?;
    String::from_utf8(bytes).ok()
}

/// As in a query (RFC 3986, 2.1), or in a form, where a blank is `+`.
fn percent(text: &str, is_form: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            b' ' if is_form => out.push('+'),
            // A text takes whatever is written into it.
            _ => _ = write!(out, "%{byte:02X}"),
        }
    }
    out
}

/// As within a text of JSON.
fn quoted(text: &str) -> String {
    let json = Value::String(text.to_owned()).to_string();
    json.get(1..json.len() - 1).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hidden(values: &[&str], mut answer: Value) -> Value {
        Secrets::of(values.iter().copied()).hide(&mut answer);
        answer
    }

    #[test]
    fn what_a_tool_answers_holds_no_secret_that_it_was_sent() {
        let answer = json!({
            "said": "you sent Bearer hunter2-hunter2!",
            "parts": ["hunter2-hunter2", {"hunter2-hunter2": 1, "short": "short"}],
        });
        let expected = json!({
            "said": "you sent [secret]!",
            "parts": ["[secret]", {"[secret]": 1, "short": "short"}],
        });
        assert_eq!(hidden(&["Bearer hunter2-hunter2", "short"], answer), expected);
    }

    #[test]
    fn a_secret_that_is_a_number_is_found_as_one() {
        let answer = json!([1_234_567_890, 1_234_567_891, 1234567890.0, -3, {"a": 9_912_345_078_901_u64}]);
        let expected = json!(["[secret]", 1_234_567_891, "[secret]", -3, {"a": 9_912_345_078_901_u64}]);
        assert_eq!(hidden(&["1234567890"], answer), expected);
        let rounded: Value = serde_json::from_str("[123456789012345678901234567890]").unwrap();
        assert_eq!(hidden(&["Token 123456789012345678901234567890"], rounded), json!(["[secret]"]));
    }

    #[test]
    fn the_pieces_of_a_value_are_secrets_too() {
        let cookie = "session=0123456789abcdef; theme=dark";
        assert_eq!(hidden(&[cookie], json!("0123456789abcdef in dark")), json!("[secret] in dark"));
        let digest = "Signature keyId=\"the-key-of-them\",signature='c2lnbmF0dXJl'";
        let answer = json!(["the-key-of-them", "c2lnbmF0dXJl", "Signature"]);
        assert_eq!(hidden(&[digest], answer), json!(["[secret]", "[secret]", "[secret]"]));
    }

    #[test]
    fn basic_is_hidden_decoded_whole_and_by_halves() {
        // `somebody:correct horse`
        let basic = "Basic c29tZWJvZHk6Y29ycmVjdCBob3JzZQ==";
        let answer = json!(["somebody:correct horse", "somebody", "correct horse", "c29tZWJvZHk6Y29ycmVjdCBob3JzZQ"]);
        assert_eq!(hidden(&[basic], answer), json!(["[secret]", "[secret]", "[secret]", "[secret]"]));
    }

    #[test]
    fn an_encoded_secret_is_hidden() {
        let secret = "Bearer a/b+c\"d e&f";
        let answer = json!(["?k=a%2Fb%2Bc%22d%20e%26f", "k=a%2Fb%2Bc%22d+e%26f", "{\"k\": \"a/b+c\\\"d e&f\"}"]);
        assert_eq!(hidden(&[secret], answer), json!(["?k=[secret]", "k=[secret]", "{\"k\": \"[secret]\"}"]));
    }

    #[test]
    fn only_so_many_forms_are_looked_for() {
        let many: Vec<String> = (0..2000).map(|n| format!("piece-{n:04}")).collect();
        assert_eq!(Secrets::of([many.join(" ").as_str()].into_iter()).0.len(), MAX_FORMS);
    }
}
