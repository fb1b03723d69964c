//! Deliveries that other people's libraries verify, unmodified, during a rotation too.

use std::process::Stdio;

use serde_json::{Value, json};
use testkit::World;
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{
    receiver::{Received, Receiver, Reply},
    voice::tool,
};

on_both! {
    libraries_of_others_verify_what_is_sent_before_during_and_after_a_rotation;
}

fn as_sent(one: &Received) -> Value {
    let headers: serde_json::Map<_, _> = one.headers().map(|(name, value)| (name.to_owned(), value.into())).collect();
    json!({"headers": headers, "body": String::from_utf8(one.body.clone()).unwrap()})
}

/// Runs a script of `scripts/verify`; what it prints, or nothing where its libraries are not installed.
async fn run(program: &str, script: &str, input: &Value) -> Value {
    let script = format!("{}/../../scripts/verify/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(program);
    command.arg(&script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn check(deliveries: &[Value], secrets: &[&str], wrong: &str, plain: &[&str]) {
    let input = json!({"deliveries": deliveries, "secrets": secrets, "wrong": wrong, "plain": plain});
    let expected = json!({"verified": 2 * deliveries.len() * secrets.len()});
    let python = tool("CHATELAINE_TEST_PYTHON");
    assert_eq!(run(&python, "webhooks.py", &input).await, expected);
    let _ = tool("CHATELAINE_TEST_NODE_MODULES");
    assert_eq!(run("node", "webhooks.mjs", &input).await, expected);
}

async fn libraries_of_others_verify_what_is_sent_before_during_and_after_a_rotation(world: &World) {
    // The first attempt of each event fails, so that a second one comes a few seconds later.
    let seen = std::sync::Mutex::new(std::collections::HashSet::new());
    let receiver = Receiver::start(move |one| {
        // One event has one id at both.
        let is_new = || seen.lock().unwrap().insert(one.header("webhook-id").unwrap().to_owned());
        Reply::status(if one.path == "/twice" && is_new() { 500 } else { 200 })
    })
    .await;
    let by = world.secret();
    let make = async |path: &str| by.post("/v1/webhooks", &json!({"url": receiver.url(path)})).await.expect(201).data();
    let (one, twice) = (make("/once").await, make("/twice").await);
    // Real events: members that JavaScript orders, characters of many bytes, numbers.
    let bot = world.bot().await;
    let metadata = json!({"10": "ä€😀\u{2028}", "b": 1.5, "2": [1e21, null], "a": "\"\\\n"});
    let session = json!({"agent_id": bot, "metadata": metadata, "user_identifier": "Ada"});
    let _ = by.post("/v1/chat/sessions", &session).await.expect(201);
    let once = receiver.wait("/once", 1).await;
    let sent: Vec<_> = once.iter().map(as_sent).collect();
    let text = |value: &Value| value["secret"].as_str().unwrap().to_owned();
    let (old, other) = (text(&one), text(&twice));
    check(&sent, &[&old], &other, &vec![old.as_str(); sent.len()]).await;

    let rotate = format!("/v1/webhooks/{}/rotate-secret", twice["id"].as_str().unwrap());
    let _ = receiver.wait("/twice", 2).await;
    let new = text(&by.post(&rotate, &json!({})).await.expect(200).data());
    let before = receiver.at("/twice").len();
    let _ = by.post(&format!("/v1/webhooks/{}/test", twice["id"].as_str().unwrap()), &json!({})).await.expect(202);
    let both = receiver.wait("/twice", before + 2).await.split_off(before);
    assert_eq!(both[0].header("webhook-id"), both[1].header("webhook-id"));
    let sent: Vec<_> = both.iter().map(as_sent).collect();
    check(&sent, &[&other, &new], &old, &[&other, &new]).await;
}
