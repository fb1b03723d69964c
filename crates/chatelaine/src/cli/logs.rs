use gate::RequestLog;
use tracing_subscriber::{EnvFilter, filter::ParseError};

use crate::{
    cli::{Failure, Terminal},
    config::{Config, RequestLogForm},
};

/// Libraries whose lines hold what a stranger's server has sent, as often as it likes. `log.level` may name them.
const SILENT: &str = "rmcp=off";

/// What the rooms report of this level.
fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(format!("{SILENT},{level}"))
}

/// Sends what the rooms report to stderr: for a person on a terminal, as JSON lines otherwise.
pub(super) fn start(config: &Config, terminal: &Terminal) -> Result<(), Failure> {
    let filter = filter(&config.log.level)
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{Event, Subscriber, error, subscriber::with_default};
    use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt as _, registry};

    use super::*;

    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Seen {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().unwrap().push(event.metadata().target().to_owned());
        }
    }

    fn seen(level: &str) -> Vec<String> {
        let seen = Seen::default();
        with_default(registry().with(filter(level).unwrap()).with(seen.clone()), || {
            error!(target: "loops::mcp", "ours");
            error!(target: "rmcp::transport::streamable_http_client", "theirs");
        });
        seen.0.lock().unwrap().clone()
    }

    #[test]
    fn what_a_server_of_tools_has_sent_is_no_line_of_the_log_unless_it_is_asked_for() {
        for level in ["info", "error", "warn,loops=info"] {
            assert_eq!(seen(level), ["loops::mcp"], "{level}");
        }
        assert_eq!(seen("info,rmcp=warn").len(), 2);
        assert!(filter("info,loops=loud").is_err());
    }
}
