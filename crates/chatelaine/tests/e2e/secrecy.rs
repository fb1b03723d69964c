//! No plaintext anywhere: not in the database, not in a log, not in a number, not in an answer that
//! did not make it.

use serde_json::json;
use testkit::{Upstream, World};

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

on_both! {
    no_secret_is_where_it_does_not_belong;
}

async fn no_secret_is_where_it_does_not_belong(world: &World) {
    let upstream = Upstream::start().await;
    let owner = world.secret();
    let key = world.key("canary", json!({"name": "Canary"})).await;
    let rotated = owner.post(&format!("/v1/api-keys/{}/rotate", key.id()), &json!({})).await.expect(200).data();
    let replayed = owner
        .request("POST", "/v1/api-keys")
        .header("idempotency-key", "canary")
        .json(&json!({"name": "Replayed"}))
        .send()
        .await;
    let replayed = replayed.expect(201).data();
    let (widget, account) = (world.widget().await, world.service_account().await);
    let bot = world.bot().await;
    let header = "Bearer canary-upstream-secret-5f0c";
    world.add_integration(&bot, &upstream, "echo-words", json!({"headers": {"authorization": header}})).await;
    let session = world.open_session("session", &widget, &bot).await;
    let _ = session.say("hello").await.rest().await;
    let revoked = world.key("revoked", json!({"name": "Revoked"})).await;
    let _ = owner.delete(&format!("/v1/api-keys/{}", revoked.id())).await.expect(200);
    let _ = key.at(Some("https://example.com")).get("/v1/me").await.refused(403, "SECRET_KEY_IN_BROWSER");
    let _ = world.client().get(&format!("/v1/me?api_key={}", key.credential())).send().await;
    let _ = world
        .client()
        .get("/v1/me")
        .bearer(&format!("{}x", key.credential()))
        .send()
        .await
        .refused(401, "INVALID_API_KEY");

    let secrets = [
        owner.credential(),
        key.credential(),
        rotated["key"].as_str().unwrap(),
        replayed["key"].as_str().unwrap(),
        widget.credential(),
        account.credential(),
        revoked.credential(),
        session.credential(),
        header.trim_start_matches("Bearer "),
    ];
    let mut places = vec![
        ("request log", world.server().request_log().into_bytes()),
        ("metrics", world.client().get("/metrics").send().await.expect(200).body.to_vec()),
        ("document", world.client().get("/openapi.json").send().await.expect(200).body.to_vec()),
    ];
    for path in [
        "/v1/audit-log?per_page=100",
        "/v1/api-keys?per_page=100",
        "/v1/me",
        "/v1/service-accounts",
        "/v1/bots",
        "/v1/conversations",
    ] {
        places.push((path, owner.get(path).await.expect(200).body.to_vec()));
    }
    let stored = world.server().database().bytes().await;
    assert!(holds(&stored, key.id()) && holds(&stored, "Canary"), "what is stored is seen");
    places.push(("database", stored));
    for (place, bytes) in &places {
        for secret in secrets {
            // Also no more of it than the display form shows.
            let middle = &secret[secret.len() / 2 - 6..secret.len() / 2 + 6];
            assert!(!holds(bytes, secret) && !holds(bytes, middle), "{place} holds {middle}");
        }
    }
    let shown = owner.get(&format!("/v1/api-keys/{}", key.id())).await.expect(200).text();
    assert!(!shown.contains("digest") && !shown.contains("pepper"), "{shown}");
}
