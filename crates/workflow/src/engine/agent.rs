//! Agents: one question, or a dialogue, and what is read out of it.

use serde_json::{Value, json};

use super::{Run, incoming::clean};
use crate::{
    effect::{Line, Speaker},
    event::EventKind,
    extract::Extract,
    fault::{FieldFault, Rejection},
    limits::{MAX_DIALOGUE_BYTES, MAX_REPAIRS, MAX_SAY_CHARACTERS, MAX_TEXT, MAX_UNANSWERED, REPLY_RETRIES},
    model::{Agent, Node, Until},
    state::{Awaited, Dialogue, Pending, Work},
    step::{OpenStep, StepKind},
};

impl<'d> Run<'d> {
    pub(super) fn begin_agent(&mut self, agent: &Agent) {
        let render = |template: Option<&crate::template::Template>| {
            template.map(|template| template.render_text(self.scope())).unwrap_or_default()
        };
        let (prompt, instructions) = (render(agent.prompt.as_ref()), render(agent.instructions.as_ref()));
        let step = self.step_of(&agent.id);
        let mut dialogue = Dialogue {
            bot: agent.bot.clone(),
            instructions,
            role: agent.role.clone(),
            may_end: agent.until == Until::ParticipantDone,
            lines: Vec::new(),
            asked: 0,
            turns: 0,
            closed: agent.role.is_none(),
            coda: Vec::new(),
            extract: agent.extract.as_ref().map(Extract::to_schema),
        };
        let Some(role) = &agent.role else {
            dialogue.lines.push(Line::user(prompt));
            dialogue.coda.extend(agent.extract.as_ref().map(|extract| Line::user(extract.request())));
            self.open(step, Work::Dialogue(dialogue));
            self.ask();
            return;
        };
        let mut shown = OpenStep::new(&step, StepKind::Agent, role);
        shown.may_end = dialogue.may_end;
        if !prompt.trim().is_empty() {
            dialogue.lines.push(Line::assistant(&prompt));
        }
        self.open(step.clone(), Work::Dialogue(dialogue));
        self.emit(EventKind::StepOpened, Some(&[role]), serde_json::to_value(&shown).unwrap_or_default());
        if !prompt.trim().is_empty() {
            self.emit(EventKind::AgentSaid, Some(&[role]), json!({"step": step, "text": prompt}));
        }
    }

    /// Asks the bot about everything that was said so far.
    pub(super) fn ask(&mut self) {
        if let Some(Pending { work: Work::Dialogue(dialogue), .. }) = &mut self.state.pending {
            dialogue.asked = dialogue.lines.len();
        }
        self.issue(Awaited::Outcome);
    }

    pub(super) fn say(&mut self, step: &str, role: &str, text: &str) -> Result<(), Rejection> {
        let (dialogue, waiting) = self.open_dialogue(step, role)?;
        let text = text.trim();
        let fault = |sentence: String| Rejection::Invalid(vec![FieldFault::new("text", sentence)]);
        if text.is_empty() {
            return Err(fault("Write something.".to_owned()));
        }
        if text.chars().count() > MAX_SAY_CHARACTERS {
            return Err(fault(format!("Write at most {MAX_SAY_CHARACTERS} characters.")));
        }
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return Err(fault("Take the control characters out.".to_owned()));
        }
        if dialogue.unanswered() >= MAX_UNANSWERED {
            return Err(Rejection::Busy);
        }
        dialogue.lines.push(Line::user(text));
        self.emit(EventKind::ParticipantSaid, Some(&[role]), json!({"step": step, "text": text}));
        if !waiting {
            self.ask();
        }
        Ok(())
    }

    pub(super) fn done(&mut self, step: &str, role: &str) -> Result<(), Rejection> {
        let (dialogue, _) = self.open_dialogue(step, role)?;
        if !dialogue.may_end {
            let sentence = "This dialogue ends by itself, after its last turn.";
            return Err(Rejection::Invalid(vec![FieldFault::new("value", sentence)]));
        }
        self.close_dialogue()
    }

    /// The dialogue behind an open step, and whether an effect is open for it.
    fn open_dialogue(&mut self, step: &str, role: &str) -> Result<(&mut Dialogue, bool), Rejection> {
        self.step_for(step, role)?;
        match &mut self.state.pending {
            Some(Pending { work: Work::Dialogue(dialogue), awaited, .. }) => Ok((dialogue, awaited.is_some())),
            _ => {
                let sentence = "Answer this step instead of talking.";
                Err(Rejection::Invalid(vec![FieldFault::new("value", sentence)]))
            }
        }
    }

    fn agent(&self) -> Result<(&'d Agent, String), Rejection> {
        match (self.current()?, &self.state.pending) {
            (Some(Node::Agent(agent)), Some(pending)) => Ok((agent, pending.step.clone())),
            _ => Err(Rejection::Mismatch),
        }
    }

    fn dialogue(&mut self) -> Result<&mut Dialogue, Rejection> {
        match &mut self.state.pending {
            Some(Pending { work: Work::Dialogue(dialogue), .. }) => Ok(dialogue),
            _ => Err(Rejection::Mismatch),
        }
    }

    pub(super) fn replied(&mut self, text: &str) -> Result<(), Rejection> {
        let (agent, step) = self.agent()?;
        let text = clean(text, MAX_TEXT);
        if let Some(pending) = &mut self.state.pending {
            pending.failures = 0;
        }
        let data = json!({"step": step, "text": text});
        let dialogue = self.dialogue()?;
        if dialogue.closed {
            self.emit(EventKind::AgentSaid, Some(&[]), data);
            return match &agent.extract {
                Some(extract) => self.read_extract(agent, extract, &text),
                None => {
                    self.close_node(&agent.id, Some(json!({"text": text})));
                    Ok(())
                }
            };
        }
        // What was said in the meantime comes behind the answer, and is asked next.
        let at = dialogue.asked.min(dialogue.lines.len());
        dialogue.lines.insert(at, Line::assistant(text));
        dialogue.turns += 1;
        let bytes: usize = dialogue.lines.iter().map(|line| line.text.len()).sum();
        let over = dialogue.turns >= agent.max_turns || bytes > MAX_DIALOGUE_BYTES;
        let more = dialogue.lines.len() > at + 1;
        self.emit(EventKind::AgentSaid, agent.role.as_deref().map(|role| vec![role]).as_deref(), data);
        if over {
            self.close_dialogue()?;
        } else if more {
            self.ask();
        }
        Ok(())
    }

    /// The participant's part is over; what remains is between the engine and the bot.
    fn close_dialogue(&mut self) -> Result<(), Rejection> {
        let (agent, step) = self.agent()?;
        let dialogue = self.dialogue()?;
        dialogue.closed = true;
        dialogue.coda.extend(agent.extract.as_ref().map(|extract| Line::user(extract.request())));
        // What the agent said first is the definition's own: without a turn there is no answer.
        let last = dialogue.lines.iter().rev().find(|line| line.from == Speaker::Assistant && dialogue.turns > 0);
        let result = json!({"text": last.map_or("", |line| line.text.as_str())});
        self.answered_by(agent, &step);
        if agent.extract.is_some() {
            if let Some(pending) = &mut self.state.pending {
                pending.failures = 0;
            }
            self.ask();
        } else {
            self.close_node(&agent.id, Some(result));
        }
        Ok(())
    }

    fn answered_by(&mut self, agent: &Agent, step: &str) {
        if let Some(role) = &agent.role
            && self.state.answered.insert(step.to_owned())
        {
            self.emit(EventKind::StepAnswered, Some(&[role]), json!({"step": step}));
        }
    }

    fn read_extract(&mut self, agent: &Agent, extract: &Extract, text: &str) -> Result<(), Rejection> {
        let faults = match extract.read(text) {
            Ok(value) => {
                self.close_node(&agent.id, Some(value));
                return Ok(());
            }
            Err(faults) => faults,
        };
        let coda = &mut self.dialogue()?.coda;
        // The request, and two lines for every attempt that did not fit.
        if coda.len() > 2 * MAX_REPAIRS {
            self.agent_failed(agent, "its answer did not fit `extract`");
        } else {
            coda.push(Line::assistant(text));
            coda.push(Line::user(Extract::correction(&faults)));
            self.ask();
        }
        Ok(())
    }

    pub(super) fn reply_failed(&mut self, code: &str) -> Result<(), Rejection> {
        let (agent, step) = self.agent()?;
        let code = clean(code, 64);
        if !self.pause(&step, &code, REPLY_RETRIES) {
            self.agent_failed(agent, &format!("its bot did not answer ({code})"));
        }
        Ok(())
    }

    fn agent_failed(&mut self, agent: &Agent, why: &str) {
        if agent.optional {
            if let Some(step) = self.state.pending.as_ref().map(|pending| pending.step.clone()) {
                self.answered_by(agent, &step);
            }
            self.close_node(&agent.id, Some(Value::Null));
        } else {
            self.fail("agent_failed", format!("The Agent `{}` failed: {why}.", agent.id));
        }
    }
}
