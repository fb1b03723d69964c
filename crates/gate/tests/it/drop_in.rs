//! The surface of an existing widget server: its keys, its order, its errors, its pages.

use gate::CorsOrigins;

use crate::world::{ADMIN, OWN, WIDGET, World, both};

const PAGE: &str = "https://site.example";
const CUSTOMER: &str = "https://customer.example";
const EVIL: &str = "https://evil.example";
const UNAUTHORIZED: (u16, &str) = (401, r#"{"error":"Unauthorized"}"#);

async fn any() -> World {
    World::new(both(CorsOrigins::Any)).await
}

async fn listed() -> World {
    World::new(both(CorsOrigins::Listed(vec![PAGE.to_owned()]))).await
}

#[tokio::test]
async fn the_widget_key_of_the_environment_chats_by_either_header() {
    let world = any().await;
    for header in ["x-api-key", "X-Widget-Api-Key"] {
        let answer = world.chat(&[(header, WIDGET)]).await;
        let told = answer.json();
        assert_eq!((answer.status, &told["who"], &told["ours"]), (200, &"static_key:widget".into(), &true.into()));
    }
    let first =
        world.chat(&[("x-api-key", WIDGET), ("x-widget-api-key", "wrong"), ("authorization", "Bearer x")]).await;
    assert_eq!(first.status, 200, "the first header that is there, and no other");
    assert_eq!(world.chat(&[("x-api-key", "wrong"), ("x-widget-api-key", WIDGET)]).await.whole(), UNAUTHORIZED);
    assert_eq!(world.chat(&[("x-api-key", ""), ("x-widget-api-key", WIDGET)]).await.whole(), UNAUTHORIZED);
}

#[tokio::test]
async fn whatever_proves_nothing_gets_the_same_401() {
    let world = any().await;
    let mut all: Vec<Vec<(&str, Vec<u8>)>> = vec![
        vec![],
        vec![("x-api-key", WIDGET.into()), ("x-api-key", WIDGET.into())],
        vec![("authorization", format!("Bearer {WIDGET}").into())],
        vec![("x-admin-api-key", ADMIN.into())],
        vec![("x-api-key", "é".into())],
        vec![("x-api-key", vec![0xff, 0xfe, 0x80])],
    ];
    let longer = format!("{WIDGET}x");
    let sized =
        ["", "x", &WIDGET[..30], &longer, ADMIN, &world.secret, &"k".repeat(5000), "sk_live_short", "tk_widget_x"];
    all.extend(sized.iter().map(|text| vec![("x-api-key", text.as_bytes().to_vec())]));
    for sent in all {
        world.wait_a_minute();
        let headers: Vec<(&str, &[u8])> = sent.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        let answer = world.send_bytes("POST", "/v1/chat", &headers, "{}").await;
        assert_eq!(answer.whole(), UNAUTHORIZED, "{sent:?}");
        assert_eq!(answer.header("www-authenticate"), "ApiKey realm=\"chatelaine\"", "{sent:?}");
        assert!(answer.header("x-request-id").starts_with("req_") && answer.header("cache-control") == "no-store");
    }
    assert_eq!(world.reached(), 0);
}

#[tokio::test]
async fn each_static_key_opens_its_own_doors_alone() {
    let world = any().await;
    let admin = async |headers: &[(&str, &str)]| world.send("GET", "/v1/admin/conversations", headers, "").await;
    let good = admin(&[("x-admin-api-key", ADMIN)]).await;
    assert_eq!((good.status, &good.json()["who"]), (200, &"static_key:admin".into()));
    let twice = [("x-admin-api-key", ADMIN), ("x-admin-api-key", ADMIN)];
    for wrong in [
        &[][..],
        &[("x-admin-api-key", WIDGET)],
        &[("x-api-key", ADMIN)],
        &[("x-api-key", WIDGET)],
        &[("x-admin-api-key", &world.secret)],
        &[("x-admin-api-key", &world.widget.1), ("origin", CUSTOMER)],
        &[("x-admin-api-key", "")],
        &twice,
    ] {
        assert_eq!(admin(wrong).await.whole(), UNAUTHORIZED, "{wrong:?}");
    }
    for text in [WIDGET, ADMIN] {
        for header in [("x-api-key", text.to_owned()), ("authorization", format!("Bearer {text}"))] {
            let house = world.send("GET", "/v1/me", &[(header.0, &header.1)], "").await;
            assert_eq!((house.status, &house.json()["error"]["code"]), (401, &"INVALID_API_KEY".into()), "{header:?}");
        }
    }
    assert_eq!(world.reached(), 1);
}

#[tokio::test]
async fn without_the_environments_keys_only_widget_keys_chat_and_nobody_reads() {
    let world = World::new(|_| None).await;
    let widget = [("x-api-key", world.widget.1.as_str()), ("origin", CUSTOMER)];
    assert_eq!(world.chat(&widget).await.status, 200);
    assert_eq!(world.chat(&[("x-api-key", WIDGET)]).await.whole(), UNAUTHORIZED);
    for headers in [&[][..], &[("x-admin-api-key", ADMIN)]] {
        let answer = world.send("GET", "/v1/admin/conversations", headers, "").await;
        let expected = (503, r#"{"error":"ADMIN_API_KEY is not configured on this deployment"}"#);
        assert_eq!(answer.whole(), expected);
    }
}

#[tokio::test]
async fn a_widget_key_keeps_its_domain_lock_its_header_and_its_end() {
    let world = any().await;
    let (key, evil) = (world.widget.1.clone(), (403, r#"{"error":"Origin not allowed"}"#));
    let good = world.chat(&[("x-widget-api-key", &key), ("origin", CUSTOMER)]).await;
    assert_eq!((good.status, good.header("access-control-allow-origin")), (200, CUSTOMER));
    assert_eq!(good.json()["bound"], CUSTOMER);
    for origin in [EVIL, "null", "https://customer.example.evil.example"] {
        assert_eq!(world.chat(&[("x-api-key", &key), ("origin", origin)]).await.whole(), evil, "{origin}");
    }
    assert_eq!(world.chat(&[("x-api-key", &key)]).await.whole(), evil, "no origin at all");
    let frame = [("x-api-key", key.as_str()), ("origin", OWN), ("x-embedding-origin", CUSTOMER)];
    assert_eq!(world.chat(&frame).await.json()["bound"], CUSTOMER);
    assert_eq!(world.reached(), 2, "nothing was done for the refused");
    let bearer = format!("Bearer {key}");
    assert_eq!(world.chat(&[("authorization", &bearer), ("origin", CUSTOMER)]).await.whole(), UNAUTHORIZED);
    world.revoke_widget().await;
    assert_eq!(world.chat(&[("x-api-key", &key), ("origin", CUSTOMER)]).await.whole(), UNAUTHORIZED);
}

#[tokio::test]
async fn a_page_must_be_listed_where_a_list_is_given_and_may_read_its_refusals() {
    let world = listed().await;
    let allowed = |answer: &crate::world::Answer| answer.header("access-control-allow-origin").to_owned();
    let key = ("x-api-key", WIDGET);
    let good = world.chat(&[key, ("origin", PAGE)]).await;
    assert_eq!((good.status, allowed(&good).as_str()), (200, PAGE));
    assert!(good.header("vary").contains("Origin") && good.header("access-control-allow-credentials").is_empty());
    let refused = (403, r#"{"error":"Origin not allowed"}"#);
    let twice = [key, ("origin", PAGE), ("origin", PAGE)];
    let told = [(&[key, ("origin", EVIL)][..], EVIL), (&[key, ("origin", "null")], ""), (&twice, "")];
    for (headers, reader) in told {
        let answer = world.chat(headers).await;
        assert_eq!((answer.whole(), allowed(&answer).as_str()), (refused, reader), "{headers:?}");
    }
    let embedded = ("x-embedding-origin", EVIL);
    assert_eq!(world.chat(&[key, ("origin", OWN), embedded]).await.whole(), refused, "our frame on their page");
    assert_eq!(world.reached(), 1, "nothing was done for the refused");
    assert_eq!(world.chat(&[key]).await.status, 200, "a server");
    assert_eq!(world.chat(&[key, ("origin", OWN)]).await.status, 200, "our own page");
    let wrong = world.chat(&[("x-api-key", "wrong"), ("origin", PAGE)]).await;
    assert_eq!((wrong.whole(), allowed(&wrong).as_str()), (UNAUTHORIZED, PAGE));
    let widget = world.chat(&[("x-api-key", &world.widget.1), ("origin", CUSTOMER)]).await;
    assert_eq!((widget.status, allowed(&widget).as_str()), (200, CUSTOMER), "its own list decides");
    let admin = world.send("GET", "/v1/admin/conversations", &[("x-admin-api-key", ADMIN), ("origin", EVIL)], "").await;
    assert_eq!(admin.whole(), refused);
}

#[tokio::test]
async fn without_a_list_every_page_may_use_the_environments_key_and_read_errors() {
    let world = any().await;
    let good = world.chat(&[("x-api-key", WIDGET), ("origin", EVIL)]).await;
    assert_eq!((good.status, good.header("access-control-allow-origin")), (200, "*"));
    assert_eq!(world.chat(&[("origin", EVIL)]).await.header("access-control-allow-origin"), "*");
    for path in ["/v1/chat", "/v1/chat/stream", "/v1/admin/conversations"] {
        let preflight =
            world.send("OPTIONS", path, &[("origin", EVIL), ("access-control-request-method", "POST")], "").await;
        assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, "*"), "{path}");
        let headers = preflight.header("access-control-allow-headers");
        for name in ["content-type", "x-api-key", "x-widget-api-key", "x-admin-api-key"] {
            assert!(headers.split(", ").any(|header| header == name), "{name} in {headers}");
        }
    }
}

#[tokio::test]
async fn the_address_pays_first_then_the_key_is_looked_at_then_the_body() {
    let world = any().await;
    let key = ("x-api-key", WIDGET);
    let send = async |headers: &[(&str, &str)], body: &str| world.send("POST", "/v1/chat", headers, body).await;
    assert_eq!(send(&[("x-api-key", "wrong")], "not JSON").await.status, 401);
    assert_eq!(send(&[key], "not JSON").await.status, 400);
    for _ in 2..30 {
        assert_eq!(world.chat(&[key]).await.status, 200);
    }
    for headers in [&[key][..], &[], &[("x-api-key", &world.widget.1), ("origin", CUSTOMER)]] {
        let refused = send(headers, "not JSON").await;
        assert_eq!(refused.whole(), (429, r#"{"error":"Too many requests"}"#), "{headers:?}");
        assert!(refused.header("retry-after").parse::<u32>().unwrap() >= 1);
        assert!(refused.header("ratelimit-policy").contains("q=30;w=60"), "{}", refused.header("ratelimit-policy"));
        assert_eq!(refused.header("access-control-allow-origin"), "*");
    }
    assert_eq!(world.send("GET", "/health", &[], "").await.status, 200, "a probe is never refused");
    world.wait_a_minute();
    assert_eq!(world.chat(&[key]).await.status, 200);
}

#[tokio::test]
async fn many_addresses_together_use_up_what_the_workspaces_browsers_may_and_no_more() {
    let world = any().await;
    for message in 0..600_u16 {
        let answer = world.chat_from(u8::try_from(message / 30).unwrap()).await;
        assert_eq!(answer.status, 200, "{message}");
    }
    let reached = world.reached();
    let refused = world.chat_from(200).await;
    assert_eq!(refused.whole(), (429, r#"{"error":"Too many requests"}"#), "an address that has asked nothing yet");
    assert!(refused.header("ratelimit-policy").contains("workspace-browsers"), "{:?}", refused.headers);
    assert_eq!(world.reached(), reached);
    let admin = [("x-admin-api-key", ADMIN)];
    assert_eq!(world.send("GET", "/v1/admin/conversations", &admin, "").await.status, 200, "who reads is no visitor");
    let server = format!("Bearer {}", world.secret);
    assert_eq!(world.send("GET", "/v1/me", &[("authorization", &server)], "").await.status, 200, "nor is a server");
    world.wait_a_minute();
    assert_eq!(world.chat_from(200).await.status, 200);
}

#[tokio::test]
async fn errors_are_one_text_whatever_was_wrong() {
    let world = any().await;
    let key = ("x-api-key", WIDGET);
    let payload = (400, r#"{"error":"Invalid request payload"}"#);
    let large = format!(r#"{{"message":"{}"}}"#, "a".repeat(9000));
    let bodies = ["", "{", "[]", "{}", r#"{"message":1}"#, r#"{"message":"a"} x"#, "\u{0}"];
    for body in bodies {
        let answer = world.send("POST", "/v1/chat", &[key, ("content-type", "application/json")], body).await;
        assert_eq!(answer.whole(), payload, "{body}");
        assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
    }
    let form = world.send("POST", "/v1/chat", &[key, ("content-type", "text/plain")], r#"{"message":"a"}"#).await;
    assert_eq!(form.whole(), payload);
    assert_eq!(world.chat(&[key, ("idempotency-key", "a\"é")]).await.whole(), payload);
    let large = world.send("POST", "/v1/chat", &[key], &large).await;
    assert_eq!(large.whole(), (413, r#"{"error":"Payload too large"}"#));
    let admin = [("x-admin-api-key", ADMIN)];
    for query in ["limit=x", "limit=0", "limit=-1"] {
        let answer = world.send("GET", &format!("/v1/admin/conversations?{query}"), &admin, "").await;
        assert_eq!(answer.whole(), (400, r#"{"error":"Invalid query parameters"}"#), "{query}");
    }
    let absent = world.send("GET", "/v1/admin/conversations/conv_1", &admin, "").await;
    assert_eq!(absent.whole(), (404, r#"{"error":"Conversation not found"}"#));
    let fail =
        async |what: &str| world.send("POST", "/v1/chat/fail", &[key], &format!(r#"{{"message":"{what}"}}"#)).await;
    let model = fail("model").await;
    assert_eq!((model.whole(), model.header("retry-after")), ((500, r#"{"error":"Internal server error"}"#), ""));
    let outage = fail("").await;
    assert_eq!((outage.whole(), outage.header("retry-after")), ((503, r#"{"error":"Service unavailable"}"#), "1"));
    assert_eq!(fail("credits").await.whole(), (402, r#"{"error":"No credits"}"#), "words of the operation's own");
}

#[tokio::test]
async fn what_is_not_served_is_refused_in_the_surfaces_words_below_its_paths() {
    let world = any().await;
    for (method, path) in [("GET", "/v1/chat"), ("DELETE", "/v1/chat/stream"), ("POST", "/v1/admin/conversations")] {
        let answer = world.send(method, path, &[], "").await;
        assert_eq!(answer.whole(), (405, r#"{"error":"Method not allowed"}"#), "{method} {path}");
        assert!(!answer.header("allow").is_empty() && answer.header("access-control-allow-origin") == "*");
    }
    for path in ["/v1/admin/conversations/a/b", "/v1/chat/stream/x"] {
        assert_eq!(world.send("GET", path, &[], "").await.whole(), (404, r#"{"error":"Not found"}"#), "{path}");
    }
    for path in ["/v1/chat/sessions/a/b", "/v1/nothing"] {
        assert_eq!(world.send("GET", path, &[], "").await.json()["error"]["code"], "NOT_FOUND", "{path}");
    }
    assert_eq!(world.send("DELETE", "/v1/me", &[], "").await.json()["error"]["code"], "METHOD_NOT_ALLOWED");
}

#[tokio::test]
async fn lines_are_sent_as_they_come_and_the_handler_learns_the_idempotency_key() {
    let world = any().await;
    let key = ("x-api-key", WIDGET);
    let stream = world.send("POST", "/v1/chat/stream", &[key], r#"{"message":"a"}"#).await;
    assert_eq!((stream.text.as_str(), stream.header("content-type")), ("{}\n", "application/x-ndjson; charset=utf-8"));
    assert_eq!(stream.header("x-accel-buffering"), "no");
    for sent in ["one", "\"one\""] {
        assert_eq!(world.chat(&[key, ("idempotency-key", sent)]).await.json()["idempotency_key"], "one");
    }
}

#[tokio::test]
async fn a_servers_key_in_a_page_is_refused_like_any_other_and_told_to_the_operator() {
    let world = any().await;
    let key = ("x-api-key", world.secret.as_str());
    assert_eq!(world.chat(&[key]).await.whole(), UNAUTHORIZED);
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    assert_eq!(world.exposures().await, 0, "from a server it is a mistake, and no leak");
    assert_eq!(world.chat(&[key, ("origin", EVIL)]).await.whole(), UNAUTHORIZED);
    // Written beside the answer.
    for _ in 0..100 {
        if world.exposures().await == 1 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the audit log does not tell of it");
}
