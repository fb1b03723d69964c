//! Messages that come in through channels. The signature is the credential.

use std::borrow::Cow;

use access::{Access, Limit, Tenant};
use ambient::{ChannelId, ConversationId, MessageId};
use chat::{MAX_MESSAGE, channel_place, open_secrets};
use cluster::Bucket;
use credential::webhook::{DeliveryId, WebhookError, verify_message, verify_standard, weaker_names};
use gate::{Call, Data, FieldError, Operation, Problem, Routes, Sent, field};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};
use serde_json::Value;
use store::{ChannelRecord, NewChannelMessage, StoreError};

use crate::{
    App,
    channel_settings::{ChannelKind, ChannelSigning},
    input,
};

pub(crate) const SEND_CHANNEL_MESSAGE: Operation<AsSent, Data<TakenMessage>> = Operation::post(
    "/v1/channels/{id}/messages",
    "send_channel_message",
    "Take in a signed message of a webhook channel, once; the reply is sent to the channel's `reply_url`, signed.",
    Access::closed(Limit::Signed).public(),
)
.accepts()
.raw();

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(SEND_CHANNEL_MESSAGE, send_channel_message);
}

/// The longest name of a user, in characters, and of a message.
const MAX_NAME: usize = 255;
/// Seconds after which whoever sends too much may come back.
const RETRY_AFTER: u32 = 5;

/// A message of a user of yours.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChannelMessage {
    /// What the user said, 1 to 10,000 characters.
    #[schemars(length(min = 1, max = 10_000))]
    message: String,
    /// Who said it: the same user goes on with the same conversation until that is ended.
    user: ChannelUser,
    /// The conversation that it belongs to, instead of the user's open one.
    #[serde(default)]
    conversation_id: Option<ConversationId>,
    /// Your notes, for a new conversation: an object of at most 4 KiB.
    #[serde(default)]
    metadata: Option<input::Metadata>,
    /// Your name for the message, by which it counts once, where no header that is signed names it.
    #[serde(default)]
    #[schemars(length(min = 1, max = 255))]
    id: Option<String>,
}

/// A user of yours.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChannelUser {
    /// Your name for the user, at most 255 characters.
    #[schemars(length(min = 1, max = 255))]
    id: String,
    /// What people call the user, at most 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    name: Option<String>,
}

/// The body, which is looked at when its signature is verified and not before.
#[derive(Clone, Debug)]
pub(crate) struct AsSent;

impl<'de> Deserialize<'de> for AsSent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl JsonSchema for AsSent {
    fn schema_name() -> Cow<'static, str> {
        ChannelMessage::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        ChannelMessage::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        ChannelMessage::json_schema(generator)
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) struct TakenMessage {
    /// Its conversation.
    conversation_id: ConversationId,
    /// Its id there; the reply names it as `in_reply_to`.
    message_id: MessageId,
    /// Whether it was here before: this call has said nothing.
    duplicate: bool,
}

impl ChannelMessage {
    fn check(&self) -> Result<(), Problem> {
        let mut errors = Vec::new();
        let mut text = |name: &str, value: &str, most: usize| {
            if value.trim().is_empty() {
                errors.push(FieldError::new(name, format!("must be 1 to {most} characters, not only blanks")));
            } else {
                field::text(&mut errors, name, value, 1, most);
            }
        };
        text("message", &self.message, MAX_MESSAGE);
        text("user.id", &self.user.id, MAX_NAME);
        if let Some(id) = &self.id {
            text("id", id, MAX_NAME);
        }
        input::optional_text(&mut errors, "user.name", self.user.name.as_ref(), MAX_NAME);
        if let Some(metadata) = &self.metadata {
            input::metadata(&mut errors, metadata);
        }
        input::done(errors)
    }
}

/// The channel of an id that takes messages. Another kind and one that is off are not told from none.
async fn find(app: &App, call: &Call<AsSent>) -> Result<Option<(Tenant, ChannelRecord)>, Problem> {
    let Ok(id) = call.id::<ChannelId>("id") else { return Ok(None) };
    // Where somebody guesses, few are looked up at once.
    let must_queue = call.request.door().has_failed_too_often();
    let place = if must_queue { Some(app.guesses().take(call.request.address).await?) } else { None };
    let tenant = app.store().tenant_of_channel(id).await?;
    let found = match tenant {
        None => None,
        Some(tenant) => match app.store().workspace(tenant).channel(id).await {
            Ok(channel) => Some((tenant, channel)),
            Err(StoreError::NotFound) => None,
            Err(error) => return Err(error.into()),
        },
    };
    drop(place);
    Ok(found.filter(|(_, channel)| channel.kind == ChannelKind::Webhook.as_str() && channel.disabled_at.is_none()))
}

/// Whether its sender has signed it, and the names of it, the strongest first. A wrong signature costs the caller's
/// address.
fn verify(
    app: &App,
    call: &Call<AsSent>,
    (tenant, channel): (Tenant, &ChannelRecord),
    sent: &Sent,
) -> Result<(DeliveryId, Vec<DeliveryId>), Problem> {
    let now = app.clock().now();
    let secrets = open_secrets(app.secrets(), &channel_place(tenant, channel.id), &channel.secret, now);
    let secrets = secrets.map_err(Problem::unavailable)?;
    let (header, body) = (|name: &str| sent.header(name), sent.body());
    let verdict = match ChannelSigning::of(channel) {
        ChannelSigning::StandardWebhooks => verify_standard(header, body, &secrets, now).map(|name| (name, Vec::new())),
        ChannelSigning::Plain => {
            verify_message(header, body, &secrets, now).map(|name| (name, weaker_names(header, body, &secrets)))
        }
    };
    verdict.or_else(|error: WebhookError| {
        call.request.door().charge_failure()?;
        Err(Problem::invalid_signature(format!("Not taken: {error}")))
    })
}

async fn send_channel_message(app: App, call: Call<AsSent>) -> Result<Data<TakenMessage>, Problem> {
    let Some((tenant, channel)) = find(&app, &call).await? else {
        call.request.door().charge_failure()?;
        return Err(Problem::not_found());
    };
    let sent = call.request.sent.as_ref().ok_or_else(|| Problem::unavailable("the request was not handed over"))?;
    let (delivery, weaker) = verify(&app, &call, (tenant, &channel), sent)?;
    let message: ChannelMessage = sent.read()?;
    message.check()?;
    let budgets = app.cluster().budgets_of(tenant.workspace);
    let buckets = [Bucket::Workspace(&budgets), Bucket::MessagesOfChannel(channel.id)];
    let verdict = app.cluster().charge(&buckets, app.clock().elapsed());
    if !verdict.allowed {
        return Err(Problem::limited(verdict));
    }
    let new = NewChannelMessage {
        delivery: name_of(delivery, message.id.as_deref()),
        aliases: weaker.into_iter().map(|name| name_of(name, message.id.as_deref())).collect(),
        user: message.user.id.clone(),
        user_data: serde_json::to_string(&message.user).map_err(Problem::unavailable)?,
        content: message.message,
        conversation: message.conversation_id,
        metadata: message.metadata.map(Value::Object),
    };
    let taken = app.store().workspace(tenant).take_channel_message(channel.id, new).await.map_err(of_store)?;
    app.chat().wake_channels();
    Ok(Data::new(TakenMessage {
        conversation_id: taken.conversation,
        message_id: taken.message,
        duplicate: taken.is_duplicate,
    }))
}

/// By what a message counts once: the name that was signed with a time, or its own in the body, or what its signature
/// says of the body. The ways are kept apart, so that no message takes the name of another way's.
/// What is not timed says so: the store keeps it for longer.
fn name_of(delivery: DeliveryId, own: Option<&str>) -> String {
    match own {
        _ if delivery.is_timed => delivery.name,
        Some(own) => format!("body:{own}"),
        None => format!("plain:{}", delivery.name),
    }
}

fn of_store(error: StoreError) -> Problem {
    match error {
        StoreError::Conflict("waiting") => Problem::rate_limited(RETRY_AFTER),
        StoreError::Conflict("ended") => Problem::conflict("This conversation has ended"),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_named_by_what_is_signed() {
        let delivery = |is_timed| DeliveryId { name: "msg_1".to_owned(), is_timed };
        assert_eq!(name_of(delivery(true), Some("mine")), "msg_1");
        assert_eq!(name_of(delivery(false), Some("mine")), "body:mine");
        assert_eq!(name_of(delivery(false), None), "plain:msg_1");
    }
}
