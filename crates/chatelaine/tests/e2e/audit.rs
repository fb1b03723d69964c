//! Every operation that says it is audited leaves one record when it succeeds, and none when not.

use std::collections::BTreeMap;

use access::Access;
use serde_json::{Value, json};
use testkit::{Persona, World, id_of};

use crate::{
    imports::{begin, large},
    matrix::table,
    second_factor::code_of,
    webhooks::new_attempt,
    workflows::survey,
};

/// How often each action stands in the log of `by`'s workspace.
async fn counts(by: &Persona) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for page in 1.. {
        let part = by.get(&format!("/v1/audit-log?page={page}&per_page=100")).await.expect(200).data();
        let rows = part.as_array().unwrap();
        for row in rows {
            *counts.entry(row["action"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        if rows.len() < 100 {
            break;
        }
    }
    counts
}

/// Sends it, and looks what the log has more of.
async fn recorded(by: &Persona, send: (&str, &str, &Value)) -> (u16, Vec<(String, u64)>, Value) {
    let before = counts(by).await;
    let (method, path, body) = send;
    let answer = by.request(method, path).json(body).send().await;
    let after = counts(by).await;
    let more = after.iter().map(|(action, count)| (action.clone(), count - before.get(action).unwrap_or(&0)));
    let json = if answer.status == 204 { Value::Null } else { answer.json() };
    (answer.status, more.filter(|(_, count)| *count > 0).collect(), json)
}

on_both! {
    each_audited_operation_leaves_exactly_one_record;
    setting_up_is_recorded_in_the_new_workspace;
    what_people_do_is_recorded_once_as_theirs;
    what_is_refused_is_not_recorded_as_done;
    the_log_reads_on_and_is_filtered;
}

async fn each_audited_operation_leaves_exactly_one_record(world: &World) {
    let by = world.secret();
    let key = world.key("key", json!({"name": "Key"})).await;
    let (account, _) = world.account("software", "admin").await;
    let bot = world.bot().await;
    let integration = id_of(
        &by.post(&format!("/v1/bots/{bot}/integrations"), &json!({"name": "E", "kind": "echo"})).await.expect(201),
    );
    let signed = json!({"kind": "webhook", "url": "https://bot.example.com/answer"});
    let signed = id_of(&by.post(&format!("/v1/bots/{bot}/integrations"), &signed).await.expect(201));
    let channel = json!({"kind": "webhook", "name": "C", "reply_url": "https://app.example.com/replies"});
    let channel = id_of(&by.post(&format!("/v1/bots/{bot}/channels"), &channel).await.expect(201));
    let contact = id_of(&by.post("/v1/contacts", &json!({"name": "C"})).await.expect(201));
    let conversation = world.session().await;
    let (endpoint, attempt) = new_attempt(world).await;
    let design = json!({"name": "W", "definition": survey()});
    let workflow = id_of(&by.post("/v1/workflows", &design).await.expect(201));
    let spare = id_of(&by.post("/v1/workflows", &design).await.expect(201));
    let deploy = format!("/v1/workflows/{workflow}/deployments");
    let deployment = id_of(&by.post(&deploy, &json!({})).await.expect(201));
    let (triggers, hook) = (format!("/v1/deployments/{deployment}/triggers"), json!({"kind": "webhook", "name": "T"}));
    let trigger = id_of(&by.post(&triggers, &hook).await.expect(201));
    let held = by.post(&deploy, &json!({})).await.expect(201).data();
    let held = world.anonymous().with("deployment", held["key"].as_str().unwrap());
    let run = held.post("/api/v1/runs", &json!({})).await.expect(202).json()["run_id"].as_str().unwrap().to_owned();
    let connection = json!({"name": "C", "origin": "https://api.example.com", "headers": {"x-a": "1"}});
    let connected = id_of(&by.post("/v1/connections", &connection).await.expect(201));
    let looping = json!({"name": "L", "prompt": "Help.", "bot_id": bot});
    let agent_loop = id_of(&by.post("/v1/agent-loops", &looping).await.expect(201));
    let execution = crate::agent_loops::waiting_execution(world).await;
    let person = world.member("somebody", "member").await.id().to_owned();
    let invited = json!({"email": "invited@x.example", "role": "member"});
    let invitation = id_of(&by.post("/v1/invitations", &invited).await.expect(201));
    let calls: Vec<(&str, &str, String, Value)> = vec![
        ("create_api_key", "POST", "/v1/api-keys".into(), json!({"name": "K"})),
        ("update_api_key", "PATCH", format!("/v1/api-keys/{}", key.id()), json!({"name": "L"})),
        ("rotate_api_key", "POST", format!("/v1/api-keys/{}/rotate", key.id()), json!({})),
        ("end_api_key_grace", "POST", format!("/v1/api-keys/{}/end-grace", key.id()), json!({})),
        ("revoke_api_key", "DELETE", format!("/v1/api-keys/{}", key.id()), json!({})),
        ("create_service_account", "POST", "/v1/service-accounts".into(), json!({"name": "S"})),
        ("update_service_account", "PATCH", format!("/v1/service-accounts/{account}"), json!({"name": "T"})),
        (
            "create_service_account_key",
            "POST",
            format!("/v1/service-accounts/{account}/api-keys"),
            json!({"name": "K"}),
        ),
        ("delete_service_account", "DELETE", format!("/v1/service-accounts/{account}"), json!({})),
        ("explain_access", "POST", "/v1/access/explain".into(), json!({"path": "/v1/bots"})),
        ("create_bot", "POST", "/v1/bots".into(), json!({"name": "B"})),
        ("update_bot", "PATCH", format!("/v1/bots/{bot}"), json!({"name": "C"})),
        ("create_integration", "POST", format!("/v1/bots/{bot}/integrations"), json!({"name": "F", "kind": "echo"})),
        ("update_integration", "PATCH", format!("/v1/integrations/{integration}"), json!({"weight": 2})),
        ("create_channel", "POST", format!("/v1/bots/{bot}/channels"), json!({"kind": "widget", "name": "C"})),
        ("update_channel", "PATCH", format!("/v1/channels/{channel}"), json!({"name": "D"})),
        ("rotate_channel_secret", "POST", format!("/v1/channels/{channel}/rotate-secret"), json!({})),
        ("delete_channel", "DELETE", format!("/v1/channels/{channel}"), json!({})),
        ("rotate_integration_secret", "POST", format!("/v1/integrations/{signed}/rotate-secret"), json!({})),
        ("delete_integration", "DELETE", format!("/v1/integrations/{integration}"), json!({})),
        ("create_connection", "POST", "/v1/connections".into(), connection),
        ("update_connection", "PATCH", format!("/v1/connections/{connected}"), json!({"name": "V"})),
        ("delete_connection", "DELETE", format!("/v1/connections/{connected}"), json!({})),
        ("create_agent_loop", "POST", "/v1/agent-loops".into(), looping.clone()),
        ("update_agent_loop", "PATCH", format!("/v1/agent-loops/{agent_loop}"), json!({"name": "V"})),
        ("run_agent_loop", "POST", format!("/v1/agent-loops/{agent_loop}/run"), json!({})),
        ("cancel_execution", "POST", format!("/v1/executions/{execution}/cancel"), json!({})),
        ("delete_agent_loop", "DELETE", format!("/v1/agent-loops/{agent_loop}"), json!({})),
        ("delete_bot", "DELETE", format!("/v1/bots/{bot}"), json!({})),
        ("grant_credits", "POST", "/v1/credits/grants".into(), json!({"amount": 5})),
        ("update_credits", "PATCH", "/v1/credits".into(), json!({"metered": false})),
        ("create_contact", "POST", "/v1/contacts".into(), json!({"name": "C"})),
        ("update_contact", "PATCH", format!("/v1/contacts/{contact}"), json!({"name": "D"})),
        ("delete_contact", "DELETE", format!("/v1/contacts/{contact}"), json!({})),
        ("create_webhook", "POST", "/v1/webhooks".into(), json!({"url": "https://hooks.example.com/a"})),
        ("test_webhook", "POST", format!("/v1/webhooks/{endpoint}/test"), json!({})),
        ("rotate_webhook_secret", "POST", format!("/v1/webhooks/{endpoint}/rotate-secret"), json!({})),
        ("replay_webhook_attempt", "POST", format!("/v1/webhooks/{endpoint}/attempts/{attempt}/replay"), json!({})),
        (
            "recover_webhook",
            "POST",
            format!("/v1/webhooks/{endpoint}/recover"),
            json!({"since": "2026-01-01T00:00:00Z"}),
        ),
        ("update_webhook", "PATCH", format!("/v1/webhooks/{endpoint}"), json!({"is_active": false})),
        ("delete_webhook", "DELETE", format!("/v1/webhooks/{endpoint}"), json!({})),
        ("create_workflow", "POST", "/v1/workflows".into(), design),
        ("update_workflow", "PATCH", format!("/v1/workflows/{workflow}"), json!({"name": "V"})),
        ("delete_workflow", "DELETE", format!("/v1/workflows/{spare}"), json!({})),
        ("create_deployment", "POST", deploy, json!({"name": "D"})),
        ("create_trigger", "POST", triggers, hook),
        ("update_trigger", "PATCH", format!("/v1/triggers/{trigger}"), json!({"name": "U"})),
        ("delete_trigger", "DELETE", format!("/v1/triggers/{trigger}"), json!({})),
        ("revoke_deployment", "POST", format!("/v1/deployments/{deployment}/revoke"), json!({"runs": "finish"})),
        ("cancel_workspace_run", "POST", format!("/v1/runs/{run}/cancel"), json!({})),
        ("export_deployment_results", "GET", format!("/v1/deployments/{deployment}/results/export"), json!({})),
        ("export_conversations", "GET", "/v1/export/conversations".into(), json!({})),
        ("export_contacts", "GET", "/v1/contacts/export".into(), json!({})),
        ("export_audit_log", "GET", "/v1/audit-log/export".into(), json!({})),
        ("create_invitation", "POST", "/v1/invitations".into(), json!({"email": "x@x.example", "role": "member"})),
        ("revoke_invitation", "DELETE", format!("/v1/invitations/{invitation}"), json!({})),
        ("update_member", "PATCH", format!("/v1/members/{person}"), json!({"name": "Other"})),
        ("remove_member", "DELETE", format!("/v1/members/{person}"), json!({})),
        ("update_workspace", "PATCH", "/v1/workspace".into(), json!({"name": "Renamed"})),
        ("delete_conversation", "DELETE", format!("/v1/conversations/{}", conversation.id()), json!({})),
    ];
    for (id, method, path, body) in &calls {
        let (status, more, answer) = recorded(&by, (method, path, body)).await;
        assert!((200..300).contains(&status), "{id}: {status} {answer}");
        // An account takes its two keys with it, and the end of each is recorded.
        let records = if *id == "delete_service_account" { 3 } else { 1 };
        assert_eq!(more, [((*id).to_owned(), records)], "{id}");
        let newest = by.get("/v1/audit-log?per_page=1").await.expect(200).data()[0].take();
        assert!(newest.to_string().contains(by.id()), "who did it: {newest}");
        assert!(newest["request_id"].as_str().is_some_and(|id| id.starts_with("req_")), "{newest}");
        assert!(newest["target"]["id"].as_str().is_some_and(|target| !target.is_empty()), "{newest}");
    }
    let session = world.session().await;
    let before = counts(&by).await;
    let _ = session.end_session().await.expect(200);
    // Long enough to be stopped.
    let import = begin(&by, "match=none", large(20_000, "p").0).await;
    let _ = by.post(&format!("/v1/contacts/imports/{import}/cancel"), &json!({})).await.expect(200);
    let after = counts(&by).await;
    assert_eq!((after.get("import_contacts"), after.get("cancel_contact_import")), (Some(&1), Some(&1)));
    assert_eq!(after.get("end_chat_session").copied(), Some(before.get("end_chat_session").unwrap_or(&0) + 1));

    let elsewhere = ["end_chat_session", "complete_setup", "import_contacts", "cancel_contact_import"].into_iter();
    // Of a token for a run, on its page: pages/runs.rs.
    let elsewhere = elsewhere.chain(["create_workspace_run_token"]).chain(BY_PEOPLE);
    let tried: Vec<&str> = calls.iter().map(|(id, ..)| *id).chain(elsewhere).collect();
    let missing: Vec<&str> = table(world)
        .iter()
        .filter(|operation| Access::is_audited(&operation.access) && !tried.contains(&operation.id))
        .map(|operation| operation.id)
        .collect();
    assert!(missing.is_empty(), "audited, and not tried here: {missing:?}");
}

/// What only people do.
const BY_PEOPLE: [&str; 11] = [
    "accept_invitation",
    "sign_in",
    "sign_out",
    "revoke_sign_in",
    "change_password",
    "confirm_me",
    "update_me",
    "begin_totp",
    "confirm_totp",
    "renew_recovery_codes",
    "end_totp",
];

async fn what_people_do_is_recorded_once_as_theirs(world: &World) {
    let by = world.secret();
    let person = world.member("somebody", "member").await;
    let second = world.sign_in("somebody@people.example").await;
    let list = second.get("/v1/sign-ins").await.expect(200).data();
    let other = list.as_array().unwrap().iter().find(|row| row["is_current"] == false).unwrap();
    let _ = second.delete(&format!("/v1/sign-ins/{}", other["id"].as_str().unwrap())).await.expect(204);
    let confirmed = second.post("/v1/me/confirm", &json!({"password": testkit::PASSWORD})).await.expect(204);
    let second = second.after(&confirmed);
    let _ = second.patch("/v1/me", &json!({"name": "Somebody"})).await.expect(200);
    let code = code_of(world, &second.post("/v1/me/totp", &json!({})).await.expect(200).data());
    let _ = second.post("/v1/me/totp/confirm", &json!({"code": code})).await.expect(200);
    let _ = second.post("/v1/me/totp/recovery-codes", &json!({})).await.expect(200);
    let _ = second.delete("/v1/me/totp").await.expect(204);
    let change = json!({"current_password": testkit::PASSWORD, "new_password": "another few easy words"});
    let _ = second.post("/v1/me/password", &change).await.expect(204);
    let _ = second.post("/v1/sign-out", &json!({})).await.expect(204);
    let counted = counts(&by).await;
    for action in BY_PEOPLE {
        let times = if action == "sign_in" { 2 } else { 1 };
        assert_eq!(counted.get(action), Some(&times), "{action}");
        let rows = by.get(&format!("/v1/audit-log?action={action}")).await.expect(200).data();
        for row in rows.as_array().unwrap() {
            assert_eq!((&row["actor"]["kind"], &row["actor"]["id"]), (&json!("member"), &json!(person.id())), "{row}");
        }
    }
}

async fn setting_up_is_recorded_in_the_new_workspace(world: &World) {
    let token = api::setup::issue(world.server().running().app()).await.unwrap();
    let before = counts(&world.secret()).await;
    let body = json!({
        "token": token, "email": "new@example.com", "password": "a few easy words", "workspace_name": "New",
    });
    let made = world.client().post("/v1/setup", &body).send().await.expect(201).json();
    let owner = world.anonymous().with("owner", made["key"].as_str().unwrap());
    let log = owner.get("/v1/audit-log").await.expect(200);
    let rows = log.data();
    let mut targets: Vec<&str> =
        rows.as_array().unwrap().iter().map(|row| row["target"]["kind"].as_str().unwrap()).collect();
    targets.sort_unstable();
    assert_eq!(targets, ["api_key", "workspace"], "{rows}");
    assert!(rows.as_array().unwrap().iter().all(|row| row["action"] == "complete_setup"), "{rows}");
    assert!(!log.text().contains(&token) && !log.text().contains("easy words"));
    assert_eq!(counts(&world.secret()).await, before, "and nowhere else");
}

async fn what_is_refused_is_not_recorded_as_done(world: &World) {
    let (by, restricted) = (world.secret(), world.restricted().await);
    let bot = world.bot().await;
    let before = counts(&by).await;
    let _ = restricted.post("/v1/bots", &json!({"name": "No"})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let _ = by.post("/v1/bots", &json!({"name": ""})).await.refused(422, "VALIDATION_FAILED");
    let _ = by.patch("/v1/bots/bot_00000000000000000000000001", &json!({"name": "X"})).await.refused(404, "NOT_FOUND");
    let _ = by.delete("/v1/api-keys/key_00000000000000000000000001").await.refused(404, "NOT_FOUND");
    let _ = world.other_workspace_secret().delete(&format!("/v1/bots/{bot}")).await.refused(404, "NOT_FOUND");
    assert_eq!(counts(&by).await, before);
}

async fn the_log_reads_on_and_is_filtered(world: &World) {
    let by = world.secret();
    for n in 0..5 {
        let _ = by.post("/v1/bots", &json!({"name": format!("Bot {n}")})).await.expect(201);
    }
    let bots = by.get("/v1/audit-log?action=create_bot&per_page=100").await.expect(200).json();
    assert_eq!(bots["meta"]["total"], 5);
    assert!(bots["data"].as_array().unwrap().iter().all(|row| row["action"] == "create_bot"));
    let _ = world.restricted().await.get("/v1/audit-log").await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let all = by.get("/v1/audit-log?per_page=100").await.expect(200).data();
    let ids: Vec<&str> = all.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    let part = by.get(&format!("/v1/audit-log?after={}&per_page=2", ids[2])).await.expect(200).data();
    let part: Vec<&str> = part.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert!(part.iter().all(|id| ids.contains(id) && *id != ids[2]) && part.len() == 2, "{part:?} {ids:?}");
    let other = world.other_workspace_secret().get("/v1/audit-log?per_page=100").await.expect(200).text();
    assert!(ids.iter().all(|id| !other.contains(id)), "another workspace's log is its own");
}
