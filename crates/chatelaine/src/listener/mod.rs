//! The accept loop: one task for each connection, patient with slow clients but not for ever, and
//! a drain that ends.
//!
//! Our own loop rather than axum's: it sets the size of the buffers, it tells apart a client that
//! is idle from one that dribbles a request, and its shutdown has a deadline.

mod activity;
mod linger;
mod refusal;
mod socket;

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use ambient::{Clock, Random};
use axum::Router;
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::task::TaskTracker;
use tower::Service;

use activity::{Activity, Counted, InFlight, TICK, Verdict, Watch};
use socket::Socket;

/// Head and buffers of one connection, in bytes; a longer head is answered 431.
const BUFFER: usize = 16 * 1024;

/// Between two tries to accept when the process has no more file descriptors.
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
}

impl Listening {
    /// Accepts until the stage is no longer `Serving`; the listener is closed then.
    pub(crate) async fn accept(self, listener: TcpListener) {
        let shared = Arc::new(self);
        let mut stage = shared.stage.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stage.wait_for(|stage| *stage != Stage::Serving) => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    shared.connections.spawn(serve(shared.clone(), stream, peer));
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve(shared: Arc<Listening>, stream: TcpStream, peer: SocketAddr) {
    // Tokens of a reply are small; they must not wait for one another.
    let _ = stream.set_nodelay(true);
    let activity = Arc::new(Activity::default());
    let socket = Socket::new(stream, activity.clone(), shared.clock.clone(), shared.random.clone());
    let (router, counted) = (shared.router.clone(), activity.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        let in_flight = InFlight::begin(counted.clone());
        request.extensions_mut().insert(gate::Peer(peer));
        let answer = router.clone().call(request);
        async move {
            let response = answer.await?;
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
            _ = ticks.tick() => match watch.look(&activity) {
                Verdict::Keep => {}
                Verdict::Finish => connection.as_mut().graceful_shutdown(),
                Verdict::Drop => return,
            },
        }
    }
}

#[cfg(test)]
mod tests;
