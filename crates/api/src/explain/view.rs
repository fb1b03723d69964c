use access::{Caller, KeyKind, Role, Scope, ScopeSet};
use ambient::{ConversationId, KeyId, Millis, RunId, ServiceAccountId};
use credential::{key::Environment, token::Tokens};
use gate::{Check, Decision, Meta, Reason, Rehearsal, Rehearsed, secret_ends};
use schemars::JsonSchema;
use serde::Serialize;
use store::LiveKey;

use crate::requests::RequestView;

/// Why.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Explanation {
    /// Whether it was let in, or would be.
    allowed: bool,
    /// The answer's status; of a request that would be let in, 200.
    status: u16,
    /// The code of the refusal.
    code: Option<String>,
    /// The true reason of the refusal, which is finer than its code.
    reason: Option<&'static str>,
    /// The same in words, with what there is to say of this case.
    pub(super) message: String,
    /// What to do about it.
    advice: Option<&'static str>,
    /// The request, if it was made.
    request: Option<RequestView>,
    /// What was presented, as far as it is this workspace's.
    credential: Option<Presented>,
    /// The operation that was asked for.
    operation: Option<Asked>,
    /// Each step of the check, in order.
    checks: Vec<Step>,
}

/// A credential, without its text.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Presented {
    /// `api_key`, `session_token`, `participant_token`, `static_key` or `member`.
    kind: &'static str,
    /// What may be shown of what was pasted.
    display: Option<String>,
    /// Of a key that was rotated: whether this secret is the `newest` or an `older` one.
    secret: Option<&'static str>,
    /// When an older secret ends, or ended.
    secret_ends_at: Option<Millis>,
    /// When a token ends.
    token_expires_at: Option<Millis>,
    /// The conversation of a session token.
    conversation_id: Option<ConversationId>,
    /// The run of a participant's token.
    run_id: Option<RunId>,
    /// The role in that run.
    run_role: Option<String>,
    /// The key: its own, or the one that made the token. As it is now.
    key: Option<ExplainedKey>,
}

/// A key as it is now.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ExplainedKey {
    id: KeyId,
    name: String,
    kind: KeyKind,
    display: String,
    environment: Environment,
    /// `active`, `expired`, `revoked` or `disabled`.
    state: &'static str,
    scopes: ScopeSet,
    created_at: Millis,
    expires_at: Option<Millis>,
    revoked_at: Option<Millis>,
    service_account_id: Option<ServiceAccountId>,
    allowed_domains: Vec<String>,
    allow_localhost: bool,
    allowed_ips: Vec<String>,
    rate_limit: Option<u32>,
    daily_requests: Option<u32>,
    daily_sessions: Option<u32>,
    daily_messages: Option<u32>,
}

/// An operation, and whom it admits.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Asked {
    id: &'static str,
    method: &'static str,
    path: &'static str,
    required_scope: Option<Scope>,
    required_role: Option<Role>,
    /// Which kinds of credential it takes.
    audiences: Vec<&'static str>,
}

/// One step of the check.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Step {
    /// `route`, `credential`, `state`, `place`, `permission`, `limits` or `request`.
    name: &'static str,
    /// `passed`, `failed`, or `not_reached`: what comes after a step that failed, and what only the operation itself
    /// could say.
    outcome: &'static str,
    /// What there is to say.
    detail: Option<String>,
}

impl ExplainedKey {
    pub(super) fn of(live: LiveKey, now: Millis) -> Self {
        let LiveKey { key, disabled, service_account_scopes, .. } = live;
        let state = match key.expires_at {
            _ if key.revoked_at.is_some() => "revoked",
            Some(at) if at <= now => "expired",
            _ if disabled => "disabled",
            _ => "active",
        };
        let settings = key.settings;
        Self {
            id: key.id,
            name: key.name,
            kind: key.kind,
            display: key.secrets.first().map(|secret| secret.display.clone()).unwrap_or_default(),
            environment: key.environment,
            state,
            scopes: service_account_scopes.map_or(key.scopes, |scopes| key.scopes.intersect(scopes)),
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            service_account_id: key.service_account,
            allowed_domains: settings.allowed_domains,
            allow_localhost: !settings.deny_localhost,
            allowed_ips: settings.allowed_ips.iter().map(ToString::to_string).collect(),
            rate_limit: settings.rate_limit,
            daily_requests: settings.daily_requests,
            daily_sessions: settings.daily_sessions,
            daily_messages: settings.daily_messages,
        }
    }
}

impl Asked {
    fn of(meta: &Meta) -> Self {
        let access = &meta.access;
        let kinds = [
            (access.required_scope().is_some() || access.admits_any_credential(), "secret key"),
            (access.admits_widgets() || access.admits_any_credential(), "widget key"),
            (access.admits_deployments() || access.admits_any_credential(), "deployment key"),
            (access.admits_sessions() || access.admits_any_credential(), "session token"),
            (access.admits_participants(), "participant token"),
            (access.admits_members(), "member"),
            (access.admits_static_widget(), "WIDGET_API_KEY"),
            (access.admits_static_admin(), "ADMIN_API_KEY"),
            (access.is_public(), "anybody"),
        ];
        Self {
            id: meta.id,
            method: meta.method.as_str(),
            path: meta.path,
            required_scope: access.required_scope(),
            required_role: access.required_role(),
            audiences: kinds.into_iter().filter(|(admits, _)| *admits).map(|(_, kind)| kind).collect(),
        }
    }
}

fn steps(failed: Option<(Reason, &str)>, was_made: bool) -> Vec<Step> {
    let at = failed.map(|(reason, _)| reason.check());
    let step = |check: Check| {
        let (outcome, detail) = match (at, failed) {
            (Some(at), Some((_, message))) if at == check => ("failed", Some(message.to_owned())),
            (Some(at), _) if check > at => ("not_reached", None),
            (None, _) if check == Check::Request && !was_made => (
                "not_reached",
                Some("Whether the ids, the parameters and the body are in order the operation itself says.".to_owned()),
            ),
            _ => ("passed", None),
        };
        Step { name: check.as_str(), outcome, detail }
    };
    Check::ALL.into_iter().map(step).collect()
}

/// What there is to say besides the reason itself.
struct Case<'a> {
    reason: Reason,
    scope: Option<Scope>,
    role: Option<Role>,
    policy: Option<&'a str>,
    retry_after: Option<u32>,
    fields: Vec<String>,
    origin: Option<&'a str>,
    address: Option<String>,
    secret_ends: Option<Millis>,
    key: Option<&'a ExplainedKey>,
    audiences: Option<&'a [&'static str]>,
}

impl Case<'_> {
    fn detail(&self) -> Option<String> {
        let listed = |list: &[String]| if list.is_empty() { "none".to_owned() } else { list.join(", ") };
        match self.reason {
            Reason::KeyRevoked | Reason::AccountDeleted => {
                self.key.and_then(|key| key.revoked_at).map(|at| format!("That was at {at}."))
            }
            Reason::KeyExpired => self.key.and_then(|key| key.expires_at).map(|at| format!("That was at {at}.")),
            Reason::SecretReplaced => self.secret_ends.map(|at| format!("It ended at {at}.")),
            Reason::ScopeMissing => self.scope.map(|scope| {
                let own: Vec<String> =
                    self.key.map(|key| key.scopes.iter().map(|s| s.to_string()).collect()).unwrap_or_default();
                if self.key.is_some() {
                    format!("It needs {scope}; the key has: {}.", listed(&own))
                } else {
                    format!("It needs {scope}.")
                }
            }),
            Reason::RoleMissing => self.role.map(|role| format!("It needs the role {role}.")),
            Reason::OriginNotListed | Reason::OriginLocalhost | Reason::SessionOrigin | Reason::SecretInBrowser => {
                let origin = self.origin.map(|origin| format!("The page is {origin}."));
                let list = self.key.filter(|key| key.kind == KeyKind::Widget && self.reason == Reason::OriginNotListed);
                let list = list.map(|key| format!("The key lists: {}.", listed(&key.allowed_domains)));
                join(origin, list)
            }
            Reason::AddressNotListed => {
                let address = self.address.as_ref().map(|address| format!("It came from {address}."));
                join(address, self.key.map(|key| format!("The key lists: {}.", listed(&key.allowed_ips))))
            }
            Reason::WrongKind => {
                self.audiences.map(|kinds| format!("It takes: {}.", kinds.join(", "))).filter(|_| !kinds_empty(self))
            }
            Reason::LimitReached | Reason::TooManyFailures => {
                let policy = self.policy.map(|policy| format!("The budget is `{policy}`."));
                join(policy, self.retry_after.map(|s| format!("There was room again after {s} s.")))
            }
            Reason::FieldWrong => {
                Some(format!("The fields: {}.", listed(&self.fields))).filter(|_| !self.fields.is_empty())
            }
            _ => None,
        }
    }

    fn message(&self) -> String {
        join(Some(self.reason.says().to_owned()), self.detail()).unwrap_or_default()
    }
}

fn kinds_empty(case: &Case<'_>) -> bool {
    case.audiences.is_none_or(<[_]>::is_empty)
}

fn join(first: Option<String>, second: Option<String>) -> Option<String> {
    match (first, second) {
        (Some(first), Some(second)) => Some(format!("{first} {second}")),
        (first, second) => first.or(second),
    }
}

const LET_IN: &str = "It was let in.";

impl Explanation {
    /// To what the audit log points: the request or the key, if it is one of the workspace's.
    pub(super) fn about(&self) -> Option<(&'static str, String)> {
        if let Some(request) = &self.request {
            return Some(("request", request.id().to_string()));
        }
        let key = self.credential.as_ref()?.key.as_ref()?;
        Some(("api_key", key.id.to_string()))
    }

    pub(super) const fn reason(&self) -> Option<&'static str> {
        self.reason
    }

    /// Of a request that was made, by a caller of this workspace.
    pub(super) fn of_decision(decision: &Decision, live: Option<LiveKey>, now: Millis) -> Self {
        let key = live.map(|live| ExplainedKey::of(live, now));
        let credential = decision.caller.map(|(kind, _, _)| Presented {
            kind: match kind {
                "session" => "session_token",
                "participant" => "participant_token",
                "member" => "member",
                "static_key" => "static_key",
                _ => "api_key",
            },
            key,
            ..Presented::nothing()
        });
        let key = credential.as_ref().and_then(|credential| credential.key.as_ref());
        let why = decision.why.as_deref();
        let case = why.map(|why| Case {
            reason: why.reason,
            scope: why.scope,
            role: why.role,
            policy: why.policy,
            retry_after: why.retry_after,
            fields: why.fields.clone(),
            origin: why.origin.as_deref(),
            address: Some(decision.address.to_string()),
            secret_ends: None,
            key,
            audiences: None,
        });
        let message = case.as_ref().map_or_else(|| LET_IN.to_owned(), Case::message);
        Self {
            allowed: decision.code.is_none(),
            status: decision.status,
            code: decision.code.map(str::to_owned),
            reason: why.map(|why| why.reason.as_str()),
            advice: why.map(|why| why.reason.advice()),
            checks: steps(why.map(|why| (why.reason, message.as_str())), true),
            message,
            request: Some(RequestView::of(decision)),
            credential,
            operation: None,
        }
    }

    /// Of a request of somebody who did not prove who it is.
    pub(super) fn of_stranger(decision: &Decision) -> Self {
        let mut explanation = Self::of_decision(decision, None, Millis(0));
        let reason = decision.why.as_deref().map(|why| why.reason);
        explanation.message = reason.map_or_else(|| LET_IN.to_owned(), |reason| reason.says().to_owned());
        explanation.checks = steps(reason.map(|reason| (reason, explanation.message.as_str())), true);
        explanation.credential = None;
        explanation.request = Some(RequestView::of_stranger(decision));
        explanation
    }

    /// Of a request that might be made.
    pub(super) fn of_rehearsal(
        rehearsed: Rehearsed,
        asked: Rehearsal<'_>,
        environment: Option<Environment>,
        now: Millis,
    ) -> Self {
        let Rehearsed { operation, refused, caller, key, digests, verdict } = rehearsed;
        let ends = key.as_ref().and_then(|live| secret_ends(live, &digests));
        let secret = |live: &LiveKey| live.key.secrets.iter().find(|secret| digests.contains(&secret.digest)).cloned();
        let display = key.as_ref().and_then(secret).map(|secret| secret.display);
        let key = key.map(|live| ExplainedKey::of(live, now));
        let operation = operation.as_ref().map(Asked::of);
        let credential = asked.credential.map(|text| Presented::of(text, caller.as_ref()));
        let credential =
            credential.filter(|_| key.is_some() || matches!(caller, Some(Caller::Static(_)))).map(|found| {
                let secret = display.is_some().then_some(if ends.is_some() { "older" } else { "newest" });
                Presented { display, secret, secret_ends_at: ends, key: key.clone(), ..found }
            });
        let other_half = key.as_ref().zip(environment).filter(|(key, wanted)| key.environment != *wanted);
        let (allowed, status, code, reason, message) = match &refused {
            Some((problem, reason)) => {
                let case = Case {
                    reason: *reason,
                    scope: problem.required_scope(),
                    role: problem.required_role(),
                    policy: problem.policy(),
                    retry_after: problem.retry_after(),
                    fields: Vec::new(),
                    origin: asked.origin,
                    address: asked.address.map(|address| address.to_string()),
                    secret_ends: ends,
                    key: key.as_ref(),
                    audiences: operation.as_ref().map(|operation| operation.audiences.as_slice()),
                };
                (false, problem.status().as_u16(), Some(problem.code().to_owned()), Some(*reason), case.message())
            }
            None => {
                let left = verdict
                    .map(|verdict| format!("{} of {} left in `{}`.", verdict.remaining, verdict.quota, verdict.policy));
                let said = join(
                    Some("It would be let in.".to_owned()),
                    left.filter(|_| verdict.is_some_and(|v| v.quota != u32::MAX)),
                );
                (true, 200, None, None, said.unwrap_or_default())
            }
        };
        let message = match other_half {
            Some((key, wanted)) => format!(
                "{message} It is a credential of the {} data: what belongs to the {} data it does not find.",
                key.environment.as_str(),
                wanted.as_str()
            ),
            None => message,
        };
        Self {
            allowed,
            status,
            code,
            reason: reason.map(Reason::as_str),
            advice: reason.map(Reason::advice),
            checks: steps(reason.map(|reason| (reason, message.as_str())), false),
            message,
            request: None,
            credential,
            operation,
        }
    }
}

impl Presented {
    const fn nothing() -> Self {
        Self {
            kind: "",
            display: None,
            secret: None,
            secret_ends_at: None,
            token_expires_at: None,
            conversation_id: None,
            run_id: None,
            run_role: None,
            key: None,
        }
    }

    fn of(text: &str, caller: Option<&Caller>) -> Self {
        let nothing = Self::nothing();
        match caller {
            Some(Caller::Session(session)) => Self {
                kind: "session_token",
                token_expires_at: Some(session.expires_at),
                conversation_id: Some(session.conversation),
                ..nothing
            },
            Some(Caller::Participant(participant)) => Self {
                kind: "participant_token",
                token_expires_at: Some(participant.expires_at),
                run_id: Some(participant.run),
                run_role: Some(participant.role.to_string()),
                ..nothing
            },
            Some(Caller::Static(_)) => Self { kind: "static_key", ..nothing },
            _ => match Tokens::kind_of(text) {
                None => Self { kind: "api_key", ..nothing },
                Some(kind) if kind.typ() == "chatsession+jwt" => Self { kind: "session_token", ..nothing },
                Some(_) => Self { kind: "participant_token", ..nothing },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_before_the_one_that_failed_have_passed_and_those_after_it_were_not_reached() {
        let outcomes = |failed, was_made| steps(failed, was_made).iter().map(|step| step.outcome).collect::<Vec<_>>();
        let (p, n) = ("passed", "not_reached");
        assert_eq!(outcomes(Some((Reason::AddressNotListed, "x")), false), [p, p, p, "failed", n, n, n]);
        assert_eq!(outcomes(Some((Reason::UnknownPath, "x")), true), ["failed", n, n, n, n, n, n]);
        assert_eq!(outcomes(None, true), [p; 7]);
        assert_eq!(outcomes(None, false), [p, p, p, p, p, p, n], "nobody has asked the operation");
    }

    #[test]
    fn a_problem_without_more_to_say_is_its_reason() {
        assert_eq!(Reason::of(&gate::Problem::not_found()), Reason::NotFound);
        assert_eq!(join(Some("A.".to_owned()), None).as_deref(), Some("A."));
    }
}
