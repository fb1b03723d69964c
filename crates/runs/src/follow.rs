//! Followers of timelines. Each is a number in the database and a bell that rings after a turn.

use std::{collections::HashMap, sync::Arc};

use ambient::RunId;
use parking_lot::Mutex;
use store::{RunEventRecord, RunRecord, Workspace};
use tokio::sync::watch;
use workflow::{Event, EventKind};

use crate::RunError;

/// How many events are read at once.
const BATCH: u32 = 100;

/// Who is followed on this node: the last number that is known of each.
#[derive(Clone, Default)]
pub(crate) struct Bells(Arc<Mutex<HashMap<RunId, watch::Sender<u64>>>>);

impl Bells {
    fn listen(&self, run: RunId) -> watch::Receiver<u64> {
        self.0.lock().entry(run).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    /// Tells the followers of a run that there is more, up to `seq`.
    pub(crate) fn ring(&self, run: RunId, seq: u64) {
        if let Some(bell) = self.0.lock().get(&run) {
            bell.send_modify(|last| *last = seq.max(*last));
        }
    }

    fn leave(&self, run: RunId) {
        let mut bells = self.0.lock();
        // The one that leaves still counts.
        if bells.get(&run).is_some_and(|bell| bell.receiver_count() <= 1) {
            bells.remove(&run);
        }
    }
}

/// Reads a run's timeline from a number on: what is stored, then what comes. It holds its position and
/// nothing else, however slow it is.
pub struct RunFollower {
    data: Workspace,
    run: RunId,
    after: u64,
    is_over: bool,
    /// Whether the last look found fewer than it could take.
    is_drained: bool,
    bells: Bells,
    more: watch::Receiver<u64>,
}

impl std::fmt::Debug for RunFollower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunFollower").field("run", &self.run).field("after", &self.after).finish_non_exhaustive()
    }
}

impl RunFollower {
    pub(crate) async fn new(data: Workspace, run: RunId, after: u64, bells: &Bells) -> Result<Self, RunError> {
        // Listening first: a turn after the look rings.
        let more = bells.listen(run);
        let mut follower = Self { data, run, after, is_over: false, is_drained: false, bells: bells.clone(), more };
        let record = follower.data.run(run).await?;
        follower.is_over = is_over(&record);
        Ok(follower)
    }

    /// The next events in order, without a gap, at most 100; waits for them. `None` when the run is over
    /// and everything was given. Cancelling it loses nothing.
    ///
    /// # Errors
    /// [`RunError::Unavailable`]; asking again goes on where it was.
    pub async fn next(&mut self) -> Result<Option<Vec<Event>>, RunError> {
        loop {
            let events = self.read().await?;
            if !events.is_empty() {
                return Ok(Some(events));
            }
            if self.is_over {
                return Ok(None);
            }
            self.ready().await?;
        }
    }

    /// What is there now, in order, without a gap, at most 100; empty when there is nothing yet.
    ///
    /// # Errors
    /// [`RunError::Unavailable`]; asking again goes on where it was.
    pub async fn read(&mut self) -> Result<Vec<Event>, RunError> {
        self.more.mark_unchanged();
        let events = read(&self.data, self.run, self.after, BATCH).await?;
        self.is_drained = events.len() < BATCH as usize;
        if let Some(last) = events.last() {
            self.after = last.seq;
            self.is_over |= is_last(last.kind);
        }
        Ok(events)
    }

    /// Waits until there may be more than [`RunFollower::read`] gave. It takes little memory, however long
    /// it takes; cancelling it loses nothing.
    ///
    /// # Errors
    /// [`RunError::Unavailable`], which does not pass.
    pub async fn ready(&mut self) -> Result<(), RunError> {
        // The sender lives as long as somebody listens.
        self.more.changed().await.map_err(RunError::unavailable)
    }

    /// Whether the last [`RunFollower::read`] gave all that there was.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.is_drained
    }

    /// Whether the run is over and everything was given.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.is_over && self.is_drained
    }

    /// The number of the last event that was given.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.after
    }
}

impl Drop for RunFollower {
    fn drop(&mut self) {
        self.bells.leave(self.run);
    }
}

fn is_over(run: &RunRecord) -> bool {
    run.finished_at.is_some()
}

fn is_last(kind: EventKind) -> bool {
    matches!(kind, EventKind::RunCompleted | EventKind::RunFailed | EventKind::RunCancelled)
}

pub(crate) async fn read(data: &Workspace, run: RunId, after: u64, limit: u32) -> Result<Vec<Event>, RunError> {
    data.run_events(run, after, limit).await?.into_iter().map(event).collect()
}

fn event(record: RunEventRecord) -> Result<Event, RunError> {
    Ok(Event {
        seq: record.seq,
        at: record.at,
        kind: serde_json::from_value(record.kind.into()).map_err(RunError::unavailable)?,
        roles: record.roles,
        data: serde_json::from_str(&record.data).map_err(RunError::unavailable)?,
    })
}
