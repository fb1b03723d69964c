//! What no source file may hold, and how long it may be.

use crate::tree::{Source, assert_none, sources};

/// The wall. A file that nears it wants a second room.
const LINES: usize = 500;

/// What is left over, switched off or silenced; in two halves, so that this file does not find itself.
const LEFTOVERS: [(&str, &str); 8] = [
    ("#[al", "low("),
    ("#![al", "low("),
    ("#[ign", "ore"),
    ("to", "do!("),
    ("unimpl", "emented!("),
    ("TO", "DO"),
    ("FIX", "ME"),
    ("X", "XX"),
];

/// Folders that exist on one machine only.
const PLACES: [(&str, &str); 4] = [("/ho", "me/"), ("/ro", "ot/"), ("/wo", "rk/"), ("/Us", "ers/")];

fn too_long(sources: &[Source]) -> Vec<String> {
    let lines = |source: &Source| source.text.lines().count();
    let long = sources.iter().filter(|source| source.is_code() && lines(source) > LINES);
    long.map(|source| format!("{}: {} lines", source.path, lines(source))).collect()
}

/// Where `needle` stands as a word of its own: letters, digits and underscores beside it make it another word.
fn stands_in(line: &str, needle: &str) -> bool {
    let word = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(needle).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + needle.len()..].chars().next();
        let edge =
            |inside: Option<char>, outside: Option<char>| !(inside.is_some_and(word) && outside.is_some_and(word));
        edge(needle.chars().next(), before) && edge(needle.chars().next_back(), after)
    })
}

fn leftovers(sources: &[Source]) -> Vec<String> {
    let needles = LEFTOVERS.map(|(head, tail)| [head, tail].concat());
    let mut problems = Vec::new();
    for source in sources.iter().filter(|source| source.is_code()) {
        for (number, line) in source.text.lines().enumerate() {
            for needle in needles.iter().filter(|needle| stands_in(line, needle)) {
                problems.push(format!("{}:{}: {needle}", source.path, number + 1));
            }
        }
    }
    problems
}

/// A place counts where a path begins: behind a letter it is part of an address or of another path.
fn places(sources: &[Source]) -> Vec<String> {
    let needles = PLACES.map(|(head, tail)| [head, tail].concat());
    let mut problems = Vec::new();
    for source in sources {
        for (number, line) in source.text.lines().enumerate() {
            let begins = |at: usize| {
                let before = line[..at].chars().next_back();
                before.is_none_or(|letter| !letter.is_alphanumeric() && !"_-.~/}*".contains(letter))
            };
            for needle in &needles {
                if line.match_indices(needle.as_str()).any(|(at, _)| begins(at)) {
                    problems.push(format!("{}:{}: {needle}", source.path, number + 1));
                }
            }
        }
    }
    problems
}

#[test]
fn no_file_is_longer_than_the_wall() {
    assert_none(&too_long(&sources()), "Longer than 500 lines. Give the second concern a file of its own:");
}

#[test]
fn nothing_is_left_over_switched_off_or_silenced() {
    let advice = "Finish it, or say why with #[expect(lint, reason = \"…\")]:";
    assert_none(&leftovers(&sources()), advice);
}

#[test]
fn no_path_of_one_machine_is_in_the_tree() {
    assert_none(
        &places(&sources()),
        "A path that exists on one machine. Take it from an argument or a temporary directory:",
    );
}

#[test]
fn planted_leftovers_places_and_long_files_are_found() {
    let planted = |text: &str| [Source::planted("a/b.rs", text)];
    let left = |head: &str, tail: &str| leftovers(&planted(&[head, tail].concat())).len();
    assert_eq!(left("// TO", "DO: later"), 1);
    assert_eq!(left("    #[al", "low(dead_code)]"), 1);
    assert_eq!(left("#[ign", "ore = \"slow\"]"), 1);
    assert_eq!(left("let sTO", "DOs = 1;"), 0, "part of another word");
    let place = |text: &[&str]| places(&planted(&text.concat())).len();
    assert_eq!(place(&["\"/ho", "me/ada/x\""]), 1);
    assert_eq!(place(&["https://example.com/ho", "me/x"]), 0, "part of an address");
    assert_eq!(too_long(&planted(&"x\n".repeat(501))), ["a/b.rs: 501 lines"]);
    assert!(too_long(&planted(&"x\n".repeat(500))).is_empty());
    assert!(too_long(&[Source::planted("Cargo.lock", &"x\n".repeat(501))]).is_empty());
    assert!(!too_long(&[Source::planted("bench/run", &format!("#!/bin/sh\n{}", "x\n".repeat(501)))]).is_empty());
}
