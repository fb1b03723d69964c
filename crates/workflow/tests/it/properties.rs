use ambient::Millis;
use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::{Value, json};
use workflow::{Definition, Incoming, RunStatus, advance, start};

use crate::{
    anything::{check_any, run_out},
    drive::{Rig, Tape},
    generate::definition,
};

/// `PROPTEST_CASES` asks for more.
fn cases(count: u32) -> ProptestConfig {
    let count = count.max(ProptestConfig::default().cases);
    ProptestConfig { cases: count, failure_persistence: None, max_shrink_iters: 4_000, ..ProptestConfig::default() }
}

fn replay(rig: &Rig<'_>, input: &Value) {
    let turn = start(rig.definition, input, Millis(0)).unwrap();
    let (mut state, mut events) = (turn.state, turn.events);
    for (incoming, at) in &rig.log {
        let turn = advance(rig.definition, &state, incoming.clone(), *at).unwrap();
        state = turn.state;
        events.extend(turn.events);
    }
    assert_eq!((&state, &events), (&rig.state, &rig.events), "the same inputs give the same run");
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn a_random_workflow_in_a_mean_world_comes_to_its_end(
        json in definition(), tape in vec(any::<u8>(), 0..400), given in 0..4_u8, cancel in 0..40_usize,
    ) {
        let parsed = Definition::parse(&json).unwrap_or_else(|faults| panic!("{faults:#?}\n{json:#}"));
        let input = json!({"given": given});
        let mut rig = Rig::new(&parsed, &json, &input).unwrap();
        let mut tape = Tape(&tape);
        for _ in 0..cancel {
            if !rig.state.status().is_final() {
                rig.act(&mut tape);
            }
        }
        if cancel % 8 == 7 && !rig.state.status().is_final() {
            let incoming = if cancel % 16 == 7 {
                Incoming::Cancel { reason: "enough".to_owned() }
            } else {
                Incoming::Fail { reason: "revoked".to_owned() }
            };
            rig.send(incoming).unwrap();
            assert!(rig.state.status().is_final());
        }
        run_out(&mut rig, &mut tape);
        rig.crash();
        replay(&rig, &input);
    }

    #[test]
    fn a_kind_world_completes_every_workflow(json in definition()) {
        let parsed = Definition::parse(&json).unwrap();
        let mut rig = Rig::new(&parsed, &json, &json!({"given": 1, "maybe": "a"})).unwrap();
        run_out(&mut rig, &mut Tape(&[]));
        assert_eq!(rig.state.status(), RunStatus::Completed, "{:?}", rig.state.ending());
    }

    #[test]
    fn a_damaged_definition_is_refused_at_a_place_that_exists_or_runs(
        mut json in definition(), wounds in vec((any::<Index>(), 0..4_u8, junk()), 1..4), tape in vec(any::<u8>(), 0..100),
    ) {
        for (at, how, with) in wounds {
            wound(&mut json, at, how, with);
        }
        check_any(&json, &tape);
    }

    #[test]
    fn any_json_is_refused_at_a_place_that_exists_or_runs(json in junk()) {
        check_any(&json, &[]);
    }
}

/// Any JSON, with words that mean something here.
fn junk() -> impl Strategy<Value = Value> {
    let words = [
        "Workflow",
        "Message",
        "Input",
        "Agent",
        "Conditional",
        "Loop",
        "Tool",
        "Wait",
        "form",
        "ann",
        "n1",
        "n2",
        "root",
        "{{n1}}",
        "{{n1.x.0}}",
        "{{",
        "{{loop.index}}",
        "{{input.given}}",
        "",
        "text",
        "select",
        "eq",
        "exists",
        "https://a.example/",
        "\u{0}",
        "object",
        "é",
    ];
    let names = [
        "type",
        "id",
        "children",
        "participants",
        "inputs",
        "name",
        "text",
        "to",
        "role",
        "prompt",
        "input_type",
        "options",
        "value",
        "min",
        "max",
        "bot",
        "extract",
        "properties",
        "branches",
        "when",
        "left",
        "op",
        "right",
        "all",
        "not",
        "times",
        "while",
        "until",
        "url",
        "headers",
        "body",
        "seconds",
        "else",
        "ui",
        "~/",
        "zzz",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop_oneof![-3..200_i64, any::<i64>()].prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        prop::sample::select(words.to_vec()).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((prop::sample::select(names.to_vec()), inner), 0..6).prop_map(|members| {
                Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            }),
        ]
    })
}

fn pointers(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointers(item, &format!("{at}/{index}"), out);
            }
        }
        Value::Object(members) => {
            for (name, item) in members {
                pointers(item, &format!("{at}/{name}"), out);
            }
        }
        _ => {}
    }
}

/// Changes one place: another value, a member less, a member more, a value from elsewhere.
fn wound(json: &mut Value, at: Index, how: u8, with: Value) {
    let mut places = Vec::new();
    pointers(json, "", &mut places);
    let place = at.get(&places).clone();
    let from_elsewhere = json.pointer(&places[at.index(places.len().max(7)) % places.len()]).cloned();
    let Some(target) = json.pointer_mut(&place) else { return };
    match (how, target) {
        (0, target) => *target = with,
        (1, Value::Object(members)) => {
            let name = members.keys().next().cloned().unwrap_or_default();
            members.remove(&name);
        }
        (1, Value::Array(items)) => drop(items.pop()),
        (2, Value::Object(members)) => drop(members.insert("zzz".to_owned(), with)),
        (2, Value::Array(items)) => items.push(with),
        (_, target) => *target = from_elsewhere.unwrap_or_default(),
    }
}
