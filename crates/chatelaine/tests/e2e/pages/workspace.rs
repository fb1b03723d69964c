//! The audit log, credits, usage and settings, on pages.

use ambient::{KeyId, Millis, Ulid};
use credential::secret::Digest;
use serde_json::{Value, json};
use store::SecretUse;
use testkit::{World, id_of};

use super::{leads_to, page, says, submit};

on_both! {
    the_audit_log_is_found_by_who_what_and_when;
    the_audit_log_leaves_line_by_line;
    the_audit_log_is_for_admins;
    credits_are_granted_and_metered_by_owners;
    usage_is_shown_by_day_and_by_key;
    owners_change_the_settings_and_everybody_sees_them;
}

async fn the_audit_log_is_found_by_who_what_and_when(world: &World) {
    let (ada, eve) = (world.member("ada", "admin").await, world.member("eve", "admin").await);
    let bot = id_of(&ada.post("/v1/bots", &json!({"name": "Ada's <bot>"})).await.expect(201));
    let _ = eve.patch(&format!("/v1/bots/{bot}"), &json!({"greeting": "Hi"})).await.expect(200);
    let all = page(&ada, "/_/audit-log").await.expect(200);
    assert!(says(&all, "create_bot") && says(&all, "update_bot") && says(&all, "Ada's <bot>"), "{}", all.text());
    let found = page(&ada, &format!("/_/audit-log?actor={}", eve.id())).await.expect(200);
    assert!(says(&found, "update_bot") && !says(&found, "create_bot"), "{}", found.text());
    assert!(found.text().contains(&format!("/_/members/{}", eve.id())) && says(&found, "eve"));
    let found = page(&ada, &format!("/_/audit-log?target={bot}&action=create_bot&actor=&from=&to=")).await.expect(200);
    assert!(says(&found, "create_bot") && !says(&found, "update_bot"), "{}", found.text());
    assert!(found.text().contains(&format!("/_/bots/{bot}")));
    let day = ada.get("/v1/audit-log").await.expect(200).data()[0]["created_at"].as_str().unwrap()[..10].to_owned();
    assert!(
        says(&page(&ada, &format!("/_/audit-log?from={day}&to={day}")).await, "update_bot"),
        "the last day is in it"
    );
    for query in ["to=2020-01-01", "from=2100-01-01", "actor=usr_nobody", "action=update_bott"] {
        assert!(says(&page(&ada, &format!("/_/audit-log?{query}")).await, "No record matches."));
    }
    for query in ["from=yesterday", "actor=a%20b", "action=A", "page=0"] {
        let refused = page(&ada, &format!("/_/audit-log?{query}")).await.expect(400);
        assert!(says(&refused, "The query parameter"), "{}", refused.text());
    }
    // The API finds the same.
    let list = ada.get(&format!("/v1/audit-log?actor_id={}&target_id={bot}", eve.id())).await.expect(200).json();
    assert_eq!((&list["meta"]["total"], &list["data"][0]["action"]), (&json!(1), &json!("update_bot")));
    let before = format!("/v1/audit-log?to={day}&target_id={bot}");
    assert_eq!(ada.get(&before).await.expect(200).json()["meta"]["total"], 0);
    let first = ada.get(&format!("/v1/audit-log?target_id={bot}")).await.expect(200).data()[1]["id"].clone();
    let onwards = format!("/v1/audit-log?after={}&target_id={bot}&from={day}", first.as_str().unwrap());
    assert_eq!(ada.get(&onwards).await.expect(200).data()[0]["action"], "update_bot");
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn the_audit_log_leaves_line_by_line(world: &World) {
    let ada = world.member("ada", "admin").await;
    for n in 0..3 {
        let _ = ada.post("/v1/bots", &json!({"name": format!("Bot {n}")})).await.expect(201);
    }
    let _ = world.other_workspace_secret().post("/v1/bots", &json!({"name": "Theirs"})).await.expect(201);
    let shown = page(&ada, "/_/audit-log?action=create_bot").await.expect(200);
    assert!(shown.text().contains("/_/audit-log/export?action=create_bot&#38;seen=live"), "{}", shown.text());
    let file = page(&ada, "/_/audit-log/export?action=create_bot&seen=live").await.expect(200);
    assert!(file.header("content-disposition").contains(".ndjson"), "{}", file.header("content-disposition"));
    let rows = lines(&file.text());
    let names: Vec<_> = rows.iter().map(|row| row["detail"]["name"].as_str().unwrap_or_default()).collect();
    assert_eq!(names, ["Bot 0", "Bot 1", "Bot 2", ""], "the oldest first");
    assert_eq!(rows[3], json!({"type": "end", "records": 3}));
    let whole = lines(&ada.get("/v1/audit-log/export").await.expect(200).text());
    let last = &whole[whole.len() - 2];
    assert_eq!(
        (&last["type"], &last["action"]),
        (&json!("record"), &json!("export_audit_log")),
        "it is recorded itself"
    );
    assert!(whole.iter().any(|row| row["detail"]["action"] == "create_bot"), "with what was asked for");
    let none = lines(&ada.get("/v1/audit-log/export?to=2020-01-01").await.expect(200).text());
    assert_eq!(none, [json!({"type": "end", "records": 0})]);
    let _ = ada.get("/v1/audit-log/export?from=x").await.refused(400, "INVALID_REQUEST");
    let reader = world.key("reader", json!({"name": "R", "scopes": ["bots:read"]})).await;
    let _ = reader.get("/v1/audit-log/export").await.refused(403, "INSUFFICIENT_PERMISSIONS");
}

async fn the_audit_log_is_for_admins(world: &World) {
    let bob = world.member("bob", "member").await;
    for path in ["/_/audit-log", "/_/audit-log/export"] {
        let refused = page(&bob, path).await.expect(403);
        assert!(says(&refused, "This takes an admin or an owner"), "{}", refused.text());
    }
    assert!(!page(&bob, "/_/members").await.expect(200).text().contains("/_/audit-log"));
}

async fn credits_are_granted_and_metered_by_owners(world: &World) {
    let (owner, bob) = (world.member("an_owner", "owner").await, world.member("bob", "member").await);
    let empty = page(&owner, "/_/credits").await.expect(200);
    assert!(says(&empty, "not metered") && says(&empty, "Nothing was granted or charged yet."));
    let wrong = submit(&owner, "/_/credits/grants", &[("amount", "0"), ("note", "Kept")]).await.expect(422);
    assert!(wrong.text().contains("id=\"e-amount\"") && wrong.text().contains("value=\"Kept\""), "{}", wrong.text());
    let _ = submit(&owner, "/_/credits/grants", &[("amount", "ten")]).await.expect(422);
    let fields = [("amount", "500"), ("note", "A <gift>"), ("once", "n1")];
    for _ in 0..2 {
        assert_eq!(leads_to(&submit(&owner, "/_/credits/grants", &fields).await), "/_/credits?done=granted");
    }
    let shown = page(&owner, "/_/credits").await.expect(200);
    assert!(says(&shown, "Free 500") && says(&shown, "A <gift>"), "sent twice, granted once: {}", shown.text());
    let on = submit(&owner, "/_/credits/metering", &[("metered", "yes")]).await;
    assert!(says(&page(&owner, &leads_to(&on)).await, "Replies cost credits from now on."));
    assert_eq!(owner.get("/v1/credits").await.expect(200).data()["metered"], true);
    let _ = leads_to(&submit(&owner, "/_/credits/metering", &[]).await);
    assert_eq!(owner.get("/v1/credits").await.expect(200).data()["metered"], false);
    let seen = page(&bob, "/_/credits").await.expect(200);
    assert!(says(&seen, "Free 500") && !seen.text().contains("action=\"/_/credits"), "{}", seen.text());
    for act in ["grants", "metering"] {
        let _ = submit(&bob, &format!("/_/credits/{act}"), &fields).await.expect(403);
    }
    // Test data costs nothing.
    let test = owner.request("GET", "/_/credits").header("cookie", "chatelaine-environment=test").send().await;
    assert!(says(&test.expect(200), "Test data costs nothing."));
}

async fn usage_is_shown_by_day_and_by_key(world: &World) {
    let bob = world.member("bob", "member").await;
    let key = world.key("busy", json!({"name": "Busy <key>", "scopes": ["bots:read"]})).await;
    let _ = key.get("/v1/bots").await.expect(200);
    let _ = key.get("/v1/members").await.expect(403);
    let path = format!("/_/usage?key_id={}", key.id());
    assert!(says(&page(&bob, &path).await.expect(200), "No key was used in these days."));
    world.server().running().app().cluster().flush_uses(true).await;
    let shown = page(&bob, &path).await.expect(200);
    assert!(says(&shown, "1 requests were let in and 1 refused") && says(&shown, "Busy <key> 1 1"), "{}", shown.text());
    assert_eq!(shown.text().matches("<rect class=\"bar\"").count(), 1);
    assert!(says(&page(&bob, &format!("{path}&to=2020-01-31")).await, "No key was used in these days."));
    // Of more days of keys than a page adds up it says another span, and one day is one.
    let busy: KeyId = key.id().parse().unwrap();
    let tenant = world.tenant();
    let uses = |day: i64, count: u128| {
        (0..count).map(move |n| SecretUse {
            tenant,
            key: if n == 0 { busy } else { KeyId(Ulid(n)) },
            digest: Digest([0; 32]),
            last_used_at: Millis(0),
            last_used_ip: None,
            uses: if n == 0 { 9 } else { 1 },
            refused: 0,
            hour: day * 24,
        })
    };
    // 2020-02-10 and 2020-03-15.
    let many: Vec<_> = uses(18_302, 2_501).chain(uses(18_336, 2_500)).collect();
    world.store().record_uses(&many).await.unwrap();
    let shown = page(&bob, "/_/usage?from=2020-02-10&to=2020-03-15").await.expect(200);
    assert!(says(&shown, "5017 requests were let in"), "{}", shown.text());
    assert!(says(&shown, "the month from 2020-03-01 to 2020-03-31") && says(&shown, "Busy <key> 9 0"));
    let shown = page(&bob, "/_/usage?from=2020-02-10&to=2020-02-10").await.expect(200);
    assert!(!says(&shown, "too many keys") && says(&shown, "Busy <key> 9 0") && says(&shown, "2501 in all"));
    let _ = page(&bob, "/_/usage?key_id=nothing").await.expect(400);
}

async fn owners_change_the_settings_and_everybody_sees_them(world: &World) {
    let (owner, ada) = (world.member("an_owner", "owner").await, world.member("ada", "admin").await);
    let fields = [("name", "Acme & Sons"), ("leak_policy", "rotate"), ("leak_grace_seconds", "60")];
    assert_eq!(leads_to(&submit(&owner, "/_/settings", &fields).await), "/_/settings?done=saved");
    let seen = page(&ada, "/_/settings").await.expect(200);
    assert!(says(&seen, "Acme & Sons") && says(&seen, "Owners change these.") && says(&seen, "live data"));
    assert!(!seen.text().contains("action=\"/_/settings\""));
    let _ = submit(&ada, "/_/settings", &fields).await.expect(403);
    let wrong = [("name", "Kept"), ("leak_policy", "rotate"), ("leak_grace_seconds", "604801")];
    let wrong = submit(&owner, "/_/settings", &wrong).await.expect(422);
    assert!(wrong.text().contains("id=\"e-leak_grace_seconds\"") && wrong.text().contains("value=\"Kept\""));
    assert_eq!(world.secret().get("/v1/workspace").await.expect(200).data()["name"], "Acme & Sons");
    let log = page(&ada, "/_/audit-log?action=update_workspace").await.expect(200);
    assert!(
        says(&log, "leak policy: revoke became rotate") && says(&log, "name: Acme became Acme & Sons"),
        "{}",
        log.text()
    );
}
