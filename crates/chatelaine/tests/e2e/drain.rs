//! A server that stops: open streams are told, and the deadline holds.

use std::time::Duration;

use serde_json::json;
use testkit::{Client, Process, Upstream, eventually, now};

use crate::harness::{BINARY, block_on};

struct Served {
    process: Process,
    client: Client,
    secret: String,
    _temporary: tempfile::TempDir,
}

async fn start(drain_seconds: &str) -> Served {
    let temporary = tempfile::tempdir().unwrap();
    let settings = [("TMPDIR", temporary.path().to_str().unwrap()), ("CHATELAINE_DRAIN_SECONDS", drain_seconds)];
    let process = Process::start(BINARY, &["try", "--json", "--listen", "127.0.0.1:0"], &settings);
    let made: serde_json::Value = serde_json::from_str(&process.line(|line| line.starts_with('{')).await).unwrap();
    let client = Client::new(made["url"].as_str().unwrap().trim_start_matches("http://").parse().unwrap());
    Served { process, client, secret: made["keys"]["secret"].as_str().unwrap().to_owned(), _temporary: temporary }
}

/// A session with a bot on this model: its id and its token.
async fn open_session(served: &Served, upstream: &Upstream, model: &str) -> (String, String) {
    let send = async |path: &str, body: serde_json::Value| {
        served.client.post(path, &body).bearer(&served.secret).send().await.expect(201).json()
    };
    let bot = send("/v1/bots", json!({"name": "Slow"})).await["data"]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/bots/{bot}/integrations");
    let list = served.client.get(&path).bearer(&served.secret).send().await.expect(200).data();
    let echo = format!("/v1/integrations/{}", list[0]["id"].as_str().unwrap());
    let _ = served
        .client
        .request("PATCH", &echo)
        .json(&json!({"weight": 0}))
        .bearer(&served.secret)
        .send()
        .await
        .expect(200);
    send(&path, json!({"name": model, "kind": "openai", "url": upstream.url(), "model": model})).await;
    let opened = send("/v1/chat/sessions", json!({"agent_id": bot})).await;
    (opened["conversation_id"].as_str().unwrap().to_owned(), opened["session_token"].as_str().unwrap().to_owned())
}

#[test]
fn an_open_stream_is_told_and_the_deadline_holds() {
    block_on(async {
        let upstream = Upstream::start().await;
        let mut served = start("3").await;
        let (id, token) = open_session(&served, &upstream, "slow").await;
        let request = served.client.post(&format!("/v1/chat/sessions/{id}/messages"), &json!({"message": "go on"}));
        let mut events = request.bearer(&token).stream().await;
        let _ = events.until("chunk").await;
        let started = now();
        served.process.terminate().await;
        let rest = events.rest().await;
        let last = rest.last().unwrap();
        assert_eq!((last.kind(), &last.data["error"]), ("error", &json!("shutdown")));
        assert!(served.process.ended(Duration::from_secs(10)).await.success());
        assert!(started.elapsed() < Duration::from_secs(7), "{:?}", started.elapsed());
        assert!(eventually(Duration::from_secs(1), async || upstream.active() == 0).await);
    });
}

#[test]
fn a_reply_that_ends_in_time_is_not_cut() {
    block_on(async {
        let options = testkit::upstream::Options { delay: Duration::from_millis(100), ..Default::default() };
        let upstream = Upstream::start_with(options).await.unwrap();
        let mut served = start("10").await;
        let (id, token) = open_session(&served, &upstream, "echo-words").await;
        let request =
            served.client.post(&format!("/v1/chat/sessions/{id}/messages"), &json!({"message": "a b c d e f g h"}));
        let mut events = request.bearer(&token).stream().await;
        let _ = events.until("chunk").await;
        let started = now();
        served.process.terminate().await;
        assert_eq!(events.rest().await.last().unwrap().kind(), "stream_end");
        assert!(served.process.ended(Duration::from_secs(10)).await.success());
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "it does not wait without a reason: {:?}",
            started.elapsed()
        );
    });
}

#[test]
fn an_idle_server_stops_at_once_and_a_second_signal_ends_the_waiting() {
    block_on(async {
        let mut served = start("10").await;
        let _ = served.client.get("/healthz").send().await.expect(200);
        let started = now();
        served.process.terminate().await;
        assert!(served.process.ended(Duration::from_secs(5)).await.success());
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());

        let upstream = Upstream::start().await;
        let mut served = start("60").await;
        let (id, token) = open_session(&served, &upstream, "slow").await;
        let request = served.client.post(&format!("/v1/chat/sessions/{id}/messages"), &json!({"message": "go on"}));
        let mut events = request.bearer(&token).stream().await;
        let _ = events.until("chunk").await;
        let started = now();
        served.process.terminate().await;
        let _ = served.process.line(|line| line.contains("Stopping")).await;
        served.process.terminate().await;
        let _ = served.process.ended(Duration::from_secs(5)).await;
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    });
}

#[test]
fn while_it_drains_it_says_that_it_is_not_ready() {
    block_on(async {
        let upstream = Upstream::start().await;
        let mut served = start("4").await;
        let (id, token) = open_session(&served, &upstream, "slow").await;
        // A connection that was open before the signal: a balancer's.
        let mut open = tokio::net::TcpStream::connect(served.client.address()).await.unwrap();
        ask(&mut open).await;
        let request = served.client.post(&format!("/v1/chat/sessions/{id}/messages"), &json!({"message": "go on"}));
        let mut events = request.bearer(&token).stream().await;
        let _ = events.until("chunk").await;
        served.process.terminate().await;
        let _ = served.process.line(|line| line.contains("Stopping")).await;
        let refused = async || tokio::net::TcpStream::connect(served.client.address()).await.is_err();
        assert!(eventually(Duration::from_secs(2), refused).await, "it still accepts connections");
        let answer = ask(&mut open).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503"), "{answer}");
        let _ = events.rest().await;
        assert!(served.process.ended(Duration::from_secs(10)).await.success());
    });
}

/// Sends `GET /readyz` over an open connection; empty when it is closed.
async fn ask(socket: &mut tokio::net::TcpStream) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let _ = socket.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut buffer = [0; 4096];
    let count = tokio::time::timeout(Duration::from_secs(2), socket.read(&mut buffer)).await;
    String::from_utf8_lossy(&buffer[..count.unwrap_or(Ok(0)).unwrap_or(0)]).into_owned()
}
