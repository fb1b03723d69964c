//! The yardstick: axum as it comes, one route, a fixed JSON answer of a given length. It checks nothing.

use anyhow::Context;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use bench::Options;

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
        let router =
            Router::new().route("/v1/me", get(move || async move { ([(CONTENT_TYPE, "application/json")], body) }));
        // A task of its own, so that connections are accepted on the worker and not on the thread that waits here.
        tokio::spawn(async move { axum::serve(listener, router).await }).await??;
        Ok(())
    })
}
