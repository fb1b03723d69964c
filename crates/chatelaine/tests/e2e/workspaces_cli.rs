//! `chatelaine workspaces`: the operator makes one, and its owner joins by a link.

use std::process::Stdio;

use serde_json::{Value, json};
use testkit::{Backend, PASSWORD, TestDatabase, World};

use crate::harness::BINARY;

on_each! {
    a_workspace_is_made_at_rest_and_its_owner_joins_by_the_link;
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

async fn workspaces(database: &TestDatabase, arguments: &[&str]) -> Ran {
    let mut command = tokio::process::Command::new(BINARY);
    command.arg("workspaces").args(arguments).env_clear().arg("--data").arg(database.data());
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

async fn a_workspace_is_made_at_rest_and_its_owner_joins_by_the_link(backend: Backend) {
    let mut link = String::new();
    let world = World::new(backend).await;
    let running = workspaces(world.server().database(), &["list"]).await;
    assert_ne!(running.code, 0, "not while a server uses the database: {}", running.out);
    let world = world
        .restart_after(async |database| {
            let wrong = workspaces(database, &["create", "--name", " ", "--email", "eve@x.example"]).await;
            assert_eq!(wrong.code, 2, "{}", wrong.err);
            let wrong = workspaces(database, &["create", "--name", "Third", "--email", "eve"]).await;
            assert_eq!(wrong.code, 2, "{}", wrong.err);
            let made = workspaces(database, &["create", "--name", "Third", "--email", "Eve@x.example"]).await;
            assert_eq!(made.code, 0, "{}", made.err);
            link = made.out.trim_end().to_owned();
            let list = workspaces(database, &["list", "--json"]).await;
            let rows: Vec<Value> = list.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
            assert_eq!(names, ["Acme", "Other", "Third"]);
            assert_eq!((&rows[0]["members"], &rows[2]["members"]), (&json!(1), &json!(0)));
        })
        .await;
    let token = link.split_once("/invitations#").unwrap().1;
    let accept = json!({"token": token, "name": "Eve", "password": PASSWORD});
    let _ = world.client().post("/v1/invitations/accept", &accept).send().await.expect(201);
    let owner = world.sign_in("eve@x.example").await;
    assert_eq!(owner.get("/v1/workspace").await.expect(200).data()["name"], "Third");
    let _ = owner.post("/v1/api-keys", &json!({"name": "First"})).await.expect(201);
    world.end().await;
}
