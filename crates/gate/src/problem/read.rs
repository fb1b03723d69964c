//! What a problem says, for whoever has one in hand.

use std::{borrow::Cow, error::Error};

use access::{Role, Scope};
use credential::key::Environment;
use http::StatusCode;

use super::{FieldError, Problem};
use crate::Outcome;

impl Problem {
    /// The role that would do, of a refusal for want of one.
    #[must_use]
    pub fn required_role(&self) -> Option<Role> {
        self.0.required_role
    }

    /// The scope that would do, of a refusal for want of one.
    #[must_use]
    pub fn required_scope(&self) -> Option<Scope> {
        self.0.required_scope
    }

    /// The half of the data that the form's page showed, of a refusal for that; of a 404, the one that was looked in.
    #[must_use]
    pub fn shown_environment(&self) -> Option<Environment> {
        self.0.shown
    }

    /// The budget that was used up, of a refusal for that.
    #[must_use]
    pub fn policy(&self) -> Option<&'static str> {
        self.0.verdict.map(|verdict| verdict.policy)
    }

    /// The message, where its words are always the same: nothing of the request is in them.
    pub(crate) fn fixed_message(&self) -> Option<&'static str> {
        match self.0.message {
            Cow::Borrowed(message) => Some(message),
            Cow::Owned(_) => None,
        }
    }

    /// The status it answers with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Its stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// What the caller reads.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What is wrong with each field.
    #[must_use]
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// After how many seconds it may be tried again.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        self.0.retry_after
    }

    /// How a page answers that says it.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        Outcome { status: self.0.status, retry_after: self.0.retry_after }
    }

    /// The last page that there is, of a refusal for want of the one that was asked for.
    #[must_use]
    pub fn last_page(&self) -> Option<u64> {
        self.0.last_page
    }

    /// What the operator should know; never part of the answer.
    #[must_use]
    pub fn cause(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.0.cause.as_deref()
    }
}
