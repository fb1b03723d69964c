//! What endpoints are told: a key sends nothing to an address that it could not read itself.

use access::{Access, Caller, Limit, Role, Scope, ScopeSet};
use gate::{Call, Data, Nothing, Operation, Problem, Routes};
use schemars::JsonSchema;
use serde::Serialize;
use store::{EventKind, WebhookRecord, Workspace};

use crate::{App, problem::must_cover};

pub(crate) const LIST_WEBHOOK_EVENTS: Operation<Nothing, Data<Vec<EventView>>> = Operation::get(
    "/v1/webhook-events",
    "list_webhook_events",
    "List the kinds of events that an endpoint may be told, and the scope that a key needs for each.",
    Access::closed(Limit::Read).member(Role::Member).key(Scope::WebhooksRead),
);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(LIST_WEBHOOK_EVENTS, list_webhook_events);
}

/// A kind of event.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) struct EventView {
    /// Its name: the `type` of the event.
    name: &'static str,
    /// When it happens.
    about: &'static str,
    /// What a key reads itself before it sends this to anybody.
    scope: Scope,
}

async fn list_webhook_events(_: App, _: Call<Nothing>) -> Result<Data<Vec<EventView>>, Problem> {
    let view = |kind: &EventKind| EventView { name: kind.as_str(), about: kind.about(), scope: scope_of(*kind) };
    Ok(Data::new(EventKind::ALL.iter().map(view).collect()))
}

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
