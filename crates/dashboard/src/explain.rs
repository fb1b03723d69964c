//! Why was it refused? A request that was made, by its id, or one that might be, with what is pasted.

use access::Role;
use api::App;
use askama::Template;
use gate::{Ask, Call, Operation, Problem, Raw, Routes};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    page,
    show::{One, Trouble, When},
};

const SHOW_EXPLAIN: Operation<ExplainQuery, Raw> = page(
    "/_/explain",
    "show_explain_page",
    "Where somebody asks what a credential is, and why it was refused.",
    Role::Member,
);
const EXPLAIN: Operation<Form, Raw> = form(
    "/_/explain",
    "explain_access_page",
    "What a credential is, and why it was or would be refused.",
    Role::Member,
);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_EXPLAIN, show_explain);
    routes.mount(EXPLAIN, explain);
}

/// What the form begins with.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct ExplainQuery {
    /// A request's id.
    request_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Explanation {
    allowed: bool,
    status: u16,
    code: Option<String>,
    reason: Option<String>,
    message: String,
    advice: Option<String>,
    request: Option<Request>,
    credential: Option<Credential>,
    operation: Option<Asked>,
    checks: Vec<Step>,
}

#[derive(Debug, Deserialize)]
struct Request {
    id: String,
    created_at: When,
    method: String,
    path: String,
    operation: String,
    ip: Option<String>,
    origin: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Credential {
    kind: String,
    display: Option<String>,
    secret: Option<String>,
    secret_ends_at: Option<When>,
    token_expires_at: Option<When>,
    conversation_id: Option<String>,
    run_id: Option<String>,
    run_role: Option<String>,
    key: Option<Key>,
}

#[derive(Debug, Deserialize)]
struct Key {
    id: String,
    name: String,
    kind: String,
    display: String,
    environment: String,
    state: String,
    scopes: Vec<String>,
    expires_at: Option<When>,
    revoked_at: Option<When>,
    service_account_id: Option<String>,
    allowed_domains: Vec<String>,
    allowed_ips: Vec<String>,
    rate_limit: Option<u32>,
    daily_requests: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Asked {
    id: String,
    method: String,
    path: String,
    required_scope: Option<String>,
    required_role: Option<String>,
    audiences: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Step {
    name: String,
    outcome: String,
    detail: Option<String>,
}

impl Explanation {
    /// A browser's key was looked at, and nobody said on which page.
    fn lacks_a_page(&self) -> bool {
        self.request.is_none() && self.reason.as_deref() == Some("origin_missing")
    }
}

impl Credential {
    fn kind(&self) -> &str {
        match self.kind.as_str() {
            "api_key" => "API key",
            "session_token" => "Session token",
            "participant_token" => "Participant’s token",
            "static_key" => "Key of the server’s environment",
            "member" => "A person who is signed in",
            other => other,
        }
    }
}

impl Step {
    fn name(&self) -> &str {
        match self.name.as_str() {
            "route" => "There is such an operation",
            "credential" => "It is one credential, well-formed",
            "state" => "It works at that moment",
            "place" => "It may come from there",
            "permission" => "It may do this",
            "limits" => "There is budget left",
            "request" => "What was asked is in order",
            other => other,
        }
    }

    fn outcome(&self) -> (&'static str, &'static str) {
        match self.outcome.as_str() {
            "passed" => ("good", "Passed"),
            "failed" => ("wrong", "Failed"),
            _ => ("", "Not reached"),
        }
    }
}

/// What is asked about, without what was pasted: that is not sent back.
#[derive(Default)]
struct Asking {
    request_id: String,
    method: String,
    path: String,
    origin: String,
    address: String,
}

#[derive(Template)]
#[template(path = "decisions/explain.html")]
struct ExplainPage {
    frame: Frame,
    asking: Asking,
    trouble: Trouble,
    found: Option<Explanation>,
    /// Whether the person may see what requests were made, and so what became of one.
    may_recall: bool,
}

impl ExplainPage {
    const METHODS: [&'static str; 4] = ["GET", "POST", "PATCH", "DELETE"];
}

async fn show_explain(_: App, call: Call<ExplainQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let request_id = call.input.request_id.clone().unwrap_or_default();
    let asking = Asking { request_id, path: "/v1/me".to_owned(), ..Asking::default() };
    let frame = desk.frame("Explain", "show_explain_page");
    let (trouble, may_recall) = (Trouble::default(), desk.may("list_requests"));
    desk.render(&ExplainPage { frame, asking, trouble, found: None, may_recall })
}

async fn explain(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let form = &call.input;
    let text = |name: &str| form.text(name).to_owned();
    let asking = Asking {
        request_id: text("request_id"),
        method: text("method"),
        path: text("path"),
        origin: text("origin"),
        address: text("address"),
    };
    let frame = desk.frame("Explain", "show_explain_page");
    let answer = desk.get::<One<Explanation>>(Ask::to("explain_access").body(&body_of(form))).await;
    let (found, trouble, status) = match answer {
        Ok(found) => (Some(found.data), Trouble::default(), StatusCode::OK),
        Err(problem) if matches!(problem.status().as_u16(), 400 | 422) => {
            (None, Trouble::of(&problem), problem.status())
        }
        Err(problem) => return Err(problem),
    };
    let may_recall = desk.may("list_requests");
    Ok(desk.render(&ExplainPage { frame, asking, trouble, found, may_recall })?.with_status(status))
}

/// What the API is asked: a request's id stands alone.
fn body_of(form: &Form) -> Value {
    let names: &[&str] = if form.some("request_id").is_some() {
        &["request_id"]
    } else {
        &["credential", "method", "path", "origin", "address"]
    };
    let pairs = names.iter().filter_map(|name| Some(((*name).to_owned(), json!(form.some(name)?))));
    Value::Object(pairs.collect::<Map<_, _>>())
}
