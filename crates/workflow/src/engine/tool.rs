//! Calls over HTTP.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{
    Run,
    incoming::{clean, clean_json},
    size_of_value,
};
use crate::{
    effect::ToolCall,
    event::EventKind,
    fault::Rejection,
    limits::{MAX_CALL_BYTES, MAX_JSON_DEPTH, MAX_TOOL_BODY_BYTES, MAX_URL_BYTES},
    model::{Node, OnError, Tool},
    state::{Awaited, Work},
    template::{Scope, Template},
};

impl<'d> Run<'d> {
    pub(super) fn begin_tool(&mut self, tool: &Tool) {
        let step = self.step_of(&tool.id);
        let url = tool.url.render_with(self.scope(), push_encoded);
        let mut budget = MAX_CALL_BYTES;
        let body = tool.body.as_ref().map(|body| fill(body, self.scope(), &mut budget));
        let header = |text: &Template| text.render_text(self.scope()).chars().map(visible).collect::<String>();
        let headers = tool.headers.iter().map(|(name, text)| (name.clone(), header(text))).collect();
        let too_large = url.len() > MAX_URL_BYTES || body.as_ref().is_some_and(Option::is_none);
        let call = ToolCall {
            method: tool.method,
            url,
            headers,
            body: body.flatten(),
            connection: tool.connection.clone(),
            timeout_seconds: tool.timeout_seconds,
        };
        self.open(step, Work::Call(call));
        if too_large {
            self.give_up(tool, "call_too_large", None);
        } else {
            self.call();
        }
    }

    pub(super) fn call(&mut self) {
        self.issue(Awaited::Outcome);
        let Some(pending) = &self.state.pending else { return };
        let Work::Call(call) = &pending.work else { return };
        let data = json!({
            "step": pending.step,
            "effect": pending.effect_id(),
            "method": call.method,
            "url": call.url,
            "attempt": pending.failures + 1,
        });
        self.emit(EventKind::ToolCalled, Some(&[]), data);
    }

    fn tool(&self) -> Result<(&'d Tool, String), Rejection> {
        match (self.current()?, self.state.current_step_id()) {
            (Some(Node::Tool(tool)), Some(step)) => Ok((tool, step.to_owned())),
            _ => Err(Rejection::Mismatch),
        }
    }

    pub(super) fn tool_returned(&mut self, effect: &str, status: u16, body: Value) -> Result<(), Rejection> {
        let (tool, step) = self.tool()?;
        self.emit(EventKind::ToolReturned, Some(&[]), json!({"step": step, "effect": effect, "status": status}));
        // A failure of the server, or one that says to come back later, may pass; the caller's own may not.
        let passing = status >= 500 || status == 408 || status == 429;
        let code = format!("status_{status}");
        let small = Some(body).filter(|body| size_of_value(body) <= MAX_TOOL_BODY_BYTES);
        let Some(body) = small.and_then(|body| clean_json(body, MAX_JSON_DEPTH)) else {
            self.give_up(tool, "body_too_large", Some((status, Value::Null)));
            return Ok(());
        };
        if status < 400 {
            self.close_node(&tool.id, Some(json!({"status": status, "body": body})));
        } else if !(passing && self.pause(&step, &code, tool.retries)) {
            self.give_up(tool, &code, Some((status, body)));
        }
        Ok(())
    }

    pub(super) fn tool_failed(&mut self, effect: &str, code: &str) -> Result<(), Rejection> {
        let (tool, step) = self.tool()?;
        let code = clean(code, 64);
        self.emit(EventKind::ToolReturned, Some(&[]), json!({"step": step, "effect": effect, "code": code}));
        if !self.pause(&step, &code, tool.retries) {
            self.give_up(tool, &code, None);
        }
        Ok(())
    }

    fn give_up(&mut self, tool: &Tool, code: &str, answer: Option<(u16, Value)>) {
        match tool.on_error {
            OnError::Fail => self.fail("tool_failed", format!("The Tool `{}` failed: {code}.", tool.id)),
            OnError::Continue => {
                let (status, body) = answer.map_or((Value::Null, Value::Null), |(status, body)| (status.into(), body));
                self.close_node(&tool.id, Some(json!({"status": status, "body": body, "error": code})));
            }
        }
    }
}

/// A body with its texts rendered; nothing when it grows past what is left of the budget.
fn fill(value: &Value, scope: Scope<'_>, budget: &mut usize) -> Option<Value> {
    let out = match value {
        Value::String(text) => {
            let value = Template::parse(text).ok()?.render(scope).into_owned();
            *budget = budget.checked_sub(size_of_value(&value))?;
            value
        }
        Value::Array(items) => items.iter().map(|item| fill(item, scope, budget)).collect::<Option<Vec<_>>>()?.into(),
        Value::Object(members) => {
            let member = |(name, item): (&String, &Value)| Some((name.clone(), fill(item, scope, budget)?));
            members.iter().map(member).collect::<Option<Map<String, Value>>>()?.into()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    };
    Some(out)
}

/// Everything but RFC 3986's unreserved characters is percent-encoded, so that a value stays one part of the address.
fn push_encoded(text: &str, out: &mut String) {
    // A segment of dots alone would climb: its dots cannot be encoded, as `%2e%2e` climbs as well.
    let text = if text.chars().all(|c| c == '.') { "" } else { text };
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// What a header's value may hold (RFC 9110); line breaks would begin another header.
fn visible(c: char) -> char {
    if c.is_ascii_graphic() || c == ' ' { c } else { ' ' }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_value_cannot_leave_its_part_of_an_address_or_a_header() {
        let mut out = String::new();
        push_encoded("../a?b#c&d=é", &mut out);
        assert_eq!(out, "..%2Fa%3Fb%23c%26d%3D%C3%A9");
        out.clear();
        push_encoded("..", &mut out);
        assert_eq!(out, "");
        assert_eq!("a\r\nx: y".chars().map(visible).collect::<String>(), "a  x: y");
    }

    #[test]
    fn a_body_keeps_types_and_its_budget() {
        let results = BTreeMap::from([("n".to_owned(), json!(4)), ("t".to_owned(), json!("x".repeat(100)))]);
        let input = Map::new();
        let scope = Scope { results: &results, input: &input, index: None };
        let body = json!({"a": "{{n}}", "b": ["{{n}}!", 1, null]});
        assert_eq!(fill(&body, scope, &mut 100), Some(json!({"a": 4, "b": ["4!", 1, null]})));
        assert_eq!(fill(&json!(["{{t}}", "{{t}}"]), scope, &mut 150), None);
    }
}
