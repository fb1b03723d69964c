//! `chatelaine explain`: the same from a shell.

use std::process::Stdio;

use serde_json::Value;
use testkit::World;
use tokio::io::AsyncWriteExt;

use crate::harness::BINARY;

on_both! {
    a_shell_asks_the_same;
}

/// Its exit code and both its streams.
async fn explain(world: &World, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = tokio::process::Command::new(BINARY);
    command.arg("explain").args(arguments).env_clear();
    command.env("CHATELAINE_URL", world.server().url()).env("CHATELAINE_API_KEY", world.secret().credential());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may have ended without reading.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

async fn a_shell_asks_the_same(world: &World) {
    let reader = world.restricted().await;
    let pasted = format!("{}\n", reader.credential());
    let (code, out, err) = explain(world, &["--method", "POST", "--path", "/v1/bots"], &pasted).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("refused, 403 INSUFFICIENT_PERMISSIONS") && out.contains("scope_missing"), "{out}");
    assert!(out.contains(reader.id()) && out.contains("permission  failed"), "{out}");
    assert!(!out.contains(reader.credential()) && !err.contains(reader.credential()));
    let refused = reader.get("/v1/contacts").await.expect(403);
    let (_, out, _) = explain(world, &["--request", refused.header("x-request-id"), "--json"], "").await;
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(found["data"]["reason"], "scope_missing", "{out}");
    let (code, _, err) = explain(world, &[], "").await;
    assert!(code == Some(2) && err.contains("--stranger"), "{err}");
    let (_, out, _) = explain(world, &["--stranger", "--path", "/v1/bots"], "").await;
    assert!(out.contains("credential_missing"), "{out}");
}
