//! The settings: a default, a file, the environment, flags; the later wins.
//!
//! The defaults are a file that the binary carries (`config.default.toml`), and that file says
//! which settings exist. This module is the only reader of the environment.

mod dropin;
mod environment;
mod error;
mod layers;
mod services;
mod value;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use credential::{Algorithm, Prefixes};
use ipnet::IpNet;
use serde::Deserialize;
use toml::Table;

pub use dropin::{CorsOrigin, DropIn};
pub use environment::Environment;
pub use error::ConfigError;
use layers::Layer;
pub use services::{Credits, LiveKit};
pub use value::Concealed;

/// The commented defaults, as `chatelaine config` prints them.
pub const DEFAULTS: &str = include_str!("../../config.default.toml");

/// Every setting, checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address of the API; port 0 takes a free one.
    #[serde(deserialize_with = "value::address")]
    pub listen: SocketAddr,
    /// What the world calls this server; `None` is `http://` and the address it listens on.
    #[serde(deserialize_with = "value::public_url")]
    pub public_url: Option<String>,
    /// Where SQLite's database, the generated secret and the lock live.
    pub data: PathBuf,
    /// PostgreSQL; `None` is SQLite in `data`.
    #[serde(deserialize_with = "value::concealed")]
    pub database_url: Option<Concealed>,
    /// The installation's secret, from the environment.
    #[serde(skip)]
    pub secret: Option<Concealed>,
    /// The secret before it, from the environment.
    #[serde(skip)]
    pub secret_previous: Option<Concealed>,
    /// The file that holds the installation's secret.
    #[serde(deserialize_with = "value::path")]
    pub secret_file: Option<PathBuf>,
    /// The file that holds the secret before it.
    #[serde(deserialize_with = "value::path")]
    pub secret_previous_file: Option<PathBuf>,
    /// Whose `X-Forwarded-For` is believed.
    #[serde(deserialize_with = "value::networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Threads that serve requests; 0 is one for each core.
    pub workers: usize,
    /// Seconds that open requests and streams are given at the end.
    pub drain_seconds: u64,
    /// Budgets.
    pub limits: Limits,
    /// Calls to integrations.
    pub outbound: Outbound,
    /// What is written about requests and about the server.
    pub log: Log,
    /// The text of keys.
    pub keys: Keys,
    /// The signing of tokens.
    pub tokens: Tokens,
    /// What replies of metered workspaces cost.
    pub credits: Credits,
    /// The media server of voice sessions.
    pub livekit: LiveKit,
    /// Reports of leaked keys.
    pub leaks: Leaks,
    /// The surface of an existing widget server.
    pub dropin: DropIn,
}

/// Budgets, each at least 1 but for the last two, and of a minute where nothing else is said.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Of a workspace.
    #[serde(deserialize_with = "value::budget")]
    pub workspace_per_minute: u32,
    /// Chat sessions of a key.
    #[serde(deserialize_with = "value::budget")]
    pub sessions_per_minute: u32,
    /// Messages of a chat session.
    #[serde(deserialize_with = "value::budget")]
    pub messages_per_minute: u32,
    /// Reads of a chat session's history.
    #[serde(deserialize_with = "value::budget")]
    pub history_per_minute: u32,
    /// Requests of an address without a credential.
    #[serde(deserialize_with = "value::budget")]
    pub public_per_minute: u32,
    /// Wrong credentials from an address.
    #[serde(deserialize_with = "value::budget")]
    pub failures_per_minute: u32,
    /// Messages of all chat sessions of a widget key.
    #[serde(deserialize_with = "value::budget")]
    pub widget_messages_per_minute: u32,
    /// What one role asks in one run.
    #[serde(deserialize_with = "value::budget")]
    pub participant_per_minute: u32,
    /// What participants ask from an address, of all runs.
    #[serde(deserialize_with = "value::budget")]
    pub participant_per_address_per_minute: u32,
    /// Public surveys started from an address.
    #[serde(deserialize_with = "value::budget")]
    pub public_starts_per_minute: u32,
    /// Runs that strangers start under a deployment in a day, unless it says otherwise.
    #[serde(deserialize_with = "value::budget")]
    pub public_starts_per_day: u32,
    /// Replies of bots in runs that strangers started under a deployment in a day, unless it says otherwise.
    #[serde(deserialize_with = "value::budget")]
    pub public_replies_per_day: u32,
    /// Runs that a trigger starts.
    #[serde(deserialize_with = "value::budget")]
    pub triggers_per_minute: u32,
    /// Passwords tried from an address.
    #[serde(deserialize_with = "value::budget")]
    pub sign_ins_per_minute: u32,
    /// Passwords tried of an account.
    #[serde(deserialize_with = "value::budget")]
    pub sign_ins_per_account_per_minute: u32,
    /// Connections of an address at a time; 0 is any number.
    pub connections_per_address: u32,
    /// WebSockets of an address at a time; 0 is any number.
    pub sockets_per_address: u32,
}

/// Calls to integrations.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outbound {
    /// Private networks that may be called.
    #[serde(deserialize_with = "value::networks")]
    pub allow: Vec<IpNet>,
}

/// What is written about requests and about the server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The request log, on stdout.
    pub requests: RequestLogForm,
    /// Directives of the server's own log, on stderr.
    pub level: String,
}

/// The form of the request log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestLogForm {
    /// One JSON line for each request.
    Json,
    /// Nothing.
    Off,
}

/// The text of keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// What the keys of each family begin with.
    pub prefixes: Prefixes,
}

/// Reports of leaked keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaks {
    /// Where the keys are listed that reports are signed with.
    #[serde(deserialize_with = "value::url")]
    pub reporter_keys_url: Option<String>,
}

/// The signing of tokens.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// `HS256` or `EdDSA`.
    #[serde(deserialize_with = "value::algorithm")]
    pub algorithm: Algorithm,
    /// How long a chat session's token lives.
    #[serde(deserialize_with = "value::session_seconds")]
    pub session_seconds: u32,
}

/// What the command line said; it goes before everything else.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// The file to read; it must exist.
    pub config: Option<PathBuf>,
    /// `data`.
    pub data: Option<PathBuf>,
    /// `listen`.
    pub listen: Option<String>,
    /// `database_url`.
    pub database_url: Option<Concealed>,
}

impl Config {
    /// Puts the layers over one another and checks the result.
    ///
    /// # Errors
    /// The first setting that is unknown or wrong, by its name and where it came from.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self, ConfigError> {
        Self::load_over(Table::new(), flags, environment)
    }

    /// As [`Config::load`], with `presets` in place of some defaults: a file and the environment
    /// still win. `chatelaine try` brings its own this way.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_over(presets: Table, flags: &Flags, environment: &Environment) -> Result<Self, ConfigError> {
        let defaults = layers::defaults()?;
        let layers = [
            Some(Layer::presets(presets)),
            named_file(flags, environment)?,
            Some(environment.layer(&defaults)?),
            Some(flag_layer(flags)),
        ];
        Self::of(defaults, layers.into_iter().flatten(), environment)
    }

    /// As [`Config::load`], with the names of the original of the drop-in surface between the file and the
    /// other names of the environment, and with that surface's keys checked. What `chatelaine try` prints does
    /// not depend on such common names.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_for_serving(flags: &Flags, environment: &Environment) -> Result<Self, ConfigError> {
        let defaults = layers::defaults()?;
        let file = named_file(flags, environment)?;
        let ours = [environment.layer(&defaults)?, flag_layer(flags)];
        let above: Vec<&Layer> = file.iter().chain(&ours).collect();
        let (plain, ignored) = environment.plain_layer(&defaults, &above)?;
        let layers = file.into_iter().chain([plain]).chain(ours);
        let mut config = Self::of(defaults, layers, environment)?;
        config.livekit.fill(environment);
        config.livekit.server()?;
        config.dropin.ignored = ignored;
        config.dropin.check(&config.keys.prefixes, environment.is_production())?;
        Ok(config)
    }

    fn of(
        mut settings: Table,
        layers: impl Iterator<Item = Layer>,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        for layer in layers {
            layers::put(&mut settings, layer)?;
        }
        let mut config: Self = layers::read(settings)?;
        config.secret = environment.secret();
        config.secret_previous = environment.secret_previous();
        config.keys.prefixes.validate().map_err(|error| ConfigError::Value(error.to_string()))?;
        Ok(config)
    }

    /// The defaults alone.
    ///
    /// # Errors
    /// Never, while the tests of this module pass.
    pub fn defaults() -> Result<Self, ConfigError> {
        Self::load(&Flags::default(), &Environment::default())
    }

    /// Whether the data is in PostgreSQL.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        self.database_url.as_ref().is_some_and(|url| url.expose().starts_with("postgres"))
    }
}

/// The file that the command line or the environment names.
fn named_file(flags: &Flags, environment: &Environment) -> Result<Option<Layer>, ConfigError> {
    let named = flags.config.clone().or_else(|| environment.config_file());
    named.as_deref().map(read_file).transpose()
}

fn read_file(path: &Path) -> Result<Layer, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::File { path: path.to_owned(), message: error.to_string() })?;
    layers::parse(path, &text)
}

fn flag_layer(flags: &Flags) -> Layer {
    let mut table = Table::new();
    let mut set = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            table.insert(name.to_owned(), value.into());
        }
    };
    set("data", flags.data.as_ref().map(|path| path.to_string_lossy().into_owned()));
    set("listen", flags.listen.clone());
    set("database_url", flags.database_url.as_ref().map(|url| url.expose().to_owned()));
    Layer::flags(table)
}

#[cfg(test)]
mod tests;
