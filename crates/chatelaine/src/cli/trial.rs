use std::path::{Path, PathBuf};

use toml::Table;

use crate::{
    Ambient, Config, Server, Trial,
    cli::{
        Failure, Terminal,
        args::Try,
        logs,
        serve::{runtime, until_stopped},
        signals::Signals,
    },
    config::{ConfigError, Environment, Flags},
    trial,
};

/// What is different about a server to play with. The environment still wins.
const PRESETS: &str = r#"
drain_seconds = 2
[limits]
workspace_per_minute = 1000000
sessions_per_minute = 1000000
messages_per_minute = 1000000
history_per_minute = 1000000
public_per_minute = 1000000
failures_per_minute = 10000
widget_messages_per_minute = 1000000
participant_per_minute = 1000000
participant_per_address_per_minute = 1000000
public_starts_per_minute = 1000000
public_starts_per_day = 1000000
public_replies_per_day = 1000000
triggers_per_minute = 1000000
sign_ins_per_minute = 1000000
sign_ins_per_account_per_minute = 1000000
[outbound]
allow = ["127.0.0.0/8", "::1/128"]
[log]
requests = "off"
level = "warn"
"#;

pub(super) fn run(arguments: Try, environment: &Environment, terminal: &Terminal) -> Result<(), Failure> {
    // Lives until the server is down; dropping it deletes it.
    let throw_away = match &arguments.data {
        Some(_) => None,
        None => Some(throw_away_directory()?),
    };
    let data = arguments.data.clone().or_else(|| throw_away.as_ref().map(|directory| directory.path().to_owned()));
    let config = load(data, arguments.listen, environment)?;
    logs::start(&config, terminal)?;
    let runtime = runtime(&config)?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let ambient = Ambient { request_log: logs::request_log(&config)?, ..Ambient::system() };
        let running = Server::start(config.clone(), ambient).await?;
        // The server answers already; making the owner's password hash must not keep it waiting.
        let made = tokio::select! {
            made = trial::furnish(running.app(), running.url()) => made?,
            () = signals.next() => {
                running.shutdown().await;
                return Ok(());
            }
        };
        if arguments.json {
            terminal.out(serde_json::to_string(&made).map_err(anyhow::Error::from)?);
        } else {
            show(&made, throw_away.is_some(), &config.data, terminal);
        }
        until_stopped(running, &mut signals, terminal).await
    });
    runtime.shutdown_timeout(std::time::Duration::from_millis(100));
    if let Some(directory) = throw_away {
        let path = directory.path().to_owned();
        directory.close().map_err(|error| anyhow::anyhow!("{} could not be deleted: {error}", path.display()))?;
    }
    outcome
}

/// For its owner alone: the installation's secret and everybody's answers are in it.
fn throw_away_directory() -> std::io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    builder.prefix("chatelaine-try-").tempdir()
}

fn load(data: Option<PathBuf>, listen: Option<String>, environment: &Environment) -> Result<Config, Failure> {
    let presets: Table = PRESETS.parse().map_err(|error: toml::de::Error| ConfigError::Value(error.to_string()))?;
    let flags = Flags { data, listen, ..Flags::default() };
    let mut config = Config::load_over(presets, &flags, environment)?;
    // What it prints does not depend on it, and the workspace that it would make is not a trial's.
    config.dropin.widget_api_key = None;
    // Its credentials are on a terminal and its limits are off.
    if !config.listen.ip().is_loopback() {
        return Err(Failure::usage(format!(
            "`chatelaine try` listens on this machine alone, not on {}; for a network there is `chatelaine serve`",
            config.listen
        )));
    }
    Ok(config)
}

fn show(made: &Trial, throw_away: bool, data: &Path, terminal: &Terminal) {
    let url = &made.url;
    terminal.out(format!("# chatelaine {} on {url}", env!("CARGO_PKG_VERSION")));
    terminal.out(if throw_away {
        format!("# Data in {}, deleted at Ctrl-C. To keep it: chatelaine try --data DIR", data.display())
    } else {
        format!("# Data in {}", data.display())
    });
    match &made.owner {
        Some(owner) => terminal.out(format!("# Owner: {} with the password {}", owner.email, owner.password)),
        None => terminal.out(
            "# This directory was here before. What an earlier start printed still works, but nobody can print it \
             again; the keys below are new ones.",
        ),
    }
    terminal.out(format!("# The dashboard, where the owner signs in: {url}/_/"));
    terminal.out(format!("\n# A survey, for anybody with the link: {}", made.survey_url));
    terminal.out(format!("# The same in the widget: {}", made.survey_demo_url));
    terminal.out(format!("# The same on a page of yours: {}", made.survey_embed));
    terminal.out(format!("\n# The chat in a browser: {}", made.demo_url));
    terminal.out(format!("# The same on a page of yours, on localhost: {}", made.embed));
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("chatelaine"));
    terminal.out("\n# Everything below can be pasted into another shell, in any order and as often as you like.");
    let mut part = "";
    for (number, line) in trial::try_lines(made, &program).iter().enumerate() {
        if line.part != part {
            part = line.part;
            terminal.out(format!("\n# == {part} =="));
        }
        terminal.out(format!("\n# {}. {}\n{}", number + 1, line.title, line.command));
    }
    terminal.out("");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_stays_on_this_machine_and_may_call_it() {
        let load = |listen: &str| load(Some("d".into()), Some(listen.to_owned()), &Environment::default());
        let config = load("127.0.0.1:0").unwrap();
        assert!(config.outbound.allow.iter().any(|net| net.contains(&config.listen.ip())));
        assert_eq!(config.log.requests, crate::config::RequestLogForm::Off);
        let refused = load("0.0.0.0:8787").unwrap_err();
        assert!(refused.kind == crate::cli::Kind::Usage && refused.message.contains("serve"), "{refused:?}");
    }

    #[cfg(unix)]
    #[test]
    fn what_a_trial_stores_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = throw_away_directory().unwrap();
        assert_eq!(directory.path().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn the_environment_goes_before_what_a_trial_brings() {
        let environment = Environment::from_pairs([("CHATELAINE_LOG__REQUESTS".to_owned(), "json".to_owned())]);
        let config = load(Some("d".into()), None, &environment).unwrap();
        assert_eq!(config.log.requests, crate::config::RequestLogForm::Json);
    }
}
