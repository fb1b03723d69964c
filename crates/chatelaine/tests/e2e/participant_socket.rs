//! Taking part by WebSocket: what comes down, what goes up, and how it ends.

use std::time::Duration;

use ambient::{Clock, RunId, SystemClock, Ulid};
use serde_json::{Value, json};
use testkit::{ORIGIN, Persona, Said, WebSocket, World, eventually, now};

use crate::workflows::survey;

on_both! {
    a_survey_is_answered_through_the_socket_to_its_end;
    a_role_is_told_its_own_part_alone;
    a_token_comes_in_the_handshake_or_in_the_first_message;
    who_does_not_introduce_itself_is_sent_away;
    a_timeline_goes_on_after_a_number;
    what_is_refused_is_said_and_the_socket_stays;
    who_talks_nonsense_or_too_much_is_sent_away;
    an_agent_is_talked_with;
    every_event_is_told_once_however_often_the_socket_breaks;
    a_revoked_deployment_closes_every_socket_of_its_runs;
    a_reader_that_does_not_read_is_left;
}

/// A run that a deployment's key started.
async fn run_of(world: &World, design: &Value) -> (Persona, RunId) {
    let holder = world.deployment_of(&design.to_string()).await;
    let run = start(&holder).await;
    (holder, run)
}

pub(crate) async fn start(holder: &Persona) -> RunId {
    let started = holder.post("/api/v1/runs", &json!({})).await.expect(202).json();
    started["run_id"].as_str().unwrap().parse().unwrap()
}

/// A field of free text.
pub(crate) fn ask(id: &str, role: &str) -> Value {
    json!({"type": "Input", "id": id, "prompt": format!("{id}?"), "input_type": "text", "role": role})
}

/// First the customer is asked, then the reviewer, who alone reads the note before.
pub(crate) fn two_roles() -> Value {
    json!({
        "type": "Workflow", "id": "two", "participants": [{"name": "customer"}, {"name": "reviewer"}],
        "children": [
            {"type": "Message", "id": "note", "text": "For inner eyes", "to": ["reviewer"]},
            ask("wish", "customer"),
            ask("verdict", "reviewer"),
            ask("thanks", "customer"),
        ],
    })
}

/// From a page, with the token as a subprotocol.
pub(crate) async fn join(world: &World, by: &Persona, after: u64) -> WebSocket {
    let token = format!("chatelaine.bearer.{}", by.credential());
    let request = page(world).request("GET", &format!("/api/participant/ws?after={after}"));
    request.socket(&["chatelaine.v1", &token]).await.unwrap()
}

/// A browser that sends no header of its own.
fn page(world: &World) -> Persona {
    world.anonymous().at(Some(ORIGIN))
}

/// Reads until a view in which something is open.
pub(crate) async fn asked(socket: &mut WebSocket) -> Value {
    loop {
        let view = socket.until("view").await;
        if view["steps"] != json!([]) {
            return view;
        }
    }
}

pub(crate) async fn answer(socket: &mut WebSocket, id: u64, step: &str, value: Value) {
    socket.send_json(&json!({"type": "answer", "id": id, "step": step, "value": value})).await;
}

/// All that a socket says, and how it ends.
pub(crate) async fn rest(socket: &mut WebSocket) -> (Vec<Value>, Option<(u16, String)>) {
    let mut told = Vec::new();
    loop {
        match socket.next().await {
            Said::Text(text) => told.push(serde_json::from_str(&text).unwrap()),
            Said::Closed(how) => return (told, how),
        }
    }
}

/// The events among what was told, as a list of the API has them.
pub(crate) fn events(told: &[Value]) -> Vec<Value> {
    let events = told.iter().filter(|one| one["type"] == "event");
    events
        .map(|event| {
            let mut event = event.clone();
            let _ = event.as_object_mut().unwrap().remove("type");
            event
        })
        .collect()
}

pub(crate) async fn listed(by: &Persona) -> Vec<Value> {
    by.get("/api/participant/events").await.expect(200).json()["events"].as_array().unwrap().clone()
}

fn closed(code: u16, word: &str) -> Option<(u16, String)> {
    Some((code, word.to_owned()))
}

async fn a_survey_is_answered_through_the_socket_to_its_end(world: &World) {
    let (holder, run) = run_of(world, &survey()).await;
    let by = world.participant(&holder, run, "respondent");
    let mut socket = join(world, &by, 0).await;
    let first = socket.next_json().await;
    assert_eq!((&first["type"], &first["run_id"]), (&json!("view"), &json!(run.to_string())), "the view comes first");
    let shown = by.get("/api/participant/run").await.expect(200).json();
    let view = if first["steps"] == json!([]) { asked(&mut socket).await } else { first };
    assert_eq!(view["steps"][0]["step"], "score", "{view}");
    let ends = view["expires_at"].as_i64().unwrap() - SystemClock::new().now().0;
    assert!((3_590_000..=3_600_000).contains(&ends), "{ends}");
    assert_eq!(shown["run_id"], view["run_id"]);

    answer(&mut socket, 7, "score", json!(9)).await;
    let (told, how) = rest(&mut socket).await;
    assert_eq!(how, closed(1000, "ended"));
    assert!(told.contains(&json!({"type": "ok", "id": 7})), "{told:?}");
    let last = told.iter().rev().find(|one| one["type"] == "view").unwrap();
    assert_eq!((&last["status"], &last["steps"]), (&json!("completed"), &json!([])));
    let completed = told.iter().position(|one| one["kind"] == "run.completed").unwrap();
    assert_eq!(told[completed + 1]["type"], "view", "what is open is told after what happened: {told:?}");
    let views: Vec<_> = told.iter().filter(|one| one["type"] == "view").collect();
    assert!(views.windows(2).all(|pair| pair[0] != pair[1]), "{views:?}");

    // Whoever comes late is told all of it, and that it is over.
    let (told, how) = rest(&mut join(world, &by, 0).await).await;
    assert_eq!((told[0]["status"].as_str(), how), (Some("completed"), closed(1000, "ended")));
    assert_eq!(told.iter().filter(|one| one["type"] == "view").count(), 1);
    assert_eq!(events(&told), listed(&by).await);
}

async fn a_role_is_told_its_own_part_alone(world: &World) {
    let (holder, run) = run_of(world, &two_roles()).await;
    let (customer, reviewer) =
        (world.participant(&holder, run, "customer"), world.participant(&holder, run, "reviewer"));
    let (mut first, mut second) = (join(world, &customer, 0).await, join(world, &reviewer, 0).await);
    let _ = asked(&mut first).await;
    // Another's step is as absent as one that never was.
    answer(&mut second, 1, "wish", json!("mine now")).await;
    let refused = second.until("error").await;
    assert_eq!((&refused["id"], &refused["code"]), (&json!(1), &json!("NOT_FOUND")));
    answer(&mut second, 2, "never", json!("x")).await;
    let never = second.until("error").await;
    assert_eq!((&never["code"], &never["message"]), (&refused["code"], &refused["message"]));

    answer(&mut first, 1, "wish", json!("a secret wish")).await;
    let _ = asked(&mut second).await;
    answer(&mut second, 3, "verdict", json!("a secret verdict")).await;
    let seen = asked(&mut first).await;
    assert_eq!(seen["steps"][0]["step"], "thanks", "{seen}");
    answer(&mut first, 2, "thanks", json!("bye")).await;
    assert_eq!(rest(&mut first).await.1, closed(1000, "ended"));
    assert_eq!(rest(&mut second).await.1, closed(1000, "ended"));

    let whole = async |by: &Persona| rest(&mut join(world, by, 0).await).await.0;
    let (of_customer, of_reviewer) = (whole(&customer).await, whole(&reviewer).await);
    assert_eq!((events(&of_customer), events(&of_reviewer)), (listed(&customer).await, listed(&reviewer).await));
    let text = |told: &[Value]| json!(told).to_string();
    for others in ["reviewer", "inner eyes", "secret verdict"] {
        assert!(!text(&of_customer).contains(others), "{others}");
    }
    for others in ["customer", "secret wish", "bye"] {
        assert!(!text(&of_reviewer).contains(others), "{others}");
    }
    assert!(text(&of_reviewer).contains("inner eyes") && text(&of_customer).contains("secret wish"));
}

async fn a_token_comes_in_the_handshake_or_in_the_first_message(world: &World) {
    let (holder, run) = run_of(world, &survey()).await;
    let by = world.participant(&holder, run, "respondent");
    let page = page(world);
    let by_header = by.request("GET", "/api/participant/ws").socket(&[]).await;
    assert_eq!(by_header.unwrap().next_json().await["type"], "view");
    let _ = asked(&mut join(world, &by, 0).await).await;
    let mut late = page.request("GET", "/api/participant/ws").socket(&["chatelaine.v1"]).await.unwrap();
    late.send_json(&json!({"type": "auth", "token": by.credential(), "after": 1})).await;
    assert_eq!(late.next_json().await["type"], "view");
    assert_eq!(late.until("event").await["seq"], 2, "`after` of the message counts");

    let other = world.anonymous().at(Some("null"));
    let request = other.request("GET", "/api/participant/ws");
    let _ = request.socket(&["chatelaine.v1"]).await.unwrap_err().refused(403, "ORIGIN_NOT_ALLOWED");
    let in_query = page.request("GET", &format!("/api/participant/ws?token={}", by.credential()));
    let mut in_query = in_query.socket(&["chatelaine.v1"]).await.unwrap();
    in_query.send_json(&json!({"type": "done", "step": "score"})).await;
    assert_eq!(in_query.end().await, closed(4401, "auth"), "what is in the query proves nothing");
    let _ =
        by.request("GET", "/api/participant/ws?after=x").socket(&[]).await.unwrap_err().refused(400, "INVALID_REQUEST");
    let gone = world.participant(&holder, RunId(Ulid(5)), "respondent");
    let _ = gone.request("GET", "/api/participant/ws").socket(&[]).await.unwrap_err().refused(404, "NOT_FOUND");
    let auditor = world.participant(&holder, run, "auditor");
    let _ = auditor.request("GET", "/api/participant/ws").socket(&[]).await.unwrap_err().refused(404, "NOT_FOUND");
    let _ =
        holder.request("GET", "/api/participant/ws").socket(&[]).await.unwrap_err().refused(403, "WRONG_CREDENTIAL");
    let logged = async || world.server().request_log().contains("follow_participant_run");
    assert!(eventually(Duration::from_secs(5), logged).await);
    assert!(!world.server().request_log().contains(by.credential()));
}

async fn who_does_not_introduce_itself_is_sent_away(world: &World) {
    let (holder, run) = run_of(world, &survey()).await;
    let token = world.participant(&holder, run, "respondent").credential().to_owned();
    let stranger = page(world);
    let open = async || stranger.request("GET", "/api/participant/ws").socket(&["chatelaine.v1"]).await.unwrap();
    let gone = world.participant(&holder, RunId(Ulid(5)), "respondent");
    let session = world.session().await;
    for (first, code, end) in [
        (json!("hello"), "MISSING_CREDENTIAL", closed(4401, "auth")),
        (json!({"type": "answer", "step": "score", "value": 1}), "MISSING_CREDENTIAL", closed(4401, "auth")),
        (json!({"type": "auth.renew", "token": token}), "MISSING_CREDENTIAL", closed(4401, "auth")),
        (json!({"type": "auth", "token": format!("{token}x")}), "INVALID_TOKEN", closed(4401, "auth")),
        (json!({"type": "auth", "token": holder.credential()}), "INVALID_TOKEN", closed(4401, "auth")),
        (json!({"type": "auth", "token": session.credential()}), "INVALID_TOKEN", closed(4401, "auth")),
        (json!({"type": "auth", "token": gone.credential()}), "NOT_FOUND", closed(4404, "not_found")),
        (json!({"type": "auth", "token": token, "after": u64::MAX}), "INVALID_REQUEST", closed(1008, "refused")),
    ] {
        let mut socket = open().await;
        socket.send_json(&first).await;
        let (told, how) = rest(&mut socket).await;
        assert_eq!((told.len(), told[0]["code"].as_str(), how), (1, Some(code), end), "{first}: {told:?}");
    }
    let began = now();
    assert_eq!(open().await.end().await, closed(4401, "auth"));
    assert!((4..8).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

async fn a_timeline_goes_on_after_a_number(world: &World) {
    let (holder, run) = run_of(world, &two_roles()).await;
    let by = world.participant(&holder, run, "customer");
    let mut socket = join(world, &by, 0).await;
    let _ = asked(&mut socket).await;
    answer(&mut socket, 1, "wish", json!("x")).await;
    let _ = socket.until("ok").await;
    let all = listed(&by).await;
    for after in [0, 1, 2, 3] {
        let mut socket = join(world, &by, after).await;
        let told = told_so_far(&mut socket).await;
        let seen: Vec<_> = all.iter().filter(|event| event["seq"].as_u64().unwrap() > after).cloned().collect();
        assert_eq!(events(&told), seen, "after {after}");
    }
    // Whoever is ahead of the run is told what comes, and its end.
    let mut ahead = join(world, &by, 1_000_000).await;
    assert_eq!(ahead.next_json().await["type"], "view");
    let reviewer = world.participant(&holder, run, "reviewer");
    let path = |step: &str| format!("/api/participant/steps/{step}");
    let _ = reviewer.post(&path("verdict"), &json!({"value": "ok"})).await.expect(200);
    let _ = by.post(&path("thanks"), &json!({"value": "bye"})).await.expect(200);
    let (told, how) = rest(&mut ahead).await;
    assert_eq!(how, closed(1000, "ended"));
    let events = events(&told);
    assert_eq!(events, listed(&by).await[all.len()..]);
}

/// What a socket has said until it answers a message that changes nothing.
async fn told_so_far(socket: &mut WebSocket) -> Vec<Value> {
    let mut told = Vec::new();
    answer(socket, 4711, "never", json!(0)).await;
    loop {
        let one = socket.next_json().await;
        if one["id"] == 4711 {
            return told;
        }
        told.push(one);
    }
}

async fn what_is_refused_is_said_and_the_socket_stays(world: &World) {
    let (holder, run) = run_of(world, &survey()).await;
    let by = world.participant(&holder, run, "respondent");
    let mut socket = join(world, &by, 0).await;
    let _ = asked(&mut socket).await;
    let mut refused = async |message: Value| {
        socket.send_json(&message).await;
        let error = socket.until("error").await;
        assert_eq!(error["id"], message["id"], "{error}");
        error
    };
    let invalid = refused(json!({"type": "answer", "id": {"n": 1}, "step": "score", "value": 11})).await;
    assert_eq!((&invalid["code"], &invalid["errors"][0]["field"]), (&json!("VALIDATION_FAILED"), &json!("score")));
    for strange in [json!({"type": "sing", "id": "a"}), json!({"id": 5}), json!({"type": "answer", "id": 6})] {
        assert_eq!(refused(strange).await["code"], "INVALID_REQUEST");
    }
    let again = refused(json!({"type": "auth", "id": 7, "token": by.credential()})).await;
    assert_eq!(again["code"], "INVALID_REQUEST");
    let words = refused(json!({"type": "say", "id": 8, "step": "score", "text": "hello"})).await;
    assert_eq!(words["code"], "VALIDATION_FAILED");
    socket.send("no json at all").await;
    let error = socket.until("error").await;
    assert!(error["code"] == "INVALID_REQUEST" && error.get("id").is_none(), "{error}");
    answer(&mut socket, 9, "score", json!(0)).await;
    let (told, how) = rest(&mut socket).await;
    assert!(told.contains(&json!({"type": "ok", "id": 9})) && how == closed(1000, "ended"), "{told:?} {how:?}");
}

async fn who_talks_nonsense_or_too_much_is_sent_away(world: &World) {
    let (holder, run) = run_of(world, &survey()).await;
    let by = world.participant(&holder, run, "respondent");
    let mut socket = join(world, &by, 0).await;
    let _ = asked(&mut socket).await;
    for count in 1..=19 {
        socket.send(format!("nonsense {count}")).await;
        let _ = socket.until("error").await;
    }
    // A refused answer is no nonsense: the count begins anew.
    answer(&mut socket, 1, "never", json!(1)).await;
    assert_eq!(socket.until("error").await["code"], "NOT_FOUND");
    for _ in 0..20 {
        socket.send("nonsense").await;
    }
    let (told, how) = rest(&mut socket).await;
    assert_eq!((told.iter().filter(|one| one["type"] == "error").count(), how), (20, closed(1008, "flood")));

    let mut socket = join(world, &by, 0).await;
    let _ = asked(&mut socket).await;
    answer(&mut socket, 1, "score", json!("a".repeat(65 * 1024))).await;
    assert_eq!(socket.end().await.map(|(code, _)| code), Some(1009));
    assert_eq!(by.get("/api/participant/run").await.expect(200).json()["steps"][0]["step"], "score");
}

async fn an_agent_is_talked_with(world: &World) {
    let agent =
        json!({"type": "Agent", "id": "talk", "bot": world.bot().await, "role": "customer", "prompt": "Tell me"});
    let design = json!({"type": "Workflow", "id": "w", "participants": [{"name": "customer"}], "children": [agent]});
    let (holder, run) = run_of(world, &design).await;
    let by = world.participant(&holder, run, "customer");
    let is_open = async || by.get("/api/participant/run").await.expect(200).json()["steps"] != json!([]);
    assert!(eventually(Duration::from_secs(10), is_open).await);
    let mut socket = join(world, &by, 0).await;
    let view = socket.next_json().await;
    assert_eq!((&view["steps"][0]["kind"], &view["steps"][0]["may_end"]), (&json!("agent"), &json!(true)));
    socket.send_json(&json!({"type": "say", "id": 1, "step": "talk", "text": "by socket"})).await;
    let mut said = Vec::new();
    while said.len() < 3 {
        let event = socket.until("event").await;
        if event["kind"].as_str().unwrap().ends_with(".said") {
            said.push((event["kind"].as_str().unwrap().to_owned(), event["data"]["text"].as_str().unwrap().to_owned()));
        }
    }
    assert_eq!(said[1], ("participant.said".to_owned(), "by socket".to_owned()));
    assert!(said[0].1 == "Tell me" && said[2].0 == "agent.said", "{said:?}");
    let path = "/api/participant/steps/talk";
    let shown = by.post(&format!("{path}/messages"), &json!({"text": "by request"})).await.expect(200).json();
    assert_eq!(shown["steps"][0]["step"], "talk", "{shown}");
    for wrong in [json!({"text": " "}), json!({"text": "x".repeat(4001)}), json!({"text": 1}), json!({})] {
        let _ = by.post(&format!("{path}/messages"), &wrong).await.refused(422, "VALIDATION_FAILED");
    }
    let elsewhere = "/api/participant/steps/never";
    let _ = by.post(&format!("{elsewhere}/messages"), &json!({"text": "x"})).await.refused(404, "NOT_FOUND");
    let _ = by.request("POST", &format!("{elsewhere}/done")).send().await.refused(404, "NOT_FOUND");
    let over = by.request("POST", &format!("{path}/done")).send().await.expect(200).json();
    assert_eq!(over["steps"], json!([]), "{over}");
    let (told, how) = rest(&mut socket).await;
    assert_eq!(how, closed(1000, "ended"));
    assert!(told.iter().any(|one| one["data"]["text"] == "by request"), "{told:?}");
    let _ = by.request("POST", &format!("{path}/done")).send().await.refused(409, "CONFLICT");
}

async fn every_event_is_told_once_however_often_the_socket_breaks(world: &World) {
    const STEPS: usize = 10;
    let steps: Vec<_> =
        (0..STEPS).map(|n| ask(&format!("s{n}"), if n % 3 == 2 { "reviewer" } else { "customer" })).collect();
    let roles = json!([{"name": "customer"}, {"name": "reviewer"}]);
    let design = json!({"type": "Workflow", "id": "w", "participants": roles, "children": steps});
    // A choice for each seed and round; the same in every run of the test.
    let choice = |seed: u64, round: u64| (seed * 7919 + round * 104_729 + (seed * round) % 13) % 5;
    for seed in 1..=4 {
        let (holder, run) = run_of(world, &design).await;
        let reviewer = world.participant(&holder, run, "reviewer");
        let customer = world.participant(&holder, run, "customer");
        let (mut seen, mut round) = (Vec::<Value>::new(), 0);
        'sockets: loop {
            let after = seen.last().map_or(0, |event| event["seq"].as_u64().unwrap());
            let mut socket = join(world, &customer, after).await;
            loop {
                round += 1;
                let told = match socket.next().await {
                    Said::Text(text) => serde_json::from_str::<Value>(&text).unwrap(),
                    Said::Closed(how) => {
                        assert_eq!(how, closed(1000, "ended"));
                        break 'sockets;
                    }
                };
                seen.extend(events(std::slice::from_ref(&told)));
                if told["type"] == "view"
                    && let Some(step) = told["steps"][0]["step"].as_str()
                {
                    // A repeated answer is refused, and changes nothing.
                    answer(&mut socket, 1, step, json!("mine")).await;
                }
                for step in ["s2", "s5", "s8"] {
                    let path = format!("/api/participant/steps/{step}");
                    let _ = reviewer.post(&path, &json!({"value": "theirs"})).await;
                }
                if choice(seed, round) == 0 {
                    continue 'sockets;
                }
            }
        }
        assert_eq!(seen, listed(&customer).await, "seed {seed}");
        let answered = seen.iter().filter(|event| event["kind"] == "step.answered").count();
        assert_eq!(answered, STEPS - 3, "seed {seed}: each answer counts once");
    }
}

async fn a_revoked_deployment_closes_every_socket_of_its_runs(world: &World) {
    for by_key in [false, true] {
        let design = json!({
            "type": "Workflow", "id": "w", "participants": [{"name": "customer"}], "children": [ask("wish", "customer")],
        });
        let holder = world.deployment_of(&design.to_string()).await;
        let deployment = holder.id().replace("key_", "dep_");
        let start_path = format!("/api/public/surveys/{deployment}/start");
        let stranger = world.anonymous().at(Some(ORIGIN));
        let public = stranger.post(&start_path, &json!({})).await.expect(200).json();
        let public = stranger.with("public", public["participant_token"].as_str().unwrap());
        let run = start(&holder).await;
        let by = world.participant(&holder, run, "customer");
        let (mut own, mut strangers) = (join(world, &by, 0).await, join(world, &public, 0).await);
        let _ = (asked(&mut own).await, asked(&mut strangers).await);
        let path = format!("/api/v1/runs/{run}/stream");
        let mut stream = holder.request("GET", &path).socket(&[]).await.unwrap();
        let _ = stream.until("event").await;
        let other = run_of(world, &survey()).await;
        let mut bystander = join(world, &world.participant(&other.0, other.1, "respondent"), 0).await;
        let _ = asked(&mut bystander).await;

        let (owner, began) = (world.secret(), now());
        let receipt = if by_key {
            owner.delete(&format!("/v1/api-keys/{}", holder.id())).await
        } else {
            owner.post(&format!("/v1/deployments/{deployment}/revoke"), &json!({"runs": "finish"})).await
        };
        assert_eq!(receipt.expect(200).data()["streams_closed"], 3);
        // The revocation was answered: what is sent now comes too late.
        answer(&mut own, 1, "wish", json!("too late")).await;
        for socket in [&mut own, &mut strangers, &mut stream] {
            let (told, how) = rest(socket).await;
            assert_eq!(how, closed(4403, "revoked"));
            let last = told.last().unwrap();
            assert_eq!((&last["type"], &last["code"]), (&json!("error"), &json!("revoked")), "{told:?}");
            assert!(told.iter().all(|one| one["type"] != "ok"), "{told:?}");
        }
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        answer(&mut bystander, 1, "score", json!(5)).await;
        assert_eq!(bystander.end().await, closed(1000, "ended"), "another deployment's go on");

        let data = world.store().workspace(world.tenant());
        let state = data.run(run).await.unwrap().state;
        assert!(!state.contains("too late"), "{state}");
        let _ = holder.post("/api/v1/runs", &json!({})).await.refused(401, "INVALID_API_KEY");
        let _ = holder.request("GET", &path).socket(&[]).await.unwrap_err().refused(401, "INVALID_API_KEY");
        let page = page(world);
        for by in [&by, &public] {
            let _ = by.get("/api/participant/run").await.refused(401, "INVALID_TOKEN");
            let _ = by.post("/api/participant/steps/wish", &json!({"value": "x"})).await.refused(401, "INVALID_TOKEN");
            let _ = by.request("POST", "/api/participant/renew").send().await.refused(401, "INVALID_TOKEN");
            let _ =
                by.request("GET", "/api/participant/ws").socket(&[]).await.unwrap_err().refused(401, "INVALID_TOKEN");
            let mut late = page.request("GET", "/api/participant/ws").socket(&["chatelaine.v1"]).await.unwrap();
            late.send_json(&json!({"type": "auth", "token": by.credential()})).await;
            assert_eq!(late.end().await, closed(4401, "auth"));
        }
        let _ = stranger.post(&start_path, &json!({})).await.refused(404, "NOT_FOUND");
        assert_eq!(stranger.get(&format!("/s/{deployment}")).await.status, 404);
    }
}

async fn a_reader_that_does_not_read_is_left(world: &World) {
    let (holder, run) = run_of(world, &survey()).await;
    let by = world.participant(&holder, run, "respondent");
    let mut socket = join(world, &by, 0).await;
    let _ = asked(&mut socket).await;
    let open = async || world.server().running().app().cluster().open_streams();
    assert_eq!(open().await, 1);
    // Each answer to these is as large as they are, and none is read.
    let large = json!({"type": "done", "id": "x".repeat(60_000), "step": "never"}).to_string();
    let write = async {
        loop {
            socket.send(large.clone()).await;
        }
    };
    let left = eventually(Duration::from_secs(25), async || open().await == 0);
    tokio::select! {
        () = write => {}
        left = left => assert!(left, "it still has its place"),
    }
}
