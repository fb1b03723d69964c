//! Takes a run to its end as a mean world would, and checks every turn.

use std::collections::{BTreeMap, BTreeSet};

use ambient::Millis;
use serde_json::{Value, json};
use workflow::{
    Definition, Effect, EffectKind, EventKind, Field, Incoming, InputType, OpenStep, Rejection, RunState, StepKind,
    Turn, advance, start,
};

/// Decisions of the world; when they run out it is kind.
pub(crate) struct Tape<'t>(pub &'t [u8]);

impl Tape<'_> {
    /// A number below `most`; `most - 1` when the tape has run out.
    fn pick(&mut self, most: u8) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                first % most
            }
            None => most - 1,
        }
    }

    /// Seldom true.
    fn mishap(&mut self) -> bool {
        self.pick(6) == 0
    }
}

/// A run, everything that happened in it, and what was known to be true of it.
pub(crate) struct Rig<'d> {
    pub definition: &'d Definition,
    pub state: RunState,
    pub events: Vec<workflow::Event>,
    pub log: Vec<(Incoming, Millis)>,
    now: Millis,
    effects: BTreeSet<String>,
    opened: BTreeSet<String>,
    answered: BTreeMap<String, String>,
    /// The ids whose nodes have results, and the role of every step's node.
    results: BTreeSet<String>,
    askers: BTreeMap<String, String>,
    messages: BTreeMap<String, Option<Vec<String>>>,
    roles: Vec<&'d str>,
}

impl<'d> Rig<'d> {
    pub(crate) fn new(definition: &'d Definition, json: &Value, input: &Value) -> Result<Self, Rejection> {
        let turn = start(definition, input, Millis(0))?;
        let mut rig = Self {
            definition,
            state: turn.state.clone(),
            events: Vec::new(),
            log: Vec::new(),
            now: Millis(0),
            effects: BTreeSet::new(),
            opened: BTreeSet::new(),
            answered: BTreeMap::new(),
            results: BTreeSet::new(),
            askers: BTreeMap::new(),
            messages: BTreeMap::new(),
            roles: definition.participants().iter().map(|one| one.name.as_str()).collect(),
        };
        rig.learn(json, &json["participants"][0]["name"]);
        rig.absorb(turn);
        Ok(rig)
    }

    fn learn(&mut self, node: &Value, first_role: &Value) {
        let id = node["id"].as_str().unwrap_or_default().to_owned();
        let is_form = node["ui"] == "form";
        let lists = [&node["children"], &node["else"]]
            .into_iter()
            .chain(node["branches"].as_array().into_iter().flatten().map(|branch| &branch["children"]));
        for child in lists.filter_map(Value::as_array).flatten() {
            self.learn(child, first_role);
        }
        let role = |node: &Value| node["role"].as_str().or(first_role.as_str()).unwrap_or_default().to_owned();
        match node["type"].as_str().unwrap_or_default() {
            "Agent" if node["role"].is_null() => drop(self.results.insert(id)),
            "Input" | "Agent" => {
                self.askers.insert(id.clone(), role(node));
                self.results.insert(id);
            }
            "Workflow" if is_form => {
                let inputs = node["children"].as_array().into_iter().flatten();
                let input = inputs.into_iter().find(|child| child["type"] == "Input");
                self.askers.insert(id.clone(), input.map(role).unwrap_or_default());
                self.results.insert(id);
            }
            "Tool" => drop(self.results.insert(id)),
            "Message" => {
                let to = node["to"].as_array();
                let to = to.map(|to| to.iter().filter_map(Value::as_str).map(str::to_owned).collect());
                self.messages.insert(id, to);
            }
            _ => {}
        }
    }

    /// What must hold after every turn.
    fn absorb(&mut self, turn: Turn) {
        for event in &turn.events {
            assert_eq!(event.seq, self.events.len() as u64 + 1, "sequence numbers have no gap");
            assert_eq!(event.at, self.now);
            self.check_event(event);
            self.events.push(event.clone());
        }
        self.state = turn.state;
        let open = self.state.open_effects();
        for effect in turn.effects {
            assert!(self.effects.insert(effect.id.clone()), "{} was issued twice", effect.id);
            assert!(open.contains(&effect), "{} is open", effect.id);
        }
        assert!(open.iter().all(|effect| self.effects.contains(&effect.id)), "an open effect was never issued");
        assert_eq!(self.state.seq(), self.events.len() as u64);
        let steps = self.state.open_steps();
        let idle = steps.is_empty() && open.is_empty();
        assert_eq!(idle, self.state.status().is_final(), "stuck, or at work after the end: {:?}", self.state);
        assert!(steps.iter().all(|step| !self.answered.contains_key(&step.step)), "an answered step is open");
        for id in self.state.results().keys() {
            assert!(self.results.contains(id), "{id} is no declared result");
        }
        for role in &self.roles {
            assert!(self.state.open_steps_for(role).iter().all(|step| step.role == *role));
        }
    }

    fn check_event(&mut self, event: &workflow::Event) {
        let step = event.data["step"].as_str().unwrap_or_default().to_owned();
        let node = step.split('.').next().unwrap_or_default();
        let seen_by: Vec<&str> = self.roles.iter().copied().filter(|role| event.is_for(role)).collect();
        let asker = self.askers.get(node).map(String::as_str);
        match event.kind {
            EventKind::StepOpened => {
                assert!(self.opened.insert(step.clone()), "{step} was asked twice");
                assert_eq!(Some(seen_by), asker.map(|asker| vec![asker]));
            }
            EventKind::StepAnswered => {
                assert_eq!(Some(seen_by), asker.map(|asker| vec![asker]));
                assert!(self.answered.insert(step.clone(), asker.unwrap_or_default().to_owned()).is_none(), "{step}");
            }
            EventKind::ParticipantSaid => assert_eq!(Some(seen_by), asker.map(|asker| vec![asker])),
            EventKind::AgentSaid => {
                assert!(seen_by.is_empty() || Some(seen_by) == asker.map(|asker| vec![asker]), "{event:?}");
                assert!(!(asker.is_none() || self.answered.contains_key(&step)) || event.roles == Some(vec![]));
            }
            EventKind::MessagePosted => assert_eq!(event.roles, self.messages[node]),
            EventKind::ToolCalled | EventKind::ToolReturned | EventKind::LoopIterated | EventKind::TimerSet => {
                assert_eq!(event.roles, Some(vec![]));
            }
            EventKind::RunStarted
            | EventKind::RunWaiting
            | EventKind::RunCompleted
            | EventKind::RunFailed
            | EventKind::RunCancelled => assert_eq!((&event.roles, &event.data), (&None, &json!({}))),
        }
    }

    /// Something comes in; a refusal changes nothing by construction.
    pub(crate) fn send(&mut self, incoming: Incoming) -> Result<(), Rejection> {
        self.now = self.now.plus(1000);
        let turn = advance(self.definition, &self.state, incoming.clone(), self.now)?;
        self.log.push((incoming, self.now));
        self.absorb(turn);
        Ok(())
    }

    fn refused(&mut self, incoming: Incoming) -> Rejection {
        let text = format!("{incoming:?}");
        self.send(incoming).expect_err(&text)
    }

    /// What is stored is what is read again.
    pub(crate) fn crash(&mut self) {
        let stored = serde_json::to_string(&self.state).unwrap();
        let read: RunState = serde_json::from_str(&stored).unwrap();
        assert_eq!(read, self.state);
        self.state = read;
    }

    /// One thing that the world does.
    pub(crate) fn act(&mut self, tape: &mut Tape<'_>) {
        if tape.mishap() {
            self.crash();
        }
        if tape.mishap() {
            self.knock(tape);
        }
        let (steps, effects) = (self.state.open_steps(), self.state.open_effects());
        match (steps.first(), effects.first()) {
            (Some(step), Some(effect)) if !tape.mishap() => {
                let (_, effect) = (step, effect.clone());
                self.resolve(&effect, tape);
            }
            (Some(step), _) => {
                let step = step.clone();
                self.participate(&step, tape);
            }
            (None, Some(effect)) => {
                let effect = effect.clone();
                self.resolve(&effect, tape);
            }
            (None, None) => {}
        }
    }

    /// Things that must not be let in.
    fn knock(&mut self, tape: &mut Tape<'_>) {
        let roles = self.roles.clone();
        let other = |role: &str| roles.iter().find(|one| **one != role).copied().unwrap_or("nobody").to_owned();
        let answer = |step: &str, role: String| Incoming::Answer { step: step.to_owned(), role, value: json!("x") };
        match tape.pick(5) {
            0 => assert_eq!(self.refused(answer("nobody", "nobody".to_owned())), Rejection::NotFound),
            1 => {
                if let Some(step) = self.state.open_steps().first().cloned() {
                    assert_eq!(self.refused(answer(&step.step, other(&step.role))), Rejection::NotYours);
                    let done = Incoming::Done { step: step.step.clone(), role: other(&step.role) };
                    assert_eq!(self.refused(done), Rejection::NotYours);
                }
            }
            2 => {
                if let Some((step, role)) = self.answered.clone().pop_last() {
                    assert_eq!(self.refused(answer(&step, role.clone())), Rejection::AlreadyAnswered);
                    assert_eq!(self.refused(answer(&step, other(&role))), Rejection::NotYours);
                }
            }
            3 => {
                let open: Vec<String> = self.state.open_effects().into_iter().map(|effect| effect.id).collect();
                for effect in self.effects.clone().into_iter().rev().filter(|id| !open.contains(id)).take(3) {
                    self.refuse_effect(&effect);
                }
                // One that has not been issued yet.
                self.refuse_effect("n1#4000");
            }
            _ => {
                if let Some(effect) =
                    self.state.open_effects().into_iter().find(|e| !matches!(e.kind, EffectKind::SetTimer { .. }))
                {
                    let timer = Incoming::TimerFired { effect: effect.id };
                    assert_eq!(self.refused(timer), Rejection::Stale);
                }
            }
        }
    }

    fn refuse_effect(&mut self, id: &str) {
        let effect = id.to_owned();
        let text = String::new();
        for incoming in [
            Incoming::Replied { effect: effect.clone(), text, input_tokens: 1, output_tokens: 1 },
            Incoming::ReplyFailed { effect: effect.clone(), code: "late".to_owned() },
            Incoming::ToolReturned { effect: effect.clone(), status: 200, body: json!(1) },
            Incoming::ToolFailed { effect: effect.clone(), code: "late".to_owned() },
            Incoming::TimerFired { effect },
        ] {
            assert_eq!(self.refused(incoming), Rejection::Stale, "{id}");
        }
    }

    fn resolve(&mut self, effect: &Effect, tape: &mut Tape<'_>) {
        let id = effect.id.clone();
        let incoming = match (&effect.kind, tape.mishap()) {
            (EffectKind::SetTimer { .. }, _) => Incoming::TimerFired { effect: id },
            (EffectKind::AskBot { .. }, true) => Incoming::ReplyFailed { effect: id, code: "timeout".to_owned() },
            (EffectKind::AskBot { extract, messages, .. }, false) => {
                assert!(!messages.is_empty());
                assert!(messages.windows(2).all(|pair| pair[0].from != pair[1].from), "speakers take turns");
                let fits = extract.is_none() || !tape.mishap();
                let text = if fits { "Here: {\"topic\": \"a\", \"many\": [1]}" } else { "I would rather not." };
                Incoming::Replied { effect: id, text: text.to_owned(), input_tokens: 3, output_tokens: 5 }
            }
            (EffectKind::CallTool(_), true) => match tape.pick(3) {
                0 => Incoming::ToolFailed { effect: id, code: "timeout".to_owned() },
                1 => Incoming::ToolReturned { effect: id, status: 503, body: json!("busy") },
                _ => Incoming::ToolReturned { effect: id, status: 404, body: json!({}) },
            },
            (EffectKind::CallTool(_), false) => {
                Incoming::ToolReturned { effect: id, status: 200, body: json!({"a": [1, "b"]}) }
            }
        };
        self.send(incoming.clone()).unwrap();
        if tape.mishap() {
            assert_eq!(self.refused(incoming), Rejection::Stale, "recorded once, delivered twice");
        }
    }

    fn participate(&mut self, step: &OpenStep, tape: &mut Tape<'_>) {
        let (id, role) = (step.step.clone(), step.role.clone());
        if step.kind == StepKind::Agent {
            let say = Incoming::Say { step: id.clone(), role: role.clone(), text: " Well.\nSo. ".to_owned() };
            let done = Incoming::Done { step: id.clone(), role: role.clone() };
            if tape.mishap() {
                let blank = Incoming::Say { step: id, role, text: " ".to_owned() };
                assert!(matches!(self.refused(blank), Rejection::Invalid(_)));
            } else if !step.may_end {
                assert!(matches!(self.refused(done), Rejection::Invalid(_)));
                let unheard = self.send(say);
                assert!(matches!(unheard, Ok(()) | Err(Rejection::Busy)), "{unheard:?}");
            } else if tape.pick(2) == 0 {
                let unheard = self.send(say);
                assert!(matches!(unheard, Ok(()) | Err(Rejection::Busy)), "{unheard:?}");
            } else {
                self.send(done).unwrap();
            }
            return;
        }
        let good = |field: &Field| (field.id.clone(), good_value(field));
        let value = match step.kind {
            StepKind::Form => Value::Object(step.fields().map(good).collect()),
            _ => step.fields().map(good_value).next().unwrap(),
        };
        if tape.mishap() {
            let wrong = json!({"nobody": [1]});
            let refused = self.refused(Incoming::Answer { step: id.clone(), role: role.clone(), value: wrong });
            assert!(matches!(&refused, Rejection::Invalid(faults) if !faults.is_empty()), "{refused:?}");
        }
        self.send(Incoming::Answer { step: id, role, value }).unwrap();
    }
}

fn good_value(field: &Field) -> Value {
    match field.input_type {
        InputType::Text | InputType::Textarea => {
            "a".repeat(field.min_length.and_then(|least| usize::try_from(least).ok()).unwrap_or(1).max(1)).into()
        }
        InputType::Select => field.options[0].value.as_str().into(),
        InputType::Multiselect => vec![field.options[0].value.as_str()].into(),
        InputType::Rating | InputType::Nps => 1.into(),
        InputType::Boolean => true.into(),
        InputType::Number => field.min.or(field.max).map_or(json!(1), Value::from),
        InputType::Date => "2026-02-28".into(),
        InputType::Email => "a@example.com".into(),
    }
}
