//! The page that shows a secret, the one time.

use askama::Template;
use gate::Ask;
use serde::Deserialize;

use super::Key;
use crate::{bots::Bot, desk::Desk, frame::Frame, show::Paged};

/// A key with the secret that was just made. It is written into one page and nowhere else.
#[derive(Deserialize)]
pub(crate) struct MadeKey {
    #[serde(flatten)]
    pub(crate) view: Key,
    pub(crate) key: String,
}

/// How the key is put to use, with the key in it.
pub(crate) struct Snippet {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) text: String,
    /// What is to be known of it; mostly nothing.
    pub(crate) note: String,
}

/// The bot that a page is to show, and whether there are others.
pub(crate) struct Shown {
    pub(crate) bot: Bot,
    pub(crate) is_one_of_many: bool,
}

impl Shown {
    /// The newest bot of the half of the data that the key is of.
    pub(crate) async fn newest(desk: &Desk<'_>, key: &Key) -> Option<Self> {
        let half = key.environment.parse().ok()?;
        // The key is made: whatever goes wrong here must not keep its secret from being shown.
        let found: Paged<Bot> = desk.get_in(half, Ask::to("list_bots").query("per_page", 1)).await.ok()?;
        Some(Self { is_one_of_many: found.meta.total > 1, bot: found.data.into_iter().next()? })
    }

    fn note(shown: Option<&Self>, half: &str) -> String {
        match shown {
            None => format!(
                "There is no bot in the {half} data yet. Make one, and put the Id from its page into data-agent-id."
            ),
            Some(Self { bot, is_one_of_many: false }) => format!("The bot in it is “{}”.", bot.name),
            Some(Self { bot, .. }) => format!(
                "The bot in it is “{}”, the newest one. For another one, put the Id from its page into data-agent-id.",
                bot.name
            ),
        }
    }
}

#[derive(Template)]
#[template(path = "keys/shown_once.html")]
pub(crate) struct ShownOncePage {
    pub(crate) frame: Frame,
    pub(crate) made: MadeKey,
    pub(crate) snippets: Vec<Snippet>,
}

/// What to paste: for a page that shows this bot, or for a server.
pub(crate) fn snippets(made: &MadeKey, shown: Option<&Shown>, server: &str) -> Vec<Snippet> {
    let (key, server) = (&made.key, server.trim_end_matches('/'));
    if made.view.is_widget() {
        let bot = shown.map_or("put the Id from a bot's page here", |shown| &shown.bot.id);
        let text = format!(
            "<script src=\"{server}/widget/chat-widget.js\"\n        data-widget-key=\"{key}\" data-agent-id=\"{bot}\" \
             async></script>"
        );
        let note = Shown::note(shown, &made.view.environment);
        return vec![Snippet { id: "snippet-page", name: "HTML of your page", text, note }];
    }
    let curl = format!("curl {server}/v1/me -H \"Authorization: Bearer {key}\"");
    let javascript = format!(
        "const answer = await fetch(\"{server}/v1/me\", {{\n  headers: {{ Authorization: \"Bearer {key}\" }},\n}});\n\
         console.log(await answer.json());"
    );
    let python = format!(
        "import json, urllib.request\n\nrequest = urllib.request.Request(\n    \"{server}/v1/me\",\n    \
         headers={{\"Authorization\": \"Bearer {key}\"}},\n)\nprint(json.load(urllib.request.urlopen(request)))"
    );
    let snippet = |id, name, text| Snippet { id, name, text, note: String::new() };
    vec![
        snippet("snippet-curl", "curl", curl),
        snippet("snippet-javascript", "JavaScript", javascript),
        snippet("snippet-python", "Python", python),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_snippet_carries_the_key_and_the_server() {
        for (kind, count) in [("secret", 3), ("widget", 1)] {
            let view = super::super::tests::key(&[("kind", json!(kind))]);
            let made = MadeKey { view, key: "sk_live_whole".to_owned() };
            let snippets = snippets(&made, None, "https://chat.example.com/");
            assert_eq!(snippets.len(), count);
            for snippet in snippets {
                assert!(snippet.text.contains("sk_live_whole"), "{}", snippet.name);
                assert!(snippet.text.contains("https://chat.example.com/"), "{}", snippet.text);
                assert!(!snippet.text.contains("com//"), "{}", snippet.text);
            }
        }
    }
}
