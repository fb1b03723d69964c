use gate::Problem;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::text::units;

const MAX_SESSION: usize = 128;
const MAX_UNITS: usize = 4000;

/// A visitor's message. Other fields are ignored.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message {
    /// Your name for the visitor: one conversation each.
    #[schemars(regex(pattern = "^[A-Za-z0-9._:-]{1,128}$"))]
    pub(crate) session_id: String,
    /// The text, 1 to 4,000 UTF-16 units.
    #[schemars(length(min = 1, max = 4000))]
    pub(crate) message: String,
    /// Who answers, under a `tk_widget_` key: a `bot_…` id. Without one: your oldest bot.
    #[serde(default)]
    pub(crate) agent_id: Option<String>,
}

impl Message {
    /// # Errors
    /// 400, whatever is wrong.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        let session = &self.session_id;
        if session.is_empty() || session.len() > MAX_SESSION || !session.bytes().all(is_name) {
            return Err(Problem::invalid_request("sessionId must be 1 to 128 of A-Z, a-z, 0-9 and ._:-"));
        }
        if !(1..=MAX_UNITS).contains(&units(&self.message)) {
            return Err(Problem::invalid_request("message must be 1 to 4000 UTF-16 units"));
        }
        // PostgreSQL has no room for it in a text.
        if self.message.contains('\0') {
            return Err(Problem::invalid_request("message must not contain the character U+0000"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(session: &str, message: &str) -> bool {
        let message = Message { session_id: session.to_owned(), message: message.to_owned(), agent_id: None };
        message.check().is_ok()
    }

    #[test]
    fn a_session_is_a_short_name() {
        for good in ["a", "A.b_c:d-9", &"x".repeat(128), "..", "-"] {
            assert!(accepts(good, "hi"), "{good}");
        }
        for bad in ["", &"x".repeat(129), "a b", "a/b", "a\n", "ü", "a;b", "%41", "😀"] {
            assert!(!accepts(bad, "hi"), "{bad:?}");
        }
    }

    #[test]
    fn a_message_is_measured_as_javascript_measures_it() {
        let faces = |count: usize| "😀".repeat(count);
        for good in ["a", " ", "\u{feff}", &"ü".repeat(4000), &faces(2000), &format!("{}ab", faces(1999))] {
            assert!(accepts("s", good), "{} units", units(good));
        }
        for bad in ["", &"a".repeat(4001), &faces(2001), &format!("{}a", faces(2000)), "a\0b"] {
            assert!(!accepts("s", bad), "{} units", units(bad));
        }
    }

    #[test]
    fn other_fields_are_ignored() {
        let text = r#"{"sessionId":"s","message":"m","page":"/","nested":{"a":[1]}}"#;
        assert!(serde_json::from_str::<Message>(text).is_ok());
        for wrong in [r#"{"sessionId":"s"}"#, r#"{"sessionId":1,"message":"m"}"#, r#"{"session_id":"s","message":"m"}"#]
        {
            assert!(serde_json::from_str::<Message>(wrong).is_err(), "{wrong}");
        }
    }
}
