//! The table as a whole, and the document that is made of it.

use std::collections::HashSet;

use gate::Method;
use serde_json::Value;

use crate::world::World;

/// Where operations are: ours, and those of runs, as existing clients call them (seed S0).
const ROOTS: &[&str] = &["/v1/", "/api/v1/", "/api/webhooks/", "/api/export/"];

/// What is not below them: probes, and the document where tools look first.
const SYSTEM: &[&str] = &["/health", "/healthz", "/readyz", "/metrics", "/openapi.json"];

/// Operations that change something and leave no audit record, and why not.
const UNAUDITED: &[(&str, &str)] = &[
    ("create_chat_session", "the conversation names the key that opened it"),
    ("create_voice_session", "the conversation names the key that opened it"),
    ("send_chat_message", "the message is the record"),
    ("cancel_chat_reply", "the answer is there, marked partial"),
    ("renew_chat_session", "the session stays what it was"),
    ("create_run", "the run names the deployment that it is of"),
    ("cancel_run", "the last line of the run's timeline is the record"),
    ("call_webhook", "the run names what started it, and the trigger when it last did"),
    ("report_leaks", "each key that is acted on has a record of its own"),
    ("send_channel_message", "the message is the record"),
    ("export_conversation_form", "reading one conversation; seed S2 asks by POST"),
    ("export_conversation_json", "as above"),
    ("open_trial", "the conversation is the record"),
    ("send_trial_message", "the message is the record"),
    ("check_origin", "it tries a rule, and changes nothing"),
    ("create_participant_token", "the first look with it is bound to the run's role"),
];

/// Operations that no scope but `admin` opens, and why not.
const ADMIN_ALONE: &[(&str, &str)] = &[
    ("update_credits", "whoever may spend does not decide whether it is counted"),
    ("grant_credits", "nor gives himself more"),
    ("update_workspace", "it says what becomes of leaked keys"),
];

#[tokio::test]
async fn every_operation_has_a_name_and_a_place_of_its_own() {
    let table = World::empty().await.table;
    let (mut ids, mut places) = (HashSet::new(), HashSet::new());
    for row in &table {
        assert!(ids.insert(row.id), "{} twice", row.id);
        assert!(places.insert((row.method, row.path)), "{} {} twice", row.method.as_str(), row.path);
        assert!(row.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", row.id);
        assert!(ROOTS.iter().any(|root| row.path.starts_with(root)) || SYSTEM.contains(&row.path), "{}", row.path);
        assert!(row.summary.ends_with('.'), "{}: a sentence", row.id);
    }
    assert!(table.len() >= 40, "{}", table.len());
}

#[tokio::test]
async fn what_changes_something_is_audited_or_says_why_not() {
    let table = World::empty().await.table;
    let wrong: Vec<_> = table
        .iter()
        .filter(|row| row.method != Method::Get)
        .filter(|row| row.access.is_audited() == UNAUDITED.iter().any(|(id, _)| *id == row.id))
        .map(|row| row.id)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Operations that send data out, say where they go or who may have them, or make an address that is a credential.
const SENDS_OUT: &[&str] = &[
    "create_connection",
    "create_invitation",
    "create_trigger",
    "export_audit_log",
    "export_contacts",
    "export_conversations",
    "export_deployment_results",
    "update_api_key",
    "update_channel",
    "update_connection",
    "update_service_account",
    "update_trigger",
    "update_webhook",
];

/// Members of an answer that open something for whoever reads them. The address of a trigger and that of an
/// invitation are among them; that of an endpoint is no secret.
const SECRETS: &[&str] = &["key", "secret", "signing_secret", "token", "recovery_codes", "otpauth_url", "webhook_url"];

/// Operations that answer with such a member and ask nobody for a proof, and why not.
const MILD: &[(&str, &str)] = &[
    ("confirm_totp", "it takes a code of the app, which was begun after a proof"),
    ("explain_access", "it says which key it is and how its secrets stand, and shows none"),
];

/// The members of a schema, and of all that it is made of.
fn members(document: &Value, schema: &Value, seen: &mut HashSet<String>, found: &mut HashSet<String>) {
    match schema {
        Value::Object(map) => {
            if let Some(reference) = map.get("$ref").and_then(Value::as_str)
                && seen.insert(reference.to_owned())
                && let Some(of) = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer))
            {
                members(document, of, seen, found);
            }
            if let Some(properties) = map.get("properties").and_then(Value::as_object) {
                found.extend(properties.keys().cloned());
            }
            map.values().for_each(|value| members(document, value, seen, found));
        }
        Value::Array(values) => values.iter().for_each(|value| members(document, value, seen, found)),
        _ => {}
    }
}

#[tokio::test]
async fn what_shows_a_secret_or_sends_data_out_takes_a_proof_of_who_it_is() {
    let world = World::empty().await;
    let document = world.anyone().get("/v1/openapi.json").await.ok(200).json();
    let (mut wrong, mut shown) = (Vec::new(), 0);
    for row in world.table.iter().filter(|row| row.access.required_role().is_some()) {
        let operation = &document["paths"][row.path][row.method.as_str().to_ascii_lowercase()];
        let (mut seen, mut found) = (HashSet::new(), HashSet::new());
        members(&document, &operation["responses"][row.status.to_string()]["content"], &mut seen, &mut found);
        let secrets: Vec<_> = SECRETS.iter().filter(|name| found.contains(**name)).collect();
        shown += usize::from(!secrets.is_empty());
        let is_mild = MILD.iter().any(|(id, _)| *id == row.id);
        let must = (!secrets.is_empty() && !is_mild) || SENDS_OUT.contains(&row.id);
        if must != row.dangerous && (must || is_mild) {
            wrong.push((row.id, secrets));
        }
        assert_eq!(operation["x-confirmation-minutes"].is_number(), row.dangerous, "{}", row.id);
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(shown > 10, "{shown}: the schemas are read no more");
    for id in SENDS_OUT {
        assert!(world.table.iter().any(|row| row.id == *id), "{id} is no operation");
    }
}

/// All that takes a proof, by the line: what loses it by mistake is missed here.
const TAKES_A_PROOF: &[&str] = &[
    "begin_totp",
    "create_agent_loop",
    "create_api_key",
    "create_channel",
    "create_connection",
    "create_deployment",
    "create_integration",
    "create_invitation",
    "create_service_account",
    "create_service_account_key",
    "create_trigger",
    "create_webhook",
    "create_workspace_run_token",
    "end_totp",
    "export_audit_log",
    "export_contacts",
    "export_conversations",
    "export_deployment_results",
    "grant_credits",
    "renew_recovery_codes",
    "rotate_api_key",
    "rotate_channel_secret",
    "rotate_integration_secret",
    "rotate_webhook_secret",
    "update_agent_loop",
    "update_api_key",
    "update_channel",
    "update_connection",
    "update_credits",
    "update_integration",
    "update_member",
    "update_service_account",
    "update_trigger",
    "update_webhook",
    "update_workspace",
];

#[tokio::test]
async fn these_operations_and_no_others_take_a_proof_of_who_it_is() {
    let world = World::empty().await;
    let mut found: Vec<_> = world.table.iter().filter(|row| row.dangerous).map(|row| row.id).collect();
    found.sort_unstable();
    assert_eq!(found, TAKES_A_PROOF);
}

/// Operations that turn something off by one field: alone, that asks nobody for a proof.
const SWITCHES: &[&str] = &["update_channel", "update_service_account", "update_trigger", "update_webhook"];

#[tokio::test]
async fn what_only_cuts_does_not_wait_for_a_proof() {
    let world = World::empty().await;
    let document = world.anyone().get("/v1/openapi.json").await.ok(200).json();
    let mut switches: Vec<_> = world.table.iter().filter(|row| row.switch.is_some()).map(|row| row.id).collect();
    switches.sort_unstable();
    assert_eq!(switches, SWITCHES);
    for row in world.table.iter().filter(|row| row.switch.is_some()) {
        let operation = &document["paths"][row.path]["patch"];
        assert!(row.dangerous && row.method == Method::Patch, "{}: turned on by who proves who it is", row.id);
        let described = operation["description"].as_str().unwrap_or_default();
        let off = format!("`{{\"{}\": false}}` and nothing else", row.switch.unwrap_or_default());
        assert!(described.contains(&off), "{}: {described}", row.id);
    }
    // It opens an account that a password alone did not.
    let asks = |row: &&gate::Meta| row.method == Method::Delete && row.dangerous;
    let waiting: Vec<_> = world.table.iter().filter(asks).map(|row| row.id).collect();
    assert_eq!(waiting, ["end_totp"]);
    let must_not_wait = |id: &str| id.starts_with("revoke_") || id.starts_with("cancel_") || id.contains("_grace");
    let waiting: Vec<_> = world.table.iter().filter(|row| must_not_wait(row.id) && row.dangerous).collect();
    assert!(waiting.is_empty(), "{waiting:?}");
}

#[tokio::test]
async fn reading_and_changing_want_different_scopes() {
    let mut wrong = Vec::new();
    for row in World::empty().await.table {
        let Some(scope) = row.access.required_scope() else { continue };
        let wanted = if row.method == Method::Get { ":read" } else { ":write" };
        // Seed S2 sends a form to read.
        let wanted = if row.id.starts_with("export_") || ["check_origin", "explain_access"].contains(&row.id) {
            ":read"
        } else {
            wanted
        };
        let wanted = if ADMIN_ALONE.iter().any(|(id, _)| *id == row.id) { "admin" } else { wanted };
        if !scope.as_str().ends_with(wanted) {
            wrong.push(format!("{} wants {scope}", row.id));
        }
        let browsers_too = row.access.admits_widgets();
        assert!(row.access.required_role().is_some() || browsers_too, "{}: a member's way in", row.id);
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[tokio::test]
async fn only_probes_documents_and_the_first_setup_are_open() {
    let open: HashSet<_> =
        World::empty().await.table.iter().filter(|row| row.access.is_public()).map(|row| row.path).collect();
    let documents = ["/v1/openapi.json", "/api/v1/schema/workflow"];
    // The address of a webhook is its credential, a signature that of a channel; who reports a leak holds the key.
    let signed = ["/api/webhooks/{token}", "/v1/channels/{id}/messages", "/v1/leaks"];
    let people = ["/v1/setup", "/v1/sign-in", "/v1/invitations/accept"];
    let expected: HashSet<_> = SYSTEM.iter().copied().chain(documents).chain(signed).chain(people).collect();
    assert_eq!(open, expected);
}

#[tokio::test]
async fn the_document_says_of_every_operation_who_may_call_it() {
    let world = World::empty().await;
    let answer = world.anyone().get("/v1/openapi.json").await.ok(200);
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["servers"][0]["url"], "https://chat.example");
    for row in &world.table {
        let operation = &document["paths"][row.path][row.method.as_str().to_ascii_lowercase()];
        assert_eq!(operation["operationId"], row.id);
        assert!(operation["x-required-scopes"].is_array() && operation["x-allowed-roles"].is_array(), "{}", row.id);
        let success = &operation["responses"][row.status.to_string()];
        assert!(success.is_object(), "{}", row.id);
        assert_eq!(success["content"].is_object(), ![101, 204].contains(&row.status), "{}", row.id);
    }
    assert_eq!(answer.text, world.anyone().get("/openapi.json").await.ok(200).text);
}

#[tokio::test]
async fn every_reference_in_the_document_leads_somewhere() {
    fn references(value: &Value, found: &mut HashSet<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = World::empty().await.anyone().get("/v1/openapi.json").await.ok(200).json();
    let mut found = HashSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a reference within the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

/// A client that reads `total` as all that there is would stop at 10,000 rows.
#[tokio::test]
async fn every_list_says_where_counting_ends() {
    /// Counted whole: a deployment's runs.
    const WHOLE: &str = "ResultsMeta";
    let document = World::empty().await.anyone().get("/v1/openapi.json").await.ok(200).json();
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    let metas = schemas.iter().filter(|(name, schema)| {
        *name != WHOLE && ["per_page", "total"].iter().all(|member| schema["properties"].get(member).is_some())
    });
    let metas: Vec<_> = metas.collect();
    assert!(metas.len() >= 2, "of lists and of conversations: {metas:?}");
    for (name, schema) in metas {
        let says = |member: &str, words: &str| {
            schema["properties"][member]["description"].as_str().is_some_and(|text| text.contains(words))
        };
        assert!(says("total", "10,000") && says("capped", "more than `total`"), "{name}: {schema}");
        let required = schema["required"].as_array().expect("required members");
        let is_required = |member: &str| required.iter().any(|one| one == member);
        assert!(is_required("page") && is_required("per_page") && !is_required("capped"), "{name}: {required:?}");
    }
}

#[tokio::test]
async fn probes_say_how_it_stands() {
    let world = World::empty().await;
    assert_eq!(world.anyone().get("/health").await.ok(200).text, "{\"status\":\"ok\"}");
    world.anyone().get("/healthz").await.ok(200);
    assert_eq!(world.anyone().get("/readyz").await.ok(200).at("/parts/database"), "ok");
    world.ready.store(false, std::sync::atomic::Ordering::Release);
    assert_eq!(world.anyone().get("/readyz").await.ok(503).at("/status"), "draining");
    world.anyone().get("/healthz").await.ok(200);
}

#[tokio::test]
async fn metrics_name_operations_and_no_ids() {
    let world = World::new().await;
    let bot = world.make_bot().await;
    world.owner().get(&format!("/v1/bots/{bot}")).await.ok(200);
    let text = world.anyone().get("/metrics").await.ok(200).text;
    assert!(
        text.contains("get_bot") && text.contains("chatelaine_open_streams 0") && text.ends_with("# EOF\n"),
        "{text}"
    );
    assert!(!text.contains(&bot) && !text.contains("ws_0") && !text.contains("key_0"), "{text}");
}
