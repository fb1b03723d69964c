//! Codes of an app besides the password, recovery codes, and proving again who one is.

use std::{sync::Arc, time::Duration};

use ambient::{Clock, ManualClock, Millis, SystemClock};
use credential::TotpSecret;
use data_encoding::BASE32_NOPAD;
use serde_json::{Value, json};
use testkit::{Answer, Backend, Options, PASSWORD, Persona, Request, World, id_of};

use crate::{
    pages::{leads_to, says, submit},
    rotation, triggers,
};

on_each! {
    codes_of_an_app_are_asked_for_once_it_is_confirmed;
    a_recovery_code_works_once_and_others_take_their_place;
    a_link_of_the_operators_ends_the_codes_too;
    codes_that_are_guessed_end_for_the_day;
    a_stranger_who_guesses_all_day_is_locked_out_and_the_owner_is_not;
    what_is_dangerous_asks_a_person_again_after_a_quarter_of_an_hour;
    a_browser_that_was_left_open_changes_no_trigger_and_removes_no_owner;
    a_browser_in_which_somebody_guesses_is_signed_out_and_no_other;
    a_new_secret_of_the_installation_seals_the_apps_anew;
    proofs_have_a_budget_by_the_minute;
    where_a_browser_was_signed_out_by_another_its_address_is_a_stranger_s;
}

on_both! {
    a_person_proves_again_who_it_is;
    without_an_app_no_code_proves_anything;
    a_person_says_what_it_is_called;
}

const EMAIL: &str = "ada@people.example";

async fn still(backend: Backend) -> (World, Arc<ManualClock>) {
    still_with(backend, |_| {}).await
}

async fn still_with(backend: Backend, change: impl FnOnce(&mut Options)) -> (World, Arc<ManualClock>) {
    // In the morning: a day of guesses ends at midnight.
    let today = SystemClock::new().now().seconds().div_euclid(86_400) * 86_400;
    let clock = Arc::new(ManualClock::new(Millis::from_seconds(today + 6 * 3600)));
    let trusted_proxies = vec!["127.0.0.1/32".to_owned()];
    let mut options = Options { clock: clock.clone(), trusted_proxies, ..Options::default() };
    change(&mut options);
    (World::with(backend, options).await, clock)
}

/// An app that was told `secret`.
struct App(TotpSecret);

impl App {
    fn new(setup: &Value) -> Self {
        let secret = BASE32_NOPAD.decode(setup["secret"].as_str().unwrap().as_bytes()).unwrap();
        Self(TotpSecret::read(&secret).unwrap())
    }

    fn shows(&self, now: Millis) -> String {
        self.0.code(now.seconds() / 30).as_str().to_owned()
    }
}

/// Sets an app up for this person, with the code of this moment.
async fn set_up(person: &Persona, now: Millis) -> (App, Vec<String>) {
    let app = App::new(&person.post("/v1/me/totp", &json!({})).await.expect(200).data());
    let code = json!({"code": app.shows(now)});
    let codes = person.post("/v1/me/totp/confirm", &code).await.expect(200).data();
    let codes = codes["recovery_codes"].as_array().unwrap().iter();
    (app, codes.map(|code| code.as_str().unwrap().to_owned()).collect())
}

/// What an app that is set up with this answer shows now.
pub(crate) fn code_of(world: &World, setup: &Value) -> String {
    App::new(setup).shows(world.server().running().app().clock().now())
}

/// The same of the secret alone, as a page shows it.
pub(crate) fn code_of_text(world: &World, secret: &str) -> String {
    code_of(world, &json!({"secret": secret}))
}

fn attempt(world: &World, password: &str, code: Option<&str>) -> Request {
    world.client().post("/v1/sign-in", &json!({"email": EMAIL, "password": password, "code": code}))
}

async fn codes_of_an_app_are_asked_for_once_it_is_confirmed(backend: Backend) {
    let (world, clock) = still(backend).await;
    let ada = world.member("ada", "member").await;
    let view = ada.get("/v1/me/totp").await.expect(200).data();
    assert_eq!(view, json!({"is_enabled": false, "enabled_at": null, "recovery_codes_left": 0}));
    let _ = ada.post("/v1/me/totp/confirm", &json!({"code": "123456"})).await.refused(409, "CONFLICT");
    let _ = ada.delete("/v1/me/totp").await.refused(409, "CONFLICT");
    let setup = ada.post("/v1/me/totp", &json!({})).await.expect(200).data();
    let url = setup["otpauth_url"].as_str().unwrap();
    assert!(url.starts_with("otpauth://totp/Chatelaine:ada%40people.example?secret="), "{url}");
    // Begun, and not asked for.
    let _ = attempt(&world, PASSWORD, None).send().await.expect(200);
    let (old, app) = (App::new(&setup), App::new(&ada.post("/v1/me/totp", &json!({})).await.expect(200).data()));
    let replaced = json!({"code": old.shows(clock.now())});
    let refused = ada.post("/v1/me/totp/confirm", &replaced).await.refused(422, "VALIDATION_FAILED");
    assert_eq!(refused.json()["error"]["errors"][0]["field"], "code");
    let code = app.shows(clock.now());
    let other = world.sign_in(EMAIL).await;
    let _ = other.get("/v1/me").await.expect(200);
    let made = ada.post("/v1/me/totp/confirm", &json!({"code": code})).await.expect(200).data();
    assert_eq!(made["recovery_codes"].as_array().unwrap().len(), 10);
    // Who was signed in without a code is no longer.
    let _ = other.get("/v1/me").await.refused(401, "INVALID_TOKEN");
    let _ = ada.post("/v1/me/totp", &json!({})).await.refused(409, "CONFLICT");
    // Whoever has the password is told that more is needed, and gets nothing; a code that was used is no code.
    let refused = attempt(&world, PASSWORD, None).send().await.refused(401, "SECOND_FACTOR_REQUIRED");
    assert_eq!(refused.header("set-cookie"), "");
    let _ = attempt(&world, PASSWORD, Some(" ")).send().await.refused(401, "SECOND_FACTOR_REQUIRED");
    let replayed = attempt(&world, PASSWORD, Some(&code)).send().await.refused(401, "INVALID_CREDENTIALS");
    // A wrong code says what a wrong password says.
    clock.advance(Duration::from_secs(60));
    let next = app.shows(clock.now());
    let wrong = attempt(&world, "a wrong password", Some(&next)).send().await.refused(401, "INVALID_CREDENTIALS");
    assert_eq!(replayed.body_without_id(), wrong.body_without_id());
    let nobody = json!({"email": "nobody@people.example", "password": PASSWORD, "code": next});
    let nobody = world.client().post("/v1/sign-in", &nobody).send().await.refused(401, "INVALID_CREDENTIALS");
    assert_eq!(nobody.body_without_id(), wrong.body_without_id());
    let spaced = format!("{} {}", &next[..3], &next[3..]);
    let _ = attempt(&world, PASSWORD, Some(&spaced)).send().await.expect(200);
    let _ = attempt(&world, PASSWORD, Some(&next)).send().await.refused(401, "INVALID_CREDENTIALS");
    // The one before it, too, which was right a moment ago.
    let before = app.shows(clock.now().plus(-30_000));
    let _ = attempt(&world, PASSWORD, Some(&before)).send().await.refused(401, "INVALID_CREDENTIALS");
    let _ = ada.delete("/v1/me/totp").await.expect(204);
    let view = ada.get("/v1/me/totp").await.expect(200).data();
    assert_eq!(view, json!({"is_enabled": false, "enabled_at": null, "recovery_codes_left": 0}), "nothing is left");
    let _ = attempt(&world, PASSWORD, None).send().await.expect(200);
    assert!(!world.server().request_log().contains(&next), "a code is nobody's to read");
    world.end().await;
}

async fn a_recovery_code_works_once_and_others_take_their_place(backend: Backend) {
    let (world, clock) = still(backend).await;
    let (ada, bob) = (world.member("ada", "member").await, world.member("bob", "member").await);
    let (_, codes) = set_up(&ada, clock.now()).await;
    let (_, of_bob) = set_up(&bob, clock.now()).await;
    let _ = attempt(&world, PASSWORD, Some(&codes[0].to_uppercase())).send().await.expect(200);
    for refused in [&codes[0], &of_bob[0]] {
        let _ = attempt(&world, PASSWORD, Some(refused)).send().await.refused(401, "INVALID_CREDENTIALS");
    }
    assert_eq!(ada.get("/v1/me/totp").await.expect(200).data()["recovery_codes_left"], 9);
    let log = world.secret().get("/v1/audit-log?action=sign_in&per_page=1").await.expect(200).data();
    assert_eq!(log[0]["detail"], json!({"second_factor": "recovery_code"}), "its owner sees that: {log}");
    let renewed = ada.post("/v1/me/totp/recovery-codes", &json!({})).await.expect(200).data();
    let _ = attempt(&world, PASSWORD, Some(&codes[1])).send().await.refused(401, "INVALID_CREDENTIALS");
    let fresh = renewed["recovery_codes"][9].as_str().unwrap();
    let _ = attempt(&world, PASSWORD, Some(fresh)).send().await.expect(200);
    let log = world.secret().get("/v1/audit-log?per_page=100").await.expect(200).text();
    assert!(!log.contains(fresh) && !log.contains(&codes[0]));
    let dump = String::from_utf8_lossy(&world.server().database().bytes().await).into_owned();
    assert!(!dump.contains(&fresh.replace('-', "")) && !dump.contains(fresh), "digests alone are stored");
    world.end().await;
}

async fn a_link_of_the_operators_ends_the_codes_too(backend: Backend) {
    let (world, clock) = still(backend).await;
    let ada = world.member("ada", "member").await;
    let _ = set_up(&ada, clock.now()).await;
    let app = world.server().running().app();
    let (token, digest) = api::invitations::mint_token(app.secrets(), app.random()).unwrap();
    let actor = access::Actor::system();
    let audit = store::AuditEntry { actor: &actor, action: "reset_password", detail: None };
    let _ = world.store().invite_to_reset(EMAIL, digest, audit).await.unwrap();
    let _ = attempt(&world, PASSWORD, None).send().await.refused(401, "SECOND_FACTOR_REQUIRED");
    let accept = json!({"token": token, "name": "Ada", "password": "another few easy words"});
    let _ = world.client().post("/v1/invitations/accept", &accept).send().await.expect(201);
    let fresh = attempt(&world, "another few easy words", None).send().await.expect(200);
    let cookie = fresh.header("set-cookie").split(';').next().unwrap().to_owned();
    let view = world.client().get("/v1/me/totp").header("cookie", cookie).send().await.expect(200).data();
    assert_eq!(view["recovery_codes_left"], 0);
    world.end().await;
}

async fn codes_that_are_guessed_end_for_the_day(backend: Backend) {
    let (world, clock) = still(backend).await;
    let ada = world.member("ada", "member").await;
    let (app, _) = set_up(&ada, clock.now()).await;
    // From where the owner was: the password is right, so that nothing else stops it.
    let from_home = async |code: &str| attempt(&world, PASSWORD, Some(code)).send().await;
    let mut wrong = 0;
    while wrong < 100 {
        clock.advance(Duration::from_secs(6));
        let answer = from_home("abc").await;
        if answer.status == 401 {
            wrong += 1;
        }
    }
    clock.advance(Duration::from_secs(60));
    let _ = from_home(&app.shows(clock.now())).await.refused(429, "RATE_LIMITED");
    clock.advance(Duration::from_secs(24 * 60 * 60));
    let _ = from_home(&app.shows(clock.now())).await.expect(200);
    world.end().await;
}

async fn a_stranger_who_guesses_all_day_is_locked_out_and_the_owner_is_not(backend: Backend) {
    let (world, clock) = still(backend).await;
    let _ = world.member("ada", "member").await;
    let from = async |address: String, email: &str, password: &str| -> Answer {
        let body = json!({"email": email, "password": password});
        world.client().post("/v1/sign-in", &body).header("x-forwarded-for", address).send().await
    };
    let _ = from("192.0.2.1".to_owned(), EMAIL, PASSWORD).await.expect(200);
    // Whether there is such an account does not show.
    for email in [EMAIL, "nobody@people.example"] {
        for n in 0..100 {
            clock.advance(Duration::from_secs(6));
            let answer = from(format!("198.51.100.{n}"), email, "a wrong password").await;
            let _ = answer.refused(401, "INVALID_CREDENTIALS");
        }
        clock.advance(Duration::from_secs(60));
        let locked = from("203.0.113.7".to_owned(), email, PASSWORD).await.refused(429, "RATE_LIMITED");
        let wait: i64 = locked.header("retry-after").parse().unwrap();
        let midnight = 86_400 - clock.now().seconds().rem_euclid(86_400);
        assert!((midnight - 1..=midnight + 1).contains(&wait), "until midnight: {wait} {midnight}");
    }
    let _ = from("192.0.2.1".to_owned(), EMAIL, PASSWORD).await.expect(200);
    clock.advance(Duration::from_secs(24 * 60 * 60));
    let _ = from("203.0.113.7".to_owned(), EMAIL, PASSWORD).await.expect(200);
    world.end().await;
}

async fn what_is_dangerous_asks_a_person_again_after_a_quarter_of_an_hour(backend: Backend) {
    let (world, clock) = still(backend).await;
    let ada = world.member("ada", "owner").await;
    let other = world.sign_in(EMAIL).await;
    clock.advance(Duration::from_secs(15 * 60 - 1));
    let made = ada.post("/v1/api-keys", &json!({"name": "K"})).await.expect(201).data();
    let switches = switches(&world, &ada).await;
    clock.advance(Duration::from_secs(1));
    let key = made["id"].as_str().unwrap();
    let refused: [(&str, String, Value); 14] = [
        ("POST", "/v1/api-keys".into(), json!({"name": "L"})),
        ("POST", format!("/v1/api-keys/{key}/rotate"), json!({})),
        ("POST", "/v1/service-accounts".into(), json!({"name": "S"})),
        ("POST", "/v1/invitations".into(), json!({"email": "x@x.example", "role": "member"})),
        ("PATCH", "/v1/workspace".into(), json!({"name": "W"})),
        ("POST", "/v1/me/totp".into(), json!({})),
        ("DELETE", "/v1/me/totp".into(), json!({})),
        ("GET", "/v1/export/conversations".into(), json!({})),
        ("GET", "/v1/audit-log/export".into(), json!({})),
        ("PATCH", format!("/v1/api-keys/{key}"), json!({"scopes": ["admin"]})),
        ("POST", "/v1/webhooks".into(), json!({"url": "https://evil.example/"})),
        ("POST", "/v1/connections".into(), json!({"name": "C"})),
        ("PATCH", "/v1/credits".into(), json!({"metered": false})),
        ("POST", "/v1/credits/grants".into(), json!({"amount": 5})),
    ];
    for (method, path, body) in &refused {
        let answer = ada.request(method, path).json(body).send().await;
        let _ = answer.refused(403, "CONFIRMATION_REQUIRED");
    }
    turning_off_must_not_wait(&ada, &switches).await;
    // What is not dangerous goes on, keys are never asked, and a revocation must not wait.
    let _ = ada.get("/v1/api-keys").await.expect(200);
    let _ = world.secret().post("/v1/api-keys", &json!({"name": "L"})).await.expect(201);
    let _ = ada.post("/v1/me/confirm", &json!({"password": "a wrong one"})).await.refused(422, "VALIDATION_FAILED");
    let _ = ada.post("/v1/api-keys", &json!({"name": "L"})).await.refused(403, "CONFIRMATION_REQUIRED");
    let confirmed = ada.post("/v1/me/confirm", &json!({"password": PASSWORD})).await.expect(204);
    let cookie = confirmed.header("set-cookie");
    let left = 12 * 60 * 60 - 15 * 60;
    assert!(cookie.ends_with(&format!("; Path=/; Max-Age={left}; HttpOnly; SameSite=Lax")), "{cookie}");
    // Whoever has got hold of the cookie before has nothing.
    let _ = ada.get("/v1/me").await.refused(401, "INVALID_TOKEN");
    let ada = ada.after(&confirmed);
    let _ = ada.post("/v1/api-keys", &json!({"name": "L"})).await.expect(201);
    // This browser, and no other of the same person's.
    let _ = other.post("/v1/api-keys", &json!({"name": "L"})).await.refused(403, "CONFIRMATION_REQUIRED");
    let _ = other.delete(&format!("/v1/api-keys/{key}")).await.expect(200);
    world.end().await;
}

/// What can be turned off and on, by the same operation that changes where data go, or who gets in.
async fn switches(world: &World, ada: &Persona) -> [String; 4] {
    let endpoint = ada.post("/v1/webhooks", &json!({"url": "https://hooks.example.com/a"})).await.expect(201);
    let channels = format!("/v1/bots/{}/channels", world.bot().await);
    let channel = json!({"kind": "widget", "name": "C", "greeting": "Hello\nyou"});
    let (channel, other) =
        (ada.post(&channels, &channel).await.expect(201), ada.post(&channels, &channel).await.expect(201));
    [
        format!("/v1/webhooks/{}", id_of(&endpoint)),
        format!("/v1/channels/{}", id_of(&channel)),
        format!("/v1/service-accounts/{}", world.account("switched", "member").await.0),
        format!("/v1/channels/{}", id_of(&other)),
    ]
}

async fn turning_off_must_not_wait(ada: &Persona, switches: &[String]) {
    for path in &switches[..3] {
        for body in [
            json!({"is_active": true}),
            json!({"is_active": false, "name": "N"}),
            json!({"is_active": false, "url": "https://evil.example/"}),
            json!({"name": "N"}),
            json!({}),
        ] {
            let _ = ada.patch(path, &body).await.refused(403, "CONFIRMATION_REQUIRED");
        }
        assert_eq!(ada.get(path).await.expect(200).data()["is_active"], true, "{path}");
        let _ = ada.patch(path, &json!({"is_active": false})).await.expect(200);
        assert_eq!(ada.get(path).await.expect(200).data()["is_active"], false, "{path}");
        let _ = ada.patch(path, &json!({"is_active": true})).await.refused(403, "CONFIRMATION_REQUIRED");
    }
    // On a page, too, which asks in the person's name.
    let on = [("is_active", "true")];
    let page = switches[2].replace("/v1/", "/_/");
    let again = submit(ada, &page, &on).await.expect(403);
    assert!(says(&again, "Confirm in a new tab"), "{}", again.text());
    assert_eq!(leads_to(&submit(ada, &page, &[("is_active", "false")]).await), format!("{page}?done=disabled"));
    let webhook = format!("{}/switch", switches[0].replace("/v1/", "/_/"));
    assert!(leads_to(&submit(ada, &webhook, &[]).await).ends_with("?done=turned-off"));
    let _ = submit(ada, &webhook, &[("is_active", "yes")]).await.expect(403);
    // Of a form that holds more, the box alone.
    let channel = switches[3].replace("/v1/", "/_/");
    let _ = submit(ada, &channel, &[("name", "D"), ("greeting", "Hello\r\nyou")]).await.expect(403);
    let off = submit(ada, &channel, &[("name", "C"), ("greeting", "Hello\r\nyou")]).await;
    assert_eq!(leads_to(&off), format!("{channel}?done=saved"));
    let now = ada.get(&switches[3]).await.expect(200).data();
    assert_eq!((&now["is_active"], &now["greeting"]), (&json!(false), &json!("Hello\nyou")));
    let on = [("name", "C"), ("greeting", "Hello\r\nyou"), ("is_active", "1")];
    let _ = submit(ada, &channel, &on).await.expect(403);
}

async fn a_browser_that_was_left_open_changes_no_trigger_and_removes_no_owner(backend: Backend) {
    let (world, clock) = still(backend).await;
    let (ada, admin) = (world.member("ada", "owner").await, world.member("adam", "admin").await);
    let (bob, eve) = (world.member("bob", "owner").await, world.member("eve", "member").await);
    let path_of = async |person: &Persona| {
        let me = person.get("/v1/me").await.expect(200).data();
        format!("/v1/members/{}", me["id"].as_str().unwrap())
    };
    let (admins, bobs, eves) = (path_of(&admin).await, path_of(&bob).await, path_of(&eve).await);
    let deployment = triggers::deploy(&world, &triggers::design(), json!({"name": "D"})).await;
    let hook = json!({"kind": "webhook", "name": "Shop", "signing": "standard_webhooks"});
    let hook = triggers::make(&world, &deployment, hook).await;
    let hook = format!("/v1/triggers/{}", hook["id"].as_str().unwrap());
    clock.advance(Duration::from_secs(15 * 60));
    // Who knows the secret starts runs, as who knows a key does.
    for body in [
        json!({"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}),
        json!({"enabled": false, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}),
        json!({"enabled": true}),
    ] {
        let _ = ada.patch(&hook, &body).await.refused(403, "CONFIRMATION_REQUIRED");
    }
    let _ = ada.patch(&hook, &json!({"enabled": false})).await.expect(200);
    let _ = ada.patch(&hook, &json!({"enabled": true})).await.refused(403, "CONFIRMATION_REQUIRED");
    assert_eq!(ada.get(&hook).await.expect(200).data()["enabled"], false);
    // Whoever sits before an owner's browser would be the only owner, with those who could end that removed.
    let _ = ada.delete(&bobs).await.refused(403, "CONFIRMATION_REQUIRED");
    let page = format!("{}/remove", bobs.replace("/v1/", "/_/"));
    let again = submit(&ada, &page, &[]).await.expect(403);
    assert!(says(&again, "Confirm in a new tab"), "{}", again.text());
    let lacks = admin.delete(&bobs).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    assert_eq!(lacks.json()["error"]["required_role"], "owner", "a proof would not help");
    let _ = bob.get("/v1/me").await.expect(200);
    for others in [&eves, &admins] {
        let _ = ada.delete(others).await.expect(204);
    }
    let ada = ada.after(&ada.post("/v1/me/confirm", &json!({"password": PASSWORD})).await.expect(204));
    let _ = ada.patch(&hook, &json!({"enabled": true})).await.expect(200);
    let _ = ada.delete(&bobs).await.expect(204);
    world.end().await;
}

async fn a_browser_in_which_somebody_guesses_is_signed_out_and_no_other(backend: Backend) {
    let (world, clock) = still(backend).await;
    let ada = world.member("ada", "member").await;
    let (app, codes) = set_up(&ada, clock.now()).await;
    let body = json!({"email": EMAIL, "password": PASSWORD, "code": codes[0]});
    let other = ada.after(&world.client().post("/v1/sign-in", &body).send().await.expect(200));
    let change = json!({"current_password": "a wrong one", "new_password": "another few easy words"});
    for n in 0..99 {
        clock.advance(Duration::from_secs(7));
        let guessed = match n {
            0 => ada.post("/v1/me/password", &change).await,
            1 => ada.post("/v1/me/confirm", &json!({"password": "a wrong one"})).await,
            _ => ada.post("/v1/me/confirm", &json!({"code": "abc"})).await,
        };
        let _ = guessed.refused(422, "VALIDATION_FAILED");
    }
    clock.advance(Duration::from_secs(6));
    let _ = ada.post("/v1/me/confirm", &json!({"code": "abc"})).await.refused(401, "INVALID_TOKEN");
    let _ = ada.get("/v1/me").await.refused(401, "INVALID_TOKEN");
    let log = world.secret().get("/v1/audit-log?action=confirm_me&per_page=1").await.expect(200).data();
    assert_eq!(log[0]["detail"], json!({"signed_out": "wrong_guesses"}), "{log}");
    // The account goes on: in another browser, and where somebody signs in with a code.
    clock.advance(Duration::from_secs(60));
    let _ = other.post("/v1/me/confirm", &json!({"code": codes[1]})).await.expect(204);
    let _ = attempt(&world, PASSWORD, Some(&app.shows(clock.now()))).send().await.expect(200);
    world.end().await;
}

async fn a_new_secret_of_the_installation_seals_the_apps_anew(backend: Backend) {
    let (world, clock) = still_with(backend, |options| options.secrets = rotation::with(0, None)).await;
    let ada = world.member("ada", "member").await;
    let (app, codes) = set_up(&ada, clock.now()).await;
    let world = world.restart_with(|options| options.secrets = rotation::with(1, Some(0))).await;
    let world = world.restart_with(|options| options.secrets = rotation::with(1, None)).await;
    let _ = attempt(&world, PASSWORD, Some(&codes[3])).send().await.expect(200);
    clock.advance(Duration::from_secs(60));
    let _ = attempt(&world, PASSWORD, Some(&app.shows(clock.now()))).send().await.expect(200);
    world.end().await;
}

async fn proofs_have_a_budget_by_the_minute(backend: Backend) {
    let ten = |options: &mut Options| options.limits.sign_ins_per_account_per_minute = 10;
    let (world, clock) = still_with(backend, ten).await;
    let ada = world.member("ada", "member").await;
    let setup = ada.post("/v1/me/totp", &json!({})).await.expect(200).data();
    for (path, wrong, right) in [
        ("/v1/me/totp/confirm", json!({"code": "abc"}), json!({"code": App::new(&setup).shows(clock.now())})),
        ("/v1/me/confirm", json!({"password": "a wrong one"}), json!({"password": PASSWORD})),
    ] {
        for _ in 0..10 {
            let _ = ada.post(path, &wrong).await.refused(422, "VALIDATION_FAILED");
        }
        let _ = ada.post(path, &right).await.refused(429, "RATE_LIMITED");
    }
    // A form that comes back says it, too.
    let again = submit(&ada, "/_/confirm", &[("password", PASSWORD)]).await.expect(429);
    assert!(says(&again, "Nothing was changed."), "{}", again.text());
    assert!(again.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{:?}", again.headers);
    world.end().await;
}

async fn where_a_browser_was_signed_out_by_another_its_address_is_a_stranger_s(backend: Backend) {
    let (world, clock) = still(backend).await;
    let ada = world.member("ada", "member").await;
    let from = async |address: &str, password: &str| -> Answer {
        let body = json!({"email": EMAIL, "password": password});
        world.client().post("/v1/sign-in", &body).header("x-forwarded-for", address).send().await
    };
    for address in ["192.0.2.1", "192.0.2.2"] {
        let _ = from(address, PASSWORD).await.expect(200);
    }
    let list = ada.get("/v1/sign-ins").await.expect(200).data();
    let lost = list.as_array().unwrap().iter().find(|row| row["address"] == "192.0.2.1").unwrap()["id"].clone();
    let _ = ada.delete(&format!("/v1/sign-ins/{}", lost.as_str().unwrap())).await.expect(204);
    for n in 0..100 {
        clock.advance(Duration::from_secs(6));
        let _ = from(&format!("198.51.100.{n}"), "a wrong password").await.refused(401, "INVALID_CREDENTIALS");
    }
    clock.advance(Duration::from_secs(60));
    let _ = from("192.0.2.1", PASSWORD).await.refused(429, "RATE_LIMITED");
    let _ = from("192.0.2.2", PASSWORD).await.expect(200);
    world.end().await;
}

async fn a_person_proves_again_who_it_is(world: &World) {
    let ada = world.member("ada", "owner").await;
    let now = world.server().running().app().clock().now();
    let (app, codes) = set_up(&ada, now).await;
    for body in [
        json!({}),
        json!({"password": PASSWORD, "code": "123456"}),
        json!({"password": ""}),
        json!({"code": "123456x"}),
        // It has proved that the app works.
        json!({"code": app.shows(now)}),
    ] {
        let _ = ada.post("/v1/me/confirm", &body).await.refused(422, "VALIDATION_FAILED");
    }
    let confirmed = ada.post("/v1/me/confirm", &json!({"code": codes[0]})).await.expect(204);
    let ada = ada.after(&confirmed);
    let _ =
        ada.at(None).post("/v1/me/confirm", &json!({"password": PASSWORD})).await.refused(403, "ORIGIN_NOT_ALLOWED");
    let _ = world.secret().post("/v1/me/confirm", &json!({"password": "x"})).await.refused(403, "WRONG_CREDENTIAL");
}

async fn without_an_app_no_code_proves_anything(world: &World) {
    let ada = world.member("ada", "owner").await;
    let confirm = async |code: &str| {
        let refused = ada.post("/v1/me/confirm", &json!({"code": code})).await.refused(422, "VALIDATION_FAILED");
        assert_eq!(refused.header("set-cookie"), "");
    };
    for code in ["123456", "abcd-efgh-ijkl-mnop"] {
        confirm(code).await;
    }
    // Nor does one of an app that was begun and has proved nothing yet.
    let setup = ada.post("/v1/me/totp", &json!({})).await.expect(200).data();
    confirm(&code_of(world, &setup)).await;
}

async fn a_person_says_what_it_is_called(world: &World) {
    let (ada, bob) = (world.member("ada", "member").await, world.member("bob", "member").await);
    for wrong in ["", "  ", &"x".repeat(101), "a\u{7}b"] {
        let _ = ada.patch("/v1/me", &json!({"name": wrong})).await.refused(422, "VALIDATION_FAILED");
    }
    let _ = ada.patch("/v1/me", &json!({"role": "owner"})).await.refused(422, "VALIDATION_FAILED");
    let changed = ada.patch("/v1/me", &json!({"name": " Ada L. "})).await.expect(200).data();
    assert_eq!((&changed["name"], &changed["role"]), (&json!("Ada L."), &json!("member")));
    assert_eq!(bob.get("/v1/me").await.expect(200).data()["name"], "bob");
}
