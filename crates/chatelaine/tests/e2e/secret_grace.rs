//! How long a rotated secret that signs still counts: as long as its owner says, a day at most.

use std::{fmt::Debug, str::FromStr, sync::Arc};

use ambient::{Clock, ManualClock, SystemClock};
use serde_json::{Value, json};
use testkit::World;

use crate::{
    channels::{Channel, message},
    receiver::{Receiver, Reply},
};

on_both! {
    an_endpoints_old_secret_ends_when_its_owner_says;
    a_channels_old_secrets_end_when_its_owner_says;
    an_integrations_old_secret_ends_when_its_owner_says;
    no_grace_is_longer_than_a_day;
}

async fn make(world: &World, list: &str, body: Value) -> (String, Value) {
    let made = world.secret().post(list, &body).await.expect(201).data();
    let resource = list.rsplit('/').next().unwrap();
    (format!("/v1/{resource}/{}", made["id"].as_str().unwrap()), made)
}

async fn rotate(world: &World, path: &str, seconds: u64) -> Value {
    let body = json!({"grace_seconds": seconds});
    world.secret().post(&format!("{path}/rotate-secret"), &body).await.expect(200).data()
}

/// How long from now the secret before counts, in seconds.
fn grace(rotated: &Value) -> i64 {
    let until: ambient::Millis = rotated["previous_secret_expires_at"].as_str().unwrap().parse().unwrap();
    // Whatever the requests have taken.
    (until.since(SystemClock::new().now()) + 9_999) / 10_000 * 10
}

/// Whether the secret before an endpoint's is kept.
async fn endpoint_keeps(world: &World, path: &str) -> bool {
    let endpoint = world.store().workspace(world.tenant()).webhook(id(path)).await.unwrap();
    assert_eq!(endpoint.previous_sealed.is_some(), endpoint.previous_until.is_some());
    endpoint.previous_sealed.is_some()
}

/// Whether those before a channel's are kept: of messages, and of replies.
async fn channel_keeps(world: &World, path: &str) -> [bool; 2] {
    let data = world.store().workspace(world.tenant());
    let channel = data.channel(id(path)).await.unwrap();
    let replies = data.owned_webhook(channel.webhook.unwrap()).await.unwrap();
    [channel.secret.previous.is_some(), replies.previous_sealed.is_some()]
}

async fn integration_keeps(world: &World, path: &str) -> bool {
    let integration = world.store().workspace(world.tenant()).integration(id(path)).await.unwrap();
    integration.secret.previous.is_some()
}

fn id<T: FromStr<Err: Debug>>(path: &str) -> T {
    path.rsplit('/').next().unwrap().parse().unwrap()
}

async fn an_endpoints_old_secret_ends_when_its_owner_says(world: &World) {
    let receiver = Receiver::start(|_| Reply::status(200)).await;
    let (path, made) = make(world, "/v1/webhooks", json!({"url": receiver.url("/a"), "events": ["run.failed"]})).await;
    let second = rotate(world, &path, 600).await;
    assert_eq!((grace(&second), endpoint_keeps(world, &path).await), (600, true));
    let third = rotate(world, &path, 0).await;
    assert_eq!((&third["previous_secret_expires_at"], endpoint_keeps(world, &path).await), (&Value::Null, false));
    let _ = world.secret().post(&format!("{path}/test"), &json!({})).await.expect(202);
    let came = receiver.wait("/a", 1).await.remove(0);
    let is_signed = |by: &Value| came.verify(by["secret"].as_str().unwrap(), SystemClock::new().now()).is_ok();
    assert_eq!([&made, &second, &third].map(is_signed), [false, false, true]);
    let audit = world.secret().get("/v1/audit-log?action=rotate_webhook_secret").await.expect(200).data();
    assert_eq!(audit[0]["detail"], json!({"grace_seconds": 0}));
}

async fn a_channels_old_secrets_end_when_its_owner_says(world: &World) {
    let bot = world.bot().await;
    let body = json!({"kind": "webhook", "name": "Shop", "reply_url": "https://app.example.com/replies"});
    let (path, made) = make(world, &format!("/v1/bots/{bot}/channels"), body).await;
    let channel = Channel::of(&made, world.client(), Arc::new(ManualClock::new(SystemClock::new().now())));
    let send = async |name: &str, by: &Value| {
        channel.signed(name, &message("ada", "hello"), (by["secret"].as_str().unwrap(), 0)).await
    };
    let second = rotate(world, &path, 600).await;
    assert_eq!((grace(&second), channel_keeps(world, &path).await), (600, [true, true]));
    let _ = send("1", &made).await.expect(202);
    let third = rotate(world, &path, 0).await;
    assert_eq!(third["previous_secret_expires_at"], Value::Null);
    assert_eq!(channel_keeps(world, &path).await, [false, false]);
    for (name, old) in [("2", &made), ("3", &second)] {
        let _ = send(name, old).await.refused(401, "INVALID_SIGNATURE");
    }
    let _ = send("4", &third).await.expect(202);
}

async fn an_integrations_old_secret_ends_when_its_owner_says(world: &World) {
    let bot = world.bot().await;
    let body = json!({"name": "Ours", "kind": "webhook", "url": "https://bots.example.com/answer"});
    let (path, made) = make(world, &format!("/v1/bots/{bot}/integrations"), body).await;
    let second = rotate(world, &path, 600).await;
    assert_eq!((grace(&second), integration_keeps(world, &path).await), (600, true));
    let third = rotate(world, &path, 0).await;
    assert_eq!((&third["previous_secret_expires_at"], integration_keeps(world, &path).await), (&Value::Null, false));
    assert!(third["secret"] != second["secret"] && second["secret"] != made["secret"]);
}

async fn no_grace_is_longer_than_a_day(world: &World) {
    let (by, bot) = (world.secret(), world.bot().await);
    let (endpoint, _) = make(world, "/v1/webhooks", json!({"url": "https://hooks.example.com/a"})).await;
    let body = json!({"kind": "webhook", "name": "Shop", "reply_url": "https://app.example.com/replies"});
    let (channel, _) = make(world, &format!("/v1/bots/{bot}/channels"), body).await;
    let body = json!({"name": "Ours", "kind": "webhook", "url": "https://bots.example.com/answer"});
    let (integration, _) = make(world, &format!("/v1/bots/{bot}/integrations"), body).await;
    for path in [endpoint, channel, integration] {
        let rotate = format!("{path}/rotate-secret");
        for wrong in [json!({"grace_seconds": 86_401}), json!({"grace_seconds": -1})] {
            let refused = by.post(&rotate, &wrong).await.refused(422, "VALIDATION_FAILED");
            assert_eq!(refused.json()["error"]["errors"][0]["field"], "grace_seconds", "{path}");
        }
        let day = by.request("POST", &rotate).send().await.expect(200).data();
        assert_eq!(grace(&day), 86_400, "{path}: a day where nothing is said");
    }
}
