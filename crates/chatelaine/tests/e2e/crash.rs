//! A power cut: what was acknowledged is there afterwards. `bench/crash` does this 200 times.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use testkit::{Client, Process};

use crate::harness::{BINARY, block_on};

/// What the server has said yes to.
#[derive(Default)]
struct Acknowledged {
    /// Key by id, in clear; revoked or not.
    keys: BTreeMap<String, (String, bool)>,
    /// Message texts by conversation.
    messages: BTreeMap<String, Vec<String>>,
}

async fn start(data: &str) -> (Process, Client, String, String) {
    let process = Process::start(BINARY, &["try", "--json", "--listen", "127.0.0.1:0", "--data", data], &[]);
    let made: serde_json::Value = serde_json::from_str(&process.line(|line| line.starts_with('{')).await).unwrap();
    let client = Client::new(made["url"].as_str().unwrap().trim_start_matches("http://").parse().unwrap());
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    (process, client, text(&made["keys"]["secret"]), text(&made["bot_id"]))
}

/// Writes until the server is gone; a panic of the client is the server's end.
async fn write(client: Client, secret: String, bot: String, round: usize, done: Arc<Mutex<Acknowledged>>) {
    for n in 0.. {
        let made = client
            .post("/v1/api-keys", &json!({"name": format!("Key {round} {n}"), "scopes": ["bots:read"]}))
            .bearer(&secret)
            .send()
            .await;
        if made.status != 201 {
            return;
        }
        let (id, key) =
            (made.data()["id"].as_str().unwrap().to_owned(), made.data()["key"].as_str().unwrap().to_owned());
        done.lock().unwrap().keys.insert(id.clone(), (key, false));
        if n % 2 == 0
            && client.request("DELETE", &format!("/v1/api-keys/{id}")).bearer(&secret).send().await.status == 200
        {
            done.lock().unwrap().keys.get_mut(&id).unwrap().1 = true;
        }
        let opened = client.post("/v1/chat/sessions", &json!({"agent_id": bot})).bearer(&secret).send().await;
        if opened.status != 201 {
            return;
        }
        let opened = opened.json();
        let (conversation, token) =
            (opened["conversation_id"].as_str().unwrap(), opened["session_token"].as_str().unwrap());
        done.lock().unwrap().messages.entry(conversation.to_owned()).or_default();
        let text = format!("message {round} {n}");
        let path = format!("/v1/chat/sessions/{conversation}/messages");
        let said = client.post(&path, &json!({"message": text})).bearer(token).send().await;
        if said.text().contains("stream_end") {
            done.lock().unwrap().messages.get_mut(conversation).unwrap().push(text);
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    block_on(async {
        let scratch = tempfile::tempdir().unwrap();
        let data = scratch.path().join("data");
        let done = Arc::new(Mutex::new(Acknowledged::default()));
        for round in 0..5 {
            let (process, client, secret, bot) = start(data.to_str().unwrap()).await;
            let writers: Vec<_> =
                (0..3).map(|_| tokio::spawn(write(client, secret.clone(), bot.clone(), round, done.clone()))).collect();
            tokio::time::sleep(Duration::from_millis(150 + 70 * round as u64)).await;
            process.kill().await;
            for writer in writers {
                writer.abort();
                let _ = writer.await;
            }
        }
        let (process, client, secret, _) = start(data.to_str().unwrap()).await;
        let done = Arc::try_unwrap(done).ok().unwrap().into_inner().unwrap();
        assert!(done.keys.len() > 5 && done.messages.values().any(|texts| !texts.is_empty()), "nothing was written");
        for (id, (key, revoked)) in &done.keys {
            let status = client.get("/v1/me").bearer(key).send().await.status;
            // One whose revocation was on its way may be either.
            assert!(if *revoked { status == 401 } else { [200, 401].contains(&status) }, "{id} {revoked}: {status}");
            let shown = client.get(&format!("/v1/api-keys/{id}")).bearer(&secret).send().await.expect(200).data();
            assert_eq!(shown["status"] == "revoked", status == 401, "{shown}");
        }
        for (conversation, texts) in &done.messages {
            let path = format!("/v1/conversations/{conversation}/messages?per_page=100");
            let stored = client.get(&path).bearer(&secret).send().await.expect(200).text();
            for text in texts {
                assert_eq!(stored.matches(text.as_str()).count(), 2, "{text}, and its echo: {stored}");
            }
        }
        process.kill().await;
    });
}
