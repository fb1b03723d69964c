//! What one tenant has, no other finds: neither another workspace nor the other environment.

use ambient::{ConnectionId, ConversationId, DeploymentId, MessageId, RunId, Ulid};
use store::{
    BotChange, ConnectionDraft, IntegrationChange, KeyChange, KeyFilter, NewConversation, NewRun, RunFilter, RunRange,
    ServiceAccountChange, StoreError, TurnRecord, WorkflowChange, Workspace,
};

use crate::databases::{
    FIRST, START, by, deploy, logged, new_account, new_bot, new_deployment, new_integration, new_key, new_workflow,
    on_each, secret, started,
};

#[expect(clippy::needless_pass_by_value, reason = "a call reads as a sentence")]
fn absent<T: std::fmt::Debug>(what: &str, result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::NotFound)), "{what}: {result:?}");
}

async fn sees_no_bot_of(owner: &Workspace, stranger: &Workspace) {
    let bot = owner.create_bot(new_bot("ours"), by("create")).await.unwrap().id;
    let integration = owner.integrations(bot).await.unwrap()[0].id;
    absent("bot", stranger.bot(bot).await);
    absent("update_bot", stranger.update_bot(bot, BotChange::default(), by("x")).await);
    absent("delete_bot", stranger.delete_bot(bot, by("x")).await);
    absent("create_integration", stranger.create_integration(new_integration(bot, 1), by("x")).await);
    absent("integration", stranger.integration(integration).await);
    absent("update_integration", stranger.update_integration(integration, IntegrationChange::default(), by("x")).await);
    absent("delete_integration", stranger.delete_integration(integration, by("x")).await);
    assert!(stranger.integrations(bot).await.unwrap().is_empty());
    assert_eq!(stranger.bots(FIRST).await.unwrap().total, 0);
    assert_eq!(owner.integrations(bot).await.unwrap().len(), 1, "and nothing happened to it");
}

async fn sees_no_connection_of(owner: &Workspace, stranger: &Workspace) {
    let draft = |id: u128, origin: &str| ConnectionDraft {
        id: ConnectionId(Ulid(id)),
        name: "ours".to_owned(),
        origin: origin.to_owned(),
        header_names: vec!["authorization".to_owned()],
        headers_sealed: vec![1, 2, 3],
    };
    let made = owner.create_connection(draft(1, "https://a.example"), by("create")).await.unwrap();
    absent("connection", stranger.connection(made.id).await);
    absent("update_connection", stranger.update_connection(draft(1, "https://b.example"), by("x")).await);
    absent("delete_connection", stranger.delete_connection(made.id, by("x")).await);
    assert_eq!(stranger.connections(FIRST).await.unwrap().total, 0);
    let kept = owner.connection(made.id).await.unwrap();
    assert_eq!((kept.origin.as_str(), kept.headers_sealed), ("https://a.example", vec![1, 2, 3]));
    assert_eq!(owner.connections(FIRST).await.unwrap().rows[0].header_names, ["authorization"]);
}

async fn sees_no_conversation_of(owner: &Workspace, stranger: &Workspace) {
    let bot = owner.create_bot(new_bot("ours"), by("create")).await.unwrap().id;
    let new = NewConversation {
        channel_id: None,
        bot,
        channel: "session".to_owned(),
        key: None,
        user_identifier: None,
        metadata: None,
    };
    absent("create_conversation", stranger.create_conversation(new.clone()).await);
    let id: ConversationId = owner.create_conversation(new).await.unwrap().id;
    let message: MessageId = owner.append_message(id, "user", "hello", "complete", None).await.unwrap().id;
    absent("conversation", stranger.conversation(id).await);
    absent("append_message", stranger.append_message(id, "user", "hello", "complete", None).await);
    absent("messages", stranger.messages(id, FIRST).await);
    absent("messages_after", stranger.messages_after(id, message, 10).await);
    absent("end_conversation", stranger.end_conversation(id, START, by("end")).await);
    absent("touch_conversation", stranger.touch_conversation(id, START).await);
    absent("delete_conversation", stranger.delete_conversation(id, by("x")).await);
    assert!(stranger.last_messages(id, 10).await.unwrap().is_empty());
    assert_eq!(stranger.conversations(FIRST, None).await.unwrap().total, 0);
    assert_eq!(stranger.conversations(FIRST, Some(bot)).await.unwrap().total, 0);
    let kept = owner.conversation(id).await.unwrap();
    assert_eq!((kept.message_count, kept.ended_at), (1, None));
}

async fn sees_no_key_of(owner: &Workspace, stranger: &Workspace) {
    let account = owner.create_service_account(new_account("ours"), by("create")).await.unwrap().id;
    let mut new = new_key(1);
    new.service_account = Some(account);
    let key = owner.create_key(new, by("create")).await.unwrap().id;
    absent("key", stranger.key(key).await);
    absent("update_key", stranger.update_key(key, KeyChange::default(), by("x")).await);
    absent("rotate_key", stranger.rotate_key(key, secret(9), START, true, by("x")).await);
    absent("revoke_key", stranger.revoke_key(key, START, by("x")).await);
    absent("service_account", stranger.service_account(account).await);
    let change = ServiceAccountChange { disabled_at: Some(Some(START)), ..Default::default() };
    absent("update_service_account", stranger.update_service_account(account, change, by("x")).await);
    absent("delete_service_account", stranger.delete_service_account(account, by("x")).await);
    let mut theirs = crate::databases::test_key(8);
    theirs.service_account = Some(account);
    absent("create_key under a foreign account", stranger.create_key(theirs, by("x")).await);
    let filter = KeyFilter { service_account: Some(account), ..KeyFilter::default() };
    assert_eq!(stranger.keys(FIRST, KeyFilter::default()).await.unwrap().total, 0);
    let filtered = stranger.keys(FIRST, filter).await.unwrap();
    assert_eq!((filtered.total, filtered.rows.len()), (0, 0));
    assert!(stranger.keys_of_service_account(account).await.unwrap().is_empty());
    assert_eq!(stranger.service_accounts(FIRST).await.unwrap().total, 0);
    let kept = owner.key(key).await.unwrap();
    assert_eq!((kept.version, kept.revoked_at, kept.secrets.len()), (1, None, 1));
    assert_eq!(owner.service_account(account).await.unwrap().disabled_at, None);
}

async fn sees_no_workflow_of(owner: &Workspace, stranger: &Workspace) {
    let workflow = owner.create_workflow(new_workflow("ours"), by("create")).await.unwrap().id;
    let idle = owner.create_workflow(new_workflow("idle"), by("create")).await.unwrap().id;
    let deployment = deploy(owner, workflow, 50).await.id;
    absent("workflow", stranger.workflow(workflow).await);
    absent("workflow_version", stranger.workflow_version(workflow, 1).await);
    assert_eq!(owner.workflow_versions(workflow, FIRST).await.unwrap().total, 1);
    assert_eq!(stranger.workflow_versions(workflow, FIRST).await.unwrap().total, 0);
    absent("update_workflow", stranger.update_workflow(workflow, WorkflowChange::default(), by("x")).await);
    absent("delete_workflow", stranger.delete_workflow(idle, by("x")).await);
    let new = new_deployment(workflow, 51);
    absent("create_deployment", stranger.create_deployment(new, secret(51), by("x")).await);
    absent("deployment", stranger.deployment(deployment).await);
    absent("revoke_deployment", stranger.revoke_deployment(deployment, START, by("x")).await);
    assert_eq!(stranger.workflows(FIRST).await.unwrap().total, 0);
    assert_eq!(stranger.deployments(FIRST, None).await.unwrap().total, 0);
    let filtered = stranger.deployments(FIRST, Some(workflow)).await.unwrap();
    assert_eq!((filtered.total, filtered.rows.len()), (0, 0));
    assert_eq!(owner.workflows(FIRST).await.unwrap().rows.len(), 2, "and nothing happened to them");
    assert_eq!(owner.deployment(deployment).await.unwrap().revoked_at, None);
    assert_eq!(owner.key(ambient::KeyId(deployment.0)).await.unwrap().revoked_at, None);
    sees_no_run_of(owner, stranger, deployment).await;
    crate::triggers::sees_no_trigger_of(owner, stranger, deployment).await;
}

async fn sees_no_run_of(owner: &Workspace, stranger: &Workspace, deployment: DeploymentId) {
    let text = || "{}".to_owned();
    let new = NewRun { deployment, origin: "api".to_owned(), input: text(), state: text() };
    absent("create_run", stranger.create_run(new, Vec::new()).await);
    let run = started(owner, deployment).await.id;
    let events = vec![store::NewRunEvent { seq: 1, kind: text(), roles: None, data: text(), at: START }];
    owner.save_turn(run, 0, TurnRecord { events, ..TurnRecord::default() }).await.unwrap();
    absent("run", stranger.run(run).await);
    let turn = TurnRecord { resolved: vec!["begin".to_owned()], ..TurnRecord::default() };
    absent("save_turn", stranger.save_turn(run, 1, turn).await);
    absent("postpone_effect", stranger.postpone_effect(run, "begin", START, 1).await);
    absent("bind_participant", stranger.bind_participant(run, "customer").await);
    owner.bind_participant(run, "customer").await.unwrap();
    absent("a role that is bound", stranger.bind_participant(run, "customer").await);
    assert!(stranger.run_events(run, 0, 10).await.unwrap().is_empty());
    assert!(stranger.effects_of(run).await.unwrap().is_empty());
    let range = RunRange { deployment, after: RunId(Ulid(0)), last: RunId(Ulid(u128::MAX)), status: None };
    assert_eq!(owner.run_result_count(&range).await.unwrap(), 1);
    assert_eq!(stranger.run_result_count(&range).await.unwrap(), 0);
    assert!(stranger.run_results(&range, 10).await.unwrap().is_empty());
    assert!(stranger.newest_run_results(&range, 10, 0).await.unwrap().is_empty());
    assert!(stranger.run_result_sizes(&range, 10).await.unwrap().is_empty());
    assert!(stranger.newest_run_result_sizes(&range, 10, 0).await.unwrap().is_empty());
    assert!(stranger.open_runs(deployment, None, 10).await.unwrap().is_empty());
    assert_eq!(stranger.runs(FIRST, None).await.unwrap().total, 0);
    let filtered = stranger.runs(FIRST, Some(deployment)).await.unwrap();
    assert_eq!((filtered.total, filtered.rows.len()), (0, 0));
    let filter = RunFilter { deployment: None, status: Some("pending") };
    assert_eq!(stranger.runs(FIRST, filter).await.unwrap().total, 0);
    let kept = owner.run(run).await.unwrap();
    assert_eq!((kept.version, owner.effects_of(run).await.unwrap()[0].attempts), (1, 0));
}

#[tokio::test]
async fn another_workspace_finds_nothing() {
    on_each(async |world| {
        let (ours, _) = world.tenant("ours").await;
        let (theirs, _) = world.tenant("theirs").await;
        sees_no_bot_of(&ours, &theirs).await;
        sees_no_connection_of(&ours, &theirs).await;
        sees_no_conversation_of(&ours, &theirs).await;
        sees_no_key_of(&ours, &theirs).await;
        sees_no_workflow_of(&ours, &theirs).await;
        assert!(logged(&theirs).await.is_empty(), "and what failed is not in their log");
    })
    .await;
}

#[tokio::test]
async fn test_credentials_find_nothing_live() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        sees_no_bot_of(&live, &test).await;
        sees_no_connection_of(&live, &test).await;
        sees_no_conversation_of(&live, &test).await;
        sees_no_key_of(&live, &test).await;
        sees_no_workflow_of(&live, &test).await;
        assert!(logged(&test).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn live_credentials_find_no_test_data_but_test_keys_and_accounts() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        sees_no_bot_of(&test, &live).await;
        sees_no_connection_of(&test, &live).await;
        sees_no_conversation_of(&test, &live).await;
        sees_no_workflow_of(&test, &live).await;
        let key = test.create_key(crate::databases::test_key(1), by("create")).await.unwrap().id;
        assert_eq!(live.key(key).await.unwrap().id, key);
        live.revoke_key(key, START, by("revoke")).await.unwrap();
        assert!(test.key(key).await.unwrap().revoked_at.is_some());
    })
    .await;
}

#[tokio::test]
async fn a_test_credential_makes_nothing_live() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        let key = test.create_key(new_key(1), by("create")).await;
        assert!(matches!(key, Err(StoreError::Conflict("environment"))), "{key:?}");
        let account = test.create_service_account(new_account("a"), by("create")).await;
        assert!(matches!(account, Err(StoreError::Conflict("environment"))), "{account:?}");
        let mut new = new_account("test");
        new.environment = credential::key::Environment::Test;
        let account = live.create_service_account(new, by("create")).await.unwrap().id;
        let mut key = new_key(2);
        key.service_account = Some(account);
        let key = live.create_key(key, by("create")).await;
        assert!(matches!(key, Err(StoreError::Conflict("environment"))), "a test account has test keys: {key:?}");
    })
    .await;
}
