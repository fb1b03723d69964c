//! Failures, retries and the bounds of a run.

use ambient::Millis;
use serde_json::{Value, json};
use workflow::{Definition, EffectKind, EventKind, Incoming, Rejection, RunState, RunStatus, start};

use crate::drive::Rig;

fn with(children: &Value) -> Value {
    json!({"type": "Workflow", "id": "root", "participants": [{"name": "ann"}, {"name": "bob"}], "children": children})
}

/// Starts these nodes and hands the run to a story.
fn told(children: &Value, story: impl FnOnce(&mut Rig<'_>)) {
    let json = with(children);
    let definition = Definition::parse(&json).unwrap_or_else(|faults| panic!("{faults:#?}"));
    story(&mut Rig::new(&definition, &json, &Value::Null).unwrap());
}

fn failed_call(effect: &str) -> Incoming {
    Incoming::ToolFailed { effect: effect.to_owned(), code: "timeout".to_owned() }
}

fn fired(effect: &str) -> Incoming {
    Incoming::TimerFired { effect: effect.to_owned() }
}

fn timer_at(state: &RunState) -> Millis {
    match state.open_effects().remove(0).kind {
        EffectKind::SetTimer { at } => at,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tool_is_tried_again_after_5_and_30_seconds_and_then_given_up() {
    let tool = json!([{"type": "Tool", "id": "t", "url": "https://a.example/x", "on_error": "continue"}]);
    told(&tool, |rig| {
        rig.send(failed_call("t#1")).unwrap();
        assert_eq!(timer_at(&rig.state), Millis(1000 + 5000));
        rig.send(fired("t#2")).unwrap();
        rig.send(Incoming::ToolReturned { effect: "t#3".to_owned(), status: 503, body: json!("busy") }).unwrap();
        assert_eq!(timer_at(&rig.state), Millis(3000 + 30_000));
        rig.send(fired("t#4")).unwrap();
        assert_eq!(rig.state.open_effects()[0].step, "t");
        rig.send(failed_call("t#5")).unwrap();
        assert_eq!(rig.state.status(), RunStatus::Completed);
        assert_eq!(rig.state.results()["t"], json!({"status": null, "body": null, "error": "timeout"}));
        let attempts: Vec<&Value> =
            rig.events.iter().filter(|e| e.kind == EventKind::ToolCalled).map(|e| &e.data["attempt"]).collect();
        assert_eq!(attempts, [1, 2, 3]);
    });
}

#[test]
fn a_refusal_by_a_tool_is_not_tried_again() {
    let tool =
        |on_error: &str| json!([{"type": "Tool", "id": "t", "url": "https://a.example/x", "on_error": on_error}]);
    let refused = || Incoming::ToolReturned { effect: "t#1".to_owned(), status: 403, body: json!({"why": "no"}) };
    told(&tool("continue"), |rig| {
        rig.send(refused()).unwrap();
        assert_eq!(rig.state.results()["t"], json!({"status": 403, "body": {"why": "no"}, "error": "status_403"}));
    });
    told(&tool("fail"), |rig| {
        rig.send(refused()).unwrap();
        let ending = rig.state.ending().unwrap();
        assert_eq!((ending.code.as_str(), ending.step.as_deref()), ("tool_failed", Some("t")));
        assert_eq!(rig.events.last().unwrap().data, json!({}), "participants do not learn why");
    });
}

#[test]
fn a_tool_that_answers_too_much_has_failed() {
    told(&json!([{"type": "Tool", "id": "t", "url": "https://a.example/x", "on_error": "continue"}]), |rig| {
        let body = json!("x".repeat(64 * 1024));
        rig.send(Incoming::ToolReturned { effect: "t#1".to_owned(), status: 200, body }).unwrap();
        assert_eq!(rig.state.results()["t"], json!({"status": 200, "body": null, "error": "body_too_large"}));
    });
}

#[test]
fn what_a_tool_answers_can_be_stored_and_read_again() {
    let tool = json!([
        {"type": "Tool", "id": "t", "url": "https://a.example/x", "on_error": "continue"},
        {"type": "Tool", "id": "u", "method": "POST", "url": "https://a.example/x", "body": {"all": ["{{t}}"]}},
    ]);
    let deep = |levels: usize| (0..levels).fold(json!("a\0b"), |inner, _| json!({"\0": inner}));
    let answer = |body: Value| Incoming::ToolReturned { effect: "t#1".to_owned(), status: 200, body };
    told(&tool, |rig| {
        rig.send(answer(deep(32))).unwrap();
        assert!(!serde_json::to_string(&rig.state).unwrap().contains("\\u0000"));
        assert_eq!(rig.state.results()["t"].get("error"), None);
        rig.crash();
    });
    told(&tool, |rig| {
        rig.send(answer(deep(33))).unwrap();
        assert_eq!(rig.state.results()["t"]["error"], "body_too_large");
    });
    let body = (0..33).fold(json!("x"), |inner, _| json!([inner]));
    let node = json!({"type": "Tool", "id": "t", "method": "POST", "url": "https://a.example/x", "body": body});
    assert!(Definition::parse(&with(&json!([node]))).unwrap_err()[0].message.contains("at most 32 deep"));
}

#[test]
fn a_number_is_read_again_as_it_was_stored() {
    // Read to the nearest number but one where the reader hurries.
    let number = -9.058294362447701e221;
    let asked = json!([
        {"type": "Input", "id": "n", "role": "ann", "prompt": "How much?", "input_type": "number"},
        {"type": "Tool", "id": "t", "method": "POST", "url": "https://a.example/x", "body": {"n": "{{n}}"}},
    ]);
    told(&asked, |rig| {
        let (step, role) = ("n".to_owned(), "ann".to_owned());
        rig.send(Incoming::Answer { step, role, value: json!(number) }).unwrap();
        rig.crash();
        let EffectKind::CallTool(call) = rig.state.open_effects().remove(0).kind else { panic!("the tool is called") };
        assert_eq!(call.body, Some(json!({ "n": number })), "a call that is made again is the same");
    });
}

#[test]
fn a_dialogue_that_grows_too_long_ends() {
    let agent = json!([{"type": "Agent", "id": "a", "bot": "b", "role": "ann", "prompt": "Hello", "max_turns": 50}]);
    told(&agent, |rig| {
        let mut turns = 0;
        while !rig.state.status().is_final() {
            turns += 1;
            let say = Incoming::Say { step: "a".to_owned(), role: "ann".to_owned(), text: "x".repeat(4000) };
            rig.send(say).unwrap();
            let (effect, text) = (format!("a#{turns}"), "é".repeat(20_000));
            rig.send(Incoming::Replied { effect, text, input_tokens: 1, output_tokens: 1 }).unwrap();
        }
        assert_eq!(turns, 8, "256 KiB of 36 KiB a turn");
    });
    told(&agent, |rig| {
        rig.send(Incoming::Done { step: "a".to_owned(), role: "ann".to_owned() }).unwrap();
        assert_eq!(rig.state.results()["a"], json!({"text": ""}), "the opening words are no answer");
    });
}

#[test]
fn what_a_participant_wrote_stays_one_part_of_the_address() {
    let nodes = json!([
        {"type": "Input", "id": "name", "role": "ann", "prompt": "?"},
        {"type": "Tool", "id": "t", "method": "POST", "url": "https://a.example/u/{{name}}?q={{name}}",
            "headers": {"X-Name": "{{name}}"}, "body": {"name": "{{name}}", "more": ["{{t.status}}"]}},
    ]);
    told(&nodes, |rig| {
        let value = json!("../a&b={{name}}");
        rig.send(Incoming::Answer { step: "name".to_owned(), role: "ann".to_owned(), value }).unwrap();
        let EffectKind::CallTool(call) = rig.state.open_effects().remove(0).kind else { panic!("a call") };
        assert_eq!(call.url, "https://a.example/u/..%2Fa%26b%3D%7B%7Bname%7D%7D?q=..%2Fa%26b%3D%7B%7Bname%7D%7D");
        assert_eq!(call.headers["x-name"], "../a&b={{name}}");
        assert_eq!(call.body, Some(json!({"name": "../a&b={{name}}", "more": [""]})));
    });
}

#[test]
fn a_bot_that_fails_is_asked_again_and_then_the_run_fails_or_goes_on() {
    for (optional, status) in [(true, RunStatus::Completed), (false, RunStatus::Failed)] {
        told(&json!([{"type": "Agent", "id": "a", "bot": "b", "prompt": "?", "optional": optional}]), |rig| {
            for at in [1, 3, 5] {
                let effect = format!("a#{at}");
                rig.send(Incoming::ReplyFailed { effect, code: "timeout".to_owned() }).unwrap();
                if at < 5 {
                    rig.send(fired(&format!("a#{}", at + 1))).unwrap();
                }
            }
            assert_eq!(rig.state.status(), status);
            assert_eq!(rig.state.results().get("a"), optional.then_some(&Value::Null));
        });
    }
}

#[test]
fn an_extract_that_never_fits_is_given_up_after_two_corrections() {
    let agent = json!([{"type": "Agent", "id": "a", "bot": "b", "prompt": "?", "extract": {"type": "object",
        "properties": {"x": {"type": "integer"}}, "required": ["x"]}}]);
    told(&agent, |rig| {
        for at in 1..=3 {
            assert_eq!(rig.state.status(), RunStatus::Running);
            let text = "no".to_owned();
            let incoming = Incoming::Replied { effect: format!("a#{at}"), text, input_tokens: 0, output_tokens: 0 };
            rig.send(incoming).unwrap();
        }
        assert_eq!(rig.state.ending().map(|ending| ending.code.as_str()), Some("agent_failed"));
    });
}

#[test]
fn a_dialogue_ends_with_its_last_turn_and_a_flood_is_held_back() {
    let agent = json!([{"type": "Agent", "id": "a", "bot": "b", "role": "ann", "max_turns": 2, "until": "max_turns"}]);
    let say = |text: &str| Incoming::Say { step: "a".to_owned(), role: "ann".to_owned(), text: text.to_owned() };
    let reply = |at: u32| Incoming::Replied {
        effect: format!("a#{at}"),
        text: format!("answer {at}\0"),
        input_tokens: 1,
        output_tokens: 1,
    };
    told(&agent, |rig| {
        for _ in 0..5 {
            rig.send(say("hey")).unwrap();
        }
        assert_eq!(rig.send(say("hey")), Err(Rejection::Busy));
        assert!(rig.state.open_steps_for("ann")[0].busy);
        rig.send(reply(1)).unwrap();
        assert_eq!(rig.state.open_steps_for("ann")[0].lines.len(), 6);
        let done = Incoming::Done { step: "a".to_owned(), role: "ann".to_owned() };
        assert!(matches!(rig.send(done), Err(Rejection::Invalid(_))));
        rig.send(reply(2)).unwrap();
        assert_eq!(rig.state.status(), RunStatus::Completed);
        assert_eq!(rig.state.results()["a"], json!({"text": "answer 2\u{fffd}"}));
    });
    told(&agent, |rig| {
        assert!(matches!(rig.send(say(&"x".repeat(4001))), Err(Rejection::Invalid(_))));
        assert!(matches!(rig.send(say("a\0b")), Err(Rejection::Invalid(_))));
    });
}

#[test]
fn a_wait_ends_with_its_timer() {
    told(&json!([{"type": "Wait", "id": "w", "seconds": 60}]), |rig| {
        assert_eq!((timer_at(&rig.state), rig.state.status()), (Millis(60_000), RunStatus::Waiting));
        rig.send(fired("w#1")).unwrap();
        assert_eq!(rig.state.status(), RunStatus::Completed);
    });
}

#[test]
fn loops_count_ask_before_and_ask_after() {
    let rounds = |repeat: Value| {
        let mut node =
            json!({"type": "Loop", "id": "l", "children": [{"type": "Message", "id": "m", "text": "{{loop.index}}"}]});
        node.as_object_mut().unwrap().extend(repeat.as_object().unwrap().clone());
        let json = with(&json!([node]));
        let turn = start(&Definition::parse(&json).unwrap(), &Value::Null, Millis(0)).unwrap();
        assert_eq!(turn.state.status(), RunStatus::Completed);
        turn.events.iter().filter(|event| event.kind == EventKind::MessagePosted).count()
    };
    let never = json!({"left": 1, "op": "eq", "right": 2});
    let always = json!({"left": 1, "op": "eq", "right": 1});
    assert_eq!(rounds(json!({"times": 3})), 3);
    assert_eq!(rounds(json!({"times": 0})), 0);
    assert_eq!(rounds(json!({"times": 40})), 40);
    assert_eq!(rounds(json!({"times": 40, "max_iterations": 7})), 7);
    assert_eq!(rounds(json!({"times": "2"})), 2);
    assert_eq!(rounds(json!({"while": never})), 0);
    assert_eq!(rounds(json!({"while": always})), 10);
    assert_eq!(rounds(json!({"until": always})), 1);
    assert_eq!(rounds(json!({"until": never})), 10);
    assert_eq!(rounds(json!({"until": {"left": "{{loop.index}}", "op": "ge", "right": 4}})), 4);
}

#[test]
fn a_turn_without_end_is_stopped_with_a_sentence() {
    let nest = |inner: Value| {
        let round =
            |node: Value, at: usize| json!({"type": "Loop", "id": format!("l{at}"), "times": 100, "children": [node]});
        with(&json!([(0..4).fold(inner, round)]))
    };
    let ended = |json: &Value| {
        let turn = start(&Definition::parse(json).unwrap(), &Value::Null, Millis(0)).unwrap();
        assert_eq!(turn.events.last().map(|event| event.kind), Some(EventKind::RunFailed));
        assert!(turn.events.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1));
        turn.state.ending().unwrap().message.clone()
    };
    let branch = json!({"type": "Conditional", "id": "c", "branches": [{"when": {"all": [
        {"left": 1, "op": "exists"}, {"left": 1, "op": "exists"}, {"left": 1, "op": "exists"}]}, "children": []}]});
    assert!(ended(&nest(branch)).contains("10,000 moves"));
    let leaves = vec![json!({"left": 1, "op": "exists"}); 100];
    let costly = json!({"type": "Conditional", "id": "c", "branches": [{"when": {"all": leaves}, "children": []}]});
    let once = with(&json!([{"type": "Loop", "id": "l", "times": 100, "children": [costly]}]));
    assert!(ended(&once).contains("10,000 moves"), "comparisons count");
    let long = json!({"type": "Message", "id": "m", "text": "x".repeat(10_000)});
    assert!(ended(&nest(long)).contains("1 MiB"));
}

#[test]
fn results_and_events_of_a_run_are_bounded() {
    let many: Vec<Value> =
        (0..17).map(|at| json!({"type": "Tool", "id": format!("t{at}"), "url": "https://a.example/"})).collect();
    told(&many.into(), |rig| {
        for at in 0..17 {
            let incoming =
                Incoming::ToolReturned { effect: format!("t{at}#1"), status: 200, body: json!("x".repeat(65_000)) };
            rig.send(incoming).unwrap();
        }
        assert!(rig.state.ending().unwrap().message.contains("results"));
    });
    let asks = json!([{"type": "Loop", "id": "a", "times": 100, "children": [{"type": "Loop", "id": "b", "times": 100,
        "children": [{"type": "Wait", "id": "w", "seconds": 1}]}]}]);
    told(&asks, |rig| {
        while !rig.state.status().is_final() {
            let effect = rig.state.open_effects().remove(0).id;
            rig.send(fired(&effect)).unwrap();
        }
        assert!(rig.state.ending().unwrap().message.contains("10,000 events"));
        assert_eq!(rig.state.seq(), 10_001, "the end itself is told");
    });
}

#[test]
fn a_run_that_was_not_started_takes_nothing_but_its_end() {
    let json = with(&json!([{"type": "Input", "id": "ask", "role": "ann", "prompt": "?"}]));
    let definition = Definition::parse(&json).unwrap();
    let state = RunState::pending(&definition, &Value::Null).unwrap();
    let answer = Incoming::Answer { step: "ask".to_owned(), role: "ann".to_owned(), value: json!("x") };
    assert_eq!(workflow::advance(&definition, &state, answer, Millis(0)), Err(Rejection::NotFound));
    let cancel = Incoming::Cancel { reason: "never mind".to_owned() };
    let turn = workflow::advance(&definition, &state, cancel, Millis(0)).unwrap();
    assert_eq!((turn.state.status(), turn.events[0].seq), (RunStatus::Cancelled, 1));
    assert_eq!(
        RunState::pending(&definition, &json!({"x": 1})).map(|_| ()),
        start(&definition, &json!({"x": 1}), Millis(0)).map(|_| ())
    );
}

#[test]
fn a_state_of_another_form_is_refused() {
    let json = with(&json!([{"type": "Wait", "id": "w", "seconds": 1}]));
    let definition = Definition::parse(&json).unwrap();
    let turn = start(&definition, &Value::Null, Millis(0)).unwrap();
    let mut stored = serde_json::to_value(&turn.state).unwrap();
    assert_eq!(stored["v"], 1);
    stored["v"] = json!(2);
    assert!(serde_json::from_value::<RunState>(stored).is_err());
    let other = Definition::parse(&with(&json!([]))).unwrap();
    let fired = Incoming::TimerFired { effect: "w#1".to_owned() };
    assert_eq!(workflow::advance(&other, &turn.state, fired, Millis(0)), Err(Rejection::Mismatch));
}
