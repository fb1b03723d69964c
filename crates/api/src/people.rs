//! What the operations on people share: who may do how much to whom.

use access::{Caller, Refusal, Role, Scope, Tenant};
use credential::key::Environment;
use gate::{Call, Problem};
use store::StoreError;

use crate::problem::must_cover;

/// One letter at least, and no control characters.
pub(crate) const NAME_PATTERN: &str = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$";
/// An address as HTML's `<input type=email>` takes it, in ASCII.
pub(crate) const EMAIL_PATTERN: &str = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$";

/// Whether `text` fits [`EMAIL_PATTERN`] and is 254 bytes at most.
pub(crate) fn is_email(text: &str) -> bool {
    let Some((name, domain)) = text.split_once('@') else { return false };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 254 && !name.is_empty() && name.bytes().all(is_name) && domain.split('.').all(is_label)
}

/// People belong to the whole workspace: a test key, which could otherwise ask somebody in who sees live data,
/// has nothing to do with them.
pub(crate) fn of_people<I>(call: &Call<I>) -> Result<Tenant, Problem> {
    let tenant = call.tenant()?;
    match (&call.caller, tenant.environment) {
        (Caller::Member(_), _) | (_, Environment::Live) => Ok(Tenant { environment: Environment::Live, ..tenant }),
        (_, Environment::Test) => Err(Refusal::WrongCredential.into()),
    }
}

/// The highest role that the caller may touch.
pub(crate) fn held_role(caller: &Caller) -> Role {
    match caller {
        Caller::Member(member) => member.role,
        Caller::Key(key) if key.scopes.allows(Scope::Admin) => Role::Owner,
        _ => Role::Admin,
    }
}

/// Nobody makes anybody more than he is himself: a person by role, a key by all that the role can do.
pub(crate) fn must_give(caller: &Caller, role: Role) -> Result<(), Problem> {
    match caller {
        Caller::Member(member) if role > member.role => Err(Refusal::MissingRole(role).into()),
        Caller::Member(_) => Ok(()),
        caller => must_cover(caller.scopes(), role.scopes()),
    }
}

/// Nobody changes or removes whom he could not have made: a key, by all that the role can do. Of a person the
/// store asks, in its turn.
pub(crate) fn must_touch(caller: &Caller, role: Role) -> Result<(), Problem> {
    match caller {
        Caller::Member(_) => Ok(()),
        caller => must_cover(caller.scopes(), role.scopes()),
    }
}

/// Why the store did not change somebody.
pub(crate) fn of_change(caller: &Caller, error: StoreError) -> Problem {
    match error {
        StoreError::Conflict("role") => match caller {
            Caller::Member(_) => Refusal::MissingRole(Role::Owner).into(),
            _ => Refusal::MissingScope(Scope::Admin).into(),
        },
        StoreError::Conflict("last_owner") => {
            Problem::conflict("A workspace keeps one owner: make somebody else an owner first")
        }
        StoreError::Conflict("email") => Problem::conflict("This address is a member already"),
        StoreError::Conflict("members") => Problem::conflict("This workspace has as many members as it may"),
        StoreError::Conflict("invitations") => {
            Problem::conflict("This workspace has as many open invitations as it may: revoke one first")
        }
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_what_a_browser_takes_for_one() {
        for right in ["ada@example.com", "a.b+c@x", "o'hara@sub.example.co.uk", "A@B-c.D"] {
            assert!(is_email(right), "{right}");
        }
        let long = format!("{}@example.com", "a".repeat(250));
        for wrong in
            ["", "ada", "@x", "ada@", "a b@x", "ada@-x", "ada@x-", "ada@x..y", "ada@x.", "a@b@c", "é@x", "a@é", &long]
        {
            assert!(!is_email(wrong), "{wrong}");
        }
    }
}
