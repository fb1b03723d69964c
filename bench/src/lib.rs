//! The rig that measures the server against its peers. What runs is in `src/bin`, driven by the scripts beside this folder.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Context, anyhow, bail};

pub mod request;

/// The options of a rig's program: `--name value`, each at most once.
pub struct Options(BTreeMap<String, String>);

impl Options {
    /// Reads the program's own arguments. Errors: a word that is no option, an option without its value or given twice, a name that is
    /// not in `known`.
    pub fn from_args(known: &[&str]) -> anyhow::Result<Self> {
        Self::read(std::env::args().skip(1), known)
    }

    fn read(mut words: impl Iterator<Item = String>, known: &[&str]) -> anyhow::Result<Self> {
        let mut options = BTreeMap::new();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").filter(|name| known.contains(name));
            let name = name.ok_or_else(|| anyhow!("{word} is none of --{}", known.join(", --")))?;
            let value = words.next().ok_or_else(|| anyhow!("--{name} wants a value"))?;
            if options.insert(name.to_owned(), value).is_some() {
                bail!("--{name} is given twice");
            }
        }
        Ok(Self(options))
    }

    /// The value of an option that may be left out.
    pub fn get<T: FromStr>(&self, name: &str, default: T) -> anyhow::Result<T> {
        self.0.get(name).map_or(Ok(default), |value| parse(name, value))
    }

    /// The value of an option that must be there.
    pub fn require<T: FromStr>(&self, name: &str) -> anyhow::Result<T> {
        parse(name, self.0.get(name).with_context(|| format!("--{name} is missing"))?)
    }
}

fn parse<T: FromStr>(name: &str, value: &str) -> anyhow::Result<T> {
    value.parse().map_err(|_| anyhow!("--{name} {value} cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> anyhow::Result<Options> {
        Options::read(words.split_whitespace().map(str::to_owned), &["bytes", "listen"])
    }

    #[test]
    fn options_are_read_and_what_is_wrong_is_named() {
        let options = read("--bytes 12").unwrap();
        assert_eq!(options.require::<usize>("bytes").unwrap(), 12);
        assert_eq!(options.get("listen", "here".to_owned()).unwrap(), "here");
        assert!(options.require::<String>("listen").is_err());
        for wrong in ["--other 1", "bytes 1", "--bytes", "--bytes 1 --bytes 2"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read("--bytes twelve").unwrap().require::<usize>("bytes").is_err());
    }
}
