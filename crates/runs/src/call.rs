//! What leaves the house: questions to bots and calls of tools.

use std::time::Duration;

use access::Tenant;
use ambient::{BotId, RunId};
use chat::{AskError, Question};
use outbound::{Bytes, OutboundError, Request, Url, check_header};
use serde_json::Value;
use store::RunRecord;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use workflow::{Effect, EffectKind, EventKind, Incoming, Line, MAX_TOOL_BODY_BYTES, Method, Speaker, ToolCall};

use crate::{
    RunError,
    connections::Opened,
    runs::{Inner, read_state},
};

/// Tells a tool which calls are the same one, made again.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

impl Inner {
    /// Carries an open effect out; nothing when it is open no more, or was cut.
    pub(crate) async fn call(
        &self,
        tenant: Tenant,
        run: RunId,
        effect: &str,
        cut: &CancellationToken,
    ) -> Result<Option<Incoming>, RunError> {
        let record = self.parts.store.workspace(tenant).run(run).await?;
        let open = read_state(&record)?.open_effects().into_iter().find(|one| one.id == effect);
        let Some(Effect { id: effect, step, kind }) = open else { return Ok(None) };
        match kind {
            EffectKind::SetTimer { .. } => Ok(None),
            EffectKind::AskBot { bot, instructions, messages, extract } => {
                let messages = messages.into_iter().map(role_and_text).collect();
                let question = Question { instructions, messages, schema: extract };
                self.ask(tenant, &record, &bot, effect, question, cut).await
            }
            EffectKind::CallTool(call) => {
                let Some(answer) = cut.run_until_cancelled(self.call_tool(tenant, run, &step, call)).await else {
                    return Ok(None);
                };
                Ok(Some(match answer? {
                    Ok((status, body)) => Incoming::ToolReturned { effect, status, body },
                    Err(code) => Incoming::ToolFailed { effect, code: code.to_owned() },
                }))
            }
        }
    }

    async fn ask(
        &self,
        tenant: Tenant,
        run: &RunRecord,
        bot: &str,
        effect: String,
        question: Question,
        cut: &CancellationToken,
    ) -> Result<Option<Incoming>, RunError> {
        let failed = |effect, code: &str| Ok(Some(Incoming::ReplyFailed { effect, code: code.to_owned() }));
        let Ok(bot) = bot.parse::<BotId>() else { return failed(effect, "bot_not_found") };
        let deployment = self.parts.store.workspace(tenant).deployment(run.deployment).await?;
        let (is_stranger, kind) = (run.origin == "public", EventKind::AgentSaid.as_str());
        let verdict = self.parts.cluster.charge_reply(tenant, &deployment, is_stranger, kind).await;
        if !verdict.map_err(RunError::unavailable)?.allowed {
            return failed(effect, "daily_replies");
        }
        match self.parts.chat.ask_bot(tenant, bot, question, cut).await {
            Ok((text, usage)) => Ok(Some(Incoming::Replied {
                effect,
                text,
                input_tokens: usage.input_tokens,
                output_tokens: usage.output_tokens,
            })),
            Err(AskError::Failed(_)) if cut.is_cancelled() => Ok(None),
            Err(AskError::Failed(code)) => failed(effect, code),
            Err(AskError::Unavailable(cause)) => Err(RunError::Unavailable(cause)),
        }
    }

    /// The answer, or the code of why there is none; an error when it is to be tried again.
    async fn call_tool(
        &self,
        tenant: Tenant,
        run: RunId,
        step: &str,
        call: ToolCall,
    ) -> Result<Result<(u16, Value), &'static str>, RunError> {
        let Ok(url) = self.parts.outbound.check_url(&call.url) else { return Ok(Err("address_refused")) };
        let opened = match &call.connection {
            None => None,
            Some(id) => match self.open_connection(tenant, id, &url).await? {
                Ok(opened) => Some(opened),
                Err(code) => return Ok(Err(code)),
            },
        };
        let answer = self.send(url, opened.as_ref(), format!("{run}/{step}"), call).await;
        Ok(answer.map(|(status, mut body)| {
            if let Some(opened) = opened {
                opened.hide(&mut body);
            }
            (status, body)
        }))
    }

    async fn send(
        &self,
        url: Url,
        opened: Option<&Opened>,
        key: String,
        call: ToolCall,
    ) -> Result<(u16, Value), &'static str> {
        let mut headers = Vec::new();
        for (name, value) in &call.headers {
            headers.push(check_header(name, value).map_err(|_| "header_refused")?);
        }
        if let Some(opened) = opened {
            opened.join(&mut headers);
        }
        if headers.iter().all(|(name, _)| name.as_str() != IDEMPOTENCY_KEY) {
            headers.push(check_header(IDEMPOTENCY_KEY, &key).map_err(|_| "header_refused")?);
        }
        let body = call.body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let limit = Duration::from_secs(call.timeout_seconds.into());
        let asking = async {
            let request = Request { url, headers, body, timeout: limit };
            let response = self.parts.outbound.call(method(call.method), request).await?;
            let status = response.status;
            // Twice, as the engine counts without spaces and escapes.
            Ok((status, response.bytes(2 * MAX_TOOL_BODY_BYTES).await?))
        };
        let (status, body) = timeout(limit, asking).await.map_err(|_| "timeout")?.map_err(|error| code(&error))?;
        Ok((status, read_body(&body)))
    }
}

fn role_and_text(line: Line) -> (&'static str, String) {
    let role = match line.from {
        Speaker::User => "user",
        Speaker::Assistant => "assistant",
    };
    (role, line.text)
}

fn method(method: Method) -> outbound::Method {
    match method {
        Method::Get => outbound::Method::GET,
        Method::Post => outbound::Method::POST,
        Method::Put => outbound::Method::PUT,
        Method::Patch => outbound::Method::PATCH,
        Method::Delete => outbound::Method::DELETE,
    }
}

/// JSON as it is, anything else as text; nothing is null.
fn read_body(body: &[u8]) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned().into())
}

fn code(error: &OutboundError) -> &'static str {
    match error {
        OutboundError::Refused(_) => "address_refused",
        OutboundError::Header(_) => "header_refused",
        OutboundError::Resolve(_) => "not_resolved",
        OutboundError::Connect(_) => "not_connected",
        OutboundError::Timeout => "timeout",
        OutboundError::Busy => "busy",
        OutboundError::TooLarge => "body_too_large",
        _ => "connection_broke",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_body_is_json_or_text_or_nothing() {
        assert_eq!(read_body(b"{\"a\":1}"), json!({"a": 1}));
        assert_eq!(read_body(b"plain"), json!("plain"));
        assert_eq!(read_body(b""), Value::Null);
        let deep = "[".repeat(10_000);
        assert_eq!(read_body(deep.as_bytes()), json!(deep), "too deep to be read is text");
    }
}
