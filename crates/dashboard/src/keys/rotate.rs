//! A new secret for a key, in five steps on one page (seed S3): how long the old one works on, the new one, putting it
//! where the key is used, watching both, and the end of the old one.

use access::Role;
use ambient::{KeyId, Millis};
use api::App;
use askama::Template;
use gate::{Ask, Call, Nothing, Operation, Problem, Raw, Routes};
use serde_json::json;

use super::{Key, MadeKey, detail::find_key};
use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    page,
    show::{One, Trouble},
};

const SHOW_ROTATION: Operation<Nothing, Raw> = page(
    "/_/api-keys/{id}/rotate",
    "show_api_key_rotation_page",
    "The steps of giving an API key a new secret, and who uses which.",
    Role::Owner,
);
const ROTATE_API_KEY: Operation<Form, Raw> = form(
    "/_/api-keys/{id}/rotate",
    "rotate_api_key_page",
    "Give an API key a new secret, which is shown once.",
    Role::Owner,
);
const END_GRACE: Operation<Form, Raw> =
    form("/_/api-keys/{id}/end-grace", "end_api_key_grace_page", "Stop an API key's previous secret now.", Role::Owner);

/// How long the secret before works on: seconds, and words.
const GRACES: &[(u32, &str)] = &[
    (0, "It stops now: for a secret that leaked"),
    (900, "15 minutes"),
    (3_600, "1 hour"),
    (21_600, "6 hours"),
    (86_400, "24 hours"),
    (604_800, "7 days"),
];
const USUAL_GRACE: &str = "86400";
/// Each node writes what it has counted once a minute; this is the double of it.
const UNKNOWN_USES_MS: i64 = 120_000;

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_ROTATION, show_rotation);
    routes.mount(ROTATE_API_KEY, rotate_api_key);
    routes.mount(END_GRACE, end_grace);
}

#[derive(Template)]
#[template(path = "keys/rotate.html")]
struct RotatePage {
    frame: Frame,
    key: Key,
    /// The new one, on the one page that shows it.
    secret: Option<String>,
    graces: Vec<(u32, &'static str, bool)>,
    trouble: Trouble,
}

impl RotatePage {
    fn of(desk: &Desk<'_>, key: Key, chosen: &str) -> Self {
        let frame = desk.frame(format!("Rotate {}", key.name), "show_api_keys_page");
        let chosen = if chosen.is_empty() { USUAL_GRACE } else { chosen };
        let graces = GRACES.iter().map(|(seconds, words)| (*seconds, *words, seconds.to_string() == chosen));
        Self { frame, key, secret: None, graces: graces.collect(), trouble: Trouble::default() }
    }

    /// The step that one is at: what comes before is done.
    fn now(&self) -> u8 {
        match (&self.secret, self.key.previous()) {
            (Some(_), _) => 2,
            (None, Some(_)) => 4,
            (None, None) => 1,
        }
    }

    fn watched(&self) -> Option<Watched> {
        Watched::of(&self.key, self.frame.now)
    }
}

/// What stands against the end of the old secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watched {
    /// It was used since there is a new one.
    InUse,
    /// Nobody has the new one in place.
    NewUnused,
    /// Uses that other nodes have counted may not be known yet.
    TooEarly,
    /// Nothing that is known.
    Quiet,
}

impl Watched {
    fn of(key: &Key, now: Millis) -> Option<Self> {
        let (new, old) = key.newest().zip(key.previous())?;
        let made = new.created_at.0;
        // Uses are noted to the second: one of the same second may have come after.
        Some(if old.last_used_at.is_some_and(|at| at.0.seconds() >= made.seconds()) {
            Self::InUse
        } else if new.last_used_at.is_none() {
            Self::NewUnused
        } else if now < made.plus(UNKNOWN_USES_MS) {
            Self::TooEarly
        } else {
            Self::Quiet
        })
    }
}

async fn show_rotation(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let key = find_key(&desk, call.id("id")?).await?;
    desk.render(&RotatePage::of(&desk, key, ""))
}

async fn rotate_api_key(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let id = call.id::<KeyId>("id")?;
    let body = json!({ "grace_seconds": call.input.number("grace_seconds") });
    let ask = Ask::to("rotate_api_key").at("id", id).body(&body).once(call.input.text("once"));
    match desk.get::<One<MadeKey>>(ask).await {
        Ok(made) => {
            let page = RotatePage::of(&desk, made.data.view, "");
            desk.render(&RotatePage { secret: Some(made.data.key), ..page })
        }
        Err(problem) => {
            let trouble = Trouble::again(problem)?;
            let status = trouble.status;
            let page = RotatePage::of(&desk, find_key(&desk, id).await?, call.input.text("grace_seconds"));
            Ok(desk.render(&RotatePage { trouble, ..page })?.with_status(status))
        }
    }
}

async fn end_grace(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let id = call.id::<KeyId>("id")?;
    match desk.ask(Ask::to("end_api_key_grace").at("id", id)).await {
        Ok(_) => Ok(Raw::see_other(&format!("/_/api-keys/{id}?done=grace-ended"))),
        Err(problem) => {
            let trouble = Trouble::again(problem)?;
            let status = trouble.status;
            let page = RotatePage::of(&desk, find_key(&desk, id).await?, "");
            Ok(desk.render(&RotatePage { trouble, ..page })?.with_status(status))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new secret since 10:00:00.500, and an old one; when each was used.
    fn watched(new: Option<&str>, old: Option<&str>, now: &str) -> Option<Watched> {
        let at = |time: &str| json!(format!("2026-11-22T{time}Z"));
        let secret = |made: &str, used: Option<&str>, ends: Option<&str>| {
            json!({
                "display": "sk_live_ab12…yz89", "created_at": at(made), "expires_at": ends.map(at),
                "last_used_at": used.map(at), "uses": 7,
            })
        };
        let secrets = json!([secret("10:00:00.500", new, None), secret("09:00:00", old, Some("11:00:00"))]);
        let key = super::super::tests::key(&[("secrets", secrets)]);
        Watched::of(&key, serde_json::from_value(at(now)).unwrap())
    }

    #[test]
    fn an_old_secret_is_not_safe_to_end_before_that_is_known() {
        let late = "10:30:00";
        for (new, old, now, expected) in [
            (None, None, "10:00:00.600", Watched::NewUnused),
            (None, Some("09:59:59"), late, Watched::NewUnused),
            (Some("10:01:00"), Some("09:59:59"), "10:01:59", Watched::TooEarly),
            (Some("10:01:00"), Some("09:59:59"), late, Watched::Quiet),
            (Some("10:01:00"), None, late, Watched::Quiet),
            (Some("10:01:00"), Some("10:00:00"), late, Watched::InUse),
            (None, Some("10:00:01"), "10:00:02", Watched::InUse),
        ] {
            assert_eq!(watched(new, old, now), Some(expected), "{new:?} {old:?} {now}");
        }
        assert_eq!(Watched::of(&super::super::tests::key(&[]), Millis(0)), None, "no rotation goes on");
    }
}
