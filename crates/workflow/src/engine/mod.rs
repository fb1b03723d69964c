//! The fold: state and what came in give the new state, events and effects.

mod agent;
mod incoming;
mod question;
mod tool;
mod walk;

use ambient::Millis;
use serde_json::{Value, json};

use crate::{
    definition::Definition,
    effect::Effect,
    event::{Event, EventKind},
    fault::Rejection,
    limits::{BACKOFF, MAX_EVENTS, MAX_RESULTS_BYTES, MAX_TURN_BYTES},
    model::Node,
    state::{Awaited, Ending, Frame, Pending, RunState, RunStatus, Work},
    template::Scope,
};

pub use incoming::Incoming;

/// What a turn gives: to be stored in one transaction, the effects to be started after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// The run as it is now.
    pub state: RunState,
    /// What happened, to be appended to the timeline.
    pub events: Vec<Event>,
    /// What is new among [`RunState::open_effects`]. What was open before and is no more may be stopped.
    pub effects: Vec<Effect>,
}

/// Starts a run: checks the input and goes as far as it can without help.
///
/// # Errors
/// [`Rejection::Invalid`] when the input does not fit.
pub fn start(definition: &Definition, input: &Value, at: Millis) -> Result<Turn, Rejection> {
    let mut state = RunState::pending(definition, input)?;
    state.status = RunStatus::Running;
    state.position.push(Frame::default());
    let mut run = Run::new(definition, state, at);
    run.emit(EventKind::RunStarted, None, json!({}));
    run.go()?;
    Ok(run.finish())
}

/// Takes in what came and goes on as far as it can without help.
///
/// # Errors
/// Why nothing happened; the state stays as it was.
pub fn advance(definition: &Definition, state: &RunState, incoming: Incoming, at: Millis) -> Result<Turn, Rejection> {
    let mut run = Run::new(definition, state.clone(), at);
    run.take(incoming)?;
    run.go()?;
    Ok(run.finish())
}

/// A turn in the making.
struct Run<'d> {
    definition: &'d Definition,
    state: RunState,
    at: Millis,
    events: Vec<Event>,
    before: (RunStatus, Option<String>),
    /// Visits and comparisons of this turn.
    work: usize,
    /// Bytes of this turn's events.
    written: usize,
    /// The limit that was passed, as a sentence.
    excess: Option<&'static str>,
}

impl<'d> Run<'d> {
    fn new(definition: &'d Definition, state: RunState, at: Millis) -> Self {
        let open = state.pending.as_ref().filter(|pending| pending.awaited.is_some()).map(Pending::effect_id);
        let before = (state.status, open);
        Self { definition, state, at, events: Vec::new(), before, work: 0, written: 0, excess: None }
    }

    fn finish(mut self) -> Turn {
        if !self.state.status.is_final() {
            self.state.status = match &self.state.pending {
                Some(Pending { awaited: Some(Awaited::Outcome), .. }) => RunStatus::Running,
                _ => RunStatus::Waiting,
            };
            if self.state.status == RunStatus::Waiting && self.before.0 != RunStatus::Waiting {
                self.emit(EventKind::RunWaiting, None, json!({}));
            }
        }
        let mut effects = self.state.open_effects();
        effects.retain(|effect| Some(&effect.id) != self.before.1.as_ref());
        Turn { state: self.state, events: self.events, effects }
    }

    fn emit(&mut self, kind: EventKind, roles: Option<&[&str]>, data: Value) {
        self.state.seq += 1;
        self.written += size_of_value(&data);
        if self.state.seq >= MAX_EVENTS {
            self.excess = Some("The run came to 10,000 events.");
        } else if self.written > MAX_TURN_BYTES {
            self.excess = Some("The run wrote more than 1 MiB without waiting for anybody.");
        }
        let roles = roles.map(|roles| roles.iter().map(|&role| role.to_owned()).collect());
        self.events.push(Event { seq: self.state.seq, at: self.at, kind, roles, data });
    }

    /// Ends the run without success; the participants see that it ended, and not why.
    fn end(&mut self, status: RunStatus, code: &str, message: impl Into<String>) {
        let step = self.state.pending.take().map(|pending| pending.step);
        self.state.status = status;
        self.state.ending = Some(Ending { code: code.to_owned(), message: message.into(), step });
        let kind = if status == RunStatus::Cancelled { EventKind::RunCancelled } else { EventKind::RunFailed };
        self.emit(kind, None, json!({}));
    }

    fn fail(&mut self, code: &str, message: impl Into<String>) {
        self.end(RunStatus::Failed, code, message);
    }

    /// What templates read: the results so far, the input, the innermost loop's round.
    fn scope(&self) -> Scope<'_> {
        let index = self.state.position.iter().rev().map(|frame| frame.round).find(|round| *round > 0);
        Scope { results: &self.state.results, input: &self.state.input, index }
    }

    /// The step of the node at hand: its id, and the rounds of the loops around it.
    fn step_of(&self, id: &str) -> String {
        let mut step = id.to_owned();
        for frame in self.state.position.iter().filter(|frame| frame.round > 0) {
            step.push('.');
            step.push_str(&frame.round.to_string());
        }
        step
    }

    fn open(&mut self, step: String, work: Work) {
        self.state.pending = Some(Pending { step, issued: 0, awaited: None, failures: 0, work });
    }

    /// Asks for an effect on behalf of the open step, under an id of its own.
    fn issue(&mut self, awaited: Awaited) {
        if let Some(pending) = &mut self.state.pending {
            pending.issued += 1;
            pending.awaited = Some(awaited);
        }
    }

    /// One more failure: pauses before the next attempt, or says that there is none left.
    fn pause(&mut self, step: &str, code: &str, retries: u32) -> bool {
        let Some(pending) = &mut self.state.pending else { return false };
        if pending.failures >= retries {
            return false;
        }
        let pause = usize::try_from(pending.failures).ok().and_then(|at| BACKOFF.get(at)).unwrap_or(&BACKOFF[1]);
        pending.failures += 1;
        let at = self.at.plus(*pause);
        self.issue(Awaited::Timer(at));
        self.emit(EventKind::TimerSet, Some(&[]), json!({"step": step, "at": at, "code": code}));
        true
    }

    /// Closes the open node, stores its result and goes to the next one.
    fn close_node(&mut self, id: &str, result: Option<Value>) {
        self.state.pending = None;
        if let Some(result) = result {
            self.store(id, result);
        }
        self.next_sibling();
    }

    fn store(&mut self, id: &str, result: Value) {
        self.state.results.insert(id.to_owned(), result);
        if self.state.results.values().map(size_of_value).sum::<usize>() > MAX_RESULTS_BYTES {
            self.excess = Some("The results of the run came to more than 1 MiB.");
        }
    }

    fn next_sibling(&mut self) {
        if let Some(frame) = self.state.position.last_mut() {
            frame.index += 1;
        }
    }

    /// The children that are being gone through.
    fn list(&self) -> Result<&'d [Node], Rejection> {
        let mut list = self.definition.root.children.as_slice();
        for (owner, frame) in self.state.position.iter().zip(self.state.position.iter().skip(1)) {
            list = list.get(owner.index).and_then(|node| node.children(frame.list)).ok_or(Rejection::Mismatch)?;
        }
        Ok(list)
    }

    /// The node at hand, if it has not come to the end of its list.
    fn current(&self) -> Result<Option<&'d Node>, Rejection> {
        let index = self.state.position.last().ok_or(Rejection::Mismatch)?.index;
        Ok(self.list()?.get(index))
    }
}

/// About as many bytes as the value has as JSON.
fn size_of_value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 10,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| size_of_value(item) + 1).sum::<usize>(),
        Value::Object(members) => {
            2 + members.iter().map(|(name, item)| name.len() + size_of_value(item) + 4).sum::<usize>()
        }
    }
}
