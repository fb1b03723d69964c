//! Holds many event streams open and says what became of each. Driven by `bench/streams`: it prints a JSON line after each phase and goes
//! on when it is sent a line.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use bench::{
    Options,
    request::{ask, head},
};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines, Stdin},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
};

/// Connections that are being opened at a time.
const AT_ONCE: usize = 128;
const ACCEPT: &str = "accept: text/event-stream\r\n";

/// What the streams have seen, together.
#[derive(Default)]
struct Seen {
    bytes: AtomicU64,
    /// Streams that got something after their first answer.
    alive: AtomicU32,
    /// Streams that ended, and those whose last event said why: the key was revoked.
    ended: AtomicU32,
    revoked: AtomicU32,
}

struct Session {
    id: String,
    token: String,
}

#[tokio::main]
#[expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a script reads it; what is measured is real time")]
async fn main() -> anyhow::Result<()> {
    let names = ["address", "streams", "mode", "key", "key-id", "admin", "bot"];
    let options = Options::from_args(&names)?;
    let address: String = options.require("address")?;
    let count: usize = options.get("streams", 10_000)?;
    let mode: String = options.require("mode")?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();

    let mut sessions = Vec::new();
    if mode != "bare" {
        let (key, bot): (String, String) = (options.require("key")?, options.require("bot")?);
        sessions = open_sessions(&address, &key, &bot, count).await?;
        println!("{}", json!({"sessions": sessions.len()}));
        next(&mut lines).await?;
    }

    let begin = Instant::now();
    let seen = Arc::new(Seen::default());
    let ends = open_streams(&address, &mode, sessions, count, &seen).await?;
    println!("{}", json!({"open": count, "seconds": begin.elapsed().as_secs_f64()}));

    next(&mut lines).await?;
    println!(
        "{}",
        json!({"ended": seen.ended.load(Relaxed), "heard": seen.alive.load(Relaxed), "bytes": seen.bytes.load(Relaxed)})
    );
    next(&mut lines).await?;
    if mode == "bare" {
        return Ok(());
    }

    let (admin, key_id): (String, String) = (options.require("admin")?, options.require("key-id")?);
    let begin = Instant::now();
    let mut socket = TcpStream::connect(&address).await?;
    let (status, receipt) = ask(&mut socket, "DELETE", &format!("/v1/api-keys/{key_id}"), &admin, "").await?;
    let answered = begin.elapsed();
    ensure!(status == 200, "revoking answered {status}: {receipt}");
    let mut took = Vec::with_capacity(count);
    for end in ends {
        let ended = tokio::time::timeout(Duration::from_secs(30), end).await.context("a stream outlived its key")??;
        took.push(ended.saturating_duration_since(begin).as_secs_f64() * 1000.0);
    }
    took.sort_by(f64::total_cmp);
    println!(
        "{}",
        json!({
            "answer_ms": answered.as_secs_f64() * 1000.0,
            "median_ms": took[count / 2],
            "last_ms": took[count - 1],
            "said_revoked": seen.revoked.load(Relaxed),
            "receipt": receipt["data"],
        })
    );
    Ok(())
}

async fn next(lines: &mut Lines<BufReader<Stdin>>) -> anyhow::Result<()> {
    lines.next_line().await?.map(drop).context("the script has gone")
}

async fn open_sessions(address: &str, key: &str, bot: &str, count: usize) -> anyhow::Result<Vec<Session>> {
    let mut workers = JoinSet::new();
    for worker in 0..16 {
        let (address, key, body) = (address.to_owned(), key.to_owned(), json!({"agent_id": bot}).to_string());
        let share = count / 16 + usize::from(worker < count % 16);
        workers.spawn(async move {
            let mut socket = TcpStream::connect(&address).await?;
            let mut sessions = Vec::with_capacity(share);
            for _ in 0..share {
                let (status, answer) = ask(&mut socket, "POST", "/v1/chat/sessions", &key, &body).await?;
                ensure!(status == 201, "opening a session answered {status}: {answer}");
                let text = |name: &str| answer[name].as_str().map(str::to_owned).context("an incomplete answer");
                sessions.push(Session { id: text("conversation_id")?, token: text("session_token")? });
            }
            anyhow::Ok(sessions)
        });
    }
    let mut all = Vec::with_capacity(count);
    while let Some(sessions) = workers.join_next().await {
        all.extend(sessions??);
    }
    Ok(all)
}

type End = tokio::task::JoinHandle<Instant>;

async fn open_streams(
    address: &str,
    mode: &str,
    sessions: Vec<Session>,
    count: usize,
    seen: &Arc<Seen>,
) -> anyhow::Result<Vec<End>> {
    let requests: Vec<String> = match mode {
        "bare" => (0..count).map(|_| head("GET", "/sse", None, ACCEPT, "")).collect(),
        "follow" => sessions
            .iter()
            .map(|session| {
                head("GET", &format!("/v1/chat/sessions/{}/events", session.id), Some(&session.token), ACCEPT, "")
            })
            .collect(),
        "reply" => sessions
            .iter()
            .map(|session| {
                let path = format!("/v1/chat/sessions/{}/messages", session.id);
                head("POST", &path, Some(&session.token), ACCEPT, r#"{"message":"go on"}"#)
            })
            .collect(),
        _ => bail!("--mode is bare, follow or reply"),
    };
    let doors = Arc::new(Semaphore::new(AT_ONCE));
    let mut opening = JoinSet::new();
    for request in requests {
        let (address, doors, seen) = (address.to_owned(), doors.clone(), seen.clone());
        opening.spawn(async move {
            let _door = doors.acquire_owned().await?;
            let mut socket = TcpStream::connect(&address).await?;
            socket.write_all(request.as_bytes()).await?;
            let mut first = [0; 2048];
            let read = tokio::time::timeout(Duration::from_secs(60), socket.read(&mut first)).await??;
            let text = String::from_utf8_lossy(&first[..read]);
            ensure!(text.starts_with("HTTP/1.1 200"), "a stream was answered: {text}");
            anyhow::Ok(tokio::spawn(hold(socket, seen)))
        });
    }
    let mut ends = Vec::with_capacity(count);
    while let Some(opened) = opening.join_next().await {
        ends.push(opened??);
    }
    Ok(ends)
}

/// Reads to the end of a stream, and says when that was.
#[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
async fn hold(socket: TcpStream, seen: Arc<Seen>) -> Instant {
    let mut tail: Vec<u8> = Vec::new();
    let mut heard = false;
    loop {
        // The buffer lives only while there is something to read: ten thousand of them would be measured too.
        if socket.readable().await.is_err() {
            break;
        }
        let mut buffer = [0; 2048];
        match socket.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                seen.bytes.fetch_add(count as u64, Relaxed);
                if !std::mem::replace(&mut heard, true) {
                    seen.alive.fetch_add(1, Relaxed);
                }
                tail.extend_from_slice(&buffer[..count]);
                tail.drain(..tail.len().saturating_sub(256));
                // The last chunk: the answer is over, the connection is kept.
                if tail.ends_with(b"\r\n0\r\n\r\n") {
                    break;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    let ended = Instant::now();
    seen.ended.fetch_add(1, Relaxed);
    if String::from_utf8_lossy(&tail).contains(r#""error":"revoked""#) {
        seen.revoked.fetch_add(1, Relaxed);
    }
    ended
}
