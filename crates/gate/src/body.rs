//! From bytes to the operation's input, with errors that name the field.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use schemars::JsonSchema;
use serde::{
    Deserialize,
    de::{self, DeserializeOwned},
};

use crate::{FieldError, Problem};

/// The input of an operation that takes none; whatever is sent is ignored.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
pub struct Nothing {}

/// The most pairs in a form of a page of ours, which has fewer controls: reading them is what a stranger's form costs.
const MAX_FORM_PAIRS: usize = 1000;

/// How long a body may take to arrive.
const BODY_DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);

/// Reads the whole body, at most `limit` bytes; a declared length over it is refused unread.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Problem> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limit as u64) {
        return Err(Problem::payload_too_large(limit));
    }
    match tokio::time::timeout(BODY_DEADLINE, Limited::new(body, limit).collect()).await {
        Err(_) => Err(Problem::request_timeout()),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(Problem::payload_too_large(limit)),
        Ok(Err(_)) => Err(Problem::invalid_request("The request body could not be read")),
    }
}

/// A body must say that it is JSON, or say nothing: a form from a page is not (ASVS 3.5.2).
pub(crate) fn check_media_type(headers: &HeaderMap, body: &Bytes) -> Result<(), Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    if body.is_empty() {
        return Ok(());
    }
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        Ok(())
    } else {
        Err(Problem::unsupported_media_type())
    }
}

/// A form must say that it is one: what a script sends as something else is not from our page.
pub(crate) fn check_form_type(headers: &HeaderMap) -> Result<(), Problem> {
    let essence = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()?.split(';').next());
    let is_form = essence.is_some_and(|text| text.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"));
    if is_form { Ok(()) } else { Err(Problem::not_a_form()) }
}

/// Fields that are missing or not what they should be are 422; more of them than a page has are 400.
pub(crate) fn parse_form<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // Counted before anything is read: a pair costs far more than its one byte.
    if body.iter().filter(|byte| **byte == b'&').count() >= MAX_FORM_PAIRS {
        return Err(Problem::invalid_request(format!("A form has {MAX_FORM_PAIRS} fields at most")));
    }
    let reader = serde_urlencoded::Deserializer::new(url::form_urlencoded::parse(body));
    serde_path_to_error::deserialize(reader).map_err(|error| {
        let path = error.path().to_string();
        Problem::validation(vec![named(&path, &error.into_inner().to_string())])
    })
}

/// An operation's input: an object.
pub(crate) fn parse_input<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // serde fills a struct from a list, too, member by member: nobody means that.
    if body.trim_ascii_start().first() == Some(&b'[') && serde_json::from_slice::<de::IgnoredAny>(body).is_ok() {
        return Err(Problem::validation(vec![FieldError::new(String::new(), "must be an object")]));
    }
    parse_json(body)
}

/// Malformed JSON is 400; JSON of a wrong shape is 422 and names the field. Nothing is `{}`.
pub(crate) fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let text: &[u8] = if body.is_empty() { b"{}" } else { body };
    read_json(text).or_else(|error| {
        // 17.0 is an integer to JSON Schema, and to callers whose language knows one kind of number.
        let is_fraction = error.inner().classify() == serde_json::error::Category::Data
            && error.inner().to_string().contains("floating point");
        let whole = if is_fraction { with_whole_numbers(text) } else { None };
        whole.map_or(Err(error), |text| read_json(&text)).map_err(|error| refusal(error, text))
    })
}

fn read_json<T: DeserializeOwned>(text: &[u8]) -> Result<T, serde_path_to_error::Error<serde_json::Error>> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let mut track = serde_path_to_error::Track::new();
    let value = T::deserialize(serde_path_to_error::Deserializer::new(&mut reader, &mut track));
    value
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| serde_path_to_error::Error::new(track.path(), error))
}

/// The same JSON, where a number without a fraction is written as an integer; nothing when there is none.
fn with_whole_numbers(text: &[u8]) -> Option<Vec<u8>> {
    fn walk(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Number(number) => {
                // Up to here a double holds every integer.
                let whole =
                    number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_991.0);
                if let (true, Some(float)) = (number.is_f64(), whole)
                    && let Ok(integer) = format!("{float:.0}").parse::<i64>()
                {
                    *number = integer.into();
                }
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(walk),
            serde_json::Value::Object(members) => members.values_mut().for_each(walk),
            _ => {}
        }
    }
    let mut value = serde_json::from_slice(text).ok()?;
    walk(&mut value);
    serde_json::to_vec(&value).ok()
}

fn refusal(error: serde_path_to_error::Error<serde_json::Error>, text: &[u8]) -> Problem {
    let path = error.path().to_string();
    let inner = error.into_inner();
    if inner.classify() != serde_json::error::Category::Data {
        return malformed(&inner);
    }
    // A wrong member is noticed before what follows it is read: broken JSON is broken first.
    match serde_json::from_slice::<de::IgnoredAny>(text) {
        Err(broken) => malformed(&broken),
        Ok(_) => Problem::validation(vec![named(&path, without_position(&inner.to_string()))]),
    }
}

/// The field that serde means: a missing one has no path of its own, and an unknown one not always.
fn named(path: &str, text: &str) -> FieldError {
    let path = if path == "." { "" } else { path };
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    if let Some(name) = text.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return FieldError::new(join(name), "is missing");
    }
    // What the caller wrote may hold any of these words; the last of them are serde's.
    let known = |rest: &'_ str| rest.rfind("`, expected ").or_else(|| rest.rfind("`, there are no fields"));
    if let Some(rest) = text.strip_prefix("unknown field `")
        && let Some(name) = known(rest).and_then(|end| rest.get(..end))
    {
        let has_it = path == name || path.strip_suffix(name).is_some_and(|before| before.ends_with('.'));
        return FieldError::new(if has_it { path.to_owned() } else { join(name) }, text);
    }
    let is_variant = text.starts_with("unknown variant `");
    match text.rsplit_once("`, expected ").filter(|_| is_variant) {
        Some((_, list)) => FieldError::new(path, format!("must be {list}")),
        None => FieldError::new(path, text),
    }
}

/// A wrong parameter is 400, and named.
pub(crate) fn parse_query<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let reader = serde_urlencoded::Deserializer::new(form_pairs(query));
    serde_path_to_error::deserialize(reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner().to_string();
        if path == "." {
            Problem::invalid_request(format!("The query is not valid: {inner}"))
        } else {
            Problem::invalid_request(format!("The query parameter `{path}` is not valid: {inner}"))
        }
    })
}

fn form_pairs(query: &str) -> url::form_urlencoded::Parse<'_> {
    url::form_urlencoded::parse(query.as_bytes())
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::invalid_request(format!("The body is not valid JSON, at line {} column {}", error.line(), error.column()))
}

/// serde ends its sentences with a position that means nothing next to a field's name.
fn without_position(text: &str) -> &str {
    text.rsplit_once(" at line ").map_or(text, |(text, _)| text)
}

/// Helpers for `PATCH` bodies.
pub mod patch {
    use serde::{Deserialize, Deserializer};

    /// Tells a member that is absent (`None`) from one that is `null` (`Some(None)`); use with
    /// `#[serde(default, deserialize_with = "gate::patch::nullable")]`.
    ///
    /// # Errors
    /// When the value is of another type.
    pub fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Option::deserialize(deserializer).map(Some)
    }
}

/// Checks of single fields, each answering the error to collect.
pub mod field {
    use crate::FieldError;

    /// Between `min` and `max` characters (Unicode scalar values), and no control characters.
    pub fn text(errors: &mut Vec<FieldError>, field: &str, value: &str, min: usize, max: usize) {
        let length = value.chars().count();
        if length < min || length > max {
            errors.push(FieldError::new(field, format!("must be {min} to {max} characters, and is {length}")));
        } else if value.chars().any(|c| c.is_control() && c != '\n' && c != '\r' && c != '\t') {
            errors.push(FieldError::new(field, "must not contain control characters"));
        }
    }

    /// Between `min` and `max`.
    pub fn range(errors: &mut Vec<FieldError>, field: &str, value: u64, min: u64, max: u64) {
        if value < min || value > max {
            errors.push(FieldError::new(field, format!("must be {min} to {max}, and is {value}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Thing {
        name: String,
        #[serde(default)]
        sizes: Vec<u32>,
    }

    fn code(body: &str) -> (u16, String) {
        let problem = parse_input::<Thing>(body.as_bytes()).unwrap_err();
        (problem.status().as_u16(), format!("{problem:?}"))
    }

    #[test]
    fn malformed_json_is_400_and_a_wrong_type_is_422_and_named() {
        assert_eq!(code("{").0, 400);
        assert_eq!(code("{\"name\":\"a\"} x").0, 400);
        let (status, text) = code("{\"name\":\"a\",\"sizes\":[1,\"x\"]}");
        assert!(status == 422 && text.contains("sizes[1]") && !text.contains("line"), "{text}");
        let (status, text) = code("{\"name\":\"a\",\"admin\":true}");
        assert!(status == 422 && text.contains("admin"), "{text}");
        for list in ["[]", " [\"a\", [1]]"] {
            assert_eq!(code(list).0, 422, "{list} is not filled in by position");
        }
        assert_eq!(code("[").0, 400);
        assert_eq!(code("").0, 422, "an absent body is an empty object, and lacks its name");
    }

    #[test]
    fn the_field_that_is_meant_is_named() {
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Size {
            Small,
            Large,
        }
        #[derive(Debug, Deserialize)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        enum Part {
            Wheel {
                #[expect(dead_code, reason = "only its errors are looked at")]
                size: Size,
            },
        }
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only its errors are looked at")]
        struct Whole {
            thing: Thing,
            #[serde(default)]
            parts: Vec<Part>,
        }
        let first = |body: &str| {
            let problem = parse_input::<Whole>(body.as_bytes()).unwrap_err();
            (problem.errors()[0].field.clone(), problem.errors()[0].message.clone())
        };
        let (name, missing) = ("{\"name\":\"a\"}", "is missing".to_owned());
        assert_eq!(first(""), ("thing".to_owned(), missing.clone()));
        assert_eq!(first("{\"thing\":{}}"), ("thing.name".to_owned(), missing.clone()));
        let of = |parts: &str| first(&format!("{{\"thing\":{name},\"parts\":[{parts}]}}"));
        assert_eq!(of("{\"kind\":\"wheel\"}"), ("parts[0].size".to_owned(), missing));
        let wrong = of("{\"kind\":\"wheel\",\"size\":\"a`, expected b at line 1\"}");
        assert!(wrong.0.starts_with("parts[0]") && wrong.1 == "must be `small` or `large`", "{wrong:?}");
        for (body, field) in [
            ("{\"admin\":1}", "admin"),
            ("{\"thing\":{\"thing\":1}}", "thing.thing"),
            ("{\"a`, expected b\":1}", "a`, expected b"),
        ] {
            let (named, text) = first(body);
            assert!(named == field && text.contains("expected `"), "{body}: {named}: {text}");
        }
    }

    #[test]
    fn broken_json_is_broken_whatever_stands_before_the_break() {
        for body in ["{\"x\"", "{\"x\":1", "{\"name\":1,", "{\"name\":\"a\",\"sizes\":[\"x\"}", "{\"x\":1} {"] {
            assert_eq!(code(body).0, 400, "{body}");
        }
        assert_eq!(code("{\"x\":1}").0, 422);
    }

    #[test]
    fn a_number_without_a_fraction_is_an_integer_however_it_is_written() {
        let thing = parse_json::<Thing>(b"{\"name\":\"17.0\",\"sizes\":[17.0,1e3]}").unwrap();
        assert_eq!((thing.name.as_str(), thing.sizes), ("17.0", vec![17, 1000]));
        for wrong in ["1.5", "-1.0", "1e300", "4294967296.0"] {
            assert_eq!(code(&format!("{{\"name\":\"a\",\"sizes\":[{wrong}]}}")).0, 422, "{wrong}");
        }
    }

    #[test]
    fn a_form_has_so_many_pairs_at_most() {
        let of = |pairs: usize| parse_form::<Vec<(String, String)>>(vec!["a=1"; pairs].join("&").as_bytes());
        assert_eq!(of(MAX_FORM_PAIRS).unwrap().len(), MAX_FORM_PAIRS);
        assert_eq!(of(MAX_FORM_PAIRS + 1).unwrap_err().status(), 400);
        assert!(parse_form::<Vec<(String, String)>>(b"").unwrap().is_empty());
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only its errors are looked at")]
        struct Page {
            page: u32,
        }
        let problem = parse_query::<Page>("page=x").unwrap_err();
        assert!(problem.status() == 400 && format!("{problem:?}").contains("page"));
    }
}
