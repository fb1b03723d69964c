//! Keys that were made elsewhere: taken over by their hashes, and renewed when they are used.

use std::process::Stdio;

use credential::Digest;
use serde_json::{Value, json};
use testkit::{Backend, TestDatabase, World};

use crate::harness::BINARY;

on_each! {
    an_imported_key_works_and_is_renewed_on_its_first_use;
    all_are_imported_or_none;
    an_imported_key_that_was_revoked_is_not_imported_again;
    a_running_server_s_database_is_not_touched;
}

const LEGACY: &str = "legacy-key-0123456789abcdef";

struct Ran {
    code: i32,
    out: String,
    err: String,
}

async fn import(database: &TestDatabase, list: &str, arguments: &[&str]) -> Ran {
    let file = database.scratch("keys.txt");
    std::fs::write(&file, list).unwrap();
    let mut command = tokio::process::Command::new(BINARY);
    command.args(["import", "keys"]).arg(&file).args(arguments).env_clear();
    command.arg("--data").arg(database.data());
    if let Some(url) = database.url() {
        command.env("CHATELAINE_DATABASE_URL", url);
    }
    if let Some(secret) = database.secret() {
        command.env("CHATELAINE_SECRET", secret);
    }
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn hash(key: &str) -> String {
    Digest::of_import(key).to_hex()
}

fn of(world: &World) -> [String; 2] {
    ["--workspace".to_owned(), world.workspace().to_string()]
}

/// Under which name each key's digest is stored, in the order of their names.
async fn peppers(world: &World) -> Vec<String> {
    let mut all = Vec::new();
    for key in world.secret().get("/v1/api-keys").await.expect(200).data().as_array().unwrap() {
        let stored = world.store().find_key(key["id"].as_str().unwrap().parse().unwrap()).await.unwrap().unwrap();
        all.push(format!("{}: {}", stored.key.name, stored.key.secrets[0].pepper_id));
    }
    all.sort();
    all.retain(|line| line.starts_with("Legacy") || line.starts_with("Other:"));
    all
}

async fn an_imported_key_works_and_is_renewed_on_its_first_use(backend: Backend) {
    let world = World::new(backend).await;
    let _ = world.client().get("/v1/me").bearer(LEGACY).send().await.refused(401, "INVALID_API_KEY");
    let list = format!("{} Legacy\n{} Other", hash(LEGACY), hash("another-legacy-key-0123"));
    let workspace = of(&world);
    let line = ["--format", "sha256-hex", &workspace[0], &workspace[1], "--scope", "bots:read,conversations:read"];
    let world = world
        .restart_after(async |database| {
            let dry = import(database, &list, &[&line[..], &["--dry-run"]].concat()).await;
            assert!(
                dry.code == 0 && dry.err.contains("Nothing was changed") && dry.err.contains("2 to import"),
                "{}",
                dry.err
            );
            assert_eq!(dry.out, "1: would import\n2: would import\n", "a line for each");
            let ran = import(database, &list, &line).await;
            assert!(ran.code == 0 && ran.err.contains("Imported 2 keys"), "{} {}", ran.out, ran.err);
            assert_eq!(ran.out, "1: imported\n2: imported\n");
            let third = hash("a-third-legacy-key-0123");
            let json = import(database, &third, &[&line[..], &["--dry-run", "--json"]].concat()).await;
            let row: Value = serde_json::from_str(json.out.trim()).unwrap();
            assert_eq!(row["outcome"], "would_import", "{}", json.out);
            let one = import(database, &third, &line).await;
            assert!(one.code == 0 && one.err.contains("Imported 1 key into"), "{}", one.err);
        })
        .await;
    assert_eq!(peppers(&world).await, ["Legacy: sha256", "Other: sha256"]);
    let me = world.client().get("/v1/me").bearer(LEGACY).send().await.expect(200).data();
    assert_eq!(me["scopes"], json!(["bots:read", "conversations:read"]));
    let after = peppers(&world).await;
    assert!(after[0] != "Legacy: sha256" && after[1] == "Other: sha256", "the one that was used is renewed: {after:?}");
    let (reads, writes) = (world.store().reads(), world.store().writes());
    let _ = world.client().get("/v1/me").bearer(LEGACY).send().await.expect(200);
    assert_eq!(world.store().reads(), reads, "found in memory from now on");
    assert!(world.store().writes() <= writes + 1, "its use alone is written");
    let world = world.restart().await;
    let _ = world.client().get("/v1/me").bearer(LEGACY).send().await.expect(200);
    let id = me["id"].as_str().unwrap();
    let shown = world.secret().get(&format!("/v1/api-keys/{id}")).await.expect(200).data();
    assert_eq!(
        (&shown["name"], &shown["display"], &shown["status"]),
        (&json!("Legacy"), &json!("imported"), &json!("active"))
    );
    // A rotation gives it a text of ours.
    let rotated = world.secret().post(&format!("/v1/api-keys/{id}/rotate"), &json!({"grace_seconds": 0})).await;
    let new = rotated.expect(200).data()["key"].as_str().unwrap().to_owned();
    assert!(new.starts_with("sk_live_"));
    let _ = world.client().get("/v1/me").bearer(&new).send().await.expect(200);
    let _ = world.client().get("/v1/me").bearer(LEGACY).send().await.refused(401, "INVALID_API_KEY");
    let report = json!([{"token": "another-legacy-key-0123"}]);
    let _ = world.client().post("/v1/leaks", &report).send().await.expect(202);
    let unused = world.client().get("/v1/me").bearer("another-legacy-key-0123").send().await;
    let _ = unused.refused(401, "INVALID_API_KEY");
    world.end().await;
}

async fn all_are_imported_or_none(backend: Backend) {
    let world = World::new(backend).await;
    let workspace = of(&world);
    let total = |answer: Value| answer["meta"]["total"].as_u64().unwrap();
    let before = total(world.secret().get("/v1/api-keys").await.expect(200).json());
    let raw = world.secret().credential().to_owned();
    let line = ["--format", "sha256-hex", &workspace[0], &workspace[1]];
    let world = world
        .restart_after(async |database| {
            for (list, word) in [
                (format!("{}\n{raw}\n", hash("one-0123456789abcdef")), "raw keys are never imported"),
                (format!("{0}\n{0}\n", hash("one-0123456789abcdef")), "same key as number 1"),
                ("not a hash".to_owned(), "raw keys are never imported"),
            ] {
                let ran = import(database, &list, &line).await;
                assert!(ran.code == 1 && ran.out.contains(word), "{} {} {}", ran.code, ran.out, ran.err);
                assert!(ran.err.contains("nothing was imported") && !format!("{}{}", ran.out, ran.err).contains(&raw));
            }
            let json =
                import(database, &format!("{}\nx", hash("one-0123456789abcdef")), &[&line[..], &["--json"]].concat())
                    .await;
            let rows: Vec<Value> = json.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(
                (&rows[0]["outcome"], &rows[1]["outcome"]),
                (&json!("would_import"), &json!("refused")),
                "what would be"
            );
            let unsaid = import(database, &hash("one-0123456789abcdef"), &line[..2]).await;
            assert!(unsaid.code == 2 && unsaid.err.contains("--workspace"), "{}", unsaid.err);
            let absent = ["--format", "sha256-hex", "--workspace", "ws_00000000000000000000000001"];
            assert_eq!(import(database, &hash("one-0123456789abcdef"), &absent).await.code, 3);
            let scope = [&line[..], &["--scope", "bots:fly"]].concat();
            assert_eq!(import(database, &hash("one-0123456789abcdef"), &scope).await.code, 2);
        })
        .await;
    assert_eq!(total(world.secret().get("/v1/api-keys").await.expect(200).json()), before);
    world.end().await;
}

async fn an_imported_key_that_was_revoked_is_not_imported_again(backend: Backend) {
    let world = World::new(backend).await;
    let workspace = of(&world);
    let line = ["--format", "sha256-hex", &workspace[0], &workspace[1]];
    let list = format!("{} A\n{} B\n", hash(LEGACY), hash("never-used-0123456789"));
    let world = world.restart_after(async |database| assert_eq!(import(database, &list, &line).await.code, 0)).await;
    let me = world.client().get("/v1/me").bearer(LEGACY).send().await.expect(200).data();
    let keys = world.secret().get("/v1/api-keys").await.expect(200).data();
    for key in keys.as_array().unwrap().iter().filter(|key| key["name"] == "A" || key["name"] == "B") {
        let _ = world.secret().delete(&format!("/v1/api-keys/{}", key["id"].as_str().unwrap())).await.expect(200);
    }
    let world = world
        .restart_after(async |database| {
            let ran = import(database, &list, &line).await;
            assert!(
                ran.code == 1 && ran.err.contains("2 refused") && ran.out.contains("imported before"),
                "{}",
                ran.out
            );
        })
        .await;
    assert!(me["id"].is_string());
    for key in [LEGACY, "never-used-0123456789"] {
        let _ = world.client().get("/v1/me").bearer(key).send().await.refused(401, "INVALID_API_KEY");
    }
    world.end().await;
}

async fn a_running_server_s_database_is_not_touched(backend: Backend) {
    let world = World::new(backend).await;
    let workspace = of(&world);
    let line = ["--format", "sha256-hex", &workspace[0], &workspace[1]];
    let ran = import(world.server().database(), &hash(LEGACY), &line).await;
    assert!(ran.code == 1 && ran.err.contains("another server"), "{} {}", ran.code, ran.err);
    world.end().await;
}
