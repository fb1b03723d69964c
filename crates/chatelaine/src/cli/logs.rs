use gate::RequestLog;
use tracing_subscriber::EnvFilter;

use crate::{
    cli::{Failure, Terminal},
    config::{Config, RequestLogForm},
};

/// Sends what the rooms report to stderr: for a person on a terminal, as JSON lines otherwise.
pub(super) fn start(config: &Config, terminal: &Terminal) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&config.log.level)
        .map_err(|error| Failure::new(super::Kind::Usage, "CONFIGURATION", format!("`log.level`: {error}")))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Somebody who embeds this crate may have a subscriber already; theirs stays.
    let _ = if terminal.err_is_terminal {
        builder.compact().try_init()
    } else {
        builder.json().flatten_event(true).with_ansi(false).try_init()
    };
    Ok(())
}

/// The request log on stdout, unless it is off.
pub(super) fn request_log(config: &Config) -> Result<RequestLog, Failure> {
    match config.log.requests {
        RequestLogForm::Json => Ok(RequestLog::to(Box::new(std::io::stdout()))?),
        RequestLogForm::Off => Ok(RequestLog::off()),
    }
}
