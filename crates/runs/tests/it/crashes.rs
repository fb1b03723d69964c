//! A node dies at every moment at which it looks at the time, which is before and after each of its commits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use access::Tenant;
use ambient::{Clock, Millis, RunId, SystemClock};
use serde_json::json;
use tokio::{
    runtime::{Builder, Runtime},
    time::{sleep, timeout},
};
use workflow::RunStatus;

use crate::{
    outside::Outside,
    world::{Database, Node, World, count},
};

/// 2026-01-01.
const START: i64 = 1_767_225_600_000;
/// So much faster does time go here.
const HASTE: i64 = 1000;

/// Time, which kills its node, with everything that asks for it afterwards, when it has been asked often enough.
struct Fuse {
    time: SystemClock,
    left: AtomicI64,
}

impl Fuse {
    fn new() -> Arc<Self> {
        Arc::new(Self { time: SystemClock::new(), left: AtomicI64::new(i64::MAX) })
    }

    fn arm(&self, calls: i64) {
        self.left.store(calls, Ordering::SeqCst);
    }

    fn is_blown(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }
}

impl Clock for Fuse {
    fn now(&self) -> Millis {
        assert!(self.left.fetch_sub(1, Ordering::SeqCst) > 0, "the node has died");
        Millis(START + self.time.now().since(Millis(START)).rem_euclid(100_000_000) * HASTE)
    }

    fn elapsed(&self) -> Duration {
        self.time.elapsed()
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn definition(tool: &str) -> String {
    let children = json!([
        {"type": "Input", "id": "q", "prompt": "?"},
        {"type": "Agent", "id": "a", "bot": "bot_example", "prompt": "Sum it up: {{q}}"},
        {"type": "Tool", "id": "t", "method": "POST", "url": tool, "body": {"a": "{{a.text}}"}},
        {"type": "Wait", "id": "z", "seconds": 30},
        {"type": "Agent", "id": "d", "bot": "bot_example", "role": "p", "prompt": "Well?", "until": "participant_done",
            "extract": {"type": "object", "properties": {"summary": {"type": "string"}, "urgency": {"type": "string"}},
                "required": ["summary"]}},
        {"type": "Message", "id": "m", "text": "{{d.summary}}"},
    ]);
    json!({"type": "Workflow", "id": "w", "participants": [{"name": "p"}], "children": children}).to_string()
}

/// A run that nobody has begun.
async fn prepare(url: &str, outside: &Outside) -> (Tenant, RunId) {
    let world = World::new(Node::open(url, Fuse::new()).await, outside.clone()).await;
    world.add_model("good").await;
    let deployment = world.deploy(&definition(&format!("{}/tool", outside.url()))).await;
    world.node.runs.stop();
    let run = world.start(&deployment, json!({})).await;
    world.node.cluster.stop().await;
    world.node.store.close().await;
    (world.tenant, run)
}

/// What a participant and a clock do, as often as it takes.
async fn attend(node: &Node, tenant: Tenant, run: RunId) {
    let record = node.store.workspace(tenant).run(run).await.unwrap();
    let runs = node.runs.clone();
    let step = record.current_step.unwrap_or_default();
    // Whoever asks a node that dies gets no answer, and asks the next one.
    match (record.status.as_str(), step.as_str()) {
        ("waiting", "q") => {
            let _ = runs.answer(tenant, run, "p", "q", json!("words")).await;
        }
        ("waiting", "z") => runs.wake(),
        ("waiting", "d") => {
            let events = node.runs.events(tenant, run, 0, 1000).await.unwrap();
            if count(&events, "participant.said") == 0 {
                let _ = runs.say(tenant, run, "p", "d", "Fine").await;
            } else {
                let _ = runs.done(tenant, run, "p", "d").await;
            }
        }
        _ => {}
    }
}

/// One node's life: whether the run came to its end in it.
fn live(url: &str, (tenant, run): (Tenant, RunId), calls: i64) -> bool {
    let (runtime, fuse) = (runtime(), Fuse::new());
    let is_over = runtime.block_on(async {
        let node = Node::open(url, fuse.clone()).await;
        fuse.arm(calls);
        let living = async {
            while !fuse.is_blown() {
                if node.store.workspace(tenant).run(run).await.unwrap().finished_at.is_some() {
                    return true;
                }
                attend(&node, tenant, run).await;
                sleep(Duration::from_millis(1)).await;
            }
            false
        };
        let is_over = timeout(Duration::from_secs(20), living).await;
        is_over.unwrap_or_else(|_| panic!("the run stands still after {calls}"))
    });
    // With it goes every task, wherever it is.
    runtime.shutdown_timeout(Duration::from_secs(5));
    is_over
}

fn check(url: &str, (tenant, run): (Tenant, RunId)) {
    runtime().block_on(async {
        let node = Node::open(url, Fuse::new()).await;
        let state = node.runs.state(tenant, run).await.unwrap();
        assert_eq!(state.status(), RunStatus::Completed, "{:?}", state.ending());
        let events = node.timeline(tenant, run).await;
        for (kind, times) in [
            ("run.started", 1),
            ("step.opened", 2),
            ("step.answered", 2),
            ("participant.said", 1),
            // The first words of the dialogue, the answers to both, and the extract.
            ("agent.said", 4),
            ("tool.called", 1),
            ("tool.returned", 1),
            ("message.posted", 1),
            ("run.completed", 1),
        ] {
            assert_eq!(count(&events, kind), times, "{kind}: {events:?}");
        }
        assert_eq!(state.usage().replies, 3);
        assert!(node.store.workspace(tenant).effects_of(run).await.unwrap().is_empty());
        node.cluster.stop().await;
        node.store.close().await;
    });
}

/// Dies after every `stride`-th look at the time, until a node lives through it all.
fn die_everywhere(database: impl Fn(&Runtime) -> Database, stride: usize) {
    let outer = runtime();
    let outside = outer.block_on(Outside::start());
    for (deaths, calls) in (1..300).step_by(stride).enumerate() {
        let database = database(&outer);
        let run = outer.block_on(prepare(&database.url, &outside));
        let has_survived = live(&database.url, run, calls);
        // The next one dies as well, a little later.
        let is_over = has_survived || live(&database.url, run, calls + 3) || live(&database.url, run, i64::MAX);
        assert!(is_over, "after {calls}");
        check(&database.url, run);
        outer.block_on(database.remove());
        if has_survived {
            assert!(deaths > 24 / stride, "nothing was tried: {deaths}");
            return;
        }
    }
    panic!("no node lived long enough");
}

#[test]
fn a_node_may_die_anywhere_and_the_next_one_goes_on_on_sqlite() {
    die_everywhere(|_| Database::sqlite(), 1);
}

#[test]
fn a_node_may_die_anywhere_and_the_next_one_goes_on_on_postgresql() {
    die_everywhere(|outer| outer.block_on(Database::postgres()), 4);
}
