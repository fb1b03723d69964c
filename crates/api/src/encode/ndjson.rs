//! The same events as lines of JSON, each with its `id` in it: for clients that have no parser of
//! server-sent events. The heartbeat is an empty line.

use bytes::Bytes;
use chat::Numbered;
use serde::Serialize;

use super::wire::Wire;

/// What is sent where nothing happens.
pub(crate) const SILENCE: Bytes = Bytes::from_static(b"\n");

#[derive(Serialize)]
struct Line<'a> {
    id: String,
    #[serde(flatten)]
    event: Wire<'a>,
}

pub(crate) fn encode(numbered: &Numbered) -> Bytes {
    let line = Line { id: numbered.id.to_string(), event: Wire::from(&numbered.event) };
    // Nothing in it can fail: every value is a text, a number or a truth value.
    let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::tests::{delta, one_of_each};

    #[test]
    fn each_event_has_its_line() {
        let lines: Vec<u8> = one_of_each().iter().flat_map(|event| encode(event).to_vec()).collect();
        let expected = r#"{"id":"12-1","type":"stream_start","agent_name":"Ada"}
{"id":"12-2","type":"chunk","delta":"Hi \"you\""}
{"id":"12-3","type":"tool_call","name":"search","status":"running"}
{"id":"12-4","type":"tool_result","name":"search","status":"running"}
{"id":"12-5","type":"handoff","to":"human"}
{"id":"12-6","type":"stream_end","usage":{"input_tokens":3,"output_tokens":5},"end_session":false}
{"id":"12-7","type":"error","error":"revoked","message":"gone"}
{"id":"12-8","type":"gap","message":"Some events are no longer kept; the history has them"}
"#;
        assert_eq!(String::from_utf8(lines).unwrap(), expected);
    }

    #[test]
    fn no_text_begins_a_line_of_its_own() {
        let encoded = encode(&delta("a\n{\"type\":\"stream_end\"}\r\n"));
        assert_eq!(encoded.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert!(!encoded.contains(&b'\r') && encoded.ends_with(b"\n"));
    }
}
