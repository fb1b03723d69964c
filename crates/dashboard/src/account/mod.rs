//! Getting in, and what people do to themselves: the password, codes of an app, the browsers they are signed in with.

mod codes;
mod confirm;
mod own;
mod qr;
mod sign_in;

use access::{Access, Limit, Role};
use api::App;
use gate::{Operation, Raw, Routes};

pub(crate) use sign_in::with_cookies;

use crate::{Form, layout};

pub(crate) fn mount(routes: &mut Routes<App>) {
    sign_in::mount(routes);
    confirm::mount(routes);
    own::mount(routes);
    codes::mount(routes);
}

/// A form in which a secret may be guessed: the address pays as for signing in.
const fn guarded(path: &'static str, id: &'static str, summary: &'static str) -> Operation<Form, Raw> {
    let access = Access::closed(Limit::SignIn).member(Role::Member);
    Operation::post(path, id, summary, access).form().page(layout::refusal)
}

/// Where one proves again who one is, and is led back to the own account.
const CONFIRM_FIRST: &str = "/_/confirm?next=/_/account";
