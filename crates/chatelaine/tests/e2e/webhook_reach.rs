//! How far endpoints reach: a key has nothing sent that it could not read, another address has another secret, and
//! what was deleted is not sent again. And channels: what signs a message, and copies of it with less of that.

use std::sync::Arc;

use ambient::{Clock, SystemClock};
use credential::webhook::{WebhookSecret, sign, sign_plain, sign_timed};
use serde_json::{Value, json};
use testkit::{BotServer, Persona, World};

use crate::{
    channels::{Channel, message},
    receiver::{Receiver, Reply},
};

on_both! {
    a_key_has_nothing_sent_that_it_could_not_read;
    a_narrower_list_does_not_hide_what_was_heard_before;
    another_address_has_another_secret;
    what_was_deleted_is_not_sent_again;
    a_channel_takes_standard_webhooks_alone_unless_it_says_otherwise;
    a_copy_without_the_stronger_signatures_is_the_same_message;
    the_endpoint_of_a_channel_is_nobodys_to_change;
}

const URL: &str = "https://hooks.example.com/a";

fn path(webhook: &Value) -> String {
    format!("/v1/webhooks/{}", webhook["id"].as_str().unwrap())
}

async fn key(world: &World, scopes: &[&str]) -> Persona {
    world.key("narrow", json!({"name": "narrow", "scopes": scopes})).await
}

async fn a_key_has_nothing_sent_that_it_could_not_read(world: &World) {
    let narrow = key(world, &["webhooks:write", "webhooks:read", "contacts:read"]).await;
    let contacts = json!({"url": URL, "events": ["contact.created", "webhook.disabled"]});
    let own = narrow.post("/v1/webhooks", &contacts).await.expect(201).data();
    for (events, scope) in [
        (json!(["message.created"]), "conversations:read"),
        (json!(["contact.created", "run.failed"]), "runs:read"),
        (json!(["agent_loop.finished"]), "agent-loops:read"),
        (json!(["api_key.created"]), "api-keys:read"),
        (json!(["credits.low"]), "usage:read"),
        (Value::Null, "conversations:read"),
    ] {
        let made = narrow.post("/v1/webhooks", &json!({"url": URL, "events": events})).await;
        let changed = narrow.patch(&path(&own), &json!({"events": events})).await;
        for refused in [made, changed] {
            let refused = refused.refused(403, "INSUFFICIENT_PERMISSIONS").json();
            assert_eq!(refused["error"]["required_scope"], scope, "{events}");
        }
    }
    let all = world.secret().post("/v1/webhooks", &json!({"url": URL})).await.expect(201).data();
    let nothing = json!({});
    for refused in [
        narrow.patch(&path(&all), &json!({"url": "https://hooks.example.com/b"})).await,
        narrow.patch(&path(&all), &json!({"is_active": true})).await,
        narrow.patch(&path(&all), &json!({"events": ["contact.created"]})).await,
        narrow.post(&format!("{}/rotate-secret", path(&all)), &nothing).await,
        narrow.post(&format!("{}/recover", path(&all)), &json!({"since": "2026-01-01T00:00:00Z"})).await,
        narrow.post(&format!("{}/attempts/att_00000000000000000000000001/replay", path(&all)), &nothing).await,
    ] {
        let _ = refused.refused(403, "INSUFFICIENT_PERMISSIONS");
    }
    let _ = narrow.patch(&path(&all), &json!({"description": "theirs"})).await.expect(200);
    let _ = narrow.patch(&path(&own), &json!({"url": "https://hooks.example.com/c"})).await.expect(200);
    let _ = narrow.post(&format!("{}/rotate-secret", path(&own)), &nothing).await.expect(200);
    let admin = world.member("admin", "admin").await;
    let _ = admin.post("/v1/webhooks", &json!({"url": URL})).await.expect(201);
}

async fn a_narrower_list_does_not_hide_what_was_heard_before(world: &World) {
    let (by, narrow) = (world.secret(), key(world, &["webhooks:write", "webhooks:read", "contacts:read"]).await);
    let off = by.post("/v1/webhooks", &json!({"url": URL})).await.expect(201).data();
    let _ = world.session().await;
    let _ = by.patch(&path(&off), &json!({"events": ["contact.created"]})).await.expect(200);
    let refused = narrow.patch(&path(&off), &json!({"url": "https://hooks.example.com/b"})).await;
    let refused = refused.refused(403, "INSUFFICIENT_PERMISSIONS").json();
    assert_eq!(refused["error"]["required_scope"], "conversations:read");
}

async fn another_address_has_another_secret(world: &World) {
    let by = world.secret();
    let receiver = Receiver::start(|_| Reply::Answer(200, "", String::new())).await;
    let made = by.post("/v1/webhooks", &json!({"url": receiver.url("/old")})).await.expect(201).data();
    let old = made["secret"].as_str().unwrap();
    let _ = by.post(&format!("{}/rotate-secret", path(&made)), &json!({})).await.expect(200);
    let same = by.patch(&path(&made), &json!({"url": receiver.url("/old")})).await.expect(200).data();
    assert_eq!(same["secret"], Value::Null, "it is where it was");
    assert_ne!(same["previous_secret_expires_at"], Value::Null);
    let moved = by.patch(&path(&made), &json!({"url": receiver.url("/new")})).await.expect(200).data();
    let new = moved["secret"].as_str().unwrap();
    assert_eq!(moved["previous_secret_expires_at"], Value::Null);
    let _ = by.post(&format!("{}/test", path(&made)), &json!({})).await.expect(202);
    let one = receiver.wait("/new", 1).await.remove(0);
    let now = world.server().running().app().clock().now();
    assert!(one.verify(new, now).is_ok() && one.verify(old, now).is_err());
    let shown = by.get(&path(&made)).await.expect(200).text();
    assert!(!shown.contains(new) && !shown.contains("\"secret\""), "{shown}");
}

async fn what_was_deleted_is_not_sent_again(world: &World) {
    let by = world.secret();
    let receiver = Receiver::start(|_| Reply::Answer(200, "", String::new())).await;
    let events = json!(["contact.created", "conversation.created", "message.created"]);
    let hook = json!({"url": receiver.url("/all"), "events": events});
    let hook = by.post("/v1/webhooks", &hook).await.expect(201).data();
    let session = world.session().await;
    let _ = session.say("my IBAN is DE1234").await.rest().await;
    let contact = by.post("/v1/contacts", &json!({"name": "Bob", "email": "bob@x.example"})).await.expect(201).data();
    let stays = by.post("/v1/contacts", &json!({"name": "Eve", "email": "eve@x.example"})).await.expect(201).data();
    let _ = receiver.wait("/all", 5).await;
    let _ = by.delete(&format!("/v1/contacts/{}", contact["id"].as_str().unwrap())).await.expect(204);
    let _ = by.delete(&format!("/v1/conversations/{}", session.id())).await.expect(204);
    let kept = world.server().database().texts("SELECT data FROM webhook_events").await;
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(kept[0].contains(stays["id"].as_str().unwrap()));
    let list = format!("{}/attempts", path(&hook));
    let attempts = by.get(&list).await.expect(200).data();
    let mut again = 0;
    for attempt in attempts.as_array().unwrap() {
        let replayed = by.post(&format!("{list}/{}/replay", attempt["id"].as_str().unwrap()), &json!({})).await;
        again += u32::from(replayed.status == 202);
        assert!([202, 404].contains(&replayed.status), "{}", replayed.text());
    }
    assert!(again <= 1, "{again}");
}

async fn channel(world: &World, signing: Value) -> (Channel, Value) {
    let (bot, server) = (world.bot().await, BotServer::start().await);
    let mut body = json!({"kind": "webhook", "name": "Shop", "reply_url": server.url("/replies")});
    body["signing"] = signing;
    let made = world.secret().post(&format!("/v1/bots/{bot}/channels"), &body).await.expect(201).data();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    (Channel::of(&made, world.client(), clock), made)
}

/// Every header with which a message of this name can be signed, the strongest first.
fn signed(channel: &Channel, name: &str, body: &str) -> Vec<(&'static str, String)> {
    let (secret, now) = (WebhookSecret::parse(&channel.secret).unwrap(), channel.clock.now().seconds());
    vec![
        ("webhook-id", name.to_owned()),
        ("webhook-timestamp", now.to_string()),
        ("webhook-signature", sign(&secret, name, now, body.as_bytes()).unwrap()),
        ("X-Chatbot-Timestamp", now.to_string()),
        ("X-Chatbot-Signature-V2", sign_timed(&secret, now, body.as_bytes())),
        ("X-Chatbot-Signature", sign_plain(channel.secret.as_bytes(), body.as_bytes())),
    ]
}

async fn send(channel: &Channel, headers: &[(&'static str, String)], body: &str) -> testkit::Answer {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    channel.call(&headers, body).await
}

async fn a_channel_takes_standard_webhooks_alone_unless_it_says_otherwise(world: &World) {
    let (channel, made) = channel(world, Value::Null).await;
    assert_eq!(made["signing"], "standard_webhooks");
    let body = message("ada", "transfer 100").to_string();
    let all = signed(&channel, "msg_1", &body);
    assert_eq!(send(&channel, &all, &body).await.expect(202).data()["duplicate"], false);
    assert_eq!(send(&channel, &all, &body).await.expect(202).data()["duplicate"], true);
    for stripped in [&all[3..], &all[5..]] {
        let _ = send(&channel, stripped, &body).await.refused(401, "INVALID_SIGNATURE");
    }
    let changed = json!({"signing": "plain"});
    let shown = world.secret().patch(&format!("/v1/channels/{}", channel.id), &changed).await.expect(200).data();
    assert_eq!(shown["signing"], "plain");
    let other = message("ada", "another").to_string();
    let _ = send(&channel, &signed(&channel, "msg_2", &other)[5..], &other).await.expect(202);
}

async fn a_copy_without_the_stronger_signatures_is_the_same_message(world: &World) {
    let (channel, _) = channel(world, json!("plain")).await;
    for (name, body) in [
        ("msg_1", message("ada", "transfer 100")),
        ("msg_2", json!({"message": "yes", "user": {"id": "ada"}, "id": "own"})),
    ] {
        let body = body.to_string();
        let all = signed(&channel, name, &body);
        let first = send(&channel, &all, &body).await.expect(202).data();
        assert_eq!(first["duplicate"], false);
        for stripped in [&all[3..], &all[5..]] {
            let copy = send(&channel, stripped, &body).await.expect(202).data();
            assert_eq!((&copy["duplicate"], &copy["message_id"]), (&json!(true), &first["message_id"]), "{name}");
        }
    }
    // The same words again, signed under another name, are another message.
    let body = message("ada", "transfer 100").to_string();
    let again = send(&channel, &signed(&channel, "msg_3", &body), &body).await.expect(202).data();
    assert_eq!(again["duplicate"], false);
}

async fn the_endpoint_of_a_channel_is_nobodys_to_change(world: &World) {
    let (by, bot) = (world.secret(), world.bot().await);
    let body = json!({"kind": "webhook", "name": "C", "reply_url": URL});
    let _ = by.post(&format!("/v1/bots/{bot}/channels"), &body).await.expect(201);
    // No list shows it; an event that tells of its end does.
    let found = world.server().database().texts("SELECT id FROM webhooks WHERE owner_id IS NOT NULL").await;
    let path = format!("/v1/webhooks/{}", found[0]);
    let elsewhere = json!({"url": "https://evil.example.com/"});
    for (method, path, body) in [
        ("GET", path.clone(), json!({})),
        ("PATCH", path.clone(), elsewhere),
        ("PATCH", path.clone(), json!({"description": "mine"})),
        ("POST", format!("{path}/test"), json!({})),
        ("POST", format!("{path}/rotate-secret"), json!({})),
        ("POST", format!("{path}/recover"), json!({"since": "2026-01-01T00:00:00Z"})),
        ("GET", format!("{path}/attempts"), json!({})),
        ("DELETE", path.clone(), json!({})),
    ] {
        let _ = by.request(method, &path).json(&body).send().await.refused(404, "NOT_FOUND");
    }
    let kept = "SELECT url FROM webhooks WHERE owner_id IS NOT NULL";
    assert_eq!(world.server().database().texts(kept).await, [URL]);
}
