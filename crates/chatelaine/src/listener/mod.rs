//! The accept loop: one task for each connection, patient with slow clients but not for ever, and
//! a drain that ends.
//!
//! Our own loop rather than axum's: it sets the size of the buffers, it tells apart a client that
//! is idle from one that dribbles a request, and its shutdown has a deadline.

mod activity;
mod admission;
mod descriptors;
mod linger;
mod refusal;
mod socket;

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use ambient::{Clock, Random};
use axum::Router;
use http::{HeaderMap, Request, StatusCode, Version, header::HOST};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::task::TaskTracker;
use tower::Service;

use activity::{Activity, Counted, InFlight, TICK, Verdict, Watch};
use admission::{Admission, Place, Refused, Seldom};
pub(crate) use admission::{Caps, calls_of_process, sockets_of_process};
use socket::Socket;

/// Head and buffers of one connection, in bytes; a longer head is answered 431.
const BUFFER: usize = 16 * 1024;

/// Between two tries to accept when the process has no more file descriptors, or to find a connection
/// that can go.
const PAUSE: Duration = Duration::from_millis(100);

/// What the connections are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// All is well.
    Serving,
    /// Finish the request at hand, then close.
    Draining,
    /// Close now.
    Closing,
}

/// What every connection shares.
pub(crate) struct Listening {
    pub(crate) router: Router,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) stage: watch::Receiver<Stage>,
    pub(crate) connections: TaskTracker,
    pub(crate) caps: Caps,
}

impl Listening {
    /// Accepts until the stage is no longer `Serving`; the listener is closed then.
    pub(crate) async fn accept(self, listener: TcpListener) {
        let shared = Arc::new(self);
        let admission = Admission::new(shared.caps.clone());
        let (mut failing, mut full, mut crowded) = (Seldom::default(), Seldom::default(), Seldom::default());
        let mut stage = shared.stage.clone();
        let mut stopped = pin!(stage.wait_for(|stage| *stage != Stage::Serving));
        loop {
            let accepted = tokio::select! {
                biased;
                _ = &mut stopped => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let activity = Arc::new(Activity::default());
                    let place = tokio::select! {
                        biased;
                        _ = &mut stopped => return,
                        place = shared.admit(&admission, peer, &activity, &mut full) => place,
                    };
                    match place {
                        Some(place) => {
                            shared.connections.spawn(serve(shared.clone(), stream, peer, activity, place));
                        }
                        None if crowded.is_due(shared.clock.elapsed()) => {
                            tracing::warn!(address = %peer.ip(), "an address has too many connections; new ones are closed");
                        }
                        None => {}
                    }
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if failing.is_due(shared.clock.elapsed()) {
                        tracing::warn!(%error, "cannot accept connections; trying again");
                    }
                    admission.evict();
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// A place for a new connection, at the cost of an idle one if need be; `None` when its address has
    /// as many as it may.
    async fn admit(
        &self,
        admission: &Arc<Admission>,
        peer: SocketAddr,
        activity: &Arc<Activity>,
        full: &mut Seldom,
    ) -> Option<Place> {
        loop {
            match admission.enter(peer.ip(), activity) {
                Ok(place) => return Some(place),
                Err(Refused::TooMany) => return None,
                Err(Refused::Full) => {
                    let evicted = admission.make_room(PAUSE).await;
                    if full.is_due(self.clock.elapsed()) {
                        tracing::warn!(
                            evicted,
                            "there is no room for another connection; raise the limit of open files"
                        );
                    }
                }
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve(shared: Arc<Listening>, stream: TcpStream, peer: SocketAddr, activity: Arc<Activity>, place: Place) {
    // Tokens of a reply are small; they must not wait for one another.
    let _ = stream.set_nodelay(true);
    let socket = Socket::new(stream, activity.clone(), shared.clock.clone(), shared.random.clone());
    // With the socket rather than with this task: a WebSocket outlives it.
    let socket = socket.holding(place);
    let (refusing, counted) = (shared.clone(), activity.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (in_flight, upgrading) = (InFlight::begin(counted.clone()), counted.clone());
        request.extensions_mut().insert(gate::Peer(peer));
        let answer = match names_one_host(request.version(), request.headers()) {
            true => Ok(refusing.router.clone().call(request)),
            false => Err(refusal::without_host(&*refusing.clock, &*refusing.random)),
        };
        async move {
            let response = match answer {
                Ok(answer) => answer.await?,
                Err(refusal) => refusal,
            };
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                upgrading.become_socket();
            }
            Ok::<_, Infallible>(response.map(|body| Counted::new(body, in_flight)))
        }
    });
    let mut builder = http1::Builder::new();
    builder.max_buf_size(BUFFER).keep_alive(true);
    let connection = builder.serve_connection(TokioIo::new(socket), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let mut stage = shared.stage.clone();
    let mut draining = false;
    let mut ticks = tokio::time::interval(TICK);
    let mut watch = Watch::default();
    loop {
        tokio::select! {
            biased;
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            closing = stage.wait_for(|stage| *stage == Stage::Closing || (*stage == Stage::Draining && !draining)) => {
                if closing.is_ok_and(|stage| *stage == Stage::Draining) {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                } else {
                    return;
                }
            }
            may_leave = activity.asked_to_leave() => if may_leave { return },
            _ = ticks.tick() => match watch.look(&activity) {
                Verdict::Keep => {}
                Verdict::Finish => connection.as_mut().graceful_shutdown(),
                Verdict::Drop => return,
            },
        }
    }
}

/// A request of HTTP/1.1 has exactly one `Host` (RFC 9112, section 3.2).
fn names_one_host(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    version < Version::HTTP_11 || (hosts.next().is_some() && hosts.next().is_none())
}

#[cfg(test)]
mod tests;
