//! `chatelaine scan`: a live key told from a dead one, and the rules for other scanners.

use serde_json::{Value, json};
use testkit::World;

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
    let (code, out, _) = scan(&[tree]).await;
    assert!(code == 1 && out.lines().count() == 4 && out.lines().all(|line| line.ends_with(')')), "{out}");
    let (code, out, _) = scan(&["rules", "--for", "gitleaks"]).await;
    assert!(code == 0 && out.contains("sk_live_[0-9A-Za-z]{38}"), "{out}");
}
