//! Holds many participants' WebSockets open and says what became of each. Driven by `bench/sockets`: it prints a JSON line after each phase
//! and goes on when it is sent a line. Frames are read here, without a library: its buffers would cost more than what is measured.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use bench::{
    Options,
    request::{ask, head},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines, Stdin},
    net::TcpStream,
    sync::{Mutex, Semaphore, mpsc, oneshot},
    task::{JoinHandle, JoinSet},
};

/// Connections that are being opened, and requests that are under way while runs are made, at a time.
const AT_ONCE: usize = 32;
/// Sockets that are opened and closed before anything is measured.
const WARM_UP: usize = 100;
/// How long a socket may take to open, to be told or to end.
const PATIENCE: Duration = Duration::from_secs(60);
const HANDSHAKE: &str = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// What the sockets have seen, together.
#[derive(Default)]
struct Seen {
    ended: AtomicU32,
    pings: AtomicU32,
}

/// A run, and the tokens of its two roles.
#[derive(Clone)]
struct Run {
    id: String,
    customer: String,
    reviewer: String,
}

/// The code of the close, 0 without one, and when it came.
type End = JoinHandle<(u16, Instant)>;
type Told = mpsc::UnboundedSender<(usize, Instant)>;

#[tokio::main]
#[expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a script reads it; what is measured is real time")]
async fn main() -> anyhow::Result<()> {
    let names = ["make-at", "address", "mode", "sockets", "key", "admin", "deployment", "events", "rate"];
    let options = Options::from_args(&names)?;
    let (count, mode): (usize, String) = (options.get("sockets", 5000)?, options.require("mode")?);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();

    let mut runs = Vec::new();
    if mode != "bare" {
        let (address, key): (String, String) = (options.require("make-at")?, options.require("key")?);
        let begin = Instant::now();
        runs = make_runs(&address, &key, count).await?;
        println!("{}", json!({"runs": runs.len(), "seconds": begin.elapsed().as_secs_f64()}));
    }
    // The server was started anew in between: its address comes with the line.
    let address = next(&mut lines).await?;
    let all = openings(&mode, &options.get("key", String::new())?, &runs, count)?;
    let seen = Arc::new(Seen::default());
    let (told, mut events) = mpsc::unbounded_channel();
    if mode != "bare" {
        read_all(&address, &options.require::<String>("key")?, &runs).await?;
    }
    let first: Vec<Opening> = all.iter().take(WARM_UP).cloned().collect();
    for end in open(&address, first, &Arc::default(), &told).await? {
        end.abort();
    }
    println!("{}", json!({"warm": WARM_UP}));

    next(&mut lines).await?;
    let begin = Instant::now();
    let ends = open(&address, all, &seen, &told).await?;
    println!("{}", json!({"open": count, "seconds": begin.elapsed().as_secs_f64()}));
    next(&mut lines).await?;
    println!("{}", json!({"ended": seen.ended.load(Relaxed), "pings": seen.pings.load(Relaxed)}));
    if mode == "bare" {
        return Ok(());
    }

    next(&mut lines).await?;
    let wanted: usize = options.get("events", 2000)?;
    let told = tell(&address, &runs, wanted.min(count), options.get("rate", 200)?, &mut events).await?;
    println!("{told}");

    next(&mut lines).await?;
    let (admin, deployment): (String, String) = (options.require("admin")?, options.require("deployment")?);
    let begin = Instant::now();
    let mut socket = TcpStream::connect(&address).await?;
    let path = format!("/v1/deployments/{deployment}/revoke");
    let (status, receipt) = ask(&mut socket, "POST", &path, &admin, r#"{"runs":"finish"}"#).await?;
    let answered = begin.elapsed();
    ensure!(status == 200, "revoking answered {status}: {receipt}");
    let (mut took, mut said) = (Vec::with_capacity(count), 0);
    for end in ends {
        let (code, at) = tokio::time::timeout(PATIENCE, end).await.context("a socket outlived its deployment")??;
        said += usize::from(code == 4403);
        took.push(at.saturating_duration_since(begin));
    }
    let key: String = options.require("key")?;
    let refused = count_refused(&address, &key, &runs).await?;
    println!(
        "{}",
        json!({
            "answer_ms": answered.as_secs_f64() * 1000.0, "closed": milliseconds(took), "said_revoked": said,
            "refused": refused, "receipt": receipt["data"],
        })
    );
    Ok(())
}

async fn next(lines: &mut Lines<BufReader<Stdin>>) -> anyhow::Result<String> {
    lines.next_line().await?.context("the script has gone")
}

/// Runs that wait for their reviewer, and tokens for both roles of each.
async fn make_runs(address: &str, key: &str, count: usize) -> anyhow::Result<Vec<Run>> {
    let mut workers = JoinSet::new();
    for worker in 0..AT_ONCE {
        let (address, key) = (address.to_owned(), key.to_owned());
        let share = count / AT_ONCE + usize::from(worker < count % AT_ONCE);
        workers.spawn(async move {
            let mut socket = TcpStream::connect(&address).await?;
            let mut runs = Vec::with_capacity(share);
            for _ in 0..share {
                let (status, answer) = ask(&mut socket, "POST", "/api/v1/runs", &key, "{}").await?;
                ensure!(status == 202, "starting a run answered {status}: {answer}");
                let id = answer["run_id"].as_str().context("no run_id")?.to_owned();
                let mut tokens = Vec::new();
                for role in ["customer", "reviewer"] {
                    let (path, body) = (format!("/api/v1/runs/{id}/tokens"), json!({"role": role}).to_string());
                    let (status, answer) = ask(&mut socket, "POST", &path, &key, &body).await?;
                    ensure!(status < 300, "minting a token answered {status}: {answer}");
                    tokens.push(answer["participant_token"].as_str().context("no token")?.to_owned());
                }
                let [customer, reviewer] = tokens.try_into().map_err(|_| anyhow::anyhow!("two tokens"))?;
                while ask(&mut socket, "GET", &format!("/api/v1/runs/{id}"), &key, "").await?.1["status"] != "waiting" {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                runs.push(Run { id, customer, reviewer });
            }
            anyhow::Ok(runs)
        });
    }
    let mut all = Vec::with_capacity(count);
    while let Some(runs) = workers.join_next().await {
        all.extend(runs??);
    }
    Ok(all)
}

/// Fills the database's cache with the runs: it is bounded, and no socket's.
async fn read_all(address: &str, key: &str, runs: &[Run]) -> anyhow::Result<()> {
    let mut workers = JoinSet::new();
    for share in runs.chunks(runs.len().div_ceil(AT_ONCE)) {
        let (address, key, share) = (address.to_owned(), key.to_owned(), share.to_vec());
        workers.spawn(async move {
            let mut socket = TcpStream::connect(&address).await?;
            for run in share {
                let (status, answer) =
                    ask(&mut socket, "GET", &format!("/api/v1/runs/{}/events", run.id), &key, "").await?;
                ensure!(status == 200, "reading a run answered {status}: {answer}");
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = workers.join_next().await {
        done??;
    }
    Ok(())
}

/// A handshake, and what is said once it was answered.
#[derive(Clone)]
struct Opening {
    handshake: String,
    first: Vec<u8>,
}

impl From<String> for Opening {
    fn from(handshake: String) -> Self {
        Self { handshake, first: Vec::new() }
    }
}

fn openings(mode: &str, key: &str, runs: &[Run], count: usize) -> anyhow::Result<Vec<Opening>> {
    let participant = |run: &Run| {
        let protocols =
            format!("{HANDSHAKE}sec-websocket-protocol: chatelaine.v1, chatelaine.bearer.{}\r\n", run.customer);
        Opening::from(head("GET", "/api/participant/ws", None, &protocols, ""))
    };
    let message = |run: &Run| {
        let auth = json!({"type": "auth", "token": run.customer}).to_string();
        let handshake = head("GET", "/api/participant/ws", None, HANDSHAKE, "");
        Opening { handshake, first: masked(1, auth.as_bytes()) }
    };
    let stream =
        |run: &Run| Opening::from(head("GET", &format!("/api/v1/runs/{}/stream", run.id), Some(key), HANDSHAKE, ""));
    Ok(match mode {
        "bare" => (0..count).map(|_| head("GET", "/ws", None, HANDSHAKE, "").into()).collect(),
        "participant" => runs.iter().map(participant).collect(),
        "message" => runs.iter().map(message).collect(),
        "stream" => runs.iter().map(stream).collect(),
        _ => bail!("--mode is bare, participant, message or stream"),
    })
}

/// Opens them all, and waits until each has been told something.
async fn open(address: &str, openings: Vec<Opening>, seen: &Arc<Seen>, told: &Told) -> anyhow::Result<Vec<End>> {
    let (doors, count) = (Arc::new(Semaphore::new(AT_ONCE)), openings.len());
    let mut opening = JoinSet::new();
    for (number, Opening { handshake, first }) in openings.into_iter().enumerate() {
        let (address, doors, seen, told) = (address.to_owned(), doors.clone(), seen.clone(), told.clone());
        opening.spawn(async move {
            let _door = doors.acquire_owned().await?;
            let mut socket = TcpStream::connect(&address).await?;
            socket.write_all(handshake.as_bytes()).await?;
            let mut answer = Vec::new();
            let end = loop {
                if let Some(at) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
                    break at + 4;
                }
                let read = tokio::time::timeout(PATIENCE, socket.read_buf(&mut answer)).await??;
                ensure!(read > 0, "the server closed the connection in the handshake");
            };
            let text = String::from_utf8_lossy(&answer[..end]);
            ensure!(text.starts_with("HTTP/1.1 101"), "a handshake was answered: {text}");
            answer.drain(..end);
            socket.write_all(&first).await?;
            let (arrived, is_told) = oneshot::channel();
            let end = tokio::spawn(hold(socket, answer, number, seen, told, arrived));
            // The next one may come: so many at a time are being told how things stand, not all of them.
            tokio::time::timeout(PATIENCE, is_told).await?.context("a socket was told nothing")?;
            anyhow::Ok((number, end))
        });
    }
    let mut ends = Vec::with_capacity(count);
    while let Some(opened) = opening.join_next().await {
        ends.push(opened??);
    }
    ends.sort_by_key(|(number, _)| *number);
    Ok(ends.into_iter().map(|(_, end)| end).collect())
}

/// Reads to the end of a socket, and says how that was.
#[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
async fn hold(
    mut socket: TcpStream,
    mut rest: Vec<u8>,
    number: usize,
    seen: Arc<Seen>,
    told: Told,
    arrived: oneshot::Sender<()>,
) -> (u16, Instant) {
    let (mut arrived, mut code) = (Some(arrived), 0);
    'open: loop {
        while let Some((opcode, start, end)) = frame(&rest) {
            let payload = &rest[start..end];
            match opcode {
                1 => {
                    if let Some(arrived) = arrived.take() {
                        let _ = arrived.send(());
                    }
                    if contains(payload, b"\"message.posted\"") {
                        let _ = told.send((number, Instant::now()));
                    }
                }
                8 => {
                    code = payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code));
                    let answer = masked(8, payload);
                    let _ = socket.write_all(&answer).await;
                    break 'open;
                }
                9 => {
                    seen.pings.fetch_add(1, Relaxed);
                    let answer = masked(10, payload);
                    let _ = socket.write_all(&answer).await;
                }
                _ => {}
            }
            rest.drain(..end);
        }
        // Buffers live only while there is something in them.
        if rest.is_empty() {
            rest = Vec::new();
        }
        if socket.readable().await.is_err() {
            break;
        }
        let mut buffer = [0; 4096];
        match socket.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => rest.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    seen.ended.fetch_add(1, Relaxed);
    (code, Instant::now())
}

/// The opcode of the first whole frame, and where its payload is (RFC 6455, section 5.2; a server masks nothing).
fn frame(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (opcode, short) = (bytes.first()? & 0x0f, usize::from(*bytes.get(1)?));
    let (start, length) = match short {
        126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?),
        length => (2, length),
    };
    (bytes.len() >= start + length).then_some((opcode, start, start + length))
}

/// A short frame of a client; the mask of zeros changes nothing.
fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut frame = vec![0x80 | opcode];
    if payload.len() < 126 {
        frame.push(0x80 | length[1]);
    } else {
        frame.extend_from_slice(&[0x80 | 126, length[0], length[1]]);
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Reviewers answer by REST, so many a second; each of the runs' customers is told by socket.
#[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
async fn tell(
    address: &str,
    runs: &[Run],
    wanted: usize,
    rate: u32,
    events: &mut mpsc::UnboundedReceiver<(usize, Instant)>,
) -> anyhow::Result<Value> {
    let idle: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let mut pace = tokio::time::interval(Duration::from_secs(1) / rate);
    let mut asking = JoinSet::new();
    let begin = Instant::now();
    for turn in 0..wanted {
        pace.tick().await;
        // Each run once, in no order of theirs: 7919 is a prime.
        let number = turn * 7919 % runs.len();
        let (address, token, idle) = (address.to_owned(), runs[number].reviewer.clone(), idle.clone());
        asking.spawn(async move {
            let kept = idle.lock().await.pop();
            let mut socket = match kept {
                Some(socket) => socket,
                None => TcpStream::connect(&address).await?,
            };
            socket.set_nodelay(true)?;
            let sent = Instant::now();
            let (path, body) = ("/api/participant/steps/verdict", r#"{"value":"fine"}"#);
            let (status, answer) = ask(&mut socket, "POST", path, &token, body).await?;
            let answered = Instant::now();
            ensure!(status == 200, "an answer got {status}: {answer}");
            idle.lock().await.push(socket);
            anyhow::Ok((number, sent, answered))
        });
    }
    let mut sent = vec![None; runs.len()];
    while let Some(asked) = asking.join_next().await {
        let (number, at, answered) = asked??;
        sent[number] = Some((at, answered));
    }
    let took = begin.elapsed().as_secs_f64();
    let (mut from_request, mut from_answer, mut requests) = (Vec::new(), Vec::new(), Vec::new());
    while from_request.len() < wanted {
        let told = tokio::time::timeout(PATIENCE, events.recv()).await.context("an event did not come")?;
        let (number, at) = told.context("no socket is left")?;
        let (begin, answered) = sent[number].take().context("an event that nobody made, or one that came twice")?;
        from_request.push(at.saturating_duration_since(begin));
        from_answer.push(at.saturating_duration_since(answered));
        requests.push(answered.saturating_duration_since(begin));
    }
    Ok(json!({
        "events": wanted, "per_second": wanted as f64 / took, "from_request": milliseconds(from_request),
        "from_answer": milliseconds(from_answer), "requests": milliseconds(requests),
    }))
}

fn milliseconds(mut took: Vec<Duration>) -> Value {
    took.sort();
    let at = |share: usize| took.get((took.len() * share / 100).min(took.len() - 1)).map_or(0.0, Duration::as_secs_f64);
    json!({"p50": at(50) * 1000.0, "p99": at(99) * 1000.0, "max": at(100) * 1000.0})
}

/// Of the key, ten tokens and a handshake: how many are refused with 401.
async fn count_refused(address: &str, key: &str, runs: &[Run]) -> anyhow::Result<Value> {
    let mut socket = TcpStream::connect(address).await?;
    let (status, _) = ask(&mut socket, "POST", "/api/v1/runs", key, "{}").await?;
    let mut tokens = 0;
    for run in runs.iter().take(10) {
        tokens += usize::from(ask(&mut socket, "GET", "/api/participant/run", &run.customer, "").await?.0 == 401);
    }
    let mut socket = TcpStream::connect(address).await?;
    let opening = openings("participant", key, &runs[..1], 1)?;
    socket.write_all(opening[0].handshake.as_bytes()).await?;
    let mut head = [0; 12];
    socket.read_exact(&mut head).await?;
    Ok(json!({"key": status == 401, "tokens": tokens, "handshake": head.ends_with(b"401")}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_frames_are_read_and_parts_are_waited_for() {
        assert_eq!(frame(b"\x81\x02hi\x89"), Some((1, 2, 4)));
        assert_eq!(frame(b"\x81\x02h"), None);
        let long = [&[0x81, 126, 1, 0][..], &[b'x'; 256]].concat();
        assert_eq!(frame(&long), Some((1, 4, 260)));
        assert_eq!(frame(&long[..3]), None);
    }

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let took = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(milliseconds(took), json!({"p50": 51.0, "p99": 100.0, "max": 100.0}));
    }
}
