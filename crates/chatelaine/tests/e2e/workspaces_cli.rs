//! `chatelaine workspaces`: the operator makes one, and its owner joins by a link.

use std::process::Stdio;

use serde_json::{Value, json};
use testkit::{Backend, PASSWORD, TestDatabase, World};

use crate::harness::BINARY;

on_each! {
    a_workspace_is_made_at_rest_and_its_owner_joins_by_the_link;
    the_operator_lets_a_member_choose_a_new_password;
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

async fn workspaces(database: &TestDatabase, arguments: &[&str]) -> Ran {
    run("workspaces", database, arguments).await
}

async fn run(of: &str, database: &TestDatabase, arguments: &[&str]) -> Ran {
    let mut command = tokio::process::Command::new(BINARY);
    command.arg(of).args(arguments).env_clear().arg("--data").arg(database.data());
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
            let list = workspaces(database, &["list"]).await.out;
            assert!(list.contains("1 member   Acme") && list.contains("0 members  Third"), "{list}");
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

async fn the_operator_lets_a_member_choose_a_new_password(backend: Backend) {
    let mut tokens = Vec::new();
    let world = World::new(backend).await;
    let ada = world.member("ada", "admin").await;
    let gone = world.member("gone", "member").await;
    let world = world
        .restart_after(async |database| {
            let reset = async |email: &str| run("members", database, &["reset-password", "--email", email]).await;
            assert_eq!(reset("nobody@people.example").await.code, 3);
            for email in ["Ada@people.example", "ada@people.example", "gone@people.example"] {
                let made = reset(email).await;
                assert_eq!(made.code, 0, "{}", made.err);
                tokens.push(made.out.trim_end().split_once("/invitations#").unwrap().1.to_owned());
            }
        })
        .await;
    let accept = async |token: &str, password: &str| -> testkit::Answer {
        let body = json!({"token": token, "name": "Ada L.", "password": password});
        world.client().post("/v1/invitations/accept", &body).send().await
    };
    // Until it is used the old one works.
    let before = world.sign_in("ada@people.example").await;
    let _ = accept(&tokens[0], "a new easy sentence").await.refused(404, "NOT_FOUND");
    let _ = accept(&tokens[1], "ada@people.example").await.refused(422, "VALIDATION_FAILED");
    let reset = accept(&tokens[1], "a new easy sentence").await.expect(201).data();
    assert_eq!((&reset["id"], &reset["role"]), (&json!(ada.id()), &json!("admin")));
    assert_eq!(reset["name"], "Ada L.");
    let _ = before.get("/v1/me").await.refused(401, "INVALID_TOKEN");
    let _ = accept(&tokens[1], "a third easy sentence").await.refused(404, "NOT_FOUND");
    let attempt = async |password: &str| -> testkit::Answer {
        let body = json!({"email": "ada@people.example", "password": password});
        world.client().post("/v1/sign-in", &body).send().await
    };
    let _ = attempt(PASSWORD).await.refused(401, "INVALID_CREDENTIALS");
    let _ = attempt("a new easy sentence").await.expect(200);
    // Who was removed does not come back by it.
    let _ = world.secret().delete(&format!("/v1/members/{}", gone.id())).await.expect(204);
    let _ = accept(&tokens[2], "a new easy sentence").await.refused(404, "NOT_FOUND");
    let list = world.secret().get("/v1/invitations").await.expect(200).data();
    assert!(list.as_array().unwrap().iter().any(|row| row["invited_by"] == "system:password_reset"), "{list}");
    let log = world.secret().get("/v1/audit-log?action=reset_password").await.expect(200).json();
    assert_eq!(log["meta"]["total"], 3, "{log}");
    world.end().await;
}
