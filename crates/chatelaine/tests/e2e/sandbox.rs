//! Test keys have data of their own: no list of the document shows one environment the other's.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testkit::{Persona, World, id_of};

use crate::workflows::survey;

on_both! {
    no_list_shows_one_environment_what_the_other_holds;
}

/// Keys, accounts and what was done belong to the workspace: a live credential sees those of both environments, a
/// test credential the test ones alone.
const SEEN_BY_LIVE: [&str; 4] =
    ["/v1/api-keys", "/v1/service-accounts", "/v1/service-accounts/{id}/api-keys", "/v1/audit-log"];
/// People belong to the workspace, and leaks are found in it: neither is data of an environment.
const OF_THE_WORKSPACE: [&str; 4] = ["/v1/members", "/v1/invitations", "/v1/sign-ins", "/v1/leaks"];
/// Lists that hold something besides those of what is made here.
const MUST_HOLD: [&str; 4] =
    ["/v1/audit-log", "/v1/usage", "/v1/conversations/{id}/messages", "/v1/service-accounts/{id}/api-keys"];

/// What an environment holds: the id that stands after each segment of a path, and every id that was made.
struct Held {
    by_segment: BTreeMap<&'static str, String>,
    ids: Vec<String>,
}

/// Makes one of each; what the document does not know is left out.
async fn fill(world: &World, by: &Persona, posts: &[String]) -> Held {
    let mut by_segment = BTreeMap::new();
    let mut make = async |segment: &'static str, path: String, body: Value| {
        let id = id_of(&by.post(&path, &body).await.expect(201));
        by_segment.insert(segment, id.clone());
        id
    };
    let bot = make("bots", "/v1/bots".into(), json!({"name": "B"})).await;
    make("integrations", format!("/v1/bots/{bot}/integrations"), json!({"name": "E", "kind": "echo"})).await;
    let workflow = make("workflows", "/v1/workflows".into(), json!({"name": "W", "definition": survey()})).await;
    let deployment = make("deployments", format!("/v1/workflows/{workflow}/deployments"), json!({})).await;
    let trigger = json!({"kind": "webhook", "name": "T"});
    make("triggers", format!("/v1/deployments/{deployment}/triggers"), trigger).await;
    let connection = json!({"name": "C", "origin": "https://api.example.com", "headers": {"x-a": "1"}});
    make("connections", "/v1/connections".into(), connection).await;
    make("api-keys", "/v1/api-keys".into(), json!({"name": "K"})).await;
    let account = make("service-accounts", "/v1/service-accounts".into(), json!({"name": "S"})).await;
    make("of-account", format!("/v1/service-accounts/{account}/api-keys"), json!({"name": "K"})).await;
    let newer = [
        ("webhooks", "/v1/webhooks", json!({"url": "https://example.com/hook"})),
        ("contacts", "/v1/contacts", json!({"name": "Ada"})),
        ("agent-loops", "/v1/agent-loops", json!({"name": "L", "prompt": "Help.", "bot_id": bot})),
        ("channels", "/v1/bots/{bot_id}/channels", json!({"kind": "widget", "name": "C"})),
    ];
    for (segment, path, body) in newer {
        if posts.iter().any(|post| post == path) {
            make(segment, path.replace("{bot_id}", &bot), body).await;
        }
    }
    let session = world.open_session("session", by, &bot).await;
    let _ = session.say("hello").await.rest().await;
    by_segment.insert("conversations", session.id().to_owned());
    let ids = by_segment.values().cloned().collect();
    Held { by_segment, ids }
}

impl Held {
    /// The path with this environment's ids in it; `None` where nothing was made that could stand there.
    fn path(&self, template: &str) -> Option<String> {
        let mut before = "";
        let mut parts = Vec::new();
        for part in template.split('/') {
            let is_parameter = part.starts_with('{');
            parts.push(if is_parameter { self.by_segment.get(before)?.clone() } else { part.to_owned() });
            before = part;
        }
        Some(parts.join("/"))
    }
}

async fn no_list_shows_one_environment_what_the_other_holds(world: &World) {
    let (live, test) = (world.secret(), world.test_secret().await);
    let document = world.anonymous().get("/openapi.json").await.expect(200).json();
    let paths = document["paths"].as_object().unwrap();
    let posts: Vec<String> =
        paths.iter().filter(|(_, item)| item.get("post").is_some()).map(|(p, _)| p.clone()).collect();
    let of_live = fill(world, &live, &posts).await;
    let of_test = fill(world, &test, &posts).await;
    world.server().running().app().cluster().flush_uses(true).await;
    let is_list = |item: &Value| {
        let mut schema = &item["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        if let Some(pointer) = schema["$ref"].as_str() {
            schema = document.pointer(pointer.trim_start_matches('#')).unwrap();
        }
        schema["properties"]["meta"].is_object()
    };
    let lists: Vec<&String> = paths.iter().filter(|(_, item)| is_list(item)).map(|(path, _)| path).collect();
    for list in MUST_HOLD.iter().chain(["/v1/bots", "/v1/conversations", "/v1/bots/{bot_id}/conversations"].iter()) {
        assert!(lists.iter().any(|path| path == list), "{list} is no list of the document: {lists:?}");
    }
    for list in lists {
        if OF_THE_WORKSPACE.contains(&list.as_str()) {
            continue;
        }
        for (by, own, foreign) in [(&live, &of_live, &of_test), (&test, &of_test, &of_live)] {
            let (Some(path), Some(others)) = (own.path(list), foreign.path(list)) else {
                assert!(!MUST_HOLD.contains(&list.as_str()), "{list} has no parent");
                continue;
            };
            let sees_both = by.id() == live.id() && SEEN_BY_LIVE.contains(&list.as_str());
            let answer = by.get(&format!("{path}?per_page=100")).await.expect(200);
            let (text, total) = (answer.text(), answer.json()["meta"]["total"].as_u64());
            let is_of_made = own.by_segment.contains_key(list.rsplit('/').next().unwrap());
            assert!(total > Some(0) || !is_of_made && !MUST_HOLD.contains(&list.as_str()), "{list} is empty: {text}");
            let shown = foreign.ids.iter().find(|id| text.contains(id.as_str()));
            assert!(sees_both || shown.is_none(), "{list} shows {} {shown:?}", by.id());
            if others != path && !sees_both {
                // Conversations stay readable when their bot is gone, so nobody looks whether it is there.
                let answer = by.get(&others).await;
                let is_empty = answer.status == 200 && answer.json()["data"] == json!([]);
                assert!(answer.status == 404 || is_empty, "{others}: {}", answer.text());
            }
        }
    }
}
