//! Who takes part, as the browser brings it: the participant's token, for the pages of one survey alone.

use access::ParticipantCaller;
use ambient::{DeploymentId, Millis};
use api::App;
use credential::token::PARTICIPANT_S;
use gate::{Call, Problem, Raw, RequestContext};

use crate::renew::renewed;

/// As long as the run's tokens are renewed.
const KEPT_S: u32 = 24 * 3600;
/// After the end: to read the last words, and little more. Somebody else may sit down at this browser.
const KEPT_AFTER_END_S: u32 = 300;

/// Browsers take a `__Secure-` cookie over https alone, so that nobody on plain http can set one.
fn name(app: &App) -> &'static str {
    if is_https(app) { "__Secure-chatelaine-survey" } else { "chatelaine-survey" }
}

fn is_https(app: &App) -> bool {
    app.settings().public_url.starts_with("https://")
}

/// What the cookie proves.
pub(super) enum Visitor {
    /// There is none, or it proves nothing: a revoked deployment's, another survey's, a forged one.
    Stranger,
    /// It was good, too long ago.
    Late,
    /// Somebody who takes part in a run of this survey.
    Participant(ParticipantCaller),
}

/// Who asks for this survey's page.
///
/// # Errors
/// 429 for an address that keeps guessing; 503 for our own faults.
pub(super) async fn visitor<I>(app: &App, call: &Call<I>, survey: DeploymentId) -> Result<Visitor, Problem> {
    let Some(token) = call.request.cookie(name(app)) else { return Ok(Visitor::Stranger) };
    match call.request.door().authenticate_participant(token).await {
        Ok(caller) if caller.deployment == survey => Ok(Visitor::Participant(caller)),
        Ok(_) => Ok(Visitor::Stranger),
        Err(problem) if problem.code() == "TOKEN_EXPIRED" => Ok(Visitor::Late),
        Err(problem) if problem.status() == 401 => Ok(Visitor::Stranger),
        Err(problem) => Err(problem),
    }
}

/// Gives the page's browser this token to keep.
pub(super) fn keep(app: &App, page: Raw, survey: DeploymentId, token: &str) -> Raw {
    set(app, page, survey, token, KEPT_S)
}

/// Lets the browser keep what it has for five minutes from the end of the run, and no longer: then the first page
/// stands in the place of this one.
pub(super) fn part(app: &App, request: &RequestContext, page: Raw, survey: DeploymentId, finished_at: Millis) -> Raw {
    let left = left_s(finished_at, request.now);
    match request.cookie(name(app)).filter(|_| left > 0) {
        Some(token) => set(app, page, survey, token, left),
        None => forget(app, Raw::see_other(&format!("/s/{survey}")), survey),
    }
}

/// Seconds for which a run that is over can still be read; 0 is no more.
fn left_s(finished_at: Millis, now: Millis) -> u32 {
    let gone = u32::try_from(now.since(finished_at).max(0) / 1000).unwrap_or(u32::MAX);
    KEPT_AFTER_END_S.saturating_sub(gone)
}

/// Takes the token away.
pub(super) fn forget(app: &App, page: Raw, survey: DeploymentId) -> Raw {
    set(app, page, survey, "", 0)
}

fn set(app: &App, page: Raw, survey: DeploymentId, value: &str, seconds: u32) -> Raw {
    let secure = if is_https(app) { "; Secure" } else { "" };
    let name = name(app);
    let line = format!("{name}={value}; Path=/s/{survey}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    page.computed_header("set-cookie", &line)
}

/// The page, with another token once the one at hand is in the second half of its hour. That it is not
/// renewed is no fault: the one at hand is good to its end.
pub(super) async fn renew(app: &App, page: Raw, by: &ParticipantCaller, now: Millis) -> Raw {
    if !is_due(by.expires_at, now) {
        return page;
    }
    match renewed(app, by, now).await {
        Ok(next) => keep(app, page, by.deployment, &next.participant_token),
        Err(_) => page,
    }
}

fn is_due(expires_at: Millis, now: Millis) -> bool {
    expires_at.since(now) < PARTICIPANT_S * 1000 / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_is_over_is_kept_for_five_minutes() {
        let end = Millis(1_000_000);
        let left = [-5000, 0, 999, 1000, 299_999, 300_000, 1 << 50].map(|after| left_s(end, end.plus(after)));
        assert_eq!(left, [300, 300, 300, 299, 1, 0, 0]);
    }

    #[test]
    fn a_token_is_renewed_in_the_second_half_of_its_life() {
        let end = Millis(PARTICIPANT_S * 1000);
        assert!(!is_due(end, Millis(0)) && !is_due(end, Millis(1_800_000)));
        assert!(is_due(end, Millis(1_800_001)) && is_due(end, Millis(3_599_000)));
    }
}
