use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The text names no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown scope; scopes are `resource:read`, `resource:write` or `admin`")]
pub struct UnknownScope;

macro_rules! scopes {
    ($($name:ident $text:literal;)*) => {
        /// One permission, `resource:action` (seed S1's table, extended by the contract).
        ///
        /// `:write` does not imply `:read`; [`Scope::Admin`] implies all.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "the text form says it")]
        pub enum Scope { $($name),* }

        impl Scope {
            /// Every scope, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The text form, `bots:read`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }

        impl FromStr for Scope {
            type Err = UnknownScope;

            fn from_str(text: &str) -> Result<Self, UnknownScope> {
                match text { $($text => Ok(Self::$name),)* _ => Err(UnknownScope) }
            }
        }
    };
}

scopes! {
    BotsRead "bots:read";
    BotsWrite "bots:write";
    IntegrationsRead "integrations:read";
    IntegrationsWrite "integrations:write";
    ChannelsRead "channels:read";
    ChannelsWrite "channels:write";
    ConversationsRead "conversations:read";
    ConversationsWrite "conversations:write";
    AgentLoopsRead "agent-loops:read";
    AgentLoopsWrite "agent-loops:write";
    ChatRead "chat:read";
    ChatWrite "chat:write";
    RunsRead "runs:read";
    RunsWrite "runs:write";
    DeploymentsRead "deployments:read";
    DeploymentsWrite "deployments:write";
    ContactsRead "contacts:read";
    ContactsWrite "contacts:write";
    ServiceAccountsRead "service-accounts:read";
    ServiceAccountsWrite "service-accounts:write";
    ApiKeysRead "api-keys:read";
    ApiKeysWrite "api-keys:write";
    WebhooksRead "webhooks:read";
    WebhooksWrite "webhooks:write";
    MembersRead "members:read";
    MembersWrite "members:write";
    AuditRead "audit:read";
    AuditWrite "audit:write";
    UsageRead "usage:read";
    UsageWrite "usage:write";
    ExportRead "export:read";
    ExportWrite "export:write";
    Admin "admin";
}

impl Scope {
    const fn bit(self) -> u64 {
        1 << (self as u8)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Scope {
    fn schema_name() -> Cow<'static, str> {
        "Scope".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<_> = Self::ALL.iter().map(|scope| scope.as_str()).collect();
        json_schema!({"type": "string", "enum": names})
    }
}

/// A set of scopes in one word. The empty set allows nothing.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ScopeSet(u64);

impl ScopeSet {
    /// Allows nothing.
    pub const NONE: Self = Self(0);

    /// Allows everything: `admin` alone.
    pub const ADMIN: Self = Self(Scope::Admin.bit());

    /// Every scope but `admin`, written out.
    #[must_use]
    pub fn every() -> Self {
        Scope::ALL.iter().copied().filter(|scope| *scope != Scope::Admin).collect()
    }

    /// Whether a holder may do what `scope` names.
    #[must_use]
    pub const fn allows(self, scope: Scope) -> bool {
        self.0 & (scope.bit() | Scope::Admin.bit()) != 0
    }

    /// Whether a holder of `self` may hand out `other`: a key never mints wider than itself.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        other.iter().all(|scope| self.allows(scope))
    }

    /// The set with `scope` in it.
    #[must_use]
    pub const fn with(self, scope: Scope) -> Self {
        Self(self.0 | scope.bit())
    }

    /// The set without `scope`.
    #[must_use]
    pub const fn without(self, scope: Scope) -> Self {
        Self(self.0 & !scope.bit())
    }

    /// What both sets allow.
    #[must_use]
    pub const fn intersect(self, other: Self) -> Self {
        Self(self.expanded() & other.expanded())
    }

    /// Every scope that a holder has, as bits: `admin` is all of them.
    const fn expanded(self) -> u64 {
        if self.0 & Scope::Admin.bit() == 0 { self.0 } else { (Scope::Admin.bit() << 1) - 1 }
    }

    /// The scopes in it, in the order of the documentation.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.iter().copied().filter(move |scope| self.0 & scope.bit() != 0)
    }

    /// Whether nothing is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Debug for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Scope::as_str)).finish()
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        scopes.into_iter().fold(Self::NONE, Self::with)
    }
}

impl Serialize for ScopeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for ScopeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Scope>::deserialize(deserializer)?.into_iter().collect())
    }
}

impl JsonSchema for ScopeSet {
    fn schema_name() -> Cow<'static, str> {
        "Scopes".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let scope = generator.subschema_for::<Scope>();
        json_schema!({"type": "array", "items": scope})
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn write_does_not_imply_read_and_admin_implies_all() {
        let write = ScopeSet::NONE.with(Scope::BotsWrite);
        assert!(write.allows(Scope::BotsWrite) && !write.allows(Scope::BotsRead));
        assert!(Scope::ALL.iter().all(|scope| ScopeSet::ADMIN.allows(*scope)));
        assert!(!ScopeSet::every().allows(Scope::Admin));
    }

    #[test]
    fn nobody_hands_out_what_he_does_not_hold() {
        let reader = ScopeSet::NONE.with(Scope::BotsRead);
        assert!(reader.covers(reader) && reader.covers(ScopeSet::NONE));
        assert!(!reader.covers(ScopeSet::ADMIN) && !reader.covers(reader.with(Scope::BotsWrite)));
        assert!(!ScopeSet::every().covers(ScopeSet::ADMIN), "everything written out is not admin");
        assert!(ScopeSet::ADMIN.covers(ScopeSet::every()));
    }

    #[test]
    fn text_round_trips() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(*scope));
        }
        assert_eq!("bots:admin".parse::<Scope>(), Err(UnknownScope));
        let json = serde_json::to_string(&ScopeSet::NONE.with(Scope::Admin).with(Scope::BotsRead)).unwrap();
        assert_eq!(json, r#"["bots:read","admin"]"#);
    }

    proptest! {
        #[test]
        fn covering_is_allowing_each(a in 0_u64..1 << 33, b in 0_u64..1 << 33) {
            let (a, b) = (ScopeSet(a), ScopeSet(b));
            prop_assert_eq!(a.covers(b), b.iter().all(|scope| a.allows(scope)));
            for scope in Scope::ALL {
                prop_assert_eq!(a.intersect(b).allows(*scope), a.allows(*scope) && b.allows(*scope));
            }
        }
    }
}
