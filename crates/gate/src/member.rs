//! People: a cookie in the place of a key (security rules 2.6).

use access::{Caller, MemberCaller, Refusal, Tenant};
use ambient::Millis;
use credential::key::Environment;
use http::{HeaderMap, HeaderValue, header};

use crate::{
    Meta, Method, OwnPages, Problem, Reason,
    authenticate::{Identity, Surroundings},
    call, cors,
    flow::Inner,
};

/// What the digest of a cookie is made for.
pub const SIGN_IN_PURPOSE: &str = "member session";

/// 256 random bits in base64url.
const LENGTH: usize = 43;
/// How long what a person has proved holds for what is dangerous, in milliseconds.
const CONFIRMED_FOR_MS: i64 = 15 * 60_000;
/// Between two notes that a sign-in is used, in milliseconds.
const NOTE_EVERY_MS: i64 = 60_000;

/// The cookie that says who is signed in. Browsers give `__Host-` to nobody else: not to a subdomain, not
/// without TLS. A server that its own configuration reaches by plain `http://` (a developer's machine) cannot
/// use that name, and takes another; each server knows one of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignInCookie {
    is_secure: bool,
}

impl SignInCookie {
    /// The cookie of the server that is reached at `public_url`.
    #[must_use]
    pub fn of(public_url: &str) -> Self {
        Self { is_secure: public_url.starts_with("https://") }
    }

    /// Whether the world reaches the server by TLS.
    pub(crate) const fn is_secure(self) -> bool {
        self.is_secure
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        if self.is_secure { "__Host-chatelaine" } else { "chatelaine" }
    }

    /// `Set-Cookie` with this value, for so many seconds; 0 takes it away.
    #[must_use]
    pub fn set(self, value: &str, max_age: i64) -> String {
        let secure = if self.is_secure { "; Secure" } else { "" };
        format!("{}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{secure}", self.name())
    }
}

/// What a browser has under the name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cookie<'a> {
    None,
    One(&'a str),
    /// Not what we give, or two of them: who set the second?
    Malformed,
}

pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Cookie<'a> {
    let mut found = Cookie::None;
    for line in headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes) {
        for pair in line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii) {
            let Some(value) = pair.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")) else {
                continue;
            };
            let is_ours =
                value.len() == LENGTH && value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
            found = match (found, std::str::from_utf8(value)) {
                (Cookie::None, Ok(text)) if is_ours => Cookie::One(text),
                _ => Cookie::Malformed,
            };
        }
    }
    found
}

/// Whether a page of ours sends it, and says so: a browser that says nothing is refused, where it comes with
/// a cookie and changes something.
pub(crate) fn is_from_own_page(headers: &HeaderMap, own: &OwnPages) -> bool {
    let is_same_site = headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin");
    is_same_site && cors::is_for_our_page(headers, own)
}

/// What no page of somebody else may send. A form that is for our own pages alone is sent by browsers, and all of
/// these years say where from: what says nothing is none.
pub(crate) fn is_sent_by_us(meta: &Meta, headers: &HeaderMap, own: &OwnPages) -> bool {
    match (meta.form, meta.own_pages) {
        (false, false) => true,
        (true, true) => is_from_own_page(headers, own),
        _ => cors::is_of_our_form(headers, own),
    }
}

/// What is dangerous, a browser that somebody left open is not to do: the person has proved who it is, a short while
/// ago. Keys have nobody who could be asked. What only turns something off does not wait.
pub(crate) fn check_confirmed(meta: &Meta, caller: &Caller, now: Millis, body: &[u8]) -> Result<(), Problem> {
    match caller {
        Caller::Member(_) if meta.dangerous && !is_confirmed(caller, now) && !meta.only_turns_off(body) => {
            Err(Problem::confirmation_required())
        }
        _ => Ok(()),
    }
}

/// Whether a person has proved who it is, a short while ago. Nobody can ask anything else.
pub(crate) fn is_confirmed(caller: &Caller, now: Millis) -> bool {
    match caller {
        Caller::Member(member) => now.since(member.confirmed_at) < CONFIRMED_FOR_MS,
        _ => true,
    }
}

/// What a page asks for by itself, again and again: it says nothing of whether anybody sits before it.
fn is_unattended(meta: &Meta, headers: &HeaderMap) -> bool {
    let is_poll = meta.refusal.is_some() && headers.get("hx-request").is_some_and(|value| value == "true");
    let is_stream = call::lists(headers, header::ACCEPT, "text/event-stream");
    meta.method == Method::Get && (is_poll || is_stream)
}

/// What whoever signs in without a browser must send besides.
fn not_from_own_page(own: &OwnPages) -> Problem {
    let rule = "a signed-in person's changes come from our own pages";
    let said = own.origins.first().map_or_else(|| rule.to_owned(), |origin| format!("Send `Origin: {origin}`: {rule}"));
    Problem::from(Refusal::OriginNotAllowed).saying(said)
}

impl Inner {
    /// Who is signed in, if anybody is; asked of the database, so that a change of role, a removal and a sign-out
    /// are in force with the next request.
    pub(crate) async fn authenticate_member(
        &self,
        meta: &Meta,
        around: Surroundings<'_>,
    ) -> Result<Option<Identity>, Problem> {
        let text = match cookie(around.headers, self.sign_in_cookie.name()) {
            Cookie::None => return Ok(None),
            Cookie::Malformed => return Err(self.failed(around.noting(Reason::CookieMalformed), Refusal::InvalidToken)),
            Cookie::One(text) => text,
        };
        if self.is_guessing(around) {
            return Err(self.failed(around.noting(Reason::CookieDead), Refusal::InvalidToken));
        }
        let digest = self.secrets.digest_for(SIGN_IN_PURPOSE, text.as_bytes());
        let found = self.store.find_sign_in(&digest).await?;
        let Some(sign_in) = found.filter(|sign_in| sign_in.is_live(around.now)) else {
            return Err(self.failed(around.noting(Reason::CookieDead), Refusal::InvalidToken));
        };
        // Whatever a page of somebody else makes this browser send, the person did not ask for.
        let acts = meta.method.changes() || meta.is_socket();
        if acts && !is_from_own_page(around.headers, &self.config.own_pages) {
            around.trace.note_member(&sign_in);
            return Err(self.failed_as(around.noting(Reason::OtherPage), not_from_own_page(&self.config.own_pages)));
        }
        let environment = environment(around.headers)?;
        if !around.trace.is_rehearsal
            && !is_unattended(meta, around.headers)
            && around.now.since(sign_in.seen_at) >= NOTE_EVERY_MS
            && let Err(error) = self.store.touch_sign_in(&sign_in, around.now).await
        {
            tracing::warn!(%error, member = %sign_in.member, "it could not be noted that somebody is signed in");
        }
        let caller = Caller::Member(MemberCaller {
            member: sign_in.member,
            tenant: Tenant { workspace: sign_in.workspace, environment },
            role: sign_in.role,
            session: sign_in.id,
            confirmed_at: sign_in.confirmed_at,
        });
        Ok(Some(Identity { caller, key: None }))
    }
}

/// Which half of the data a person looks at: `X-Environment: test`, or the live one.
fn environment(headers: &HeaderMap) -> Result<Environment, Problem> {
    match headers.get("x-environment").map(HeaderValue::as_bytes) {
        None | Some(b"live") => Ok(Environment::Live),
        Some(b"test") => Ok(Environment::Test),
        Some(_) => Err(Problem::invalid_request("`X-Environment` is `live` or `test`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn a_server_under_tls_has_a_cookie_that_only_it_can_set() {
        let secure = SignInCookie::of("https://chat.example.com");
        let text = secure.set("abc", 60);
        assert_eq!(text, "__Host-chatelaine=abc; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure");
        let local = SignInCookie::of("http://127.0.0.1:8787");
        assert_eq!(local.set("abc", 60), "chatelaine=abc; Path=/; Max-Age=60; HttpOnly; SameSite=Lax");
        assert_ne!(local.name(), secure.name());
    }

    #[test]
    fn a_cookie_is_read_once_and_only_as_we_give_it() {
        let value = "a".repeat(LENGTH);
        let one = format!("theme=dark; chatelaine={value}; lang=de");
        assert_eq!(cookie(&headers(&[("cookie", &one)]), "chatelaine"), Cookie::One(&value));
        assert_eq!(cookie(&headers(&[("cookie", "theme=dark; chatelaine2=x")]), "chatelaine"), Cookie::None);
        assert_eq!(cookie(&HeaderMap::new(), "chatelaine"), Cookie::None);
        for bad in ["chatelaine=", "chatelaine=short", &format!("chatelaine={}!", "a".repeat(42))] {
            assert_eq!(cookie(&headers(&[("cookie", bad)]), "chatelaine"), Cookie::Malformed, "{bad}");
        }
        let twice = format!("chatelaine={value}; chatelaine={value}");
        assert_eq!(cookie(&headers(&[("cookie", &twice)]), "chatelaine"), Cookie::Malformed);
        let lines = [("cookie", one.as_str()), ("cookie", one.as_str())];
        assert_eq!(cookie(&headers(&lines), "chatelaine"), Cookie::Malformed);
    }

    #[test]
    fn only_a_page_of_ours_that_says_so_may_act() {
        let own = OwnPages { origins: vec!["https://chat.example".to_owned()], hosts: Vec::new() };
        let may = |list: &[(&'static str, &str)]| is_from_own_page(&headers(list), &own);
        let (ours, same) = (("origin", "https://chat.example"), ("sec-fetch-site", "same-origin"));
        assert!(may(&[ours]) && may(&[ours, same]) && may(&[same, ("host", "chat.example")]));
        for strange in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "null"), same],
            &[("origin", "https://evil.example")],
            &[("origin", "https://evil.example"), same],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "none"), ("host", "chat.example")],
            &[("sec-fetch-site", "same-site"), ours],
            &[("sec-fetch-site", "cross-site"), ours],
            &[ours, ("x-embedding-origin", "https://customer.example")],
        ] {
            assert!(!may(strange), "{strange:?}");
        }
    }

    #[test]
    fn what_is_dangerous_asks_a_person_who_it_is_again_after_a_quarter_of_an_hour() {
        use access::{Access, Limit, Role};
        use ambient::{MemberId, MemberSessionId, Ulid, WorkspaceId};

        let closed = Access::closed(Limit::Write).member(Role::Owner);
        let operation = crate::Operation::<crate::Nothing, crate::Empty>::post("/v1/x", "do_x", "X.", closed);
        let person = Caller::Member(MemberCaller {
            member: MemberId(Ulid(1)),
            tenant: Tenant { workspace: WorkspaceId(Ulid(1)), environment: Environment::Live },
            role: Role::Owner,
            session: MemberSessionId(Ulid(1)),
            confirmed_at: Millis(1000),
        });
        let check = |meta: Meta, caller: &Caller, now: i64| check_confirmed(&meta, caller, Millis(now), b"").is_ok();
        let (mild, dangerous) = (operation.meta(), operation.dangerous().meta());
        let end = 1000 + CONFIRMED_FOR_MS;
        assert!(check(dangerous, &person, end - 1) && !check(dangerous, &person, end));
        assert!(check(mild, &person, end) && check(dangerous, &Caller::Anonymous, end));
        // Whoever turns something off does not wait; whoever does anything besides, does.
        let switch = operation.dangerous_but_to_turn_off("is_active").meta();
        let sends = |meta: &Meta, body: &str| check_confirmed(meta, &person, Millis(end), body.as_bytes()).is_ok();
        let off = r#" {"is_active": false} "#;
        assert!(sends(&switch, off) && !sends(&dangerous, off));
        for body in [
            r#"{"is_active": true}"#,
            r#"{"is_active": false, "url": "https://evil.example/"}"#,
            r#"{"is_active": false, "is_active": true}"#,
            r#"{"is_active": null}"#,
            r#"{"enabled": false}"#,
            r#"[{"is_active": false}]"#,
            "{}",
            "",
        ] {
            assert!(!sends(&switch, body), "{body}");
        }
    }

    #[test]
    fn what_a_page_asks_for_by_itself_is_no_sign_of_a_person() {
        use access::{Access, Limit, Role};

        let read = Access::closed(Limit::Read).member(Role::Member);
        let api = crate::Operation::<crate::Nothing, crate::Empty>::get("/v1/x", "get_x", "X.", read);
        let form = crate::Operation::<crate::Nothing, crate::Empty>::post("/_/x", "do_x", "X.", read);
        let refusal: crate::Refused = |_, _| crate::Raw::new("text/html", "");
        let (shown, sent) = (api.page(refusal).meta(), form.page(refusal).meta());
        let (poll, stream) = ([("hx-request", "true")], [("accept", "text/event-stream")]);
        assert!(is_unattended(&shown, &headers(&poll)) && is_unattended(&api.meta(), &headers(&stream)));
        assert!(!is_unattended(&shown, &HeaderMap::new()) && !is_unattended(&sent, &headers(&poll)));
        assert!(!is_unattended(&api.meta(), &headers(&poll)), "who writes that header by hand asks for no page");
    }

    #[test]
    fn a_person_looks_at_live_data_unless_test_data_are_asked_for() {
        assert_eq!(environment(&HeaderMap::new()).unwrap(), Environment::Live);
        assert_eq!(environment(&headers(&[("x-environment", "test")])).unwrap(), Environment::Test);
        assert!(environment(&headers(&[("x-environment", "prod")])).is_err());
    }
}
