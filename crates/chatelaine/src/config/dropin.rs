//! The drop-in surface's settings, also under the names that the original's operators have set already.

use std::net::Ipv4Addr;

use credential::{Prefixes, origin::is_canonical_origin};
use serde::Deserialize;
use toml::{Table, Value};

use super::{Concealed, ConfigError, value};

/// The names of the original, and the setting that each of them is.
pub(super) const PLAIN_NAMES: [(&str, &str); 9] = [
    (WIDGET_API_KEY, "widget_api_key"),
    (ADMIN_API_KEY, "admin_api_key"),
    (CORS_ORIGIN, "cors_origin"),
    ("OPENAI_API_KEY", "openai_api_key"),
    ("OPENAI_MODEL", "openai_model"),
    ("OPENAI_BASE_URL", "openai_base_url"),
    ("MAX_HISTORY_MESSAGES", "max_history_messages"),
    ("RATE_LIMIT_WINDOW_MS", "rate_limit_window_ms"),
    ("RATE_LIMIT_MAX_REQUESTS", "rate_limit_max_requests"),
];
pub(super) const NODE_ENV: &str = "NODE_ENV";
pub(super) const PORT: &str = "PORT";
const WIDGET_API_KEY: &str = "WIDGET_API_KEY";
const ADMIN_API_KEY: &str = "ADMIN_API_KEY";
const CORS_ORIGIN: &str = "CORS_ORIGIN";

/// The original's own minimum.
const SHORTEST_KEY: usize = 24;
/// Under this many characters a key that people made up can be guessed.
const STRONG_KEY: usize = 32;

/// The drop-in surface (seed S4). Without a widget key the rest means nothing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropIn {
    /// What widgets send.
    #[serde(deserialize_with = "value::concealed")]
    pub widget_api_key: Option<Concealed>,
    /// What reads the conversations.
    #[serde(deserialize_with = "value::concealed")]
    pub admin_api_key: Option<Concealed>,
    /// Whose pages may use the widget key.
    #[serde(deserialize_with = "origins")]
    pub cors_origin: CorsOrigin,
    /// The credential of the model.
    #[serde(deserialize_with = "value::concealed")]
    pub openai_api_key: Option<Concealed>,
    /// Its name.
    pub openai_model: String,
    /// Where it is, ending in `/v1`.
    pub openai_base_url: String,
    /// Messages that it reads, at least 1.
    #[serde(deserialize_with = "value::budget")]
    pub max_history_messages: u32,
    /// The window of the address's budget, in milliseconds, at least 1.
    #[serde(deserialize_with = "positive")]
    pub rate_limit_window_ms: u64,
    /// The address's budget in a window, at least 1.
    #[serde(deserialize_with = "value::budget")]
    pub rate_limit_max_requests: u32,
    /// Names of the original that are set without a widget key.
    #[serde(skip)]
    pub(super) ignored: Vec<&'static str>,
}

/// The origins whose pages may use the widget key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsOrigin {
    /// `*`.
    Any,
    /// Exactly these, as browsers write them.
    Listed(Vec<String>),
}

impl DropIn {
    /// What cannot be put right later: weak and mixed up keys, and in production an open door.
    pub(super) fn check(&self, prefixes: &Prefixes, production: bool) -> Result<(), ConfigError> {
        let refuse = |sentence: String| Err(ConfigError::Value(sentence));
        let Some(widget) = &self.widget_api_key else { return Ok(()) };
        let keys = [(WIDGET_API_KEY, Some(widget)), (ADMIN_API_KEY, self.admin_api_key.as_ref())];
        for (name, key) in keys.into_iter().filter_map(|(name, key)| Some((name, key?.expose()))) {
            if key.chars().count() < SHORTEST_KEY {
                return refuse(format!("{name} must have at least {SHORTEST_KEY} characters (`openssl rand -hex 32`)"));
            }
            if key.trim() != key || key.chars().any(char::is_control) {
                return refuse(format!("{name} must not begin or end with a blank, and holds no control character"));
            }
            if let Some(prefix) = families(prefixes).into_iter().find(|prefix| key.starts_with(prefix)) {
                return refuse(format!("{name} must not begin with {prefix}: keys that this server makes begin so"));
            }
        }
        if self.admin_api_key.as_ref() == Some(widget) {
            return refuse(format!(
                "{WIDGET_API_KEY} and {ADMIN_API_KEY} must differ: pages show the first to everybody"
            ));
        }
        if production && self.cors_origin == CorsOrigin::Any {
            return refuse(format!("{CORS_ORIGIN} must list your origins where NODE_ENV is production, not `*`"));
        }
        Ok(())
    }

    /// What the operator should hear once, at the start.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let Some(widget) = &self.widget_api_key else {
            return match self.ignored[..] {
                [] => Vec::new(),
                _ => vec![format!("without {WIDGET_API_KEY} these are not looked at: {}", self.ignored.join(", "))],
            };
        };
        let mut warnings = Vec::new();
        for (name, key) in [(WIDGET_API_KEY, Some(widget)), (ADMIN_API_KEY, self.admin_api_key.as_ref())] {
            let Some(key) = key.map(Concealed::expose) else { continue };
            let alike = key.chars().all(|letter| key.starts_with(letter));
            if alike || key.chars().count() < STRONG_KEY {
                warnings.push(format!("{name} can be guessed: give it {STRONG_KEY} random characters or more"));
            }
        }
        if self.cors_origin == CorsOrigin::Any {
            warnings.push(format!("{CORS_ORIGIN} is `*`: pages of every site may use the widget key"));
        }
        warnings
    }
}

fn families(prefixes: &Prefixes) -> [&str; 6] {
    let Prefixes { secret_live, secret_test, service_account_live, service_account_test, deployment, widget } =
        prefixes;
    [secret_live, secret_test, service_account_live, service_account_test, deployment, widget].map(String::as_str)
}

/// `PORT` alone means every address, as wherever containers are hosted.
pub(super) fn listen_on(port: &str) -> Result<Table, ConfigError> {
    let wrong = || ConfigError::Value(format!("{PORT} must be a port number, from 1 to 65535"));
    let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    let address = std::net::SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    Ok(Table::from_iter([("listen".to_owned(), Value::String(address.to_string()))]))
}

fn origins<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<CorsOrigin, D::Error> {
    let text = String::deserialize(deserializer)?;
    let entries: Vec<&str> = text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect();
    if entries.contains(&"*") {
        return Ok(CorsOrigin::Any);
    }
    let listed = entries.iter().map(|entry| canonical(entry).map_err(serde::de::Error::custom));
    listed.collect::<Result<_, _>>().map(CorsOrigin::Listed)
}

/// An origin as browsers write it.
fn canonical(entry: &str) -> Result<String, String> {
    let wrong = || format!("{entry:?} is not an origin such as https://example.com: a scheme and a host, and no path");
    let url = url::Url::parse(entry).map_err(|_| wrong())?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let origin = url.origin().ascii_serialization();
    if bare && url.password().is_none() && is_canonical_origin(&origin) { Ok(origin) } else { Err(wrong()) }
}

fn positive<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match u64::deserialize(deserializer)? {
        0 => Err(serde::de::Error::custom("must be at least 1")),
        number => Ok(number),
    }
}

#[cfg(test)]
#[path = "dropin_tests.rs"]
mod tests;
