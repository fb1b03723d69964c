//! What people do to themselves: prove again who they are, and say what they are called.

use access::{Access, Limit, Refusal, Role, Tenant};
use credential::key::Environment;
use gate::{Call, Data, Operation, Problem, Routes, SignInCookie};
use schemars::JsonSchema;
use serde::Deserialize;
use store::StoreError;

use crate::{
    App, input,
    members::{MAX_NAME, Member},
    people::NAME_PATTERN,
    second_factor::{self, Proof},
    sign_in::{OnlyCookie, after_wrong_guess, charge_own_password, guesses_in, mint_cookie, person},
};

pub(crate) const CONFIRM_ME: Operation<Confirmation, OnlyCookie> = Operation::post(
    "/v1/me/confirm",
    "confirm_me",
    "Prove again who you are, with your password or a code: for 15 minutes this browser may do what is dangerous. The \
     answer sets another cookie, and the one before stops working.",
    Access::closed(Limit::SignIn).member(Role::Member).audited(),
)
.answers_nothing();
pub(crate) const UPDATE_ME: Operation<MePatch, Data<Member>> = Operation::patch(
    "/v1/me",
    "update_me",
    "Change what you are called.",
    Access::closed(Limit::Write).member(Role::Member).audited(),
);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(CONFIRM_ME, confirm_me);
    routes.mount(UPDATE_ME, update_me);
}

/// One of the two.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Confirmation {
    /// Your password, at most 1024 characters.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    password: Option<String>,
    /// The six digits that your app shows, or a recovery code.
    #[serde(default)]
    #[schemars(length(max = 64))]
    code: Option<String>,
}

/// What is to be different about yourself.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MePatch {
    /// What people call you, 1 to 100 characters.
    #[schemars(length(min = 1, max = 100), regex(pattern = NAME_PATTERN))]
    name: String,
}

async fn confirm_me(app: App, call: Call<Confirmation>) -> Result<OnlyCookie, Problem> {
    let (person, now) = (person(&call)?, call.request.now);
    charge_own_password(&app, person, now)?;
    let guesses = guesses_in(person.session);
    let members = app.store().workspace(Tenant { environment: Environment::Live, ..person.tenant });
    match (&call.input.password, &call.input.code) {
        (Some(password), None) => {
            let member = members.member(person.member).await?;
            if !app.passwords().verify(password.clone(), member.password_hash).await? {
                app.cluster().note_wrong_guess(&guesses, now);
                let wrong = Problem::invalid_field("password", "is not your password");
                return Err(after_wrong_guess(&app, &call, person, wrong).await);
            }
        }
        (None, Some(code)) => {
            let check = second_factor::check(&app, person.tenant, person.member, Some(code), (&guesses, now));
            let proof = check.await?;
            if !matches!(proof, Proof::Code | Proof::RecoveryCode) {
                let wrong = Problem::invalid_field("code", "is not a code of yours, or was used already");
                return Err(after_wrong_guess(&app, &call, person, wrong).await);
            }
        }
        _ => return Err(Problem::invalid_field("", "send `password` or `code`")),
    }
    let (text, digest) = mint_cookie(&app)?;
    let (actor, id) = (call.actor(), person.session);
    let expires_at = match members.confirm_sign_in(person.member, id, &digest, call.audit(&actor, None)).await {
        // Signed out a moment ago.
        Err(StoreError::NotFound) => return Err(Refusal::InvalidToken.into()),
        confirmed => confirmed?,
    };
    let left = expires_at.since(now).div_euclid(1000).max(1);
    Ok(OnlyCookie { cookie: SignInCookie::of(&app.settings().public_url).set(&text, left) })
}

async fn update_me(app: App, call: Call<MePatch>) -> Result<Data<Member>, Problem> {
    let person = person(&call)?;
    let mut errors = Vec::new();
    input::name(&mut errors, &call.input.name, MAX_NAME);
    input::done(errors)?;
    let (actor, name) = (call.actor(), call.input.name.trim());
    let members = app.store().workspace(Tenant { environment: Environment::Live, ..person.tenant });
    Ok(Data::new(members.rename_member(person.member, name, call.audit(&actor, None)).await?.into()))
}
