//! A small HTTP/1.1 client that sends what a test says, also what no polite client would.
#![expect(clippy::expect_used, clippy::panic, reason = "a test whose server does not answer is over")]

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

use crate::{events::Events, lines::Lines};

/// Longer than anything a healthy server takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends each request over a connection of its own.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    address: SocketAddr,
}

impl Client {
    /// A client of the server at `address`.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Where it sends.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A request without any header but `Host`.
    pub fn request(&self, method: &str, target: &str) -> Request {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        Request {
            address: self.address,
            method,
            target: target.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// `GET target`.
    pub fn get(&self, target: &str) -> Request {
        self.request("GET", target)
    }

    /// `POST target` with a JSON body.
    pub fn post(&self, target: &str, body: &Value) -> Request {
        self.request("POST", target).json(body)
    }

    /// Writes `first`, waits for `meanwhile`, writes the rest, and reads until the server closes or is
    /// silent for 2 s.
    ///
    /// # Panics
    /// When the server cannot be reached.
    pub async fn raw_in_two(&self, first: &[u8], meanwhile: impl Future<Output = ()>, rest: &[u8]) -> String {
        let mut socket = TcpStream::connect(self.address).await.expect("the server listens");
        socket.write_all(first).await.expect("the first half");
        // Long enough for the server to have read it and to wait for the rest.
        tokio::time::sleep(Duration::from_millis(100)).await;
        meanwhile.await;
        socket.write_all(rest).await.expect("the second half");
        let mut answer = Vec::new();
        let mut buffer = [0; 8192];
        while let Ok(Ok(count)) = tokio::time::timeout(Duration::from_secs(2), socket.read(&mut buffer)).await {
            if count == 0 {
                break;
            }
            answer.extend_from_slice(&buffer[..count]);
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Writes `bytes` as they are, and reads until the server closes or is silent for 2 s.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let socket = TcpStream::connect(self.address).await.expect("the server listens");
        let (mut reader, mut writer) = socket.into_split();
        let bytes = bytes.to_vec();
        let writing = tokio::spawn(async move {
            // A server that has heard enough stops reading: what matters is its answer.
            let _ = writer.write_all(&bytes).await;
            writer
        });
        let mut answer = Vec::new();
        let mut buffer = [0; 8192];
        while let Ok(Ok(count)) = tokio::time::timeout(Duration::from_secs(2), reader.read(&mut buffer)).await {
            if count == 0 {
                break;
            }
            answer.extend_from_slice(&buffer[..count]);
        }
        writing.abort();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// A request that is being put together.
#[must_use = "a request does nothing until it is sent"]
#[derive(Clone, Debug)]
pub struct Request {
    address: SocketAddr,
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Request {
    /// With one more header; the same name twice sends it twice.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
        self.headers.append(name, HeaderValue::from_bytes(value.as_ref()).expect("a header's value"));
        self
    }

    /// With `Authorization: Bearer`.
    pub fn bearer(self, credential: &str) -> Self {
        self.header("authorization", format!("Bearer {credential}"))
    }

    /// As a page on this origin sends it.
    pub fn origin(self, origin: &str) -> Self {
        self.header("origin", origin)
    }

    /// With a JSON body.
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// With any body; an empty type sends no `Content-Type`.
    pub fn body(mut self, media_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        if media_type.is_empty() { self } else { self.header("content-type", media_type) }
    }

    /// Sends it and reads the whole answer.
    pub async fn send(self) -> Answer {
        let about = format!("{} {}", self.method, self.target);
        let work = async {
            let (response, _connection) = self.open().await;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.expect("the whole answer").to_bytes();
            Answer { status: parts.status.as_u16(), headers: parts.headers, body }
        };
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(answer) => answer,
            Err(_) => panic!("{about}: no answer in {PATIENCE:?}"),
        }
    }

    /// Sends it and hangs up on a success: its answer is without the body, which may have no end.
    pub async fn send_and_leave(self) -> Answer {
        let about = format!("{} {}", self.method, self.target);
        let opened = tokio::time::timeout(PATIENCE, self.open()).await;
        let Ok((response, _connection)) = opened else { panic!("{about}: no answer in {PATIENCE:?}") };
        let (parts, body) = response.into_parts();
        let body = if parts.status.is_success() {
            Bytes::new()
        } else {
            body.collect().await.expect("the whole answer").to_bytes()
        };
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// Sends it and reads events as they come.
    ///
    /// # Panics
    /// When the answer is not a stream of events.
    pub async fn stream(self) -> Events {
        let (headers, body, connection) = self.open_stream("text/event-stream").await;
        Events::new(headers, body, connection)
    }

    /// Sends it and reads NDJSON lines as they come.
    ///
    /// # Panics
    /// When the answer is none.
    pub async fn lines(self) -> Lines {
        let (headers, body, connection) = self.open_stream("application/x-ndjson").await;
        Lines::new(headers, body, connection)
    }

    async fn open_stream(self, wanted: &str) -> (HeaderMap, Incoming, Connection) {
        let about = format!("{} {}", self.method, self.target);
        let opened = tokio::time::timeout(PATIENCE, self.open()).await;
        let Ok((response, connection)) = opened else { panic!("{about}: no answer in {PATIENCE:?}") };
        let (parts, body) = response.into_parts();
        if parts.status != 200 {
            let body = body.collect().await.expect("the whole answer").to_bytes();
            panic!("{about}: {} {}", parts.status, String::from_utf8_lossy(&body));
        }
        let media_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        assert!(media_type.is_some_and(|text| text.starts_with(wanted)), "{about}: {media_type:?}");
        (parts.headers, body, connection)
    }

    pub(crate) async fn open(self) -> (http::Response<Incoming>, Connection) {
        let socket = TcpStream::connect(self.address).await.expect("the server listens");
        socket.set_nodelay(true).expect("a TCP socket");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.expect("a connection");
        let connection = Connection(tokio::spawn(async move {
            // Its errors come out of the request too.
            let _ = connection.with_upgrades().await;
        }));
        let mut request = http::Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.target.parse().expect("a target");
        *request.headers_mut() = self.headers;
        let host = HeaderValue::from_str(&self.address.to_string()).expect("an address");
        request.headers_mut().entry(header::HOST).or_insert(host);
        let response = sender.send_request(request).await.expect("an answer");
        (response, connection)
    }
}

/// An open connection; dropping it closes the socket at once, as a client that is killed does.
#[derive(Debug)]
pub(crate) struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// The header's text, empty when it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `null` when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// `data` of the body.
    #[must_use]
    pub fn data(&self) -> Value {
        self.json()["data"].take()
    }

    /// `error.code` of the body, empty when it is missing.
    #[must_use]
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Itself, when it has this status.
    ///
    /// # Panics
    /// When it has another; says which and what the body was.
    #[track_caller]
    #[must_use]
    pub fn expect(self, status: u16) -> Self {
        assert!(self.status == status, "{} instead of {status}: {}", self.status, self.text());
        self
    }

    /// Itself, when it is the envelope of contract section 3 with this status and code.
    ///
    /// # Panics
    /// When it is not; says what it was.
    #[track_caller]
    #[must_use]
    pub fn refused(self, status: u16, code: &str) -> Self {
        let error = self.json()["error"].take();
        assert!(
            self.status == status && self.code() == code,
            "{} {} instead of {status} {code}",
            self.status,
            self.text()
        );
        assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "no message: {}", self.text());
        let id = error["request_id"].as_str().unwrap_or_default();
        assert!(id.starts_with("req_") && id == self.header("x-request-id"), "request id: {id} {:?}", self.headers);
        assert!(self.header("content-type").starts_with("application/json"), "{:?}", self.headers);
        self
    }

    /// The body without its request id: what two refusals are compared by.
    #[must_use]
    pub fn body_without_id(&self) -> String {
        let mut body = self.json();
        if let Some(error) = body["error"].as_object_mut() {
            error.remove("request_id");
        }
        body.to_string()
    }
}
