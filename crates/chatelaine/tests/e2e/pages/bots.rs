//! Bots, integrations, channels, trials and agent loops, on pages.

use serde_json::{Value, json};
use testkit::{Answer, Persona, Upstream, World, id_of};

use super::{leads_to, page, says, submit};
use crate::agent_loops::waiting_execution;

on_both! {
    an_admin_makes_changes_and_deletes_a_bot;
    what_is_wrong_is_shown_beside_its_field_and_what_was_typed_stays;
    a_member_reads_bots_and_changes_nothing;
    a_form_that_is_sent_twice_makes_one_bot;
    an_integration_s_headers_are_written_and_never_read;
    a_bot_is_connected_once_anything_but_echo_has_a_weight;
    the_secrets_of_an_integration_and_a_channel_are_shown_once;
    a_widget_channel_shows_its_snippet;
    a_bot_is_tried_out_without_scripts;
    a_bot_that_fails_is_said_to_have_failed;
    an_agent_loop_is_run_read_and_ended;
    nobody_sees_another_workspace_s_bots;
}

fn lists(answer: &Answer) -> Value {
    answer.json()["data"].clone()
}

async fn an_admin_makes_changes_and_deletes_a_bot(world: &World) {
    let ada = world.member("ada", "admin").await;
    let empty = page(&ada, "/_/bots").await.expect(200);
    assert!(says(&empty, "There is no bot yet") && says(&empty, "Make the first bot"));
    assert!(page(&ada, "/_/bots/new").await.expect(200).text().contains("action=\"/_/bots\""));
    let fields =
        [("name", "Ada <b>&"), ("greeting", "Hello\r\nyou"), ("architecture", "text"), ("context_messages", "7")];
    let made = leads_to(&submit(&ada, "/_/bots", &fields).await);
    let path = made.strip_suffix("?done=bot-created").unwrap().to_owned();
    let shown = page(&ada, &made).await.expect(200);
    assert!(says(&shown, "Next, connect a model to it.") && says(&shown, "Ada <b>&") && !shown.text().contains("<b>&"));
    let hint = format!("href=\"{path}/integrations/new\">Connect a model");
    assert!(shown.text().contains(&hint), "{}", shown.text());
    assert!(says(&page(&ada, &format!("{path}/try")).await, "No model is connected yet"));
    let bot = ada.get(&path.replace("/_/", "/v1/")).await.expect(200).data();
    assert_eq!((&bot["greeting"], &bot["context_messages"]), (&json!("Hello\nyou"), &json!(7)));
    // What is emptied is gone.
    let changed = submit(&ada, &path, &[("name", "Bob"), ("greeting", ""), ("architecture", "text")]).await;
    assert_eq!(leads_to(&changed), format!("{path}?done=saved"));
    let bot = ada.get(&path.replace("/_/", "/v1/")).await.expect(200).data();
    assert_eq!((&bot["name"], &bot["greeting"]), (&json!("Bob"), &Value::Null));
    assert!(says(&page(&ada, "/_/bots").await, "Try Bob"));
    let log = world.secret().get("/v1/audit-log?action=update_bot").await.expect(200).data();
    assert_eq!((log.as_array().unwrap().len(), &log[0]["actor"]["id"]), (1, &json!(ada.id())), "{log}");
    assert_eq!(leads_to(&submit(&ada, &format!("{path}/delete"), &[]).await), "/_/bots?done=deleted");
    assert!(says(&page(&ada, &path).await.expect(404), "There is nothing here"));
}

async fn what_is_wrong_is_shown_beside_its_field_and_what_was_typed_stays(world: &World) {
    let ada = world.member("ada", "admin").await;
    let long = "n".repeat(101);
    let wrong =
        [("name", long.as_str()), ("greeting", "Kept <i>"), ("architecture", "text"), ("context_messages", "x")];
    let again = submit(&ada, "/_/bots", &wrong).await.expect(422);
    assert!(says(&again, "Nothing was made."), "{}", again.text());
    assert!(again.text().contains("aria-invalid=\"true\"") && says(&again, "Kept <i>"));
    let bot = world.bot().await;
    let wrong = [("name", ""), ("instructions", "Typed"), ("architecture", "text")];
    let again = submit(&ada, &format!("/_/bots/{bot}"), &wrong).await.expect(422);
    assert!(says(&again, "Typed") && again.text().contains("id=\"e-name\""), "{}", again.text());
    let wrong = [("kind", "openai"), ("url", "ftp://x"), ("model", "m"), ("headers", "Authorization: Bearer hunter2")];
    let again = submit(&ada, &format!("/_/bots/{bot}/integrations"), &wrong).await.expect(422);
    assert!(again.text().contains("ftp://x") && !again.text().contains("hunter2"), "{}", again.text());
    let wrong = [("kind", "widget"), ("name", "W"), ("color", "red")];
    let again = submit(&ada, &format!("/_/bots/{bot}/channels"), &wrong).await.expect(422);
    assert!(again.text().contains("id=\"e-color\""), "{}", again.text());
}

async fn a_member_reads_bots_and_changes_nothing(world: &World) {
    let (bob, bot) = (world.member("bob", "member").await, world.bot().await);
    let shown = page(&bob, &format!("/_/bots/{bot}")).await.expect(200);
    assert!(says(&shown, "An admin of the workspace can change it.") && !shown.text().contains("action=\"/_/bots"));
    let list = page(&bob, "/_/bots").await.expect(200);
    assert!(!list.text().contains("/_/bots/new"));
    for path in
        ["/_/bots/new".to_owned(), format!("/_/bots/{bot}/integrations/new"), format!("/_/bots/{bot}/channels/new")]
    {
        assert!(says(&page(&bob, &path).await.expect(403), "This takes an admin or an owner"), "{path}");
    }
    for path in ["/_/bots".to_owned(), format!("/_/bots/{bot}"), format!("/_/bots/{bot}/delete")] {
        let _ = submit(&bob, &path, &[("name", "Mine")]).await.expect(403);
    }
    assert_eq!(bob.get(&format!("/v1/bots/{bot}")).await.expect(200).data()["name"], "Echo");
}

async fn a_form_that_is_sent_twice_makes_one_bot(world: &World) {
    let ada = world.member("ada", "admin").await;
    let text = page(&ada, "/_/bots/new").await.expect(200).text();
    let once = text.split("name=\"once\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let fields = [("once", once), ("name", "Once"), ("architecture", "text")];
    let (first, second) = (submit(&ada, "/_/bots", &fields).await, submit(&ada, "/_/bots", &fields).await);
    assert_eq!(leads_to(&first), leads_to(&second));
    assert_eq!(lists(&ada.get("/v1/bots").await).as_array().unwrap().len(), 1);
}

async fn an_integration_s_headers_are_written_and_never_read(world: &World) {
    let (ada, upstream) = (world.member("ada", "admin").await, Upstream::start().await);
    let bot = world.bot().await;
    let url = upstream.url();
    let fields = [
        ("kind", "openai"),
        ("name", "Model"),
        ("url", url.as_str()),
        ("model", "echo-words"),
        ("headers", "Authorization: Bearer hunter2\r\nX-Team: blue"),
        ("timeout_seconds", "30"),
        ("weight", "5"),
    ];
    let made = leads_to(&submit(&ada, &format!("/_/bots/{bot}/integrations"), &fields).await);
    assert_eq!(made, format!("/_/bots/{bot}?done=connected"));
    let shown = page(&ada, &made).await.expect(200);
    assert!(says(&shown, "Try the bot, and see whether it answers.") && !says(&shown, "No model is connected"));
    let list = lists(&ada.get(&format!("/v1/bots/{bot}/integrations")).await);
    let one = list.as_array().unwrap().iter().find(|one| one["name"] == "Model").unwrap();
    let path = format!("/_/integrations/{}", one["id"].as_str().unwrap());
    let shown = page(&ada, &path).await.expect(200);
    assert!(shown.text().contains("authorization: ••••••••") && !shown.text().contains("hunter2"), "{}", shown.text());
    // Sent back as it is shown, it stays as it is.
    let text = shown.text();
    let lines = text.split("name=\"headers\"").nth(1).unwrap().split('>').nth(1).unwrap().split('<').next().unwrap();
    let kept =
        [("kind", "openai"), ("url", url.as_str()), ("model", "echo-words"), ("headers", lines), ("weight", "6")];
    assert_eq!(leads_to(&submit(&ada, &path, &kept).await), format!("/_/bots/{bot}?done=saved"));
    let session = world.open_session("session", &world.secret(), &bot).await;
    let _ = session.say("hello").await.rest().await;
    let asked = upstream.requests().pop().expect("a question");
    assert_eq!(asked.headers["authorization"], "Bearer hunter2");
    let list = page(&ada, &format!("/_/bots/{bot}")).await.expect(200);
    assert!(says(&list, "Model") && !list.text().contains("hunter2"));
    assert_eq!(leads_to(&submit(&ada, &format!("{path}/delete"), &[]).await), format!("/_/bots/{bot}?done=deleted"));
}

async fn a_bot_is_connected_once_anything_but_echo_has_a_weight(world: &World) {
    let (ada, upstream) = (world.member("ada", "admin").await, Upstream::start().await);
    let bot = world.bot().await;
    let unconnected = async || {
        let mut said = Vec::new();
        for path in [format!("/_/bots/{bot}"), format!("/_/bots/{bot}/try")] {
            said.push(says(&page(&ada, &path).await.expect(200), "No model is connected yet"));
        }
        said
    };
    let aside = async || says(&page(&ada, &format!("/_/bots/{bot}")).await, "Aside, while another one has a weight");
    assert_eq!((unconnected().await, aside().await), (vec![true, true], false));
    // It is called as echo is.
    world.add_integration(&bot, &upstream, "echo", json!({})).await;
    assert_eq!(ada.get(&format!("/v1/bots/{bot}")).await.expect(200).data()["model"], "echo");
    assert_eq!((unconnected().await, aside().await), (vec![false, false], true));
    world.switch_off(&bot).await;
    assert_eq!((unconnected().await, aside().await), (vec![true, true], false));
}

fn secret_of(answer: &Answer, id: &str) -> String {
    let text = answer.text();
    let after = text.split(&format!("id=\"{id}\"")).nth(1).unwrap_or_else(|| panic!("no secret: {text}"));
    after.split('>').nth(1).unwrap().split('<').next().unwrap().to_owned()
}

async fn the_secrets_of_an_integration_and_a_channel_are_shown_once(world: &World) {
    let (ada, bot) = (world.member("ada", "admin").await, world.bot().await);
    let fields = [("kind", "webhook"), ("name", "Own"), ("url", "https://bot.example.com/answer")];
    let made = submit(&ada, &format!("/_/bots/{bot}/integrations"), &fields).await.expect(200);
    let secret = secret_of(&made, "secret");
    assert!(secret.starts_with("whsec_") && made.text().contains("data-shown-once"), "{secret}");
    let path = made.text().split("/_/integrations/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let path = format!("/_/integrations/{path}");
    assert!(!page(&ada, &path).await.expect(200).text().contains("whsec_"));
    let rotated = submit(&ada, &format!("{path}/rotate-secret"), &[("grace_seconds", "3600")]).await.expect(200);
    assert_ne!(secret_of(&rotated, "secret"), secret);
    assert!(says(&page(&ada, &path).await, "also signs until"));

    let fields =
        [("kind", "webhook"), ("name", "Desk"), ("reply_url", "https://app.example.com/r"), ("is_active", "1")];
    let made = submit(&ada, &format!("/_/bots/{bot}/channels"), &fields).await.expect(200);
    let (secret, reply) = (secret_of(&made, "secret"), secret_of(&made, "reply-secret"));
    assert!(secret.starts_with("whsec_") && reply.starts_with("whsec_") && secret != reply);
    let path = made.text().split("/_/channels/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let path = format!("/_/channels/{path}");
    let shown = page(&ada, &path).await.expect(200);
    assert!(!shown.text().contains("whsec_") && says(&shown, "/messages"), "{}", shown.text());
    let rotated = submit(&ada, &format!("{path}/rotate-secret"), &[("grace_seconds", "0")]).await.expect(200);
    assert_ne!(secret_of(&rotated, "secret"), secret);
    let again = submit(&ada, &format!("{path}/rotate-secret"), &[("grace_seconds", "x")]).await.expect(422);
    assert!(says(&again, "Nothing was changed."));
}

async fn a_widget_channel_shows_its_snippet(world: &World) {
    let (ada, bot) = (world.member("ada", "admin").await, world.bot().await);
    assert!(says(&page(&ada, &format!("/_/bots/{bot}/channels")).await, "No channel yet."));
    let fields =
        [("kind", "widget"), ("name", "Shop"), ("title", "A \"shop\""), ("color", "#0a7c66"), ("is_active", "1")];
    let made = leads_to(&submit(&ada, &format!("/_/bots/{bot}/channels"), &fields).await);
    let path = made.strip_suffix("?done=created").unwrap();
    let shown = page(&ada, path).await.expect(200);
    assert!(says(&shown, "data-agent-id") && !shown.text().contains("<script src=\"http"), "{}", shown.text());
    assert!(says(&page(&ada, &format!("/_/bots/{bot}/channels")).await, "Shop"));
    // An unticked box says no.
    let _ = leads_to(&submit(&ada, path, &[("name", "Shop"), ("title", "A")]).await);
    let channel = ada.get(&path.replace("/_/", "/v1/")).await.expect(200).data();
    assert_eq!(
        (&channel["is_active"], &channel["title"], &channel["color"]),
        (&json!(false), &json!("A"), &Value::Null)
    );
    assert_eq!(
        leads_to(&submit(&ada, &format!("{path}/delete"), &[]).await),
        format!("/_/bots/{bot}/channels?done=deleted")
    );
}

async fn a_bot_is_tried_out_without_scripts(world: &World) {
    let bob = world.member("bob", "member").await;
    let bot = id_of(&world.secret().post("/v1/bots", &json!({"name": "Bot", "greeting": "Hello!"})).await.expect(201));
    let path = format!("/_/bots/{bot}/try");
    assert!(says(&page(&bob, &path).await.expect(200), "Hello!"));
    let fields = [("once", "nonce-1"), ("conversation", ""), ("message", "good <b>morning")];
    let said = leads_to(&submit(&bob, &path, &fields).await);
    let at = said.strip_suffix("#message").unwrap();
    let shown = page(&bob, at).await.expect(200);
    assert_eq!(shown.text().matches("class=\"said ").count(), 3, "{}", shown.text());
    assert!(says(&shown, "good <b>morning") && !shown.text().contains("good <b>"));
    // Sent twice, it is said once.
    assert_eq!(leads_to(&submit(&bob, &path, &fields).await), said);
    assert_eq!(page(&bob, at).await.text().matches("class=\"said ").count(), 3);
    let trial = at.split("conversation=").nth(1).unwrap();
    let _ = leads_to(&submit(&bob, &path, &[("conversation", trial), ("message", "and more")]).await);
    assert_eq!(page(&bob, at).await.text().matches("class=\"said ").count(), 5);
    let _ = submit(&bob, &path, &[("conversation", trial), ("message", " ")]).await.expect(422);
    // Another bot's page does not show it, and nobody else goes on with it.
    let _ = page(&bob, &format!("/_/bots/{}/try?conversation={trial}", world.bot().await)).await.expect(404);
    let eve = world.member("eve", "owner").await;
    let _ = submit(&eve, &path, &[("conversation", trial), ("message", "hello")]).await.expect(404);
}

async fn a_bot_that_fails_is_said_to_have_failed(world: &World) {
    let (bob, upstream) = (world.member("bob", "member").await, Upstream::start().await);
    let bot = world.bot_on(&upstream, "status-500").await;
    let failed = submit(&bob, &format!("/_/bots/{bot}/try"), &[("message", "hello")]).await.expect(200);
    assert!(says(&failed, "The model behind this bot"), "{}", failed.text());
    let _ = world.secret().patch("/v1/credits", &json!({"metered": true})).await.expect(200);
    let refused = submit(&bob, &format!("/_/bots/{bot}/try"), &[("message", "hello, kept")]).await.expect(402);
    assert!(says(&refused, "hello, kept") && says(&refused, "Nothing was said."), "{}", refused.text());
}

async fn an_agent_loop_is_run_read_and_ended(world: &World) {
    let (ada, bob) = (world.member("ada", "admin").await, world.member("bob", "member").await);
    assert!(says(&page(&bob, "/_/agent-loops").await.expect(200), "There is no agent loop yet."));
    let body = json!({"name": "Helper", "prompt": "Help <i>.", "bot_id": world.bot().await});
    let made = id_of(&world.secret().post("/v1/agent-loops", &body).await.expect(201));
    assert!(says(&page(&bob, "/_/agent-loops").await.expect(200), "Helper"));
    let path = format!("/_/agent-loops/{made}");
    let shown = page(&bob, &path).await.expect(200);
    assert!(says(&shown, "Help <i>.") && says(&shown, "It has not run yet.") && !says(&shown, "Run it"));
    let _ = submit(&bob, &format!("{path}/run"), &[]).await.expect(403);
    let run = leads_to(&submit(&ada, &format!("{path}/run"), &[("input", "What <time>?")]).await);
    let over =
        testkit::eventually(std::time::Duration::from_secs(10), async || says(&page(&bob, &run).await, "completed"));
    assert!(over.await, "{}", page(&bob, &run).await.text());
    let shown = page(&bob, &run).await.expect(200);
    assert!(says(&shown, "What <time>?") && says(&shown, "The bot answered") && !shown.text().contains("hx-trigger"));
    let waiting = format!("/_/executions/{}", waiting_execution(world).await);
    assert!(page(&bob, &waiting).await.expect(200).text().contains("hx-trigger"));
    let _ = submit(&bob, &format!("{waiting}/cancel"), &[]).await.expect(403);
    assert_eq!(leads_to(&submit(&ada, &format!("{waiting}/cancel"), &[]).await), waiting);
    assert!(says(&page(&bob, &waiting).await, "cancelled"));
    assert_eq!(leads_to(&submit(&ada, &format!("{waiting}/cancel"), &[]).await), waiting, "over already");
}

async fn nobody_sees_another_workspace_s_bots(world: &World) {
    let eve: Persona = world.member_of(&world.other_workspace_secret(), "eve", "owner").await;
    let bot = world.bot().await;
    let channel = json!({"kind": "widget", "name": "Theirs"});
    let channel = id_of(&world.secret().post(&format!("/v1/bots/{bot}/channels"), &channel).await.expect(201));
    let echo = json!({"name": "E", "kind": "echo"});
    let integration = id_of(&world.secret().post(&format!("/v1/bots/{bot}/integrations"), &echo).await.expect(201));
    let execution = waiting_execution(world).await;
    for path in [
        format!("/_/bots/{bot}"),
        format!("/_/bots/{bot}/channels"),
        format!("/_/bots/{bot}/try"),
        format!("/_/bots/{bot}/integrations/new"),
        format!("/_/channels/{channel}"),
        format!("/_/integrations/{integration}"),
        format!("/_/executions/{execution}"),
        "/_/bots/nonsense".to_owned(),
    ] {
        let answer = page(&eve, &path).await.expect(404);
        assert!(says(&answer, "There is nothing here"), "{path}");
    }
    for path in [
        format!("/_/bots/{bot}/delete"),
        format!("/_/bots/{bot}/try"),
        format!("/_/channels/{channel}/rotate-secret"),
        format!("/_/integrations/{integration}/delete"),
        format!("/_/executions/{execution}/cancel"),
    ] {
        let _ = submit(&eve, &path, &[("message", "hello")]).await.expect(404);
    }
    assert!(says(&page(&eve, "/_/bots").await.expect(200), "There is no bot yet"));
}
