use std::path::PathBuf;

/// A setting that cannot be used: which, where it came from, what would be right.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read: {message}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why, in the operating system's words.
        message: String,
    },
    /// The file is not TOML.
    #[error("{}, line {line}: {message}", path.display())]
    Syntax {
        /// Which.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What the parser says; never the text of the line, which may hold a password.
        message: String,
    },
    /// No setting has this name.
    #[error("{origin}: there is no setting `{name}`{}", hint(.suggestion.as_deref()))]
    Unknown {
        /// The layer.
        origin: String,
        /// As it was written.
        name: String,
        /// The nearest name that exists.
        suggestion: Option<String>,
    },
    /// The setting is of another type.
    #[error("{origin}: `{name}` must be {expected}")]
    Type {
        /// The layer.
        origin: String,
        /// Which setting.
        name: String,
        /// What it must be.
        expected: &'static str,
    },
    /// The value is of the right type and cannot be used.
    #[error("the configuration is not valid: {0}")]
    Value(String),
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}
