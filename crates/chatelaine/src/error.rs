use std::path::{Path, PathBuf};

/// Why the server does not start; a sentence for its operator, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file or directory cannot be used.
    #[error("{what} {} cannot be used: {source}", path.display())]
    File {
        /// What it is for.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another server holds the data directory.
    #[error("another server is using {}; stop it, or name another directory with --data", .0.display())]
    Locked(PathBuf),
    /// Another server holds the PostgreSQL database.
    #[error(
        "another server is using this database, and one that two servers use would not take a revoked key back \
         everywhere: stop it, or give this one a database of its own with --database-url"
    )]
    OtherServer,
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another with --listen, or port 0 for a free one")]
    Listen {
        /// Which.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// PostgreSQL without a secret.
    #[error(
        "with PostgreSQL the installation's secret must be given, the same at every start: \
         put 32 random bytes (`openssl rand -base64 32`) into CHATELAINE_SECRET or `secret_file`"
    )]
    NoSecret,
    /// The secret cannot be used.
    #[error("{from}: {source}")]
    WeakSecret {
        /// Where it came from.
        from: String,
        /// What is wrong with it.
        source: credential::secret::WeakSecret,
    },
    /// The database is there and the generated secret is gone.
    #[error(
        "{} is missing, but the database beside it was made with it: no key in there can be checked without it. \
         Restore the file from a backup, or begin anew with another --data", .0.display()
    )]
    LostSecret(PathBuf),
    /// The database belongs to another secret.
    #[error(
        "this database was made with another secret ({made_with}, not {given}): every key in it would be refused. \
         Give the secret it was made with; to change it, give the new one as CHATELAINE_SECRET and the old one as \
         CHATELAINE_SECRET_PREVIOUS"
    )]
    OtherSecret {
        /// The identifier of the secret that the database was made with.
        made_with: String,
        /// The identifier of the one given.
        given: String,
    },
    /// A setting is of the right form and cannot be used.
    #[error("{name}: {message}")]
    Setting {
        /// Its name in the environment.
        name: &'static str,
        /// Why, in one sentence.
        message: String,
    },
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// The model of the drop-in surface cannot be set up.
    #[error("the model of the drop-in surface cannot be set up: {0}")]
    Model(#[source] chat::ChatError),
    /// The operating system gives no randomness.
    #[error(transparent)]
    Random(#[from] ambient::RandomError),
    /// What the previous secret sealed cannot be sealed anew.
    #[error("headers and secrets of customers cannot be sealed anew: {0}")]
    Seal(#[from] credential::seal::SealError),
    /// The database cannot be used.
    #[error("the database cannot be used: {0}")]
    Store(#[from] store::StoreError),
    /// The keyring cannot be loaded.
    #[error("the keys cannot be loaded: {0}")]
    Cluster(#[from] cluster::ClusterError),
    /// The HTTP client cannot be made.
    #[error(transparent)]
    Outbound(#[from] outbound::OutboundError),
    /// The token keys cannot be made.
    #[error(transparent)]
    Tokens(#[from] credential::token::TokensError),
    /// The key prefixes cannot be told apart.
    #[error(transparent)]
    Prefixes(#[from] credential::key::PrefixError),
}

impl StartError {
    pub(crate) fn file(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File { what, path: path.to_owned(), source }
    }
}
