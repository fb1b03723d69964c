use std::{collections::BTreeMap, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::ImportMatch;

use crate::fields::MAX_CUSTOM_NAME;

/// How a file is read; kept with its import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportOptions {
    /// Which field a column is, where its name does not say it: `name`, `custom:city`, `ignore`.
    #[serde(default)]
    pub mapping: BTreeMap<String, String>,
    /// By what a row finds the contact that it is about.
    #[serde(default)]
    pub match_by: MatchBy,
    /// What happens to a contact that is found.
    #[serde(default)]
    pub on_match: OnMatch,
    /// Labels of every contact.
    #[serde(default)]
    pub tags: Vec<String>,
    /// What is between two fields; found out when nothing is said.
    #[serde(default)]
    pub delimiter: Option<Delimiter>,
}

/// By what a row finds the contact that it is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MatchBy {
    /// Its external id; a row without one is a new contact.
    #[default]
    ExternalId,
    /// Its address; a row without one is a new contact.
    Email,
    /// Nothing: each row is a new contact.
    None,
}

impl MatchBy {
    pub(crate) const fn of_store(self) -> ImportMatch {
        match self {
            Self::ExternalId => ImportMatch::ExternalId,
            Self::Email => ImportMatch::Email,
            Self::None => ImportMatch::None,
        }
    }
}

/// What happens to a contact that is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnMatch {
    /// What the row says takes the place of what was there; tags are added, and empty cells leave what they find.
    #[default]
    Update,
    /// It stays as it is.
    Skip,
}

/// What is between two fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Delimiter {
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// A tab.
    Tab,
}

impl Delimiter {
    /// In the order in which they are preferred.
    pub(crate) const ALL: [Self; 3] = [Self::Comma, Self::Semicolon, Self::Tab];

    pub(crate) const fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Tab => b'\t',
        }
    }
}

/// What a column is, for a JSON Schema.
pub const TARGET_PATTERN: &str = "^(name|email|phone|external_id|tags|ignore|custom:(.|\\s){1,100})$";

/// What a column is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The name.
    Name,
    /// The address.
    Email,
    /// The number.
    Phone,
    /// The external id.
    ExternalId,
    /// Labels, with `,`, `;` or `|` between them.
    Tags,
    /// A custom field of this name.
    Custom(String),
    /// Nothing.
    Ignore,
}

impl FromStr for Target {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "name" => Self::Name,
            "email" => Self::Email,
            "phone" => Self::Phone,
            "external_id" => Self::ExternalId,
            "tags" => Self::Tags,
            "ignore" => Self::Ignore,
            custom => match custom.strip_prefix("custom:") {
                Some(name) if (1..=MAX_CUSTOM_NAME).contains(&name.chars().count()) => Self::Custom(name.to_owned()),
                _ => return Err(()),
            },
        })
    }
}
