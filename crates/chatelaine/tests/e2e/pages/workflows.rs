//! Workflows and deployments, on pages.

use std::{sync::Arc, time::Duration};

use ambient::{Clock, ManualClock, SystemClock};
use serde_json::{Value, json};
use testkit::{Answer, Backend, Options, Persona, World, id_of};

use super::{leads_to, page, says, submit};
use crate::workflows::survey;

on_both! {
    an_admin_writes_changes_compares_and_deletes_a_workflow;
    each_fault_is_shown_with_its_line_and_what_was_typed_stays;
    a_workflow_is_deployed_and_its_key_is_shown_once;
    a_trigger_s_address_is_shown_once;
    a_deployment_s_end_says_what_it_cut;
    a_member_reads_workflows_and_changes_nothing;
    nobody_sees_another_workspace_s_workflows;
}

on_each! {
    who_has_been_signed_in_for_long_says_the_password_before_deploying;
}

/// The text of what can be copied.
fn code_of(answer: &Answer, id: &str) -> String {
    let text = answer.text();
    let after = text.split(&format!("<pre id=\"{id}\"")).nth(1).unwrap_or_else(|| panic!("no {id}: {text}"));
    after.split('>').nth(1).unwrap().split('<').next().unwrap().replace("&#34;", "\"").replace("&#60;", "<")
}

async fn workflow(by: &Persona, name: &str) -> String {
    id_of(&by.post("/v1/workflows", &json!({"name": name, "definition": survey()})).await.expect(201))
}

async fn an_admin_writes_changes_compares_and_deletes_a_workflow(world: &World) {
    let ada = world.member("ada", "admin").await;
    assert!(says(&page(&ada, "/_/workflows").await.expect(200), "Write the first workflow"));
    // What the editor begins with can be saved as it is.
    let text = page(&ada, "/_/workflows/new").await.expect(200).text();
    let beginning = text.split("<textarea").nth(1).unwrap().split_once('>').unwrap().1;
    let beginning = beginning.split("</textarea>").next().unwrap().replace("&#34;", "\"");
    let fields = [("once", "one"), ("name", "A <b>"), ("definition", beginning.as_str())];
    let made = leads_to(&submit(&ada, "/_/workflows", &fields).await);
    assert_eq!(leads_to(&submit(&ada, "/_/workflows", &fields).await), made, "sent twice, made once");
    let path = made.strip_suffix("?done=created").unwrap().to_owned();
    let shown = page(&ada, &made).await.expect(200);
    assert!(says(&shown, "Created.") && says(&shown, "A <b> version 1") && !shown.text().contains("A <b>"));
    assert!(says(&shown, "Input score nps How likely are you to come back?"), "{}", shown.text());
    assert!(says(&shown, "if {{score}} ≤ 6"), "{}", shown.text());
    assert!(says(&page(&ada, "/_/workflows").await, "A <b>"));

    let other = beginning.replace("come back", "return").replace("Thank you.", "Thanks.");
    let saved = submit(&ada, &path, &[("name", "B"), ("definition", &other)]).await;
    assert_eq!(leads_to(&saved), format!("{path}?done=saved"));
    let compared = page(&ada, &format!("{path}/versions/2")).await.expect(200);
    assert!(says(&compared, "What is different since version 1"), "{}", compared.text());
    assert!(says(&compared, "removed: − { \"type\": \"Message\", \"id\": \"thanks\", \"text\": \"Thank you.\" }"));
    assert!(says(&compared, "added: + { \"type\": \"Message\", \"id\": \"thanks\", \"text\": \"Thanks.\" }"));
    let same = page(&ada, &format!("{path}/versions/2?with=2")).await.expect(200);
    assert!(says(&same, "the two are the same"));
    let first = page(&ada, &format!("{path}/versions/1")).await.expect(200);
    assert!(says(&first, "How likely are you to come back?") && !says(&first, "What is different"));
    assert!(says(&page(&ada, &format!("{path}/versions")).await.expect(200), "Version 1 with now"));
    let _ = page(&ada, &format!("{path}/versions/3")).await.expect(404);

    assert!(says(&page(&ada, &format!("{path}/delete")).await.expect(200), "gone for good"));
    assert_eq!(leads_to(&submit(&ada, &format!("{path}/delete"), &[]).await), "/_/workflows?done=deleted");
    let _ = page(&ada, &path).await.expect(404);
}

async fn each_fault_is_shown_with_its_line_and_what_was_typed_stays(world: &World) {
    let ada = world.member("ada", "admin").await;
    let wrong = "{\n\"type\": \"Workflow\", \"id\": \"w\",\r\n\"children\": [\n  {\"type\": \"Input\", \"id\": \"a\",\n   \
                 \"prompt\": \"<i>?\", \"input_type\": \"telepathy\"}]}";
    let again = submit(&ada, "/_/workflows", &[("name", " "), ("definition", wrong)]).await.expect(422);
    // A name first: the API looks at the definition when the rest is right.
    assert!(again.text().contains("id=\"e-name\"") && says(&again, "telepathy"), "{}", again.text());
    let again = submit(&ada, "/_/workflows", &[("name", "W"), ("definition", wrong)]).await.expect(422);
    assert!(says(&again, "Nothing was made.") && again.text().contains("value=\"W\""));
    assert!(says(&again, "Line 5 /children/0/input_type"), "{}", again.text());
    assert!(says(&again, "\"prompt\": \"<i>?\", \"input_type\": \"telepathy\"}]}") && !again.text().contains("<i>?"));
    let again = submit(&ada, "/_/workflows", &[("name", "W"), ("definition", "{\n\"type\": }")]).await.expect(422);
    assert!(says(&again, "Line 2 This is no JSON: expected value, at column 9"), "{}", again.text());
    assert_eq!(ada.get("/v1/workflows").await.json()["meta"]["total"], 0);

    let path = format!("/_/workflows/{}", workflow(&ada, "Kept").await);
    let again = submit(&ada, &path, &[("name", "Other"), ("definition", wrong)]).await.expect(422);
    assert!(says(&again, "Line 5") && says(&again, "telepathy") && says(&again, "Kept version 1"), "{}", again.text());
    let kept = ada.get(&path.replace("/_/", "/v1/")).await.expect(200).data();
    assert_eq!((&kept["name"], &kept["version"]), (&json!("Kept"), &json!(1)));
}

async fn a_workflow_is_deployed_and_its_key_is_shown_once(world: &World) {
    let ada = world.member("ada", "admin").await;
    let id = workflow(&ada, "Design").await;
    let path = format!("/_/workflows/{id}/deploy");
    let form = page(&ada, &path).await.expect(200);
    assert!(says(&form, "How likely?") && form.text().contains("name=\"survey_mode\""), "{}", form.text());
    let wrong = [("name", "Live"), ("daily_runs", "many"), ("survey_mode", "on")];
    let again = submit(&ada, &path, &wrong).await;
    assert!([400, 422].contains(&again.status) && says(&again, "Nothing was made."), "{}", again.text());
    let wrong = [("name", "Live"), ("daily_runs", "0"), ("challenge", "on")];
    let again = submit(&ada, &path, &wrong).await.expect(422);
    assert!(again.text().contains("id=\"e-daily_runs\"") && again.text().contains("id=\"e-challenge\""));
    assert!(again.text().contains("value=\"Live\""));

    let fields = [("once", "one"), ("name", "Live"), ("daily_runs", "7"), ("survey_mode", "on"), ("challenge", "auto")];
    let made = submit(&ada, &path, &fields).await.expect(200);
    let key = code_of(&made, "key");
    assert!(key.starts_with("cf_") && made.text().contains("data-shown-once"), "{}", made.text());
    let link = code_of(&made, "survey");
    let deployment = link.rsplit('/').next().unwrap().to_owned();
    assert!(code_of(&made, "snippet").contains(&format!("data-deployment-id=\"{deployment}\"")));
    assert!(code_of(&made, "curl").contains(&key));
    assert_eq!(code_of(&submit(&ada, &path, &fields).await.expect(200), "key"), key, "sent twice, made once");
    let _ = world.anonymous().with("key", &key).post("/api/v1/runs", &json!({})).await.expect(202);
    let survey = world.anonymous().get(&format!("/s/{deployment}")).await.expect(200);
    assert!(says(&survey, "Survey"), "{}", survey.text());

    let shown = page(&ada, &format!("/_/deployments/{deployment}")).await.expect(200);
    assert!(!shown.text().contains(&key) && says(&shown, "7 at most") && says(&shown, "When many start"));
    assert_eq!(code_of(&shown, "survey"), link);
    assert!(says(&page(&ada, "/_/deployments").await.expect(200), "live survey"));
    let log = world.secret().get("/v1/audit-log?action=create_deployment").await.expect(200).data();
    assert_eq!((log.as_array().unwrap().len(), &log[0]["actor"]["id"]), (1, &json!(ada.id())), "{log}");

    // While it is deployed it stays.
    let refused = submit(&ada, &format!("/_/workflows/{id}/delete"), &[]).await.expect(409);
    assert!(says(&refused, "revoke its deployments first"), "{}", refused.text());
}

/// What was typed stays.
async fn who_has_been_signed_in_for_long_says_the_password_before_deploying(backend: Backend) {
    let clock = Arc::new(ManualClock::new(SystemClock::new().now()));
    let world = World::with(backend, Options { clock: clock.clone(), ..Options::default() }).await;
    let ada = world.member("ada", "admin").await;
    let path = format!("/_/workflows/{}/deploy", workflow(&ada, "Design").await);
    let _ = page(&ada, &path).await.expect(200);
    clock.advance(Duration::from_secs(16 * 60));
    assert!(leads_to(&page(&ada, &path).await).starts_with("/_/confirm?next="));
    let again = submit(&ada, &path, &[("name", "Typed")]).await.expect(403);
    assert!(says(&again, "Confirm in a new tab") && again.text().contains("value=\"Typed\""), "{}", again.text());
    assert_eq!(ada.get("/v1/deployments").await.expect(200).json()["meta"]["total"], 0);
    world.end().await;
}

async fn a_trigger_s_address_is_shown_once(world: &World) {
    let ada = world.member("ada", "admin").await;
    let id = workflow(&ada, "Design").await;
    let deployment = ada.post(&format!("/v1/workflows/{id}/deployments"), &json!({})).await.expect(201).data();
    let path = format!("/_/deployments/{}", deployment["id"].as_str().unwrap());
    assert!(says(&page(&ada, &path).await.expect(200), "No webhook and no schedule starts runs."));
    assert!(page(&ada, &format!("{path}/triggers/new?kind=webhook")).await.expect(200).text().contains("f-signing"));
    assert!(page(&ada, &format!("{path}/triggers/new?kind=cron")).await.expect(200).text().contains("f-schedule"));
    let wrong = [("kind", "webhook"), ("name", "Hook"), ("signing", "standard_webhooks"), ("secret", "hunter2")];
    let again = submit(&ada, &format!("{path}/triggers"), &wrong).await.expect(422);
    assert!(again.text().contains("id=\"e-secret\"") && !again.text().contains("hunter2"), "{}", again.text());
    let fields = [("kind", "webhook"), ("name", "Hook"), ("signing", "standard_webhooks"), ("secret", "")];
    let made = submit(&ada, &format!("{path}/triggers"), &fields).await.expect(200);
    let (address, secret) = (code_of(&made, "address"), code_of(&made, "secret"));
    assert!(address.contains("/api/webhooks/") && secret.starts_with("whsec_"), "{address} {secret}");
    let token = address.rsplit('/').next().unwrap();
    let shown = page(&ada, &path).await.expect(200);
    assert!(!shown.text().contains(token) && !shown.text().contains(&secret) && says(&shown, "Turn off Hook"));

    let wrong = [("kind", "cron"), ("name", "Daily"), ("schedule", "at noon"), ("timezone", "UTC"), ("input", "[")];
    let again = submit(&ada, &format!("{path}/triggers"), &wrong).await.expect(422);
    assert!(again.text().contains("id=\"e-input\"") && again.text().contains("value=\"at noon\""));
    let fields = [("kind", "cron"), ("name", "Daily"), ("schedule", "0 9 * * *"), ("timezone", "Europe/Berlin")];
    let made = leads_to(&submit(&ada, &format!("{path}/triggers"), &fields).await);
    assert_eq!(made, format!("{path}?done=created"));
    let list = ada.get(&format!("{}/triggers", path.replace("/_/", "/v1/"))).await.expect(200).data();
    let daily = format!("/_/triggers/{}", list[1]["id"].as_str().unwrap());
    assert_eq!(leads_to(&submit(&ada, &daily, &[("enabled", "no")]).await), format!("{path}?done=saved"));
    assert!(says(&page(&ada, &path).await, "Turn on Daily"));
    assert_eq!(leads_to(&submit(&ada, &format!("{daily}/delete"), &[]).await), format!("{path}?done=deleted"));
    assert!(!says(&page(&ada, &path).await, "Daily"));
}

async fn a_deployment_s_end_says_what_it_cut(world: &World) {
    let ada = world.member("ada", "admin").await;
    let id = workflow(&ada, "Design").await;
    let deployment = ada.post(&format!("/v1/workflows/{id}/deployments"), &json!({})).await.expect(201).data();
    let path = format!("/_/deployments/{}", deployment["id"].as_str().unwrap());
    let holder = world.anonymous().with("key", deployment["key"].as_str().unwrap());
    for _ in 0..2 {
        let run = holder.post("/api/v1/runs", &json!({})).await.expect(202).json()["run_id"].clone();
        let _ = crate::runs::reaches(&holder, run.as_str().unwrap(), "waiting").await;
    }
    let asked = page(&ada, &format!("{path}/revoke")).await.expect(200);
    assert!(says(&asked, "Now 2 runs wait for people or a time, and 0 are under way."), "{}", asked.text());
    let again = submit(&ada, &format!("{path}/revoke"), &[]).await.expect(422);
    assert!(says(&again, "Say what becomes of the runs"), "{}", again.text());
    let _ = holder.get("/v1/me").await.expect(200);
    let ended = submit(&ada, &format!("{path}/revoke"), &[("runs", "cancel")]).await.expect(200);
    assert!(says(&ended, "No server accepted its key any more after"), "{}", ended.text());
    assert!(says(&ended, "Runs that were cancelled 2"), "{}", ended.text());
    let _ = holder.get("/v1/me").await.expect(401);
    let shown = page(&ada, &path).await.expect(200);
    assert!(says(&shown, "revoked") && !shown.text().contains("/triggers/new"), "{}", shown.text());
}

async fn a_member_reads_workflows_and_changes_nothing(world: &World) {
    let (ada, bob) = (world.member("ada", "admin").await, world.member("bob", "member").await);
    let id = workflow(&ada, "Design").await;
    let made = ada.post(&format!("/v1/workflows/{id}/deployments"), &json!({})).await.expect(201).data();
    let (flow, deployed) = (format!("/_/workflows/{id}"), format!("/_/deployments/{}", made["id"].as_str().unwrap()));
    let shown = page(&bob, &flow).await.expect(200);
    assert!(says(&shown, "How likely?") && !shown.text().contains("<textarea"), "{}", shown.text());
    for path in [&flow, &deployed] {
        let text = page(&bob, path).await.expect(200).text();
        let forms = text
            .split("action=\"")
            .skip(1)
            .filter(|form| !form.starts_with("/_/view") && !form.starts_with("/_/sign-out"));
        assert_eq!(forms.count(), 0, "{text}");
        assert!(!text.contains("/deploy\"") && !text.contains("/revoke\""), "{text}");
    }
    let forms =
        ["/_/workflows", &flow, &format!("{flow}/delete"), &format!("{flow}/deploy"), &format!("{deployed}/revoke")];
    for path in forms {
        let _ = submit(&bob, path, &[("name", "Mine"), ("runs", "finish"), ("definition", "{}")]).await.expect(403);
    }
    for path in
        ["/_/workflows/new", &format!("{flow}/delete"), &format!("{flow}/deploy"), &format!("{deployed}/revoke")]
    {
        assert!(says(&page(&bob, path).await.expect(403), "This takes an admin or an owner"), "{path}");
    }
    let kept: Value = bob.get(&flow.replace("/_/", "/v1/")).await.expect(200).data();
    assert_eq!(kept["name"], "Design");
}

async fn nobody_sees_another_workspace_s_workflows(world: &World) {
    let ada = world.member("ada", "owner").await;
    let other = world.other_workspace_secret();
    let id = workflow(&other, "Theirs").await;
    let made = other.post(&format!("/v1/workflows/{id}/deployments"), &json!({})).await.expect(201).data();
    let (flow, deployed) = (format!("/_/workflows/{id}"), format!("/_/deployments/{}", made["id"].as_str().unwrap()));
    let below = ["", "/versions", "/versions/1", "/delete", "/deploy"].map(|rest| format!("{flow}{rest}"));
    let of_deployed =
        ["", "/revoke", "/results", "/results/counts", "/triggers/new"].map(|rest| format!("{deployed}{rest}"));
    for path in below.iter().chain(&of_deployed) {
        let answer = page(&ada, path).await.expect(404);
        assert!(says(&answer, "There is nothing here") && !says(&answer, "Theirs"), "{path}");
    }
    let _ = submit(&ada, &format!("{deployed}/revoke"), &[("runs", "cancel")]).await.expect(404);
    let _ = submit(&ada, &format!("{deployed}/triggers"), &[("kind", "webhook"), ("name", "X")]).await.expect(404);
    let _ = submit(&ada, &flow, &[("name", "X"), ("definition", &survey().to_string())]).await.expect(404);
    assert!(!says(&page(&ada, "/_/workflows").await, "Theirs"));
}
