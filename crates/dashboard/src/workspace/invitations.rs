//! Invitations: who is asked to join. The link is shown once.

use access::Role;
use ambient::InvitationId;
use api::App;
use askama::Template;
use gate::{Ask, Call, Nothing, Operation, PageQuery, Problem, Raw, Routes};
use serde::Deserialize;
use serde_json::json;

use super::members::up_to;
use crate::{
    Form,
    desk::Desk,
    doers::Doer,
    form,
    frame::Frame,
    page,
    show::{One, Pager, Trouble, When},
};

const SHOW_INVITATIONS: Operation<PageQuery, Raw> =
    page("/_/invitations", "show_invitations_page", "The list of invitations.", Role::Member);
const SHOW_NEW: Operation<Nothing, Raw> =
    page("/_/invitations/new", "show_new_invitation_page", "The form of an invitation.", Role::Admin);
const INVITE: Operation<Form, Raw> =
    form("/_/invitations", "create_invitation_page", "Invite somebody; the link is shown once.", Role::Admin);
const REVOKE: Operation<Form, Raw> =
    form("/_/invitations/{id}/revoke", "revoke_invitation_page", "Take an invitation back.", Role::Admin);

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_INVITATIONS, show_invitations);
    routes.mount(SHOW_NEW, show_new);
    routes.mount(INVITE, invite);
    routes.mount(REVOKE, revoke);
}

/// An invitation, as the API says.
#[derive(Clone, Debug, Deserialize)]
struct Invitation {
    id: String,
    email: String,
    role: Role,
    status: String,
    invited_by: String,
    created_at: When,
    expires_at: When,
}

impl Invitation {
    fn is_open(&self) -> bool {
        self.status == "pending"
    }

    fn badge(&self) -> &'static str {
        match self.status.as_str() {
            "accepted" => "good",
            "pending" => "warn",
            _ => "",
        }
    }
}

#[derive(Template)]
#[template(path = "workspace/invitations.html")]
struct InvitationsPage {
    frame: Frame,
    /// Each, and who sent it.
    invitations: Vec<(Invitation, Doer)>,
    pager: Pager,
    may_write: bool,
}

async fn show_invitations(_: App, call: Call<PageQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let ask = Ask::to("list_invitations");
    let (invitations, pager) = desk.list::<Invitation>(ask, call.input.page, "/_/invitations", &[]).await?;
    let senders = Doer::of_all(&desk, invitations.iter().map(|one| one.invited_by.as_str())).await;
    desk.render(&InvitationsPage {
        frame: desk.frame("Invitations", "show_members_page"),
        invitations: invitations.into_iter().zip(senders).collect(),
        pager,
        may_write: desk.may("create_invitation"),
    })
}

#[derive(Template)]
#[template(path = "workspace/invite.html")]
struct InvitePage<'a> {
    frame: Frame,
    email: &'a str,
    /// Those that the reader may give, and whether it is chosen.
    roles: Vec<(Role, bool)>,
    trouble: Trouble,
}

fn invite_page(desk: &Desk<'_>, form: &Form, trouble: Trouble) -> Result<Raw, Problem> {
    let status = trouble.status;
    let page = InvitePage {
        frame: desk.frame("Invite somebody", "show_members_page"),
        email: form.text("email"),
        roles: up_to(desk.me.role).map(|role| (role, role.as_str() == form.text("role"))).collect(),
        trouble,
    };
    Ok(desk.render(&page)?.with_status(status))
}

async fn show_new(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    invite_page(&Desk::open(&call).await?, &Form::default(), Trouble::default())
}

/// An invitation with its link.
#[derive(Deserialize)]
struct Invited {
    email: String,
    role: Role,
    expires_at: When,
    url: String,
}

#[derive(Template)]
#[template(path = "workspace/invited.html")]
struct InvitedPage {
    frame: Frame,
    invited: Invited,
}

async fn invite(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, form) = (Desk::open(&call).await?, &call.input);
    let body = json!({"email": form.text("email"), "role": form.text("role")});
    match desk.get::<One<Invited>>(Ask::to("create_invitation").body(&body).once(form.text("once"))).await {
        Ok(invited) => {
            let frame = desk.frame("The invitation's link", "show_members_page");
            desk.render(&InvitedPage { frame, invited: invited.data })
        }
        Err(problem) => invite_page(&desk, form, Trouble::again(problem)?),
    }
}

async fn revoke(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<InvitationId>("id")?);
    desk.ask(Ask::to("revoke_invitation").at("id", id)).await?;
    Ok(Raw::see_other("/_/invitations?done=taken-back"))
}
