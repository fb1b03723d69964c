//! From what went wrong elsewhere to what the caller reads.

use access::{Refusal, ScopeSet};
use chat::ChatError;
use gate::Problem;

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

/// Whoever holds `held` may hand out or act on `wanted`; else 403, naming the first scope that is
/// not covered. No key makes a wider one.
pub(crate) fn must_cover(held: ScopeSet, wanted: ScopeSet) -> Result<(), Problem> {
    match wanted.iter().find(|scope| !held.allows(*scope)) {
        Some(scope) => Err(Refusal::MissingScope(scope).into()),
        None => Ok(()),
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
