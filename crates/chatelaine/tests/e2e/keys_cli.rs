//! `chatelaine keys`: a client of a running server.

use serde_json::Value;
use testkit::{World, now};
use tokio::io::AsyncWriteExt;

use crate::harness::BINARY;

struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// Runs it with a credential from the environment, and with `input`.
async fn keys(world: &World, credential: &str, arguments: &[&str], input: &str) -> Ran {
    let mut command = tokio::process::Command::new(BINARY);
    command.arg("keys").args(arguments).env_clear();
    command.env("CHATELAINE_URL", world.server().url());
    if !credential.is_empty() {
        command.env("CHATELAINE_API_KEY", credential);
    }
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let started = now();
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may have ended without reading.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    assert!(started.elapsed().as_secs() < 20);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

on_both! {
    a_key_is_made_listed_rotated_and_revoked;
    failures_have_exit_codes;
    a_key_is_inspected_offline;
}

async fn a_key_is_made_listed_rotated_and_revoked(world: &World) {
    let owner = world.secret();
    let made = keys(world, owner.credential(), &["create", "CI", "--scope", "bots:read", "--expires", "90d"], "").await;
    assert_eq!(made.code, 0, "{}", made.err);
    let key = made.out.trim_end();
    assert!(key.starts_with("sk_live_") && key.len() == 46, "the secret alone: {:?}", made.out);
    assert!(!made.err.contains(key));
    let me = world.client().get("/v1/me").bearer(key).send().await.expect(200).data();
    assert_eq!(me["scopes"], serde_json::json!(["bots:read"]));
    let id = me["id"].as_str().unwrap();
    let list = keys(world, owner.credential(), &["list"], "").await;
    assert!(list.code == 0 && list.out.contains(id) && !list.out.contains(key), "{}", list.out);
    let list = keys(world, owner.credential(), &["list", "--json"], "").await;
    let list: Value = serde_json::from_str(&list.out).unwrap();
    assert_eq!(list["data"].as_array().unwrap().len(), 2);
    let rotated = keys(world, owner.credential(), &["rotate", id, "--grace", "1h"], "").await;
    let new = rotated.out.trim_end();
    assert!(rotated.code == 0 && new != key && new.starts_with("sk_live_"), "{} {}", rotated.out, rotated.err);
    for key in [key, new] {
        let _ = world.client().get("/v1/me").bearer(key).send().await.expect(200);
    }
    let unsure = keys(world, owner.credential(), &["revoke", id], "").await;
    assert!(unsure.code == 2 && unsure.err.contains("--yes"), "{} {}", unsure.code, unsure.err);
    let _ = world.client().get("/v1/me").bearer(new).send().await.expect(200);
    let revoked = keys(world, owner.credential(), &["revoke", id, "--yes"], "").await;
    assert_eq!(revoked.code, 0, "{}", revoked.err);
    for key in [key, new] {
        let _ = world.client().get("/v1/me").bearer(key).send().await.refused(401, "INVALID_API_KEY");
    }
    let late = keys(world, owner.credential(), &["rotate", id], "").await;
    assert_eq!(late.code, 5, "{}", late.err);
}

async fn failures_have_exit_codes(world: &World) {
    let owner = world.secret();
    let absent = "key_00000000000000000000000001";
    let restricted = world.restricted().await;
    let wrong = format!("{}x", owner.credential());
    for (credential, arguments, code, word) in [
        (owner.credential(), ["rotate", absent].as_slice(), 3, "NOT_FOUND"),
        (restricted.credential(), &["list"], 4, "api-keys:read"),
        (&wrong, &["list"], 4, "INVALID_API_KEY"),
        (owner.credential(), &["rotate", "nonsense"], 2, "key_"),
        (owner.credential(), &["create", "", "--scope", "bots:read"], 2, "name"),
        (owner.credential(), &["create", "CI"], 2, "--scope admin"),
        (owner.credential(), &["create", "CI", "--scope", "bots:fly"], 2, "unknown scope"),
        (owner.credential(), &["list", "--url", "http://127.0.0.1:9"], 7, "127.0.0.1:9"),
        (owner.credential(), &["list", "--key", "sk_live_x"], 2, "--key"),
        ("", &["list"], 2, "CHATELAINE_API_KEY"),
    ] {
        let ran = keys(world, credential, arguments, "").await;
        assert_eq!(ran.code, code, "{arguments:?}: {} {}", ran.out, ran.err);
        assert!(ran.err.contains(word) && ran.out.is_empty(), "{arguments:?}: {} {}", ran.out, ran.err);
        assert!(credential.is_empty() || !ran.err.contains(credential), "{arguments:?}");
    }
}

async fn a_key_is_inspected_offline(world: &World) {
    let key = world.secret();
    let asked = world.store().reads();
    let ran =
        keys(world, "", &["inspect", "--json", "--url", "http://127.0.0.1:9"], &format!("{}\n", key.credential()))
            .await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&said["kind"], &said["environment"], &said["checksum"]),
        (&"secret".into(), &"live".into(), &"ok".into())
    );
    assert!(!ran.out.contains(key.credential()));
    assert_eq!(world.store().reads(), asked);
    let file = world.server().database().scratch("key.txt");
    std::fs::write(&file, key.credential()).unwrap();
    let ran = keys(world, "", &["list", "--key-file", file.to_str().unwrap()], "").await;
    assert_eq!(ran.code, 0, "{}", ran.err);
}
