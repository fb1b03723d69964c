//! API keys: the list, one key, and what can be done with it.

mod bars;
mod create;
mod detail;
mod fields;
mod list;
mod revoke;
mod rotate;
mod scopes;
mod shown_once;

use ambient::Millis;
use api::App;
use gate::Routes;
use serde::Deserialize;

pub(crate) use self::{
    bars::{Bars, bars_of},
    create::show_once,
    fields::{Checked, KeyFields, Owner, check_origin, new_key},
    scopes::{ScopeGroup, scope_groups},
    shown_once::{MadeKey, ShownOncePage},
};
use crate::show::When;

pub(crate) fn mount(routes: &mut Routes<App>) {
    list::mount(routes);
    create::mount(routes);
    detail::mount(routes);
    rotate::mount(routes);
    revoke::mount(routes);
}

/// A key that nobody has used for so long is asked about, in milliseconds: a week.
const UNUSED_MS: i64 = 7 * 86_400_000;

/// A key, as the API shows it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) environment: String,
    pub(crate) status: String,
    pub(crate) display: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) allowed_domains: Vec<String>,
    pub(crate) allow_localhost: Option<bool>,
    pub(crate) allow_origin_header: bool,
    pub(crate) allowed_ips: Vec<String>,
    pub(crate) expires_at: Option<When>,
    pub(crate) rate_limit: Option<u64>,
    pub(crate) daily_sessions: Option<u64>,
    pub(crate) daily_messages: Option<u64>,
    pub(crate) daily_requests: Option<u64>,
    pub(crate) owner: Option<String>,
    pub(crate) purpose: Option<String>,
    pub(crate) rotate_after: Option<When>,
    pub(crate) service_account_id: Option<String>,
    pub(crate) created_by: String,
    pub(crate) last_used_at: Option<When>,
    pub(crate) last_used_ip: Option<String>,
    pub(crate) created_at: When,
    pub(crate) updated_at: When,
    pub(crate) revoked_at: Option<When>,
    pub(crate) secrets: Vec<Secret>,
}

/// One secret of a key; the newest has no end of its own.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Secret {
    pub(crate) display: String,
    pub(crate) created_at: When,
    pub(crate) expires_at: Option<When>,
    pub(crate) last_used_at: Option<When>,
    pub(crate) uses: u64,
}

impl Key {
    pub(crate) fn is_widget(&self) -> bool {
        self.kind == "widget"
    }

    /// Whether it is for what has to be ticked, and nothing is.
    pub(crate) fn is_powerless(&self) -> bool {
        self.kind == "secret" && self.scopes.is_empty()
    }

    /// Whether it can be changed at all.
    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked_at.is_some()
    }

    /// Whether it can be given another secret.
    pub(crate) fn can_rotate(&self) -> bool {
        !matches!(self.status.as_str(), "revoked" | "expired")
    }

    pub(crate) fn kind_words(&self) -> &'static str {
        match (self.kind.as_str(), &self.service_account_id) {
            ("widget", _) => "Widget key",
            ("deployment", _) => "Deployment key",
            (_, Some(_)) => "Service account key",
            _ => "Secret key",
        }
    }

    pub(crate) fn status_words(&self) -> &'static str {
        match self.status.as_str() {
            "active" if self.is_replaced() => "Leaked",
            "active" => "Active",
            "expiring" => "Ends soon",
            "expired" => "Expired",
            "revoked" => "Revoked",
            _ => "Disabled",
        }
    }

    /// The badge's class.
    pub(crate) fn status_class(&self) -> &'static str {
        match self.status.as_str() {
            "active" if self.is_replaced() => "wrong",
            "active" => "good",
            "expiring" | "disabled" => "warn",
            _ => "wrong",
        }
    }

    /// Why it stands so, and what to do; empty when there is nothing to do.
    pub(crate) fn advice(&self, now: &Millis) -> &'static str {
        match self.status.as_str() {
            "revoked" => "Revoked for good. Where it is still in use, create another key.",
            "expired" => "Its time is over. Give it a later end, or create another key.",
            "disabled" => "Its service account is disabled. Enable the account, and the key works again.",
            _ if self.is_replaced() => "Its secret was reported as leaked and replaced. Rotate it to see a new one.",
            "expiring" => "Give it a later end in time, or replace it.",
            _ if self.last_used_at.is_none() && self.created_at.0.plus(UNUSED_MS) <= *now => {
                "Not used so far. Revoke it if nobody is going to."
            }
            _ => "",
        }
    }

    /// Whether nobody was shown the secret in force: it took the place of one that leaked.
    fn is_replaced(&self) -> bool {
        self.display.ends_with('…')
    }

    /// The secret before the newest, while its grace runs.
    pub(crate) fn previous(&self) -> Option<&Secret> {
        self.secrets.iter().find(|secret| secret.expires_at.is_some())
    }

    pub(crate) fn newest(&self) -> Option<&Secret> {
        self.secrets.iter().find(|secret| secret.expires_at.is_none())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(crate) fn key(changes: &[(&str, Value)]) -> Key {
        let mut key = json!({
            "id": "key_1", "name": "Site", "kind": "secret", "environment": "live", "status": "active",
            "display": "sk_live_ab12…yz89", "scopes": ["bots:read"], "allowed_domains": [], "allow_localhost": null,
            "allow_origin_header": false, "allowed_ips": ["192.0.2.0/24"], "expires_at": "2026-11-22T18:34:56.789Z",
            "rate_limit": 5, "daily_sessions": null, "daily_messages": null, "daily_requests": null,
            "owner": "ada", "purpose": null, "rotate_after": null, "metadata": null, "service_account_id": null,
            "created_by": "member:usr_1", "last_used_at": null, "last_used_ip": null,
            "created_at": "2026-11-22T18:34:56.789Z", "updated_at": "2026-11-22T18:34:56.789Z", "revoked_at": null,
            "secrets": [],
        });
        for (name, value) in changes {
            key[name] = value.clone();
        }
        serde_json::from_value(key).unwrap()
    }

    #[test]
    fn each_state_has_words_and_says_what_to_do() {
        let made = key(&[]).created_at.0;
        let later = made.plus(UNUSED_MS);
        for (status, words, class) in [
            ("active", "Active", "good"),
            ("expiring", "Ends soon", "warn"),
            ("expired", "Expired", "wrong"),
            ("revoked", "Revoked", "wrong"),
            ("disabled", "Disabled", "warn"),
        ] {
            let key = key(&[("status", json!(status))]);
            assert_eq!((key.status_words(), key.status_class()), (words, class));
            assert!(!key.advice(&later).is_empty(), "{status}, never used");
        }
        let used = key(&[("last_used_at", json!("2026-11-22T18:34:56.789Z"))]);
        assert_eq!(used.advice(&later), "");
        let new = key(&[]);
        assert_eq!(new.advice(&made.plus(UNUSED_MS - 1)), "", "it has a week to be put in place");
        assert!(new.advice(&made.plus(UNUSED_MS)).starts_with("Not used so far."));
        let leaked = key(&[("display", json!("sk_live_ab12…"))]);
        assert_eq!((leaked.status_words(), leaked.status_class()), ("Leaked", "wrong"));
    }
}
