//! People sign in with a password and get a cookie (security rules 2.6, 2.10).

use access::{Access, Actor, ActorKind, Caller, Limit, MemberCaller, Refusal, Role, Tenant};
use ambient::{MemberSessionId, Millis};
use axum::response::Response;
use cluster::Bucket;
use credential::{key::Environment, secret::Digest};
use data_encoding::BASE64URL_NOPAD;
use gate::{
    Call, Data, Empty, List, Nothing, Operation, Output, PageQuery, Problem, Routes, SIGN_IN_PURPOSE, SignInCookie,
};
use http::{HeaderValue, StatusCode, header};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{AuditEntry, NewSignIn, SIGN_IN_LIFE_MS, SignInRecord, StoreError};

use crate::{
    App,
    members::Member,
    password,
    second_factor::{self, Proof},
};

const OWN: Access = Access::closed(Limit::Write).member(Role::Member).audited();

pub(crate) const SIGN_IN: Operation<Credentials, SignedIn> = Operation::post(
    "/v1/sign-in",
    "sign_in",
    "Sign in with an address and a password: the answer sets a cookie that works for 12 hours, and for 30 idle minutes.",
    Access::closed(Limit::SignIn).public().audited(),
)
.for_own_pages();
pub(crate) const SIGN_OUT: Operation<Nothing, OnlyCookie> =
    Operation::post("/v1/sign-out", "sign_out", "Sign this browser out.", OWN).answers_nothing();
pub(crate) const LIST_SIGN_INS: Operation<PageQuery, List<SignInView>> = Operation::get(
    "/v1/sign-ins",
    "list_sign_ins",
    "List the browsers in which you are signed in, the newest first.",
    Access::closed(Limit::Read).member(Role::Member),
);
pub(crate) const REVOKE_SIGN_IN: Operation<Nothing, Empty> =
    Operation::delete("/v1/sign-ins/{id}", "revoke_sign_in", "Sign one of your browsers out, at once.", OWN)
        .answers_nothing();

pub(crate) const CHANGE_PASSWORD: Operation<PasswordChange, Empty> = Operation::post(
    "/v1/me/password",
    "change_password",
    "Change your own password. Your other browsers are signed out, at once.",
    Access::closed(Limit::SignIn).member(Role::Member).audited(),
)
.answers_nothing();

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(SIGN_IN, sign_in);
    routes.mount(SIGN_OUT, sign_out);
    routes.mount(LIST_SIGN_INS, list_sign_ins);
    routes.mount(REVOKE_SIGN_IN, revoke_sign_in);
    routes.mount(CHANGE_PASSWORD, change_password);
}

/// Who wants in.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    /// The address, at most 254 characters.
    #[schemars(length(max = 254))]
    email: String,
    /// The password, at most 1024 characters.
    #[schemars(length(max = 1024))]
    password: String,
    /// The six digits that an authenticator app shows, or a recovery code: where the account has one.
    #[serde(default)]
    #[schemars(length(max = 64))]
    code: Option<String>,
}

/// Another password.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordChange {
    /// The one until now, at most 1024 characters.
    #[schemars(length(max = 1024))]
    current_password: String,
    /// 15 characters to 1024 bytes.
    #[schemars(length(min = 15, max = 1024))]
    new_password: String,
}

/// A browser in which you are signed in.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct SignInView {
    /// Its id.
    id: MemberSessionId,
    /// Whether it is the one that asks.
    is_current: bool,
    /// From where.
    address: Option<String>,
    /// What the browser calls itself.
    user_agent: Option<String>,
    /// Since when.
    created_at: Millis,
    /// When it was last used, to a minute.
    last_seen_at: Millis,
    /// When it ends at the latest.
    expires_at: Millis,
}

/// The member, and the cookie.
pub(crate) struct SignedIn {
    member: Member,
    cookie: String,
}

impl Output for SignedIn {
    const MEDIA_TYPE: Option<&'static str> = <Data<Member>>::MEDIA_TYPE;

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        <Data<Member>>::schema(generator)
    }

    fn into_response(self, status: StatusCode) -> Response {
        with_cookie(Data::new(self.member).into_response(status), &self.cookie)
    }
}

/// Nothing but a cookie: another one, or none any more.
pub(crate) struct OnlyCookie {
    pub(crate) cookie: String,
}

impl Output for OnlyCookie {
    const MEDIA_TYPE: Option<&'static str> = None;

    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }

    fn into_response(self, status: StatusCode) -> Response {
        with_cookie(Empty.into_response(status), &self.cookie)
    }
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(mut value) = HeaderValue::from_str(cookie) {
        value.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

/// The person who asks.
pub(crate) fn person<I>(call: &Call<I>) -> Result<MemberCaller, Problem> {
    match call.caller {
        Caller::Member(member) => Ok(member),
        _ => Err(Refusal::WrongCredential.into()),
    }
}

/// Whose passwords are tried. A stranger's guesses must not lock the owner out: where the owner has been signed
/// in before, there is a budget that strangers cannot use up.
fn account(email: &str, known_from: Option<std::net::IpAddr>) -> String {
    known_from.map_or_else(|| email.to_owned(), |address| format!("{email} {address}"))
}

/// A new cookie's text, and what is stored of it.
///
/// # Errors
/// 503 when there is no randomness.
pub(crate) fn mint_cookie(app: &App) -> Result<(String, Digest), Problem> {
    let mut bytes = [0; 32];
    app.random().fill(&mut bytes)?;
    let text = BASE64URL_NOPAD.encode(&bytes);
    let digest = app.secrets().digest_for(SIGN_IN_PURPOSE, text.as_bytes());
    Ok((text, digest))
}

async fn sign_in(app: App, call: Call<Credentials>) -> Result<SignedIn, Problem> {
    let Credentials { email, password, code } = &call.input;
    let code = code.as_deref().map(str::trim).filter(|code| !code.is_empty());
    let (email, address) = (email.trim().to_lowercase(), call.request.address);
    // Nobody's, and not every database takes it.
    let is_odd = email.chars().any(char::is_control);
    let found = if is_odd { None } else { app.store().member_by_email(&email, address).await? };
    let known_from = found.as_ref().filter(|(_, known)| *known).map(|_| address);
    let budget = account(&email, known_from);
    let verdict = app.cluster().charge(&[Bucket::SignInsOf(&budget)], app.clock().elapsed());
    if !verdict.allowed {
        return Err(Problem::limited(verdict));
    }
    // A stranger who has guessed all day stops; who comes from where the owner was, does not.
    let now = call.request.now;
    if known_from.is_none() {
        app.cluster().check_guesses(&email, now).map_err(Problem::rate_limited)?;
    }
    let wrong = || {
        if known_from.is_none() {
            app.cluster().note_wrong_guess(&email, now);
        }
        // The words depend on what was sent, and on nothing else.
        let wrong = Problem::wrong_password();
        if code.is_some() { wrong.saying("The address, the password or the code is wrong") } else { wrong }
    };
    let member = found.map(|(member, _)| member);
    // Without an account a hash is made all the same: the time says no more than the text.
    let hash = member.as_ref().map_or(password::NOBODYS, |member| member.password_hash.as_str());
    let is_right = app.passwords().verify(password.clone(), hash.to_owned()).await?;
    let Some(member) = member.filter(|_| is_right) else { return Err(wrong()) };
    let tenant = Tenant { workspace: member.workspace, environment: Environment::Live };
    let detail =
        match second_factor::check(&app, tenant, member.id, code, (&second_factor::codes_of(member.id), now)).await? {
            Proof::Missing => return Err(Problem::second_factor_required()),
            Proof::Wrong => return Err(wrong()),
            Proof::NotNeeded => None,
            Proof::Code => Some(json!({"second_factor": "totp"})),
            Proof::RecoveryCode => Some(json!({"second_factor": "recovery_code"})),
        };
    let (text, digest) = mint_cookie(&app)?;
    let name = SignInCookie::of(&app.settings().public_url).name();
    let replaces = match call.request.cookie(name) {
        // What no longer counts, or never did, is nobody's.
        Some(old) => app.store().find_sign_in(&app.secrets().digest_for(SIGN_IN_PURPOSE, old.as_bytes())).await?,
        None => None,
    };
    let new = NewSignIn {
        member: member.id,
        digest,
        address: Some(address),
        user_agent: call.request.user_agent.clone(),
        replaces,
    };
    let actor = Actor { kind: ActorKind::Member, id: member.id.to_string(), ..call.actor() };
    let audit = AuditEntry { actor: &actor, action: call.request.operation_id(), detail };
    match app.store().workspace(tenant).open_sign_in(new, audit).await {
        Ok(_) => {}
        // Removed a moment ago.
        Err(StoreError::NotFound) => return Err(Problem::wrong_password()),
        Err(error) => return Err(error.into()),
    }
    let cookie = SignInCookie::of(&app.settings().public_url).set(&text, SIGN_IN_LIFE_MS / 1000);
    Ok(SignedIn { member: member.into(), cookie })
}

async fn sign_out(app: App, call: Call<Nothing>) -> Result<OnlyCookie, Problem> {
    let person = person(&call)?;
    let actor = call.actor();
    let members = app.workspace(&call)?;
    members.end_sign_in(person.member, person.session, false, call.audit(&actor, None)).await?;
    Ok(OnlyCookie { cookie: SignInCookie::of(&app.settings().public_url).set("", 0) })
}

async fn list_sign_ins(app: App, call: Call<PageQuery>) -> Result<List<SignInView>, Problem> {
    let (person, request) = (person(&call)?, call.input.request()?);
    let page = app.workspace(&call)?.sign_ins(person.member, request).await?;
    Ok(List::of(page, request, |record: SignInRecord| SignInView {
        id: record.id,
        is_current: record.id == person.session,
        address: record.address,
        user_agent: record.user_agent,
        created_at: record.created_at,
        last_seen_at: record.seen_at,
        expires_at: record.expires_at,
    }))
}

async fn revoke_sign_in(app: App, call: Call<Nothing>) -> Result<Empty, Problem> {
    let (person, id) = (person(&call)?, call.id::<MemberSessionId>("id")?);
    let actor = call.actor();
    app.workspace(&call)?.end_sign_in(person.member, id, true, call.audit(&actor, None)).await?;
    Ok(Empty)
}

/// What whoever has found somebody's browser open guesses in it. It is counted by browser: so it locks nobody out
/// anywhere else.
pub(crate) fn guesses_in(session: MemberSessionId) -> String {
    format!("confirm {session}")
}

/// Whoever has found somebody's browser open is not to try passwords in it.
///
/// # Errors
/// 429.
pub(crate) fn charge_own_password(app: &App, person: MemberCaller, now: Millis) -> Result<(), Problem> {
    app.cluster().check_guesses(&guesses_in(person.session), now).map_err(Problem::rate_limited)?;
    let budget = format!("the password of {}", person.member);
    let verdict = app.cluster().charge(&[Bucket::SignInsOf(&budget)], app.clock().elapsed());
    if verdict.allowed { Ok(()) } else { Err(Problem::limited(verdict)) }
}

/// What is said after a guess that was counted and wrong: `problem`, and after a hundred in a day that the browser is
/// signed out.
pub(crate) async fn after_wrong_guess<I>(app: &App, call: &Call<I>, person: MemberCaller, problem: Problem) -> Problem {
    if app.cluster().check_guesses(&guesses_in(person.session), call.request.now).is_ok() {
        return problem;
    }
    let members = app.store().workspace(Tenant { environment: Environment::Live, ..person.tenant });
    let actor = call.actor();
    let audit = call.audit(&actor, Some(json!({"signed_out": "wrong_guesses"})));
    match members.end_sign_in(person.member, person.session, true, audit).await {
        // By another guess at the same time.
        Ok(()) | Err(StoreError::NotFound) => {
            Problem::from(Refusal::InvalidToken).saying("That was wrong too often: this browser is signed out")
        }
        Err(error) => error.into(),
    }
}

async fn change_password(app: App, call: Call<PasswordChange>) -> Result<Empty, Problem> {
    let person = person(&call)?;
    let PasswordChange { current_password, new_password } = &call.input;
    charge_own_password(&app, person, call.request.now)?;
    let tenant = Tenant { environment: Environment::Live, ..person.tenant };
    let members = app.store().workspace(tenant);
    let member = members.member(person.member).await?;
    if !app.passwords().verify(current_password.clone(), member.password_hash.clone()).await? {
        app.cluster().note_wrong_guess(&guesses_in(person.session), call.request.now);
        let wrong = Problem::invalid_field("current_password", "is not your password");
        return Err(after_wrong_guess(&app, &call, person, wrong).await);
    }
    if let Some(reason) = password::refusal(new_password, &member.email) {
        return Err(Problem::invalid_field("new_password", reason));
    }
    let mut salt = [0; 16];
    app.random().fill(&mut salt)?;
    let hash = app.passwords().hash(new_password.clone(), salt).await?;
    let (actor, passwords) = (call.actor(), (member.password_hash.as_str(), hash.as_str()));
    let changed = members.change_password(person.member, passwords, person.session, call.audit(&actor, None)).await;
    match changed {
        Ok(()) => Ok(Empty),
        Err(StoreError::Conflict("password")) => Err(Problem::conflict("The password was changed a moment ago")),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owners_own_address_has_a_budget_that_strangers_cannot_use_up() {
        let here = std::net::IpAddr::from([192, 0, 2, 1]);
        assert_ne!(account("ada@example.com", Some(here)), account("ada@example.com", None));
        assert_ne!(account("ada@example.com", None), account("bob@example.com", None));
    }
}
