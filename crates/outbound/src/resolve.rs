use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::{
    Policy, UrlRefusal,
    error::{Cause, LookupFailed},
    policy::Target,
};

/// What [`Lookup::lookup`] gives back.
pub type Looking<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Turns a host name into addresses. An argument, so that a test can say what a name means.
pub trait Lookup: Send + Sync + 'static {
    /// All addresses of `host`.
    fn lookup<'a>(&'a self, host: &'a str) -> Looking<'a>;
}

/// The operating system's lookup (`getaddrinfo`).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup<'a>(&'a self, host: &'a str) -> Looking<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect()) })
    }
}

tokio::task_local! {
    /// What the request that is being sent on this task asks for. The resolver is told a name and
    /// no port, and a port decides.
    pub(crate) static TARGET: Target;
}

/// Stands between the names and the connections: what it gives out is what is connected to.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) policy: Arc<Policy>,
    pub(crate) lookup: Arc<dyn Lookup>,
}

impl Guard {
    /// Refuses the lot when any address is denied: a mixed answer is somebody's trick.
    async fn resolve_name(&self, name: &str, target: &Target) -> Result<Vec<IpAddr>, Cause> {
        let addresses = self.lookup.lookup(name).await.map_err(LookupFailed)?;
        if addresses.is_empty() {
            return Err(LookupFailed(io::ErrorKind::NotFound.into()).into());
        }
        for address in &addresses {
            self.policy.check_address(*address, target)?;
        }
        self.check_denied_names(&addresses, target).await?;
        Ok(addresses)
    }

    /// A denied host has no other name, and no bare address either. When its addresses cannot be
    /// learnt, nothing is sent.
    pub(crate) async fn check_denied_names(&self, addresses: &[IpAddr], target: &Target) -> Result<(), Cause> {
        for name in self.policy.denied_names(target.port) {
            let denied = self.lookup.lookup(name).await.map_err(LookupFailed)?;
            let is_denied = |a: &IpAddr| denied.iter().any(|d| d.to_canonical() == a.to_canonical());
            if addresses.iter().any(is_denied) {
                return Err(UrlRefusal::Address.into());
            }
        }
        Ok(())
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        // Outside a request nothing is known of the port, and nothing is resolved.
        let target = TARGET.try_with(Clone::clone);
        let guard = self.clone();
        Box::pin(async move {
            let target = target.map_err(|_| UrlRefusal::Address)?;
            let addresses = guard.resolve_name(name.as_str(), &target).await?;
            let addresses: Addrs = Box::new(addresses.into_iter().map(move |ip| SocketAddr::new(ip, target.port)));
            Ok(addresses)
        })
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("policy", &self.policy).finish_non_exhaustive()
    }
}
