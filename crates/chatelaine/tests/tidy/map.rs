//! ARCHITECTURE.md is the map: what it names must be there, and no room may be missing on it.

use crate::tree::{Source, assert_none, read, root, sources};

/// The words between backticks, one line at a time; fenced blocks are left out.
fn named(page: &str) -> Vec<String> {
    let mut fenced = false;
    let mut words = Vec::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            words.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    words
}

/// Whether a word names a file or a folder here, rather than a route, a media type or a piece of code.
fn is_path(word: &str, sources: &[Source]) -> bool {
    const FILES: [&str; 10] = ["rs", "md", "toml", "txt", "sh", "py", "js", "css", "html", "sql"];
    let plain = word.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-/".contains(letter));
    if !plain || word.starts_with('/') {
        return false;
    }
    let file = word.rsplit_once('.').is_some_and(|(stem, extension)| !stem.is_empty() && FILES.contains(&extension));
    let top = word.split_once('/').is_some_and(|(top, _)| {
        top == "crates"
            || sources.iter().any(|source| source.path.split_once('/').is_some_and(|(first, _)| first == top))
    });
    file || top
}

/// A path counts as there when it is a file, a folder, or the end of a file's path (`gate/src/lib.rs`, `deny.toml`).
fn is_there(path: &str, sources: &[Source]) -> bool {
    let path = path.trim_end_matches('/');
    let (folder, end) = (format!("{path}/"), format!("/{path}"));
    sources.iter().any(|source| source.path == path || source.path.starts_with(&folder) || source.path.ends_with(&end))
}

/// `room::item` must be a word in the sources of that room.
fn missing_item(word: &str, sources: &[Source]) -> bool {
    let Some((room, rest)) = word.split_once("::") else { return false };
    let item = rest.rsplit("::").next().unwrap_or(rest);
    let plain =
        |text: &str| !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    let home = format!("crates/{room}/src/");
    let mut files = sources.iter().filter(|source| source.path.starts_with(&home)).peekable();
    if !plain(item) || files.peek().is_none() {
        return false;
    }
    let word = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_';
    !files.any(|source| {
        source.path.ends_with(&format!("/{item}.rs")) || source.text.split(word).any(|found| found == item)
    })
}

fn not_there(page: &str, sources: &[Source]) -> Vec<String> {
    let gone = |word: &String| (is_path(word, sources) && !is_there(word, sources)) || missing_item(word, sources);
    named(page).into_iter().filter(gone).collect()
}

/// Every folder under `crates/`, and the members beside it.
fn rooms() -> Vec<String> {
    let crates = std::fs::read_dir(root().join("crates")).expect("crates/").flatten();
    let mut rooms: Vec<String> = crates
        .filter(|entry| entry.path().join("Cargo.toml").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    rooms.extend(["testkit".to_owned(), "bench".to_owned()]);
    rooms
}

/// Rooms that the page never names as code, alone, as a folder or as the beginning of a path.
fn unnamed(page: &str, rooms: &[String]) -> Vec<String> {
    let words: Vec<String> =
        page.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').map(str::to_owned).collect();
    rooms.iter().filter(|room| !words.contains(room)).cloned().collect()
}

#[test]
fn what_the_map_names_exists() {
    assert_none(
        &not_there(&read("ARCHITECTURE.md"), &sources()),
        "ARCHITECTURE.md names what is not there. Mend the page:",
    );
}

#[test]
fn every_room_is_on_the_map() {
    assert_none(
        &unnamed(&read("ARCHITECTURE.md"), &rooms()),
        "ARCHITECTURE.md does not name a room. Say what it is for:",
    );
}

#[test]
fn a_planted_wrong_name_is_found() {
    let sources = [Source::planted("crates/gate/src/mount.rs", "pub fn mount() {}"), Source::planted("deny.toml", "")];
    let page = "`crates/gate` `crates/gate/` `gate/src/mount.rs` `deny.toml` `gate::mount` `text/event-stream` `/v1/me`
        `GET /v1/me` `serde::Value` `store.workspace(id)` `.rs` `crates/gone` `gate/src/gone.rs` `gone.toml` `gate::gone`\n```\n`crates/x`\n```";
    assert_eq!(not_there(page, &sources), ["crates/gone", "gate/src/gone.rs", "gone.toml", "gate::gone"]);
    assert_eq!(unnamed("the `gate` is small; apiary", &["gate".to_owned(), "api".to_owned()]), ["api"]);
}
