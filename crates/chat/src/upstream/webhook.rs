//! A server of the customer's own that answers: one signed request, one whole answer (seed S1).

use std::time::Duration;

use ambient::{ConversationId, Millis};
use credential::webhook::{
    ID_HEADER, PLAIN_SIGNATURE_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, WebhookSecret, sign, sign_plain,
};
use outbound::{Bytes, Client, HeaderName, HeaderValue, OutboundError, Request, Response, Url, check_header};
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;

use super::{Answer, Failure, Message};
use crate::{ReplyErrorCode, Usage, text::count_words};

/// The most bytes that are read of an answer.
const MAX_ANSWER: usize = 256 * 1024;

/// Whom a question is about, as the server that answers is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    pub(crate) conversation: Option<ConversationId>,
    pub(crate) user: Option<String>,
    pub(crate) metadata: Option<Value>,
}

/// One question to a `webhook` integration.
pub(crate) struct Question<'a> {
    pub(crate) url: Url,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) timeout: Duration,
    /// In force, the newer first.
    pub(crate) secrets: Vec<WebhookSecret>,
    /// Names the question; nothing else has this name.
    pub(crate) id: String,
    pub(crate) now: Millis,
    pub(crate) bot: Who<'a>,
    pub(crate) about: &'a About,
}

/// The bot that is to answer.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Who<'a> {
    pub(crate) id: ambient::BotId,
    pub(crate) name: &'a str,
}

#[derive(Serialize)]
struct Body<'a> {
    messages: &'a [Message],
    conversation_id: Option<ConversationId>,
    user: Option<User<'a>>,
    bot: Who<'a>,
    metadata: Option<&'a Value>,
}

#[derive(Serialize)]
struct User<'a> {
    id: &'a str,
}

/// Asks, and says the whole answer. Dropping the future closes the connection.
pub(crate) async fn ask_webhook(
    client: &Client,
    question: Question<'_>,
    messages: &[Message],
    answer: &Answer<'_>,
) -> Result<Usage, Failure> {
    let about = question.about;
    let body = Body {
        messages,
        conversation_id: about.conversation,
        user: about.user.as_deref().map(|id| User { id }),
        bot: question.bot,
        metadata: about.metadata.as_ref(),
    };
    let body = serde_json::to_vec(&body).map_err(Failure::internal)?;
    let mut headers = question.headers;
    headers.extend(signatures(&question.secrets, &question.id, question.now, &body)?);
    let request = Request { url: question.url, headers, body: Bytes::from(body), timeout: question.timeout };
    // The whole answer has this time: one that comes byte by byte holds its place no longer than one that never comes.
    let body = timeout(question.timeout, read(client, request)).await.map_err(|_| OutboundError::Timeout)??;
    answer.say(read_answer(&body).ok_or_else(|| broken("the webhook's answer is not {\"content\": \"…\"}"))?)?;
    Ok(Usage {
        input_tokens: messages.iter().map(|message| count_words(&message.content)).sum(),
        output_tokens: answer.words(),
    })
}

async fn read(client: &Client, request: Request) -> Result<Bytes, Failure> {
    let response = client.post_json_stream(request).await?;
    if !(200..300).contains(&response.status) {
        let cause = format!("the webhook answered {}", response.status);
        return Err(Failure::new(ReplyErrorCode::UpstreamRefused, cause));
    }
    if !is_json(&response) {
        return Err(broken("the webhook's answer is not application/json"));
    }
    Ok(response.bytes(MAX_ANSWER).await?)
}

/// Standard Webhooks' headers, with a signature for each secret, and the plain one of the newest: it has room for one.
fn signatures(
    secrets: &[WebhookSecret],
    id: &str,
    now: Millis,
    body: &[u8],
) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
    let newest = secrets.first().ok_or_else(|| Failure::internal("the integration has no secret"))?;
    let signed: Result<Vec<_>, _> = secrets.iter().map(|secret| sign(secret, id, now.seconds(), body)).collect();
    let signed = signed.map_err(Failure::internal)?.join(" ");
    let plain = sign_plain(newest.to_text().as_bytes(), body);
    let time = now.seconds().to_string();
    let pairs = [
        (ID_HEADER, id),
        (TIMESTAMP_HEADER, time.as_str()),
        (SIGNATURE_HEADER, signed.as_str()),
        (PLAIN_SIGNATURE_HEADER, plain.as_str()),
    ];
    pairs.into_iter().map(|(name, value)| check_header(name, value).map_err(Failure::internal)).collect()
}

fn is_json(response: &Response) -> bool {
    let kind = response.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.starts_with("application/") && kind.ends_with("+json")
}

/// What is said in it; nothing when it says nothing.
fn read_answer(body: &[u8]) -> Option<String> {
    // Not into a struct: serde fills one from a list, too.
    match serde_json::from_slice::<Value>(body).ok()?.get_mut("content")?.take() {
        Value::String(said) if !said.trim().is_empty() => Some(said),
        _ => None,
    }
}

fn broken(cause: impl Into<crate::Cause>) -> Failure {
    Failure::new(ReplyErrorCode::UpstreamUnavailable, cause)
}

#[cfg(test)]
mod tests {
    use ambient::SeededRandom;
    use credential::webhook::{verify, verify_plain};

    use super::*;

    #[test]
    fn an_answer_is_content_and_nothing_less() {
        assert_eq!(read_answer(br#"{"content":"Hi","other":[1]}"#).unwrap(), "Hi");
        for odd in ["", "Hi", "{}", r#"{"content":1}"#, r#"{"content":" "}"#, r#"{"content":null}"#, r#"["Hi"]"#] {
            assert_eq!(read_answer(odd.as_bytes()), None, "{odd}");
        }
    }

    #[test]
    fn a_question_is_signed_with_each_secret_in_force() {
        let secret = |seed| WebhookSecret::generate(&SeededRandom::new(seed)).unwrap();
        let (new, old, other, now) = (secret(1), secret(2), secret(3), Millis(1_700_000_000_000));
        let headers = signatures(&[new.clone(), old.clone()], "evt_1", now, b"{}").unwrap();
        let header = |name: &str| {
            let found = headers.iter().find(|(of, _)| of.as_str().eq_ignore_ascii_case(name)).unwrap();
            found.1.to_str().unwrap().to_owned()
        };
        let check = |secret: &WebhookSecret| {
            let (id, time, signed) = (header(ID_HEADER), header(TIMESTAMP_HEADER), header(SIGNATURE_HEADER));
            verify(std::slice::from_ref(secret), &id, &time, &signed, b"{}", now).is_ok()
        };
        assert_eq!([check(&new), check(&old), check(&other)], [true, true, false]);
        assert!(verify_plain(new.to_text().as_bytes(), b"{}", &header(PLAIN_SIGNATURE_HEADER)));
        assert!(signatures(&[], "evt_1", now, b"{}").is_err(), "nothing goes out unsigned");
    }
}
