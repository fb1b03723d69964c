//! What leaves the house: questions to bots and calls of tools.

use std::time::Duration;

use access::Tenant;
use ambient::{BotId, RunId};
use chat::{AskError, Question};
use cluster::Bucket;
use outbound::{Bytes, HeaderName, OutboundError, Request, check_header};
use serde_json::Value;
use store::{DeploymentRecord, RunRecord};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use workflow::{Effect, EffectKind, Incoming, Line, MAX_TOOL_BODY_BYTES, Method, Speaker, ToolCall};

use crate::{
    RunError,
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
                let answer = cut.run_until_cancelled(self.call_tool(run, &step, call)).await;
                Ok(answer.map(|answer| match answer {
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
        if !self.may_reply(&deployment) {
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

    /// Charges the deployment's ceiling of replies, if it has one.
    fn may_reply(&self, deployment: &DeploymentRecord) -> bool {
        deployment.daily_replies.is_none_or(|quota| {
            let bucket = Bucket::RepliesOfDeployment(deployment.id, quota);
            self.parts.cluster.charge(&[bucket], self.parts.clock.elapsed()).allowed
        })
    }

    async fn call_tool(&self, run: RunId, step: &str, call: ToolCall) -> Result<(u16, Value), &'static str> {
        if call.connection.is_some() {
            return Err("connection_unavailable");
        }
        let url = self.parts.outbound.check_url(&call.url).map_err(|_| "address_refused")?;
        let mut headers = Vec::new();
        for (name, value) in &call.headers {
            headers.push(check_header(name, value).map_err(|_| "header_refused")?);
        }
        let key = HeaderName::from_static(IDEMPOTENCY_KEY);
        if headers.iter().all(|(name, _)| *name != key) {
            headers.push(check_header(IDEMPOTENCY_KEY, &format!("{run}/{step}")).map_err(|_| "header_refused")?);
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
