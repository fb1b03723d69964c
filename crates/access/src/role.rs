use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Scope, ScopeSet};

/// What a member or a service account may do at most. Ordered: each role may what the lesser may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads; tries bots out, or opens chat sessions as a service account; sees keys.
    Member,
    /// Everything but creating, rotating and revoking keys, and changing owners; sees keys.
    Admin,
    /// Everything, including keys, members, billing and the workspace itself.
    Owner,
}

/// The text names no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown role; roles are owner, admin and member")]
pub struct UnknownRole;

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 3] = [Self::Member, Self::Admin, Self::Owner];

    /// The text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// The scopes that a service account of this role may hold at most (contract, "Scopes and
    /// roles"). An owner's are `admin`.
    #[must_use]
    pub fn scopes(self) -> ScopeSet {
        match self {
            Self::Owner => ScopeSet::ADMIN,
            Self::Admin => ScopeSet::every().without(Scope::ApiKeysWrite),
            // Reads, and opens chat sessions. The log of what everybody did is for admins, and `conversations:write`
            // deletes (seed S1).
            Self::Member => Scope::ALL
                .iter()
                .copied()
                .filter(|scope| scope.as_str().ends_with(":read") && *scope != Scope::AuditRead)
                .chain([Scope::ChatWrite])
                .collect(),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(UnknownRole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_owner_makes_keys_and_every_role_sees_them() {
        for role in Role::ALL {
            assert_eq!(role.scopes().allows(Scope::ApiKeysWrite), role == Role::Owner, "{role}");
            assert!(role.scopes().allows(Scope::ApiKeysRead), "{role}");
        }
    }

    #[test]
    fn each_role_may_what_the_lesser_may() {
        for pair in Role::ALL.windows(2) {
            assert!(pair[0] < pair[1] && pair[1].scopes().covers(pair[0].scopes()));
        }
    }
}
