use std::{collections::BTreeMap, path::PathBuf};

use toml::{Table, Value};

use super::{
    Concealed, ConfigError,
    dropin::{self, NODE_ENV, PLAIN_NAMES, PORT},
    layers::{self, Layer},
    services::LIVEKIT_NAMES,
};

const PREFIX: &str = "CHATELAINE_";

/// Names that are no settings: secrets, what the command line's client needs, and the test rig's.
const OTHERS: [&str; 6] = ["SECRET", "SECRET_PREVIOUS", "TRANSFER_SECRET", "CONFIG", "URL", "API_KEY"];

/// The variables that may be settings. `Debug` shows the names.
#[derive(Clone, Default)]
pub struct Environment {
    /// Those that begin with `CHATELAINE_`, without that beginning.
    ours: BTreeMap<String, Concealed>,
    /// Those of the drop-in surface's original, and of LiveKit.
    plain: BTreeMap<String, Concealed>,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.ours.keys().chain(self.plain.keys())).finish()
    }
}

impl Environment {
    /// The process's. A value that is not UTF-8 counts as absent.
    #[must_use]
    pub fn of_process() -> Self {
        Self::from_pairs(
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// What is given; names as they are in the environment. All but the settings are left out.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in pairs {
            let value = Concealed::new(value);
            if let Some(name) = name.strip_prefix(PREFIX) {
                if !is_foreign(name) {
                    environment.ours.insert(name.to_owned(), value);
                }
            } else if [NODE_ENV, PORT].contains(&name.as_str())
                || LIVEKIT_NAMES.contains(&name.as_str())
                || PLAIN_NAMES.iter().any(|(known, _)| *known == name)
            {
                environment.plain.insert(name, value);
            }
        }
        environment
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.ours.get(name).map(Concealed::expose).filter(|value| !value.is_empty())
    }

    pub(super) fn get_plain(&self, name: &str) -> Option<&str> {
        self.plain.get(name).map(|text| text.expose().trim()).filter(|value| !value.is_empty())
    }

    /// Whether the original would run in earnest.
    pub(super) fn is_production(&self) -> bool {
        self.get_plain(NODE_ENV) == Some("production")
    }

    /// The settings among the original's names, and which of these do not count because no widget key is
    /// set, here or in `others`.
    pub(super) fn plain_layer(
        &self,
        defaults: &Table,
        others: &[&Layer],
    ) -> Result<(Layer, Vec<&'static str>), ConfigError> {
        let mut table = match self.get_plain(PORT) {
            Some(port) if !others.iter().any(|layer| layer.find("listen").is_some()) => dropin::listen_on(port)?,
            _ => Table::new(),
        };
        let set = PLAIN_NAMES.iter().filter_map(|(name, setting)| Some((*name, *setting, self.get_plain(name)?)));
        let set: Vec<_> = set.collect();
        let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        let is_on = set.iter().any(|(_, setting, _)| *setting == "widget_api_key")
            || others.iter().any(|layer| layer.find("dropin.widget_api_key").is_some_and(is_text));
        if !is_on {
            return Ok((Layer::environment(table), set.into_iter().map(|(name, ..)| name).collect()));
        }
        for (name, setting, text) in set {
            let path = format!("dropin.{setting}");
            let Some(default) = layers::find(defaults, &path) else { continue };
            let origin = format!("the environment's {name}");
            let wrong = |expected| ConfigError::Type { origin, name: path.clone(), expected };
            let value = typed(text, default).map_err(wrong)?;
            insert(&mut table, &path, value);
        }
        Ok((Layer::environment(table), Vec::new()))
    }

    pub(super) fn secret(&self) -> Option<Concealed> {
        self.get("SECRET").map(|text| Concealed::new(text.to_owned()))
    }

    pub(super) fn secret_previous(&self) -> Option<Concealed> {
        self.get("SECRET_PREVIOUS").map(|text| Concealed::new(text.to_owned()))
    }

    pub(super) fn config_file(&self) -> Option<PathBuf> {
        self.get("CONFIG").map(PathBuf::from)
    }

    /// The server that `chatelaine keys` talks to.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.get("URL")
    }

    /// The credential of `chatelaine keys`.
    #[must_use]
    pub fn api_key(&self) -> Option<Concealed> {
        self.get("API_KEY").map(|text| Concealed::new(text.to_owned()))
    }

    /// What `chatelaine export keys` and `import keys` sign with.
    #[must_use]
    pub fn transfer_secret(&self) -> Option<Concealed> {
        self.get("TRANSFER_SECRET").map(|text| Concealed::new(text.to_owned()))
    }

    /// The settings among the variables; each takes the type that its default has.
    pub(super) fn layer(&self, defaults: &Table) -> Result<Layer, ConfigError> {
        let mut table = Table::new();
        for (name, text) in &self.ours {
            if OTHERS.contains(&name.as_str()) {
                continue;
            }
            let origin = format!("the environment's {PREFIX}{name}");
            let path = if name == "OUTBOUND_ALLOW" { "outbound.allow".to_owned() } else { path_of(name) };
            let default = layers::find(defaults, &path).ok_or_else(|| ConfigError::Unknown {
                origin: "the environment".to_owned(),
                name: format!("{PREFIX}{name}"),
                suggestion: layers::nearest(defaults, &path).map(|path| name_of(&path)),
            })?;
            let value = typed(text.expose(), default).map_err(|expected| ConfigError::Type {
                origin,
                name: path.clone(),
                expected,
            })?;
            insert(&mut table, &path, value);
        }
        Ok(Layer::environment(table))
    }
}

/// Kubernetes puts `CHATELAINE_SERVICE_HOST` and `CHATELAINE_PORT_…` into every container beside a
/// service called chatelaine, and the tests read names of their own; none of these is a mistake.
fn is_foreign(name: &str) -> bool {
    name == "PORT" || ["PORT_", "SERVICE_", "TEST_"].iter().any(|prefix| name.starts_with(prefix))
}

fn path_of(name: &str) -> String {
    name.to_ascii_lowercase().replace("__", ".")
}

fn name_of(path: &str) -> String {
    format!("{PREFIX}{}", path.to_ascii_uppercase().replace('.', "__"))
}

fn typed(text: &str, default: &Value) -> Result<Value, &'static str> {
    let text = text.trim();
    match default {
        Value::Integer(_) => text.parse().map(Value::Integer).map_err(|_| "a whole number"),
        Value::Boolean(_) => text.parse().map(Value::Boolean).map_err(|_| "true or false"),
        Value::Array(_) => {
            let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
            Ok(Value::Array(entries.map(|entry| Value::String(entry.to_owned())).collect()))
        }
        Value::Table(_) => Err("set by the names inside of it"),
        _ => Ok(Value::String(text.to_owned())),
    }
}

fn insert(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}
