//! A customer's server that answers for a bot and takes replies in, so that a test sees what reached it.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, StatusCode, Uri, header};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// One request as it came in.
#[derive(Clone, Debug)]
pub struct Received {
    /// Below the server.
    pub path: String,
    /// All of them, names in lower case.
    pub headers: HeaderMap,
    /// The exact bytes.
    pub body: Bytes,
}

impl Received {
    /// A header's value, empty when it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body, parsed; null when it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// The running server; dropping it closes its socket.
///
/// Paths: `/answer` says `Answer to: ` and the last message, `/slow` does so after half a second, `/hang` never;
/// `/status-NNN` answers with that status, `/text`, `/shape`, `/empty` and `/huge` with what is no answer, `/redirect`
/// with a redirect to `/inner`. Anything else answers 204.
#[derive(Debug)]
pub struct BotServer {
    url: String,
    received: Arc<Mutex<Vec<Received>>>,
    task: JoinHandle<()>,
}

type Shared = Arc<Mutex<Vec<Received>>>;

impl BotServer {
    /// A server on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When there is no free port.
    #[expect(clippy::expect_used, reason = "a test without its server is over")]
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let received = Shared::default();
        let router = Router::new().fallback(take).with_state(received.clone());
        Self { url, received, task: tokio::spawn(crate::upstream::accept(listener, router)) }
    }

    /// The address of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// What came to a path, in order of arrival.
    #[must_use]
    pub fn received(&self, path: &str) -> Vec<Received> {
        let all = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|one| one.path == path).cloned().collect()
    }
}

impl Drop for BotServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(received): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path().to_owned();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let one = Received { path: path.clone(), headers, body };
    received.lock().unwrap_or_else(PoisonError::into_inner).push(one);
    let last = asked["messages"].as_array().and_then(|all| all.last()).map(|last| last["content"].clone());
    let answer = format!("Answer to: {}", last.unwrap_or_default().as_str().unwrap_or_default());
    let json = |text: String| ([(header::CONTENT_TYPE, "application/json")], Body::from(text)).into_response();
    if let Some(status) = path.strip_prefix("/status-") {
        let status = status.parse().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return (status, axum::Json(json!({"content": "not this"}))).into_response();
    }
    match path.as_str() {
        "/answer" => json(json!({"content": answer}).to_string()),
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(500)).await;
            json(json!({"content": answer}).to_string())
        }
        "/hang" => std::future::pending().await,
        "/drip" => {
            let blanks = stream::repeat(()).then(|()| async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Ok::<_, Infallible>(Bytes::from_static(b" "))
            });
            ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(blanks)).into_response()
        }
        "/text" => answer.into_response(),
        "/shape" => json(json!({"text": answer}).to_string()),
        "/empty" => json(json!({"content": ""}).to_string()),
        "/huge" => json(json!({"content": "x".repeat(300 * 1024)}).to_string()),
        "/redirect" => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/inner")]).into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}
