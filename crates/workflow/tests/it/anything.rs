//! What must hold for any definition at all, also for one that is none. The fuzz target `definition` in `fuzz/`
//! includes this file.

use ambient::Millis;
use serde_json::{Value, json};
use workflow::{Definition, EventKind, Incoming, Rejection, RunStatus, start};

use crate::drive::{Rig, Tape};

/// More than any generated run needs.
const ACTIONS: usize = 20_000;

/// Takes the run to its end and looks at the end.
pub(crate) fn run_out(rig: &mut Rig<'_>, tape: &mut Tape<'_>) {
    for _ in 0..ACTIONS {
        if rig.state.status().is_final() {
            break;
        }
        rig.act(tape);
    }
    assert!(rig.state.status().is_final(), "the run did not come to an end: {:?}", rig.state);
    let last = rig.events.last().map(|event| event.kind);
    let expected = match rig.state.status() {
        RunStatus::Completed => EventKind::RunCompleted,
        RunStatus::Failed => EventKind::RunFailed,
        _ => EventKind::RunCancelled,
    };
    assert_eq!(last, Some(expected));
    assert_eq!(rig.state.ending().is_some(), rig.state.status() != RunStatus::Completed);
    let late = rig.send(Incoming::Cancel { reason: "late".to_owned() });
    assert_eq!(late, Err(Rejection::Ended));
}

/// Faults have places; a definition without faults starts and can be driven to its end.
pub(crate) fn check_any(json: &Value, tape: &[u8]) {
    match Definition::parse(json) {
        Err(faults) => {
            assert!(!faults.is_empty() && faults.len() <= 100);
            for fault in faults {
                assert!(json.pointer(&fault.path).is_some(), "{fault:?} is nowhere in {json:#}");
                assert!(fault.message.ends_with(['.', '`', '}']), "{fault:?} is no sentence");
            }
        }
        Ok(parsed) => {
            // Inputs may have become other ones; then the start says so.
            let started = [json!({"given": 1}), json!({})].iter().any(|input| {
                let Ok(mut rig) = Rig::new(&parsed, json, input) else { return false };
                run_out(&mut rig, &mut Tape(tape));
                true
            });
            let faulty = start(&parsed, &json!({}), Millis(0));
            assert!(started || matches!(faulty, Err(Rejection::Invalid(_))));
        }
    }
}

/// Bytes as a definition, and behind a NUL what the world decides.
pub(crate) fn bytes(data: &[u8]) {
    let at = data.iter().position(|&byte| byte == 0).unwrap_or(data.len());
    let (text, tape) = data.split_at(at);
    if let Ok(json) = serde_json::from_slice(text) {
        check_any(&json, tape.get(1..).unwrap_or_default());
    }
}

#[test]
fn the_examples_as_bytes_are_driven_to_their_end() {
    for (_, text) in workflow::examples() {
        for tape in ["", "\0\u{1}\u{2}\u{3}", "\0\u{6}\u{6}\u{6}\u{6}\u{6}"] {
            bytes(format!("{text}{tape}").as_bytes());
        }
    }
    bytes(b"{");
    bytes(b"\xff");
    bytes(b"");
}
