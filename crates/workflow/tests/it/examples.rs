//! The three examples, told from beginning to end.

use ambient::Millis;
use serde_json::{Value, json};
use workflow::{Definition, EffectKind, Incoming, Rejection, RunStatus, examples};

use crate::drive::Rig;

fn example(name: &str) -> (Definition, Value) {
    let (_, text) = examples().into_iter().find(|(one, _)| *one == name).unwrap();
    let json: Value = serde_json::from_str(text).unwrap();
    (Definition::parse(&json).unwrap_or_else(|faults| panic!("{name}: {faults:#?}")), json)
}

fn answer(step: &str, role: &str, value: Value) -> Incoming {
    Incoming::Answer { step: step.to_owned(), role: role.to_owned(), value }
}

fn replied(effect: &str, text: &str) -> Incoming {
    Incoming::Replied { effect: effect.to_owned(), text: text.to_owned(), input_tokens: 10, output_tokens: 5 }
}

/// The timeline as this role sees it, one line an event.
fn seen_by(rig: &Rig<'_>, role: &str) -> Vec<String> {
    let line = |event: &workflow::Event| {
        let step = event.data["step"].as_str().unwrap_or_default();
        let words = event.data["text"].as_str().or(event.data["field"]["prompt"].as_str()).unwrap_or_default();
        format!("{} {step} {words}", event.kind.as_str()).trim_end().to_owned()
    };
    rig.events.iter().filter(|event| event.is_for(role)).map(line).collect()
}

#[test]
fn every_example_is_a_definition() {
    for (name, _) in examples() {
        assert!(example(name).0.title().is_some());
    }
}

#[test]
fn support_intake_talks_extracts_and_hands_over() {
    let (definition, json) = example("support-intake");
    let mut rig = Rig::new(&definition, &json, &json!({"name": "Ada"})).unwrap();
    let customer = "customer".to_owned();
    let say =
        |text: &str| Incoming::Say { step: "intake".to_owned(), role: "customer".to_owned(), text: text.to_owned() };
    rig.send(say("It is broken.")).unwrap();
    rig.send(say("Since Monday.")).unwrap();
    rig.send(replied("intake#1", "What is broken?")).unwrap();
    // What was said meanwhile is asked at once.
    let EffectKind::AskBot { messages, extract, instructions, bot } = rig.state.open_effects().remove(0).kind else {
        panic!("the bot is asked");
    };
    let lines: Vec<&str> = messages.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(lines[1..], ["It is broken.", "What is broken?", "Since Monday."]);
    assert!(extract.is_none() && instructions.contains("urgent") && bot == "bot_example");
    rig.send(replied("intake#2", "I see.")).unwrap();
    rig.send(Incoming::Done { step: "intake".to_owned(), role: customer.clone() }).unwrap();
    let late = rig.send(say("One more thing"));
    assert_eq!(late, Err(Rejection::AlreadyAnswered));
    // The first attempt at the extract does not fit; the bot is told why.
    rig.send(replied("intake#3", "{\"summary\": \"The door is broken.\", \"urgency\": \"extreme\"}")).unwrap();
    let EffectKind::AskBot { messages, extract, .. } = rig.state.open_effects().remove(0).kind else {
        panic!("the bot is asked again");
    };
    assert!(messages.last().unwrap().text.contains("`urgency` must be one of low, normal, high."));
    assert_eq!(extract.unwrap()["required"], json!(["summary", "urgency"]));
    rig.send(replied("intake#4", "{\"summary\": \"The door is broken.\", \"urgency\": \"high\"}")).unwrap();
    assert_eq!(rig.state.results()["intake"], json!({"summary": "The door is broken.", "urgency": "high"}));
    rig.send(answer("contact", "customer", json!("ada@example.com"))).unwrap();
    assert_eq!(rig.state.status(), RunStatus::Completed);
    assert_eq!((rig.state.usage().replies, rig.state.usage().input_tokens), (4, 40));
    assert_eq!(
        seen_by(&rig, &customer),
        [
            "run.started",
            "message.posted welcome Hello Ada",
            "step.opened intake",
            "agent.said intake What can we help you with? Say what happened, and end the chat when you have said it all.",
            "run.waiting",
            "participant.said intake It is broken.",
            "participant.said intake Since Monday.",
            "agent.said intake What is broken?",
            "agent.said intake I see.",
            "run.waiting",
            "step.answered intake",
            "step.opened contact Where can we write to you?",
            "run.waiting",
            "step.answered contact",
            "message.posted goodbye Thank you. A person has your case now and will write to you.",
            "run.completed",
        ]
    );
    assert_eq!(
        seen_by(&rig, "support"),
        [
            "run.started",
            "run.waiting",
            "run.waiting",
            "run.waiting",
            "message.posted handover_contact New case (high): The door is broken. Answer to ada@example.com.",
            "run.completed",
        ]
    );
}

#[test]
fn nps_survey_branches_on_the_score() {
    let (definition, json) = example("nps-survey");
    for (score, then) in [(3, "missing"), (6, "missing"), (7, "improve"), (8, "improve"), (9, "liked"), (10, "liked")] {
        let mut rig = Rig::new(&definition, &json, &Value::Null).unwrap();
        rig.send(answer("score", "respondent", json!(score))).unwrap();
        assert_eq!(rig.state.current_step_id(), Some(then), "{score}");
    }
    let mut rig = Rig::new(&definition, &json, &Value::Null).unwrap();
    assert!(matches!(rig.send(answer("score", "respondent", json!(11))), Err(Rejection::Invalid(_))));
    rig.send(answer("score", "respondent", json!(3))).unwrap();
    let open = rig.state.open_steps_for("respondent");
    assert_eq!(open[0].field.as_ref().unwrap().prompt, "You gave us 3 of 10. What should we do better?");
    rig.send(answer("missing", "respondent", json!("Answer faster."))).unwrap();
    rig.send(answer("may_contact", "respondent", Value::Null)).unwrap();
    assert_eq!(rig.state.status(), RunStatus::Completed);
    assert_eq!(
        serde_json::to_value(rig.state.results()).unwrap(),
        json!({"score": 3, "missing": "Answer faster.", "may_contact": null})
    );
}

#[test]
fn two_role_review_goes_round_until_it_is_approved_and_keeps_the_parts_apart() {
    let (definition, json) = example("two-role-review");
    let mut rig = Rig::new(&definition, &json, &Value::Null).unwrap();
    let wrong = json!({"subject": " ", "details": "A desk", "amount": -1, "needed_by": "tomorrow", "extra": 1});
    let Err(Rejection::Invalid(faults)) = rig.send(answer("request.1", "customer", wrong)) else { panic!("refused") };
    let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(fields, ["subject", "amount", "needed_by", "extra"]);
    let request = |amount: i64| json!({"subject": "Desk", "details": "A desk", "amount": amount});
    assert_eq!(rig.send(answer("request.1", "reviewer", request(900))), Err(Rejection::NotYours));
    rig.send(answer("request.1", "customer", request(900))).unwrap();
    assert!(rig.state.open_steps_for("customer").is_empty());
    rig.send(answer("decision.1", "reviewer", json!("change"))).unwrap();
    rig.send(answer("remarks.1", "reviewer", json!("Too dear."))).unwrap();
    let workflow::FormItem::Message { text } = &rig.state.open_steps_for("customer")[0].items[0] else {
        panic!("the hint comes first");
    };
    assert_eq!(text, "Round 2. Too dear.");
    assert_eq!(rig.send(answer("request.1", "customer", request(1))), Err(Rejection::AlreadyAnswered));
    rig.send(answer("request.2", "customer", request(400))).unwrap();
    rig.send(answer("decision.2", "reviewer", json!("approve"))).unwrap();
    assert_eq!(rig.state.status(), RunStatus::Completed);
    assert_eq!(rig.state.results()["amount"], 400);
    assert_eq!(rig.state.results()["request"]["needed_by"], Value::Null);
    assert_eq!(
        seen_by(&rig, "reviewer"),
        [
            "run.started",
            "run.waiting",
            "message.posted for_review.1 Desk (900): A desk",
            "step.opened decision.1 Do you approve \"Desk\"?",
            "step.answered decision.1",
            "step.opened remarks.1 What should be changed?",
            "step.answered remarks.1",
            "message.posted for_review.2 Desk (400): A desk",
            "step.opened decision.2 Do you approve \"Desk\"?",
            "step.answered decision.2",
            "run.completed",
        ]
    );
    assert_eq!(
        seen_by(&rig, "customer"),
        [
            "run.started",
            "step.opened request.1",
            "run.waiting",
            "step.answered request.1",
            "step.opened request.2",
            "step.answered request.2",
            "message.posted approved Your request \"Desk\" was approved.",
            "run.completed",
        ]
    );
    assert_eq!(rig.events.first().map(|event| event.at), Some(Millis(0)));
}
