//! From an answered request to what is remembered of it, and the way to read that.

use std::{net::IpAddr, sync::Arc};

use access::Tenant;
use ambient::{KeyId, MemberId, Millis, RequestId, WorkspaceId};
use credential::{key::Environment, secret::Digest};
use http::{HeaderMap, HeaderValue, Method, header, request::Parts, uri::PathAndQuery};
use store::{LiveKey, OutcomeCount, StoreError};

use crate::{
    Agent, Decision, Meta, Numbered, Problem, Reason, RequestContext, Why,
    decisions::Claim,
    enter::Seen,
    flow::Inner,
    trace::{Known, Noted},
};

/// Refusals whose key is looked for at once.
const LOOKED_FOR: usize = 16;
/// Fields that are kept of a refusal, and characters of each.
const FIELDS: usize = 3;
const FIELD_LENGTH: usize = 64;
/// Characters of an origin.
const ORIGIN_LENGTH: usize = 255;

/// What is kept of a request until it is answered.
pub(crate) struct Sender {
    origin: Option<HeaderValue>,
    agent: Agent,
    /// Where the path may hold an id.
    path: Option<PathAndQuery>,
}

impl Sender {
    pub(crate) fn of(parts: &Parts, meta: &Meta) -> Self {
        let path = if meta.path.contains('{') { parts.uri.path_and_query().cloned() } else { None };
        Self { origin: parts.headers.get(header::ORIGIN).cloned(), agent: agent(&parts.headers), path }
    }

    pub(crate) fn why(&self, problem: &Problem, noted: Noted) -> Arc<Why> {
        let short = |text: &str| text.chars().filter(|c| !c.is_control()).take(FIELD_LENGTH).collect();
        let origin = self.origin.as_ref().map(|origin| String::from_utf8_lossy(origin.as_bytes()));
        let claim = noted.digest.map(Claim::Digest).or(noted.parent.map(Claim::Parent));
        Arc::new(Why {
            reason: Reason::of(problem).or_noted(noted.reason),
            scope: problem.required_scope(),
            role: problem.required_role(),
            policy: problem.policy(),
            retry_after: problem.retry_after(),
            fields: problem.errors().iter().take(FIELDS).map(|error| short(&error.field)).collect(),
            target: self
                .path
                .as_ref()
                .and_then(|path| path.path().split('/').find(|part| is_id(part)))
                .map(str::to_owned),
            origin: origin.map(|origin| origin.chars().take(ORIGIN_LENGTH).collect()),
            said: problem.fixed_message(),
            claim: claim.filter(|_| noted.known.is_none()),
        })
    }
}

fn agent(headers: &HeaderMap) -> Agent {
    match headers.get(header::USER_AGENT) {
        None => Agent::Silent,
        Some(text) if text.as_bytes().starts_with(b"Mozilla/") => Agent::Browser,
        Some(_) => Agent::Program,
    }
}

/// A prefix and 26 characters: ids say nothing to whoever may not see the thing, and tokens are no ids.
fn is_id(segment: &str) -> bool {
    segment.split_once('_').is_some_and(|(prefix, rest)| {
        (2..=8).contains(&prefix.len())
            && prefix.bytes().all(|byte| byte.is_ascii_lowercase())
            && rest.len() == 26
            && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}

/// How a request ended.
pub(crate) struct Answer {
    pub(crate) time: Millis,
    pub(crate) id: RequestId,
    pub(crate) status: u16,
    pub(crate) micros: u128,
    pub(crate) code: Option<&'static str>,
    pub(crate) address: IpAddr,
    pub(crate) why: Option<Arc<Why>>,
}

impl Inner {
    pub(crate) fn remember(&self, meta: &Meta, answer: Answer, seen: &Seen, (sender, noted): (&Sender, Noted)) {
        let (mut caller, mut of) =
            (seen.caller, seen.tenant.map(|tenant| (tenant.workspace, Some(tenant.environment))));
        if let (None, Some(Known { key, kind, tenant })) = (of, noted.known) {
            caller = Some((kind, KeyId::PREFIX, Some(key.0)));
            of = Some((tenant.workspace, Some(tenant.environment)));
        } else if let (None, Some(person)) = (of, noted.person) {
            caller = Some(("member", MemberId::PREFIX, Some(person.member.0)));
            of = Some((person.workspace, None));
        }
        // Who looks at pages is no traffic, and of strangers only refusals are told to anybody.
        if answer.code.is_none() && (of.is_none() || meta.refusal.is_some()) {
            return;
        }
        let decision = Decision {
            time: answer.time,
            id: answer.id,
            method: meta.method.as_str(),
            operation: meta.id,
            path: meta.path,
            status: answer.status,
            micros: u32::try_from(answer.micros).unwrap_or(u32::MAX),
            code: answer.code,
            caller,
            environment: of.and_then(|(_, environment)| environment),
            address: answer.address,
            agent: sender.agent,
            why: answer.why,
        };
        match of {
            Some((workspace, environment)) => self.remember_of(workspace, environment, decision),
            None => self.decisions.push_stranger(decision),
        }
    }

    fn remember_of(&self, workspace: WorkspaceId, environment: Option<Environment>, decision: Decision) {
        let tenant = Tenant { workspace, environment: environment.unwrap_or(Environment::Live) };
        self.cluster.count_outcome(tenant, decision.code.unwrap_or(OutcomeCount::LET_IN), decision.time);
        self.decisions.push(workspace, decision);
    }

    /// Where no operation is nobody is asked who it is.
    pub(crate) fn remember_stray(
        &self,
        operation: &'static str,
        method: &Method,
        (time, id): (Millis, RequestId),
        (status, code): (u16, &'static str),
        address: IpAddr,
    ) {
        let reason = if operation == "not_found" { Reason::UnknownPath } else { Reason::MethodNotAllowed };
        let method = match method.as_str() {
            "GET" => "GET",
            "POST" => "POST",
            "PATCH" => "PATCH",
            "PUT" => "PUT",
            "DELETE" => "DELETE",
            "HEAD" => "HEAD",
            "OPTIONS" => "OPTIONS",
            _ => "-",
        };
        self.decisions.push_stranger(Decision {
            time,
            id,
            method,
            operation,
            path: "-",
            status,
            micros: 0,
            code: Some(code),
            caller: None,
            environment: None,
            address,
            agent: Agent::Silent,
            why: Some(Arc::new(Why::of(reason))),
        });
    }

    /// Looks for the owners of keys that were refused and are not in memory: revoked ones, and those of deleted
    /// accounts.
    async fn settle(&self, most: usize) -> Result<(), StoreError> {
        for decision in self.decisions.take_unknown(most) {
            match self.settled(&decision).await {
                Ok(Some((workspace, settled))) => self.remember_of(workspace, settled.environment, settled),
                Ok(None) => self.decisions.give_back(decision, true),
                Err(error) => {
                    self.decisions.give_back(decision, false);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    async fn settled(&self, decision: &Decision) -> Result<Option<(WorkspaceId, Decision)>, StoreError> {
        let Some(why) = &decision.why else { return Ok(None) };
        let (live, reason) = match why.claim {
            Some(Claim::Digest(digest)) => {
                let Some(live) = self.store.find_key_by_digest(&digest).await? else { return Ok(None) };
                let reason = self.reason_of(&live, &[digest], decision.time).await?;
                (live, reason.unwrap_or(why.reason))
            }
            Some(Claim::Parent(key)) => {
                let Some(live) = self.store.find_key(key).await? else { return Ok(None) };
                (live, why.reason)
            }
            None => return Ok(None),
        };
        let mut settled = decision.clone();
        settled.caller = Some((live.key.kind.as_str(), KeyId::PREFIX, Some(live.key.id.0)));
        settled.environment = Some(live.key.environment);
        let reason = if why.reason == Reason::TooManyFailures { why.reason } else { reason };
        settled.why = Some(Arc::new(Why { reason, claim: None, ..Why::clone(why) }));
        Ok(Some((live.key.workspace, settled)))
    }

    /// Why a stored key did not work at a time; `None` when nothing was wrong with it.
    pub(crate) async fn reason_of(
        &self,
        live: &LiveKey,
        digests: &[Digest],
        at: Millis,
    ) -> Result<Option<Reason>, StoreError> {
        let key = &live.key;
        if key.revoked_at.is_some() {
            let Some(account) = key.service_account else { return Ok(Some(Reason::KeyRevoked)) };
            let tenant = Tenant { workspace: key.workspace, environment: key.environment };
            return match self.store.workspace(tenant).service_account(account).await {
                Ok(_) => Ok(Some(Reason::KeyRevoked)),
                Err(StoreError::NotFound) => Ok(Some(Reason::AccountDeleted)),
                Err(error) => Err(error),
            };
        }
        let secret = key.secrets.iter().find(|secret| digests.contains(&secret.digest));
        Ok(if secret.and_then(|secret| secret.expires_at).is_some_and(|ends| ends <= at) {
            Some(Reason::SecretReplaced)
        } else if live.disabled {
            Some(Reason::AccountDisabled)
        } else if key.expires_at.is_some_and(|ends| ends <= at) {
            Some(Reason::KeyExpired)
        } else {
            None
        })
    }
}

/// A request that is asked for by its id.
#[derive(Clone, Debug)]
pub enum Recalled {
    /// One of the workspace's own.
    Own(Decision),
    /// Somebody's who did not prove who it is: where it came from is nobody's business.
    Stranger(Decision),
}

/// What was decided of late, for one who may see it.
pub struct Recent<'a> {
    gate: &'a Inner,
}

impl std::fmt::Debug for Recent<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recent")
    }
}

impl RequestContext {
    /// What was decided of late.
    #[must_use]
    pub fn recent(&self) -> Recent<'_> {
        Recent { gate: self.door.gate() }
    }
}

impl Recent<'_> {
    /// A tenant's requests that `wanted` takes, the newest first.
    ///
    /// # Errors
    /// When the owners of refused keys cannot be looked for.
    pub async fn list(&self, tenant: Tenant, wanted: impl Fn(&Decision) -> bool) -> Result<Vec<Numbered>, Problem> {
        self.gate.settle(LOOKED_FOR).await?;
        Ok(self.gate.decisions.list(tenant, wanted))
    }

    /// A tenant's requests after a number, the oldest first.
    ///
    /// # Errors
    /// As [`Recent::list`].
    pub async fn after(&self, tenant: Tenant, number: u64) -> Result<Vec<Numbered>, Problem> {
        self.gate.settle(LOOKED_FOR).await?;
        Ok(self.gate.decisions.after(tenant, number))
    }

    /// The number of the newest of a workspace.
    #[must_use]
    pub fn newest(&self, workspace: WorkspaceId) -> u64 {
        self.gate.decisions.newest(workspace)
    }

    /// The request of an id: the tenant's own, or a stranger's. A live tenant sees both halves' requests, a test
    /// tenant those of its own.
    ///
    /// # Errors
    /// As [`Recent::list`].
    pub async fn find(&self, tenant: Tenant, id: RequestId) -> Result<Option<Recalled>, Problem> {
        self.gate.settle(LOOKED_FOR).await?;
        let decisions = &self.gate.decisions;
        if let Some(decision) = decisions.find(tenant.workspace, id) {
            let may_see = tenant.environment == Environment::Live || decision.environment == Some(Environment::Test);
            return Ok(may_see.then_some(Recalled::Own(decision)));
        }
        let Some(decision) = decisions.find_stranger(id) else { return Ok(None) };
        let found = self.gate.settled(&decision).await?;
        Ok(match found {
            Some((workspace, decision)) if workspace == tenant.workspace => Some(Recalled::Own(decision)),
            // Another workspace's is told as one of a key that nobody knows.
            _ => Some(Recalled::Stranger(decision)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_in_a_path_is_kept_and_a_token_is_not() {
        let ulid = "01jd0000000000000000000000";
        assert!(is_id(&format!("bot_{ulid}")) && is_id(&format!("conv_{ulid}")));
        for other in [
            ulid,
            "bot_01",
            &format!("trig_{ulid}xxxxxxxx"),
            &format!("BOT_{ulid}"),
            &format!("_{ulid}"),
            &format!("bot_{}", ulid.to_uppercase()),
            &format!("ct_live_{ulid}"),
        ] {
            assert!(!is_id(other), "{other}");
        }
    }
}
