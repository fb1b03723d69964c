//! What endpoints are told: a key sends nothing to an address that it could not read itself.

use access::{Caller, Scope, ScopeSet};
use gate::Problem;
use store::{EventKind, WebhookRecord, Workspace};

use crate::problem::must_cover;

/// Who may read what an event tells.
const fn scope_of(kind: EventKind) -> Scope {
    use EventKind as Kind;
    match kind {
        Kind::ConversationCreated | Kind::MessageCreated | Kind::SessionEnded => Scope::ConversationsRead,
        Kind::RunStarted | Kind::RunWaiting | Kind::RunCompleted | Kind::RunFailed => Scope::RunsRead,
        Kind::ContactCreated => Scope::ContactsRead,
        Kind::AgentLoopFinished => Scope::AgentLoopsRead,
        Kind::ApiKeyCreated
        | Kind::ApiKeyRotated
        | Kind::ApiKeyRevoked
        | Kind::ApiKeyExposed
        | Kind::ApiKeyExpiring
        | Kind::ApiKeyRotationDue => Scope::ApiKeysRead,
        Kind::CreditsLow | Kind::CreditsDepleted => Scope::UsageRead,
        Kind::WebhookDisabled => Scope::WebhooksRead,
    }
}

/// Of all of them where none are named.
fn scopes_of(events: Option<&[String]>) -> ScopeSet {
    let is_heard = |kind: &&EventKind| events.is_none_or(|events| events.iter().any(|event| event == kind.as_str()));
    EventKind::ALL.iter().filter(is_heard).map(|kind| scope_of(*kind)).collect()
}

/// A key reads all that an endpoint is to hear; people decide by their role.
pub(crate) fn must_read(caller: &Caller, events: Option<&[String]>) -> Result<(), Problem> {
    match caller {
        Caller::Member(_) => Ok(()),
        caller => must_cover(caller.scopes(), scopes_of(events)),
    }
}

/// And what it has heard, which can be sent again.
pub(crate) async fn must_read_kept(data: &Workspace, caller: &Caller, webhook: &WebhookRecord) -> Result<(), Problem> {
    must_read(caller, webhook.events.as_deref())?;
    if webhook.events.is_some() && !matches!(caller, Caller::Member(_)) {
        must_read(caller, Some(&data.kinds_kept(webhook.id).await?))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_for_everything_asks_for_all_that_is_told() {
        let heard =
            |events: &[&str]| scopes_of(Some(&events.iter().map(|&event| event.to_owned()).collect::<Vec<_>>()));
        assert_eq!(heard(&["message.created"]), ScopeSet::NONE.with(Scope::ConversationsRead));
        let two = ScopeSet::NONE.with(Scope::ContactsRead).with(Scope::UsageRead);
        assert_eq!(heard(&["contact.created", "credits.low", "webhook.test"]), two);
        assert_eq!(heard(&[]), ScopeSet::NONE);
        assert_eq!(scopes_of(None).iter().count(), 7);
    }
}
