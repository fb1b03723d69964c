//! Conditional and Loop, and the conditions in them.

use serde_json::Value;

use super::{Object, Parser};
use crate::{
    limits::MAX_CONDITION_DEPTH,
    model::{Branch, Condition, Conditional, Loop, Operand, Operator, Times},
};

const OPERATORS: [(&str, Operator); 10] = [
    ("eq", Operator::Eq),
    ("ne", Operator::Ne),
    ("gt", Operator::Gt),
    ("ge", Operator::Ge),
    ("lt", Operator::Lt),
    ("le", Operator::Le),
    ("contains", Operator::Contains),
    ("in", Operator::In),
    ("exists", Operator::Exists),
    ("empty", Operator::Empty),
];

impl Parser {
    pub(super) fn conditional(&mut self, object: &mut Object<'_>, id: String, depth: usize) -> Conditional {
        object.need("branches", &mut self.faults);
        let items = object.list("branches", 100, &mut self.faults);
        if object.get("branches").and_then(Value::as_array).is_some_and(Vec::is_empty) {
            object.add("branches", &mut self.faults, "Add at least one branch.");
        }
        let branches = items.iter().filter_map(|(path, value)| self.branch(object, path, value, depth)).collect();
        let otherwise = self.children(object, "else", depth);
        Conditional { id, branches, otherwise }
    }

    fn branch(&mut self, owner: &Object<'_>, path: &str, value: &Value, depth: usize) -> Option<Branch> {
        let mut object = Object::new(value, path, owner.node.as_ref(), "a branch", &mut self.faults)?;
        object.need("when", &mut self.faults);
        let when = self.condition_of(&mut object, "when");
        object.need("children", &mut self.faults);
        let children = self.children(&mut object, "children", depth);
        object.finish(&mut self.faults);
        Some(Branch { when: when?, children })
    }

    pub(super) fn repeat(&mut self, object: &mut Object<'_>, id: String, depth: usize) -> Loop {
        let chosen = ["times", "while", "until"].into_iter().filter(|name| object.has(name)).count();
        if chosen != 1 {
            let message = "Give the Loop exactly one of `times`, `while` and `until`.";
            self.faults.add(&object.path, object.node.as_ref(), message);
        }
        let times = match object.get("times") {
            Some(Value::String(_)) => self.template_of(object, "times").map(Times::Template),
            _ => object.whole("times", 0, 100, &mut self.faults).map(Times::Number),
        };
        let written_out = match times {
            Some(Times::Number(times)) => times.max(1),
            _ => 10,
        };
        let max_iterations = object.whole("max_iterations", 1, 100, &mut self.faults).unwrap_or(written_out);
        self.loops += 1;
        let until = self.condition_of(object, "until");
        object.need("children", &mut self.faults);
        let children = self.children(object, "children", depth);
        self.loops -= 1;
        // Asked before the first round, so it knows this loop's index no more than what stands before it.
        let while_true = self.condition_of(object, "while");
        Loop { id, times, while_true, until, max_iterations, children }
    }

    fn condition_of(&mut self, object: &mut Object<'_>, name: &'static str) -> Option<Condition> {
        let value = object.get(name)?;
        self.condition(&object.at(name), object.node.as_ref(), value, 1)
    }

    fn condition(&mut self, path: &str, node: Option<&String>, value: &Value, depth: usize) -> Option<Condition> {
        if depth > MAX_CONDITION_DEPTH {
            self.faults.add(path, node, format!("Nest conditions at most {MAX_CONDITION_DEPTH} deep."));
            return None;
        }
        let mut object = Object::new(value, path, node, "a condition", &mut self.faults)?;
        let condition = if object.has("all") {
            self.conditions(&mut object, "all", depth).map(|all| Condition::All { all })
        } else if object.has("any") {
            self.conditions(&mut object, "any", depth).map(|any| Condition::Any { any })
        } else if let Some(not) = object.get("not") {
            let not = self.condition(&object.at("not"), node, not, depth + 1);
            not.map(|not| Condition::Not { not: Box::new(not) })
        } else {
            self.comparison(&mut object)
        };
        object.finish(&mut self.faults);
        condition
    }

    fn conditions(&mut self, object: &mut Object<'_>, name: &'static str, depth: usize) -> Option<Vec<Condition>> {
        let items = object.list(name, 100, &mut self.faults);
        if items.is_empty() {
            object.add(name, &mut self.faults, "Put at least one condition into the list.");
        }
        items.iter().map(|(path, value)| self.condition(path, object.node.as_ref(), value, depth + 1)).collect()
    }

    fn comparison(&mut self, object: &mut Object<'_>) -> Option<Condition> {
        object.need("left", &mut self.faults);
        object.need("op", &mut self.faults);
        let left = self.operand(object, "left");
        let op = object.choice("op", &OPERATORS, &mut self.faults);
        let right = self.operand(object, "right");
        let alone = matches!(op, Some(Operator::Exists | Operator::Empty));
        if alone && right.is_some() {
            object.add("right", &mut self.faults, "Take `right` out: `exists` and `empty` look at `left` alone.");
        } else if op.is_some() && !alone && !object.has("right") {
            let message = "Add `right`, what `left` is compared with; for null use `empty` or `exists`.";
            self.faults.add(&object.path, object.node.as_ref(), message);
        }
        Some(Condition::Compare { left: left?, op: op?, right })
    }

    fn operand(&mut self, object: &mut Object<'_>, name: &'static str) -> Option<Operand> {
        match object.get(name)? {
            Value::String(_) => self.template_of(object, name).map(Operand::Template),
            value => Some(Operand::Value(value.clone())),
        }
    }
}
