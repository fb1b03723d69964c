//! A form acts in the half of the data that its page showed, and a file is of that half.
//!
//! Which half a browser is shown says a cookie, and another tab may have changed that after the page was read. So each
//! form, and each address of a file, says in `seen` what its page showed (`templates/seen.html`), and where that is no
//! longer so nothing is done.

use std::any::Any;

use access::Refusal;
use credential::key::Environment;
use gate::{Call, Problem, RequestContext};

use crate::Form;

/// Where forms are about the person who sends them, and the same in both halves.
const OF_ONESELF: [&str; 2] = ["/_/account/", "/_/confirm"];

/// Whether what is sent here says what its page showed.
fn must_say(path: &str) -> bool {
    !OF_ONESELF.iter().any(|prefix| path.starts_with(prefix))
}

/// Whatever is no form acts on nothing, and passes.
///
/// # Errors
/// 409 `OTHER_ENVIRONMENT` where the page showed the other half; 400 where it does not say.
pub(crate) fn check<I: 'static>(call: &Call<I>, environment: Environment) -> Result<(), Problem> {
    match (&call.input as &dyn Any).downcast_ref::<Form>() {
        Some(form) if must_say(call.request.path_and_query()) => check_form(form, environment),
        _ => Ok(()),
    }
}

/// A file is made for a page of ours, or for who typed the address: no page of another site makes a browser take one.
///
/// # Errors
/// 403 `ORIGIN_NOT_ALLOWED` from another site; 409 `OTHER_ENVIRONMENT` where the page with the link showed the other
/// half; 400 where the address does not say.
pub(crate) fn check_file(request: &RequestContext, environment: Environment) -> Result<(), Problem> {
    if request.is_led_from_elsewhere {
        return Err(Refusal::OriginNotAllowed.into());
    }
    let unsaid = "No file was made: its address does not say whether its page showed the live data or the test data. Open \
                  the page again, and take the file from there.";
    check_shown(&request.query("seen").unwrap_or_default(), environment, unsaid)
}

fn check_form(form: &Form, environment: Environment) -> Result<(), Problem> {
    let unsaid = "Nothing was changed: it does not say whether its page showed the live data or the test data. Open the \
                  page again, and send it from there.";
    check_shown(form.text("seen"), environment, unsaid)
}

fn check_shown(shown: &str, environment: Environment, unsaid: &'static str) -> Result<(), Problem> {
    let shown = match shown {
        "live" => Environment::Live,
        "test" => Environment::Test,
        _ => return Err(Problem::invalid_request(unsaid)),
    };
    if shown == environment { Ok(()) } else { Err(Problem::other_environment(shown)) }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    fn form(pairs: &[(&str, &str)]) -> Form {
        serde_urlencoded::from_str(&serde_urlencoded::to_string(pairs).unwrap()).unwrap()
    }

    #[test]
    fn a_form_acts_where_its_page_was() {
        let of = |seen: &str, environment| {
            let outcome = check_form(&form(&[("name", "x"), ("seen", seen)]), environment);
            outcome.map_err(|problem| (problem.status().as_u16(), problem.shown_environment()))
        };
        let (live, test) = (Environment::Live, Environment::Test);
        assert_eq!((of("live", live), of("test", test)), (Ok(()), Ok(())));
        assert_eq!((of("live", test), of("test", live)), (Err((409, Some(live))), Err((409, Some(test)))));
        for nothing in ["", "prod", "LIVE"] {
            assert_eq!(of(nothing, live), Err((400, None)), "{nothing:?}");
        }
        assert_eq!(check_form(&form(&[]), live).unwrap_err().status(), 400);
    }

    /// What is before signing in, and what is the same in both halves: signing in and out, setting up, joining, and the
    /// switch itself with the colours.
    const ELSEWHERE: [&str; 5] = ["/_/sign-in", "/_/sign-out", "/setup", "/invitations", "/_/view"];

    /// Its forms that are sent by `POST` or ask for a file, with what is inside, and its links to files, that say nothing
    /// of the half that was shown.
    fn silent(text: &str) -> Vec<&str> {
        let forms = text.split("<form").skip(1).map(|rest| rest.split("</form>").next().unwrap_or(rest));
        let forms = forms.filter(|form| {
            let action = form.split("action=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
            let acts = form.to_ascii_lowercase().contains("method=\"post\"") || action.ends_with("/export");
            acts && must_say(action) && !ELSEWHERE.contains(&action) && !form.contains("{% include \"seen.html\" %}")
        });
        let links = text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
        let files = links.filter(|link| link.split('?').next().is_some_and(|path| path.ends_with("/export")));
        forms.chain(files.filter(|link| !link.contains("seen={{ frame.half() }}"))).collect()
    }

    fn templates(folder: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                templates(&path, found);
            } else {
                found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
            }
        }
    }

    #[test]
    fn every_form_says_what_its_page_showed() {
        let mut found = Vec::new();
        templates(&Path::new(env!("CARGO_MANIFEST_DIR")).join("templates"), &mut found);
        assert!(found.len() > 60, "{}", found.len());
        let silent: Vec<_> =
            found.iter().flat_map(|(path, text)| silent(text).into_iter().map(move |form| (path, form))).collect();
        assert!(
            silent.is_empty(),
            "put {{% include \"seen.html\" %}}, or seen={{{{ frame.half() }}}}, into {silent:#?}"
        );
    }

    #[test]
    fn a_form_that_says_nothing_is_noticed() {
        let planted = |text: &str| silent(text).len();
        assert_eq!(planted("<form method=\"post\" action=\"/_/bots\"><button>"), 1);
        assert_eq!(planted("<form method=\"POST\" action=\"{{ action }}\"></form>{% include \"seen.html\" %}"), 1);
        assert_eq!(planted("<form method=\"post\" action=\"/_/bots\">{% include \"seen.html\" %}</form>"), 0);
        assert_eq!(planted("<form method=\"post\" action=\"/_/account/name\"></form><form method=\"get\"></form>"), 0);
        assert_eq!(planted("<form method=\"get\" action=\"/_/bots/export\"></form><a href=\"/_/x/export?a=b\">"), 2);
        assert_eq!(planted("<a href=\"/_/x/export?a=b&amp;seen={{ frame.half() }}\"><a href=\"/_/exported\">"), 0);
    }
}
