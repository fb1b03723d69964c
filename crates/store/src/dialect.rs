/// Which of the two databases; the few words in which their SQL differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// By the address's scheme.
    pub(crate) fn of(url: &str) -> Option<Self> {
        match url.split_once("://")?.0 {
            "sqlite" => Some(Self::Sqlite),
            "postgres" | "postgresql" => Some(Self::Postgres),
            _ => None,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgresql",
        }
    }

    /// How a transaction that writes begins. SQLite takes the lock at once: a transaction that reads
    /// first and asks for the lock later can be refused without a wait.
    pub(crate) const fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// A schema statement in this database's words.
    pub(crate) fn translate(self, sql: &str) -> String {
        match self {
            Self::Sqlite => sql.replace(" COLLATE \"C\"", "").replace("BIGINT", "INTEGER"),
            Self::Postgres => sql.replace("BLOB", "BYTEA").replace(") STRICT", ")"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_gets_its_own_words() {
        let sql = "CREATE TABLE t (a TEXT COLLATE \"C\" NOT NULL, b BIGINT, c BLOB) STRICT";
        assert_eq!(Dialect::Sqlite.translate(sql), "CREATE TABLE t (a TEXT NOT NULL, b INTEGER, c BLOB) STRICT");
        assert_eq!(
            Dialect::Postgres.translate(sql),
            "CREATE TABLE t (a TEXT COLLATE \"C\" NOT NULL, b BIGINT, c BYTEA)"
        );
    }

    #[test]
    fn the_scheme_says_which() {
        assert_eq!(Dialect::of("sqlite:///a.db"), Some(Dialect::Sqlite));
        assert_eq!(Dialect::of("postgresql://host/db"), Some(Dialect::Postgres));
        assert_eq!(Dialect::of("mysql://host/db"), None);
        assert_eq!(Dialect::of("sqlite::memory:"), None);
    }
}
