//! Would this page pass? The origin rule of widget keys, tried before a key has it.

use access::{Access, Limit, Role, Scope};
use credential::origin::{AllowedOrigins, Judgement, origin_of};
use gate::{Call, Data, FieldError, Operation, Problem, Routes, field};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    App,
    input::{self, Domains},
};

pub(crate) const CHECK_ORIGIN: Operation<OriginToCheck, Data<CheckedOrigin>> = Operation::post(
    "/v1/origins/check",
    "check_origin",
    "Try whether a page could use a widget key with these domains, and why not. Nothing is stored.",
    Access::closed(Limit::Read).member(Role::Member).key(Scope::ApiKeysRead),
);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(CHECK_ORIGIN, check_origin);
}

/// A page, and the domains that a key would have.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OriginToCheck {
    /// The page's address or its origin: `https://www.mysite.com`.
    #[schemars(length(min = 1, max = 2048))]
    origin: String,
    /// As of a widget key, 1 to 50.
    allowed_domains: Domains,
    /// As of a widget key; it does by default.
    #[serde(default)]
    allow_localhost: Option<bool>,
}

/// Whether it would pass.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct CheckedOrigin {
    /// What a browser would send for the page; `null` where it is no page of the web.
    origin: Option<String>,
    /// Whether the page could use the key.
    allowed: bool,
    /// By which of the domains; `localhost` where those pages may.
    matched: Option<String>,
    /// One sentence for a person: why it passes or not, and what would help.
    reason: String,
    /// The domains as they would be kept.
    allowed_domains: Vec<String>,
}

async fn check_origin(_: App, call: Call<OriginToCheck>) -> Result<Data<CheckedOrigin>, Problem> {
    let OriginToCheck { origin, allowed_domains, allow_localhost } = &call.input;
    let mut errors = Vec::new();
    field::text(&mut errors, "origin", origin, 1, 2048);
    match AllowedOrigins::parse(allowed_domains.as_slice()) {
        Ok(origins) => {
            input::done(errors)?;
            Ok(Data::new(judge(origin, &origins, allow_localhost.unwrap_or(true))))
        }
        Err(error) => {
            errors.push(FieldError::new(allowed_domains.field(error.index), error.to_string()));
            Err(Problem::validation(errors))
        }
    }
}

fn judge(page: &str, origins: &AllowedOrigins, allow_localhost: bool) -> CheckedOrigin {
    let origin = origin_of(page);
    let judgement = origin.as_deref().map_or(Judgement::NoOrigin, |origin| origins.judge(origin, allow_localhost));
    let matched = match &judgement {
        Judgement::Localhost => Some("localhost".to_owned()),
        Judgement::Listed(entry) => Some(entry.clone()),
        _ => None,
    };
    CheckedOrigin {
        allowed: matched.is_some(),
        matched,
        reason: judgement.to_string(),
        origin,
        allowed_domains: origins.entries(),
    }
}
