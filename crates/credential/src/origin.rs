//! The origin rule of widget keys: which `Origin` headers (RFC 6454) a key's domains allow.
//!
//! It limits what browsers do. Outside a browser anyone can send any `Origin`, so it is a lock
//! against misuse of a copied widget key on another site, not a way to know who is calling.

mod judgement;

use std::sync::Arc;

use url::{Host, Url};

pub use judgement::{Judgement, origin_of};

/// The most entries one key may have.
pub const MAX_ENTRIES: usize = 50;
/// The longest entry and the longest `Origin` header, in bytes.
pub const MAX_LENGTH: usize = 255;

/// The parsed `allowed_domains` of a key. Cloning shares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedOrigins(Arc<[Entry]>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// As a browser writes it: A-labels, lower case, IPv6 in brackets.
    host: String,
    port: Option<u16>,
    scheme: Option<Scheme>,
    /// Whether `x.host` is allowed too.
    subdomains: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.scheme {
            Some(Scheme::Http) => "http://",
            Some(Scheme::Https) => "https://",
            None => "",
        })?;
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// An entry that cannot be saved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{entry}{separator}{reason}", separator = if entry.is_empty() { "" } else { ": " })]
pub struct OriginEntryError {
    /// The entry as it was written, its first 80 characters; empty when it is about the list.
    pub entry: String,
    /// Which of the strings given, from 0.
    pub index: usize,
    /// One sentence for the person who wrote it.
    pub reason: &'static str,
}

const fn of_list(index: usize, reason: &'static str) -> OriginEntryError {
    OriginEntryError { entry: String::new(), index, reason }
}

impl AllowedOrigins {
    /// Reads a list of domains. An entry is `mysite.com` (that host and its subdomains, over https),
    /// with a port if it is not the usual one, and with `http://` where plain http is meant; one
    /// string may hold several, separated by commas. At least one, at most [`MAX_ENTRIES`].
    ///
    /// # Errors
    /// Names the first entry that will not do, and why.
    pub fn parse(entries: &[impl AsRef<str>]) -> Result<Self, OriginEntryError> {
        let mut parsed: Vec<Entry> = Vec::new();
        for (index, text) in entries.iter().enumerate() {
            for part in text.as_ref().split(',').map(str::trim).filter(|part| !part.is_empty()) {
                let entry = parse_entry(part).map_err(|reason| OriginEntryError {
                    entry: part.chars().take(80).collect(),
                    index,
                    reason,
                })?;
                if !parsed.contains(&entry) {
                    parsed.push(entry);
                }
                if parsed.len() > MAX_ENTRIES {
                    return Err(of_list(index, "At most 50 domains are allowed."));
                }
            }
        }
        if parsed.is_empty() {
            return Err(of_list(0, "At least one domain is needed."));
        }
        Ok(Self(parsed.into()))
    }

    /// The entries in canonical spelling; [`AllowedOrigins::parse`] reads them back.
    #[must_use]
    pub fn entries(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// Whether a page of this `Origin` may use the key. With `allow_localhost`, the exact hosts
    /// `localhost`, `127.0.0.1` and `[::1]` may too, on any port, over http or https.
    #[must_use]
    pub fn allows(&self, origin: &str, allow_localhost: bool) -> bool {
        let Some(origin) = Origin::parse(origin) else { return false };
        (allow_localhost && is_localhost(&origin.host)) || self.0.iter().any(|entry| entry.matches(&origin))
    }
}

/// What `localhost` is among sources of a content policy; no policy can name `[::1]`. Plain http covers
/// https (CSP 3, scheme-part match).
const LOCAL_SOURCES: [&str; 2] = ["http://localhost:*", "http://127.0.0.1:*"];

impl AllowedOrigins {
    /// The same pages as sources of a content policy (CSP 3, `host-source`), for `frame-ancestors`. An
    /// IPv6 address has no such form, and is left out.
    #[must_use]
    pub fn frame_sources(&self, allow_localhost: bool) -> Vec<String> {
        let local = LOCAL_SOURCES.iter().filter(|_| allow_localhost).map(ToString::to_string);
        self.0.iter().filter(|entry| !entry.host.starts_with('[')).flat_map(Entry::frame_sources).chain(local).collect()
    }
}

impl Entry {
    fn frame_sources(&self) -> impl Iterator<Item = String> {
        let scheme = if self.scheme == Some(Scheme::Http) { "http" } else { "https" };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        let itself = format!("{scheme}://{}{port}", self.host);
        let below = self.subdomains.then(|| format!("{scheme}://*.{}{port}", self.host));
        std::iter::once(itself).chain(below)
    }

    fn matches(&self, origin: &Origin) -> bool {
        let host = origin.host == self.host
            || (self.subdomains
                && origin.host.strip_suffix(self.host.as_str()).is_some_and(|before| before.ends_with('.')));
        let scheme = origin.scheme == Scheme::Https || self.scheme == Some(Scheme::Http);
        host && scheme && origin.port == self.port
    }
}

struct Origin {
    scheme: Scheme,
    host: String,
    /// `None` is the scheme's usual port.
    port: Option<u16>,
}

impl Origin {
    /// Only what a browser would send: the parsed form, written out again, must be the same bytes.
    fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        let url = Url::parse(text).ok()?;
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        if url.origin().ascii_serialization() != text {
            return None;
        }
        let host = url.host_str()?;
        // The URL standard keeps empty labels, so these would come back unchanged.
        if host.split('.').any(str::is_empty) {
            return None;
        }
        Some(Self { scheme, host: host.to_owned(), port: url.port() })
    }
}

/// Whether `text` is an `http` or `https` origin exactly as a browser writes it.
#[must_use]
pub fn is_canonical_origin(text: &str) -> bool {
    Origin::parse(text).is_some()
}

fn is_localhost(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

const NOT_A_DOMAIN: &str = "This is not a domain, such as mysite.com.";

fn parse_entry(text: &str) -> Result<Entry, &'static str> {
    if text.len() > MAX_LENGTH {
        return Err("A domain has at most 255 characters.");
    }
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Some(Scheme::Https), rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Some(Scheme::Http), rest),
        Some(_) => return Err("Only https:// and http:// may stand before a domain."),
        None => (None, text),
    };
    if rest.contains('*') {
        return Err("Wildcards are not needed: a domain covers its subdomains.");
    }
    if rest.split_once('/').is_some_and(|(host, _)| host.parse::<std::net::IpAddr>().is_ok()) {
        return Err("Address ranges are not allowed; name each address.");
    }
    if rest.contains(['/', '?', '#', '\\']) {
        return Err("Leave out everything after the domain and port.");
    }
    if rest.contains(['@', '%']) || rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(NOT_A_DOMAIN);
    }
    let prefix = if scheme == Some(Scheme::Http) { "http://" } else { "https://" };
    let url = Url::parse(&format!("{prefix}{rest}")).map_err(|_| NOT_A_DOMAIN)?;
    if url.port() == Some(0) || rest.ends_with(':') {
        return Err("This port cannot be used.");
    }
    let (host, subdomains) = match url.host().ok_or(NOT_A_DOMAIN)? {
        Host::Ipv4(address) => (canonical_address(rest, &address.to_string())?, false),
        Host::Ipv6(address) => (format!("[{address}]"), false),
        Host::Domain(domain) => check_domain(domain)?,
    };
    Ok(Entry { host, port: url.port(), scheme, subdomains })
}

/// `2130706433` and `0x7f.1` are addresses too, but nobody means them.
fn canonical_address(written: &str, address: &str) -> Result<String, &'static str> {
    let same = written.strip_prefix(address).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    if same { Ok(address.to_owned()) } else { Err("Write the address in dotted decimal.") }
}

/// The domain as A-labels, and whether it covers its subdomains.
fn check_domain(domain: &str) -> Result<(String, bool), &'static str> {
    // Strict: lengths of DNS, no underscores, no empty label, no label that only pretends to be
    // punycode (RUSTSEC-2024-0421).
    let ascii = idna::domain_to_ascii_strict(domain).map_err(|_| NOT_A_DOMAIN)?;
    if ascii != domain || ascii.ends_with('.') {
        return Err(NOT_A_DOMAIN);
    }
    if is_public_suffix(&ascii) {
        return Err("Anyone can register a name below this one; name your own domain.");
    }
    // A name without a dot is this machine or one of this network; there is no knowing who is below it.
    let subdomains = ascii.contains('.');
    Ok((ascii, subdomains))
}

/// By the Public Suffix List, both its sections; it knows A-labels too.
fn is_public_suffix(domain: &str) -> bool {
    psl::suffix(domain.as_bytes()).is_some_and(|suffix| suffix.is_known() && suffix.as_bytes() == domain.as_bytes())
}

#[cfg(test)]
#[path = "origin_tests.rs"]
mod tests;
