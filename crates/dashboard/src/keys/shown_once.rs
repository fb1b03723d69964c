//! The page that shows a secret, the one time.

use askama::Template;
use serde::Deserialize;

use super::Key;
use crate::frame::Frame;

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
}

#[derive(Template)]
#[template(path = "keys/shown_once.html")]
pub(crate) struct ShownOncePage {
    pub(crate) frame: Frame,
    pub(crate) made: MadeKey,
    pub(crate) snippets: Vec<Snippet>,
}

/// What to paste: for a page, or for a server.
pub(crate) fn snippets(made: &MadeKey, server: &str) -> Vec<Snippet> {
    let (key, server) = (&made.key, server.trim_end_matches('/'));
    if made.view.is_widget() {
        let text = format!(
            "<script src=\"{server}/widget/chat-widget.js\"\n        data-widget-key=\"{key}\" data-agent-id=\"bot_…\" \
             async></script>"
        );
        return vec![Snippet { id: "snippet-page", name: "HTML of your page", text }];
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
    let snippet = |id, name, text| Snippet { id, name, text };
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
            let snippets = snippets(&made, "https://chat.example.com/");
            assert_eq!(snippets.len(), count);
            for snippet in snippets {
                assert!(snippet.text.contains("sk_live_whole"), "{}", snippet.name);
                assert!(snippet.text.contains("https://chat.example.com/"), "{}", snippet.text);
                assert!(!snippet.text.contains("com//"), "{}", snippet.text);
            }
        }
    }
}
