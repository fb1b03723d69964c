//! One import, from where it stands to its end.

use ambient::ImportId;
use store::{Archived, ContactFilter, ImportBatch, ImportRecord, StoreError, Workspace};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::{
    columns::{Fault, find_delimiter, read_header},
    options::{Delimiter, ImportOptions, OnMatch, Target},
    rows::read_row,
    splitter::{Lines, RawRow, RowState, Splitter},
};

/// Rows that are stored together.
const BATCH: u64 = 250;
/// Errors that are kept of an import.
const MAX_ERRORS: u64 = 10_000;
/// Contacts of one environment.
const MAX_CONTACTS: u64 = 1_000_000;

/// Why a file cannot be read at all, or not now.
pub(crate) enum Stop {
    Fault(Fault),
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What a job needs.
pub(crate) struct Job<'a> {
    pub(crate) data: &'a Workspace,
    pub(crate) id: ImportId,
    /// Who may work now: one slice after the other, so that everybody's imports go on.
    pub(crate) slices: &'a Semaphore,
    pub(crate) stopping: &'a CancellationToken,
}

/// A file in the database, read on from a place.
struct Source<'a> {
    job: &'a Job<'a>,
    position: u64,
    part: Vec<u8>,
    at: usize,
}

impl<'a> Source<'a> {
    fn at(job: &'a Job<'a>, position: u64) -> Self {
        Self { job, position, part: Vec::new(), at: 0 }
    }

    /// What comes next; empty at the end.
    async fn next(&mut self) -> Result<&[u8], StoreError> {
        if self.at >= self.part.len() {
            let found = self.job.data.import_part(self.job.id, self.position).await?;
            let (start, part) = found.unwrap_or((self.position, Vec::new()));
            let at = usize::try_from(self.position.saturating_sub(start)).unwrap_or(usize::MAX);
            (self.at, self.part) = (at.min(part.len()), part);
        }
        Ok(self.part.get(self.at..).unwrap_or_default())
    }

    fn take(&mut self, count: usize) {
        self.at += count;
        self.position += count as u64;
    }

    /// The next row that is not blank.
    async fn row(&mut self, splitter: &mut Splitter) -> Result<Option<RawRow>, StoreError> {
        loop {
            let input = self.next().await?;
            let is_end = input.is_empty();
            let (read, row) = splitter.read(input);
            self.take(read);
            match row {
                Some(row) if !row.is_blank() => return Ok(Some(row)),
                None if is_end => return Ok(None),
                _ => {}
            }
        }
    }
}

/// How the file is read.
struct Plan {
    delimiter: Delimiter,
    columns: Vec<Target>,
    /// Where the first row behind the names of columns begins, and how many lines come before.
    begin: u64,
}

impl Job<'_> {
    /// Goes on until the import is over, or the server stops.
    pub(crate) async fn run(&self) -> Result<(), Stop> {
        let mut import = self.data.import(self.id).await?;
        let options: ImportOptions = serde_json::from_value(import.options.take())
            .map_err(|_| Stop::Fault("The import's options cannot be read".to_owned()))?;
        let plan = self.plan(&options).await?;
        if import.rows_total.is_none() {
            let rows = self.count_rows(&plan).await?;
            let Some(rows) = rows else { return Ok(()) };
            self.data.start_import(self.id, rows, plan.begin).await?;
            import = self.data.import(self.id).await?;
        }
        self.store_rows(&import, &plan, &options).await
    }

    /// `None` when the server stops.
    async fn slice(&self) -> Option<SemaphorePermit<'_>> {
        let slice = self.slices.acquire().await.ok()?;
        (!self.stopping.is_cancelled()).then_some(slice)
    }

    async fn plan(&self, options: &ImportOptions) -> Result<Plan, Stop> {
        let mut source = Source::at(self, 0);
        let beginning = source.next().await?;
        if beginning.starts_with(&[0xff, 0xfe]) || beginning.starts_with(&[0xfe, 0xff]) {
            return Err(Stop::Fault("The file is in UTF-16: save it as CSV in UTF-8".to_owned()));
        }
        let delimiter = options.delimiter.unwrap_or_else(|| find_delimiter(beginning));
        let mut splitter = Splitter::new(delimiter, 0, Lines::new());
        let Some(header) = source.row(&mut splitter).await? else {
            return Err(Stop::Fault("The file is empty".to_owned()));
        };
        if header.state != RowState::Whole {
            return Err(Stop::Fault("The file is not CSV: its first row does not end".to_owned()));
        }
        let columns = read_header(&header.fields(), options).map_err(Stop::Fault)?;
        Ok(Plan { delimiter, columns, begin: header.end })
    }

    /// `None` when the server stops.
    async fn count_rows(&self, plan: &Plan) -> Result<Option<u64>, Stop> {
        let mut source = Source::at(self, plan.begin);
        // Their lines do not matter yet.
        let mut splitter = Splitter::new(plan.delimiter, plan.begin, Lines::new());
        let mut rows = 0;
        loop {
            let Some(_slice) = self.slice().await else { return Ok(None) };
            for _ in 0..10 * BATCH {
                if source.row(&mut splitter).await?.is_none() {
                    return Ok(Some(rows));
                }
                rows += 1;
            }
        }
    }

    async fn store_rows(&self, import: &ImportRecord, plan: &Plan, options: &ImportOptions) -> Result<(), Stop> {
        let lines = self.lines_before(import.position).await?;
        let mut source = Source::at(self, import.position);
        let mut splitter = Splitter::new(plan.delimiter, import.position, lines);
        let first = store::PageRequest { page: 1, per_page: 1 };
        let mut errors = self.data.import_errors(self.id, first).await?.total;
        let all = ContactFilter { archived: Archived::Any, ..ContactFilter::default() };
        let mut places = MAX_CONTACTS.saturating_sub(self.data.contact_count(&all).await?);
        let mut from = import.position;
        loop {
            let Some(_slice) = self.slice().await else { return Ok(()) };
            let mut batch = ImportBatch {
                from,
                to: from,
                rows: Vec::new(),
                errors: Vec::new(),
                failed: 0,
                matching: options.match_by.of_store(),
                updates: options.on_match == OnMatch::Update,
                error_places: MAX_ERRORS.saturating_sub(errors),
                contact_places: places,
            };
            for _ in 0..BATCH {
                let Some(row) = source.row(&mut splitter).await? else { break };
                batch.to = row.end;
                match read_row(&row, &plan.columns, &options.tags) {
                    Ok(contact) => batch.rows.push((row.line, contact)),
                    Err(wrong) => {
                        batch.failed += 1;
                        batch.errors.extend(wrong);
                    }
                }
            }
            if batch.to == from {
                return Ok(self.data.end_import(self.id, None).await?);
            }
            from = batch.to;
            let done = self.data.import_batch(self.id, batch).await?;
            errors += done.errors;
            places = places.saturating_sub(done.created);
        }
    }

    /// After a crash the lines of what is done are counted again.
    async fn lines_before(&self, position: u64) -> Result<Lines, StoreError> {
        let (mut source, mut lines) = (Source::at(self, 0), Lines::new());
        while source.position < position {
            let left = usize::try_from(position - source.position).unwrap_or(usize::MAX);
            let input = source.next().await?;
            let input = &input[..input.len().min(left)];
            if input.is_empty() {
                break;
            }
            input.iter().for_each(|byte| lines.count(*byte));
            let count = input.len();
            source.take(count);
        }
        Ok(lines)
    }
}
