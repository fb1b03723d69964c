//! Who is asked to join a workspace. The token in the link is shown once, works once, for seven days.

use std::fmt;

use access::{Access, Limit, Role};
use ambient::{InvitationId, Millis, Random, RandomError};
use credential::secret::{Digest, Secrets};
use data_encoding::BASE64URL_NOPAD;
use gate::{Call, Data, Empty, FieldError, List, Nothing, Operation, PageQuery, Problem, Routes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{InvitationRecord, NewInvitation};

use crate::{
    App, input,
    members::{MAX_NAME, Member, READ, WRITE},
    password,
    people::{EMAIL_PATTERN, NAME_PATTERN, held_role, is_email, must_give, of_change, of_people},
    problem::must_be_newest,
};

/// What the digest of a token is made for.
const PURPOSE: &str = "invitation";

pub(crate) const LIST_INVITATIONS: Operation<PageQuery, List<InvitationView>> =
    Operation::get("/v1/invitations", "list_invitations", "List invitations, the newest first.", READ);
pub(crate) const CREATE_INVITATION: Operation<Invite, Data<InvitationLink>> = Operation::post(
    "/v1/invitations",
    "create_invitation",
    "Invite somebody. The link is shown once and works once, for seven days; an earlier one of the same address stops. \
     Nobody invites above the own role, and no key above its scopes.",
    WRITE,
)
.creates()
.dangerous();
pub(crate) const REVOKE_INVITATION: Operation<Nothing, Empty> =
    Operation::delete("/v1/invitations/{id}", "revoke_invitation", "Take an open invitation back.", WRITE)
        .answers_nothing();
pub(crate) const ACCEPT_INVITATION: Operation<Accept, Data<Member>> = Operation::post(
    "/v1/invitations/accept",
    "accept_invitation",
    "Join a workspace with the token of an invitation, and choose a password; or choose a new one with the token that \
     the operator has made for a member.",
    Access::closed(Limit::SignIn).public().audited(),
)
.creates()
.for_own_pages();

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(LIST_INVITATIONS, list_invitations);
    routes.mount(CREATE_INVITATION, create_invitation);
    routes.mount(REVOKE_INVITATION, revoke_invitation);
    routes.mount(ACCEPT_INVITATION, accept_invitation);
}

/// Somebody to be asked.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Invite {
    /// The address, at most 254 characters.
    #[schemars(length(min = 3, max = 254), regex(pattern = EMAIL_PATTERN))]
    email: String,
    /// What the person will be.
    role: Role,
}

/// How an invitation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum InvitationStatus {
    /// It can be accepted.
    Pending,
    /// Somebody joined.
    Accepted,
    /// It was taken back, or replaced by a later one.
    Revoked,
    /// Nobody came in time.
    Expired,
}

/// Somebody is asked to join.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct InvitationView {
    /// Its id.
    id: InvitationId,
    /// Whom.
    email: String,
    /// What the person will be.
    role: Role,
    /// How it stands.
    status: InvitationStatus,
    /// Who asks: `member:usr_…`, `api_key:key_…`, or the operator as `system`; `system:password_reset` is a link by
    /// which a member chooses a new password.
    invited_by: String,
    /// When.
    created_at: Millis,
    /// Until when it can be accepted.
    expires_at: Millis,
    /// When it was accepted.
    accepted_at: Option<Millis>,
    /// When it was taken back.
    revoked_at: Option<Millis>,
}

impl InvitationView {
    fn of(record: InvitationRecord, now: Millis) -> Self {
        let status = match (record.accepted_at, record.revoked_at) {
            (Some(_), _) => InvitationStatus::Accepted,
            (None, Some(_)) => InvitationStatus::Revoked,
            (None, None) if record.is_open(now) => InvitationStatus::Pending,
            (None, None) => InvitationStatus::Expired,
        };
        Self {
            id: record.id,
            email: record.email,
            role: record.role,
            status,
            invited_by: record.invited_by,
            created_at: record.created_at,
            expires_at: record.expires_at,
            accepted_at: record.accepted_at,
            revoked_at: record.revoked_at,
        }
    }
}

/// An invitation and its link. This is the only time that `token` and `url` are shown.
#[derive(Serialize, JsonSchema)]
pub(crate) struct InvitationLink {
    #[serde(flatten)]
    invitation: InvitationView,
    /// For [`ACCEPT_INVITATION`].
    token: String,
    /// Where the invited person goes. The token is behind `#`, which browsers send to no server.
    url: String,
}

impl fmt::Debug for InvitationLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvitationLink").field("invitation", &self.invitation).finish_non_exhaustive()
    }
}

/// Somebody comes.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Accept {
    /// From the link.
    #[schemars(length(max = 200))]
    token: String,
    /// What people call the person, 1 to 100 characters.
    #[schemars(length(min = 1, max = 100), regex(pattern = NAME_PATTERN))]
    name: String,
    /// 15 characters to 1024 bytes.
    #[schemars(length(min = 15, max = 1024))]
    password: String,
}

/// A token for a link, and what is stored of it.
///
/// # Errors
/// When the random source fails.
pub fn mint_token(secrets: &Secrets, random: &dyn Random) -> Result<(String, Digest), RandomError> {
    let mut bytes = [0; 32];
    random.fill(&mut bytes)?;
    let token = BASE64URL_NOPAD.encode(&bytes);
    let digest = secrets.digest_for(PURPOSE, token.as_bytes());
    Ok((token, digest))
}

/// Where an invited person goes: the page that accepts it.
#[must_use]
pub fn link(public_url: &str, token: &str) -> String {
    format!("{public_url}/invitations#{token}")
}

/// Whether an invitation can be sent there.
#[must_use]
pub fn is_address(email: &str) -> bool {
    is_email(email)
}

async fn list_invitations(app: App, call: Call<PageQuery>) -> Result<List<InvitationView>, Problem> {
    let (request, now) = (call.input.request()?, call.request.now);
    let page = app.store().workspace(of_people(&call)?).invitations(request).await?;
    Ok(List::of(page, request, |record| InvitationView::of(record, now)))
}

async fn create_invitation(app: App, call: Call<Invite>) -> Result<Data<InvitationLink>, Problem> {
    let tenant = of_people(&call)?;
    let Invite { email, role } = &call.input;
    if !is_email(email) {
        return Err(Problem::invalid_field("email", "must be an address, such as ada@example.com"));
    }
    must_give(&call.caller, *role)?;
    must_be_newest(&call.caller)?;
    let (token, digest) = mint_token(app.secrets(), app.random())?;
    let new = NewInvitation { email: email.clone(), role: *role, digest };
    let actor = call.actor();
    let audit = call.audit(&actor, Some(json!({"email": email.to_lowercase(), "role": role})));
    let made = app.store().workspace(tenant).invite(new, held_role(&call.caller), audit).await;
    let invitation = InvitationView::of(made.map_err(|error| of_change(&call.caller, error))?, call.request.now);
    Ok(Data::new(InvitationLink { invitation, url: link(&app.settings().public_url, &token), token }))
}

async fn revoke_invitation(app: App, call: Call<Nothing>) -> Result<Empty, Problem> {
    let (tenant, id) = (of_people(&call)?, call.id("id")?);
    let actor = call.actor();
    app.store().workspace(tenant).revoke_invitation(id, call.audit(&actor, None)).await?;
    Ok(Empty)
}

async fn accept_invitation(app: App, call: Call<Accept>) -> Result<Data<Member>, Problem> {
    let Accept { token, name, password } = &call.input;
    // Wrong, expired, used, taken back and never issued are the same answer, before everything that costs something.
    let digest = app.secrets().digest_for(PURPOSE, token.as_bytes());
    let found = app.store().invitation_by_digest(&digest).await?;
    let invitation = found.filter(|found| found.is_open(call.request.now)).ok_or_else(Problem::not_found)?;
    let mut errors = Vec::new();
    input::name(&mut errors, name, MAX_NAME);
    if let Some(reason) = password::refusal(password, &invitation.email) {
        errors.push(FieldError::new("password", reason));
    }
    input::done(errors)?;
    let mut salt = [0; 16];
    app.random().fill(&mut salt)?;
    let hash = app.passwords().hash(password.clone(), salt).await?;
    let actor = call.actor();
    let audit = call.audit(&actor, Some(json!({"invitation": invitation.id, "role": invitation.role})));
    let member = app.store().accept_invitation(&invitation, name, &hash, audit).await;
    Ok(Data::new(member.map_err(|error| of_change(&call.caller, error))?.into()))
}
