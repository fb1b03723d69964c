use chat::{AskError, Question};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::world::{World, audit};

async fn metered(model: &str, amount: u32) -> World {
    let world = World::with_model(model).await;
    let credits = world.chat.credits();
    let _ = credits.grant(world.tenant, amount, None, audit()).await.unwrap();
    let _ = credits.set_metered(world.tenant, true, audit()).await.unwrap();
    world
}

async fn charged(world: &World) -> (u64, u64) {
    let account = world.store.workspace(world.tenant).credit_account().await.unwrap();
    (account.charged, account.held)
}

fn question() -> Question {
    Question { messages: vec![("user", "Hello there".to_owned())], ..Question::default() }
}

#[tokio::test]
async fn a_question_is_answered_whole_and_paid_for() {
    let world = metered("words", 100).await;
    let cut = CancellationToken::new();
    let (text, usage) = world.chat.ask_bot(world.tenant, world.bot, question(), &cut).await.unwrap();
    assert!(!text.is_empty() && usage.output_tokens > 0, "{text:?} {usage:?}");
    assert_eq!(charged(&world).await, (1, 0));
    let broke = metered("words", 0).await;
    let refused = broke.chat.ask_bot(broke.tenant, broke.bot, question(), &cut).await;
    assert!(matches!(refused, Err(AskError::Failed("no_credits"))), "{refused:?}");
    assert!(broke.upstream.take_requests().is_empty());
}

#[tokio::test]
async fn a_server_that_refuses_a_schema_is_asked_in_words() {
    let world = metered("status-400", 100).await;
    let asked = Question { schema: Some(json!({"type": "object"})), ..question() };
    let refused = world.chat.ask_bot(world.tenant, world.bot, asked, &CancellationToken::new()).await;
    assert!(matches!(refused, Err(AskError::Failed("upstream_refused"))), "{refused:?}");
    let forms = world.upstream.take_requests().into_iter().map(|request| request.body["response_format"].clone());
    let forms = forms.map(|form| form.is_object()).collect::<Vec<_>>();
    assert_eq!(forms, [true, false]);
    world.drain.close();
    world.drain.wait().await;
    assert_eq!(charged(&world).await, (0, 0), "what was refused costs nothing");
}

#[tokio::test]
async fn a_question_that_is_cut_closes_its_call_and_is_paid_for() {
    let world = metered("hang", 100).await;
    let cut = CancellationToken::new();
    let chat = world.chat.clone();
    let asking = chat.ask_bot(world.tenant, world.bot, question(), &cut);
    let cutting = async {
        while world.upstream.connections() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        cut.cancel();
    };
    let (outcome, ()) = tokio::join!(asking, cutting);
    assert!(matches!(outcome, Err(AskError::Failed("cancelled"))), "{outcome:?}");
    world.upstream.wait_for_cancelled(1).await;
    assert_eq!(charged(&world).await, (1, 0), "the model has read the question");
}

#[tokio::test]
async fn the_bot_of_another_workspace_is_not_there() {
    let (world, other) = (World::new().await, World::new().await);
    let asked = world.chat.ask_bot(world.tenant, other.bot, question(), &CancellationToken::new()).await;
    assert!(matches!(asked, Err(AskError::Failed("bot_not_found"))), "{asked:?}");
}
