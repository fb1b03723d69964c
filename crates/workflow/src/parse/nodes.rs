//! The nodes, one function for each type.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Object, Outcome, Parser, is_name};
use crate::{
    extract::{Extract, Property, Shape},
    limits::{MAX_DEPTH, MAX_NODES},
    model::{Agent, Group, Message, Node, Ui, Until, Wait},
};

const TYPES: &str = "Workflow, Message, Input, Agent, Conditional, Loop, Tool or Wait";

impl Parser {
    /// The id of a node: well formed and used once.
    pub(super) fn id(&mut self, object: &mut Object<'_>) -> Option<String> {
        let value = object.need("id", &mut self.faults)?;
        let Some(id) = value.as_str().filter(|id| is_name(id, 64, "_")) else {
            let message = "Write the id with a small letter and then small letters, digits or `_`, at most 64.";
            object.add("id", &mut self.faults, message);
            return None;
        };
        object.node = Some(id.to_owned());
        if ["input", "state", "loop"].contains(&id) {
            object.add("id", &mut self.faults, format!("Choose another id: `{id}` means something else in templates."));
        } else if self.ids.insert(id.to_owned(), Outcome::Any).is_some() {
            object.add("id", &mut self.faults, format!("Choose another id: `{id}` is taken."));
        } else {
            return Some(id.to_owned());
        }
        None
    }

    /// The nodes of a list; those of `depth` stand one deeper than their owner.
    pub(super) fn children(&mut self, object: &mut Object<'_>, name: &'static str, depth: usize) -> Vec<Node> {
        if name == "children" && !object.has(name) {
            object.need(name, &mut self.faults);
        }
        let items = object.list(name, MAX_NODES, &mut self.faults);
        if depth >= MAX_DEPTH && !items.is_empty() {
            object.add(name, &mut self.faults, format!("Nest nodes at most {MAX_DEPTH} deep."));
            return Vec::new();
        }
        items.into_iter().filter_map(|(path, value)| self.node(&path, value, depth + 1)).collect()
    }

    fn node(&mut self, path: &str, value: &Value, depth: usize) -> Option<Node> {
        self.nodes += 1;
        if self.nodes == MAX_NODES {
            self.faults.add(path, None, format!("Use at most {MAX_NODES} nodes."));
        }
        if self.nodes >= MAX_NODES {
            return None;
        }
        let mut object = Object::new(value, path, None, "a node", &mut self.faults)?;
        let Some(kind) = object.need("type", &mut self.faults).map(|kind| kind.as_str().unwrap_or_default()) else {
            self.id(&mut object);
            return None;
        };
        // The rest of the node is read even when its id is wrong: all faults at once.
        let id = self.id(&mut object);
        let name = id.clone().unwrap_or_default();
        let node = match kind {
            "Workflow" => Some(Node::Workflow(self.group(&mut object, name, depth))),
            "Message" => self.message(&mut object, name).map(Node::Message),
            "Input" => self.input(&mut object, name, true).map(Node::Input),
            "Agent" => self.agent(&mut object, name).map(Node::Agent),
            "Conditional" => {
                object.rename("a Conditional");
                self.has_no_result(&name, "Conditional");
                Some(Node::Conditional(self.conditional(&mut object, name, depth)))
            }
            "Loop" => {
                object.rename("a Loop");
                self.has_no_result(&name, "Loop");
                Some(Node::Loop(self.repeat(&mut object, name, depth)))
            }
            "Tool" => self.tool(&mut object, name).map(Node::Tool),
            "Wait" => self.wait(&mut object, name).map(Node::Wait),
            _ => {
                object.add("type", &mut self.faults, format!("Write `type` as {TYPES}."));
                return None;
            }
        };
        object.finish(&mut self.faults);
        id.and(node)
    }

    pub(super) fn has_no_result(&mut self, id: &str, kind: &'static str) {
        if let Some(outcome) = self.ids.get_mut(id) {
            *outcome = Outcome::None(kind);
        }
    }

    pub(super) fn has_members(&mut self, id: &str, members: Vec<String>) {
        if let Some(outcome) = self.ids.get_mut(id) {
            *outcome = Outcome::Members(members);
        }
    }

    fn group(&mut self, object: &mut Object<'_>, id: String, depth: usize) -> Group {
        object.rename("a nested Workflow");
        let title = object.text("title", 200, &mut self.faults).map(str::to_owned);
        let ui = object.choice("ui", &[("form", Ui::Form)], &mut self.faults);
        let children = if ui.is_some() {
            self.form(object, Some(&id))
        } else {
            self.has_no_result(&id, "Workflow");
            self.children(object, "children", depth)
        };
        Group { id, title, ui, children }
    }

    /// The parts of a form: inputs of one role, and messages.
    pub(super) fn form(&mut self, object: &mut Object<'_>, id: Option<&str>) -> Vec<Node> {
        object.need("children", &mut self.faults);
        let (mut parts, mut roles, mut names) = (Vec::new(), BTreeSet::new(), Vec::new());
        for (path, value) in object.list("children", 100, &mut self.faults) {
            self.nodes += 1;
            let Some(mut part) = Object::new(value, &path, None, "a node", &mut self.faults) else { continue };
            let kind = part.need("type", &mut self.faults).and_then(Value::as_str).unwrap_or_default();
            let Some(name) = self.id(&mut part) else { continue };
            match kind {
                "Input" => {
                    if let Some(input) = self.input(&mut part, name, false) {
                        roles.insert(input.role.clone());
                        names.push(input.id.clone());
                        parts.push(Node::Input(input));
                    }
                }
                "Message" => {
                    if part.has("to") {
                        part.add("to", &mut self.faults, "Take `to` out: a form's messages are part of the form.");
                    }
                    parts.extend(self.message(&mut part, name).map(Node::Message));
                }
                _ => part.add("type", &mut self.faults, "Put nothing but Input and Message into a form."),
            }
            part.finish(&mut self.faults);
        }
        if self.nodes >= MAX_NODES {
            object.add("children", &mut self.faults, format!("Use at most {MAX_NODES} nodes."));
        }
        match roles.len() {
            0 => object.add("children", &mut self.faults, "Put at least one Input into the form."),
            1 => {}
            _ => object.add("children", &mut self.faults, "Give all inputs of a form the same `role`."),
        }
        if let (Some(id), Some(role)) = (id, roles.pop_first()) {
            self.askers.insert(id.to_owned(), role);
            self.has_members(id, names);
        }
        parts
    }

    fn message(&mut self, object: &mut Object<'_>, id: String) -> Option<Message> {
        object.rename("a Message");
        self.has_no_result(&id, "Message");
        let text = self.need_template(object, "text");
        let mut to = None;
        if object.has("to") {
            let mut roles: Vec<String> = Vec::new();
            let items = object.list("to", 20, &mut self.faults);
            if items.is_empty() {
                object.add("to", &mut self.faults, "Name at least one role, or leave `to` out for all.");
            }
            for (path, value) in items {
                match value.as_str().filter(|role| self.roles.iter().any(|one| one == role)) {
                    Some(role) => roles.push(role.to_owned()),
                    None => self.faults.add(&path, object.node.as_ref(), self.roles_sentence()),
                }
            }
            to = Some(roles);
        }
        Some(Message { id, text: text?, to })
    }

    pub(super) fn roles_sentence(&self) -> String {
        match self.roles.as_slice() {
            [] => "Declare a participant in the root's `participants` first.".to_owned(),
            roles => format!("Write one of the declared roles: {}.", roles.join(", ")),
        }
    }

    /// The role of a node that talks with a participant.
    pub(super) fn role(&mut self, object: &mut Object<'_>) -> Option<String> {
        let value = object.get("role")?;
        let role = value.as_str().filter(|role| self.roles.iter().any(|one| one == role)).map(str::to_owned);
        if role.is_none() {
            let sentence = self.roles_sentence();
            object.add("role", &mut self.faults, sentence);
        }
        role
    }

    fn agent(&mut self, object: &mut Object<'_>, id: String) -> Option<Agent> {
        object.rename("an Agent");
        object.need("bot", &mut self.faults);
        let bot = object.text("bot", 64, &mut self.faults).map(str::to_owned);
        let talks = object.has("role");
        let role = self.role(object);
        let prompt = if talks { self.template_of(object, "prompt") } else { self.need_template(object, "prompt") };
        let instructions = self.template_of(object, "instructions");
        let max_turns = object.whole("max_turns", 1, 50, &mut self.faults).unwrap_or(10);
        let choices = [("participant_done", Until::ParticipantDone), ("max_turns", Until::MaxTurns)];
        let until = object.choice("until", &choices, &mut self.faults).unwrap_or_default();
        for name in ["max_turns", "until"] {
            if !talks && object.has(name) {
                object.add(
                    name,
                    &mut self.faults,
                    format!("Take `{name}` out, or give the Agent a `role` to talk with."),
                );
            }
        }
        let extract = self.extract(object);
        let members =
            extract.as_ref().map_or_else(|| vec!["text".to_owned()], |e| e.properties.keys().cloned().collect());
        self.has_members(&id, members);
        let optional = object.flag("optional", false, &mut self.faults);
        if let Some(role) = &role {
            self.askers.insert(id.clone(), role.clone());
        }
        let bot = bot?;
        self.bots.insert(bot.clone());
        Some(Agent { id, bot, role, prompt, instructions, max_turns, until, extract, optional })
    }

    fn extract(&mut self, object: &mut Object<'_>) -> Option<Extract> {
        let value = object.get("extract")?;
        let path = object.at("extract");
        let mut schema = Object::new(value, &path, object.node.as_ref(), "`extract`", &mut self.faults)?;
        schema.need("type", &mut self.faults);
        schema.choice("type", &[("object", ())], &mut self.faults);
        schema.need("properties", &mut self.faults);
        let members = schema.map("properties", 50, &mut self.faults);
        if members.is_empty() && schema.get("properties").is_some_and(Value::is_object) {
            schema.add("properties", &mut self.faults, "Describe at least one member.");
        }
        let mut properties = BTreeMap::new();
        for (name, path, value) in members {
            if name.is_empty() || name.len() > 64 || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                let message = "Name the member with letters, digits and `_`, at most 64.";
                self.faults.add(&path, object.node.as_ref(), message);
            }
            let mut member = Object::new(value, &path, object.node.as_ref(), "a member", &mut self.faults)?;
            let description = member.text("description", 500, &mut self.faults).map(str::to_owned);
            if let Some(shape) = self.shape(&mut member, true) {
                properties.insert(name.clone(), Property { shape, description });
            }
            member.finish(&mut self.faults);
        }
        let mut required = Vec::new();
        for (path, value) in schema.list("required", 50, &mut self.faults) {
            match value.as_str().filter(|name| properties.contains_key(*name)) {
                Some(name) => required.push(name.to_owned()),
                None => self.faults.add(&path, object.node.as_ref(), "Name a member of `properties`."),
            }
        }
        schema.finish(&mut self.faults);
        Some(Extract { properties, required })
    }

    fn shape(&mut self, object: &mut Object<'_>, may_list: bool) -> Option<Shape> {
        object.need("type", &mut self.faults);
        let words = ["string", "integer", "number", "boolean", "array"];
        let choices = words.map(|word| (word, word));
        let choices = if may_list { &choices[..] } else { choices.get(..4).unwrap_or_default() };
        match object.choice("type", choices, &mut self.faults)? {
            "string" if object.has("enum") => {
                let items = object.list("enum", 100, &mut self.faults);
                let values: Option<Vec<String>> = items.iter().map(|(_, v)| v.as_str().map(str::to_owned)).collect();
                let values = values.filter(|values| !values.is_empty());
                if values.is_none() {
                    object.add("enum", &mut self.faults, "List at least one text.");
                }
                values.map(Shape::OneOf)
            }
            "string" => Some(Shape::Text),
            "integer" => Some(Shape::Integer),
            "number" => Some(Shape::Number),
            "boolean" => Some(Shape::Boolean),
            _ => {
                let value = object.need("items", &mut self.faults)?;
                let path = object.at("items");
                let mut item = Object::new(value, &path, object.node.as_ref(), "`items`", &mut self.faults)?;
                let shape = self.shape(&mut item, false);
                item.finish(&mut self.faults);
                shape.map(|shape| Shape::List(Box::new(shape)))
            }
        }
    }

    fn wait(&mut self, object: &mut Object<'_>, id: String) -> Option<Wait> {
        object.rename("a Wait");
        self.has_no_result(&id, "Wait");
        object.need("seconds", &mut self.faults);
        let seconds = object.whole("seconds", 1, 2_592_000, &mut self.faults);
        Some(Wait { id, seconds: seconds? })
    }
}
