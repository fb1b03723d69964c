//! Requests as bytes: a client library would be measured too.

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A whole request of HTTP/1.1. `extra` are header lines, each with its line break.
#[must_use]
pub fn head(method: &str, path: &str, credential: Option<&str>, extra: &str, body: &str) -> String {
    let credential = credential.map(|text| format!("authorization: Bearer {text}\r\n")).unwrap_or_default();
    let content = match body {
        "" => String::new(),
        body => format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()),
    };
    format!("{method} {path} HTTP/1.1\r\nhost: bench\r\n{credential}{extra}{content}\r\n{body}")
}

/// One request on a connection that is kept; the answer is JSON and has a length.
///
/// # Errors
/// When the connection broke, or the answer is something else.
pub async fn ask(
    socket: &mut TcpStream,
    method: &str,
    path: &str,
    key: &str,
    body: &str,
) -> anyhow::Result<(u16, Value)> {
    socket.write_all(head(method, path, Some(key), "", body).as_bytes()).await?;
    let mut answer = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let count = socket.read(&mut buffer).await?;
        ensure!(count > 0, "the server closed the connection");
        answer.extend_from_slice(&buffer[..count]);
        let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let length: usize = field("content-length:").context("no length")?.trim().parse()?;
        if answer.len() < end + 4 + length {
            continue;
        }
        let status = text.split(' ').nth(1).context("no status")?.parse()?;
        return Ok((status, serde_json::from_slice(&answer[end + 4..])?));
    }
}
