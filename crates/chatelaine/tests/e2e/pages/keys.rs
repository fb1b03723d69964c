//! API keys on pages: made, found, changed, rotated and revoked by people.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::{Answer, Persona, World, id_of};

use super::{leads_to, page, says, submit};

on_both! {
    an_owner_makes_a_key_which_is_shown_once_and_works;
    a_form_that_is_sent_twice_makes_one_key;
    what_is_wrong_is_shown_again_and_makes_no_key;
    a_page_is_tried_before_the_key_is_made;
    what_to_paste_into_a_page_names_the_bot;
    a_key_that_may_do_nothing_says_so_when_it_is_made;
    scopes_that_no_operation_asks_for_are_not_offered;
    keys_are_searched_filtered_and_drawn;
    what_was_changed_alone_is_recorded;
    a_key_is_rotated_in_steps_and_its_grace_ended;
    a_key_is_revoked_after_it_was_said_what_that_cuts;
    several_keys_are_revoked_at_once;
    who_is_no_owner_reads_keys_and_changes_none;
    nobody_sees_another_workspace_s_keys;
}

const SECRET: [(&str, &str); 4] =
    [("kind", "secret"), ("environment", "live"), ("expiry", "90"), ("scopes", "bots:read")];

fn named<'a>(name: &'a str, others: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [("name", name)].into_iter().chain(others.iter().copied()).collect()
}

/// The secret that a page shows.
fn secret(answer: &Answer) -> String {
    let text = answer.text();
    let after = text.split_once("<pre id=\"key\"").unwrap().1.split_once('>').unwrap().1;
    after.split_once('<').unwrap().0.to_owned()
}

/// The id of the key that the page of a secret leads to.
fn id_in(answer: &Answer) -> String {
    let text = answer.text();
    let at = text.find("/_/api-keys/key_").unwrap() + "/_/api-keys/".len();
    text[at..].chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect()
}

async fn works(world: &World, secret: &str) -> bool {
    world.secret().with("holder", secret).get("/v1/me").await.status == 200
}

async fn an_owner_makes_a_key_which_is_shown_once_and_works(world: &World) {
    let ada = world.member("ada", "owner").await;
    let empty = page(&ada, "/_/api-keys/new").await.expect(200);
    assert!(!empty.text().contains("name=\"scopes\" value=\"bots:read\" checked"), "none by default");
    let fields =
        [("owner", "Ada"), ("purpose", "the <shop>"), ("rate_limit", "50"), ("allowed_ips", "127.0.0.0/8\r\n::1")];
    let made = submit(&ada, "/_/api-keys", &[named("Shop <1>", &SECRET), fields.to_vec()].concat()).await.expect(200);
    let (key, id) = (secret(&made), id_in(&made));
    assert!(key.starts_with("sk_live_") && made.text().contains("data-shown-once"), "{}", made.text());
    for language in ["curl", "JavaScript", "Python"] {
        assert!(says(&made, language), "{language}");
    }
    assert_eq!(made.text().matches(&key).count(), 4, "itself and three ways to use it");
    assert!(works(world, &key).await);
    let stored = ada.get(&format!("/v1/api-keys/{id}")).await.expect(200).data();
    assert_eq!((&stored["scopes"], &stored["rate_limit"]), (&json!(["bots:read"]), &json!(50)));
    assert_eq!(stored["allowed_ips"], json!(["127.0.0.0/8", "::1/128"]));
    for path in [format!("/_/api-keys/{id}"), "/_/api-keys".to_owned(), format!("/_/api-keys/{id}/rotate")] {
        let shown = page(&ada, &path).await.expect(200);
        assert!(says(&shown, "Shop <1>") && !shown.text().contains(&key), "{path}");
    }
    let shown = page(&ada, &format!("/_/api-keys/{id}")).await;
    assert!(says(&shown, "the <shop>"));
    let maker = format!(" by <a href=\"/_/members/{}\">ada</a>", ada.id());
    assert!(shown.text().contains(&maker), "{maker}: {}", shown.text());
}

async fn a_form_that_is_sent_twice_makes_one_key(world: &World) {
    let ada = world.member("ada", "owner").await;
    let fields = [named("Once", &SECRET), vec![("once", "number-1")]].concat();
    let (first, second) = (
        submit(&ada, "/_/api-keys", &fields).await.expect(200),
        submit(&ada, "/_/api-keys", &fields).await.expect(200),
    );
    assert_eq!(id_in(&first), id_in(&second));
    let found = ada.get("/v1/api-keys?q=once").await.expect(200).json();
    assert_eq!(found["meta"]["total"], 1);
}

async fn what_is_wrong_is_shown_again_and_makes_no_key(world: &World) {
    let ada = world.member("ada", "owner").await;
    let long = "n".repeat(51);
    let wrong = [named(&long, &SECRET), vec![("rate_limit", "0"), ("purpose", "kept")]].concat();
    let again = submit(&ada, "/_/api-keys", &wrong).await.expect(422);
    assert!(says(&again, "Nothing was made.") && again.text().contains("id=\"e-name\""), "{}", again.text());
    assert!(again.text().contains("id=\"e-rate_limit\"") && again.text().contains("value=\"kept\""));
    assert!(again.text().contains("value=\"bots:read\" checked"), "what was ticked stays");
    let widget =
        [("kind", "widget"), ("environment", "live"), ("expiry", "never"), ("allowed_domains", "shop.example\r\ncom")];
    let again = submit(&ada, "/_/api-keys", &named("Site", &widget)).await.expect(422);
    assert!(again.text().contains("id=\"e-allowed_domains\""), "{}", again.text());
    let past = [("kind", "secret"), ("environment", "live"), ("expiry", "date"), ("expires_at", "2020-01-01")];
    let again = submit(&ada, "/_/api-keys", &named("Old", &past)).await.expect(422);
    assert!(again.text().contains("id=\"e-expires\""), "{}", again.text());
    assert_eq!(ada.get("/v1/api-keys?kind=widget").await.expect(200).json()["meta"]["total"], 0);
}

async fn a_page_is_tried_before_the_key_is_made(world: &World) {
    let ada = world.member("ada", "owner").await;
    let fields = |origin| {
        let widget = [("kind", "widget"), ("allowed_domains", "shop.example"), ("check", "yes"), ("origin", origin)];
        named("Site", &widget)
    };
    let passes = submit(&ada, "/_/api-keys", &fields("https://www.shop.example/cart")).await.expect(200);
    assert!(says(&passes, "It passes: shop.example is on the list."), "{}", passes.text());
    assert!(passes.text().contains("id=\"origin-answer\"") && passes.text().contains("value=\"Site\""));
    let stays_out = submit(&ada, "/_/api-keys", &fields("http://www.shop.example")).await.expect(200);
    assert!(says(&stays_out, "It does not pass: shop.example allows https alone."));
    assert!(submit(&ada, "/_/api-keys", &fields("")).await.expect(200).text().contains("id=\"e-origin\""));
    assert_eq!(ada.get("/v1/api-keys?kind=widget").await.expect(200).json()["meta"]["total"], 0, "nothing was made");
    let body = json!({"name": "Site", "kind": "widget", "allowed_domains": ["shop.example"]});
    let key = world.key("site", body).await;
    let path = format!("/_/api-keys/{}", key.id());
    let tried = [("check", "yes"), ("allowed_domains", "other.example"), ("origin", "https://other.example")];
    assert!(says(&submit(&ada, &path, &tried).await.expect(200), "It passes: other.example is on the list."));
    let kept = ada.get(&format!("/v1/api-keys/{}", key.id())).await.expect(200).data();
    assert_eq!(kept["allowed_domains"], json!(["shop.example"]), "trying changes nothing");
}

async fn what_to_paste_into_a_page_names_the_bot(world: &World) {
    let ada = world.member("ada", "owner").await;
    let made = async |half: &str| {
        let widget = [("kind", "widget"), ("environment", half), ("expiry", "90"), ("allowed_domains", "shop.example")];
        submit(&ada, "/_/api-keys", &named("Site", &widget)).await.expect(200)
    };
    let bot = async |half: &str, name: &str| {
        let request = ada.request("POST", "/v1/bots").header("x-environment", half).json(&json!({"name": name}));
        id_of(&request.send().await.expect(201))
    };
    let none = made("live").await;
    assert!(says(&none, "data-agent-id=\"put the Id from a bot's page here\""), "{}", none.text());
    assert!(says(&none, "There is no bot in the live data yet."));
    let first = bot("live", "Ada <b>").await;
    let one = made("live").await;
    assert!(says(&one, &format!("data-agent-id=\"{first}\"")), "{}", one.text());
    assert!(says(&one, "The bot in it is “Ada <b>”.") && !says(&one, "the newest one"));
    let (second, test) = (bot("live", "Grace").await, bot("test", "Trial").await);
    let newest = made("live").await;
    assert!(says(&newest, &format!("data-agent-id=\"{second}\"")) && says(&newest, "“Grace”, the newest one."));
    // A key of the test data, made by somebody who looks at the live data.
    let other = made("test").await;
    assert!(says(&other, &format!("data-agent-id=\"{test}\"")) && says(&other, "“Trial”."), "{}", other.text());
}

async fn a_key_that_may_do_nothing_says_so_when_it_is_made(world: &World) {
    let ada = world.member("ada", "owner").await;
    let (account, _) = world.account("software", "member").await;
    let of_account = format!("/_/service-accounts/{account}/api-keys");
    for path in ["/_/api-keys", of_account.as_str()] {
        let able = submit(&ada, path, &named("Able", &SECRET)).await.expect(200);
        assert!(!says(&able, "It may do nothing yet"), "{path}: {}", able.text());
        let unable = submit(&ada, path, &named("Unable", &SECRET[..3])).await.expect(200);
        let settings = format!("href=\"/_/api-keys/{}#change\"", id_in(&unable));
        assert!(says(&unable, "It may do nothing yet") && unable.text().contains(&settings), "{}", unable.text());
    }
    let widget = [("kind", "widget"), ("environment", "live"), ("expiry", "90"), ("allowed_domains", "shop.example")];
    let widget = submit(&ada, "/_/api-keys", &named("Site", &widget)).await.expect(200);
    assert!(!says(&widget, "It may do nothing yet"), "a widget key has no scopes");
}

async fn scopes_that_no_operation_asks_for_are_not_offered(world: &World) {
    let document = world.client().get("/openapi.json").send().await.expect(200).json();
    let operations =
        document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
    let asked = operations.flat_map(|one| one["x-required-scopes"].as_array().cloned().unwrap_or_default());
    let mut asked: BTreeSet<String> = asked.map(|scope| scope.as_str().unwrap().to_owned()).collect();
    asked.insert("admin".to_owned());
    let ada = world.member("ada", "owner").await;
    let offered = async |path: &str| -> BTreeSet<String> {
        let text = page(&ada, path).await.expect(200).text();
        let values = text.split("name=\"scopes\" value=\"").skip(1);
        values.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    };
    assert_eq!(offered("/_/api-keys/new").await, asked);
    // A key that holds another one keeps it when it is saved.
    let key = world.key("job", json!({"name": "Job", "scopes": ["bots:read", "audit:write"]})).await;
    asked.insert("audit:write".to_owned());
    assert_eq!(offered(&format!("/_/api-keys/{}", key.id())).await, asked);
}

async fn keys_are_searched_filtered_and_drawn(world: &World) {
    let ada = world.member("ada", "owner").await;
    let site =
        world.key("site", json!({"name": "Website", "kind": "widget", "allowed_domains": ["shop.example"]})).await;
    let job = world.key("job", json!({"name": "Backup job", "scopes": ["bots:read"], "owner": "Bob"})).await;
    let _ = job.get("/v1/bots").await.expect(200);
    world.server().running().app().cluster().flush_uses(true).await;
    let all = page(&ada, "/_/api-keys").await.expect(200);
    for words in ["Website", "shop.example", "Backup job", "Owner: Bob", "Widget key", "Secret key"] {
        assert!(says(&all, words), "{words}");
    }
    assert!(all.text().contains("<path class=\"bar\" d=\"M140 2h3v22h-3z\"/>"), "{}", all.text());
    assert!(all.text().contains("<span class=\"mono\">1</span>"), "and in words: {}", all.text());
    assert!(says(&all, "from 127.0.0.1"), "where it was last used from");
    let found = page(&ada, "/_/api-keys?q=backup&sort=name").await.expect(200);
    assert!(says(&found, "Backup job") && !says(&found, "Website") && found.text().contains("value=\"backup\""));
    let widgets = page(&ada, "/_/api-keys?kind=widget").await.expect(200);
    assert!(says(&widgets, "Website") && !says(&widgets, "Backup job"));
    assert!(says(&page(&ada, "/_/api-keys?status=revoked").await.expect(200), "No key matches."));
    for sort in ["oldest", "used", "unused", "expires"] {
        assert!(says(&page(&ada, &format!("/_/api-keys?sort={sort}")).await.expect(200), "Website"), "{sort}");
    }
    let detail = page(&ada, &format!("/_/api-keys/{}", site.id())).await.expect(200);
    assert!(says(&detail, "No requests in the last 192 hours. The last minute may be missing."), "{}", detail.text());
    assert!(says(&detail, "and localhost") && !says(&detail, "Not used so far."), "it was made just now");
}

async fn what_was_changed_alone_is_recorded(world: &World) {
    let ada = world.member("ada", "owner").await;
    let key =
        world.key("job", json!({"name": "Job", "scopes": ["bots:read"], "owner": "Bob", "expires_at": null})).await;
    let path = format!("/_/api-keys/{}", key.id());
    let fields = [("name", "Job"), ("scopes", "bots:write"), ("owner", "Bob"), ("expiry", "keep"), ("rate_limit", "")];
    assert_eq!(leads_to(&submit(&ada, &path, &fields).await), format!("{path}?done=saved"));
    let log = world.secret().get("/v1/audit-log?action=update_api_key").await.expect(200).data();
    assert_eq!((&log[0]["detail"]["fields"], &log[0]["actor"]["id"]), (&json!(["scopes"]), &json!(ada.id())), "{log}");
    let same = [("name", "Job"), ("scopes", "bots:write"), ("owner", "Bob"), ("expiry", "keep")];
    let _ = leads_to(&submit(&ada, &path, &same).await);
    let log = world.secret().get("/v1/audit-log?action=update_api_key").await.expect(200).data();
    assert_eq!(log.as_array().unwrap().len(), 1, "nothing was changed");
    let wrong = [("name", ""), ("owner", "Typed"), ("expiry", "keep")];
    let again = submit(&ada, &path, &wrong).await.expect(422);
    assert!(again.text().contains("id=\"e-name\"") && again.text().contains("value=\"Typed\""));
}

async fn a_key_is_rotated_in_steps_and_its_grace_ended(world: &World) {
    let ada = world.member("ada", "owner").await;
    let key = world.key("job", json!({"name": "Job", "scopes": ["bots:read"]})).await;
    let path = format!("/_/api-keys/{}/rotate", key.id());
    let begin = page(&ada, &path).await.expect(200);
    assert!(begin.text().contains("value=\"86400\" checked") && says(&begin, "1. Make a new secret"));
    assert!(works(world, key.credential()).await);
    let made = submit(&ada, &path, &[("grace_seconds", "3600"), ("once", "n-1")]).await.expect(200);
    let new = secret(&made);
    let old = made.text().split("<th scope=\"row\">Old ").nth(1).unwrap().to_owned();
    assert!(old.contains("data-label=\"Uses\">1<"), "what is not written yet, too: {old}");
    assert!(!says(&made, "was not used since") && !says(&made, "Where it is used daily"), "too early to say");
    assert!(made.text().contains("data-shown-once") && new.starts_with("sk_live_"));
    assert!(works(world, &new).await && works(world, key.credential()).await, "both, for an hour");
    let watched = page(&ada, &path).await.expect(200);
    assert!(!watched.text().contains(&new), "shown once");
    assert!(says(&watched, "Old") && says(&watched, "New") && watched.text().contains("every 2s"));
    assert!(says(&watched, "The old secret is still in use.") && says(&watched, "End the old secret now"));
    for (shown, step) in [(&begin, "1. Make"), (&made, "2. Keep"), (&watched, "4. Watch")] {
        let steps: Vec<_> = shown.text().split("aria-current=\"step\"").skip(1).map(str::to_owned).collect();
        assert!(steps.len() == 1 && steps[0].starts_with(&format!("><h2>{step}")), "{step}: {}", shown.text());
    }
    let past = "<li class=\"past\"><details><summary><h2>1. Make a new secret";
    assert!(watched.text().contains(past) && !says(&made, "End the old secret now"), "{}", watched.text());
    let end = format!("/_/api-keys/{}/end-grace", key.id());
    assert_eq!(leads_to(&submit(&ada, &end, &[]).await), format!("/_/api-keys/{}?done=grace-ended", key.id()));
    assert!(works(world, &new).await && !works(world, key.credential()).await);
    let again = submit(&ada, &path, &[("grace_seconds", "99999999")]).await.expect(422);
    assert!(says(&again, "Nothing was changed."), "{}", again.text());
}

async fn a_key_is_revoked_after_it_was_said_what_that_cuts(world: &World) {
    let ada = world.member("ada", "owner").await;
    let key = world.key("chat", json!({"name": "Chat", "scopes": ["chat:write"]})).await;
    let bot = world.bot().await;
    let _ = world.open_session("one", &key, &bot).await;
    let _ = world.open_session("two", &key, &bot).await;
    let asked = page(&ada, &format!("/_/api-keys/{}/revoke", key.id())).await.expect(200);
    assert!(asked.text().contains("data-label=\"Live chat sessions\">2<"), "{}", asked.text());
    let unconfirmed = submit(&ada, "/_/api-keys/revoke", &[("id", key.id())]).await.expect(200);
    assert!(says(&unconfirmed, "This is for good.") && works(world, key.credential()).await);
    let done = submit(&ada, "/_/api-keys/revoke", &[("id", key.id()), ("confirmed", "yes")]).await.expect(200);
    assert!(says(&done, "ms") && says(&done, "No request with it succeeds any more."), "{}", done.text());
    assert!(!works(world, key.credential()).await);
    let shown = page(&ada, &format!("/_/api-keys/{}", key.id())).await.expect(200);
    assert!(says(&shown, "Revoked for good.") && !shown.text().contains("/revoke\""));
}

async fn several_keys_are_revoked_at_once(world: &World) {
    let ada = world.member("ada", "owner").await;
    let (one, two) = (world.key("one", json!({"name": "One"})).await, world.key("two", json!({"name": "Two"})).await);
    let chosen = [("id", one.id()), ("id", two.id())];
    assert!(says(&submit(&ada, "/_/api-keys/revoke", &chosen).await.expect(200), "Revoke all 2 for good"));
    let done = submit(&ada, "/_/api-keys/revoke", &[chosen.as_slice(), &[("confirmed", "yes")]].concat()).await;
    assert!(says(&done.expect(200), "succeeds any more."));
    assert!(!works(world, one.credential()).await && !works(world, two.credential()).await);
    assert!(says(&submit(&ada, "/_/api-keys/revoke", &[]).await.expect(200), "No key was chosen."));
    let _ = submit(&ada, "/_/api-keys/revoke", &[("id", "key_nonsense"), ("confirmed", "yes")]).await.expect(404);

    // All are found, or none is revoked: also where the one that is not there comes last.
    let key = world.key("stays", json!({"name": "Stays"})).await;
    let absent = "key_7zzzzzzzzzzzzzzzzzzzzzzzzz";
    let chosen = [("id", key.id()), ("id", absent), ("confirmed", "yes")];
    let _ = submit(&ada, "/_/api-keys/revoke", &chosen).await.expect(404);
    let many: Vec<String> = (0..100).map(|n| format!("key_{n:026}")).collect();
    let many = many.iter().map(|id| ("id", id.as_str())).chain([("id", key.id()), ("confirmed", "yes")]);
    let refused = submit(&ada, "/_/api-keys/revoke", &many.collect::<Vec<_>>()).await.expect(400);
    assert!(says(&refused, "At most 100 keys are revoked at once."), "{}", refused.text());
    assert!(works(world, key.credential()).await);
}

async fn refused(person: &Persona, key: &str, status: u16) {
    for path in ["/_/api-keys/new".to_owned(), format!("/_/api-keys/{key}/rotate"), format!("/_/api-keys/{key}/revoke")]
    {
        assert_eq!(page(person, &path).await.status, status, "{path}");
    }
    let forms: [(String, &[(&str, &str)]); 4] = [
        (format!("/_/api-keys/{key}"), &[("name", "Taken")]),
        (format!("/_/api-keys/{key}/rotate"), &[("grace_seconds", "0")]),
        (format!("/_/api-keys/{key}/end-grace"), &[]),
        ("/_/api-keys/revoke".to_owned(), &[("id", "ID"), ("confirmed", "yes")]),
    ];
    for (path, fields) in forms {
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (*name, if *value == "ID" { key } else { value })).collect();
        assert_eq!(submit(person, &path, &fields).await.status, status, "{path}");
    }
}

async fn who_is_no_owner_reads_keys_and_changes_none(world: &World) {
    let key = world.key("job", json!({"name": "Job"})).await;
    for role in ["member", "admin"] {
        let bob = world.member(role, role).await;
        let list = page(&bob, "/_/api-keys").await.expect(200);
        assert!(says(&list, "Job") && !list.text().contains("/_/api-keys/new") && !list.text().contains("name=\"id\""));
        let detail = page(&bob, &format!("/_/api-keys/{}", key.id())).await.expect(200);
        assert!(!detail.text().contains("method=\"post\" action=\"/_/api-keys"), "{role}");
        refused(&bob, key.id(), 403).await;
        assert_eq!(submit(&bob, "/_/api-keys", &named("New", &SECRET)).await.status, 403);
    }
    assert!(works(world, key.credential()).await);
    assert_eq!(world.secret().get(&format!("/v1/api-keys/{}", key.id())).await.data()["name"], "Job");
}

async fn nobody_sees_another_workspace_s_keys(world: &World) {
    let ada = world.member("ada", "owner").await;
    let other = world.other_workspace_secret();
    let made: Value = other.post("/v1/api-keys", &json!({"name": "Theirs"})).await.expect(201).data();
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let _ = page(&ada, &format!("/_/api-keys/{id}")).await.expect(404);
    assert!(!says(&page(&ada, "/_/api-keys?q=theirs").await.expect(200), "Theirs"));
    for path in [format!("/_/api-keys/{id}/rotate"), format!("/_/api-keys/{id}/revoke")] {
        assert_eq!(page(&ada, &path).await.status, 404, "{path}");
    }
    let confirmed = [("id", id), ("confirmed", "yes")];
    let _ = submit(&ada, "/_/api-keys/revoke", &confirmed).await.expect(404);
    let _ = submit(&ada, &format!("/_/api-keys/{id}/rotate"), &[("grace_seconds", "0")]).await.expect(404);
    assert!(works(world, key).await);
}
