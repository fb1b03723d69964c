use ambient::Millis;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EventKind {
    /// The run began.
    #[serde(rename = "run.started")]
    RunStarted,
    /// A participant is asked; `data` is the [`crate::OpenStep`].
    #[serde(rename = "step.opened")]
    StepOpened,
    /// A participant answered, or ended a dialogue. `{step, value}`, for a dialogue `{step}`.
    #[serde(rename = "step.answered")]
    StepAnswered,
    /// A message of the workflow. `{step, text}`.
    #[serde(rename = "message.posted")]
    MessagePosted,
    /// An agent's words. `{step, text}`.
    #[serde(rename = "agent.said")]
    AgentSaid,
    /// A participant's words to an agent. `{step, text}`.
    #[serde(rename = "participant.said")]
    ParticipantSaid,
    /// A tool is called. `{step, effect, method, url, attempt}`.
    #[serde(rename = "tool.called")]
    ToolCalled,
    /// A tool answered or failed. `{step, effect, status}` or `{step, effect, code}`.
    #[serde(rename = "tool.returned")]
    ToolReturned,
    /// A loop begins a round. `{step, iteration}`.
    #[serde(rename = "loop.iterated")]
    LoopIterated,
    /// A wait, or a pause before a retry with the `code` of the failure. `{step, at, code?}`.
    #[serde(rename = "timer.set")]
    TimerSet,
    /// The run waits for a participant or a timer.
    #[serde(rename = "run.waiting")]
    RunWaiting,
    /// The run came to its end.
    #[serde(rename = "run.completed")]
    RunCompleted,
    /// The run failed; why is in [`crate::RunState::ending`], for operators.
    #[serde(rename = "run.failed")]
    RunFailed,
    /// The run was cancelled; why is in [`crate::RunState::ending`], for operators.
    #[serde(rename = "run.cancelled")]
    RunCancelled,
}

impl EventKind {
    /// The kind as it is written on the wire, such as `step.opened`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RunStarted => "run.started",
            Self::StepOpened => "step.opened",
            Self::StepAnswered => "step.answered",
            Self::MessagePosted => "message.posted",
            Self::AgentSaid => "agent.said",
            Self::ParticipantSaid => "participant.said",
            Self::ToolCalled => "tool.called",
            Self::ToolReturned => "tool.returned",
            Self::LoopIterated => "loop.iterated",
            Self::TimerSet => "timer.set",
            Self::RunWaiting => "run.waiting",
            Self::RunCompleted => "run.completed",
            Self::RunFailed => "run.failed",
            Self::RunCancelled => "run.cancelled",
        }
    }
}

/// One line of a run's timeline. Nothing in `data` is hidden from whom [`Event::is_for`] lets see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// From 1, without a gap.
    pub seq: u64,
    /// When it happened.
    pub at: Millis,
    /// What happened.
    pub kind: EventKind,
    /// Which participants see it: all of them without a list, none with an empty one. Operators see everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// The facts, by kind.
    pub data: Value,
}

impl Event {
    /// Whether a participant of this role may see it.
    #[must_use]
    pub fn is_for(&self, role: &str) -> bool {
        self.roles.as_ref().is_none_or(|roles| roles.iter().any(|one| one == role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_seen_by_its_roles_alone() {
        let event = |roles: Option<&[&str]>| Event {
            seq: 1,
            at: Millis(0),
            kind: EventKind::AgentSaid,
            roles: roles.map(|roles| roles.iter().map(|&role| role.to_owned()).collect()),
            data: Value::Null,
        };
        assert!(event(None).is_for("customer"));
        assert!(!event(Some(&[])).is_for("customer"), "an empty list is operators only");
        assert!(event(Some(&["customer"])).is_for("customer"));
        assert!(!event(Some(&["reviewer"])).is_for("customer"));
    }

    #[test]
    fn the_text_of_a_kind_is_its_form_on_the_wire() {
        for kind in [EventKind::RunStarted, EventKind::ParticipantSaid, EventKind::LoopIterated, EventKind::TimerSet] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
