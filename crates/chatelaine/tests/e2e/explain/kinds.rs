//! Forty kinds of refusal and some more: each is made for real against a running server, and then explained by its
//! request's id, over the API and on the page. The true reason is named.

use std::{sync::Arc, time::Duration};

use ambient::{Clock, ManualClock, Millis, SystemClock};
use serde_json::{Value, json};
use testkit::{Answer, Backend, Options, Persona, World, drop_in, id_of};

use super::explain;
use crate::pages;

on_each! {
    the_true_reason_of_each_kind_of_refusal_is_named;
    a_budget_that_is_used_up_is_named;
}

/// What was refused, and the true reason.
struct Refused {
    id: String,
    code: String,
    reason: &'static str,
}

/// A server, and what it has refused.
struct Kinds {
    world: World,
    clock: Arc<ManualClock>,
    refused: Vec<Refused>,
}

impl Kinds {
    async fn on(backend: Backend) -> Self {
        let clock = Arc::new(ManualClock::new(Millis::from_seconds(SystemClock::new().now().seconds())));
        let options = Options { clock: clock.clone(), drop_in: Some(drop_in()), ..Options::default() };
        Self { world: World::with(backend, options).await, clock, refused: Vec::new() }
    }

    #[track_caller]
    fn was(&mut self, reason: &'static str, answer: &Answer) {
        assert!((400..600).contains(&answer.status), "{reason}: {} {}", answer.status, answer.text());
        let (id, code) = (answer.header("x-request-id").to_owned(), answer.text());
        self.refused.push(Refused { id, code, reason });
    }

    /// Asks about each, over the API and on the page.
    async fn are_explained(&mut self, owner: &Persona) {
        let by = self.world.secret();
        for Refused { id, code, reason } in self.refused.drain(..) {
            let found = explain(&by, &json!({"request_id": id})).await;
            assert_eq!(found["reason"], reason, "{code}: {found}");
            let page = pages::submit(owner, "/_/explain", &[("request_id", &id)]).await.expect(200);
            assert!(pages::says(&page, &format!("Reason {reason}")), "{reason}: {}", page.text());
        }
    }
}

async fn the_true_reason_of_each_kind_of_refusal_is_named(backend: Backend) {
    let mut kinds = Kinds::on(backend).await;
    let owner = kinds.world.member("olga", "owner").await;
    forms(&mut kinds).await;
    states(&mut kinds).await;
    places(&mut kinds).await;
    permissions(&mut kinds, &owner).await;
    tokens(&mut kinds).await;
    people(&mut kinds, &owner).await;
    requests(&mut kinds).await;
    drop_in_surface(&mut kinds).await;
    let mut seen: Vec<_> = kinds.refused.iter().map(|refused| refused.reason).collect();
    seen.sort_unstable();
    seen.dedup();
    assert!(kinds.refused.len() >= 50 && seen.len() >= 40, "{} of {} kinds", kinds.refused.len(), seen.len());
    kinds.are_explained(&owner).await;
    with_time(&mut kinds).await;
    let owner = kinds.world.sign_in("olga@people.example").await;
    kinds.are_explained(&owner).await;
    kinds.world.end().await;
}

async fn forms(kinds: &mut Kinds) {
    let world = &kinds.world;
    let (by, nobody) = (world.secret(), world.anonymous());
    let text = by.credential();
    let (short, last) = text.split_at(text.len() - 1);
    let mistyped = format!("{short}{}", if last == "a" { "b" } else { "a" });
    let odd = format!("{short}-");
    let unknown = crate::auth::unknown_key(world, credential::key::Family::Secret);
    let bearer = |text: &str| nobody.request("GET", "/v1/bots").bearer(text).send();
    let answers = [
        ("credential_missing", nobody.get("/v1/bots").await),
        ("credentials_several", by.request("GET", "/v1/bots").header("x-api-key", text).send().await),
        ("credential_malformed", nobody.request("GET", "/v1/bots").header("authorization", "Basic YTpi").send().await),
        ("key_length", bearer(short).await),
        ("key_alphabet", bearer(&odd).await),
        ("key_checksum", bearer(&mistyped).await),
        ("key_unknown", bearer(&unknown).await),
        ("key_unknown", bearer("made-elsewhere-and-never-imported-0123456789").await),
        ("unknown_path", by.get("/v1/botz").await),
        ("method_not_allowed", by.delete("/v1/bots").await),
    ];
    for (reason, answer) in &answers {
        kinds.was(reason, answer);
    }
}

async fn states(kinds: &mut Kinds) {
    let world = &kinds.world;
    let by = world.secret();
    let revoked = world.key("revoked", json!({"name": "Revoked"})).await;
    let _ = by.delete(&format!("/v1/api-keys/{}", revoked.id())).await.expect(200);
    let replaced = world.key("replaced", json!({"name": "Replaced"})).await;
    let path = format!("/v1/api-keys/{}/rotate", replaced.id());
    let _ = by.post(&path, &json!({"grace_seconds": 0})).await.expect(200);
    let ended = world.key("ended", json!({"name": "Ended"})).await;
    let path = format!("/v1/api-keys/{}", ended.id());
    let _ = by.post(&format!("{path}/rotate"), &json!({"grace_seconds": 3600})).await.expect(200);
    let _ = by.post(&format!("{path}/end-grace"), &json!({})).await.expect(200);
    let (account, disabled) = world.account("off", "admin").await;
    let _ = by.patch(&format!("/v1/service-accounts/{account}"), &json!({"is_active": false})).await.expect(200);
    let (account, deleted) = world.account("gone", "admin").await;
    assert!(by.delete(&format!("/v1/service-accounts/{account}")).await.status < 300);
    for (reason, key) in [
        ("key_revoked", revoked),
        ("secret_replaced", replaced),
        ("secret_replaced", ended),
        ("account_disabled", disabled),
        ("account_deleted", deleted),
    ] {
        let answer = key.get("/v1/bots").await.expect(401);
        kinds.was(reason, &answer);
    }
}

async fn places(kinds: &mut Kinds) {
    let world = &kinds.world;
    let widget = world.widget().await;
    let body = json!({"name": "W", "kind": "widget", "allowed_domains": ["example.com"], "allow_localhost": false});
    let strict = world.key("strict", body).await;
    let office = world.key("office", json!({"name": "Office", "allowed_ips": ["203.0.113.0/24"]})).await;
    let bot = json!({"agent_id": world.bot().await});
    let open = |by: Persona| async move { by.post("/v1/chat/sessions", &bot.clone()).await };
    let server = world.secret().at(Some("https://example.com")).get("/v1/bots").await;
    let fetched = world.secret().request("GET", "/v1/bots").header("sec-fetch-site", "cross-site").send().await;
    let answers = [
        ("origin_not_listed", widget.at(Some("https://evil.example"))),
        ("origin_null", widget.at(Some("null"))),
        ("origin_missing", widget.at(None)),
        ("origin_localhost", strict.at(Some("http://localhost:3000"))),
    ];
    let elsewhere = office.get("/v1/bots").await;
    let mut found =
        vec![("secret_in_browser", server), ("secret_in_browser", fetched), ("address_not_listed", elsewhere)];
    for (reason, by) in answers {
        found.push((reason, open.clone()(by).await));
    }
    for (reason, answer) in &found {
        kinds.was(reason, answer);
    }
}

async fn permissions(kinds: &mut Kinds, owner: &Persona) {
    let world = &kinds.world;
    let (widget, deployment, session) = (world.widget().await, world.deployment().await, world.session().await);
    let member = world.member("mia", "member").await;
    let elsewhere = format!("/v1/chat/sessions/{}/messages", world.session().await.id());
    let bot = json!({"name": "B"});
    let answers = [
        ("scope_missing", world.restricted().await.post("/v1/bots", &bot).await),
        ("role_missing", member.post("/v1/bots", &bot).await),
        ("wrong_kind", widget.get("/v1/bots").await),
        ("wrong_kind", deployment.get("/v1/bots").await),
        ("wrong_kind", session.get("/v1/bots").await),
        ("other_conversation", session.get(&elsewhere).await),
        ("other_page", owner.at(Some("https://evil.example")).post("/v1/bots", &bot).await),
        ("other_page", owner.at(None).post("/v1/bots", &bot).await),
    ];
    for (reason, answer) in &answers {
        kinds.was(reason, answer);
    }
}

async fn tokens(kinds: &mut Kinds) {
    let world = &kinds.world;
    let (by, bot) = (world.secret(), world.bot().await);
    let session = world.session().await;
    let (head, signature) = session.credential().rsplit_once('.').unwrap();
    let turned = format!("{head}.{}{}", if signature.starts_with('A') { "B" } else { "A" }, &signature[1..]);
    let forged = session.with("forged", turned);
    let opener = world.key("opener", json!({"name": "O", "scopes": ["chat:write"]})).await;
    let orphan = world.open_session("orphan", &opener, &bot).await;
    let _ = by.delete(&format!("/v1/api-keys/{}", opener.id())).await.expect(200);
    let opener = world.key("opener", json!({"name": "O", "scopes": ["chat:write"]})).await;
    let stale = world.open_session("stale", &opener, &bot).await;
    let _ = by.post(&format!("/v1/api-keys/{}/rotate", opener.id()), &json!({"grace_seconds": 0})).await.expect(200);
    let opener = world.key("opener", json!({"name": "O", "scopes": ["chat:write"]})).await;
    let narrowed = world.open_session("narrowed", &opener, &bot).await;
    let _ = by.patch(&format!("/v1/api-keys/{}", opener.id()), &json!({"scopes": ["bots:read"]})).await.expect(200);
    let ended = world.session().await;
    assert!(ended.end_session().await.status < 300);
    let on_page = world.widget_session().await;
    let (deployment, other) = (world.deployment().await, world.deployment().await);
    let run = ambient::RunId(ambient::Ulid(7));
    let participant = world.participant(&deployment, run, "customer");
    let mut claims = world.participant_claims(&deployment, run, "customer");
    claims.deployment = other.id().parse::<ambient::KeyId>().map(|key| ambient::DeploymentId(key.0)).unwrap();
    let token = world.server().running().tokens().sign_participant(&claims).unwrap();
    let foreign = participant.with("foreign", token);
    let run_path = "/api/participant/run";
    let mut answers = Vec::new();
    for (reason, by) in [
        ("token_forged", forged),
        ("token_parent", orphan),
        ("token_stale", stale),
        ("token_parent_narrowed", narrowed),
        ("session_ended", ended),
        ("session_origin", on_page.at(Some("https://other.example"))),
    ] {
        answers.push((reason, by.get(&by.messages()).await));
    }
    answers.push(("token_stale", foreign.get(run_path).await));
    answers.push(("not_found", participant.get(run_path).await));
    answers.push(("wrong_kind", participant.get("/v1/me").await));
    for (reason, answer) in &answers {
        kinds.was(reason, answer);
    }
}

async fn people(kinds: &mut Kinds, owner: &Persona) {
    let world = &kinds.world;
    let leaver = world.member("leo", "member").await;
    assert!(leaver.post("/v1/sign-out", &json!({})).await.status < 300);
    let nobody = world.anonymous();
    let odd = nobody.request("GET", "/v1/bots").header("cookie", "chatelaine=short").send().await;
    let both = owner.request("GET", "/v1/bots").bearer(world.secret().credential()).send().await;
    let wrong = json!({"email": "olga@people.example", "password": "not this one, surely"});
    let wrong = nobody.at(Some(world.server().url())).post("/v1/sign-in", &wrong).await;
    let answers = [
        ("cookie_malformed", odd),
        ("cookie_dead", leaver.get("/v1/bots").await),
        ("cookie_and_credential", both),
        ("password_wrong", wrong),
    ];
    for (reason, answer) in &answers {
        kinds.was(reason, answer);
    }
}

async fn requests(kinds: &mut Kinds) {
    let world = &kinds.world;
    let by = world.secret();
    let json_body = |text: &'static str| by.request("POST", "/v1/bots").body("application/json", text).send();
    let contact = json!({"external_id": "crm-1"});
    let _ = by.post("/v1/contacts", &contact).await.expect(201);
    let channel = json!({"kind": "webhook", "name": "C", "reply_url": "https://app.example.com/replies"});
    let channel = by.post(&format!("/v1/bots/{}/channels", world.bot().await), &channel).await.expect(201);
    let signed = format!("/v1/channels/{}/messages", id_of(&channel));
    let workflow = json!({"name": "S", "definition": crate::workflows::survey()});
    let workflow = id_of(&by.post("/v1/workflows", &workflow).await.expect(201));
    let survey = json!({"survey_mode": true, "challenge": "on"});
    let survey = by.post(&format!("/v1/workflows/{workflow}/deployments"), &survey).await;
    let start = format!("/api/public/surveys/{}/start", id_of(&survey.expect(201)));
    let test = world.test_secret().await;
    let live = format!("/v1/bots/{}", world.bot().await);
    let large = "x".repeat(300 * 1024);
    let mut answers = vec![
        ("request_malformed", json_body("{").await),
        ("request_malformed", by.get("/v1/bots?page=0").await),
        ("field_wrong", by.post("/v1/bots", &json!({"name": ""})).await),
        ("field_wrong", by.post("/v1/bots", &json!({"name": "B", "colour": "red"})).await),
        ("body_type", by.request("POST", "/v1/bots").body("text/plain", "{}").send().await),
        ("body_too_large", by.request("POST", "/v1/bots").body("application/json", large).send().await),
        ("not_found", by.get("/v1/bots/bot_00000000000000000000000000").await),
        ("not_found", test.get(&live).await),
        ("not_found", by.get("/v1/bots/none").await),
        ("conflict", by.post("/v1/contacts", &contact).await),
        ("signature_wrong", world.anonymous().post(&signed, &json!({"message": "hello"})).await),
        ("challenge_required", world.anonymous().post(&start, &json!({})).await),
        ("not_found", world.anonymous().post("/api/webhooks/none", &json!({})).await),
    ];
    let bot = world.bot().await;
    let session = world.open_session("session", &by, &bot).await;
    let _ = by.patch("/v1/credits", &json!({"metered": true})).await.expect(200);
    answers.push(("credits_spent", session.post(&session.messages(), &json!({"message": "hello"})).await));
    let _ = by.patch("/v1/credits", &json!({"metered": false})).await.expect(200);
    for (reason, answer) in &answers {
        kinds.was(reason, answer);
    }
}

async fn drop_in_surface(kinds: &mut Kinds) {
    let world = &kinds.world;
    let message = json!({"sessionId": "s", "message": "hello"});
    let send = |key: String| world.client().post("/v1/chat", &message).header("x-api-key", key).send();
    let wrong = send("not-the-key-of-this-server-0123456789".to_owned()).await;
    let server = send(world.secret().credential().to_owned()).await;
    let list = world.client().get("/v1/admin/conversations");
    let admin = list.header("x-admin-api-key", "not-the-admin-key-0123456789").send().await;
    let none = world.client().post("/v1/chat", &message).send().await;
    for (reason, answer) in
        [("key_unknown", wrong), ("wrong_kind", server), ("key_unknown", admin), ("credential_missing", none)]
    {
        kinds.was(reason, &answer);
    }
}

/// What becomes wrong with time.
async fn with_time(kinds: &mut Kinds) {
    let world = &kinds.world;
    let by = world.secret();
    let now = kinds.clock.now();
    let key = world.key("short", json!({"name": "Short", "expires_at": now.plus(3_600_000)})).await;
    let rotated = world.key("rotated", json!({"name": "Rotated"})).await;
    let path = format!("/v1/api-keys/{}/rotate", rotated.id());
    let _ = by.post(&path, &json!({"grace_seconds": 3600})).await.expect(200);
    let (session, idle) = (world.session().await, world.session().await);
    let owner = world.sign_in("olga@people.example").await;
    kinds.clock.advance(Duration::from_secs(16 * 60));
    let danger = owner.post("/v1/api-keys", &json!({"name": "K"})).await;
    kinds.clock.advance(Duration::from_secs(46 * 60));
    let mut answers = vec![
        ("confirmation_required", danger),
        ("key_expired", key.get("/v1/bots").await),
        ("secret_replaced", rotated.get("/v1/bots").await),
        ("session_ended", idle.get(&idle.messages()).await),
        ("cookie_dead", owner.get("/v1/bots").await),
    ];
    kinds.clock.advance(Duration::from_secs(24 * 3600));
    answers.push(("token_expired", session.get(&session.messages()).await));
    for (reason, answer) in &answers {
        kinds.was(reason, answer);
    }
}

async fn a_budget_that_is_used_up_is_named(backend: Backend) {
    let mut options = Options::default();
    options.limits.failures_per_minute = 12;
    options.limits.public_per_minute = 12;
    let world = World::with(backend, options).await;
    let by = world.secret();
    let of = |budget: &str| {
        let mut body = json!({"name": budget, "scopes": ["bots:read"]});
        body[budget] = json!(2);
        body
    };
    let minute = world.key("minute", of("rate_limit")).await;
    let day = world.key("day", of("daily_requests")).await;
    let refused = |by: Persona, path: &'static str| async move {
        for _ in 0..50 {
            let answer = by.get(path).await;
            if answer.status == 429 {
                return answer;
            }
        }
        panic!("{path} is not refused")
    };
    let own = [(refused(minute, "/v1/bots").await, "key"), (refused(day, "/v1/bots").await, "daily-requests")];
    for (answer, policy) in &own {
        let found = explain(&by, &json!({"request_id": answer.header("x-request-id")})).await;
        assert_eq!(found["reason"], "limit_reached", "{found}");
        assert!(found["message"].as_str().unwrap().contains(&format!("`{policy}`")), "{found}");
    }
    let address = refused(world.anonymous(), "/setup").await;
    let found = explain(&by, &json!({"request_id": address.header("x-request-id")})).await;
    assert_eq!(found["reason"], "limit_reached", "{found}");
    let guess = crate::auth::unknown_key(&world, credential::key::Family::Secret);
    let guesser = refused(world.anonymous().with("guesser", guess), "/v1/bots").await;
    let found: Value = explain(&by, &json!({"request_id": guesser.header("x-request-id")})).await;
    assert_eq!(found["reason"], "too_many_failures", "{found}");
    world.end().await;
}
