//! The files of the repository, as the checks see them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One text file: its path from the root with forward slashes, and what is in it.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// A file that a check's own test plants.
    pub(crate) fn planted(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Whether people write code in it: by its extension, or by its first line where a script has none.
    pub(crate) fn is_code(&self) -> bool {
        const EXTENSIONS: [&str; 9] = ["rs", "js", "mjs", "css", "html", "sh", "py", "lua", "sql"];
        match Path::new(&self.path).extension().and_then(|extension| extension.to_str()) {
            Some(extension) => EXTENSIONS.contains(&extension),
            None => self.text.starts_with("#!"),
        }
    }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace's root")
}

/// One file that must be there.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every text file that is tracked or about to be; what git ignores is left out.
pub(crate) fn sources() -> Vec<Source> {
    let root = root();
    let found: Vec<Source> = paths(&root)
        .into_iter()
        .filter_map(|path| Some(Source { text: std::fs::read_to_string(root.join(&path)).ok()?, path }))
        .collect();
    assert!(found.len() > 50, "only {} files found: the list of files is broken", found.len());
    found
}

fn paths(root: &Path) -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()
        .filter(|output| output.status.success() && !output.stdout.is_empty());
    let mut paths: Vec<String> = match listed {
        Some(output) => String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect(),
        None => walk(root, root),
    };
    paths.sort();
    paths.dedup();
    paths
}

/// For a source archive without git.
fn walk(root: &Path, folder: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if name != "target" && name != ".git" && name != "node_modules" {
                paths.extend(walk(root, &path));
            }
        } else if let Ok(inside) = path.strip_prefix(root) {
            paths.push(inside.to_string_lossy().replace('\\', "/"));
        }
    }
    paths
}

/// Fails with all that is wrong at once, and what to do about it.
pub(crate) fn assert_none(problems: &[String], advice: &str) {
    assert!(problems.is_empty(), "\n{advice}\n  {}\n", problems.join("\n  "));
}

#[test]
fn a_walk_finds_what_git_lists() {
    let walked = walk(&root(), &root());
    for path in ["Cargo.toml", "crates/chatelaine/tests/tidy/tree.rs", "scripts/test"] {
        assert!(walked.iter().any(|found| found == path), "{path}");
    }
    assert!(!walked.iter().any(|found| found.starts_with("target/")));
}
