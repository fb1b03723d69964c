//! What the runs of a deployment were answered: row by row, counted, drawn, and as a file. Questions are
//! those of the version that was deployed.

mod chart;
pub(crate) mod csv;
mod export;
pub(crate) mod rows;
mod sketch;
mod tally;

use std::{collections::BTreeMap, sync::Arc};

use access::{Access, Limit, Role, Scope};
use ambient::{DeploymentId, Millis, RunId};
use gate::{Bare, Call, Data, Download, Operation, PageQuery, Problem, Raw, Routes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::{
    chart::Theme,
    export::{Format, Head},
    rows::{DayOrTime, Filter, ResultRow, Rows, StatusName, columns, rounds_of, state_of},
    tally::{QuestionSummary, QuestionView, Tallies, Tally, find},
};
use crate::{App, problem::of_run};

const READ: Access = Access::closed(Limit::Read).member(Role::Member).key(Scope::RunsRead);
/// Everything that people have said leaves at once: it has a scope of its own, and is recorded.
const EXPORT: Access = Access::closed(Limit::Read).member(Role::Member).key(Scope::ExportRead).audited();

pub(crate) const LIST_RESULTS: Operation<ResultsQuery, Bare<ResultsPage>> = Operation::get(
    "/v1/deployments/{id}/results",
    "list_deployment_results",
    "List the runs of a deployment with what was answered in them, the newest first.",
    READ,
);
pub(crate) const SUMMARIZE_RESULTS: Operation<SummaryQuery, Data<Summary>> = Operation::get(
    "/v1/deployments/{id}/results/summary",
    "summarize_deployment_results",
    "Count the answers of a deployment's runs, question by question.",
    READ,
);
pub(crate) const DRAW_RESULTS: Operation<ChartQuery, Raw> = Operation::get(
    "/v1/deployments/{id}/results/chart",
    "draw_deployment_results",
    "Draw how one question of a deployment was answered: a bar chart as SVG.",
    READ,
);
pub(crate) const EXPORT_RESULTS: Operation<ExportQuery, Download> = Operation::get(
    "/v1/deployments/{id}/results/export",
    "export_deployment_results",
    "Export a deployment's runs with their answers, the oldest first, as CSV or NDJSON.",
    EXPORT,
)
.dangerous();

/// Runs that are counted, at most.
const MAX_COUNTED: u64 = 1_000_000;

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(LIST_RESULTS, list_results);
    routes.mount(SUMMARIZE_RESULTS, summarize_results);
    routes.mount(DRAW_RESULTS, draw_results);
    routes.mount(EXPORT_RESULTS, export_results);
}

/// Which rows.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct ResultsQuery {
    /// Runs that were started at this time or later: RFC 3339, or a day in UTC.
    #[schemars(with = "Option<DayOrTime>")]
    from: Option<String>,
    /// Runs that were started before this time: RFC 3339, or a day in UTC.
    #[schemars(with = "Option<DayOrTime>")]
    to: Option<String>,
    /// Those of one status alone.
    #[schemars(with = "Option<StatusName>")]
    status: Option<String>,
    /// Runs that were started before this one, by its id: where a page that was cut goes on.
    #[schemars(with = "Option<RunId>")]
    before: Option<String>,
    /// Which page, from 1.
    #[schemars(range(min = 1, max = 1_000_000))]
    page: Option<u32>,
    /// How many rows: 20 by default, 100 at most.
    #[schemars(range(min = 1, max = 100))]
    per_page: Option<u32>,
}

/// Which runs are counted.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct SummaryQuery {
    /// Runs that were started at this time or later: RFC 3339, or a day in UTC.
    #[schemars(with = "Option<DayOrTime>")]
    from: Option<String>,
    /// Runs that were started before this time: RFC 3339, or a day in UTC.
    #[schemars(with = "Option<DayOrTime>")]
    to: Option<String>,
    /// Those of one status alone.
    #[schemars(with = "Option<StatusName>")]
    status: Option<String>,
}

/// What is drawn.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct ChartQuery {
    /// The id of a question.
    question: String,
    /// Runs that were started at this time or later: RFC 3339, or a day in UTC.
    #[schemars(with = "Option<DayOrTime>")]
    from: Option<String>,
    /// Runs that were started before this time: RFC 3339, or a day in UTC.
    #[schemars(with = "Option<DayOrTime>")]
    to: Option<String>,
    /// Those of one status alone.
    #[schemars(with = "Option<StatusName>")]
    status: Option<String>,
    /// `light` by default.
    #[serde(default)]
    theme: Theme,
}

/// What is exported, and how.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct ExportQuery {
    /// `csv` by default.
    #[serde(default)]
    format: Format,
    /// Runs that were started at this time or later: RFC 3339, or a day in UTC.
    #[schemars(with = "Option<DayOrTime>")]
    from: Option<String>,
    /// Runs that were started before this time: RFC 3339, or a day in UTC.
    #[schemars(with = "Option<DayOrTime>")]
    to: Option<String>,
    /// Those of one status alone.
    #[schemars(with = "Option<StatusName>")]
    status: Option<String>,
    /// Of CSV: `1` names the columns by the questions' words, and not by their ids.
    #[schemars(range(max = 1))]
    label: Option<u8>,
    /// Of CSV: `1` begins with the signature of UTF-8, which some spreadsheets need.
    #[schemars(range(max = 1))]
    bom: Option<u8>,
}

/// A page of runs with their answers.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ResultsPage {
    data: ResultTable,
    meta: ResultsMeta,
}

/// Where in a list of runs this page is.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) struct ResultsMeta {
    /// Which page, from 1.
    page: u32,
    /// How many a page holds.
    per_page: u32,
    /// How many there are in all.
    total: u64,
    /// True when the page ends early: its answers have reached 8 MiB.
    truncated: bool,
    /// Then the last run of the page: with it as `before`, and without `page`, the next call goes on.
    next: Option<RunId>,
}

/// Runs with their answers.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ResultTable {
    /// The deployment.
    deployment_id: DeploymentId,
    /// What is asked, in the order of the definition.
    questions: Vec<QuestionView>,
    /// The names of answers in order: the questions' ids, and behind each the rounds that rows of this page have.
    columns: Vec<String>,
    /// The runs, the newest first.
    runs: Vec<ResultRow>,
}

/// How the questions of a deployment were answered.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Summary {
    /// The deployment.
    deployment_id: DeploymentId,
    /// Runs that were looked at, finished or not: an answer counts from when it was given.
    counted: u64,
    /// False when there are more runs than are counted in one call: the oldest 1,000,000 were.
    complete: bool,
    /// How many of them stand where.
    statuses: BTreeMap<String, u64>,
    /// The questions, in the order of the definition. In a loop the last round counts.
    questions: Vec<QuestionSummary>,
}

/// The runs that a call means.
async fn rows_of<I>(app: &App, call: &Call<I>, filter: Filter<'_>) -> Result<(DeploymentId, Rows), Problem> {
    let id: DeploymentId = call.id("id")?;
    // What is not there is not there, whatever is wrong with the rest.
    let definition = app.runs().definition(call.tenant()?, id).await.map_err(of_run)?;
    let range = filter.range(id, call.request.now)?;
    Ok((id, Rows::new(app.workspace(call)?, definition.questions().into(), range)))
}

async fn list_results(app: App, call: Call<ResultsQuery>) -> Result<Bare<ResultsPage>, Problem> {
    let ResultsQuery { from, to, status, before, page, per_page } = &call.input;
    let filter = Filter { from: from.as_deref(), to: to.as_deref(), status: status.as_deref() };
    let (deployment_id, mut rows) = rows_of(&app, &call, filter).await?;
    if let Some(text) = before {
        let wrong = |_| Problem::invalid_request("The query parameter `before` is the id of a run");
        rows.end_before(text.parse().map_err(wrong)?);
    }
    let request = PageQuery { page: *page, per_page: *per_page }.request()?;
    let offset = u64::from(request.page - 1) * u64::from(request.per_page);
    let _place = app.pages().take(call.tenant()?.workspace).await?;
    let total = rows.count().await?;
    let questions = Arc::clone(rows.questions());
    let (runs, next) = rows.page(request.per_page, offset).await?;
    let columns = columns(&questions, &rounds_of(&questions, &runs)).into_iter().map(|column| column.id).collect();
    let questions = questions.iter().map(QuestionView::from).collect();
    let (page, per_page, truncated) = (request.page, request.per_page, next.is_some());
    let meta = ResultsMeta { page, per_page, total, truncated, next };
    Ok(Bare(ResultsPage { data: ResultTable { deployment_id, questions, columns, runs }, meta }))
}

async fn summarize_results(app: App, call: Call<SummaryQuery>) -> Result<Data<Summary>, Problem> {
    let SummaryQuery { from, to, status } = &call.input;
    let filter = Filter { from: from.as_deref(), to: to.as_deref(), status: status.as_deref() };
    let (deployment_id, mut rows) = rows_of(&app, &call, filter).await?;
    let questions = Arc::clone(rows.questions());
    let mut tallies = Tallies::new(&questions);
    let (mut counted, mut complete, mut statuses) = (0, false, BTreeMap::<String, u64>::new());
    let _turn = app.count_turn(call.tenant()?.workspace).await?;
    while counted < MAX_COUNTED {
        let records = rows.next_records().await?;
        if records.is_empty() {
            complete = true;
            break;
        }
        for record in records {
            let state = state_of(&record)?;
            counted += 1;
            *statuses.entry(record.status).or_default() += 1;
            tallies.add(&questions, |question| question.answer(state.results()));
        }
    }
    let questions = tallies.summaries(&questions);
    Ok(Data::new(Summary { deployment_id, counted, complete, statuses, questions }))
}

async fn draw_results(app: App, call: Call<ChartQuery>) -> Result<Raw, Problem> {
    let ChartQuery { question, from, to, status, theme } = &call.input;
    let filter = Filter { from: from.as_deref(), to: to.as_deref(), status: status.as_deref() };
    let (_, mut rows) = rows_of(&app, &call, filter).await?;
    let questions = Arc::clone(rows.questions());
    let question = find(&questions, question)?;
    let (mut tally, mut counted) = (Tally::new(question), 0);
    let _turn = app.count_turn(call.tenant()?.workspace).await?;
    while counted < MAX_COUNTED {
        let records = rows.next_records().await?;
        if records.is_empty() {
            break;
        }
        for record in records {
            counted += 1;
            tally.add(question.answer(state_of(&record)?.results()));
        }
    }
    let summary = tally.with_dates_at_most(chart::MAX_DATES).summary(question);
    let svg = chart::svg(&summary, *theme);
    // Shown by itself it is a document of our origin, and needs nothing.
    Ok(Raw::new("image/svg+xml", svg).header("content-security-policy", "default-src 'none'; sandbox"))
}

async fn export_results(app: App, call: Call<ExportQuery>) -> Result<Download, Problem> {
    let ExportQuery { format, from, to, status, label, bom } = &call.input;
    let filter = Filter { from: from.as_deref(), to: to.as_deref(), status: status.as_deref() };
    let (deployment, rows) = rows_of(&app, &call, filter).await?;
    let head = Head { label: flag("label", *label)?, bom: flag("bom", *bom)? };
    let name = format!("results-{deployment}-{}", day(call.request.now));
    let file = export::download(&app, &call, rows, *format, head, &name).await?;
    let detail = json!({"format": format, "from": from, "to": to, "status": status});
    let actor = call.actor();
    // Recorded before the first byte: what is cut later has left in part.
    let audit = call.audit(&actor, Some(detail));
    app.workspace(&call)?.write_audit(audit, "deployment", &deployment.to_string()).await?;
    Ok(file)
}

pub(crate) fn flag(name: &str, value: Option<u8>) -> Result<bool, Problem> {
    match value {
        None | Some(0) => Ok(false),
        Some(1) => Ok(true),
        Some(_) => Err(Problem::invalid_request(format!("The query parameter `{name}` is 0 or 1"))),
    }
}

pub(crate) fn day(at: Millis) -> String {
    at.to_string().chars().take(10).collect()
}
