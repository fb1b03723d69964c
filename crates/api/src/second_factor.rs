//! One-time codes of an authenticator app besides the password, and recovery codes for who has lost it.

use access::{Access, Limit, Role, Tenant};
use ambient::{MemberId, Millis};
use cluster::Bucket;
use credential::{TotpSecret, TypedCode, key::Environment, secret::Digest, totp::recovery_code};
use gate::{Call, Data, Empty, Nothing, Operation, Problem, Routes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{SealedValue, SecondFactor, StoreError, Workspace};

use crate::{App, sign_in::person};

const WRITE: Access = Access::closed(Limit::Write).member(Role::Member).audited();

pub(crate) const GET_TOTP: Operation<Nothing, Data<TotpView>> = Operation::get(
    "/v1/me/totp",
    "get_totp",
    "Say whether codes of an app are asked for when you sign in.",
    Access::closed(Limit::Read).member(Role::Member),
);
pub(crate) const BEGIN_TOTP: Operation<Nothing, Data<TotpSetup>> = Operation::post(
    "/v1/me/totp",
    "begin_totp",
    "Begin with an authenticator app: the answer shows its secret, once. Nothing is asked for until it is confirmed.",
    WRITE,
)
.dangerous();
pub(crate) const CONFIRM_TOTP: Operation<Code, Data<RecoveryCodes>> = Operation::post(
    "/v1/me/totp/confirm",
    "confirm_totp",
    "Prove that the app works: from now on signing in takes a code of it, and your other browsers are signed out. The \
     answer shows recovery codes, once.",
    Access::closed(Limit::SignIn).member(Role::Member).audited(),
);
pub(crate) const RENEW_RECOVERY_CODES: Operation<Nothing, Data<RecoveryCodes>> = Operation::post(
    "/v1/me/totp/recovery-codes",
    "renew_recovery_codes",
    "Make ten other recovery codes, shown once; those before stop working.",
    WRITE,
)
.dangerous();
pub(crate) const END_TOTP: Operation<Nothing, Empty> = Operation::delete(
    "/v1/me/totp",
    "end_totp",
    "Ask for no codes any more; the app's secret and the recovery codes are forgotten.",
    WRITE,
)
.answers_nothing()
.dangerous();

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(GET_TOTP, get_totp);
    routes.mount(BEGIN_TOTP, begin_totp);
    routes.mount(CONFIRM_TOTP, confirm_totp);
    routes.mount(RENEW_RECOVERY_CODES, renew_recovery_codes);
    routes.mount(END_TOTP, end_totp);
}

/// Recovery codes of a person.
const RECOVERY_CODES: usize = 10;

/// Codes besides the password.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TotpView {
    /// Whether a code is asked for.
    is_enabled: bool,
    /// Since when.
    enabled_at: Option<Millis>,
    /// Recovery codes that were not used.
    recovery_codes_left: u32,
}

/// What an authenticator app is told. This is the only time that it is shown.
#[derive(Serialize, JsonSchema)]
pub(crate) struct TotpSetup {
    /// To be typed into the app: base32.
    secret: String,
    /// The same to be read by the app, as `otpauth://totp/…`: SHA-1, six digits, 30 seconds.
    otpauth_url: String,
}

/// Each works once in the place of a code. This is the only time that they are shown.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RecoveryCodes {
    /// Ten, as `abcd-efgh-ijkl-mnop`.
    recovery_codes: Vec<String>,
}

/// What an app shows.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Code {
    /// Six digits.
    #[schemars(length(max = 64))]
    code: String,
}

/// What came of asking for a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// This person has none.
    NotNeeded,
    /// None was sent.
    Missing,
    /// It is not the one, or it was used.
    Wrong,
    /// The app's.
    Code,
    /// A recovery code, which is used now.
    RecoveryCode,
}

/// Where the sealed secret of a person's app belongs.
#[must_use]
pub fn totp_place(value: &SealedValue) -> Vec<u8> {
    place(value.tenant, &value.id)
}

fn place(tenant: Tenant, member: &str) -> Vec<u8> {
    format!("member.totp:{}:{member}", tenant.workspace).into_bytes()
}

fn open(app: &App, tenant: Tenant, member: MemberId, sealed: &[u8]) -> Result<TotpSecret, Problem> {
    let place = place(tenant, &member.to_string());
    let bytes = app.secrets().sealer().open(&place, sealed).map_err(Problem::unavailable)?;
    TotpSecret::read(&bytes).ok_or_else(|| Problem::unavailable("what was sealed is no secret of an app"))
}

/// Whose data the codes are: people have no environment.
fn of(app: &App, tenant: Tenant) -> Workspace {
    app.store().workspace(Tenant { environment: Environment::Live, ..tenant })
}

/// What is counted where a password was right already, from wherever.
pub(crate) fn codes_of(member: MemberId) -> String {
    format!("the codes of {member}")
}

/// Looks at a code of who has proved the rest, and uses it up. A wrong one is counted under `tries`; who has a hundred
/// tries no more that day.
///
/// # Errors
/// 429 after too many; 503 for our own outage.
pub(crate) async fn check(
    app: &App,
    tenant: Tenant,
    member: MemberId,
    code: Option<&str>,
    (tries, now): (&str, Millis),
) -> Result<Proof, Problem> {
    let data = of(app, tenant);
    let factor = data.second_factor(member).await?;
    let (Some(sealed), Some(_)) = (&factor.sealed, factor.confirmed_at) else { return Ok(Proof::NotNeeded) };
    let Some(code) = code.map(str::trim).filter(|code| !code.is_empty()) else { return Ok(Proof::Missing) };
    app.cluster().check_guesses(tries, now).map_err(Problem::rate_limited)?;
    let secret = open(app, tenant, member, sealed)?;
    let proof = match TypedCode::read(code) {
        Some(TypedCode::OneTime(code)) => match secret.step_of(&code, now) {
            Some(step) if data.use_totp_step(member, step).await? => Proof::Code,
            _ => Proof::Wrong,
        },
        Some(TypedCode::Recovery(code)) if data.use_recovery_code(member, &secret.recovery_digest(&code)).await? => {
            Proof::RecoveryCode
        }
        _ => Proof::Wrong,
    };
    if proof == Proof::Wrong {
        app.cluster().note_wrong_guess(tries, now);
    }
    Ok(proof)
}

async fn get_totp(app: App, call: Call<Nothing>) -> Result<Data<TotpView>, Problem> {
    let person = person(&call)?;
    let SecondFactor { confirmed_at, recovery_codes, .. } =
        of(&app, person.tenant).second_factor(person.member).await?;
    Ok(Data::new(TotpView {
        is_enabled: confirmed_at.is_some(),
        enabled_at: confirmed_at,
        recovery_codes_left: recovery_codes,
    }))
}

async fn begin_totp(app: App, call: Call<Nothing>) -> Result<Data<TotpSetup>, Problem> {
    let person = person(&call)?;
    let data = of(&app, person.tenant);
    let member = data.member(person.member).await?;
    let secret = TotpSecret::generate(app.random())?;
    let place = place(person.tenant, &person.member.to_string());
    let sealed = app.secrets().sealer().seal(&place, secret.expose(), app.random()).map_err(Problem::unavailable)?;
    let actor = call.actor();
    data.begin_totp(person.member, sealed, call.audit(&actor, None)).await.map_err(taken)?;
    Ok(Data::new(TotpSetup { secret: secret.to_text(), otpauth_url: secret.to_url(&member.email) }))
}

async fn confirm_totp(app: App, call: Call<Code>) -> Result<Data<RecoveryCodes>, Problem> {
    let (person, now) = (person(&call)?, call.request.now);
    let tries = codes_of(person.member);
    let verdict = app.cluster().charge(&[Bucket::SignInsOf(&tries)], app.clock().elapsed());
    if !verdict.allowed {
        return Err(Problem::limited(verdict));
    }
    let data = of(&app, person.tenant);
    let factor = data.second_factor(person.member).await?;
    let Some(sealed) = factor.sealed.filter(|_| factor.confirmed_at.is_none()) else {
        return Err(Problem::conflict("There is nothing to confirm: begin with an app first, or end the one there is"));
    };
    let secret = open(&app, person.tenant, person.member, &sealed)?;
    let step = match TypedCode::read(&call.input.code) {
        Some(TypedCode::OneTime(code)) => secret.step_of(&code, now),
        _ => None,
    };
    let wrong = "is not what the app shows now; also look whether its clock is right";
    let step = step.ok_or_else(|| Problem::invalid_field("code", wrong))?;
    let (shown, digests) = draw(&app, &secret)?;
    let actor = call.actor();
    let audit = call.audit(&actor, None);
    data.confirm_totp(person.member, (sealed, step), &digests, person.session, audit).await.map_err(taken)?;
    Ok(Data::new(shown))
}

async fn renew_recovery_codes(app: App, call: Call<Nothing>) -> Result<Data<RecoveryCodes>, Problem> {
    let person = person(&call)?;
    let data = of(&app, person.tenant);
    let factor = data.second_factor(person.member).await?;
    let sealed = factor.sealed.filter(|_| factor.confirmed_at.is_some()).ok_or_else(no_app)?;
    let (shown, digests) = draw(&app, &open(&app, person.tenant, person.member, &sealed)?)?;
    let actor = call.actor();
    let renewed = data.renew_recovery_codes(person.member, &digests, call.audit(&actor, None)).await;
    renewed.map(|()| Data::new(shown)).map_err(absent)
}

async fn end_totp(app: App, call: Call<Nothing>) -> Result<Empty, Problem> {
    let (person, actor) = (person(&call)?, call.actor());
    let ended = of(&app, person.tenant).end_totp(person.member, call.audit(&actor, None)).await;
    ended.map(|()| Empty).map_err(absent)
}

fn draw(app: &App, secret: &TotpSecret) -> Result<(RecoveryCodes, Vec<Digest>), Problem> {
    let (mut recovery_codes, mut digests) = (Vec::new(), Vec::new());
    for _ in 0..RECOVERY_CODES {
        let code = recovery_code(app.random())?;
        digests.push(secret.recovery_digest(&code.replace('-', "")));
        recovery_codes.push(code.as_str().to_owned());
    }
    Ok((RecoveryCodes { recovery_codes }, digests))
}

fn no_app() -> Problem {
    Problem::conflict("No app is set up: there is nothing to change")
}

fn absent(error: StoreError) -> Problem {
    if matches!(error, StoreError::NotFound) { no_app() } else { error.into() }
}

fn taken(error: StoreError) -> Problem {
    match error {
        StoreError::Conflict("second_factor") => {
            Problem::conflict("An app is set up already, or another one was begun: end it first, or begin again")
        }
        error => error.into(),
    }
}
