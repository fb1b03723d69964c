//! Why a request was refused, more exactly than its answer may say: for the owners of the credential, and nobody
//! else.

use crate::Problem;

/// A step of the check of a request, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// Is there such an operation?
    Route,
    /// Is it a credential, and one?
    Credential,
    /// Does it work, at this moment?
    State,
    /// May it come from there: a browser, an address, a page?
    Place,
    /// May its holder do this?
    Permission,
    /// Is there budget left?
    Limits,
    /// Is what was asked in order? This is the operation's own to say.
    Request,
}

impl Check {
    /// Every step, in order.
    pub const ALL: [Self; 7] =
        [Self::Route, Self::Credential, Self::State, Self::Place, Self::Permission, Self::Limits, Self::Request];

    /// Its stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Credential => "credential",
            Self::State => "state",
            Self::Place => "place",
            Self::Permission => "permission",
            Self::Limits => "limits",
            Self::Request => "request",
        }
    }
}

macro_rules! reasons {
    ($($(#[$comment:meta])* $name:ident $text:literal $check:ident $says:literal $advice:literal;)*) => {
        /// Why a request was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "its sentence says it")]
        pub enum Reason { $($name),* }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its stable name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// The step at which it refuses.
            #[must_use]
            pub const fn check(self) -> Check {
                match self { $(Self::$name => Check::$check),* }
            }

            /// What was wrong.
            #[must_use]
            pub const fn says(self) -> &'static str {
                match self { $(Self::$name => $says),* }
            }

            /// What to do about it.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice),* }
            }
        }
    };
}

reasons! {
    UnknownPath "unknown_path" Route "No operation has this path."
        "Compare the path with the reference: version, spelling, no slash at the end.";
    MethodNotAllowed "method_not_allowed" Route "The path is known and does not take this method."
        "Use one of the methods that the answer's `Allow` header names.";
    CredentialMissing "credential_missing" Credential "Nothing was sent that says who asks."
        "Send the key as `Authorization: Bearer …` or as `X-API-Key`. A proxy in between may have taken the header away.";
    CredentialsSeveral "credentials_several" Credential "More than one credential came with the request."
        "Send one: `Authorization` or `X-API-Key`, once.";
    CookieAndCredential "cookie_and_credential" Credential
        "A credential came together with the cookie of somebody who is signed in."
        "Ask from a server, or from a browser that is not signed in here.";
    CredentialMalformed "credential_malformed" Credential
        "The header holds something that is no credential: another scheme than `Bearer`, a space or a quote in it, or characters that no key has."
        "Send `Authorization: Bearer` and the key, as it was shown, without quotes.";
    KeyLength "key_length" Credential "It begins like a key, and is too short or too long."
        "Copy the whole key again: a part of it is missing, or something is attached to it.";
    KeyAlphabet "key_alphabet" Credential "It begins like a key, and has a character that no key has."
        "Copy the key again, without quotes, dots or line breaks.";
    KeyChecksum "key_checksum" Credential "Its checksum is wrong: a character was mistyped, or it was made up."
        "Copy the key again.";
    KeySyntax "key_syntax" Credential "It is neither a key nor a token."
        "Send a key that was made here, or a token that such a key has made.";
    KeyUnknown "key_unknown" State
        "It is well-formed, and no key of this workspace: of another installation or workspace, or deleted long ago."
        "Check that the key is meant for this server, and that it was copied from the right environment.";
    KeyRevoked "key_revoked" State "The key is revoked." "Make a new key; a revoked one never works again.";
    KeyExpired "key_expired" State "The key has expired." "Make a new key, or give this one a later end.";
    SecretReplaced "secret_replaced" State
        "The key was rotated, and the grace of this older secret is over."
        "Use the newest secret of the key; if it is lost, rotate the key again.";
    AccountDisabled "account_disabled" State "The key's service account is disabled."
        "Enable the service account, or use a key of another one.";
    AccountDeleted "account_deleted" State "The key's service account was deleted, and its keys with it."
        "Make a service account and a key anew.";
    TokenMalformed "token_malformed" Credential "It looks like a token, and is none that this server makes."
        "Take the token as it was answered, whole.";
    TokenForged "token_forged" State "The token is none of this workspace: its signature is wrong, or another workspace or installation made it."
        "Take a new token from this server.";
    TokenOther "token_other_kind" State "It is a token of another kind than this operation takes."
        "Chat takes session tokens, runs take participants' tokens.";
    TokenExpired "token_expired" State "The token has expired." "Open a new session, or have the token renewed in time.";
    TokenParent "token_parent" State "The key that made this token is revoked, expired or disabled."
        "Make a token with a key that works.";
    TokenStale "token_stale" State
        "The token was made before its key's secret was replaced without a grace, or its tokens were cut."
        "Make a new token with the key's present secret.";
    TokenParentNarrowed "token_parent_narrowed" State "The key that made this token may not chat any more."
        "Give the key `chat:write` again, or make the token with another key.";
    SessionEnded "session_ended" State "The chat session has ended, was deleted, or rested for too long."
        "Open a new session.";
    CookieMalformed "cookie_malformed" Credential "The cookie is not one that this server gives."
        "Sign in again.";
    CookieDead "cookie_dead" State
        "Nobody is signed in with this cookie any more: signed out, removed, or idle for too long." "Sign in again.";
    SecretInBrowser "secret_in_browser" Place
        "A key for servers came from a browser: the request has an `Origin` or a `Sec-Fetch-Site` header."
        "Use a widget key in pages, and rotate this one: whoever opened the page has seen it. A proxy that forwards these headers is let through with `allow_origin_header`.";
    AddressNotListed "address_not_listed" Place "The client's address is not on the key's list."
        "Add the address to the key's `allowed_ips`, or ask from a listed one. Behind a proxy, see `trusted_proxies`.";
    OriginMissing "origin_missing" Place "A widget key was used without an `Origin`: not from a page."
        "Widget keys work in browsers alone; servers use a secret key.";
    OriginNull "origin_null" Place "The page's origin is `null`: a file, a sandboxed frame or a redirect."
        "Serve the page from a site that the key lists.";
    OriginLocalhost "origin_localhost" Place "The page is on `localhost`, which this key does not allow."
        "Turn `allow_localhost` on for this key, or use one for development.";
    OriginNotListed "origin_not_listed" Place "The page's origin is not on the list that counts here."
        "Add the site to the key's `allowed_domains`, with its scheme and port as the browser sends it.";
    SessionOrigin "session_origin" Place "The token is bound to the page that opened its session, and came from another."
        "Open a session on this page.";
    OtherPage "other_page" Place
        "Someone who is signed in changes things from our own pages alone, and this came from elsewhere or did not say."
        "Use the dashboard; a program uses a key, or says `Origin` with this server's own address.";
    ScopeMissing "scope_missing" Permission "The key lacks the scope that this operation needs."
        "Give the key the scope that is named, or use one that has it.";
    RoleMissing "role_missing" Permission "The person's role does not allow this."
        "Ask somebody with the role that is named.";
    WrongKind "wrong_kind" Permission "The credential is good, and of a kind that this operation does not take."
        "Use one of the kinds that the operation names.";
    OtherConversation "other_conversation" Permission "The session token belongs to another conversation."
        "A session token opens its own conversation and no other.";
    ConfirmationRequired "confirmation_required" Permission
        "This is dangerous, and it is a while since the person has proved who it is."
        "Confirm with the password, and try again.";
    LimitReached "limit_reached" Limits "A budget was used up; the policy says which."
        "Wait for as long as `Retry-After` says, send less often, or raise the budget.";
    TooManyFailures "too_many_failures" Limits "Too many wrong credentials have come from this address."
        "Find out what sends them: each of its requests carries a credential that does not work.";
    CreditsSpent "credits_spent" Request "The workspace has no credits left." "Grant some, or turn metering off.";
    ChallengeRequired "challenge_required" Request "A stranger has some work to do before this is answered."
        "Solve the challenge in the answer, and send its solution along.";
    SignatureWrong "signature_wrong" Request "The message is not signed as it must be, or was signed too long ago."
        "Compare the secret at both ends, and the clocks.";
    PasswordWrong "password_wrong" Request "The address or the password is wrong." "Try again, or ask for a new link.";
    TriggerUnknown "token_in_path_unknown" Request "The token in the path is none that is in force."
        "Compare the address with the one that was shown when it was made.";
    SecondFactorMissing "second_factor_missing" Request "The password was right, and this account also has codes."
        "Send the six digits that the app shows, or a recovery code.";
    BodyTooLarge "body_too_large" Request "The body is larger than is taken." "Send less.";
    BodySlow "body_slow" Request "The body did not arrive in time." "Send it at once, or over a faster line.";
    BodyType "body_type" Request "The body is of another type than this operation takes."
        "Say the right `Content-Type`; most operations take `application/json`.";
    BodyMalformed "request_malformed" Request "The body, a header or a parameter cannot be read."
        "See what the answer's message names.";
    FieldWrong "field_wrong" Request "The body can be read, and a field is not as it must be."
        "See the fields that are named.";
    NotFound "not_found" Request
        "There is no such thing in this workspace and environment, or it is not this credential's to see."
        "Check the id, and whether it belongs to the live or to the test data.";
    Conflict "conflict" Request "It is there already, is in the way of something else, or is no longer possible."
        "Read the thing again, and decide by what it is now.";
    NotConfigured "not_configured" Request "The operator has not set this up." "See what the answer's message names.";
    Unavailable "unavailable" Request "The server could not do it at that moment: its own fault, or the model's."
        "Try again; the operator finds the cause in the log under the request's id.";
    Other "other" Request "It was refused; the code says why." "See the code in the reference.";
}

impl Reason {
    /// What the answer itself tells.
    #[must_use]
    pub fn of(problem: &Problem) -> Self {
        match problem.code() {
            "RATE_LIMITED" if problem.policy() == Some("failures") => Self::TooManyFailures,
            "RATE_LIMITED" => Self::LimitReached,
            "MISSING_CREDENTIAL" => Self::CredentialMissing,
            "MULTIPLE_CREDENTIALS" => Self::CredentialsSeveral,
            "INVALID_API_KEY" => Self::KeyUnknown,
            "API_KEY_EXPIRED" => Self::KeyExpired,
            // What the gate refuses it notes more exactly; handlers know tokens in paths.
            "INVALID_TOKEN" => Self::TriggerUnknown,
            "TOKEN_EXPIRED" => Self::TokenExpired,
            "INSUFFICIENT_PERMISSIONS" if problem.required_role().is_some() => Self::RoleMissing,
            "INSUFFICIENT_PERMISSIONS" if problem.required_scope().is_none() => Self::AddressNotListed,
            "INSUFFICIENT_PERMISSIONS" => Self::ScopeMissing,
            "ORIGIN_NOT_ALLOWED" => Self::OriginNotListed,
            "SECRET_KEY_IN_BROWSER" => Self::SecretInBrowser,
            "WRONG_CREDENTIAL" => Self::WrongKind,
            "CONVERSATION_MISMATCH" => Self::OtherConversation,
            "CONFIRMATION_REQUIRED" => Self::ConfirmationRequired,
            "INSUFFICIENT_CREDITS" => Self::CreditsSpent,
            "CHALLENGE_REQUIRED" => Self::ChallengeRequired,
            "INVALID_SIGNATURE" => Self::SignatureWrong,
            "INVALID_CREDENTIALS" => Self::PasswordWrong,
            "SECOND_FACTOR_REQUIRED" => Self::SecondFactorMissing,
            "PAYLOAD_TOO_LARGE" => Self::BodyTooLarge,
            "REQUEST_TIMEOUT" => Self::BodySlow,
            "UNSUPPORTED_MEDIA_TYPE" => Self::BodyType,
            "INVALID_REQUEST" => Self::BodyMalformed,
            "VALIDATION_FAILED" => Self::FieldWrong,
            "NOT_FOUND" => Self::NotFound,
            "METHOD_NOT_ALLOWED" => Self::MethodNotAllowed,
            "CONFLICT" | "OTHER_ENVIRONMENT" => Self::Conflict,
            "NOT_CONFIGURED" => Self::NotConfigured,
            "UNAVAILABLE" => Self::Unavailable,
            _ => Self::Other,
        }
    }

    /// Whether what the gate noted on its way says more than the answer: a budget that is used up hides it.
    pub(crate) fn or_noted(self, noted: Option<Self>) -> Self {
        match self {
            Self::LimitReached | Self::TooManyFailures | Self::Unavailable => self,
            _ => noted.unwrap_or(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_reason_has_a_name_and_words_of_its_own() {
        let names: HashSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        let texts: HashSet<_> = Reason::ALL.iter().map(|reason| reason.says()).collect();
        assert_eq!((names.len(), texts.len()), (Reason::ALL.len(), Reason::ALL.len()));
        for reason in Reason::ALL {
            assert!(reason.says().ends_with('.') && reason.advice().ends_with('.'), "{reason:?}");
        }
    }

    #[test]
    fn a_budget_hides_what_was_wrong_besides() {
        let noted = Some(Reason::KeyChecksum);
        assert_eq!(Reason::of(&Problem::from(access::Refusal::InvalidApiKey)).or_noted(noted), Reason::KeyChecksum);
        assert_eq!(Reason::of(&Problem::rate_limited(1)).or_noted(noted), Reason::LimitReached);
        assert_eq!(Reason::of(&Problem::not_found()).or_noted(None), Reason::NotFound);
    }
}
