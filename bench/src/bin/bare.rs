//! The yardstick: axum as it comes. A fixed JSON answer of a given length, and a stream that says something every 15 s. It checks nothing.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use bench::Options;
use futures_util::{Stream, StreamExt, stream};

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
            .route("/sse", get(sse));
        // A task of its own, so that connections are accepted on the worker and not on the thread that waits here.
        tokio::spawn(async move { axum::serve(listener, router).await }).await??;
        Ok(())
    })
}

async fn sse() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let first = stream::iter([Ok(Event::default().data("open"))]);
    Sse::new(first.chain(stream::pending())).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}
