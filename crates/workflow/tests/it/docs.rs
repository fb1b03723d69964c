//! The examples in docs/workflows.md are definitions, or nodes of one.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use workflow::Definition;

const DOCUMENT: &str = include_str!("../../../../docs/workflows.md");

/// The blocks of JSON, in order.
fn blocks() -> Vec<Value> {
    let mut blocks = Vec::new();
    for block in DOCUMENT.split("\n```json\n").skip(1) {
        let (text, _) = block.split_once("\n```").expect("the block ends");
        blocks.push(serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in\n{text}")));
    }
    blocks
}

/// A definition around a node; the document's nodes speak of `case`, a customer and a reviewer.
fn around(node: &Value) -> Value {
    json!({
        "type": "Workflow", "id": "around", "participants": [{"name": "customer"}, {"name": "reviewer"}],
        "children": [{"type": "Input", "id": "case", "role": "customer", "prompt": "What is it about?"}, node],
    })
}

#[test]
fn every_example_in_the_document_can_run() {
    let mut kinds = BTreeSet::new();
    for block in blocks() {
        kinds.insert(block["type"].as_str().unwrap().to_owned());
        let whole = if block.get("participants").is_some() { block.clone() } else { around(&block) };
        Definition::parse(&whole).unwrap_or_else(|faults| panic!("{faults:#?}\n{block:#}"));
    }
    let all = ["Agent", "Conditional", "Input", "Loop", "Message", "Tool", "Wait", "Workflow"];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), all, "a type of node is not shown");
}

#[test]
fn the_document_names_every_event_and_the_limits_as_they_are() {
    let schema = schemars::schema_for!(workflow::EventKind).to_value().to_string();
    let mut names = 0;
    for kind in schema.split('"').filter(|word| word.split_once('.').is_some_and(|(a, b)| is_word(a) && is_word(b))) {
        assert!(DOCUMENT.contains(&format!("`{kind}`")), "{kind}");
        names += 1;
    }
    assert_eq!(names, 14);
    let limits = [
        format!(
            "{} nodes, {} levels, {} KiB",
            workflow::MAX_NODES,
            workflow::MAX_DEPTH,
            workflow::MAX_DEFINITION_BYTES / 1024
        ),
        format!("what a tool answers {} KiB", workflow::MAX_TOOL_BODY_BYTES / 1024),
        format!("up to {} characters", workflow::MAX_SAY_CHARACTERS),
    ];
    for limit in limits {
        assert!(DOCUMENT.contains(&limit), "{limit}");
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase())
}
