use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ambient::{Clock, OsRandom, Random, SystemClock};
use api::App;
use cluster::CutReason;
use credential::{Parser, Tokens};
use gate::{RequestLog, SocketPlaces, SocketTasks};
use store::Store;
use tokio::{net::TcpListener, sync::watch, time::timeout};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    Config, DataDir, StartError,
    lease::Lease,
    listener::{Caps, Listening, Stage, sockets_of_process},
    secret,
    wiring::{self, Wired},
};

/// After the deadline: for replies to store what came, and for the database to close.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// What the server takes from its surroundings instead of from globals.
#[derive(Clone)]
pub struct Ambient {
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where random bytes come from.
    pub random: Arc<dyn Random>,
    /// Where a line for each request goes.
    pub request_log: RequestLog,
}

impl Ambient {
    /// The machine's clock and random source; no request log.
    #[must_use]
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock::new()), random: Arc::new(OsRandom), request_log: RequestLog::off() }
    }
}

impl fmt::Debug for Ambient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ambient").finish_non_exhaustive()
    }
}

/// Puts the rooms together and opens the door.
#[derive(Debug)]
pub struct Server;

/// A server that answers. Dropping it closes the door at once; [`Running::shutdown`] is kinder.
pub struct Running {
    address: SocketAddr,
    url: String,
    app: App,
    tokens: Arc<Tokens>,
    parser: Arc<Parser>,
    generated_secret: Option<PathBuf>,
    drain: Duration,
    ready: Arc<AtomicBool>,
    stage: Arc<watch::Sender<Stage>>,
    /// Sockets too.
    connections: TaskTracker,
    /// Ends the sockets that are left when the door closes.
    closing: DropGuard,
    replies: TaskTracker,
    request_log: RequestLog,
    data: Option<DataDir>,
    /// With PostgreSQL.
    lease: Option<Lease>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Server {
    /// Opens data, secret and address, loads the keys, and answers from then on.
    ///
    /// # Errors
    /// With a sentence for the operator; nothing is left running then.
    pub async fn start(config: Config, ambient: Ambient) -> Result<Running, StartError> {
        // Bound first, so that a wrong address costs nothing; nobody is accepted before the end.
        let listener = listen(config.listen).await?;
        let address = listener.local_addr().map_err(|source| StartError::Listen { address: config.listen, source })?;
        let (data, url, used) = match &config.database_url {
            Some(url) if config.is_postgres() => (None, url.expose().to_owned(), false),
            given => {
                let data = DataDir::open(&config.data)?;
                let (own, used) = data.database();
                (Some(data), given.as_ref().map_or(own, |url| url.expose().to_owned()), used)
            }
        };
        let loaded = secret::load(&config, data.as_ref().map(|data| (data, used)), &*ambient.random)?;
        let store = Store::open(&url, ambient.clock.clone(), ambient.random.clone()).await?;
        secret::check(&store, &loaded.secrets).await?;
        let lease = match data {
            Some(_) => None,
            None => Some(Lease::take(&store, &*ambient.clock, &*ambient.random).await?),
        };
        let connections = TaskTracker::new();
        let places = SocketPlaces::new(sockets_of_process(), config.limits.sockets_per_address);
        let sockets = SocketTasks { tracker: connections.clone(), closing: CancellationToken::new(), places };
        let closing = sockets.closing.clone();
        let Wired { app, router, tokens, parser, replies, ready } =
            match wiring::wire(&config, &ambient, store, loaded.secrets, address, sockets).await {
                Ok(wired) => wired,
                Err(error) => {
                    if let Some(lease) = lease {
                        lease.release().await;
                    }
                    return Err(error);
                }
            };
        let (stage, receiver) = watch::channel(Stage::Serving);
        let stage = Arc::new(stage);
        let listening = Listening {
            router,
            clock: ambient.clock,
            random: ambient.random,
            stage: receiver,
            connections: connections.clone(),
            caps: Caps::of_process(config.limits.connections_per_address, &config.trusted_proxies),
        };
        tokio::spawn(listening.accept(listener));
        if let Some(lease) = &lease {
            let last = (Arc::downgrade(&stage), closing.clone());
            tokio::spawn(close_when_lost(lease.lost(), ready.clone(), app.clone(), last));
        }
        Ok(Running {
            address,
            url: wiring::local_url(address),
            app,
            tokens,
            parser,
            generated_secret: loaded.generated,
            drain: Duration::from_secs(config.drain_seconds),
            ready,
            stage,
            connections,
            closing: closing.drop_guard(),
            replies,
            request_log: ambient.request_log,
            data,
            lease,
        })
    }
}

/// Without the lease nothing is answered any more: another server may know better.
async fn close_when_lost(
    lost: CancellationToken,
    ready: Arc<AtomicBool>,
    app: App,
    (stage, closing): (Weak<watch::Sender<Stage>>, CancellationToken),
) {
    lost.cancelled().await;
    ready.store(false, Ordering::Release);
    // Two nodes that carry the same effects out would call everybody twice.
    app.runs().stop();
    app.chat().stop_channels();
    app.loops().stop();
    app.imports().stop();
    app.cluster().cut_all(CutReason::Shutdown);
    if let Some(stage) = stage.upgrade() {
        stage.send_replace(Stage::Closing);
    }
    closing.cancel();
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}

impl Running {
    /// Where clients on this machine reach it: `http://127.0.0.1:8787`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address it listens on, with its real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the handlers work with: store, cluster, chat, secrets.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
    }

    /// What signs and verifies its tokens.
    #[must_use]
    pub fn tokens(&self) -> &Arc<Tokens> {
        &self.tokens
    }

    /// What reads its keys.
    #[must_use]
    pub fn parser(&self) -> &Arc<Parser> {
        &self.parser
    }

    /// The file of the secret, when this start has generated it: the operator must keep it.
    #[must_use]
    pub fn generated_secret(&self) -> Option<&Path> {
        self.generated_secret.as_deref()
    }

    /// The data directory; none with PostgreSQL.
    #[must_use]
    pub fn data(&self) -> Option<&DataDir> {
        self.data.as_ref()
    }

    /// Waits until the server has lost the database to another one, and answers nobody any more: what
    /// is left is [`Running::shutdown`]. Never with SQLite, whose directory is locked.
    pub async fn lost(&self) {
        match &self.lease {
            Some(lease) => lease.lost().cancelled_owned().await,
            None => std::future::pending().await,
        }
    }

    /// Stops: not ready, no new connection, half of the drain for replies to end by themselves, the
    /// other half after telling the rest that the server goes, then the end. Everything that was
    /// acknowledged is stored.
    pub async fn shutdown(self) {
        self.ready.store(false, Ordering::Release);
        self.stage.send_replace(Stage::Draining);
        self.connections.close();
        let half = self.drain / 2;
        if timeout(half, self.connections.wait()).await.is_err() {
            let cut = self.app.cluster().cut_all(CutReason::Shutdown);
            tracing::info!(streams = cut, "telling open streams that the server stops");
            if timeout(half, self.connections.wait()).await.is_err() {
                tracing::warn!(connections = self.connections.len(), "closing connections that did not end in time");
            }
        }
        self.stage.send_replace(Stage::Closing);
        drop(self.closing);
        self.app.runs().stop();
        self.app.chat().stop_channels();
        self.app.loops().stop();
        self.app.imports().stop();
        self.app.webhooks().stop();
        self.replies.close();
        let last = async {
            self.connections.wait().await;
            self.replies.wait().await;
            self.app.cluster().stop().await;
            if let Some(lease) = self.lease {
                lease.release().await;
            }
            self.app.store().close().await;
        };
        if timeout(LAST_WRITES, last).await.is_err() {
            tracing::warn!("the database did not take the last writes in time");
        }
        let log = self.request_log.clone();
        let _ = tokio::task::spawn_blocking(move || log.close()).await;
        // The lock goes last: until here nobody else may use the directory.
        drop(self.data);
    }
}
