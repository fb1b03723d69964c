//! Numbers for the operator. No label carries an id of a tenant or a credential.

use std::sync::Arc;

use parking_lot::RwLock;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    operation: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CodeLabels {
    code: &'static str,
}

/// Seconds; from a check in memory to a slow upstream.
const BUCKETS: [f64; 10] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// The registry, and the numbers that the gate keeps. Clones share.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: RwLock<Registry>,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<OperationLabels, Histogram, fn() -> Histogram>,
    refusals: Family<CodeLabels, Counter>,
}

/// One operation's numbers, resolved once: a request looks nothing up.
pub(crate) struct OperationMetrics {
    operation: &'static str,
    success_status: u16,
    success: Counter,
    seconds: Histogram,
    all: Metrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("chatelaine");
        let requests = Family::<RequestLabels, Counter>::default();
        let seconds: Family<OperationLabels, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(BUCKETS));
        let refusals = Family::<CodeLabels, Counter>::default();
        registry.register("http_requests", "Answered requests", requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "Time from the request's head to the answer's head",
            seconds.clone(),
        );
        registry.register("refusals", "Answers that were not success, by code", refusals.clone());
        Self(Arc::new(Inner { registry: RwLock::new(registry), requests, seconds, refusals }))
    }

    /// A number that its holder sets; a name is registered once.
    #[must_use]
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        let gauge = Gauge::default();
        self.0.registry.write().register(name, help, gauge.clone());
        gauge
    }

    /// All numbers in OpenMetrics text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.0.registry.read());
        text
    }

    pub(crate) fn of(&self, operation: &'static str, success_status: u16) -> OperationMetrics {
        OperationMetrics {
            operation,
            success_status,
            success: self.0.requests.get_or_create_owned(&RequestLabels { operation, status: success_status }),
            seconds: self.0.seconds.get_or_create_owned(&OperationLabels { operation }),
            all: self.clone(),
        }
    }
}

impl OperationMetrics {
    pub(crate) fn record(&self, status: u16, seconds: f64, code: Option<&'static str>) {
        self.seconds.observe(seconds);
        if status == self.success_status {
            self.success.inc();
        } else {
            self.all.0.requests.get_or_create(&RequestLabels { operation: self.operation, status }).inc();
        }
        if let Some(code) = code {
            self.all.0.refusals.get_or_create(&CodeLabels { code }).inc();
        }
    }
}
