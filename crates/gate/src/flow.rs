//! The way a request goes: identify, charge, decide, read, run, answer. All of it in one place.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
};

use access::Caller;
use ambient::{Clock, Millis, Random, RandomError, RequestId};
use axum::{body::Body, extract::Request, response::Response};
use bytes::Bytes;
use cluster::{Cluster, Verdict};
use credential::{key::Parser, secret::Secrets, token::Tokens};
use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use ipnet::IpNet;
use store::Store;

use crate::{
    DropInConfig, LogLine, Meta, Metrics, OwnPages, Problem, Refused, RefusedRequest, RequestContext, RequestLog, Sent,
    SignInCookie, SocketTasks, Surface, TokenDoor, Upload,
    ask::Table,
    authenticate::Surroundings,
    body,
    call::{Found, lists},
    cors,
    decisions::Decisions,
    enter::Seen,
    idempotency::{self, Claimed},
    member,
    metrics::OperationMetrics,
    remember::{Answer, Sender},
    request_ids::RequestIds,
    trace::Trace,
    upgrade::Handshake,
    upload,
};

/// The address at the other end of the connection; the accept loop puts it into each request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// What the operator may set.
#[derive(Debug)]
pub struct GateConfig {
    /// Pages that are ours.
    pub own_pages: OwnPages,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The largest request body, in bytes; 256 KiB.
    pub body_limit: usize,
    /// The drop-in surface; without it only widget keys chat there, and nobody reads.
    pub drop_in: Option<DropInConfig>,
}

/// What the gate asks.
pub struct GateParts {
    /// Keyring, sessions and budgets.
    pub cluster: Cluster,
    /// For idempotency and audit records.
    pub store: Store,
    /// The configured prefixes.
    pub parser: Arc<Parser>,
    /// Digests and sealed answers.
    pub secrets: Arc<Secrets>,
    /// Verifies tokens.
    pub tokens: Arc<Tokens>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// For request ids and seals.
    pub random: Arc<dyn Random>,
    /// What the operator may set.
    pub config: GateConfig,
    /// Where numbers go.
    pub metrics: Metrics,
    /// Where lines go.
    pub log: RequestLog,
    /// Where sockets live on.
    pub sockets: SocketTasks,
}

/// The one check of every request. Clones share.
#[derive(Clone)]
pub struct Gate(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) cluster: Cluster,
    pub(crate) store: Store,
    pub(crate) parser: Arc<Parser>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) config: GateConfig,
    pub(crate) metrics: Metrics,
    pub(crate) sockets: SocketTasks,
    pub(crate) sign_in_cookie: SignInCookie,
    /// Known once the routes are complete.
    pub(crate) operations: OnceLock<Table>,
    pub(crate) decisions: Decisions,
    log: RequestLog,
    request_ids: RequestIds,
}

/// An admitted request on its way to the handler.
pub(crate) struct Admitted {
    pub(crate) caller: Caller,
    pub(crate) body: Bytes,
    pub(crate) context: RequestContext,
}

/// A handler without its types.
pub(crate) type Run = Arc<dyn Fn(Admitted) -> BoxFuture<'static, Result<Response, Problem>> + Send + Sync>;

/// A mounted operation.
pub(crate) struct Mounted {
    pub(crate) meta: Meta,
    pub(crate) run: Run,
    pub(crate) metrics: OperationMetrics,
}

impl Gate {
    /// A gate.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn new(parts: GateParts) -> Result<Self, RandomError> {
        let mut seed = [0; 16];
        parts.random.fill(&mut seed)?;
        Ok(Self(Arc::new(Inner {
            cluster: parts.cluster,
            store: parts.store,
            parser: parts.parser,
            secrets: parts.secrets,
            tokens: parts.tokens,
            clock: parts.clock,
            random: parts.random,
            sign_in_cookie: SignInCookie::of(parts.config.own_pages.origins.first().map_or("", String::as_str)),
            config: parts.config,
            metrics: parts.metrics,
            log: parts.log,
            sockets: parts.sockets,
            operations: OnceLock::new(),
            decisions: Decisions::default(),
            request_ids: RequestIds::new(seed),
        })))
    }

    pub(crate) async fn serve(self, mounted: &'static Mounted, request: Request) -> Response {
        let started = self.0.clock.elapsed();
        let now = self.0.clock.now();
        let id = self.0.request_ids.next(now);
        let (parts, body) = request.into_parts();
        let address = self.0.client_address(&parts);
        let refusal = mounted.meta.refusal.filter(|_| lists(&parts.headers, header::ACCEPT, "text/html"));
        let asked = refusal.map(|page| (page, parts.uri.clone()));
        let sender = Sender::of(&parts, &mounted.meta);
        let (mut seen, trace) = (Seen::default(), Trace::default());
        let arrival = Arrival { id, now, address, trace: &trace };
        let outcome = self.0.answer(mounted, parts, body, arrival, &mut seen).await;
        let (mut response, code, why) = match outcome {
            Ok(response) => (response, None, None),
            Err(problem) => {
                let (code, why) = (problem.code(), sender.why(&problem, trace.noted()));
                if let Some(cause) = problem.cause() {
                    tracing::error!(request = %id, operation = mounted.meta.id, cause, "a request failed on our side");
                }
                let answer = match asked {
                    Some((page, uri)) => {
                        let is_read = !mounted.meta.method.changes();
                        problem.into_page(page, RefusedRequest { id, is_read, uri: &uri })
                    }
                    None => problem.into_answer(&mounted.meta, id),
                };
                (answer, Some(code), Some(why))
            }
        };
        let headers = response.headers_mut();
        // Room for all that is added here and by hyper: growing one by one rehashes twice.
        headers.reserve(12);
        // A refusal has said which budget refused.
        if let Some(verdict) = seen.verdict
            && !headers.contains_key(BUDGET)
        {
            show_budget(headers, verdict);
        }
        if let Some(origin) = &seen.origin {
            cors::expose(headers, origin);
        }
        if mounted.meta.is_for_browsers() {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        finish(headers, id, self.0.sign_in_cookie);
        let took = self.0.clock.elapsed().saturating_sub(started);
        mounted.metrics.record(response.status().as_u16(), took.as_secs_f64(), code);
        if self.0.log.is_on() {
            self.0.log.record(LogLine {
                time: now,
                id,
                method: mounted.meta.method.as_str(),
                operation: mounted.meta.id,
                status: response.status().as_u16(),
                micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                code,
                caller: seen.caller,
                workspace: seen.tenant.map(|tenant| tenant.workspace),
                address,
            });
        }
        let status = response.status().as_u16();
        let answered = Answer { time: now, id, status, micros: took.as_micros(), code, address, why };
        self.0.remember(&mounted.meta, answered, &seen, (&sender, trace.noted()));
        response
    }

    /// The answer where no operation is: an unknown path, or a method that a path does not take. Among pages it is one,
    /// for whom reads those.
    pub(crate) fn refuse(
        &self,
        operation: &'static str,
        surface: Surface,
        page: Option<Refused>,
        problem: Problem,
        parts: &Parts,
    ) -> Response {
        let now = self.0.clock.now();
        let id = self.0.request_ids.next(now);
        let code = problem.code();
        let page = page.filter(|_| lists(&parts.headers, header::ACCEPT, "text/html"));
        let is_read = matches!(parts.method, http::Method::GET | http::Method::HEAD);
        let mut response = match (surface, page) {
            (Surface::House, Some(page)) => problem.into_page(page, RefusedRequest { id, is_read, uri: &parts.uri }),
            (Surface::House, None) => problem.into_response(id),
            (Surface::DropIn, _) => problem.into_drop_in_response(false),
        };
        if surface == Surface::DropIn {
            if let Some(page) = self.0.drop_in_reader(&parts.headers) {
                cors::expose(response.headers_mut(), &page);
            }
            response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
        }
        finish(response.headers_mut(), id, self.0.sign_in_cookie);
        let status = response.status().as_u16();
        self.0.metrics.of(operation, status).record(status, 0.0, Some(code));
        if self.0.log.is_on() {
            self.0.log.record(LogLine {
                time: now,
                id,
                method: "-",
                operation,
                status,
                micros: 0,
                code: Some(code),
                caller: None,
                workspace: None,
                address: self.0.client_address(parts),
            });
        }
        self.0.remember_stray(operation, &parts.method, (now, id), (status, code), self.0.client_address(parts));
        response
    }
}

#[derive(Clone, Copy)]
struct Arrival<'a> {
    id: RequestId,
    now: Millis,
    address: IpAddr,
    trace: &'a Trace,
}

impl Inner {
    async fn answer(
        self: &Arc<Self>,
        mounted: &'static Mounted,
        mut parts: Parts,
        body: Body,
        arrival: Arrival<'_>,
        seen: &mut Seen,
    ) -> Result<Response, Problem> {
        let meta = &mounted.meta;
        let handshake = if meta.is_socket() { Handshake::take(&mut parts) } else { None };
        let Arrival { id, now, address, trace } = arrival;
        let around = Surroundings { headers: &parts.headers, address, now, request: id, trace };
        let mut identity = self.enter(meta, parts.uri.path(), around, seen).await?;
        let mut file = None;
        let body = if let Some(rule) = &meta.upload {
            file = Some(Upload::open(&parts.headers, body, rule)?);
            upload::outline(&parts.headers, parts.uri.query())
        } else if meta.method.has_body() {
            let body = body::read(&parts.headers, body, self.config.body_limit).await?;
            if meta.form {
                body::check_form_type(&parts.headers)?;
            } else if !meta.raw {
                body::check_media_type(&parts.headers, &body)?;
            }
            if !meta.is_open() {
                // A body may take its time, and meanwhile the credential may have been revoked.
                let around = Surroundings { now: self.clock.now(), ..around };
                identity = self.identify(meta, around).await?;
                self.admit(&meta.access, &mut identity, around)?;
                member::check_confirmed(meta, &identity.caller, around.now, &body)?;
            }
            body
        } else {
            Bytes::new()
        };
        let door = TokenDoor::new(Arc::clone(self), address, id);
        let found = Found { id, now, address, own_pages: &self.config.own_pages, handshake, door };
        let mut context = RequestContext::read(found, &parts.headers, parts.uri, meta)?;
        context.upload.clone_from(&file);
        if meta.raw {
            context.sent = Some(Sent::new(&parts.headers, context.uri.query(), body.clone()));
        }
        // A message of the drop-in surface is answered in one piece: when its client leaves, the model is to stop.
        if !meta.method.changes() || meta.surface == Surface::DropIn {
            let run = AssertUnwindSafe((mounted.run)(Admitted { caller: identity.caller, body, context }));
            return run.catch_unwind().await.unwrap_or_else(|_| Err(Problem::unavailable("a handler panicked")));
        }
        let (gate, sent) = (Arc::clone(self), file.clone());
        // A change runs to its end even when the client leaves: what is committed must also be
        // known to the keyring.
        let ended = tokio::spawn(async move {
            let caller = identity.caller.clone();
            let claim = if meta.creates {
                let key = context.idempotency_key.clone();
                idempotency::claim(&gate, meta, &caller, key, context.uri.path(), &body).await?
            } else {
                Claimed::No
            };
            let admitted = Admitted { caller: identity.caller, body, context };
            let answered = match claim {
                Claimed::Replay(replay) => return Ok(Err(replay)),
                Claimed::No => (mounted.run)(admitted).await,
                Claimed::Fresh(claim) => {
                    let outcome = claim.attempt.run((mounted.run)(admitted)).await;
                    claim.settle(&gate, &caller, outcome, sent.as_ref()).await
                }
            };
            answered.map(Ok)
        })
        .await
        .unwrap_or_else(|error| Err(Problem::unavailable(error)))?;
        let replay = match ended {
            Ok(response) => return Ok(response),
            Err(replay) => replay,
        };
        let response = replay.answer_to(file.as_ref()).await?;
        if file.is_some() {
            // That took its time, too.
            let around = Surroundings { now: self.clock.now(), ..around };
            let mut identity = self.identify(meta, around).await?;
            self.admit(&meta.access, &mut identity, around)?;
        }
        Ok(response)
    }

    /// The peer, or what trusted proxies say: the rightmost address that none of them owns.
    fn client_address(&self, parts: &Parts) -> IpAddr {
        let peer = parts.extensions.get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0.ip().to_canonical());
        let trusts = |address: &IpAddr| self.config.trusted_proxies.iter().any(|net| net.contains(address));
        if self.config.trusted_proxies.is_empty() || !trusts(&peer) {
            return peer;
        }
        let lines: Vec<&[u8]> = parts.headers.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes).collect();
        // From the right, each part by itself: what a client wrote on the left cannot spoil what a
        // proxy added.
        for part in lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b',')) {
            let address = std::str::from_utf8(part).ok().and_then(|text| text.trim().parse::<IpAddr>().ok());
            match address.map(|address| address.to_canonical()) {
                Some(address) if trusts(&address) => {}
                Some(address) => return address,
                None => return peer,
            }
        }
        peer
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const BUDGET: HeaderName = HeaderName::from_static("ratelimit");
const BUDGET_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

fn finish(headers: &mut HeaderMap, id: RequestId, cookie: SignInCookie) {
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(id.to_string())) {
        headers.insert(REQUEST_ID, value);
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Whom the world reaches by TLS is never asked without it again (RFC 6797).
    if cookie.is_secure() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
}

/// `RateLimit` and `RateLimit-Policy` (structured fields, draft of 2025-09).
pub(crate) fn show_budget(headers: &mut HeaderMap, verdict: Verdict) {
    let mut text = String::with_capacity(48);
    // Writing to a String cannot fail.
    let _ = write!(text, "\"{}\";r={};t={}", verdict.policy, verdict.remaining, verdict.reset_s);
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(text)) {
        headers.insert(BUDGET, value);
    }
    let mut text = String::with_capacity(48);
    let _ = write!(text, "\"{}\";q={};w={}", verdict.policy, verdict.quota, verdict.window_s);
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(text)) {
        headers.insert(BUDGET_POLICY, value);
    }
}

/// The status of success, checked when the table is made.
pub(crate) fn success_status(meta: &Meta) -> StatusCode {
    StatusCode::from_u16(meta.status).unwrap_or(StatusCode::OK)
}
