//! The installation's secret is replaced: what it had sealed is sealed anew, and the old one can go.

use std::time::Duration;

use credential::webhook::WebhookSecret;
use serde_json::{Value, json};
use testkit::{Answer, Backend, Options, Upstream, World, id_of};

use crate::connections_of_tools::{Mirror, calling, deploy, run};

on_each! {
    what_the_old_secret_sealed_outlives_it;
    what_cannot_be_opened_any_more_can_be_sent_anew_and_deleted;
}

const SECRETS: [&str; 3] = [
    "AMHiHu5vOUxUqUqcBEvQkQ3iiEEpqkBQUVyoMqs3DXs=",
    "m1cmz8a0Dsx5SZGgnVVFrlwaN2nMaVQ6y4a4HCSOhIg=",
    "QXyX2f1pJ2T8lJ8O8uMnnkVwYtqzT8e3nQF0pGq9k0s=",
];

async fn start(backend: Backend) -> World {
    World::with(backend, Options { secrets: with(0, None), ..Options::default() }).await
}

pub(crate) fn with(current: usize, previous: Option<usize>) -> Option<(String, Option<String>)> {
    Some((SECRETS[current].to_owned(), previous.map(|one| SECRETS[one].to_owned())))
}

/// A connection and an integration with a secret, and what uses them.
struct Made {
    mirror: Mirror,
    upstream: Upstream,
    connection: String,
    integration: String,
    bot: String,
    deployment: String,
    key: String,
}

async fn make(world: &World) -> Made {
    let (mirror, upstream) = (Mirror::start().await, Upstream::start().await);
    let headers = json!({"Authorization": "Bearer of-the-tool-1"});
    let body = json!({"name": "C", "origin": mirror.origin, "headers": headers});
    let connection = id_of(&world.secret().post("/v1/connections", &body).await.expect(201));
    let (deployment, key) = deploy(world, &calling(&format!("{}/x", mirror.origin), &connection)).await;
    let bot = world.bot().await;
    world.switch_off(&bot).await;
    let extra = json!({"headers": {"Authorization": "Bearer of-the-bot-1"}});
    let integration = world.add_integration(&bot, &upstream, "echo-words", extra).await;
    let key = key.credential().to_owned();
    Made { mirror, upstream, connection, integration, bot, deployment, key }
}

impl Made {
    /// What the tool and the model are sent now.
    async fn sent(&self, world: &World) -> [Option<String>; 2] {
        let (calls, asked) = (self.mirror.heads().len(), self.upstream.requests().len());
        let _ = run(&world.anonymous().with("deployment", self.key.clone())).await;
        let session = world.open_session("session", &world.secret(), &self.bot).await;
        let _ = session.say("hello").await.rest().await;
        let head = self.mirror.heads().get(calls).cloned();
        let of_tool =
            head.and_then(|head| Some(head.lines().find_map(|l| l.strip_prefix("authorization: "))?.to_owned()));
        let of_bot = self.upstream.requests().get(asked).map(|request| request.header("authorization").to_owned());
        [of_tool, of_bot]
    }
}

fn both(tool: &str, bot: &str) -> [Option<String>; 2] {
    [Some(format!("Bearer {tool}")), Some(format!("Bearer {bot}"))]
}

async fn what_the_old_secret_sealed_outlives_it(backend: Backend) {
    let world = start(backend).await;
    let made = make(&world).await;
    let signed = json!({"kind": "webhook", "name": "S", "signing": "standard_webhooks"});
    let path = format!("/v1/deployments/{}/triggers", made.deployment);
    let trigger = id_of(&world.secret().post(&path, &signed).await.expect(201));
    assert_eq!(made.sent(&world).await, both("of-the-tool-1", "of-the-bot-1"));
    let world = world.restart_with(|options| options.secrets = with(1, Some(0))).await;
    // A key is renewed as it is used; headers and secrets are not waited for.
    let _ = world.secret().get("/v1/me").await.expect(200);
    let _ = world.anonymous().with("deployment", made.key.clone()).get("/v1/me").await.expect(200);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let world = world.restart_with(|options| options.secrets = with(1, None)).await;
    assert_eq!(made.sent(&world).await, both("of-the-tool-1", "of-the-bot-1"), "with the new secret alone");
    let (_, stored) = (world.tenant(), world.store().workspace(world.tenant()).trigger(trigger.parse().unwrap()).await);
    let (sealed, secret) = (stored.unwrap().secret_sealed.unwrap(), credential::RootSecret::parse(SECRETS[1]).unwrap());
    let place = format!("trigger.secret:{}:live:{trigger}", world.workspace());
    let opened = credential::Secrets::new(&secret, None).sealer().open(place.as_bytes(), &sealed).unwrap();
    assert!(WebhookSecret::parse(std::str::from_utf8(&opened).unwrap()).is_ok());
    world.end().await;
}

async fn what_cannot_be_opened_any_more_can_be_sent_anew_and_deleted(backend: Backend) {
    let world = start(backend).await;
    let made = make(&world).await;
    spoil(&world, &made).await;
    let lost = made.sent(&world).await;
    assert_eq!(lost, [None, None], "nothing goes out without its headers");
    let by = world.secret();
    let paths = [format!("/v1/connections/{}", made.connection), format!("/v1/integrations/{}", made.integration)];
    for path in &paths {
        let shown = by.patch(path, &json!({"name": "Renamed"})).await.expect(200).data();
        assert_eq!((&shown["name"], &shown["headers"]), (&json!("Renamed"), &json!({"authorization": "••••••••"})));
        let kept = json!({"headers": {"authorization": "••••••••", "x-team": "core"}});
        let refused: Answer = by.patch(path, &kept).await.refused(422, "VALIDATION_FAILED");
        let error = refused.json()["error"]["errors"][0].clone();
        assert_eq!(error["field"], "headers");
        assert!(error["message"].as_str().unwrap().contains("anew"), "{error}");
    }
    // Another path of the same host: the sealed headers go along as they are.
    let url = json!({"url": format!("{}/v2", url_of(&by.get(&paths[1]).await.expect(200).data()))});
    let _ = by.patch(&paths[1], &url).await.expect(200);
    assert_eq!(made.sent(&world).await, [None, None]);
    let back = json!({"url": url["url"].as_str().unwrap().trim_end_matches("/v2")});
    let _ = by.patch(&paths[1], &back).await.expect(200);
    for (path, value) in paths.iter().zip(["of-the-tool-2", "of-the-bot-2"]) {
        let body = json!({"headers": {"Authorization": format!("Bearer {value}")}});
        let _ = by.patch(path, &body).await.expect(200);
    }
    assert_eq!(made.sent(&world).await, both("of-the-tool-2", "of-the-bot-2"));
    spoil(&world, &made).await;
    let revoke = format!("/v1/deployments/{}/revoke", made.deployment);
    let _ = by.post(&revoke, &json!({"runs": "finish"})).await.expect(200);
    for path in &paths {
        let _ = by.delete(path).await.expect(204);
    }
    world.end().await;
}

fn url_of(integration: &Value) -> String {
    integration["url"].as_str().unwrap().trim_end_matches('/').to_owned()
}

/// Seals headers with a secret that nobody has.
async fn spoil(world: &World, made: &Made) {
    let stranger = credential::RootSecret::parse(SECRETS[2]).unwrap();
    let stranger = credential::Secrets::new(&stranger, None);
    for of in store::Sealed::ALL {
        for value in world.store().sealed_values(of, None, 100).await.unwrap() {
            assert!([&made.connection, &made.integration].contains(&&value.id));
            let sealed = stranger.sealer().seal(b"nowhere", b"{}", &ambient::OsRandom).unwrap();
            world.store().reseal(of, &value, sealed).await.unwrap();
        }
    }
}
