use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Run;
use crate::{
    fault::Rejection,
    state::{Awaited, Pending, RunStatus, Work},
};

/// What came from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Incoming {
    /// A participant answers an input or a form.
    Answer {
        /// The step.
        step: String,
        /// The participant's role.
        role: String,
        /// The value; for a form an object.
        value: Value,
    },
    /// A participant says something to an agent.
    Say {
        /// The step.
        step: String,
        /// The participant's role.
        role: String,
        /// The words, at most 4000 characters.
        text: String,
    },
    /// A participant ends the dialogue with an agent.
    Done {
        /// The step.
        step: String,
        /// The participant's role.
        role: String,
    },
    /// A bot answered.
    Replied {
        /// The effect's id.
        effect: String,
        /// The answer.
        text: String,
        /// Tokens that went to the model.
        input_tokens: u64,
        /// Tokens that came from it.
        output_tokens: u64,
    },
    /// A bot did not answer.
    ReplyFailed {
        /// The effect's id.
        effect: String,
        /// Stable, such as `timeout`; for operators.
        code: String,
    },
    /// A tool answered, whatever the status.
    ToolReturned {
        /// The effect's id.
        effect: String,
        /// The HTTP status.
        status: u16,
        /// The body: parsed JSON, or text.
        body: Value,
    },
    /// A tool did not answer.
    ToolFailed {
        /// The effect's id.
        effect: String,
        /// Stable, such as `timeout`; for operators.
        code: String,
    },
    /// A timer came to its time.
    TimerFired {
        /// The effect's id.
        effect: String,
    },
    /// Somebody ends the run.
    Cancel {
        /// For operators.
        reason: String,
    },
    /// The run cannot go on for a reason outside, such as a revoked deployment.
    Fail {
        /// For operators.
        reason: String,
    },
}

impl Run<'_> {
    pub(super) fn take(&mut self, incoming: Incoming) -> Result<(), Rejection> {
        match incoming {
            Incoming::Answer { step, role, value } => self.answer(&step, &role, &value),
            Incoming::Say { step, role, text } => self.say(&step, &role, &text),
            Incoming::Done { step, role } => self.done(&step, &role),
            Incoming::Replied { effect, text, input_tokens, output_tokens } => {
                self.expect_outcome(&effect, |work| matches!(work, Work::Dialogue(_)))?;
                let usage = &mut self.state.usage;
                usage.replies += 1;
                usage.input_tokens = usage.input_tokens.saturating_add(input_tokens);
                usage.output_tokens = usage.output_tokens.saturating_add(output_tokens);
                self.replied(&text)
            }
            Incoming::ReplyFailed { effect, code } => {
                self.expect_outcome(&effect, |work| matches!(work, Work::Dialogue(_)))?;
                self.reply_failed(&code)
            }
            Incoming::ToolReturned { effect, status, body } => {
                self.expect_outcome(&effect, |work| matches!(work, Work::Call(_)))?;
                self.tool_returned(&effect, status, body)
            }
            Incoming::ToolFailed { effect, code } => {
                self.expect_outcome(&effect, |work| matches!(work, Work::Call(_)))?;
                self.tool_failed(&effect, &code)
            }
            Incoming::TimerFired { effect } => self.timer_fired(&effect),
            Incoming::Cancel { reason } => self.stop(RunStatus::Cancelled, "cancelled", &reason),
            Incoming::Fail { reason } => self.stop(RunStatus::Failed, "failed", &reason),
        }
    }

    fn stop(&mut self, status: RunStatus, code: &str, reason: &str) -> Result<(), Rejection> {
        if self.state.status.is_final() {
            return Err(Rejection::Ended);
        }
        self.end(status, code, clean(reason, 1000));
        Ok(())
    }

    /// The open step, if this role may answer it. The order of the refusals keeps other roles' steps unknown.
    pub(super) fn step_for(&self, step: &str, role: &str) -> Result<&Pending, Rejection> {
        let node = step.split('.').next().unwrap_or_default();
        match self.definition.askers.get(node) {
            None => return Err(Rejection::NotFound),
            Some(asked) if asked != role => return Err(Rejection::NotYours),
            Some(_) => {}
        }
        if self.state.answered.contains(step) {
            return Err(Rejection::AlreadyAnswered);
        }
        if self.state.status.is_final() {
            return Err(Rejection::Ended);
        }
        self.state.pending.as_ref().filter(|pending| pending.step == step).ok_or(Rejection::NotFound)
    }

    /// Takes an outcome once: only the last effect issued is open, and only until its outcome came.
    fn expect_outcome(&mut self, effect: &str, fits: fn(&Work) -> bool) -> Result<(), Rejection> {
        let open = self.state.pending.as_mut().filter(|pending| {
            pending.awaited == Some(Awaited::Outcome) && fits(&pending.work) && pending.effect_id() == effect
        });
        open.ok_or(Rejection::Stale)?.awaited = None;
        Ok(())
    }

    fn timer_fired(&mut self, effect: &str) -> Result<(), Rejection> {
        let open = self.state.pending.as_mut();
        let open = open.filter(|p| matches!(p.awaited, Some(Awaited::Timer(_))) && p.effect_id() == effect);
        let pending = open.ok_or(Rejection::Stale)?;
        pending.awaited = None;
        match pending.work {
            Work::Wait => {
                let node = self.current()?.ok_or(Rejection::Mismatch)?;
                self.close_node(node.id(), None);
            }
            Work::Dialogue(_) => self.ask(),
            Work::Call(_) => self.call(),
            Work::Question(_) => {}
        }
        Ok(())
    }
}

/// JSON from outside with its texts cleaned; nothing when it is nested deeper than `levels`.
pub(super) fn clean_json(value: Value, levels: usize) -> Option<Value> {
    let within = levels.checked_sub(1);
    match value {
        Value::String(text) if text.contains('\0') => Some(text.replace('\0', "\u{fffd}").into()),
        Value::Array(items) => {
            items.into_iter().map(|item| clean_json(item, within?)).collect::<Option<Vec<_>>>().map(Value::from)
        }
        Value::Object(members) => {
            let member =
                |(name, item): (String, Value)| Some((name.replace('\0', "\u{fffd}"), clean_json(item, within?)?));
            members.into_iter().map(member).collect::<Option<Map<_, _>>>().map(Value::Object)
        }
        other => Some(other),
    }
}

/// Text from outside: without NUL, which no database takes, and cut to a number of characters.
pub(super) fn clean(text: &str, most: usize) -> String {
    text.chars().map(|c| if c == '\0' { '\u{fffd}' } else { c }).take(most).collect()
}
