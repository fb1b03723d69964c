//! SQL is written in the store and nowhere else, so that every statement can be read, and counted, in one place.

use crate::tree::{Source, assert_none, sources};

/// Where statements live.
const HOME: &str = "crates/store/";

/// Files outside that hold a statement all the same. The list only gets shorter.
/// These are end-to-end tests that look at rows which no operation shows, or put them back to where a crash leaves them.
const ELSEWHERE: &[&str] = &[
    "crates/chatelaine/tests/e2e/audit_files.rs",
    "crates/chatelaine/tests/e2e/channels.rs",
    "crates/chatelaine/tests/e2e/events.rs",
    "crates/chatelaine/tests/e2e/export.rs",
    "crates/chatelaine/tests/e2e/idempotency.rs",
    "crates/chatelaine/tests/e2e/key_events.rs",
    "crates/chatelaine/tests/e2e/webhook_reach.rs",
];

/// Words that make a string a statement when they stand in it in this order.
const STATEMENTS: [&[&str]; 5] =
    [&["SELECT", "FROM"], &["INSERT", "INTO"], &["UPDATE", "SET"], &["DELETE", "FROM"], &["CREATE", "TABLE"]];

/// The string literals of a Rust file. Comments and characters are stepped over, escapes stay as they are written.
fn literals(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let at = |index: usize| letters.get(index).copied().unwrap_or('\0');
    let mut found = Vec::new();
    let mut index = 0;
    while index < letters.len() {
        match at(index) {
            '/' if at(index + 1) == '/' => {
                while index < letters.len() && at(index) != '\n' {
                    index += 1;
                }
            }
            '/' if at(index + 1) == '*' => {
                while index < letters.len() && !(at(index) == '*' && at(index + 1) == '/') {
                    index += 1;
                }
            }
            // 'x' and '\x' are characters; anything else behind a quote is a lifetime.
            '\'' if at(index + 1) == '\\' => index += 3,
            '\'' if at(index + 2) == '\'' => index += 2,
            'r' if !(index > 0 && at(index - 1).is_alphanumeric()) && matches!(at(index + 1), '"' | '#') => {
                let hashes = letters[index + 1..].iter().take_while(|letter| **letter == '#').count();
                if at(index + 1 + hashes) == '"' {
                    let begin = index + 2 + hashes;
                    let closes = |end: usize| at(end) == '"' && (1..=hashes).all(|hash| at(end + hash) == '#');
                    let end = (begin..letters.len()).find(|end| closes(*end)).unwrap_or(letters.len());
                    found.push(letters[begin..end].iter().collect());
                    index = end + hashes;
                }
            }
            '"' => {
                let begin = index + 1;
                index = begin;
                while index < letters.len() && at(index) != '"' {
                    index += if at(index) == '\\' { 2 } else { 1 };
                }
                found.push(letters[begin..index.min(letters.len())].iter().collect());
            }
            _ => {}
        }
        index += 1;
    }
    found
}

/// Whether the words of a statement stand in a literal, in capitals and in order.
fn is_statement(literal: &str) -> bool {
    let words: Vec<&str> = literal.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
    STATEMENTS.iter().any(|statement| {
        let mut rest = words.iter();
        statement.iter().all(|wanted| rest.any(|word| word == wanted))
    })
}

fn with_statements(sources: &[Source]) -> Vec<String> {
    let outside = sources.iter().filter(|source| source.path.ends_with(".rs") && !source.path.starts_with(HOME));
    outside
        .filter(|source| literals(&source.text).iter().any(|literal| is_statement(literal)))
        .map(|source| source.path.clone())
        .collect()
}

#[test]
fn sql_is_written_in_the_store_alone() {
    let found = with_statements(&sources());
    let new: Vec<String> = found.iter().filter(|path| !ELSEWHERE.contains(&path.as_str())).cloned().collect();
    assert_none(&new, "A statement outside crates/store. Give the store a method and call it:");
    let gone: Vec<String> = ELSEWHERE
        .iter()
        .filter(|path| !found.iter().any(|other| other == *path))
        .map(|path| (*path).to_owned())
        .collect();
    assert_none(&gone, "No statement there any more. Take the file out of ELSEWHERE:");
}

#[test]
fn a_planted_statement_is_found_and_prose_is_not() {
    let select = ["SEL", "ECT id FR", "OM keys"].concat();
    let found = |text: String| !with_statements(&[Source::planted("crates/api/src/x.rs", &text)]).is_empty();
    assert!(found(format!("fn x<'a>() {{ let c = '\"'; q(\"{select}\") }}")), "behind a lifetime and a quoted quote");
    assert!(found(format!("q(r#\"a \"quoted\" word; {select}\"#)")), "in a raw string");
    assert!(found(format!("q(\"\\\n   {}\\\n {}\")", "SEL\u{45}CT id", "FROM keys")), "over two lines");
    assert!(found(["q(\"INS", "ERT INTO keys\")"].concat()));
    assert!(!found(format!("// {select}\n/* \"{select}\" */ q(\"x\")")), "a comment");
    assert!(!found("q(\"Select a bot from the list, then update the set.\")".to_owned()), "prose");
    assert!(with_statements(&[Source::planted("crates/store/src/x.rs", &format!("q(\"{select}\")"))]).is_empty());
}
