//! Commands on a database that no server uses.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Environment, Installation};

#[derive(Debug, Args)]
pub(crate) struct Workspaces {
    #[command(subcommand)]
    pub(crate) action: WorkspacesAction,
    /// Print JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) installation: Installation,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkspacesAction {
    /// List the workspaces with the number of their members.
    List,
    /// Make a workspace, and print the link by which its owner joins.
    Create {
        /// What it is called.
        #[arg(long)]
        name: String,
        /// The owner's address.
        #[arg(long)]
        email: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Members {
    #[command(subcommand)]
    pub(crate) action: MembersAction,
    /// Print JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) installation: Installation,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MembersAction {
    /// Print a link by which a member chooses a new password: once, within a day.
    ResetPassword {
        /// The member's address.
        #[arg(long)]
        email: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    #[command(subcommand)]
    pub(crate) action: ImportAction,
}

impl Import {
    /// Whether the caller reads JSON.
    pub(crate) fn is_json(&self) -> bool {
        let ImportAction::Keys(keys) = &self.action;
        keys.json
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportAction {
    /// Make a key of each hash in a list, all or none, while no server uses the database.
    Keys(ImportKeys),
}

#[derive(Debug, Args)]
pub(crate) struct ImportKeys {
    /// The list; `-` is the standard input.
    pub(crate) file: PathBuf,
    /// What the list looks like.
    #[arg(long, value_enum)]
    pub(crate) format: KeyFormat,
    /// Whose keys they become, `ws_…`; where there is one workspace, that one.
    #[arg(long, value_name = "ID")]
    pub(crate) workspace: Option<String>,
    /// Whose data they see; live data where nothing is said.
    #[arg(long, value_enum)]
    pub(crate) environment: Option<Environment>,
    /// What each of them may do, such as bots:read; may be repeated. Without any: nothing.
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    pub(crate) scopes: Vec<String>,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print JSON: a line for each key on stdout.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) installation: Installation,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(subcommand)]
    pub(crate) action: ExportAction,
}

impl Export {
    /// Whether the caller reads JSON.
    pub(crate) fn is_json(&self) -> bool {
        let ExportAction::Keys(keys) = &self.action;
        keys.json
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExportAction {
    /// Write a workspace's keys into a file for `chatelaine import keys --format chatelaine`, while no server uses
    /// the database; signed with the secret in CHATELAINE_TRANSFER_SECRET, which both installations are given.
    Keys(ExportKeys),
}

#[derive(Debug, Args)]
pub(crate) struct ExportKeys {
    /// The file to make; one that is there stays.
    #[arg(long, value_name = "FILE", required_unless_present = "new_transfer_secret")]
    pub(crate) out: Option<PathBuf>,
    /// Print a secret for CHATELAINE_TRANSFER_SECRET, and do nothing else.
    #[arg(long, conflicts_with = "out")]
    pub(crate) new_transfer_secret: bool,
    /// Whose keys, `ws_…`; where there is one workspace, that one's.
    #[arg(long, value_name = "ID")]
    pub(crate) workspace: Option<String>,
    /// Print JSON: a line for each key that is left out on stdout.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) installation: Installation,
}

/// Lists of hashes that other products give out, and keys that another Chatelaine gives out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyFormat {
    Sha256Hex,
    Sha256Base64,
    Sha256Base64url,
    Unkey,
    Litellm,
    BetterAuth,
    /// What `chatelaine export keys` writes.
    Chatelaine,
}

impl KeyFormat {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sha256Hex => "sha256-hex",
            Self::Sha256Base64 => "sha256-base64",
            Self::Sha256Base64url => "sha256-base64url",
            Self::Unkey => "unkey",
            Self::Litellm => "litellm",
            Self::BetterAuth => "better-auth",
            Self::Chatelaine => "chatelaine",
        }
    }
}
