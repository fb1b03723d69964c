//! What happened in a run, in words.

use std::collections::HashMap;

use ambient::Millis;
use serde::Deserialize;
use serde_json::Value;

use crate::show::When;

/// Characters of what was said or answered.
const SEEN: usize = 400;

/// An event, as the API says it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Event {
    seq: u64,
    at: When,
    kind: String,
    roles: Option<Vec<String>>,
    data: Value,
}

/// An event, as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) at: When,
    /// Since the run's start.
    pub(crate) since: String,
    pub(crate) title: &'static str,
    /// The step that it belongs to.
    pub(crate) step: String,
    /// Who.
    pub(crate) who: String,
    pub(crate) words: String,
    /// How long it was waited for, where that is known.
    pub(crate) took: String,
    pub(crate) tone: &'static str,
}

/// A length of time, in the largest unit that says something.
pub(crate) fn lasted(ms: i64) -> String {
    let seconds = ms / 1000;
    match seconds {
        _ if ms < 1000 => format!("{} ms", ms.max(0)),
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A value in words, as far as there is room.
pub(crate) fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => "left out".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= SEEN { text } else { text.chars().take(SEEN).chain(['…']).collect() }
}

/// The entries of these events, of a run that was started at `started`.
pub(crate) fn entries(events: &[Event], started: Millis) -> Vec<Entry> {
    // Since when a step, or a call of a tool, is waited for.
    let mut open: HashMap<(&'static str, String), Millis> = HashMap::new();
    events.iter().map(|event| entry(event, started, &mut open)).collect()
}

fn entry(event: &Event, started: Millis, open: &mut HashMap<(&'static str, String), Millis>) -> Entry {
    let text = |name: &str| event.data.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let at = event.at.0;
    let step = text("step");
    let (mut words, mut took, mut who, mut tone) = (String::new(), String::new(), String::new(), "");
    let title = match event.kind.as_str() {
        "run.started" => "The run began",
        "step.opened" => {
            open.insert(("step", step.clone()), at);
            who = text("role");
            let asked = event.data.pointer("/field/prompt").or_else(|| event.data.get("title"));
            words = asked.map(shown).unwrap_or_default();
            "Asked"
        }
        "step.answered" => {
            took = open.remove(&("step", step.clone())).map(|since| lasted(at.since(since))).unwrap_or_default();
            words = event.data.get("value").map(shown).unwrap_or_default();
            tone = "good";
            "Answered"
        }
        "message.posted" => {
            words = shown(&Value::from(text("text")));
            "Said by the workflow"
        }
        "agent.said" => {
            words = shown(&Value::from(text("text")));
            "Said by the agent"
        }
        "participant.said" => {
            words = shown(&Value::from(text("text")));
            "Said by the participant"
        }
        "tool.called" => {
            open.insert(("tool", text("effect")), at);
            words = format!("{} {}", text("method"), text("url"));
            "Tool called"
        }
        "tool.returned" => {
            took = open.remove(&("tool", text("effect"))).map(|since| lasted(at.since(since))).unwrap_or_default();
            words = event.data.get("status").or_else(|| event.data.get("code")).map(shown).unwrap_or_default();
            if event.data.get("code").is_some() {
                tone = "wrong";
            }
            "Tool answered"
        }
        "loop.iterated" => {
            words = event.data.get("iteration").map(|round| format!("Round {round}")).unwrap_or_default();
            "A round begins"
        }
        "timer.set" => {
            words = text("code");
            "A timer was set"
        }
        "run.waiting" => "Waiting",
        "run.completed" => {
            tone = "good";
            "The run came to its end"
        }
        "run.failed" => {
            tone = "wrong";
            "The run failed"
        }
        "run.cancelled" => "The run was cancelled",
        _ => "Something happened",
    };
    if who.is_empty() {
        who = match &event.roles {
            Some(roles) if roles.is_empty() => "operators alone see it".to_owned(),
            Some(roles) => roles.join(", "),
            None => String::new(),
        };
    }
    Entry { seq: event.seq, at: event.at, since: lasted(at.since(started)), title, step, who, words, took, tone }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_says_how_long_it_was_waited_for() {
        let event = |seq: u64, ms: i64, kind: &str, data: Value| -> Event {
            let at = Millis(ms).to_string();
            serde_json::from_value(json!({"seq": seq, "at": at, "kind": kind, "data": data})).unwrap()
        };
        let events = [
            event(1, 0, "run.started", json!({})),
            event(2, 10, "step.opened", json!({"step": "a", "role": "guest", "field": {"prompt": "How?"}})),
            event(
                3,
                20,
                "tool.called",
                json!({"step": "t", "effect": "e1", "method": "GET", "url": "https://x.example/"}),
            ),
            event(4, 1520, "tool.returned", json!({"step": "t", "effect": "e1", "code": "TIMEOUT"})),
            event(5, 65_010, "step.answered", json!({"step": "a", "value": 7})),
        ];
        let entries = entries(&events, Millis(0));
        let told: Vec<_> =
            entries.iter().map(|one| (one.title, one.who.as_str(), one.words.as_str(), one.took.as_str())).collect();
        assert_eq!(
            told,
            [
                ("The run began", "", "", ""),
                ("Asked", "guest", "How?", ""),
                ("Tool called", "", "GET https://x.example/", ""),
                ("Tool answered", "", "TIMEOUT", "1 s"),
                ("Answered", "", "7", "1 min 5 s"),
            ]
        );
        assert_eq!((entries[3].tone, entries[4].since.as_str()), ("wrong", "1 min 5 s"));
    }

    #[test]
    fn times_are_said_in_the_unit_that_fits() {
        let all = [5, 59_999, 3_600_000, 90_000_000].map(lasted);
        assert_eq!(all, ["5 ms", "59 s", "1 h 0 min", "1 d 1 h"]);
    }
}
