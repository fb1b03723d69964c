//! Contacts and their imports, on pages.

use std::time::Duration;

use serde_json::json;
use testkit::{World, id_of};

use super::{leads_to, page, says, submit};

on_both! {
    an_admin_makes_changes_archives_and_deletes_a_contact;
    what_is_wrong_with_a_contact_is_shown_beside_its_field;
    contacts_are_searched_and_leave_as_a_file_of_the_half_that_is_shown;
    a_member_reads_contacts_and_changes_none;
    pasted_rows_are_imported_once_and_what_was_wrong_is_shown;
    nobody_sees_another_workspace_s_contacts;
}

async fn an_admin_makes_changes_archives_and_deletes_a_contact(world: &World) {
    let ada = world.member("ada", "admin").await;
    assert!(says(&page(&ada, "/_/contacts").await.expect(200), "Add the first contact"));
    assert!(page(&ada, "/_/contacts/new").await.expect(200).text().contains("action=\"/_/contacts\""));
    let fields = [
        ("name", "Grace <b>"),
        ("email", "grace@navy.example"),
        ("tags", "vip, beta"),
        ("custom_fields", "{\"plan\": \"pro\"}"),
        ("once", "n1"),
    ];
    let made = leads_to(&submit(&ada, "/_/contacts", &fields).await);
    assert_eq!(leads_to(&submit(&ada, "/_/contacts", &fields).await), made, "a form that is sent twice makes one");
    let path = made.strip_suffix("?done=created").unwrap().to_owned();
    let shown = page(&ada, &made).await.expect(200);
    for words in ["Created.", "Grace <b>", "grace@navy.example", "vip", "plan pro"] {
        assert!(says(&shown, words), "{words}: {}", shown.text());
    }
    assert!(!shown.text().contains("Grace <b>"));
    let edit = page(&ada, &format!("{path}/edit")).await.expect(200);
    assert!(edit.text().contains("value=\"beta, vip\""), "{}", edit.text());
    // What is emptied is gone.
    let changed = submit(&ada, &path, &[("name", ""), ("email", "grace@navy.example"), ("tags", "")]).await;
    assert_eq!(leads_to(&changed), format!("{path}?done=saved"));
    let contact = ada.get(&path.replace("/_/", "/v1/")).await.expect(200).data();
    assert_eq!((&contact["name"], &contact["tags"], &contact["custom_fields"]), (&json!(null), &json!([]), &json!({})));
    let archived = submit(&ada, &format!("{path}/archive"), &[("archived", "yes")]).await;
    assert!(says(&page(&ada, &leads_to(&archived)).await, "Archived."));
    assert!(!says(&page(&ada, "/_/contacts").await, "grace@navy.example"));
    assert!(says(&page(&ada, "/_/contacts?archived=true").await, "grace@navy.example"));
    let restored = submit(&ada, &format!("{path}/archive"), &[]).await;
    assert_eq!(leads_to(&restored), format!("{path}?done=restored"));
    assert_eq!(leads_to(&submit(&ada, &format!("{path}/delete"), &[]).await), "/_/contacts?done=deleted");
    let _ = page(&ada, &path).await.expect(404);
}

async fn what_is_wrong_with_a_contact_is_shown_beside_its_field(world: &World) {
    let ada = world.member("ada", "admin").await;
    let wrong = [("email", "nobody"), ("name", "Kept <i>"), ("custom_fields", "plan")];
    let again = submit(&ada, "/_/contacts", &wrong).await.expect(422);
    assert!(says(&again, "Nothing was made.") && says(&again, "must be a JSON object"), "{}", again.text());
    assert!(again.text().contains("Kept &#60;i&#62;") && !again.text().contains("Kept <i>"));
    let again = submit(&ada, "/_/contacts", &wrong[..2]).await.expect(422);
    assert!(again.text().contains("id=\"e-email\"") && again.text().contains("aria-invalid=\"true\""));
    let id = id_of(&ada.post("/v1/contacts", &json!({"external_id": "one"})).await.expect(201));
    let _ = ada.post("/v1/contacts", &json!({"external_id": "two"})).await.expect(201);
    let taken = submit(&ada, &format!("/_/contacts/{id}"), &[("external_id", "two")]).await.expect(409);
    assert!(says(&taken, "Another contact has this"), "{}", taken.text());
}

async fn contacts_are_searched_and_leave_as_a_file_of_the_half_that_is_shown(world: &World) {
    let ada = world.member("ada", "admin").await;
    for name in ["Grace & Co", "Linus"] {
        let _ = ada.post("/v1/contacts", &json!({"name": name, "tags": [name]})).await.expect(201);
    }
    let test = ada.request("POST", "/v1/contacts").header("x-environment", "test").json(&json!({"name": "Tess"}));
    let _ = test.send().await.expect(201);
    let found = page(&ada, "/_/contacts?search=grace&tag=&archived=").await.expect(200);
    assert!(says(&found, "Grace & Co") && !says(&found, "Linus"), "{}", found.text());
    assert!(found.text().contains("/_/contacts/export?search=grace&#38;format=csv&#38;seen=live"), "{}", found.text());
    assert!(says(&page(&ada, "/_/contacts?search=nobody").await, "No contact matches."));
    let file = page(&ada, "/_/contacts/export?search=grace&format=csv&seen=live").await.expect(200);
    assert!(file.header("content-disposition").contains("contacts-") && file.header("content-type").contains("csv"));
    assert!(file.text().contains("Grace & Co") && !file.text().contains("Linus"), "{}", file.text());
    let file = ada.request("GET", "/_/contacts/export?seen=test").header("cookie", "chatelaine-environment=test");
    let file = file.send().await.expect(200).text();
    assert!(file.contains("Tess") && !file.contains("Linus"), "{file}");
    let log = world.secret().get("/v1/audit-log?action=export_contacts").await.expect(200).data();
    assert_eq!(log.as_array().unwrap().len(), 2, "{log}");
    let _ = page(&ada, "/_/contacts/export?format=pdf&seen=live").await.expect(400);
}

async fn a_member_reads_contacts_and_changes_none(world: &World) {
    let (ada, bob) = (world.member("ada", "admin").await, world.member("bob", "member").await);
    let id = id_of(&ada.post("/v1/contacts", &json!({"name": "Grace"})).await.expect(201));
    let shown = page(&bob, &format!("/_/contacts/{id}")).await.expect(200);
    for refused in ["Delete", "/edit", "Archive Grace", "/_/audit-log"] {
        assert!(!shown.text().contains(refused), "{refused}");
    }
    assert!(!page(&bob, "/_/contacts").await.expect(200).text().contains("/_/contacts/new"));
    for path in ["new", "imports/new", &format!("{id}/edit")] {
        let _ = page(&bob, &format!("/_/contacts/{path}")).await.expect(403);
    }
    for path in ["", "/imports", &format!("/{id}"), &format!("/{id}/archive"), &format!("/{id}/delete")] {
        let _ = submit(&bob, &format!("/_/contacts{path}"), &[("name", "Mine")]).await.expect(403);
    }
    assert_eq!(ada.get(&format!("/v1/contacts/{id}")).await.expect(200).data()["name"], "Grace");
}

async fn pasted_rows_are_imported_once_and_what_was_wrong_is_shown(world: &World) {
    let ada = world.member("ada", "admin").await;
    assert!(says(&page(&ada, "/_/contacts/imports").await.expect(200), "Nothing was imported yet."));
    let form = page(&ada, "/_/contacts/imports/new").await.expect(200);
    assert!(form.text().contains("/static/import.js") && form.text().contains("data-import=\"live\""));
    let csv = "Kunde;email\r\nGrace;grace@navy.example\r\nNobody;nowhere\r\n";
    let fields = [("csv", csv), ("mapping", "Kunde = name"), ("match", "email"), ("tags", "new"), ("once", "n1")];
    let path = leads_to(&submit(&ada, "/_/contacts/imports", &fields).await);
    assert_eq!(leads_to(&submit(&ada, "/_/contacts/imports", &fields).await), path, "sent twice, imported once");
    let mut shown = page(&ada, &path).await.expect(200);
    for _ in 0..200 {
        if says(&shown, "completed") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        shown = page(&ada, &path).await.expect(200);
    }
    for words in ["completed", "100 %", "Contacts created 1", "Rows that were wrong 1", "Line 3 email"] {
        assert!(says(&shown, words), "{words}: {}", shown.text());
    }
    assert!(!shown.text().contains("hx-get"), "what is over is not asked for again");
    assert!(says(&page(&ada, "/_/contacts?tag=new").await, "Grace"));
    assert!(says(&page(&ada, "/_/contacts/imports").await, "completed"));
    let over = submit(&ada, &format!("{path}/cancel"), &[]).await.expect(409);
    assert!(says(&over, "The import is over"), "{}", over.text());
    for (field, value, why) in [
        ("csv", " ", "is empty"),
        ("mapping", "Kunde", "on each line"),
        ("mapping", "Kunde = id", "no field of a contact"),
    ] {
        let mut fields = vec![("csv", csv), ("once", "n2")];
        fields.retain(|(name, _)| *name != field);
        fields.push((field, value));
        let again = submit(&ada, "/_/contacts/imports", &fields).await;
        assert!(matches!(again.status, 400 | 422) && says(&again, why), "{why}: {} {}", again.status, again.text());
    }
}

async fn nobody_sees_another_workspace_s_contacts(world: &World) {
    let (ada, other) = (world.member("ada", "admin").await, world.other_workspace_secret());
    let id = id_of(&other.post("/v1/contacts", &json!({"name": "Theirs"})).await.expect(201));
    for path in ["", "/edit"] {
        let _ = page(&ada, &format!("/_/contacts/{id}{path}")).await.expect(404);
    }
    for path in ["", "/archive", "/delete"] {
        let _ = submit(&ada, &format!("/_/contacts/{id}{path}"), &[("name", "Mine")]).await.expect(404);
    }
    let _ = page(&ada, "/_/contacts/con_00000000000000000000000001").await.expect(404);
    let _ = page(&ada, "/_/contacts/imports/imp_00000000000000000000000001").await.expect(404);
    assert!(!says(&page(&ada, "/_/contacts").await, "Theirs"));
    assert_eq!(other.get(&format!("/v1/contacts/{id}")).await.expect(200).data()["name"], "Theirs");
}
