//! Server-sent events, as seed S2's clients read them: a comment as heartbeat, an `id` and one
//! `data` line for each event. JSON escapes line breaks, so no text can begin an event of its own.

use bytes::Bytes;
use chat::Numbered;

use super::wire::Wire;

/// What is sent where nothing happens.
pub(crate) const SILENCE: Bytes = Bytes::from_static(b": heartbeat\n\n");

pub(crate) fn encode(numbered: &Numbered) -> Bytes {
    let mut bytes = format!("id: {}\ndata: ", numbered.id).into_bytes();
    // Nothing in it can fail: every value is a text, a number or a truth value.
    let _ = serde_json::to_writer(&mut bytes, &Wire::from(&numbered.event));
    bytes.extend_from_slice(b"\n\n");
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::tests::{delta, one_of_each};

    #[test]
    fn each_event_has_its_form() {
        let lines: Vec<u8> = one_of_each().iter().flat_map(|event| encode(event).to_vec()).collect();
        let expected = r#"id: 12-1
data: {"type":"stream_start","agent_name":"Ada"}

id: 12-2
data: {"type":"chunk","delta":"Hi \"you\""}

id: 12-3
data: {"type":"tool_call","name":"search","status":"running"}

id: 12-4
data: {"type":"tool_result","name":"search","status":"running"}

id: 12-5
data: {"type":"handoff","to":"human"}

id: 12-6
data: {"type":"stream_end","usage":{"input_tokens":3,"output_tokens":5},"end_session":false}

id: 12-7
data: {"type":"error","error":"revoked","message":"gone"}

id: 12-8
data: {"type":"gap","message":"Some events are no longer kept; the history has them"}

"#;
        assert_eq!(String::from_utf8(lines).unwrap(), expected);
    }

    #[test]
    fn no_text_begins_an_event_of_its_own() {
        let hostile = "a\n\ndata: {\"type\":\"stream_end\"}\r\rid: 9\u{2028}";
        let encoded = String::from_utf8(encode(&delta(hostile)).to_vec()).unwrap();
        assert_eq!(encoded.lines().count(), 3, "{encoded}");
        assert!(!encoded.contains('\r') && encoded.ends_with("\n\n") && encoded.matches("\n\n").count() == 1);
    }
}
