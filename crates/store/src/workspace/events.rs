use std::fmt::Display;

use ambient::{EventId, WebhookId};
use serde_json::Value;

use super::Workspace;
use crate::{catalogue::events as sql, error::StoreError, tx::Tx};

macro_rules! kinds {
    ($($name:ident $text:literal $about:literal;)*) => {
        /// What can happen that somebody wants to be told of (contract, section 8).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventKind { $(#[doc = $about] $name),* }

        impl EventKind {
            /// Every kind, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The text form, as stored and sent.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// When it is told, in a sentence.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $(Self::$name => $about),* }
            }
        }
    };
}

kinds! {
    ConversationCreated "conversation.created" "A conversation was opened, through whichever door.";
    MessageCreated "message.created" "A message was stored: a user's, or a whole reply.";
    SessionEnded "session.ended" "A chat session was ended.";
    RunStarted "run.started" "A run of a workflow was started.";
    RunWaiting "run.waiting" "A run waits for a person.";
    RunCompleted "run.completed" "A run came to its end.";
    RunFailed "run.failed" "A run failed.";
    ContactCreated "contact.created" "A contact was made by a call; those of an import are not told one by one.";
    AgentLoopFinished "agent_loop.finished" "An execution of an agent loop has ended.";
    ApiKeyCreated "api_key.created" "A key was made.";
    ApiKeyRotated "api_key.rotated" "A key got another secret.";
    ApiKeyRevoked "api_key.revoked" "A key was revoked.";
    ApiKeyExposed "api_key.exposed" "A server key came from a browser, or was reported as leaked.";
    ApiKeyExpiring "api_key.expiring" "A key expires in 30, 7 or 1 days.";
    ApiKeyRotationDue "api_key.rotation_due" "The time has come at which a key should be rotated.";
    CreditsLow "credits.low" "A workspace has few credits left.";
    CreditsDepleted "credits.depleted" "A workspace has no credits left.";
    WebhookDisabled "webhook.disabled" "An endpoint gets no more events: it asked for none, or failed for five days.";
}

impl Workspace {
    /// Writes that something happened, with a delivery for each endpoint that listens, in the transaction of what
    /// happened. Without a listener nothing is written.
    pub(crate) async fn event(&self, tx: &mut Tx, kind: EventKind, data: &Value) -> Result<(), StoreError> {
        let (id, now) = (EventId::mint(self.store.clock(), self.store.random())?, self.store.now());
        let event = self.own(&sql::INSERT_EVENT).text(kind.as_str()).id(id).text(data.to_string()).time(now);
        let event = event.maybe_text(subject_of(data));
        if tx.execute(event).await? > 0 {
            tx.execute(self.own(&sql::INSERT_DELIVERIES).text(kind.as_str()).id(id).time(now)).await?;
            tx.ring();
        }
        Ok(())
    }

    /// Writes an event for one endpoint, whatever it listens to; false when the endpoint is gone or disabled.
    /// `kind` is an [`EventKind`]'s text or a word of the endpoint's owner.
    pub(crate) async fn event_for(
        &self,
        tx: &mut Tx,
        webhook: WebhookId,
        kind: &str,
        data: &Value,
    ) -> Result<bool, StoreError> {
        Ok(self.insert_event_for(tx, webhook, kind, data).await?.is_some())
    }

    /// The same; the event's id, if it was written.
    pub(crate) async fn insert_event_for(
        &self,
        tx: &mut Tx,
        webhook: WebhookId,
        kind: &str,
        data: &Value,
    ) -> Result<Option<EventId>, StoreError> {
        let (id, now) = (EventId::mint(self.store.clock(), self.store.random())?, self.store.now());
        let event = self.own(&sql::INSERT_EVENT_FOR).text(kind).id(id).text(data.to_string()).time(now).id(webhook);
        let event = event.maybe_text(subject_of(data));
        if tx.execute(event).await? == 0 {
            return Ok(None);
        }
        tx.execute(self.own(&sql::INSERT_DELIVERY).id(webhook).id(id).time(now)).await?;
        tx.ring();
        Ok(Some(id))
    }

    /// Forgets what was told of something that is deleted, in the transaction that deletes it: it is not sent again.
    pub(crate) async fn forget_events(&self, tx: &mut Tx, subject: impl Display) -> Result<(), StoreError> {
        tx.execute(self.own(&sql::DELETE_EVENTS_OF).id(subject)).await.map(|_| ())
    }

    /// The kinds of the events that are kept for an endpoint: what it was sent, and what it may be sent again.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn kinds_kept(&self, webhook: WebhookId) -> Result<Vec<String>, StoreError> {
        let rows = self.store.rows(self.own(&sql::KINDS_KEPT).id(webhook)).await?;
        rows.iter().map(|row| row.string("kind")).collect()
    }
}

/// What an event is about: a conversation, or the thing itself.
fn subject_of(data: &Value) -> Option<&str> {
    let id = |name: &str| data.get(name).and_then(Value::as_str);
    id("conversation_id").or_else(|| id("id"))
}
