//! Endpoints and what is sent to them, as values.

use std::fmt;

use access::Tenant;
use ambient::{AttemptId, EventId, Millis, WebhookId};

/// Where events go.
#[derive(Clone)]
pub struct WebhookRecord {
    /// Its id.
    pub id: WebhookId,
    /// The channel or agent loop whose outgoing messages go there; such an endpoint is not listed.
    pub owner: Option<String>,
    /// Where.
    pub url: String,
    /// Which kinds it hears; nothing for all.
    pub events: Option<Vec<String>>,
    /// What it is for.
    pub description: Option<String>,
    /// What signs, sealed.
    pub secret_sealed: Vec<u8>,
    /// What signed before, sealed, and signs along until [`WebhookRecord::previous_until`].
    pub previous_sealed: Option<Vec<u8>>,
    /// Until when both sign.
    pub previous_until: Option<Millis>,
    /// Since when nothing is sent.
    pub disabled_at: Option<Millis>,
    /// Why: `gone`, `failing` or `paused`.
    pub disabled_reason: Option<String>,
    /// Since when every attempt has failed.
    pub failing_since: Option<Millis>,
    /// When it was made.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
}

impl WebhookRecord {
    /// Another secret; the one before signs along until then, if at all. One that still signs along goes.
    pub(crate) fn rotate(&mut self, secret_sealed: Vec<u8>, previous_until: Option<Millis>) {
        let before = std::mem::replace(&mut self.secret_sealed, secret_sealed);
        self.previous_sealed = previous_until.map(|_| before);
        self.previous_until = previous_until;
    }
}

impl fmt::Debug for WebhookRecord {
    /// Without the address: it may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookRecord").field("id", &self.id).field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// An endpoint to be made. Its id is minted first: the sealed secret belongs to it.
#[derive(Clone)]
pub struct NewWebhook {
    /// Its id.
    pub id: WebhookId,
    /// Where.
    pub url: String,
    /// Which kinds; nothing for all.
    pub events: Option<Vec<String>>,
    /// What it is for.
    pub description: Option<String>,
    /// What signs, sealed.
    pub secret_sealed: Vec<u8>,
    /// Whether it hears anything yet.
    pub is_active: bool,
}

impl fmt::Debug for NewWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewWebhook").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What is to be different about an endpoint; what is absent stays.
#[derive(Clone, Default)]
pub struct WebhookChange {
    /// Where.
    pub url: Option<String>,
    /// What signs from then on, alone, if `url` is another one than before; sealed.
    pub secret_sealed: Option<Vec<u8>>,
    /// Which kinds; `Some(None)` for all.
    pub events: Option<Option<Vec<String>>>,
    /// What it is for.
    pub description: Option<Option<String>>,
    /// Whether it hears anything.
    pub is_active: Option<bool>,
}

impl fmt::Debug for WebhookChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookChange").finish_non_exhaustive()
    }
}

/// What is due: an event for an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DueDelivery {
    /// Whose.
    pub tenant: Tenant,
    /// Where it goes.
    pub webhook: WebhookId,
    /// What has happened.
    pub event: EventId,
}

/// What is needed for an attempt.
#[derive(Clone, Debug)]
pub struct DeliveryJob {
    /// Where it goes.
    pub webhook: WebhookRecord,
    /// The event's kind.
    pub kind: String,
    /// What the event says: JSON.
    pub data: String,
    /// When it happened.
    pub event_at: Millis,
    /// How often it was tried before.
    pub attempts: u32,
}

/// What an attempt came to.
#[derive(Clone, Debug)]
pub struct AttemptOutcome {
    /// The answer's status, if there was one.
    pub status: Option<u16>,
    /// Why there was none, or why it was no success: a word.
    pub error: Option<&'static str>,
    /// The first kilobyte of the answer.
    pub answer: Option<String>,
    /// Milliseconds.
    pub took_ms: u64,
    /// Until when the endpoint wants to be left alone with whatever else waits for it.
    pub throttled_until: Option<Millis>,
    /// What is done about it.
    pub then: AfterAttempt,
}

/// An attempt that is over.
#[derive(Clone, Debug)]
pub struct FinishedAttempt {
    /// What was sent.
    pub due: DueDelivery,
    /// The `until` that it was claimed with.
    pub claim: Millis,
    /// What it came to.
    pub outcome: AttemptOutcome,
}

/// What is done after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterAttempt {
    /// It has arrived.
    Delivered,
    /// It is tried again then.
    Again(Millis),
    /// It is given up.
    GiveUp,
    /// The endpoint gets nothing more, for this reason: `gone` or `failing`.
    Disable(&'static str),
}

/// One attempt to deliver.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// Its id.
    pub id: AttemptId,
    /// What was sent.
    pub event: EventId,
    /// The event's kind; nothing when it is older than 30 days, or went with what it told of.
    pub kind: Option<String>,
    /// Which attempt at this event it is, from 1.
    pub number: u32,
    /// Of the last one: when the next is due, if there is one, and it is not under way.
    pub next_at: Option<Millis>,
    /// The answer's status, if there was one.
    pub status: Option<u16>,
    /// Why it was no success: a word.
    pub error: Option<String>,
    /// The first kilobyte of the answer.
    pub answer: Option<String>,
    /// Milliseconds.
    pub took_ms: u64,
    /// When it was over.
    pub created_at: Millis,
}
