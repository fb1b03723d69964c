//! Channels: widgets that have a name, and servers that send signed messages and get signed replies.

use std::{sync::Arc, time::Duration};

use ambient::{ChannelId, Clock, ManualClock, SystemClock};
use credential::webhook::{WebhookSecret, sign, sign_plain, sign_timed, verify_plain};
use serde_json::{Value, json};
use testkit::{Answer, Backend, BotServer, Client, Options, World, eventually, id_of};

use crate::webhook_integration::is_signed_with;

on_both! {
    a_signed_message_is_taken_and_its_reply_is_sent_signed;
    each_way_of_signing_is_taken_and_nothing_else;
    what_comes_twice_is_said_once;
    a_user_has_one_conversation_until_it_is_ended;
    messages_of_a_conversation_are_answered_in_their_order;
    whatever_takes_no_message_is_one_and_the_same_404;
    what_does_not_fit_is_refused_by_its_field;
    a_channel_is_made_read_changed_and_deleted;
    its_secrets_are_shown_once_and_sealed;
    a_widget_channel_has_a_snippet_and_its_own_greeting;
    a_message_without_a_reply_is_told;
}

on_each! {
    during_a_rotation_both_secrets_count_and_after_it_the_new_one_alone;
    who_guesses_signatures_is_stopped_and_stops_no_other;
    a_bot_that_fails_for_a_while_answers_in_the_end;
    a_channel_and_its_workspace_have_a_budget;
}

/// A webhook channel as it was made.
pub(crate) struct Channel {
    pub(crate) client: Client,
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) reply_secret: String,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Channel {
    pub(crate) fn of(made: &Value, client: Client, clock: Arc<dyn Clock>) -> Self {
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Self { client, id: text("id"), secret: text("secret"), reply_secret: text("reply_secret"), clock }
    }

    fn path(&self) -> String {
        format!("/v1/channels/{}/messages", self.id)
    }

    /// A message with these headers, as it is.
    pub(crate) async fn call(&self, headers: &[(&str, &str)], body: &str) -> Answer {
        let request = self.client.request("POST", &self.path()).body("application/json", body.to_owned());
        headers.iter().fold(request, |request, (name, value)| request.header(name, value)).send().await
    }

    /// Signed as Standard Webhooks says, under this name, with a secret, so many seconds from now.
    pub(crate) async fn signed(&self, name: &str, body: &Value, (secret, off): (&str, i64)) -> Answer {
        let (text, time) = (body.to_string(), self.clock.now().seconds() + off);
        let signature = sign(&WebhookSecret::parse(secret).unwrap(), name, time, text.as_bytes()).unwrap();
        let time = time.to_string();
        let headers = [("webhook-id", name), ("webhook-timestamp", &time), ("webhook-signature", &signature)];
        self.call(&headers, &text).await
    }

    /// A good message of a user.
    pub(crate) async fn say(&self, name: &str, user: &str, text: &str) -> Answer {
        self.signed(name, &message(user, text), (&self.secret, 0)).await
    }
}

pub(crate) fn message(user: &str, text: &str) -> Value {
    json!({"message": text, "user": {"id": user}})
}

async fn make(world: &World, bot: &str, reply_url: &str) -> Channel {
    let body = json!({"kind": "webhook", "name": "Shop", "reply_url": reply_url, "signing": "plain"});
    let made = world.secret().post(&format!("/v1/bots/{bot}/channels"), &body).await.expect(201).data();
    let clock = world.server().running().app().clock().now();
    // Of a server whose clock stands still, the time of its making.
    let is_ours = clock.since(SystemClock::new().now()).abs() < 60_000;
    let clock: Arc<dyn Clock> = if is_ours { Arc::new(SystemClock::new()) } else { Arc::new(ManualClock::new(clock)) };
    Channel::of(&made, world.client(), clock)
}

/// What the store has to send of a channel, as kind and data, the oldest first.
async fn sent(world: &World) -> Vec<(String, Value)> {
    let query = "SELECT kind || ' ' || data FROM webhook_events WHERE kind LIKE 'channel.%' ORDER BY id";
    let rows = world.server().database().texts(query).await;
    let split = |row: &String| {
        let (kind, data) = row.split_once(' ').unwrap();
        (kind.to_owned(), serde_json::from_str(data).unwrap())
    };
    rows.iter().map(split).collect()
}

async fn wait_for_sent(world: &World, count: usize) -> Vec<(String, Value)> {
    assert!(
        eventually(Duration::from_secs(15), async || sent(world).await.len() >= count).await,
        "{:?}",
        sent(world).await
    );
    sent(world).await
}

async fn history(world: &World, conversation: &str) -> Vec<(String, String)> {
    let path = format!("/v1/conversations/{conversation}/messages?per_page=100");
    let rows = world.secret().get(&path).await.expect(200).data();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    rows.as_array().unwrap().iter().map(|row| (text(row, "role"), text(row, "content"))).collect()
}

async fn a_signed_message_is_taken_and_its_reply_is_sent_signed(world: &World) {
    let (server, bot) = (BotServer::start().await, world.bot().await);
    let channel = make(world, &bot, &server.url("/replies")).await;
    let body = json!({"message": "Grüß dich", "user": {"id": "ada", "name": "Ada"}, "metadata": {"plan": "gold"}});
    let taken = channel.signed("msg_1", &body, (&channel.secret, 0)).await.expect(202).data();
    assert_eq!(taken["duplicate"], false);
    let events = wait_for_sent(world, 1).await;
    let (kind, data) = &events[0];
    assert_eq!(kind, "channel.reply");
    let want = json!({
        "channel_id": channel.id, "conversation_id": taken["conversation_id"], "in_reply_to": taken["message_id"],
        "user": {"id": "ada", "name": "Ada"},
        "message": {
            "id": data["message"]["id"], "role": "assistant", "content": "You said: Grüß dich",
            "created_at": data["message"]["created_at"],
        },
    });
    assert_eq!(data, &want);
    let conversation = taken["conversation_id"].as_str().unwrap();
    let said = |role: &str, text: &str| (role.to_owned(), text.to_owned());
    let want = [said("user", "Grüß dich"), said("assistant", "You said: Grüß dich")];
    assert_eq!(history(world, conversation).await, want);
    let shown = world.secret().get(&format!("/v1/conversations/{conversation}")).await.expect(200).data();
    assert_eq!((&shown["channel"], &shown["user_identifier"]), (&json!("webhook"), &json!("ada")), "{shown}");
    assert_eq!(shown["metadata"], json!({"plan": "gold"}));

    // It goes out as every event does.
    let came = eventually(Duration::from_secs(15), async || !server.received("/replies").is_empty()).await;
    assert!(came, "the reply was not delivered");
    let one = &server.received("/replies")[0];
    assert!(is_signed_with(&channel.reply_secret, one), "{:?}", one.headers);
    assert!(!is_signed_with(&channel.secret, one), "what signs messages signs no replies");
    assert!(verify_plain(channel.reply_secret.as_bytes(), &one.body, one.header("x-chatbot-signature")));
    assert_eq!((&one.json()["type"], &one.json()["data"]), (&json!("channel.reply"), data));
}

async fn each_way_of_signing_is_taken_and_nothing_else(world: &World) {
    let bot = world.bot().await;
    let channel = make(world, &bot, "https://app.example.com/replies").await;
    let other = make(world, &bot, "https://app.example.com/replies").await;
    let body = message("ada", "hello").to_string();
    let secret = WebhookSecret::parse(&channel.secret).unwrap();
    let now = channel.clock.now().seconds();
    let plain = sign_plain(channel.secret.as_bytes(), body.as_bytes());
    let _ = channel.call(&[("X-Chatbot-Signature", &plain)], &body).await.expect(202);
    let timed = [
        ("X-Chatbot-Timestamp", &now.to_string()),
        ("X-Chatbot-Signature-V2", &sign_timed(&secret, now, body.as_bytes())),
    ];
    let _ = channel.call(&timed.map(|(name, value)| (name, value.as_str())), &body).await.expect(202);
    let _ = channel.say("msg_1", "ada", "hello").await.expect(202);
    assert_eq!(world.server().database().texts("SELECT delivery_id FROM channel_deliveries").await.len(), 3);

    let good = message("ada", "hello");
    for (answer, why) in [
        (channel.call(&[], &body).await, "no signature"),
        (channel.signed("msg_2", &good, (&other.secret, 0)).await, "another channel's secret"),
        (channel.signed("msg_2", &good, (&channel.reply_secret, 0)).await, "the secret of its replies"),
        (channel.signed("msg_2", &good, (&channel.secret, -302)).await, "stale"),
        (channel.signed("msg_2", &good, (&channel.secret, 302)).await, "ahead"),
        (channel.call(&[("X-Chatbot-Signature", &plain)], &body.replace("hello", "HELLO")).await, "another body"),
        (channel.call(&[("X-Chatbot-Signature", &plain), ("webhook-signature", "v1,AAAA")], &body).await, "both"),
    ] {
        assert_eq!((answer.status, answer.code().as_str()), (401, "INVALID_SIGNATURE"), "{why}: {}", answer.text());
    }
    assert_eq!(world.server().database().texts("SELECT delivery_id FROM channel_deliveries").await.len(), 3);
}

async fn what_comes_twice_is_said_once(world: &World) {
    let bot = world.bot().await;
    let channel = make(world, &bot, "https://app.example.com/replies").await;
    let first = channel.say("msg_1", "ada", "hello").await.expect(202).data();
    let again = channel.say("msg_1", "ada", "hello").await.expect(202).data();
    assert_eq!((&again["duplicate"], &again["message_id"]), (&json!(true), &first["message_id"]));
    // Under the same name, nothing else is said either.
    let other = channel.say("msg_1", "bo", "something else").await.expect(202).data();
    assert_eq!((&other["duplicate"], &other["conversation_id"]), (&json!(true), &first["conversation_id"]));
    // Without a signed name, the body's own counts, and else the body.
    for (body, want) in [
        (json!({"message": "yes", "user": {"id": "ada"}}), false),
        (json!({"message": "yes", "user": {"id": "ada"}}), true),
        (json!({"message": "yes", "user": {"id": "ada"}, "id": "a"}), false),
        (json!({"message": "yes", "user": {"id": "ada"}, "id": "b"}), false),
        (json!({"message": "no", "user": {"id": "ada"}, "id": "b"}), true),
    ] {
        let text = body.to_string();
        let plain = sign_plain(channel.secret.as_bytes(), text.as_bytes());
        let taken = channel.call(&[("X-Chatbot-Signature", &plain)], &text).await.expect(202).data();
        assert_eq!(taken["duplicate"], want, "{body}");
    }
    let conversation = first["conversation_id"].as_str().unwrap();
    let _ = wait_for_sent(world, 4).await;
    let said: Vec<_> = history(world, conversation).await.into_iter().filter(|(role, _)| role == "user").collect();
    assert_eq!(said.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["hello", "yes", "yes", "yes"]);
}

async fn a_user_has_one_conversation_until_it_is_ended(world: &World) {
    let bot = world.bot().await;
    let channel = make(world, &bot, "https://app.example.com/replies").await;
    let other = make(world, &bot, "https://app.example.com/replies").await;
    let of = |taken: &Value| taken["conversation_id"].as_str().unwrap().to_owned();
    let first = of(&channel.say("1", "ada", "one").await.expect(202).data());
    assert_eq!(of(&channel.say("2", "ada", "two").await.expect(202).data()), first);
    assert_ne!(of(&channel.say("3", "bo", "one").await.expect(202).data()), first, "another user");
    assert_ne!(of(&other.say("1", "ada", "one").await.expect(202).data()), first, "another channel");
    let named = |user: &str, conversation: &str| json!({"message": "three", "user": {"id": user}, "conversation_id": conversation});
    let taken = channel.signed("4", &named("ada", &first), (&channel.secret, 0)).await.expect(202).data();
    assert_eq!(of(&taken), first);
    for (user, conversation, channel) in [
        ("bo", first.as_str(), &channel),
        ("ada", &first, &other),
        ("ada", "conv_00000000000000000000000001", &channel),
    ] {
        let answer = channel.signed("5", &named(user, conversation), (&channel.secret, 0)).await;
        let _ = answer.refused(404, "NOT_FOUND");
    }
    let _ = wait_for_sent(world, 5).await;
    let statement = format!("UPDATE conversations SET ended_at = 1 WHERE id = '{first}'");
    assert_eq!(world.server().database().execute(&statement).await, 1);
    let answer = channel.signed("6", &named("ada", &first), (&channel.secret, 0)).await;
    let _ = answer.refused(409, "CONFLICT");
    assert_ne!(of(&channel.say("7", "ada", "four").await.expect(202).data()), first, "the old one has ended");
}

async fn messages_of_a_conversation_are_answered_in_their_order(world: &World) {
    let (server, bot) = (BotServer::start().await, world.bot().await);
    world.switch_off(&bot).await;
    let slow = json!({"kind": "webhook", "url": server.url("/slow")});
    let _ = world.secret().post(&format!("/v1/bots/{bot}/integrations"), &slow).await.expect(201);
    let channel = make(world, &bot, "https://app.example.com/replies").await;
    let mut conversation = String::new();
    for text in ["one", "two", "three"] {
        let taken = channel.say(text, "ada", text).await.expect(202).data();
        conversation = taken["conversation_id"].as_str().unwrap().to_owned();
        // Two of one millisecond have no order.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let _ = wait_for_sent(world, 3).await;
    let said: Vec<_> = history(world, &conversation).await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(said, ["one", "Answer to: one", "two", "Answer to: two", "three", "Answer to: three"]);
    let seen = server.received("/slow");
    assert_eq!(seen[2].json()["messages"].as_array().unwrap().len(), 5, "each knows what was said before");
}

async fn whatever_takes_no_message_is_one_and_the_same_404(world: &World) {
    let bot = world.bot().await;
    let list = format!("/v1/bots/{bot}/channels");
    let off = make(world, &bot, "https://app.example.com/replies").await;
    let patch = world.secret().patch(&format!("/v1/channels/{}", off.id), &json!({"is_active": false})).await;
    assert_eq!(patch.expect(200).data()["is_active"], false);
    let gone = make(world, &bot, "https://app.example.com/replies").await;
    let _ = world.secret().delete(&format!("/v1/channels/{}", gone.id)).await.expect(204);
    let mut widget = make(world, &bot, "https://app.example.com/replies").await;
    widget.id = id_of(&world.secret().post(&list, &json!({"kind": "widget", "name": "W"})).await.expect(201));
    let mut absent = make(world, &bot, "https://app.example.com/replies").await;
    absent.id = "ch_00000000000000000000000001".to_owned();
    let want = absent.say("1", "ada", "hello").await.refused(404, "NOT_FOUND").body_without_id();
    for channel in [off, gone, widget] {
        assert_eq!(channel.say("1", "ada", "hello").await.refused(404, "NOT_FOUND").body_without_id(), want);
    }
    absent.id = "nonsense".to_owned();
    assert_eq!(absent.say("1", "ada", "hello").await.refused(404, "NOT_FOUND").body_without_id(), want);
}

async fn what_does_not_fit_is_refused_by_its_field(world: &World) {
    let bot = world.bot().await;
    let channel = make(world, &bot, "https://app.example.com/replies").await;
    let user = json!({"id": "ada"});
    for (body, field) in [
        (json!({"user": user}), "message"),
        (json!({"message": "", "user": user}), "message"),
        (json!({"message": "x".repeat(10_001), "user": user}), "message"),
        (json!({"message": "hi", "user": {"id": " "}}), "user.id"),
        (json!({"message": "hi", "user": {"id": "x".repeat(256)}}), "user.id"),
        (json!({"message": "hi", "user": {"id": "ada", "name": "x".repeat(256)}}), "user.name"),
        (json!({"message": "hi", "user": user, "metadata": {"a": "x".repeat(5000)}}), "metadata"),
        (json!({"message": "hi", "user": user, "id": ""}), "id"),
        (json!({"message": "hi\u{0}", "user": user}), "message"),
    ] {
        let answer = channel.signed("msg_1", &body, (&channel.secret, 0)).await.refused(422, "VALIDATION_FAILED");
        assert_eq!(answer.json()["error"]["errors"][0]["field"], field, "{body}: {}", answer.text());
    }
    let _ =
        channel.signed("1", &json!({"message": "hi", "user": user, "x": 1}), (&channel.secret, 0)).await.expect(422);
    let list = format!("/v1/bots/{bot}/channels");
    for (body, field) in [
        (json!({"kind": "webhook", "name": "A"}), "reply_url"),
        (json!({"kind": "webhook", "name": "A", "reply_url": "https://10.0.0.5/"}), "reply_url"),
        (json!({"kind": "webhook", "name": "A", "reply_url": "nonsense"}), "reply_url"),
        (json!({"kind": "webhook", "name": "A", "reply_url": "https://a.example.com/", "title": "T"}), "title"),
        (json!({"kind": "widget", "name": "A", "reply_url": "https://a.example.com/"}), "reply_url"),
        (json!({"kind": "widget", "name": " "}), "name"),
        (json!({"kind": "widget", "name": "A", "color": "red"}), "color"),
        (json!({"kind": "widget", "name": "A", "greeting": "x".repeat(2001)}), "greeting"),
    ] {
        let answer = world.secret().post(&list, &body).await.refused(422, "VALIDATION_FAILED");
        assert_eq!(answer.json()["error"]["errors"][0]["field"], field, "{body}: {}", answer.text());
    }
}

async fn a_channel_is_made_read_changed_and_deleted(world: &World) {
    let (by, bot) = (world.secret(), world.bot().await);
    let list = format!("/v1/bots/{bot}/channels");
    let body = json!({"kind": "webhook", "name": "Shop", "reply_url": "https://app.example.com/replies"});
    let made = by.post(&list, &body).await.expect(201).data();
    let id: ChannelId = made["id"].as_str().unwrap().parse().unwrap();
    let path = format!("/v1/channels/{id}");
    let shown = by.get(&path).await.expect(200).data();
    assert_eq!((&shown["kind"], &shown["reply_url"]), (&body["kind"], &body["reply_url"]));
    assert_eq!(shown["inbound_url"], format!("{}{path}/messages", world.server().url()));
    assert_eq!((&shown["is_active"], &shown["snippet"]), (&json!(true), &Value::Null));
    let change = json!({"name": "Store", "reply_url": "https://app.example.com/other", "is_active": false});
    let changed = by.patch(&path, &change).await.expect(200).data();
    for name in ["name", "reply_url", "is_active"] {
        assert_eq!(changed[name], change[name], "{name}");
    }
    let page = by.get(&list).await.expect(200).json();
    assert_eq!((&page["meta"]["total"], &page["data"][0]["id"]), (&json!(1), &made["id"]));
    // Its endpoint is nobody's but its own.
    let hooks = world.server().database().texts("SELECT owner_id FROM webhooks").await;
    assert_eq!(hooks, [id.to_string()]);
    let _ = by.delete(&path).await.expect(204);
    let _ = by.get(&path).await.refused(404, "NOT_FOUND");
    assert!(world.server().database().texts("SELECT id FROM webhooks").await.is_empty());
}

async fn its_secrets_are_shown_once_and_sealed(world: &World) {
    let (by, bot) = (world.secret(), world.bot().await);
    let channel = make(world, &bot, "https://app.example.com/replies").await;
    let path = format!("/v1/channels/{}", channel.id);
    assert!(channel.secret.starts_with("whsec_") && channel.reply_secret.starts_with("whsec_"));
    assert_ne!(channel.secret, channel.reply_secret);
    for text in [
        by.get(&path).await.text(),
        by.get(&format!("/v1/bots/{bot}/channels")).await.text(),
        by.patch(&path, &json!({"name": "Other"})).await.text(),
        by.get("/v1/audit-log").await.text(),
    ] {
        assert!(text.contains(&channel.id), "{text}");
        assert!(!text.contains(&channel.secret) && !text.contains(&channel.reply_secret), "{text}");
    }
    let stored = world.server().database().bytes().await;
    let holds = |needle: &str| stored.windows(needle.len()).any(|window| window == needle.as_bytes());
    assert!(holds(&channel.id));
    assert!(
        !holds(channel.secret.trim_start_matches("whsec_"))
            && !holds(channel.reply_secret.trim_start_matches("whsec_"))
    );
}

async fn a_widget_channel_has_a_snippet_and_its_own_greeting(world: &World) {
    let (by, bot) = (world.secret(), world.bot().await);
    let body = json!({"kind": "widget", "name": "Help", "title": "Ask \"us\"", "color": "#0a7c66", "greeting": "Hi!"});
    let made = by.post(&format!("/v1/bots/{bot}/channels"), &body).await.expect(201).data();
    let (id, snippet) = (made["id"].as_str().unwrap(), made["snippet"].as_str().unwrap());
    assert!(made["secret"].is_null() && made["inbound_url"].is_null(), "{made}");
    for part in [&bot, id, "data-title=\"Ask &quot;us&quot;\"", "data-accent-color=\"#0a7c66\"", world.server().url()] {
        assert!(snippet.contains(part), "{part}: {snippet}");
    }
    let _ = by.post(&format!("/v1/channels/{id}/rotate-secret"), &json!({})).await.refused(409, "CONFLICT");
    let open = json!({"agent_id": bot, "channel_id": id});
    let opened = world.widget().await.post("/v1/chat/sessions", &open).await.expect(201).json();
    assert_eq!(opened["greeting"], "Hi!");
    let counted = format!("SELECT id FROM conversations WHERE channel_id = '{id}'");
    assert_eq!(world.server().database().texts(&counted).await, [opened["conversation_id"].as_str().unwrap()]);
    let other = world.bot().await;
    let webhook = make(world, &bot, "https://app.example.com/replies").await.id;
    for (agent, channel) in [(&other, id), (&bot, webhook.as_str()), (&bot, "nonsense")] {
        let open = json!({"agent_id": agent, "channel_id": channel});
        let _ = by.post("/v1/chat/sessions", &open).await.refused(404, "NOT_FOUND");
    }
    let _ = by.patch(&format!("/v1/channels/{id}"), &json!({"is_active": false})).await.expect(200);
    let _ = by.post("/v1/chat/sessions", &open).await.refused(404, "NOT_FOUND");
    let plain = by.patch(&format!("/v1/channels/{id}"), &json!({"greeting": null, "is_active": true})).await;
    assert_eq!(plain.expect(200).data()["greeting"], Value::Null);
}

async fn a_message_without_a_reply_is_told(world: &World) {
    let bot = world.bot().await;
    world.switch_off(&bot).await;
    let channel = make(world, &bot, "https://app.example.com/replies").await;
    let taken = channel.say("1", "ada", "hello").await.expect(202).data();
    let events = wait_for_sent(world, 1).await;
    assert_eq!(events[0].0, "channel.failed");
    let data = &events[0].1;
    assert_eq!((&data["error"], &data["in_reply_to"]), (&json!("not_configured"), &taken["message_id"]));
    assert_eq!(data["user"], json!({"id": "ada"}));
    // What waits behind it is not lost with it.
    let _ = channel.say("2", "ada", "hello?").await.expect(202);
    assert_eq!(wait_for_sent(world, 2).await.len(), 2);
}

async fn during_a_rotation_both_secrets_count_and_after_it_the_new_one_alone(backend: Backend) {
    let clock = Arc::new(ManualClock::new("2026-11-22T12:00:00Z".parse().unwrap()));
    let world = World::with(backend, Options { clock: clock.clone(), ..Options::default() }).await;
    let bot = world.bot().await;
    let mut channel = make(&world, &bot, "https://app.example.com/replies").await;
    channel.clock = clock.clone();
    let path = format!("/v1/channels/{}/rotate-secret", channel.id);
    let rotated = world.secret().post(&path, &json!({})).await.expect(200).data();
    let (old, new) = (channel.secret.clone(), rotated["secret"].as_str().unwrap().to_owned());
    assert!(new != old && rotated["reply_secret"].as_str().unwrap() != channel.reply_secret);
    assert_eq!(rotated["previous_secret_expires_at"], "2026-11-23T12:00:00.000Z", "{rotated}");
    let body = message("ada", "hello");
    let _ = channel.signed("1", &body, (&old, 0)).await.expect(202);
    let _ = channel.signed("2", &body, (&new, 0)).await.expect(202);
    let both = "SELECT id FROM webhooks WHERE previous_sealed IS NOT NULL AND previous_until IS NOT NULL";
    assert_eq!(world.server().database().texts(both).await.len(), 1, "and its replies are signed with both");
    clock.advance(Duration::from_secs(24 * 3600 - 1));
    let _ = channel.signed("3", &body, (&old, 0)).await.expect(202);
    clock.advance(Duration::from_secs(1));
    let _ = channel.signed("4", &body, (&old, 0)).await.refused(401, "INVALID_SIGNATURE");
    let _ = channel.signed("5", &body, (&new, 0)).await.expect(202);
    world.end().await;
}

async fn who_guesses_signatures_is_stopped_and_stops_no_other(backend: Backend) {
    let mut options = Options::default();
    options.limits.failures_per_minute = 3;
    let world = World::with(backend, options).await;
    let bot = world.bot().await;
    let channel = make(&world, &bot, "https://app.example.com/replies").await;
    let mut statuses = Vec::new();
    for n in 0..6 {
        let body = message("ada", &n.to_string());
        statuses.push(channel.signed("1", &body, ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 0)).await.status);
    }
    assert_eq!(statuses, [401, 401, 401, 429, 429, 429]);
    let mut absent = make(&world, &bot, "https://app.example.com/replies").await;
    absent.id = "ch_00000000000000000000000001".to_owned();
    let _ = absent.say("1", "ada", "hello").await.expect(429);
    // A sender behind the same address goes on.
    let _ = channel.say("1", "ada", "hello").await.expect(202);
    world.end().await;
}

async fn a_bot_that_fails_for_a_while_answers_in_the_end(backend: Backend) {
    let clock = Arc::new(ManualClock::new("2026-11-22T12:00:00Z".parse().unwrap()));
    let world = World::with(backend, Options { clock: clock.clone(), ..Options::default() }).await;
    let (server, bot) = (BotServer::start().await, world.bot().await);
    world.switch_off(&bot).await;
    let broken = json!({"kind": "webhook", "url": server.url("/status-503")});
    let made = world.secret().post(&format!("/v1/bots/{bot}/integrations"), &broken).await.expect(201);
    let mut channel = make(&world, &bot, "https://app.example.com/replies").await;
    channel.clock = clock.clone();
    let taken = channel.say("1", "ada", "hello").await.expect(202).data();
    let asked = async |count| {
        let seen = eventually(Duration::from_secs(10), async || {
            world.server().running().app().chat().wake_channels();
            server.received("/status-503").len() == count
        });
        assert!(seen.await, "{} instead of {count}", server.received("/status-503").len());
        // Until it is noted that it failed.
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    asked(1).await;
    clock.advance(Duration::from_secs(4));
    asked(1).await;
    clock.advance(Duration::from_secs(1));
    asked(2).await;
    assert!(sent(&world).await.is_empty(), "it is not given up");
    let mended = json!({"url": server.url("/answer")});
    let _ = world.secret().patch(&format!("/v1/integrations/{}", id_of(&made)), &mended).await.expect(200);
    clock.advance(Duration::from_secs(30));
    world.server().running().app().chat().wake_channels();
    let events = wait_for_sent(&world, 1).await;
    assert_eq!(events[0].1["message"]["content"], "Answer to: hello");
    let said = history(&world, taken["conversation_id"].as_str().unwrap()).await;
    assert_eq!(said.len(), 2, "said once, answered once: {said:?}");
    world.end().await;
}

async fn a_channel_and_its_workspace_have_a_budget(backend: Backend) {
    let mut options = Options::default();
    options.limits.widget_messages_per_minute = 2;
    let world = World::with(backend, options).await;
    let bot = world.bot().await;
    let channel = make(&world, &bot, "https://app.example.com/replies").await;
    let other = make(&world, &bot, "https://app.example.com/replies").await;
    for name in ["1", "2"] {
        let _ = channel.say(name, "ada", "hello").await.expect(202);
    }
    let refused = channel.say("3", "ada", "hello").await.refused(429, "RATE_LIMITED");
    assert!(!refused.header("retry-after").is_empty());
    let _ = other.say("1", "ada", "hello").await.expect(202);
    world.end().await;
}
