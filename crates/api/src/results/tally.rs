//! Counting answers, one after the other.

use gate::Problem;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use workflow::{AnswerKind, Question, SelectOption};

use super::sketch::{Dates, Numbers, float};

/// Parts of a histogram of numbers.
const BINS: u32 = 10;

/// A question as it is shown.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct QuestionView {
    /// The name of its answers: the Input's id, or the Agent's and the member's, such as `intake.summary`.
    pub(super) id: String,
    /// Its words as they are in the definition, with references such as `{{score}}`.
    pub(super) prompt: String,
    /// What kind of answer; `list` is a list that an agent extracted.
    input_type: AnswerKind,
    /// The choices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    options: Vec<SelectOption>,
    /// Who is asked; `null` where an agent answers alone.
    role: Option<String>,
    /// Whether it may be asked more than once in a run.
    in_loop: bool,
}

impl From<&Question> for QuestionView {
    fn from(question: &Question) -> Self {
        let Question { id, prompt, kind, options, role, in_loop, .. } = question.clone();
        Self { id, prompt, input_type: kind, options, role, in_loop }
    }
}

/// How a question was answered.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct QuestionSummary {
    #[serde(flatten)]
    pub(super) question: QuestionView,
    /// Runs that have an answer.
    pub(super) answered: u64,
    /// Runs in which it was left out.
    pub(super) skipped: u64,
    /// Of a select, multiselect or boolean: how often each was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) choices: Option<Vec<Choice>>,
    /// Of a rating, nps or number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) numbers: Option<NumberSummary>,
    /// Of a rating or nps each step, of a number each different one or ten parts of the range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) histogram: Option<Vec<Bin>>,
    /// Of an nps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nps: Option<NpsSummary>,
    /// Of a date: how many of each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dates: Option<DateSummary>,
    /// Of text its characters, of a list its items: how many on average. The words themselves are not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mean_length: Option<f64>,
}

/// How often something was chosen.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Choice {
    /// What is stored: a text, or `true` and `false`.
    value: Value,
    /// What is shown.
    pub(super) label: String,
    /// How often.
    pub(super) count: u64,
    /// Of those who answered, 0 to 1. Those of a multiselect may come to more than 1.
    pub(super) share: f64,
}

/// Figures of numbers; each is `null` without an answer.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) struct NumberSummary {
    mean: Option<f64>,
    median: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    /// False when there were too many different numbers to remember: the median and the histogram are then
    /// near, and the rest is exact as always.
    exact: bool,
}

/// Numbers from one to another; both are the same for a single one.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) struct Bin {
    /// The least.
    pub(super) from: f64,
    /// The greatest; it belongs to the next part, but for the last one's.
    pub(super) to: f64,
    /// How many.
    pub(super) count: u64,
    /// Of those who answered, 0 to 1.
    pub(super) share: f64,
}

/// Net promoter score.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) struct NpsSummary {
    /// 9 and 10.
    promoters: u64,
    /// 7 and 8.
    passives: u64,
    /// 0 to 6.
    detractors: u64,
    /// The percentage of promoters less that of detractors, -100 to 100; `null` without an answer.
    pub(super) score: Option<f64>,
}

/// Dates.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct DateSummary {
    /// What is counted: `day`, or `month` or `year` where there are too many.
    pub(super) by: String,
    /// Those that occur, in order.
    pub(super) counts: Vec<DateCount>,
}

/// How often a date was given.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct DateCount {
    /// `YYYY-MM-DD`, `YYYY-MM` or `YYYY`.
    pub(super) date: String,
    /// How often.
    pub(super) count: u64,
    /// Of those who answered, 0 to 1.
    pub(super) share: f64,
}

/// The counts of one question. Its memory is bounded, however many answers come.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    answered: u64,
    skipped: u64,
    kept: Kept,
}

#[derive(Clone, Debug)]
enum Kept {
    /// One count for each choice.
    Choices(Vec<(SelectOption, Value, u64)>),
    /// One count for each step from the first.
    Scale(u32, Vec<u64>, Numbers),
    Numbers(Numbers),
    Dates(Dates),
    /// The lengths.
    Lengths(Numbers),
}

impl Tally {
    pub(super) fn new(question: &Question) -> Self {
        let kept = match (question.kind, question.scale) {
            (AnswerKind::Select | AnswerKind::Multiselect, _) => {
                let choice = |option: &SelectOption| (option.clone(), Value::from(option.value.as_str()), 0);
                Kept::Choices(question.options.iter().map(choice).collect())
            }
            (AnswerKind::Boolean, _) => {
                let choice = |(value, label): (bool, &str)| {
                    (SelectOption { value: value.to_string(), label: label.to_owned() }, Value::from(value), 0)
                };
                Kept::Choices([(true, "Yes"), (false, "No")].into_iter().map(choice).collect())
            }
            (AnswerKind::Rating | AnswerKind::Nps, Some((least, most))) => {
                Kept::Scale(least, (least..=most).map(|_| 0).collect(), Numbers::default())
            }
            (AnswerKind::Rating | AnswerKind::Nps | AnswerKind::Number, _) => Kept::Numbers(Numbers::default()),
            (AnswerKind::Date, _) => Kept::Dates(Dates::default()),
            (AnswerKind::Text | AnswerKind::Textarea | AnswerKind::Email | AnswerKind::List, _) => {
                Kept::Lengths(Numbers::default())
            }
        };
        Self { answered: 0, skipped: 0, kept }
    }

    /// Counts the answer of one run, if it has one. What does not fit its question counts as none.
    pub(super) fn add(&mut self, answer: Option<&Value>) {
        match answer {
            None => {}
            Some(Value::Null) => self.skipped += 1,
            Some(value) => self.answered += u64::from(self.kept.add(value)),
        }
    }

    pub(super) fn summary(self, question: &Question) -> QuestionSummary {
        let answered = self.answered;
        let mut summary = QuestionSummary {
            question: question.into(),
            answered,
            skipped: self.skipped,
            choices: None,
            numbers: None,
            histogram: None,
            nps: None,
            dates: None,
            mean_length: None,
        };
        let bin = |from, to, count| Bin { from, to, count, share: share(count, answered) };
        match self.kept {
            Kept::Choices(choices) => {
                let choice = |(option, value, count): (SelectOption, Value, u64)| Choice {
                    value,
                    label: option.label,
                    count,
                    share: share(count, answered),
                };
                summary.choices = Some(choices.into_iter().map(choice).collect());
            }
            Kept::Scale(least, counts, numbers) => {
                if question.kind == AnswerKind::Nps {
                    summary.nps = Some(NpsSummary::of(&counts));
                }
                let steps = (least..).zip(&counts);
                let bins = steps.map(|(step, count)| bin(f64::from(step), f64::from(step), *count));
                summary.histogram = Some(bins.collect());
                summary.numbers = Some(NumberSummary::of(&numbers));
            }
            Kept::Numbers(numbers) => {
                let bins = numbers.histogram(BINS).into_iter().map(|(from, to, count)| bin(from, to, count));
                summary.histogram = Some(bins.collect());
                summary.numbers = Some(NumberSummary::of(&numbers));
            }
            Kept::Dates(dates) => summary.dates = Some(DateSummary::of(&dates, answered)),
            Kept::Lengths(lengths) => summary.mean_length = lengths.mean().map(round),
        }
        summary
    }

    /// With few enough dates for a picture.
    pub(super) fn with_dates_at_most(mut self, most: usize) -> Self {
        if let Kept::Dates(dates) = &mut self.kept {
            dates.coarsen_to(most);
        }
        self
    }
}

impl Kept {
    /// Whether the value is an answer to such a question.
    fn add(&mut self, value: &Value) -> bool {
        match (self, value) {
            (Self::Choices(choices), Value::Array(chosen)) => {
                let known = |one: &Value| choices.iter().any(|(_, value, _)| value == one);
                if !chosen.iter().all(known) {
                    return false;
                }
                // An agent may say one twice.
                for (_, _, count) in choices.iter_mut().filter(|(_, value, _)| chosen.contains(value)) {
                    *count += 1;
                }
                true
            }
            (Self::Choices(choices), value) => {
                let found = choices.iter_mut().find(|(_, choice, _)| choice == value);
                found.map(|(_, _, count)| *count += 1).is_some()
            }
            (Self::Scale(least, counts, numbers), value) => {
                let step = value.as_u64().and_then(|step| usize::try_from(step.checked_sub(u64::from(*least))?).ok());
                let Some(count) = step.and_then(|step| counts.get_mut(step)) else { return false };
                *count += 1;
                numbers.add(value.as_f64().unwrap_or_default());
                true
            }
            (Self::Numbers(numbers), Value::Number(number)) => {
                let number = number.as_f64().filter(|number| number.is_finite());
                number.map(|number| numbers.add(number)).is_some()
            }
            (Self::Dates(dates), Value::String(date)) => dates.add(date),
            (Self::Lengths(lengths), Value::String(text)) => {
                lengths.add(float(text.chars().count() as u64));
                true
            }
            (Self::Lengths(lengths), Value::Array(items)) => {
                lengths.add(float(items.len() as u64));
                true
            }
            _ => false,
        }
    }
}

impl NumberSummary {
    fn of(numbers: &Numbers) -> Self {
        let (min, max) = numbers.range().unzip();
        Self { mean: numbers.mean().map(round), median: numbers.median(), min, max, exact: numbers.is_exact() }
    }
}

impl NpsSummary {
    fn of(counts: &[u64]) -> Self {
        let sum = |from: usize, to: usize| counts.iter().skip(from).take(to + 1 - from).sum::<u64>();
        let (detractors, passives, promoters) = (sum(0, 6), sum(7, 8), sum(9, 10));
        let answered = detractors + passives + promoters;
        let score =
            (answered > 0).then(|| (1000.0 * (float(promoters) - float(detractors)) / float(answered)).round() / 10.0);
        Self { promoters, passives, detractors, score }
    }
}

impl DateSummary {
    fn of(dates: &Dates, answered: u64) -> Self {
        let count =
            |(date, count): (&str, u64)| DateCount { date: date.to_owned(), count, share: share(count, answered) };
        Self { by: dates.unit().to_owned(), counts: dates.counts().map(count).collect() }
    }
}

/// To four places.
fn share(count: u64, answered: u64) -> f64 {
    if answered == 0 { 0.0 } else { (float(count) / float(answered) * 10_000.0).round() / 10_000.0 }
}

/// To four places, where there are as many.
fn round(number: f64) -> f64 {
    if number.abs() < 1e11 { (number * 10_000.0).round() / 10_000.0 } else { number }
}

/// The tallies of all questions.
#[derive(Clone, Debug)]
pub(super) struct Tallies(Vec<Tally>);

impl Tallies {
    pub(super) fn new(questions: &[Question]) -> Self {
        Self(questions.iter().map(Tally::new).collect())
    }

    /// Counts the answers of one run.
    pub(super) fn add<'r>(&mut self, questions: &[Question], answer: impl Fn(&Question) -> Option<&'r Value>) {
        for (tally, question) in self.0.iter_mut().zip(questions) {
            tally.add(answer(question));
        }
    }

    pub(super) fn summaries(self, questions: &[Question]) -> Vec<QuestionSummary> {
        self.0.into_iter().zip(questions).map(|(tally, question)| tally.summary(question)).collect()
    }
}

/// The question of this id, with its number.
pub(super) fn find<'q>(questions: &'q [Question], id: &str) -> Result<&'q Question, Problem> {
    let message = "The query parameter `question` is the id of a question, as the results list them";
    questions.iter().find(|question| question.id == id).ok_or_else(|| Problem::invalid_request(message))
}

#[cfg(test)]
#[path = "tally_tests.rs"]
mod tests;
