use serde_json::Value;

use super::{Object, Outcome, Parser, is_name};
use crate::model::{Bind, Group, Node, Participant, Root, StartInput, StartType, Surface, Ui};

impl Parser {
    /// The root of the tree.
    pub(super) fn root(&mut self, value: &Value) -> Option<Root> {
        let mut object = Object::new(value, "", None, "the definition", &mut self.faults)?;
        match object.need("type", &mut self.faults).map(Value::as_str) {
            Some(Some("Workflow")) => object.rename("the root Workflow"),
            Some(_) => object.add("type", &mut self.faults, "Begin with a node of the type `Workflow`."),
            None => {}
        }
        let id = self.id(&mut object);
        let title = object.text("title", 200, &mut self.faults).map(str::to_owned);
        let participants: Vec<Participant> = object
            .list("participants", 20, &mut self.faults)
            .into_iter()
            .filter_map(|(path, value)| self.participant(&path, value))
            .collect();
        let inputs: Vec<StartInput> = object
            .list("inputs", 50, &mut self.faults)
            .into_iter()
            .filter_map(|(path, value)| self.start_input(&path, value))
            .collect();
        let ui = object.choice("ui", &[("form", Ui::Form)], &mut self.faults);
        let children = if ui.is_some() {
            let children = self.form(&mut object, id.as_deref());
            let form = Group { id: id.clone().unwrap_or_default(), title: title.clone(), ui, children };
            vec![Node::Workflow(form)]
        } else {
            if let Some(id) = &id {
                self.ids.insert(id.clone(), Outcome::None("Workflow"));
            }
            self.children(&mut object, "children", 1)
        };
        object.finish(&mut self.faults);
        Some(Root { id: id?, title, participants, inputs, ui, children })
    }

    fn participant(&mut self, path: &str, value: &Value) -> Option<Participant> {
        let mut object = Object::new(value, path, None, "a participant", &mut self.faults)?;
        let name = object.need("name", &mut self.faults)?.as_str().unwrap_or_default().to_owned();
        if !is_name(&name, 32, "_-") {
            let message = "Name the role with a small letter and then small letters, digits, `_` or `-`, at most 32.";
            object.add("name", &mut self.faults, message);
        } else if self.roles.contains(&name) {
            object.add("name", &mut self.faults, format!("Choose another name: there is a participant `{name}`."));
        } else {
            self.roles.push(name.clone());
        }
        let binds = [("first_contact", Bind::FirstContact), ("token", Bind::Token)];
        let surfaces = [("widget", Surface::Widget), ("page", Surface::Page), ("api", Surface::Api)];
        let bind = object.choice("bind", &binds, &mut self.faults).unwrap_or_default();
        let surface = object.choice("surface", &surfaces, &mut self.faults);
        object.finish(&mut self.faults);
        Some(Participant { name, bind, surface })
    }

    fn start_input(&mut self, path: &str, value: &Value) -> Option<StartInput> {
        let mut object = Object::new(value, path, None, "an input", &mut self.faults)?;
        let name = object.need("name", &mut self.faults)?.as_str().unwrap_or_default().to_owned();
        if !is_name(&name, 64, "_") {
            let message = "Name the input with a small letter and then small letters, digits or `_`, at most 64.";
            object.add("name", &mut self.faults, message);
        } else if !self.inputs.insert(name.clone()) {
            object.add("name", &mut self.faults, format!("Choose another name: there is an input `{name}`."));
        }
        let kinds = [
            ("text", StartType::Text),
            ("number", StartType::Number),
            ("boolean", StartType::Boolean),
            ("date", StartType::Date),
            ("email", StartType::Email),
        ];
        let kind = object.choice("type", &kinds, &mut self.faults).unwrap_or_default();
        let required = object.flag("required", true, &mut self.faults);
        object.finish(&mut self.faults);
        Some(StartInput { name, kind, required })
    }
}
