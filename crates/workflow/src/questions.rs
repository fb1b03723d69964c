//! What a definition asks, as columns of its results.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::{
    definition::Definition,
    extract::Shape,
    model::{Agent, Input, InputType, Node, SelectOption},
};

/// What kind of answer a [`Question`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerKind {
    /// One line of text.
    Text,
    /// Text of several lines.
    Textarea,
    /// One of the options.
    Select,
    /// Some of the options.
    Multiselect,
    /// A whole number on the question's scale.
    Rating,
    /// A whole number from 0 to 10.
    Nps,
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number,
    /// `YYYY-MM-DD`.
    Date,
    /// An email address.
    Email,
    /// A list without options, read out of an agent's words.
    List,
}

impl From<InputType> for AnswerKind {
    fn from(kind: InputType) -> Self {
        match kind {
            InputType::Text => Self::Text,
            InputType::Textarea => Self::Textarea,
            InputType::Select => Self::Select,
            InputType::Multiselect => Self::Multiselect,
            InputType::Rating => Self::Rating,
            InputType::Nps => Self::Nps,
            InputType::Boolean => Self::Boolean,
            InputType::Number => Self::Number,
            InputType::Date => Self::Date,
            InputType::Email => Self::Email,
        }
    }
}

/// One thing that the runs of a definition answer: an Input, or a member of what an agent extracts.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The Input's id, or the Agent's with the member: `intake.summary`.
    pub id: String,
    /// The words of the definition, with their references; of an extracted member its description.
    pub prompt: String,
    /// What kind of answer.
    pub kind: AnswerKind,
    /// The choices of a select or multiselect.
    pub options: Vec<SelectOption>,
    /// The least and the greatest number of a rating or nps.
    pub scale: Option<(u32, u32)>,
    /// Who is asked; nobody where an agent answers alone.
    pub role: Option<String>,
    /// Whether it may be asked more than once in a run.
    pub in_loop: bool,
    node: String,
    member: Option<String>,
}

/// An answer that was left out.
static NOTHING: Value = Value::Null;

impl Question {
    /// The answer among a run's results, `null` where it was left out; `None` while there is none. In a loop
    /// that of the last round.
    #[must_use]
    pub fn answer<'r>(&self, results: &'r BTreeMap<String, Value>) -> Option<&'r Value> {
        let result = results.get(&self.node)?;
        match &self.member {
            None => Some(result),
            // An agent that failed has null for a result, and left nothing out.
            Some(member) => Some(result.as_object()?.get(member).unwrap_or(&NOTHING)),
        }
    }

    fn of_input(input: &Input, in_loop: bool) -> Self {
        let scale = match input.input_type {
            InputType::Nps => Some((0, 10)),
            InputType::Rating => {
                let most = input.max.unwrap_or(5.0);
                Some((1, (1..=10).take_while(|step| f64::from(*step) <= most).last().unwrap_or(1)))
            }
            _ => None,
        };
        Self {
            id: input.id.clone(),
            prompt: input.prompt.source(),
            kind: input.input_type.into(),
            options: input.options.clone(),
            scale,
            role: Some(input.role.clone()),
            in_loop,
            node: input.id.clone(),
            member: None,
        }
    }

    fn of_agent(agent: &Agent, in_loop: bool) -> impl Iterator<Item = Self> {
        let properties = agent.extract.iter().flat_map(|extract| &extract.properties);
        properties.map(move |(name, property)| {
            let (kind, options) = match &property.shape {
                Shape::Text => (AnswerKind::Text, Vec::new()),
                Shape::OneOf(values) => (AnswerKind::Select, options(values)),
                Shape::Integer | Shape::Number => (AnswerKind::Number, Vec::new()),
                Shape::Boolean => (AnswerKind::Boolean, Vec::new()),
                Shape::List(item) => match &**item {
                    Shape::OneOf(values) => (AnswerKind::Multiselect, options(values)),
                    _ => (AnswerKind::List, Vec::new()),
                },
            };
            Self {
                id: format!("{}.{name}", agent.id),
                prompt: property.description.clone().unwrap_or_else(|| name.clone()),
                kind,
                options,
                scale: None,
                role: agent.role.clone(),
                in_loop,
                node: agent.id.clone(),
                member: Some(name.clone()),
            }
        })
    }
}

/// Values that nobody has named otherwise; a model may be offered one twice.
fn options(values: &[String]) -> Vec<SelectOption> {
    let mut options: Vec<SelectOption> = Vec::new();
    for value in values {
        if !options.iter().any(|option| option.value == *value) {
            options.push(SelectOption { value: value.clone(), label: value.clone() });
        }
    }
    options
}

impl Definition {
    /// Everything that its runs answer, in the order of the definition: Inputs wherever they stand, and the
    /// members of what agents extract.
    #[must_use]
    pub fn questions(&self) -> Vec<Question> {
        let mut questions = Vec::new();
        collect(&self.root.children, false, &mut questions);
        questions
    }
}

fn collect(nodes: &[Node], in_loop: bool, questions: &mut Vec<Question>) {
    for node in nodes {
        match node {
            Node::Input(input) => questions.push(Question::of_input(input, in_loop)),
            Node::Agent(agent) => questions.extend(Question::of_agent(agent, in_loop)),
            _ => {
                let in_loop = in_loop || matches!(node, Node::Loop(_));
                for children in (0..).map_while(|list| node.children(list)) {
                    collect(children, in_loop, questions);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn questions(example: &str) -> Vec<Question> {
        let (_, text) = crate::examples().into_iter().find(|(name, _)| *name == example).unwrap();
        Definition::parse(&serde_json::from_str(text).unwrap()).unwrap().questions()
    }

    #[test]
    fn inputs_are_found_in_branches_forms_and_loops_in_their_order() {
        let ids = |questions: &[Question]| questions.iter().map(|one| one.id.clone()).collect::<Vec<_>>();
        let survey = questions("nps-survey");
        assert_eq!(ids(&survey), ["score", "missing", "may_contact", "liked", "improve"], "else comes last");
        assert_eq!((survey[0].scale, survey[0].kind), (Some((0, 10)), AnswerKind::Nps));
        assert_eq!(survey[1].prompt, "You gave us {{score}} of 10. What should we do better?");
        assert_eq!(survey[3].options.len(), 3);
        assert!(survey.iter().all(|one| !one.in_loop && one.role.as_deref() == Some("respondent")));
        let review = questions("two-role-review");
        assert_eq!(ids(&review), ["subject", "details", "amount", "needed_by", "decision", "remarks"]);
        assert!(review.iter().all(|one| one.in_loop), "also those of a form");
    }

    #[test]
    fn what_an_agent_extracts_is_a_question_for_each_member() {
        let intake = questions("support-intake");
        let kinds: Vec<_> = intake.iter().map(|one| (one.id.as_str(), one.kind)).collect();
        let expected = [
            ("intake.email", AnswerKind::Text),
            ("intake.summary", AnswerKind::Text),
            ("intake.topics", AnswerKind::List),
            ("intake.urgency", AnswerKind::Select),
            ("contact", AnswerKind::Email),
        ];
        assert_eq!(kinds, expected);
        assert_eq!(
            (intake[1].prompt.as_str(), intake[2].prompt.as_str()),
            ("The problem in one or two sentences", "topics")
        );
        let results = BTreeMap::from([("intake".to_owned(), json!({"summary": "It is broken"}))]);
        assert_eq!(intake[1].answer(&results), Some(&json!("It is broken")));
        assert_eq!(intake[0].answer(&results), Some(&json!(null)), "left out");
        assert_eq!(intake[4].answer(&results), None, "not asked");
        let failed = BTreeMap::from([("intake".to_owned(), json!(null))]);
        assert_eq!(intake[1].answer(&failed), None, "an agent that failed has no answer");
    }

    #[test]
    fn a_rating_has_as_many_steps_as_it_says() {
        let node = |max: Value| json!({"type": "Input", "id": "a", "prompt": "?", "input_type": "rating", "max": max});
        for max in [2, 7, 10] {
            let root =
                json!({"type": "Workflow", "id": "r", "participants": [{"name": "p"}], "children": [node(json!(max))]});
            assert_eq!(Definition::parse(&root).unwrap().questions()[0].scale, Some((1, max)));
        }
    }
}
