use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use outbound::{Bytes, Client, Looking, Lookup, Policy, Request, Url};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// In place of a piece: the server closes the connection.
pub(crate) const HANG_UP: &str = "hang up";

/// Accepts, reads a request, writes `pieces` with a pause between them, and then waits for the
/// client to go. What it saw is in the counters.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
}

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) connections: AtomicUsize,
    pub(crate) closed: AtomicUsize,
    pub(crate) heads: Mutex<Vec<String>>,
}

impl Server {
    pub(crate) async fn start(pieces: &'static [&'static str], pause: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let shared = seen.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let shared = shared.clone();
                tokio::spawn(async move {
                    let _ = talk(socket, pieces, pause, &shared).await;
                    shared.closed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self) -> Url {
        format!("http://{}/v1", self.address).parse().unwrap()
    }

    pub(crate) fn url_of(&self, host: &str) -> Url {
        format!("http://{host}:{}/v1", self.address.port()).parse().unwrap()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Waits until the client has left `count` connections.
    pub(crate) async fn wait_until_closed(&self, count: usize) -> bool {
        for _ in 0..100 {
            if self.seen.closed.load(Ordering::SeqCst) >= count {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }
}

async fn talk(mut socket: TcpStream, pieces: &[&str], pause: Duration, seen: &Seen) -> std::io::Result<()> {
    let mut buffer = vec![0; 65536];
    // One request fits into one read here: head and body are sent at once and are short.
    let n = socket.read(&mut buffer).await?;
    seen.heads.lock().unwrap().push(String::from_utf8_lossy(&buffer[..n]).to_ascii_lowercase());
    for (i, piece) in pieces.iter().enumerate() {
        if i > 0 {
            tokio::time::sleep(pause).await;
        }
        if *piece == HANG_UP {
            return Ok(());
        }
        socket.write_all(piece.as_bytes()).await?;
    }
    while socket.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Answers the n-th question with the n-th list, and the last list for ever.
pub(crate) struct Names {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Names {
    pub(crate) fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |list: &&[&str]| list.iter().map(|a| a.parse().unwrap()).collect();
        Arc::new(Self { answers: answers.iter().map(parse).collect(), asked: AtomicUsize::new(0) })
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Lookup for Names {
    fn lookup<'a>(&'a self, _: &'a str) -> Looking<'a> {
        let n = self.asked.fetch_add(1, Ordering::SeqCst).min(self.answers.len() - 1);
        Box::pin(async move { Ok(self.answers[n].clone()) })
    }
}

pub(crate) fn loopback() -> Policy {
    Policy { allow: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()], ..Policy::default() }
}

pub(crate) fn client() -> Client {
    Client::new(loopback()).unwrap()
}

pub(crate) fn post(url: Url) -> Request {
    Request { url, headers: Vec::new(), body: Bytes::from_static(b"{}"), timeout: Duration::from_secs(5) }
}
