//! All rows as a file, written while it is sent: a part of them is in memory, however many there are.

use std::{error::Error, fmt, time::Duration};

use access::{Caller, Refusal};
use ambient::WorkspaceId;
use bytes::Bytes;
use cluster::{Grant, Opener};
use futures_util::{Stream, stream};
use gate::{Call, Download, Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tracing::warn;

use super::{
    csv, idle,
    rows::{Column, ResultRow, Rows, columns},
};
use crate::{App, places::Place};

/// Columns of rounds in one file of comma-separated values.
const MAX_ROUND_COLUMNS: usize = 1000;

/// How long the last words of a file that is cut may take to leave: with the connection goes what is not sent.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How long nobody may take anything of a file before it is cut: it has one of its workspace's few places.
const IDLE: Duration = Duration::from_secs(30);

/// How rows are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Comma-separated values (RFC 4180), with a first line of names.
    #[default]
    Csv,
    /// A JSON object on each line, the last of them `{"type":"end"}`.
    Ndjson,
}

/// A line of NDJSON.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line<'a> {
    Run(&'a ResultRow),
    /// All `count` runs came before it.
    End {
        count: u64,
    },
    /// There would have been more.
    Error {
        code: &'a str,
    },
}

impl Line<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(serde_json::to_vec(self).unwrap_or_default());
        out.push(b'\n');
    }

    fn bytes(&self) -> Bytes {
        let mut out = Vec::new();
        self.write(&mut out);
        out.into()
    }
}

/// Why the file is cut. The client sees a connection that breaks.
#[derive(Clone, Copy, Debug)]
struct Cut(&'static str);

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Cut {}

/// How the names of columns are written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Head {
    pub(super) label: bool,
    pub(super) bom: bool,
}

enum Encoder {
    Csv(Vec<Column>),
    Ndjson,
}

impl Encoder {
    fn rows(&self, rows: &[ResultRow]) -> Bytes {
        match self {
            Self::Csv(columns) => csv::lines(columns, rows),
            Self::Ndjson => {
                let mut out = Vec::new();
                rows.iter().for_each(|row| Line::Run(row).write(&mut out));
                out.into()
            }
        }
    }

    /// What says that there is no more. The end of comma-separated values is that of the answer.
    fn end(&self, count: u64) -> Option<Bytes> {
        match self {
            Self::Csv(_) => None,
            Self::Ndjson => Some(Line::End { count }.bytes()),
        }
    }

    fn error(&self, code: &str) -> Option<Bytes> {
        match self {
            Self::Csv(_) => None,
            Self::Ndjson => Some(Line::Error { code }.bytes()),
        }
    }
}

enum Stage {
    Head(Bytes),
    Rows,
    Cut(Cut),
    Over,
}

struct Writing {
    stage: Stage,
    encoder: Encoder,
    rows: Rows,
    count: u64,
    grant: Option<Grant>,
    _place: Place<WorkspaceId>,
}

impl Writing {
    async fn next(&mut self) -> Option<Result<Bytes, Cut>> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Over => None,
            Stage::Cut(cut) => {
                sleep(LAST_WORDS).await;
                Some(Err(cut))
            }
            Stage::Head(head) => {
                self.stage = Stage::Rows;
                Some(Ok(head))
            }
            Stage::Rows => Some(self.part().await),
        }
    }

    async fn part(&mut self) -> Result<Bytes, Cut> {
        let read = match &self.grant {
            None => self.rows.next().await,
            Some(grant) => tokio::select! {
                biased;
                _ = grant.cancelled() => return self.cut("revoked"),
                read = self.rows.next() => read,
            },
        };
        let rows = match read {
            Ok(rows) => rows,
            Err(problem) => {
                warn!(cause = ?problem.cause(), "an export was cut");
                return self.cut("unavailable");
            }
        };
        if rows.is_empty() {
            // An empty part ends nothing: what is over is over without it.
            return Ok(self.encoder.end(self.count).unwrap_or_default());
        }
        self.count += rows.len() as u64;
        self.stage = Stage::Rows;
        Ok(self.encoder.rows(&rows))
    }

    /// Says why, where the form has words for it, and breaks off.
    fn cut(&mut self, code: &'static str) -> Result<Bytes, Cut> {
        let Some(said) = self.encoder.error(code) else { return Err(Cut(code)) };
        self.stage = Stage::Cut(Cut(code));
        Ok(said)
    }
}

fn parts(writing: Writing) -> impl Stream<Item = Result<Bytes, Cut>> + Send + 'static {
    stream::unfold(writing, |mut writing| async move {
        let part = writing.next().await?;
        Some((part, writing))
    })
}

/// The file. It ends early when the key that asked for it is revoked, and when nobody takes it.
pub(super) async fn download<I>(
    app: &App,
    call: &Call<I>,
    rows: Rows,
    format: Format,
    head: Head,
    name: &str,
) -> Result<Download, Problem> {
    let place = app.exports().take(call.tenant()?.workspace).await?;
    let grant = match &call.caller {
        Caller::Key(key) => {
            let opener = Opener { key: key.key, epoch: key.epoch, origin: key.origin.clone() };
            Some(app.cluster().hold_opened(&opener).ok_or(Refusal::InvalidApiKey)?)
        }
        _ => None,
    };
    let (stage, encoder, content_type, ending) = match format {
        Format::Ndjson => (Stage::Rows, Encoder::Ndjson, "application/x-ndjson; charset=utf-8", "ndjson"),
        Format::Csv => {
            let Some(seen) = rows.clone().seen_rounds(MAX_ROUND_COLUMNS).await? else {
                let message = "There are more than 1000 rounds of loops, each a column; ask for a shorter period, or for \
                               `format=ndjson`";
                return Err(Problem::invalid_request(message));
            };
            let columns = columns(rows.questions(), &seen);
            let first = csv::header(&columns, rows.questions(), head.label, head.bom);
            (Stage::Head(first), Encoder::Csv(columns), "text/csv; charset=utf-8; header=present", "csv")
        }
    };
    let writing = Writing { stage, encoder, rows, count: 0, grant, _place: place };
    let parts = idle::cut(parts(writing), IDLE, Cut("idle"));
    Ok(Download::new(content_type, &format!("{name}.{ending}"), parts))
}
