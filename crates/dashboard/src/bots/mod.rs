//! Bots, and what belongs to one: where its answers come from, the ways to it, and a chat to try it out.

mod bot;
mod channel;
mod integration;
mod said;
mod trial;

use api::App;
use askama::Template;
use gate::{Ask, Problem, Raw, Routes};
use serde::Deserialize;

pub(crate) use self::said::{Message, Thread};
use crate::{
    Form,
    desk::Desk,
    frame::Frame,
    show::{One, Paged, When},
};

pub(crate) fn mount(routes: &mut Routes<App>) {
    bot::mount(routes);
    integration::mount(routes);
    channel::mount(routes);
    trial::mount(routes);
}

/// The most of what a select offers.
const MOST_CHOICES: u32 = 100;

/// A bot, as the API shows it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Bot {
    pub(crate) id: String,
    pub(crate) name: String,
    description: Option<String>,
    greeting: Option<String>,
    instructions: Option<String>,
    architecture: String,
    context_messages: u32,
    model: String,
    created_at: When,
    updated_at: When,
}

impl Bot {
    async fn read(desk: &Desk<'_>, id: &str) -> Result<Self, Problem> {
        Ok(desk.get::<One<Self>>(Ask::to("get_bot").at("id", id)).await?.data)
    }

    /// The newest bots, for a select.
    pub(crate) async fn choices(desk: &Desk<'_>) -> Result<Vec<Self>, Problem> {
        Ok(desk.get::<Paged<Self>>(Ask::to("list_bots").query("per_page", MOST_CHOICES)).await?.data)
    }
}

/// A text of many lines with the line ends that everybody else writes, unless nothing was typed in.
pub(crate) fn long_text(form: &Form, name: &str) -> Option<String> {
    let text = form.raw(name).replace("\r\n", "\n");
    Some(text).filter(|text| !text.trim().is_empty())
}

/// One secret of those that were just made.
struct Secret {
    id: &'static str,
    label: &'static str,
    text: String,
}

/// The page that shows secrets, once.
#[derive(Template)]
#[template(path = "bots/secrets.html")]
struct SecretsPage {
    frame: Frame,
    /// What each is for.
    sentence: &'static str,
    secrets: Vec<Secret>,
    /// Where it goes on.
    next: String,
}

fn show_secrets(
    desk: &Desk<'_>,
    here: &'static str,
    sentence: &'static str,
    secrets: Vec<Secret>,
    next: String,
) -> Result<Raw, Problem> {
    desk.render(&SecretsPage { frame: desk.frame("Shown once", here), sentence, secrets, next })
}
