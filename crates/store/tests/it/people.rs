//! What the store asks of people once more, in the transaction that changes something: a request may be old by then.

use access::{Actor, ActorKind, Role};
use ambient::{MemberSessionId, Ulid};
use store::{AuditEntry, MemberChange, MemberRecord, NewInvitation, StoreError, Workspace};

use crate::databases::{FIRST, World, by, digest, on_each};

async fn owner(tenant: &Workspace) -> MemberRecord {
    let all = tenant.members(FIRST).await.unwrap().rows;
    all.into_iter().find(|member| member.role == Role::Owner).unwrap()
}

async fn join(world: &World, tenant: &Workspace, n: u8, role: Role) -> MemberRecord {
    let new = NewInvitation { email: format!("{n}@people.example"), role, digest: digest(n) };
    let invited = tenant.invite(new, Role::Owner, by("invite")).await.unwrap();
    world.store.accept_invitation(&invited, "Somebody", "hash", by("accept")).await.unwrap()
}

fn is_conflict<T>(found: &Result<T, StoreError>, what: &str) -> bool {
    matches!(found, Err(StoreError::Conflict(found)) if *found == what)
}

#[tokio::test]
async fn a_role_that_was_taken_away_meanwhile_changes_nobody() {
    on_each(async |world| {
        let (tenant, _) = world.tenant("a").await;
        let (admin, other) = (join(world, &tenant, 1, Role::Admin).await, join(world, &tenant, 2, Role::Member).await);
        let actor = Actor { kind: ActorKind::Member, id: admin.id.to_string(), ..Actor::system() };
        let audit = || AuditEntry { actor: &actor, action: "x", detail: None };
        let raise = || MemberChange { role: Some(Role::Admin), ..MemberChange::default() };
        let new = |n: u8, role| NewInvitation { email: format!("new{n}@people.example"), role, digest: digest(n) };
        // It was let in as an owner, and is one no longer.
        let above = tenant.invite(new(3, Role::Owner), Role::Owner, audit()).await;
        assert!(is_conflict(&above, "role"), "no more than the role of this moment");
        let first = owner(&tenant).await.id;
        assert!(is_conflict(&tenant.remove_member(first, Role::Owner, audit()).await, "role"));
        let lesser = MemberChange { role: Some(Role::Member), ..MemberChange::default() };
        tenant.update_member(admin.id, lesser, Role::Owner, by("demote")).await.unwrap();
        assert!(is_conflict(&tenant.update_member(other.id, raise(), Role::Admin, audit()).await, "role"));
        assert!(is_conflict(&tenant.remove_member(other.id, Role::Admin, audit()).await, "role"));
        assert!(is_conflict(&tenant.invite(new(4, Role::Member), Role::Admin, audit()).await, "role"));
        tenant.update_member(other.id, raise(), Role::Owner, by("raise")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn of_two_who_change_one_password_the_second_changes_nothing() {
    on_each(async |world| {
        let (tenant, _) = world.tenant("a").await;
        let member = owner(&tenant).await;
        let kept = MemberSessionId(Ulid(1));
        let change = |old: &'static str, new: &'static str| {
            tenant.change_password(member.id, (old, new), kept, by("change_password"))
        };
        change("$argon2id$", "one").await.unwrap();
        assert!(is_conflict(&change("$argon2id$", "two").await, "password"));
        assert_eq!(tenant.member(member.id).await.unwrap().password_hash, "one");
    })
    .await;
}

#[tokio::test]
async fn a_code_confirms_the_app_that_was_begun_last_and_no_other() {
    on_each(async |world| {
        let (tenant, _) = world.tenant("a").await;
        let (member, kept) = (owner(&tenant).await.id, MemberSessionId(Ulid(1)));
        tenant.begin_totp(member, vec![1], by("begin")).await.unwrap();
        tenant.begin_totp(member, vec![2], by("begin")).await.unwrap();
        let confirm = |sealed: u8| tenant.confirm_totp(member, (vec![sealed], 7), &[], kept, by("confirm"));
        assert!(is_conflict(&confirm(1).await, "second_factor"), "a code of the app before");
        confirm(2).await.unwrap();
        assert!(is_conflict(&confirm(2).await, "second_factor"), "once");
        assert!(!tenant.use_totp_step(member, 7).await.unwrap() && tenant.use_totp_step(member, 8).await.unwrap());
    })
    .await;
}
