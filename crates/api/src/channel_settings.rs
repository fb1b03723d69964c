//! What a channel is: its kind, and what belongs to it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::ChannelRecord;

/// What a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ChannelKind {
    /// A widget on a page, with a look of its own.
    Widget,
    /// A server that sends signed messages; the replies are sent to its `reply_url`, signed.
    Webhook,
}

impl ChannelKind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Widget => "widget",
            Self::Webhook => "webhook",
        }
    }
}

/// How the sender of a webhook channel's messages signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChannelSigning {
    /// As Standard Webhooks 1.0 says, and in no other way.
    #[default]
    StandardWebhooks,
    /// `X-Chatbot-Signature` over the body or `X-Chatbot-Signature-V2`, too.
    Plain,
}

impl ChannelSigning {
    pub(crate) fn of(channel: &ChannelRecord) -> Self {
        serde_json::from_str::<Settings>(&channel.settings)
            .ok()
            .and_then(|settings| settings.signing)
            .unwrap_or_default()
    }
}

/// What a widget channel shows, and how a webhook channel's messages are signed.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Settings {
    pub(crate) signing: Option<ChannelSigning>,
    pub(crate) title: Option<String>,
    pub(crate) color: Option<String>,
    pub(crate) greeting: Option<String>,
}
