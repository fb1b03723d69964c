use runs::RunError;
use serde_json::json;
use workflow::{RunStatus, examples};

use crate::world::{count, on_each};

fn example(name: &str) -> &'static str {
    examples().into_iter().find(|(found, _)| *found == name).unwrap().1
}

#[tokio::test]
async fn the_survey_is_answered_step_by_step() {
    on_each(async |world| {
        let (node, tenant) = (&world.node, world.tenant);
        let deployment = world.deploy(example("nps-survey")).await;
        let run = world.start(&deployment, json!({})).await;
        node.wait_for_step(tenant, run, "score").await;
        let view = node.runs.view(tenant, run, "respondent").await.unwrap();
        assert_eq!((view.steps[0].step.as_str(), view.status), ("score", RunStatus::Waiting));
        assert_eq!(view.title.as_deref(), Some("How are we doing?"));

        let wrong = node.runs.answer(tenant, run, "respondent", "score", json!(11)).await;
        assert!(matches!(wrong, Err(RunError::Invalid(faults)) if faults[0].field == "score"));
        node.runs.answer(tenant, run, "respondent", "score", json!(3)).await.unwrap();
        let again = node.runs.answer(tenant, run, "respondent", "score", json!(4)).await;
        assert!(matches!(again, Err(RunError::AlreadyAnswered)));
        node.runs.answer(tenant, run, "respondent", "missing", json!("Speed")).await.unwrap();
        node.runs.answer(tenant, run, "respondent", "may_contact", json!(null)).await.unwrap();
        assert_eq!(node.wait_for_end(tenant, run).await, RunStatus::Completed);
        let state = node.runs.state(tenant, run).await.unwrap();
        assert_eq!((&state.results()["score"], &state.results()["missing"]), (&json!(3), &json!("Speed")));
        let late = node.runs.answer(tenant, run, "respondent", "liked", json!(["speed"])).await;
        assert!(matches!(late, Err(RunError::Ended)), "{late:?}");
        assert_eq!(count(&node.timeline(tenant, run).await, "step.answered"), 3);
    })
    .await;
}

#[tokio::test]
async fn two_roles_see_and_answer_their_own_steps_alone() {
    on_each(async |world| {
        let (node, tenant) = (&world.node, world.tenant);
        let deployment = world.deploy(example("two-role-review")).await;
        let run = world.start(&deployment, json!({})).await;
        node.wait_for_step(tenant, run, "request.1").await;
        assert!(node.runs.view(tenant, run, "reviewer").await.unwrap().steps.is_empty());
        let stranger = node.runs.view(tenant, run, "boss").await;
        assert!(matches!(stranger, Err(RunError::NotFound)), "a role that is not declared");
        let form = json!({"subject": "Chairs", "details": "They broke.", "amount": 90, "needed_by": null});
        let foreign = node.runs.answer(tenant, run, "reviewer", "request.1", form.clone()).await;
        assert!(matches!(foreign, Err(RunError::NotFound)), "{foreign:?}");
        for (round, decision) in [(1, "change"), (2, "approve")] {
            let step = |id: &str| format!("{id}.{round}");
            node.runs.answer(tenant, run, "customer", &step("request"), form.clone()).await.unwrap();
            node.runs.answer(tenant, run, "reviewer", &step("decision"), json!(decision)).await.unwrap();
            if decision == "change" {
                node.runs.answer(tenant, run, "reviewer", &step("remarks"), json!("Cheaper")).await.unwrap();
            }
        }
        assert_eq!(node.wait_for_end(tenant, run).await, RunStatus::Completed);
    })
    .await;
}

#[tokio::test]
async fn a_participant_talks_with_a_bot_and_its_extract_is_the_result() {
    on_each(async |world| {
        let (node, tenant) = (&world.node, world.tenant);
        world.add_model("good").await;
        let deployment = world.deploy(example("support-intake")).await;
        let run = world.start(&deployment, json!({"name": "Bo"})).await;
        node.wait_for_step(tenant, run, "intake").await;
        node.runs.say(tenant, run, "customer", "intake", "It smokes.").await.unwrap();
        node.wait_for_step(tenant, run, "intake").await;
        let view = node.runs.view(tenant, run, "customer").await.unwrap();
        assert_eq!(view.steps[0].lines.last().unwrap().text, "I heard It smokes.");
        node.runs.done(tenant, run, "customer", "intake").await.unwrap();
        node.wait_for_step(tenant, run, "contact").await;
        node.runs.answer(tenant, run, "customer", "contact", json!("bo@example.com")).await.unwrap();
        assert_eq!(node.wait_for_end(tenant, run).await, RunStatus::Completed);
        let state = node.runs.state(tenant, run).await.unwrap();
        assert_eq!(state.results()["intake"]["urgency"], "high");
        assert_eq!((state.usage().replies, state.usage().input_tokens), (2, 6));
        let asked = world.outside.asked();
        let system = asked[0].body["messages"][0]["content"].as_str().unwrap();
        assert!(system.starts_with("You are Ada.\n\nFind out"), "{system}");
        assert_eq!(asked[0].body.get("response_format"), None);
        assert!(asked[1].body["response_format"]["json_schema"]["schema"].is_object());
    })
    .await;
}
