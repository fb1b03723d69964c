use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a key is for, told by its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// A team's server key.
    Secret,
    /// A server key that belongs to a service account.
    ServiceAccount,
    /// Starts runs of one deployment.
    Deployment,
    /// Lives in a browser, locked to domains.
    Widget,
}

impl Family {
    /// The name on the wire and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::ServiceAccount => "service_account",
            Self::Deployment => "deployment",
            Self::Widget => "widget",
        }
    }

    /// What it is, for people, in a few words.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::Secret => "Secret key of a team",
            Self::ServiceAccount => "Secret key of a service account",
            Self::Deployment => "Secret key of a deployment",
            Self::Widget => "Widget key, which everybody may see",
        }
    }
}

/// Which data a credential sees. Live and test data never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// What customers see.
    Live,
    /// What costs no credits.
    Test,
}

/// The text is neither `live` nor `test`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither \"live\" nor \"test\"")]
pub struct UnknownEnvironment;

impl Environment {
    /// The name on the wire and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

impl std::fmt::Display for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Environment {
    type Err = UnknownEnvironment;

    fn from_str(text: &str) -> Result<Self, UnknownEnvironment> {
        match text {
            "live" => Ok(Self::Live),
            "test" => Ok(Self::Test),
            _ => Err(UnknownEnvironment),
        }
    }
}
