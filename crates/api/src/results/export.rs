//! All rows as a file, written while it is sent.

use bytes::Bytes;
use gate::{Call, Download, Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    csv,
    rows::{Column, ResultRow, Rows, columns},
};
use crate::{
    App,
    streamed::{FilePlace, Parts, write_json_line},
};

/// Columns of rounds in one file of comma-separated values.
const MAX_ROUND_COLUMNS: usize = 1000;

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
    fn bytes(&self) -> Bytes {
        let mut out = Vec::new();
        write_json_line(&mut out, self);
        out.into()
    }
}

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
                rows.iter().for_each(|row| write_json_line(&mut out, &Line::Run(row)));
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
}

struct Writing {
    head: Option<Bytes>,
    encoder: Encoder,
    rows: Rows,
    count: u64,
    is_over: bool,
}

impl Parts for Writing {
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        if let Some(head) = self.head.take() {
            return Ok(Some(head));
        }
        if self.is_over {
            return Ok(None);
        }
        let rows = self.rows.next().await?;
        if rows.is_empty() {
            self.is_over = true;
            return Ok(self.encoder.end(self.count));
        }
        self.count += rows.len() as u64;
        Ok(Some(self.encoder.rows(&rows)))
    }

    fn error(&self, code: &str) -> Option<Bytes> {
        match self.encoder {
            Encoder::Csv(_) => None,
            Encoder::Ndjson => Some(Line::Error { code }.bytes()),
        }
    }
}

pub(super) async fn download<I>(
    app: &App,
    call: &Call<I>,
    rows: Rows,
    format: Format,
    head: Head,
    name: &str,
) -> Result<Download, Problem> {
    let place = FilePlace::take(app, call).await?;
    let (head, encoder, content_type, ending) = match format {
        Format::Ndjson => (None, Encoder::Ndjson, "application/x-ndjson; charset=utf-8", "ndjson"),
        Format::Csv => {
            let Some(seen) = rows.clone().seen_rounds(MAX_ROUND_COLUMNS).await? else {
                let message = "There are more than 1000 rounds of loops, each a column; ask for a shorter period, or for \
                               `format=ndjson`";
                return Err(Problem::invalid_request(message));
            };
            let columns = columns(rows.questions(), &seen);
            let first = csv::header(&columns, rows.questions(), head.label, head.bom);
            (Some(first), Encoder::Csv(columns), "text/csv; charset=utf-8; header=present", "csv")
        }
    };
    let writing = Writing { head, encoder, rows, count: 0, is_over: false };
    Ok(place.file(writing, content_type, &format!("{name}.{ending}")))
}
