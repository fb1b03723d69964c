//! Two tabs, and a switch between live and test in one of them: a form of the other acts in the half that it showed, or
//! not at all.

use gate::{Meta, Method};
use serde_json::{Value, json};
use testkit::{Answer, Persona, World, id_of};

use super::{form, leads_to, page, says, submit};
use crate::matrix::table;

on_both! {
    a_form_acts_in_the_half_of_the_data_that_its_page_showed;
    no_form_of_the_other_half_changes_anything;
    what_is_not_in_this_half_is_looked_for_in_the_other_one;
    what_a_person_does_to_itself_is_the_same_in_both_halves;
    a_file_is_of_the_half_that_its_page_showed_and_for_no_other_site;
}

const TEST: &str = "chatelaine-environment=test";

/// Forms that are the same in both halves: of those who are not signed in, of one's own account, and the switch itself.
const EITHER: [&str; 13] = [
    "begin_totp_page",
    "change_password_page",
    "change_view_page",
    "confirm_page",
    "confirm_totp_page",
    "end_totp_page",
    "rename_me_page",
    "renew_recovery_codes_page",
    "revoke_sign_in_page",
    "sign_in_page",
    "sign_out_page",
    "complete_setup_page",
    "accept_invitation_page",
];

/// How many the API lists in a half of the data.
async fn webhooks(person: &Persona, half: &str) -> usize {
    let list = person.request("GET", "/v1/webhooks").header("x-environment", half).send().await.expect(200);
    list.data().as_array().unwrap().len()
}

/// A page that refuses a form of this half, and offers to show that one.
#[track_caller]
fn is_of_the_other_half(answer: &Answer, shown: &str, list: &str) {
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert!(
        says(answer, "Nothing was changed.") && says(answer, &format!("showed the {shown} data")),
        "{}",
        answer.text()
    );
    let text = answer.text();
    assert!(text.contains("action=\"/_/view\"") && text.contains(&format!("name=\"next\" value=\"{list}\"")), "{text}");
    assert!(text.contains(&format!("name=\"environment\" value=\"{shown}\"")), "{text}");
}

async fn a_form_acts_in_the_half_of_the_data_that_its_page_showed(world: &World) {
    let ada = world.member("ada", "admin").await;
    let fields = [("url", "https://hooks.example.com/a"), ("events", "run.failed"), ("once", "n1")];
    let seen = |half| [&fields[..], &[("seen", half)]].concat();
    let shown = page(&ada, "/_/webhooks/new").await.expect(200);
    assert!(shown.text().contains("<input type=\"hidden\" name=\"seen\" value=\"live\">"), "{}", shown.text());
    let shown = ada.request("GET", "/_/webhooks/new").header("cookie", TEST).send().await.expect(200);
    assert!(shown.text().contains("<input type=\"hidden\" name=\"seen\" value=\"test\">"), "{}", shown.text());

    // The page was read, another tab went over to the other half, and the form was sent.
    let late = form(&ada, "/_/webhooks", &seen("live")).header("cookie", TEST).send().await;
    is_of_the_other_half(&late, "live", "/_/webhooks");
    is_of_the_other_half(&form(&ada, "/_/webhooks", &seen("test")).send().await, "test", "/_/webhooks");
    for unsaid in [&fields[..], &seen(""), &seen("both")] {
        let answer = form(&ada, "/_/webhooks", unsaid).send().await.expect(400);
        assert!(says(&answer, "Nothing was changed") && says(&answer, "Go to Webhooks"), "{}", answer.text());
    }
    assert_eq!((webhooks(&ada, "live").await, webhooks(&ada, "test").await), (0, 0));
    // Who is no browser reads a code.
    let late = ada.request("POST", "/_/webhooks").header("sec-fetch-site", "same-origin");
    let late = late.body("application/x-www-form-urlencoded", "url=https%3A%2F%2Fx.example&seen=test").send().await;
    let _ = late.refused(409, "OTHER_ENVIRONMENT");

    let _ = form(&ada, "/_/webhooks", &seen("test")).header("cookie", TEST).send().await.expect(200);
    assert_eq!((webhooks(&ada, "live").await, webhooks(&ada, "test").await), (0, 1));
    let _ = submit(&ada, "/_/webhooks", &fields).await.expect(200);
    assert_eq!((webhooks(&ada, "live").await, webhooks(&ada, "test").await), (1, 1));

    // What is cut is what was shown.
    let made = ada.post("/v1/webhooks", &json!({"url": "https://hooks.example.com/b"})).await.expect(201);
    let path = format!("/_/webhooks/{}/delete", id_of(&made));
    let late = form(&ada, &path, &[("seen", "live")]).header("cookie", TEST).send().await;
    is_of_the_other_half(&late, "live", "/_/webhooks");
    assert_eq!(webhooks(&ada, "live").await, 2);
    assert_eq!(leads_to(&submit(&ada, &path, &[]).await), "/_/webhooks?done=deleted");
}

/// Its path, with ids that are well-formed and name nothing.
fn path_of(operation: &Meta) -> String {
    let id = |prefix: &str| format!("{prefix}_00000000000000000000000001");
    let part = |part: &str| match part {
        "{attempt}" => id("att"),
        "{id}" if operation.path.starts_with("/_/conversations/") => id("conv"),
        "{id}" if operation.path.starts_with("/_/deployments/") => id("dep"),
        part if part.starts_with('{') => id("key"),
        part => part.to_owned(),
    };
    operation.path.split('/').map(part).collect::<Vec<_>>().join("/")
}

async fn no_form_of_the_other_half_changes_anything(world: &World) {
    let ada = world.member("ada", "owner").await;
    let table = table(world);
    let forms = || table.iter().filter(|row| row.form && row.method == Method::Post);
    let names: Vec<&str> = forms().map(|row| row.id).collect();
    assert!(EITHER.iter().all(|id| names.contains(id)), "a form that is no more: {names:?}");
    let log = async || world.secret().get("/v1/audit-log?per_page=1").await.expect(200).json()["meta"]["total"].clone();
    let before = log().await;
    let mut checked = 0;
    for operation in forms().filter(|row| row.path.starts_with("/_/") && !EITHER.contains(&row.id)) {
        let (path, id) = (path_of(operation), operation.id);
        let answer = form(&ada, &path, &[("seen", "test"), ("name", "N")]).send().await;
        assert!(
            answer.status == 409 && says(&answer, "showed the test data"),
            "{id}: {} {}",
            answer.status,
            answer.text()
        );
        let answer = form(&ada, &path, &[("name", "N")]).send().await;
        assert!(
            answer.status == 400 && says(&answer, "does not say whether"),
            "{id}: {} {}",
            answer.status,
            answer.text()
        );
        checked += 1;
    }
    assert!(checked > 45, "{checked}");
    assert_eq!(log().await, before, "nothing was changed");
}

async fn a_file_is_of_the_half_that_its_page_showed_and_for_no_other_site(world: &World) {
    let ada = world.member("ada", "owner").await;
    let table = table(world);
    let files = || table.iter().filter(|row| row.path.starts_with("/_/") && row.path.ends_with("/export"));
    assert_eq!(files().count(), 5, "{:?}", files().map(|row| row.id).collect::<Vec<_>>());
    let log = async || world.secret().get("/v1/audit-log?per_page=1").await.expect(200).json()["meta"]["total"].clone();
    let before = log().await;
    let asked = |method: &'static str, path: &str| ada.request(method, path).header("accept", "text/html");
    for operation in files() {
        let (path, id) = (path_of(operation), operation.id);
        let other = asked("GET", &format!("{path}?seen=test")).send().await;
        assert!(other.status == 409 && says(&other, "No file was made."), "{id}: {}", other.text());
        assert!(says(&other, "Show test data") && !says(&other, "form"), "{id}: {}", other.text());
        let unsaid = asked("GET", &path).send().await;
        assert!(unsaid.status == 400 && says(&unsaid, "does not say whether"), "{id}: {}", unsaid.text());
        let whole = format!("{path}?seen=live");
        for site in ["cross-site", "same-site"] {
            let led = asked("GET", &whole).header("sec-fetch-site", site).send().await;
            assert!(led.status == 403 && says(&led, "Another site led here"), "{id}: {}", led.text());
        }
        let head = asked("HEAD", &whole).send().await;
        assert_eq!((head.status, head.header("allow"), head.body.len()), (405, "GET", 0), "{id}");
    }
    // The same of the API's own.
    let head = world.secret().request("HEAD", "/v1/contacts/export").send().await;
    assert_eq!((head.status, head.header("allow")), (405, "GET"));
    assert_eq!(log().await, before, "nothing was started");
    for site in ["same-origin", "none"] {
        let file = asked("GET", "/_/contacts/export?seen=live").header("sec-fetch-site", site).send().await.expect(200);
        assert!(file.header("content-disposition").contains("\"contacts-"), "{site}");
    }
    assert_ne!(log().await, before);
}

async fn what_is_not_in_this_half_is_looked_for_in_the_other_one(world: &World) {
    let (ada, bot) = (world.member("ada", "admin").await, world.bot().await);
    let path = format!("/_/bots/{bot}?done=saved");
    let asked = ada.request("GET", &path).header("accept", "text/html").header("cookie", TEST);
    let missing = asked.send().await.expect(404);
    assert!(says(&missing, "it is in the other half of your data") && says(&missing, "Show live data"));
    assert!(missing.text().contains(&format!("name=\"next\" value=\"{path}\"")), "{}", missing.text());
    let shown = form(&ada, "/_/view", &[("environment", "live"), ("next", &path)]).header("cookie", TEST).send().await;
    assert_eq!(leads_to(&shown), path);
    assert!(says(&page(&ada, &path).await.expect(200), "Echo"));
    // What a form was sent to is no page.
    let delete = form(&ada, &format!("/_/bots/{bot}/delete"), &[("seen", "test")]).header("cookie", TEST).send().await;
    let delete = delete.expect(404);
    assert!(says(&delete, "Show live data") && delete.text().contains("name=\"next\" value=\"/_/bots\""));
    // Where nobody is known to be signed in, and where there is no page in either half.
    for by in [&ada, &world.anonymous()] {
        let nowhere = page(by, "/_/nowhere").await.expect(404);
        assert!(!nowhere.text().contains("/_/view") && !says(&nowhere, "other half"), "{}", nowhere.text());
    }
    let _ = ada.request("GET", &path).header("cookie", TEST).send().await.refused(404, "NOT_FOUND");
}

async fn what_a_person_does_to_itself_is_the_same_in_both_halves(world: &World) {
    let ada = world.member("ada", "member").await;
    for (name, fields) in [("Ada", &[("name", "Ada")][..]), ("Grace", &[("name", "Grace"), ("seen", "test")])] {
        let renamed = form(&ada, "/_/account/name", fields).send().await;
        assert!(leads_to(&renamed).starts_with("/_/account"), "{}", renamed.text());
        let me: Value = ada.get("/v1/me").await.expect(200).data();
        assert_eq!(me["name"], name);
    }
    let chosen = form(&ada, "/_/view", &[("environment", "test")]).header("cookie", TEST).send().await;
    assert_eq!(leads_to(&chosen), "/_/");
    let out = form(&ada, "/_/sign-out", &[]).header("cookie", TEST).send().await;
    assert_eq!(leads_to(&out), "/_/sign-in?done=signed-out");
}
