use std::time::Duration;

use outbound::{Bytes, Client, HeaderName, HeaderValue, Request, Response, Url};
use serde_json::Value;

use super::{
    Answer, Failure, Message,
    wire::{Event, Part, read_body, read_event, write_request},
};
use crate::{ReplyErrorCode, Usage, sse, text::count_words};

/// The most bytes that are read of one answer, with everything that surrounds its text.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// The most bytes of an answer that is not streamed.
const MAX_WHOLE: usize = 2 * 1024 * 1024;

/// One question to an OpenAI-compatible server.
pub(crate) struct Call {
    /// The base URL, ending in `/v1` as a rule.
    pub(crate) base: Url,
    pub(crate) model: String,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Until the head of the answer, and between any two pieces of it.
    pub(crate) timeout: Duration,
}

/// A whole answer.
pub(crate) struct Said {
    pub(crate) usage: Usage,
    /// The rest of the connection, to be read to its end so that it can be used again.
    pub(crate) rest: Option<Response>,
}

/// Asks and passes the answer on, part by part. Dropping the future closes the connection.
pub(crate) async fn ask(
    client: &Client,
    call: Call,
    messages: &[Message],
    schema: Option<&Value>,
    answer: &Answer<'_>,
) -> Result<Said, Failure> {
    let body = write_request(&call.model, messages, schema).map_err(Failure::internal)?;
    let request = Request {
        url: completions_url(call.base)?,
        headers: call.headers,
        body: Bytes::from(body),
        timeout: call.timeout,
    };
    let response = client.post_json_stream(request).await?;
    if !(200..300).contains(&response.status) {
        let cause = format!("the upstream answered {}", response.status);
        return Err(Failure::new(ReplyErrorCode::UpstreamRefused, cause));
    }
    let (usage, rest) = if is_json(&response) {
        (read_whole(response, answer).await?, None)
    } else {
        read_stream(response, answer).await?
    };
    let usage = usage.unwrap_or_else(|| Usage {
        input_tokens: messages.iter().map(|message| count_words(&message.content)).sum(),
        output_tokens: answer.words(),
    });
    Ok(Said { usage, rest })
}

/// Where the completions are below a base URL; a query stays.
pub(super) fn completions_url(mut base: Url) -> Result<Url, Failure> {
    match base.path_segments_mut() {
        Ok(mut path) => path.pop_if_empty().extend(["chat", "completions"]),
        Err(()) => return Err(Failure::internal("the stored URL has no path")),
    };
    Ok(base)
}

fn is_json(response: &Response) -> bool {
    let kind = response.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("application/json")
}

async fn read_whole(response: Response, answer: &Answer<'_>) -> Result<Option<Usage>, Failure> {
    let body = response.bytes(MAX_WHOLE).await?;
    let part = accept(read_body(&body))?.unwrap_or_default();
    answer.say(part.text)?;
    Ok(part.usage)
}

async fn read_stream(
    mut response: Response,
    answer: &Answer<'_>,
) -> Result<(Option<Usage>, Option<Response>), Failure> {
    let (mut parser, mut events, mut bytes) = (sse::Parser::default(), Vec::new(), 0_usize);
    let (mut usage, mut finished) = (None, false);
    loop {
        let chunk = match response.chunk().await {
            Ok(chunk) => chunk,
            // Servers that close without the last piece of chunked encoding have said it all by then.
            Err(_) if finished => None,
            Err(error) => return Err(error.into()),
        };
        let at_end = chunk.is_none();
        if let Some(chunk) = chunk {
            bytes += chunk.len();
            parser.push(&chunk, &mut events).map_err(broken)?;
        } else {
            events.extend(parser.finish());
        }
        for data in events.drain(..) {
            let Some(part) = accept(read_event(&data))? else {
                return Ok((usage, (!at_end).then_some(response)));
            };
            answer.say(part.text)?;
            usage = part.usage.or(usage);
            finished |= part.finished;
        }
        match at_end {
            true if finished => return Ok((usage, None)),
            true => return Err(broken("the stream ended before the answer did")),
            false if bytes > MAX_BYTES => return Err(broken("the stream is too long")),
            false => {}
        }
    }
}

/// `None` is the end.
fn accept(event: Result<Event, serde_json::Error>) -> Result<Option<Part>, Failure> {
    match event {
        Ok(Event::Part(part)) => Ok(Some(part)),
        Ok(Event::Done) => Ok(None),
        Ok(Event::Refused) => {
            Err(Failure::new(ReplyErrorCode::UpstreamRefused, "the upstream reported an error in its answer"))
        }
        // Where in the text, not what: serde_json would quote the answer.
        Err(error) => Err(broken(format!("not a completion: {:?} at column {}", error.classify(), error.column()))),
    }
}

fn broken(cause: impl Into<crate::Cause>) -> Failure {
    Failure::new(ReplyErrorCode::UpstreamUnavailable, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completions_are_below_the_base_url() {
        for (base, want) in [
            ("https://a.example/v1", "https://a.example/v1/chat/completions"),
            ("https://a.example/v1/", "https://a.example/v1/chat/completions"),
            ("https://a.example", "https://a.example/chat/completions"),
            ("https://a.example/x?api-version=1", "https://a.example/x/chat/completions?api-version=1"),
        ] {
            assert_eq!(completions_url(base.parse().unwrap()).unwrap().as_str(), want);
        }
    }
}
