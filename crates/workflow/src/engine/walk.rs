//! From node to node.

use serde_json::{Value, json};

use super::Run;
use crate::{
    condition::holds,
    event::EventKind,
    fault::Rejection,
    limits::MAX_WORK,
    model::{Condition, Conditional, Loop, Message, Node, Times, Wait},
    state::{Awaited, Frame, RunStatus, Work},
};

impl<'d> Run<'d> {
    /// Goes on until somebody outside must do something, or the run is over.
    pub(super) fn go(&mut self) -> Result<(), Rejection> {
        while !self.state.status.is_final() && self.state.status != RunStatus::Pending {
            if let Some(sentence) = self.excess.take() {
                self.fail("limit", sentence);
            } else if self.state.pending.is_some() {
                break;
            } else if self.work >= MAX_WORK {
                self.fail("limit", "The run made 10,000 moves without waiting for anybody.");
            } else {
                self.work += 1;
                match self.current()? {
                    Some(node) => self.enter(node),
                    None => self.leave()?,
                }
            }
        }
        Ok(())
    }

    fn enter(&mut self, node: &'d Node) {
        match node {
            Node::Workflow(group) if group.ui.is_some() => self.ask_form(group),
            Node::Workflow(_) => self.push(0, 0, None),
            Node::Message(message) => self.post(message),
            Node::Input(input) => self.ask_input(input),
            Node::Agent(agent) => self.begin_agent(agent),
            Node::Conditional(conditional) => self.branch(conditional),
            Node::Loop(repeat) => self.begin_loop(repeat),
            Node::Tool(tool) => self.begin_tool(tool),
            Node::Wait(wait) => self.begin_wait(wait),
        }
    }

    fn push(&mut self, list: usize, round: u32, times: Option<u32>) {
        self.state.position.push(Frame { list, index: 0, round, times });
    }

    /// The end of a list: back to its owner, which may go through it again.
    fn leave(&mut self) -> Result<(), Rejection> {
        let inside = self.state.position.last().cloned().ok_or(Rejection::Mismatch)?;
        if self.state.position.len() == 1 {
            self.state.status = RunStatus::Completed;
            self.emit(EventKind::RunCompleted, None, json!({}));
            return Ok(());
        }
        self.state.position.pop();
        let Some(Node::Loop(repeat)) = self.current()? else {
            self.next_sibling();
            return Ok(());
        };
        // `until` may still read the round that has ended.
        let (round, times) = (inside.round, inside.times);
        self.state.position.push(inside);
        let ended = self.test(repeat.until.as_ref()) == Some(true);
        self.state.position.pop();
        if ended || round >= repeat.max_iterations {
            self.next_sibling();
        } else {
            self.next_round(repeat, round + 1, times);
        }
        Ok(())
    }

    fn test(&mut self, condition: Option<&Condition>) -> Option<bool> {
        let mut work = 0;
        let result = condition.map(|condition| holds(condition, self.scope(), &mut work));
        self.work += work;
        result
    }

    fn branch(&mut self, conditional: &Conditional) {
        let found = conditional.branches.iter().position(|branch| self.test(Some(&branch.when)) == Some(true));
        self.push(found.unwrap_or(conditional.branches.len()), 0, None);
    }

    fn begin_loop(&mut self, repeat: &Loop) {
        let times = match &repeat.times {
            None => None,
            Some(Times::Number(times)) => Some(*times),
            Some(Times::Template(template)) => Some(count(&template.render(self.scope()))),
        };
        self.next_round(repeat, 1, times);
    }

    /// Begins a round, or goes past the loop when there is none to make.
    fn next_round(&mut self, repeat: &Loop, round: u32, times: Option<u32>) {
        if times.is_some_and(|times| round > times) || self.test(repeat.while_true.as_ref()) == Some(false) {
            self.next_sibling();
            return;
        }
        let step = self.step_of(&repeat.id);
        self.push(0, round, times);
        self.emit(EventKind::LoopIterated, Some(&[]), json!({"step": step, "iteration": round}));
    }

    fn post(&mut self, message: &Message) {
        let text = message.text.render_text(self.scope());
        let step = self.step_of(&message.id);
        let roles: Option<Vec<&str>> = message.to.as_ref().map(|to| to.iter().map(String::as_str).collect());
        self.emit(EventKind::MessagePosted, roles.as_deref(), json!({"step": step, "text": text}));
        self.next_sibling();
    }

    fn begin_wait(&mut self, wait: &Wait) {
        let step = self.step_of(&wait.id);
        let at = self.at.plus(i64::from(wait.seconds) * 1000);
        self.open(step.clone(), Work::Wait);
        self.issue(Awaited::Timer(at));
        self.emit(EventKind::TimerSet, Some(&[]), json!({"step": step, "at": at}));
    }
}

/// A number of rounds out of a value; what is none counts as 0.
fn count(value: &Value) -> u32 {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse::<f64>().ok(),
        _ => None,
    };
    // Bounded by `max_iterations` anyway.
    number.map_or(0, |number| (1..=100).take_while(|n| f64::from(*n) <= number).last().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_rounds_is_read_from_numbers_and_their_texts() {
        let read = |value: Value| count(&value);
        assert_eq!((read(json!(3)), read(json!(" 2.9 ")), read(json!(1e9))), (3, 2, 100));
        assert_eq!((read(json!("many")), read(json!(null)), read(json!(-4)), read(json!("NaN"))), (0, 0, 0, 0));
    }
}
