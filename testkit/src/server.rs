//! The real server in the test's own process, on a free port of loopback.
#![expect(clippy::expect_used, reason = "a test without its server is over")]

use std::{
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

use ambient::{Clock, OsRandom, SystemClock};
use chatelaine::{
    Ambient, Config, Running, Server,
    config::{Concealed, DropIn, Limits, LiveKit},
};
use gate::RequestLog;

use crate::{Backend, Client, TestDatabase};

/// What a test may want to be different.
#[derive(Clone)]
pub struct Options {
    /// What time it is for the server.
    pub clock: Arc<dyn Clock>,
    /// Budgets; so large by default that no test meets one by accident.
    pub limits: Limits,
    /// Seconds that a stopping server gives to streams.
    pub drain_seconds: u64,
    /// Whether integrations may call this machine.
    pub allow_loopback: bool,
    /// What the world calls the server; `None` is its address.
    pub public_url: Option<String>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<String>,
    /// The drop-in surface's settings; see [`drop_in`].
    pub drop_in: Option<DropIn>,
    /// The installation's secret and the one before it; `None` is the database's own and none before.
    pub secrets: Option<(String, Option<String>)>,
    /// The media server of voice sessions, which no test talks to; see [`livekit`].
    pub livekit: Option<LiveKit>,
}

/// The widget key of [`drop_in`].
pub const WIDGET_API_KEY: &str = "the-widget-key-of-these-tests-0123456789";
/// Its admin key.
pub const ADMIN_API_KEY: &str = "the-admin-key-of-these-tests-0123456789";

/// The drop-in surface with both keys, for pages of everywhere, with a budget that no test meets by accident.
///
/// # Panics
/// When the defaults cannot be read.
#[must_use]
pub fn drop_in() -> DropIn {
    let mut settings = Config::defaults().expect("the defaults").dropin;
    settings.widget_api_key = Some(Concealed::new(WIDGET_API_KEY.to_owned()));
    settings.admin_api_key = Some(Concealed::new(ADMIN_API_KEY.to_owned()));
    settings.rate_limit_max_requests = 1_000_000;
    settings
}

/// The API key of [`livekit`].
pub const LIVEKIT_API_KEY: &str = "APItestsonly";
/// Its API secret.
pub const LIVEKIT_API_SECRET: &str = "the-livekit-secret-of-these-tests-0123456789";

/// A LiveKit server that is nowhere.
#[must_use]
pub fn livekit() -> LiveKit {
    LiveKit {
        url: "wss://voice.example.com".to_owned(),
        api_key: LIVEKIT_API_KEY.to_owned(),
        api_secret: Some(Concealed::new(LIVEKIT_API_SECRET.to_owned())),
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Default for Options {
    fn default() -> Self {
        const MANY: u32 = 1_000_000;
        Self {
            clock: Arc::new(SystemClock::new()),
            limits: Limits {
                workspace_per_minute: MANY,
                sessions_per_minute: MANY,
                messages_per_minute: MANY,
                history_per_minute: MANY,
                public_per_minute: MANY,
                failures_per_minute: MANY,
                widget_messages_per_minute: MANY,
                participant_per_minute: MANY,
                participant_per_address_per_minute: MANY,
                public_starts_per_minute: MANY,
                public_starts_per_day: MANY,
                public_replies_per_day: MANY,
                triggers_per_minute: MANY,
                sign_ins_per_minute: MANY,
                sign_ins_per_account_per_minute: MANY,
                connections_per_address: 0,
                sockets_per_address: 0,
            },
            drain_seconds: 2,
            allow_loopback: true,
            public_url: None,
            trusted_proxies: Vec::new(),
            drop_in: None,
            secrets: None,
            livekit: Some(livekit()),
        }
    }
}

/// The lines of the request log, as they are written.
#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A running server and its database.
#[derive(Debug)]
pub struct TestServer {
    running: Running,
    database: TestDatabase,
    options: Options,
    log: Lines,
}

impl TestServer {
    /// A server on an empty database.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(backend: Backend) -> Self {
        Self::start_with(backend, Options::default()).await
    }

    /// As [`TestServer::start`], with options.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with(backend: Backend, options: Options) -> Self {
        Self::open(TestDatabase::new(backend).await, options, Lines::default()).await
    }

    async fn open(database: TestDatabase, options: Options, log: Lines) -> Self {
        let mut config = Config::defaults().expect("the defaults");
        config.listen = ([127, 0, 0, 1], 0).into();
        config.public_url.clone_from(&options.public_url);
        config.data = database.data();
        config.database_url = database.url().map(Concealed::new);
        config.secret = database.secret().map(|text| Concealed::new(text.to_owned()));
        if let Some((current, previous)) = &options.secrets {
            config.secret = Some(Concealed::new(current.clone()));
            config.secret_previous = previous.clone().map(Concealed::new);
        }
        config.limits = options.limits;
        config.drain_seconds = options.drain_seconds;
        config.trusted_proxies = options.trusted_proxies.iter().map(|net| net.parse().expect("a network")).collect();
        if let Some(drop_in) = &options.drop_in {
            config.dropin.clone_from(drop_in);
        }
        if let Some(livekit) = &options.livekit {
            config.livekit.clone_from(livekit);
        }
        if options.allow_loopback {
            config.outbound.allow = ["127.0.0.0/8", "::1/128"].map(|net| net.parse().expect("a network")).to_vec();
        }
        let ambient = Ambient {
            clock: options.clock.clone(),
            random: Arc::new(OsRandom),
            request_log: RequestLog::to(Box::new(log.clone())).expect("a thread"),
        };
        let running = Server::start(config, ambient).await.expect("the server starts");
        Self { running, database, options, log }
    }

    /// Stops it and starts it again on the same data.
    #[must_use]
    pub async fn restart(self) -> Self {
        self.running.shutdown().await;
        Self::open(self.database, self.options, self.log).await
    }

    /// The same with other options.
    #[must_use]
    pub async fn restart_with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self.restart().await
    }

    /// Stops it, lets something be done with its data, and starts it again.
    #[must_use]
    pub async fn restart_after(self, meanwhile: impl AsyncFnOnce(&TestDatabase)) -> Self {
        self.running.shutdown().await;
        meanwhile(&self.database).await;
        Self::open(self.database, self.options, self.log).await
    }

    /// Stops it; the data is gone with the answer.
    pub async fn stop(self) -> TestDatabase {
        self.running.shutdown().await;
        self.database
    }

    /// Where it is, `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        self.running.url()
    }

    /// A client of it.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.running.address())
    }

    /// The server itself: store, cluster, tokens.
    #[must_use]
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// Its database.
    #[must_use]
    pub fn database(&self) -> &TestDatabase {
        &self.database
    }

    /// Every line of its request log so far; a line may take 20 ms to appear.
    #[must_use]
    pub fn request_log(&self) -> String {
        String::from_utf8_lossy(&self.log.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}
