use std::collections::{BTreeMap, BTreeSet};

use ambient::Millis;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    definition::Definition,
    effect::{Effect, EffectKind, Line, Speaker, ToolCall},
    fault::Rejection,
    step::OpenStep,
};

/// Where a run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Not started.
    #[default]
    Pending,
    /// A bot or a tool is at work.
    Running,
    /// A participant or a timer is waited for.
    Waiting,
    /// Over: it came to its end.
    Completed,
    /// Over: something failed.
    Failed,
    /// Over: it was cancelled.
    Cancelled,
}

impl RunStatus {
    /// Whether the run is over.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// The status as it is written on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why a run failed or was cancelled. For operators, not for participants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ending {
    /// Stable: `limit`, `agent_failed`, `tool_failed`, `failed` (from outside) or `cancelled`.
    pub code: String,
    /// A sentence.
    pub message: String,
    /// The step at which it ended, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

/// What the agents of a run used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Answers of bots.
    pub replies: u64,
    /// Tokens that went to models.
    pub input_tokens: u64,
    /// Tokens that came from models.
    pub output_tokens: u64,
}

/// Everything a run is, to be stored as JSON. Only the engine changes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    v: Version,
    pub(crate) status: RunStatus,
    pub(crate) input: Map<String, Value>,
    pub(crate) results: BTreeMap<String, Value>,
    pub(crate) position: Vec<Frame>,
    pub(crate) pending: Option<Pending>,
    pub(crate) answered: BTreeSet<String>,
    pub(crate) seq: u64,
    pub(crate) usage: Usage,
    pub(crate) ending: Option<Ending>,
}

/// The form of the stored state; another one is refused when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
struct Version;

impl TryFrom<u32> for Version {
    type Error = &'static str;

    fn try_from(version: u32) -> Result<Self, Self::Error> {
        if version == 1 { Ok(Self) } else { Err("this state was written by a newer version") }
    }
}

impl From<Version> for u32 {
    fn from(_: Version) -> Self {
        1
    }
}

/// A list of children that is being gone through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Frame {
    /// Which of the owner's lists.
    pub list: usize,
    /// The child that is open or comes next.
    pub index: usize,
    /// The round of a loop, from 1; 0 elsewhere.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub round: u32,
    /// How many rounds a counting loop makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// The open step. Nodes run one after the other, so there is at most one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub step: String,
    /// Effects issued for this step so far; the last one's number.
    pub issued: u32,
    /// What the last effect is, while its outcome is waited for.
    pub awaited: Option<Awaited>,
    /// Failures since the last success.
    pub failures: u32,
    pub work: Work,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Awaited {
    Outcome,
    Timer(Millis),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Work {
    Question(OpenStep),
    Dialogue(Dialogue),
    Call(ToolCall),
    Wait,
}

/// An agent at work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Dialogue {
    pub bot: String,
    pub instructions: String,
    /// Whom it talks with.
    pub role: Option<String>,
    pub may_end: bool,
    pub lines: Vec<Line>,
    /// How many of the lines the open question covers.
    pub asked: usize,
    pub turns: u32,
    /// The participant has no more part in it.
    pub closed: bool,
    /// What is asked behind the dialogue to get the extract, and the attempts at it.
    pub coda: Vec<Line>,
    pub extract: Option<Value>,
}

impl Dialogue {
    /// Lines as models want them: speakers in turn.
    fn messages(&self) -> Vec<Line> {
        let mut out: Vec<Line> = Vec::new();
        for line in self.lines.iter().take(self.asked).chain(&self.coda) {
            match out.last_mut() {
                Some(last) if last.from == line.from => {
                    last.text.push_str("\n\n");
                    last.text.push_str(&line.text);
                }
                _ => out.push(line.clone()),
            }
        }
        out
    }

    /// Messages of the participant behind the agent's last one.
    pub(crate) fn unanswered(&self) -> usize {
        self.lines.iter().rev().take_while(|line| line.from == Speaker::User).count()
    }
}

impl Pending {
    pub(crate) fn effect_id(&self) -> String {
        format!("{}#{}", self.step, self.issued)
    }

    fn effect(&self) -> Option<Effect> {
        let kind = match (self.awaited?, &self.work) {
            (Awaited::Timer(at), _) => EffectKind::SetTimer { at },
            (Awaited::Outcome, Work::Call(call)) => EffectKind::CallTool(call.clone()),
            (Awaited::Outcome, Work::Dialogue(dialogue)) => EffectKind::AskBot {
                bot: dialogue.bot.clone(),
                instructions: dialogue.instructions.clone(),
                messages: dialogue.messages(),
                extract: dialogue.extract.clone().filter(|_| dialogue.closed),
            },
            (Awaited::Outcome, Work::Question(_) | Work::Wait) => return None,
        };
        Some(Effect { id: self.effect_id(), step: self.step.clone(), kind })
    }

    fn open_step(&self) -> Option<OpenStep> {
        match &self.work {
            Work::Question(step) => Some(step.clone()),
            Work::Dialogue(dialogue) if !dialogue.closed => {
                let mut step = OpenStep::new(&self.step, crate::StepKind::Agent, dialogue.role.as_deref()?);
                step.lines.clone_from(&dialogue.lines);
                step.busy = self.awaited.is_some();
                step.may_end = dialogue.may_end;
                Some(step)
            }
            _ => None,
        }
    }
}

impl RunState {
    /// A run that was created and not started, its input checked. [`crate::start`] needs no such state.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] when the input does not fit.
    pub fn pending(definition: &Definition, input: &Value) -> Result<Self, Rejection> {
        Ok(Self {
            v: Version,
            status: RunStatus::Pending,
            input: definition.check_input(input).map_err(Rejection::Invalid)?,
            results: BTreeMap::new(),
            position: Vec::new(),
            pending: None,
            answered: BTreeSet::new(),
            seq: 0,
            usage: Usage::default(),
            ending: None,
        })
    }

    /// Where the run stands.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        self.status
    }

    /// What it was started with.
    #[must_use]
    pub fn input(&self) -> &Map<String, Value> {
        &self.input
    }

    /// The nodes' results by id; in a loop those of the last round. Shown as `state`.
    #[must_use]
    pub fn results(&self) -> &BTreeMap<String, Value> {
        &self.results
    }

    /// The sequence number of the last event.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// What the agents used.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Why it failed or was cancelled.
    #[must_use]
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// The step that is open: a participant's, an agent's, a tool's or a wait.
    #[must_use]
    pub fn current_step_id(&self) -> Option<&str> {
        self.pending.as_ref().map(|pending| pending.step.as_str())
    }

    /// What must be under way now; to be started again after a restart.
    #[must_use]
    pub fn open_effects(&self) -> Vec<Effect> {
        self.pending.iter().filter_map(Pending::effect).collect()
    }

    /// What a participant of this role is shown now.
    #[must_use]
    pub fn open_steps_for(&self, role: &str) -> Vec<OpenStep> {
        self.open_steps().into_iter().filter(|step| step.role == role).collect()
    }

    /// The open steps of all participants, for operators.
    #[must_use]
    pub fn open_steps(&self) -> Vec<OpenStep> {
        self.pending.iter().filter_map(Pending::open_step).collect()
    }
}
