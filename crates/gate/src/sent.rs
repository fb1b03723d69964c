use std::fmt;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Map, Value};

use crate::{Problem, body};

/// A request as it was sent, where whoever sent it may have signed it: the exact body, and the headers but
/// for credentials. Its `Debug` shows nothing of them.
#[derive(Clone)]
pub struct Sent {
    headers: HeaderMap,
    query: String,
    body: Bytes,
}

/// They are the gate's alone.
const CREDENTIALS: [&str; 6] =
    ["authorization", "proxy-authorization", "cookie", "x-api-key", "x-widget-api-key", "x-admin-api-key"];

impl Sent {
    pub(crate) fn new(headers: &HeaderMap, query: Option<&str>, body: Bytes) -> Self {
        let mut headers = headers.clone();
        for name in CREDENTIALS {
            headers.remove(name);
        }
        Self { headers, query: query.unwrap_or_default().to_owned(), body }
    }

    /// The exact bytes of the body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// A header of visible characters, when it was sent once.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    }

    /// The body as a value: JSON, or the fields of a form. Nothing is `{}`.
    ///
    /// # Errors
    /// 400 for malformed JSON, 415 for a body of another kind.
    pub fn value(&self) -> Result<Value, Problem> {
        if body::check_form_type(&self.headers).is_ok() {
            return Ok(fields(&self.body));
        }
        body::check_media_type(&self.headers, &self.body).map_err(|_| Problem::neither_json_nor_form())?;
        body::parse_json(&self.body)
    }

    /// The body as JSON, where nothing else is taken.
    ///
    /// # Errors
    /// 400 for malformed JSON, 415 for a body of another kind.
    pub fn json(&self) -> Result<Value, Problem> {
        body::check_media_type(&self.headers, &self.body)?;
        body::parse_json(&self.body)
    }

    /// The body as a value of this type, from JSON alone.
    ///
    /// # Errors
    /// 400 for malformed JSON, 415 for a body of another kind, 422 for one that does not fit.
    pub fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, Problem> {
        body::check_media_type(&self.headers, &self.body)?;
        body::parse_json(&self.body)
    }

    /// The query as a value.
    #[must_use]
    pub fn query(&self) -> Value {
        fields(self.query.as_bytes())
    }
}

/// A name that comes more than once has a list.
fn fields(text: &[u8]) -> Value {
    let mut fields = Map::new();
    for (name, value) in url::form_urlencoded::parse(text) {
        let value = Value::from(value.into_owned());
        match fields.get_mut(name.as_ref()) {
            None => {
                fields.insert(name.into_owned(), value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Value::Object(fields)
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use serde_json::json;

    use super::*;

    fn sent(headers: &[(&'static str, &'static str)], body: &'static str) -> Sent {
        let headers =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut map = HeaderMap::new();
        headers.for_each(|(name, value)| {
            map.append(name, value);
        });
        Sent::new(&map, Some("a=1&b=x%20y&a=2"), Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn json_and_forms_are_values_and_nothing_else_is() {
        let form = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        assert_eq!(
            sent(&form, "name=Ada&tag=a&tag=b&tag=c").value().unwrap(),
            json!({"name": "Ada", "tag": ["a", "b", "c"]})
        );
        assert_eq!(sent(&[("content-type", "application/cloudevents+json")], "[1]").value().unwrap(), json!([1]));
        assert_eq!(sent(&[], "{\"a\":1}").value().unwrap(), json!({"a": 1}));
        assert_eq!(sent(&[], "").value().unwrap(), json!({}));
        assert_eq!(sent(&[], "{").value().unwrap_err().status().as_u16(), 400);
        for other in ["text/plain", "application/xml", "multipart/form-data; boundary=x"] {
            assert_eq!(sent(&[("content-type", other)], "x").value().unwrap_err().status().as_u16(), 415, "{other}");
        }
        assert_eq!(sent(&[], "").query(), json!({"a": ["1", "2"], "b": "x y"}));
    }

    #[test]
    fn a_credential_is_no_header_and_a_header_that_comes_twice_is_none() {
        let sent = sent(
            &[
                ("authorization", "Bearer hunter2"),
                ("cookie", "a=hunter2"),
                ("x-once", "1"),
                ("x-twice", "1"),
                ("x-twice", "2"),
            ],
            "secret",
        );
        assert_eq!((sent.header("authorization"), sent.header("cookie")), (None, None));
        assert_eq!((sent.header("X-Once"), sent.header("x-twice")), (Some("1"), None));
        let shown = format!("{sent:?}");
        assert!(!shown.contains("secret") && !shown.contains("hunter2"), "{shown}");
    }
}
