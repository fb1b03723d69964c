use serde_json::json;
use testkit::{ADMIN_API_KEY, Backend, Options, WIDGET_API_KEY, World, drop_in};

use super::{CHAT, LEGACY, LIST, STREAM, message, read, refused, said, send, total, world};

on_each! {
    every_wrong_key_is_the_same_401;
    the_first_header_that_is_there_counts;
    the_admin_key_reads_and_does_nothing_else;
    without_an_admin_key_the_routes_say_so;
    every_wrong_body_is_the_same_400;
    a_message_is_counted_in_utf_16_units;
    what_admins_ask_wrongly_is_told_apart;
    the_address_is_counted_before_the_key_and_the_body;
    what_a_stranger_forwards_does_not_change_the_address;
}

const CHATS: [&str; 3] = [CHAT, STREAM, LEGACY];

async fn every_wrong_key_is_the_same_401(backend: Backend) {
    let world = world(backend, |_| {}).await;
    let client = world.client();
    let (right, long) = (WIDGET_API_KEY.as_bytes(), "x".repeat(5000));
    let mut first = right.to_vec();
    first[0] ^= 1;
    let mut last = right.to_vec();
    *last.last_mut().unwrap() ^= 1;
    let longer = [right, b"x"].concat();
    let wrong: [&[u8]; 9] = [
        b"",
        b"x",
        &first,
        &last,
        &right[..right.len() - 1],
        &longer,
        long.as_bytes(),
        "schlüssel-aus-unicode-zeichen".as_bytes(),
        b"\xff\xfe\x80 not utf-8 \xff",
    ];
    for path in CHATS {
        for key in wrong {
            let request = client.post(path, &message("s", "hi")).header("x-api-key", key);
            refused(&request.send().await, 401, "Unauthorized");
        }
        for request in [
            client.post(path, &message("s", "hi")),
            client.post(path, &message("s", "hi")).bearer(WIDGET_API_KEY),
            client.post(path, &message("s", "hi")).header("x-api-key", ADMIN_API_KEY),
            client.post(path, &message("s", "hi")).header("x-admin-api-key", ADMIN_API_KEY),
            client.post(path, &message("s", "hi")).header("x-api-key", world.secret().credential()),
            // A wrong key goes before a wrong body.
            client.request("POST", path).body("text/plain", "?").header("x-api-key", "wrong"),
        ] {
            refused(&request.send().await, 401, "Unauthorized");
        }
    }
    let elsewhere = client.get("/v1/me").header("x-api-key", WIDGET_API_KEY).send().await;
    let _ = elsewhere.refused(401, "INVALID_API_KEY");
    assert_eq!(total(&client).await, 0, "nothing was made");
    world.end().await;
}

async fn the_first_header_that_is_there_counts(backend: Backend) {
    let world = world(backend, |_| {}).await;
    let client = world.client();
    let post = || client.post(CHAT, &message("s", "hi"));
    let (api, widget) = ("x-api-key", "x-widget-api-key");
    for (first, second, status) in [
        (Some(WIDGET_API_KEY), None, 200),
        (None, Some(WIDGET_API_KEY), 200),
        (Some(WIDGET_API_KEY), Some("wrong"), 200),
        (Some("wrong"), Some(WIDGET_API_KEY), 401),
        (Some(""), Some(WIDGET_API_KEY), 401),
    ] {
        let mut request = post();
        for (name, value) in [(api, first), (widget, second)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        assert_eq!(request.send().await.status, status, "{first:?} {second:?}");
    }
    // A header of another surface is not looked at.
    let _ = post().header(api, WIDGET_API_KEY).bearer("whatever").send().await.expect(200);
    world.end().await;
}

async fn the_admin_key_reads_and_does_nothing_else(backend: Backend) {
    let world = world(backend, |_| {}).await;
    let client = world.client();
    let paths = [LIST.to_owned(), format!("{LIST}/conv_00000000000000000000000000")];
    for path in &paths {
        for request in [
            client.get(path),
            client.get(path).header("x-admin-api-key", ""),
            client.get(path).header("x-admin-api-key", WIDGET_API_KEY),
            client.get(path).header("x-admin-api-key", &ADMIN_API_KEY[1..]),
            client.get(path).header("x-admin-api-key", [0xff, 0xfe]),
            client.get(path).header("x-api-key", ADMIN_API_KEY),
            client.get(path).header("x-api-key", WIDGET_API_KEY),
            client.get(path).bearer(ADMIN_API_KEY),
        ] {
            refused(&request.send().await, 401, "Unauthorized");
        }
    }
    said(&read(&client, LIST).send().await, 200, r#"{"conversations":[],"total":0}"#);
    let _ = client.get("/v1/conversations").header("x-admin-api-key", ADMIN_API_KEY).send().await.expect(401);
    world.end().await;
}

async fn without_an_admin_key_the_routes_say_so(backend: Backend) {
    const SENTENCE: &str = "ADMIN_API_KEY is not configured on this deployment";
    let world = world(backend, |settings| settings.admin_api_key = None).await;
    refused(&world.client().get(LIST).send().await, 503, SENTENCE);
    refused(&read(&world.client(), &format!("{LIST}/x")).send().await, 503, SENTENCE);
    let _ = send(&world.client(), CHAT, "s", "hi").send().await.expect(200);
    world.end().await;
    let bare = World::new(backend).await;
    refused(&read(&bare.client(), LIST).send().await, 503, SENTENCE);
    refused(&send(&bare.client(), CHAT, "s", "hi").send().await, 401, "Unauthorized");
    bare.end().await;
}

async fn every_wrong_body_is_the_same_400(backend: Backend) {
    let world = world(backend, |_| {}).await;
    let client = world.client();
    let long = "s".repeat(129);
    let bodies = [
        json!({}),
        json!([]),
        json!("text"),
        json!({"sessionId": "s"}),
        json!({"message": "hi"}),
        json!({"sessionId": "s", "message": ""}),
        json!({"sessionId": "s", "message": 1}),
        json!({"sessionId": "s", "message": null}),
        json!({"sessionId": 1, "message": "hi"}),
        json!({"sessionId": "", "message": "hi"}),
        json!({"sessionId": "a b", "message": "hi"}),
        json!({"sessionId": "a/b", "message": "hi"}),
        json!({"sessionId": "a\n", "message": "hi"}),
        json!({"sessionId": "ü", "message": "hi"}),
        json!({"sessionId": long, "message": "hi"}),
        json!({"sessionId": "s", "message": "a\u{0}b"}),
    ];
    for path in CHATS {
        let post = || client.request("POST", path).header("x-api-key", WIDGET_API_KEY);
        for body in &bodies {
            refused(&post().json(body).send().await, 400, "Invalid request payload");
        }
        for (media_type, body) in [
            ("application/json", "{"),
            ("application/json", ""),
            ("application/json", "\u{feff}{}"),
            ("text/plain", r#"{"sessionId":"s","message":"hi"}"#),
            ("application/x-www-form-urlencoded", "sessionId=s&message=hi"),
            ("", ""),
        ] {
            refused(&post().body(media_type, body).send().await, 400, "Invalid request payload");
        }
        let large = json!({"sessionId": "s", "message": "x".repeat(300 * 1024)});
        refused(&post().json(&large).send().await, 413, "Payload too large");
        refused(&client.get(path).send().await, 405, "Method not allowed");
    }
    assert_eq!(total(&client).await, 0, "nothing was made");
    world.end().await;
}

async fn a_message_is_counted_in_utf_16_units(backend: Backend) {
    let world = world(backend, |_| {}).await;
    let client = world.client();
    let faces = |count: usize| "😀".repeat(count);
    for (text, status) in [
        ("a".repeat(4000), 200),
        ("a".repeat(4001), 400),
        ("ü".repeat(4000), 200),
        (faces(2000), 200),
        (format!("{}a", faces(2000)), 400),
        (" ".to_owned(), 200),
    ] {
        let answer = send(&client, CHAT, "s", &text).send().await;
        assert_eq!(answer.status, status, "{} characters: {}", text.chars().count(), answer.text());
    }
    let name = format!("A-z.0_9:{}", "x".repeat(120));
    let _ = send(&client, CHAT, &name, "hi").send().await.expect(200);
    let more = json!({"sessionId": "s", "message": "hi", "page": {"url": "/"}, "agentId": "bot_nobody"});
    let _ = client.post(CHAT, &more).header("x-api-key", WIDGET_API_KEY).send().await.expect(200);
    world.end().await;
}

async fn what_admins_ask_wrongly_is_told_apart(backend: Backend) {
    let world = world(backend, |_| {}).await;
    let client = world.client();
    for query in ["limit=0", "limit=201", "limit=-1", "limit=x", "limit=", "limit=1.5", "limit=1&limit=2"] {
        refused(&read(&client, &format!("{LIST}?{query}")).send().await, 400, "Invalid query parameters");
    }
    for query in ["limit=1", "limit=200", "other=1"] {
        let _ = read(&client, &format!("{LIST}?{query}")).send().await.expect(200);
    }
    for id in ["x", "conv_00000000000000000000000000", "%20", &"y".repeat(128)] {
        refused(&read(&client, &format!("{LIST}/{id}")).send().await, 404, "Conversation not found");
    }
    refused(&read(&client, &format!("{LIST}/{}", "y".repeat(129))).send().await, 400, "Invalid conversationId");
    let session = world.session().await;
    let of_another_door = read(&client, &format!("{LIST}/{}", session.id())).send().await;
    refused(&of_another_door, 404, "Conversation not found");
    let post = client.post(LIST, &json!({})).header("x-admin-api-key", ADMIN_API_KEY).send().await;
    refused(&post, 405, "Method not allowed");
    world.end().await;
}

async fn the_address_is_counted_before_the_key_and_the_body(backend: Backend) {
    let world = world(backend, |settings| settings.rate_limit_max_requests = 30).await;
    let client = world.client();
    for number in 0..30 {
        // Whatever it is, it is counted.
        let (request, status) = match number % 3 {
            0 => (client.post(CHAT, &message("s", "hi")).header("x-api-key", "wrong"), 401),
            1 => (client.post(STREAM, &json!({})).header("x-api-key", WIDGET_API_KEY), 400),
            _ => (send(&client, LEGACY, "s", "hi"), 200),
        };
        assert_eq!(request.send().await.status, status, "{number}");
    }
    for request in [
        send(&client, CHAT, "s", "hi"),
        client.post(CHAT, &message("s", "hi")).header("x-api-key", "wrong"),
        client.post(STREAM, &json!({})).header("x-api-key", WIDGET_API_KEY),
        client.post(LEGACY, &message("s", "hi")),
    ] {
        let answer = request.send().await;
        refused(&answer, 429, "Too many requests");
        let wait: u32 = answer.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
    }
    let _ = read(&client, LIST).send().await.expect(200);
    world.end().await;
}

async fn what_a_stranger_forwards_does_not_change_the_address(backend: Backend) {
    let settings = |trusted_proxies: Vec<String>| {
        let mut settings = drop_in();
        settings.rate_limit_max_requests = 3;
        Options { drop_in: Some(settings), trusted_proxies, ..Options::default() }
    };
    for (proxies, last) in [(Vec::new(), 429), (vec!["127.0.0.0/8".to_owned()], 200)] {
        let world = World::with(backend, settings(proxies)).await;
        let mut status = 0;
        for number in 0..4 {
            let forwarded = format!("203.0.113.{number}");
            let request = send(&world.client(), CHAT, "s", "hi").header("x-forwarded-for", forwarded);
            status = request.send().await.status;
        }
        assert_eq!(status, last, "only a proxy that is trusted names the address");
        world.end().await;
    }
}
