use std::{
    pin::Pin,
    task::{Context, Poll},
};

use ambient::{DeploymentId, Millis, RunId, Ulid};
use store::{
    EffectRecord, NewEffect, NewRun, NewRunEvent, PageRequest, RunEventRecord, RunFilter, RunRange, RunRecord,
    StoreError, TurnRecord, Workspace,
};

use crate::databases::{FIRST, START, World, by, deploy, deployed, new_workflow, on_each, started};

fn event(seq: u64) -> NewRunEvent {
    NewRunEvent {
        seq,
        kind: "step.opened".to_owned(),
        roles: Some(vec!["customer".to_owned()]),
        data: format!("{{\"n\":{seq}}}"),
        at: START.plus(seq.cast_signed()),
    }
}

fn effect(id: &str, due_at: Millis) -> NewEffect {
    NewEffect { id: id.to_owned(), kind: "ask_bot".to_owned(), payload: format!("[\"{id}\"]"), due_at }
}

/// Closes `begin`, opens `ask#1`, and tells two events.
fn turn(first_seq: u64) -> TurnRecord {
    TurnRecord {
        status: "waiting".to_owned(),
        state: format!("{{\"at\":{first_seq}}}"),
        current_step: Some("ask".to_owned()),
        events: vec![event(first_seq), event(first_seq + 1)],
        effects: vec![effect(&format!("ask#{first_seq}"), START)],
        resolved: vec!["begin".to_owned()],
    }
}

async fn begun(world: &World) -> (Workspace, DeploymentId, RunRecord) {
    let (live, _, deployment) = deployed(world, "ours").await;
    let run = started(&live, deployment).await;
    (live, deployment, run)
}

async fn ids(tenant: &Workspace, run: RunId) -> Vec<String> {
    tenant.effects_of(run).await.unwrap().into_iter().map(|effect| effect.id).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "a call reads as a sentence")]
fn refused(with: &'static str, result: Result<RunRecord, StoreError>) {
    assert!(matches!(result, Err(StoreError::Conflict(what)) if what == with), "{with}: {result:?}");
}

#[tokio::test]
async fn a_run_comes_back_as_it_was_started_and_as_its_turn_left_it() {
    on_each(async |world| {
        let (live, deployment, run) = begun(world).await;
        assert_eq!((run.deployment, run.status.as_str(), run.version, run.seq), (deployment, "pending", 0, 0));
        assert_eq!(format!("{:?}", live.run(run.id).await.unwrap()), format!("{run:?}"));
        let begin = EffectRecord {
            id: "begin".to_owned(),
            kind: "begin".to_owned(),
            payload: "{}".to_owned(),
            due_at: START,
            attempts: 0,
            created_at: START,
        };
        assert_eq!(live.effects_of(run.id).await.unwrap(), [begin]);

        let now = world.advance(5);
        let saved = live.save_turn(run.id, 0, turn(1)).await.unwrap();
        assert_eq!(
            (saved.status.as_str(), saved.state.as_str(), saved.input.as_str()),
            ("waiting", "{\"at\":1}", "{\"a\":1}")
        );
        assert_eq!((saved.current_step.as_deref(), saved.version, saved.seq), (Some("ask"), 1, 2));
        assert_eq!((saved.created_at, saved.updated_at, saved.finished_at), (START, now, None));
        assert_eq!(format!("{:?}", live.run(run.id).await.unwrap()), format!("{saved:?}"));
        let [first, second] = [1, 2].map(|seq| {
            let NewRunEvent { seq, kind, roles, data, at } = event(seq);
            RunEventRecord { seq, kind, roles, data, at }
        });
        assert_eq!(live.run_events(run.id, 0, 10).await.unwrap(), [first, second]);
        assert_eq!(ids(&live, run.id).await, ["ask#1"], "what was asked for is there, what is done is not");
        assert_eq!(live.effects_of(run.id).await.unwrap()[0].created_at, now);
    })
    .await;
}

#[tokio::test]
async fn events_are_read_on_from_a_number_and_keep_who_may_see_them() {
    on_each(async |world| {
        let (live, _, run) = begun(world).await;
        let mut all = turn(1);
        all.events = (1..=5).map(event).collect();
        all.events[1].roles = None;
        all.events[2].roles = Some(Vec::new());
        live.save_turn(run.id, 0, all).await.unwrap();
        let read = async |after, limit| -> Vec<u64> {
            live.run_events(run.id, after, limit).await.unwrap().into_iter().map(|event| event.seq).collect()
        };
        assert_eq!(read(0, 2).await, [1, 2]);
        assert_eq!(read(2, 2).await, [3, 4]);
        assert_eq!(read(4, 2).await, [5]);
        assert!(read(5, 2).await.is_empty() && read(u64::MAX, 2).await.is_empty());
        let roles: Vec<_> = live.run_events(run.id, 0, 3).await.unwrap().into_iter().map(|event| event.roles).collect();
        assert_eq!(roles, [Some(vec!["customer".to_owned()]), None, Some(Vec::new())], "all is not nobody");
    })
    .await;
}

#[tokio::test]
async fn of_two_turns_at_once_one_is_written() {
    on_each(async |world| {
        let (live, _, run) = begun(world).await;
        for version in 0..10 {
            let next = || turn(version * 2 + 1);
            let (a, b) = tokio::join!(live.save_turn(run.id, version, next()), live.save_turn(run.id, version, next()));
            let (won, lost) = if a.is_ok() { (a, b) } else { (b, a) };
            assert_eq!(won.unwrap().version, version + 1);
            refused("version", lost);
        }
        let seqs: Vec<_> = live.run_events(run.id, 0, 100).await.unwrap().into_iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (1..=20).collect::<Vec<_>>());
        refused("version", live.save_turn(run.id, 11, turn(21)).await);
    })
    .await;
}

#[tokio::test]
async fn a_turn_that_cannot_be_written_whole_is_not_written() {
    on_each(async |world| {
        let (live, _, run) = begun(world).await;
        let with = |events: Vec<u64>, effects: &[&str]| TurnRecord {
            events: events.into_iter().map(event).collect(),
            effects: effects.iter().map(|id| effect(id, START)).collect(),
            resolved: Vec::new(),
            ..turn(1)
        };
        for gap in [vec![2], vec![0], vec![1, 3], vec![1, 1], vec![2, 1], vec![1, 2, 4], vec![2, 3]] {
            refused("seq", live.save_turn(run.id, 0, with(gap, &[])).await);
        }
        refused("effect", live.save_turn(run.id, 0, with(vec![1], &["a#1", "begin"])).await);
        refused("effect", live.save_turn(run.id, 0, with(vec![1], &["a#1", "a#1"])).await);
        assert_eq!(format!("{:?}", live.run(run.id).await.unwrap()), format!("{run:?}"));
        assert!(live.run_events(run.id, 0, 10).await.unwrap().is_empty());
        assert_eq!(ids(&live, run.id).await, ["begin"]);
        live.save_turn(run.id, 0, with(vec![1], &["a#1"])).await.unwrap();
        refused("seq", live.save_turn(run.id, 1, with(vec![1], &[])).await);
    })
    .await;
}

/// Lets go of a future after it was polled a number of times.
struct CutAfter<F> {
    inner: Pin<Box<F>>,
    polls: u32,
}

impl<F: Future> Future for CutAfter<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(left) = self.polls.checked_sub(1) else { return Poll::Ready(None) };
        self.polls = left;
        self.inner.as_mut().poll(context).map(Some)
    }
}

#[tokio::test]
async fn a_turn_that_is_cut_at_any_point_is_written_whole_or_not_at_all() {
    on_each(async |world| {
        let (live, _, deployment) = deployed(world, "ours").await;
        let mut outcomes = [0; 3];
        for polls in 1..=40 {
            let run = started(&live, deployment).await;
            let cut = CutAfter { inner: Box::pin(live.save_turn(run.id, 0, turn(1))), polls };
            let done = cut.await.map(Result::unwrap);
            // A commit may still be on its way: whoever wants this row waits for it.
            let _ = live.postpone_effect(run.id, "begin", START, 0).await;
            let (read, events) = (live.run(run.id).await.unwrap(), live.run_events(run.id, 0, 10).await.unwrap());
            let (version, effects) = (read.version, ids(&live, run.id).await);
            let whole = version == 1 && read.seq == 2 && events.len() == 2 && effects == ["ask#1"];
            let nothing = version == 0 && read.state == "{}" && events.is_empty() && effects == ["begin"];
            assert!(whole || nothing && done.is_none(), "after {polls}: {read:?} {events:?} {effects:?}");
            outcomes[usize::from(whole) + usize::from(done.is_some())] += 1;
            live.save_turn(run.id, version, turn(version * 2 + 1)).await.unwrap();
        }
        println!("nothing, whole and not told, told: {outcomes:?}");
        assert!(outcomes[0] > 0 && outcomes[2] > 0, "{outcomes:?}");
    })
    .await;
}

#[tokio::test]
async fn a_run_that_is_over_has_no_more_turns_and_nothing_to_do() {
    on_each(async |world| {
        let (live, _, deployment) = deployed(world, "ours").await;
        for status in ["completed", "failed", "cancelled"] {
            let run = started(&live, deployment).await;
            live.save_turn(run.id, 0, turn(1)).await.unwrap();
            let now = world.advance(5);
            let last = TurnRecord {
                status: status.to_owned(),
                current_step: None,
                events: vec![event(3)],
                effects: Vec::new(),
                resolved: Vec::new(),
                ..turn(1)
            };
            let over = live.save_turn(run.id, 1, last).await.unwrap();
            assert_eq!((over.finished_at, over.current_step, over.version, over.seq), (Some(now), None, 2, 3));
            assert_eq!(live.run(run.id).await.unwrap().finished_at, Some(now));
            assert!(ids(&live, run.id).await.is_empty(), "what was not resolved is forgotten");
            refused("version", live.save_turn(run.id, 2, turn(4)).await);
            assert_eq!(live.run(run.id).await.unwrap().seq, 3);
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_due_of_every_tenant_comes_the_earliest_first() {
    on_each(async |world| {
        let (ours, _, a) = deployed(world, "ours").await;
        let test = world.tenant("theirs").await.1;
        let workflow = test.create_workflow(new_workflow("w"), by("create_workflow")).await.unwrap().id;
        let b = deploy(&test, workflow, 2).await.id;
        let start = async |tenant: &Workspace, deployment, due: i64| {
            let new = NewRun { deployment, origin: "api".to_owned(), input: String::new(), state: String::new() };
            tenant.create_run(new, vec![effect(&format!("e{due}"), START.plus(due))]).await.unwrap().id
        };
        let late = start(&ours, a, 30).await;
        let early = start(&test, b, 10).await;
        start(&ours, a, 20).await;
        let due = async |now: i64, limit| -> Vec<String> {
            let due = world.store.due_effects(START.plus(now), limit).await.unwrap();
            due.into_iter().map(|(_, _, effect)| effect.id).collect()
        };
        assert!(due(9, 10).await.is_empty(), "not before its time");
        assert_eq!(due(10, 10).await, ["e10"], "and not after it");
        assert_eq!(due(30, 10).await, ["e10", "e20", "e30"]);
        assert_eq!(due(30, 2).await, ["e10", "e20"]);
        let (tenant, run, first) = world.store.due_effects(START.plus(10), 1).await.unwrap().remove(0);
        assert_eq!((tenant.workspace, tenant.environment), (test.tenant().workspace, test.tenant().environment));
        assert_eq!((run, first.payload.as_str(), first.attempts), (early, "", 0));
        assert_eq!(world.store.next_effect_after(START).await.unwrap(), Some(START.plus(10)));
        assert_eq!(world.store.next_effect_after(START.plus(10)).await.unwrap(), Some(START.plus(20)));
        assert_eq!(world.store.next_effect_after(START.plus(30)).await.unwrap(), None);

        test.postpone_effect(early, "e10", START.plus(40), 3).await.unwrap();
        assert_eq!(due(50, 10).await, ["e20", "e30", "e10"]);
        assert_eq!(test.effects_of(early).await.unwrap()[0].attempts, 3);
        let gone = ours.postpone_effect(late, "e10", START, 1).await;
        assert!(matches!(gone, Err(StoreError::NotFound)), "{gone:?}");
    })
    .await;
}

#[tokio::test]
async fn who_has_much_to_be_done_hides_nobody() {
    on_each(async |world| {
        let (ours, _, a) = deployed(world, "ours").await;
        let theirs = world.tenant("theirs").await.0;
        let workflow = theirs.create_workflow(new_workflow("w"), by("create_workflow")).await.unwrap().id;
        let b = deploy(&theirs, workflow, 2).await.id;
        let named = |id: String, kind: &str, due| NewEffect { kind: kind.to_owned(), ..effect(&id, START.plus(due)) };
        let mut many: Vec<_> = (10..16).map(|n| named(format!("call{n}"), "ask_bot", n)).collect();
        many.extend((20..24).map(|n| named(format!("turn{n}"), "set_timer", n)));
        let one = vec![named("theirs".to_owned(), "call_tool", 30), named("later".to_owned(), "call_tool", 50)];
        for (tenant, deployment, effects) in [(&ours, a, many), (&theirs, b, one)] {
            let new = NewRun { deployment, origin: "api".to_owned(), input: String::new(), state: String::new() };
            tenant.create_run(new, effects).await.unwrap();
        }
        let due = async |of_each, limit| {
            let due = world.store.due_effects_of_each(START.plus(40), of_each, limit).await.unwrap();
            due.into_iter()
                .map(|(tenant, _, effect)| {
                    assert_eq!(tenant == theirs.tenant(), effect.id == "theirs");
                    effect.id
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(due(2, 10).await, ["call10", "turn20", "theirs", "call11", "turn21"]);
        assert_eq!(due(2, 3).await, ["call10", "turn20", "theirs"]);
        assert_eq!(due(100, 100).await.len(), 11);
    })
    .await;
}

#[tokio::test]
async fn a_role_is_bound_once_and_keeps_its_time() {
    on_each(async |world| {
        let (live, _, run) = begun(world).await;
        let (a, b) = tokio::join!(live.bind_participant(run.id, "customer"), live.bind_participant(run.id, "customer"));
        assert_eq!((a.unwrap(), b.unwrap()), (START, START));
        let later = world.advance(5);
        assert_eq!(live.bind_participant(run.id, "customer").await.unwrap(), START, "the first contact counts");
        assert_eq!(live.bind_participant(run.id, "reviewer").await.unwrap(), later);
        let absent = live.bind_participant(RunId(Ulid(7)), "customer").await;
        assert!(matches!(absent, Err(StoreError::NotFound)), "{absent:?}");
    })
    .await;
}

#[tokio::test]
async fn runs_are_listed_without_their_states_and_results_come_whole() {
    on_each(async |world| {
        let (live, workflow, deployment) = deployed(world, "ours").await;
        let other = deploy(&live, workflow, 2).await.id;
        let mut runs = Vec::new();
        for deployment in [deployment, other, deployment, deployment] {
            world.advance(1);
            runs.push(started(&live, deployment).await.id);
        }
        let over = TurnRecord { status: "completed".to_owned(), ..turn(1) };
        live.save_turn(runs[2], 0, over).await.unwrap();
        let page = live.runs(PageRequest { page: 1, per_page: 2 }, None).await.unwrap();
        let listed: Vec<_> = page.rows.iter().map(|run| (run.id, run.status.as_str())).collect();
        assert_eq!((listed, page.total), (vec![(runs[3], "pending"), (runs[2], "completed")], 4));
        assert!(page.rows.iter().all(|run| run.state.is_empty() && run.input.is_empty()));
        let page = live.runs(FIRST, Some(other)).await.unwrap();
        assert_eq!((page.rows[0].id, page.rows.len(), page.total), (runs[1], 1, 1));
        let filtered = async |deployment, status| -> (Vec<RunId>, u64) {
            let page = live.runs(FIRST, RunFilter { deployment, status: Some(status) }).await.unwrap();
            (page.rows.into_iter().map(|run| run.id).collect(), page.total)
        };
        assert_eq!(filtered(None, "pending").await, (vec![runs[3], runs[1], runs[0]], 3));
        assert_eq!(filtered(Some(deployment), "pending").await, (vec![runs[3], runs[0]], 2));
        assert_eq!(filtered(Some(other), "completed").await, (vec![], 0));

        let range =
            |after, last, status: Option<&str>| RunRange { deployment, after, last, status: status.map(str::to_owned) };
        let (first, end) = (RunId(Ulid(0)), RunId(Ulid(u128::MAX)));
        let results = async |range, limit| -> Vec<(RunId, String)> {
            let rows = live.run_results(&range, limit).await.unwrap();
            assert!(rows.iter().all(|run| run.input.is_empty()));
            rows.into_iter().map(|run| (run.id, run.state)).collect()
        };
        let expected = [(runs[0], "{}"), (runs[2], "{\"at\":1}"), (runs[3], "{}")];
        let expected = expected.map(|(run, state)| (run, state.to_owned()));
        assert_eq!(results(range(first, end, None), 10).await, expected);
        assert_eq!(results(range(first, end, None), 2).await, expected[..2]);
        assert_eq!(results(range(runs[2], end, None), 10).await, expected[2..], "behind the one that is named");
        assert_eq!(results(range(first, runs[2], None), 10).await, expected[..2], "up to the one that is named");
        assert_eq!(results(range(first, end, Some("completed")), 10).await, expected[1..2]);
        let newest = async |limit, offset| -> Vec<RunId> {
            let rows = live.newest_run_results(&range(first, end, None), limit, offset).await.unwrap();
            rows.into_iter().map(|run| run.id).collect()
        };
        assert_eq!((newest(2, 0).await, newest(2, 2).await), (vec![runs[3], runs[2]], vec![runs[0]]));
        let done = live.newest_run_results(&range(first, end, Some("completed")), 9, 0).await.unwrap();
        assert_eq!(done.iter().map(|run| run.id).collect::<Vec<_>>(), [runs[2]]);
        let all = [(runs[0], 2), (runs[2], 8), (runs[3], 2)];
        let sizes = async |range, limit| live.run_result_sizes(&range, limit).await.unwrap();
        assert_eq!(sizes(range(first, end, None), 10).await, all);
        assert_eq!(sizes(range(runs[0], runs[2], None), 10).await, all[1..2]);
        assert_eq!(sizes(range(first, end, Some("pending")), 1).await, all[..1]);
        let sizes = live.newest_run_result_sizes(&range(first, end, None), 2, 1).await.unwrap();
        assert_eq!(sizes, [all[1], all[0]]);
        let count = async |range| live.run_result_count(&range).await.unwrap();
        assert_eq!((count(range(first, end, None)).await, count(range(runs[0], runs[2], None)).await), (3, 1));
        assert_eq!(count(range(first, end, Some("pending"))).await, 2);
        assert_eq!(live.open_runs(deployment, None, 10).await.unwrap(), [runs[0], runs[3]]);
        assert_eq!(live.open_runs(deployment, None, 1).await.unwrap(), [runs[0]]);
        assert_eq!(live.open_runs(deployment, Some(runs[0]), 10).await.unwrap(), [runs[3]]);
    })
    .await;
}

#[tokio::test]
async fn the_answers_of_a_run_are_its_answered_events_alone() {
    on_each(async |world| {
        let (live, _, run) = begun(world).await;
        let answered = |seq| NewRunEvent { kind: "step.answered".to_owned(), ..event(seq) };
        let events = vec![event(1), answered(2), event(3), answered(4)];
        live.save_turn(run.id, 0, TurnRecord { events, ..turn(1) }).await.unwrap();
        let (first, second) = ((2, "{\"n\":2}".to_owned()), (4, "{\"n\":4}".to_owned()));
        assert_eq!(live.run_answers(run.id, 0, 10).await.unwrap(), [first.clone(), second.clone()]);
        assert_eq!(live.run_answers(run.id, 0, 1).await.unwrap(), [first]);
        assert_eq!(live.run_answers(run.id, 2, 10).await.unwrap(), [second], "behind the one that is named");
        let (stranger, _) = world.tenant("theirs").await;
        assert!(stranger.run_answers(run.id, 0, 10).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn no_run_begins_once_its_deployment_is_revoked() {
    on_each(async |world| {
        let (live, workflow, deployment) = deployed(world, "ours").await;
        live.revoke_deployment(deployment, START, by("revoke_deployment")).await.unwrap();
        let new = |deployment| NewRun {
            deployment,
            origin: "api".to_owned(),
            input: "{}".to_owned(),
            state: "{}".to_owned(),
        };
        refused("revoked", live.create_run(new(deployment), Vec::new()).await);
        let absent = live.create_run(new(DeploymentId(Ulid(7))), Vec::new()).await;
        assert!(matches!(absent, Err(StoreError::NotFound)), "{absent:?}");

        for n in 2..12 {
            let deployment = deploy(&live, workflow, n).await.id;
            let starts: Vec<_> = (0..6)
                .map(|_| {
                    let (live, new) = (live.clone(), new(deployment));
                    tokio::spawn(async move { live.create_run(new, Vec::new()).await })
                })
                .collect();
            live.revoke_deployment(deployment, START, by("revoke_deployment")).await.unwrap();
            let seen = live.open_runs(deployment, None, 100).await.unwrap().len();
            let mut begun = 0;
            for start in starts {
                begun += usize::from(start.await.unwrap().is_ok());
            }
            assert_eq!(seen, begun, "who revokes sees every run that there will ever be");
        }
    })
    .await;
}
