//! What a credential is, and why it was or would be refused: the gate's own check, asked and not made.
//!
//! Nothing that is pasted is stored, logged or shown; the audit log says who asked about which key. The credential of
//! another workspace reads as one that does not exist.

mod facts;
mod view;

use std::net::IpAddr;

use access::{Access, Caller, Limit, Refusal, Role, Scope, Tenant};
use ambient::RequestId;
use credential::key::Environment;
use gate::{Call, Data, FieldError, Operation, Problem, Recalled, Rehearsal, Routes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

pub(crate) use self::view::Explanation;
use crate::App;

pub(crate) const EXPLAIN_ACCESS: Operation<Explain, Data<Explanation>> = Operation::post(
    "/v1/access/explain",
    "explain_access",
    "Say what a credential is, and why a request with it was refused, or would be. Nothing is charged, and nothing that \
     is pasted is kept.",
    Access::closed(Limit::Write).member(Role::Member).key(Scope::AuditRead).audited(),
);

/// The longest credential that is looked at, in characters: as a header's.
const LONGEST: usize = 4096;

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(EXPLAIN_ACCESS, explain_access);
}

/// What is to be explained: a request that was made, or one that might be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Explain {
    /// A request that was answered a while ago, `req_…`; then nothing else is sent. For members: from the role of
    /// admin on.
    request_id: Option<String>,
    /// A key or a token; without it, a stranger asks.
    #[schemars(length(max = 4096))]
    credential: Option<String>,
    /// The method: `GET` by default.
    #[schemars(length(max = 10))]
    method: Option<String>,
    /// The path: `/v1/me` by default, where any credential is admitted.
    #[schemars(length(max = 1024))]
    path: Option<String>,
    /// The page that would ask, as its browser sends it: `https://www.example.com`.
    #[schemars(length(max = 255))]
    origin: Option<String>,
    /// The client's address. Without one the address is one that no list holds.
    #[schemars(length(max = 45))]
    address: Option<String>,
    /// Which half of the data is meant: a credential of the other one is told so.
    environment: Option<Environment>,
}

/// Without what was pasted.
impl std::fmt::Debug for Explain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Explain").field("request_id", &self.request_id).finish_non_exhaustive()
    }
}

impl Explain {
    fn check(&self) -> Result<Option<IpAddr>, Problem> {
        let mut errors = Vec::new();
        let is_made_up = [&self.credential, &self.method, &self.path, &self.origin, &self.address];
        if self.request_id.is_some() && (is_made_up.iter().any(|field| field.is_some()) || self.environment.is_some()) {
            errors.push(FieldError::new("request_id", "stands alone: the request says all the rest"));
        }
        if self.request_id.is_none() && self.credential.is_none() && self.path.is_none() {
            errors.push(FieldError::new("credential", "is missing; send one, or a `request_id`, or a `path`"));
        }
        let longest = [("method", &self.method, 10), ("path", &self.path, 1024), ("origin", &self.origin, 255)];
        for (name, value, most) in longest.into_iter().chain([("credential", &self.credential, LONGEST)]) {
            if value.as_ref().is_some_and(|value| value.chars().count() > most) {
                errors.push(FieldError::new(name, format!("must be {most} characters at most")));
            }
        }
        if self.path.as_ref().is_some_and(|path| !path.starts_with('/')) {
            errors.push(FieldError::new("path", "must begin with `/`"));
        }
        let address = self.address.as_deref().map(str::parse::<IpAddr>);
        if matches!(address, Some(Err(_))) {
            errors.push(FieldError::new("address", "must be an IPv4 or IPv6 address"));
        }
        if errors.is_empty() { Ok(address.and_then(Result::ok)) } else { Err(Problem::validation(errors)) }
    }
}

async fn explain_access(app: App, call: Call<Explain>) -> Result<Data<Explanation>, Problem> {
    let tenant = call.tenant()?;
    let address = call.input.check()?;
    let explanation = match &call.input.request_id {
        Some(text) => of_request(&app, &call, tenant, text).await?,
        None => of_rehearsal(&call, tenant, address).await?,
    };
    let (kind, id) = explanation.about().unwrap_or_else(|| ("workspace", tenant.workspace.to_string()));
    let by = if call.input.request_id.is_some() { "request_id" } else { "paste" };
    let detail = json!({"reason": explanation.reason(), "by": by});
    let actor = call.actor();
    app.workspace(&call)?.write_audit(call.audit(&actor, Some(detail)), kind, &id).await?;
    Ok(Data::new(explanation))
}

async fn of_request(app: &App, call: &Call<Explain>, tenant: Tenant, text: &str) -> Result<Explanation, Problem> {
    // As for the list of requests: addresses of people are among it.
    if let Caller::Member(member) = &call.caller
        && member.role < Role::Admin
    {
        return Err(Refusal::MissingRole(Role::Admin).into());
    }
    let wrong = || Problem::invalid_field("request_id", "is no request of late, or not this workspace's to see");
    let id: RequestId = text.trim().parse().map_err(|_| wrong())?;
    match call.request.recent().find(tenant, id).await? {
        None => Err(wrong()),
        Some(Recalled::Stranger(decision)) => Ok(Explanation::of_stranger(&decision)),
        Some(Recalled::Own(decision)) => {
            let key = match decision.key() {
                Some(key) => app.store().find_key(key).await?.filter(|live| live.key.workspace == tenant.workspace),
                None => None,
            };
            let mut explanation = Explanation::of_decision(&decision, key, call.request.now);
            facts::look_into(app, tenant, &decision, &mut explanation).await?;
            Ok(explanation)
        }
    }
}

async fn of_rehearsal(call: &Call<Explain>, tenant: Tenant, address: Option<IpAddr>) -> Result<Explanation, Problem> {
    let Explain { credential, method, path, origin, environment, .. } = &call.input;
    let asked = Rehearsal {
        credential: credential.as_deref().map(str::trim),
        method: method.as_deref().unwrap_or("GET"),
        path: path.as_deref().unwrap_or("/v1/me"),
        origin: origin.as_deref().map(str::trim).filter(|origin| !origin.is_empty()),
        address,
    };
    let rehearsed = call.request.rehearse(asked, tenant).await?;
    Ok(Explanation::of_rehearsal(rehearsed, asked, *environment, call.request.now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(json: serde_json::Value) -> Result<Option<IpAddr>, Vec<String>> {
        let input: Explain = serde_json::from_value(json).unwrap();
        input.check().map_err(|problem| problem.errors().iter().map(|error| error.field.clone()).collect())
    }

    #[test]
    fn a_request_that_was_made_says_all_the_rest() {
        assert_eq!(asked(json!({"request_id": "req_1", "path": "/v1/me"})), Err(vec!["request_id".to_owned()]));
        assert_eq!(asked(json!({"request_id": "req_1"})), Ok(None));
        assert_eq!(asked(json!({})), Err(vec!["credential".to_owned()]));
        assert_eq!(asked(json!({"path": "v1/me"})), Err(vec!["path".to_owned()]));
        assert_eq!(asked(json!({"path": "/", "address": "somewhere"})), Err(vec!["address".to_owned()]));
        assert_eq!(asked(json!({"path": "/", "address": "::1"})), Ok("::1".parse().ok()));
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(asked(json!({"credential": long})), Err(vec!["credential".to_owned()]));
    }

    #[test]
    fn what_is_pasted_is_in_no_debug_text() {
        let input: Explain = serde_json::from_value(json!({"credential": "sk_live_secret"})).unwrap();
        assert!(!format!("{input:?}").contains("secret"));
    }
}
