use serde::{Deserialize, Serialize};

use super::{Environment, Family};

/// What the keys of each family begin with. An installation that brands its keys changes these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prefixes {
    /// Team secret keys that see live data.
    pub secret_live: String,
    /// Team secret keys that see test data.
    pub secret_test: String,
    /// Keys of service accounts that see live data.
    pub service_account_live: String,
    /// Keys of service accounts that see test data.
    pub service_account_test: String,
    /// Keys of deployments.
    pub deployment: String,
    /// Widget keys.
    pub widget: String,
}

impl Default for Prefixes {
    fn default() -> Self {
        Self {
            secret_live: "sk_live_".into(),
            secret_test: "sk_test_".into(),
            service_account_live: "fln_live_".into(),
            service_account_test: "fln_test_".into(),
            deployment: "cf_".into(),
            widget: "tk_widget_".into(),
        }
    }
}

/// A prefix that cannot be used, by the name of its setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// Empty, too long, or not letters, digits and underscores that end in an underscore.
    #[error("the key prefix {0} must be 2 to 32 of A-Z, a-z, 0-9 and _, and end in _")]
    Form(&'static str),
    /// Two families would be indistinguishable.
    #[error("the key prefixes {0} and {1} are the same")]
    Same(&'static str, &'static str),
}

type Row<'a> = (&'static str, &'a str, Family, Option<Environment>);

impl Prefixes {
    pub(super) fn all(&self) -> [Row<'_>; 6] {
        let (live, test) = (Some(Environment::Live), Some(Environment::Test));
        [
            ("secret_live", &self.secret_live, Family::Secret, live),
            ("secret_test", &self.secret_test, Family::Secret, test),
            ("service_account_live", &self.service_account_live, Family::ServiceAccount, live),
            ("service_account_test", &self.service_account_test, Family::ServiceAccount, test),
            ("deployment", &self.deployment, Family::Deployment, None),
            ("widget", &self.widget, Family::Widget, None),
        ]
    }

    /// Whether the parser can tell these prefixes apart. The final underscore is what keeps a
    /// prefix from running into the body, which has none.
    ///
    /// # Errors
    /// Names the first setting that will not do.
    pub fn validate(&self) -> Result<(), PrefixError> {
        let all = self.all();
        for (at, (name, text, ..)) in all.iter().enumerate() {
            let characters = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !(2..=32).contains(&text.len()) || !characters || !text.ends_with('_') {
                return Err(PrefixError::Form(name));
            }
            if let Some((earlier, ..)) = all[..at].iter().find(|(_, other, ..)| other == text) {
                return Err(PrefixError::Same(earlier, name));
            }
        }
        Ok(())
    }

    /// The prefix of a family. Deployment and widget keys have one for both environments.
    #[must_use]
    pub fn of(&self, family: Family, environment: Environment) -> &str {
        match (family, environment) {
            (Family::Secret, Environment::Live) => &self.secret_live,
            (Family::Secret, Environment::Test) => &self.secret_test,
            (Family::ServiceAccount, Environment::Live) => &self.service_account_live,
            (Family::ServiceAccount, Environment::Test) => &self.service_account_test,
            (Family::Deployment, _) => &self.deployment,
            (Family::Widget, _) => &self.widget,
        }
    }
}
