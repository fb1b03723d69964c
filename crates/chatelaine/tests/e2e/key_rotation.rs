//! The rotation of a key that is in use: create, deploy, see that only the new secret is used, end the grace.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use testkit::World;

on_both! {
    no_request_fails_while_a_key_is_rotated_under_load;
    a_grace_is_ended_by_whoever_may_and_with_it_the_secret;
}

async fn no_request_fails_while_a_key_is_rotated_under_load(world: &World) {
    let by = world.secret();
    let key = world.key("key", json!({"name": "Key", "scopes": ["bots:read"]})).await;
    let (path, directory) = (format!("/v1/api-keys/{}", key.id()), tempfile::tempdir().unwrap());
    let file = directory.path().join("key");
    std::fs::write(&file, key.credential()).unwrap();
    let (done, sent, failed) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut load = Vec::new();
    for _ in 0..3 {
        let (client, file) = (world.anonymous(), file.clone());
        let (done, sent, failed) = (Arc::clone(&done), Arc::clone(&sent), Arc::clone(&failed));
        load.push(tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let credential = std::fs::read_to_string(&file).unwrap();
                let answer = client.with("client", credential).get("/v1/bots").await;
                sent.fetch_add(1, Ordering::Relaxed);
                failed.fetch_add(u64::from(answer.status != 200), Ordering::Relaxed);
            }
        }));
    }
    let more = async || {
        let until = sent.load(Ordering::Relaxed) + 20;
        while sent.load(Ordering::Relaxed) < until {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    more().await;
    let rotated = by.post(&format!("{path}/rotate"), &json!({})).await.expect(200).data();
    more().await;
    // In one step, as a deployment does it: nobody reads half a key.
    let next = directory.path().join("next");
    std::fs::write(&next, rotated["key"].as_str().unwrap()).unwrap();
    std::fs::rename(&next, &file).unwrap();
    let mut before = Value::Null;
    loop {
        more().await;
        let secrets = by.get(&path).await.expect(200).data()["secrets"].clone();
        assert_eq!(secrets.as_array().unwrap().len(), 2);
        if secrets[1]["uses"] == before && secrets[0]["uses"].as_u64() > Some(0) {
            break;
        }
        before = secrets[1]["uses"].clone();
    }
    let ended = by.post(&format!("{path}/end-grace"), &json!({})).await.expect(200).data();
    assert_eq!(ended["secrets"].as_array().unwrap().len(), 1);
    let _ = key.get("/v1/bots").await.refused(401, "INVALID_API_KEY");
    more().await;
    done.store(true, Ordering::Relaxed);
    for client in load {
        client.await.unwrap();
    }
    assert_eq!(failed.load(Ordering::Relaxed), 0, "of {}", sent.load(Ordering::Relaxed));
}

async fn a_grace_is_ended_by_whoever_may_and_with_it_the_secret(world: &World) {
    let key = world.key("key", json!({"name": "Key", "scopes": ["chat:write"]})).await;
    let path = format!("/v1/api-keys/{}", key.id());
    let session = world.open_session("session", &key, &world.bot().await).await;
    let rotated = world.secret().post(&format!("{path}/rotate"), &json!({})).await.expect(200).data();
    let (new, end) = (world.holder("new", &rotated), format!("{path}/end-grace"));
    let _ = new.post(&end, &json!({})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let _ = world.other_workspace_secret().post(&end, &json!({})).await.refused(404, "NOT_FOUND");
    let _ = world.test_secret().await.post(&end, &json!({})).await.refused(404, "NOT_FOUND");
    let _ = key.get("/v1/me").await.expect(200);
    let shown = world.secret().post(&end, &json!({})).await.expect(200).data();
    assert_eq!(shown["secrets"][0]["display"], rotated["display"]);
    let _ = key.get("/v1/me").await.refused(401, "INVALID_API_KEY");
    let _ = new.get("/v1/me").await.expect(200);
    let _ = session.get(&session.messages()).await.expect(200);
    let again = world.secret().post(&end, &json!({})).await.expect(200).data();
    assert_eq!(again["updated_at"], shown["updated_at"], "nothing is left to end");
    let _ = world.secret().delete(&path).await.expect(200);
    let _ = world.secret().post(&end, &json!({})).await.refused(409, "CONFLICT");
}
