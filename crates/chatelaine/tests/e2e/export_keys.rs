//! Keys that one installation made work in another: signed on the way, checked with a key that came along sealed, and
//! renewed on their first use.

use std::{path::PathBuf, process::Stdio};

use serde_json::{Value, json};
use testkit::{Backend, Options, Persona, TestDatabase, World};

use crate::harness::BINARY;

on_each! {
    keys_of_one_installation_work_in_another;
    a_file_that_is_not_as_it_was_signed_is_refused;
    what_was_taken_over_outlives_a_new_secret_of_the_installation;
    an_id_that_is_taken_elsewhere_is_refused;
}

const TRANSFER: &str = "R0cm8aGzNfQeTzL1c3xQ9jvB7uEwPpYd6sKhVt2XnMo=";
const OTHER: &str = "9bYtqzT8e3nQF0pGq9k0sQXyX2f1pJ2T8lJ8O8uMnnk=";

struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// Runs the command on a database at rest. `secret`: the installation's, where the server was given one.
async fn run(database: &TestDatabase, transfer: Option<&str>, secret: Option<&str>, arguments: &[&str]) -> Ran {
    let mut command = tokio::process::Command::new(BINARY);
    command.args(arguments).env_clear().arg("--data").arg(database.data());
    if let Some(url) = database.url() {
        command.env("CHATELAINE_DATABASE_URL", url);
    }
    if let Some(secret) = secret.or_else(|| database.secret()) {
        command.env("CHATELAINE_SECRET", secret);
    }
    if let Some(transfer) = transfer {
        command.env("CHATELAINE_TRANSFER_SECRET", transfer);
    }
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// A directory of the test's own, and the file in it.
struct Paper {
    directory: tempfile::TempDir,
}

impl Paper {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }
}

async fn export(world: World, paper: &Paper) -> (World, Ran) {
    let (file, workspace) = (paper.text("keys"), world.workspace().to_string());
    let mut ran = None;
    let world = world
        .restart_after(async |database| {
            let line = ["export", "keys", "--out", &file, "--workspace", &workspace];
            ran = Some(run(database, Some(TRANSFER), None, &line).await);
        })
        .await;
    (world, ran.unwrap())
}

fn importing<'a>(file: &'a str, workspace: &'a str) -> [&'a str; 7] {
    ["import", "keys", file, "--format", "chatelaine", "--workspace", workspace]
}

async fn import(world: World, paper: &Paper) -> (World, Ran) {
    let (file, workspace) = (paper.text("keys"), world.workspace().to_string());
    let mut ran = None;
    let world = world
        .restart_after(async |database| {
            ran = Some(run(database, Some(TRANSFER), None, &importing(&file, &workspace)).await);
        })
        .await;
    (world, ran.unwrap())
}

/// The same credential at another server.
fn at(world: &World, key: &Persona) -> Persona {
    key.on(world.client())
}

async fn pepper(world: &World, key: &Persona) -> String {
    let stored = world.store().find_key(key.id().parse().unwrap()).await.unwrap().unwrap();
    stored.key.secrets[0].pepper_id.clone()
}

async fn shown(world: &World, key: &Persona) -> Value {
    world.secret().get(&format!("/v1/api-keys/{}", key.id())).await.expect(200).data()
}

async fn total(world: &World) -> u64 {
    world.secret().get("/v1/api-keys").await.expect(200).json()["meta"]["total"].as_u64().unwrap()
}

async fn keys_of_one_installation_work_in_another(backend: Backend) {
    let (a, b) = (World::new(backend).await, World::new(backend).await);
    let here = json!({"name": "Here", "allowed_ips": ["127.0.0.0/8"], "rate_limit": 77, "owner": "ops",
        "metadata": {"team": "core"}, "scopes": ["bots:read", "conversations:read"]});
    let here = a.key("here", here).await;
    let there = a.key("there", json!({"name": "There", "allowed_ips": ["203.0.113.7"]})).await;
    let (widget, test) = (a.widget().await, a.test_secret().await);
    let (account, software) = a.account("software", "admin").await;
    let _ = a.secret().patch(&format!("/v1/service-accounts/{account}"), &json!({"role": "member"})).await.expect(200);
    let (off, disabled) = a.account("off", "member").await;
    let _ = a.secret().patch(&format!("/v1/service-accounts/{off}"), &json!({"is_active": false})).await.expect(200);
    let deployment = a.deployment().await;
    let revoked = a.restricted().await;
    let _ = a.secret().delete(&format!("/v1/api-keys/{}", revoked.id())).await.expect(200);
    let soon = a.server().running().app().clock().now().plus(400);
    let expired = a.key("expired", json!({"name": "Expired", "scopes": [], "expires_at": soon})).await;
    let old = a.restricted().await;
    let rotate = json!({"grace_seconds": 3600});
    let rotated = a.secret().post(&format!("/v1/api-keys/{}/rotate", old.id()), &rotate).await.expect(200).data();
    let new = old.with("new", rotated["key"].as_str().unwrap());
    let software_scopes = software.get("/v1/me").await.expect(200).data()["scopes"].clone();

    let paper = Paper::new();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let (a, ran) = export(a, &paper).await;
    assert_eq!(ran.code, 0, "{} {}", ran.out, ran.err);
    assert!(ran.out.contains("runs a deployment") && ran.out.contains("service account is disabled"), "{}", ran.out);
    let text = std::fs::read_to_string(paper.path("keys")).unwrap();
    let all = [&here, &there, &widget, &test, &software, &disabled, &deployment, &revoked, &old, &new];
    for key in all {
        assert!(!text.contains(key.credential()), "no key is in the file");
    }
    assert!(!text.contains(revoked.id()) && !text.contains(disabled.id()) && text.contains(here.id()));
    assert!(!text.contains(expired.id()) && ran.out.contains("has expired"), "{}", ran.out);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(paper.path("keys")).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(text.lines().next().unwrap().contains("\"chatelaine-keys-1\""));

    let _ = at(&b, &here).get("/v1/me").await.refused(401, "INVALID_API_KEY");
    let before = total(&b).await;
    let (file, workspace) = (paper.text("keys"), b.workspace().to_string());
    let b = b
        .restart_after(async |database| {
            let line = importing(&file, &workspace);
            let dry = run(database, Some(TRANSFER), None, &[&line[..], &["--dry-run"]].concat()).await;
            assert!(dry.code == 0 && dry.err.contains("Nothing was changed"), "{} {}", dry.out, dry.err);
            let scope = run(database, Some(TRANSFER), None, &[&line[..], &["--scope", "admin"]].concat()).await;
            assert_eq!(scope.code, 2, "the file says what they may do: {}", scope.err);
        })
        .await;
    assert_eq!(total(&b).await, before);
    let (b, ran) = import(b, &paper).await;
    assert!(ran.code == 0 && ran.err.contains("Imported"), "{} {}", ran.out, ran.err);

    // What it may do, its limits and its addresses came along.
    let waiting = pepper(&b, &here).await;
    let me = at(&b, &here).get("/v1/me").await.expect(200).data();
    assert_eq!(me["scopes"], json!(["bots:read", "conversations:read"]));
    assert_eq!(me["id"], here.id());
    let _ = at(&b, &here).post("/v1/bots", &json!({"name": "No"})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let renewed = pepper(&b, &here).await;
    assert!(waiting != renewed && renewed == pepper(&b, &b.secret()).await, "the first use made it ours");
    assert_eq!(waiting, pepper(&a, &here).await);
    let refused = at(&b, &there).get("/v1/me").await.refused(403, "INSUFFICIENT_PERMISSIONS");
    assert!(refused.text().contains("not allowed from 127.0.0.1"));
    let (there_a, there_b) = (shown(&a, &here).await, shown(&b, &here).await);
    for field in ["name", "scopes", "allowed_ips", "rate_limit", "owner", "metadata", "expires_at", "display", "kind"] {
        assert_eq!(there_a[field], there_b[field], "{field}");
    }
    assert_eq!(there_b["rate_limit"], 77);
    for key in [&old, &new, &test, &software] {
        let _ = at(&b, key).get("/v1/me").await.expect(200);
    }
    let soft = at(&b, &software).get("/v1/me").await.expect(200).data();
    assert_eq!(soft["scopes"], software_scopes, "cut to the account's, which stays behind");
    assert!(soft["service_account_id"].is_null(), "{soft}");
    let bot = b.bot().await;
    let _ = at(&b, &widget).post("/v1/chat/sessions", &json!({"agent_id": bot})).await.expect(201);
    let elsewhere = at(&b, &widget).at(Some("https://evil.test"));
    assert_eq!(elsewhere.post("/v1/chat/sessions", &json!({"agent_id": bot})).await.status, 403);
    for key in [&disabled, &deployment, &revoked] {
        let _ = at(&b, key).get("/v1/me").await.refused(401, "INVALID_API_KEY");
    }

    // The same file again changes nothing, also of a key that was revoked here.
    let _ = b.secret().delete(&format!("/v1/api-keys/{}", here.id())).await.expect(200);
    let count = total(&b).await;
    let (b, again) = import(b, &paper).await;
    assert!(again.code == 0 && again.out.contains("is there already"), "{} {}", again.out, again.err);
    assert!(again.err.contains("Imported 0 keys"), "{}", again.err);
    assert_eq!(total(&b).await, count);
    let _ = at(&b, &here).get("/v1/me").await.refused(401, "INVALID_API_KEY");
    let _ = at(&b, &new).get("/v1/me").await.expect(200);
    assert_eq!(at(&a, &here).get("/v1/me").await.expect(200).data()["id"], here.id(), "the origin's is its own");

    let bytes = b.server().database().bytes().await;
    let log = b.server().request_log();
    for key in all {
        let text = key.credential();
        assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()), "stored: {}", key.id());
        assert!(!log.contains(text), "logged: {}", key.id());
    }
    a.end().await;
    b.end().await;
}

async fn a_file_that_is_not_as_it_was_signed_is_refused(backend: Backend) {
    let (a, b) = (World::new(backend).await, World::new(backend).await);
    let (paper, before) = (Paper::new(), total(&b).await);
    let (a, ran) = export(a, &paper).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let file = std::fs::read(paper.path("keys")).unwrap();
    let (file_name, workspace) = (paper.text("keys"), a.workspace().to_string());
    let a = a
        .restart_after(async |database| {
            let line = ["export", "keys", "--out", &file_name, "--workspace", &workspace];
            assert_eq!(run(database, Some(TRANSFER), None, &line).await.code, 5, "a file that is there stays");
            let fresh = paper.text("fresh");
            let line = ["export", "keys", "--out", &fresh, "--workspace", &workspace];
            for weak in [None, Some("short"), Some("changeme-changeme-changeme-changeme")] {
                let ran = run(database, weak, None, &line).await;
                assert!(ran.code == 2 && ran.err.contains("CHATELAINE_TRANSFER_SECRET"), "{weak:?} {}", ran.err);
            }
            if let Some(own) = database.secret() {
                let ran = run(database, Some(own), None, &line).await;
                assert!(ran.code == 2 && ran.err.contains("own secret"), "{}", ran.err);
            }
            assert!(!paper.path("fresh").exists());
        })
        .await;
    let workspace = b.workspace().to_string();
    let b = b
        .restart_after(async |database| {
            let changed = paper.text("changed");
            let line = importing(&changed, &workspace);
            let places = [0, 30, file.len() / 3, file.len() / 2, file.len() - 60, file.len() - 2, file.len() - 1];
            let mut wrong: Vec<Vec<u8>> = places
                .map(|at| {
                    let mut one = file.clone();
                    one[at] ^= 1;
                    one
                })
                .into();
            wrong.extend([0, 1, file.len() / 2, file.len() - 1].map(|length| file[..length].to_vec()));
            wrong.push([&file[..], b"\n"].concat());
            for bytes in wrong {
                std::fs::write(paper.path("changed"), &bytes).unwrap();
                let ran = run(database, Some(TRANSFER), None, &line).await;
                assert!(ran.code == 1 && ran.err.contains("nothing was read from it"), "{} {}", ran.code, ran.err);
                assert!(ran.out.is_empty(), "{}", ran.out);
            }
            std::fs::write(paper.path("changed"), &file).unwrap();
            let ran = run(database, Some(OTHER), None, &line).await;
            assert!(ran.code == 1 && ran.err.contains("nothing was read from it"), "{}", ran.err);
            assert_eq!(run(database, None, None, &line).await.code, 2);
        })
        .await;
    assert_eq!(total(&b).await, before);
    assert!(b.store().foreign_peppers().await.unwrap().is_empty());
    a.end().await;
    b.end().await;
}

async fn what_was_taken_over_outlives_a_new_secret_of_the_installation(backend: Backend) {
    const OURS: [&str; 2] =
        ["AMHiHu5vOUxUqUqcBEvQkQ3iiEEpqkBQUVyoMqs3DXs=", "m1cmz8a0Dsx5SZGgnVVFrlwaN2nMaVQ6y4a4HCSOhIg="];
    let with = |current: usize, previous: Option<usize>| {
        Some((OURS[current].to_owned(), previous.map(|one| OURS[one].to_owned())))
    };
    let a = World::new(backend).await;
    let b = World::with(backend, Options { secrets: with(0, None), ..Options::default() }).await;
    let (one, paper) = (a.restricted().await, Paper::new());
    let (a, ran) = export(a, &paper).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let (file, workspace) = (paper.text("keys"), b.workspace().to_string());
    let b = b
        .restart_after(async |database| {
            let ran = run(database, Some(TRANSFER), Some(OURS[0]), &importing(&file, &workspace)).await;
            assert_eq!(ran.code, 0, "{} {}", ran.out, ran.err);
        })
        .await;
    let b = b.restart_with(|options| options.secrets = with(1, Some(0))).await;
    let _ = b.secret().get("/v1/me").await.expect(200);
    let b = b.restart_with(|options| options.secrets = with(1, None)).await;
    let _ = at(&b, &one).get("/v1/me").await.expect(200);
    assert_eq!(b.store().foreign_peppers().await.unwrap().len(), 1, "others wait for their first use");
    for key in b.secret().get("/v1/api-keys?limit=100").await.expect(200).data().as_array().unwrap() {
        let (id, own) = (key["id"].as_str().unwrap(), b.secret());
        if id != one.id() && id != own.id() {
            let _ = own.delete(&format!("/v1/api-keys/{id}")).await;
        }
    }
    let b = b.restart().await;
    assert!(b.store().foreign_peppers().await.unwrap().is_empty(), "none is left that needs it");
    let _ = at(&b, &one).get("/v1/me").await.expect(200);
    a.end().await;
    b.end().await;
}

async fn an_id_that_is_taken_elsewhere_is_refused(backend: Backend) {
    let (a, b) = (World::new(backend).await, World::new(backend).await);
    let (one, paper) = (a.restricted().await, Paper::new());
    let (a, _) = export(a, &paper).await;
    let (file, other) = (paper.text("keys"), b.other_workspace().to_string());
    let workspace = b.workspace().to_string();
    let running = run(b.server().database(), Some(TRANSFER), None, &importing(&file, &workspace)).await;
    assert!(running.code == 1 && running.err.contains("another server"), "{} {}", running.code, running.err);
    let (b, ran) = import(b, &paper).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let b = b
        .restart_after(async |database| {
            let ran = run(database, Some(TRANSFER), None, &importing(&file, &other)).await;
            assert!(ran.code == 5 && ran.out.contains("another workspace"), "{} {} {}", ran.code, ran.out, ran.err);
            assert!(ran.err.contains("nothing was imported"), "{}", ran.err);
        })
        .await;
    let me = at(&b, &one).get("/v1/me").await.expect(200).data();
    assert_eq!(me["workspace_id"], workspace);
    a.end().await;
    b.end().await;
}
