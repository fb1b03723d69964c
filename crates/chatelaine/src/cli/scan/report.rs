//! What is said of what was found: places and display forms, never a whole key.

use std::{collections::HashSet, path::Path, time::Duration};

use ambient::{Clock as _, SystemClock};
use credential::{Digest, Environment, Parser};
use serde_json::json;

use super::{
    ask::Standing,
    search::{Found, What},
};
use crate::cli::{Terminal, keys::show::plain};

/// Between two signs of progress.
const EVERY: Duration = Duration::from_millis(200);

/// Writes findings to `out`, and everything else to `err`.
pub(super) struct Reporter<'a> {
    terminal: &'a Terminal,
    parser: Parser,
    json: bool,
    clock: SystemClock,
    said: Duration,
    files: u64,
    bytes: u64,
    /// Each key once.
    keys: HashSet<Digest>,
    pub(super) places: u64,
    pub(super) unreadable: u64,
    passed_over: u64,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(terminal: &'a Terminal, parser: Parser, json: bool) -> Self {
        let (clock, said) = (SystemClock::new(), Duration::ZERO);
        let keys = HashSet::new();
        Self { terminal, parser, json, clock, said, files: 0, bytes: 0, keys, places: 0, unreadable: 0, passed_over: 0 }
    }

    pub(super) fn file(&mut self) {
        self.files += 1;
    }

    pub(super) fn read(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        let now = self.clock.elapsed();
        if self.terminal.err_is_terminal && now >= self.said + EVERY {
            self.said = now;
            self.terminal.progress(&self.figures(now));
        }
    }

    fn figures(&self, now: Duration) -> String {
        let files = if self.files == 1 { "1 file".to_owned() } else { format!("{} files", self.files) };
        let megabytes = self.bytes / 1_000_000;
        let per_second = u128::from(self.bytes) / 1000 / now.as_millis().max(1);
        // Of little, both would be 0.
        let read = match (megabytes, per_second) {
            (0, _) => String::new(),
            (_, 0) => format!(", {megabytes} MB"),
            _ => format!(", {megabytes} MB, {per_second} MB/s"),
        };
        format!("{files}{read}, {}", self.keys_found())
    }

    /// How many keys, and where that is another number, in how many places.
    pub(super) fn keys_found(&self) -> String {
        let (keys, places) = (self.keys.len() as u64, self.places);
        let text = if keys == 1 { "1 key".to_owned() } else { format!("{keys} keys") };
        if keys == places { text } else { format!("{text} in {places} places") }
    }

    fn said_of(&self, name: &Path) -> String {
        plain(&name.display().to_string())
    }

    pub(super) fn found(&mut self, name: &Path, is_packed: bool, found: &Found, standing: Option<&Standing>) {
        self.places += 1;
        self.keys.insert(Digest::of_import(&found.text));
        self.clear();
        let (display, (kind, environment)) = (self.display(found), named(found.kind));
        let (file, line, column) = (self.said_of(name), found.line, found.column);
        if self.json {
            let (state, why) = standing.map_or((None, None), Standing::words);
            let row = json!({
                "file": file, "packed": is_packed, "line": line, "column": column, "display": display, "kind": kind,
                "environment": environment, "standing": state, "why": why,
            });
            self.terminal.out(row.to_string());
            return;
        }
        let environment = environment.map(|text| format!(", {text}")).unwrap_or_default();
        let standing = match standing.map(Standing::words) {
            Some((Some(state), Some(why))) => format!(": {state} ({})", plain(&why)),
            Some((Some(state), None)) => format!(": {state}"),
            _ => String::new(),
        };
        let file = if is_packed { format!("{file} (unpacked)") } else { file };
        self.terminal.out(format!("{file}:{line}:{column}: {display} ({kind}{environment}){standing}"));
    }

    /// A few characters at each end; of a webhook secret, which has no display form, none.
    fn display(&self, found: &Found) -> String {
        match found.kind {
            What::Key(..) => self.parser.display(&found.text),
            What::Trigger => format!("{}…{}", &found.text[..8], &found.text[found.text.len() - 4..]),
            What::WebhookSecret => "whsec_…".to_owned(),
        }
    }

    pub(super) fn unreadable(&mut self, name: &Path, why: &str) {
        self.unreadable += 1;
        self.clear();
        self.terminal.err(format!("not read: {}: {}", self.said_of(name), plain(why)));
    }

    pub(super) fn passed_over(&mut self, name: &Path, why: &str) {
        self.passed_over += 1;
        self.clear();
        self.terminal.err(format!("not followed: {}: {why}", self.said_of(name)));
    }

    fn clear(&self) {
        if self.terminal.err_is_terminal {
            self.terminal.progress("");
        }
    }

    pub(super) fn end(&self) {
        self.clear();
        let mut text = self.figures(self.clock.elapsed());
        if self.unreadable + self.passed_over > 0 {
            text.push_str(&format!(", {} not read, {} not followed", self.unreadable, self.passed_over));
        }
        self.terminal.err(text);
    }
}

fn named(kind: What) -> (&'static str, Option<&'static str>) {
    match kind {
        What::Key(family, environment) => (family.as_str(), environment.map(Environment::as_str)),
        What::Trigger => ("trigger", None),
        What::WebhookSecret => ("webhook_secret", None),
    }
}
