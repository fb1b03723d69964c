//! The published schema and the parser say the same.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use workflow::{Definition, schema};

/// The members that the parser names when it meets an unknown one.
fn known_members(faults: &[workflow::Fault], path: &str) -> BTreeSet<String> {
    let at = format!("{path}/zzz");
    let fault = faults.iter().find(|fault| fault.path == at).unwrap_or_else(|| panic!("{at}: {faults:#?}"));
    let list = fault.message.split(" has ").nth(1).unwrap().trim_end_matches(" and nothing else.");
    list.split(", ").map(str::to_owned).collect()
}

fn properties(schema: &Value) -> BTreeSet<String> {
    schema["properties"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_schema_has_every_member_that_the_parser_takes_and_no_other() {
    let schema = schema();
    let variants = schema["$defs"]["Node"]["oneOf"].as_array().unwrap();
    assert_eq!(variants.len(), 8);
    let kinds: Vec<&str> = variants.iter().map(|node| node["properties"]["type"]["const"].as_str().unwrap()).collect();
    let children: Vec<Value> = kinds
        .iter()
        .enumerate()
        .map(|(at, kind)| json!({"type": kind, "id": format!("n{at}"), "zzz": 1}))
        .chain([
            json!({"type": "Input", "id": "in", "prompt": "?", "input_type": "select",
                "options": [{"value": "a", "zzz": 1}]}),
            json!({"type": "Conditional", "id": "con", "branches": [{"zzz": 1}]}),
        ])
        .collect();
    let faults = Definition::parse(&json!({
        "type": "Workflow",
        "id": "root",
        "participants": [{"name": "ann", "zzz": 1}],
        "inputs": [{"name": "x", "zzz": 1}],
        "children": children,
        "zzz": 1,
    }))
    .unwrap_err();
    for (at, node) in variants.iter().enumerate() {
        assert_eq!(properties(node), known_members(&faults, &format!("/children/{at}")), "{}", kinds[at]);
        assert_eq!(node["additionalProperties"], false);
    }
    assert_eq!(properties(&schema), known_members(&faults, ""));
    for (name, path) in [
        ("Participant", "/participants/0"),
        ("StartInput", "/inputs/0"),
        ("SelectOption", "/children/8/options/0"),
        ("Branch", "/children/9/branches/0"),
    ] {
        assert_eq!(properties(&schema["$defs"][name]), known_members(&faults, path), "{name}");
    }
}

#[test]
fn the_schema_states_the_defaults_that_the_parser_uses() {
    let schema = schema();
    let member = |kind: &str, name: &str| {
        let nodes = schema["$defs"]["Node"]["oneOf"].as_array().unwrap();
        nodes.iter().find(|node| node["properties"]["type"]["const"] == kind).unwrap()["properties"][name].clone()
    };
    assert_eq!(member("Agent", "max_turns")["default"], 10);
    assert_eq!(member("Tool", "timeout_seconds")["default"], 30);
    assert_eq!(member("Tool", "retries")["default"], 2);
    assert_eq!(member("Input", "required")["default"], true);
    assert_eq!(member("Input", "role").get("default"), None);
}
