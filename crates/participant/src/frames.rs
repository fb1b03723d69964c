//! What goes up and down a participant's WebSocket: JSON texts with a `type`.

use cluster::CutReason;
use gate::{FieldError, Problem, Socket};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::taking_part::{SeenEvent, View};

/// What a participant may say.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Up {
    /// The token, as the first message.
    Auth {
        token: String,
        #[serde(default)]
        after: Option<u64>,
    },
    /// The value of an input or a form.
    Answer { step: String, value: Value },
    /// Words to an agent.
    Say { step: String, text: String },
    /// The end of a dialogue.
    Done { step: String },
    /// The next token.
    #[serde(rename = "auth.renew")]
    Renew { token: String },
}

/// A message that came in: its `id`, to be said back, and what it says.
pub(crate) struct Said {
    pub(crate) id: Option<Value>,
    pub(crate) message: Result<Up, Problem>,
}

impl Said {
    /// Never fails: what is no message is answered, under its `id` if it has one.
    pub(crate) fn read(text: &str) -> Self {
        let no_message = || {
            let message =
                "Send an object whose `type` is auth, answer, say, done or auth.renew, and what belongs to it";
            Problem::invalid_request(message)
        };
        let Ok(Value::Object(mut members)) = serde_json::from_str(text) else {
            return Self { id: None, message: Err(no_message()) };
        };
        let id = members.remove("id").filter(|id| !id.is_null());
        // What serde says of it may repeat what was sent.
        let message = serde_json::from_value(Value::Object(members)).map_err(|_| no_message());
        Self { id, message }
    }
}

/// What a participant is told. Times of tokens are milliseconds since the epoch.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Told<'a> {
    View {
        #[serde(flatten)]
        view: View,
        expires_at: i64,
    },
    Event(SeenEvent),
    Ok {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Value>,
    },
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Value>,
        code: &'a str,
        message: &'a str,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        errors: &'a [FieldError],
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after: Option<u32>,
    },
    #[serde(rename = "auth.renewed")]
    Renewed {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Value>,
        expires_at: i64,
    },
    #[serde(rename = "auth.expiring")]
    Expiring {
        expires_at: i64,
    },
}

impl<'a> Told<'a> {
    pub(crate) fn refusal(id: Option<Value>, problem: &'a Problem) -> Self {
        let (code, message) = (problem.code(), problem.message());
        Self::Error { id, code, message, errors: problem.errors(), retry_after: problem.retry_after() }
    }

    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// How a socket ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// Nobody is there any more.
    Gone,
    /// With a code (RFC 6455, section 7.4; 4000 to 4999 are ours), a word, and words for people; without
    /// these there is nothing more to say.
    Close(u16, &'static str, &'static str),
}

impl Farewell {
    /// The run is over, and everything was told.
    pub(crate) const ENDED: Self = Self::Close(1000, "ended", "");
    /// The token's time is over.
    pub(crate) const EXPIRED: Self = Self::Close(4401, "expired", "The token has ended");
    /// No token came.
    pub(crate) const UNKNOWN: Self = Self::Close(4401, "auth", "The first message must bring a token, within 5 s");
    /// The role has newer sockets, as many as it may.
    pub(crate) const REPLACED: Self = Self::Close(1013, "replaced", "Newer connections took the place of this one");
    /// Too much of what is none.
    pub(crate) const FLOOD: Self = Self::Close(1008, "flood", "");

    /// After an error that was told: what does a client do about it?
    pub(crate) fn of_refusal(problem: &Problem) -> Self {
        match (problem.status().as_u16(), problem.code()) {
            (_, "TOKEN_EXPIRED") => Self::Close(4401, "expired", ""),
            (401, _) => Self::Close(4401, "auth", ""),
            (404, _) => Self::Close(4404, "not_found", ""),
            (429, _) => Self::Close(1013, "rate_limited", ""),
            (503, _) => Self::Close(1011, "unavailable", ""),
            _ => Self::Close(1008, "refused", ""),
        }
    }

    pub(crate) async fn say(self, mut socket: Socket) {
        let Self::Close(code, word, sentence) = self else { return };
        if !sentence.is_empty() {
            // Pages that are open all day would else take turns.
            let retry_after = (self == Self::REPLACED).then_some(60);
            let told = Told::Error { id: None, code: word, message: sentence, errors: &[], retry_after };
            if socket.send(told.text()).await.is_err() {
                return;
            }
        }
        socket.close(code, word).await;
    }
}

impl From<CutReason> for Farewell {
    fn from(reason: CutReason) -> Self {
        match reason {
            CutReason::Revoked | CutReason::Disabled | CutReason::OriginRemoved => {
                Self::Close(4403, "revoked", "Taking part was ended by whoever runs this")
            }
            CutReason::Expired => Self::EXPIRED,
            CutReason::Shutdown => Self::Close(1001, "shutdown", "The server stops; connect again"),
            CutReason::Ended => Self::ENDED,
            CutReason::Replaced => Self::REPLACED,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_message_is_refused_under_its_id() {
        for (text, id) in [
            ("no json", None),
            ("[]", None),
            (r#"{"type":"sing","id":7}"#, Some(json!(7))),
            (r#"{"type":"answer","id":"a","step":"s"}"#, Some(json!("a"))),
            (r#"{"type":"answer","id":null,"step":"s","value":1,"role":"reviewer"}"#, None),
            (r#"{"id":{"n":1}}"#, Some(json!({"n": 1}))),
        ] {
            let said = Said::read(text);
            assert_eq!((said.id, said.message.err().unwrap().code()), (id, "INVALID_REQUEST"), "{text}");
        }
        let said = Said::read(r#"{"type":"auth.renew","id":1,"token":"t"}"#);
        assert!(matches!(said.message, Ok(Up::Renew { token }) if token == "t"));
        assert!(matches!(Said::read(r#"{"type":"done","step":"s"}"#).message, Ok(Up::Done { .. })));
    }

    #[test]
    fn an_error_says_what_the_same_request_is_answered() {
        let problem = Problem::invalid_field("score", "must be a number");
        let told: Value = serde_json::from_str(&Told::refusal(Some(json!(3)), &problem).text()).unwrap();
        let errors = json!([{"field": "score", "message": "must be a number"}]);
        let message = "score: must be a number";
        let code = "VALIDATION_FAILED";
        assert_eq!(told, json!({"type": "error", "id": 3, "code": code, "message": message, "errors": errors}));
        let told: Value = serde_json::from_str(&Told::refusal(None, &Problem::rate_limited(4)).text()).unwrap();
        assert_eq!((&told["retry_after"], told.get("id")), (&json!(4), None));
    }
}
