//! The yardstick: axum as it comes. A fixed JSON answer of a given length, a stream that says something every 15 s,
//! and a WebSocket that says one thing and then waits, with the library's own settings. It checks nothing.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use axum::response::Response;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use bench::Options;
use futures_util::{SinkExt, Stream, StreamExt, stream};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

const FRAME: &str = r#"{"data":""}"#;

fn main() -> anyhow::Result<()> {
    let options = Options::from_args(&["listen", "bytes", "workers"])?;
    let listen: String = options.get("listen", "127.0.0.1:0".to_owned())?;
    let bytes: usize = options.get("bytes", FRAME.len())?;
    let padding = bytes.checked_sub(FRAME.len()).with_context(|| format!("--bytes is at least {}", FRAME.len()))?;
    let body: &'static str = format!(r#"{{"data":"{}"}}"#, "x".repeat(padding)).leak();

    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(options.get("workers", 1)?).enable_all().build()?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind(&listen).await.with_context(|| format!("listen on {listen}"))?;
        let router = Router::new()
            .route("/v1/me", get(move || async move { ([(CONTENT_TYPE, "application/json")], body) }))
            .route("/sse", get(sse))
            .route("/ws", get(websocket));
        // A task of its own, so that connections are accepted on the worker and not on the thread that waits here.
        tokio::spawn(async move { axum::serve(listener, router).await }).await??;
        Ok(())
    })
}

async fn sse() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let first = stream::iter([Ok(Event::default().data("open"))]);
    Sse::new(first.chain(stream::pending())).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

async fn websocket(mut request: Request) -> Result<Response, StatusCode> {
    let key = request.headers().get(SEC_WEBSOCKET_KEY).ok_or(StatusCode::BAD_REQUEST)?;
    let accept = derive_accept_key(key.as_bytes());
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(io) = upgrade.await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(io), Role::Server, None).await;
        if socket.send(Message::text("open")).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, accept)
        .body(Body::empty())
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}
