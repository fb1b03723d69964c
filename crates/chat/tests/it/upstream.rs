//! A model server in a few lines, on a bare socket: the model's name says how it behaves.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Value,
}

pub(crate) struct Upstream {
    address: std::net::SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    requests: Mutex<Vec<Request>>,
    cancelled: AtomicUsize,
    connections: AtomicUsize,
    /// `gated` answers after its first word only when a permit is added.
    gate: Gate,
}

struct Gate(Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(socket, Arc::clone(&serving)));
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.requests.lock())
    }

    /// How many answers lost their client before their end.
    pub(crate) fn cancelled(&self) -> usize {
        self.state.cancelled.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn open_gate(&self) {
        self.state.gate.0.add_permits(1);
    }

    pub(crate) async fn wait_for_cancelled(&self, count: usize) {
        let waited = timeout(Duration::from_secs(2), async {
            while self.cancelled() < count {
                sleep(Duration::from_millis(2)).await;
            }
        });
        waited.await.expect("the connection to the upstream was not closed");
    }
}

async fn serve(mut socket: TcpStream, state: Arc<State>) {
    while let Some(request) = read_request(&mut socket).await {
        let model = request.body["model"].as_str().unwrap_or_default().to_owned();
        state.requests.lock().push(request);
        if answer(&mut socket, &model, &state).await.is_err() {
            state.cancelled.fetch_add(1, Ordering::SeqCst);
            return;
        }
        if model != "keep-alive" {
            return;
        }
    }
}

async fn read_request(socket: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let path = lines.next()?.split(' ').nth(1)?.to_owned();
            let headers: HashMap<String, String> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect();
            if body.len() >= headers.get("content-length")?.parse().ok()? {
                return Some(Request { path, body: serde_json::from_str(body).ok()?, headers });
            }
        }
        let mut chunk = [0; 4096];
        match socket.read(&mut chunk).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&chunk[..count]),
            _ => return None,
        }
    }
}

/// Writes, unless the client has left.
async fn write(socket: &mut TcpStream, text: &str) -> std::io::Result<()> {
    if matches!(timeout(Duration::ZERO, socket.peek(&mut [0])).await, Ok(Ok(0) | Err(_))) {
        return Err(std::io::ErrorKind::BrokenPipe.into());
    }
    socket.write_all(text.as_bytes()).await
}

async fn token(socket: &mut TcpStream, text: &str) -> std::io::Result<()> {
    let delta = serde_json::json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]});
    write(socket, &format!("data: {delta}\n\n")).await
}

async fn head(socket: &mut TcpStream) -> std::io::Result<()> {
    write(socket, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n").await
}

const END: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":4}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

async fn answer(socket: &mut TcpStream, model: &str, state: &State) -> std::io::Result<()> {
    if let Some(status) = model.strip_prefix("status-") {
        let body = r#"{"error":{"message":"bad key sk-upstream-secret"}}"#;
        let head = format!(
            "HTTP/1.1 {status} Nope\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        return write(socket, &(head + body)).await;
    }
    match model {
        "hang" => loop {
            write(socket, "").await?;
            sleep(Duration::from_millis(5)).await;
        },
        "json" => {
            let body = r#"{"choices":[{"message":{"content":"in one piece"}}],"usage":{"prompt_tokens":1,"completion_tokens":3}}"#;
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json; charset=utf-8";
            return write(socket, &format!("{head}\r\n\r\n{body}")).await;
        }
        "keep-alive" => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            write(socket, head).await?;
            for part in ["data: {\"choices\":[{\"delta\":{\"content\":\"again\"}}]}\n\n", END, DONE] {
                write(socket, &format!("{:x}\r\n{part}\r\n", part.len())).await?;
            }
            sleep(Duration::from_millis(5)).await;
            return write(socket, "0\r\n\r\n").await;
        }
        _ => head(socket).await?,
    }
    match model {
        "slow" => loop {
            token(socket, "tick ").await?;
            sleep(Duration::from_millis(5)).await;
        },
        "flood" => loop {
            token(socket, &"x".repeat(1000)).await?;
        },
        "long" => {
            for _ in 0..400 {
                token(socket, &"x".repeat(100)).await?;
            }
            write(socket, &format!("{END}{DONE}")).await?;
        }
        "huge" => {
            for _ in 0..200 {
                token(socket, &"x".repeat(50_000)).await?;
            }
        }
        "garbage" => return write(socket, "<html>not a stream</html>\ndata: {oops\n\n").await,
        "midway-error" | "cut" | "gated" => {
            for word in ["one ", "two ", "three "] {
                token(socket, word).await?;
            }
            match model {
                "midway-error" => write(socket, "data: {\"error\":{\"message\":\"sk-upstream-secret\"}}\n\n").await?,
                "gated" => {
                    state.gate.0.acquire().await.unwrap().forget();
                    write(socket, &format!("{END}{DONE}")).await?;
                }
                _ => {}
            }
        }
        _ => {
            for word in ["Hello ", "from ", "the ", "model"] {
                token(socket, word).await?;
            }
            write(socket, END).await?;
            if model != "no-usage" {
                write(socket, USAGE).await?;
            }
            write(socket, DONE).await?;
        }
    }
    Ok(())
}
