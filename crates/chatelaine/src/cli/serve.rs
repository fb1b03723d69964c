use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::{
    Ambient, Config, DataDir, Running, Server,
    cli::{Failure, Kind, Terminal, logs, signals::Signals},
    config::{Environment, Flags},
};

/// What a second signal leaves to threads that are busy.
const IMPATIENCE: Duration = Duration::from_millis(100);

/// Where the first steps are written when they must not be printed.
const FIRST_RUN: &str = "first-run.txt";

pub(super) fn run(flags: &Flags, environment: &Environment, terminal: &Terminal) -> Result<(), Failure> {
    let config = Config::load_for_serving(flags, environment)?;
    logs::start(&config, terminal)?;
    let runtime = runtime(&config)?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let ambient = Ambient { request_log: logs::request_log(&config)?, ..Ambient::system() };
        let running = Server::start(config.clone(), ambient).await?;
        say_where(&running, &config, terminal);
        first_steps(&running, &config, terminal).await?;
        until_stopped(running, &mut signals, terminal).await
    });
    runtime.shutdown_timeout(IMPATIENCE);
    outcome
}

/// The threads that serve.
pub(super) fn runtime(config: &Config) -> std::io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.enable_all().thread_name("chatelaine");
    if config.workers > 0 {
        builder.worker_threads(config.workers);
    }
    builder.build()
}

/// Serves until a signal, then drains; a second signal ends the draining. A server that has lost its
/// database ends by itself, and whoever looks after it may start it again.
pub(super) async fn until_stopped(running: Running, signals: &mut Signals, terminal: &Terminal) -> Result<(), Failure> {
    let outcome = tokio::select! {
        () = signals.next() => {
            terminal.err("Stopping: waiting for open requests. Again to stop at once.");
            Ok(())
        }
        () = running.lost() => Err(Failure::new(
            Kind::Failure,
            "DATABASE_LOST",
            "another server serves from this database, or it could not be reached for 8 seconds; this one has stopped",
        )),
    };
    tokio::select! {
        () = running.shutdown() => {}
        () = signals.next() => terminal.err("Stopped at once."),
    }
    outcome
}

fn say_where(running: &Running, config: &Config, terminal: &Terminal) {
    let url = running.url();
    terminal.err(format!("chatelaine {} listens on {} ({url})", env!("CARGO_PKG_VERSION"), running.address()));
    match running.data() {
        Some(data) => terminal.err(format!("  data       {} (SQLite)", data.path().display())),
        None => terminal.err("  data       PostgreSQL"),
    }
    if let Some(public) = &config.public_url {
        terminal.err(format!("  public     {public}"));
    }
    terminal.err(format!("  dashboard  {}/_/", config.public_url.as_deref().unwrap_or(url)));
    terminal.err(format!("  health     {url}/healthz {url}/readyz"));
    terminal.err(format!("  API        {url}/v1/openapi.json, every operation as OpenAPI 3.1"));
    if let Some(path) = running.generated_secret() {
        terminal.err(format!("  secret     generated into {}. Keep it: losing it loses every key.", path.display()));
    }
}

/// A server without people needs its first owner: a link that works once.
async fn first_steps(running: &Running, config: &Config, terminal: &Terminal) -> Result<(), Failure> {
    if running.app().store().member_count().await.map_err(anyhow::Error::from)? > 0 {
        if let Some(data) = running.data() {
            let _ = std::fs::remove_file(data.file(FIRST_RUN));
        }
        return Ok(());
    }
    let token = api::setup::issue(running.app()).await.map_err(anyhow::Error::from)?;
    let steps = steps(config.public_url.as_deref().unwrap_or(running.url()), &token);
    // Whoever reads the terminal of a server on the network may be anybody: a log collector, a
    // shared session. The data directory is its owner's.
    if running.address().ip().is_loopback() {
        terminal.err(steps);
        return Ok(());
    }
    let path = match running.data() {
        Some(data) => data.write_private(FIRST_RUN, &steps)?,
        None => DataDir::open(&config.data)?.write_private(FIRST_RUN, &steps)?,
    };
    terminal.err(format!("This server has no owner yet. How to become it, within 30 minutes: see {}", path.display()));
    Ok(())
}

fn steps(url: &str, token: &str) -> String {
    format!(
        "This server has no owner yet. Become it with this link, which works once, within 30 minutes, and leads to\n\
         the dashboard, {url}/_/:\n\
         \n  {url}/setup#{token}\n\
         \nor in a shell, with your address, and a password of at least 15 characters, in place of the dots:\n\
         \n  curl -sS {url}/v1/setup -H 'Content-Type: application/json' -d '{{\"token\":\"{token}\",\
         \"email\":\"you@example.com\",\"password\":\"...\",\"workspace_name\":\"My team\"}}'\n"
    )
}
