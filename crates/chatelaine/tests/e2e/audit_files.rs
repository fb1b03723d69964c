//! The audit log, page by page and as a file: of the own data alone, and of what was done before it was asked for.

use serde_json::{Value, json};
use testkit::{Persona, World};

on_both! {
    each_question_to_the_log_is_answered_from_the_own_data_alone;
    what_is_done_while_a_file_is_written_is_not_in_it;
}

/// The targets of the records that are found: by the list, which also counts them, and in the file.
async fn found(by: &Persona, query: &str) -> [Vec<String>; 2] {
    let target = |row: &Value| row["target"]["id"].as_str().unwrap().to_owned();
    let list = by.get(&format!("/v1/audit-log?per_page=100&{query}")).await.expect(200).json();
    let listed: Vec<_> = list["data"].as_array().unwrap().iter().map(target).collect();
    assert_eq!(list["meta"]["total"], listed.len(), "{query}");
    let file = by.get(&format!("/v1/audit-log/export?{query}")).await.expect(200).text();
    let rows = file.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let filed: Vec<_> = rows.filter(|row| row["type"] == "record").map(|row| target(&row)).collect();
    [listed, filed]
}

async fn each_question_to_the_log_is_answered_from_the_own_data_alone(world: &World) {
    let (live, other, test) = (world.secret(), world.other_workspace_secret(), world.test_secret().await);
    let made = [world.bot_of(&live).await, world.bot_of(&test).await, world.bot_of(&other).await];
    let all = [&live, &test, &other];
    for (at, by) in all.iter().enumerate() {
        for (foreign, (whose, bot)) in all.iter().zip(&made).enumerate() {
            // A live credential sees what was done in both halves of its workspace.
            let is_seen = at == foreign || (at, foreign) == (0, 1);
            for query in ["", "action=create_bot", &format!("actor_id={}", whose.id()), &format!("target_id={bot}")] {
                for rows in found(by, query).await {
                    assert_eq!(rows.contains(bot), is_seen, "{at} {foreign} {query}: {rows:?}");
                }
            }
            let actor_of_test = format!("actor_id={}&action=create_bot", whose.id());
            for rows in found(by, &actor_of_test).await {
                assert_eq!(rows.len(), usize::from(is_seen), "{at} {foreign}: {rows:?}");
            }
        }
    }
}

async fn what_is_done_while_a_file_is_written_is_not_in_it(world: &World) {
    let by = world.secret();
    let bot = world.bot().await;
    // More than a part, and more than sockets hold: the same record many times.
    let detail = json!({"x": "x".repeat(4_000)});
    let insert = format!(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 8000)
        INSERT INTO audit_log (workspace_id, id, environment, created_at, actor_kind, actor_id, action, target_kind,
            target_id, detail)
        SELECT workspace_id, substr(id, 1, 20) || (1000000000 + n), environment, created_at, actor_kind, actor_id,
            'many_times', target_kind, target_id, '{detail}'
        FROM audit_log JOIN n ON 1 = 1 WHERE action = 'create_bot' AND target_id = '{bot}'"
    );
    assert_eq!(world.server().database().execute(&insert).await, 8_000);
    let mut file = by.request("GET", "/v1/audit-log/export").lines().await;
    let _ = file.next().await.unwrap();
    let later = world.bot().await;
    let rest = file.rest().await;
    let last: Value = serde_json::from_str(rest.last().unwrap()).unwrap();
    assert_eq!(last, json!({"type": "end", "records": rest.len()}), "with the one that was read before");
    assert!(rest.len() >= 8_000 && rest.iter().all(|line| !line.contains(&later)), "{}", rest.len());
}
