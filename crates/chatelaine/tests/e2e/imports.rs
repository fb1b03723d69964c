//! Contacts from files: exact about rows, lines and crashes.

use std::{fmt::Write as _, time::Duration};

use serde_json::{Value, json};
use testkit::{Answer, Client, Persona, Process, World, eventually};

use crate::harness::{BINARY, block_on};

on_both! {
    a_file_becomes_contacts_and_what_is_wrong_has_its_line;
    rows_find_the_contacts_that_they_are_about;
    a_file_that_cannot_be_read_says_why;
    a_large_file_is_seen_to_go_on_and_every_error_has_its_line;
    an_import_is_cancelled_where_it_is;
    a_small_file_does_not_wait_for_anothers_large_one;
    imports_are_those_of_their_environment;
    a_file_is_refused_before_it_is_read;
    what_does_not_arrive_leaves_nothing;
    who_is_removed_or_narrowed_sends_nothing_more;
    the_same_file_under_the_same_key_is_one_import;
}

async fn send(by: &Persona, query: &str, text: impl Into<Vec<u8>>) -> Answer {
    by.request("POST", &format!("/v1/contacts/import?{query}")).body("text/csv", text.into()).send().await
}

/// Its id.
pub(crate) async fn begin(by: &Persona, query: &str, text: impl Into<Vec<u8>>) -> String {
    let import = send(by, query, text).await.expect(202).data();
    assert_eq!((&import["rows_done"], &import["progress"]), (&json!(0), &json!(0.0)), "{import}");
    import["id"].as_str().unwrap().to_owned()
}

async fn look(by: &Persona, id: &str) -> Value {
    by.get(&format!("/v1/contacts/imports/{id}")).await.expect(200).data()
}

async fn ended(by: &Persona, id: &str) -> Value {
    let mut seen = Value::Null;
    let over = eventually(Duration::from_secs(120), async || {
        seen = look(by, id).await;
        seen["finished_at"].is_string()
    });
    assert!(over.await, "{seen}");
    seen
}

async fn import(by: &Persona, query: &str, text: impl Into<Vec<u8>>) -> Value {
    let id = begin(by, query, text).await;
    ended(by, &id).await
}

/// Rows, created, updated, skipped, failed.
fn numbers(import: &Value) -> [u64; 5] {
    ["rows_done", "created", "updated", "skipped", "failed"].map(|name| import[name].as_u64().unwrap())
}

/// `line field` of each error.
fn wrong(import: &Value) -> Vec<String> {
    let errors = import["errors"].as_array().unwrap();
    errors.iter().map(|error| format!("{} {}", error["line"], error["field"].as_str().unwrap())).collect()
}

async fn contact(by: &Persona, query: &str) -> Value {
    let list = by.get(&format!("/v1/contacts?{query}")).await.expect(200).json();
    assert_eq!(list["meta"]["total"], 1, "{query}: {list}");
    list["data"][0].clone()
}

async fn count(by: &Persona) -> u64 {
    by.get("/v1/contacts/count?archived=any").await.expect(200).data()["count"].as_u64().unwrap()
}

async fn a_file_becomes_contacts_and_what_is_wrong_has_its_line(world: &World) {
    let by = world.secret();
    let mut file = b"\xef\xbb\xbfFull Name;E-Mail;Phone;external_id;Tags;Plan;Ort\r\n".to_vec();
    file.extend("Ada;Ada@Example.com;+44 20 1;1;\"a;b\";pro;\"Lon\r\ndon\"\r\n".bytes());
    file.extend("\r\n;;;;;;\r\nBob;nobody;12;2;;;\r\n".bytes());
    file.extend(b"C\xffd;;;3;;;\r\nD\0;;;4;;;x\0\r\n");
    file.extend("short;row\r\n;;;;vip;pro;x\r\nEve;;;1;;;\r\n\"Fay \"\"F\"\"\";;;5;;;\r\n\"open;;;6;;;\r\n".bytes());
    let mapping = "%7B%22Ort%22%3A%22custom%3Acity%22%7D";
    let done = import(&by, &format!("mapping={mapping}&tags=all,new&match=none"), file).await;
    assert_eq!(done["status"], "completed", "{done}");
    assert_eq!(numbers(&done), [9, 2, 0, 0, 7], "{done}");
    assert_eq!((&done["rows_total"], &done["progress"]), (&json!(9), &json!(1.0)));
    assert_eq!(
        wrong(&done),
        ["6 email", "6 phone", "7 name", "8 custom_fields.city", "8 name", "9 ", "10 ", "11 external_id", "13 "],
        "{done}"
    );
    assert!(done["errors"][0]["message"].as_str().unwrap().contains("email address"), "{done}");
    let ada = contact(&by, "external_id=1").await;
    assert_eq!(
        [&ada["name"], &ada["email"], &ada["phone"], &ada["tags"]],
        [&json!("Ada"), &json!("Ada@Example.com"), &json!("+44201"), &json!(["a", "all", "b", "new"])]
    );
    assert_eq!(ada["custom_fields"], json!({"Plan": "pro", "city": "Lon\r\ndon"}));
    assert_eq!(contact(&by, "search=fay").await["name"], "Fay \"F\"");
    assert_eq!(count(&by).await, 2);
    let path = format!("/v1/contacts/imports/{}/errors?per_page=2&page=2", done["id"].as_str().unwrap());
    let page = by.get(&path).await.expect(200).json();
    assert_eq!((&page["data"][0]["line"], &page["meta"]["total"]), (&json!(7), &json!(9)), "{page}");
    let list = by.get("/v1/contacts/imports").await.expect(200).json();
    assert_eq!((&list["meta"]["total"], &list["data"][0]["id"]), (&json!(1), &done["id"]));
}

async fn rows_find_the_contacts_that_they_are_about(world: &World) {
    let by = world.secret();
    let first = "external_id,name,email,tags,city\n1,Ada,ada@x,a,London\n2,Bob,bob@x,,\n1,Ada L.,,b,\n";
    assert_eq!(numbers(&import(&by, "", first).await), [3, 2, 1, 0, 0], "the same file may come back to a contact");
    let ada = contact(&by, "external_id=1").await;
    assert_eq!([&ada["name"], &ada["email"], &ada["tags"]], [&json!("Ada L."), &json!("ada@x"), &json!(["a", "b"])]);
    assert_eq!(ada["custom_fields"], json!({"city": "London"}), "an empty cell leaves what it finds");

    let again = "external_id,name\n1,Nobody\n3,Cyd\n,Dan\n";
    assert_eq!(numbers(&import(&by, "on_match=skip", again).await), [3, 2, 0, 1, 0]);
    assert_eq!(contact(&by, "external_id=1").await["name"], "Ada L.");

    let mails = "email,external_id,name\nADA@X,,Ada M.\nbob@x,1,\nnew@x,2,\nnew@x,,New\n,,Nameless\n";
    let done = import(&by, "match=email", mails).await;
    assert_eq!(numbers(&done), [5, 2, 1, 0, 2], "{done}");
    assert_eq!(wrong(&done), ["3 external_id", "4 external_id"], "another contact's, when found and when new");
    assert_eq!(contact(&by, "external_id=1").await["name"], "Ada M.");
    let _ = import(&by, "match=none", "email\nADA@x\n").await;
    let done = import(&by, "match=email", "email,name\nada@x,Which\n").await;
    assert_eq!(wrong(&done), ["2 email"], "{done}");

    let tags: Vec<String> = (0..49).map(|n| n.to_string()).collect();
    let done = import(&by, "", format!("external_id,tags\n1,{}\n", tags.join(";"))).await;
    assert_eq!(wrong(&done), ["2 tags"], "51 with the two that are there");
}

async fn a_file_that_cannot_be_read_says_why(world: &World) {
    let by = world.secret();
    let utf_16: Vec<u8> = [0xff, 0xfe].into_iter().chain("name\nAda\n".bytes().flat_map(|byte| [byte, 0])).collect();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("", Vec::new(), "empty"),
        ("", b"\r\n\r\n".to_vec(), "empty"),
        ("", b"city,plan\nLondon,pro\n".to_vec(), "No column"),
        ("", utf_16, "UTF-16"),
        ("", b"\x89PNG\r\n\x1a\n\0\0".to_vec(), "UTF-8"),
        ("", b"name,Name\nAda,Ada\n".to_vec(), "same field"),
        ("mapping=%7B%22x%22%3A%22name%22%7D", b"name\nAda\n".to_vec(), "does not have: x"),
        ("", format!("\"{}", "x".repeat(100_000)).into_bytes(), "first row"),
        ("delimiter=tab", b"name,email\nAda,ada@x\n".to_vec(), "No column"),
    ];
    for (query, file, why) in cases {
        let done = import(&by, query, file).await;
        assert_eq!((&done["status"], numbers(&done)), (&json!("failed"), [0; 5]), "{why}: {done}");
        assert!(done["error"].as_str().unwrap().contains(why), "{why}: {done}");
    }
    for query in ["mapping=x", "match=name", "on_match=maybe", "delimiter=,", "match=none&match=none"] {
        let _ = send(&by, query, "name\nAda\n").await.refused(400, "INVALID_REQUEST");
    }
    assert_eq!(count(&by).await, 0);
    let done = import(&by, "", "name\n").await;
    assert_eq!((&done["status"], numbers(&done)), (&json!("completed"), [0; 5]), "a table without rows");
}

/// Rows that are two lines each where `n` is divisible by 10, and wrong where it is by 1,000.
pub(crate) fn large(rows: usize, name: &str) -> (String, Vec<String>) {
    let (mut file, mut line, mut errors) = ("name,email,note\n".to_owned(), 2, Vec::new());
    for n in 1..=rows {
        let email = if n % 1000 == 0 { "nobody".to_owned() } else { format!("{name}{n}@example.com") };
        if n % 1000 == 0 {
            errors.push(format!("{line} email"));
        }
        let note = if n % 10 == 0 { "\"two\nlines\"" } else { "one" };
        line += if n % 10 == 0 { 2 } else { 1 };
        writeln!(file, "{name} {n},{email},{note}").unwrap();
    }
    (file, errors)
}

const ROWS: usize = 100_000;

async fn a_large_file_is_seen_to_go_on_and_every_error_has_its_line(world: &World) {
    let by = world.secret();
    let (file, errors) = large(ROWS, "p");
    let id = begin(&by, "match=none", file).await;
    let (mut seen, mut last) = (Vec::new(), json!(0.0));
    let over = eventually(Duration::from_secs(300), async || {
        let now = look(&by, &id).await;
        assert!(now["progress"].as_f64() >= last.as_f64(), "it only grows: {now}");
        last = now["progress"].clone();
        if now["status"] == "running" && now["rows_done"].as_u64() > Some(0) {
            assert_eq!(now["rows_total"], ROWS, "{now}");
            seen.push(now["rows_done"].as_u64().unwrap());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        now["finished_at"].is_string()
    });
    assert!(over.await, "{last}");
    seen.dedup();
    assert!(seen.len() > 3 && seen.is_sorted(), "progress was seen: {seen:?}");
    let done = look(&by, &id).await;
    let rows = ROWS as u64;
    assert_eq!(numbers(&done), [rows, rows - 100, 0, 0, 100], "{done}");
    assert_eq!(wrong(&done), errors);
    assert_eq!(count(&by).await, rows - 100);
    assert_eq!(contact(&by, "email=P99990@example.com").await["custom_fields"], json!({"note": "two\nlines"}));
}

async fn an_import_is_cancelled_where_it_is(world: &World) {
    let by = world.secret();
    let id = begin(&by, "match=none", large(50_000, "p").0).await;
    let path = format!("/v1/contacts/imports/{id}/cancel");
    let begun = async || look(&by, &id).await["rows_done"].as_u64() > Some(0);
    assert!(eventually(Duration::from_secs(60), begun).await);
    let _ = world.other_workspace_secret().post(&path, &json!({})).await.refused(404, "NOT_FOUND");
    let cancelled = by.post(&path, &json!({})).await.expect(200).data();
    assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
    assert!(cancelled["rows_done"].as_u64() < Some(50_000), "{cancelled}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let later = look(&by, &id).await;
    assert_eq!(
        (later["rows_done"].clone(), count(&by).await),
        (cancelled["rows_done"].clone(), later["created"].as_u64().unwrap())
    );
    let _ = by.post(&path, &json!({})).await.refused(409, "CONFLICT");
    // The next one begins.
    assert_eq!(import(&by, "", "name\nAda\n").await["status"], "completed");
}

async fn a_small_file_does_not_wait_for_anothers_large_one(world: &World) {
    let (by, other) = (world.secret(), world.other_workspace_secret());
    let large = begin(&by, "match=none", large(50_000, "p").0).await;
    let second = begin(&by, "match=none", "name\nAda\n").await;
    let small = import(&other, "", "name\nAda\n").await;
    assert_eq!(small["created"], 1);
    assert_eq!(look(&by, &large).await["finished_at"], Value::Null, "the large one is still at it");
    assert_eq!(look(&by, &second).await["status"], "pending", "one at a time of a workspace");
    let _ = by.post(&format!("/v1/contacts/imports/{large}/cancel"), &json!({})).await.expect(200);
    assert_eq!(ended(&by, &second).await["created"], 1);
}

async fn imports_are_those_of_their_environment(world: &World) {
    let (by, test) = (world.secret(), world.test_secret().await);
    let done = import(&test, "", "external_id\n1\n").await;
    assert_eq!((count(&test).await, count(&by).await), (1, 0));
    let id = done["id"].as_str().unwrap();
    for stranger in [by, world.other_workspace_secret()] {
        for path in ["", "/errors"] {
            let _ = stranger.get(&format!("/v1/contacts/imports/{id}{path}")).await.refused(404, "NOT_FOUND");
        }
        assert_eq!(stranger.get("/v1/contacts/imports").await.expect(200).json()["meta"]["total"], 0);
    }
}

async fn a_file_is_refused_before_it_is_read(world: &World) {
    let by = world.secret();
    let head = |key: &str, length: usize, kind: &str| {
        format!(
            "POST /v1/contacts/import HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: {kind}\r\n\
             content-length: {length}\r\n\r\n"
        )
    };
    let status = async |text: String| world.client().raw(text.as_bytes()).await[9..12].to_owned();
    let most = 64 * 1024 * 1024;
    assert_eq!(status(head("sk_live_nobody", most, "text/csv")).await, "401", "without a byte of the body");
    assert_eq!(status(head(by.credential(), most + 1, "text/csv")).await, "413");
    assert_eq!(status(head(by.credential(), most, "text/plain")).await, "415");
    let large = format!("name\n{}\n", "x".repeat(300 * 1024));
    let _ = send(&by, "", large.clone()).await.expect(202);
    let _ =
        by.request("POST", "/v1/bots").body("application/json", large).send().await.refused(413, "PAYLOAD_TOO_LARGE");
}

async fn what_does_not_arrive_leaves_nothing(world: &World) {
    let (by, key) = (world.secret(), world.key("key", json!({"name": "K", "scopes": ["admin"]})).await);
    let head = format!(
        "POST /v1/contacts/import HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: text/csv\r\n\
         content-length: 1000000\r\n\r\nname\n{}",
        key.credential(),
        "Ada\n".repeat(100_000)
    );
    // Revoked in the middle of a file.
    let revoke = async {
        let _ = by.delete(&format!("/v1/api-keys/{}", key.id())).await.expect(200);
    };
    let answer = world.client().raw_in_two(head.as_bytes(), revoke, b"Bob\n").await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert_eq!(by.get("/v1/contacts/imports").await.expect(200).json()["meta"]["total"], 0);
    let open = world
        .store()
        .workspace(access::Tenant { workspace: world.workspace(), environment: credential::key::Environment::Live });
    let page = store::PageRequest { page: 1, per_page: 100 };
    assert_eq!(open.imports(page).await.unwrap().total, 0);
    assert!(world.store().open_imports(10).await.unwrap().is_empty());
    assert_eq!(count(&by).await, 0);
}

/// The answer to a file whose last line comes after `change`, at once.
async fn changed_meanwhile(world: &World, who: &str, change: impl Future<Output = Answer>) -> String {
    let text = "Ada\n".repeat(100_000);
    let head = format!(
        "POST /v1/contacts/import HTTP/1.1\r\nhost: x\r\n{who}\r\ncontent-type: text/csv\r\n\
         content-length: {}\r\n\r\nname\n{text}",
        text.len() + 9
    );
    let changed = async {
        let status = change.await.status;
        assert!(status < 300, "{status}");
    };
    world.client().raw_in_two(head.as_bytes(), changed, b"Bob\n").await
}

async fn who_is_removed_or_narrowed_sends_nothing_more(world: &World) {
    let by = world.secret();
    let (removed, demoted) = (world.member("removed", "admin").await, world.member("demoted", "admin").await);
    let person = |who: &Persona| format!("cookie: {}\r\norigin: {}", who.cookie(), world.server().url());
    let path = |who: &Persona| format!("/v1/members/{}", who.id());
    let (path_of_removed, path_of_demoted) = (path(&removed), path(&demoted));
    let answer = changed_meanwhile(world, &person(&removed), by.delete(&path_of_removed)).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let member = json!({"role": "member"});
    let answer = changed_meanwhile(world, &person(&demoted), by.patch(&path_of_demoted, &member)).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");

    let narrowed = world.key("narrowed", json!({"name": "N", "scopes": ["contacts:write"]})).await;
    let (path, less) = (format!("/v1/api-keys/{}", narrowed.id()), json!({"scopes": ["bots:read"]}));
    let header = format!("authorization: Bearer {}", narrowed.credential());
    let answer = changed_meanwhile(world, &header, by.patch(&path, &less)).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");

    assert!(world.store().open_imports(10).await.unwrap().is_empty());
    assert_eq!(
        (count(&by).await, &by.get("/v1/contacts/imports").await.expect(200).json()["meta"]["total"]),
        (0, &json!(0))
    );
}

async fn the_same_file_under_the_same_key_is_one_import(world: &World) {
    let by = world.secret();
    let ask = async |file: &'static str| {
        let request = by.request("POST", "/v1/contacts/import?match=none").header("idempotency-key", "once");
        request.body("text/csv", file).send().await
    };
    let first = ask("name\nAda\n").await.expect(202).data()["id"].clone();
    assert_eq!(ask("name\nAda\n").await.expect(202).data()["id"], first);
    for other in ["name\nAda L.\n", "name\nIda\n"] {
        let refused = ask(other).await.refused(422, "VALIDATION_FAILED");
        assert_eq!(refused.json()["error"]["errors"][0]["field"], "Idempotency-Key", "{other}");
    }
    let again = ask("name\nAda\n").await.expect(202);
    assert_eq!((again.data()["id"].clone(), again.header("idempotent-replayed")), (first.clone(), "true"));
    let _ = ended(&by, first.as_str().unwrap()).await;
    assert_eq!(count(&by).await, 1);

    // What was answered is told to nobody whose key ends while the file is compared.
    let sender = world.key("sender", json!({"name": "Sender", "scopes": ["contacts:write"]})).await;
    let file = format!("name\n{}Bob\n", "Ada\n".repeat(100_000));
    let request = sender.request("POST", "/v1/contacts/import").header("idempotency-key", "long");
    let _ = request.body("text/csv", file).send().await.expect(202);
    let path = format!("/v1/api-keys/{}", sender.id());
    let header = format!("authorization: Bearer {}\r\nidempotency-key: long", sender.credential());
    let answer = changed_meanwhile(world, &header, by.delete(&path)).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}

async fn start(data: &str) -> (Process, Client, String) {
    let process = Process::start(BINARY, &["try", "--json", "--listen", "127.0.0.1:0", "--data", data], &[]);
    let made: Value = serde_json::from_str(&process.line(|line| line.starts_with('{')).await).unwrap();
    let client = Client::new(made["url"].as_str().unwrap().trim_start_matches("http://").parse().unwrap());
    (process, client, made["keys"]["secret"].as_str().unwrap().to_owned())
}

#[test]
fn an_import_goes_on_after_a_kill_and_no_row_is_there_twice() {
    block_on(async {
        const ROWS: u64 = 30_000;
        let scratch = tempfile::tempdir().unwrap();
        let data = scratch.path().join("data");
        let (mut process, mut client, mut secret) = start(data.to_str().unwrap()).await;
        let (file, errors) = large(usize::try_from(ROWS).unwrap(), "p");
        let begun = client.request("POST", "/v1/contacts/import?match=none").bearer(&secret);
        let begun = begun.body("text/csv", file).send().await.expect(202).data();
        let path = format!("/v1/contacts/imports/{}", begun["id"].as_str().unwrap());
        let mut cuts = Vec::new();
        for _ in 0..3 {
            let from = cuts.last().copied();
            let moved = eventually(Duration::from_secs(60), async || {
                let now = client.get(&path).bearer(&secret).send().await.expect(200).data();
                let done = now["rows_done"].as_u64();
                if done > from && done > Some(0) {
                    cuts.push(done.unwrap());
                }
                cuts.last().copied() > from
            });
            assert!(moved.await, "it goes on: {cuts:?}");
            process.kill().await;
            (process, client, secret) = start(data.to_str().unwrap()).await;
        }
        assert!(*cuts.last().unwrap() < ROWS, "killed in the middle: {cuts:?}");
        let mut done = Value::Null;
        let over = eventually(Duration::from_secs(120), async || {
            done = client.get(&path).bearer(&secret).send().await.expect(200).data();
            done["finished_at"].is_string()
        });
        assert!(over.await, "{done}");
        assert_eq!(numbers(&done), [ROWS, ROWS - 30, 0, 0, 30], "{done}");
        assert_eq!(wrong(&done), errors);
        let total = client.get("/v1/contacts/count").bearer(&secret).send().await.expect(200).data();
        assert_eq!(total["count"], ROWS - 30, "no row twice, none lost");
        process.kill().await;
    });
}
