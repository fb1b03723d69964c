//! Where the words come from. Each upstream writes into an [`Answer`]; why it could not is a
//! [`Failure`].

mod answer;
mod echo;
mod openai;
mod tools;
mod webhook;
mod wire;

pub(crate) use answer::{Answer, Failure};
pub(crate) use echo::echo;
pub(crate) use openai::{Call, Said, ask};
pub(crate) use tools::ask_with_tools;
pub(crate) use webhook::{About, Question as WebhookQuestion, Who, ask_webhook};
pub(crate) use wire::Message;
