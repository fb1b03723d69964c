//! `chatelaine serve`: the first start, the setup, the second start, and what it refuses.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use testkit::{Backend, Client, Process, TestDatabase, TestServer};

use crate::harness::{BINARY, block_on};

on_each! {
    the_setup_link_works_once;
}

pub(crate) const ENDS: Duration = Duration::from_secs(15);

/// Starts it on the test's database.
pub(crate) fn serve(database: &TestDatabase, listen: &str) -> Process {
    let (data, url) = (database.data(), database.url());
    let mut settings = vec![("CHATELAINE_DATA", data.to_str().unwrap()), ("CHATELAINE_LISTEN", listen)];
    settings.extend(url.as_deref().map(|url| ("CHATELAINE_DATABASE_URL", url)));
    settings.extend(database.secret().map(|secret| ("CHATELAINE_SECRET", secret)));
    Process::start(BINARY, &["serve"], &settings)
}

/// Where it listens, once it says so.
pub(crate) async fn client_of(process: &Process) -> Client {
    let line = process.line(|line| line.contains(" listens on ")).await;
    let address = line.split(" listens on ").nth(1).unwrap().split(' ').next().unwrap();
    Client::new(address.parse().unwrap())
}

/// The token in the setup link.
async fn setup_token(process: &Process) -> String {
    let line = process.line(|line| line.contains("/setup#")).await;
    let _ = process.line(|line| line.contains("a password of at least 15 characters")).await;
    line.split("/setup#").nth(1).unwrap().trim().to_owned()
}

fn setup(token: &str) -> Value {
    json!({"token": token, "email": "Ada@Example.com", "password": "a few easy words", "workspace_name": "My team"})
}

pub(crate) fn all_printed(process: &Process) -> String {
    [process.stdout(), process.stderr()].concat().join("\n")
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().unwrap().permissions().mode() & 0o777
}

async fn the_setup_link_works_once(backend: Backend) {
    let database = TestDatabase::new(backend).await;
    let mut process = serve(&database, "127.0.0.1:0");
    let client = client_of(&process).await;
    let token = setup_token(&process).await;
    let wrong = client.post("/v1/setup", &setup("wrong")).send().await.refused(404, "NOT_FOUND");
    let weak = json!({"token": token, "email": "ada@example.com", "password": "short", "workspace_name": "My team"});
    let answer = client.post("/v1/setup", &weak).send().await.refused(422, "VALIDATION_FAILED");
    assert!(!answer.text().contains("\"short\""));
    let made = client.post("/v1/setup", &setup(&token)).send().await.expect(201).json();
    let key = made["key"].as_str().unwrap().to_owned();
    let me = client.get("/v1/me").bearer(&key).send().await.expect(200).data();
    assert_eq!((&me["workspace_id"], &me["scopes"]), (&made["workspace_id"], &json!(["admin"])));
    let again = client.post("/v1/setup", &setup(&token)).send().await.refused(404, "NOT_FOUND");
    assert_eq!(again.body_without_id(), wrong.body_without_id(), "used and wrong are the same answer");
    process.terminate().await;
    assert!(process.ended(ENDS).await.success());
    let printed = all_printed(&process);
    assert!(!printed.contains(&key) && !printed.contains("a few easy words"), "no credential, ever");
    let requests: Vec<Value> = process.stdout().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(requests.iter().any(|line| line["operation"] == "complete_setup" && line["status"] == 201), "{requests:?}");
    assert!(!process.stdout().join("\n").contains(&token), "nor the token, in the request log");

    let mut process = serve(&database, "127.0.0.1:0");
    let client = client_of(&process).await;
    let _ = client.get("/v1/me").bearer(&key).send().await.expect(200);
    process.terminate().await;
    assert!(process.ended(ENDS).await.success());
    assert!(!all_printed(&process).contains("setup#"), "the second start has no link: {}", all_printed(&process));
    let stored = database.bytes().await;
    for secret in [key.as_str(), &token, "a few easy words"] {
        assert!(!stored.windows(secret.len()).any(|window| window == secret.as_bytes()), "stored in clear");
    }
}

#[test]
fn what_it_makes_is_its_owners_alone() {
    block_on(async {
        let database = TestDatabase::new(Backend::Sqlite).await;
        let process = serve(&database, "127.0.0.1:0");
        let _ = client_of(&process).await;
        let kept = process.line(|line| line.contains("secret") && line.contains("losing it loses every key")).await;
        assert!(kept.contains("data"), "{kept}");
        let data = database.data();
        assert_eq!((mode(&data), mode(&data.join("secret")), mode(&data.join("chatelaine.db"))), (0o700, 0o600, 0o600));
        for entry in std::fs::read_dir(&data).unwrap().flatten() {
            assert_eq!(mode(&entry.path()) & 0o077, 0, "{:?}", entry.path());
        }
        let secret = std::fs::read_to_string(data.join("secret")).unwrap();
        assert!(!all_printed(&process).contains(secret.trim()));
        process.kill().await;
    });
}

#[test]
fn beyond_this_machine_the_token_goes_to_a_file() {
    block_on(async {
        let database = TestDatabase::new(Backend::Sqlite).await;
        let process = serve(&database, "0.0.0.0:0");
        let _ = process.line(|line| line.contains("first-run.txt")).await;
        assert!(!all_printed(&process).contains("setup#"), "{}", all_printed(&process));
        let file = database.data().join("first-run.txt");
        assert_eq!(mode(&file), 0o600);
        assert!(std::fs::read_to_string(file).unwrap().contains("/setup#"));
        process.kill().await;
    });
}

#[test]
fn a_lost_or_another_secret_is_refused_with_a_sentence() {
    block_on(async {
        let database = TestDatabase::new(Backend::Sqlite).await;
        let process = serve(&database, "127.0.0.1:0");
        let _ = client_of(&process).await;
        process.kill().await;
        std::fs::remove_file(database.data().join("secret")).unwrap();
        let mut process = serve(&database, "127.0.0.1:0");
        assert!(!process.ended(ENDS).await.success());
        assert!(all_printed(&process).contains("is missing"), "{}", all_printed(&process));
        let data = database.data();
        let settings = [
            ("CHATELAINE_DATA", data.to_str().unwrap()),
            ("CHATELAINE_SECRET", "b3RoZXIgYnl0ZXMgdGhhbiB0aG9zZSBiZWZvcmUhIQ=="),
        ];
        let mut process = Process::start(BINARY, &["serve", "--listen", "127.0.0.1:0"], &settings);
        assert!(!process.ended(ENDS).await.success());
        assert!(all_printed(&process).contains("another secret"), "{}", all_printed(&process));
    });
}

#[test]
fn postgresql_needs_a_secret_and_wrong_settings_are_named() {
    block_on(async {
        let scratch = tempfile::tempdir().unwrap();
        let data = scratch.path().join("data");
        let data = data.to_str().unwrap();
        for (settings, word) in [
            (vec![("CHATELAINE_DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")], "CHATELAINE_SECRET"),
            (vec![("CHATELAINE_LISTNE", "127.0.0.1:0")], "CHATELAINE_LISTEN"),
            (vec![("CHATELAINE_LIMITS__WORKSPACE_PER_MINUTE", "many")], "workspace_per_minute"),
            (vec![("CHATELAINE_LIMITS__WORKSPACE_PER_MINUTE", "0")], "workspace_per_minute"),
            (vec![("CHATELAINE_SECRET", "short")], "CHATELAINE_SECRET"),
            (vec![("CHATELAINE_OUTBOUND_ALLOW", "everything")], "outbound"),
        ] {
            let all: Vec<_> = settings.iter().copied().chain([("CHATELAINE_DATA", data)]).collect();
            let mut process = Process::start(BINARY, &["serve", "--listen", "127.0.0.1:0"], &all);
            assert!(!process.ended(ENDS).await.success(), "{settings:?}");
            let printed = all_printed(&process);
            assert!(printed.contains(word) && !printed.contains("panicked"), "{settings:?}: {printed}");
        }
    });
}

#[test]
fn the_defaults_are_printed_and_read_again() {
    block_on(async {
        let mut process = Process::start(BINARY, &["config"], &[]);
        assert!(process.ended(ENDS).await.success());
        let text = process.stdout().join("\n");
        assert!(text.contains("[limits]") && text.contains("workspace_per_minute = 600"), "{text}");
        let scratch = tempfile::tempdir().unwrap();
        let (file, data) = (scratch.path().join("chatelaine.toml"), scratch.path().join("data"));
        std::fs::write(&file, text).unwrap();
        let arguments =
            ["serve", "--config", file.to_str().unwrap(), "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"];
        let process = Process::start(BINARY, &arguments, &[]);
        let client = client_of(&process).await;
        let _ = client.get("/readyz").send().await.expect(200);
        process.kill().await;
        for shell in ["bash", "zsh", "fish"] {
            let mut process = Process::start(BINARY, &["completions", shell], &[]);
            assert!(process.ended(ENDS).await.success() && process.stdout().len() > 10, "{shell}");
        }
    });
}

#[test]
fn a_trial_adds_no_keys_to_a_server_in_earnest() {
    block_on(async {
        let server = TestServer::start(Backend::Sqlite).await;
        let made = api::setup::bootstrap(server.running().app(), "Acme", "ada@example.com", "a few easy words").await;
        let _ = made.unwrap();
        let database = server.stop().await;
        let data = database.data();
        let settings: Vec<_> = database.secret().map(|secret| ("CHATELAINE_SECRET", secret)).into_iter().collect();
        let arguments = ["try", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"];
        let mut process = Process::start(BINARY, &arguments, &settings);
        assert!(!process.ended(ENDS).await.success());
        let printed = all_printed(&process);
        assert!(printed.contains("name another directory") && !printed.contains("sk_live_"), "{printed}");
    });
}
