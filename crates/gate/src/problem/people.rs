//! What people are told who do not prove, or no longer, who they are.

use credential::key::Environment;
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

    /// 404 `NOT_FOUND`: a page of a list that ends before it.
    #[must_use]
    pub fn past_the_end(last_page: u64) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", format!("The last page of this list is {last_page}"))
            .with(|details| details.last_page = Some(last_page))
    }

    /// 409 `OTHER_ENVIRONMENT`: a form of a page that showed this half of the data, from a browser that is shown the
    /// other one by now.
    #[must_use]
    pub fn other_environment(shown: Environment) -> Self {
        let message = match shown {
            Environment::Live => "The page of this form showed the live data, and this browser is shown the test data",
            Environment::Test => "The page of this form showed the test data, and this browser is shown the live data",
        };
        Self::new(StatusCode::CONFLICT, "OTHER_ENVIRONMENT", message).with(|details| details.shown = Some(shown))
    }
}
