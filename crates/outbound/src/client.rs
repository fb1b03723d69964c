use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{ACCEPT, CONTENT_TYPE},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use url::{Host, Url};

use crate::{
    Cause, HeaderRefusal, Lookup, OutboundError, Policy, SystemLookup, UrlRefusal,
    header::{MAX_HEADER_BYTES, MAX_HEADERS, is_reserved},
    policy::Target,
    resolve::{Guard, TARGET},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_CONNECTION: Duration = Duration::from_secs(30);
const IDLE_PER_HOST: usize = 64;
pub(crate) const USER_AGENT: &str = concat!("chatelaine/", env!("CARGO_PKG_VERSION"));

/// Calls the addresses that tenants name, under the operator's [`Policy`]. Clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    guard: Guard,
    calls: Arc<Semaphore>,
    trusts_nobody: bool,
}

/// One request with a JSON body. `Debug` shows none of it: URL, headers and body may hold secrets.
#[derive(Clone)]
pub struct Request {
    /// What [`Client::check_url`] gave; it is checked again when it is sent.
    pub url: Url,
    /// From [`crate::check_header`]; `Content-Type` and `Accept` are written by the client.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// JSON.
    pub body: Bytes,
    /// Until the answer's head is there, and again between any two pieces of its body.
    pub timeout: Duration,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").finish_non_exhaustive()
    }
}

/// An answer whose body is still coming. Dropping it closes the connection, which is how a
/// cancelled reply stops costing money.
pub struct Response {
    /// The status code; redirects are not followed, so it may be a 3xx.
    pub status: u16,
    /// Of the head.
    pub headers: HeaderMap,
    body: reqwest::Response,
    idle: Duration,
    // Declared last, so dropped last: the connection goes before another may take its place.
    _place: OwnedSemaphorePermit,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Client {
    /// A client that looks names up as the operating system does.
    ///
    /// # Errors
    /// [`OutboundError::Setup`] when TLS cannot be set up.
    pub fn new(policy: Policy) -> Result<Self, OutboundError> {
        Self::with_lookup(policy, Arc::new(SystemLookup))
    }

    /// A client that asks `lookup` for addresses.
    ///
    /// # Errors
    /// [`OutboundError::Setup`] when TLS cannot be set up.
    pub fn with_lookup(policy: Policy, lookup: Arc<dyn Lookup>) -> Result<Self, OutboundError> {
        let calls = policy.max_calls.unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        let guard = Guard { policy: Arc::new(policy), lookup };
        let builder = || base().dns_resolver(guard.clone());
        let (http, trusts_nobody) = match builder().build() {
            Ok(http) => (http, false),
            // A machine without root certificates can still call http in its own network; https
            // then fails on every certificate, as it should.
            Err(_) => (builder().tls_certs_only([]).build().map_err(|e| OutboundError::Setup(e.into()))?, true),
        };
        Ok(Self { http, guard, calls: Arc::new(Semaphore::new(calls)), trusts_nobody })
    }

    /// True when this machine has no root certificates, so that https can reach nobody. Worth a
    /// warning at start.
    #[must_use]
    pub fn trusts_nobody(&self) -> bool {
        self.trusts_nobody
    }

    /// Checks what a tenant wrote, on save. Names are resolved and judged only when they are called.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check_url(&self, url: &str) -> Result<Url, UrlRefusal> {
        self.guard.policy.check_text(url)
    }

    /// Sends and waits for the answer's head. Dropping the future closes the connection.
    ///
    /// # Errors
    /// See [`OutboundError`]; a 4xx or 5xx is an answer, not an error.
    pub async fn post_json_stream(&self, request: Request) -> Result<Response, OutboundError> {
        let idle = request.timeout;
        timeout(idle, self.send(Method::POST, request)).await.map_err(|_| OutboundError::Timeout)?
    }

    /// The same by any method. An empty body is none.
    ///
    /// # Errors
    /// As [`Client::post_json_stream`].
    pub async fn call(&self, method: Method, request: Request) -> Result<Response, OutboundError> {
        let idle = request.timeout;
        timeout(idle, self.send(method, request)).await.map_err(|_| OutboundError::Timeout)?
    }

    async fn send(&self, method: Method, request: Request) -> Result<Response, OutboundError> {
        let target = self.guard.policy.check(&request.url)?;
        self.check_literal(&request.url, &target).await?;
        let mut headers = collect_headers(request.headers)?;
        if request.body.is_empty() {
            headers.remove(CONTENT_TYPE);
        }
        let place = self.calls.clone().try_acquire_owned().map_err(|_| OutboundError::Busy)?;
        let idle = request.timeout;
        let sending = self.http.request(method, request.url).headers(headers).body(request.body).send();
        let mut body = TARGET.scope(target, sending).await.map_err(OutboundError::from_client)?;
        let headers = std::mem::take(body.headers_mut());
        Ok(Response { status: body.status().as_u16(), headers, body, idle, _place: place })
    }

    async fn check_literal(&self, url: &Url, target: &Target) -> Result<(), OutboundError> {
        let address: IpAddr = match url.host() {
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        self.guard.check_denied_names(&[address], target).await.map_err(|cause: Cause| {
            match cause.downcast::<UrlRefusal>() {
                Ok(refusal) => OutboundError::Refused(*refusal),
                Err(cause) => OutboundError::Resolve(cause),
            }
        })
    }
}

impl Response {
    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// [`OutboundError::Timeout`] when nothing came for the request's timeout, else
    /// [`OutboundError::Transport`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, OutboundError> {
        match timeout(self.idle, self.body.chunk()).await {
            Ok(chunk) => chunk.map_err(OutboundError::from_client),
            Err(_) => Err(OutboundError::Timeout),
        }
    }

    /// The whole body, at most `limit` bytes.
    ///
    /// # Errors
    /// [`OutboundError::TooLarge`] beyond the limit, else as [`Response::chunk`].
    pub async fn bytes(mut self, limit: usize) -> Result<Bytes, OutboundError> {
        let mut all = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if chunk.len() > limit - all.len() {
                return Err(OutboundError::TooLarge);
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }
}

fn collect_headers(given: Vec<(HeaderName, HeaderValue)>) -> Result<HeaderMap, OutboundError> {
    let size: usize = given.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if given.len() > MAX_HEADERS || size > MAX_HEADER_BYTES {
        return Err(HeaderRefusal::TooMany.into());
    }
    let mut headers = HeaderMap::with_capacity(given.len() + 2);
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream, application/json"));
    for (name, mut value) in given {
        if is_reserved(&name) {
            return Err(HeaderRefusal::Reserved.into());
        }
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(headers)
}

/// What both clients have in common: nothing is followed, kept, guessed or read from the environment.
pub(crate) fn base() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_CONNECTION)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .tcp_nodelay(true)
}
