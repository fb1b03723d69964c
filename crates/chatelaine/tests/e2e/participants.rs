//! People without accounts: a survey that a stranger starts, and the steps of a run by its token.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{ORIGIN, Persona, World, eventually, id_of};

use crate::workflows::survey;

on_both! {
    a_stranger_starts_a_survey_and_answers_it;
    an_answer_that_does_not_fit_or_comes_twice_is_refused;
    a_role_sees_its_own_steps_and_events_alone;
    what_is_no_open_survey_is_one_and_the_same_404;
    a_survey_that_needs_inputs_is_not_for_strangers;
    a_day_of_a_survey_is_bounded;
    a_revoked_deployment_lets_nobody_take_part;
}

/// The id of a new deployment.
async fn deploy(world: &World, definition: &Value, settings: Value) -> String {
    let workflow = json!({"name": "Survey", "definition": definition});
    let workflow = id_of(&world.secret().post("/v1/workflows", &workflow).await.expect(201));
    id_of(&world.secret().post(&format!("/v1/workflows/{workflow}/deployments"), &settings).await.expect(201))
}

fn start_path(deployment: &str) -> String {
    format!("/api/public/surveys/{deployment}/start")
}

/// A stranger's browser that started a run.
async fn start(world: &World, deployment: &str) -> Persona {
    let stranger = world.anonymous().at(Some(ORIGIN));
    let started = stranger.post(&start_path(deployment), &json!({})).await.expect(200).json();
    stranger.with("participant", started["participant_token"].as_str().unwrap())
}

/// What a participant sees once a step of its is open.
async fn asked(by: &Persona) -> Value {
    let view = async || by.get("/api/participant/run").await.expect(200).json();
    let came = eventually(Duration::from_secs(10), async || !view().await["steps"].as_array().unwrap().is_empty());
    assert!(came.await, "{}", view().await);
    view().await
}

fn kinds(timeline: &Value) -> Vec<&str> {
    timeline["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect()
}

async fn a_stranger_starts_a_survey_and_answers_it(world: &World) {
    let deployment = deploy(world, &survey(), json!({"survey_mode": true})).await;
    let stranger = world.anonymous().at(Some("https://anywhere.example"));
    // Without a body, as the seed shows it.
    let answer = stranger.request("POST", &start_path(&deployment)).send().await.expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    let started = answer.json();
    assert_eq!(started.as_object().unwrap().len(), 2, "{started}");
    let by = stranger.with("participant", started["participant_token"].as_str().unwrap());

    let view = asked(&by).await;
    assert_eq!(
        (&view["run_id"], &view["role"], &view["title"]),
        (&started["run_id"], &json!("respondent"), &json!("Survey"))
    );
    let step = &view["steps"][0];
    assert_eq!((&step["step"], &step["field"]["prompt"]), (&json!("score"), &json!("How likely?")), "{view}");
    let record =
        world.store().workspace(world.tenant()).run(started["run_id"].as_str().unwrap().parse().unwrap()).await;
    assert_eq!(record.unwrap().origin, "public");

    let answered = by.post("/api/participant/steps/score", &json!({"value": 9})).await.expect(200).json();
    assert_eq!((&answered["status"], &answered["steps"]), (&json!("completed"), &json!([])), "{answered}");
    let timeline = by.get("/api/participant/events").await.expect(200).json();
    for kind in ["step.opened", "step.answered", "run.completed"] {
        assert!(kinds(&timeline).contains(&kind), "{kind}: {timeline}");
    }
    assert_eq!((&timeline["next_after"], &timeline["last_seq"]), (&answered["last_seq"], &answered["last_seq"]));
    let rest = by.get(&format!("/api/participant/events?after={}", timeline["last_seq"])).await.expect(200).json();
    assert_eq!((&rest["events"], &rest["next_after"]), (&json!([]), &timeline["last_seq"]));
    for wrong in ["after=x", "after=18446744073709551615"] {
        let _ = by.get(&format!("/api/participant/events?{wrong}")).await.refused(400, "INVALID_REQUEST");
    }
}

async fn an_answer_that_does_not_fit_or_comes_twice_is_refused(world: &World) {
    let deployment = deploy(world, &survey(), json!({"survey_mode": true})).await;
    let by = start(world, &deployment).await;
    let before = asked(&by).await;
    let path = "/api/participant/steps/score";
    for wrong in [json!(11), json!("much"), json!(null)] {
        let refused = by.post(path, &json!({ "value": wrong })).await.refused(422, "VALIDATION_FAILED").json();
        assert_eq!(refused["error"]["errors"][0]["field"], "score", "{refused}");
    }
    let _ = by.post(path, &json!({})).await.refused(422, "VALIDATION_FAILED");
    let _ = by.post("/api/participant/steps/other", &json!({"value": 1})).await.refused(404, "NOT_FOUND");
    assert_eq!(by.get("/api/participant/run").await.expect(200).json(), before, "nothing happened");
    let _ = by.post(path, &json!({"value": 0})).await.expect(200);
    let _ = by.post(path, &json!({"value": 1})).await.refused(409, "CONFLICT");
}

async fn a_role_sees_its_own_steps_and_events_alone(world: &World) {
    let ask = |id: &str, role: &str| json!({"type": "Input", "id": id, "prompt": "What?", "input_type": "text", "role": role});
    let design = json!({
        "type": "Workflow", "id": "two", "participants": [{"name": "customer"}, {"name": "reviewer"}],
        "children": [
            {"type": "Message", "id": "note", "text": "For the reviewer's eyes", "to": ["reviewer"]},
            ask("wish", "customer"),
            ask("verdict", "reviewer"),
        ],
    });
    let holder = world.deployment_of(&design.to_string()).await;
    let started = holder.post("/api/v1/runs", &json!({})).await.expect(202).json();
    let run = started["run_id"].as_str().unwrap().parse().unwrap();
    let (customer, reviewer) =
        (world.participant(&holder, run, "customer"), world.participant(&holder, run, "reviewer"));
    assert_eq!(asked(&customer).await["steps"][0]["step"], "wish");
    assert_eq!(reviewer.get("/api/participant/run").await.expect(200).json()["steps"], json!([]));

    let events = async |by: &Persona| by.get("/api/participant/events").await.expect(200);
    assert!(events(&reviewer).await.text().contains("reviewer's eyes"));
    let seen = events(&customer).await;
    assert!(!seen.text().contains("reviewer"), "{}", seen.text());
    assert_eq!(seen.json()["next_after"], seen.json()["last_seq"], "what is left out is passed over");

    // Another's step is as absent as one that never was.
    let value = json!({"value": "x"});
    let others = reviewer.post("/api/participant/steps/wish", &value).await.refused(404, "NOT_FOUND");
    let never = reviewer.post("/api/participant/steps/never", &value).await.refused(404, "NOT_FOUND");
    assert_eq!(others.body_without_id(), never.body_without_id());
    let stranger = world.participant(&holder, run, "auditor");
    let _ = stranger.get("/api/participant/run").await.refused(404, "NOT_FOUND");
    let _ = stranger.get("/api/participant/events").await.refused(404, "NOT_FOUND");
    let _ = customer.post("/api/participant/steps/wish", &value).await.expect(200);
    assert_eq!(asked(&reviewer).await["steps"][0]["step"], "verdict");
}

async fn what_is_no_open_survey_is_one_and_the_same_404(world: &World) {
    let stranger = world.anonymous().at(Some(ORIGIN));
    let off = deploy(world, &survey(), json!({})).await;
    let revoked = deploy(world, &survey(), json!({"survey_mode": true})).await;
    let _ =
        world.secret().post(&format!("/v1/deployments/{revoked}/revoke"), &json!({"runs": "finish"})).await.expect(200);
    let mut bodies = Vec::new();
    for id in [off.as_str(), &revoked, "dep_00000000000000000000000001", "dep_abc123", "score"] {
        let refused = stranger.post(&start_path(id), &json!({})).await.refused(404, "NOT_FOUND");
        assert_eq!(refused.header("access-control-allow-origin"), "*", "{id}");
        bodies.push(refused.body_without_id());
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

async fn a_survey_that_needs_inputs_is_not_for_strangers(world: &World) {
    let mut design = survey();
    design["inputs"] = json!([{"name": "customer", "type": "text", "required": true}]);
    let deployment = deploy(world, &design, json!({"survey_mode": true})).await;
    let _ = world.anonymous().post(&start_path(&deployment), &json!({})).await.refused(404, "NOT_FOUND");
}

async fn a_day_of_a_survey_is_bounded(world: &World) {
    let deployment = deploy(world, &survey(), json!({"survey_mode": true, "daily_runs": 1})).await;
    let _ = start(world, &deployment).await;
    let refused = world.anonymous().post(&start_path(&deployment), &json!({})).await.refused(429, "RATE_LIMITED");
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 60, "{}", refused.header("retry-after"));
}

async fn a_revoked_deployment_lets_nobody_take_part(world: &World) {
    let deployment = deploy(world, &survey(), json!({"survey_mode": true})).await;
    let by = start(world, &deployment).await;
    let _ = asked(&by).await;
    let path = format!("/v1/deployments/{deployment}/revoke");
    let _ = world.secret().post(&path, &json!({"runs": "finish"})).await.expect(200);
    for path in ["/api/participant/run", "/api/participant/events"] {
        let _ = by.get(path).await.refused(401, "INVALID_TOKEN");
    }
    let _ = by.post("/api/participant/steps/score", &json!({"value": 1})).await.refused(401, "INVALID_TOKEN");
    let _ = world.anonymous().post(&start_path(&deployment), &json!({})).await.refused(404, "NOT_FOUND");
}
