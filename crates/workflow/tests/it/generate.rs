//! Definitions that are valid by construction, at random.

use proptest::prelude::*;
use serde_json::{Value, json};

const ROLES: [&str; 2] = ["ann", "bob"];

/// A node before it has an id.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    Message(u8),
    Input(Ask),
    Form(Vec<Ask>, u8),
    Agent { role: Option<u8>, extract: bool, optional: bool, turns: u8, until_max: bool },
    Conditional(Vec<(Test, Vec<Shape>)>, Vec<Shape>),
    Loop(u8, Test, u8, Vec<Shape>),
    Tool { retries: u8, go_on: bool, post: bool },
    Wait,
    Group(Vec<Shape>),
}

#[derive(Clone, Debug)]
pub(crate) struct Ask {
    kind: u8,
    required: bool,
    role: u8,
}

#[derive(Clone, Debug)]
pub(crate) struct Test {
    op: u8,
    of: u8,
    right: u8,
    around: u8,
}

fn ask() -> impl Strategy<Value = Ask> {
    (0..10_u8, any::<bool>(), 0..2_u8).prop_map(|(kind, required, role)| Ask { kind, required, role })
}

fn test() -> impl Strategy<Value = Test> {
    (0..10_u8, any::<u8>(), any::<u8>(), 0..4_u8).prop_map(|(op, of, right, around)| Test { op, of, right, around })
}

fn shape() -> impl Strategy<Value = Shape> {
    let agent = (proptest::option::of(0..2_u8), any::<bool>(), any::<bool>(), 1..4_u8, any::<bool>());
    let leaf = prop_oneof![
        2 => (0..3_u8).prop_map(Shape::Message),
        4 => ask().prop_map(Shape::Input),
        2 => (prop::collection::vec(ask(), 1..4), 0..2_u8).prop_map(|(asks, role)| Shape::Form(asks, role)),
        3 => agent.prop_map(|(role, extract, optional, turns, until_max)| {
            Shape::Agent { role, extract, optional, turns, until_max }
        }),
        2 => (0..3_u8, any::<bool>(), any::<bool>())
            .prop_map(|(retries, go_on, post)| Shape::Tool { retries, go_on, post }),
        1 => Just(Shape::Wait),
    ];
    leaf.prop_recursive(3, 24, 3, |inner| {
        let list = prop::collection::vec(inner, 0..3);
        prop_oneof![
            (prop::collection::vec((test(), list.clone()), 1..3), list.clone())
                .prop_map(|(branches, otherwise)| Shape::Conditional(branches, otherwise)),
            (0..4_u8, test(), 1..3_u8, list.clone())
                .prop_map(|(kind, test, most, children)| Shape::Loop(kind, test, most, children)),
            list.prop_map(Shape::Group),
        ]
    })
}

/// A definition of at most about 30 nodes.
pub(crate) fn definition() -> impl Strategy<Value = Value> {
    prop::collection::vec(shape(), 1..6).prop_map(|shapes| Builder::default().root(&shapes))
}

#[derive(Default)]
struct Builder {
    next: usize,
    /// Ids whose results may be read.
    ids: Vec<String>,
    loops: usize,
}

impl Builder {
    fn root(mut self, shapes: &[Shape]) -> Value {
        json!({
            "type": "Workflow",
            "id": "root",
            "title": "A title",
            "participants": ROLES.map(|name| json!({"name": name})),
            "inputs": [{"name": "given", "type": "number"}, {"name": "maybe", "required": false}],
            "children": self.all(shapes),
        })
    }

    fn all(&mut self, shapes: &[Shape]) -> Vec<Value> {
        shapes.iter().map(|shape| self.node(shape)).collect()
    }

    fn id(&mut self, has_result: bool) -> String {
        self.next += 1;
        let id = format!("n{}", self.next);
        if has_result {
            self.ids.push(id.clone());
        }
        id
    }

    /// A reference to something that exists, now or later.
    fn reference(&self, at: u8) -> String {
        match usize::from(at) {
            0 => "{{input.given}}".to_owned(),
            1 if self.loops > 0 => "{{loop.index}}".to_owned(),
            at => self
                .ids
                .get(at % (self.ids.len() + 1))
                .map_or("{{input.maybe}}".to_owned(), |id| format!("{{{{{id}}}}}")),
        }
    }

    fn condition(&self, test: &Test) -> Value {
        let ops = ["eq", "ne", "gt", "ge", "lt", "le", "contains", "in", "exists", "empty"];
        let op = ops[usize::from(test.op)];
        let rights = [json!(1), json!("a"), json!(true), json!([1, "a"]), json!(self.reference(test.right))];
        let mut leaf = json!({"left": self.reference(test.of), "op": op});
        if test.op < 8 {
            leaf["right"] = rights[usize::from(test.right) % rights.len()].clone();
        }
        match test.around {
            0 => json!({"not": leaf}),
            1 => json!({"any": [leaf, {"left": 1, "op": "eq", "right": 2}]}),
            2 => json!({"all": [leaf]}),
            _ => leaf,
        }
    }

    fn ask(&mut self, ask: &Ask, role: u8) -> Value {
        let kinds =
            ["text", "textarea", "select", "multiselect", "rating", "nps", "boolean", "number", "date", "email"];
        let kind = kinds[usize::from(ask.kind)];
        let prompt = format!("{}?", self.reference(ask.kind));
        let mut node = json!({"type": "Input", "id": self.id(true), "role": ROLES[usize::from(role)], "prompt": prompt,
            "input_type": kind, "required": ask.required});
        if kind.contains("select") {
            node["options"] = json!([{"value": "a", "label": "A"}, {"value": "b"}]);
        }
        node
    }

    fn node(&mut self, shape: &Shape) -> Value {
        match shape {
            Shape::Message(to) => {
                let text = format!("Hello {}", self.reference(to.wrapping_mul(7)));
                let mut node = json!({"type": "Message", "id": self.id(false), "text": text});
                if let Some(role) = ROLES.get(usize::from(*to)) {
                    node["to"] = json!([role]);
                }
                node
            }
            Shape::Input(ask) => self.ask(ask, ask.role),
            Shape::Form(asks, role) => {
                let id = self.id(true);
                let children: Vec<Value> = asks.iter().map(|ask| self.ask(ask, *role)).collect();
                json!({"type": "Workflow", "id": id, "ui": "form", "children": children})
            }
            Shape::Agent { role, extract, optional, turns, until_max } => {
                let prompt = format!("About {}", self.reference(*turns));
                let mut node = json!({"type": "Agent", "id": self.id(true), "bot": "bot_1", "prompt": prompt,
                    "optional": optional});
                if let Some(role) = role {
                    node["role"] = json!(ROLES[usize::from(*role)]);
                    node["max_turns"] = json!(turns);
                    node["until"] = json!(if *until_max { "max_turns" } else { "participant_done" });
                }
                if *extract {
                    node["extract"] = json!({"type": "object", "properties": {"topic": {"type": "string"},
                        "many": {"type": "array", "items": {"type": "integer"}}}, "required": ["topic"]});
                }
                node
            }
            Shape::Conditional(branches, otherwise) => {
                let id = self.id(false);
                let branches: Vec<Value> = branches
                    .iter()
                    .map(|(test, list)| json!({"when": self.condition(test), "children": self.all(list)}))
                    .collect();
                json!({"type": "Conditional", "id": id, "branches": branches, "else": self.all(otherwise)})
            }
            Shape::Loop(kind, test, most, list) => {
                let mut node = json!({"type": "Loop", "id": self.id(false), "max_iterations": most});
                match kind {
                    0 => node["times"] = json!(most),
                    1 => node["times"] = json!(self.reference(test.of)),
                    2 => node["while"] = self.condition(test),
                    _ => node["until"] = self.condition(test),
                }
                self.loops += 1;
                node["children"] = json!(self.all(list));
                self.loops -= 1;
                node
            }
            Shape::Tool { retries, go_on, post } => {
                let url = format!("https://tool.example/x/{}", self.reference(*retries));
                let mut node = json!({"type": "Tool", "id": self.id(true), "url": url, "retries": retries,
                    "on_error": if *go_on { "continue" } else { "fail" }});
                if *post {
                    node["method"] = json!("POST");
                    node["body"] = json!({"value": self.reference(*retries)});
                }
                node
            }
            Shape::Wait => json!({"type": "Wait", "id": self.id(false), "seconds": 60}),
            Shape::Group(list) => {
                json!({"type": "Workflow", "id": self.id(false), "children": self.all(list)})
            }
        }
    }
}
