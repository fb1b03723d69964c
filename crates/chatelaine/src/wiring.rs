//! Which part gets what: from the settings to a router.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
};

use api::{App, AppParts, AppSettings};
use axum::Router;
use chat::{Chat, ChatParts, Credits, Prices};
use cluster::{Cluster, ClusterConfig};
use contacts::{Imports, ImportsParts};
use credential::{Parser, Secrets, Tokens};
use gate::{Gate, GateConfig, GateParts, Metrics, OwnPages, SocketTasks};
use loops::{Loops, LoopsParts};
use runs::{Runs, RunsParts};
use store::Store;
use tokio_util::task::TaskTracker;
use webhook::{Webhooks, WebhooksParts};

use crate::{Ambient, Config, StartError, dropin as dropin_surface};

/// The largest request body, in bytes.
const BODY_LIMIT: usize = 256 * 1024;

/// Of tokens, where the installation has no public name: the signing keys are its own anyway, and
/// tokens outlive a change of port.
const ISSUER: &str = "chatelaine";

/// All rooms, put together.
pub(crate) struct Wired {
    pub(crate) app: App,
    pub(crate) router: Router,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) parser: Arc<Parser>,
    /// Replies under way.
    pub(crate) replies: TaskTracker,
    /// False from the first moment of the drain on.
    pub(crate) ready: Arc<AtomicBool>,
}

pub(crate) async fn wire(
    config: &Config,
    ambient: &Ambient,
    store: Store,
    secrets: Secrets,
    address: SocketAddr,
    sockets: SocketTasks,
) -> Result<Wired, StartError> {
    let Ambient { clock, random, request_log } = ambient;
    crate::reseal::reseal(&store, &secrets, &**random).await?;
    let secrets = Arc::new(secrets);
    let parser = Arc::new(Parser::new(config.keys.prefixes.clone())?);
    let issuer = config.public_url.as_deref().unwrap_or(ISSUER);
    let tokens = Arc::new(Tokens::new(&secrets, config.tokens.algorithm, issuer)?);
    let cluster =
        Cluster::start(store.clone(), secrets.clone(), parser.clone(), clock.clone(), random.clone(), budgets(config))
            .await?;
    let outbound = outbound::Client::new(policy(config, address))?;
    if outbound.trusts_nobody() {
        tracing::warn!("this machine has no root certificates: integrations cannot call https addresses");
    }
    let replies = TaskTracker::new();
    let chat = Chat::new(ChatParts {
        store: store.clone(),
        cluster: cluster.clone(),
        outbound: outbound.clone(),
        secrets: secrets.clone(),
        tokens: tokens.clone(),
        clock: clock.clone(),
        random: random.clone(),
        drain: replies.clone(),
        credits: Credits::new(store.clone(), clock.clone(), Prices::from(config.credits), replies.clone()),
        livekit: config.livekit.server()?,
        session_life_ms: i64::from(config.tokens.session_seconds) * 1000,
    });
    let webhooks = Webhooks::new(WebhooksParts {
        store: store.clone(),
        outbound: outbound.clone(),
        secrets: secrets.clone(),
        clock: clock.clone(),
        random: random.clone(),
        drain: replies.clone(),
    });
    webhooks.resume();
    let runs = Runs::new(RunsParts {
        store: store.clone(),
        cluster: cluster.clone(),
        chat: chat.clone(),
        outbound: outbound.clone(),
        secrets: secrets.clone(),
        clock: clock.clone(),
        random: random.clone(),
        drain: replies.clone(),
    });
    runs.resume();
    chat.resume_channels();
    let loops = Loops::new(LoopsParts {
        store: store.clone(),
        cluster: cluster.clone(),
        chat: chat.clone(),
        runs: runs.clone(),
        outbound: outbound.clone(),
        secrets: secrets.clone(),
        clock: clock.clone(),
        random: random.clone(),
        drain: replies.clone(),
    });
    loops.resume();
    let imports = Imports::new(ImportsParts { store: store.clone(), clock: clock.clone(), drain: replies.clone() });
    imports.resume();
    let (metrics, ready) = (Metrics::new(), Arc::new(AtomicBool::new(true)));
    let app = App::new(AppParts {
        store: store.clone(),
        cluster: cluster.clone(),
        chat,
        runs,
        imports,
        loops,
        webhooks,
        secrets: secrets.clone(),
        tokens: tokens.clone(),
        clock: clock.clone(),
        random: random.clone(),
        metrics: metrics.clone(),
        settings: AppSettings {
            public_url: public_url(config, address),
            version: env!("CARGO_PKG_VERSION"),
            ready: ready.clone(),
        },
    });
    if let Some(url) = &config.leaks.reporter_keys_url {
        app.trust_leak_reports(crate::leaks::fetch_from(outbound, url.clone()));
    }
    let (answering, drop_in) = match dropin_surface::prepare(&config.dropin, &app).await? {
        Some(ready) => (Some(ready.bot), Some(ready.gate)),
        None => (None, None),
    };
    let gate = Gate::new(GateParts {
        cluster,
        store,
        parser: parser.clone(),
        secrets,
        tokens: tokens.clone(),
        clock: clock.clone(),
        random: random.clone(),
        config: GateConfig {
            own_pages: own_pages(config, address),
            trusted_proxies: config.trusted_proxies.clone(),
            body_limit: BODY_LIMIT,
            drop_in,
        },
        metrics,
        log: request_log.clone(),
        sockets,
    })?;
    let mut routes = api::routes_with(app.clone(), |routes| {
        participant::mount(routes);
        dropin::mount(routes, answering);
    });
    dashboard::mount(&mut routes);
    widget::mount(&mut routes);
    Ok(Wired { app, router: routes.into_router(&gate), tokens, parser, replies, ready })
}

/// Where this machine's own clients reach the server; an unspecified address listens on loopback too.
pub(crate) fn local_url(address: SocketAddr) -> String {
    let host = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => "127.0.0.1".to_owned(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => "[::1]".to_owned(),
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    };
    format!("http://{host}:{}", address.port())
}

fn public_url(config: &Config, address: SocketAddr) -> String {
    config.public_url.clone().unwrap_or_else(|| local_url(address))
}

/// With a public name, only pages under it are ours: `http://localhost:8787` is then the visitor's own machine,
/// where anything may be served. A proxy may still ask by the local address.
fn own_pages(config: &Config, address: SocketAddr) -> OwnPages {
    let mut local = vec![local_url(address)];
    if address.ip().is_loopback() || address.ip().is_unspecified() {
        local.push(format!("http://localhost:{}", address.port()));
    }
    match &config.public_url {
        None => OwnPages { origins: local, hosts: Vec::new() },
        Some(public) => {
            let hosts = local.iter().map(|url| url.trim_start_matches("http://").to_owned()).collect();
            OwnPages { origins: vec![public.clone()], hosts }
        }
    }
}

fn budgets(config: &Config) -> ClusterConfig {
    let limits = config.limits;
    ClusterConfig {
        workspace_per_minute: limits.workspace_per_minute,
        sessions_per_minute: limits.sessions_per_minute,
        messages_per_minute: limits.messages_per_minute,
        history_per_minute: limits.history_per_minute,
        public_per_minute: limits.public_per_minute,
        failures_per_minute: limits.failures_per_minute,
        widget_messages_per_minute: limits.widget_messages_per_minute,
        participant_per_minute: limits.participant_per_minute,
        participant_per_address_per_minute: limits.participant_per_address_per_minute,
        public_starts_per_minute: limits.public_starts_per_minute,
        public_starts_per_day: limits.public_starts_per_day,
        public_replies_per_day: limits.public_replies_per_day,
        triggers_per_minute: limits.triggers_per_minute,
        sign_ins_per_minute: limits.sign_ins_per_minute,
        sign_ins_per_account_per_minute: limits.sign_ins_per_account_per_minute,
        drop_in_requests: config.dropin.rate_limit_max_requests,
        drop_in_window_ms: config.dropin.rate_limit_window_ms,
        ..ClusterConfig::default()
    }
}

fn policy(config: &Config, address: SocketAddr) -> outbound::Policy {
    let database = config.database_url.as_ref().and_then(|url| url::Url::parse(url.expose()).ok());
    let denied = database.and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port().unwrap_or(5432))));
    let public = config.public_url.as_ref().and_then(|url| url::Url::parse(url).ok());
    let public = public.and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)));
    outbound::Policy {
        allow: config.outbound.allow.clone(),
        own_addresses: vec![address],
        denied_hosts: denied.into_iter().collect(),
        own_hosts: public.into_iter().collect(),
        max_calls: Some(crate::listener::calls_of_process()),
        ..outbound::Policy::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_every_address_is_reached_on_loopback() {
        assert_eq!(local_url("0.0.0.0:80".parse().unwrap()), "http://127.0.0.1:80");
        assert_eq!(local_url("[::]:80".parse().unwrap()), "http://[::1]:80");
        assert_eq!(local_url("10.0.0.1:80".parse().unwrap()), "http://10.0.0.1:80");
    }

    #[test]
    fn with_a_public_name_the_visitors_own_machine_is_not_ours() {
        let (mut config, address) = (Config::defaults().unwrap(), "0.0.0.0:8787".parse().unwrap());
        let local = OwnPages {
            origins: vec!["http://127.0.0.1:8787".to_owned(), "http://localhost:8787".to_owned()],
            hosts: Vec::new(),
        };
        assert_eq!(own_pages(&config, address), local, "without a name, that is where we are");
        config.public_url = Some("https://chat.example.com".to_owned());
        let named = OwnPages {
            origins: vec!["https://chat.example.com".to_owned()],
            hosts: vec!["127.0.0.1:8787".to_owned(), "localhost:8787".to_owned()],
        };
        assert_eq!(own_pages(&config, address), named);
    }

    #[test]
    fn integrations_never_reach_the_database_or_this_server() {
        let mut config = Config::defaults().unwrap();
        config.outbound.allow = vec!["127.0.0.0/8".parse().unwrap()];
        config.database_url = Some(crate::config::Concealed::new("postgres://u:p@127.0.0.1/d".into()));
        let client = outbound::Client::new(policy(&config, "127.0.0.1:8787".parse().unwrap())).unwrap();
        for refused in ["http://127.0.0.1:5432/v1", "http://127.0.0.1:8787/v1", "http://10.0.0.1/v1"] {
            assert!(client.check_url(refused).is_err(), "{refused}");
        }
        client.check_url("http://127.0.0.1:9999/v1").unwrap();
        config.outbound.allow = Vec::new();
        config.public_url = Some("https://chat.example.com".to_owned());
        let client = outbound::Client::new(policy(&config, "127.0.0.1:8787".parse().unwrap())).unwrap();
        assert!(client.check_url("https://chat.example.com/api/webhooks/x").is_err(), "not through its own front door");
        client.check_url("https://example.com/").unwrap();
    }
}
