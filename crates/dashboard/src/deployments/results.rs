//! What the runs of a deployment were answered: row by row, and counted.

use std::collections::BTreeMap;

use access::{Access, Limit, Role};
use ambient::DeploymentId;
use api::App;
use askama::Template;
use gate::{Ask, Call, Download, Operation, Problem, Raw, Routes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Deployment, HERE, read};
use crate::{
    desk::Desk,
    frame::Frame,
    layout, page,
    show::{One, PER_PAGE, PagedMeta, Pager, When},
};

const SHOW_RESULTS: Operation<ResultsQuery, Raw> = page(
    "/_/deployments/{id}/results",
    "show_results_page",
    "What the runs of a deployment were answered, run by run.",
    Role::Member,
);
const SHOW_COUNTS: Operation<ResultsQuery, Raw> = page(
    "/_/deployments/{id}/results/counts",
    "show_result_counts_page",
    "How often each answer was given, with charts.",
    Role::Member,
);

/// The API is asked in the half of the data that is shown.
const EXPORT_RESULTS: Operation<ExportQuery, Download> = Operation::get(
    "/_/deployments/{id}/results/export",
    "export_results_page",
    "What the runs of a deployment were answered, as a file.",
    Access::closed(Limit::Read).member(Role::Member),
)
.page(layout::refusal);

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_RESULTS, show_results);
    routes.mount(EXPORT_RESULTS, export_results);
    routes.mount(SHOW_COUNTS, show_counts);
}

/// Which runs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct ResultsQuery {
    /// From 1.
    page: Option<u32>,
    /// Those that were started on this day or later.
    from: Option<String>,
    /// Those that were started before this day.
    to: Option<String>,
    /// Those of one status.
    status: Option<String>,
}

/// Which runs, and as what.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct ExportQuery {
    /// `csv` or `ndjson`.
    format: Option<String>,
    /// Those that were started on this day or later.
    from: Option<String>,
    /// Those that were started before this day.
    to: Option<String>,
    /// Those of one status.
    status: Option<String>,
}

/// The same, to be shown again.
struct Chosen {
    from: String,
    to: String,
    status: String,
    /// For links: `from=…&to=…`.
    query: String,
}

impl ResultsQuery {
    fn of(&self, ask: Ask) -> Ask {
        ask.query_if("from", self.from.as_ref())
            .query_if("to", self.to.as_ref())
            .query_if("status", self.status.as_ref())
    }

    fn chosen(&self) -> Chosen {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let (from, to, status) = (text(&self.from), text(&self.to), text(&self.status));
        let pairs = [("from", &from), ("to", &to), ("status", &status)];
        let pairs: Vec<_> = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let query = serde_urlencoded::to_string(pairs).unwrap_or_default();
        Chosen { from, to, status, query }
    }
}

#[derive(Deserialize)]
struct Results {
    data: Table,
    meta: PagedMeta,
}

#[derive(Deserialize)]
struct Table {
    columns: Vec<String>,
    questions: Vec<Question>,
    runs: Vec<Row>,
}

#[derive(Deserialize)]
struct Question {
    id: String,
    prompt: String,
}

#[derive(Deserialize)]
struct Row {
    run_id: String,
    status: String,
    started_at: When,
    answers: BTreeMap<String, Value>,
}

/// An answer as people read it.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "left out".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A run's cells, in the order of the columns.
struct Line {
    run: String,
    status: String,
    started_at: When,
    cells: Vec<String>,
}

/// A column: its name, and the words of its question.
struct Column {
    id: String,
    prompt: String,
}

#[derive(Template)]
#[template(path = "deployments/results.html")]
struct ResultsPage {
    frame: Frame,
    deployment: Deployment,
    chosen: Chosen,
    /// Of this page.
    path: String,
    columns: Vec<Column>,
    lines: Vec<Line>,
    pager: Pager,
    may_export: bool,
}

impl ResultsPage {
    /// Where the file is.
    fn export(&self, format: &str) -> String {
        let more = if self.chosen.query.is_empty() { String::new() } else { format!("&{}", self.chosen.query) };
        format!("{}/export?format={format}{more}&seen={}", self.path, self.frame.half())
    }
}

fn line(columns: &[Column], row: Row) -> Line {
    let cell = |column: &Column| row.answers.get(&column.id).map(shown).unwrap_or_default();
    let cells = columns.iter().map(cell).collect();
    Line { run: row.run_id, status: row.status, started_at: row.started_at, cells }
}

async fn show_results(_: App, call: Call<ResultsQuery>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<DeploymentId>("id")?);
    let deployment = read(&desk, id).await?;
    let ask = call.input.of(Ask::to("list_deployment_results").at("id", id));
    let ask = ask.query("page", call.input.page.unwrap_or(1)).query("per_page", PER_PAGE);
    let Results { data, meta } = desk.get(ask).await?;
    let Table { columns, questions, runs } = data;
    // Behind a question are its rounds, `ask.2`.
    let prompt =
        |id: &str| questions.iter().find(|one| one.id == id).map_or_else(String::new, |one| one.prompt.clone());
    let columns: Vec<Column> = columns.into_iter().map(|id| Column { prompt: prompt(&id), id }).collect();
    let chosen = call.input.chosen();
    let others = [("from", chosen.from.as_str()), ("to", &chosen.to), ("status", &chosen.status)];
    desk.render(&ResultsPage {
        frame: desk.frame(format!("Answers of {}", deployment.row.name), HERE),
        lines: runs.into_iter().map(|row| line(&columns, row)).collect(),
        pager: Pager::new(meta, &format!("/_/deployments/{id}/results"), &others),
        path: format!("/_/deployments/{id}/results"),
        may_export: desk.may("export_deployment_results"),
        columns,
        chosen,
        deployment,
    })
}

async fn export_results(_: App, call: Call<ExportQuery>) -> Result<Download, Problem> {
    let (desk, ExportQuery { format, from, to, status }) = (Desk::open(&call).await?, &call.input);
    let ask = Ask::to("export_deployment_results").at("id", call.id::<DeploymentId>("id")?);
    let ask = ask.query_if("format", format.as_ref()).query_if("from", from.as_ref()).query_if("to", to.as_ref());
    // Columns by the questions' words, and a signature that spreadsheets know UTF-8 by.
    let ask = if format.as_deref() == Some("ndjson") { ask } else { ask.query("label", 1).query("bom", 1) };
    desk.file(ask.query_if("status", status.as_ref())).await
}

#[derive(Deserialize)]
struct Summary {
    counted: u64,
    complete: bool,
    statuses: BTreeMap<String, u64>,
    questions: Vec<QuestionSummary>,
}

#[derive(Deserialize)]
struct QuestionSummary {
    id: String,
    prompt: String,
    answered: u64,
    skipped: u64,
    choices: Option<Vec<Choice>>,
    histogram: Option<Vec<Bin>>,
    numbers: Option<Numbers>,
    nps: Option<Nps>,
    dates: Option<Dates>,
    mean_length: Option<f64>,
}

#[derive(Deserialize)]
struct Choice {
    label: String,
    count: u64,
    share: f64,
}

#[derive(Deserialize)]
struct Bin {
    from: f64,
    to: f64,
    count: u64,
    share: f64,
}

#[derive(Deserialize)]
struct Numbers {
    mean: Option<f64>,
    median: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
}

#[derive(Deserialize)]
struct Nps {
    promoters: u64,
    passives: u64,
    detractors: u64,
    score: Option<f64>,
}

impl Nps {
    /// `NPS 33.33: 2 promoters, 0 passives, 1 detractor`.
    fn figure(&self) -> Option<String> {
        let count = |count: u64, name: &str| format!("{count} {name}{}", if count == 1 { "" } else { "s" });
        let of = [(self.promoters, "promoter"), (self.passives, "passive"), (self.detractors, "detractor")];
        let of = of.map(|(number, name)| count(number, name)).join(", ");
        self.score.map(|score| format!("NPS {}: {of}", short(score)))
    }
}

#[derive(Deserialize)]
struct Dates {
    counts: Vec<DateCount>,
}

#[derive(Deserialize)]
struct DateCount {
    date: String,
    count: u64,
    share: f64,
}

/// A bar and what it stands for.
#[derive(Debug, PartialEq)]
struct Bar {
    label: String,
    count: u64,
    percent: String,
    /// Of 100.
    width: f64,
}

/// A question with its bars.
struct Counted {
    id: String,
    prompt: String,
    answered: u64,
    skipped: u64,
    bars: Vec<Bar>,
    /// `mean 7.5`.
    figures: Vec<String>,
}

fn short(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The most bars of a question; of more the last ones are shown, as dates go on.
const MAX_BARS: usize = 100;

impl From<QuestionSummary> for Counted {
    fn from(summary: QuestionSummary) -> Self {
        let mut all: Vec<(String, u64, f64)> = Vec::new();
        all.extend(summary.choices.into_iter().flatten().map(|one| (one.label, one.count, one.share)));
        all.extend(summary.histogram.into_iter().flatten().map(|bin| {
            let (from, to) = (short(bin.from), short(bin.to));
            (if from == to { from } else { format!("{from} to {to}") }, bin.count, bin.share)
        }));
        all.extend(
            summary.dates.into_iter().flat_map(|dates| dates.counts).map(|one| (one.date, one.count, one.share)),
        );
        let all = all.split_off(all.len().saturating_sub(MAX_BARS));
        let widest = all.iter().map(|(_, _, share)| *share).fold(0.0, f64::max);
        let bar = |(label, count, share): (String, u64, f64)| {
            let width = if widest > 0.0 { (share / widest * 1000.0).round() / 10.0 } else { 0.0 };
            Bar { label, count, percent: short(share * 100.0), width }
        };
        let mut figures: Vec<String> = summary.nps.as_ref().and_then(Nps::figure).into_iter().collect();
        let mut say = |name: &str, value: Option<f64>| {
            figures.extend(value.map(|value| format!("{name} {}", short(value))));
        };
        if let Some(numbers) = summary.numbers {
            say("mean", numbers.mean);
            say("median", numbers.median);
            say("least", numbers.min);
            say("greatest", numbers.max);
        }
        say("length on average", summary.mean_length);
        let QuestionSummary { id, prompt, answered, skipped, .. } = summary;
        Self { id, prompt, answered, skipped, bars: all.into_iter().map(bar).collect(), figures }
    }
}

#[derive(Template)]
#[template(path = "deployments/counts.html")]
struct CountsPage {
    frame: Frame,
    deployment: Deployment,
    chosen: Chosen,
    /// Of this page.
    path: String,
    counted: u64,
    complete: bool,
    statuses: BTreeMap<String, u64>,
    questions: Vec<Counted>,
}

async fn show_counts(_: App, call: Call<ResultsQuery>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<DeploymentId>("id")?);
    let deployment = read(&desk, id).await?;
    let ask = call.input.of(Ask::to("summarize_deployment_results").at("id", id));
    let Summary { counted, complete, statuses, questions } = desk.get::<One<Summary>>(ask).await?.data;
    desk.render(&CountsPage {
        frame: desk.frame(format!("Counts of {}", deployment.row.name), HERE),
        deployment,
        chosen: call.input.chosen(),
        path: format!("/_/deployments/{id}/results/counts"),
        counted,
        complete,
        statuses,
        questions: questions.into_iter().map(Counted::from).collect(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_shown_as_people_say_them() {
        let all = [json!(null), json!(true), json!("x"), json!(["a", "b"]), json!(7)];
        assert_eq!(all.map(|value| shown(&value)), ["left out", "yes", "x", "a, b", "7"]);
    }

    #[test]
    fn the_longest_bar_is_whole_and_figures_are_short() {
        let summary = json!({"id": "score", "prompt": "?", "answered": 4, "skipped": 1,
            "histogram": [{"from": 0, "to": 0, "count": 1, "share": 0.25}, {"from": 1, "to": 2, "count": 3, "share": 0.75}],
            "numbers": {"mean": 1.0 / 3.0, "median": 1, "min": null, "max": 2, "exact": true}, "nps": {"promoters": 0, "passives": 2, "detractors": 1, "score": -33.333}});
        let counted = Counted::from(serde_json::from_value::<QuestionSummary>(summary).unwrap());
        let bar = |label: &str, count, percent: &str, width| Bar {
            label: label.to_owned(),
            count,
            percent: percent.to_owned(),
            width,
        };
        assert_eq!(counted.bars, [bar("0", 1, "25", 33.3), bar("1 to 2", 3, "75", 100.0)]);
        assert_eq!(
            counted.figures,
            ["NPS -33.33: 0 promoters, 2 passives, 1 detractor", "mean 0.33", "median 1", "greatest 2"]
        );
        let none = json!({"id": "a", "prompt": "?", "answered": 0, "skipped": 0, "choices": [{"label": "x", "count": 0, "share": 0.0}]});
        assert_eq!(Counted::from(serde_json::from_value::<QuestionSummary>(none).unwrap()).bars[0].width, 0.0);
    }
}
