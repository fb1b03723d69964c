//! Workflows and their deployments: what may be designed, what is frozen, and what an end ends.

use serde_json::{Value, json};
use testkit::{World, id_of};

on_both! {
    a_workflow_is_made_read_changed_and_deleted;
    each_fault_of_a_definition_has_its_place;
    a_bot_that_is_not_there_is_a_fault_at_its_place;
    the_shipped_examples_can_be_saved_and_deployed;
    a_deployment_is_frozen_and_its_key_is_shown_once;
    a_survey_of_two_roles_is_refused;
    revoking_a_deployment_ends_its_key_for_good;
    a_deployed_workflow_is_not_deleted;
    deployments_are_listed_by_workflow_and_seen_by_their_own_workspace;
    the_schema_of_a_definition_is_public;
}

/// One question to one person.
pub(crate) fn survey() -> Value {
    json!({
        "type": "Workflow", "id": "survey", "title": "Survey", "participants": [{"name": "respondent"}],
        "children": [{"type": "Input", "id": "score", "prompt": "How likely?", "input_type": "nps"}],
    })
}

/// A new workflow of this definition.
async fn workflow(world: &World, definition: &Value) -> String {
    let body = json!({"name": "Design", "definition": definition});
    id_of(&world.secret().post("/v1/workflows", &body).await.expect(201))
}

async fn deploy(world: &World, workflow: &str, body: Value) -> Value {
    world.secret().post(&format!("/v1/workflows/{workflow}/deployments"), &body).await.expect(201).data()
}

/// The fields of a refusal.
fn fields(refusal: &Value) -> Vec<&str> {
    refusal["error"]["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect()
}

async fn a_workflow_is_made_read_changed_and_deleted(world: &World) {
    let by = world.secret();
    let made = by.post("/v1/workflows", &json!({"name": "Design", "definition": survey()})).await.expect(201).data();
    let path = format!("/v1/workflows/{}", made["id"].as_str().unwrap());
    assert!(path.starts_with("/v1/workflows/wf_"), "{made}");
    assert_eq!((&made["version"], &made["definition"]), (&json!(1), &survey()));
    assert_eq!(by.get(&path).await.expect(200).data(), made);
    let listed = by.get("/v1/workflows").await.expect(200).json();
    assert_eq!((&listed["meta"]["total"], &listed["data"][0]["id"]), (&json!(1), &made["id"]));
    assert!(listed["data"][0].get("definition").is_none(), "a list has no definitions: {listed}");

    let renamed = by.patch(&path, &json!({"name": "Other"})).await.expect(200).data();
    assert_eq!((&renamed["name"], &renamed["version"]), (&json!("Other"), &json!(1)), "a name is no version");
    let same = by.patch(&path, &json!({"definition": survey()})).await.expect(200).data();
    assert_eq!(same["version"], 1, "nor is the same definition");
    let mut other = survey();
    other["children"][0]["prompt"] = json!("Really?");
    let changed = by.patch(&path, &json!({ "definition": other })).await.expect(200).data();
    assert_eq!((&changed["version"], &changed["definition"], &changed["name"]), (&json!(2), &other, &json!("Other")));
    let refused = by.patch(&path, &json!({"definition": null})).await.refused(422, "VALIDATION_FAILED").json();
    assert_eq!(fields(&refused), ["/definition"]);
    let _ = by.patch(&path, &json!({"name": " "})).await.refused(422, "VALIDATION_FAILED");
    assert_eq!(by.get(&path).await.expect(200).data(), changed, "what is refused changes nothing");

    let absent = "/v1/workflows/wf_00000000000000000000000001";
    let _ = by.patch(absent, &json!({"definition": {}})).await.refused(404, "NOT_FOUND");
    let _ = by.delete(&path).await.expect(204);
    let _ = by.get(&path).await.refused(404, "NOT_FOUND");
}

async fn each_fault_of_a_definition_has_its_place(world: &World) {
    let by = world.secret();
    let mut wrong = survey();
    wrong["children"][0]["input_type"] = json!("telepathy");
    let thanks = json!({"type": "Message", "id": "thanks", "text": "You said {{nothing}}"});
    wrong["children"].as_array_mut().unwrap().push(thanks);
    let body = json!({"name": "Wrong", "definition": wrong});
    let refused = by.post("/v1/workflows", &body).await.refused(422, "VALIDATION_FAILED").json();
    let fields = fields(&refused);
    for place in ["/definition/children/0/input_type", "/definition/children/1/text"] {
        assert!(fields.contains(&place), "{place}: {refused}");
    }
    assert!(refused["error"]["errors"].to_string().contains("in the node `score`"), "the node is named: {refused}");
    let _ = by.post("/v1/workflows", &json!({"name": "None"})).await.refused(422, "VALIDATION_FAILED");
    assert_eq!(by.get("/v1/workflows").await.expect(200).json()["meta"]["total"], 0);
}

/// A bot of another workspace is not there either.
async fn a_bot_that_is_not_there_is_a_fault_at_its_place(world: &World) {
    let by = world.secret();
    let with = |bot: &str| {
        let agent = json!({"type": "Agent", "id": "helper", "bot": bot, "prompt": "Help."});
        json!({"name": "Agents", "definition": {"type": "Workflow", "id": "root", "children": [agent]}})
    };
    let (own, foreign) = (world.bot().await, world.bot_of(&world.other_workspace_secret()).await);
    for bot in [foreign.as_str(), "bot_00000000000000000000000001", "bot_example"] {
        let refused = by.post("/v1/workflows", &with(bot)).await.refused(422, "VALIDATION_FAILED").json();
        assert_eq!(fields(&refused), ["/definition/children/0/bot"], "{refused}");
    }
    let made = id_of(&by.post("/v1/workflows", &with(&own)).await.expect(201));
    let _ = by.delete(&format!("/v1/bots/{own}")).await.expect(204);
    let deploy = by.post(&format!("/v1/workflows/{made}/deployments"), &json!({})).await;
    let refused = deploy.refused(422, "VALIDATION_FAILED").json();
    assert_eq!(fields(&refused), ["/definition/children/0/bot"], "its bot went before it was deployed");
}

async fn the_shipped_examples_can_be_saved_and_deployed(world: &World) {
    let bot = world.bot().await;
    for (name, text) in ::workflow::examples() {
        let definition: Value = serde_json::from_str(&text.replace("bot_example", &bot)).unwrap();
        let saved = workflow(world, &definition).await;
        let deployed = deploy(world, &saved, json!({"survey_mode": name == "nps-survey"})).await;
        assert_eq!(deployed["workflow_id"], saved, "{name}");
    }
}

async fn a_deployment_is_frozen_and_its_key_is_shown_once(world: &World) {
    let by = world.secret();
    let design = workflow(world, &survey()).await;
    let body = json!({"survey_mode": true, "daily_runs": 5, "daily_replies": 7});
    let mut made = deploy(world, &design, body).await;
    let key = made["key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("cf_"), "{made}");
    assert_eq!((&made["name"], &made["version"], &made["survey_mode"]), (&json!("Design"), &json!(1), &json!(true)));
    assert_eq!((&made["daily_runs"], &made["daily_replies"]), (&json!(5), &json!(7)));
    let display = made["display"].as_str().unwrap();
    assert!(display.starts_with(&key[..7]) && display.len() < key.len(), "{display}");

    let path = format!("/v1/deployments/{}", made["id"].as_str().unwrap());
    made.as_object_mut().unwrap().remove("key");
    let shown = by.get(&path).await.expect(200);
    assert_eq!(shown.data(), made);
    let log = by.get("/v1/audit-log?per_page=100").await.expect(200).text();
    assert!(!shown.text().contains(&key) && !log.contains(&key));

    let mut other = survey();
    other["children"][0]["prompt"] = json!("Really?");
    let _ = by.patch(&format!("/v1/workflows/{design}"), &json!({ "definition": other })).await.expect(200);
    assert_eq!(by.get(&path).await.expect(200).data()["version"], 1, "it stays what it was");
    let second = deploy(world, &design, json!({"name": "Second"})).await;
    assert_eq!((&second["version"], &second["name"]), (&json!(2), &json!("Second")));

    let holder = world.anonymous().with("deployment", &key);
    let me = holder.get("/v1/me").await.expect(200).data();
    assert_eq!(me["scopes"], json!([]), "{me}");
    let _ = holder.get("/v1/deployments").await.refused(403, "WRONG_CREDENTIAL");
    let _ = holder.get("/v1/bots").await.refused(403, "WRONG_CREDENTIAL");
}

async fn a_survey_of_two_roles_is_refused(world: &World) {
    let mut two = survey();
    two["participants"] = json!([{"name": "respondent"}, {"name": "reviewer"}]);
    two["children"][0]["role"] = json!("respondent");
    let design = workflow(world, &two).await;
    let path = format!("/v1/workflows/{design}/deployments");
    let by = world.secret();
    let refused = by.post(&path, &json!({"survey_mode": true})).await.refused(422, "VALIDATION_FAILED").json();
    assert_eq!(fields(&refused), ["survey_mode"]);
    let refused = by.post(&path, &json!({"daily_runs": 0})).await.refused(422, "VALIDATION_FAILED").json();
    assert_eq!(fields(&refused), ["daily_runs"]);
    assert_eq!(by.get("/v1/deployments").await.expect(200).json()["meta"]["total"], 0);
    let _ = by.post(&path, &json!({})).await.expect(201);
}

async fn revoking_a_deployment_ends_its_key_for_good(world: &World) {
    let by = world.secret();
    let design = workflow(world, &survey()).await;
    let made = deploy(world, &design, json!({})).await;
    let path = format!("/v1/deployments/{}", made["id"].as_str().unwrap());
    let holder = world.anonymous().with("deployment", made["key"].as_str().unwrap());
    let _ = holder.get("/v1/me").await.expect(200);
    let revoke = format!("{path}/revoke");
    let _ = by.post(&revoke, &json!({})).await.refused(422, "VALIDATION_FAILED");
    let _ = holder.get("/v1/me").await.expect(200);
    let receipt = by.post(&revoke, &json!({"runs": "finish"})).await.expect(200).data();
    let _ = holder.get("/v1/me").await.refused(401, "INVALID_API_KEY");
    assert_eq!(receipt["id"], made["id"]);
    assert!(receipt["took_ms"].as_f64().unwrap() >= 0.0 && receipt["nodes_confirmed"] == 1, "{receipt}");
    let shown = by.get(&path).await.expect(200).data();
    assert_eq!((&shown["revoked_at"], &shown["updated_at"]), (&receipt["revoked_at"], &receipt["revoked_at"]));
    let again = by.post(&revoke, &json!({"runs": "cancel"})).await.expect(200).data();
    assert_eq!(again["revoked_at"], receipt["revoked_at"], "the first time counts");
}

async fn a_deployed_workflow_is_not_deleted(world: &World) {
    let by = world.secret();
    let design = workflow(world, &survey()).await;
    let path = format!("/v1/workflows/{design}");
    let made = deploy(world, &design, json!({})).await;
    let refused = by.delete(&path).await.refused(409, "CONFLICT").text();
    assert!(refused.contains("revoke its deployments first"), "{refused}");
    let deployment = format!("/v1/deployments/{}", made["id"].as_str().unwrap());
    let _ = by.post(&format!("{deployment}/revoke"), &json!({"runs": "finish"})).await.expect(200);
    let _ = by.delete(&path).await.expect(204);
    assert_eq!(by.get(&deployment).await.expect(200).data()["workflow_id"], design, "what was deployed stays");
}

async fn deployments_are_listed_by_workflow_and_seen_by_their_own_workspace(world: &World) {
    let by = world.secret();
    let (first, second) = (workflow(world, &survey()).await, workflow(world, &survey()).await);
    let made = [deploy(world, &first, json!({})).await, deploy(world, &second, json!({})).await];
    let all = by.get("/v1/deployments").await.expect(200).json();
    let ids: Vec<_> = all["data"].as_array().unwrap().iter().map(|row| row["id"].clone()).collect();
    assert_eq!(ids, [made[1]["id"].clone(), made[0]["id"].clone()], "the newest first");
    let own = by.get(&format!("/v1/deployments?workflow_id={first}&per_page=1")).await.expect(200).json();
    assert_eq!((&own["meta"]["total"], &own["data"][0]["id"]), (&json!(1), &made[0]["id"]));
    let _ = by.get("/v1/deployments?workflow_id=nothing").await.refused(400, "INVALID_REQUEST");
    let path = format!("/v1/deployments/{}", made[0]["id"].as_str().unwrap());
    for stranger in [world.other_workspace_secret(), world.test_secret().await] {
        let _ = stranger.get(&path).await.refused(404, "NOT_FOUND");
        let _ = stranger.post(&format!("{path}/revoke"), &json!({"runs": "cancel"})).await.refused(404, "NOT_FOUND");
        let design = format!("/v1/workflows/{first}/deployments");
        let _ = stranger.post(&design, &json!({})).await.refused(404, "NOT_FOUND");
        assert_eq!(stranger.get("/v1/deployments").await.expect(200).json()["meta"]["total"], 0);
    }
    let holder = world.anonymous().with("deployment", made[0]["key"].as_str().unwrap());
    let _ = holder.get("/v1/me").await.expect(200);
}

async fn the_schema_of_a_definition_is_public(world: &World) {
    let answer = world.anonymous().get("/api/v1/schema/workflow").await.expect(200);
    assert_eq!(answer.header("content-type"), "application/schema+json");
    assert_eq!(answer.json(), ::workflow::schema());
}
