use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::at_rest::{
    Export, ExportAction, ExportKeys, Import, ImportAction, ImportKeys, KeyFormat, Members, MembersAction, Workspaces,
    WorkspacesAction,
};
use crate::config::{Concealed, Flags};

mod at_rest;

/// Checks every credential of a chat product, and streams the conversation behind it.
#[derive(Debug, Parser)]
#[command(name = "chatelaine", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 refused, 5 conflict, 6 rate limited, \
                        7 server not reached."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve, with a data directory that stays.
    Serve(Serve),
    /// Serve from a throw-away directory, with a credential of each kind and lines to paste.
    Try(Try),
    /// Manage the API keys of a running server.
    Keys(Keys),
    /// Say what a key or a token is, and why a request with it was refused, or would be; a running server is asked,
    /// and the key to ask with needs the scope audit:read.
    Explain(Explain),
    /// Check definitions of workflows, and print the examples; no server is asked.
    Workflow(Workflow),
    /// Find keys in files and directories, built bundles and logs too; exit code 1 when there is one, 2 when
    /// something could not be read.
    Scan(Scan),
    /// Take over keys that were made elsewhere, by their hashes.
    Import(Import),
    /// Give keys to another installation, which imports them; the keys themselves stay secret.
    Export(Export),
    /// Make workspaces and list them, while no server uses the database.
    Workspaces(Workspaces),
    /// Let a member choose a new password, while no server uses the database.
    Members(Members),
    /// Print every setting with its default and what it does.
    Config,
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    installation: Installation,
    /// Address and port; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

impl Serve {
    pub(crate) fn flags(&self) -> Flags {
        Flags { listen: self.listen.clone(), ..self.installation.flags() }
    }
}

/// Which installation it is about.
#[derive(Debug, Args)]
pub(crate) struct Installation {
    /// The configuration file (see `chatelaine config`).
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The data directory.
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
    /// PostgreSQL, as postgres://… (a password is better put into CHATELAINE_DATABASE_URL).
    #[arg(long, value_name = "URL", global = true)]
    database_url: Option<Concealed>,
}

impl Installation {
    pub(crate) fn flags(&self) -> Flags {
        let (config, data, database_url) = (self.config.clone(), self.data.clone(), self.database_url.clone());
        Flags { config, data, listen: None, database_url }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Try {
    /// Keep the data in this directory instead of deleting it.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Address and port; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// Print one JSON line with the address and the credentials when ready.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Keys {
    #[command(subcommand)]
    pub(crate) action: KeysAction,
    #[command(flatten)]
    pub(crate) client: Client,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A request that was answered of late, by its id, `req_…`. Without it, the credential that is to be explained is
    /// read from stdin: never an argument, which other users of this machine can see.
    #[arg(long, value_name = "ID", conflicts_with_all = ["stranger", "origin", "address"])]
    pub(crate) request: Option<String>,
    /// Explain a request without a credential; nothing is read from stdin.
    #[arg(long)]
    pub(crate) stranger: bool,
    /// The method.
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub(crate) method: String,
    /// The path.
    #[arg(long, value_name = "PATH", default_value = "/v1/me")]
    pub(crate) path: String,
    /// The page that would ask, such as https://www.example.com.
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) origin: Option<String>,
    /// The client's IP address.
    #[arg(long, value_name = "IP")]
    pub(crate) address: Option<String>,
    #[command(flatten)]
    pub(crate) client: Client,
}

#[derive(Debug, Args)]
pub(crate) struct Client {
    /// The server [env: CHATELAINE_URL] [default: http://127.0.0.1:8787].
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) url: Option<String>,
    /// The file that holds the credential to use; else it is taken from CHATELAINE_API_KEY.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) key_file: Option<PathBuf>,
    /// Print JSON: the answer on stdout, errors on stderr.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysAction {
    /// List the keys.
    List,
    /// Make a key; its secret goes to stdout, once, and everything else to stderr.
    Create(Create),
    /// Stop a key at once.
    Revoke {
        /// The key's id, `key_…`.
        id: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Give a key a new secret, which goes to stdout; the old one works until the grace ends.
    Rotate {
        /// The key's id, `key_…`.
        id: String,
        /// How long the old secret works on, such as 24h; 0 stops it now.
        #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = super::duration::parse_seconds)]
        grace: u64,
    },
    /// Say what a key is, without a server: kind, environment, checksum. Reads it from stdin or --key-file.
    Inspect {
        /// The configuration file, where the prefixes of keys are not the default.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Workflow {
    #[command(subcommand)]
    pub(crate) action: WorkflowAction,
}

impl Workflow {
    /// Whether the caller reads JSON.
    pub(crate) fn is_json(&self) -> bool {
        matches!(self.action, WorkflowAction::Check { json: true, .. })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkflowAction {
    /// Say what is wrong with a definition, each fault with its place; exit code 1 when there is one.
    Check {
        /// The file with its JSON; `-` is the standard input.
        file: PathBuf,
        /// Print JSON: the faults on stdout.
        #[arg(long)]
        json: bool,
    },
    /// Print an example's definition; without a name, the names.
    Example {
        /// Which one.
        name: Option<String>,
    },
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Scan {
    #[command(subcommand)]
    pub(crate) action: Option<ScanAction>,
    /// What is searched; `-` is the standard input.
    pub(crate) paths: Vec<PathBuf>,
    /// Ask this server of each key whether it works: `GET /v1/me` with the key, which goes to that server alone.
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// The configuration file, where the prefixes of keys are not the default.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON: a line for each key on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScanAction {
    /// Print the rules by which another scanner finds these keys.
    Rules {
        /// Which scanner.
        #[arg(long = "for", value_enum, value_name = "SCANNER")]
        scanner: RulesFor,
        /// The configuration file, where the prefixes of keys are not the default.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RulesFor {
    Gitleaks,
    Kingfisher,
    Trufflehog,
    DetectSecrets,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// What people will call it.
    pub(crate) name: String,
    /// For servers, or for pages.
    #[arg(long, value_enum, default_value_t = Kind::Secret)]
    pub(crate) kind: Kind,
    /// What a key for servers may do, such as bots:read; may be repeated; admin is everything. Must be said.
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    pub(crate) scopes: Vec<String>,
    /// Whose data it sees.
    #[arg(long, value_enum)]
    pub(crate) environment: Option<Environment>,
    /// A domain whose pages may use a widget key; may be repeated.
    #[arg(long = "domain", value_name = "DOMAIN", value_delimiter = ',')]
    pub(crate) domains: Vec<String>,
    /// When it stops: a duration such as 90d, a time, or `never`. Without: in a year.
    #[arg(long, value_name = "WHEN")]
    pub(crate) expires: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Kind {
    Secret,
    Widget,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Widget => "widget",
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Environment {
    Live,
    Test,
}

impl Environment {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// What a page shows of command lines: from `chatelaine` on in an indented line or between backticks, and what
    /// between those begins with a flag.
    fn commands(page: &str) -> Vec<&str> {
        fn command(part: &str) -> Option<&str> {
            let from = part.starts_with("--").then_some(part);
            let from = from.or_else(|| part.split_once("chatelaine ").map(|(_, rest)| rest))?;
            from.split([';', '#', ')', '<', '>']).next()?.split(" | ").next()
        }
        let parts = page.lines().flat_map(|line| match line.strip_prefix("    ") {
            Some(line) => vec![line],
            None => line.split('`').skip(1).step_by(2).collect(),
        });
        parts.filter_map(command).collect()
    }

    /// The flags of a page that no command takes, or not this one.
    fn unknown_flags(page: &str) -> Vec<String> {
        let mut all = vec![Cli::command()];
        let mut at = 0;
        while at < all.len() {
            let below: Vec<clap::Command> = all[at].get_subcommands().cloned().collect();
            all.extend(below);
            at += 1;
        }
        let takes = |commands: &[clap::Command], flag: &str| {
            let mut flags = commands.iter().flat_map(clap::Command::get_arguments);
            flag == "help" || flag == "version" || flags.any(|argument| argument.get_long() == Some(flag))
        };
        let mut unknown = Vec::new();
        for line in commands(page) {
            let mut on_the_way = vec![Cli::command()];
            for word in line.split_whitespace() {
                let is_known = |flag| match on_the_way.as_slice() {
                    [_] => takes(&all, flag),
                    commands => takes(commands, flag),
                };
                match word.strip_prefix("--") {
                    Some(flag) if !is_known(flag.split('=').next().unwrap_or(flag)) => unknown.push(line.to_owned()),
                    Some(_) => {}
                    None => on_the_way.extend(on_the_way.last().and_then(|last| last.find_subcommand(word)).cloned()),
                }
            }
        }
        unknown
    }

    #[test]
    fn every_flag_that_a_page_names_is_one() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
        let pages = docs.filter(|path| path.extension().is_some_and(|end| end == "md")).chain([root.join("README.md")]);
        let pages: Vec<(PathBuf, String)> =
            pages.map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect();
        let shown: usize = pages.iter().map(|(_, page)| commands(page).len()).sum();
        assert!(pages.len() > 20 && shown > 30, "{} pages, {shown} commands: the reading is broken", pages.len());
        for (path, page) in pages {
            assert_eq!(unknown_flags(&page), [""; 0], "{}", path.display());
        }
    }

    #[test]
    fn a_flag_that_is_none_is_noticed() {
        let unknown = |page: &str| unknown_flags(page).len();
        assert_eq!(unknown("say `--public-url https://x` or `chatelaine serve --public-url x`"), 2);
        assert_eq!(unknown("    chatelaine keys create Shop --grace 1h   # --anything"), 1, "another command's");
        assert_eq!(unknown("`chatelaine serve --listen 127.0.0.1:1` or `--listen`, `kingfisher --rules-path x`"), 0);
        assert_eq!(unknown("    ./chatelaine keys rotate ID --grace 1h --json; --nothing"), 0);
    }

    #[test]
    fn no_credential_is_taken_as_a_flag() {
        let flags = |command: &clap::Command| -> Vec<String> {
            command.get_arguments().filter_map(|argument| argument.get_long().map(str::to_owned)).collect()
        };
        let mut all = Vec::new();
        let mut commands = vec![Cli::command()];
        while let Some(command) = commands.pop() {
            all.extend(flags(&command));
            commands.extend(command.get_subcommands().cloned());
        }
        for flag in ["key", "api-key", "secret", "token", "password"] {
            assert!(!all.iter().any(|known| known == flag), "--{flag}");
        }
    }
}
