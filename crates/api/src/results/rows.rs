//! Runs as rows: read few at a time, whichever way they leave.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    sync::Arc,
};

use ambient::{DeploymentId, Millis, RunId, Ulid};
use gate::Problem;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::Value;
use store::{RunRange, RunRecord, Workspace};
use workflow::{Question, RunState};

/// Runs that are read at once, at most.
const BATCH: u32 = 50;
/// Bytes of states that are read at once, but for the first one: each may be a mebibyte.
const BATCH_BYTES: u64 = 4 << 20;
/// Runs whose sizes are known ahead.
const AHEAD: u32 = 500;
/// Bytes of rows after which a page ends.
const PAGE_BYTES: u64 = 8 << 20;
/// Answers of one run that are looked through for the rounds of its loops, and their bytes.
const MAX_ROUNDS: usize = 1000;
const MAX_ROUND_BYTES: usize = 4 << 20;
/// Answers that are read at once.
const ROUNDS: u32 = 25;
/// What a run's status may be.
const STATUSES: [&str; 6] = ["pending", "running", "waiting", "completed", "failed", "cancelled"];

/// A run with what was answered in it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct ResultRow {
    /// The run.
    pub(super) run_id: RunId,
    /// `pending`, `running`, `waiting`, `completed`, `failed` or `cancelled`.
    pub(super) status: String,
    /// What started it: `api`, `public`, `webhook` or `cron`.
    pub(super) origin: String,
    /// When it was started.
    pub(super) started_at: Millis,
    /// When it was over.
    pub(super) finished_at: Option<Millis>,
    /// The answers by the ids of their questions: `null` was left out, and what is absent was not answered. In
    /// a loop that of the last round, and each round's under its own name, such as `ask.2`.
    pub(super) answers: BTreeMap<String, Value>,
}

/// The rounds of loops that a step went through, from the outermost.
pub(super) type Rounds = Vec<u32>;

/// Which rounds of which question there are; a question is its number in the list.
pub(super) type SeenRounds = BTreeSet<(usize, Rounds)>;

/// What is asked of all operations on results.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Filter<'a> {
    pub(super) from: Option<&'a str>,
    pub(super) to: Option<&'a str>,
    pub(super) status: Option<&'a str>,
}

impl Filter<'_> {
    /// The runs that are meant, none of them younger than `now`.
    ///
    /// # Errors
    /// 400 for what is no time and no status.
    pub(super) fn range(self, deployment: DeploymentId, now: Millis) -> Result<RunRange, Problem> {
        let from = self.from.map(|text| time("from", text)).transpose()?;
        let to = self.to.map(|text| time("to", text)).transpose()?;
        self.status.map(StatusName::known).transpose()?;
        // `to` is the first moment that is left out. What begins from now on is not waited for.
        let end = to.map_or(now.plus(1), |to| to.min(now.plus(1)));
        Ok(RunRange {
            deployment,
            after: before(from.unwrap_or(Millis(0))),
            last: before(end),
            status: self.status.map(str::to_owned),
        })
    }
}

/// The words of `status`, in the document.
pub(crate) struct StatusName;

impl StatusName {
    /// The status, if it is one.
    ///
    /// # Errors
    /// 400.
    pub(crate) fn known(status: &str) -> Result<&str, Problem> {
        if STATUSES.contains(&status) {
            return Ok(status);
        }
        Err(Problem::invalid_request(format!("The query parameter `status` is one of {}", STATUSES.join(", "))))
    }
}

impl JsonSchema for StatusName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StatusName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "enum": STATUSES})
    }

    fn inline_schema() -> bool {
        true
    }
}

/// What [`time`] reads, in the document.
pub(crate) struct DayOrTime;

impl JsonSchema for DayOrTime {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DayOrTime".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time"}]})
    }

    fn inline_schema() -> bool {
        true
    }
}

/// A time, or a day: its first moment in UTC.
pub(crate) fn time(name: &str, text: &str) -> Result<Millis, Problem> {
    let parsed = if text.len() == 10 { format!("{text}T00:00:00Z").parse() } else { text.parse() };
    parsed.map_err(|_| {
        let example = "an RFC 3339 time such as 2026-11-22T09:30:00Z, or a day such as 2026-11-22";
        Problem::invalid_request(format!("The query parameter `{name}` is {example}"))
    })
}

/// The last id that no run has which is started at `at` or later.
fn before(at: Millis) -> RunId {
    const LAST: u128 = (1 << 48) - 1;
    let millis = u128::try_from(at.0).unwrap_or(0).min(LAST);
    RunId(Ulid((millis << 80).saturating_sub(1)))
}

/// Reads the runs of a range as rows.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    data: Workspace,
    questions: Arc<[Question]>,
    range: RunRange,
    /// Of the next runs in the range, as they were when they were looked at.
    sizes: VecDeque<(RunId, u64)>,
    /// Read, and not yet a row.
    pending: VecDeque<RunRecord>,
}

impl Rows {
    pub(super) fn new(data: Workspace, questions: Arc<[Question]>, range: RunRange) -> Self {
        Self { data, questions, range, sizes: VecDeque::new(), pending: VecDeque::new() }
    }

    /// Leaves out this run and the younger ones.
    pub(super) fn end_before(&mut self, run: RunId) {
        self.range.last = self.range.last.min(previous(run));
    }

    pub(super) fn questions(&self) -> &Arc<[Question]> {
        &self.questions
    }

    /// Whether an answer may have rounds.
    pub(super) fn has_loops(&self) -> bool {
        self.questions.iter().any(|question| question.in_loop)
    }

    pub(super) async fn count(&self) -> Result<u64, Problem> {
        Ok(self.data.run_result_count(&self.range).await?)
    }

    /// The next runs with their states, the oldest first, a few megabytes of them; none when there are no more.
    pub(super) async fn next_records(&mut self) -> Result<Vec<RunRecord>, Problem> {
        loop {
            if self.sizes.is_empty() {
                self.sizes = self.data.run_result_sizes(&self.range, AHEAD).await?.into();
            }
            let Some((last, count)) = batch(&self.sizes) else { return Ok(Vec::new()) };
            let records = self.data.run_results(&RunRange { last, ..self.range.clone() }, count).await?;
            // One that came after the sizes may have taken the place of another, which is then the next.
            let is_full = records.len() == usize::try_from(count).unwrap_or(usize::MAX);
            let after = records.last().filter(|_| is_full).map_or(last, |record| record.id);
            self.range.after = after;
            self.sizes.retain(|(run, _)| *run > after);
            if !records.is_empty() {
                return Ok(records);
            }
        }
    }

    /// The next rows, the oldest first, a few megabytes of them; none when there are no more.
    pub(super) async fn next(&mut self) -> Result<Vec<ResultRow>, Problem> {
        if self.pending.is_empty() {
            self.pending = self.next_records().await?.into();
        }
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH_BYTES
            && let Some(record) = self.pending.pop_front()
        {
            let row = self.row(record).await?;
            bytes += size(&row);
            rows.push(row);
        }
        Ok(rows)
    }

    /// A page of rows, the newest first; and its last run when it ended early, at [`PAGE_BYTES`].
    pub(super) async fn page(mut self, per_page: u32, offset: u64) -> Result<(Vec<ResultRow>, Option<RunId>), Problem> {
        let mut sizes: VecDeque<_> = self.data.newest_run_result_sizes(&self.range, per_page, offset).await?.into();
        let (mut rows, mut bytes) = (Vec::<ResultRow>::new(), 0);
        let Some((newest, _)) = sizes.front() else { return Ok((rows, None)) };
        self.range.last = *newest;
        while let Some((oldest, count)) = batch(&sizes) {
            let range = RunRange { after: previous(oldest), ..self.range.clone() };
            for record in self.data.newest_run_results(&range, count, 0).await? {
                if bytes >= PAGE_BYTES {
                    let next = rows.last().map(|row| row.run_id);
                    return Ok((rows, next));
                }
                let row = self.row(record).await?;
                bytes += size(&row);
                rows.push(row);
            }
            self.range.last = previous(oldest);
            sizes.retain(|(run, _)| *run < oldest);
        }
        Ok((rows, None))
    }

    /// Every round that was answered so far; `None` when there are more than `most`.
    pub(super) async fn seen_rounds(mut self, most: usize) -> Result<Option<SeenRounds>, Problem> {
        let mut seen = SeenRounds::new();
        if !self.has_loops() {
            return Ok(Some(seen));
        }
        loop {
            // Their states are not needed.
            let runs = self.data.run_result_sizes(&self.range, AHEAD).await?;
            let Some((last, _)) = runs.last() else { return Ok(Some(seen)) };
            self.range.after = *last;
            for (run, _) in runs {
                seen.extend(self.rounds(run).await?.into_iter().map(|(question, rounds, _)| (question, rounds)));
                if seen.len() > most {
                    return Ok(None);
                }
            }
        }
    }

    async fn row(&self, record: RunRecord) -> Result<ResultRow, Problem> {
        let state = state_of(&record)?;
        let RunRecord { id, status, origin, created_at, finished_at, .. } = record;
        let answer = |question: &Question| Some((question.id.clone(), question.answer(state.results())?.clone()));
        let mut answers: BTreeMap<String, Value> = self.questions.iter().filter_map(answer).collect();
        if self.has_loops() {
            for (question, rounds, value) in self.rounds(id).await? {
                if let Some(question) = self.questions.get(question) {
                    answers.insert(round_id(&question.id, &rounds), value);
                }
            }
        }
        Ok(ResultRow { run_id: id, status, origin, started_at: created_at, finished_at, answers })
    }

    async fn rounds(&self, run: RunId) -> Result<Vec<(usize, Rounds, Value)>, Problem> {
        let (mut rounds, mut after, mut looked_at, mut bytes) = (Vec::new(), 0, 0, 0);
        while looked_at < MAX_ROUNDS && bytes < MAX_ROUND_BYTES {
            let answers = self.data.run_answers(run, after, ROUNDS).await?;
            let Some((last, _)) = answers.last() else { break };
            after = *last;
            looked_at += answers.len();
            for (_, data) in answers {
                bytes += data.len();
                let data: Value = serde_json::from_str(&data).map_err(Problem::unavailable)?;
                rounds.extend(read_rounds(&self.questions, &data));
            }
        }
        Ok(rounds)
    }
}

/// One at a time: as a tree of values a state is several times as large.
pub(super) fn state_of(record: &RunRecord) -> Result<RunState, Problem> {
    serde_json::from_str(&record.state).map_err(Problem::unavailable)
}

/// How many of these runs are read at once, and the last of them: as many as fit, and at least one.
fn batch(sizes: &VecDeque<(RunId, u64)>) -> Option<(RunId, u32)> {
    let (mut found, mut bytes) = (None, 0);
    for ((run, size), count) in sizes.iter().zip(1..=BATCH) {
        bytes += size;
        if found.is_some() && bytes > BATCH_BYTES {
            break;
        }
        found = Some((*run, count));
    }
    found
}

/// The last id before a run's.
fn previous(run: RunId) -> RunId {
    RunId(Ulid(run.0.0.saturating_sub(1)))
}

/// The bytes of a row as it leaves.
fn size(row: &ResultRow) -> u64 {
    struct Counter(u64);
    impl io::Write for Counter {
        fn write(&mut self, part: &[u8]) -> io::Result<usize> {
            self.0 += part.len() as u64;
            Ok(part.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    // Writing to a counter cannot fail.
    let _ = serde_json::to_writer(&mut counter, row);
    counter.0
}

/// What a round's answer is called: `ask.2`.
pub(super) fn round_id(question: &str, rounds: &[u32]) -> String {
    rounds.iter().fold(question.to_owned(), |id, round| format!("{id}.{round}"))
}

/// What `{step, value}` answers in a loop: an Input, or the Inputs of a form.
fn read_rounds(questions: &[Question], data: &Value) -> Vec<(usize, Rounds, Value)> {
    let step = data.get("step").and_then(Value::as_str).unwrap_or_default();
    let mut words = step.split('.');
    let node = words.next().unwrap_or_default();
    let Ok(rounds) = words.map(str::parse).collect::<Result<Rounds, _>>() else { return Vec::new() };
    let Some(value) = data.get("value").filter(|_| !rounds.is_empty()) else { return Vec::new() };
    let find = |id: &str| questions.iter().position(|question| question.in_loop && question.id == id);
    match (find(node), value) {
        (Some(question), value) => vec![(question, rounds, value.clone())],
        (None, Value::Object(fields)) => {
            let field = |(id, value): (&String, &Value)| Some((find(id)?, rounds.clone(), value.clone()));
            fields.iter().filter_map(field).collect()
        }
        (None, _) => Vec::new(),
    }
}

/// A column of a table of answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// The answer's name.
    pub(super) id: String,
    /// The number of its question.
    pub(super) question: usize,
    /// Empty but for a round of its own.
    pub(super) rounds: Rounds,
}

/// The columns: each question, and behind it the rounds of it that there are.
pub(super) fn columns(questions: &[Question], seen: &SeenRounds) -> Vec<Column> {
    let mut columns = Vec::new();
    for (number, question) in questions.iter().enumerate() {
        columns.push(Column { id: question.id.clone(), question: number, rounds: Rounds::new() });
        let rounds = seen.range((number, Rounds::new())..(number + 1, Rounds::new()));
        columns.extend(rounds.map(|(_, rounds)| Column {
            id: round_id(&question.id, rounds),
            question: number,
            rounds: rounds.clone(),
        }));
    }
    columns
}

/// The rounds that rows have answers of.
pub(super) fn rounds_of(questions: &[Question], rows: &[ResultRow]) -> SeenRounds {
    let mut seen = SeenRounds::new();
    for (number, question) in questions.iter().enumerate().filter(|(_, question)| question.in_loop) {
        // The names of its rounds follow its own: `ask.` is before them and `ask/` behind.
        for id in
            rows.iter().flat_map(|row| row.answers.range(format!("{}.", question.id)..format!("{}/", question.id)))
        {
            let words = id.0.get(question.id.len() + 1..).unwrap_or_default().split('.');
            if let Ok(rounds) = words.map(str::parse).collect() {
                seen.insert((number, rounds));
            }
        }
    }
    seen
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// The questions of these nodes, asked of one participant.
    #[expect(clippy::needless_pass_by_value, reason = "a call reads as a sentence")]
    pub(in crate::results) fn questions(children: Value) -> Arc<[Question]> {
        let root = json!({"type": "Workflow", "id": "root", "participants": [{"name": "p"}], "children": children});
        workflow::Definition::parse(&root).unwrap().questions().into()
    }

    fn looped() -> Arc<[Question]> {
        questions(json!([
            {"type": "Input", "id": "first", "prompt": "?"},
            {"type": "Loop", "id": "again", "times": 3, "children": [
                {"type": "Input", "id": "ask", "prompt": "?"},
                {"type": "Workflow", "id": "form", "ui": "form", "children": [
                    {"type": "Input", "id": "b", "prompt": "?"}, {"type": "Input", "id": "c", "prompt": "?"},
                ]},
            ]},
        ]))
    }

    #[test]
    fn a_period_is_a_range_of_ids_that_begin_with_its_times() {
        let deployment = DeploymentId(Ulid(1));
        let filter = Filter { from: Some("1970-01-01T00:00:02Z"), to: Some("1970-01-01T00:00:05Z"), status: None };
        let range = filter.range(deployment, Millis(100_000)).unwrap();
        let run = |millis: u128, rest: u128| RunId(Ulid((millis << 80) | rest));
        let within = |run: RunId| run > range.after && run <= range.last;
        assert!(within(run(2000, 0)) && within(run(4999, u128::from(u64::MAX))));
        assert!(!within(run(1999, (1 << 80) - 1)) && !within(run(5000, 0)), "the end is left out");
        let open = Filter::default().range(deployment, Millis(7)).unwrap();
        assert!(run(0, 1) > open.after && run(7, (1 << 80) - 1) <= open.last && run(8, 0) > open.last);
        let late = Filter { to: Some("9999-01-01"), ..Filter::default() }.range(deployment, Millis(7)).unwrap();
        assert_eq!(late.last, open.last, "a time to come is now");
    }

    #[test]
    fn as_many_runs_are_read_at_once_as_fit_and_at_least_one() {
        let read = |sizes: &[u64]| {
            let runs = sizes.iter().zip(1..).map(|(size, id)| (RunId(Ulid(id)), *size)).collect();
            batch(&runs).map(|(last, count)| (last.0.0, count))
        };
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[BATCH_BYTES + 1, 1]), Some((1, 1)));
        assert_eq!(read(&[1, BATCH_BYTES - 1, 1]), Some((2, 2)));
        assert_eq!(read(&[1; 60]), Some((50, 50)));
    }

    #[test]
    fn a_day_is_its_first_moment_and_what_is_no_time_is_refused() {
        assert_eq!(time("from", "1970-01-02").unwrap(), Millis(86_400_000));
        assert_eq!(time("from", "1970-01-02T01:00:00+01:00").unwrap(), Millis(86_400_000));
        for wrong in ["", "yesterday", "2026-13-01", "2026-02-30", "1970-01-02T01:00:00"] {
            assert_eq!(time("from", wrong).unwrap_err().status().as_u16(), 400, "{wrong}");
        }
        let wrong = Filter { status: Some("done"), ..Filter::default() };
        assert_eq!(wrong.range(DeploymentId(Ulid(1)), Millis(1)).unwrap_err().status().as_u16(), 400);
    }

    #[test]
    fn rounds_are_read_from_steps_of_loops_alone() {
        let questions = looped();
        let read = |step: &str, value: Value| read_rounds(&questions, &json!({"step": step, "value": value}));
        assert_eq!(read("ask.2", json!("x")), [(1, vec![2], json!("x"))]);
        assert_eq!(read("ask.2.10", json!(null)), [(1, vec![2, 10], json!(null))]);
        assert_eq!(read("form.3", json!({"b": 1, "c": 2})), [(2, vec![3], json!(1)), (3, vec![3], json!(2))]);
        for step in ["first", "ask", "first.1", "other.1", "ask.x", "", "ask."] {
            assert!(read(step, json!("x")).is_empty(), "{step}");
        }
        assert!(read_rounds(&questions, &json!({"step": "ask.1"})).is_empty(), "an agent's has no value");
    }

    #[test]
    fn the_rounds_of_a_question_follow_it_in_their_order() {
        let questions = looped();
        let row = |ids: &[&str]| ResultRow {
            run_id: RunId(Ulid(1)),
            status: "completed".to_owned(),
            origin: "api".to_owned(),
            started_at: Millis(0),
            finished_at: None,
            answers: ids.iter().map(|id| ((*id).to_owned(), Value::Null)).collect(),
        };
        let rows = [row(&["first", "ask", "ask.10", "ask.2", "b.1"]), row(&["ask.2", "ask.1"])];
        let columns = columns(&questions, &rounds_of(&questions, &rows));
        let ids: Vec<_> = columns.iter().map(|column| column.id.as_str()).collect();
        assert_eq!(ids, ["first", "ask", "ask.1", "ask.2", "ask.10", "b", "b.1", "c"]);
    }
}
