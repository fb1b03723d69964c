//! docs/reference.md is complete: every event, scope and error code that the sources declare stands in it. README.md
//! leads to every page, and no page to one that is not there.

use crate::tree::{Source, assert_none, read, root, sources};

/// The texts between quotation marks of a line.
fn quoted(line: &str) -> Vec<&str> {
    line.split('"').skip(1).step_by(2).collect()
}

/// The entries of a list that a macro declares, `    Name "text" …;`: the name, and its texts.
fn declared(source: &str) -> Vec<(&str, Vec<&str>)> {
    let entry = |line: &str| line.starts_with("    ") && line.ends_with("\";") && !line.contains('=');
    let lines = source.lines().filter(|line| entry(line));
    lines.map(|line| (line.split_whitespace().next().unwrap_or_default(), quoted(line))).collect()
}

/// Error codes of a piece of source: what is quoted, in capitals, and longer than an abbreviation.
fn codes(source: &str) -> Vec<String> {
    let is_code = |text: &&str| {
        text.len() > 7 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') && text.contains('_')
    };
    let shipped = source.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = shipped.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut codes: Vec<String> =
        lines.flat_map(quoted).filter(is_code).map(str::to_owned).chain(one_word(shipped)).collect();
    codes.sort();
    codes.dedup();
    codes
}

/// Codes of a single word are known by what stands in front of them.
fn one_word(source: &str) -> Vec<String> {
    let after = source.split("StatusCode::").skip(1).filter_map(|rest| rest.split_once("\"").map(|(_, rest)| rest));
    let words = after.filter_map(|rest| rest.split('"').next());
    words.filter(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_uppercase())).map(str::to_owned).collect()
}

/// The line of a table that begins with this cell.
fn row<'a>(page: &'a str, cell: &str) -> Option<&'a str> {
    page.lines().find(|line| line.starts_with('|') && line.contains(&format!("| `{cell}` |")))
}

fn missing_events(page: &str, source: &str) -> Vec<String> {
    let kinds = declared(source).into_iter().filter(|(_, texts)| texts.len() == 2);
    kinds
        .filter(|(_, texts)| {
            let section = page.split_once(&format!("### `{}`\n", texts[0])).map(|(_, rest)| rest);
            let section = section.and_then(|rest| rest.split("\n#").next());
            !section.is_some_and(|section| section.trim_start().starts_with(texts[1]) && section.contains("\n    {"))
        })
        .map(|(_, texts)| format!("event `{}`: a section that begins with `{}`, and an example", texts[0], texts[1]))
        .collect()
}

/// Scopes that are missing, or whose line says "nothing yet" though an operation asks for them, or does not say it.
fn wrong_scopes(page: &str, source: &str, sources: &[Source]) -> Vec<String> {
    let is_asked = |name: &str| {
        let (plain, path) = (format!("Scope::{name})"), format!(".key(Scope::{name})"));
        let rooms = ["crates/api/src/", "crates/dropin/src/", "crates/participant/src/"];
        let mut files = sources.iter().filter(|file| rooms.iter().any(|room| file.path.starts_with(room)));
        files.any(|file| file.text.contains(&path) && file.text.contains(&plain))
    };
    let wrong = |(name, texts): (&str, Vec<&str>)| {
        let scope = texts.first()?;
        let says_nothing = row(page, scope).map(|row| row.contains("| nothing yet"));
        match (says_nothing, is_asked(name)) {
            (None, _) => Some(format!("scope `{scope}` has no line")),
            (Some(true), true) => Some(format!("scope `{scope}` opens something")),
            (Some(false), false) => Some(format!("scope `{scope}` opens nothing yet")),
            _ => None,
        }
    };
    declared(source).into_iter().filter_map(wrong).collect()
}

/// Where the links of a page lead, within the repository and without their places in a page.
fn links(page: &str) -> Vec<&str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let targets = targets.filter(|target| !target.contains("://") && !target.contains(char::is_whitespace));
    targets.filter_map(|target| target.split('#').next()).filter(|target| !target.is_empty()).collect()
}

/// Links of a page in this folder that lead to no file.
fn broken(folder: &str, page: &str, is_there: impl Fn(&str) -> bool) -> Vec<String> {
    let path = |target: &str| match target.strip_prefix("../") {
        Some(above) => above.to_owned(),
        None => format!("{folder}{target}"),
    };
    links(page).into_iter().map(path).filter(|path| !is_there(path)).collect()
}

#[test]
fn the_readme_leads_to_every_page() {
    let (readme, sources) = (read("README.md"), sources());
    let pages = sources.iter().map(|source| source.path.as_str());
    let pages = pages.filter(|path| path.starts_with("docs/") && path.matches('/').count() == 1);
    let unlinked: Vec<String> = pages.filter(|path| !links(&readme).contains(path)).map(str::to_owned).collect();
    assert_none(&unlinked, "README.md leads to no such page. Link it in its table of pages:");
}

/// The first two parts of every path that operations are declared with: `/v1/bots`.
fn resources(sources: &[Source]) -> Vec<String> {
    let rooms = ["crates/api/src/", "crates/dropin/src/", "crates/participant/src/"];
    let files = sources.iter().filter(|file| rooms.iter().any(|room| file.path.starts_with(room)));
    let literals = files.flat_map(|file| quoted(&file.text));
    let paths = literals.filter(|text| ["/v1/", "/api/"].iter().any(|start| text.starts_with(start)));
    let mut found: Vec<String> =
        paths.map(|path| path.split('/').take(3).collect::<Vec<_>>().join("/")).filter(|path| path.len() > 4).collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn the_readme_names_every_resource() {
    let (readme, resources) = (read("README.md"), resources(&sources()));
    assert!(resources.len() > 20, "only {resources:?} found: the reading of paths is broken");
    let unnamed: Vec<String> = resources.into_iter().filter(|path| !readme.contains(path.as_str())).collect();
    assert_none(&unnamed, "README.md does not name what the API has. Add it to its table of the API:");
}

#[test]
fn no_link_leads_nowhere() {
    let there = |path: &str| root().join(path).exists();
    let of = |path: &str, folder: &str| {
        broken(folder, &read(path), there).into_iter().map(|to| format!("{path}: {to}")).collect()
    };
    let mut gone: Vec<String> = of("README.md", "");
    for source in sources().iter().filter(|source| source.path.starts_with("docs/") && source.path.ends_with(".md")) {
        let folder = source.path.rsplit_once('/').map(|(folder, _)| format!("{folder}/")).unwrap_or_default();
        gone.extend(of(&source.path, &folder));
    }
    assert_none(&gone, "Links that lead to no file:");
}

#[test]
fn every_event_has_its_sentence_and_an_example() {
    let missing = missing_events(&read("docs/reference.md"), &read("crates/store/src/workspace/events.rs"));
    assert_none(&missing, "docs/reference.md does not say all of the events. Write:");
}

#[test]
fn every_scope_says_what_it_opens() {
    let wrong = wrong_scopes(&read("docs/reference.md"), &read("crates/access/src/scope.rs"), &sources());
    assert_none(&wrong, "docs/reference.md is wrong about scopes. Mend:");
}

#[test]
fn every_error_says_what_to_do() {
    const SOURCES: [&str; 3] =
        ["crates/gate/src/problem.rs", "crates/access/src/refusal.rs", "crates/chatelaine/src/listener/refusal.rs"];
    let page = read("docs/reference.md");
    let found: Vec<String> = SOURCES.iter().flat_map(|path| codes(&read(path))).collect();
    assert!(found.len() > 20, "only {found:?} found: the reading of codes is broken");
    let missing: Vec<String> = found.into_iter().filter(|code| row(&page, code).is_none()).collect();
    assert_none(&missing, "docs/reference.md does not know an error code. Say what to do about it:");
}

#[test]
fn what_is_missing_is_found() {
    let events = "kinds! {\n    MadeUp \"made.up\" \"It was made up.\";\n    Told \"told.up\" \"It was told.\";\n}";
    let page = "### `told.up`\n\nIt was told. More.\n\n    {\"id\": 1}\n\n### `made.up`\n\nIt was made.\n\n    {}\n";
    assert_eq!(missing_events(page, events).len(), 1, "another sentence");
    assert_eq!(missing_events(&page.replace("    {\"id\"", "{\"id\""), events).len(), 2, "no example");

    let scopes = "    CatsRead \"cats:read\";\n    CatsWrite \"cats:write\";\n    DogsRead \"dogs:read\";\n";
    let asked = [Source::planted("crates/api/src/cats.rs", "closed(Limit::Read).key(Scope::CatsRead)")];
    let page = "| `cats:read` | nothing yet |\n| `cats:write` | write cats |\n";
    let wrong = wrong_scopes(page, scopes, &asked);
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    assert!(wrong_scopes("| `cats:read` | read cats |", "    CatsRead \"cats:read\";", &asked).is_empty());

    let found = codes("a(StatusCode::CONFLICT,\n \"CONFLICT\", \"Bearer\");\n// \"NOT_THIS\"\nb(\"WHAT_ELSE\")");
    assert_eq!(found, ["CONFLICT", "WHAT_ELSE"]);

    let page = "[a](docs/a.md) [b](docs/b.md#there) [c](https://example.com/c) [d](#here)";
    assert_eq!(links(page), ["docs/a.md", "docs/b.md"]);
    assert_eq!(broken("docs/", "[a](b.md) [c](../c/d.md)", |path| path == "docs/b.md"), ["c/d.md"]);
}
