use std::path::Path;

use toml::{Table, Value};

use super::{Config, ConfigError, DEFAULTS};

/// Some settings, and where they came from.
pub(super) struct Layer {
    origin: String,
    table: Table,
}

impl Layer {
    pub(super) fn presets(table: Table) -> Self {
        Self { origin: "this command's own defaults".to_owned(), table }
    }

    pub(super) fn environment(table: Table) -> Self {
        Self { origin: "the environment".to_owned(), table }
    }

    /// The value that it has at a dotted path.
    pub(super) fn find(&self, path: &str) -> Option<&Value> {
        find(&self.table, path)
    }

    pub(super) fn flags(table: Table) -> Self {
        Self { origin: "the command line".to_owned(), table }
    }
}

/// The defaults, which also say what exists and of which type it is.
pub(super) fn defaults() -> Result<Table, ConfigError> {
    parse(Path::new("config.default.toml"), DEFAULTS).map(|layer| layer.table)
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Layer, ConfigError> {
    let table = text.parse::<Table>().map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        line: error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count()),
        message: error.message().to_owned(),
    })?;
    Ok(Layer { origin: path.display().to_string(), table })
}

/// Puts a layer over the settings. Only what the defaults have may be set, to their type.
pub(super) fn put(settings: &mut Table, layer: Layer) -> Result<(), ConfigError> {
    let all = settings.clone();
    put_at(settings, layer.table, &layer.origin, "", &all)
}

fn put_at(settings: &mut Table, table: Table, origin: &str, above: &str, all: &Table) -> Result<(), ConfigError> {
    for (name, value) in table {
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        match (settings.get_mut(&name), value) {
            (None, _) => {
                let suggestion = nearest(all, &path);
                return Err(ConfigError::Unknown { origin: origin.to_owned(), name: path, suggestion });
            }
            (Some(Value::Table(inside)), Value::Table(table)) => put_at(inside, table, origin, &path, all)?,
            (Some(old), value) if old.same_type(&value) => *old = value,
            (Some(old), _) => {
                return Err(ConfigError::Type { origin: origin.to_owned(), name: path, expected: name_type(old) });
            }
        }
    }
    Ok(())
}

fn name_type(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "a whole number",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list",
        Value::Table(_) => "a section",
        _ => "a text in quotes",
    }
}

/// From the merged table to the checked settings.
pub(super) fn read(settings: Table) -> Result<Config, ConfigError> {
    // The parser's text names the setting; a rendered source line could show a password.
    settings
        .try_into()
        .map_err(|error: toml::de::Error| ConfigError::Value(error.to_string().trim_end().replace('\n', " ")))
}

/// The value at a dotted path.
pub(super) fn find<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        None => table.get(path),
        Some((section, rest)) => find(table.get(section)?.as_table()?, rest),
    }
}

/// The dotted path that is most like `path`, if one is like it at all.
pub(super) fn nearest(table: &Table, path: &str) -> Option<String> {
    let mut paths = Vec::new();
    collect(table, "", &mut paths);
    let likeness = |known: &str| {
        let last = |text: &str| text.rsplit('.').next().unwrap_or_default().to_owned();
        // A name in the wrong section is as likely a mistake as a wrong letter.
        strsim::jaro_winkler(known, path).max(strsim::jaro_winkler(&last(known), &last(path)) - 0.02)
    };
    let (best, score) = paths
        .into_iter()
        .map(|known| {
            let score = likeness(&known);
            (known, score)
        })
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    (score > 0.85).then_some(best)
}

fn collect(table: &Table, above: &str, paths: &mut Vec<String>) {
    for (name, value) in table {
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        if let Value::Table(inside) = value {
            collect(inside, &path, paths);
        }
        paths.push(path);
    }
}
