//! What each role may do, as the table of operations says.

use access::Role;
use api::App;
use askama::Template;
use gate::{Ask, Call, Nothing, Operation, Problem, Raw, Routes};
use serde::Deserialize;

use crate::{desk::Desk, frame::Frame, page, show::One};

const SHOW_ROLES: Operation<Nothing, Raw> = page("/_/roles", "show_roles_page", "What each role may do.", Role::Member);

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_ROLES, show_roles);
}

#[derive(Deserialize)]
struct Roles {
    operations: Vec<Act>,
}

/// Something that people do, as the API says.
#[derive(Clone, Debug, Deserialize)]
struct Act {
    id: String,
    method: String,
    path: String,
    summary: String,
    role: Role,
    confirmed: bool,
}

impl Act {
    /// Whether people of this role do it.
    fn is_for(&self, role: &Role) -> bool {
        *role >= self.role
    }

    /// The summary in parts: between backticks stands what is code.
    fn parts(&self) -> Vec<(bool, &str)> {
        self.summary.split('`').enumerate().map(|(at, part)| (at % 2 == 1, part)).collect()
    }

    /// What it is about, by the second part of its path.
    fn about(&self) -> String {
        let part = self.path.split('/').nth(2).unwrap_or_default();
        let words = part.replace('-', " ").replace("api keys", "API keys");
        let mut letters = words.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
    }
}

#[derive(Template)]
#[template(path = "workspace/roles.html")]
struct RolesPage {
    frame: Frame,
    roles: [Role; 3],
    groups: Vec<(String, Vec<Act>)>,
}

/// By what they are about, what only reads first.
fn grouped(mut acts: Vec<Act>) -> Vec<(String, Vec<Act>)> {
    acts.sort_by_cached_key(|act| (act.about(), act.method != "GET", act.id.clone()));
    let mut groups: Vec<(String, Vec<Act>)> = Vec::new();
    for act in acts {
        let about = act.about();
        match groups.last_mut() {
            Some((of, acts)) if *of == about => acts.push(act),
            _ => groups.push((about, vec![act])),
        }
    }
    groups
}

async fn show_roles(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let acts = desk.get::<One<Roles>>(Ask::to("list_roles")).await?.data.operations;
    desk.render_long(&RolesPage {
        frame: desk.frame("Roles", "show_members_page"),
        roles: Role::ALL,
        groups: grouped(acts),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_are_grouped_by_what_they_are_about_and_reading_comes_first() {
        let act = |id: &str, method: &str, path: &str| Act {
            id: id.to_owned(),
            method: method.to_owned(),
            path: path.to_owned(),
            summary: String::new(),
            role: Role::Admin,
            confirmed: false,
        };
        let said = Act { summary: "Get it by `recover` alone.".to_owned(), ..act("x", "POST", "/v1/x") };
        assert_eq!(said.parts(), [(false, "Get it by "), (true, "recover"), (false, " alone.")]);
        let groups = grouped(vec![
            act("create_bot", "POST", "/v1/bots"),
            act("list_api_keys", "GET", "/v1/api-keys"),
            act("list_bots", "GET", "/v1/bots"),
        ]);
        let shown: Vec<_> =
            groups.iter().flat_map(|(of, acts)| acts.iter().map(move |a| (&of[..], &a.id[..]))).collect();
        assert_eq!(shown, [("API keys", "list_api_keys"), ("Bots", "list_bots"), ("Bots", "create_bot")]);
        assert!(act("x", "GET", "/v1/x").is_for(&Role::Owner) && !act("x", "GET", "/v1/x").is_for(&Role::Member));
    }
}
