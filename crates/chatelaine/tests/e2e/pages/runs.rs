//! Runs and what was answered in them, on pages.

use serde_json::json;
use testkit::{Persona, World};

use super::{leads_to, page, says, submit};
use crate::workflows::survey;

on_both! {
    a_run_is_found_followed_and_cancelled;
    somebody_is_let_in_by_a_token_that_is_shown_once;
    answers_are_listed_counted_and_downloaded;
    a_member_reads_runs_and_ends_none;
}

/// A survey's deployment, its key's holder, and a run that waits for the first answer.
async fn waiting(world: &World, by: &Persona) -> (String, Persona, String) {
    let body = json!({"name": "Design", "definition": survey()});
    let id = testkit::id_of(&by.post("/v1/workflows", &body).await.expect(201));
    let made =
        by.post(&format!("/v1/workflows/{id}/deployments"), &json!({"survey_mode": true})).await.expect(201).data();
    let holder = world.anonymous().with("key", made["key"].as_str().unwrap());
    let run = started(&holder).await;
    (made["id"].as_str().unwrap().to_owned(), holder, run)
}

async fn started(holder: &Persona) -> String {
    let run = holder.post("/api/v1/runs", &json!({})).await.expect(202).json()["run_id"].as_str().unwrap().to_owned();
    let _ = crate::runs::reaches(holder, &run, "waiting").await;
    run
}

async fn answered(world: &World, holder: &Persona, value: u64) -> String {
    let run = started(holder).await;
    let token = holder.post(&format!("/api/v1/runs/{run}/tokens"), &json!({"role": "respondent"})).await.expect(201);
    let person = world.anonymous().with("person", token.json()["participant_token"].as_str().unwrap());
    let _ = person.post("/api/participant/steps/score", &json!({ "value": value })).await.expect(200);
    let _ = crate::runs::reaches(holder, &run, "completed").await;
    run
}

async fn a_run_is_found_followed_and_cancelled(world: &World) {
    let ada = world.member("ada", "admin").await;
    assert!(says(&page(&ada, "/_/runs").await.expect(200), "Nothing was started yet."));
    let (deployment, holder, run) = waiting(world, &ada).await;
    let done = answered(world, &holder, 9).await;
    let all = page(&ada, "/_/runs").await.expect(200);
    assert!(all.text().contains(&run) && all.text().contains(&done) && says(&all, "Design"), "{}", all.text());
    let path = format!("/_/runs?deployment_id={deployment}&status=waiting");
    let some = page(&ada, &path).await.expect(200);
    assert!(some.text().contains(&run) && !some.text().contains(&done));
    assert!(says(&page(&ada, "/_/runs?status=failed").await.expect(200), "No run matches."));
    let _ = page(&ada, "/_/runs?status=lost").await.expect(400);

    let over = page(&ada, &format!("/_/runs/{done}")).await.expect(200);
    assert!(says(&over, "Answered score") && says(&over, "The run came to its end"), "{}", over.text());
    assert!(!over.text().contains("hx-get=") && !over.text().contains("/cancel"), "what is over does not go on");
    let shown = page(&ada, &format!("/_/runs/{run}")).await.expect(200);
    assert!(says(&shown, "Asked score respondent How likely?"), "{}", shown.text());
    assert!(shown.text().contains("hx-get=") && shown.text().contains("<noscript>"));
    let later = page(&ada, &format!("/_/runs/{run}?after=1")).await.expect(200);
    assert!(!says(&later, "The run began") && says(&later, "From the beginning"));

    let long = "x".repeat(201);
    let again = submit(&ada, &format!("/_/runs/{run}/cancel"), &[("reason", &long)]).await.expect(422);
    assert!(again.text().contains("id=\"e-reason\""), "{}", again.text());
    let ended = submit(&ada, &format!("/_/runs/{run}/cancel"), &[("reason", "A <b>mistake")]).await;
    assert_eq!(leads_to(&ended), format!("/_/runs/{run}?done=run-cancelled"));
    let shown = page(&ada, &leads_to(&ended)).await.expect(200);
    assert!(says(&shown, "The run is cancelled.") && says(&shown, "A <b>mistake"), "{}", shown.text());
    assert!(!shown.text().contains("<b>mistake"));
    let again = submit(&ada, &format!("/_/runs/{run}/cancel"), &[]).await.expect(409);
    assert!(says(&again, "This run is over"), "{}", again.text());
    let log = world.secret().get("/v1/audit-log?action=cancel_workspace_run").await.expect(200).data();
    assert_eq!((log.as_array().unwrap().len(), &log[0]["actor"]["id"]), (1, &json!(ada.id())), "{log}");
}

async fn somebody_is_let_in_by_a_token_that_is_shown_once(world: &World) {
    let ada = world.member("ada", "admin").await;
    let (deployment, _, run) = waiting(world, &ada).await;
    assert!(says(&page(&ada, &format!("/_/runs/{run}")).await, "Make a token for respondent"));
    let refused = submit(&ada, &format!("/_/runs/{run}/tokens"), &[("role", "stranger")]).await.expect(422);
    assert!(says(&refused, "is not a participant"), "{}", refused.text());
    let made =
        submit(&ada, &format!("/_/runs/{run}/tokens"), &[("once", "one"), ("role", "respondent")]).await.expect(200);
    let text = made.text();
    let token = text.split("<pre id=\"token\"").nth(1).unwrap().split('>').nth(1).unwrap().split('<').next().unwrap();
    assert!(text.contains("data-shown-once") && text.contains(&format!("data-run-id=&#34;{run}")), "{text}");
    let person = world.anonymous().with("person", token);
    assert_eq!(person.get("/api/participant/run").await.expect(200).json()["role"], "respondent");
    assert!(!page(&ada, &format!("/_/runs/{run}")).await.text().contains(token));
    let log = world.secret().get("/v1/audit-log?action=create_workspace_run_token").await.expect(200);
    assert_eq!(log.data().as_array().unwrap().len(), 1);
    assert!(!log.text().contains(token) && log.data()[0]["target"]["id"] == json!(run), "{}", log.text());
    // With the deployment ends what was let in, and nobody is let in after it.
    let _ = ada.post(&format!("/v1/deployments/{deployment}/revoke"), &json!({"runs": "finish"})).await.expect(200);
    let _ = person.get("/api/participant/run").await.expect(401);
    let refused = submit(&ada, &format!("/_/runs/{run}/tokens"), &[("role", "respondent")]).await.expect(409);
    assert!(says(&refused, "This deployment was revoked") && !says(&refused, "Let somebody in"), "{}", refused.text());
}

async fn answers_are_listed_counted_and_downloaded(world: &World) {
    let ada = world.member("ada", "admin").await;
    let (deployment, holder, _) = waiting(world, &ada).await;
    for value in [9, 9, 2] {
        let _ = answered(world, &holder, value).await;
    }
    let path = format!("/_/deployments/{deployment}/results");
    let all = page(&ada, &path).await.expect(200);
    assert_eq!(all.text().matches("data-label=\"score\">9<").count(), 2, "{}", all.text());
    let some = page(&ada, &format!("{path}?status=completed&from=2020-01-01&to=")).await.expect(200);
    assert_eq!(some.text().matches("data-label=\"score\">").count(), 3, "the one that waits is left out");
    assert!(
        some.text().contains("export?format=csv&#38;from=2020-01-01&#38;status=completed&#38;seen=live"),
        "{}",
        some.text()
    );
    assert!(says(&page(&ada, &format!("{path}?from=2090-01-01")).await.expect(200), "No run matches."));
    let _ = page(&ada, &format!("{path}?from=soon")).await.expect(400);
    let counts = page(&ada, &format!("{path}/counts")).await.expect(200);
    assert!(says(&counts, "4 runs were counted: 3 completed, 1 waiting."), "{}", counts.text());
    assert!(says(&counts, "9 2 66.67 %") && says(&counts, "2 1 33.33 %"), "{}", counts.text());
    assert!(says(&counts, "3 answered") && counts.text().contains("width=\"50\""), "{}", counts.text());
    let csv = page(&ada, &format!("{path}/export?format=csv&seen=live")).await.expect(200);
    assert!(csv.header("content-disposition").contains("attachment") && csv.text().contains("How likely?"));
    let lines = page(&ada, &format!("{path}/export?format=ndjson&status=completed&seen=live")).await.expect(200);
    assert_eq!(lines.text().lines().filter(|line| line.contains("run_id")).count(), 3, "{}", lines.text());
}

async fn a_member_reads_runs_and_ends_none(world: &World) {
    let (ada, bob) = (world.member("ada", "admin").await, world.member("bob", "member").await);
    let (_, _, run) = waiting(world, &ada).await;
    let shown = page(&bob, &format!("/_/runs/{run}")).await.expect(200);
    assert!(!shown.text().contains("/cancel") && !shown.text().contains("/tokens"), "{}", shown.text());
    for rest in ["cancel", "tokens"] {
        let _ = submit(&bob, &format!("/_/runs/{run}/{rest}"), &[("role", "respondent")]).await.expect(403);
        let _ = bob.post(&format!("/v1/runs/{run}/{rest}"), &json!({"role": "respondent"})).await.expect(403);
    }
    // Nor does anybody see another workspace's.
    let (theirs, _, other) = waiting(world, &world.other_workspace_secret()).await;
    let _ = page(&ada, &format!("/_/runs/{other}")).await.expect(404);
    let _ = submit(&ada, &format!("/_/runs/{other}/cancel"), &[]).await.expect(404);
    let _ = submit(&ada, &format!("/_/runs/{other}/tokens"), &[("role", "respondent")]).await.expect(404);
    let _ = page(&ada, &format!("/_/runs?deployment_id={theirs}")).await.expect(404);
    assert!(!page(&ada, "/_/runs").await.expect(200).text().contains(&other));
    // A key with the scope reads and cancels, and lets nobody in.
    let key = world.key("runs", json!({"name": "R", "scopes": ["runs:read", "runs:write"]})).await;
    let listed = key.get("/v1/runs?status=waiting").await.expect(200).json();
    assert_eq!((&listed["meta"]["total"], &listed["data"][0]["id"]), (&json!(1), &json!(run)), "{listed}");
    assert!(listed["data"][0].get("state").is_none());
    let _ = key.get("/v1/runs?status=lost").await.refused(400, "INVALID_REQUEST");
    let timeline = key.get(&format!("/v1/runs/{run}/events?after=1")).await.expect(200).json();
    assert_eq!(timeline["events"][0]["seq"], 2, "{timeline}");
    let _ = key
        .post(&format!("/v1/runs/{run}/tokens"), &json!({"role": "respondent"}))
        .await
        .refused(403, "WRONG_CREDENTIAL");
    let reader = world.key("reader", json!({"name": "R", "scopes": ["runs:read"]})).await;
    let _ = reader.post(&format!("/v1/runs/{run}/cancel"), &json!({})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let ended = key.post(&format!("/v1/runs/{run}/cancel"), &json!({})).await.expect(200).data();
    assert_eq!(
        (&ended["status"], &ended["ending"]["message"]),
        (&json!("cancelled"), &json!("An operator cancelled it"))
    );
}
