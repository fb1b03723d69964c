//! Keys that were found where they should not be: reports of them, and the list of what was done.
//!
//! A report proves itself: whoever holds the whole key may have it dealt with, and no other. So the door is
//! open to strangers, and its answer tells them nothing: the same bytes, after the same time, whatever a token
//! is worth. Reporters whose signature is known (GitHub's) hear which tokens were keys.

use std::{net::IpAddr, time::Duration};

use access::{Access, Actor, Limit, Role, Scope};
use ambient::{KeyId, LeakId, Millis};
use bytes::Bytes;
use cluster::Leak;
use credential::{key::Environment, leak::ReporterKeys, secret::Digest};
use futures_util::future::BoxFuture;
use gate::{Bare, Call, FieldError, List, Operation, PageQuery, Problem, Routes, Sent};
use parking_lot::Mutex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use store::{AuditEntry, LeakRecord};

use crate::{
    App,
    places::{Places, Share},
};

pub(crate) const REPORT_LEAKS: Operation<LeakReports, Bare<Vec<LeakVerdict>>> = Operation::post(
    "/v1/leaks",
    "report_leaks",
    "Report keys that were found where they should not be; each is dealt with as its workspace wants.",
    Access::closed(Limit::Public).public(),
)
.accepts()
.raw();
pub(crate) const LIST_LEAKS: Operation<PageQuery, List<LeakView>> = Operation::get(
    "/v1/leaks",
    "list_leaks",
    "List the keys that were reported as leaked, the newest report first, with what was done.",
    Access::closed(Limit::Read).member(Role::Admin).key(Scope::AuditRead),
);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(REPORT_LEAKS, report_leaks);
    routes.mount(LIST_LEAKS, list_leaks);
}

/// Tokens of one report.
const MAX_TOKENS: usize = 1000;
const MAX_TOKEN: usize = 1024;
const MAX_WORD: usize = 100;
const MAX_URL: usize = 2048;
/// How long an answer takes that its caller has not signed: longer than what is done about a few keys.
const EVEN: Duration = Duration::from_millis(300);
/// Reports of one address at once.
const REPORTS: Share = Share { at_once: 2, waiting: 8, patience: Duration::from_secs(10) };
/// How long a list of reporters' keys is good.
const GOOD: Duration = Duration::from_secs(24 * 60 * 60);
/// Between two tries to fetch it; an identifier that is not in it may be new.
const AGAIN: Duration = Duration::from_secs(60);

/// A found token, in the words of GitHub's secret scanning.
#[derive(Clone, Deserialize, JsonSchema)]
pub(crate) struct LeakReport {
    /// The text that was found.
    #[schemars(length(min = 1, max = 1024))]
    token: String,
    /// Which rule found it.
    #[serde(rename = "type", default)]
    #[schemars(length(max = 100))]
    kind: String,
    /// Where; may be empty.
    #[serde(default)]
    #[schemars(length(max = 2048))]
    url: String,
    /// What kind of place, such as `content` or `commit`.
    #[serde(default)]
    #[schemars(length(max = 100))]
    source: String,
}

/// What is sent: 1 to 1,000 found tokens.
#[derive(Clone)]
pub(crate) struct LeakReports;

/// The handler reads the bytes as they were signed.
impl<'de> Deserialize<'de> for LeakReports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl JsonSchema for LeakReports {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LeakReports".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<LeakReport>();
        json_schema!({"type": "array", "items": one, "minItems": 1, "maxItems": MAX_TOKENS})
    }
}

/// What a token was, for a reporter who has signed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct LeakVerdict {
    /// SHA-256 of the token, in hex: it is not repeated.
    token_hash: String,
    /// The rule's name, as it was sent.
    token_type: String,
    /// Whether it is, or was, a key of this server that is a secret.
    label: Label,
}

/// GitHub's words.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Label {
    /// A key, alive or dead.
    TruePositive,
    /// None, or a widget key, which everybody may see.
    FalsePositive,
}

/// A key that was found where it should not be.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct LeakView {
    /// Its id; sorts by time.
    id: LeakId,
    /// The key.
    api_key_id: KeyId,
    /// The key's.
    environment: Environment,
    /// What was done: `revoked`, `secret_ended`, `grace_started` or `notified`.
    action: &'static str,
    /// What kind of place it was found in; empty where the reporter did not say.
    source: String,
    /// Where.
    url: Option<String>,
    /// When it was reported.
    created_at: Millis,
}

impl From<LeakRecord> for LeakView {
    fn from(record: LeakRecord) -> Self {
        let LeakRecord { id, environment, key, action, source, url, created_at } = record;
        Self { id, api_key_id: key, environment, action: action.as_str(), source, url, created_at }
    }
}

/// Fetches the list of keys that reporters sign with; the sentence is for the log.
pub type FetchReporterKeys = Box<dyn Fn() -> BoxFuture<'static, Result<Bytes, String>> + Send + Sync>;

/// Who reports, and how much at once.
pub(crate) struct Reporters {
    pub(crate) places: Places<IpAddr>,
    fetch: std::sync::OnceLock<FetchReporterKeys>,
    known: Mutex<Option<(Duration, ReporterKeys)>>,
    /// When it was last tried.
    tried: tokio::sync::Mutex<Option<Duration>>,
}

impl Default for Reporters {
    fn default() -> Self {
        Self {
            places: Places::new(REPORTS),
            fetch: std::sync::OnceLock::new(),
            known: Mutex::default(),
            tried: tokio::sync::Mutex::default(),
        }
    }
}

impl Reporters {
    /// The first time counts.
    pub(crate) fn trust(&self, fetch: FetchReporterKeys) {
        let _ = self.fetch.set(fetch);
    }

    fn good(&self, now: Duration) -> Option<ReporterKeys> {
        let known = self.known.lock();
        known.as_ref().filter(|(at, _)| now.saturating_sub(*at) < GOOD).map(|(_, keys)| keys.clone())
    }

    /// The keys, with that of `identifier` among them if it can be had.
    async fn keys(&self, fetch: &FetchReporterKeys, identifier: &str, now: Duration) -> Option<ReporterKeys> {
        if let Some(keys) = self.good(now).filter(|keys| keys.knows(identifier)) {
            return Some(keys);
        }
        let mut tried = self.tried.lock().await;
        if tried.is_none_or(|at| now.saturating_sub(at) >= AGAIN) {
            *tried = Some(now);
            let fetched = fetch().await.and_then(|json| ReporterKeys::parse(&json).map_err(|error| error.to_string()));
            match fetched {
                Ok(keys) => *self.known.lock() = Some((now, keys)),
                Err(error) => tracing::warn!(error, "the keys that leak reports are signed with could not be fetched"),
            }
        }
        self.good(now)
    }

    /// Whether a known reporter has signed the body. Where none is configured, nobody is asked to.
    async fn is_signed(&self, sent: &Sent, now: Duration) -> Result<bool, Problem> {
        let Some(fetch) = self.fetch.get() else { return Ok(false) };
        let header = |name| sent.header(name);
        let (identifier, signature) =
            match (header("github-public-key-identifier"), header("github-public-key-signature")) {
                (None, None) => return Ok(false),
                (Some(identifier), Some(signature)) => (identifier, signature),
                _ => return Err(Problem::invalid_signature("Both headers of the signature must be sent, once")),
            };
        let keys = self.keys(fetch, identifier, now).await;
        let keys = keys.ok_or_else(|| Problem::unavailable("no keys are known to verify a leak report with"))?;
        if keys.verify(identifier, signature, sent.body()) {
            Ok(true)
        } else {
            Err(Problem::invalid_signature("The signature is not one of a current key over this body"))
        }
    }
}

async fn report_leaks(app: App, call: Call<LeakReports>) -> Result<Bare<Vec<LeakVerdict>>, Problem> {
    let sent = call.request.sent.as_ref().ok_or_else(|| Problem::unavailable("the request was not handed over"))?;
    let is_signed = app.reporters().is_signed(sent, app.clock().elapsed()).await?;
    let reports = read(sent)?;
    let _place = app.reporters().places.take(call.request.address).await?;
    let actor = call.actor();
    if is_signed {
        return deal_with(&app, reports, &actor, true).await.map(Bare);
    }
    let (dealt, ()) = tokio::join!(deal_with(&app, reports, &actor, false), tokio::time::sleep(EVEN));
    dealt?;
    Ok(Bare(Vec::new()))
}

async fn deal_with(
    app: &App,
    reports: Vec<LeakReport>,
    actor: &Actor,
    is_signed: bool,
) -> Result<Vec<LeakVerdict>, Problem> {
    let mut verdicts = Vec::new();
    for report in reports {
        let audit = AuditEntry { actor, action: "api_key.exposed", detail: None };
        let url = Some(visible(&report.url)).filter(|url| !url.is_empty());
        let leak = Leak { source: visible(&report.source), url };
        let is_ours = app.cluster().report_leak(&report.token, leak, is_signed, audit).await?;
        verdicts.push(LeakVerdict {
            token_hash: Digest::of_import(&report.token).to_hex(),
            token_type: report.kind,
            label: if is_ours { Label::TruePositive } else { Label::FalsePositive },
        });
    }
    Ok(verdicts)
}

/// Strangers' words, which are shown to the workspace's people.
fn visible(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn read(sent: &Sent) -> Result<Vec<LeakReport>, Problem> {
    let value = sent.json()?;
    let Some(items) = value.as_array() else {
        return Err(Problem::invalid_field("", "must be a list of found tokens"));
    };
    if items.is_empty() || items.len() > MAX_TOKENS {
        return Err(Problem::invalid_field("", format!("must have 1 to {MAX_TOKENS} tokens, and has {}", items.len())));
    }
    let (mut reports, mut errors) = (Vec::with_capacity(items.len()), Vec::new());
    for (at, item) in items.iter().enumerate() {
        // What was sent is not repeated: it may be a key.
        let Ok(report) = LeakReport::deserialize(item) else {
            errors.push(FieldError::new(
                format!("[{at}]"),
                "must have a `token`, and `type`, `url` and `source` as text",
            ));
            continue;
        };
        for (name, text, least, most) in [
            ("token", &report.token, 1, MAX_TOKEN),
            ("type", &report.kind, 0, MAX_WORD),
            ("source", &report.source, 0, MAX_WORD),
            ("url", &report.url, 0, MAX_URL),
        ] {
            if !(least..=most).contains(&text.chars().count()) {
                errors.push(FieldError::new(format!("[{at}].{name}"), format!("must be {least} to {most} characters")));
            }
        }
        reports.push(report);
    }
    errors.truncate(20);
    if errors.is_empty() { Ok(reports) } else { Err(Problem::validation(errors)) }
}

async fn list_leaks(app: App, call: Call<PageQuery>) -> Result<List<LeakView>, Problem> {
    let request = call.input.request()?;
    Ok(List::of(app.workspace(&call)?.leaks(request).await?, request, LeakView::from))
}
