//! Bots' replies and the conversations that they make.
//!
//! [`Chat`] opens sessions, answers messages and keeps what was said. A [`Reply`] is one stream of
//! events whatever the door: encoders live above. What is never here: HTTP answers, SQL, a decision
//! about who may call; callers come in checked. An upstream's words go to the end user, its errors
//! to the operator.

mod channels;
mod chat;
mod choice;
mod credits;
mod draft;
mod error;
mod event_id;
mod follow;
mod headers;
mod integration;
mod job;
mod live;
mod log;
mod question;
mod replay;
mod reply;
mod send;
mod signing;
mod sse;
mod text;
mod tools;
mod trial;
mod turn;
mod upstream;
mod voice;

pub use chat::{Chat, ChatParts, OpenSession, OpenedSession};
pub use choice::model_of;
pub use cluster::Opener;
pub use credits::{Credits, Prices};
pub use draft::{IntegrationUpdate, NewIntegration};
pub use error::{Cause, ChatError};
pub use event_id::{EventId, EventIdError, Numbered};
pub use follow::Follow;
pub use headers::{HEADER_MASK, Headers, integration_place};
pub use question::{AskError, Question};
pub use reply::{Reply, ReplyErrorCode, ReplyEvent, Usage};
pub use send::{MAX_MESSAGE, SayTo, SendOptions};
pub use signing::{channel_place, channel_secret_place, integration_secret_place, new_secret, open_secrets};
pub use tools::{ToolAnswer, ToolCall, ToolQuestion};
pub use trial::Trial;
pub use voice::OpenedVoice;
