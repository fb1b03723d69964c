//! Every statement, with its name. Portable SQL: `$1` placeholders, `RETURNING`, `ON CONFLICT`, and
//! nothing that only one of the databases knows. A tenant's statement names `workspace_id = $1`.

pub(crate) mod agent_loops;
pub(crate) mod bots;
pub(crate) mod ceilings;
pub(crate) mod channels;
pub(crate) mod connections;
pub(crate) mod contact_imports;
pub(crate) mod contacts;
pub(crate) mod conversations;
pub(crate) mod credits;
pub(crate) mod dropin;
pub(crate) mod events;
pub(crate) mod installation;
pub(crate) mod key_list;
pub(crate) mod keyring;
pub(crate) mod keys;
pub(crate) mod leaks;
pub(crate) mod members;
pub(crate) mod outcomes;
pub(crate) mod overview;
pub(crate) mod records;
pub(crate) mod runs;
pub(crate) mod sealed;
pub(crate) mod second_factor;
pub(crate) mod triggers;
pub(crate) mod usage;
pub(crate) mod webhooks;
pub(crate) mod workflows;

use sqlx::{Any, Encode, Type, any::AnyArguments, query::Query};

use ambient::Millis;
use credential::secret::Digest;
use data_encoding::BASE64URL_NOPAD;

/// A statement of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    /// What the operator sees in an error, `insert_key`.
    pub name: &'static str,
    /// The text, the same for both databases.
    pub sql: &'static str,
}

/// Every statement of the catalogue.
#[must_use]
pub fn all() -> Vec<&'static Statement> {
    [
        installation::ALL,
        key_list::ALL,
        keyring::ALL,
        keys::ALL,
        leaks::ALL,
        members::ALL,
        agent_loops::ALL,
        bots::ALL,
        conversations::ALL,
        credits::ALL,
        dropin::ALL,
        events::ALL,
        outcomes::ALL,
        overview::ALL,
        records::ALL,
        workflows::ALL,
        connections::ALL,
        contact_imports::ALL,
        contacts::ALL,
        ceilings::ALL,
        channels::ALL,
        runs::ALL,
        sealed::ALL,
        second_factor::ALL,
        triggers::ALL,
        usage::ALL,
        webhooks::ALL,
    ]
    .into_iter()
    .flatten()
    .collect()
}

macro_rules! statements {
    ($($(#[$comment:meta])* $constant:ident $name:literal $sql:expr;)*) => {
        $($(#[$comment])* pub(crate) const $constant: Statement = Statement { name: $name, sql: $sql };)*
        pub(super) const ALL: &[Statement] = &[$($constant),*];
    };
}
use statements;

/// How many rows there are, of `FROM … WHERE …`. It looks at one more than [`crate::record::MAX_TOTAL`] and no further.
macro_rules! counted {
    ($of:expr) => {
        concat!("SELECT COUNT(*) AS total FROM (SELECT 1 AS one ", $of, " LIMIT 10001) AS counted")
    };
}
use counted;

/// A statement with its arguments, in the order of their numbers.
pub(crate) struct Bound {
    pub(crate) name: &'static str,
    pub(crate) query: Query<'static, Any, AnyArguments>,
}

impl Statement {
    pub(crate) fn bound(&self) -> Bound {
        Bound { name: self.name, query: sqlx::query(self.sql) }
    }
}

impl Bound {
    fn add<T>(mut self, value: T) -> Self
    where
        T: Encode<'static, Any> + Type<Any> + Send + 'static,
    {
        self.query = self.query.bind(value);
        self
    }

    pub(crate) fn text(self, value: impl Into<String>) -> Self {
        self.add(value.into())
    }

    pub(crate) fn maybe_text(self, value: Option<&str>) -> Self {
        self.add(value.map(str::to_owned))
    }

    /// An identifier, or anything else by the text that it prints.
    pub(crate) fn id(self, value: impl std::fmt::Display) -> Self {
        self.add(value.to_string())
    }

    pub(crate) fn maybe_id(self, value: Option<impl std::fmt::Display>) -> Self {
        self.add(value.map(|id| id.to_string()))
    }

    pub(crate) fn time(self, value: Millis) -> Self {
        self.add(value.0)
    }

    pub(crate) fn maybe_time(self, value: Option<Millis>) -> Self {
        self.add(value.map(|time| time.0))
    }

    /// A count; more than `i64::MAX` is stored as that.
    pub(crate) fn count(self, value: impl TryInto<i64>) -> Self {
        self.add(value.try_into().unwrap_or(i64::MAX))
    }

    pub(crate) fn maybe_count(self, value: Option<impl TryInto<i64>>) -> Self {
        self.add(value.map(|count| count.try_into().unwrap_or(i64::MAX)))
    }

    /// A digest, in base64url: text can be packed and sorted alike by both databases.
    pub(crate) fn digest(self, value: &Digest) -> Self {
        self.add(BASE64URL_NOPAD.encode(&value.0))
    }

    pub(crate) fn blob(self, value: impl Into<Vec<u8>>) -> Self {
        self.add(value.into())
    }

    pub(crate) fn maybe_blob(self, value: Option<Vec<u8>>) -> Self {
        self.add(value)
    }
}
