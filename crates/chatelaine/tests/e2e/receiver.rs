//! Somebody else's server that webhooks go to, and that does as a test says.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use credential::webhook::{DeliveryId, WebhookError, WebhookSecret, verify_message};
use serde_json::Value;
use testkit::eventually;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What it does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Answers with a status, further header lines and a body.
    Answer(u16, &'static str, String),
    /// Says nothing for as long as anybody waits.
    Hang,
    /// Answers 200 and a body that never ends.
    Endless,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self::Answer(status, "", String::new())
    }
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    pub(crate) fn verify(&self, secret: &str, now: ambient::Millis) -> Result<DeliveryId, WebhookError> {
        let secret = WebhookSecret::parse(secret).unwrap();
        verify_message(|name| self.header(name), &self.body, &[secret], now)
    }
}

type Rule = dyn Fn(&Received) -> Reply + Send + Sync;

/// Listens on loopback until it is dropped.
pub(crate) struct Receiver {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    /// Bytes of bodies that never end.
    poured: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    pub(crate) async fn start(rule: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, received) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let (rule, all): (Arc<Rule>, _) = (Arc::new(rule), Arc::clone(&received));
        let poured = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&poured);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&rule), Arc::clone(&all), Arc::clone(&counter)));
            }
        });
        Self { address, received, poured, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// How much of bodies that never end anybody has taken, and what the sockets hold.
    pub(crate) fn poured(&self) -> usize {
        self.poured.load(Relaxed)
    }

    /// Those to one path.
    pub(crate) fn at(&self, path: &str) -> Vec<Received> {
        self.received().into_iter().filter(|one| one.path == path).collect()
    }

    /// Waits until so many came to a path, and gives them.
    pub(crate) async fn wait(&self, path: &str, count: usize) -> Vec<Received> {
        let came = eventually(Duration::from_secs(15), async || self.at(path).len() >= count).await;
        assert!(came, "{path}: {} of {count}", self.at(path).len());
        self.at(path)
    }
}

async fn serve(
    mut stream: TcpStream,
    rule: Arc<Rule>,
    all: Arc<Mutex<Vec<Received>>>,
    poured: Arc<AtomicUsize>,
) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        };
        let text = String::from_utf8_lossy(&buffer[..head]).into_owned();
        let mut lines = text.lines();
        let path = lines.next()?.split(' ').nth(1)?.to_owned();
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut received = Received { path, headers, body: Vec::new() };
        let length: usize = received.header("content-length").and_then(|text| text.parse().ok()).unwrap_or_default();
        while buffer.len() < head + length {
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        }
        received.body = buffer[head..head + length].to_vec();
        buffer.drain(..head + length);
        let reply = rule(&received);
        all.lock().unwrap().push(received);
        match reply {
            Reply::Answer(status, lines, body) => {
                let head = format!("HTTP/1.1 {status} X\r\n{lines}content-length: {}\r\n\r\n", body.len());
                stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await.ok()?;
            }
            Reply::Hang => std::future::pending().await,
            Reply::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\n\r\n").await.ok()?;
                loop {
                    poured.fetch_add(stream.write(&[b'x'; 64 * 1024]).await.ok()?, Relaxed);
                }
            }
        }
    }
}
