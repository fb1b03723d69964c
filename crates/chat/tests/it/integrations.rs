use chat::{ChatError, HEADER_MASK, Headers, IntegrationUpdate, NewIntegration};
use store::IntegrationRecord;

use crate::world::{World, audit};

const SECRET: &str = "sk-upstream-secret";

async fn create(world: &World, new: NewIntegration) -> Result<IntegrationRecord, ChatError> {
    world.chat.create_integration(world.tenant, world.bot, new, audit()).await
}

async fn update(
    world: &World,
    old: &IntegrationRecord,
    change: IntegrationUpdate,
) -> Result<IntegrationRecord, ChatError> {
    world.chat.update_integration(world.tenant, old.id, change, audit()).await
}

fn field(result: &Result<IntegrationRecord, ChatError>) -> &'static str {
    match result {
        Err(ChatError::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    }
}

async fn sent_authorization(world: &World) -> Option<String> {
    world.ask(&world.session().await, "hi").await;
    world.upstream.take_requests().remove(0).headers.remove("authorization")
}

#[tokio::test]
async fn headers_are_sealed_in_the_database_and_sent_in_clear() {
    let world = World::new().await;
    let made = create(&world, world.openai("words")).await.unwrap();
    assert_eq!(made.header_names, ["authorization"]);
    assert!(!format!("{made:?}").contains(SECRET));
    assert_eq!(sent_authorization(&world).await.unwrap(), format!("Bearer {SECRET}"));
    for file in std::fs::read_dir(world.directory.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()), "the secret is on disk in clear");
    }
}

#[tokio::test]
async fn headers_sealed_for_another_integration_do_not_open() {
    let world = World::new().await;
    let made = create(&world, world.openai("words")).await.unwrap();
    let other = create(&world, NewIntegration { headers: Headers::default(), ..world.openai("words") }).await.unwrap();
    let moved = store::IntegrationChange {
        headers: Some((made.headers_sealed.clone(), made.header_names.clone())),
        ..store::IntegrationChange::default()
    };
    world.store.workspace(world.tenant).update_integration(other.id, moved, audit()).await.unwrap();
    world.store.workspace(world.tenant).delete_integration(made.id, audit()).await.unwrap();
    let events = world.ask(&world.session().await, "hi").await;
    assert!(format!("{:?}", events.last()).contains("Internal"), "{events:?}");
    assert!(world.upstream.take_requests().is_empty(), "nothing was sent");
}

#[tokio::test]
async fn each_field_is_checked() {
    let world = World::new().await;
    let base = || world.openai("m");
    for (new, want) in [
        (NewIntegration { kind: "webhook".to_owned(), ..base() }, "model"),
        (NewIntegration { kind: "webhook".to_owned(), model: None, url: None, ..base() }, "url"),
        (NewIntegration { kind: "telepathy".to_owned(), ..base() }, "kind"),
        (NewIntegration { url: None, ..base() }, "url"),
        (NewIntegration { url: Some("http://10.0.0.5/v1".to_owned()), ..base() }, "url"),
        (NewIntegration { url: Some("https://api.example.com/v1/chat/completions".to_owned()), ..base() }, "url"),
        (NewIntegration { model: None, ..base() }, "model"),
        (NewIntegration { model: Some(" ".to_owned()), ..base() }, "model"),
        (NewIntegration { name: Some("n".repeat(101)), ..base() }, "name"),
        (NewIntegration { timeout_seconds: Some(0), ..base() }, "timeout_seconds"),
        (NewIntegration { timeout_seconds: Some(301), ..base() }, "timeout_seconds"),
        (NewIntegration { weight: Some(1001), ..base() }, "weight"),
        (NewIntegration { headers: [("host", "x")].into_iter().collect(), ..base() }, "headers"),
        (NewIntegration { headers: [("x-a", "a\r\nb")].into_iter().collect(), ..base() }, "headers"),
        (NewIntegration { headers: [("x-a", HEADER_MASK)].into_iter().collect(), ..base() }, "headers"),
        (NewIntegration { kind: "echo".to_owned(), ..base() }, "url"),
    ] {
        assert_eq!(field(&create(&world, new.clone()).await), want, "{new:?}");
    }
    let defaults = create(&world, base()).await.unwrap();
    assert_eq!(
        (defaults.timeout_seconds, defaults.weight, defaults.fallback, &*defaults.name),
        (30, 1, false, "openai")
    );
}

#[tokio::test]
async fn a_change_keeps_what_it_does_not_name() {
    let world = World::new().await;
    let made = create(&world, world.openai("words")).await.unwrap();
    let change = IntegrationUpdate { weight: Some(7), ..IntegrationUpdate::default() };
    let changed = update(&world, &made, change).await.unwrap();
    assert_eq!((changed.weight, changed.url.as_ref(), changed.model.as_deref()), (7, made.url.as_ref(), Some("words")));
    let masked: Headers = [("Authorization", HEADER_MASK), ("X-Team", "blue")].into_iter().collect();
    let change = IntegrationUpdate { headers: Some(masked), ..IntegrationUpdate::default() };
    assert_eq!(update(&world, &made, change).await.unwrap().header_names, ["authorization", "x-team"]);
    assert_eq!(sent_authorization(&world).await.unwrap(), format!("Bearer {SECRET}"));
}

#[tokio::test]
async fn a_new_address_does_not_get_the_old_headers() {
    let world = World::new().await;
    let made = create(&world, world.openai("words")).await.unwrap();
    let elsewhere = || Some(Some("https://attacker.example.com/v1".to_owned()));
    let change = IntegrationUpdate { url: elsewhere(), ..IntegrationUpdate::default() };
    assert_eq!(field(&update(&world, &made, change).await), "headers");
    let masked: Headers = [("authorization", HEADER_MASK)].into_iter().collect();
    let change = IntegrationUpdate { url: elsewhere(), headers: Some(masked), ..IntegrationUpdate::default() };
    assert_eq!(field(&update(&world, &made, change).await), "headers");
    let change = IntegrationUpdate { url: Some(None), ..IntegrationUpdate::default() };
    assert_eq!(field(&update(&world, &made, change).await), "headers", "nor by way of no address");
    let anew: Headers = [("authorization", "other")].into_iter().collect();
    let change = IntegrationUpdate { url: elsewhere(), headers: Some(anew), ..IntegrationUpdate::default() };
    assert!(update(&world, &made, change).await.is_ok());
}

#[tokio::test]
async fn the_same_host_may_move_its_path() {
    let world = World::new().await;
    let made = create(&world, world.openai("words")).await.unwrap();
    let path = Some(Some(format!("{}/beta", world.upstream.url())));
    let moved = update(&world, &made, IntegrationUpdate { url: path, ..IntegrationUpdate::default() }).await.unwrap();
    assert!(moved.url.unwrap().ends_with("/v1/beta"));
    assert_eq!(sent_authorization(&world).await.unwrap(), format!("Bearer {SECRET}"));
}

#[tokio::test]
async fn an_integration_that_becomes_echo_forgets_its_upstream() {
    let world = World::new().await;
    let made = create(&world, world.openai("words")).await.unwrap();
    let change = IntegrationUpdate { kind: Some("echo".to_owned()), ..IntegrationUpdate::default() };
    let echo = update(&world, &made, change).await.unwrap();
    assert!(
        echo.url.is_none() && echo.model.is_none() && echo.headers_sealed.is_none() && echo.header_names.is_empty()
    );
}

#[tokio::test]
async fn an_echo_integration_becomes_a_model() {
    let world = World::new().await;
    let echo = world.store.workspace(world.tenant).integrations(world.bot).await.unwrap().remove(0);
    let change = IntegrationUpdate {
        kind: Some("openai".to_owned()),
        url: Some(Some(world.upstream.url())),
        model: Some(Some("words".to_owned())),
        ..IntegrationUpdate::default()
    };
    update(&world, &echo, change).await.unwrap();
    assert_eq!(sent_authorization(&world).await, None);
}

#[tokio::test]
async fn a_bot_has_twenty_integrations_at_most() {
    let world = World::new().await;
    let echo = || NewIntegration { kind: "echo".to_owned(), ..NewIntegration::default() };
    let there = world.store.workspace(world.tenant).integrations(world.bot).await.unwrap().len();
    let mut made = Vec::new();
    for _ in there..20 {
        made.push(create(&world, echo()).await.unwrap());
    }
    assert!(matches!(create(&world, echo()).await, Err(ChatError::Full(sentence)) if sentence.contains("20")));
    let data = world.store.workspace(world.tenant);
    data.delete_integration(made[0].id, audit()).await.unwrap();
    create(&world, echo()).await.unwrap();
}
