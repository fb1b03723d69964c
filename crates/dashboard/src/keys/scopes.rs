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

/// The resource, what it is called, what reading and what writing it means; empty where no operation asks for it.
const RESOURCES: &[(&str, &str, &str, &str)] = &[
    ("bots", "Bots", "See bots", "Make, change and delete bots"),
    ("integrations", "Integrations", "See what bots ask", "Set what bots ask, and with which secrets"),
    ("channels", "Channels", "See channels", "Make channels, and send messages through them"),
    ("conversations", "Conversations", "Read conversations", "End and delete conversations"),
    ("agent-loops", "Agent loops", "See agent loops and their executions", "Change and run agent loops"),
    ("chat", "Chat", "", "Open chat sessions and send messages"),
    ("runs", "Workflow runs", "Follow runs and read results", "Start and cancel runs"),
    ("deployments", "Workflows and deployments", "See workflows and deployments", "Change and deploy workflows"),
    ("contacts", "Contacts", "See contacts", "Change and import contacts"),
    ("service-accounts", "Service accounts", "See service accounts", "Make, disable and delete service accounts"),
    ("api-keys", "API keys", "See keys, never their secrets", "Make, rotate and revoke keys"),
    ("webhooks", "Webhooks", "See webhooks and their deliveries", "Change webhooks and send again"),
    ("members", "Members", "See members", "Invite, change and remove members"),
    ("audit", "Audit log", "Read the audit log", ""),
    ("usage", "Usage and credits", "See usage and credits", ""),
    ("export", "Export", "Export conversations and contacts", ""),
];

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
    let all = with(Scope::Admin.as_str(), "Everything, also what is added later. Prefer the scopes that are needed");
    groups.chain([ScopeGroup { name: "Everything", scopes: vec![all] }]).collect()
}

#[cfg(test)]
mod tests {
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
}
