//! A server of tools that behaves as its path says, and remembers what it was sent.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Seen {
    /// The value of a header, as it was written in lower case.
    pub(crate) fn header(&self, name: &str) -> &str {
        let prefix = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default()
    }
}

/// Paths: `/echo` answers with the head, `/big` never ends, `/hang` never begins, `/redirect` leads to `/echo`,
/// `/status` is a 404, `/second` answers from the second time on, `/mcp` is an MCP server, anything else is `ok`.
pub(crate) struct ToolServer {
    pub(crate) origin: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl ToolServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&kept)));
            }
        });
        Self { origin, seen }
    }

    /// What came to a path.
    pub(crate) fn seen(&self, path: &str) -> Vec<Seen> {
        let is_there = |seen: &&Seen| seen.head.split(' ').nth(1).is_some_and(|target| target.starts_with(path));
        self.seen.lock().unwrap().iter().filter(is_there).cloned().collect()
    }
}

async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            break end + 4;
        }
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => bytes.extend_from_slice(&part[..n]),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let seen = Seen { head, body: String::new() };
    let length: usize = seen.header("content-length").parse().unwrap_or(0);
    while bytes.len() < end + length {
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => bytes.extend_from_slice(&part[..n]),
        }
    }
    Some(Seen { body: String::from_utf8_lossy(&bytes[end..]).into_owned(), ..seen })
}

async fn answer(mut stream: TcpStream, kept: Arc<Mutex<Vec<Seen>>>) {
    let Some(seen) = read(&mut stream).await else { return };
    let path = seen.head.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
    let before = kept.lock().unwrap().iter().filter(|one| one.head.contains(&format!(" {path}"))).count();
    kept.lock().unwrap().push(seen.clone());
    let (status, extra, body) = match path.as_str() {
        "/echo" => ("200 OK", String::new(), json!({"you_sent": seen.head}).to_string()),
        "/redirect" => ("302 Found", "location: /echo\r\n".to_owned(), String::new()),
        "/status" => ("404 Not Found", String::new(), "no such thing".to_owned()),
        "/hang" => return tokio::time::sleep(Duration::from_secs(600)).await,
        "/second" if before == 0 => return tokio::time::sleep(Duration::from_secs(600)).await,
        "/big" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await;
            while stream.write_all(&[b'x'; 64 * 1024]).await.is_ok() {}
            return;
        }
        "/mcp" => mcp(&seen),
        _ => ("200 OK", String::new(), "ok".to_owned()),
    };
    let head = format!("HTTP/1.1 {status}\r\n{extra}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

/// The revision of 2025-06-18 with a session and three tools.
fn mcp(seen: &Seen) -> (&'static str, String, String) {
    let asked: Value = serde_json::from_str(&seen.body).unwrap_or_default();
    let (method, is_json) = (asked["method"].as_str().unwrap_or_default(), "content-type: application/json\r\n");
    let tool = |name: &str| json!({"name": name, "description": "d", "inputSchema": {"type": "object"}});
    let result = match method {
        "initialize" => json!({
            "protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "t", "version": "1"},
        }),
        "tools/list" => json!({"tools": [tool("add"), tool("danger.zone"), tool("leak")]}),
        "tools/call" => {
            let (name, given) = (asked["params"]["name"].as_str().unwrap_or_default(), &asked["params"]["arguments"]);
            let text = match name {
                "add" => (given["a"].as_i64().unwrap_or(0) + given["b"].as_i64().unwrap_or(0)).to_string(),
                "leak" => seen.header("authorization").to_owned(),
                _ => "boom".to_owned(),
            };
            json!({"content": [{"type": "text", "text": text}], "isError": name == "danger.zone"})
        }
        _ if asked["id"].is_null() => return ("202 Accepted", String::new(), String::new()),
        _ => {
            let error = json!({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32601, "message": "unknown"}});
            return ("400 Bad Request", is_json.to_owned(), error.to_string());
        }
    };
    let body = json!({"jsonrpc": "2.0", "id": asked["id"], "result": result}).to_string();
    ("200 OK", format!("{is_json}mcp-session-id: session-1\r\n"), body)
}
