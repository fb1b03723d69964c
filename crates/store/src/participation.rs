//! Workflows, their deployments and the runs of them (seed S0): what rows say, and what callers want stored.
//! Definitions, states, inputs and payloads are JSON that the store does not look into.

use ambient::{DeploymentId, KeyId, Millis, RunId, WorkflowId};

use crate::record::KeySettings;

/// What a run's status is when it is over.
const FINAL: [&str; 3] = ["completed", "failed", "cancelled"];

/// A design that can still be changed.
#[derive(Clone, Debug)]
pub struct WorkflowRecord {
    /// Its id.
    pub id: WorkflowId,
    /// What people call it.
    pub name: String,
    /// JSON. A list leaves it out: empty there.
    pub definition: String,
    /// From 1; moves when the definition changes.
    pub version: u64,
    /// When it was made.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
}

/// What a workflow was, or is.
#[derive(Clone, Debug)]
pub struct WorkflowVersionRecord {
    /// From 1.
    pub version: u64,
    /// JSON. A list leaves it out: empty there.
    pub definition: String,
    /// Since when the workflow was this.
    pub created_at: Millis,
}

/// Versions of a workflow that are kept: the last ones.
pub(crate) const MAX_VERSIONS: u64 = 100;

/// Which runs are listed; `None` is each.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunFilter<'a> {
    /// Of this deployment.
    pub deployment: Option<DeploymentId>,
    /// That stand so: `waiting`.
    pub status: Option<&'a str>,
}

impl From<Option<DeploymentId>> for RunFilter<'_> {
    fn from(deployment: Option<DeploymentId>) -> Self {
        Self { deployment, status: None }
    }
}

/// A workflow to be made.
#[derive(Clone, Debug)]
pub struct NewWorkflow {
    /// What people call it.
    pub name: String,
    /// JSON.
    pub definition: String,
}

/// What is to be different about a workflow; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct WorkflowChange {
    /// What people call it.
    pub name: Option<String>,
    /// JSON. Another text than the stored one is another version.
    pub definition: Option<String>,
}

/// A frozen version of a workflow. Its key has the same number: `KeyId(id.0)`.
#[derive(Clone, Debug)]
pub struct DeploymentRecord {
    /// Its id.
    pub id: DeploymentId,
    /// What it was made from, which may be gone.
    pub workflow: WorkflowId,
    /// What people call it.
    pub name: String,
    /// Which version of the workflow it is.
    pub version: u64,
    /// JSON. A list leaves it out: empty there.
    pub definition: String,
    /// Whether strangers may start runs.
    pub survey_mode: bool,
    /// Runs that strangers may start in a day; `None` is the installation's default.
    pub daily_runs: Option<u32>,
    /// Replies of bots in a day; with `None` runs of strangers have the installation's default.
    pub daily_replies: Option<u32>,
    /// Runs that may be started in a minute, by whomever; `None` is no limit of its own.
    pub runs_per_minute: Option<u32>,
    /// Declared inputs and the templates that fill them from what a trigger brought, JSON.
    pub input_mapping: Option<String>,
    /// Whether strangers solve a challenge before they start a run: `off`, `auto` or `on`.
    pub challenge: String,
    /// What may be shown of its key.
    pub display: String,
    /// When it was made.
    pub created_at: Millis,
    /// When it was revoked, for good.
    pub revoked_at: Option<Millis>,
}

impl DeploymentRecord {
    /// The key that was made with it.
    #[must_use]
    pub const fn key(&self) -> KeyId {
        KeyId(self.id.0)
    }
}

/// A deployment to be made. Its maker gives the id, because the key's secret is minted for it.
#[derive(Clone, Debug)]
pub struct NewDeployment {
    /// Its id, and the number of its key's.
    pub id: DeploymentId,
    /// Of what.
    pub workflow: WorkflowId,
    /// The version that the maker has looked at; another one by now is a conflict.
    pub version: u64,
    /// What people call it.
    pub name: String,
    /// Whether strangers may start runs.
    pub survey_mode: bool,
    /// Runs that strangers may start in a day; `None` is the installation's default.
    pub daily_runs: Option<u32>,
    /// Replies of bots in a day; with `None` runs of strangers have the installation's default.
    pub daily_replies: Option<u32>,
    /// Runs that may be started in a minute, by whomever; `None` is no limit of its own.
    pub runs_per_minute: Option<u32>,
    /// Declared inputs and the templates that fill them from what a trigger brought, JSON.
    pub input_mapping: Option<String>,
    /// Whether strangers solve a challenge before they start a run: `off`, `auto` or `on`.
    pub challenge: String,
    /// What can be set about its key.
    pub settings: KeySettings,
}

/// One execution of a deployment.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// Its id.
    pub id: RunId,
    /// Of what.
    pub deployment: DeploymentId,
    /// What started it: `api`, `public`, `webhook` or `cron`.
    pub origin: String,
    /// `pending`, `running`, `waiting`, `completed`, `failed` or `cancelled`.
    pub status: String,
    /// What it was started with, JSON. A list leaves it out: empty there.
    pub input: String,
    /// Where it stands, JSON. A list leaves it out: empty there.
    pub state: String,
    /// What is waited for.
    pub current_step: Option<String>,
    /// How many turns it has had.
    pub version: u64,
    /// The last event's number; 0 before the first.
    pub seq: u64,
    /// When it was started.
    pub created_at: Millis,
    /// When it last had a turn.
    pub updated_at: Millis,
    /// When it was over.
    pub finished_at: Option<Millis>,
}

/// Runs of one deployment, by when they were started: an id begins with that.
#[derive(Clone, Debug)]
pub struct RunRange {
    /// Of what.
    pub deployment: DeploymentId,
    /// Those after this one.
    pub after: RunId,
    /// Up to this one, which is among them.
    pub last: RunId,
    /// Those of this status alone.
    pub status: Option<String>,
}

/// A run to be started.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Of what.
    pub deployment: DeploymentId,
    /// What starts it: `api`, `public`, `webhook` or `cron`.
    pub origin: String,
    /// What it is started with, JSON.
    pub input: String,
    /// Where it stands before its first turn, JSON.
    pub state: String,
}

/// What one turn of a run changes, all or nothing.
#[derive(Clone, Debug, Default)]
pub struct TurnRecord {
    /// Where the run stands after it. Over is over: what the run had still to do is forgotten then.
    pub status: String,
    /// The whole state after it, JSON.
    pub state: String,
    /// What is waited for after it.
    pub current_step: Option<String>,
    /// What happened, in order, from the number after the run's last.
    pub events: Vec<NewRunEvent>,
    /// What is to be done because of it.
    pub effects: Vec<NewEffect>,
    /// Effects that are done with: their results are in the state.
    pub resolved: Vec<String>,
}

impl TurnRecord {
    /// Whether the run is over with it.
    pub(crate) fn is_final(&self) -> bool {
        FINAL.contains(&self.status.as_str())
    }
}

/// A line of a run's timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEventRecord {
    /// From 1, without gaps.
    pub seq: u64,
    /// What happened, such as `step.opened`.
    pub kind: String,
    /// Which participants may see it: all without a list, none with an empty one.
    pub roles: Option<Vec<String>>,
    /// The facts, JSON.
    pub data: String,
    /// When.
    pub at: Millis,
}

/// A line to be added to a run's timeline.
#[derive(Clone, Debug)]
pub struct NewRunEvent {
    /// The number after the line before.
    pub seq: u64,
    /// What happened, such as `step.opened`.
    pub kind: String,
    /// Which participants may see it: all without a list, none with an empty one.
    pub roles: Option<Vec<String>>,
    /// The facts, JSON.
    pub data: String,
    /// When.
    pub at: Millis,
}

/// What is still to be done for a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectRecord {
    /// Unique in the run.
    pub id: String,
    /// What kind of work it is.
    pub kind: String,
    /// What it takes, JSON.
    pub payload: String,
    /// Not before this.
    pub due_at: Millis,
    /// How often it was put off.
    pub attempts: u32,
    /// When it was asked for.
    pub created_at: Millis,
}

/// Something to be done for a run.
#[derive(Clone, Debug)]
pub struct NewEffect {
    /// Unique in the run.
    pub id: String,
    /// What kind of work it is.
    pub kind: String,
    /// What it takes, JSON.
    pub payload: String,
    /// Not before this.
    pub due_at: Millis,
}
