//! What the runs of a deployment were answered: listed, counted, drawn and exported.

use std::time::Duration;

use ::workflow::{Definition, Incoming, Turn, advance, start};
use ambient::{DeploymentId, Millis, RunId};
use serde_json::{Value, json};
use store::{NewRun, NewRunEvent, TurnRecord};
use testkit::{Answer, Persona, World, id_of};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

on_both! {
    runs_are_listed_with_their_answers_the_newest_first;
    every_answer_of_300_runs_is_counted_and_few_are_read_at_once;
    an_export_has_every_run_once_and_says_when_it_is_whole;
    a_spreadsheet_gets_no_formula_from_a_participant;
    the_rounds_of_a_loop_have_names_of_their_own;
    a_chart_is_a_picture_without_anything_that_a_policy_forbids;
    results_are_for_who_may_read_them;
    an_export_is_cut_when_its_key_is_revoked;
}

/// A deployment of a definition, with what makes its runs.
pub(crate) struct Survey<'w> {
    world: &'w World,
    definition: Definition,
    id: DeploymentId,
}

/// A run that was played through to some point: its state and its timeline.
#[derive(Clone)]
pub(crate) struct Played {
    status: String,
    state: String,
    events: Vec<NewRunEvent>,
}

impl<'w> Survey<'w> {
    pub(crate) async fn new(world: &'w World, definition: &Value) -> Self {
        let body = json!({"name": "Survey", "definition": definition});
        let workflow = id_of(&world.secret().post("/v1/workflows", &body).await.expect(201));
        let deploy = format!("/v1/workflows/{workflow}/deployments");
        let id = id_of(&world.secret().post(&deploy, &json!({})).await.expect(201)).parse().unwrap();
        Self { world, definition: Definition::parse(definition).unwrap(), id }
    }

    async fn example(world: &'w World, name: &str) -> Self {
        let (_, text) = ::workflow::examples().into_iter().find(|(other, _)| *other == name).unwrap();
        Self::new(world, &serde_json::from_str(text).unwrap()).await
    }

    /// The engine's own fold of these answers.
    fn play(&self, answers: &[(&str, &str, Value)]) -> Played {
        let Turn { mut state, mut events, .. } = start(&self.definition, &json!({}), Millis(0)).unwrap();
        for (step, role, value) in answers {
            let incoming =
                Incoming::Answer { step: (*step).to_owned(), role: (*role).to_owned(), value: value.clone() };
            let turn = advance(&self.definition, &state, incoming, Millis(0)).unwrap();
            state = turn.state;
            events.extend(turn.events);
        }
        let event = |event: ::workflow::Event| NewRunEvent {
            seq: event.seq,
            kind: event.kind.as_str().to_owned(),
            roles: event.roles,
            data: event.data.to_string(),
            at: event.at,
        };
        Played {
            status: state.status().as_str().to_owned(),
            state: serde_json::to_string(&state).unwrap(),
            events: events.into_iter().map(event).collect(),
        }
    }

    pub(crate) async fn store(&self, played: Played) -> RunId {
        let data = self.world.store().workspace(self.world.tenant());
        let (origin, input) = ("public".to_owned(), "{}".to_owned());
        let new = NewRun { deployment: self.id, origin, input, state: played.state.clone() };
        let run = data.create_run(new, Vec::new()).await.unwrap();
        let Played { status, state, events } = played;
        data.save_turn(run.id, 0, TurnRecord { status, state, events, ..TurnRecord::default() }).await.unwrap();
        run.id
    }

    async fn run(&self, answers: &[(&str, &str, Value)]) -> RunId {
        self.store(self.play(answers)).await
    }

    /// With so many runs, of 320 kB each.
    pub(crate) async fn of_long_answers(world: &'w World, runs: usize) -> Self {
        let children: Vec<Value> = (0..20)
            .map(|n| json!({"type": "Input", "id": format!("q{n}"), "prompt": "?", "input_type": "textarea"}))
            .collect();
        let definition =
            json!({"type": "Workflow", "id": "root", "participants": [{"name": "p"}], "children": children});
        let survey = Self::new(world, &definition).await;
        let words = json!("𝄞".repeat(4000));
        let steps: Vec<String> = (0..20).map(|n| format!("q{n}")).collect();
        let answers: Vec<_> = steps.iter().map(|step| (step.as_str(), "p", words.clone())).collect();
        let played = Played { events: Vec::new(), ..survey.play(&answers) };
        for _ in 0..runs {
            survey.store(played.clone()).await;
        }
        survey
    }

    /// Answered by the one participant of the survey that ships as an example.
    async fn scored(&self, score: u64) -> RunId {
        let mut answers = vec![("score", "respondent", json!(score))];
        if score <= 6 {
            answers.push(("missing", "respondent", json!(format!("More than {score}"))));
            answers.push(("may_contact", "respondent", json!(score.is_multiple_of(2))));
        } else if score >= 9 {
            answers.push(("liked", "respondent", if score == 9 { json!(["speed"]) } else { json!(null) }));
        } else {
            answers.push(("improve", "respondent", json!("Cake")));
        }
        self.run(&answers).await
    }

    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v1/deployments/{}/results{rest}", self.id)
    }

    pub(crate) async fn get(&self, rest: &str) -> Answer {
        self.world.secret().get(&self.path(rest)).await
    }
}

pub(crate) fn run_ids(page: &Value) -> Vec<String> {
    let runs = page["data"]["runs"].as_array().unwrap();
    runs.iter().map(|run| run["run_id"].as_str().unwrap().to_owned()).collect()
}

async fn runs_are_listed_with_their_answers_the_newest_first(world: &World) {
    let survey = Survey::example(world, "nps-survey").await;
    let other = Survey::example(world, "nps-survey").await;
    let mut runs = Vec::new();
    for score in [3, 9, 7] {
        runs.push(survey.scored(score).await.to_string());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    runs.push(survey.run(&[("score", "respondent", json!(10))]).await.to_string());
    other.scored(1).await;
    runs.reverse();
    let all = survey.get("").await.expect(200).json();
    assert_eq!((run_ids(&all), &all["meta"]["total"]), (runs.clone(), &json!(4)), "and none of another deployment");
    let data = &all["data"];
    assert_eq!(data["columns"], json!(["score", "missing", "may_contact", "liked", "improve"]));
    assert_eq!(
        (&data["questions"][3]["input_type"], &data["questions"][3]["role"]),
        (&json!("multiselect"), &json!("respondent"))
    );
    assert_eq!(data["questions"][3]["options"][1], json!({"value": "speed", "label": "The speed"}));
    let answers = |at: usize| data["runs"][at]["answers"].clone();
    assert_eq!(answers(3), json!({"score": 3, "missing": "More than 3", "may_contact": false}));
    assert_eq!(answers(1), json!({"score": 7, "improve": "Cake"}));
    assert_eq!((answers(0), &data["runs"][0]["status"]), (json!({"score": 10}), &json!("waiting")), "not yet over");
    let newest = &data["runs"][0];
    assert!(newest["finished_at"].is_null() && data["runs"][1]["finished_at"].is_string(), "{newest}");
    assert_eq!(newest["origin"], "public");

    let mut joined = Vec::new();
    for page in 1..=2 {
        let part = survey.get(&format!("?page={page}&per_page=3")).await.expect(200).json();
        assert_eq!((&part["meta"]["total"], &part["meta"]["page"]), (&json!(4), &json!(page)));
        joined.extend(run_ids(&part));
    }
    assert_eq!(joined, runs);
    let waiting = survey.get("?status=waiting").await.expect(200).json();
    assert_eq!((run_ids(&waiting), &waiting["meta"]["total"]), (runs[..1].to_vec(), &json!(1)));
    // From the second on, and before the third.
    let at = |run: usize| data["runs"][run]["started_at"].as_str().unwrap();
    let period = survey.get(&format!("?from={}&to={}", at(2), at(1))).await.expect(200).json();
    assert_eq!((run_ids(&period), &period["meta"]["total"]), (runs[2..3].to_vec(), &json!(1)));
    let today = survey.get("?from=2020-01-01").await.expect(200).json();
    assert_eq!(today["meta"]["total"], 4);
    assert_eq!(survey.get("?to=2020-01-01").await.expect(200).json()["meta"]["total"], 0);
    for wrong in ["?from=yesterday", "?status=done", "?page=0", "?per_page=101"] {
        let _ = survey.get(wrong).await.refused(400, "INVALID_REQUEST");
    }

    let revoke = format!("/v1/deployments/{}/revoke", survey.id);
    let _ = world.secret().post(&revoke, &json!({"runs": "finish"})).await.expect(200);
    assert_eq!(survey.get("").await.expect(200).json()["meta"]["total"], 4, "what was answered stays");
}

async fn every_answer_of_300_runs_is_counted_and_few_are_read_at_once(world: &World) {
    let survey = Survey::example(world, "nps-survey").await;
    let none = survey.get("/summary").await.expect(200).data();
    assert_eq!(
        (&none["counted"], &none["complete"], &none["questions"][0]["answered"]),
        (&json!(0), &json!(true), &json!(0))
    );
    for n in 0..300 {
        survey.scored(n % 11).await;
    }
    let before = world.store().reads();
    let summary = survey.get("/summary").await.expect(200).data();
    let reads = world.store().reads() - before;
    assert!((7..=12).contains(&reads), "fifty at once: {reads}");
    assert_eq!((&summary["counted"], &summary["complete"]), (&json!(300), &json!(true)));
    assert_eq!(summary["statuses"], json!({"completed": 300}));
    let given: Vec<u64> = (0..300).map(|n| n % 11).collect();
    let of = |test: fn(u64) -> bool| given.iter().filter(|score| test(**score)).count();
    let question = |at: usize| &summary["questions"][at];
    let (promoters, detractors) = (of(|score| score >= 9), of(|score| score <= 6));
    let score = (1000.0 * (promoters as f64 - detractors as f64) / 300.0).round() / 10.0;
    let nps = json!({"promoters": promoters, "passives": 300 - promoters - detractors, "detractors": detractors, "score": score});
    assert_eq!((&question(0)["answered"], &question(0)["nps"]), (&json!(300), &nps));
    for (at, bin) in question(0)["histogram"].as_array().unwrap().iter().enumerate() {
        assert_eq!(bin["count"], given.iter().filter(|score| **score == at as u64).count(), "{bin}");
    }
    assert_eq!((&question(1)["answered"], question(1).get("choices")), (&json!(detractors), None));
    assert!(!summary.to_string().contains("More than"), "words are not told");
    let yes = given.iter().filter(|score| **score <= 6 && **score % 2 == 0).count();
    assert_eq!((&question(2)["choices"][0]["count"], &question(2)["choices"][0]["value"]), (&json!(yes), &json!(true)));
    let nines = of(|score| score == 9);
    assert_eq!((&question(3)["answered"], &question(3)["skipped"]), (&json!(nines), &json!(promoters - nines)));
    assert_eq!(
        question(3)["choices"][1],
        json!({"value": "speed", "label": "The speed", "count": nines, "share": 1.0})
    );
    let waiting = survey.get("/summary?status=waiting").await.expect(200).data();
    assert_eq!((&waiting["counted"], &waiting["statuses"]), (&json!(0), &json!({})));
}

/// The lines of an answer.
fn lines(answer: &Answer) -> Vec<String> {
    answer.text().lines().map(str::to_owned).collect()
}

async fn an_export_has_every_run_once_and_says_when_it_is_whole(world: &World) {
    let survey = Survey::example(world, "nps-survey").await;
    let empty = survey.get("/export").await.expect(200);
    assert_eq!(empty.text(), "run_id,status,origin,started_at,finished_at,score,missing,may_contact,liked,improve\r\n");
    assert_eq!(survey.get("/export?format=ndjson").await.expect(200).text(), "{\"type\":\"end\",\"count\":0}\n");
    let mut runs = Vec::new();
    for n in 0..120 {
        runs.push(survey.scored(n % 11).await.to_string());
    }
    runs.sort();
    let before = world.store().reads();
    let csv = survey.get("/export?format=csv").await.expect(200);
    let reads = world.store().reads() - before;
    assert!((4..=8).contains(&reads), "fifty at once: {reads}");
    assert!(csv.header("content-type").starts_with("text/csv; charset=utf-8"), "{:?}", csv.headers);
    let disposition = csv.header("content-disposition");
    assert!(disposition.starts_with(&format!("attachment; filename=\"results-{}-20", survey.id)), "{disposition}");
    assert!(disposition.ends_with(".csv\""), "{disposition}");
    let rows = lines(&csv);
    let ids: Vec<_> = rows[1..].iter().map(|row| row.split(',').next().unwrap().to_owned()).collect();
    assert_eq!(ids, runs, "the oldest first");
    let of_nine = rows.iter().find(|row| row.contains(",9,")).unwrap();
    assert!(of_nine.ends_with(",9,,,\"[\"\"speed\"\"]\","), "{of_nine}");

    let ndjson = survey.get("/export?format=ndjson").await.expect(200);
    assert!(ndjson.header("content-type").starts_with("application/x-ndjson"));
    let rows: Vec<Value> = lines(&ndjson).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.last(), Some(&json!({"type": "end", "count": 120})));
    let ids: Vec<_> = rows[..120].iter().map(|row| row["run_id"].as_str().unwrap()).collect();
    assert!(ids == runs && rows[..120].iter().all(|row| row["type"] == "run"));
    let first = rows.iter().find(|row| row["answers"]["score"] == 10).unwrap();
    assert_eq!(first["answers"], json!({"score": 10, "liked": null}), "left out is null, not asked is absent");

    let labelled = survey.get("/export?label=1&bom=1&to=2020-01-01").await.expect(200);
    assert!(labelled.body.starts_with(b"\xef\xbb\xbfrun_id,") && labelled.text().contains(",What do you like most?,"));
    for wrong in ["/export?format=xml", "/export?label=2", "/export?bom=yes", "/export?from=x"] {
        let _ = survey.get(wrong).await.refused(400, "INVALID_REQUEST");
    }
    let log = world.secret().get("/v1/audit-log?action=export_deployment_results").await.expect(200).json();
    assert_eq!(log["meta"]["total"], 5, "each that was begun, and none that was refused");
    let record = &log["data"][1];
    assert_eq!((&record["target"]["id"], &record["detail"]["format"]), (&json!(survey.id), &json!("ndjson")));
    assert!(!log.to_string().contains("More than"));
}

async fn a_spreadsheet_gets_no_formula_from_a_participant(world: &World) {
    let input = |id: &str, kind: &str| json!({"type": "Input", "id": id, "prompt": "=1+1", "input_type": kind});
    let definition = json!({
        "type": "Workflow", "id": "root", "participants": [{"name": "p"}],
        "children": [input("words", "text"), input("amount", "number")],
    });
    let survey = Survey::new(world, &definition).await;
    let link = "=HYPERLINK(\"https://evil.example\",\"Click\")";
    survey.run(&[("words", "p", json!(link)), ("amount", "p", json!(-5))]).await;
    let row = lines(&survey.get("/export").await.expect(200)).remove(1);
    assert!(row.ends_with(",\"'=HYPERLINK(\"\"https://evil.example\"\",\"\"Click\"\")\",-5"), "{row}");
    let head = lines(&survey.get("/export?label=1").await.expect(200)).remove(0);
    assert!(head.ends_with(",'=1+1,'=1+1"), "{head}");
    let ndjson = lines(&survey.get("/export?format=ndjson").await.expect(200));
    let row: Value = serde_json::from_str(&ndjson[0]).unwrap();
    assert_eq!(row["answers"], json!({"words": link, "amount": -5}), "JSON has no formulas");
}

async fn the_rounds_of_a_loop_have_names_of_their_own(world: &World) {
    let survey = Survey::example(world, "two-role-review").await;
    let form = |subject: &str, amount: u64| json!({"subject": subject, "details": "Because", "amount": amount, "needed_by": null});
    survey
        .run(&[
            ("request.1", "customer", form("Chairs", 900)),
            ("decision.1", "reviewer", json!("change")),
            ("remarks.1", "reviewer", json!("Cheaper")),
            ("request.2", "customer", form("Stools", 300)),
            ("decision.2", "reviewer", json!("approve")),
        ])
        .await;
    survey.run(&[("request.1", "customer", form("Lamp", 20))]).await;
    let page = survey.get("").await.expect(200).json();
    let columns = page["data"]["columns"].clone();
    let rounds = json!([
        "subject",
        "subject.1",
        "subject.2",
        "details",
        "details.1",
        "details.2",
        "amount",
        "amount.1",
        "amount.2",
        "needed_by",
        "needed_by.1",
        "needed_by.2",
        "decision",
        "decision.1",
        "decision.2",
        "remarks",
        "remarks.1"
    ]);
    assert_eq!(columns, rounds);
    let first = &page["data"]["runs"][1]["answers"];
    assert_eq!(
        (&first["subject"], &first["subject.1"], &first["subject.2"]),
        (&json!("Stools"), &json!("Chairs"), &json!("Stools"))
    );
    assert_eq!((&first["decision.1"], first.get("remarks.2")), (&json!("change"), None));
    let rows = lines(&survey.get("/export").await.expect(200));
    let expected: Vec<_> = columns.as_array().unwrap().iter().map(|column| column.as_str().unwrap()).collect();
    assert!(rows[0].ends_with(&format!(",{}", expected.join(","))), "{}", rows[0]);
    assert!(rows[1].ends_with(",300,900,300,,,,approve,change,approve,Cheaper,Cheaper"), "{}", rows[1]);
    assert!(rows[2].ends_with(",20,20,,,,,,,,,"), "{}", rows[2]);
    let labels = lines(&survey.get("/export?label=1").await.expect(200)).remove(0);
    assert!(labels.contains(",What does it cost?,What does it cost? (1),What does it cost? (2),"), "{labels}");
    let summary = survey.get("/summary").await.expect(200).data();
    let decision = &summary["questions"][4];
    assert_eq!(
        (&decision["answered"], &decision["choices"][0]["count"]),
        (&json!(1), &json!(1)),
        "the last round counts"
    );
}

async fn a_chart_is_a_picture_without_anything_that_a_policy_forbids(world: &World) {
    let definition = json!({
        "type": "Workflow", "id": "root", "participants": [{"name": "p"}], "children": [{
            "type": "Input", "id": "taste", "prompt": "</title><script>alert(1)</script>", "input_type": "select",
            "options": [{"value": "a", "label": "<b onload=x>A</b>"}, {"value": "b", "label": "B & C"}],
        }],
    });
    let survey = Survey::new(world, &definition).await;
    for value in ["a", "b", "b"] {
        survey.run(&[("taste", "p", json!(value))]).await;
    }
    let chart = survey.get("/chart?question=taste").await.expect(200);
    assert_eq!(chart.header("content-type"), "image/svg+xml");
    assert_eq!(chart.header("content-security-policy"), "default-src 'none'; sandbox");
    let svg = chart.text();
    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && svg.ends_with("</svg>"));
    for forbidden in ["<script", "<b ", "<style", "style=", "href", "<foreignObject"] {
        assert!(!svg.contains(forbidden), "{forbidden}: {svg}");
    }
    assert!(svg.contains("B &amp; C: 2 (66.67 %)") && svg.contains("&lt;script&gt;"), "{svg}");
    assert_ne!(survey.get("/chart?question=taste&theme=dark").await.expect(200).text(), svg);
    for wrong in ["/chart", "/chart?question=other", "/chart?question=taste&theme=pink"] {
        let _ = survey.get(wrong).await.refused(400, "INVALID_REQUEST");
    }
}

async fn results_are_for_who_may_read_them(world: &World) {
    let survey = Survey::example(world, "nps-survey").await;
    survey.scored(5).await;
    let rests = ["", "/summary", "/chart?question=score", "/export?format=ndjson"];
    for rest in rests {
        let path = survey.path(rest);
        for stranger in [world.other_workspace_secret(), world.test_secret().await] {
            let refused = stranger.get(&path).await.refused(404, "NOT_FOUND");
            let never = path.replace(&survey.id.to_string(), "dep_00000000000000000000000001");
            assert_eq!(refused.body_without_id(), stranger.get(&never).await.body_without_id());
        }
        let _ = world.restricted().await.get(&path).await.refused(403, "INSUFFICIENT_PERMISSIONS");
        let _ = world.deployment().await.get(&path).await.refused(403, "WRONG_CREDENTIAL");
        let _ = world.anonymous().get(&path).await.refused(401, "MISSING_CREDENTIAL");
        let _ = world.member_account().await.get(&path).await.expect(200);
    }
    let reader = world.key("reader", json!({"name": "Reader", "scopes": ["runs:read"]})).await;
    let refused = reader.get(&survey.path(rests[3])).await.refused(403, "INSUFFICIENT_PERMISSIONS").json();
    assert_eq!(refused["error"]["required_scope"], "export:read", "all at once is more than a page");
    let _ = reader.get(&survey.path(rests[0])).await.expect(200);
}

/// Begins to read an answer, does `meanwhile`, reads the rest.
async fn read_slowly(by: &Persona, world: &World, path: &str, meanwhile: impl Future<Output = ()>) -> String {
    let mut socket = TcpStream::connect(world.client().address()).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        by.credential()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = socket.read(&mut answer).await.unwrap();
    answer.truncate(read);
    meanwhile.await;
    // A connection that is cut may end in an error.
    let _ = tokio::time::timeout(Duration::from_secs(20), socket.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

async fn an_export_is_cut_when_its_key_is_revoked(world: &World) {
    // More than what the sockets between here and there hold.
    let survey = Survey::of_long_answers(world, 60).await;
    for format in ["csv", "ndjson"] {
        let path = survey.path(&format!("/export?format={format}"));
        let key = world.key("exporter", json!({"name": "Exporter", "scopes": ["export:read"]})).await;
        let whole = read_slowly(&key, world, &path, async {}).await;
        assert!(whole.ends_with("\r\n0\r\n\r\n"), "{format}: a whole answer has an end");
        let cut = read_slowly(&key, world, &path, async {
            let revoke = format!("/v1/api-keys/{}", key.id());
            let receipt = world.secret().delete(&revoke).await.expect(200).data();
            assert_eq!(receipt["streams_closed"], 1, "{receipt}");
        })
        .await;
        assert!(
            cut.starts_with("HTTP/1.1 200 OK") && cut.len() < whole.len(),
            "{format}: {} {}",
            cut.len(),
            whole.len()
        );
        assert!(!cut.ends_with("\r\n0\r\n\r\n"), "{format}: a part of it must not look whole");
        assert_eq!(cut.contains("{\"type\":\"error\",\"code\":\"revoked\"}"), format == "ndjson");
        assert!(!cut.contains("\"type\":\"end\""));
    }
}
