//! The hosted page of a survey, as a browser without JavaScript uses it: links, forms and a cookie.

use std::time::Duration;

use credential::token::ParticipantClaims;
use serde_json::{Value, json};
use testkit::{Answer, Backend, ORIGIN, Options, Request, World, eventually, id_of};

use crate::workflows::survey;

on_both! {
    a_survey_is_started_answered_and_over;
    an_answer_that_does_not_fit_comes_back_with_what_was_typed;
    words_of_people_never_become_markup;
    a_form_of_another_page_is_refused_before_anything_happens;
    a_cookie_is_of_one_survey_and_one_run;
    who_comes_back_goes_on_and_who_is_late_starts_again;
    a_token_in_its_last_half_is_renewed_and_a_fresh_one_is_not;
    what_is_no_open_survey_is_one_and_the_same_page;
    a_revoked_survey_ends_its_pages;
    a_dialogue_with_an_agent_is_held_and_ended;
    a_form_of_several_fields_is_answered_at_once;
    a_page_is_for_nobody_s_frame_and_nobody_s_cache;
    starts_are_counted_as_those_of_the_api;
}

on_each! {
    over_https_the_cookie_is_for_https_alone;
}

pub(crate) const HTML: &str = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";

/// A visitor with one cookie jar.
pub(crate) struct Browser<'a> {
    world: &'a World,
    pub(crate) origin: String,
    pub(crate) cookie: Option<String>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        Self { world, origin: world.server().url().to_owned(), cookie: None }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> Request {
        let request = self.world.client().request(method, path).header("accept", HTML);
        match &self.cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        }
    }

    fn take(&mut self, answer: Answer) -> Answer {
        let line = answer.header("set-cookie");
        if !line.is_empty() {
            let pair = line.split(';').next().unwrap().to_owned();
            self.cookie = (!pair.ends_with('=')).then_some(pair);
        }
        answer
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        let answer = self.request("GET", path).send().await;
        self.take(answer)
    }

    async fn post(&mut self, path: &str, pairs: &[(&str, &str)]) -> Answer {
        let request = self.request("POST", path).origin(&self.origin).header("sec-fetch-site", "same-origin");
        let answer = request.body("application/x-www-form-urlencoded", encode(pairs)).send().await;
        self.take(answer)
    }

    /// The token that the cookie holds.
    pub(crate) fn token(&self) -> &str {
        self.cookie.as_deref().and_then(|pair| pair.split_once('=')).map(|(_, token)| token).unwrap()
    }

    fn claims(&self) -> ParticipantClaims {
        let app = self.world.server().running().app();
        app.tokens().verify_participant(self.token(), app.clock().now()).unwrap()
    }

    /// Holds another token for the same run.
    fn hold(&mut self, claims: &ParticipantClaims) {
        let name = self.cookie.as_deref().and_then(|pair| pair.split_once('=')).map(|(name, _)| name).unwrap();
        let token = self.world.server().running().app().tokens().sign_participant(claims).unwrap();
        self.cookie = Some(format!("{name}={token}"));
    }

    /// Starts the survey and waits for its first question.
    pub(crate) async fn start(&mut self, survey: &str) -> String {
        let started = self.post(&format!("/s/{survey}"), &[]).await.expect(303);
        assert_eq!(started.header("location"), format!("/s/{survey}/run"));
        self.asked(survey).await
    }

    /// The page, once it has stopped waiting for something.
    pub(crate) async fn asked(&mut self, survey: &str) -> String {
        let path = format!("/s/{survey}/run");
        let mut page = String::new();
        let came = eventually(Duration::from_secs(10), async || {
            page = self.get(&path).await.expect(200).text();
            !page.contains("data-waits")
        });
        assert!(came.await, "{page}");
        page
    }

    pub(crate) async fn answer(&mut self, survey: &str, pairs: &[(&str, &str)]) -> Answer {
        self.post(&format!("/s/{survey}/run"), pairs).await
    }
}

fn encode(pairs: &[(&str, &str)]) -> String {
    let escape = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    pairs.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect::<Vec<_>>().join("&")
}

/// The id of a new deployment for strangers.
async fn deploy(world: &World, definition: &Value, settings: Value) -> String {
    let workflow = json!({"name": "Survey", "definition": definition});
    let workflow = id_of(&world.secret().post("/v1/workflows", &workflow).await.expect(201));
    id_of(&world.secret().post(&format!("/v1/workflows/{workflow}/deployments"), &settings).await.expect(201))
}

pub(crate) async fn open(world: &World, definition: &Value) -> String {
    deploy(world, definition, json!({"survey_mode": true})).await
}

pub(crate) fn asking(children: &Value) -> Value {
    json!({"type": "Workflow", "id": "survey", "title": "Survey", "participants": [{"name": "respondent"}],
           "children": children})
}

pub(crate) fn heading(page: &str) -> &str {
    assert_eq!(page.matches("<h1").count(), 1, "one heading: {page}");
    let (_, rest) = page.split_once("<h1").unwrap();
    rest.split_once('>').unwrap().1.split_once("</h1>").unwrap().0
}

async fn run_of(world: &World, browser: &Browser<'_>) -> Value {
    let record = world.store().workspace(world.tenant()).run(browser.claims().run).await.unwrap();
    json!({"status": record.status, "origin": record.origin, "state": serde_json::from_str::<Value>(&record.state).unwrap()})
}

async fn a_survey_is_started_answered_and_over(world: &World) {
    let design = asking(&json!([
        {"type": "Input", "id": "score", "prompt": "How likely?", "input_type": "nps"},
        {"type": "Message", "id": "between", "text": "You said {{score}}."},
        {"type": "Input", "id": "why", "prompt": "Why?", "input_type": "textarea", "required": false},
        {"type": "Message", "id": "thanks", "text": "Thank you for your time."},
    ]));
    let id = open(world, &design).await;
    let mut browser = Browser::new(world);
    let first = browser.get(&format!("/s/{id}")).await.expect(200);
    assert!(first.text().contains(&format!("<form method=\"post\" action=\"/s/{id}\">")), "{}", first.text());
    assert_eq!((heading(&first.text()), browser.cookie.is_none()), ("Survey", true), "looking starts nothing");

    let page = browser.start(&id).await;
    let cookie = browser.cookie.clone().unwrap();
    assert!(cookie.starts_with("chatelaine-survey=ey"), "{cookie}");
    assert!(!page.contains(browser.token()), "no script and no page ever sees the token");
    assert_eq!(heading(&page), "How likely?");
    assert_eq!(page.matches("type=\"radio\"").count(), 11, "{page}");

    let answered = browser.answer(&id, &[("step", "score"), ("f-score", "9")]).await.expect(303);
    assert_eq!(answered.header("location"), format!("/s/{id}/run"));
    let page = browser.asked(&id).await;
    assert!(heading(&page).contains("Why?") && page.contains("You said 9."), "{page}");
    let again = browser.answer(&id, &[("step", "score"), ("f-score", "1")]).await.expect(303);
    assert_eq!(again.header("location"), format!("/s/{id}/run"), "answered once, asked no second time");
    let _ = browser.answer(&id, &[("step", "why"), ("f-why", "Line one\r\nline two")]).await.expect(303);
    let page = browser.asked(&id).await;
    assert!(heading(&page) == "That was all" && page.contains("Thank you for your time."), "{page}");
    assert!(page.contains("Earlier messages (1)") && !page.contains("<form"), "{page}");

    let run = run_of(world, &browser).await;
    assert_eq!((&run["status"], &run["origin"]), (&json!("completed"), &json!("public")));
    let results = &run["state"]["results"];
    assert_eq!((&results["score"], &results["why"]), (&json!(9), &json!("Line one\nline two")), "{run}");
    let _ = browser.answer(&id, &[("step", "why"), ("f-why", "late")]).await.expect(303);
    assert_eq!(run_of(world, &browser).await, run);
    assert_eq!(browser.get(&format!("/s/{id}")).await.expect(200).text(), first.text(), "another run may be started");
}

async fn an_answer_that_does_not_fit_comes_back_with_what_was_typed(world: &World) {
    let ask = json!([{"type": "Input", "id": "mail", "prompt": "Where to?", "input_type": "email"}]);
    let id = open(world, &asking(&ask)).await;
    let mut browser = Browser::new(world);
    let _ = browser.start(&id).await;
    let refused = browser.answer(&id, &[("step", "mail"), ("f-mail", "not \"an address")]).await.expect(422);
    let page = refused.text();
    assert!(page.contains("<title>Error: Where to? – Survey</title>"), "{page}");
    for part in [
        "role=\"alert\" tabindex=\"-1\" autofocus",
        "<a href=\"#f-mail\">Enter an email address such as name@example.com.</a>",
        "id=\"f-mail\"",
        "aria-invalid=\"true\"",
        "value=\"not &quot;an address\"",
        "aria-describedby=\"f-mail-hint f-mail-error\"",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let empty = browser.answer(&id, &[("step", "mail")]).await.expect(422).text();
    assert!(empty.contains("This needs an answer."), "{empty}");
    assert_eq!(run_of(world, &browser).await["state"]["results"], json!({}), "nothing happened");
    for strange in [&[][..], &[("step", "other")], &[("f-mail", "a@b.example")]] {
        let _ = browser.answer(&id, strange).await.expect(303);
    }
    let _ = browser.answer(&id, &[("step", "mail"), ("f-mail", "a@b.example")]).await.expect(303);
    assert_eq!(run_of(world, &browser).await["status"], "completed");
}

async fn words_of_people_never_become_markup(world: &World) {
    const EVIL: &str = "</title></textarea><script>alert(1)</script>\"'>";
    let bot = world.bot().await;
    let mut design = asking(&json!([
        {"type": "Input", "id": "said", "prompt": EVIL, "input_type": "textarea", "max_length": 5},
        {"type": "Input", "id": "choice", "prompt": EVIL, "input_type": "select", "options": [{"value": EVIL, "label": EVIL}]},
        {"type": "Message", "id": "told", "text": format!("{EVIL} {{{{choice}}}}")},
        {"type": "Agent", "id": "talk", "bot": bot, "role": "respondent", "until": "participant_done", "prompt": EVIL},
    ]));
    design["title"] = json!(EVIL);
    let id = open(world, &design).await;
    let mut browser = Browser::new(world);
    let is_safe = |page: &str| {
        assert!(page.contains("&lt;script&gt;alert(1)"), "it is shown: {page}");
        assert_eq!(page.matches("<script").count(), 1, "our own alone: {page}");
        assert!(!page.contains(EVIL) && page.matches("</title>").count() == 1, "{page}");
    };
    is_safe(&browser.get(&format!("/s/{id}")).await.text());
    is_safe(&browser.start(&id).await);
    let refused = browser.answer(&id, &[("step", "said"), ("f-said", EVIL)]).await.expect(422).text();
    is_safe(&refused);
    assert_eq!(refused.matches("</textarea>").count(), 1, "{refused}");
    let _ = browser.answer(&id, &[("step", "said"), ("f-said", "<b>")]).await.expect(303);
    is_safe(&browser.asked(&id).await);
    let _ = browser.answer(&id, &[("step", "choice"), ("f-choice", EVIL)]).await.expect(303);
    is_safe(&browser.asked(&id).await);
    let _ = browser.answer(&id, &[("step", "talk"), ("action", "say"), ("text", EVIL)]).await.expect(303);
    let page = browser.asked(&id).await;
    is_safe(&page);
    assert!(page.matches("&lt;script&gt;").count() >= 4, "said by three: {page}");
}

async fn a_form_of_another_page_is_refused_before_anything_happens(world: &World) {
    let id = open(world, &survey()).await;
    let mut browser = Browser::new(world);
    let _ = browser.start(&id).await;
    let own = browser.origin.clone();
    let foreign = [
        vec![("origin", ORIGIN), ("sec-fetch-site", "cross-site")],
        vec![("origin", ORIGIN)],
        vec![("origin", "null"), ("sec-fetch-site", "cross-site")],
        vec![("origin", "null"), ("sec-fetch-site", "same-origin")],
        vec![("sec-fetch-site", "cross-site")],
        vec![("sec-fetch-site", "same-site")],
        vec![("origin", own.as_str()), ("x-embedding-origin", ORIGIN)],
    ];
    for path in [format!("/s/{id}/run"), format!("/s/{id}")] {
        for headers in &foreign {
            let mut request = browser.request("POST", &path);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let body = encode(&[("step", "score"), ("f-score", "9")]);
            let refused = request.body("application/x-www-form-urlencoded", body).send().await.expect(403);
            assert!(refused.text().contains("This did not come from our page"), "{headers:?}");
            assert_eq!(refused.header("set-cookie"), "", "{headers:?}");
        }
    }
    assert_eq!(run_of(world, &browser).await["state"]["results"], json!({}));
    let json = browser.request("POST", &format!("/s/{id}/run")).origin(&own).json(&json!({})).send().await.expect(415);
    assert!(json.text().contains("<h1"), "{}", json.text());
    let _ = browser.answer(&id, &[("step", "score"), ("f-score", "9")]).await.expect(303);
    assert_eq!(run_of(world, &browser).await["status"], "completed");
}

async fn a_cookie_is_of_one_survey_and_one_run(world: &World) {
    let (one, other) = (open(world, &survey()).await, open(world, &survey()).await);
    let mut browser = Browser::new(world);
    let line = browser.post(&format!("/s/{one}"), &[]).await.expect(303).header("set-cookie").to_owned();
    for part in [format!("; Path=/s/{one};"), "; HttpOnly".into(), "; SameSite=Lax".into(), "; Max-Age=86400".into()] {
        assert!(line.contains(&part), "{part}: {line}");
    }
    let cookie = browser.cookie.clone();
    // A browser would not send it there; somebody might.
    let elsewhere = browser.get(&format!("/s/{other}/run")).await.expect(303);
    assert_eq!(elsewhere.header("location"), format!("/s/{other}"));
    browser.cookie.clone_from(&cookie);
    assert_eq!(browser.get(&format!("/s/{other}")).await.expect(200).header("set-cookie"), "");
    browser.cookie.clone_from(&cookie);
    let _ = browser.answer(&other, &[("step", "score"), ("f-score", "9")]).await.expect(303);
    browser.cookie.clone_from(&cookie);
    let _ = browser.asked(&one).await;
    assert_eq!(run_of(world, &browser).await["state"]["results"], json!({}));

    // Pressed twice, started once.
    let run = browser.claims().run;
    let _ = browser.post(&format!("/s/{one}"), &[]).await.expect(303);
    assert_eq!(browser.claims().run, run);
    for forged in ["chatelaine-survey=x", "chatelaine-survey=", "chatelaine-survey=a.b.c"] {
        browser.cookie = Some(forged.to_owned());
        assert_eq!(browser.get(&format!("/s/{one}/run")).await.expect(303).header("location"), format!("/s/{one}"));
    }
    browser.cookie = Some(format!("{0}; {0}", cookie.unwrap()));
    let twice = browser.get(&format!("/s/{one}/run")).await.expect(303);
    assert_eq!(twice.header("location"), format!("/s/{one}"), "which of the two?");
}

async fn who_comes_back_goes_on_and_who_is_late_starts_again(world: &World) {
    let id = open(world, &survey()).await;
    let mut browser = Browser::new(world);
    let asked = browser.start(&id).await;
    assert_eq!(browser.get(&format!("/s/{id}")).await.expect(303).header("location"), format!("/s/{id}/run"));
    assert_eq!(browser.asked(&id).await, asked, "a reload changes nothing");

    let claims = browser.claims();
    let (issued_at, expires_at) = (claims.issued_at.plus(-7_200_000), claims.expires_at.plus(-7_200_000));
    browser.hold(&ParticipantClaims { issued_at, expires_at, ..claims });
    let held = browser.cookie.clone();
    let late = browser.answer(&id, &[("step", "score"), ("f-score", "9")]).await.expect(410);
    assert!(late.text().contains("Start again") && browser.cookie.is_none(), "{}", late.text());
    browser.cookie = held;
    assert_eq!(heading(&browser.get(&format!("/s/{id}/run")).await.expect(410).text()), "You were away for too long");
    assert_eq!(heading(&browser.get(&format!("/s/{id}")).await.expect(200).text()), "Survey");
}

async fn a_token_in_its_last_half_is_renewed_and_a_fresh_one_is_not(world: &World) {
    let id = open(world, &survey()).await;
    let mut browser = Browser::new(world);
    let _ = browser.start(&id).await;
    let path = format!("/s/{id}/run");
    assert_eq!(browser.get(&path).await.expect(200).header("set-cookie"), "", "a fresh one stays");
    let claims = browser.claims();
    let older = |by: i64| ParticipantClaims {
        issued_at: claims.issued_at.plus(-by),
        expires_at: claims.expires_at.plus(-by),
        ..claims.clone()
    };
    browser.hold(&older(1_700_000));
    assert_eq!(browser.get(&path).await.expect(200).header("set-cookie"), "");
    browser.hold(&older(1_900_000));
    let _ = browser.get(&path).await.expect(200);
    let renewed = browser.claims();
    assert_eq!((renewed.run, &renewed.role), (claims.run, &claims.role));
    assert!(renewed.expires_at >= claims.expires_at, "{renewed:?}");
    browser.hold(&older(1_900_000));
    let _ = browser.answer(&id, &[("step", "score"), ("f-score", "x")]).await.expect(422);
    assert!(browser.claims().expires_at >= claims.expires_at, "an answer renews it too");
}

async fn what_is_no_open_survey_is_one_and_the_same_page(world: &World) {
    let off = deploy(world, &survey(), json!({})).await;
    let revoked = open(world, &survey()).await;
    let _ =
        world.secret().post(&format!("/v1/deployments/{revoked}/revoke"), &json!({"runs": "finish"})).await.expect(200);
    let mut pages = Vec::new();
    for id in [off.as_str(), &revoked, "dep_00000000000000000000000001", "dep_abc123", "nothing"] {
        let mut browser = Browser::new(world);
        pages.push(browser.get(&format!("/s/{id}")).await.expect(404).text());
        pages.push(browser.post(&format!("/s/{id}"), &[]).await.expect(404).text());
        assert!(browser.cookie.is_none());
        let at = browser.get(&format!("/s/{id}/run")).await.expect(303).header("location").to_owned();
        pages.push(browser.get(&at).await.expect(404).text());
    }
    pages.dedup();
    assert_eq!(pages.len(), 1, "{pages:?}");
    assert_eq!(heading(&pages[0]), "There is no survey here");
    let program = world.client().get(&format!("/s/{off}")).send().await.refused(404, "NOT_FOUND");
    assert_eq!(program.header("cache-control"), "no-store");
}

async fn a_revoked_survey_ends_its_pages(world: &World) {
    let id = open(world, &survey()).await;
    let mut browser = Browser::new(world);
    let _ = browser.start(&id).await;
    let _ = world.secret().post(&format!("/v1/deployments/{id}/revoke"), &json!({"runs": "finish"})).await.expect(200);
    let cookie = browser.cookie.clone();
    let ended = browser.answer(&id, &[("step", "score"), ("f-score", "9")]).await.expect(303);
    assert_eq!((ended.header("location"), &browser.cookie), (format!("/s/{id}").as_str(), &None));
    browser.cookie = cookie;
    let _ = browser.get(&format!("/s/{id}/run")).await.expect(303);
    let gone = browser.get(&format!("/s/{id}")).await.expect(404);
    assert_eq!(heading(&gone.text()), "There is no survey here");
}

async fn a_dialogue_with_an_agent_is_held_and_ended(world: &World) {
    let bot = world.bot().await;
    let design = asking(&json!([{"type": "Agent", "id": "talk", "bot": bot, "role": "respondent",
        "until": "participant_done", "prompt": "What happened?"}]));
    let id = open(world, &design).await;
    let mut browser = Browser::new(world);
    let page = browser.start(&id).await;
    assert!(page.contains("What happened?") && page.contains("value=\"done\""), "{page}");
    let empty = browser.answer(&id, &[("step", "talk"), ("action", "say"), ("text", " ")]).await.expect(422).text();
    assert!(empty.contains("<a href=\"#text\">Write something.</a>") && empty.contains("id=\"text\""), "{empty}");
    let _ = browser
        .answer(&id, &[("step", "talk"), ("action", "say"), ("text", "The parcel\r\nis lost")])
        .await
        .expect(303);
    let page = browser.asked(&id).await;
    assert_eq!(page.matches("The parcel\nis lost").count(), 2, "said, and echoed by the bot: {page}");
    let _ = browser.answer(&id, &[("step", "talk"), ("action", "done")]).await.expect(303);
    assert_eq!(heading(&browser.asked(&id).await), "That was all");
    assert_eq!(run_of(world, &browser).await["status"], "completed");
}

async fn a_form_of_several_fields_is_answered_at_once(world: &World) {
    let design = asking(&json!([{"type": "Workflow", "id": "about", "ui": "form", "title": "About you", "children": [
        {"type": "Message", "id": "hint", "text": "Only a few more."},
        {"type": "Input", "id": "name", "prompt": "Your name?"},
        {"type": "Input", "id": "step", "prompt": "A field that is called as ours are?", "required": false},
        {"type": "Input", "id": "likes", "prompt": "What do you like?", "input_type": "multiselect",
            "options": [{"value": "a", "label": "A"}, {"value": "b", "label": "B"}]},
        {"type": "Input", "id": "when", "prompt": "Since when?", "input_type": "date", "required": false},
    ]}]));
    let id = open(world, &design).await;
    let mut browser = Browser::new(world);
    let page = browser.start(&id).await;
    assert!(heading(&page) == "About you" && page.contains("Only a few more."), "{page}");
    let sent = [("step", "about"), ("f-name", "Ada"), ("f-step", "mine"), ("f-when", "soon")];
    let page = browser.answer(&id, &sent).await.expect(422).text();
    for part in [
        "<a href=\"#f-likes\">What do you like? – This needs an answer.</a>",
        "<a href=\"#f-when\">Since when? – Enter a date as YYYY-MM-DD.</a>",
        "value=\"Ada\"",
        "value=\"mine\"",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let sent =
        [("step", "about"), ("f-name", "Ada"), ("f-step", "mine"), ("f-likes", "b"), ("f-likes", "a"), ("f-when", "")];
    let _ = browser.answer(&id, &sent).await.expect(303);
    let run = run_of(world, &browser).await;
    let results = &run["state"]["results"];
    assert_eq!((&results["name"], &results["step"]), (&json!("Ada"), &json!("mine")), "{run}");
    assert_eq!((&results["likes"], &results["when"]), (&json!(["b", "a"]), &json!(null)), "{run}");
}

async fn a_page_is_for_nobody_s_frame_and_nobody_s_cache(world: &World) {
    let id = open(world, &survey()).await;
    let mut browser = Browser::new(world);
    let first = browser.get(&format!("/s/{id}")).await;
    let _ = browser.start(&id).await;
    let asked = browser.get(&format!("/s/{id}/run")).await;
    let absent = browser.get("/s/nothing").await;
    for page in [&first, &asked, &absent] {
        let policy = page.header("content-security-policy");
        for rule in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"] {
            assert!(policy.contains(rule), "{policy}: {} {}", page.status, page.text());
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!((page.header("cache-control"), page.header("x-content-type-options")), ("no-store", "nosniff"));
        // `no-referrer` would make browsers post the forms with `Origin: null`.
        assert_eq!(page.header("referrer-policy"), "same-origin");
        assert_eq!(page.header("access-control-allow-origin"), "");
        assert!(page.text().contains("<html lang=\"en\">"));
    }
    for file in ["/s/survey.css", "/s/survey.js"] {
        let got = browser.get(file).await.expect(200);
        assert_eq!(got.header("cache-control"), "public, max-age=300", "{file}");
        let tag = got.header("etag");
        let kept = browser.request("GET", file).header("if-none-match", tag).send().await.expect(304);
        assert!(kept.body.is_empty() && !got.body.is_empty() && tag.len() == 18, "{file}: {tag}");
    }
}

async fn over_https_the_cookie_is_for_https_alone(backend: Backend) {
    const PUBLIC: &str = "https://survey.example";
    let world = World::with(backend, Options { public_url: Some(PUBLIC.to_owned()), ..Options::default() }).await;
    let id = open(&world, &survey()).await;
    let mut browser = Browser { origin: PUBLIC.to_owned(), ..Browser::new(&world) };
    let line = browser.post(&format!("/s/{id}"), &[]).await.expect(303).header("set-cookie").to_owned();
    assert!(line.starts_with("__Secure-chatelaine-survey=ey") && line.ends_with("; Secure"), "{line}");
    let _ = browser.asked(&id).await;
    world.end().await;
}

async fn starts_are_counted_as_those_of_the_api(world: &World) {
    let id = deploy(world, &survey(), json!({"survey_mode": true, "daily_runs": 1})).await;
    let _ = world.anonymous().post(&format!("/api/public/surveys/{id}/start"), &json!({})).await.expect(200);
    let mut browser = Browser::new(world);
    let refused = browser.post(&format!("/s/{id}"), &[]).await.expect(429);
    assert_eq!(heading(&refused.text()), "Please come back later");
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 0 && browser.cookie.is_none());
}
