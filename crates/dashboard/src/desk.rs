//! Where a page works: in the name of the person who asks, with what the API says.

use access::{Caller, Role};
use askama::Template;
use credential::key::Environment;
use gate::{Answered, Ask, Call, Download, Problem, Raw, RequestContext};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    frame::{Frame, Menu},
    layout, seen,
    show::{One, PER_PAGE, Paged, Pager},
};

/// Which half of the data the person looks at, in this browser.
pub(crate) const ENVIRONMENT_COOKIE: &str = "chatelaine-environment";
/// Light, dark, or as the system says.
pub(crate) const THEME_COOKIE: &str = "chatelaine-theme";

/// The person who asks, as the API says.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Me {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) role: Role,
}

impl Me {
    /// What the person is called.
    pub(crate) fn shown(&self) -> &str {
        if self.name.is_empty() { &self.email } else { &self.name }
    }
}

#[derive(Deserialize)]
struct Workspace {
    name: String,
}

/// See [`Desk::open`].
pub(crate) struct Desk<'a> {
    caller: &'a Caller,
    request: &'a RequestContext,
    pub(crate) environment: Environment,
    pub(crate) me: Me,
    workspace: String,
}

impl<'a> Desk<'a> {
    /// The desk of whoever asks for this page; a form is checked first ([`seen::check`]).
    ///
    /// # Errors
    /// Those of the API; 409 for a form of the other half of the data.
    pub(crate) async fn open<I: 'static>(call: &'a Call<I>) -> Result<Self, Problem> {
        let environment = match call.request.cookie(ENVIRONMENT_COOKIE) {
            Some("test") => Environment::Test,
            _ => Environment::Live,
        };
        seen::check(call, environment)?;
        let (caller, request) = (&call.caller, &call.request);
        let me = request.ask(caller, Ask::to("get_me")).await?.json::<One<Me>>()?.data;
        let workspace = request.ask(caller, Ask::to("get_workspace")).await?.json::<One<Workspace>>()?.data.name;
        Ok(Self { caller, request, environment, me, workspace })
    }

    /// What an operation of the API answers.
    ///
    /// # Errors
    /// Those of the operation.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Answered, Problem> {
        let answered = self.request.ask(self.caller, ask.seen_in(self.environment)).await;
        answered.map_err(|problem| problem.looked_for_in(self.environment))
    }

    /// The same, read; for what answers nothing, [`Desk::ask`].
    ///
    /// # Errors
    /// Those of the operation.
    pub(crate) async fn get<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, Problem> {
        self.ask(ask).await?.json()
    }

    /// The same of this half of the data, whichever the person looks at.
    ///
    /// # Errors
    /// Those of the operation.
    pub(crate) async fn get_in<T: DeserializeOwned>(&self, half: Environment, ask: Ask) -> Result<T, Problem> {
        self.request.ask(self.caller, ask.seen_in(half)).await?.json()
    }

    /// A page of a list, and where the others are: at `path`, which is asked for with these other parameters.
    ///
    /// # Errors
    /// Those of the operation; what leads to the last page ([`layout::refusal`]), where the list ends before this one.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        ask: Ask,
        page: Option<u32>,
        path: &str,
        others: &[(&str, &str)],
    ) -> Result<(Vec<T>, Pager), Problem> {
        let Paged { data, meta } = self.get(ask.query("per_page", PER_PAGE).query_if("page", page)).await?;
        if data.is_empty() && meta.page > meta.last() {
            return Err(Problem::past_the_end(meta.last()));
        }
        Ok((data, Pager::new(meta, path, others)))
    }

    /// A file that an operation writes, sent on while it is written; what asks for it is checked first
    /// ([`seen::check_file`]).
    ///
    /// # Errors
    /// Those of the operation; 403 from elsewhere, and 409 for a link of the other half of the data.
    pub(crate) async fn file(&self, ask: Ask) -> Result<Download, Problem> {
        seen::check_file(self.request, self.environment)?;
        let file = self.request.ask_for_file(self.caller, ask.seen_in(self.environment)).await;
        file.map_err(|problem| problem.looked_for_in(self.environment))
    }

    /// Whether the person may ask for this operation, page or not.
    pub(crate) fn may(&self, operation: &str) -> bool {
        self.request.may(self.caller, operation)
    }

    /// A number that no other form has, for [`Ask::once`]: the request's own name.
    pub(crate) fn nonce(&self) -> String {
        self.request.id.to_string()
    }

    /// What is around a page.
    pub(crate) fn frame(&self, title: impl Into<String>, here: &'static str) -> Frame {
        Frame {
            title: title.into(),
            menu: Menu::of(here, |operation| self.may(operation)),
            me: self.me.clone(),
            workspace: self.workspace.clone(),
            is_test: self.environment == Environment::Test,
            theme: theme(self.request),
            done: self.request.query("done").as_deref().and_then(crate::frame::done),
            path: self.request.path_and_query().to_owned(),
            nonce: self.nonce(),
            now: self.request.now,
        }
    }

    /// A page, whole.
    ///
    /// # Errors
    /// 503 when it cannot be written.
    pub(crate) fn render(&self, page: &impl Template) -> Result<Raw, Problem> {
        layout::html(page)
    }

    /// A long page without secrets, compressed for who can read that.
    ///
    /// # Errors
    /// 503 when it cannot be written.
    pub(crate) fn render_long(&self, page: &impl Template) -> Result<Raw, Problem> {
        if self.request.accepts_gzip { layout::zipped(page) } else { layout::html(page) }
    }
}

/// What the person chose, if anything.
pub(crate) fn theme(request: &RequestContext) -> &'static str {
    match request.cookie(THEME_COOKIE) {
        Some("light") => "light",
        Some("dark") => "dark",
        _ => "auto",
    }
}
