//! What every page of a signed-in person has around it.

use ambient::Millis;

use crate::desk::Me;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) title: String,
    pub(crate) menu: Vec<Menu>,
    pub(crate) me: Me,
    pub(crate) workspace: String,
    pub(crate) is_test: bool,
    pub(crate) theme: &'static str,
    /// What was done a moment ago.
    pub(crate) done: Option<&'static str>,
    /// The page's own address.
    pub(crate) path: String,
    /// For the form of this page, see [`gate::Ask::once`].
    pub(crate) nonce: String,
    /// When the page was asked for.
    pub(crate) now: Millis,
}

impl Frame {
    /// Which half of the data the page shows, as what acts in it says: `seen=live`.
    pub(crate) const fn half(&self) -> &'static str {
        if self.is_test { "test" } else { "live" }
    }
}

/// A group of the menu.
#[derive(Clone, Debug)]
pub(crate) struct Menu {
    pub(crate) name: &'static str,
    pub(crate) entries: Vec<Entry>,
}

/// A page in the menu.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    operation: &'static str,
    pub(crate) is_here: bool,
}

const fn entry(name: &'static str, path: &'static str, operation: &'static str) -> Entry {
    Entry { name, path, operation, is_here: false }
}

/// Every page that a menu leads to. Whoever may not ask for it does not see it.
const MENU: &[(&str, &[Entry])] = &[
    ("", &[entry("Home", "/_/", "show_home_page")]),
    (
        "Access",
        &[
            entry("API keys", "/_/api-keys", "show_api_keys_page"),
            entry("Service accounts", "/_/service-accounts", "show_service_accounts_page"),
            entry("Explain", "/_/explain", "show_explain_page"),
            entry("Live requests", "/_/requests", "show_requests_page"),
        ],
    ),
    (
        "Conversations",
        &[
            entry("Bots", "/_/bots", "show_bots_page"),
            entry("Agent loops", "/_/agent-loops", "show_agent_loops_page"),
            entry("Conversations", "/_/conversations", "show_conversations_page"),
            entry("Contacts", "/_/contacts", "show_contacts_page"),
        ],
    ),
    (
        "Workflows",
        &[
            entry("Workflows", "/_/workflows", "show_workflows_page"),
            entry("Deployments", "/_/deployments", "show_deployments_page"),
            entry("Runs", "/_/runs", "show_runs_page"),
        ],
    ),
    (
        "Workspace",
        &[
            entry("Webhooks", "/_/webhooks", "show_webhooks_page"),
            entry("Members", "/_/members", "show_members_page"),
            entry("Usage", "/_/usage", "show_usage_page"),
            entry("Credits", "/_/credits", "show_credits_page"),
            entry("Audit log", "/_/audit-log", "show_audit_log_page"),
            entry("Settings", "/_/settings", "show_settings_page"),
        ],
    ),
];

impl Menu {
    /// The menu of somebody who `may`, on the page `here`.
    pub(crate) fn of(here: &str, may: impl Fn(&str) -> bool) -> Vec<Self> {
        let groups = MENU.iter().map(|(name, entries)| Self {
            name,
            entries: entries
                .iter()
                .filter(|entry| may(entry.operation))
                .map(|entry| Entry { is_here: entry.operation == here, ..*entry })
                .collect(),
        });
        groups.filter(|group| !group.entries.is_empty()).collect()
    }
}

/// Pages that are no menu's, and whose part they are.
const PARTS: &[(&str, &str)] = &[
    ("channels", "bots"),
    ("integrations", "bots"),
    ("executions", "agent-loops"),
    ("triggers", "deployments"),
    ("invitations", "members"),
    ("roles", "members"),
];

/// The page of a menu that a path belongs to: its own path, and its name.
pub(crate) fn list_of(path: &str) -> Option<(&'static str, &'static str)> {
    let first = path.strip_prefix("/_/")?.split('/').next()?;
    let first = PARTS.iter().find(|(part, _)| *part == first).map_or(first, |(_, of)| of);
    let mut entries = MENU.iter().flat_map(|(_, entries)| *entries);
    let found = entries.find(|entry| !first.is_empty() && entry.path.strip_prefix("/_/") == Some(first))?;
    Some((found.path, found.name))
}

/// What `?done=` says, in words. Nothing else in an address is ever shown as it is.
const DONE: &[(&str, &str)] = &[
    ("saved", "Saved."),
    ("created", "Created."),
    ("bot-created", "The bot is made. Next, connect a model to it."),
    ("connected", "The integration is added. Try the bot, and see whether it answers."),
    ("deleted", "Deleted."),
    ("grace-ended", "The old secret has stopped."),
    ("enabled", "Enabled: its keys work again."),
    ("disabled", "Disabled: its keys have stopped."),
    ("archived", "Archived. It is out of the way, and can be taken back."),
    ("restored", "Taken back from the archive."),
    ("tested", "A test event is on its way. Reload the page to see how it went."),
    ("replayed", "The event is on its way again. Reload the page to see how it went."),
    ("recovered", "What was missed is on its way again."),
    ("nothing-missed", "Nothing was missed since then: nothing is sent again."),
    ("turned-on", "Turned on. It gets events from now on."),
    ("turned-off", "Turned off. It gets no more events."),
    ("run-cancelled", "The run is cancelled. What it had under way was cut."),
    ("removed", "Removed, and signed out everywhere."),
    ("taken-back", "The invitation is taken back. Its link does not work any more."),
    ("granted", "The credits are granted."),
    ("metered", "Replies cost credits from now on."),
    ("unmetered", "Replies cost nothing from now on."),
    ("confirmed", "Confirmed. If you were in the middle of a form, go back to it and send it again."),
    ("password-changed", "The password is changed. Your other browsers are signed out."),
    ("signed-out", "That browser is signed out."),
    ("codes-ended", "Codes are off: signing in takes your password alone."),
];

pub(crate) fn done(code: &str) -> Option<&'static str> {
    DONE.iter().find(|(of, _)| *of == code).map(|(_, words)| *words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_menu_holds_what_its_reader_may_ask_for() {
        let menu = Menu::of("show_api_keys_page", |operation| operation != "show_audit_log_page");
        let names: Vec<&str> = menu.iter().flat_map(|group| group.entries.iter().map(|entry| entry.name)).collect();
        assert!(names.contains(&"API keys") && !names.contains(&"Audit log"));
        let here = menu.iter().flat_map(|group| &group.entries).filter(|entry| entry.is_here).count();
        assert_eq!(here, 1);
        assert!(Menu::of("", |_| false).is_empty());
    }

    #[test]
    fn a_page_belongs_to_a_list() {
        for (path, above) in [
            ("/_/api-keys", "/_/api-keys"),
            ("/_/api-keys/revoke", "/_/api-keys"),
            ("/_/api-keys/key_1/rotate", "/_/api-keys"),
            ("/_/channels/chn_1", "/_/bots"),
            ("/_/invitations/new", "/_/members"),
        ] {
            assert_eq!(list_of(path).map(|(path, _)| path), Some(above), "{path}");
        }
        assert_eq!(list_of("/_/audit-log/export"), Some(("/_/audit-log", "Audit log")));
        for alone in ["/_/", "/_/nowhere", "/_//api-keys", "/v1/api-keys", ""] {
            assert_eq!(list_of(alone), None, "{alone}");
        }
        for (part, of) in PARTS {
            assert_eq!(list_of(&format!("/_/{part}")), list_of(&format!("/_/{of}")), "{part}");
            assert!(list_of(&format!("/_/{of}")).is_some(), "{of}");
        }
    }

    #[test]
    fn an_address_puts_no_words_into_a_page() {
        assert_eq!((done("saved"), done("<b>"), done("")), (Some("Saved."), None, None));
    }
}
