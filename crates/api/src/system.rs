//! What operators, monitors and client generators ask.

use std::{sync::atomic::Ordering, time::Duration};

use access::{Access, Limit};
use ambient::Clock;
use axum::response::Response;
use bytes::Bytes;
use gate::{Bare, Call, Metrics, Nothing, Operation, Output, Problem, Raw, Routes};
use http::StatusCode;
use prometheus_client::metrics::gauge::Gauge;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use store::StoreError;
use tokio::sync::Mutex;

use crate::{App, AppSettings};

/// Open, and never refused: a monitor asks when everything else is on fire.
const PROBE: Access = Access::closed(Limit::Unlimited).public();

pub(crate) const GET_HEALTH: Operation<Nothing, Bare<Health>> =
    Operation::get("/health", "get_health", "Say that the server is up (the drop-in surface's form).", PROBE);
pub(crate) const GET_LIVENESS: Operation<Nothing, Bare<Health>> =
    Operation::get("/healthz", "get_liveness", "Say that the process lives; asks nobody.", PROBE);
pub(crate) const GET_READINESS: Operation<Nothing, Readiness> = Operation::get(
    "/readyz",
    "get_readiness",
    "Say whether requests may be sent here: 503 while a part is missing or the server drains.",
    PROBE,
);
pub(crate) const GET_METRICS: Operation<Nothing, Raw> =
    Operation::get("/metrics", "get_metrics", "Numbers in OpenMetrics text, without any id.", PROBE);
pub(crate) const GET_OPENAPI: Operation<Nothing, Raw> =
    Operation::get("/v1/openapi.json", "get_openapi", "This document.", PROBE);
pub(crate) const GET_ROOT_OPENAPI: Operation<Nothing, Raw> =
    Operation::get("/openapi.json", "get_root_openapi", "This document, where tools look first.", PROBE);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(GET_HEALTH, get_health);
    routes.mount(GET_LIVENESS, get_health);
    routes.mount(GET_READINESS, get_readiness);
    routes.mount(GET_METRICS, get_metrics);
    routes.mount(GET_OPENAPI, get_openapi);
    routes.mount(GET_ROOT_OPENAPI, get_openapi);
}

/// How long the database may take to answer a probe.
const PING: Duration = Duration::from_secs(2);
/// How long its answer holds.
const FRESH: Duration = Duration::from_secs(1);

/// The server is up.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) struct Health {
    /// `ok`.
    status: &'static str,
}

/// Whether requests may be sent here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Readiness {
    /// `ready`, `draining` or `unavailable`.
    status: &'static str,
    /// Each part.
    parts: Parts,
}

/// How the parts stand: `ok` or `unavailable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Parts {
    /// Answers a question within two seconds.
    database: &'static str,
    /// The keys are in memory.
    keyring: &'static str,
}

impl Readiness {
    const fn of(accepting: bool, database: bool) -> Self {
        let status = match (accepting, database) {
            (false, _) => "draining",
            (true, false) => "unavailable",
            (true, true) => "ready",
        };
        // There is no App without a loaded keyring.
        Self { status, parts: Parts { database: if database { "ok" } else { "unavailable" }, keyring: "ok" } }
    }

    const fn is_ready(self) -> bool {
        matches!(self.status.as_bytes(), b"ready")
    }
}

impl Output for Readiness {
    const MEDIA_TYPE: Option<&'static str> = Some("application/json");

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<Self>())
    }

    fn into_response(self, status: StatusCode) -> Response {
        let status = if self.is_ready() { status } else { StatusCode::SERVICE_UNAVAILABLE };
        Bare(self).into_response(status)
    }
}

/// Numbers that are looked at when they are asked for.
pub(crate) struct Gauges {
    open_streams: Gauge,
    keys: Gauge,
    key_bytes: Gauge,
    sessions: Gauge,
    database_reads: Gauge,
    database_writes: Gauge,
}

impl Gauges {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        Self {
            open_streams: metrics.gauge("open_streams", "Replies that stream now"),
            keys: metrics.gauge("resident_keys", "API keys in memory"),
            key_bytes: metrics.gauge("resident_bytes_per_key", "Tables and entries of the keyring, by key"),
            sessions: metrics.gauge("resident_sessions", "Chat sessions in memory"),
            database_reads: metrics.gauge("database_reads", "Reading statements since the start"),
            database_writes: metrics.gauge("database_writes", "Writing statements since the start"),
        }
    }

    fn look(&self, app: &App) {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let count = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        self.open_streams.set(number(app.cluster().open_streams()));
        self.keys.set(count(app.cluster().keys()));
        self.key_bytes.set(count(app.cluster().approximate_bytes_per_key()));
        self.sessions.set(count(app.cluster().sessions()));
        self.database_reads.set(number(app.store().reads()));
        self.database_writes.set(number(app.store().writes()));
    }
}

/// The OpenAPI document as it is sent.
pub(crate) fn document(routes: &Routes<App>, settings: &AppSettings) -> Bytes {
    let document = gate::openapi_document(routes, settings.version, &settings.public_url);
    serde_json::to_vec(&document).unwrap_or_default().into()
}

async fn get_health(_: App, _: Call<Nothing>) -> Result<Bare<Health>, Problem> {
    Ok(Bare(Health { status: "ok" }))
}

async fn get_readiness(app: App, _: Call<Nothing>) -> Result<Readiness, Problem> {
    let accepting = app.settings().ready.load(Ordering::Acquire);
    let database = app.probe().database(app.clock(), || app.store().ping()).await;
    Ok(Readiness::of(accepting, database))
}

/// How the database stood when it was last asked. Anybody may ask, as often as he likes: it is
/// asked once a second at most, and by one request at a time.
#[derive(Default)]
pub(crate) struct Probe(Mutex<Option<(Duration, bool)>>);

impl Probe {
    async fn database<F: Future<Output = Result<(), StoreError>>>(
        &self,
        clock: &dyn Clock,
        ping: impl FnOnce() -> F,
    ) -> bool {
        let mut last = self.0.lock().await;
        if let Some((at, answers)) = *last
            && clock.elapsed().saturating_sub(at) < FRESH
        {
            return answers;
        }
        let answers = answers(ping()).await;
        *last = Some((clock.elapsed(), answers));
        answers
    }
}

async fn answers(ping: impl Future<Output = Result<(), StoreError>>) -> bool {
    match tokio::time::timeout(PING, ping).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the database does not answer a probe");
            false
        }
        Err(_) => {
            tracing::warn!("the database does not answer a probe in time");
            false
        }
    }
}

async fn get_metrics(app: App, _: Call<Nothing>) -> Result<Raw, Problem> {
    app.gauges().look(&app);
    Ok(Raw::new("application/openmetrics-text; version=1.0.0; charset=utf-8", app.metrics().render()))
}

async fn get_openapi(app: App, _: Call<Nothing>) -> Result<Raw, Problem> {
    Ok(Raw::new("application/json; charset=utf-8", app.document()))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use ambient::{ManualClock, Millis};

    use super::*;

    #[tokio::test]
    async fn the_database_is_asked_once_a_second_and_then_anew() {
        let (clock, probe, asked) = (ManualClock::new(Millis(1)), Probe::default(), Cell::new(0));
        let ask = async |up: bool| {
            let ping = || async {
                asked.set(asked.get() + 1);
                if up { Ok(()) } else { Err(StoreError::Corrupt("x".to_owned())) }
            };
            probe.database(&clock, ping).await
        };
        assert!(ask(true).await && ask(false).await && ask(false).await, "what was said holds");
        clock.advance(Duration::from_millis(999));
        assert!(ask(false).await);
        assert_eq!(asked.get(), 1);
        clock.advance(Duration::from_millis(1));
        assert!(!ask(false).await && !ask(true).await, "a refusal holds as long");
        assert_eq!(asked.get(), 2);
    }

    #[test]
    fn only_a_server_that_accepts_and_has_its_database_is_ready() {
        for (accepting, database, status) in
            [(true, true, 200), (true, false, 503), (false, true, 503), (false, false, 503)]
        {
            let response = Readiness::of(accepting, database).into_response(StatusCode::OK);
            assert_eq!(response.status().as_u16(), status, "{accepting} {database}");
        }
        assert_eq!(Readiness::of(false, false).status, "draining");
        let body = serde_json::to_value(Readiness::of(true, false)).unwrap();
        assert_eq!(body["parts"]["database"], "unavailable");
    }
}
