//! What a caller may say about a key, and the rules between the fields.

use access::{Caller, KeyKind, Scope, ScopeSet};
use ambient::{KeyId, Millis};
use credential::{key::Environment, origin::AllowedOrigins};
use gate::{FieldError, field};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;
use store::{KeyRecord, KeySettings};

use crate::input::{self, Domains, Metadata};

/// The longest name of a key (seed S2).
pub(crate) const MAX_NAME: usize = 50;
/// The largest budget of a key's own, in requests a minute.
const MAX_RATE_LIMIT: u64 = 1_000_000;
/// The largest ceiling of a day.
const MAX_DAILY: u64 = 10_000_000;
/// How long a key lives when nobody says otherwise (seed S2): 365 days, in milliseconds.
const ONE_YEAR: i64 = 365 * 24 * 60 * 60 * 1000;

/// The kinds that a caller can make; deployment keys come from deploying a workflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NewKeyKind {
    /// For servers; does what its scopes say.
    #[default]
    Secret,
    /// For browsers; opens sessions from listed origins, and nothing else.
    Widget,
}

impl From<NewKeyKind> for KeyKind {
    fn from(kind: NewKeyKind) -> Self {
        match kind {
            NewKeyKind::Secret => Self::Secret,
            NewKeyKind::Widget => Self::Widget,
        }
    }
}

/// An input type with the fields that every way to say something about a key has in common. serde
/// cannot refuse unknown fields of a flattened struct, so the fields are written into each.
macro_rules! key_input {
    ($(#[$about:meta])* $name:ident { $($(#[$field_about:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            $($(#[$field_about])* pub(crate) $field: $type,)*
            /// What it may do; `[]` is nothing.
            #[serde(default)]
            pub(crate) scopes: Option<ScopeSet>,
            /// When it stops, in the future; `null` is never. Not after the end of the key that asks, unless it holds `admin`.
            #[serde(default, deserialize_with = "gate::patch::nullable")]
            pub(crate) expires_at: Option<Option<Millis>>,
            /// Widget keys: the domains whose pages may use it, 1 to 50. A domain covers its subdomains.
            #[serde(default)]
            pub(crate) allowed_domains: Option<Domains>,
            /// Widget keys: whether pages on `localhost` may use it; they may by default.
            #[serde(default)]
            pub(crate) allow_localhost: Option<bool>,
            /// Secret keys: a reverse proxy forwards the browser's `Origin`, so it proves nothing.
            #[serde(default)]
            pub(crate) allow_origin_header: Option<bool>,
            /// Addresses and CIDR blocks from which it may be used; `[]` is anywhere.
            #[serde(default)]
            pub(crate) allowed_ips: Option<Vec<String>>,
            /// Requests a minute, 1 to 1,000,000; `null` is no budget of its own.
            #[serde(default, deserialize_with = "gate::patch::nullable")]
            pub(crate) rate_limit: Option<Option<u32>>,
            /// Widget keys: sessions in 24 hours, 1 to 10,000,000; `null` is no ceiling.
            #[serde(default, deserialize_with = "gate::patch::nullable")]
            pub(crate) daily_sessions: Option<Option<u32>>,
            /// Widget keys: messages in 24 hours, in all sessions, 1 to 10,000,000; `null` is no ceiling.
            #[serde(default, deserialize_with = "gate::patch::nullable")]
            pub(crate) daily_messages: Option<Option<u32>>,
            /// Requests on one day (UTC), 1 to 10,000,000; `null` is no ceiling.
            #[serde(default, deserialize_with = "gate::patch::nullable")]
            pub(crate) daily_requests: Option<Option<u32>>,
            /// Who answers for it, at most 200 characters.
            #[serde(default, deserialize_with = "gate::patch::nullable")]
            pub(crate) owner: Option<Option<String>>,
            /// What it is for, at most 500 characters.
            #[serde(default, deserialize_with = "gate::patch::nullable")]
            pub(crate) purpose: Option<Option<String>>,
            /// When somebody should rotate it; nothing happens by itself.
            #[serde(default, deserialize_with = "gate::patch::nullable")]
            pub(crate) rotate_after: Option<Option<Millis>>,
            /// Your own notes: an object of at most 4 KiB.
            #[serde(default, deserialize_with = "gate::patch::nullable")]
            pub(crate) metadata: Option<Option<Metadata>>,
        }

        impl $name {
            /// The common fields as they were sent.
            pub(crate) fn common(&self) -> Common<'_> {
                Common {
                    scopes: self.scopes,
                    expires_at: self.expires_at,
                    allowed_domains: self.allowed_domains.as_ref(),
                    allow_localhost: self.allow_localhost,
                    allow_origin_header: self.allow_origin_header,
                    allowed_ips: self.allowed_ips.as_deref(),
                    rate_limit: self.rate_limit,
                    daily_sessions: self.daily_sessions,
                    daily_messages: self.daily_messages,
                    daily_requests: self.daily_requests,
                    owner: self.owner.as_ref().map(Option::as_ref),
                    purpose: self.purpose.as_ref().map(Option::as_ref),
                    rotate_after: self.rotate_after,
                    metadata: self.metadata.as_ref().map(Option::as_ref),
                }
            }
        }
    };
}

key_input! {
    /// A key to be made.
    NewKey {
        /// What people call it, 1 to 50 characters.
        #[schemars(length(min = 1, max = 50))]
        name: String,
        /// `secret` for servers, `widget` for browsers.
        #[serde(default)]
        kind: NewKeyKind,
        /// `live` by default; a test credential makes test keys.
        #[serde(default)]
        environment: Option<Environment>,
    }
}

key_input! {
    /// A key of a service account to be made.
    NewServiceAccountKey {
        /// What people call it, 1 to 50 characters.
        #[schemars(length(min = 1, max = 50))]
        name: String,
        /// `live` by default; a test credential or a test account makes test keys.
        #[serde(default)]
        environment: Option<Environment>,
    }
}

key_input! {
    /// What is to be different about a key; what is absent stays as it is.
    KeyPatch {
        /// What people call it, 1 to 50 characters.
        #[serde(default)]
        #[schemars(length(min = 1, max = 50))]
        name: Option<String>,
    }
}

/// The fields that may be said of every key, as they were sent: `None` is absent.
pub(crate) struct Common<'a> {
    pub(crate) scopes: Option<ScopeSet>,
    pub(crate) expires_at: Option<Option<Millis>>,
    allowed_domains: Option<&'a Domains>,
    allow_localhost: Option<bool>,
    allow_origin_header: Option<bool>,
    allowed_ips: Option<&'a [String]>,
    rate_limit: Option<Option<u32>>,
    daily_sessions: Option<Option<u32>>,
    daily_messages: Option<Option<u32>>,
    daily_requests: Option<Option<u32>>,
    owner: Option<Option<&'a String>>,
    purpose: Option<Option<&'a String>>,
    rotate_after: Option<Option<Millis>>,
    metadata: Option<Option<&'a Metadata>>,
}

impl Common<'_> {
    /// The names of the fields that were sent, for the audit record.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        [
            ("scopes", self.scopes.is_some()),
            ("expires_at", self.expires_at.is_some()),
            ("allowed_domains", self.allowed_domains.is_some()),
            ("allow_localhost", self.allow_localhost.is_some()),
            ("allow_origin_header", self.allow_origin_header.is_some()),
            ("allowed_ips", self.allowed_ips.is_some()),
            ("rate_limit", self.rate_limit.is_some()),
            ("daily_sessions", self.daily_sessions.is_some()),
            ("daily_messages", self.daily_messages.is_some()),
            ("daily_requests", self.daily_requests.is_some()),
            ("owner", self.owner.is_some()),
            ("purpose", self.purpose.is_some()),
            ("rotate_after", self.rotate_after.is_some()),
            ("metadata", self.metadata.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, sent)| sent.then_some(name))
        .collect()
    }

    /// Whether any of the settings was sent: those besides name, scopes and expiry.
    pub(crate) fn changes_settings(&self) -> bool {
        self.names().iter().any(|name| !["scopes", "expires_at"].contains(name))
    }

    /// `settings` of a key of `kind` after what was sent; every rule that is broken is in `errors`.
    pub(crate) fn apply(&self, errors: &mut Vec<FieldError>, kind: KeyKind, mut settings: KeySettings) -> KeySettings {
        self.check_kind(errors, kind);
        if let Some(domains) = self.allowed_domains
            && kind == KeyKind::Widget
        {
            match AllowedOrigins::parse(domains.as_slice()) {
                Ok(origins) => settings.allowed_domains = origins.entries(),
                Err(error) => errors.push(FieldError::new(domains.field(error.index), error.to_string())),
            }
        }
        if let Some(allow) = self.allow_localhost {
            settings.deny_localhost = !allow;
        }
        if let Some(allow) = self.allow_origin_header {
            settings.allow_origin_header = allow;
        }
        if let Some(texts) = self.allowed_ips {
            settings.allowed_ips = input::addresses(errors, texts);
        }
        let mut budget = |name, sent: Option<Option<u32>>, most, setting: &mut Option<u32>| {
            let Some(budget) = sent else { return };
            if let Some(budget) = budget {
                field::range(errors, name, u64::from(budget), 1, most);
            }
            *setting = budget;
        };
        budget("rate_limit", self.rate_limit, MAX_RATE_LIMIT, &mut settings.rate_limit);
        budget("daily_sessions", self.daily_sessions, MAX_DAILY, &mut settings.daily_sessions);
        budget("daily_messages", self.daily_messages, MAX_DAILY, &mut settings.daily_messages);
        budget("daily_requests", self.daily_requests, MAX_DAILY, &mut settings.daily_requests);
        if let Some(owner) = self.owner {
            input::optional_text(errors, "owner", owner, 200);
            settings.owner = owner.cloned();
        }
        if let Some(purpose) = self.purpose {
            input::optional_text(errors, "purpose", purpose, 500);
            settings.purpose = purpose.cloned();
        }
        if let Some(rotate_after) = self.rotate_after {
            settings.rotate_after = rotate_after;
        }
        if let Some(metadata) = self.metadata {
            if let Some(metadata) = metadata {
                input::metadata(errors, metadata);
            }
            settings.metadata = metadata.cloned().map(serde_json::Value::Object);
        }
        settings
    }

    fn check_kind(&self, errors: &mut Vec<FieldError>, kind: KeyKind) {
        let mut refuse = |field: &str, refused: bool, message: &str| {
            if refused {
                errors.push(FieldError::new(field, message));
            }
        };
        let is_widget = kind == KeyKind::Widget;
        refuse("allowed_domains", !is_widget && self.allowed_domains.is_some(), "is for widget keys alone");
        refuse("allow_localhost", !is_widget && self.allow_localhost.is_some(), "is for widget keys alone");
        refuse("daily_sessions", !is_widget && self.daily_sessions.flatten().is_some(), "is for widget keys alone");
        refuse("daily_messages", !is_widget && self.daily_messages.flatten().is_some(), "is for widget keys alone");
        refuse(
            "scopes",
            is_widget && self.scopes.is_some_and(|scopes| !scopes.is_empty()),
            "a widget key has none: it opens chat sessions, and nothing else",
        );
        refuse(
            "scopes",
            kind == KeyKind::Deployment && self.scopes.is_some_and(|scopes| !scopes.is_empty()),
            "a deployment's key has none: it works with the runs of its deployment, and nothing else",
        );
        refuse(
            "allow_origin_header",
            is_widget && self.allow_origin_header == Some(true),
            "is for secret keys alone: a widget key always obeys its domains",
        );
    }

    /// When a new key stops: as said, or in a year; never after the key that makes it.
    pub(crate) fn expiry(&self, errors: &mut Vec<FieldError>, now: Millis, caller: &Caller) -> Option<Millis> {
        check_future(errors, self.expires_at, now);
        let end = end_of(caller);
        match self.expires_at {
            Some(wanted) => {
                refuse_outliving(errors, wanted, end);
                wanted
            }
            None => Some(end.map_or(now.plus(ONE_YEAR), |end| end.min(now.plus(ONE_YEAR)))),
        }
    }

    /// What a caller may not do to the limits of `old`: a key lifts none of its own, and lets no other
    /// live longer than itself. `settings` are those after the change.
    pub(crate) fn check_lifting(
        &self,
        errors: &mut Vec<FieldError>,
        caller: &Caller,
        old: &KeyRecord,
        settings: &KeySettings,
    ) {
        let Some(caller_id) = key_of(caller) else { return };
        let is_own = caller_id == old.id;
        if let Some(wanted) = self.expires_at
            && ends_before(old.expires_at, wanted)
        {
            match is_own {
                true => errors.push(own_limit("expires_at")),
                false => refuse_outliving(errors, wanted, end_of(caller)),
            }
        }
        if !is_own {
            return;
        }
        let before = &old.settings;
        let widens = !before.allowed_ips.is_empty() && !is_within(&settings.allowed_ips, &before.allowed_ips);
        let raises = |before: Option<u32>, after: Option<u32>| {
            before.is_some_and(|before| after.is_none_or(|after| after > before))
        };
        let lifted = [
            ("allow_origin_header", settings.allow_origin_header && !before.allow_origin_header),
            ("allowed_ips", widens),
            ("rate_limit", raises(before.rate_limit, settings.rate_limit)),
            ("daily_requests", raises(before.daily_requests, settings.daily_requests)),
        ];
        errors.extend(lifted.into_iter().filter(|(_, lifted)| *lifted).map(|(name, _)| own_limit(name)));
    }
}

fn key_of(caller: &Caller) -> Option<KeyId> {
    match caller {
        Caller::Key(key) => Some(key.key),
        _ => None,
    }
}

/// Past which end the caller's key leaves no other behind; `None` is none, as for people and for who
/// holds `admin`. A secret in its grace leaves nothing behind that works longer, whatever it holds.
fn end_of(caller: &Caller) -> Option<Millis> {
    match caller {
        Caller::Key(key) if key.scopes.allows(Scope::Admin) => key.secret_ends,
        Caller::Key(key) => key.expires_at,
        _ => None,
    }
}

/// Whether an end is before another; `None` is never.
fn ends_before(one: Option<Millis>, other: Option<Millis>) -> bool {
    one.is_some_and(|one| other.is_none_or(|other| one < other))
}

fn refuse_outliving(errors: &mut Vec<FieldError>, wanted: Option<Millis>, end: Option<Millis>) {
    if let Some(end) = end
        && ends_before(Some(end), wanted)
    {
        errors.push(FieldError::new("expires_at", format!("must not be after the end of the key that asks, {end}")));
    }
}

fn own_limit(name: &str) -> FieldError {
    FieldError::new(name, "a key cannot lift its own limits; use another key or a person")
}

/// Whether each of these blocks, at least one, is inside one of those.
fn is_within(blocks: &[IpNet], outer: &[IpNet]) -> bool {
    !blocks.is_empty() && blocks.iter().all(|block| outer.iter().any(|outer| outer.contains(block)))
}

pub(crate) fn check_future(errors: &mut Vec<FieldError>, expires_at: Option<Option<Millis>>, now: Millis) {
    if expires_at.flatten().is_some_and(|at| at <= now) {
        errors.push(FieldError::new("expires_at", "must be in the future; to stop a key now, revoke it"));
    }
}

/// Whose data a new key sees. What is made with a test credential, or for a test account, is for
/// test data: `parent` is where the maker stands.
pub(crate) fn environment(
    errors: &mut Vec<FieldError>,
    wanted: Option<Environment>,
    parents: &[Environment],
) -> Environment {
    let is_test = parents.contains(&Environment::Test);
    match wanted {
        Some(Environment::Live) if is_test => {
            errors.push(FieldError::new("environment", "a test key makes test keys"));
            Environment::Test
        }
        Some(wanted) => wanted,
        None if is_test => Environment::Test,
        None => Environment::Live,
    }
}

#[cfg(test)]
#[path = "key_input_tests.rs"]
mod tests;
