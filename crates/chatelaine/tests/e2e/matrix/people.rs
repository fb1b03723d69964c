//! People: the columns of those who are signed in, and what the operations on people are tried on.

use access::{Caller, MemberCaller, Role};
use ambient::{MemberId, MemberSessionId, Millis, Ulid};
use gate::{Meta, Method};
use serde_json::{Value, json};
use testkit::{PASSWORD, Persona, World, id_of};

use crate::second_factor::code_of;

use super::{
    columns::{Maker, Standing},
    objects::Target,
};

/// Operations that take what [`body`] says.
const BODIES: [&str; 19] = [
    "sign_in",
    "change_password",
    "sign_out",
    "accept_invitation",
    "create_invitation",
    "update_member",
    "update_workspace",
    "revoke_sign_in",
    "confirm_me",
    "update_me",
    "begin_totp",
    "confirm_totp",
    "renew_recovery_codes",
    "sign_in_page",
    "accept_invitation_page",
    "confirm_page",
    "confirm_totp_page",
    "change_password_page",
    "rename_me_page",
];

/// Operations of people as a whole: a test key has nothing to do with them.
pub(super) const PEOPLE: [&str; 9] = [
    "list_members",
    "get_member",
    "update_member",
    "remove_member",
    "list_invitations",
    "create_invitation",
    "revoke_invitation",
    "get_workspace",
    "update_workspace",
];

/// After these the browser is signed in no more, as somebody else, or with another cookie.
const ENDS_A_SIGN_IN: [&str; 10] = [
    "confirm_me",
    "confirm_page",
    "sign_in",
    "sign_out",
    "revoke_sign_in",
    "sign_in_page",
    "sign_out_page",
    "revoke_sign_in_page",
    "complete_setup_page",
    "accept_invitation_page",
];

pub(super) fn takes(operation: &str) -> bool {
    BODIES.contains(&operation)
}

/// The id that the path names, if it names somebody or what somebody was sent.
pub(super) async fn id(world: &World, operation: &Meta) -> Option<String> {
    let id = match (operation.path, operation.method) {
        ("/v1/members/{id}", Method::Delete) | ("/_/members/{id}/remove", _) => join(world).await,
        ("/v1/members/{id}" | "/_/members/{id}", _) => {
            let list = world.secret().get("/v1/members?per_page=100").await.expect(200).data();
            let member = list.as_array().unwrap().iter().find(|row| row["role"] == "member").unwrap();
            member["id"].as_str().unwrap().to_owned()
        }
        ("/v1/invitations/{id}" | "/_/invitations/{id}/revoke", _) => {
            id_of(&invite(world, "revoked@matrix.example").await)
        }
        // Of whoever is signed in: see `of_the_sender`.
        ("/v1/sign-ins/{id}" | "/_/account/sign-ins/{id}/revoke", _) => "ses_00000000000000000000000002".to_owned(),
        _ => return None,
    };
    Some(id)
}

pub(super) async fn body(world: &World, operation: &str) -> Value {
    match operation {
        "sign_in" | "sign_in_page" => json!({"email": "owner@people.example", "password": PASSWORD}),
        // To the same: whoever asks next has it still.
        "change_password" => json!({"current_password": PASSWORD, "new_password": PASSWORD}),
        "change_password_page" => {
            json!({"current_password": PASSWORD, "new_password": PASSWORD, "again": PASSWORD})
        }
        "accept_invitation" | "accept_invitation_page" => {
            let email = format!("{}@matrix.example", unique(world));
            let token = invite(world, &email).await.data()["token"].take();
            let mut body = json!({"token": token, "name": "New", "password": PASSWORD});
            if operation == "accept_invitation_page" {
                body["again"] = json!(PASSWORD);
            }
            body
        }
        "create_invitation" => json!({"email": "invited@matrix.example", "role": "member"}),
        "confirm_me" | "confirm_page" => json!({"password": PASSWORD}),
        "confirm_totp" | "confirm_totp_page" => json!({"code": "123456"}),
        "update_member" | "update_me" | "rename_me_page" => json!({"name": "Renamed"}),
        "update_workspace" => json!({"leak_grace_seconds": 3600}),
        _ => json!({}),
    }
}

/// What only the sender itself can name, and who sends it when the request ends a sign-in.
pub(super) async fn of_the_sender(
    world: &World,
    operation: &Meta,
    by: &Persona,
    target: &mut Target,
) -> Option<Persona> {
    if by.cookie().is_empty() {
        return None;
    }
    let is_of_an_app = operation.path.starts_with("/v1/me/totp") || operation.path.starts_with("/_/account/codes");
    if is_of_an_app && operation.method != Method::Get {
        return Some(with_an_app(world, operation, by, target).await);
    }
    if operation.id == "send_trial_message" {
        let opened = by.post(&format!("/v1/bots/{}/trials", world.bot().await), &json!({})).await.expect(201).data();
        target.path = format!("/v1/trials/{}/messages", opened["conversation_id"].as_str().unwrap());
    }
    if !ENDS_A_SIGN_IN.contains(&operation.id) {
        return None;
    }
    let fresh = world.sign_in(&format!("{}@people.example", by.name())).await;
    let list = fresh.get("/v1/sign-ins").await.expect(200).data();
    let own = list.as_array().unwrap().iter().find(|row| row["is_current"] == true).unwrap();
    target.path = target.path.replace("ses_00000000000000000000000002", own["id"].as_str().unwrap());
    Some(fresh)
}

/// Somebody else of the same role, who comes with an app as far as the operation takes.
async fn with_an_app(world: &World, operation: &Meta, by: &Persona, target: &mut Target) -> Persona {
    let name = Box::leak(format!("app-{}", unique(world).to_lowercase()).into_boxed_str());
    let person = world.member(name, by.name()).await;
    if matches!(operation.id, "begin_totp" | "begin_totp_page") {
        return person;
    }
    let code = code_of(world, &person.post("/v1/me/totp", &json!({})).await.expect(200).data());
    let code = json!({"code": code});
    if matches!(operation.id, "confirm_totp" | "confirm_totp_page") {
        target.body = Some(code);
    } else {
        let _ = person.post("/v1/me/totp/confirm", &code).await.expect(200);
    }
    person
}

impl Maker<'_> {
    pub(super) async fn people(&mut self) {
        let abouts = [
            ("member", "a person who is signed in, role member", Role::Member),
            ("admin", "a person who is signed in, role admin", Role::Admin),
            ("owner", "a person who is signed in, role owner", Role::Owner),
        ];
        for (name, about, role) in abouts {
            let by = self.world.member(name, role.as_str()).await;
            let (member, session) = (MemberId(Ulid(1)), MemberSessionId(Ulid(1)));
            let (tenant, confirmed_at) = (self.world.tenant(), Millis(0));
            let caller = Caller::Member(MemberCaller { member, tenant, role, session, confirmed_at });
            self.add(name, about, by, Standing::Person(caller));
        }
    }
}

async fn invite(world: &World, email: &str) -> testkit::Answer {
    world.secret().post("/v1/invitations", &json!({"email": email, "role": "member"})).await.expect(201)
}

/// A new member's id.
async fn join(world: &World) -> String {
    let body = body(world, "accept_invitation").await;
    id_of(&world.client().post("/v1/invitations/accept", &body).send().await.expect(201))
}

fn unique(world: &World) -> String {
    let app = world.server().running().app();
    Ulid::mint(app.clock(), app.random()).map(|id| String::from_utf8_lossy(&id.digits()).into_owned()).unwrap()
}
