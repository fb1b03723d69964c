//! Who did something: what the API writes as `member:usr_…`, by name.

use std::collections::BTreeMap;

use gate::Ask;
use serde::Deserialize;

use crate::{desk::Desk, show::One};

/// A person or software, and the page of it while there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doer {
    pub(crate) name: String,
    pub(crate) path: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    email: String,
}

impl Doer {
    /// Who has no page, or one that is gone.
    fn without_page(actor: &str) -> Self {
        let name = match actor.split_once(':').map_or(actor, |(kind, _)| kind) {
            "system" => "whoever runs this server",
            "anonymous" => "a stranger",
            _ => actor,
        };
        Self { name: name.to_owned(), path: None }
    }

    /// Who `member:usr_…` is.
    pub(crate) async fn of(desk: &Desk<'_>, actor: &str) -> Self {
        let (operation, pages, id) = match actor.split_once(':') {
            Some(("member", id)) => ("get_member", "members", id),
            Some(("api_key", id)) => ("get_api_key", "api-keys", id),
            _ => return Self::without_page(actor),
        };
        match desk.get::<One<Named>>(Ask::to(operation).at("id", id)).await {
            Ok(One { data: Named { name, email } }) => {
                Self { name: if name.is_empty() { email } else { name }, path: Some(format!("/_/{pages}/{id}")) }
            }
            Err(_) => Self::without_page(actor),
        }
    }

    /// The same of many, in their order; each is asked for once.
    pub(crate) async fn of_all<'a>(desk: &Desk<'_>, actors: impl Iterator<Item = &'a str>) -> Vec<Self> {
        let mut known: BTreeMap<&str, Self> = BTreeMap::new();
        let mut doers = Vec::new();
        for actor in actors {
            let doer = match known.get(actor) {
                Some(doer) => doer.clone(),
                None => Self::of(desk, actor).await,
            };
            known.insert(actor, doer.clone());
            doers.push(doer);
        }
        doers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_page_is_named_in_words_or_as_the_api_does() {
        for (actor, name) in [
            ("system", "whoever runs this server"),
            ("system:password_reset", "whoever runs this server"),
            ("anonymous", "a stranger"),
            ("member:usr_1", "member:usr_1"),
        ] {
            assert_eq!(Doer::without_page(actor), Doer { name: name.to_owned(), path: None });
        }
    }
}
