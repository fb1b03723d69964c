//! The command line: data on stdout, everything else on stderr, and exit codes that scripts can
//! rely on.

mod args;
mod duration;
mod explain;
mod export;
mod failure;
mod import;
mod keys;
mod logs;
mod members;
mod scan;
mod serve;
mod signals;
mod terminal;
mod transfer;
mod trial;
mod workflow;
mod workspaces;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory as _, Parser as _};

pub use failure::{Failure, Kind};
pub use terminal::Terminal;

use crate::config::{DEFAULTS, Environment};
use args::{Cli, Command};

/// Runs one command to its end.
pub fn run(arguments: impl IntoIterator<Item = OsString>, environment: &Environment, terminal: &Terminal) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are data; a wrong line is not.
            let text = error.render();
            let text = if terminal.err_is_terminal { text.ansi().to_string() } else { text.to_string() };
            if error.use_stderr() {
                terminal.err(text.trim_end());
            } else {
                terminal.out(text.trim_end());
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
        }
    };
    let (json, outcome) = match cli.command {
        Command::Serve(serve) => (false, serve::run(&serve.flags(), environment, terminal)),
        Command::Try(arguments) => (arguments.json, trial::run(arguments, environment, terminal)),
        Command::Keys(keys) => (keys.client.json, keys::run(keys, environment, terminal)),
        Command::Explain(explain) => (explain.client.json, explain::run(&explain, environment, terminal)),
        Command::Workflow(arguments) => (arguments.is_json(), workflow::run(arguments, terminal)),
        Command::Import(arguments) => (arguments.is_json(), import::run(arguments, environment, terminal)),
        Command::Export(arguments) => (arguments.is_json(), export::run(arguments, environment, terminal)),
        Command::Scan(arguments) => (arguments.json, scan::run(&arguments, environment, terminal)),
        Command::Workspaces(arguments) => (arguments.json, workspaces::run(&arguments, environment, terminal)),
        Command::Members(arguments) => (arguments.json, members::run(&arguments, environment, terminal)),
        Command::Config => {
            terminal.out(DEFAULTS.trim_end());
            (false, Ok(()))
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "chatelaine", &mut script);
            terminal.out(String::from_utf8_lossy(&script).trim_end());
            (false, Ok(()))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(terminal, json),
    }
}
