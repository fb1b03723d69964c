//! Definitions of workflows at the command line: what is wrong with one, and the examples. No server is asked.

use std::{fs::File, io::Read as _, path::Path};

use serde_json::{Value, json};
use workflow::{Definition, Fault};

use crate::cli::{
    Failure, Kind, Terminal,
    args::{Workflow, WorkflowAction},
    keys::show::plain,
};

/// The most that is read: a definition is smaller, and with spaces between still smaller than this.
const MAX_BYTES: usize = 4 * 1024 * 1024;

pub(super) fn run(arguments: Workflow, terminal: &Terminal) -> Result<(), Failure> {
    match arguments.action {
        WorkflowAction::Check { file, json } => check(&file, json, terminal),
        WorkflowAction::Example { name: None } => {
            for (name, _) in workflow::examples() {
                terminal.out(name);
            }
            Ok(())
        }
        WorkflowAction::Example { name: Some(wanted) } => {
            let (_, text) = workflow::examples()
                .into_iter()
                .find(|(name, _)| *name == wanted)
                .ok_or_else(|| Failure::new(Kind::NotFound, "NOT_FOUND", format!("there is no example `{wanted}`")))?;
            terminal.out(text.trim_end());
            Ok(())
        }
    }
}

fn check(file: &Path, as_json: bool, terminal: &Terminal) -> Result<(), Failure> {
    let (name, text) = read(file, terminal)?;
    let invalid = |message| Failure::new(Kind::Failure, "VALIDATION_FAILED", message);
    let value: Value = serde_json::from_str(&text).map_err(|error| invalid(format!("{name} is no JSON: {error}")))?;
    match Definition::parse(&value) {
        Ok(definition) => {
            terminal.out(if as_json { json!({"faults": []}).to_string() } else { found(&name, &definition) });
            Ok(())
        }
        Err(faults) => {
            if as_json {
                terminal.out(visible(&json!({ "faults": faults }).to_string()));
            } else {
                for fault in &faults {
                    terminal.out(said(&name, fault));
                }
            }
            let count = if faults.len() == 1 { "one fault".to_owned() } else { format!("{} faults", faults.len()) };
            Err(invalid(format!("{name} cannot run: {count}")))
        }
    }
}

fn read(file: &Path, terminal: &Terminal) -> Result<(String, String), Failure> {
    if file == Path::new("-") {
        return Ok(("standard input".to_owned(), terminal.read_all(MAX_BYTES)?));
    }
    let name = plain(&file.display().to_string());
    let mut text = String::new();
    let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    match File::open(file).and_then(|file| file.take(most).read_to_string(&mut text)) {
        Ok(_) if text.len() <= MAX_BYTES => Ok((name, text)),
        Ok(_) => Err(Failure::new(Kind::Failure, "FAILED", format!("{name} is too large for a definition"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Failure::new(Kind::NotFound, "NOT_FOUND", format!("there is no file {name}")))
        }
        Err(error) => Err(Failure::new(Kind::Failure, "FAILED", format!("{name}: {error}"))),
    }
}

fn said(name: &str, fault: &Fault) -> String {
    let place = if fault.path.is_empty() { "/" } else { &fault.path };
    // All of it may be a stranger's words.
    plain(&match &fault.node {
        Some(node) => format!("{name}: {place}: in the node `{node}`: {}", fault.message),
        None => format!("{name}: {place}: {}", fault.message),
    })
}

/// JSON in which what could steer a terminal is written out: its writer leaves the later ones as they are.
fn visible(json: &str) -> String {
    json.chars().map(|c| if c.is_control() { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() }).collect()
}

/// What it is, and what only the server can look for.
fn found(name: &str, definition: &Definition) -> String {
    let roles: Vec<_> = definition.participants().iter().map(|one| one.name.as_str()).collect();
    let who = if roles.is_empty() { "nobody".to_owned() } else { roles.join(", ") };
    let mut text = plain(&format!("{name} can run: `{}`, participants: {who}", definition.id()));
    let elsewhere: Vec<_> = definition.bots().chain(definition.connections()).collect();
    if !elsewhere.is_empty() {
        text.push_str(&format!("\nonly the server knows whether these exist: {}", plain(&elsewhere.join(", "))));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::tests::Captured;

    fn said_to(action: WorkflowAction, input: &str) -> (Result<(), Failure>, String) {
        let out = Captured::default();
        let terminal = Terminal::of_streams(std::io::Cursor::new(input.to_owned()), out.clone(), std::io::sink());
        let outcome = run(Workflow { action }, &terminal);
        let text = out.text();
        (outcome, text)
    }

    fn checked(input: &str, json: bool) -> (Result<(), Failure>, String) {
        said_to(WorkflowAction::Check { file: "-".into(), json }, input)
    }

    #[test]
    fn every_example_is_printed_and_passes_the_check() {
        let (outcome, names) = said_to(WorkflowAction::Example { name: None }, "");
        outcome.unwrap();
        assert_eq!(names.lines().count(), workflow::examples().len());
        for name in names.lines() {
            let (outcome, text) = said_to(WorkflowAction::Example { name: Some(name.to_owned()) }, "");
            outcome.unwrap();
            let (outcome, verdict) = checked(&text, false);
            outcome.unwrap();
            assert!(verdict.starts_with("standard input can run: "), "{verdict}");
            assert_eq!(verdict.contains("bot_example"), text.contains("bot_example"), "{verdict}");
            assert_eq!(checked(&text, true).1.trim(), "{\"faults\":[]}");
        }
        let (outcome, _) = said_to(WorkflowAction::Example { name: Some("none".to_owned()) }, "");
        assert_eq!(outcome.unwrap_err().kind, Kind::NotFound);
    }

    #[test]
    fn each_fault_is_told_with_its_place_and_its_node() {
        let wrong = r#"{"type": "Workflow", "id": "w", "children": [
            {"type": "Input", "id": "score", "prompt": "How?"}, {"type": "Message", "id": "m", "text": "{{scor}}"}]}"#;
        let (outcome, text) = checked(wrong, false);
        let failure = outcome.unwrap_err();
        assert!(failure.kind == Kind::Failure && failure.message.contains("2 faults"), "{}", failure.message);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("standard input: /children/0") && lines[0].contains("`score`"), "{text}");
        assert!(lines[1].starts_with("standard input: /children/1/text: in the node `m`: "), "{text}");
        let (outcome, text) = checked(wrong, true);
        let faults: Value = serde_json::from_str(&text).unwrap();
        assert!(outcome.is_err() && faults["faults"][1]["path"] == "/children/1/text", "{text}");
    }

    #[test]
    fn what_is_no_json_is_told_with_its_line() {
        let (outcome, text) = checked("{\n  \"type\" \"Workflow\"\n}", false);
        let failure = outcome.unwrap_err();
        assert!(text.is_empty() && failure.message.contains("line 2"), "{}", failure.message);
        let (outcome, _) = said_to(WorkflowAction::Check { file: "/nowhere/a.json".into(), json: false }, "");
        assert_eq!(outcome.unwrap_err().kind, Kind::NotFound);
        let (outcome, _) = checked(&" ".repeat(MAX_BYTES + 1), false);
        assert!(outcome.unwrap_err().message.contains("larger"), "it is not read to its end");
    }

    #[test]
    fn a_stranger_s_file_cannot_steer_the_terminal() {
        let wrong = json!({"type": "Workflow", "id": "w", "children": [
            {"type": "Message", "id": "m", "text": "{{x\u{9b}2J}}"},
            {"type": "Message", "id": "n", "text": "Hello", "a\u{1b}[2J": 1},
        ]});
        for json in [false, true] {
            let (outcome, text) = checked(&wrong.to_string(), json);
            let failure = outcome.unwrap_err();
            assert!(text.contains("a[2J") != json && text.contains("2J}}"), "it is told: {text}");
            assert!(!text.trim_end().chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
            assert!(!failure.message.chars().any(char::is_control), "{:?}", failure.message);
        }
    }

    #[test]
    fn no_more_of_a_file_is_read_than_a_definition_may_have() {
        let (outcome, _) = said_to(WorkflowAction::Check { file: "/dev/zero".into(), json: false }, "");
        assert!(outcome.unwrap_err().message.contains("too large"));
    }
}
