//! Which contacts are asked for.

use std::fmt::Display;

use gate::{PageQuery, Problem};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, de};
use store::{Archived as Which, ContactFilter, MAX_TAGS_ASKED};

/// Whether archived contacts are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(crate) enum Archived {
    /// No.
    #[default]
    False,
    /// Them alone.
    True,
    /// Them as well.
    Any,
}

/// What a contact is found by; all that is asked holds.
#[derive(Clone, Debug, Default, JsonSchema)]
pub(crate) struct FilterQuery {
    /// A part of the name, the address, the number or the external id, whatever its case.
    #[schemars(length(min = 1, max = 200))]
    search: Option<String>,
    /// A label; repeat it for contacts that have several, at most 5.
    #[schemars(length(max = MAX_TAGS_ASKED), inner(length(min = 1, max = 50)))]
    tag: Vec<String>,
    /// The whole address, whatever its case.
    #[schemars(length(min = 1, max = 254))]
    email: Option<String>,
    /// The whole external id.
    #[schemars(length(min = 1, max = 200))]
    external_id: Option<String>,
    /// Whether archived contacts are looked for; `false` by default.
    archived: Option<Archived>,
}

/// A page of what is found.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContactQuery {
    pub(super) filter: FilterQuery,
    pub(super) page: PageQuery,
}

/// What both are in a document; a page's `after` is for lists that only grow.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the document alone knows it")]
struct Both {
    /// Which page, from 1.
    #[schemars(range(min = 1, max = 1_000_000))]
    page: Option<u32>,
    /// How many rows: 20 by default, 100 at most.
    #[schemars(range(min = 1, max = 100))]
    per_page: Option<u32>,
    #[schemars(flatten)]
    filter: FilterQuery,
}

impl JsonSchema for ContactQuery {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ContactQuery".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Both::json_schema(generator)
    }
}

fn once<E: de::Error>(name: &str, slot: &mut Option<String>, value: String) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom(format!("`{name}` is there twice"))),
    }
}

fn number<E: de::Error>(name: &str, value: &str) -> Result<u32, E> {
    value.parse().map_err(|error: std::num::ParseIntError| E::custom(format!("`{name}`: {error}")))
}

impl FilterQuery {
    /// False for a parameter that it does not know.
    pub(super) fn read<E: de::Error>(&mut self, name: &str, value: String) -> Result<bool, E> {
        match name {
            "search" => once(name, &mut self.search, value)?,
            "email" => once(name, &mut self.email, value)?,
            "external_id" => once(name, &mut self.external_id, value)?,
            "tag" => self.tag.push(value),
            "archived" if self.archived.is_some() => return Err(E::custom("`archived` is there twice")),
            "archived" => {
                self.archived = Some(match value.as_str() {
                    "false" => Archived::False,
                    "true" => Archived::True,
                    "any" => Archived::Any,
                    _ => return Err(E::custom("`archived` is `false`, `true` or `any`")),
                });
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What is asked for, without what was said of it.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let asked = [
            ("search", self.search.is_some()),
            ("tag", !self.tag.is_empty()),
            ("email", self.email.is_some()),
            ("external_id", self.external_id.is_some()),
            ("archived", self.archived.is_some()),
        ];
        asked.into_iter().filter_map(|(name, asked)| asked.then_some(name)).collect()
    }

    /// The filter, checked.
    pub(super) fn filter(&self) -> Result<ContactFilter, Problem> {
        let texts =
            [("search", &self.search, 200), ("email", &self.email, 254), ("external_id", &self.external_id, 200)];
        for (name, text, max) in texts {
            within(name, text.as_deref(), max)?;
        }
        for tag in &self.tag {
            within("tag", Some(tag), 50)?;
        }
        if self.tag.len() > MAX_TAGS_ASKED {
            return Err(of_parameter("tag", format_args!("is there {MAX_TAGS_ASKED} times at most")));
        }
        let archived = match self.archived.unwrap_or_default() {
            Archived::False => Which::No,
            Archived::True => Which::Only,
            Archived::Any => Which::Any,
        };
        Ok(ContactFilter {
            search: self.search.clone(),
            tags: self.tag.clone(),
            email: self.email.clone(),
            external_id: self.external_id.clone(),
            archived,
        })
    }
}

fn within(name: &str, text: Option<&str>, max: usize) -> Result<(), Problem> {
    match text.map(|text| text.chars().count()) {
        Some(length) if !(1..=max).contains(&length) => {
            Err(of_parameter(name, format_args!("is 1 to {max} characters, and not {length}")))
        }
        _ => Ok(()),
    }
}

fn of_parameter(name: &str, what: impl Display) -> Problem {
    Problem::invalid_request(format!("The query parameter `{name}` {what}"))
}

// By hand, because a label may be there several times, and serde reads a name once.
impl<'de> Deserialize<'de> for FilterQuery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut query = Self::default();
        for (name, value) in Vec::<(String, String)>::deserialize(deserializer)? {
            query.read::<D::Error>(&name, value)?;
        }
        Ok(query)
    }
}

impl<'de> Deserialize<'de> for ContactQuery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut query = Self::default();
        for (name, value) in Vec::<(String, String)>::deserialize(deserializer)? {
            match name.as_str() {
                "page" => query.page.page = Some(number(&name, &value)?),
                "per_page" => query.page.per_page = Some(number(&name, &value)?),
                _ => {
                    query.filter.read::<D::Error>(&name, value)?;
                }
            }
        }
        Ok(query)
    }
}
