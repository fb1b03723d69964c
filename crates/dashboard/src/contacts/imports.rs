//! Imports of contacts: a file that a script sends to the API, or text that anybody pastes into the form.

use access::Role;
use ambient::ImportId;
use api::App;
use askama::Template;
use gate::{Ask, Call, Nothing, Operation, PageQuery, Problem, Raw, Routes};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    page,
    show::{One, Pager, Trouble, When},
};

const SHOW_IMPORTS: Operation<PageQuery, Raw> =
    page("/_/contacts/imports", "show_contact_imports_page", "The list of imports.", Role::Member);
const SHOW_NEW: Operation<Nothing, Raw> =
    page("/_/contacts/imports/new", "show_new_contact_import_page", "The form of an import.", Role::Admin);
const IMPORT: Operation<Form, Raw> =
    form("/_/contacts/imports", "import_contacts_page", "Import contacts from pasted text.", Role::Admin);
const SHOW_IMPORT: Operation<PageQuery, Raw> =
    page("/_/contacts/imports/{id}", "show_contact_import_page", "How far an import is.", Role::Member);
const CANCEL: Operation<Form, Raw> =
    form("/_/contacts/imports/{id}/cancel", "cancel_contact_import_page", "Stop an import.", Role::Admin);

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_IMPORTS, show_imports);
    routes.mount(SHOW_NEW, show_new);
    routes.mount(IMPORT, import);
    routes.mount(SHOW_IMPORT, show_import);
    routes.mount(CANCEL, cancel);
}

/// An import, as the API says.
#[derive(Clone, Debug, Deserialize)]
struct Import {
    id: String,
    status: String,
    progress: f64,
    bytes: u64,
    rows_total: Option<u64>,
    rows_done: u64,
    created: u64,
    updated: u64,
    skipped: u64,
    failed: u64,
    error: Option<String>,
    created_at: When,
    finished_at: Option<When>,
}

impl Import {
    fn is_open(&self) -> bool {
        matches!(self.status.as_str(), "pending" | "running")
    }

    fn badge(&self) -> &'static str {
        match self.status.as_str() {
            "completed" if self.failed == 0 => "good",
            "completed" | "cancelled" => "warn",
            "failed" => "wrong",
            _ => "",
        }
    }

    /// In hundredths, as `progress` takes it.
    fn percent(&self) -> String {
        format!("{:.0}", self.progress * 100.0)
    }
}

/// What is wrong with a row of a file.
#[derive(Clone, Debug, Deserialize)]
struct RowError {
    line: u64,
    field: String,
    message: String,
}

#[derive(Template)]
#[template(path = "contacts/imports.html")]
struct ImportsPage {
    frame: Frame,
    imports: Vec<Import>,
    pager: Pager,
    may_write: bool,
}

async fn show_imports(_: App, call: Call<PageQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let ask = Ask::to("list_contact_imports");
    let (imports, pager) = desk.list(ask, call.input.page, "/_/contacts/imports", &[]).await?;
    desk.render(&ImportsPage {
        frame: desk.frame("Imports of contacts", "show_contacts_page"),
        imports,
        pager,
        may_write: desk.may("import_contacts"),
    })
}

#[derive(Template)]
#[template(path = "contacts/import_form.html")]
struct ImportForm<'a> {
    frame: Frame,
    form: &'a Form,
    environment: &'static str,
    trouble: Trouble,
}

fn form_page(desk: &Desk<'_>, form: &Form, trouble: Trouble) -> Result<Raw, Problem> {
    let (frame, status) = (desk.frame("Import contacts", "show_contacts_page"), trouble.status);
    let environment = desk.environment.as_str();
    Ok(desk.render(&ImportForm { frame, form, environment, trouble })?.with_status(status))
}

async fn show_new(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    form_page(&Desk::open(&call).await?, &Form::default(), Trouble::default())
}

/// `Kunde = name`, a line for each column.
fn mapping(form: &Form) -> Result<String, Problem> {
    let mut mapping = Map::new();
    for line in form.raw("mapping").lines().map(str::trim).filter(|line| !line.is_empty()) {
        let Some((column, field)) = line.rsplit_once('=') else {
            return Err(Problem::invalid_field("mapping", "has a column, `=` and a field on each line"));
        };
        mapping.insert(column.trim().to_owned(), field.trim().into());
    }
    Ok(if mapping.is_empty() { String::new() } else { Value::Object(mapping).to_string() })
}

async fn import(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, form) = (Desk::open(&call).await?, &call.input);
    let begun = match mapping(form) {
        Err(problem) => Err(problem),
        Ok(_) if form.text("csv").is_empty() => Err(Problem::invalid_field("csv", "is empty: paste the rows")),
        Ok(mapping) => {
            let ask = Ask::to("import_contacts").query_if("mapping", Some(mapping));
            let names = ["match", "on_match", "tags", "delimiter"].into_iter();
            let ask = names.fold(ask, |ask, name| ask.query_if(name, form.some(name)));
            let ask = ask.file(form.raw("csv").to_owned()).once(form.text("once"));
            desk.get::<One<Import>>(ask).await
        }
    };
    match begun {
        Ok(begun) => Ok(Raw::see_other(&format!("/_/contacts/imports/{}", begun.data.id))),
        Err(problem) => form_page(&desk, form, Trouble::again(problem)?),
    }
}

#[derive(Template)]
#[template(path = "contacts/import.html")]
struct ImportPage {
    frame: Frame,
    import: Import,
    errors: Vec<RowError>,
    pager: Pager,
    path: String,
    may_write: bool,
    trouble: Trouble,
}

async fn import_page<I>(desk: &Desk<'_>, call: &Call<I>, page: Option<u32>, trouble: Trouble) -> Result<Raw, Problem> {
    let id = call.id::<ImportId>("id")?;
    let import = desk.get::<One<Import>>(Ask::to("get_contact_import").at("id", id)).await?.data;
    let (path, status) = (format!("/_/contacts/imports/{id}"), trouble.status);
    let ask = Ask::to("list_contact_import_errors").at("id", id);
    let (errors, pager) = desk.list(ask, page, &path, &[]).await?;
    let page = ImportPage {
        frame: desk.frame("Import", "show_contacts_page"),
        import,
        errors,
        pager,
        path,
        may_write: desk.may("cancel_contact_import"),
        trouble,
    };
    Ok(desk.render(&page)?.with_status(status))
}

async fn show_import(_: App, call: Call<PageQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    import_page(&desk, &call, call.input.page, Trouble::default()).await
}

async fn cancel(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<ImportId>("id")?);
    match desk.ask(Ask::to("cancel_contact_import").at("id", id)).await {
        Ok(_) => Ok(Raw::see_other(&format!("/_/contacts/imports/{id}"))),
        Err(problem) => import_page(&desk, &call, None, Trouble::again(problem)?).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Form {
        serde_json::from_value(serde_json::json!([["mapping", text]])).unwrap()
    }

    #[test]
    fn a_mapping_is_a_line_for_each_column() {
        let read = mapping(&form(" Kunde = name \r\n\na=b = custom:city\n")).unwrap();
        assert_eq!(read, r#"{"Kunde":"name","a=b":"custom:city"}"#);
        assert_eq!(mapping(&form(" \n")).unwrap(), "");
        assert_eq!(mapping(&form("Kunde")).unwrap_err().status(), 422);
    }
}
