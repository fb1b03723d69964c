//! Webhooks, on pages.

use serde_json::json;
use testkit::{World, id_of};

use super::{leads_to, page, says, submit};
use crate::webhooks::new_attempt;

on_both! {
    a_webhook_is_made_changed_and_deleted_and_its_secret_is_shown_once;
    an_address_that_is_refused_is_said_once_and_how_to_open_it;
    attempts_are_shown_and_sent_again;
    a_webhook_is_turned_off_and_on_and_gets_what_it_missed;
    the_audit_log_says_to_which_host_and_no_more_of_an_address;
    a_member_reads_webhooks_and_changes_none;
    the_kinds_of_events_are_listed;
    nobody_sees_another_workspace_s_webhooks;
}

/// The secret that a page shows.
fn secret(text: &str) -> String {
    text.split("whsec_").nth(1).and_then(|rest| rest.split('<').next()).unwrap().to_owned()
}

async fn a_webhook_is_made_changed_and_deleted_and_its_secret_is_shown_once(world: &World) {
    let ada = world.member("ada", "admin").await;
    assert!(says(&page(&ada, "/_/webhooks").await.expect(200), "Add the first webhook"));
    let form = page(&ada, "/_/webhooks/new").await.expect(200);
    assert!(form.text().contains("value=\"run.failed\"") && says(&form, "run.failed"), "{}", form.text());
    let wrong = submit(&ada, "/_/webhooks", &[("url", "ftp://x"), ("events", "run.failed")]).await.expect(422);
    assert!(wrong.text().contains("id=\"e-url\"") && wrong.text().contains("value=\"run.failed\" checked"));
    let fields = [("url", "https://hooks.example.com/a"), ("events", "run.failed"), ("once", "n1")];
    let made = submit(&ada, "/_/webhooks", &fields).await.expect(200);
    assert!(made.header("cache-control") == "no-store" && made.text().contains("data-shown-once"));
    let first = secret(&made.text());
    let again = submit(&ada, "/_/webhooks", &fields).await.expect(200);
    assert_eq!(secret(&again.text()), first, "a form that is sent twice makes one");
    let list = ada.get("/v1/webhooks").await.expect(200).data();
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
    let path = format!("/_/webhooks/{}", list[0]["id"].as_str().unwrap());
    for shown in ["/_/webhooks", path.as_str(), &format!("{path}/edit"), &format!("{path}/rotate")] {
        let shown = page(&ada, shown).await.expect(200);
        assert!(!shown.text().contains("whsec_") && shown.text().contains("https://hooks.example.com/a"));
    }
    // The same address keeps its secret, another one gets another.
    let same = submit(&ada, &path, &[("url", "https://hooks.example.com/a"), ("description", "For us")]).await;
    assert_eq!(leads_to(&same), format!("{path}?done=saved"));
    let changed = ada.get(&path.replace("/_/", "/v1/")).await.expect(200).data();
    assert_eq!((&changed["events"], &changed["description"]), (&json!(null), &json!("For us")));
    let moved = submit(&ada, &path, &[("url", "https://hooks.example.com/b")]).await.expect(200);
    let second = secret(&moved.text());
    assert_ne!(second, first);
    let rotated = submit(&ada, &format!("{path}/rotate"), &[("grace_seconds", "900")]).await.expect(200);
    assert!(!rotated.text().contains(&second) && rotated.text().contains("whsec_"));
    assert!(says(&page(&ada, &path).await, "The old secret also signs until"));
    let long = submit(&ada, &format!("{path}/rotate"), &[("grace_seconds", "86401")]).await.expect(422);
    assert!(long.text().contains("id=\"e-grace_seconds\""), "{}", long.text());
    assert_eq!(leads_to(&submit(&ada, &format!("{path}/delete"), &[]).await), "/_/webhooks?done=deleted");
    let _ = page(&ada, &path).await.expect(404);
}

async fn an_address_that_is_refused_is_said_once_and_how_to_open_it(world: &World) {
    let ada = world.member("ada", "admin").await;
    let open_it = "CHATELAINE_OUTBOUND_ALLOW=127.0.0.1/32";
    assert!(!says(&page(&ada, "/_/webhooks/new").await.expect(200), open_it));
    let wrong = submit(&ada, "/_/webhooks", &[("url", "https://192.168.1.7/hook")]).await.expect(422);
    let why = "is in a private or reserved network";
    assert_eq!(wrong.text().matches(why).count(), 2, "above the form and at the field: {}", wrong.text());
    assert!(says(&wrong, "Nothing was made.") && says(&wrong, open_it), "{}", wrong.text());
    let made = ada.post("/v1/webhooks", &json!({"url": "https://hooks.example.com/a"})).await.expect(201);
    let changed = [("url", "https://192.168.1.7/hook")];
    let wrong = submit(&ada, &format!("/_/webhooks/{}", id_of(&made)), &changed).await.expect(422);
    assert!(says(&wrong, "Nothing was changed.") && says(&wrong, open_it), "{}", wrong.text());
}

async fn attempts_are_shown_and_sent_again(world: &World) {
    let ada = world.member("ada", "admin").await;
    let (endpoint, attempt) = new_attempt(world).await;
    let path = format!("/_/webhooks/{endpoint}");
    let shown = page(&ada, &path).await.expect(200);
    for words in ["webhook.test, attempt 1", "failed", "nobody took the connection", "Next attempt", "failing"] {
        assert!(says(&shown, words), "{words}: {}", shown.text());
    }
    let replay = format!("{path}/attempts/{attempt}/replay");
    assert!(shown.text().contains(&format!("action=\"{replay}\"")));
    assert_eq!(leads_to(&submit(&ada, &replay, &[]).await), format!("{path}?done=replayed"));
    assert_eq!(leads_to(&submit(&ada, &format!("{path}/test"), &[]).await), format!("{path}?done=tested"));
    let absent = format!("{path}/attempts/att_00000000000000000000000001/replay");
    let _ = submit(&ada, &absent, &[]).await.expect(404);
    let log = world.secret().get(&format!("/v1/audit-log?target_id={endpoint}&actor_id={}", ada.id())).await;
    let log = log.expect(200).data();
    let actions: Vec<_> = log.as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["test_webhook", "replay_webhook_attempt"]);
}

async fn a_webhook_is_turned_off_and_on_and_gets_what_it_missed(world: &World) {
    let ada = world.member("ada", "admin").await;
    let made = ada.post("/v1/webhooks", &json!({"url": "https://hooks.example.com/a"})).await.expect(201);
    let path = format!("/_/webhooks/{}", id_of(&made));
    assert!(says(&page(&ada, &path).await.expect(200), "Nothing was sent yet. Send a test event"));
    let sent = page(&ada, &format!("{path}?done=tested")).await.expect(200);
    assert!(says(&sent, "it is on its way.") && !says(&sent, "Nothing was sent yet"), "{}", sent.text());
    let off = leads_to(&submit(&ada, &format!("{path}/switch"), &[]).await);
    let off = page(&ada, &off).await.expect(200);
    assert!(
        says(&off, "Turned off.") && says(&off, "disabled") && says(&off, "Turn this webhook on"),
        "{}",
        off.text()
    );
    let refused = submit(&ada, &format!("{path}/test"), &[]).await.expect(409);
    assert!(says(&refused, "turn it on first"), "{}", refused.text());
    let on = submit(&ada, &format!("{path}/switch"), &[("is_active", "yes")]).await;
    assert_eq!(leads_to(&on), format!("{path}?done=turned-on"));
    let now = ada.get("/v1/audit-log").await.expect(200).data()[0]["created_at"].as_str().unwrap()[..16].to_owned();
    let sent = submit(&ada, &format!("{path}/recover"), &[("since", &now)]).await;
    assert_eq!(leads_to(&sent), format!("{path}?done=nothing-missed"));
    let wrong = submit(&ada, &format!("{path}/recover"), &[("since", "yesterday")]).await.expect(422);
    assert!(
        wrong.text().contains("id=\"e-since\"") && wrong.text().contains("value=\"yesterday\""),
        "{}",
        wrong.text()
    );
}

async fn the_audit_log_says_to_which_host_and_no_more_of_an_address(world: &World) {
    let ada = world.member("ada", "admin").await;
    let made = ada.post("/v1/webhooks", &json!({"url": "https://a.example.com/hush?token=hush"})).await.expect(201);
    let webhook = format!("/v1/webhooks/{}", id_of(&made));
    let _ = ada.patch(&webhook, &json!({"url": "https://b.example.com/hush"})).await.expect(200);
    let _ = ada.patch(&webhook, &json!({"description": "Elsewhere"})).await.expect(200);
    let signed = json!({"kind": "webhook", "url": "https://c.example.com/hush"});
    let made = ada.post(&format!("/v1/bots/{}/integrations", world.bot().await), &signed).await.expect(201);
    let integration = format!("/v1/integrations/{}", id_of(&made));
    let _ = ada.patch(&integration, &json!({"url": "https://d.example.com/hush"})).await.expect(200);
    let log = world.secret().get(&format!("/v1/audit-log?actor_id={}", ada.id())).await.expect(200);
    let rows = log.data().as_array().unwrap().clone();
    let told =
        rows.iter().rev().filter(|row| ["webhook", "integration"].contains(&row["target"]["kind"].as_str().unwrap()));
    let hosts: Vec<_> = told.map(|row| row["detail"]["host"].as_str().unwrap_or("-")).collect();
    assert_eq!(hosts, ["a.example.com", "b.example.com", "-", "c.example.com", "d.example.com"], "{}", log.text());
    assert!(!log.text().contains("hush"), "{}", log.text());
}

async fn a_member_reads_webhooks_and_changes_none(world: &World) {
    let bob = world.member("bob", "member").await;
    let (endpoint, attempt) = new_attempt(world).await;
    let path = format!("/_/webhooks/{endpoint}");
    let shown = page(&bob, &path).await.expect(200);
    assert!(says(&shown, "webhook.test") && !shown.text().contains(&format!("action=\"{path}")), "{}", shown.text());
    for refused in ["/_/webhooks/new", &format!("{path}/edit"), &format!("{path}/rotate")] {
        let _ = page(&bob, refused).await.expect(403);
    }
    let replay = format!("attempts/{attempt}/replay");
    for act in ["", "rotate", "test", "switch", "recover", "delete", &replay] {
        let _ = submit(&bob, format!("{path}/{act}").trim_end_matches('/'), &[("url", "https://x.example")])
            .await
            .expect(403);
    }
}

async fn the_kinds_of_events_are_listed(world: &World) {
    let kinds = world.secret().get("/v1/webhook-events").await.expect(200).data();
    let created = kinds.as_array().unwrap().iter().find(|kind| kind["name"] == "contact.created").unwrap();
    assert_eq!(created["scope"], "contacts:read");
    assert!(kinds.as_array().unwrap().len() > 10 && created["about"].as_str().unwrap().len() > 10);
}

async fn nobody_sees_another_workspace_s_webhooks(world: &World) {
    let (ada, other) = (world.member("ada", "admin").await, world.other_workspace_secret());
    let made = other.post("/v1/webhooks", &json!({"url": "https://hooks.example.com/theirs"})).await.expect(201);
    let path = format!("/_/webhooks/{}", id_of(&made));
    for get in ["", "/edit", "/rotate"] {
        let _ = page(&ada, &format!("{path}{get}")).await.expect(404);
    }
    for act in ["", "/rotate", "/test", "/switch", "/delete"] {
        let _ = submit(&ada, &format!("{path}{act}"), &[("url", "https://x.example")]).await.expect(404);
    }
    assert!(!page(&ada, "/_/webhooks").await.expect(200).text().contains("theirs"));
}
