//! Participant tokens, deployment keys, public starts and triggers at the gate.

use access::{Access, Limit, Scope, Tenant};
use ambient::{DeploymentId, KeyId, Millis, RunId, SeededRandom, Ulid};
use credential::{
    key::{Environment, mint_trigger},
    token::ParticipantClaims,
};
use gate::{Bare, Nothing, Operation, Problem, Raw, Routes};
use serde_json::json;

use crate::world::{Answer, OWN, Reached, Told, World, told};

const VIEW: Operation<Nothing, Bare<Told>> =
    Operation::get("/api/participant/run", "view_run", "Views.", Access::closed(Limit::Participant).participant());
const RUN: Operation<Nothing, Bare<Told>> =
    Operation::post("/api/v1/runs", "create_run", "Runs.", Access::closed(Limit::Write).deployment()).accepts();
const START: Operation<Nothing, Bare<Told>> = Operation::post(
    "/api/public/surveys/{id}/start",
    "start_survey",
    "Starts.",
    Access::closed(Limit::PublicStart).public().open_to_pages(),
);
const TRIGGER: Operation<Nothing, Bare<Told>> =
    Operation::post("/api/webhooks/{token}", "trigger", "Triggers.", Access::closed(Limit::Trigger).public());
const BOTS: Operation<Nothing, Bare<Told>> =
    Operation::get("/v1/bots", "list_bots", "Lists.", Access::closed(Limit::Read).key(Scope::BotsRead));
const FORM: Operation<Vec<(String, String)>, Raw> =
    Operation::post("/s/{id}/run", "answer_page", "Answers.", Access::closed(Limit::PublicStart).public())
        .form()
        .page(|problem, _| Raw::new("text/html", format!("<h1>{}</h1>", problem.status().as_u16())));

pub(crate) fn mount(routes: &mut Routes<Reached>, tenant: Tenant) {
    routes.mount(VIEW, move |_, call| std::future::ready(Ok(told(&call, tenant))));
    routes.mount(RUN, move |_, call| std::future::ready(Ok(told(&call, tenant))));
    routes.mount(START, move |_, call| std::future::ready(Ok(told(&call, tenant))));
    routes.mount(BOTS, move |_, call| std::future::ready(Ok(told(&call, tenant))));
    routes.mount(TRIGGER, move |_, call| {
        let told = match call.request.param("token") {
            Some(token) if token == trigger(0) => Ok(told(&call, tenant)),
            Some("off") => Err(Problem::not_found()),
            _ => call.request.door().charge_failure().and(Err(Problem::not_found())),
        };
        std::future::ready(told)
    });
    routes.mount(FORM, |_, call| async move {
        let token = call.request.cookie("run").unwrap_or_default().to_owned();
        let caller = call.request.door().authenticate_participant(&token).await?;
        let (name, value) = call.input.first().cloned().unwrap_or_default();
        Ok(Raw::see_other(&format!("/s/{}?{name}={value}", caller.role)))
    });
}

/// A well-formed token of a trigger.
fn trigger(seed: u64) -> String {
    mint_trigger(&SeededRandom::new(seed)).unwrap().expose().to_owned()
}

impl World {
    /// What a token of this world's deployment says.
    pub(crate) fn claims(&self, run: u128, role: &str) -> ParticipantClaims {
        let now = Millis::from_seconds(ambient::Clock::now(&*self.clock).seconds());
        ParticipantClaims {
            run: RunId(Ulid(run)),
            role: role.to_owned(),
            deployment: DeploymentId(self.deployment.0.0),
            workspace: self.tenant.workspace,
            environment: self.tenant.environment,
            key: self.deployment.0,
            epoch: 0,
            issued_at: now,
            expires_at: now.plus(3_600_000),
        }
    }

    pub(crate) fn participant(&self, run: u128, role: &str) -> String {
        self.tokens.sign_participant(&self.claims(run, role)).unwrap()
    }

    async fn by(&self, method: &str, path: &str, credential: &str) -> Answer {
        self.send(method, path, &[("authorization", &format!("Bearer {credential}"))], "").await
    }
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn a_participant_token_opens_what_names_participants_and_nothing_else() {
    let world = World::new(|_| None).await;
    let token = world.participant(5, "customer");
    let told = world.by("GET", "/api/participant/run", &token).await.json();
    assert_eq!(
        (&told["who"], &told["ours"]),
        (&json!(format!("participant:{}/customer", RunId(Ulid(5)))), &json!(true))
    );
    let elsewhere = [("GET", "/v1/me"), ("GET", "/v1/bots"), ("POST", "/api/v1/runs"), ("POST", "/v1/chat/sessions")];
    for (method, path) in elsewhere {
        let answer = world.by(method, path, &token).await;
        assert_eq!(code(&answer), refused(403, "WRONG_CREDENTIAL"), "{path}");
    }
    for wrong in [&world.secret, &world.deployment.1] {
        assert_eq!(code(&world.by("GET", "/api/participant/run", wrong).await), refused(403, "WRONG_CREDENTIAL"));
    }
    assert_eq!(code(&world.send("GET", "/api/participant/run", &[], "").await), refused(401, "MISSING_CREDENTIAL"));
}

#[tokio::test]
async fn a_token_that_does_not_fit_its_deployment_s_key_proves_nothing() {
    let world = World::new(|_| None).await;
    let good = world.claims(5, "customer");
    let (secret, unknown) = (world.cluster.key_by_id(world.widget.0).unwrap().id(), KeyId(Ulid(77)));
    let forged = [
        ParticipantClaims { deployment: DeploymentId(Ulid(9)), ..good.clone() },
        ParticipantClaims { key: secret, deployment: DeploymentId(secret.0), ..good.clone() },
        ParticipantClaims { key: unknown, deployment: DeploymentId(unknown.0), ..good.clone() },
        ParticipantClaims { epoch: 1, ..good.clone() },
        ParticipantClaims { environment: Environment::Test, ..good.clone() },
        ParticipantClaims { workspace: ambient::WorkspaceId(Ulid(1)), ..good.clone() },
    ];
    for claims in forged {
        let token = world.tokens.sign_participant(&claims).unwrap();
        let answer = world.by("GET", "/api/participant/run", &token).await;
        assert_eq!(code(&answer), refused(401, "INVALID_TOKEN"), "{claims:?}");
    }
    let token = world.tokens.sign_participant(&good).unwrap();
    assert_eq!(world.by("GET", "/api/participant/run", &token).await.status, 200);
    world.revoke(world.deployment.0).await;
    assert_eq!(code(&world.by("GET", "/api/participant/run", &token).await), refused(401, "INVALID_TOKEN"));
}

#[tokio::test]
async fn a_token_works_until_its_last_second_and_then_says_that_it_expired() {
    let world = World::new(|_| None).await;
    let token = world.participant(5, "customer");
    world.clock.advance(std::time::Duration::from_secs(3599));
    assert_eq!(world.by("GET", "/api/participant/run", &token).await.status, 200);
    world.clock.advance(std::time::Duration::from_secs(7));
    let answer = world.by("GET", "/api/participant/run", &token).await;
    assert_eq!(code(&answer), refused(401, "TOKEN_EXPIRED"));
}

#[tokio::test]
async fn a_participant_has_a_budget_for_each_run_and_role() {
    let world = World::new(|_| None).await;
    let view = async |token: &str| world.by("GET", "/api/participant/run", token).await;
    let (customer, reviewer) = (world.participant(5, "customer"), world.participant(5, "reviewer"));
    for _ in 0..60 {
        assert_eq!(view(&customer).await.status, 200);
    }
    let over = view(&customer).await;
    assert_eq!((over.status, over.header("ratelimit-policy")), (429, "\"participant\";q=60;w=60"));
    assert_eq!(view(&reviewer).await.status, 200);
    assert_eq!(view(&world.participant(6, "customer")).await.status, 200);
}

#[tokio::test]
async fn a_deployment_key_opens_runs_and_is_reported_in_a_browser() {
    let world = World::new(|_| None).await;
    let key = &world.deployment.1;
    assert_eq!(world.by("POST", "/api/v1/runs", key).await.status, 202);
    assert_eq!(code(&world.by("GET", "/v1/bots", key).await), refused(403, "WRONG_CREDENTIAL"));
    assert_eq!(code(&world.by("POST", "/api/v1/runs", &world.secret).await), refused(403, "WRONG_CREDENTIAL"));
    let bearer = format!("Bearer {key}");
    let page = [("authorization", bearer.as_str()), ("origin", "https://customer.example")];
    let answer = world.send("POST", "/api/v1/runs", &page, "").await;
    assert_eq!(code(&answer), refused(403, "SECRET_KEY_IN_BROWSER"));
    tokio::time::timeout(std::time::Duration::from_secs(5), async {
        while world.exposures().await == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn every_page_may_start_a_public_survey_ten_times_a_minute() {
    let world = World::new(|_| None).await;
    let start = async |headers: &[(&str, &str)]| world.send("POST", "/api/public/surveys/x/start", headers, "").await;
    let page = ("origin", "https://any.example");
    assert_eq!(start(&[page]).await.header("access-control-allow-origin"), "*");
    let preflight = world.send("OPTIONS", "/api/public/surveys/x/start", &[page], "").await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, "*"));
    for _ in 0..9 {
        assert_eq!(start(&[page]).await.status, 200);
    }
    let over = start(&[page]).await;
    assert_eq!((over.status, over.header("ratelimit-policy")), (429, "\"public-starts\";q=10;w=60"));
    assert_eq!(over.header("access-control-allow-origin"), "*", "the page reads that it must wait");
    let with_key = format!("Bearer {}", world.secret);
    assert_eq!(start(&[("authorization", &with_key)]).await.status, 429, "a credential starts no more");
    world.wait_a_minute();
    assert_eq!(start(&[page]).await.status, 200);
}

#[tokio::test]
async fn a_trigger_has_its_own_budget_and_a_made_up_one_stops_no_other() {
    let world = World::new(|_| None).await;
    let send = async |token: &str| world.send("POST", &format!("/api/webhooks/{token}"), &[], "").await.status;
    for _ in 0..59 {
        assert_eq!(send(&trigger(0)).await, 200);
    }
    assert_eq!(send("off").await, 404, "is not charged by itself");
    // This world allows 1000 failures.
    for guess in 0..1000 {
        assert_eq!(send(&format!("guess{guess}")).await, 404);
    }
    assert_eq!(send("off").await, 429, "what is no token is not looked at then");
    assert_eq!(send(&trigger(1)).await, 429);
    assert_eq!(send(&trigger(0)).await, 200, "a right one is, whoever else guesses there");
    assert_eq!(send(&trigger(0)).await, 429);
}

#[tokio::test]
async fn a_form_of_our_page_arrives_with_its_cookie_and_of_another_page_not_at_all() {
    let world = World::new(|_| None).await;
    let cookie = format!("a=b; run={}", world.participant(5, "customer"));
    let form = ("content-type", "application/x-www-form-urlencoded");
    let post = async |headers: &[(&str, &str)]| world.send("POST", "/s/x/run", headers, "colour=red+car&x=1").await;
    let answer = post(&[form, ("cookie", &cookie), ("origin", OWN)]).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/s/customer?colour=red car"));
    let evil = post(&[form, ("cookie", &cookie), ("origin", "https://evil.example")]).await;
    assert_eq!(code(&evil), refused(403, "ORIGIN_NOT_ALLOWED"));
    let json = post(&[("content-type", "application/json"), ("cookie", &cookie), ("origin", OWN)]).await;
    assert_eq!(code(&json), refused(415, "UNSUPPORTED_MEDIA_TYPE"));
    let twice = post(&[form, ("cookie", &cookie), ("cookie", &cookie), ("origin", OWN)]).await;
    assert_eq!(code(&twice), refused(401, "INVALID_TOKEN"), "which of the two?");
    let not_one = format!("run={}", world.deployment.1);
    assert_eq!(code(&post(&[form, ("cookie", &not_one), ("origin", OWN)]).await), refused(401, "INVALID_TOKEN"));
}

#[tokio::test]
async fn a_refusal_is_a_page_for_who_reads_html_and_the_envelope_for_everybody_else() {
    let world = World::new(|_| None).await;
    let evil = ("origin", "https://evil.example");
    let post = async |accept: &str| world.send("POST", "/s/x/run", &[evil, ("accept", accept)], "").await;
    let page = post("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8").await;
    assert_eq!((page.whole(), page.header("content-type")), ((403, "<h1>403</h1>"), "text/html"));
    assert!(page.header("x-request-id").starts_with("req_") && page.header("cache-control") == "no-store");
    for accept in ["*/*", "application/json", "text/html;q=0"] {
        assert_eq!(code(&post(accept).await), refused(403, "ORIGIN_NOT_ALLOWED"), "{accept}");
    }
    let headers = [("origin", OWN), ("accept", "text/html"), ("content-type", "application/x-www-form-urlencoded")];
    let mut last = None;
    for _ in 0..11 {
        last = Some(world.send("POST", "/s/x/run", &headers, "").await);
    }
    let over = last.unwrap();
    assert_eq!((over.whole(), over.header("ratelimit-policy")), ((429, "<h1>429</h1>"), "\"public-starts\";q=10;w=60"));
    assert!(over.header("retry-after").parse::<u32>().is_ok());
}
