//! What happened is told in the transaction in which it happened, and only to those who listen.

use ambient::{ConversationId, Ulid};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, Row};
use store::{
    Archived, ContactFilter, CreditReserve, ImportBatch, ImportMatch, NewContact, NewConversation, NewEffect, NewRun,
    NewRunEvent, Reserved, StoreError, TurnRecord, Workspace,
};

use crate::databases::{START, World, by, connect, deployed, new_bot, on_each, run, started};

/// An endpoint of this tenant that hears `events`.
async fn listen(world: &World, tenant: &Workspace, events: &str) {
    let (workspace, environment) = (tenant.tenant().workspace, tenant.tenant().environment.as_str());
    let secret = if world.store.backend() == "sqlite" { "x'00'" } else { "'\\x00'::bytea" };
    let insert = format!(
        "INSERT INTO webhooks (workspace_id, environment, id, url, events, secret_sealed, created_at, updated_at)
        VALUES ('{workspace}', '{environment}', 'whk_{environment}', 'https://example.com', '{events}', {secret}, 0, 0)"
    );
    run(&world.url, &insert).await;
}

/// What was told since the last look: environment, kind and data, in the order of kinds.
async fn told(world: &World) -> Vec<(String, String, Value)> {
    let mut connection = connect(&world.url).await;
    let rows = connection.fetch_all(AssertSqlSafe("SELECT environment, kind, data FROM webhook_events")).await.unwrap();
    let of = |row: &sqlx::any::AnyRow| {
        let data: String = row.get(2);
        (row.get(0), row.get(1), serde_json::from_str(&data).unwrap())
    };
    let mut told: Vec<(String, String, Value)> = rows.iter().map(of).collect();
    let deliveries = connection.execute("DELETE FROM webhook_deliveries").await.unwrap().rows_affected();
    assert_eq!(deliveries, told.len() as u64, "each is to be delivered once");
    connection.execute("DELETE FROM webhook_events").await.unwrap();
    connection.close().await.unwrap();
    told.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    told
}

async fn kinds(world: &World) -> Vec<String> {
    told(world).await.into_iter().map(|(_, kind, _)| kind).collect()
}

async fn opened(tenant: &Workspace) -> ConversationId {
    let bot = tenant.create_bot(new_bot("Ada"), by("create_bot")).await.unwrap().id;
    let new = NewConversation {
        bot,
        channel: "session".to_owned(),
        key: None,
        user_identifier: Some("ann".to_owned()),
        metadata: Some(json!({"plan": "pro"})),
        channel_id: None,
    };
    tenant.create_conversation(new).await.unwrap().id
}

#[tokio::test]
async fn a_conversation_is_told_in_its_own_environment() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        listen(world, &live, "*").await;
        listen(world, &test, "*").await;
        for (tenant, environment) in [(&live, "live"), (&test, "test")] {
            let id = opened(tenant).await;
            let created = told(world).await;
            assert_eq!(created.len(), 1, "{created:?}");
            assert_eq!((created[0].0.as_str(), created[0].1.as_str()), (environment, "conversation.created"));
            let data = &created[0].2;
            assert_eq!((&data["id"], &data["status"]), (&json!(id), &json!("open")));
            assert_eq!((&data["user_identifier"], &data["metadata"]["plan"]), (&json!("ann"), &json!("pro")));

            tenant.append_message(id, "user", "Hi", "complete", Some(1)).await.unwrap();
            tenant.append_message(id, "assistant", "Hello", "partial", None).await.unwrap();
            let mut said = told(world).await;
            said.sort_by_key(|(_, _, data)| data["position"].as_u64());
            let said: Vec<_> =
                said.iter().map(|(_, kind, data)| json!([kind, data["content"], data["status"]])).collect();
            let expected =
                [json!(["message.created", "Hi", "complete"]), json!(["message.created", "Hello", "partial"])];
            assert_eq!(said, expected);

            let now = world.advance(1);
            assert!(tenant.end_conversation(id, now, by("end_chat_session")).await.unwrap());
            assert!(!tenant.end_conversation(id, now, by("end_chat_session")).await.unwrap());
            let ended = told(world).await;
            assert_eq!((ended.len(), ended[0].1.as_str()), (1, "session.ended"));
            assert_eq!((&ended[0].2["message_count"], &ended[0].2["ended_at"]), (&json!(2), &json!(now)));
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_refused_is_not_told() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        listen(world, &live, "*").await;
        let id = opened(&live).await;
        live.end_conversation(id, START, by("end_chat_session")).await.unwrap();
        let _ = told(world).await;
        let ended = live.append_message(id, "user", "Hi", "complete", None).await;
        assert!(matches!(ended, Err(StoreError::Conflict("ended"))));
        let nowhere = live.append_message(ConversationId(Ulid(1)), "user", "Hi", "complete", None).await;
        assert!(matches!(nowhere, Err(StoreError::NotFound)));
        assert!(kinds(world).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn without_a_listener_nothing_is_written() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        let (theirs, _) = world.tenant("theirs").await;
        listen(world, &test, "*").await;
        listen(world, &theirs, "*").await;
        listen(world, &live, ",run.failed,").await;
        let id = opened(&live).await;
        live.append_message(id, "user", "Hi", "complete", None).await.unwrap();
        assert!(kinds(world).await.is_empty(), "others' endpoints, and one that hears something else");
        run(&world.url, "UPDATE webhooks SET events = ',message.created,run.failed,'").await;
        opened(&live).await;
        live.append_message(id, "user", "Hi", "complete", None).await.unwrap();
        assert_eq!(kinds(world).await, ["message.created"]);
        run(&world.url, "UPDATE webhooks SET disabled_at = 1").await;
        live.append_message(id, "user", "Hi", "complete", None).await.unwrap();
        assert!(kinds(world).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_named_conversation_is_told_once() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        listen(world, &live, "*").await;
        let bot = live.create_bot(new_bot("Ada"), by("create_bot")).await.unwrap().id;
        let id = live.conversation_by_name("widget", "s-1", bot, None).await.unwrap();
        assert_eq!(live.conversation_by_name("widget", "s-1", bot, None).await.unwrap(), id);
        let created = told(world).await;
        assert_eq!((created.len(), &created[0].2["id"]), (1, &json!(id)));
        assert_eq!((&created[0].2["channel"], &created[0].2["bot_id"]), (&json!("dropin"), &json!(bot)));
    })
    .await;
}

/// To this status, at this step.
fn turn(seq: u64, status: &str, step: Option<&str>, state: &str) -> TurnRecord {
    let event = NewRunEvent { seq, kind: "step.opened".to_owned(), roles: None, data: "{}".to_owned(), at: START };
    TurnRecord {
        status: status.to_owned(),
        state: state.to_owned(),
        current_step: step.map(str::to_owned),
        events: vec![event],
        effects: Vec::new(),
        resolved: Vec::new(),
    }
}

#[tokio::test]
async fn a_run_tells_when_it_begins_to_wait_and_how_it_ends() {
    on_each(async |world| {
        let (live, _, deployment) = deployed(world, "ours").await;
        listen(world, &live, "*").await;
        let id = started(&live, deployment).await.id;
        let run = told(world).await.remove(0);
        assert_eq!((run.1.as_str(), &run.2["id"], &run.2["status"]), ("run.started", &json!(id), &json!("pending")));
        assert!(run.2.get("input").is_none() && run.2.get("state").is_none(), "{}", run.2);
        let steps = [
            (turn(1, "running", None, "{}"), None),
            (turn(2, "waiting", Some("a"), "{}"), Some("run.waiting")),
            (turn(3, "waiting", Some("a"), "{}"), None),
            (turn(4, "waiting", Some("b"), "{}"), Some("run.waiting")),
            (turn(5, "running", Some("b"), "{}"), None),
            (turn(6, "waiting", Some("b"), "{}"), Some("run.waiting")),
            (turn(7, "completed", None, "{}"), Some("run.completed")),
        ];
        for (turn, expected) in steps {
            let (seq, version) = (turn.events[0].seq, turn.events[0].seq - 1);
            let late = live.save_turn(id, version + 1, turn.clone()).await;
            assert!(matches!(late, Err(StoreError::Conflict("version"))));
            assert!(kinds(world).await.is_empty(), "a turn that was not taken, before {seq}");
            live.save_turn(id, version, turn).await.unwrap();
            assert_eq!(kinds(world).await, expected.as_slice(), "{seq}");
        }

        let id = started(&live, deployment).await.id;
        let state = r#"{"ending":{"code":"tool_failed","message":"It did not answer"}}"#;
        live.save_turn(id, 0, turn(1, "failed", None, state)).await.unwrap();
        let failed = told(world).await.remove(0);
        assert_eq!((failed.1.as_str(), &failed.2["ending"]["code"]), ("run.failed", &json!("tool_failed")));
        let id = started(&live, deployment).await.id;
        live.save_turn(id, 0, turn(1, "cancelled", None, "{}")).await.unwrap();
        assert_eq!(kinds(world).await, ["run.started"], "there is no event of a cancelled run");

        let (input, state) = ("{}".to_owned(), "{}".to_owned());
        let new = NewRun { deployment, origin: "api".to_owned(), input, state };
        let effect =
            || NewEffect { id: "a".to_owned(), kind: "begin".to_owned(), payload: "{}".to_owned(), due_at: START };
        assert!(live.create_run(new, vec![effect(), effect()]).await.is_err());
        assert!(kinds(world).await.is_empty(), "nothing was committed, and nothing is told");
    })
    .await;
}

async fn charge(live: &Workspace, cost: u64) {
    let wanted = CreditReserve { most: cost, least: 1, conversation: None, expires_at: START.plus(1000) };
    match live.reserve_credits(wanted).await.unwrap() {
        Reserved::Held(hold) => assert_eq!(live.settle_credits(&hold, cost).await.unwrap(), cost),
        other => unreachable!("{other:?}"),
    }
}

#[tokio::test]
async fn credits_tell_once_that_they_are_few_and_that_they_are_gone() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        listen(world, &live, "*").await;
        listen(world, &test, "*").await;
        live.set_metered(true, by("update_credits")).await.unwrap();
        for _ in 0..2 {
            live.grant_credits(100, None, by("grant_credits")).await.unwrap();
            charge(&live, 89).await;
            assert!(kinds(world).await.is_empty());
            charge(&live, 1).await;
            let low = told(world).await.remove(0);
            assert_eq!((low.0.as_str(), low.1.as_str()), ("live", "credits.low"));
            assert_eq!((&low.2["left"], &low.2["threshold"]), (&json!(10), &json!(10)));
            charge(&live, 9).await;
            assert!(kinds(world).await.is_empty(), "it was said");
            charge(&live, 1).await;
            assert_eq!(kinds(world).await, ["credits.depleted"]);
        }
        live.grant_credits(50, None, by("grant_credits")).await.unwrap();
        charge(&live, 50).await;
        assert_eq!(kinds(world).await, ["credits.depleted"], "of both the worse");
    })
    .await;
}

#[tokio::test]
async fn a_contact_of_a_call_is_told_and_one_of_an_import_is_not() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        listen(world, &live, ",contact.created,").await;
        let new = |name: &str| NewContact {
            name: Some(name.to_owned()),
            external_id: Some(name.to_lowercase()),
            tags: vec!["vip".to_owned()],
            ..NewContact::default()
        };
        let made = live.create_contact(new("Ada"), by("create_contact")).await.unwrap();
        let told_of = told(world).await;
        assert_eq!(told_of.len(), 1, "{told_of:?}");
        assert_eq!((told_of[0].0.as_str(), told_of[0].1.as_str()), ("live", "contact.created"));
        let data = &told_of[0].2;
        assert_eq!((&data["id"], &data["name"], &data["tags"]), (&json!(made.id), &json!("Ada"), &json!(["vip"])));

        let twice = live.create_contact(new("Ada"), by("create_contact")).await;
        assert!(matches!(twice, Err(StoreError::Conflict("external_id"))));
        test.create_contact(new("Ada"), by("create_contact")).await.unwrap();
        let import = live.begin_import(&json!({}), "key_1").await.unwrap().id;
        live.add_import_part(import, 0, b"name".to_vec()).await.unwrap();
        live.finish_upload(import, by("import_contacts")).await.unwrap();
        live.start_import(import, 1, 0).await.unwrap();
        let batch = ImportBatch {
            from: 0,
            to: 4,
            rows: vec![(2, new("Bob"))],
            errors: Vec::new(),
            failed: 0,
            matching: ImportMatch::None,
            updates: true,
            error_places: 10,
            contact_places: 10,
        };
        assert_eq!(live.import_batch(import, batch).await.unwrap().created, 1);
        let all = ContactFilter { archived: Archived::Any, ..ContactFilter::default() };
        assert_eq!(live.contact_count(&all).await.unwrap(), 2);
        assert!(kinds(world).await.is_empty(), "neither what was refused, nor what nobody hears, nor an import's");
    })
    .await;
}
