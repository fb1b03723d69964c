//! Runs by the key of their deployment: started, read, cancelled, and let into.

use std::time::Duration;

use ambient::{Clock, RunId, SystemClock};
use serde_json::{Value, json};
use testkit::{Persona, Said, WebSocket, World, eventually};

use crate::workflows::survey;

on_both! {
    a_run_goes_from_its_start_to_its_last_answer;
    an_input_that_does_not_fit_is_refused_by_name;
    a_timeline_is_read_in_parts_without_a_gap;
    what_was_said_is_read_apart;
    a_run_is_nobody_elses;
    a_cancelled_run_is_over;
    a_token_is_for_a_declared_role_and_one_hour;
    a_start_that_is_sent_again_starts_one_run;
    a_ceiling_of_runs_holds_for_a_day;
    a_revocation_cancels_the_open_runs_or_leaves_them;
    a_stream_tells_the_timeline_from_a_number_to_its_end;
    a_stream_ends_with_its_deployment_and_is_nobody_elses;
}

async fn deployment(world: &World, definition: &Value) -> Persona {
    world.deployment_of(&definition.to_string()).await
}

async fn start(by: &Persona) -> String {
    let started = by.post("/api/v1/runs", &json!({})).await.expect(202).json();
    assert_eq!(started["status"], "pending", "{started}");
    started["run_id"].as_str().unwrap().to_owned()
}

/// How a run stands once its status is this.
pub(crate) async fn reaches(by: &Persona, run: &str, status: &str) -> Value {
    let path = format!("/api/v1/runs/{run}");
    let came = eventually(Duration::from_secs(10), async || by.get(&path).await.json()["status"] == status).await;
    let shown = by.get(&path).await.expect(200).json();
    assert!(came, "{status}: {shown}");
    shown
}

/// As a participant would.
async fn answer(world: &World, run: &str, role: &str, step: &str, value: Value) {
    let runs = world.server().running().app().runs();
    runs.answer(world.tenant(), run.parse().unwrap(), role, step, value).await.unwrap();
}

fn fields(refusal: &Value) -> Vec<&str> {
    refusal["error"]["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect()
}

async fn a_run_goes_from_its_start_to_its_last_answer(world: &World) {
    let by = deployment(world, &survey()).await;
    let body = json!({"workflow_id": "wf_of_somebody_else", "input": {}});
    let started = by.post("/api/v1/runs", &body).await.expect(202).json();
    assert_eq!(started.as_object().unwrap().len(), 2, "{started}");
    let run = started["run_id"].as_str().unwrap();
    let waiting = reaches(&by, run, "waiting").await;
    assert_eq!((&waiting["id"], &waiting["current_step_id"]), (&json!(run), &json!("score")));
    assert_eq!(
        (&waiting["state"], &waiting["finished_at"], &waiting["origin"]),
        (&json!({}), &json!(null), &json!("api"))
    );
    answer(world, run, "respondent", "score", json!(9)).await;
    let over = reaches(&by, run, "completed").await;
    assert_eq!((&over["state"], &over["current_step_id"]), (&json!({"score": 9}), &json!(null)));
    assert!(over["finished_at"].is_string() && over["created_at"] == waiting["created_at"], "{over}");
}

async fn an_input_that_does_not_fit_is_refused_by_name(world: &World) {
    let mut design = survey();
    design["inputs"] = json!([{"name": "customer", "type": "text", "required": true}]);
    let by = deployment(world, &design).await;
    let refused = by.post("/api/v1/runs", &json!({})).await.refused(422, "VALIDATION_FAILED").json();
    assert_eq!(fields(&refused), ["input.customer"]);
    let _ = by.post("/api/v1/runs", &json!({"input": [1]})).await.refused(422, "VALIDATION_FAILED");
    let started = by.post("/api/v1/runs", &json!({"input": {"customer": "Ada"}})).await.expect(202).json();
    let run = format!("/api/v1/runs/{}", started["run_id"].as_str().unwrap());
    assert_eq!(by.get(&run).await.expect(200).json()["input"], json!({"customer": "Ada"}));
}

async fn a_timeline_is_read_in_parts_without_a_gap(world: &World) {
    let by = deployment(world, &survey()).await;
    let run = start(&by).await;
    let _ = reaches(&by, &run, "waiting").await;
    answer(world, &run, "respondent", "score", json!(3)).await;
    let over = reaches(&by, &run, "completed").await;
    let path = format!("/api/v1/runs/{run}/events");
    let whole = by.get(&path).await.expect(200).json();
    let events = whole["events"].as_array().unwrap();
    let numbers: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let kinds: Vec<_> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    for kind in ["run.started", "step.opened", "step.answered"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    assert_eq!(kinds.last(), Some(&"run.completed"));
    assert_eq!((&whole["next_after"], &whole["last_seq"]), (&over["last_seq"], &over["last_seq"]));
    let (mut parts, mut after) = (Vec::new(), 0);
    loop {
        let part = by.get(&format!("{path}?after={after}&limit=2")).await.expect(200).json();
        let events = part["events"].as_array().unwrap();
        assert!(events.len() <= 2, "{part}");
        if events.is_empty() {
            break;
        }
        parts.extend(events.iter().cloned());
        after = part["next_after"].as_u64().unwrap();
    }
    assert_eq!(&parts, events);
    for wrong in ["limit=0", "limit=101", "after=x", "after=-1", "after=18446744073709551615"] {
        let _ = by.get(&format!("{path}?{wrong}")).await.refused(400, "INVALID_REQUEST");
    }
}

async fn what_was_said_is_read_apart(world: &World) {
    let messages: Vec<Value> =
        (1..=3).map(|n| json!({"type": "Message", "id": format!("m{n}"), "text": format!("Number {n}")})).collect();
    let by = deployment(world, &json!({"type": "Workflow", "id": "root", "children": messages})).await;
    let run = start(&by).await;
    let over = reaches(&by, &run, "completed").await;
    let path = format!("/api/v1/runs/{run}/messages");
    let said = by.get(&path).await.expect(200).json();
    let texts: Vec<_> = said["messages"].as_array().unwrap().iter().map(|one| one["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["Number 1", "Number 2", "Number 3"]);
    assert_eq!((&said["messages"][0]["author"], &said["messages"][0]["step"]), (&json!("workflow"), &json!("m1")));
    assert_eq!((&said["next_after"], &said["last_seq"]), (&over["last_seq"], &over["last_seq"]));
    let first = by.get(&format!("{path}?limit=1")).await.expect(200).json();
    assert_eq!(first["messages"].as_array().unwrap().len(), 1);
    let rest = by.get(&format!("{path}?after={}", first["next_after"])).await.expect(200).json();
    assert_eq!(rest["messages"].as_array().unwrap()[..], said["messages"].as_array().unwrap()[1..]);
}

async fn a_run_is_nobody_elses(world: &World) {
    let (by, other) = (deployment(world, &survey()).await, deployment(world, &survey()).await);
    let run = start(&by).await;
    let path = format!("/api/v1/runs/{run}");
    for part in ["", "/events", "/messages"] {
        let _ = other.get(&format!("{path}{part}")).await.refused(404, "NOT_FOUND");
        let _ = world.secret().get(&format!("{path}{part}")).await.refused(403, "WRONG_CREDENTIAL");
    }
    let _ = other.post(&format!("{path}/cancel"), &json!({})).await.refused(404, "NOT_FOUND");
    let _ = other.post(&format!("{path}/tokens"), &json!({"role": "respondent"})).await.refused(404, "NOT_FOUND");
    let _ = world.secret().post("/api/v1/runs", &json!({})).await.refused(403, "WRONG_CREDENTIAL");
    let _ = by.at(Some("https://example.com")).get(&path).await.refused(403, "SECRET_KEY_IN_BROWSER");
    let _ = by.get("/api/v1/runs/run_00000000000000000000000001").await.refused(404, "NOT_FOUND");
    assert_ne!(by.get(&path).await.expect(200).json()["status"], "cancelled");
}

async fn a_cancelled_run_is_over(world: &World) {
    let by = deployment(world, &survey()).await;
    let run = start(&by).await;
    let _ = reaches(&by, &run, "waiting").await;
    let path = format!("/api/v1/runs/{run}/cancel");
    let _ = by.post(&path, &json!({"reason": "x".repeat(201)})).await.refused(422, "VALIDATION_FAILED");
    let over = by.post(&path, &json!({"reason": "Not needed"})).await.expect(200).json();
    assert_eq!((&over["status"], &over["ending"]["code"]), (&json!("cancelled"), &json!("cancelled")), "{over}");
    assert!(over["ending"].to_string().contains("Not needed") && over["finished_at"].is_string(), "{over}");
    let _ = by.post(&path, &json!({})).await.refused(409, "CONFLICT");
    assert_eq!(by.get(&format!("/api/v1/runs/{run}")).await.expect(200).json(), over);
}

async fn a_token_is_for_a_declared_role_and_one_hour(world: &World) {
    let by = deployment(world, &survey()).await;
    let run = start(&by).await;
    let path = format!("/api/v1/runs/{run}/tokens");
    // Possibly before its first turn: who takes part does not depend on that.
    let minted = by.post(&path, &json!({"role": "respondent"})).await.expect(201).json();
    assert_eq!(minted.as_object().unwrap().len(), 1, "{minted}");
    let token = minted["participant_token"].as_str().unwrap();
    let claims = world.server().running().tokens().verify_participant(token, SystemClock::new().now()).unwrap();
    assert_eq!((claims.run, claims.role.as_str()), (run.parse::<RunId>().unwrap(), "respondent"));
    assert_eq!(claims.expires_at.since(claims.issued_at), 3_600_000);
    assert_eq!((claims.key.to_string().as_str(), claims.deployment.0), (by.id(), claims.key.0));
    for role in ["reviewer", "", "Respondent"] {
        let refused = by.post(&path, &json!({ "role": role })).await.refused(422, "VALIDATION_FAILED").json();
        assert_eq!(fields(&refused), ["role"], "{role:?}");
    }
    let holder = world.anonymous().with("participant", token);
    let _ = holder.get(&format!("/api/v1/runs/{run}")).await.refused(403, "WRONG_CREDENTIAL");
}

async fn a_start_that_is_sent_again_starts_one_run(world: &World) {
    let by = deployment(world, &survey()).await;
    let send = async |body: Value| {
        by.request("POST", "/api/v1/runs").header("idempotency-key", "order-17").json(&body).send().await
    };
    let first = send(json!({})).await.expect(202).json();
    assert_eq!(send(json!({})).await.expect(202).json(), first);
    let _ = send(json!({"input": {}, "more": 1})).await.refused(422, "VALIDATION_FAILED");
    assert_ne!(start(&by).await, first["run_id"].as_str().unwrap());
}

async fn a_ceiling_of_runs_holds_for_a_day(world: &World) {
    let owner = world.secret();
    let design = owner.post("/v1/workflows", &json!({"name": "W", "definition": survey()})).await.expect(201).data();
    let path = format!("/v1/workflows/{}/deployments", design["id"].as_str().unwrap());
    let made = owner.post(&path, &json!({"daily_runs": 2})).await.expect(201).data();
    let by = world.anonymous().with("deployment", made["key"].as_str().unwrap());
    let _ = by.post("/api/v1/runs", &json!({"input": 1})).await.refused(422, "VALIDATION_FAILED");
    for _ in 0..2 {
        let _ = start(&by).await;
    }
    let refused = by.post("/api/v1/runs", &json!({})).await.refused(429, "RATE_LIMITED");
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 60, "{}", refused.header("retry-after"));
}

async fn a_revocation_cancels_the_open_runs_or_leaves_them(world: &World) {
    let owner = world.secret();
    for (what, cancelled, status) in [("finish", 0, "waiting"), ("cancel", 2, "cancelled")] {
        let by = deployment(world, &survey()).await;
        let runs = [start(&by).await, start(&by).await, start(&by).await];
        for run in &runs {
            let _ = reaches(&by, run, "waiting").await;
        }
        answer(world, &runs[0], "respondent", "score", json!(5)).await;
        let _ = reaches(&by, &runs[0], "completed").await;
        let path = format!("/v1/deployments/{}/revoke", by.id().replace("key_", "dep_"));
        let receipt = owner.post(&path, &json!({ "runs": what })).await.expect(200).data();
        assert_eq!(receipt["runs_cancelled"], cancelled, "{what}: {receipt}");
        let _ = by.post("/api/v1/runs", &json!({})).await.refused(401, "INVALID_API_KEY");
        let data = world.store().workspace(world.tenant());
        assert_eq!(data.run(runs[0].parse().unwrap()).await.unwrap().status, "completed", "what is over stays so");
        for run in &runs[1..] {
            assert_eq!(data.run(run.parse().unwrap()).await.unwrap().status, status, "{what}");
        }
    }
}

/// All that a socket says, and how it ends.
async fn rest(socket: &mut WebSocket) -> (Vec<Value>, Option<(u16, String)>) {
    let mut told = Vec::new();
    loop {
        match socket.next().await {
            Said::Text(text) => told.push(serde_json::from_str(&text).unwrap()),
            Said::Closed(how) => return (told, how),
        }
    }
}

async fn a_stream_tells_the_timeline_from_a_number_to_its_end(world: &World) {
    let by = deployment(world, &survey()).await;
    let run = start(&by).await;
    let path = format!("/api/v1/runs/{run}/stream");
    let mut whole = by.request("GET", &path).socket(&[]).await.unwrap();
    let _ = reaches(&by, &run, "waiting").await;
    answer(world, &run, "respondent", "score", json!(4)).await;
    let (told, how) = rest(&mut whole).await;
    assert_eq!(how, Some((1000, "ended".to_owned())));
    let listed = by.get(&format!("/api/v1/runs/{run}/events")).await.expect(200).json();
    let events: Vec<Value> = told
        .iter()
        .map(|event| {
            let mut event = event.clone();
            assert_eq!(event.as_object_mut().unwrap().remove("type"), Some(json!("event")));
            event
        })
        .collect();
    assert_eq!(json!(events), listed["events"]);
    let mut later = by.request("GET", &format!("{path}?after=2")).socket(&["chatelaine.v1"]).await.unwrap();
    assert_eq!(rest(&mut later).await.0, told[2..]);
    let no_number = by.request("GET", &format!("{path}?after=x")).socket(&[]).await.unwrap_err();
    let _ = no_number.refused(400, "INVALID_REQUEST");
}

async fn a_stream_ends_with_its_deployment_and_is_nobody_elses(world: &World) {
    let (by, other) = (deployment(world, &survey()).await, deployment(world, &survey()).await);
    let run = start(&by).await;
    let path = format!("/api/v1/runs/{run}/stream");
    let _ = other.request("GET", &path).socket(&[]).await.unwrap_err().refused(404, "NOT_FOUND");
    let _ = world.secret().request("GET", &path).socket(&[]).await.unwrap_err().refused(403, "WRONG_CREDENTIAL");
    let in_a_page = by.at(Some("https://example.com")).request("GET", &path).socket(&[]).await.unwrap_err();
    let _ = in_a_page.refused(403, "SECRET_KEY_IN_BROWSER");
    let last = reaches(&by, &run, "waiting").await["last_seq"].as_u64().unwrap();
    let mut open = by.request("GET", &format!("{path}?after={last}")).socket(&[]).await.unwrap();
    let revoke = format!("/v1/deployments/{}/revoke", by.id().replace("key_", "dep_"));
    let receipt = world.secret().post(&revoke, &json!({"runs": "finish"})).await.expect(200).data();
    assert_eq!(receipt["streams_closed"], 1, "{receipt}");
    let (told, how) = rest(&mut open).await;
    assert_eq!((told, how), (vec![json!({"type": "error", "code": "revoked"})], Some((4403, "revoked".to_owned()))));
}
