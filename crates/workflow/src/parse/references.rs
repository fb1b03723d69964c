use super::{Outcome, Parser, Use};
use crate::template::Reference;

impl Parser {
    /// Every reference leads to an input, a loop around it or a node that has such a result.
    pub(super) fn check_references(&mut self) {
        for place in std::mem::take(&mut self.uses) {
            for reference in place.template.references() {
                if let Some(message) = self.wrong_reference(&place, reference) {
                    let text = reference.0.join(".");
                    self.faults.add(&place.path, place.node.as_ref(), format!("`{{{{{text}}}}}`: {message}"));
                }
            }
        }
    }

    fn wrong_reference(&self, place: &Use, reference: &Reference) -> Option<String> {
        let words: Vec<&str> = reference.0.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["loop", "index"] if place.in_loop => None,
            ["loop", ..] => Some("Write {{loop.index}}, inside a Loop.".to_owned()),
            ["input", name, ..] if self.inputs.contains(*name) => None,
            ["input", name, ..] => Some(format!("Declare `{name}` in the root's `inputs`, or correct the name.")),
            ["input" | "state"] => Some("Name the value behind a dot.".to_owned()),
            ["state", id, rest @ ..] | [id, rest @ ..] => match self.ids.get(*id) {
                None => Some(format!("No node has the id `{id}`; correct it or add the node.")),
                Some(Outcome::None(kind)) => Some(format!("`{id}` is a {kind} and has no result to read.")),
                Some(Outcome::Value) if !rest.is_empty() => {
                    Some(format!("The result of `{id}` is one value without members; write {{{{{id}}}}}."))
                }
                Some(Outcome::Any | Outcome::Value) => None,
                Some(Outcome::Members(members)) => match rest.first() {
                    Some(member) if !members.iter().any(|one| one == member) => {
                        Some(format!("The result of `{id}` has {} and no `{member}`.", members.join(", ")))
                    }
                    _ => None,
                },
            },
            [] => None,
        }
    }
}
