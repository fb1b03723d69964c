//! Who is this? What proves it, what does not, and what a refusal tells.

use std::time::Duration;

use ambient::OsRandom;
use credential::key::{Environment, Family};
use serde_json::json;
use testkit::{Answer, Persona, World};

/// The same key with another letter at `place` of its body.
fn mistyped(key: &str, place: usize) -> String {
    let at = key.len() - 38 + place;
    let other = if &key[at..=at] == "x" { "y" } else { "x" };
    format!("{}{other}{}", &key[..at], &key[at + 1..])
}

/// A key of the right form that nobody was given.
pub(crate) fn unknown_key(world: &World, family: Family) -> String {
    let parser = world.server().running().parser();
    parser.mint(family, Environment::Live, &OsRandom).unwrap().expose().to_owned()
}

async fn get_me(world: &World, credential: &str) -> Answer {
    world.client().get("/v1/me").bearer(credential).send().await
}

on_both! {
    without_a_credential_the_answer_says_which_scheme_it_wants;
    one_changed_letter_costs_no_database_read;
    a_refusal_does_not_tell_why;
    whoever_holds_a_whole_expired_key_is_told;
    two_credentials_are_refused_also_when_they_are_the_same;
    a_credential_is_read_from_two_headers_and_nowhere_else;
    nothing_in_a_credential_reaches_anything_but_the_parser;
    a_bad_credential_is_refused_also_where_none_is_needed;
    me_says_who_one_is;
    a_token_is_no_key_and_a_forged_token_is_nothing;
    a_key_on_a_list_of_addresses_works_from_there_alone;
    a_missing_scope_is_named_in_the_body_and_in_the_challenge;
    each_request_of_a_connection_is_checked_by_itself;
}

async fn without_a_credential_the_answer_says_which_scheme_it_wants(world: &World) {
    for (method, path) in
        [("GET", "/v1/me"), ("POST", "/v1/bots"), ("DELETE", "/v1/api-keys/key_1"), ("POST", "/v1/chat/sessions")]
    {
        let answer = world.client().request(method, path).send().await.refused(401, "MISSING_CREDENTIAL");
        let challenge = answer.header("www-authenticate");
        assert!(challenge.starts_with("Bearer") && !challenge.contains("error="), "{path}: {challenge}");
    }
}

async fn one_changed_letter_costs_no_database_read(world: &World) {
    let key = world.secret();
    let _ = key.get("/v1/me").await.expect(200);
    let before = world.store().reads();
    for place in [0, 17, 31, 32, 37] {
        let answer = get_me(world, &mistyped(key.credential(), place)).await.refused(401, "INVALID_API_KEY");
        assert!(answer.header("www-authenticate").contains("error=\"invalid_token\""));
    }
    assert_eq!(world.store().reads(), before, "a bad checksum ends before any look-up");
    if world.store().backend() == "sqlite" {
        let _ = get_me(world, &unknown_key(world, Family::Secret)).await.refused(401, "INVALID_API_KEY");
        assert_eq!(world.store().reads(), before, "the keyring is complete: a miss is final");
    }
    let _ = key.get("/v1/me").await.expect(200);
    assert_eq!(world.store().reads(), before, "a good key is checked in memory");
}

async fn a_refusal_does_not_tell_why(world: &World) {
    let revoked = world.key("revoked", json!({"name": "Gone"})).await;
    let _ = world.secret().delete(&format!("/v1/api-keys/{}", revoked.id())).await.expect(200);
    let secret = world.secret();
    let credentials = [
        ("revoked", revoked.credential().to_owned()),
        ("unknown", unknown_key(world, Family::Secret)),
        ("unknown widget", unknown_key(world, Family::Widget)),
        ("checksum", mistyped(secret.credential(), 3)),
        ("short", "sk_live_abc".to_owned()),
        ("no prefix", "A".repeat(64)),
        ("prefix alone", "sk_live_".to_owned()),
        ("other case", secret.credential().to_uppercase()),
        ("longer", format!("{}0", secret.credential())),
    ];
    let first = get_me(world, &credentials[0].1).await.refused(401, "INVALID_API_KEY");
    for (name, credential) in &credentials {
        let answer = get_me(world, credential).await.refused(401, "INVALID_API_KEY");
        assert_eq!(answer.body_without_id(), first.body_without_id(), "{name}");
        assert_eq!(answer.header("www-authenticate"), first.header("www-authenticate"), "{name}");
        assert_eq!(answer.body.len(), first.body.len(), "{name}");
    }
}

async fn whoever_holds_a_whole_expired_key_is_told(world: &World) {
    let soon = world.server().running().app().clock().now().plus(400);
    let key = world.key("expiring", json!({"name": "Short", "expires_at": soon.to_string()})).await;
    let _ = key.get("/v1/me").await.expect(200);
    tokio::time::sleep(Duration::from_millis(450)).await;
    let answer = key.get("/v1/me").await.refused(401, "API_KEY_EXPIRED");
    assert!(answer.header("www-authenticate").contains("invalid_token"));
    let _ = get_me(world, &mistyped(key.credential(), 5)).await.refused(401, "INVALID_API_KEY");
}

async fn two_credentials_are_refused_also_when_they_are_the_same(world: &World) {
    let key = world.secret();
    let (bearer, text) = (format!("Bearer {}", key.credential()), key.credential());
    let pairs = [
        [("authorization", bearer.as_str()), ("x-api-key", text)],
        [("authorization", bearer.as_str()), ("authorization", bearer.as_str())],
        [("x-api-key", text), ("x-api-key", text)],
        [("x-api-key", text), ("authorization", "Basic YTpi")],
    ];
    for pair in pairs {
        let mut request = world.client().get("/v1/me");
        for (name, value) in pair {
            request = request.header(name, value);
        }
        let _ = request.send().await.refused(400, "MULTIPLE_CREDENTIALS");
    }
}

async fn a_credential_is_read_from_two_headers_and_nowhere_else(world: &World) {
    let key = world.secret();
    let text = key.credential();
    let _ = world.client().get("/v1/me").header("x-api-key", text).send().await.expect(200);
    for scheme in ["bearer", "BEARER", "Bearer  "] {
        let _ =
            world.client().get("/v1/me").header("authorization", format!("{scheme} {text}")).send().await.expect(200);
    }
    for name in ["access_token", "api_key", "token", "key", "authorization", "x-api-key"] {
        let answer = world.client().get(&format!("/v1/me?{name}={text}")).send().await;
        assert!(!answer.refused(401, "MISSING_CREDENTIAL").text().contains(text));
    }
    for cookie in [format!("session={text}"), format!("__Host-sid={text}"), format!("authorization=Bearer {text}")] {
        let _ = world.client().get("/v1/me").header("cookie", &cookie).send().await.refused(401, "MISSING_CREDENTIAL");
    }
    let form = format!("access_token={text}");
    let answer =
        world.client().request("POST", "/v1/bots").body("application/x-www-form-urlencoded", form).send().await;
    let _ = answer.refused(401, "MISSING_CREDENTIAL");
    let answer = key.request("GET", "/v1/me").header("cookie", "session=other").send().await;
    assert_eq!(answer.expect(200).data()["id"], key.id(), "a cookie changes nothing");
}

async fn nothing_in_a_credential_reaches_anything_but_the_parser(world: &World) {
    let key = world.secret();
    let text = key.credential();
    let hostile: Vec<Vec<u8>> = [
        "' OR '1'='1",
        "'; DROP TABLE api_keys; --",
        "\" OR \"\"=\"",
        "${jndi:ldap://127.0.0.1/a}",
        "../../etc/passwd",
        "%00",
        "{{7*7}}",
        "<script>alert(1)</script>",
        "$1",
        "null",
        "undefined",
        "NaN",
        "[]",
        "{}",
        "admin",
        "*",
        "%",
    ]
    .iter()
    .flat_map(|odd| [(*odd).to_owned(), format!("sk_live_{odd}"), format!("{text}{odd}"), format!("{odd}{text}")])
    .map(String::into_bytes)
    .chain([
        b"\xff\xfe".to_vec(),
        [text.as_bytes(), b"\xc3\xa9"].concat(),
        format!("{text}, {text}").into_bytes(),
        format!("{text} {text}").into_bytes(),
        format!("{text}=").into_bytes(),
        format!("\"{text}\"").into_bytes(),
        vec![b'A'; 5000],
        vec![b'='; 40],
        b"eyJhbGciOiJub25lIn0.e30.".to_vec(),
        b"a.b.c".to_vec(),
        b"a.b.c.d.e".to_vec(),
    ])
    .collect();
    for odd in hostile {
        let shown = String::from_utf8_lossy(&odd).into_owned();
        for slot in ["authorization", "x-api-key"] {
            let value = if slot == "x-api-key" { odd.clone() } else { [b"Bearer ", odd.as_slice()].concat() };
            let answer = world.client().get("/v1/me").header(slot, value).send().await;
            assert_eq!(answer.status, 401, "{slot}: {shown}: {}", answer.text());
            assert!(["INVALID_API_KEY", "INVALID_TOKEN"].contains(&answer.code().as_str()), "{shown}");
            assert!(!answer.text().contains("DROP") && !answer.text().contains("script"), "{}", answer.text());
        }
    }
    for odd in ["Basic YTpi", "Digest x", "Bearer", "Token abc", "Bearer\tabc", &format!("Bearer,{text}")] {
        let _ = world.client().get("/v1/me").header("authorization", odd).send().await.refused(401, "INVALID_API_KEY");
    }
    let _ = world.secret().get("/v1/me").await.expect(200);
}

async fn a_bad_credential_is_refused_also_where_none_is_needed(world: &World) {
    let body = json!({"token": "x", "email": "a@b.example", "password": "fifteen characters", "workspace_name": "X"});
    let answer = world.client().post("/v1/setup", &body).bearer("sk_live_nonsense").send().await;
    let _ = answer.refused(401, "INVALID_API_KEY");
    let _ = world.client().get("/healthz").bearer("sk_live_nonsense").send().await.expect(200);
}

async fn me_says_who_one_is(world: &World) {
    let (secret, session) = (world.secret(), world.session().await);
    let me = secret.get("/v1/me").await.expect(200).data();
    assert_eq!((&me["type"], &me["id"], &me["kind"]), (&json!("api_key"), &json!(secret.id()), &json!("secret")));
    assert_eq!((&me["environment"], &me["scopes"]), (&json!("live"), &json!(["admin"])));
    assert_eq!(me["workspace_id"], world.workspace().to_string());
    let me = session.get("/v1/me").await.expect(200).data();
    assert_eq!(
        (&me["type"], &me["conversation_id"], &me["key_id"]),
        (&json!("session"), &json!(session.id()), &json!(secret.id()))
    );
    let test = world.test_secret().await;
    assert_eq!(test.get("/v1/me").await.expect(200).data()["environment"], "test");
    assert!(test.credential().starts_with("sk_test_") && secret.credential().starts_with("sk_live_"));
    let account = world.service_account().await;
    assert!(account.credential().starts_with("fln_live_"));
    let me = account.get("/v1/me").await.expect(200).data();
    assert!(me["service_account_id"].as_str().is_some_and(|id| id.starts_with("svc_")), "{me}");
}

async fn a_token_is_no_key_and_a_forged_token_is_nothing(world: &World) {
    let session = world.session().await;
    let token = session.credential().to_owned();
    let [head, claims, signature]: [&str; 3] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let flip = |text: &str| {
        let first = if text.starts_with('A') { 'B' } else { 'A' };
        format!("{first}{}", &text[1..])
    };
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiY2hhdHNlc3Npb24rand0In0";
    let forged = [
        format!("{head}.{claims}.{}", flip(signature)),
        format!("{head}.{}.{signature}", flip(claims)),
        format!("{none}.{claims}."),
        format!("{none}.{claims}.{signature}"),
        format!("{head}.{claims}.{signature}="),
        format!("{head}.{claims}.{signature}.{signature}"),
        format!("{head}.{claims}"),
    ];
    for forged in &forged {
        let answer = session.with("forged", forged).get(&session.messages()).await;
        assert_eq!(answer.status, 401, "{forged}: {}", answer.text());
    }
    let _ = session.get(&session.messages()).await.expect(200);
    let _ = session.get("/v1/bots").await.refused(403, "WRONG_CREDENTIAL");
    let _ = session.post("/v1/chat/sessions", &json!({"agent_id": "bot_1"})).await.refused(403, "WRONG_CREDENTIAL");
}

async fn a_key_on_a_list_of_addresses_works_from_there_alone(world: &World) {
    let here = world.key("here", json!({"name": "Here", "allowed_ips": ["127.0.0.0/8"]})).await;
    let there = world.key("there", json!({"name": "There", "allowed_ips": ["203.0.113.7"]})).await;
    let _ = here.get("/v1/me").await.expect(200);
    let refused = there.get("/v1/me").await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let said = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(said.ends_with("not allowed from 127.0.0.1"), "as the server saw it: {said}");
    let claim = there.request("GET", "/v1/me").header("x-forwarded-for", "203.0.113.7").send().await;
    let _ = claim.refused(403, "INSUFFICIENT_PERMISSIONS");
}

async fn a_missing_scope_is_named_in_the_body_and_in_the_challenge(world: &World) {
    let key: Persona = world.restricted().await;
    let answer = key.post("/v1/bots", &json!({"name": "No"})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    assert_eq!(answer.json()["error"]["required_scope"], "bots:write");
    let challenge = answer.header("www-authenticate");
    assert!(
        challenge.contains("error=\"insufficient_scope\"") && challenge.contains("scope=\"bots:write\""),
        "{challenge}"
    );
    let _ = key.get("/v1/bots").await.expect(200);
    let list = world.secret().get("/v1/bots").await.expect(200).json();
    assert_eq!(list["meta"]["total"], 0, "what was refused made nothing");
}

async fn each_request_of_a_connection_is_checked_by_itself(world: &World) {
    let (key, other) = (world.secret(), world.other_workspace_secret());
    let request = |credential: &str| {
        let line =
            if credential.is_empty() { String::new() } else { format!("Authorization: Bearer {credential}\r\n") };
        format!("GET /v1/me HTTP/1.1\r\nHost: x\r\n{line}\r\n")
    };
    let sent = ["", key.credential(), "", other.credential(), "sk_live_x", key.credential()].map(request).concat();
    let answers = world.client().raw(sent.as_bytes()).await;
    let statuses: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["401", "200", "401", "200", "401", "200"], "{answers}");
    let ids: Vec<usize> = [key.id(), other.id()].iter().map(|id| answers.matches(*id).count()).collect();
    assert_eq!(ids, [2, 1]);
}
