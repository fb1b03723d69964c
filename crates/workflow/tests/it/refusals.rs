//! What the parser refuses, where, and in which words.

use serde_json::{Value, json};
use workflow::Definition;

fn with(children: &Value) -> Value {
    json!({
        "type": "Workflow",
        "id": "root",
        "participants": [{"name": "ann"}, {"name": "bob"}],
        "inputs": [{"name": "given"}],
        "children": children,
    })
}

/// The faults of a definition, as lines.
fn lines(definition: &Value) -> Vec<String> {
    let faults = Definition::parse(definition).expect_err("it should be refused");
    faults.iter().map(|f| format!("{} [{}] {}", f.path, f.node.as_deref().unwrap_or("-"), f.message)).collect()
}

/// The one fault of a node, without its place.
fn fault(node: &Value) -> String {
    let lines = lines(&with(&json!([node])));
    assert_eq!(lines.len(), 1, "{lines:#?}");
    lines[0].split_once("] ").unwrap().1.to_owned()
}

#[test]
fn all_faults_are_reported_at_once_with_their_places() {
    let definition = with(&json!([
        {"type": "Message", "id": "Hello", "text": "{{nobody}}", "to": ["eve"]},
        {"type": "Input", "id": "ask", "prompt": "?"},
        {"type": "Input", "id": "ask", "role": "ann", "prompt": "?", "input_type": "slider", "zzz": 1},
        {"type": "Conditional", "id": "con", "branches": [{"when": {"left": 1, "op": "eq"}, "children": []}]},
        {"type": "Jump", "id": "jump"},
        7,
    ]));
    assert_eq!(
        lines(&definition),
        [
            "/children/0/id [-] Write the id with a small letter and then small letters, digits or `_`, at most 64.",
            "/children/0/to/0 [-] Write one of the declared roles: ann, bob.",
            "/children/1 [ask] Add `role`. Write one of the declared roles: ann, bob.",
            "/children/2/id [ask] Choose another id: `ask` is taken.",
            "/children/2/input_type [ask] Write `input_type` as one of: text, textarea, select, multiselect, rating, nps, boolean, number, date, email.",
            "/children/2/zzz [ask] Take it out: an Input has type, id, role, prompt, input_type, options, required, min, max, min_length, max_length and nothing else.",
            "/children/3/branches/0/when [con] Add `right`, what `left` is compared with; for null use `empty` or `exists`.",
            "/children/4/type [jump] Write `type` as Workflow, Message, Input, Agent, Conditional, Loop, Tool or Wait.",
            "/children/5 [-] Write a node as an object.",
            "/children/0/text [-] `{{nobody}}`: No node has the id `nobody`; correct it or add the node.",
        ]
    );
}

#[test]
fn ids_that_mean_something_in_templates_are_refused() {
    for id in ["input", "state", "loop", "root"] {
        assert!(fault(&json!({"type": "Wait", "id": id, "seconds": 1})).starts_with("Choose another id"), "{id}");
    }
    for id in ["", "1a", "a-b", "a.b", "A", "é", &"a".repeat(65)] {
        assert!(fault(&json!({"type": "Wait", "id": id, "seconds": 1})).starts_with("Write the id"), "{id}");
    }
}

#[test]
fn references_must_lead_to_a_result() {
    let nodes = |text: &str| {
        with(&json!([
            {"type": "Message", "id": "say", "text": text},
            {"type": "Input", "id": "ask", "role": "ann", "prompt": "?"},
            {"type": "Agent", "id": "bot", "bot": "b", "prompt": "?"},
            {"type": "Tool", "id": "tool", "url": "https://a.example/"},
            {"type": "Loop", "id": "rounds", "times": 1, "children": [
                {"type": "Message", "id": "inside", "text": "{{loop.index}}"},
            ]},
        ]))
    };
    for good in ["{{ask}} {{state.ask}} {{bot.text}} {{tool.body.x.0}} {{input.given}} {{tool}}", "no { braces }}"] {
        assert!(Definition::parse(&nodes(good)).is_ok(), "{good}");
    }
    for (bad, word) in [
        ("{{say}}", "has no result"),
        ("{{rounds}}", "has no result"),
        ("{{state.gone}}", "No node"),
        ("{{input.gone}}", "Declare `gone`"),
        ("{{input}}", "behind a dot"),
        ("{{bot.topic}}", "has text and no `topic`"),
        ("{{tool.headers}}", "no `headers`"),
        ("{{ask.x}}", "one value without members"),
        ("{{loop.index}}", "inside a Loop"),
        ("{{ask|upper}}", "filters and code"),
    ] {
        let lines = lines(&nodes(bad));
        assert!(
            lines.len() == 1 && lines[0].starts_with("/children/0/text [say]") && lines[0].contains(word),
            "{lines:?}"
        );
    }
}

#[test]
fn references_are_checked_wherever_templates_stand() {
    let definition = with(&json!([
        {"type": "Input", "id": "ask", "role": "ann", "prompt": "{{x}}"},
        {"type": "Agent", "id": "bot", "bot": "b", "prompt": "{{x}}", "instructions": "{{x}}"},
        {"type": "Tool", "id": "tool", "method": "POST", "url": "https://a.example/{{x}}", "headers": {"a": "{{x}}"},
            "body": {"a/b": ["{{x}}"]}},
        {"type": "Loop", "id": "one", "times": "{{x}}", "children": []},
        {"type": "Loop", "id": "two", "while": {"not": {"left": "{{x}}", "op": "empty"}}, "children": []},
        {"type": "Loop", "id": "three", "until": {"all": [{"left": 1, "op": "in", "right": "{{x}}"}]}, "children": []},
    ]));
    let places: Vec<String> = Definition::parse(&definition).unwrap_err().into_iter().map(|fault| fault.path).collect();
    assert_eq!(
        places,
        [
            "/children/0/prompt",
            "/children/1/prompt",
            "/children/1/instructions",
            "/children/2/url",
            "/children/2/headers/a",
            "/children/2/body/a~1b/0",
            "/children/3/times",
            "/children/4/while/not/left",
            "/children/5/until/all/0/right",
        ]
    );
}

#[test]
fn a_tool_cannot_carry_secrets_or_choose_its_host_at_run_time() {
    for url in [
        "{{input.given}}",
        "https://{{input.given}}/",
        "https://a.example{{input.given}}/",
        "https://a.example",
        "https://user:pass@a.example/",
        "ftp://a.example/",
        "file:///etc/passwd",
    ] {
        assert!(fault(&json!({"type": "Tool", "id": "t", "url": url})).starts_with("Begin with https://"), "{url}");
    }
    for header in ["Authorization", "cookie", "X-API-Key", "Host"] {
        let node = json!({"type": "Tool", "id": "t", "url": "https://a.example/", "headers": {header: "x"}});
        assert!(fault(&node).contains("connection"), "{header}");
    }
    let node = json!({"type": "Tool", "id": "t", "url": "https://a.example/", "headers": {"a\r\nb": "x"}});
    assert!(fault(&node).starts_with("Name the header"));
    let node = json!({"type": "Tool", "id": "t", "url": "https://a.example/", "body": 1});
    assert!(fault(&node).starts_with("Take `body` out"));
}

#[test]
fn members_that_do_not_belong_together_are_refused() {
    let input = |more: Value| {
        let mut node = json!({"type": "Input", "id": "i", "role": "ann", "prompt": "?"});
        node.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        node
    };
    for (node, words) in [
        (input(json!({"options": [{"value": "a"}]})), "Take `options` out"),
        (input(json!({"input_type": "select"})), "Add `options`"),
        (input(json!({"input_type": "select", "options": [{"value": "a"}, {"value": "a"}]})), "another value"),
        (input(json!({"min": 1})), "Take `min` out"),
        (input(json!({"input_type": "nps", "max": 5})), "Take `max` out"),
        (input(json!({"input_type": "number", "min": 2, "max": 1})), "Make `min` at most"),
        (input(json!({"input_type": "rating", "max": 11})), "from 2 to 10"),
        (input(json!({"min_length": 5, "max_length": 4})), "Make `min_length` at most"),
        (input(json!({"input_type": "date", "max_length": 4})), "Take `max_length` out"),
        (input(json!({"prompt": "  "})), "Write something"),
        (json!({"type": "Agent", "id": "a", "bot": "b"}), "Add `prompt`"),
        (json!({"type": "Agent", "id": "a", "bot": "b", "prompt": "?", "until": "max_turns"}), "Take `until` out"),
        (json!({"type": "Agent", "id": "a", "bot": "b", "role": "eve"}), "one of the declared roles"),
        (json!({"type": "Loop", "id": "l", "children": []}), "exactly one of"),
        (
            json!({"type": "Loop", "id": "l", "times": 1, "until": {"left": 1, "op": "exists"}, "children": []}),
            "exactly one",
        ),
        (json!({"type": "Loop", "id": "l", "times": 101, "children": []}), "from 0 to 100"),
        (json!({"type": "Wait", "id": "w", "seconds": 2_592_001}), "from 1 to 2592000"),
        (json!({"type": "Conditional", "id": "c", "branches": []}), "at least one branch"),
        (json!({"type": "Message", "id": "m", "text": "a", "to": []}), "at least one role"),
        (json!({"type": "Workflow", "id": "f", "ui": "form", "children": []}), "at least one Input"),
        (
            json!({"type": "Workflow", "id": "f", "ui": "form", "children": [
                {"type": "Input", "id": "x", "role": "ann", "prompt": "?"},
                {"type": "Input", "id": "y", "role": "bob", "prompt": "?"},
            ]}),
            "the same `role`",
        ),
    ] {
        let sentence = fault(&node);
        assert!(sentence.contains(words), "{sentence}");
    }
}

#[test]
fn an_extract_is_a_small_json_schema_and_nothing_more() {
    let agent = |extract: Value| json!({"type": "Agent", "id": "a", "bot": "b", "prompt": "?", "extract": extract});
    let good = json!({"type": "object", "properties": {
        "topic": {"type": "string", "enum": ["a", "b"], "description": "What it is about"},
        "tags": {"type": "array", "items": {"type": "integer"}},
        "sure": {"type": "boolean"},
    }, "required": ["topic"]});
    assert!(Definition::parse(&with(&json!([agent(good)]))).is_ok());
    for (extract, words) in [
        (json!({"type": "string", "properties": {"a": {"type": "string"}}}), "one of: object"),
        (json!({"type": "object", "properties": {}}), "at least one member"),
        (json!({"type": "object", "properties": {"a": {"type": "object"}}}), "one of: string, integer"),
        (json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}}), "Take it out"),
        (json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["b"]}), "a member of"),
        (
            json!({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "array"}}}}),
            "one of: string, integer, number, boolean.",
        ),
    ] {
        let sentence = fault(&agent(extract));
        assert!(sentence.contains(words), "{sentence}");
    }
}

#[test]
fn size_depth_and_number_of_nodes_are_bounded() {
    let wait = |at: usize| json!({"type": "Wait", "id": format!("w{at}"), "seconds": 1});
    let many = |count: usize| with(&(0..count).map(wait).collect());
    assert!(Definition::parse(&many(499)).is_ok());
    assert!(lines(&many(500)).iter().any(|line| line.contains("at most 500 nodes")));
    let with_form = |count: usize| {
        let asks: Vec<Value> =
            (0..5).map(|at| json!({"type": "Input", "id": format!("i{at}"), "role": "ann", "prompt": "?"})).collect();
        let form = json!({"type": "Workflow", "id": "f", "ui": "form", "children": asks});
        with(&(0..count).map(wait).chain([form]).collect())
    };
    assert!(Definition::parse(&with_form(493)).is_ok());
    assert!(lines(&with_form(494)).iter().any(|line| line.contains("at most 500 nodes")));
    let nested = |levels: usize| {
        let inner = |node: Value, at: usize| json!({"type": "Workflow", "id": format!("g{at}"), "children": [node]});
        with(&json!([(0..levels).fold(wait(0), inner)]))
    };
    assert!(Definition::parse(&nested(18)).is_ok());
    assert!(lines(&nested(19)).iter().any(|line| line.contains("at most 20 deep")));
    let large = with(&json!([{"type": "Message", "id": "m", "text": "x".repeat(300_000)}]));
    assert!(lines(&large)[0].contains("at most 262144 bytes"));
    let deep = (0..11).fold(json!({"left": 1, "op": "exists"}), |inner, _| json!({"not": inner}));
    let node = json!({"type": "Conditional", "id": "c", "branches": [{"when": deep, "children": []}]});
    assert!(fault(&node).contains("at most 10 deep"));
    let worst: Vec<Value> = (0..400).map(|_| json!({"type": "Message"})).collect();
    assert_eq!(lines(&with(&worst.into())).len(), 100, "faults are capped");
}

#[test]
fn participants_and_inputs_are_checked_and_known_afterwards() {
    let definition = json!({
        "type": "Workflow",
        "id": "root",
        "participants": [{"name": "ann"}, {"name": "ann"}, {"name": "Bob"}, {"name": "eve", "bind": "mail"}],
        "inputs": [{"name": "x"}, {"name": "x"}, {"name": "y", "type": "map"}],
        "children": [],
    });
    assert_eq!(lines(&definition).len(), 5, "{:#?}", lines(&definition));
    let good = Definition::parse(&with(&json!([
        {"type": "Agent", "id": "a", "bot": "bot_2", "prompt": "?"},
        {"type": "Tool", "id": "t", "url": "https://a.example/", "connection": "conn_1"},
    ])))
    .unwrap();
    assert!(good.declares_role("ann") && !good.declares_role("eve"));
    assert_eq!(good.bots().collect::<Vec<_>>(), ["bot_2"]);
    assert_eq!(good.connections().collect::<Vec<_>>(), ["conn_1"]);
    assert_eq!(good.check_input(&json!({"given": "a\nb"})).unwrap().len(), 1);
    let faults = good.check_input(&json!({"other": 1})).unwrap_err();
    assert_eq!(faults.iter().map(|fault| fault.field.as_str()).collect::<Vec<_>>(), ["given", "other"]);
    assert!(good.check_input(&Value::Null).is_err(), "`given` is required");
}
