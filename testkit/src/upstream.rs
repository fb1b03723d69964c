//! A small OpenAI-compatible model server, so that a test can say what the model does. The model's
//! name in the request chooses the behaviour; see [`Upstream`].

mod plan;
mod watch;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::{Stream, stream};
use http::{HeaderMap, StatusCode, header};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

use plan::{Plan, Step};
pub use watch::RecordedRequest;
use watch::{Running, Watch};

/// How a server behaves besides what the model's name says.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Pause before each token.
    pub delay: Duration,
    /// Answer with this many words instead of the user's own.
    pub tokens: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 0)), delay: Duration::ZERO, tokens: None }
    }
}

/// The running server; dropping it closes its socket and all connections.
///
/// Models: `echo-words` (and any other name) answers with the last user message word by word,
/// `slow` sends a token every 50 ms until the client leaves, `status-NNN` answers with that status,
/// `hang` never answers, `garbage` is not SSE, `midway-error` sends an error after 3 tokens, `cut`
/// closes the connection after 3 tokens, `huge` sends 10 MiB of tokens, `script` does what the system message says:
/// a JSON list of `{"say": text}` and `{"call": [{"name", "arguments"}]}`, one for each answer.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    watch: Arc<Watch>,
    task: JoinHandle<()>,
}

#[derive(Clone, Debug)]
struct Shared {
    options: Arc<Options>,
    watch: Arc<Watch>,
}

impl Upstream {
    /// A server without delay on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When there is no free port.
    #[expect(clippy::expect_used, reason = "a test without its server is over")]
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await.expect("a free port")
    }

    /// A server with options.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start_with(options: Options) -> std::io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let watch = Arc::new(Watch::default());
        let shared = Shared { options: Arc::new(options), watch: watch.clone() };
        let router = Router::new()
            .route("/v1/chat/completions", post(complete))
            .route("/v1/models", get(list_models))
            .with_state(shared);
        Ok(Self { address, watch, task: tokio::spawn(accept(listener, router)) })
    }

    /// The base URL that an integration takes, ending in `/v1`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every completion that was asked for, in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.watch.requests()
    }

    /// Completions that are being answered now.
    #[must_use]
    pub fn active(&self) -> usize {
        self.watch.active()
    }

    /// Completions whose client left before the end.
    #[must_use]
    pub fn cancelled(&self) -> usize {
        self.watch.cancelled()
    }

    /// When each streamed completion's first token was handed to the socket, in that order.
    #[must_use]
    pub fn first_token_sent_at(&self) -> Vec<std::time::Instant> {
        self.watch.first_tokens()
    }

    /// Serves until the process ends.
    pub async fn serve_forever(mut self) {
        let _ = (&mut self.task).await;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn accept(listener: TcpListener, router: Router) {
    // The set ends its connections when this task is aborted.
    let mut connections = JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let _ = socket.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        connections.spawn(async move {
            // A client that leaves in the middle is an error to hyper and an event to us.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

async fn list_models() -> Json<Value> {
    let models = ["echo-words", "slow", "status-500", "status-429", "hang", "garbage", "midway-error", "cut", "huge"];
    let data: Vec<Value> =
        models.iter().map(|id| json!({"id": id, "object": "model", "created": 0, "owned_by": "testkit"})).collect();
    Json(json!({"object": "list", "data": data}))
}

async fn complete(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return error(StatusCode::BAD_REQUEST, "invalid_request_error", "the body is not JSON");
    };
    let number = shared.watch.record(headers, &request);
    // Held by whatever is still to come, so that its end, early or not, is seen.
    let running = Running::new(shared.watch.clone());
    let model = request["model"].as_str().unwrap_or_default();
    if let Some(status) = model.strip_prefix("status-") {
        running.finish();
        let status = status.parse().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = if status.as_u16() == 429 { "rate_limit_exceeded" } else { "server_error" };
        return error(status, kind, "the model was asked to fail");
    }
    let is_stream = request["stream"].as_bool().unwrap_or(false);
    match (model, is_stream) {
        ("hang", _) | ("slow", false) => {
            let _running = running;
            std::future::pending().await
        }
        ("midway-error", false) => {
            running.finish();
            error(StatusCode::INTERNAL_SERVER_ERROR, "server_error", plan::MIDWAY)
        }
        (_, true) => {
            let plan = Plan::streamed(&request, number, &shared.options);
            let content = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
            (content, Body::from_stream(send_steps(plan, running))).into_response()
        }
        (_, false) => {
            let plan = Plan::whole(&request, number, &shared.options);
            let content = [(header::CONTENT_TYPE, "application/json")];
            (content, Body::from_stream(send_steps(plan, running))).into_response()
        }
    }
}

fn error(status: StatusCode, kind: &str, message: &str) -> Response {
    let body = Json(json!({"error": {"message": message, "type": kind, "param": null, "code": null}}));
    let mut response = (status, body).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, http::HeaderValue::from_static("1"));
    }
    response
}

fn send_steps(plan: Plan, running: Running) -> impl Stream<Item = std::io::Result<Bytes>> {
    let Plan { steps, delay } = plan;
    stream::unfold((steps.peekable(), running), move |(mut steps, running)| async move {
        let step = steps.next()?;
        let item = match step {
            Step::Text(bytes) => Ok(bytes),
            Step::Token(bytes) => {
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                running.note_token();
                Ok(bytes)
            }
            Step::Cut => {
                // What was written before must reach the client first.
                tokio::time::sleep(Duration::from_millis(20)).await;
                Err(std::io::ErrorKind::ConnectionAborted.into())
            }
        };
        if steps.peek().is_none() {
            running.finish();
        }
        Some((item, (steps, running)))
    })
}

#[cfg(test)]
mod tests;
