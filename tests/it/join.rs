//! Laws 20 and 27 of the contract: the three ways of waiting for a task, and what they tell.

use futures::channel::oneshot;
use quell::{
    CancelHandle, CancelKind, JoinError, JoinForwarding, JoinHandle, spawn, task, yield_now,
};
use quell_tests::{Count, Log, Probe, block_on, finishes, poll_once, quietly, runtime};
use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::thread;

/// A task that waits for ever and counts its drop.
fn sleeper(drops: &Count) -> JoinHandle<()> {
    let guard = drops.on_drop();
    spawn(async move {
        let _guard = guard;
        pending::<()>().await;
    })
}

#[test]
fn a_handle_gives_the_output() {
    block_on(async {
        let task = spawn(async {
            yield_now().await;
            String::from("done")
        });
        assert_eq!(task.await.unwrap(), "done");
    });
}

#[test]
fn waiting_by_reference_loses_nothing() {
    block_on(async {
        let mut task = spawn(async {
            yield_now().await;
            7
        });
        assert!(poll_once(&mut task).is_pending());
        // This wait is dropped; the next one gets the output.
        drop(Box::pin(&mut task));
        assert_eq!((&mut task).await.unwrap(), 7);
    });
}

#[test]
fn the_waker_of_the_last_poll_is_the_one_that_is_woken() {
    block_on(async {
        let (first, second) = (quell_tests::Alarm::new(), quell_tests::Alarm::new());
        let mut task = spawn(yield_now());
        for (_, waker) in [&first, &second] {
            let mut cx = std::task::Context::from_waker(waker);
            assert!(Pin::new(&mut task).poll(&mut cx).is_pending());
        }
        yield_now().await;
        yield_now().await;
        assert_eq!((first.0.wakes(), second.0.wakes()), (0, 1));
        task.await.unwrap();
    });
}

#[test]
fn polling_a_handle_after_the_end_panics_and_says_so() {
    let message = quietly(|| {
        block_on(async {
            let mut task = spawn(async {});
            (&mut task).await.unwrap();
            let panicked = spawn(task).await.unwrap_err();
            let JoinError::Panicked(panic) = panicked else { panic!("no panic") };
            panic.message().unwrap()
        })
    });
    assert!(message.contains("after it had returned"), "{message}");
}

#[test]
fn law_27_dropping_the_handle_detaches() {
    block_on(async {
        let (done, outcome) = oneshot::channel();
        drop(spawn(async move {
            yield_now().await;
            done.send(7).unwrap();
        }));
        assert_eq!(outcome.await, Ok(7));
    });
}

#[test]
fn law_27_the_output_of_a_detached_task_is_dropped_once() {
    block_on(async {
        let drops = Count::new();
        // Dropped before the end.
        let output = drops.on_drop();
        drop(spawn(async move { output }));
        yield_now().await;
        assert_eq!(drops.get(), 1);
        // Dropped after the end.
        let output = drops.on_drop();
        let task = spawn(async move { output });
        yield_now().await;
        assert_eq!(drops.get(), 1);
        drop(task);
        assert_eq!(drops.get(), 2);
        // Taken.
        let output = drops.on_drop();
        let output = spawn(async move { output }).await.unwrap();
        assert_eq!(drops.get(), 2);
        drop(output);
        assert_eq!(drops.get(), 3);
    });
}

#[test]
fn law_27_a_plain_wait_does_not_forward() {
    block_on(async {
        let drops = Count::new();
        let child = sleeper(&drops);
        let scope = child.cancel_handle();
        let waiter = spawn(child);
        yield_now().await;
        waiter.cancel_and_join().await.unwrap_err();
        yield_now().await;
        assert!(!scope.is_requested());
        assert!(!scope.is_finished());
        assert_eq!(drops.get(), 0);
    });
}

#[test]
fn law_27_a_forwarding_wait_gives_the_output() {
    block_on(async {
        let child = spawn(async {
            yield_now().await;
            7
        });
        let scope = child.cancel_handle();
        assert_eq!(child.join_forwarding().await.unwrap(), 7);
        assert!(!scope.is_requested());
    });
}

#[test]
fn law_27_a_forwarding_wait_ends_after_the_child_has() {
    block_on(async {
        let log = Log::new();
        let child = spawn({
            let guard = log.on_drop("child dropped");
            async move {
                let _guard = guard;
                pending::<()>().await;
            }
        });
        let child_scope = child.cancel_handle();
        let parent = spawn({
            let guard = log.on_drop("parent dropped");
            async move {
                let _guard = guard;
                child.join_forwarding().await
            }
        });
        yield_now().await;
        parent.cancel();
        let error = parent.await.unwrap_err();
        log.push("parent's end seen");
        assert_eq!(error.reason().unwrap().kind(), CancelKind::Explicit);
        assert!(child_scope.is_finished());
        let reason = child_scope.reason().unwrap();
        assert_eq!(reason.kind(), CancelKind::Parent);
        assert_eq!(reason.location().file(), file!());
        assert_eq!(log.take(), ["parent dropped", "child dropped", "parent's end seen"]);
    });
}

#[test]
fn law_27_a_forwarding_wait_for_a_child_that_has_ended_forwards_nothing() {
    block_on(async {
        let child = spawn(async { 7 });
        let scope = child.cancel_handle();
        let wait = child.join_forwarding();
        yield_now().await;
        assert!(scope.is_finished());
        drop(wait);
        assert!(!scope.is_requested());
    });
}

#[test]
fn law_27_a_request_is_forwarded_to_a_child_that_was_never_polled() {
    block_on(async {
        let (probe, polls, drops) = Probe::new();
        let parent = spawn(async {
            // Asked first, so that its next turn comes before the child's first.
            task::cancel_handle().unwrap().cancel();
            let _ = spawn(probe).join_forwarding().await;
        });
        assert!(parent.await.unwrap_err().is_cancelled());
        assert_eq!((polls.get(), drops.get()), (0, 1));
    });
}

#[test]
fn law_27_a_request_goes_down_a_chain_and_the_end_comes_up() {
    block_on(async {
        let log = Log::new();
        let scopes = Rc::new(RefCell::new(Vec::new()));
        let [a, b, c] = ["a", "b", "c"].map(|name| log.on_drop(name));
        let end = |task: &JoinHandle<()>| scopes.borrow_mut().push(task.cancel_handle());
        let leaf = spawn(async move {
            let _c = c;
            pending::<()>().await;
        });
        end(&leaf);
        let middle = spawn(async move {
            let _b = b;
            leaf.join_forwarding().await.unwrap();
        });
        end(&middle);
        let top = spawn(async move {
            let _a = a;
            middle.join_forwarding().await.unwrap();
        });
        end(&top);
        yield_now().await;
        top.cancel();
        top.await.unwrap_err();
        assert_eq!(log.take(), ["a", "b", "c"]);
        let kinds: Vec<_> = scopes
            .borrow()
            .iter()
            .map(|scope| (scope.is_finished(), scope.reason().unwrap().kind()))
            .collect();
        assert_eq!(
            kinds,
            [(true, CancelKind::Parent), (true, CancelKind::Parent), (true, CancelKind::Explicit)]
        );
    });
}

/// Ends a chain of forwarding waits, on a stack that is not deep enough for recursion.
fn end_chain(bottom_up: bool) {
    const LINKS: usize = 1500;
    let chain = move || {
        block_on(async {
            let drops = Count::new();
            let mut scopes = Vec::new();
            let mut last = sleeper(&drops);
            for _ in 0..LINKS {
                let guard = drops.on_drop();
                scopes.push(last.cancel_handle());
                last = spawn(async move {
                    let _guard = guard;
                    let _ = last.join_forwarding().await;
                });
            }
            yield_now().await;
            if bottom_up {
                // All but the leaf, so that each link drains before the one above it begins to.
                for scope in &scopes[1..] {
                    scope.cancel();
                }
            }
            last.cancel_and_join().await.unwrap_err();
            assert_eq!(drops.get(), LINKS + 1);
        });
    };
    finishes(move || {
        thread::Builder::new().stack_size(128 << 10).spawn(chain).unwrap().join().unwrap();
    });
}

#[test]
fn law_27_a_long_chain_ends_when_it_is_asked_from_the_top() {
    end_chain(false);
}

#[test]
fn law_27_a_long_chain_ends_when_it_is_asked_from_the_bottom() {
    end_chain(true);
}

#[test]
fn law_27_a_parent_waits_for_all_the_children_it_forwarded_to() {
    block_on(async {
        let drops = Count::new();
        let scopes = Rc::new(RefCell::new(Vec::<CancelHandle>::new()));
        let parent = spawn({
            let (drops, scopes) = (drops.clone(), scopes.clone());
            async move {
                let waits = (0..10).map(|_| {
                    let child = sleeper(&drops);
                    scopes.borrow_mut().push(child.cancel_handle());
                    child.join_forwarding()
                });
                futures::future::join_all(waits).await;
            }
        });
        yield_now().await;
        parent.cancel();
        parent.await.unwrap_err();
        assert_eq!(drops.get(), 10);
        assert!(scopes.borrow().iter().all(CancelHandle::is_finished));
    });
}

#[test]
fn law_27_a_wait_that_loses_a_race_cancels_the_child_and_the_waiter_goes_on() {
    block_on(async {
        let drops = Count::new();
        let child = sleeper(&drops);
        let scope = child.cancel_handle();
        let waiter = spawn(async move {
            let wait = child.join_forwarding();
            futures::future::select(wait, Box::pin(yield_now())).await;
            7
        });
        assert_eq!(waiter.await.unwrap(), 7);
        yield_now().await;
        assert!(scope.is_finished());
        assert_eq!(drops.get(), 1);
    });
}

/// Two tasks that each wait, forwarding, for the other.
fn knot(drops: &Count) -> (CancelHandle, CancelHandle) {
    let (to_a, b_handle) = oneshot::channel::<JoinHandle<()>>();
    let (to_b, a_handle) = oneshot::channel::<JoinHandle<()>>();
    let [a, b] = [b_handle, a_handle].map(|other| {
        let guard = drops.on_drop();
        spawn(async move {
            let _guard = guard;
            let _ = other.await.unwrap().join_forwarding().await;
        })
    });
    let scopes = (a.cancel_handle(), b.cancel_handle());
    to_a.send(b).unwrap();
    to_b.send(a).unwrap();
    scopes
}

#[test]
fn law_20_two_tasks_that_wait_for_each_other_can_be_cancelled() {
    finishes(|| {
        block_on(async {
            let drops = Count::new();
            let (a, b) = knot(&drops);
            for _ in 0..3 {
                yield_now().await;
            }
            assert!(!a.is_finished() && !b.is_finished());
            a.cancel();
            for _ in 0..3 {
                yield_now().await;
            }
            assert!(a.is_finished() && b.is_finished());
            assert_eq!(drops.get(), 2);
        });
    });
}

#[test]
fn law_20_two_tasks_that_wait_for_each_other_do_not_outlive_their_runtime() {
    let drops = finishes(|| {
        let runtime = runtime();
        let drops = Count::new();
        runtime.block_on(async {
            let _scopes = knot(&drops);
            for _ in 0..3 {
                yield_now().await;
            }
        });
        assert_eq!((drops.get(), runtime.alive()), (0, 2));
        drop(runtime);
        drops.get()
    });
    assert_eq!(drops, 2);
}

#[test]
fn law_20_a_task_that_waits_for_itself_can_be_cancelled() {
    finishes(|| {
        block_on(async {
            let drops = Count::new();
            let (send, own_handle) = oneshot::channel::<JoinHandle<()>>();
            let guard = drops.on_drop();
            let task = spawn(async move {
                let _guard = guard;
                let _ = own_handle.await.unwrap().join_forwarding().await;
            });
            let scope = task.cancel_handle();
            send.send(task).unwrap();
            yield_now().await;
            yield_now().await;
            scope.cancel();
            yield_now().await;
            assert!(scope.is_finished());
            assert_eq!(drops.get(), 1);
        });
    });
}

#[test]
fn law_27_cancel_and_join_asks_before_it_is_polled() {
    block_on(async {
        let drops = Count::new();
        let child = sleeper(&drops);
        let scope = child.cancel_handle();
        yield_now().await;
        let join = child.cancel_and_join();
        assert!(scope.is_requested());
        assert_eq!(drops.get(), 0);
        assert!(join.await.unwrap_err().is_cancelled());
        assert_eq!(drops.get(), 1);
    });
}

#[test]
fn law_27_cancel_and_join_hands_over_the_value_of_a_task_that_had_finished() {
    block_on(async {
        let task = spawn(async { 7 });
        yield_now().await;
        assert_eq!(task.cancel_and_join().await.unwrap(), 7);
    });
}

#[test]
fn law_27_a_value_returned_despite_the_request_is_handed_over() {
    block_on(async {
        let child = spawn(async {
            // Asked during its last poll.
            task::cancel_handle().unwrap().cancel();
            7
        });
        let scope = child.cancel_handle();
        assert_eq!(child.join_forwarding().await.unwrap(), 7);
        assert!(scope.is_requested());
    });
}

#[test]
fn a_waiter_that_was_not_the_one_who_asked_learns_why() {
    block_on(async {
        let child = spawn(pending::<()>());
        let scope = child.cancel_handle();
        let waiter = spawn(async move {
            let error = child.await.unwrap_err();
            error.reason().unwrap().kind()
        });
        yield_now().await;
        scope.cancel_with(quell::Reason::new(CancelKind::Parent));
        assert_eq!(waiter.await.unwrap(), CancelKind::Parent);
    });
}

#[test]
fn a_handle_tells_name_place_and_state_of_its_task() {
    block_on(async {
        let task = task::Builder::new().name("worker").spawn(async {});
        let line = line!() - 1;
        assert_eq!(task.name(), Some("worker"));
        assert_eq!(task.spawned_at().file(), file!());
        assert_eq!(task.spawned_at().line(), line);
        let text = format!("{task:?}");
        assert!(text.contains("worker") && text.contains("Alive"), "{text}");
        yield_now().await;
        assert!(format!("{task:?}").contains("Done"));
    });
}

#[test]
fn ids_are_unique_and_seen_from_inside() {
    block_on(async {
        let outer = task::id();
        let a = spawn(async { task::id() });
        let b = spawn(async { task::id() });
        let ids = [outer, Some(a.id()), Some(b.id())];
        assert_eq!(ids[1], a.await.unwrap());
        assert_eq!(ids[2], b.await.unwrap());
        assert_eq!(task::id(), outer);
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    });
    assert_eq!(task::id(), None);
}

#[test]
fn the_main_future_of_block_on_cannot_be_stopped() {
    block_on(async {
        assert!(task::cancel_handle().is_none());
    });
    assert!(task::cancel_handle().is_none());
}

#[test]
fn a_task_cancelled_while_others_hold_its_wait_in_a_foreign_future_wakes_them() {
    block_on(async {
        // The wait sits in a place two tasks can reach; the one that polls it is woken.
        let wait = Rc::<RefCell<Option<JoinForwarding<()>>>>::default();
        let child = spawn(pending::<()>());
        let scope = child.cancel_handle();
        *wait.borrow_mut() = Some(child.join_forwarding());
        let waiter = spawn({
            let wait = wait.clone();
            poll_fn(move |cx| {
                let mut wait = wait.borrow_mut();
                let outcome = Pin::new(wait.as_mut().unwrap()).poll(cx);
                outcome.map(|outcome| outcome.unwrap_err().is_cancelled())
            })
        });
        yield_now().await;
        scope.cancel();
        assert_eq!(waiter.await.ok(), Some(true));
    });
}

#[test]
fn a_handle_that_outlives_its_runtime_says_how_the_task_ended() {
    let runtime = runtime();
    let finished = runtime.spawn(async { 7 });
    let mut waits = runtime.spawn(pending::<()>());
    runtime.run_until_stalled();
    drop(runtime);
    assert!(waits.is_finished());
    let Poll::Ready(Err(error)) = poll_once(&mut waits) else {
        panic!("the runtime's drop ends all tasks")
    };
    assert_eq!(error.reason().unwrap().kind(), CancelKind::Shutdown);
    assert_eq!(block_on(finished).unwrap(), 7);
}
