//! The audit log as a file, written while it is sent.

use access::Access;
use bytes::Bytes;
use gate::{Call, Download, Operation, Problem, Routes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{AuditFilter, Workspace};

use super::{Asked, AuditEvent, PARTY_PATTERN, READ, first};
use crate::{
    App,
    results::{day, rows::DayOrTime},
    streamed::{FilePlace, Parts, write_json_line},
};

/// Who did what leaves at once: it is recorded.
const EXPORT: Access = READ.audited();

/// Records that are read at a time.
const AT_A_TIME: u32 = 500;

pub(crate) const EXPORT_AUDIT_LOG: Operation<AuditExportQuery, Download> = Operation::get(
    "/v1/audit-log/export",
    "export_audit_log",
    "Export what was done until now, the oldest first: a JSON object on each line, the last of them `{\"type\":\"end\"}`.",
    EXPORT,
)
.dangerous();

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(EXPORT_AUDIT_LOG, export_audit_log);
}

/// Which records.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct AuditExportQuery {
    /// Those of one action alone.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[a-z0-9_.]+$"))]
    action: Option<String>,
    /// What one party did, by its id.
    #[schemars(length(min = 1, max = 200), regex(pattern = PARTY_PATTERN))]
    actor_id: Option<String>,
    /// What was done to one thing, by its id.
    #[schemars(length(min = 1, max = 200), regex(pattern = PARTY_PATTERN))]
    target_id: Option<String>,
    /// Done at this time or later: RFC 3339, or a day in UTC.
    #[schemars(with = "Option<DayOrTime>")]
    from: Option<String>,
    /// Done before this time: RFC 3339, or a day in UTC.
    #[schemars(with = "Option<DayOrTime>")]
    to: Option<String>,
}

impl AuditExportQuery {
    fn filter(&self) -> Result<AuditFilter<'_>, Problem> {
        let Self { action, actor_id, target_id, from, to } = self;
        Asked { action, actor_id, target_id, from, to }.filter()
    }
}

/// A line.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line<'a> {
    Record(Box<AuditEvent>),
    /// All that there was came before it.
    End {
        records: u64,
    },
    /// There would have been more.
    Error {
        code: &'a str,
    },
}

/// A file of records.
struct Writing {
    data: Workspace,
    query: AuditExportQuery,
    after: Option<ambient::AuditId>,
    before: Option<ambient::AuditId>,
    records: u64,
    is_over: bool,
}

impl Parts for Writing {
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        if self.is_over {
            return Ok(None);
        }
        let filter = AuditFilter { after: self.after, before: self.before, ..self.query.filter()? };
        let (rows, mut out) = (self.data.audit_after(AT_A_TIME, &filter).await?, Vec::new());
        self.after = rows.last().map(|row| row.id).or(self.after);
        self.is_over = rows.is_empty();
        for row in rows {
            self.records += 1;
            write_json_line(&mut out, &Line::Record(Box::new(row.into())));
        }
        if self.is_over {
            write_json_line(&mut out, &Line::End { records: self.records });
        }
        Ok(Some(out.into()))
    }

    fn error(&self, code: &str) -> Option<Bytes> {
        let mut out = Vec::new();
        write_json_line(&mut out, &Line::Error { code });
        Some(out.into())
    }
}

async fn export_audit_log(app: App, call: Call<AuditExportQuery>) -> Result<Download, Problem> {
    let AuditFilter { after, before, .. } = call.input.filter()?;
    let place = FilePlace::take(&app, &call).await?;
    let (data, workspace, actor) = (app.workspace(&call)?, call.tenant()?.workspace, call.actor());
    let AuditExportQuery { action, actor_id, target_id, from, to } = &call.input;
    let detail = json!({"action": action, "actor_id": actor_id, "target_id": target_id, "from": from, "to": to});
    // Recorded before the first byte: what is cut later has left in part.
    data.write_audit(call.audit(&actor, Some(detail)), "workspace", &workspace.to_string()).await?;
    // What is done from now on is not waited for.
    let now = ambient::AuditId(ambient::Ulid(first(app.clock().now().plus(1))));
    let before = Some(before.map_or(now, |before| before.min(now)));
    let name = format!("audit-log-{workspace}-{}.ndjson", day(call.request.now));
    let writing = Writing { data, query: call.input, after, before, records: 0, is_over: false };
    Ok(place.file(writing, "application/x-ndjson; charset=utf-8", &name))
}
