//! From JSON to a definition: every fault at once, each with its place.

mod asking;
mod flow;
mod nodes;
mod object;
mod references;
mod root;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{definition::Definition, fault::Fault, limits::MAX_DEFINITION_BYTES, template::Template};

pub(crate) use object::{Faults, Object};

/// Reads a definition.
pub(crate) fn parse(value: &Value) -> Result<Definition, Vec<Fault>> {
    let mut parser = Parser::default();
    if serde_json::to_string(value).map_or(usize::MAX, |text| text.len()) > MAX_DEFINITION_BYTES {
        parser.faults.add("", None, format!("Shorten the definition to at most {MAX_DEFINITION_BYTES} bytes of JSON."));
        return Err(parser.faults.0);
    }
    let root = parser.root(value);
    parser.check_references();
    match root {
        Some(root) if parser.faults.0.is_empty() => {
            Ok(Definition { root, askers: parser.askers, bots: parser.bots, connections: parser.connections })
        }
        _ => Err(parser.faults.0),
    }
}

/// What is known so far.
#[derive(Default)]
pub(crate) struct Parser {
    faults: Faults,
    nodes: usize,
    /// The declared roles and start inputs.
    roles: Vec<String>,
    inputs: BTreeSet<String>,
    /// Every id with what its node's result has.
    ids: BTreeMap<String, Outcome>,
    uses: Vec<Use>,
    /// Loops around the place that is read.
    loops: usize,
    askers: BTreeMap<String, String>,
    bots: BTreeSet<String>,
    connections: BTreeSet<String>,
}

/// What can be read of a node's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing: a node of this type has no result.
    None(&'static str),
    /// One value without members.
    Value,
    /// A value whose members are not known.
    Any,
    /// These members, and no others.
    Members(Vec<String>),
}

/// A template somewhere in the definition.
struct Use {
    path: String,
    node: Option<String>,
    template: Template,
    in_loop: bool,
}

impl Parser {
    /// Reads the text at `path` as a template and remembers its references.
    fn template(&mut self, path: &str, node: Option<&String>, text: &str) -> Option<Template> {
        match Template::parse(text) {
            Ok(template) => {
                self.uses.push(Use {
                    path: path.to_owned(),
                    node: node.cloned(),
                    template: template.clone(),
                    in_loop: self.loops > 0,
                });
                Some(template)
            }
            Err(message) => {
                self.faults.add(path, node, message);
                None
            }
        }
    }

    /// A member that is a template; a fault when it is not text.
    fn template_of(&mut self, object: &mut Object<'_>, name: &'static str) -> Option<Template> {
        let text = object.get(name)?;
        let path = object.at(name);
        let Some(text) = text.as_str() else {
            self.faults.add(&path, object.node.as_ref(), format!("Write `{name}` as text."));
            return None;
        };
        self.template(&path, object.node.as_ref(), text)
    }

    /// A member that must be a template with something in it.
    fn need_template(&mut self, object: &mut Object<'_>, name: &'static str) -> Option<Template> {
        if !object.has(name) {
            object.need(name, &mut self.faults);
            return None;
        }
        let template = self.template_of(object, name)?;
        if template.is_blank() {
            self.faults.add(&object.at(name), object.node.as_ref(), format!("Write something into `{name}`."));
            return None;
        }
        Some(template)
    }
}

/// Whether it is a small letter and then small letters, digits and what `more` allows.
pub(crate) fn is_name(text: &str, most: usize, more: &str) -> bool {
    text.len() <= most
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(c))
}
