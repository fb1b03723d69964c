//! From a request to a WebSocket (RFC 6455, section 4.2): what the handshake must say, and the answer 101.

use std::{fmt, sync::Arc};

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, request::Parts};
use hyper::upgrade::OnUpgrade;
use parking_lot::Mutex;
use schemars::{Schema, SchemaGenerator};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{Output, Problem, RequestContext, Socket, SocketConfig, SocketPlaces, cors, credentials};

/// Before a credential in the list of subprotocols: a browser can send no other header with a handshake.
const BEARER: &str = "chatelaine.bearer.";
/// The most of that list that is read.
const PROTOCOLS: usize = 16;

/// The tasks of open sockets. Who stops the server waits for them, and cuts those that are left.
#[derive(Clone, Debug, Default)]
pub struct SocketTasks {
    /// Holds each until it has ended.
    pub tracker: TaskTracker,
    /// Ends them all at once, without a word.
    pub closing: CancellationToken,
    /// How many there may be.
    pub places: SocketPlaces,
}

/// A handshake that said all it must.
#[derive(Clone)]
pub(crate) struct Handshake {
    accept: HeaderValue,
    /// What the client offers, but for the credential.
    protocols: Arc<[String]>,
    connection: Arc<Mutex<Option<OnUpgrade>>>,
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("protocols", &self.protocols).finish_non_exhaustive()
    }
}

impl Handshake {
    /// `None` when it is none.
    pub(crate) fn take(parts: &mut Parts) -> Option<Self> {
        let headers = &parts.headers;
        let is_handshake = parts.method == Method::GET
            && parts.version == Version::HTTP_11
            && names(headers, header::UPGRADE, "websocket")
            && names(headers, header::CONNECTION, "upgrade")
            && only(headers, header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
        let key = only(headers, header::SEC_WEBSOCKET_KEY).filter(|key| is_nonce(key.as_bytes()))?;
        if !is_handshake {
            return None;
        }
        let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()?;
        let offered = offered(headers).filter(|name| !name.starts_with(BEARER));
        let protocols = offered.take(PROTOCOLS).map(str::to_owned).collect();
        let connection = parts.extensions.remove::<OnUpgrade>()?;
        Some(Self { accept, protocols, connection: Arc::new(Mutex::new(Some(connection))) })
    }
}

/// The credentials in the list of subprotocols.
pub(crate) fn bearers(headers: &HeaderMap) -> impl Iterator<Item = Option<&str>> {
    offered(headers).filter_map(|name| Some(credentials::text(name.strip_prefix(BEARER)?.as_bytes())))
}

/// Where a page that opens a socket may be: anywhere that has a name, because a token is bound to a run and a
/// role and no cookie is read. What a browser calls `null` has none.
pub(crate) fn allows_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = cors::origin(headers) else { return true };
    let Some((scheme, host)) = origin.split_once("://") else { return false };
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':' | b'[' | b']');
    origin.len() <= 255
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(is_scheme)
        && host.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[')
        && host.bytes().all(is_host)
}

fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).map(str::trim)
}

fn names(headers: &HeaderMap, name: HeaderName, wanted: &str) -> bool {
    let lines = headers.get_all(name);
    let mut words = lines.iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    words.any(|word| word.trim().eq_ignore_ascii_case(wanted))
}

fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// 16 bytes in base64.
fn is_nonce(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(is_digit)
}

impl RequestContext {
    /// Makes the request a WebSocket; `run` has it once the answer has been sent, and its end is the socket's.
    /// With `protocol`, a client that offers subprotocols must offer this one.
    ///
    /// # Errors
    /// 400 `INVALID_REQUEST` where the request is no handshake, or offers other subprotocols only; 429 and 503
    /// where there is no place for another socket.
    pub fn upgrade<F, R>(
        &self,
        protocol: Option<&'static str>,
        config: SocketConfig,
        run: F,
    ) -> Result<Upgraded, Problem>
    where
        F: FnOnce(Socket) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let no_handshake =
            || Problem::invalid_request("This is a WebSocket: send a handshake of version 13 (RFC 6455)");
        let handshake = self.handshake.as_ref().ok_or_else(no_handshake)?;
        let offers = |name: &str| handshake.protocols.iter().any(|offered| offered == name);
        let protocol = protocol.filter(|name| offers(name));
        if protocol.is_none() && !handshake.protocols.is_empty() {
            return Err(Problem::invalid_request("None of the offered subprotocols is spoken here"));
        }
        let (door, tasks) = (self.door(), self.door().tasks());
        let place = tasks.places.take(self.address)?;
        let connection = handshake.connection.lock().take().ok_or_else(no_handshake)?;
        let closing = tasks.closing;
        tasks.tracker.spawn(async move {
            let _place = place;
            // It never comes when the client has gone before the answer.
            let Some(Ok(io)) = closing.run_until_cancelled(connection).await else { return };
            // Boxed: a future that is handed on by value takes its size twice, for as long as the socket is open.
            let conversation = Box::pin(run(Socket::new(io, config, door).await));
            closing.run_until_cancelled(conversation).await;
        });
        Ok(Upgraded { accept: handshake.accept.clone(), protocol })
    }
}

/// 101: the connection is a WebSocket from here on. Made by [`RequestContext::upgrade`].
#[derive(Debug)]
pub struct Upgraded {
    accept: HeaderValue,
    protocol: Option<&'static str>,
}

impl Output for Upgraded {
    const MEDIA_TYPE: Option<&'static str> = None;

    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }

    fn into_response(self, _: StatusCode) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept);
        if let Some(protocol) = self.protocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        response
    }
}
