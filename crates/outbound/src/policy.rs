use std::net::{IpAddr, SocketAddr, UdpSocket};

use ipnet::IpNet;
use url::{Host, Url};

use crate::address::is_public;

const MAX_URL_BYTES: usize = 2048;
const DEFAULT_PORTS: [u16; 3] = [80, 443, 8443];

/// Where the client may connect to. Set by the operator, never by a tenant.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Networks opened by the operator although they are not the internet. Here, and only here,
    /// plain http, any port and local names are fine as well.
    pub allow: Vec<IpNet>,
    /// Lets plain http go to the internet too.
    pub allow_http: bool,
    /// Exactly these ports, everywhere. `None`: 80, 443 and 8443, and any port inside `allow`.
    pub ports: Option<Vec<u16>>,
    /// Where this server listens. It never calls itself; inside `allow`, its other ports are open.
    pub own_addresses: Vec<SocketAddr>,
    /// Database and Redis hosts, as `host` or `host:port` (then that port alone is closed). They
    /// stay closed inside `allow` and under any other name of theirs.
    pub denied_hosts: Vec<String>,
    /// Names under which the world reaches this server, as `host:port`. A call to one would come back through whatever
    /// stands before it, so none is made, unless its addresses are in `allow`. Another name of the same address may be
    /// somebody else's: a proxy is shared.
    pub own_hosts: Vec<String>,
    /// Calls that may be under way at once; more are refused with [`crate::OutboundError::Busy`]. Each holds
    /// a file descriptor, and without a bound they take those of the clients. `None`: any number.
    pub max_calls: Option<usize>,
}

/// Why an address is not called; one sentence that a tenant can read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlRefusal {
    /// More than 2,048 bytes.
    #[error("The address is longer than 2048 bytes.")]
    TooLong,
    /// Not an absolute http(s) URL.
    #[error("This is not an address such as https://api.example.com/v1.")]
    Malformed,
    /// Not https, and http is not opened.
    #[error("The address must begin with https://.")]
    Scheme,
    /// `user:password@` would be a secret in a URL.
    #[error("The address must hold no user name or password; put credentials into a header.")]
    Userinfo,
    /// Never sent, so it is a mistake.
    #[error("The address must hold no fragment (the part after #).")]
    Fragment,
    /// Two readers of the text could see two hosts (ASVS 1.5.3).
    #[error("Write the host of the address as {canonical}.")]
    HostForm {
        /// The host as this server understood it.
        canonical: String,
    },
    /// Not one of the open ports.
    #[error("The port of the address is not open; the usual ones are 443, 80 and 8443.")]
    Port,
    /// A name that has a meaning only inside some network.
    #[error("The host must be a public name: not localhost, .local, .internal, or a name without a dot.")]
    LocalName,
    /// Private, reserved, or part of this installation. Which of these is nobody's business.
    #[error(
        "The address is in a private or reserved network that the operator of this server has not opened with `outbound.allow`."
    )]
    Address,
}

/// What is known of a connection before its name is resolved.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) port: u16,
    /// The refusal, unless every address is in the allow list.
    unless_allowed: Option<UrlRefusal>,
}

impl Policy {
    /// What a tenant wrote, parsed once. Store what comes back.
    pub(crate) fn check_text(&self, text: &str) -> Result<Url, UrlRefusal> {
        if text.len() > MAX_URL_BYTES {
            return Err(UrlRefusal::TooLong);
        }
        // The parser drops tabs and line breaks and takes a backslash for a slash; others do not.
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
            return Err(UrlRefusal::Malformed);
        }
        let url = Url::parse(text).map_err(|_| UrlRefusal::Malformed)?;
        self.check(&url)?;
        let written = written_host(text).ok_or(UrlRefusal::Malformed)?;
        let canonical = url.host_str().ok_or(UrlRefusal::Malformed)?;
        if !written.eq_ignore_ascii_case(canonical) {
            return Err(UrlRefusal::HostForm { canonical: canonical.to_owned() });
        }
        Ok(url)
    }

    /// All that can be said without a lookup; literal addresses are judged here, since they never
    /// meet the resolver.
    pub(crate) fn check(&self, url: &Url) -> Result<Target, UrlRefusal> {
        if url.as_str().len() > MAX_URL_BYTES {
            return Err(UrlRefusal::TooLong);
        }
        let mut unless_allowed = None;
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            "http" => unless_allowed = Some(UrlRefusal::Scheme),
            _ => return Err(UrlRefusal::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlRefusal::Userinfo);
        }
        if url.fragment().is_some() {
            return Err(UrlRefusal::Fragment);
        }
        let port = url.port_or_known_default().ok_or(UrlRefusal::Malformed)?;
        match &self.ports {
            Some(ports) if ports.contains(&port) => {}
            Some(_) => return Err(UrlRefusal::Port),
            None if DEFAULT_PORTS.contains(&port) => {}
            None => unless_allowed = Some(UrlRefusal::Port),
        }
        let mut target = Target { port, unless_allowed };
        match url.host().ok_or(UrlRefusal::Malformed)? {
            Host::Domain(name) => self.check_name(name, &mut target)?,
            Host::Ipv4(address) => self.check_address(address.into(), &target)?,
            Host::Ipv6(address) => self.check_address(address.into(), &target)?,
        }
        Ok(target)
    }

    fn check_name(&self, name: &str, target: &mut Target) -> Result<(), UrlRefusal> {
        let name = name.trim_end_matches('.');
        if self.denied().any(|(host, port)| port.is_none_or(|p| p == target.port) && host.eq_ignore_ascii_case(name)) {
            return Err(UrlRefusal::Address);
        }
        if self.is_own_host(target.port, |host| host.eq_ignore_ascii_case(name)) {
            target.unless_allowed = Some(UrlRefusal::Address);
        } else if is_local_name(name) {
            target.unless_allowed = Some(UrlRefusal::LocalName);
        }
        // With an allow list, the resolver decides when the addresses are known.
        match &target.unless_allowed {
            Some(refusal) if self.allow.is_empty() => Err(refusal.clone()),
            _ => Ok(()),
        }
    }

    /// The verdict on one address that is about to be connected to.
    pub(crate) fn check_address(&self, address: IpAddr, target: &Target) -> Result<(), UrlRefusal> {
        let address = address.to_canonical();
        let denied = |(host, port): (&str, Option<u16>)| {
            port.is_none_or(|p| p == target.port) && host.parse().is_ok_and(|ip: IpAddr| ip.to_canonical() == address)
        };
        // 0.0.0.0 and :: are no destination, but a kernel takes them for this machine.
        if address.is_unspecified() || self.denied().any(denied) {
            return Err(UrlRefusal::Address);
        }
        let allowed = self.allow.iter().any(|net| net.contains(&address));
        if self.own_addresses.iter().any(|own| is_own(own, address) && (!allowed || own.port() == target.port)) {
            return Err(UrlRefusal::Address);
        }
        if allowed {
            return Ok(());
        }
        let is_address = |host: &str| host.parse().is_ok_and(|ip: IpAddr| ip.to_canonical() == address);
        if !is_public(address) || self.is_own_host(target.port, is_address) {
            return Err(UrlRefusal::Address);
        }
        target.unless_allowed.clone().map_or(Ok(()), Err)
    }

    /// The hosts that must be looked up to tell that an address is not theirs.
    pub(crate) fn denied_names(&self, port: u16) -> impl Iterator<Item = &str> {
        self.denied()
            .filter(move |(host, p)| p.is_none_or(|p| p == port) && host.parse::<IpAddr>().is_err())
            .map(|(host, _)| host)
    }

    fn is_own_host(&self, port: u16, is_it: impl Fn(&str) -> bool) -> bool {
        self.own_hosts.iter().map(|entry| split_port(entry)).any(|(host, p)| p.is_none_or(|p| p == port) && is_it(host))
    }

    fn denied(&self) -> impl Iterator<Item = (&str, Option<u16>)> {
        self.denied_hosts.iter().map(|entry| split_port(entry))
    }
}

/// `host`, `host:port`, `[v6]:port`, `[v6]` or a bare IPv6 address.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    };
    (host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.'), port)
}

/// The host as it stands in the text, between the slashes and the port.
fn written_host(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    if authority.starts_with('[') {
        return authority.split_inclusive(']').next();
    }
    authority.split(':').next()
}

fn is_local_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !name.contains('.') || [".localhost", ".local", ".internal"].iter().any(|suffix| name.ends_with(suffix))
}

fn is_own(own: &SocketAddr, address: IpAddr) -> bool {
    let own = own.ip().to_canonical();
    own == address || (own.is_unspecified() && is_of_this_machine(address))
}

/// A socket can be bound to an address exactly when it is one of this machine's.
fn is_of_this_machine(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests;
