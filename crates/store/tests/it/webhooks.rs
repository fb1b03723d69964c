//! What attempts to deliver came to, written together; and endpoints that go with their owner.

use ambient::{AgentLoopId, BotId, ChannelId, EventId, Millis, Ulid, WebhookId};
use serde_json::json;
use store::{
    AfterAttempt, AgentLoopDraft, AttemptOutcome, CallbackDraft, DueDelivery, FinishedAttempt, NewChannel,
    NewReplyEndpoint, NewWebhook, StoreError, Workspace,
};

use crate::databases::{FIRST, START, World, by, connect, new_bot, on_each, run};

const CLAIM: Millis = Millis(START.0 + 60_000);

fn id(n: u128) -> Ulid {
    Ulid((u128::from(u32::MAX) << 90) + n)
}

async fn listen(tenant: &Workspace, n: u128) -> WebhookId {
    let new = NewWebhook {
        id: WebhookId(id(n)),
        url: "https://hooks.example.com".to_owned(),
        events: Some(vec!["webhook.disabled".to_owned()]),
        description: None,
        secret_sealed: vec![1],
        is_active: true,
    };
    tenant.create_webhook(new, by("create_webhook")).await.unwrap().id
}

/// An event for an endpoint, claimed.
async fn claimed(world: &World, tenant: &Workspace, webhook: WebhookId) -> DueDelivery {
    let event = tenant.test_webhook(webhook, "webhook.test", &json!({}), by("test_webhook")).await.unwrap();
    let due = DueDelivery { tenant: tenant.tenant(), webhook, event };
    assert_eq!(world.store.claim_deliveries(&[due], START, CLAIM).await.unwrap(), [due]);
    due
}

fn over(due: DueDelivery, then: AfterAttempt) -> FinishedAttempt {
    let is_good = then == AfterAttempt::Delivered;
    let outcome = AttemptOutcome {
        status: Some(if is_good { 200 } else { 503 }),
        error: (!is_good).then_some("status"),
        answer: Some(format!("{then:?}")),
        took_ms: 7,
        throttled_until: None,
        then,
    };
    FinishedAttempt { due, claim: CLAIM, outcome }
}

/// All that is known of a tenant's endpoints, without ids that were drawn.
async fn state(world: &World, tenant: &Workspace, webhooks: &[WebhookId], events: &[EventId]) -> Vec<String> {
    let mut state = Vec::new();
    for webhook in webhooks {
        let record = tenant.webhook(*webhook).await.unwrap();
        state.push(format!("{:?} {:?} {:?}", record.failing_since, record.disabled_at, record.disabled_reason));
        let attempts = tenant.attempts(*webhook, FIRST).await.unwrap().rows.into_iter().map(|one| {
            let event = events.iter().position(|event| *event == one.event);
            format!("{event:?} {:?} {:?} {:?} {} {:?}", one.status, one.error, one.answer, one.took_ms, one.created_at)
        });
        let mut attempts: Vec<_> = attempts.collect();
        attempts.sort();
        state.extend(attempts);
        for event in events {
            state.push(delivery(world, *webhook, *event).await);
        }
    }
    state
}

async fn delivery(world: &World, webhook: WebhookId, event: EventId) -> String {
    use sqlx::{AssertSqlSafe, Connection, Executor, Row};
    let mut connection = connect(&world.url).await;
    let sql = format!(
        "SELECT state, attempts, COALESCE(due_at, -1), COALESCE(claimed_until, -1) FROM webhook_deliveries
        WHERE webhook_id = '{webhook}' AND event_id = '{event}'"
    );
    let row = connection.fetch_optional(AssertSqlSafe(sql)).await.unwrap();
    connection.close().await.unwrap();
    let of = |row: sqlx::any::AnyRow| {
        let (state, numbers): (String, Vec<i64>) = (row.get(0), (1..4).map(|column| row.get(column)).collect());
        format!("{state} {numbers:?}")
    };
    row.map(of).unwrap_or_default()
}

#[tokio::test]
async fn together_or_one_by_one_each_attempt_comes_to_the_same() {
    on_each(async |world| {
        let again = AfterAttempt::Again(START.plus(5000));
        let mut states = Vec::new();
        for (n, name) in (0..).zip(["together", "alone"]) {
            let (tenant, _) = world.tenant(name).await;
            let (mut webhooks, mut finished) = (Vec::new(), Vec::new());
            for (place, thens) in (0..).zip([
                vec![AfterAttempt::Delivered, AfterAttempt::Delivered],
                vec![again, AfterAttempt::Delivered, AfterAttempt::GiveUp, again],
                vec![again, AfterAttempt::Delivered],
                vec![again, AfterAttempt::Disable("gone"), AfterAttempt::Delivered],
            ]) {
                let webhook = listen(&tenant, n * 100 + place).await;
                webhooks.push(webhook);
                for then in thens {
                    finished.push(over(claimed(world, &tenant, webhook).await, then));
                }
            }
            // Waits, and is asked to wait longer; and one that somebody has replayed meanwhile.
            let event = tenant.test_webhook(webhooks[1], "webhook.test", &json!({}), by("test_webhook")).await.unwrap();
            finished[5].outcome.throttled_until = Some(START.plus(9000));
            finished[7].claim = CLAIM.plus(1);
            let mut events: Vec<_> = finished.iter().map(|one| one.due.event).collect();
            events.push(event);
            // Endpoints take turns.
            finished.sort_by_key(|one| events.iter().position(|event| *event == one.due.event).map(|place| place % 3));
            let writes = world.store.writes();
            if name == "together" {
                world.store.finish_attempts(&finished).await.unwrap();
                assert_eq!(world.store.writes(), writes + 1);
            } else {
                for one in &finished {
                    world.store.finish_attempts(std::slice::from_ref(one)).await.unwrap();
                }
            }
            let told = tenant.attempts(webhooks[3], FIRST).await.unwrap();
            assert_eq!(told.total, 3, "attempts are written down whatever has become of the endpoint");
            states.push(state(world, &tenant, &webhooks, &events).await);
        }
        assert_eq!(states[0], states[1]);
        let known = states[0].join("\n");
        for part in ["delivered [1, -1, -1]", "failed [1, -1, -1]", "pending [0, ", "Some(\"gone\")"] {
            assert!(known.contains(part), "{part}: {known}");
        }
        assert!(known.contains(&format!("pending [1, {}, -1]", START.plus(5000).0)), "{known}");
        assert!(known.contains(&format!("pending [0, {}, -1]", START.plus(9000).0)), "{known}");
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_that_is_gone_takes_no_attempt_with_it() {
    on_each(async |world| {
        let (ours, _) = world.tenant("ours").await;
        let (_, theirs) = world.tenant("theirs").await;
        let (gone, here) = (listen(&ours, 1).await, listen(&theirs, 2).await);
        let (lost, kept) = (claimed(world, &ours, gone).await, claimed(world, &theirs, here).await);
        ours.delete_webhook(gone, by("delete_webhook")).await.unwrap();
        let both = [over(lost, AfterAttempt::GiveUp), over(kept, AfterAttempt::Delivered)];
        world.store.finish_attempts(&both).await.unwrap();
        assert_eq!(theirs.attempts(here, FIRST).await.unwrap().total, 1);
        assert_eq!(delivery(world, here, kept.event).await, "delivered [1, -1, -1]");
    })
    .await;
}

#[tokio::test]
async fn of_what_is_written_together_all_is_there_or_nothing() {
    on_each(async |world| {
        let (tenant, _) = world.tenant("ours").await;
        let (first, second) = (listen(&tenant, 1).await, listen(&tenant, 2).await);
        let dues = [claimed(world, &tenant, first).await, claimed(world, &tenant, second).await];
        let both = dues.map(|due| over(due, AfterAttempt::Delivered));
        let refuse = match world.store.backend() {
            "sqlite" => format!(
                "CREATE TRIGGER refuse BEFORE INSERT ON webhook_attempts WHEN NEW.webhook_id = '{second}'
                BEGIN SELECT RAISE(ABORT, 'no'); END"
            ),
            _ => format!("ALTER TABLE webhook_attempts ADD CHECK (webhook_id <> '{second}')"),
        };
        run(&world.url, &refuse).await;
        assert!(matches!(world.store.finish_attempts(&both).await, Err(StoreError::Unavailable(_))));
        for due in dues {
            assert_eq!(tenant.attempts(due.webhook, FIRST).await.unwrap().total, 0);
            assert_eq!(delivery(world, due.webhook, due.event).await, format!("pending [0, {}, {}]", CLAIM.0, CLAIM.0));
        }
        world.store.finish_attempts(&both[..1]).await.unwrap();
        assert_eq!(delivery(world, first, dues[0].event).await, "delivered [1, -1, -1]");
    })
    .await;
}

/// A channel and an agent loop of a bot, each with an endpoint of its own.
async fn endpoints_of(tenant: &Workspace, bot: BotId, n: u128) -> [WebhookId; 2] {
    let [reply, callback] = [WebhookId(id(n)), WebhookId(id(n + 1))];
    let (url, secret_sealed) = ("https://hooks.example.com".to_owned(), vec![1]);
    let channel = NewChannel {
        id: ChannelId(id(n)),
        bot,
        kind: "webhook".to_owned(),
        name: "Shop".to_owned(),
        settings: "{}".to_owned(),
        secret_sealed: Some(vec![1]),
        reply: Some(NewReplyEndpoint { id: reply, url: url.clone(), secret_sealed: secret_sealed.clone() }),
        is_active: true,
    };
    let _ = tenant.create_channel(channel, by("create_channel")).await.unwrap();
    let draft = AgentLoopDraft {
        id: AgentLoopId(id(n)),
        bot,
        name: "Loop".to_owned(),
        description: None,
        prompt: "Do it".to_owned(),
        tools: "[]".to_owned(),
        max_iterations: 1,
        timeout_seconds: 60,
        callback: CallbackDraft::To { id: callback, url, secret_sealed },
    };
    let _ = tenant.create_agent_loop(draft, by("create_agent_loop")).await.unwrap();
    [reply, callback]
}

#[tokio::test]
async fn with_a_bot_go_the_endpoints_of_its_channels_and_loops_and_no_others() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        let (theirs, _) = world.tenant("theirs").await;
        let bot = live.create_bot(new_bot("a"), by("create_bot")).await.unwrap().id;
        let gone = endpoints_of(&live, bot, 10).await;
        let mut kept = Vec::new();
        for (tenant, n) in [(&live, 20), (&test, 30), (&theirs, 40)] {
            let bot = tenant.create_bot(new_bot("b"), by("create_bot")).await.unwrap().id;
            kept.extend(endpoints_of(tenant, bot, n).await.map(|id| (tenant, id)));
        }
        let listed = listen(&live, 50).await;
        for id in gone {
            assert!(live.owned_webhook(id).await.is_ok());
        }
        live.delete_bot(bot, by("delete_bot")).await.unwrap();
        for id in gone {
            assert!(matches!(live.owned_webhook(id).await, Err(StoreError::NotFound)));
        }
        for (tenant, id) in kept {
            assert!(tenant.owned_webhook(id).await.is_ok());
        }
        assert!(live.webhook(listed).await.is_ok());
        assert!(live.delete_bot(bot, by("delete_bot")).await.is_err());
    })
    .await;
}
