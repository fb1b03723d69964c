//! The access matrix: every operation by every credential, sent over HTTP and compared with what
//! the table says, and with the page that people have read (`docs/access-matrix.txt`).

mod columns;
mod forms;
mod objects;
mod page;
mod part;
mod people;

use gate::{Meta, Surface};
use testkit::{Answer, Backend, Options, Persona, World};

use columns::{Column, Expected, columns};
use objects::{Objects, Target};
use part::Part;

on_each! {
    every_operation_by_every_credential;
}

/// Every operation of the server, in the order in which they are mounted.
pub(crate) fn table(world: &World) -> Vec<Meta> {
    let app = world.server().running().app().clone();
    let mut routes = api::routes_with(app, |routes| {
        participant::mount(routes);
        dropin::mount(routes, None);
    });
    dashboard::mount(&mut routes);
    widget::mount(&mut routes);
    routes.table()
}

/// What came back, in the words of the page.
fn observed(operation: &Meta, answer: &Answer) -> String {
    let cell = match (answer.status, answer.code().as_str()) {
        // 303: a page that leads to another.
        // What is sent is not signed: admitted all the same.
        (200..=299 | 303, _) | (401, "INVALID_SIGNATURE") => "ok",
        // Admitted; and what is sent is no handshake.
        (400, "INVALID_REQUEST") if operation.is_socket() => "ok",
        (422, "VALIDATION_FAILED") => "field",
        (400, "MULTIPLE_CREDENTIALS") => "400",
        (401, "MISSING_CREDENTIAL" | "INVALID_API_KEY" | "API_KEY_EXPIRED" | "INVALID_TOKEN" | "TOKEN_EXPIRED") => {
            "401"
        }
        (403, "INSUFFICIENT_PERMISSIONS") if answer.json()["error"]["required_role"].is_string() => "role",
        (403, "INSUFFICIENT_PERMISSIONS") => "scope",
        (403, "WRONG_CREDENTIAL") => "kind",
        (403, "ORIGIN_NOT_ALLOWED") => "page",
        (403, "SECRET_KEY_IN_BROWSER") => "leak",
        (403, "CONVERSATION_MISMATCH") => "other",
        (404, "NOT_FOUND") => "404",
        // The drop-in surface has a text and no code.
        (401, "") if answer.json()["error"] == "Unauthorized" => "401",
        (403, "") if answer.json()["error"] == "Origin not allowed" => "page",
        (status, code) => return format!("{status} {code}"),
    };
    cell.to_owned()
}

async fn send(operation: &Meta, target: &Target, column: &Column, sender: Option<&Persona>) -> Answer {
    let by = match &target.session {
        // A session reaches its own conversation, whichever that is.
        Some(session) if column.uses_own_session => session,
        _ => sender.unwrap_or(&column.by),
    };
    // As from a page of the live data.
    let is_file_page = operation.path.starts_with("/_/") && operation.path.ends_with("/export");
    let seen = if is_file_page { "?seen=live" } else { "" };
    let mut request = by.request(target.method, &format!("{}{seen}", target.path));
    if let Some(second) = &column.second {
        request = request.header("x-api-key", second);
    }
    if operation.surface == Surface::DropIn && !by.credential().is_empty() {
        let header = if operation.access.admits_static_admin() { "x-admin-api-key" } else { "x-api-key" };
        request = request.header(header, by.credential());
    }
    for (name, value) in &target.headers {
        request = request.header(name, value);
    }
    if operation.upload.is_some() {
        request = request.body("text/csv", "name\nAda\n");
    } else if operation.form {
        let fields = forms::of_body(target.body.as_ref()).unwrap_or_else(|| forms::fields(operation).to_owned());
        // As of a page of the live data.
        let seen = if operation.path.starts_with("/_/") { "&seen=live" } else { "" };
        request = request.body("application/x-www-form-urlencoded", format!("{fields}{seen}"));
    } else if let Some(body) = &target.body {
        request = request.json(body);
    }
    // Who follows a session is told of what will be said in it, without an end; and of contacts there are by then as many
    // as all imports have left.
    if matches!(operation.id, "follow_chat_session" | "stream_requests" | "export_contacts_page") {
        request.send_and_leave().await
    } else {
        request.send().await
    }
}

async fn every_operation_by_every_credential(backend: Backend) {
    let options = Options { drop_in: Some(testkit::drop_in()), ..Options::default() };
    let world = World::with(backend, options).await;
    let table = table(&world);
    let part = Part::new(&world).await;
    let columns = columns(&world, &part).await;
    let objects = Objects::new(&world, &part).await;
    let mut wrong = Vec::new();
    for operation in &table {
        for column in &columns {
            let expected = column.expected(operation);
            let mut target = objects.target(operation).await;
            let sender = people::of_the_sender(&world, operation, &column.by, &mut target).await;
            let answer = send(operation, &target, column, sender.as_ref()).await;
            let seen = observed(operation, &answer);
            if seen != expected.word() {
                wrong.push(format!(
                    "{} by {}: {seen} instead of {}: {}",
                    operation.id,
                    column.name,
                    expected.word(),
                    answer.text()
                ));
            }
            match expected {
                // Another's is answered as what was never there.
                Expected::NotFound => {
                    let absent = send(operation, &target.absent(), column, None).await;
                    assert_eq!(
                        answer.body_without_id(),
                        absent.body_without_id(),
                        "{} by {}",
                        operation.id,
                        column.name
                    );
                }
                Expected::Empty => assert_eq!(answer.json()["meta"]["total"], 0, "{} by {}", operation.id, column.name),
                Expected::Word("401") => {
                    let challenge = answer.header("www-authenticate");
                    let scheme = if operation.surface == Surface::DropIn { "ApiKey " } else { "Bearer " };
                    assert!(challenge.starts_with(scheme), "{} by {}: {challenge}", operation.id, column.name);
                }
                Expected::Word(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} cells:\n{}", wrong.len(), table.len() * columns.len(), wrong.join("\n"));
    page::compare(&table, &columns);
    world.end().await;
}
