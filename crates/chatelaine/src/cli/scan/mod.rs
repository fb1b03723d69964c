//! `chatelaine scan`: finds keys in files, and says which of them still work.

mod ask;
mod report;
mod search;
mod walk;

use std::{cell::RefCell, collections::HashMap};

use credential::{
    Digest, Parser,
    key::{Scanner, rules},
};

use crate::{
    Config,
    cli::{
        Failure, Kind, Terminal,
        args::{RulesFor, Scan, ScanAction},
    },
    config::{Environment, Flags},
};
use ask::Standing;
use report::Reporter;
use search::{Found, Search};

/// Different keys that a server is asked about; more are told without.
const MAX_ASKED: usize = 1000;

pub(super) fn run(arguments: &Scan, environment: &Environment, terminal: &Terminal) -> Result<(), Failure> {
    let file = match &arguments.action {
        Some(ScanAction::Rules { config, .. }) => config.clone(),
        None => arguments.config.clone(),
    };
    let config = Config::load(&Flags { config: file, ..Flags::default() }, environment)?;
    if let Some(ScanAction::Rules { scanner, .. }) = &arguments.action {
        terminal.out(rules(&config.keys.prefixes, scanner_of(*scanner)).trim_end());
        return Ok(());
    }
    if arguments.paths.is_empty() {
        return Err(Failure::usage("what is to be searched? Name files or directories; `-` is the standard input"));
    }
    let parser = Parser::new(config.keys.prefixes).map_err(|error| Failure::usage(error.to_string()))?;
    let search = Search::new(parser.clone());
    let mut reporter = Reporter::new(terminal, parser, arguments.json);
    let mut asker = match &arguments.server {
        Some(url) => Some(Asked { client: ask::Asker::new(url, terminal)?, known: HashMap::new() }),
        None => None,
    };
    for path in &arguments.paths {
        walk::each_file(path, &mut |name, opened| {
            let (packed, plain) = match opened {
                Ok(walk::Input::File(file)) => walk::unpacked(file),
                Ok(walk::Input::Standard) => (None, walk::standard_input(terminal)),
                Err(walk::Skipped::Failed(error)) => return reporter.unreadable(name, &error.to_string()),
                Err(walk::Skipped::Link) => return reporter.passed_over(name, "a symbolic link"),
                Err(walk::Skipped::Special) => return reporter.passed_over(name, "no regular file"),
            };
            reporter.file();
            let readings = packed.map(|input| (input, true)).into_iter().chain([(plain, false)]);
            for (input, is_packed) in readings {
                let said = RefCell::new(&mut reporter);
                let tell = |found: Found| {
                    let standing = asker.as_mut().map(|asked| asked.standing(&found));
                    said.borrow_mut().found(name, is_packed, &found, standing.as_ref());
                };
                match search.run(input, tell, |bytes| said.borrow_mut().read(bytes)) {
                    // What was packed well need not be searched as it is packed.
                    Ok(_) => break,
                    Err(error) => reporter.unreadable(name, &error.to_string()),
                }
            }
        });
    }
    reporter.end();
    if reporter.places > 0 {
        return Err(Failure::new(Kind::Failure, "KEYS_FOUND", format!("{} found", reporter.keys_found())));
    }
    if reporter.unreadable > 0 {
        let message = format!("no key found, and {} could not be read", reporter.unreadable);
        return Err(Failure::new(Kind::Usage, "UNREADABLE", message));
    }
    Ok(())
}

const fn scanner_of(named: RulesFor) -> Scanner {
    match named {
        RulesFor::Gitleaks => Scanner::Gitleaks,
        RulesFor::Kingfisher => Scanner::Kingfisher,
        RulesFor::Trufflehog => Scanner::Trufflehog,
        RulesFor::DetectSecrets => Scanner::DetectSecrets,
    }
}

/// What a server has said, once for each key.
struct Asked {
    client: ask::Asker,
    known: HashMap<Digest, Standing>,
}

impl Asked {
    fn standing(&mut self, found: &Found) -> Standing {
        let digest = Digest::of_import(&found.text);
        if let Some(known) = self.known.get(&digest) {
            return known.clone();
        }
        if self.known.len() >= MAX_ASKED {
            return Standing::Unknown("not asked: too many different keys".to_owned());
        }
        let standing = self.client.ask(found);
        self.known.insert(digest, standing.clone());
        standing
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
