//! Conversations as the customer reads and deletes them.

use serde_json::{Value, json};
use testkit::World;

fn ids(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

on_both! {
    lists_are_paged_and_filtered;
    a_filter_finds_what_it_names_and_nothing_else;
    a_search_finds_words_and_goes_on_where_it_ended;
    a_query_that_means_nothing_is_refused;
    messages_read_on_from_one;
    deleting_takes_the_messages_and_the_session_with_it;
    a_deleted_bots_conversations_stay_readable;
    another_workspace_finds_nothing_and_learns_nothing;
}

async fn lists_are_paged_and_filtered(world: &World) {
    let (first_bot, second_bot) = (world.bot().await, world.bot().await);
    let mut made = Vec::new();
    for n in 0..5 {
        let bot = if n == 4 { &second_bot } else { &first_bot };
        made.push(world.open_session("session", &world.secret(), bot).await.id().to_owned());
    }
    let reader = world.restricted().await;
    let all = reader.get("/v1/conversations").await.expect(200).json();
    assert_eq!(all["meta"], json!({"page": 1, "per_page": 20, "total": 5}));
    let mut seen = Vec::new();
    for page in 1..=3 {
        let part = reader.get(&format!("/v1/conversations?page={page}&per_page=2")).await.expect(200);
        assert_eq!(part.json()["meta"]["total"], 5);
        seen.extend(ids(&part.data()));
    }
    assert_eq!(seen, ids(&all["data"]), "pages join without gaps or doubles");
    seen.sort();
    made.sort();
    assert_eq!(seen, made);
    assert!(reader.get("/v1/conversations?page=4&per_page=2").await.expect(200).data().as_array().unwrap().is_empty());
    let of_second = reader.get(&format!("/v1/bots/{second_bot}/conversations")).await.expect(200).data();
    let filtered = reader.get(&format!("/v1/conversations?bot_id={second_bot}")).await.expect(200).data();
    assert_eq!((ids(&of_second).len(), ids(&filtered)), (1, ids(&of_second)));
}

async fn a_filter_finds_what_it_names_and_nothing_else(world: &World) {
    let (by, bot) = (world.secret(), world.bot().await);
    let open = async |user: &str| {
        let body = json!({"agent_id": bot, "user_identifier": user});
        by.post("/v1/chat/sessions", &body).await.expect(201).json()
    };
    let ann = open("ann").await;
    // Within a millisecond the order is nobody's.
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    let bob = open("bob").await;
    let id = |opened: &Value| opened["conversation_id"].as_str().unwrap().to_owned();
    let end = format!("/v1/chat/sessions/{}/end", id(&bob));
    let token = bob["session_token"].as_str().unwrap();
    let _ = world.client().post(&end, &json!({})).bearer(token).send().await.expect(200);
    let before = world.client().get(&format!("/v1/conversations/{}", id(&ann))).bearer(by.credential()).send().await;
    let opened = before.expect(200).data()["created_at"].as_str().unwrap().to_owned();
    let (ann, bob) = (id(&ann), id(&bob));
    for (query, expected) in [
        ("user_identifier=ann".to_owned(), vec![&ann]),
        ("user_identifier=Ann".to_owned(), vec![]),
        ("status=open".to_owned(), vec![&ann]),
        ("status=ended".to_owned(), vec![&bob]),
        (format!("status=ended&bot_id={bot}"), vec![&bob]),
        ("channel=session".to_owned(), vec![&bob, &ann]),
        ("channel=dropin".to_owned(), vec![]),
        (format!("channel_id=ch_{}", "0".repeat(26)), vec![]),
        (format!("from={opened}"), vec![&bob, &ann]),
        (format!("to={opened}"), vec![]),
        ("from=2020-01-01&to=2020-01-02".to_owned(), vec![]),
        (format!("before={bob}"), vec![&ann]),
        ("search=&user_identifier=".to_owned(), vec![&bob, &ann]),
    ] {
        let page = by.get(&format!("/v1/conversations?{query}")).await.expect(200).json();
        assert_eq!(ids(&page["data"]).iter().collect::<Vec<_>>(), expected, "{query}");
        assert_eq!(page["meta"]["total"], expected.len(), "{query}");
        let of_bot = by.get(&format!("/v1/bots/{bot}/conversations?{query}")).await.expect(200).data();
        assert_eq!(ids(&of_bot).iter().collect::<Vec<_>>(), expected, "{query}");
        for other in [world.other_workspace_secret(), world.test_secret().await] {
            assert!(ids(&other.get(&format!("/v1/conversations?{query}")).await.expect(200).data()).is_empty());
        }
    }
}

async fn a_search_finds_words_and_goes_on_where_it_ended(world: &World) {
    let (by, bot) = (world.secret(), world.bot().await);
    let mut made = Vec::new();
    for (user, words) in
        [("annabella", "Grüße an ALLE"), ("100%", "nothing"), ("a_c", "grüsse"), ("carl", "GRÜSSE 50% off")]
    {
        let body = json!({"agent_id": bot, "user_identifier": user});
        let opened = by.post("/v1/chat/sessions", &body).await.expect(201).json();
        let id = opened["conversation_id"].as_str().unwrap().to_owned();
        let path = format!("/v1/chat/sessions/{id}/messages");
        let token = opened["session_token"].as_str().unwrap();
        let said = world.client().post(&path, &json!({"message": words})).bearer(token).send().await;
        assert!(said.text().contains("stream_end"));
        made.push(id);
    }
    let [ann, hundred, abc, carl] = [0, 1, 2, 3].map(|n: usize| &made[n]);
    let part = &carl[10..];
    let search = async |words: &str, rest: &str| {
        let words: String = url::form_urlencoded::byte_serialize(words.as_bytes()).collect();
        by.get(&format!("/v1/conversations?search={words}{rest}")).await.expect(200).json()
    };
    for (words, expected) in [
        ("grüsse", vec![carl, abc]),
        ("GRÜẞE", vec![ann]),
        ("an alle", vec![ann]),
        ("%", vec![carl, hundred]),
        ("50%", vec![carl]),
        ("a_c", vec![abc]),
        ("_", vec![carl, abc, hundred, ann]),
        ("ANNABELLA", vec![ann]),
        (part, vec![carl]),
        ("nowhere", vec![]),
    ] {
        let page = search(words, "").await;
        assert_eq!(ids(&page["data"]).iter().collect::<Vec<_>>(), expected, "{words}");
        assert_eq!((&page["meta"]["total"], &page["meta"]["truncated"]), (&json!(expected.len()), &json!(false)));
    }
    let first = search("grüsse", "&per_page=1").await;
    assert_eq!((ids(&first["data"]), &first["meta"]["total"]), (vec![carl.clone()], &json!(null)));
    let next = first["meta"]["next"].as_str().unwrap();
    let second = search("grüsse", &format!("&per_page=1&before={next}")).await;
    assert_eq!(ids(&second["data"]), [abc.as_str()]);
    let next = second["meta"]["next"].as_str().unwrap();
    let last = search("grüsse", &format!("&per_page=1&before={next}")).await;
    assert!(ids(&last["data"]).is_empty() && last["meta"].get("next").is_none(), "{last}");
    assert_eq!(ids(&search("grüsse", "&user_identifier=carl").await["data"]), [carl.as_str()]);
    for other in [world.other_workspace_secret(), world.test_secret().await] {
        let found = other.get("/v1/conversations?search=gr%C3%BCsse").await.expect(200).json();
        assert_eq!(found["data"], json!([]));
    }
}

async fn a_query_that_means_nothing_is_refused(world: &World) {
    let long = "x".repeat(201);
    for query in [
        "status=closed",
        "bot_id=ch_1",
        "channel_id=x",
        "before=msg_1",
        "from=yesterday",
        "to=2026-13-01",
        "search=a%00b",
        "user_identifier=%0A",
        "channel=%7F",
        "search=a&page=2",
        &format!("search={long}"),
    ] {
        let answer = world.secret().get(&format!("/v1/conversations?{query}")).await.refused(400, "INVALID_REQUEST");
        let name = query.split('=').next().unwrap();
        assert!(answer.text().contains(name), "{query}: {}", answer.text());
    }
}

async fn messages_read_on_from_one(world: &World) {
    let session = world.session().await;
    for word in ["a", "b", "c"] {
        let _ = session.say(word).await.rest().await;
    }
    let path = format!("/v1/conversations/{}/messages", session.id());
    let all = world.secret().get(&path).await.expect(200).data();
    let known = ids(&all);
    assert_eq!(known.len(), 6);
    let positions: Vec<_> = all.as_array().unwrap().iter().map(|m| m["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, [1, 2, 3, 4, 5, 6]);
    let rest = world.secret().get(&format!("{path}?after={}&per_page=2", known[2])).await.expect(200).data();
    assert_eq!(ids(&rest), known[3..5]);
    let none = world.secret().get(&format!("{path}?after={}", known[5])).await.expect(200).data();
    assert!(none.as_array().unwrap().is_empty());
    let _ = world.secret().get(&format!("{path}?after=nonsense")).await.refused(400, "INVALID_REQUEST");
    let shown = world.secret().get(&format!("/v1/conversations/{}", session.id())).await.expect(200).data();
    assert_eq!((&shown["message_count"], &shown["key_id"]), (&json!(6), &json!(world.secret().id())));
}

async fn deleting_takes_the_messages_and_the_session_with_it(world: &World) {
    let (session, other) = (world.session().await, world.session().await);
    let canary = "canary-4f1d2b7c9e";
    let _ = session.say(canary).await.rest().await;
    let _ = other.say("stays").await.rest().await;
    let path = format!("/v1/conversations/{}", session.id());
    let _ = world.restricted().await.delete(&path).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let _ = world.other_workspace_secret().delete(&path).await.refused(404, "NOT_FOUND");
    let _ = world.secret().delete(&path).await.expect(204);
    let _ = world.secret().delete(&path).await.refused(404, "NOT_FOUND");
    let _ = world.secret().get(&path).await.refused(404, "NOT_FOUND");
    let _ = world.secret().get(&format!("{path}/messages")).await.refused(404, "NOT_FOUND");
    let answer = session.get(&session.messages()).await;
    assert_eq!(answer.status, 401, "{}", answer.text());
    let _ = session.post(&session.messages(), &json!({"message": "x"})).await.refused(401, "INVALID_TOKEN");
    assert_eq!(other.history().await.len(), 2);
    assert!(!world.secret().get("/v1/audit-log").await.text().contains(canary));
}

async fn a_deleted_bots_conversations_stay_readable(world: &World) {
    let bot = world.bot().await;
    let session = world.open_session("session", &world.secret(), &bot).await;
    let _ = session.say("remember").await.rest().await;
    let _ = world.secret().delete(&format!("/v1/bots/{bot}")).await.expect(204);
    let messages = world.secret().get(&format!("/v1/conversations/{}/messages", session.id())).await.expect(200);
    assert!(messages.text().contains("remember"));
    let list = world.secret().get(&format!("/v1/bots/{bot}/conversations")).await.expect(200).data();
    assert_eq!(list.as_array().unwrap().len(), 1);
    let answer = session.post(&session.messages(), &json!({"message": "anybody?"})).await;
    assert!(answer.status < 500, "{} {}", answer.status, answer.text());
}

async fn another_workspace_finds_nothing_and_learns_nothing(world: &World) {
    let session = world.session().await;
    let bot = world.bot().await;
    let integration =
        world.secret().get(&format!("/v1/bots/{bot}/integrations")).await.data()[0]["id"].as_str().unwrap().to_owned();
    let (account, key) = world.account("software", "member").await;
    let foreign = world.other_workspace_secret();
    let random = "00000000000000000000000001";
    for (own, prefix, suffix) in [
        (format!("/v1/conversations/{}", session.id()), "conv_", ""),
        (format!("/v1/conversations/{}/messages", session.id()), "conv_", "/messages"),
        (format!("/v1/bots/{bot}"), "bot_", ""),
        (format!("/v1/bots/{bot}/integrations"), "bot_", "/integrations"),
        (format!("/v1/integrations/{integration}"), "int_", ""),
        (format!("/v1/service-accounts/{account}"), "svc_", ""),
        (format!("/v1/service-accounts/{account}/api-keys"), "svc_", "/api-keys"),
        (format!("/v1/api-keys/{}", key.id()), "key_", ""),
    ] {
        let absent = format!("{}{prefix}{random}{suffix}", &own[..own.find(prefix).unwrap()]);
        let (found, missing) =
            (foreign.get(&own).await.refused(404, "NOT_FOUND"), foreign.get(&absent).await.refused(404, "NOT_FOUND"));
        assert_eq!(found.body_without_id(), missing.body_without_id(), "{own}");
        assert_eq!(found.body.len(), missing.body.len(), "{own}");
    }
    for path in ["/v1/bots", "/v1/conversations", "/v1/service-accounts"] {
        assert_eq!(foreign.get(path).await.expect(200).json()["meta"]["total"], 0, "{path}");
    }
    assert_eq!(foreign.get("/v1/api-keys").await.json()["meta"]["total"], 1);
    assert!(!foreign.get("/v1/audit-log?per_page=100").await.expect(200).text().contains(key.id()));
}
