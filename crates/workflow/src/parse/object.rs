use serde_json::{Map, Value};

use crate::{fault::Fault, limits::MAX_FAULTS};

/// The faults found so far.
#[derive(Default)]
pub(crate) struct Faults(pub Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, path: &str, node: Option<&String>, message: impl Into<String>) {
        if self.0.len() < MAX_FAULTS {
            self.0.push(Fault { path: path.to_owned(), node: node.cloned(), message: message.into() });
        }
    }
}

/// A JSON object whose members are taken one by one; what is not taken is a fault.
pub(crate) struct Object<'v> {
    members: &'v Map<String, Value>,
    pub path: String,
    /// The id of the node it is part of.
    pub node: Option<String>,
    what: &'static str,
    known: Vec<&'static str>,
}

impl<'v> Object<'v> {
    /// The object at `path`; `what` is how people call it.
    pub(crate) fn new(
        value: &'v Value,
        path: &str,
        node: Option<&String>,
        what: &'static str,
        faults: &mut Faults,
    ) -> Option<Self> {
        let Some(members) = value.as_object() else {
            faults.add(path, node, format!("Write {what} as an object."));
            return None;
        };
        Some(Self { members, path: path.to_owned(), node: node.cloned(), what, known: Vec::new() })
    }

    /// Calls it by a more exact name.
    pub(crate) fn rename(&mut self, what: &'static str) {
        self.what = what;
    }

    /// The pointer to a member.
    pub(crate) fn at(&self, name: &str) -> String {
        format!("{}/{}", self.path, name.replace('~', "~0").replace('/', "~1"))
    }

    /// A fault at a member, or at the object when it has no such member.
    pub(crate) fn add(&self, name: &str, faults: &mut Faults, message: impl Into<String>) {
        let path = if self.members.contains_key(name) { self.at(name) } else { self.path.clone() };
        faults.add(&path, self.node.as_ref(), message);
    }

    /// A member; null is as good as none.
    pub(crate) fn get(&mut self, name: &'static str) -> Option<&'v Value> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        self.members.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn has(&mut self, name: &'static str) -> bool {
        self.get(name).is_some()
    }

    pub(crate) fn need(&mut self, name: &'static str, faults: &mut Faults) -> Option<&'v Value> {
        let value = self.get(name);
        if value.is_none() {
            faults.add(&self.path, self.node.as_ref(), format!("Add `{name}` to {}.", self.what));
        }
        value
    }

    /// Text of at most `most` characters, without control characters.
    pub(crate) fn text(&mut self, name: &'static str, most: usize, faults: &mut Faults) -> Option<&'v str> {
        let value = self.get(name)?;
        let fits = |text: &&str| {
            !text.trim().is_empty() && text.chars().count() <= most && !text.chars().any(char::is_control)
        };
        let text = value.as_str().filter(fits);
        if text.is_none() {
            self.add(name, faults, format!("Write `{name}` as one line of text, 1 to {most} characters."));
        }
        text
    }

    pub(crate) fn flag(&mut self, name: &'static str, default: bool, faults: &mut Faults) -> bool {
        self.get(name).map_or(default, |value| {
            value.as_bool().unwrap_or_else(|| {
                self.add(name, faults, format!("Write `{name}` as true or false."));
                default
            })
        })
    }

    /// A whole number within bounds.
    pub(crate) fn whole(&mut self, name: &'static str, least: u32, most: u32, faults: &mut Faults) -> Option<u32> {
        let value = self.get(name)?;
        let number = value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| (least..=most).contains(n));
        if number.is_none() {
            self.add(name, faults, format!("Write `{name}` as a whole number from {least} to {most}."));
        }
        number
    }

    pub(crate) fn number(&mut self, name: &'static str, faults: &mut Faults) -> Option<f64> {
        let value = self.get(name)?;
        let number = value.as_f64().filter(|n| n.is_finite());
        if number.is_none() {
            self.add(name, faults, format!("Write `{name}` as a number."));
        }
        number
    }

    /// One of several words.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&'static str, T)],
        faults: &mut Faults,
    ) -> Option<T> {
        let value = self.get(name)?;
        let found = choices.iter().find(|(word, _)| value.as_str() == Some(word)).map(|(_, choice)| *choice);
        if found.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            self.add(name, faults, format!("Write `{name}` as one of: {}.", words.join(", ")));
        }
        found
    }

    /// A list, with the pointer to each item.
    pub(crate) fn list(&mut self, name: &'static str, most: usize, faults: &mut Faults) -> Vec<(String, &'v Value)> {
        let Some(value) = self.get(name) else { return Vec::new() };
        match value.as_array().filter(|items| items.len() <= most) {
            Some(items) => {
                items.iter().enumerate().map(|(at, item)| (format!("{}/{at}", self.at(name)), item)).collect()
            }
            None => {
                self.add(name, faults, format!("Write `{name}` as a list of at most {most}."));
                Vec::new()
            }
        }
    }

    /// The members of an object, with the pointer to each.
    pub(crate) fn map(
        &mut self,
        name: &'static str,
        most: usize,
        faults: &mut Faults,
    ) -> Vec<(&'v String, String, &'v Value)> {
        let Some(value) = self.get(name) else { return Vec::new() };
        match value.as_object().filter(|members| members.len() <= most) {
            Some(members) => {
                let at = |key: &str| format!("{}/{}", self.at(name), key.replace('~', "~0").replace('/', "~1"));
                members.iter().map(|(key, value)| (key, at(key), value)).collect()
            }
            None => {
                self.add(name, faults, format!("Write `{name}` as an object of at most {most} members."));
                Vec::new()
            }
        }
    }

    /// Reports what was not taken.
    pub(crate) fn finish(&self, faults: &mut Faults) {
        for name in self.members.keys().filter(|name| !self.known.contains(&name.as_str())) {
            let message = format!("Take it out: {} has {} and nothing else.", self.what, self.known.join(", "));
            self.add(name, faults, message);
        }
    }
}
