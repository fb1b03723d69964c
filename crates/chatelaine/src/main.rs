//! `chatelaine`: see `chatelaine help`.

use std::process::ExitCode;

use chatelaine::{cli, config::Environment};

fn main() -> ExitCode {
    cli::run(std::env::args_os(), &Environment::of_process(), &cli::Terminal::of_process())
}
