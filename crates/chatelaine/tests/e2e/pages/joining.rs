//! Setting up and joining with a token, by forms alone.

use serde_json::json;
use testkit::{Answer, PASSWORD, Persona, World};

use super::{leads_to, page, says, submit};

on_both! {
    a_server_is_set_up_without_scripts;
    somebody_joins_without_scripts;
}

fn browser(world: &World) -> Persona {
    world.anonymous().at(Some(world.server().url()))
}

/// Who has this answer's cookie.
async fn me(world: &World, answer: &Answer) -> Answer {
    let cookie = answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
    world.client().get("/v1/me").header("cookie", cookie).send().await
}

async fn a_server_is_set_up_without_scripts(world: &World) {
    let token = api::setup::issue(world.server().running().app()).await.unwrap();
    let set_up = async |token: &str, password: &str| {
        let fields =
            [("token", token), ("workspace_name", "New & old"), ("email", "new@example.com"), ("password", password)];
        submit(&browser(world), "/setup", &fields).await
    };
    let empty = page(&browser(world), "/setup").await.expect(200);
    assert!(empty.text().contains("action=\"/setup\"") && empty.text().contains("name=\"token\" type=\"text\""));
    assert!(says(&empty, "Is there an owner already?") && empty.text().contains("href=\"/_/sign-in\""));
    let wrong = set_up("not the token", PASSWORD).await.expect(404);
    assert!(wrong.text().contains("href=\"/_/sign-in\""), "{}", wrong.text());
    assert!(says(&wrong, "This token is wrong, used, or over 30 minutes old"), "{}", wrong.text());
    assert!(says(&wrong, "Make the workspace") && wrong.text().contains("value=\"new@example.com\""));
    let short = set_up(&token, "short").await.expect(422);
    assert!(says(&short, "15 characters") && !short.text().contains(&token) && !short.text().contains("\"short\""));
    let made = set_up(&token, PASSWORD).await.expect(200);
    let text = made.text();
    assert!(text.contains("data-shown-once") && says(&made, "Copy it before you go on."), "{text}");
    let key = text.split("id=\"key\"").nth(1).and_then(|rest| rest.split(['>', '<']).nth(1)).unwrap().trim().to_owned();
    let owner = world.anonymous().with("owner", key);
    let _ = owner.get("/v1/api-keys").await.expect(200);
    assert_eq!(me(world, &made).await.expect(200).data()["email"], "new@example.com");
    let _ = set_up(&token, PASSWORD).await.expect(404);
}

async fn somebody_joins_without_scripts(world: &World) {
    let body = json!({"email": "ada@people.example", "role": "member"});
    let invited = world.secret().post("/v1/invitations", &body).await.expect(201).data();
    let token = invited["token"].as_str().unwrap();
    let join = async |token: &str, password: &str, again: &str| {
        let fields = [("token", token), ("name", "Ada"), ("password", password), ("again", again)];
        submit(&browser(world), "/invitations", &fields).await
    };
    assert!(page(&browser(world), "/invitations").await.expect(200).text().contains("action=\"/invitations\""));
    let other = join(token, PASSWORD, "another few words").await.expect(422);
    assert!(says(&other, "is not the same password") && !other.text().contains(PASSWORD), "{}", other.text());
    let short = join(token, "short", "short").await.expect(422);
    assert!(says(&short, "15 characters") && short.text().contains("value=\"Ada\""), "{}", short.text());
    let joined = join(token, PASSWORD, PASSWORD).await;
    assert_eq!(leads_to(&joined), "/_/");
    assert_eq!(me(world, &joined).await.expect(200).data()["name"], "Ada");
    let used = join(token, PASSWORD, PASSWORD).await.expect(404);
    assert!(says(&used, "This link is wrong, used, taken back, or too old"), "{}", used.text());
    assert_eq!(used.header("set-cookie"), "");
}
