//! The first workspace: made with a token that the server showed its operator, once.

use access::{Access, Actor, ActorKind, KeyKind, Limit, ScopeSet, Tenant};
use ambient::{KeyId, MemberId, Millis, WorkspaceId};
use credential::{
    key::{ApiKey, Environment},
    secret::Digest,
};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use gate::{Bare, Call, FieldError, Operation, Problem, Routes, field};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{AuditEntry, KeySettings, NewMember, NewWorkspace, StoreError};

use crate::{App, input, key_view::expose, members::MAX_NAME, password, people::NAME_PATTERN};

pub(crate) const COMPLETE_SETUP: Operation<Setup, Bare<SetupDone>> = Operation::post(
    "/v1/setup",
    "complete_setup",
    "Make the first workspace, its owner and a key, with the token that the server showed at its start.",
    Access::closed(Limit::Public).public().audited(),
)
.creates();

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(COMPLETE_SETUP, complete_setup);
}

/// Under this name the store keeps the digest of the token and its end.
const META: &str = "setup_token";
/// How long a token works: 30 minutes, in milliseconds.
const LIFE: i64 = 30 * 60 * 1000;
/// How long the first key works: 365 days, in milliseconds.
const ONE_YEAR: i64 = 365 * 24 * 60 * 60 * 1000;

/// The first workspace, its owner, and how the owner signs in.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setup {
    /// From the setup link: works once, for 30 minutes.
    token: String,
    /// The owner's address.
    email: String,
    /// The owner's password: 15 characters to 1024 bytes.
    password: String,
    /// What the workspace is called, 1 to 100 characters.
    #[schemars(length(min = 1, max = 100))]
    workspace_name: String,
    /// What people call the owner, 1 to 100 characters; empty when nothing is said.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100), regex(pattern = NAME_PATTERN))]
    name: Option<String>,
}

/// What was made. This is the only time that `key` is shown.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SetupDone {
    /// The workspace.
    workspace_id: WorkspaceId,
    /// Its owner.
    owner_id: MemberId,
    /// The first key's id.
    key_id: KeyId,
    /// The first key: may do everything for a year. Keep it now, it is never shown again.
    #[serde(serialize_with = "expose")]
    #[schemars(with = "String")]
    key: ApiKey,
}

/// What [`bootstrap`] made.
#[derive(Debug)]
pub struct Bootstrap {
    /// The workspace, looking at its live data.
    pub tenant: Tenant,
    /// The workspace's id.
    pub workspace_id: WorkspaceId,
    /// Its owner.
    pub owner_id: MemberId,
}

impl Bootstrap {
    /// The owner as the party that makes what comes next.
    #[must_use]
    pub fn owner(&self) -> Actor {
        Actor { kind: ActorKind::Member, id: self.owner_id.to_string(), ..Actor::system() }
    }
}

/// Makes a setup token and returns its text, which is stored nowhere. The one before stops working.
///
/// # Errors
/// When the random source fails or the database cannot be written.
pub async fn issue(app: &App) -> Result<String, StoreError> {
    let mut bytes = [0; 32];
    app.random().fill(&mut bytes)?;
    let token = BASE64URL_NOPAD.encode(&bytes);
    let stored = Stored { digest: digest(app, &token), ends: app.clock().now().plus(LIFE) };
    app.store().set_meta(META, &stored.to_text()).await?;
    Ok(token)
}

/// Makes a workspace and its owner, without a token: for who can start the server anyway. The
/// rules for passwords hold.
///
/// # Errors
/// 422 for a field; 409 for an address that has an account; 503 for our own outage.
pub async fn bootstrap(app: &App, workspace_name: &str, email: &str, password: &str) -> Result<Bootstrap, Problem> {
    check(workspace_name, email, password, None)?;
    let actor = Actor::system();
    let audit = AuditEntry { actor: &actor, action: "bootstrap", detail: None };
    let (workspace, owner) = prepare(app, workspace_name, email, password, None).await?;
    let (workspace, owner) = app.store().create_workspace(workspace, owner, None, audit).await?;
    let tenant = Tenant { workspace: workspace.id, environment: Environment::Live };
    Ok(Bootstrap { tenant, workspace_id: workspace.id, owner_id: owner.id })
}

/// Hashes the password.
async fn prepare(
    app: &App,
    workspace_name: &str,
    email: &str,
    password: &str,
    name: Option<&str>,
) -> Result<(NewWorkspace, NewMember), Problem> {
    let mut salt = [0; 16];
    app.random().fill(&mut salt)?;
    let password_hash = app.passwords().hash(password.to_owned(), salt).await?;
    let workspace = NewWorkspace { name: workspace_name.trim().to_owned() };
    let name = name.unwrap_or_default().to_owned();
    Ok((workspace, NewMember { email: email.trim().to_lowercase(), name, password_hash }))
}

/// The rules for what a person types in, all that are broken at once.
fn check(workspace_name: &str, email: &str, password: &str, name: Option<&str>) -> Result<(), Problem> {
    let mut errors = Vec::new();
    field::text(&mut errors, "workspace_name", workspace_name.trim(), 1, 100);
    if !is_address(email.trim()) {
        errors.push(FieldError::new("email", "must be an address, such as ada@example.com"));
    }
    if let Some(reason) = password::refusal(password, email) {
        errors.push(FieldError::new("password", reason));
    }
    if let Some(name) = name {
        input::name(&mut errors, name, MAX_NAME);
    }
    input::done(errors)
}

/// Something, an `@`, and something with no blank in it: only a letter sent there proves more.
fn is_address(text: &str) -> bool {
    let (name, domain) = text.rsplit_once('@').unwrap_or_default();
    let fits = text.len() <= 254 && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    fits && !name.is_empty() && !domain.is_empty() && !domain.starts_with('.') && !domain.ends_with('.')
}

/// What the store keeps of a token.
#[derive(Debug, PartialEq, Eq)]
struct Stored {
    digest: Digest,
    ends: Millis,
}

impl Stored {
    fn to_text(&self) -> String {
        format!("{} {}", HEXLOWER.encode(&self.digest.0), self.ends.0)
    }

    fn parse(text: &str) -> Option<Self> {
        let (digest, ends) = text.split_once(' ')?;
        let digest = HEXLOWER.decode(digest.as_bytes()).ok()?;
        Some(Self { digest: Digest(digest.try_into().ok()?), ends: Millis(ends.parse().ok()?) })
    }
}

fn digest(app: &App, token: &str) -> Digest {
    app.secrets().digest_for("setup token", token.as_bytes())
}

/// Wrong, expired, used and never issued are the same answer.
async fn check_token(app: &App, token: &str, now: Millis) -> Result<(), Problem> {
    let stored = app.store().meta(META).await?.and_then(|text| Stored::parse(&text));
    let presented = digest(app, token);
    match stored {
        Some(stored) if stored.digest.ct_eq(&presented) && now < stored.ends => Ok(()),
        _ => Err(Problem::not_found()),
    }
}

async fn complete_setup(app: App, call: Call<Setup>) -> Result<Bare<SetupDone>, Problem> {
    let now = call.request.now;
    // Before everything that costs something.
    check_token(&app, &call.input.token, now).await?;
    let Setup { email, password, workspace_name, name, .. } = &call.input;
    check(workspace_name, email, password, name.as_deref())?;
    let new = cluster::NewKey {
        environment: Environment::Live,
        kind: KeyKind::Secret,
        name: "First key".to_owned(),
        scopes: ScopeSet::ADMIN,
        settings: KeySettings::default(),
        service_account: None,
        expires_at: Some(now.plus(ONE_YEAR)),
    };
    let (workspace, owner) = prepare(&app, workspace_name, email, password, name.as_deref()).await?;
    // Whoever holds the token is the operator.
    let actor = Actor { kind: ActorKind::System, id: String::new(), ..call.actor() };
    let audit = call.audit(&actor, None);
    let (workspace, owner, record, key) =
        app.cluster().create_workspace(workspace, owner, Some(META), new, audit).await?;
    Ok(Bare(SetupDone { workspace_id: workspace.id, owner_id: owner.id, key_id: record.id, key }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_and_nothing_else_is() {
        let stored = Stored { digest: Digest([3; 32]), ends: Millis(17) };
        assert_eq!(Stored::parse(&stored.to_text()), Some(stored));
        for text in ["", "17", "0303 17", "zz 17", &format!("{} x", "03".repeat(32))] {
            assert_eq!(Stored::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_field_that_is_wrong_is_named() {
        let text = format!("{:?}", check(" ", "ada", "short", Some(" ")).unwrap_err());
        for field in ["workspace_name", "email", "password", "name"] {
            assert!(text.contains(&format!("field: \"{field}\"")), "{field}: {text}");
        }
        assert!(check("Acme", "ada@example.com", "a few easy words", None).is_ok());
        assert!(!text.contains("short"), "an answer never repeats a password");
    }

    #[test]
    fn an_address_has_two_sides() {
        for (text, right) in [
            ("ada@example.com", true),
            ("ada+x@example", true),
            ("ada", false),
            ("@example.com", false),
            ("ada@", false),
            ("a b@example.com", false),
            ("ada@example.com.", false),
        ] {
            assert_eq!(is_address(text), right, "{text}");
        }
    }
}
