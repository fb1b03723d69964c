use ambient::RunId;
use workflow::{OpenStep, RunStatus};

/// What one role of a run is shown.
#[derive(Clone, Debug)]
pub struct ParticipantView {
    /// The run.
    pub run: RunId,
    /// Where it stands.
    pub status: RunStatus,
    /// Who looks.
    pub role: String,
    /// The workflow's title.
    pub title: Option<String>,
    /// What waits for this role.
    pub steps: Vec<OpenStep>,
    /// The number of the run's last event, of any role: [`crate::Runs::follow`] goes on after it.
    pub last_seq: u64,
}
