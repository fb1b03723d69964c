//! What starts runs besides a key: what rows say, and what callers want stored.

use ambient::{DeploymentId, Millis, RunId, TriggerId};
use credential::secret::Digest;

use crate::participation::RunRecord;

/// Something outside, or a time, that starts runs of a deployment.
#[derive(Clone, Debug)]
pub struct TriggerRecord {
    /// Its id.
    pub id: TriggerId,
    /// Whose runs it starts.
    pub deployment: DeploymentId,
    /// `webhook` or `cron`.
    pub kind: String,
    /// What people call it.
    pub name: String,
    /// What its callers sign with, sealed.
    pub secret_sealed: Option<Vec<u8>>,
    /// When, of a `cron`.
    pub schedule: Option<String>,
    /// Where that is meant, of a `cron`.
    pub timezone: Option<String>,
    /// What runs are started with, of a `cron`; how callers sign, of a `webhook`. JSON.
    pub input: Option<String>,
    /// When it fires next.
    pub next_at: Option<Millis>,
    /// When it last started a run, or should have.
    pub last_at: Option<Millis>,
    /// Why it did not.
    pub last_error: Option<String>,
    /// When it was made.
    pub created_at: Millis,
    /// Since when it is off.
    pub disabled_at: Option<Millis>,
}

/// A trigger to be made. Its maker gives the id, because secrets are sealed for it.
#[derive(Clone, Debug)]
pub struct NewTrigger {
    /// Its id.
    pub id: TriggerId,
    /// Whose runs it starts.
    pub deployment: DeploymentId,
    /// `webhook` or `cron`.
    pub kind: String,
    /// What people call it.
    pub name: String,
    /// Of the token of a `webhook`.
    pub digest: Option<Digest>,
    /// What its callers sign with, sealed.
    pub secret_sealed: Option<Vec<u8>>,
    /// When, of a `cron`.
    pub schedule: Option<String>,
    /// Where that is meant, of a `cron`.
    pub timezone: Option<String>,
    /// What runs are started with, of a `cron`; how callers sign, of a `webhook`. JSON.
    pub input: Option<String>,
    /// When it fires first.
    pub next_at: Option<Millis>,
}

/// What is to be different about a trigger; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct TriggerChange {
    /// What people call it.
    pub name: Option<String>,
    /// What its callers sign with, sealed.
    pub secret_sealed: Option<Vec<u8>>,
    /// When.
    pub schedule: Option<String>,
    /// Where that is meant.
    pub timezone: Option<String>,
    /// What runs are started with. JSON.
    pub input: Option<String>,
    /// When it fires next.
    pub next_at: Option<Option<Millis>>,
    /// Whether it is on.
    pub is_enabled: Option<bool>,
}

/// What a run is started by, so that it is started once.
#[derive(Clone, Debug)]
pub struct TriggerFire {
    /// Which.
    pub trigger: TriggerId,
    /// The name of the event: a second one of this name starts nothing.
    pub delivery: Option<String>,
    /// The time that a schedule was due, and the next one.
    pub times: Option<(Millis, Option<Millis>)>,
}

/// What an event came to.
#[derive(Clone, Debug)]
pub enum Fired {
    /// A run, pending.
    Started(RunRecord),
    /// Nothing: it has started this run before.
    Before(RunId),
}
