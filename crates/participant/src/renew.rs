//! A participant's token for another hour, where nobody else could give one (docs/decisions/0015).

use access::{Access, Limit, ParticipantCaller};
use ambient::Millis;
use api::{App, problem_of_run};
use credential::token::{PARTICIPANT_S, ParticipantClaims};
use gate::{Bare, Call, Nothing, Operation, Problem, Routes};
use runs::RunError;
use schemars::JsonSchema;
use serde::Serialize;

use crate::taking_part::participant;

pub(crate) const RENEW_TOKEN: Operation<Nothing, Bare<Renewed>> = Operation::post(
    "/api/participant/renew",
    "renew_participant_token",
    "Get another hour for a run that a public survey started, until 24 hours after its start.",
    Access::closed(Limit::Participant).participant(),
);

/// How long after a run's start its tokens are renewed; the last one outlives it by an hour at most.
const RENEWED_FOR_MS: i64 = 24 * 3_600_000;

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(RENEW_TOKEN, renew_token);
}

/// The next token. The one before it is good to its own end.
#[derive(Clone, Serialize, JsonSchema)]
pub(crate) struct Renewed {
    /// For the same run and role.
    pub(crate) participant_token: String,
    /// Seconds: 3600.
    expires_in: i64,
    /// Its end.
    expires_at: Millis,
}

/// Another token for who holds a good one.
///
/// # Errors
/// 403 for a run that a server started or that is too old, 404 without such a run, 409 when it is over.
pub(crate) async fn renewed(app: &App, by: &ParticipantCaller, now: Millis) -> Result<Renewed, Problem> {
    let run = app.store().workspace(by.tenant).run(by.run).await?;
    if run.deployment != by.deployment {
        return Err(Problem::not_found());
    }
    // Whoever minted the token decides for how long it is renewed.
    if run.origin != "public" {
        let message = "This token comes from your application: ask it for another one";
        return Err(Problem::wrong_credential(message));
    }
    if run.finished_at.is_some() {
        return Err(problem_of_run(RunError::Ended));
    }
    if now.since(run.created_at) >= RENEWED_FOR_MS {
        return Err(Problem::wrong_credential("This survey was begun more than 24 hours ago: start it again"));
    }
    let issued_at = Millis::from_seconds(now.seconds());
    let claims = ParticipantClaims {
        run: by.run,
        role: by.role.to_string(),
        deployment: by.deployment,
        workspace: by.tenant.workspace,
        environment: by.tenant.environment,
        key: by.key,
        // Of the token at hand: after a revocation in between, the new one is as dead as that.
        epoch: by.epoch,
        issued_at,
        expires_at: issued_at.plus(PARTICIPANT_S * 1000),
    };
    let participant_token = app.tokens().sign_participant(&claims).map_err(Problem::unavailable)?;
    Ok(Renewed { participant_token, expires_in: PARTICIPANT_S, expires_at: claims.expires_at })
}

async fn renew_token(app: App, call: Call<Nothing>) -> Result<Bare<Renewed>, Problem> {
    renewed(&app, participant(&call)?, call.request.now).await.map(Bare)
}
