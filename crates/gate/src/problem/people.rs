//! What people are told who do not prove, or no longer, who they are.

use http::StatusCode;

use super::{Challenge, Problem};

impl Problem {
    /// 401 `INVALID_CREDENTIALS`: an address and a password that are not somebody's, whichever of them is wrong.
    #[must_use]
    pub fn wrong_password() -> Self {
        let message = "The address or the password is wrong";
        Self::new(StatusCode::UNAUTHORIZED, "INVALID_CREDENTIALS", message)
            .with(|details| details.challenge = Some(Challenge::NoCredential))
    }

    /// 401 `SECOND_FACTOR_REQUIRED`: the password was right, and this account also has codes.
    #[must_use]
    pub fn second_factor_required() -> Self {
        let message = "Send `code` too: the six digits that your app shows, or one of your recovery codes";
        Self::new(StatusCode::UNAUTHORIZED, "SECOND_FACTOR_REQUIRED", message)
            .with(|details| details.challenge = Some(Challenge::NoCredential))
    }

    /// 403 `CONFIRMATION_REQUIRED`: the person has to prove again who it is.
    #[must_use]
    pub fn confirmation_required() -> Self {
        let message =
            "Say your password again, with `POST /v1/me/confirm` or on the page /_/confirm, and then send this again";
        Self::new(StatusCode::FORBIDDEN, "CONFIRMATION_REQUIRED", message)
    }
}
