use serde_json::json;

use crate::world::{World, setup_body};

#[tokio::test]
async fn a_setup_token_works_once() {
    let world = World::empty().await;
    let token = api::setup::issue(&world.app).await.unwrap();
    let made = world.anyone().post("/v1/setup", setup_body(&token)).await.ok(201);
    let key = made.text_at("/key");
    assert_eq!(
        world.with(&key).get("/v1/me").await.ok(200).text_at("/data/workspace_id"),
        made.text_at("/workspace_id")
    );
    let again = world.anyone().post("/v1/setup", setup_body(&token)).await;
    assert_eq!(again.code(), (404, "NOT_FOUND".to_owned()));
    assert_eq!(world.app.store().workspace_count().await.unwrap(), 1);
}

#[tokio::test]
async fn the_owner_has_the_name_that_was_given() {
    let world = World::empty().await;
    let token = api::setup::issue(&world.app).await.unwrap();
    let mut body = setup_body(&token);
    body["name"] = json!(" ");
    let refused = world.anyone().post("/v1/setup", body.clone()).await;
    assert_eq!(refused.wrong_fields(), (422, vec!["name".to_owned()]));
    body["name"] = json!("Ada Lovelace");
    let key = world.anyone().post("/v1/setup", body).await.ok(201).text_at("/key");
    assert_eq!(world.with(&key).get("/v1/members").await.ok(200).text_at("/data/0/name"), "Ada Lovelace");
}

#[tokio::test]
async fn two_who_use_it_at_once_make_one_workspace() {
    let world = World::empty().await;
    let token = api::setup::issue(&world.app).await.unwrap();
    let other = json!({
        "token": token, "email": "b@example.com", "password": "other easy words", "workspace_name": "B",
    });
    let (a, b) =
        tokio::join!(world.anyone().post("/v1/setup", setup_body(&token)), world.anyone().post("/v1/setup", other));
    let mut statuses = [a.status, b.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 404]);
    assert_eq!(world.app.store().workspace_count().await.unwrap(), 1);
}

#[tokio::test]
async fn wrong_expired_and_replaced_tokens_are_one_answer() {
    let world = World::empty().await;
    let never = world.anyone().post("/v1/setup", setup_body("x")).await;
    let first = api::setup::issue(&world.app).await.unwrap();
    let wrong = world.anyone().post("/v1/setup", setup_body("x")).await;
    let second = api::setup::issue(&world.app).await.unwrap();
    let replaced = world.anyone().post("/v1/setup", setup_body(&first)).await;
    world.advance(30 * 60);
    let expired = world.anyone().post("/v1/setup", setup_body(&second)).await;
    for answer in [never, wrong, replaced, expired] {
        assert_eq!(answer.code(), (404, "NOT_FOUND".to_owned()));
    }
    let last = api::setup::issue(&world.app).await.unwrap();
    world.advance(30 * 60 - 1);
    world.anyone().post("/v1/setup", setup_body(&last)).await.ok(201);
}

#[tokio::test]
async fn a_mistake_does_not_use_the_token_up() {
    let world = World::empty().await;
    let token = api::setup::issue(&world.app).await.unwrap();
    let body = json!({"token": token, "email": "ada", "password": "short", "workspace_name": ""});
    let refused = world.anyone().post("/v1/setup", body).await;
    assert_eq!(refused.wrong_fields(), (422, ["workspace_name", "email", "password"].map(str::to_owned).to_vec()));
    world.anyone().post("/v1/setup", setup_body(&token)).await.ok(201);
}

#[tokio::test]
async fn what_was_set_up_is_in_the_log_and_the_token_is_not() {
    let world = World::new().await;
    assert_eq!(world.log().await, ["complete_setup", "complete_setup"], "the workspace and its first key");
    let events = world.owner().get("/v1/audit-log").await.ok(200);
    assert!(!events.text.contains(&world.key) && !events.text.contains("easy words"));
}

#[tokio::test]
async fn who_starts_the_server_needs_no_token() {
    let world = World::empty().await;
    let made = api::setup::bootstrap(&world.app, "Try", "owner@try.example", "a few easy words").await.unwrap();
    let workspace = world.app.store().default_workspace().await.unwrap().unwrap();
    assert_eq!(
        (made.workspace_id, made.tenant.workspace, workspace.name.as_str()),
        (workspace.id, workspace.id, "Try")
    );
    assert_eq!(made.owner().to_string(), format!("member:{}", made.owner_id));
    let same = api::setup::bootstrap(&world.app, "B", "Owner@try.example", "a few easy words").await.unwrap_err();
    assert_eq!(same.code(), "CONFLICT", "an address has one account");
    let weak = api::setup::bootstrap(&world.app, "B", "b@try.example", "password").await.unwrap_err();
    assert_eq!(weak.code(), "VALIDATION_FAILED");
}
