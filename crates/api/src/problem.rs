//! From what went wrong elsewhere to what the caller reads.

use ::runs::RunError;
use access::{Caller, Refusal, ScopeSet};
use chat::ChatError;
use gate::{FieldError, Problem};

/// The answer to a failed conversation. A dead session is a dead token: 401.
pub fn of_chat(error: ChatError) -> Problem {
    match error {
        ChatError::NotFound => Problem::not_found(),
        ChatError::Ended | ChatError::Revoked => Refusal::InvalidToken.into(),
        ChatError::Busy => Problem::rate_limited(1),
        ChatError::Invalid { field, message } => Problem::invalid_field(field, message),
        ChatError::NoCredits => Problem::insufficient_credits(),
        ChatError::NotConfigured(sentence) => Problem::not_configured(sentence),
        ChatError::Reused => Problem::invalid_field("Idempotency-Key", "It was sent before, with another message"),
        ChatError::Full(sentence) => Problem::conflict(sentence),
        ChatError::Conflict(what) => Problem::conflict(format!("Already there, or no longer possible: {what}")),
        other => Problem::unavailable(other),
    }
}

/// The answer to what a run does not take.
pub fn of_run(error: RunError) -> Problem {
    match error {
        RunError::NotFound => Problem::not_found(),
        RunError::Invalid(faults) => {
            let named = |fault: workflow::FieldFault| FieldError::new(fault.field, fault.message);
            Problem::validation(faults.into_iter().map(named).collect())
        }
        RunError::AlreadyAnswered => Problem::conflict("This step was answered before"),
        RunError::Busy => Problem::conflict("The agent has not answered yet; say it again after its answer"),
        RunError::Ended => Problem::conflict("This run is over"),
        RunError::Revoked => Problem::conflict("This deployment was revoked"),
        other => Problem::unavailable(other),
    }
}

/// Whoever holds `held` may hand out or act on `wanted`; else 403, naming the first scope that is
/// not covered. No key makes a wider one.
pub(crate) fn must_cover(held: ScopeSet, wanted: ScopeSet) -> Result<(), Problem> {
    match wanted.iter().find(|scope| !held.allows(*scope)) {
        Some(scope) => Err(Refusal::MissingScope(scope).into()),
        None => Ok(()),
    }
}

/// What never ends is not left to a secret that does: it was replaced, or has leaked.
pub(crate) fn must_be_newest(caller: &Caller) -> Result<(), Problem> {
    match caller {
        Caller::Key(key) if key.secret_ends.is_some() => Err(Problem::conflict(
            "This key has a newer secret: the one that was sent, in its grace, does not do this any more",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use access::Scope;

    use super::*;

    #[test]
    fn a_narrow_holder_hands_out_nothing_wider() {
        let held = ScopeSet::NONE.with(Scope::BotsRead).with(Scope::ApiKeysWrite);
        assert!(must_cover(held, ScopeSet::NONE.with(Scope::BotsRead)).is_ok());
        assert!(must_cover(held, ScopeSet::NONE).is_ok());
        let refused = must_cover(held, ScopeSet::NONE.with(Scope::BotsRead).with(Scope::BotsWrite)).unwrap_err();
        assert_eq!((refused.status().as_u16(), refused.code()), (403, "INSUFFICIENT_PERMISSIONS"));
        assert!(must_cover(ScopeSet::every(), ScopeSet::ADMIN).is_err(), "all scopes are not `admin`");
        assert!(must_cover(ScopeSet::ADMIN, ScopeSet::every()).is_ok());
    }

    #[test]
    fn what_a_run_does_not_take_has_its_status() {
        let status = |error| of_run(error).status().as_u16();
        let fault = workflow::FieldFault { field: "score".to_owned(), message: "must be a number".to_owned() };
        let refused = of_run(RunError::Invalid(vec![fault]));
        assert!(refused.status() == 422 && format!("{refused:?}").contains("field: \"score\""), "{refused:?}");
        assert_eq!(status(RunError::NotFound), 404);
        for error in [RunError::AlreadyAnswered, RunError::Busy, RunError::Ended, RunError::Revoked] {
            assert_eq!(status(error), 409);
        }
        assert_eq!(status(RunError::Unavailable("disk".into())), 503);
    }

    #[test]
    fn our_own_outage_is_503_and_a_dead_session_401() {
        let status = |error| of_chat(error).status().as_u16();
        assert_eq!(status(ChatError::Unavailable("disk".into())), 503);
        assert_eq!(status(ChatError::Stopping), 503);
        let code = |error| of_chat(error).code();
        assert_eq!((status(ChatError::NoCredits), code(ChatError::NoCredits)), (402, "INSUFFICIENT_CREDITS"));
        let without = || ChatError::NotConfigured("no LiveKit");
        assert_eq!((status(without()), code(without())), (503, "NOT_CONFIGURED"));
        assert_eq!(status(ChatError::Ended), 401);
        assert_eq!(status(ChatError::NotFound), 404);
        assert_eq!(status(ChatError::Busy), 429);
        assert_eq!(status(ChatError::Reused), 422);
        assert_eq!(status(ChatError::Invalid { field: "url", message: "no".to_owned() }), 422);
    }
}
