//! How single values are read: an empty text is an absent one, and an error says what is right.

use std::{fmt, net::SocketAddr, path::PathBuf};

use credential::Algorithm;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de::Error};
use zeroize::Zeroizing;

/// Text that may hold a secret or a password. `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Concealed(Zeroizing<String>);

impl Concealed {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Concealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl std::str::FromStr for Concealed {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(text.to_owned()))
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(if text.is_empty() { None } else { Some(text) })
}

pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.replacen("localhost:", "127.0.0.1:", 1)
        .parse()
        .map_err(|_| D::Error::custom("must be an address and a port, such as 127.0.0.1:8787 or [::]:8787"))
}

pub(super) fn public_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let Some(text) = text(deserializer)? else { return Ok(None) };
    let wrong = || D::Error::custom("must be a scheme and a host, such as https://chat.example.com, and no path");
    let url = url::Url::parse(&text).map_err(|_| wrong())?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none();
    if plain { Ok(Some(url.origin().ascii_serialization())) } else { Err(wrong()) }
}

pub(super) fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let Some(text) = text(deserializer)? else { return Ok(None) };
    let is_web = url::Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if is_web { Ok(Some(text)) } else { Err(D::Error::custom("must be an address such as https://example.com/keys")) }
}

pub(super) fn concealed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Concealed>, D::Error> {
    Ok(text(deserializer)?.map(Concealed::new))
}

pub(super) fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    Ok(text(deserializer)?.map(PathBuf::from))
}

pub(super) fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let entries = Vec::<String>::deserialize(deserializer)?;
    entries.iter().map(|entry| network(entry.trim()).map_err(D::Error::custom)).collect()
}

fn network(text: &str) -> Result<IpNet, String> {
    let single = || text.parse::<std::net::IpAddr>().map(IpNet::from);
    text.parse::<IpNet>()
        .or_else(|_| single())
        .map_err(|_| format!("{text:?} is not a network such as 10.1.2.0/24 or fd00::/8"))
}

pub(super) fn budget<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(D::Error::custom("must be at least 1; 0 would admit nobody")),
        budget => Ok(budget),
    }
}

pub(super) fn session_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        seconds @ 60..=86_400 => Ok(seconds),
        _ => Err(D::Error::custom("must be 60 to 86400")),
    }
}

pub(super) fn algorithm<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Algorithm, D::Error> {
    let text = String::deserialize(deserializer)?;
    [Algorithm::Hs256, Algorithm::EdDsa]
        .into_iter()
        .find(|algorithm| algorithm.as_str() == text)
        .ok_or_else(|| D::Error::custom("must be \"HS256\" or \"EdDSA\""))
}
