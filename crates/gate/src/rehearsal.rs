//! Would it be let in? The same check on the same parts, and nothing is charged, counted, noted or renewed by it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use access::{Caller, Tenant};
use ambient::Millis;
use credential::{key::Environment, secret::Digest, token::Tokens};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use store::LiveKey;

use crate::{
    Meta, Problem, Reason, RequestContext, Surface,
    authenticate::Surroundings,
    enter::Seen,
    flow::Inner,
    trace::{Noted, Trace},
};

/// A request that might be made.
#[derive(Clone, Copy)]
pub struct Rehearsal<'a> {
    /// What would be presented; nothing, for a stranger.
    pub credential: Option<&'a str>,
    /// The method.
    pub method: &'a str,
    /// The path; what follows `?` is not looked at.
    pub path: &'a str,
    /// The page that would ask.
    pub origin: Option<&'a str>,
    /// The client's address; without one, an address that no list holds.
    pub address: Option<IpAddr>,
}

/// Without the credential.
impl fmt::Debug for Rehearsal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rehearsal").field("method", &self.method).field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// What would become of it.
#[derive(Debug)]
pub struct Rehearsed {
    /// The operation that it asks for.
    pub operation: Option<Meta>,
    /// How it would be refused, and the true reason.
    pub refused: Option<(Problem, Reason)>,
    /// Who would be calling, as far as it got.
    pub caller: Option<Caller>,
    /// The key that was presented, or made the token, as it is stored.
    pub key: Option<LiveKey>,
    /// Which of its secrets was presented.
    pub digests: Vec<Digest>,
    /// The budget that is nearest to refusing.
    pub verdict: Option<cluster::Verdict>,
}

impl RequestContext {
    /// Looks at a request that a member of `viewer`, or a key of it, asks about. The credential of another
    /// workspace reads exactly as one that does not exist.
    ///
    /// # Errors
    /// 503 when the database cannot be asked.
    pub async fn rehearse(&self, asked: Rehearsal<'_>, viewer: Tenant) -> Result<Rehearsed, Problem> {
        let gate = self.door.gate();
        let path = asked.path.split('?').next().unwrap_or_default();
        let route = gate.route(asked.method, path);
        let (seen, noted, mut outcome, caller) = gate.walk(route, path, asked, self).await;
        if let Err((problem, _)) = &outcome
            && problem.status().is_server_error()
            && problem.cause().is_some()
        {
            return Err(Problem::unavailable("the check could not be made"));
        }
        // What tells everybody the same looks at no credential, and so does this.
        if let Ok(meta) = &route
            && meta.is_open()
        {
            let (operation, refused) = (route.ok(), outcome.err());
            return Ok(Rehearsed { operation, refused, caller: None, key: None, digests: Vec::new(), verdict: None });
        }
        let found = gate.owner(asked.credential, caller.as_ref(), noted).await?;
        let (key, digests) = found.unzip();
        let of = seen.tenant.or(noted.known.map(|known| known.tenant));
        let of = of.or(key.as_ref().map(|live: &LiveKey| tenant_of(live)));
        // A token that is over is refused before it is known whose it was.
        let signed = || asked.credential.and_then(|text| gate.tokens.owner_of(text));
        let of = of.or_else(|| signed().map(|(workspace, environment)| Tenant { workspace, environment }));
        let is_own = |of: Tenant| {
            of.workspace == viewer.workspace
                && (viewer.environment == Environment::Live || of.environment == Environment::Test)
        };
        let operation = route.ok();
        if asked.credential.is_some() && of.is_some_and(|of| !is_own(of)) {
            return Ok(Rehearsed {
                operation,
                refused: Some(unknown(asked.credential, outcome.err())),
                caller: None,
                key: None,
                digests: Vec::new(),
                verdict: None,
            });
        }
        // Memory does not know why a key is not in it; the database does.
        if let (Err((_, reason)), Some(live)) = (&mut outcome, &key)
            && *reason == Reason::KeyUnknown
        {
            let digests = digests.as_deref().unwrap_or_default();
            *reason = gate.reason_of(live, digests, self.now).await?.unwrap_or(*reason);
        }
        let refused = outcome.err();
        Ok(Rehearsed { operation, refused, caller, key, digests: digests.unwrap_or_default(), verdict: seen.verdict })
    }
}

fn tenant_of(live: &LiveKey) -> Tenant {
    Tenant { workspace: live.key.workspace, environment: live.key.environment }
}

/// What is said of a credential that does not exist. Where nobody gets anywhere, that is said first.
fn unknown(credential: Option<&str>, refused: Option<(Problem, Reason)>) -> (Problem, Reason) {
    match refused {
        Some((problem, reason @ (Reason::UnknownPath | Reason::MethodNotAllowed))) => (problem, reason),
        _ if credential.and_then(Tokens::kind_of).is_some() => {
            (access::Refusal::InvalidToken.into(), Reason::TokenForged)
        }
        _ => (access::Refusal::InvalidApiKey.into(), Reason::KeyUnknown),
    }
}

type Walked = (Seen, Noted, Result<(), (Problem, Reason)>, Option<Caller>);

impl Inner {
    /// The operation at a path: one that is spelled out before one with parameters.
    fn route(&self, method: &str, path: &str) -> Result<Meta, Reason> {
        let all = || self.operations.get().into_iter().flat_map(|table| table.values()).map(|mounted| mounted.meta);
        let at_path = || all().filter(|meta| matches(meta.path, path));
        let found = at_path().filter(|meta| meta.method.as_str().eq_ignore_ascii_case(method));
        match found.min_by_key(|meta| meta.path.matches('{').count()) {
            Some(meta) => Ok(meta),
            None if at_path().next().is_some() => Err(Reason::MethodNotAllowed),
            None => Err(Reason::UnknownPath),
        }
    }

    async fn walk(
        &self,
        route: Result<Meta, Reason>,
        path: &str,
        asked: Rehearsal<'_>,
        context: &RequestContext,
    ) -> Walked {
        let (mut seen, trace) = (Seen::default(), Trace::rehearsal());
        let meta = match route {
            Ok(meta) => meta,
            Err(reason) => {
                let is_path = reason == Reason::UnknownPath;
                let problem = if is_path { Problem::not_found() } else { Problem::method_not_allowed() };
                return (seen, trace.noted(), Err((problem, reason)), None);
            }
        };
        let headers = headers(&meta, asked);
        // From TEST-NET-1 (RFC 5737): nobody comes from there.
        let address = asked.address.unwrap_or(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))).to_canonical();
        let around = Surroundings { headers: &headers, address, now: context.now, request: context.id, trace: &trace };
        let entered = self.enter(&meta, path, around, &mut seen).await;
        let noted = trace.noted();
        match entered {
            Ok(identity) => (seen, noted, Ok(()), Some(identity.caller)),
            Err(problem) => {
                let reason = Reason::of(&problem).or_noted(noted.reason);
                (seen, noted, Err((problem, reason)), None)
            }
        }
    }

    /// The stored key behind a credential, and the digests of what was presented.
    async fn owner(
        &self,
        credential: Option<&str>,
        caller: Option<&Caller>,
        noted: Noted,
    ) -> Result<Option<(LiveKey, Vec<Digest>)>, Problem> {
        let by_caller = match caller {
            Some(Caller::Key(key)) => Some(key.key),
            Some(Caller::Session(session)) => Some(session.key),
            Some(Caller::Participant(participant)) => Some(participant.key),
            _ => None,
        };
        let Some(text) = credential else { return Ok(None) };
        let is_key = Tokens::kind_of(text).is_none() && self.parser.parse(text).is_ok();
        let digests = if is_key { self.cluster.digests_of(text) } else { Vec::new() };
        for digest in &digests {
            if let Some(live) = self.store.find_key_by_digest(digest).await? {
                return Ok(Some((live, digests)));
            }
        }
        match by_caller.or(noted.known.map(|known| known.key)).or(noted.parent) {
            Some(id) => Ok(self.store.find_key(id).await?.map(|live| (live, digests))),
            None => Ok(None),
        }
    }
}

/// Whether a path is one of a pattern's.
fn matches(pattern: &str, path: &str) -> bool {
    let mut left = path.split('/');
    let all = pattern.split('/').all(|part| {
        left.next().is_some_and(|found| if part.starts_with('{') { !found.is_empty() } else { part == found })
    });
    all && left.next().is_none()
}

/// As a client would send it.
fn headers(meta: &Meta, asked: Rehearsal<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut put = |name: HeaderName, value: String| {
        // What is no header's value is not a credential either.
        let value = HeaderValue::from_str(&value).unwrap_or_else(|_| HeaderValue::from_static("?"));
        headers.insert(name, value);
    };
    if let Some(credential) = asked.credential {
        match meta.surface {
            Surface::House => put(header::AUTHORIZATION, format!("Bearer {credential}")),
            Surface::DropIn if meta.access.admits_static_admin() => {
                put(HeaderName::from_static("x-admin-api-key"), credential.to_owned());
            }
            Surface::DropIn => put(HeaderName::from_static("x-api-key"), credential.to_owned()),
        }
    }
    if let Some(origin) = asked.origin {
        put(header::ORIGIN, origin.to_owned());
    }
    headers
}

/// When a key's presented secret ends or ended, if it is not the newest.
#[must_use]
pub fn secret_ends(live: &LiveKey, digests: &[Digest]) -> Option<Millis> {
    live.key.secrets.iter().find(|secret| digests.contains(&secret.digest))?.expires_at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_matched_part_by_part() {
        assert!(matches("/v1/bots/{id}", "/v1/bots/bot_1") && matches("/v1/me", "/v1/me") && matches("/", "/"));
        for (pattern, path) in [
            ("/v1/bots/{id}", "/v1/bots"),
            ("/v1/bots/{id}", "/v1/bots/"),
            ("/v1/bots/{id}", "/v1/bots/a/b"),
            ("/v1/me", "/v1/me/"),
            ("/v1/me", "/V1/me"),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }
}
