//! A definition, drawn: a list in lists, as the steps stand in each other.

use serde_json::Value;

/// More than a definition may have; a text that is drawn before it is checked may have more.
const MAX_PIECES: usize = 4000;
/// Characters of what a step says.
const SEEN: usize = 160;

/// What a template writes, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A list begins.
    Open,
    /// It ends.
    Close,
    /// A step begins; what is in it follows as a list.
    Begin(Step),
    /// It ends.
    End,
}

/// A node, or a branch of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// `Message`, or `if` of a branch.
    pub(crate) kind: String,
    /// Empty of a branch.
    pub(crate) id: String,
    /// Who does it.
    pub(crate) roles: Vec<String>,
    /// What is special about it.
    pub(crate) notes: Vec<String>,
    /// What it says, asks or calls.
    pub(crate) words: String,
}

/// The pieces of a definition's steps; none when there is no list of them.
pub(crate) fn pieces(definition: &Value) -> Vec<Piece> {
    let mut pieces = Vec::new();
    nodes(definition.get("children"), &mut pieces);
    pieces
}

/// Who takes part.
pub(crate) fn participants(definition: &Value) -> Vec<String> {
    named(definition.get("participants"))
}

/// What a run is started with.
pub(crate) fn inputs(definition: &Value) -> Vec<String> {
    named(definition.get("inputs"))
}

/// What is asked first.
pub(crate) fn first_question(pieces: &[Piece]) -> Option<&Step> {
    pieces.iter().find_map(|piece| match piece {
        Piece::Begin(step) if step.kind == "Input" => Some(step),
        _ => None,
    })
}

fn named(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|one| one.get("name")?.as_str().map(str::to_owned)).collect()
}

fn nodes(list: Option<&Value>, pieces: &mut Vec<Piece>) {
    let Some(list) = list.and_then(Value::as_array).filter(|list| !list.is_empty()) else { return };
    pieces.push(Piece::Open);
    for node in list {
        if pieces.len() >= MAX_PIECES {
            break;
        }
        pieces.push(Piece::Begin(step(node)));
        nodes(node.get("children"), pieces);
        branches(node, pieces);
        pieces.push(Piece::End);
    }
    pieces.push(Piece::Close);
}

fn branches(node: &Value, pieces: &mut Vec<Piece>) {
    let branch = |kind: &str, words: String| Piece::Begin(Step { kind: kind.to_owned(), words, ..Step::default() });
    let list = node.get("branches").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let otherwise = node.get("else").and_then(Value::as_array).filter(|list| !list.is_empty());
    if list.is_empty() && otherwise.is_none() {
        return;
    }
    pieces.push(Piece::Open);
    for one in list {
        pieces.push(branch("if", condition(one.get("when").unwrap_or(&Value::Null))));
        nodes(one.get("children"), pieces);
        pieces.push(Piece::End);
    }
    if otherwise.is_some() {
        pieces.push(branch("else", String::new()));
        nodes(node.get("else"), pieces);
        pieces.push(Piece::End);
    }
    pieces.push(Piece::Close);
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn cut(text: &str) -> String {
    if text.chars().count() <= SEEN { text.to_owned() } else { text.chars().take(SEEN).chain(['…']).collect() }
}

fn step(node: &Value) -> Step {
    let get = |name: &str| node.get(name).map(text);
    let kind = get("type").unwrap_or_default();
    let mut roles: Vec<String> = get("role").into_iter().collect();
    roles.extend(node.get("to").and_then(Value::as_array).into_iter().flatten().map(text));
    let mut notes = Vec::new();
    let words = match kind.as_str() {
        "Message" => get("text"),
        "Input" => {
            notes.push(get("input_type").unwrap_or_else(|| "text".to_owned()));
            let options = node.get("options").and_then(Value::as_array).map_or(0, Vec::len);
            if options > 0 {
                notes.push(format!("{options} options"));
            }
            get("prompt")
        }
        "Agent" => {
            notes.extend(get("bot"));
            notes.extend(get("max_turns").map(|turns| format!("{turns} turns at most")));
            get("prompt")
        }
        "Tool" => {
            notes.extend(get("connection"));
            get("url").map(|url| format!("{} {url}", get("method").unwrap_or_else(|| "GET".to_owned())))
        }
        "Loop" => {
            notes.extend(get("max_iterations").map(|rounds| format!("{rounds} rounds at most")));
            let said = |name: &str| node.get(name).map(|when| format!("{name} {}", condition(when)));
            get("times").map(|times| format!("{times} times")).or_else(|| said("while")).or_else(|| said("until"))
        }
        "Wait" => get("seconds").map(|seconds| format!("{seconds} seconds")),
        _ => {
            notes.extend(get("ui").map(|_| "one form".to_owned()));
            get("title")
        }
    };
    if node.get("required") == Some(&Value::Bool(false)) || node.get("optional") == Some(&Value::Bool(true)) {
        notes.push("optional".to_owned());
    }
    Step { kind, id: get("id").unwrap_or_default(), roles, notes, words: cut(&words.unwrap_or_default()) }
}

/// A condition, as people say it.
fn condition(value: &Value) -> String {
    let list = |name: &str| value.get(name).and_then(Value::as_array);
    let joined = |list: &Vec<Value>, with: &str| {
        let parts: Vec<String> = list.iter().map(condition).collect();
        if parts.len() == 1 { parts.concat() } else { format!("({})", parts.join(with)) }
    };
    if let Some(all) = list("all") {
        return joined(all, " and ");
    }
    if let Some(any) = list("any") {
        return joined(any, " or ");
    }
    if let Some(not) = value.get("not") {
        return format!("not {}", condition(not));
    }
    let side = |name: &str| value.get(name).map(text).unwrap_or_default();
    let op = match side("op").as_str() {
        "eq" => "=",
        "ne" => "≠",
        "gt" => ">",
        "ge" => "≥",
        "lt" => "<",
        "le" => "≤",
        "contains" => "contains",
        "in" => "in",
        "exists" => "exists",
        "empty" => "is empty",
        _ => "?",
    };
    cut(format!("{} {op} {}", side("left"), side("right")).trim())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Drawn with brackets.
    fn drawn(definition: &Value) -> String {
        let mut out = String::new();
        for piece in pieces(definition) {
            match piece {
                Piece::Open => out.push('['),
                Piece::Close => out.push(']'),
                Piece::Begin(step) => {
                    out.push_str(&format!(
                        "({} {} {}|{}|{}",
                        step.kind,
                        step.id,
                        step.words,
                        step.roles.join(","),
                        step.notes.join(",")
                    ));
                }
                Piece::End => out.push(')'),
            }
        }
        out
    }

    #[test]
    fn a_tree_stands_as_it_is_written() {
        let definition = json!({"type": "Workflow", "id": "w", "participants": [{"name": "p"}], "children": [
            {"type": "Input", "id": "score", "role": "p", "prompt": "How?", "input_type": "nps", "required": false},
            {"type": "Conditional", "id": "fork",
             "branches": [{"when": {"all": [{"left": "{{score}}", "op": "le", "right": 6}, {"left": "{{x}}", "op": "empty"}]},
                           "children": [{"type": "Message", "id": "sorry", "text": "Sorry", "to": ["p", "q"]}]}],
             "else": [{"type": "Wait", "id": "pause", "seconds": 5}]},
        ]});
        assert_eq!(
            drawn(&definition),
            "[(Input score How?|p|nps,optional)(Conditional fork ||[(if  ({{score}} ≤ 6 and {{x}} is empty)||\
             [(Message sorry Sorry|p,q|)])(else  ||[(Wait pause 5 seconds||)])])]"
        );
        assert_eq!(participants(&definition), ["p"]);
        assert_eq!(first_question(&pieces(&definition)).unwrap().words, "How?");
    }

    #[test]
    fn what_is_no_definition_is_drawn_as_far_as_it_goes() {
        for odd in [json!(null), json!([]), json!({"children": 7}), json!({"children": []}), json!("text")] {
            assert!(pieces(&odd).is_empty(), "{odd}");
        }
        assert_eq!(drawn(&json!({"children": [7, {"branches": 3, "else": {}}]})), "[(  ||)(  ||)]");
        let many: Vec<Value> = (0..9000).map(|_| json!({"children": [1]})).collect();
        assert!(pieces(&json!({"children": many})).len() <= MAX_PIECES + 10);
    }

    #[test]
    fn conditions_are_said_in_words() {
        let said = |value: Value| condition(&value);
        assert_eq!(said(json!({"not": {"left": "{{a}}", "op": "exists"}})), "not {{a}} exists");
        assert_eq!(said(json!({"any": [{"left": 1, "op": "in", "right": [1, 2]}]})), "1 in [1,2]");
        assert_eq!(said(json!({})), "?");
    }
}
