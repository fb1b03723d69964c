//! Contacts: made, found, changed, put away and deleted.

use serde_json::{Value, json};
use testkit::{Persona, World, id_of};

on_both! {
    a_contact_is_made_read_changed_archived_and_deleted;
    what_is_no_contact_is_refused_by_field;
    an_external_id_is_one_contacts_in_its_environment;
    contacts_are_searched_and_filtered_and_counted;
    contacts_of_others_are_nobodys;
    whoever_reads_contacts_does_not_change_them;
    a_contact_is_made_once_however_often_it_is_asked_for;
    contacts_leave_line_by_line;
    contacts_leave_as_cells_that_are_no_formulas;
    a_file_of_contacts_has_what_is_asked_for_and_nothing_of_others;
}

async fn add(by: &Persona, body: Value) -> String {
    id_of(&by.post("/v1/contacts", &body).await.expect(201))
}

/// The ids of a list, in its order, and its count, which must be what is counted.
async fn found(by: &Persona, query: &str) -> Vec<String> {
    let list = by.get(&format!("/v1/contacts?per_page=100&{query}")).await.expect(200).json();
    let ids: Vec<String> =
        list["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    let counted = by.get(&format!("/v1/contacts/count?{query}")).await.expect(200).data();
    assert_eq!((&list["meta"]["total"], &counted["count"]), (&json!(ids.len()), &json!(ids.len())), "{query}");
    ids
}

async fn a_contact_is_made_read_changed_archived_and_deleted(world: &World) {
    let by = world.secret();
    let body = json!({
        "name": " Ada Lovelace ", "email": "Ada@Example.com", "phone": "+44 (20) 7946-0000", "external_id": "crm-1",
        "tags": ["vip", "beta", "vip"], "custom_fields": {"plan": "pro", "seats": 3, "trial": false, "note": null},
    });
    let made = by.post("/v1/contacts", &body).await.expect(201).data();
    let id = made["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("con_"), "{made}");
    assert_eq!(
        [&made["name"], &made["email"], &made["phone"], &made["external_id"], &made["tags"], &made["archived_at"]],
        [
            &json!("Ada Lovelace"),
            &json!("Ada@Example.com"),
            &json!("+442079460000"),
            &json!("crm-1"),
            &json!(["beta", "vip"]),
            &Value::Null
        ]
    );
    assert_eq!(made["custom_fields"], body["custom_fields"]);
    let path = format!("/v1/contacts/{id}");
    assert_eq!(by.get(&path).await.expect(200).data(), made);

    let change = json!({"phone": null, "tags": ["new"], "custom_fields": {"plan": "free"}});
    let changed = by.patch(&path, &change).await.expect(200).data();
    assert_eq!([&changed["phone"], &changed["tags"], &changed["name"]], [&Value::Null, &json!(["new"]), &made["name"]]);
    assert_eq!(changed["custom_fields"], json!({"plan": "free"}));
    assert_eq!(by.get(&path).await.expect(200).data(), changed);

    let archived = by.patch(&path, &json!({"archived": true})).await.expect(200).data();
    assert!(archived["archived_at"].is_string(), "{archived}");
    let again = by.patch(&path, &json!({"archived": true})).await.expect(200).data();
    assert_eq!(again["archived_at"], archived["archived_at"], "since the first time");
    assert!(found(&by, "").await.is_empty());
    assert_eq!(found(&by, "archived=true").await, [id.as_str()]);
    assert_eq!(by.patch(&path, &json!({"archived": false})).await.expect(200).data()["archived_at"], Value::Null);
    assert_eq!(found(&by, "archived=any").await, [id.as_str()]);
    assert!(found(&by, "archived=true").await.is_empty());

    let _ = by.delete(&path).await.expect(204);
    let _ = by.get(&path).await.refused(404, "NOT_FOUND");
    let _ = by.delete(&path).await.refused(404, "NOT_FOUND");
    assert!(found(&by, "archived=any&tag=new").await.is_empty(), "its labels are gone too");
}

async fn what_is_no_contact_is_refused_by_field(world: &World) {
    let by = world.secret();
    let many: Vec<String> = (0..51).map(|n| n.to_string()).collect();
    let wide: Value = (0..101).map(|n| (n.to_string(), json!(n))).collect::<serde_json::Map<_, _>>().into();
    for (body, field) in [
        (json!({}), "name"),
        (json!({"tags": ["a"]}), "name"),
        (json!({"name": null, "email": null}), "name"),
        (json!({"name": " "}), "name"),
        (json!({"name": "a\u{0}b"}), "name"),
        (json!({"email": "nobody"}), "email"),
        (json!({"phone": "12"}), "phone"),
        (json!({"external_id": "x".repeat(201)}), "external_id"),
        (json!({"name": "a", "tags": many}), "tags"),
        (json!({"name": "a", "tags": ["a", ""]}), "tags[1]"),
        (json!({"name": "a", "custom_fields": {"a": {"b": 1}}}), "custom_fields"),
        (json!({"name": "a", "custom_fields": wide}), "custom_fields"),
        (json!({"name": "a", "custom_fields": {"a": "x".repeat(17_000)}}), "custom_fields"),
        (json!({"name": "a", "id": "con_1"}), "id"),
    ] {
        let refused = by.post("/v1/contacts", &body).await.refused(422, "VALIDATION_FAILED").json();
        assert_eq!(refused["error"]["errors"][0]["field"], field, "{body}: {refused}");
    }
    let id = add(&by, json!({"name": "Ada"})).await;
    let path = format!("/v1/contacts/{id}");
    let _ = by.patch(&path, &json!({"name": null})).await.refused(422, "VALIDATION_FAILED");
    let _ = by.patch(&path, &json!({"email": "nobody"})).await.refused(422, "VALIDATION_FAILED");
    assert_eq!(by.get(&path).await.expect(200).data()["name"], "Ada");
    for query in [
        "search=".to_owned(),
        "page=0".to_owned(),
        "per_page=101".to_owned(),
        "archived=maybe".to_owned(),
        "tag=a&tag=b&tag=c&tag=d&tag=e&tag=f".to_owned(),
        "email=a@b&email=c@d".to_owned(),
        format!("search={}", "x".repeat(201)),
    ] {
        let _ = by.get(&format!("/v1/contacts?{query}")).await.refused(400, "INVALID_REQUEST");
    }
}

async fn an_external_id_is_one_contacts_in_its_environment(world: &World) {
    let (by, test) = (world.secret(), world.test_secret().await);
    let body = json!({"external_id": "crm-1"});
    let _ = add(&by, body.clone()).await;
    let _ = by.post("/v1/contacts", &body).await.refused(409, "CONFLICT");
    let second = add(&by, json!({"name": "B"})).await;
    let _ = by.patch(&format!("/v1/contacts/{second}"), &body).await.refused(409, "CONFLICT");
    assert_eq!(found(&by, "external_id=crm-1").await.len(), 1);
    let _ = add(&test, body.clone()).await;
    let _ = add(&world.other_workspace_secret(), body).await;
}

async fn contacts_are_searched_and_filtered_and_counted(world: &World) {
    let by = world.secret();
    let ada = add(
        &by,
        json!({"name": "Ada ÄÖ", "email": "Ada@Example.com", "tags": ["vip", "beta"], "external_id": "50%_off!"}),
    )
    .await;
    let bob = add(&by, json!({"name": "Bob", "phone": "+49 30 1234", "tags": ["vip"]})).await;
    let cyd = add(&by, json!({"name": "Cyd", "email": "ada@example.com", "external_id": "500off"})).await;
    // Within a millisecond the order is the ids'.
    let newest_first = |mut ids: Vec<&str>| {
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let all = newest_first(vec![&ada, &bob, &cyd]);
    for (query, expected) in [
        ("", vec![&ada, &bob, &cyd]),
        ("search=%20%20", vec![&ada, &bob, &cyd]),
        ("search=EXAMPLE", vec![&ada, &cyd]),
        ("search=%C3%A4%C3%B6", vec![&ada]),
        ("search=1234", vec![&bob]),
        ("search=50%25_off", vec![&ada]),
        ("search=_", vec![&ada]),
        ("search=%25", vec![&ada]),
        ("search=!", vec![&ada]),
        ("search=%00", vec![]),
        ("search='%20OR%201=1%20--", vec![]),
        ("email=ADA@example.COM", vec![&ada, &cyd]),
        ("email=example.com", vec![]),
        ("external_id=500off", vec![&cyd]),
        ("external_id=500OFF", vec![]),
        ("tag=vip", vec![&ada, &bob]),
        ("tag=vip&tag=beta", vec![&ada]),
        ("tag=vip&tag=none", vec![]),
        ("tag=vip&search=bob", vec![&bob]),
        ("email=ada@example.com&tag=vip", vec![&ada]),
        ("external_id=500off&email=ada@example.com&search=cyd", vec![&cyd]),
        ("external_id=500off&tag=vip", vec![]),
    ] {
        let expected = newest_first(expected.into_iter().map(String::as_str).collect());
        assert_eq!(found(&by, query).await, expected, "{query}");
    }
    let page = by.get("/v1/contacts?page=2&per_page=2").await.expect(200).json();
    assert_eq!(page["data"][0]["id"], all[2].as_str());
    assert_eq!((page["data"].as_array().unwrap().len(), &page["meta"]["total"]), (1, &json!(3)));
    let tags = by.get("/v1/contacts?tag=beta").await.expect(200).data();
    assert_eq!(tags[0]["tags"], json!(["beta", "vip"]));
    // As seed S3 prints it.
    let printed = by.request("GET", "/v1/contacts").header("accept", "application/json").send().await.expect(200);
    assert_eq!(printed.json()["meta"], json!({"page": 1, "per_page": 20, "total": 3}));
}

async fn contacts_of_others_are_nobodys(world: &World) {
    let (by, test, other) = (world.secret(), world.test_secret().await, world.other_workspace_secret());
    let id = add(&by, json!({"name": "Ada", "tags": ["vip"], "external_id": "1"})).await;
    let path = format!("/v1/contacts/{id}");
    for stranger in [&test, &other] {
        let absent = stranger.get("/v1/contacts/con_00000000000000000000000001").await.refused(404, "NOT_FOUND");
        assert_eq!(stranger.get(&path).await.body_without_id(), absent.body_without_id());
        let _ = stranger.patch(&path, &json!({"name": "X"})).await.refused(404, "NOT_FOUND");
        let _ = stranger.delete(&path).await.refused(404, "NOT_FOUND");
        for query in ["", "tag=vip", "external_id=1", "search=ada", "archived=any"] {
            assert!(found(stranger, query).await.is_empty(), "{query}");
        }
    }
    assert_eq!(found(&by, "search=ada").await, [id]);
}

async fn whoever_reads_contacts_does_not_change_them(world: &World) {
    let reader = world.key("reader", json!({"name": "R", "scopes": ["contacts:read"]})).await;
    let writer = world.key("writer", json!({"name": "W", "scopes": ["contacts:write"]})).await;
    let id = add(&writer, json!({"name": "Ada"})).await;
    let _ = reader.get(&format!("/v1/contacts/{id}")).await.expect(200);
    for refused in [
        reader.post("/v1/contacts", &json!({"name": "B"})).await,
        reader.delete(&format!("/v1/contacts/{id}")).await,
        reader.request("POST", "/v1/contacts/import").body("text/csv", "name\nB\n").send().await,
    ] {
        let refused = refused.refused(403, "INSUFFICIENT_PERMISSIONS").json();
        assert_eq!(refused["error"]["required_scope"], "contacts:write");
    }
    let refused = writer.get("/v1/contacts").await.refused(403, "INSUFFICIENT_PERMISSIONS").json();
    assert_eq!(refused["error"]["required_scope"], "contacts:read");
}

async fn a_contact_is_made_once_however_often_it_is_asked_for(world: &World) {
    let by = world.secret();
    let ask = async |body: Value| {
        by.request("POST", "/v1/contacts").header("idempotency-key", "once").json(&body).send().await
    };
    let first = ask(json!({"name": "Ada"})).await.expect(201).data();
    assert_eq!(ask(json!({"name": "Ada"})).await.expect(201).data(), first);
    let _ = ask(json!({"name": "Bob"})).await.refused(422, "VALIDATION_FAILED");
    assert_eq!(found(&by, "").await.len(), 1);
}

async fn contacts_leave_line_by_line(world: &World) {
    let by = world.secret();
    let mut ids = Vec::new();
    // More than are read at a time.
    for n in 0..120 {
        ids.push(add(&by, json!({"name": format!("Person {n}"), "tags": ["b", "a"], "custom_fields": {"n": n}})).await);
    }
    let file = by.get("/v1/contacts/export").await.expect(200);
    assert_eq!(file.header("content-type"), "application/x-ndjson; charset=utf-8");
    let disposition = file.header("content-disposition");
    assert!(disposition.contains("attachment; filename=\"contacts-ws_") && disposition.contains(".ndjson"));
    let lines: Vec<Value> = file.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.last().unwrap(), &json!({"type": "end", "contacts": 120}));
    ids.sort_unstable();
    let exported: Vec<_> = lines[..120].iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(exported, ids, "the oldest first, each once");
    let mut shown = by.get(&format!("/v1/contacts/{}", ids[7])).await.expect(200).data();
    shown["type"] = json!("contact");
    assert_eq!(lines[7], shown, "what the API shows");
    let log = by.get("/v1/audit-log?action=export_contacts").await.expect(200).data();
    assert_eq!((log.as_array().unwrap().len(), &log[0]["detail"]), (1, &json!({"format": "ndjson", "filters": []})));
}

async fn contacts_leave_as_cells_that_are_no_formulas(world: &World) {
    let by = world.secret();
    let body = json!({
        "name": "=HYPERLINK(\"http://a.example\")", "email": "x@example.com",
        "phone": "+49 30 1234", "external_id": "-1+2", "tags": ["@b", "a"], "custom_fields": {"=k": "=1"},
    });
    let id = add(&by, body).await;
    let _ = add(&by, json!({"name": "Bob, \"B\""})).await;
    let text = by.get("/v1/contacts/export?format=csv").await.expect(200).text();
    let rows: Vec<_> = text.split("\r\n").collect();
    assert_eq!(
        rows[0], "id,name,email,phone,external_id,tags,custom_fields,created_at,updated_at,archived_at",
        "{text}"
    );
    let risky = "\"'=HYPERLINK(\"\"http://a.example\"\")\",x@example.com,'+49301234,'-1+2,\"'@b,a\",\"{\"\"=k\"\":\"\"=1\"\"}\",";
    assert!(text.contains(&format!("{id},{risky}")), "{text}");
    assert!(text.contains(",\"Bob, \"\"B\"\"\",,,,,,20"), "{text}");
    assert_eq!((rows.len(), rows[3]), (4, ""), "the names, two contacts, and the end of the last");
    let signed = by.get("/v1/contacts/export?format=csv&bom=1").await.expect(200);
    assert!(signed.body.starts_with(b"\xef\xbb\xbfid,name"));
    assert_eq!(signed.header("content-type"), "text/csv; charset=utf-8; header=present");
    for query in ["format=xml", "format=csv&format=csv", "bom=2", "bom=x", "archived=maybe", "search="] {
        let _ = by.get(&format!("/v1/contacts/export?{query}")).await.refused(400, "INVALID_REQUEST");
    }
}

async fn a_file_of_contacts_has_what_is_asked_for_and_nothing_of_others(world: &World) {
    let (by, test, other) = (world.secret(), world.test_secret().await, world.other_workspace_secret());
    let ada = add(&by, json!({"name": "Ada", "email": "ada@example.com", "tags": ["vip"]})).await;
    let bob = add(&by, json!({"name": "Bob", "tags": ["vip"]})).await;
    let _ = by.patch(&format!("/v1/contacts/{bob}"), &json!({"archived": true})).await.expect(200);
    let theirs = add(&other, json!({"name": "Ada"})).await;
    let exported = async |by: &Persona, query: &str| {
        let file = by.get(&format!("/v1/contacts/export?{query}")).await.expect(200).text();
        let lines = file.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter_map(|line| Some(line["id"].as_str()?.to_owned())).collect::<Vec<_>>()
    };
    let mut both = [ada.clone(), bob.clone()];
    both.sort_unstable();
    assert_eq!(exported(&by, "").await, [ada.as_str()]);
    assert_eq!(exported(&by, "archived=any&tag=vip").await, both);
    assert_eq!(exported(&by, "archived=true").await, [bob.as_str()]);
    for (query, expected) in [("email=ADA@example.com", 1), ("search=ada", 1), ("search=bob", 0), ("search=%00", 0)] {
        assert_eq!(exported(&by, query).await.len(), expected, "{query}");
    }
    assert_eq!((exported(&other, "").await, exported(&test, "archived=any").await.len()), (vec![theirs], 0));
    let log = by.get("/v1/audit-log?action=export_contacts").await.expect(200).text();
    assert!(!log.to_lowercase().contains("ada") && log.contains("\"email\""), "what was asked for is not kept: {log}");

    let writer = world.key("writer", json!({"name": "W", "scopes": ["contacts:write", "export:read"]})).await;
    let refused = writer.get("/v1/contacts/export").await.refused(403, "INSUFFICIENT_PERMISSIONS").json();
    assert_eq!(refused["error"]["required_scope"], "contacts:read");
}
