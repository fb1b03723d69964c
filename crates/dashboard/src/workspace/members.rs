//! Members: who they are, and what they may do.

use access::Role;
use ambient::MemberId;
use api::App;
use askama::Template;
use gate::{Ask, Call, Nothing, Operation, PageQuery, Problem, Raw, Routes};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    page,
    show::{One, Pager, Trouble, When},
};

const SHOW_MEMBERS: Operation<PageQuery, Raw> =
    page("/_/members", "show_members_page", "The people of the workspace.", Role::Member);
const SHOW_MEMBER: Operation<Nothing, Raw> = page("/_/members/{id}", "show_member_page", "A member.", Role::Member);
const UPDATE_MEMBER: Operation<Form, Raw> =
    form("/_/members/{id}", "update_member_page", "Change a member's name or role.", Role::Admin);
const REMOVE_MEMBER: Operation<Form, Raw> =
    form("/_/members/{id}/remove", "remove_member_page", "Remove a member.", Role::Admin);

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_MEMBERS, show_members);
    routes.mount(SHOW_MEMBER, show_member);
    routes.mount(UPDATE_MEMBER, update_member);
    routes.mount(REMOVE_MEMBER, remove_member);
}

/// A member, as the API says.
#[derive(Clone, Debug, Deserialize)]
struct Member {
    id: String,
    email: String,
    name: String,
    role: Role,
    last_seen_at: Option<When>,
    created_at: When,
}

impl Member {
    fn shown(&self) -> &str {
        if self.name.is_empty() { &self.email } else { &self.name }
    }
}

/// Nobody gives more than the own role.
pub(super) fn up_to(own: Role) -> impl Iterator<Item = Role> {
    Role::ALL.into_iter().filter(move |role| *role <= own)
}

#[derive(Template)]
#[template(path = "workspace/members.html")]
struct MembersPage {
    frame: Frame,
    members: Vec<Member>,
    pager: Pager,
    may_write: bool,
}

async fn show_members(_: App, call: Call<PageQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let (members, pager) = desk.list(Ask::to("list_members"), call.input.page, "/_/members", &[]).await?;
    desk.render(&MembersPage {
        frame: desk.frame("Members", "show_members_page"),
        members,
        pager,
        may_write: desk.may("create_invitation"),
    })
}

#[derive(Template)]
#[template(path = "workspace/member.html")]
struct MemberPage {
    frame: Frame,
    member: Member,
    /// Those that the reader may give, and whether it is the member's.
    roles: Vec<(Role, bool)>,
    is_me: bool,
    may_write: bool,
    may_audit: bool,
    trouble: Trouble,
}

async fn member_page<I>(desk: &Desk<'_>, call: &Call<I>, trouble: Trouble) -> Result<Raw, Problem> {
    let id = call.id::<MemberId>("id")?;
    let member = desk.get::<One<Member>>(Ask::to("get_member").at("id", id)).await?.data;
    let status = trouble.status;
    let page = MemberPage {
        frame: desk.frame(member.shown(), "show_members_page"),
        roles: up_to(desk.me.role).map(|role| (role, role == member.role)).collect(),
        is_me: member.id == desk.me.id,
        // Owners are changed by owners alone.
        may_write: desk.may("update_member") && member.role <= desk.me.role,
        may_audit: desk.may("list_audit_log"),
        member,
        trouble,
    };
    Ok(desk.render(&page)?.with_status(status))
}

async fn show_member(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    member_page(&desk, &call, Trouble::default()).await
}

async fn update_member(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<MemberId>("id")?);
    let member = desk.get::<One<Member>>(Ask::to("get_member").at("id", id)).await?.data;
    // What stays is not said: a person without a name keeps none.
    let mut body = json!({});
    if call.input.text("name") != member.name {
        body["name"] = json!(call.input.text("name"));
    }
    if call.input.text("role") != member.role.as_str() {
        body["role"] = json!(call.input.text("role"));
    }
    match desk.ask(Ask::to("update_member").at("id", id).body(&body)).await {
        Ok(_) => Ok(Raw::see_other(&format!("/_/members/{id}?done=saved"))),
        Err(problem) => member_page(&desk, &call, Trouble::again(problem)?).await,
    }
}

async fn remove_member(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<MemberId>("id")?);
    match desk.ask(Ask::to("remove_member").at("id", id)).await {
        Ok(_) => Ok(Raw::see_other("/_/members?done=removed")),
        Err(problem) => member_page(&desk, &call, Trouble::again(problem)?).await,
    }
}
