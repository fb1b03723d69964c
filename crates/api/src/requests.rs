//! What was decided of late: the requests of a workspace, let in and refused, as a list and as they come.

use std::{fmt::Write as _, sync::atomic::Ordering, time::Duration};

use access::{Access, Caller, Limit, Role, Scope, Tenant};
use ambient::{KeyId, Millis, RequestId, WorkspaceId};
use bytes::Bytes;
use credential::key::Environment;
use futures_util::stream;
use gate::{
    Call, Decision, EventStream, List, ListMeta, LogQuery, Numbered, Operation, Problem, RequestContext, Routes,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::sleep;

use crate::{App, conversations::after, places::Place, streamed::Leave};

/// Addresses of people are among it.
const READ: Access = Access::closed(Limit::Read).member(Role::Admin).key(Scope::AuditRead);

pub(crate) const LIST_REQUESTS: Operation<RequestsQuery, List<RequestView>> = Operation::get(
    "/v1/requests",
    "list_requests",
    "List the latest requests that this server has answered for the workspace, let in or refused, the newest first: up \
     to 1,000 of each, in memory alone.",
    READ,
);
pub(crate) const STREAM_REQUESTS: Operation<TailQuery, EventStream> = Operation::get(
    "/v1/requests/stream",
    "stream_requests",
    "Follow the requests that this server answers for the workspace, as server-sent events.",
    READ,
);

/// How long a request may go untold.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Looks between two signs of life, where nothing happens: proxies cut what is silent.
const SILENT_LOOKS: u32 = 30;

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(LIST_REQUESTS, list_requests);
    routes.mount(STREAM_REQUESTS, stream_requests);
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The gate and the handler let it pass.
    LetIn,
    /// Either said no.
    Refused,
}

/// Which requests.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct RequestsQuery {
    /// Which page, from 1; not with `after`.
    #[schemars(range(min = 1, max = 1_000_000))]
    page: Option<u32>,
    /// How many rows: 20 by default, 100 at most.
    #[schemars(range(min = 1, max = 100))]
    per_page: Option<u32>,
    /// The requests after this one, the oldest first.
    after: Option<String>,
    /// Those with this end alone.
    outcome: Option<Outcome>,
    /// Those with this status alone.
    #[schemars(range(min = 100, max = 599))]
    status: Option<u16>,
    /// Those that were refused with this code.
    #[schemars(length(min = 1, max = 64))]
    code: Option<String>,
    /// Those of this key.
    key_id: Option<KeyId>,
}

/// Which half of the data is followed.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct TailQuery {
    /// For a person, in the place of `X-Environment`, which a page cannot send with an `EventSource`.
    environment: Option<Environment>,
}

/// Who asked, by kind of credential and id; never the credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Presented {
    /// `secret`, `widget`, `deployment`, `session`, `participant`, `member` or `static_key`.
    kind: &'static str,
    /// The key, the conversation, the run or the person.
    id: String,
}

/// One request.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct RequestView {
    /// Its id, as in `X-Request-Id`.
    id: RequestId,
    /// When it arrived.
    created_at: Millis,
    /// Its method.
    method: &'static str,
    /// The operation's path, with the names of its parameters; `-` where there is no operation.
    path: &'static str,
    /// The operation.
    operation: &'static str,
    /// The answer's status.
    status: u16,
    /// The code of a refusal.
    code: Option<&'static str>,
    /// The true reason of a refusal; `POST /v1/access/explain` says more.
    reason: Option<&'static str>,
    /// The same as a sentence.
    message: Option<&'static str>,
    /// Until the answer's head, in microseconds.
    duration_us: u32,
    /// Who asked; `null` where that was not proved.
    credential: Option<Presented>,
    /// Whose data.
    environment: Option<Environment>,
    /// From which address.
    ip: Option<String>,
    /// `browser`, `program` or `silent`, by what the client calls itself.
    agent: &'static str,
    /// Of a refusal: the page's origin.
    origin: Option<String>,
}

impl RequestView {
    pub(crate) fn of(decision: &Decision) -> Self {
        let why = decision.why.as_deref();
        Self {
            id: decision.id,
            created_at: decision.time,
            method: decision.method,
            path: decision.path,
            operation: decision.operation,
            status: decision.status,
            code: decision.code,
            reason: why.map(|why| why.reason.as_str()),
            message: why.map(|why| why.reason.says()),
            duration_us: decision.micros,
            credential: decision.caller.map(|(kind, prefix, id)| Presented {
                kind,
                id: id.map_or_else(|| prefix.to_owned(), |id| format!("{prefix}{id}")),
            }),
            environment: decision.environment,
            ip: Some(decision.address.to_string()),
            agent: decision.agent.as_str(),
            origin: why.and_then(|why| why.origin.clone()),
        }
    }

    pub(crate) const fn id(&self) -> RequestId {
        self.id
    }

    /// Of somebody who did not prove who it is: what was asked for, when, and why that was refused. Where it came
    /// from, and all that was sent along, is nobody's business.
    pub(crate) fn of_stranger(decision: &Decision) -> Self {
        let is_stray = decision.path == "-";
        Self {
            method: if is_stray { "-" } else { decision.method },
            duration_us: 0,
            credential: None,
            environment: None,
            ip: None,
            agent: "silent",
            origin: None,
            ..Self::of(decision)
        }
    }
}

impl RequestsQuery {
    fn wants(&self, decision: &Decision) -> bool {
        self.outcome.is_none_or(|outcome| (outcome == Outcome::Refused) == decision.code.is_some())
            && self.status.is_none_or(|status| status == decision.status)
            && self.code.as_deref().is_none_or(|code| decision.code == Some(code))
            && self.key_id.is_none_or(|key| decision.key() == Some(key))
    }
}

async fn list_requests(_: App, call: Call<RequestsQuery>) -> Result<List<RequestView>, Problem> {
    let tenant = call.tenant()?;
    if call.input.status.is_some_and(|status| !(100..=599).contains(&status)) {
        return Err(Problem::invalid_request("The query parameter `status` is 100 to 599"));
    }
    if call.input.code.as_ref().is_some_and(|code| !(1..=64).contains(&code.chars().count())) {
        return Err(Problem::invalid_request("The query parameter `code` is 1 to 64 characters"));
    }
    let RequestsQuery { page, per_page, after: id, .. } = &call.input;
    let query = LogQuery { page: *page, per_page: *per_page, after: id.clone() };
    let (request, after) = (query.request()?, after::<RequestId>(&query)?);
    let found = call.request.recent().list(tenant, |decision| call.input.wants(decision)).await?;
    let meta =
        |total: usize| ListMeta { page: request.page, per_page: request.per_page, total: total as u64, capped: false };
    let (total, size) = (found.len(), request.per_page as usize);
    let rows: Vec<RequestView> = match after {
        None => {
            let skipped = (request.page as usize - 1).saturating_mul(size);
            found.iter().skip(skipped).take(size).map(|row| RequestView::of(&row.decision)).collect()
        }
        Some(after) => {
            // One that is forgotten was before all that are not; its id knows its time.
            let known = found.iter().find(|row| row.decision.id == after).map(|row| row.number);
            let is_later = |row: &&Numbered| match known {
                Some(number) => row.number > number,
                None => row.decision.id > after,
            };
            found.iter().rev().filter(is_later).take(size).map(|row| RequestView::of(&row.decision)).collect()
        }
    };
    Ok(List { data: rows, meta: meta(total) })
}

/// Whose requests are followed.
fn tenant_of(call: &Call<TailQuery>) -> Result<Tenant, Problem> {
    let tenant = call.tenant()?;
    match (call.input.environment, &call.caller) {
        (None, _) => Ok(tenant),
        (Some(environment), Caller::Member(_)) => Ok(Tenant { environment, ..tenant }),
        (Some(environment), _) if environment == tenant.environment => Ok(tenant),
        (Some(_), _) => Err(Problem::invalid_request("The query parameter `environment` is the key's own")),
    }
}

struct Tail {
    app: App,
    request: RequestContext,
    leave: Leave,
    tenant: Tenant,
    /// The last that was told.
    number: u64,
    silent: u32,
    is_over: bool,
    _place: Place<WorkspaceId>,
}

async fn stream_requests(app: App, call: Call<TailQuery>) -> Result<EventStream, Problem> {
    let tenant = tenant_of(&call)?;
    let place = app.tails().take(tenant.workspace).await?;
    let leave = Leave::take(&app, &call)?.unattended();
    // Where the client has been cut it reads on; numbers of an earlier start of the server say nothing.
    let newest = call.request.recent().newest(tenant.workspace);
    let last = call.request.last_event_id.as_deref().and_then(|id| id.parse().ok());
    let number = last.filter(|last| *last <= newest).unwrap_or(newest);
    let request = call.request.clone();
    let tail = Tail { app, request, leave, tenant, number, silent: 0, is_over: false, _place: place };
    Ok(EventStream::new(stream::unfold(tail, |mut tail| async move {
        let part = tail.next().await?;
        Some((part, tail))
    })))
}

impl Tail {
    async fn next(&mut self) -> Option<Bytes> {
        if self.is_over {
            return None;
        }
        if self.silent == 0 {
            self.silent = 1;
            return Some(Bytes::from_static(b": here\n\n"));
        }
        loop {
            tokio::select! {
                biased;
                () = self.leave.revoked() => return Some(self.end("revoked")),
                () = sleep(LOOK_EVERY) => {}
            }
            if !self.app.settings().ready.load(Ordering::Relaxed) {
                return Some(self.end("shutdown"));
            }
            if let Err(problem) = self.leave.look().await {
                return Some(self.end(if problem.status().is_client_error() { "revoked" } else { "unavailable" }));
            }
            match self.request.recent().after(self.tenant, self.number).await {
                Err(_) => return Some(self.end("unavailable")),
                Ok(rows) if !rows.is_empty() => return Some(self.tell(&rows)),
                Ok(_) => self.silent += 1,
            }
            if self.silent > SILENT_LOOKS {
                self.silent = 1;
                return Some(Bytes::from_static(b": still here\n\n"));
            }
        }
    }

    fn tell(&mut self, rows: &[Numbered]) -> Bytes {
        self.silent = 1;
        let mut text = String::new();
        for Numbered { number, decision } in rows {
            self.number = *number;
            let mut data = json!(RequestView::of(decision));
            data["type"] = json!("request");
            // Writing to a String cannot fail.
            let _ = write!(text, "id: {number}\ndata: {data}\n\n");
        }
        Bytes::from(text)
    }

    fn end(&mut self, code: &str) -> Bytes {
        self.is_over = true;
        Bytes::from(format!("id: {}\ndata: {}\n\n", self.number, json!({"type": "error", "code": code})))
    }
}
