//! What a key may do, in words.

use access::Scope;

/// The scopes of one kind of thing.
#[derive(Clone, Debug)]
pub(crate) struct ScopeGroup {
    pub(crate) name: &'static str,
    pub(crate) scopes: Vec<ScopeBox>,
}

/// A scope to tick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScopeBox {
    pub(crate) value: &'static str,
    pub(crate) about: &'static str,
    pub(crate) is_ticked: bool,
}

/// The resource, what it is called, what reading and what writing it means, in the words of docs/reference.md; empty
/// where no operation asks for it.
const RESOURCES: &[(&str, &str, &str, &str)] = &[
    ("bots", "Bots", "Read bots", "Make, change and delete bots"),
    (
        "integrations",
        "Integrations",
        "Read integrations and tools' connections; besides agent-loops:write or deployments:write, to name a \
         connection",
        "Make, change and delete both; a new secret",
    ),
    ("channels", "Channels", "Read channels", "Make, change and delete channels; new secrets"),
    (
        "conversations",
        "Conversations",
        "Read and search conversations and their messages; export one by its address",
        "Delete a conversation",
    ),
    (
        "agent-loops",
        "Agent loops",
        "Read agent loops and executions",
        "Make, change, delete and run them; cancel an execution",
    ),
    ("chat", "Chat", "", "Open chat and voice sessions"),
    (
        "runs",
        "Workflow runs",
        "Read runs with their timelines, and a deployment's results",
        "Cancel runs; they are started with a deployment's key",
    ),
    (
        "deployments",
        "Workflows and deployments",
        "Read workflows, deployments and triggers",
        "Make, change, revoke and delete them",
    ),
    (
        "contacts",
        "Contacts",
        "Read, search, count and export contacts; read imports",
        "Make, change, delete and import contacts; cancel an import",
    ),
    ("service-accounts", "Service accounts", "Read service accounts", "Make, change and delete them"),
    (
        "api-keys",
        "API keys",
        "Read keys, also a service account's, never their secrets; try a page against domains",
        "Make, change, rotate and revoke keys; end a grace. No key makes a wider one",
    ),
    (
        "webhooks",
        "Webhooks",
        "Read endpoints and attempts",
        "Make, change, delete and test endpoints; replay, recover, a new secret",
    ),
    (
        "members",
        "Members",
        "Read the workspace, its people and invitations",
        "Change and remove people; invite, and take invitations back",
    ),
    ("audit", "Audit log", "Read the audit log, recent requests and reported leaks; have a refusal explained", ""),
    ("usage", "Usage and credits", "Read usage and credits", ""),
    ("export", "Export", "Export conversations and a deployment's results", ""),
];

/// What `admin` lets a key do, likewise.
const EVERYTHING: &str = "Everything, also what is added later; no other scope lets it grant credits, switch metering or \
                          change the workspace's settings";

/// Every scope that lets a key do something in its group, with these ticked; another one only where it is ticked.
pub(crate) fn scope_groups<S: AsRef<str>>(ticked: &[S]) -> Vec<ScopeGroup> {
    let is_ticked = |value: &str| ticked.iter().any(|ticked| ticked.as_ref() == value);
    let with = |value: &'static str, about| ScopeBox { value, about, is_ticked: is_ticked(value) };
    let groups = RESOURCES.iter().map(|(resource, name, read, write)| {
        let scopes = Scope::ALL.iter().filter_map(|scope| {
            let (of, action) = scope.as_str().split_once(':')?;
            (of == *resource).then(|| with(scope.as_str(), if action == "read" { read } else { write }))
        });
        let scopes = scopes.filter(|scope| scope.is_ticked || !scope.about.is_empty()).map(|scope| match scope.about {
            "" => ScopeBox { about: "Nothing so far: no request asks for it", ..scope },
            _ => scope,
        });
        ScopeGroup { name, scopes: scopes.collect() }
    });
    let all = with(Scope::Admin.as_str(), EVERYTHING);
    groups.chain([ScopeGroup { name: "Everything", scopes: vec![all] }]).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, fs, path::Path};

    use super::*;

    #[test]
    fn every_scope_can_be_ticked_once_and_none_is_by_itself() {
        let groups = scope_groups(&["bots:read"]);
        let idle = ["chat:read", "audit:write", "usage:write", "export:write"];
        let boxes: Vec<&ScopeBox> = groups.iter().flat_map(|group| &group.scopes).collect();
        let mut offered: Vec<&str> = boxes.iter().map(|scope| scope.value).collect();
        let mut all: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
        all.retain(|scope| !idle.contains(scope));
        offered.sort_unstable();
        all.sort_unstable();
        assert_eq!(offered, all);
        let ticked: Vec<&str> = boxes.iter().filter(|scope| scope.is_ticked).map(|scope| scope.value).collect();
        assert_eq!(ticked, ["bots:read"]);
        // What a key holds is shown, so that saving it takes nothing away.
        let held = scope_groups(&idle);
        let held = held.iter().flat_map(|group| &group.scopes).filter(|scope| scope.is_ticked);
        assert_eq!(held.map(|scope| scope.value).collect::<Vec<_>>(), idle);
        let none: [&str; 0] = [];
        assert!(scope_groups(&none).iter().all(|group| group.scopes.iter().all(|scope| !scope.is_ticked)));
    }

    /// What the reference says of each scope, in a row of its table, without the marks of code.
    fn rows(reference: &str) -> HashMap<String, String> {
        let rows = reference.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
        let rows = rows.filter_map(|row| row.split_once("` | "));
        rows.map(|(scope, about)| (scope.to_owned(), about.replace('`', ""))).collect()
    }

    #[test]
    fn a_scope_is_described_where_it_is_ticked_as_in_the_reference() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference.md");
        let written = rows(&fs::read_to_string(path).unwrap());
        let all: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
        let groups = scope_groups(&all);
        let boxes: Vec<&ScopeBox> = groups.iter().flat_map(|group| &group.scopes).collect();
        assert_eq!(boxes.len(), all.len());
        for scope in boxes {
            let (first, rest) = scope.about.split_at(1);
            let about = if scope.about.starts_with("Nothing so far") {
                "nothing yet".to_owned()
            } else {
                first.to_lowercase() + rest
            };
            assert_eq!(written.get(scope.value), Some(&about), "{}", scope.value);
        }
    }
}
