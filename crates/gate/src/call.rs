use std::{net::IpAddr, str::FromStr};

use access::{Actor, Caller, Tenant};
use ambient::{Millis, RequestId};
use http::Uri;
use store::AuditEntry;

use crate::{Meta, Problem};

/// What the gate knows of a request besides who it is and what it asks.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// Names the request in the answer, the log and the audit.
    pub id: RequestId,
    /// When it arrived.
    pub now: Millis,
    /// The client, behind trusted proxies.
    pub address: IpAddr,
    pub(crate) uri: Uri,
    pub(crate) operation: &'static Meta,
}

/// An admitted request. A handler gets it from the gate and from nowhere else.
#[derive(Debug)]
pub struct Call<I> {
    /// Who is calling.
    pub caller: Caller,
    /// What is asked.
    pub input: I,
    /// The rest.
    pub request: RequestContext,
}

impl<I> Call<I> {
    /// Whose data the caller may reach.
    ///
    /// # Errors
    /// 401 for a stranger, whom the gate lets through on public operations alone.
    pub fn tenant(&self) -> Result<Tenant, Problem> {
        self.caller.tenant().ok_or_else(|| access::Refusal::MissingCredential.into())
    }

    /// The identifier at `{name}` in the path. One that is not well-formed names nothing.
    ///
    /// # Errors
    /// 404.
    pub fn id<T: FromStr>(&self, name: &str) -> Result<T, Problem> {
        self.request.param(name).and_then(|text| text.parse().ok()).ok_or_else(Problem::not_found)
    }

    /// Who did it, for the audit record.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor::of(&self.caller, Some(self.request.address), self.request.id)
    }

    /// The audit record of this operation, by `actor`.
    #[must_use]
    pub fn audit<'a>(&self, actor: &'a Actor, detail: Option<serde_json::Value>) -> AuditEntry<'a> {
        AuditEntry { actor, action: self.request.operation.id, detail }
    }
}

impl RequestContext {
    /// The segment of the path at `{name}`, as it was sent.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        let pattern = self.operation.path.split('/');
        pattern.zip(self.uri.path().split('/')).find_map(|(pattern, segment)| {
            let inner = pattern.strip_prefix('{')?.strip_suffix('}')?;
            (inner == name).then_some(segment)
        })
    }
}
