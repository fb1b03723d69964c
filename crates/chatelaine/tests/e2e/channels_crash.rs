//! A message that was taken in before a power cut has exactly one reply after it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ambient::SystemClock;
use serde_json::{Value, json};
use testkit::{BotServer, Client, Process, eventually};

use crate::{
    channels::Channel,
    harness::{BINARY, block_on},
};

async fn start(data: &str) -> (Process, Client, String, String) {
    let process = Process::start(BINARY, &["try", "--json", "--listen", "127.0.0.1:0", "--data", data], &[]);
    let made: Value = serde_json::from_str(&process.line(|line| line.starts_with('{')).await).unwrap();
    let client = Client::new(made["url"].as_str().unwrap().trim_start_matches("http://").parse().unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (process, client, text(&made["keys"]["secret"]), text(&made["bot_id"]))
}

#[test]
fn what_was_taken_in_before_a_kill_is_answered_once_after_it() {
    block_on(async {
        let scratch = tempfile::tempdir().unwrap();
        let data = scratch.path().join("data");
        let server = BotServer::start().await;
        let (mut made, mut taken) = (None, BTreeMap::new());
        for round in 0..4_u64 {
            let (process, client, secret, bot) = start(data.to_str().unwrap()).await;
            let post = async |path: &str, body: Value| client.post(path, &body).bearer(&secret).send().await;
            if made.is_none() {
                let slow = json!({"kind": "webhook", "url": server.url("/slow")});
                let _ = post(&format!("/v1/bots/{bot}/integrations"), slow).await.expect(201);
                let channel = json!({"kind": "webhook", "name": "C", "reply_url": server.url("/replies")});
                made = Some(post(&format!("/v1/bots/{bot}/channels"), channel).await.expect(201).data());
            }
            let channel = Channel::of(made.as_ref().unwrap(), client, Arc::new(SystemClock::new()));
            for user in 0..5 {
                let name = format!("msg_{round}_{user}");
                let answer = channel.say(&name, &format!("user {user}"), &name).await.expect(202).data();
                taken.insert(name, answer["conversation_id"].as_str().unwrap().to_owned());
            }
            // Before the bot's server has answered, in the middle, and after it.
            tokio::time::sleep(Duration::from_millis(200 * round)).await;
            process.kill().await;
        }
        let (process, client, secret, _) = start(data.to_str().unwrap()).await;
        let get = async |path: String| client.get(&path).bearer(&secret).send().await.expect(200).text();
        let replies = async || -> BTreeMap<String, usize> {
            let mut replies = BTreeMap::new();
            for (name, conversation) in &taken {
                let said = get(format!("/v1/conversations/{conversation}/messages?per_page=100")).await;
                let said: Value = serde_json::from_str(&said).unwrap();
                let (answer, mut count) = (format!("Answer to: {name}"), 0);
                for message in said["data"].as_array().unwrap() {
                    count += usize::from(message["content"] == answer.as_str());
                }
                replies.insert(name.clone(), count);
            }
            replies
        };
        let all = eventually(Duration::from_secs(40), async || replies().await.values().all(|count| *count >= 1)).await;
        let replies = replies().await;
        assert!(all && replies.values().all(|count| *count == 1), "{replies:?}");
        // And each reply is delivered, at least once.
        let delivered = |name: &String| {
            let answer = format!("Answer to: {name}");
            server.received("/replies").iter().any(|one| one.json()["data"]["message"]["content"] == answer.as_str())
        };
        let all = eventually(Duration::from_secs(40), async || taken.keys().all(&delivered)).await;
        assert!(all, "{:?}", taken.keys().filter(|name| !delivered(name)).collect::<Vec<_>>());
        process.kill().await;
    });
}
