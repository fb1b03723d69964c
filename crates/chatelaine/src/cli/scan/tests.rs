use std::{io::Write as _, path::Path};

use ambient::SeededRandom;
use credential::{Environment as KeyEnvironment, Family};
use serde_json::Value;

use super::*;
use crate::cli::terminal::tests::Captured;

fn key() -> String {
    let random = SeededRandom::new(3);
    Parser::default().mint(Family::Secret, KeyEnvironment::Live, &random).unwrap().expose().to_owned()
}

fn scan(paths: &[&Path], json: bool, input: &str) -> (Result<(), Failure>, String, String) {
    let (out, err) = (Captured::default(), Captured::default());
    let terminal = Terminal::of_streams(std::io::Cursor::new(input.to_owned()), out.clone(), err.clone());
    let paths = paths.iter().map(|path| path.to_path_buf()).collect();
    let arguments = Scan { action: None, paths, server: None, config: None, json };
    let outcome = run(&arguments, &Environment::default(), &terminal);
    let said = (out.text(), err.text());
    (outcome, said.0, said.1)
}

#[test]
fn a_tree_is_searched_and_no_key_is_repeated() {
    let (tree, key) = (tempfile::tempdir().unwrap(), key());
    let place = |name: &str| tree.path().join(name);
    std::fs::create_dir_all(place("dist/assets")).unwrap();
    std::fs::write(place("dist/assets/app.js"), format!("{}const k=\"{key}\";", "a=1;".repeat(100_000))).unwrap();
    std::fs::write(place("clean.txt"), "sk_live_ nothing").unwrap();
    std::fs::write(place("binary"), [&[0, 255, 1][..], key.as_bytes(), &[0]].concat()).unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(format!("log\nAuthorization: Bearer {key}\n").as_bytes()).unwrap();
    std::fs::write(place("log.gz"), packed.finish().unwrap()).unwrap();
    let (outcome, out, err) = scan(&[tree.path()], false, "");
    let failure = outcome.unwrap_err();
    assert!(failure.kind == Kind::Failure && failure.message == "1 key in 3 places found", "{}", failure.message);
    assert_eq!(err.trim_end(), "4 files, 1 key in 3 places", "half a megabyte is no figure");
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].contains("binary:1:4: sk_live_") && lines[0].ends_with("(secret, live)"), "{out}");
    assert!(lines[1].contains("app.js:1:400010: "), "{out}");
    assert!(lines[2].contains("log.gz (unpacked):2:23: "), "{out}");
    assert!(lines.len() == 3 && !out.contains(&key) && !err.contains(&key));
    let (_, out, _) = scan(&[&place("binary")], true, "");
    let row: Value = serde_json::from_str(out.trim()).unwrap();
    assert!(row["display"].as_str().unwrap().starts_with("sk_live_") && !out.contains(&key), "{out}");
    assert_eq!((&row["kind"], &row["environment"], &row["line"]), (&"secret".into(), &"live".into(), &1.into()));
}

#[test]
fn nothing_found_is_a_success_and_what_cannot_be_read_is_told() {
    let tree = tempfile::tempdir().unwrap();
    std::fs::write(tree.path().join("a"), "nothing").unwrap();
    assert!(scan(&[tree.path()], false, "").0.is_ok());
    let (outcome, _, err) = scan(&[&tree.path().join("absent"), tree.path()], false, "");
    let failure = outcome.unwrap_err();
    assert!(failure.kind == Kind::Usage && err.contains("not read") && err.contains("absent"), "{err}");
    assert_eq!(scan(&[], false, "").0.unwrap_err().kind, Kind::Usage);
    std::fs::write(tree.path().join("bad.gz"), [0x1f, 0x8b, 1, 2, 3]).unwrap();
    let (outcome, _, err) = scan(&[tree.path()], false, "");
    assert!(
        outcome.unwrap_err().kind == Kind::Usage && err.contains("bad.gz"),
        "what cannot be unpacked is told: {err}"
    );
}

#[cfg(unix)]
#[test]
fn links_are_not_followed_and_told() {
    let (tree, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(outside.path().join("secret"), key()).unwrap();
    std::os::unix::fs::symlink(outside.path(), tree.path().join("link")).unwrap();
    std::os::unix::fs::symlink(tree.path(), tree.path().join("loop")).unwrap();
    let (outcome, _, err) = scan(&[tree.path()], false, "");
    assert!(outcome.is_ok() && err.contains("link") && err.contains("2 not followed"), "{err}");
    assert!(scan(&[&tree.path().join("link")], false, "").0.is_err(), "one that is named is meant");
}

#[test]
fn standard_input_is_searched() {
    let (outcome, out, _) = scan(&[Path::new("-")], false, &format!("a\nb {}", key()));
    assert_eq!(outcome.unwrap_err().message, "1 key found");
    assert!(out.starts_with("-:2:3: sk_live_"), "{out}");
}

#[test]
fn the_rules_in_the_documentation_are_those_that_are_printed() {
    let page = include_str!("../../../../../docs/scanning.md");
    for scanner in [Scanner::Gitleaks, Scanner::Kingfisher, Scanner::Trufflehog, Scanner::DetectSecrets] {
        assert!(page.contains(rules(Parser::default().prefixes(), scanner).trim_end()), "{scanner:?}");
    }
}
