use std::path::PathBuf;

use credential::{Environment as KeyEnvironment, Form, Parser};
use serde_json::json;
use zeroize::Zeroizing;

use crate::{
    Config,
    cli::{Failure, Kind, Terminal, args::Client as Arguments},
    config::{Environment, Flags},
};

/// Says what a key's text says. Whether it exists or is revoked, a server alone knows.
pub(super) fn run(
    file: Option<PathBuf>,
    arguments: &Arguments,
    environment: &Environment,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let config = Config::load(&Flags { config: file, ..Flags::default() }, environment)?;
    let parser = Parser::new(config.keys.prefixes).map_err(|error| Failure::usage(error.to_string()))?;
    let text = match &arguments.key_file {
        Some(path) => Zeroizing::new(super::client::read_key(path)?.expose().to_owned()),
        None => {
            if terminal.in_is_terminal {
                terminal.err("Paste the key, then Enter:");
            }
            Zeroizing::new(terminal.read_line()?)
        }
    };
    let (display, form) = (parser.display(&text), parser.parse(&text));
    let (kind, of) = match form {
        Ok(Form::Generated { family, environment, .. }) => {
            (family.as_str(), environment.map_or("live or test", KeyEnvironment::as_str))
        }
        Ok(Form::Imported { .. }) => ("imported", "unknown"),
        Err(wrong) => return Err(Failure::new(Kind::Failure, "NOT_A_KEY", format!("{display} is no key: {wrong}"))),
    };
    let generated = matches!(form, Ok(Form::Generated { .. }));
    if arguments.json {
        let checksum = generated.then_some("ok");
        terminal.out(json!({"display": display, "kind": kind, "environment": of, "checksum": checksum}).to_string());
    } else {
        terminal.out(format!("key          {display}\nkind         {kind}\nenvironment  {of}"));
        terminal.out(if generated { "checksum     ok" } else { "checksum     none: not made by this server" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ambient::SeededRandom;
    use credential::Family;

    use super::*;
    use crate::cli::terminal::tests::Captured;

    fn inspect(text: &str) -> (Result<(), Failure>, String) {
        let out = Captured::default();
        let terminal = Terminal::of_streams(std::io::Cursor::new(text.to_owned()), out.clone(), std::io::sink());
        let arguments = Arguments { url: None, key_file: None, json: true };
        let outcome = run(None, &arguments, &Environment::default(), &terminal);
        let text = out.text();
        (outcome, text)
    }

    #[test]
    fn a_key_is_described_and_never_shown() {
        let key = Parser::default().mint(Family::ServiceAccount, KeyEnvironment::Test, &SeededRandom::new(1)).unwrap();
        let (outcome, text) = inspect(&format!("{}\n", key.expose()));
        outcome.unwrap();
        assert!(
            text.contains("service_account") && text.contains("\"test\"") && !text.contains(key.expose()),
            "{text}"
        );
    }

    #[test]
    fn a_mistyped_key_fails_and_is_not_repeated() {
        let key = Parser::default().mint(Family::Secret, KeyEnvironment::Live, &SeededRandom::new(1)).unwrap();
        let wrong = format!(
            "{}{}",
            &key.expose()[..key.expose().len() - 1],
            if key.expose().ends_with('a') { 'b' } else { 'a' }
        );
        let (outcome, _) = inspect(&wrong);
        let failure = outcome.unwrap_err();
        assert!(failure.message.contains("checksum") && !failure.message.contains(&wrong), "{}", failure.message);
    }
}
