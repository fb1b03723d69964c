//! `chatelaine scan`: a live key told from a dead one, and the rules for other scanners.

use std::process::Stdio;

use ambient::SeededRandom;
use credential::{Environment, Family, Parser, WebhookSecret, key::mint_trigger};
use serde_json::{Value, json};
use testkit::World;
use tokio::io::AsyncWriteExt as _;

use crate::harness::BINARY;

on_both! {
    a_live_key_is_told_from_a_dead_one;
}

async fn scan(arguments: &[&str]) -> (i32, String, String) {
    let mut command = tokio::process::Command::new(BINARY);
    command.arg("scan").args(arguments).env_clear().kill_on_drop(true);
    let output = command.output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

async fn a_live_key_is_told_from_a_dead_one(world: &World) {
    let (live, dead) = (world.key("live", json!({"name": "A"})).await, world.key("dead", json!({"name": "B"})).await);
    let _ = world.secret().delete(&format!("/v1/api-keys/{}", dead.id())).await.expect(200);
    let widget = world.widget().await;
    let directory = world.server().database().scratch("tree");
    std::fs::create_dir(&directory).unwrap();
    let bundle = format!("{}a=\"{}\",b='{}'", "x();".repeat(1_000_000), live.credential(), dead.credential());
    std::fs::write(directory.join("app.min.js"), bundle).unwrap();
    std::fs::write(directory.join("page.html"), format!("<b>{}</b>{}", widget.credential(), live.credential()))
        .unwrap();
    let tree = directory.to_str().unwrap();
    let (code, out, err) = scan(&[tree, "--server", world.server().url(), "--json"]).await;
    assert_eq!(code, 1, "{err}");
    let rows: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let standing: Vec<&str> = rows.iter().map(|row| row["standing"].as_str().unwrap()).collect();
    assert_eq!(standing, ["live", "dead", "live", "live"], "{out}");
    for key in [&live, &dead, &widget] {
        assert!(!out.contains(key.credential()) && !err.contains(key.credential()));
    }
    let (_, out, err) = scan(&[tree, "--server", world.server().url()]).await;
    assert!(out.contains(": dead (unknown there, or revoked)") && err.contains("3 keys in 4 places"), "{out} {err}");
    let (code, out, _) = scan(&[tree]).await;
    assert!(code == 1 && out.lines().count() == 4 && out.lines().all(|line| line.ends_with(')')), "{out}");
    let (code, out, _) = scan(&["rules", "--for", "gitleaks"]).await;
    assert!(code == 0 && out.contains("sk_live_[0-9A-Za-z]{38}"), "{out}");
}

#[expect(clippy::disallowed_methods, reason = "where the scanners are is no configuration of the server")]
fn python() -> String {
    std::env::var("CHATELAINE_TEST_PYTHON")
        .unwrap_or_else(|_| panic!("run scripts/test, or set CHATELAINE_TEST_PYTHON"))
}

#[test]
fn other_people_s_scanners_find_every_secret_by_our_rules() {
    let python = python();
    let (parser, random) = (Parser::default(), SeededRandom::new(11));
    let mint = |family, environment| parser.mint(family, environment, &random).unwrap().expose().to_owned();
    let mut secrets = vec![
        mint(Family::Secret, Environment::Live),
        mint(Family::Secret, Environment::Test),
        mint(Family::ServiceAccount, Environment::Live),
        mint(Family::ServiceAccount, Environment::Test),
        mint(Family::Deployment, Environment::Live),
        mint_trigger(&random).unwrap().expose().to_owned(),
        WebhookSecret::generate(&random).unwrap().to_text().trim_end_matches('=').to_owned(),
    ];
    let mistyped = format!("{}000000", &secrets[0][..40]);
    let widget = mint(Family::Widget, Environment::Live);
    let text: Vec<String> =
        secrets.iter().chain([&mistyped, &widget]).map(|text| format!("const a=\"{text}\";")).collect();
    let asked = json!({"binary": BINARY, "text": text.join("\n")}).to_string();
    crate::harness::block_on(async {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/verify/scanners.py");
        let mut command = tokio::process::Command::new(python);
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(asked.as_bytes()).await.unwrap();
        let ended = child.wait_with_output().await.unwrap();
        assert!(ended.status.success());
        let found: Value = serde_json::from_slice(&ended.stdout).unwrap();
        secrets.sort();
        for scanner in ["kingfisher", "detect-secrets"] {
            assert_eq!(found[scanner], json!(secrets), "{scanner}, which checks the checksum");
        }
        secrets.push(mistyped);
        secrets.sort();
        for scanner in ["gitleaks", "trufflehog"] {
            assert_eq!(found[scanner], json!(secrets), "{scanner}");
        }
    });
}
