//! Law 24 of the contract: `run` stops all tasks before it returns, and so does dropping a runtime.

use futures::channel::oneshot;
use quell::{
    CancelHandle, CancelKind, JoinError, JoinHandle, RunError, Runtime, spawn, task, yield_now,
};
use quell_tests::{Count, Log, OnDrop, Probe, finishes, poll_once, quietly, runtime};
use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Poll;
use std::thread;

#[test]
fn law_24_run_returns_mains_output() {
    assert_eq!(runtime().run(async { 7 }).unwrap(), 7);
}

#[test]
fn law_24_other_tasks_are_asked_to_stop_and_have_before_run_returns() {
    let runtime = runtime();
    let drops = Count::new();
    let handles = runtime
        .run(async {
            let handles: Vec<JoinHandle<()>> = (0..100)
                .map(|_| {
                    let guard = drops.on_drop();
                    spawn(async move {
                        let _guard = guard;
                        pending::<()>().await;
                    })
                })
                .collect();
            yield_now().await;
            handles
        })
        .unwrap();
    assert_eq!((drops.get(), runtime.alive()), (100, 0));
    for mut handle in handles {
        let Poll::Ready(Err(JoinError::Cancelled(cancelled))) = poll_once(&mut handle) else {
            panic!("every task has ended as cancelled")
        };
        assert_eq!(cancelled.reason().kind(), CancelKind::Shutdown);
        assert_eq!(cancelled.reason().message(), Some("main has ended"));
        assert!(cancelled.later_reasons().is_empty());
    }
}

#[test]
fn law_24_a_task_that_was_never_polled_is_dropped_unpolled() {
    let (probe, polls, drops) = Probe::new();
    runtime().run(async { drop(spawn(probe)) }).unwrap();
    assert_eq!((polls.get(), drops.get()), (0, 1));
}

#[test]
fn law_24_block_on_leaves_tasks_for_the_next_turn() {
    let runtime = runtime();
    let (done, mut outcome) = oneshot::channel();
    runtime.block_on(async {
        drop(spawn(async move {
            yield_now().await;
            yield_now().await;
            done.send(7).unwrap();
        }));
    });
    assert_eq!(runtime.alive(), 1);
    assert_eq!(outcome.try_recv(), Ok(None));
    runtime.run_until_stalled();
    assert_eq!(outcome.try_recv(), Ok(Some(7)));
}

#[test]
fn law_24_the_remote_handle_asks_main_to_stop() {
    let runtime = runtime();
    let remote = runtime.remote();
    let log = Log::new();
    let (ready, is_ready) = mpsc::channel();
    let thread = thread::spawn(move || {
        is_ready.recv().unwrap();
        remote.shutdown()
    });
    let outcome: Result<(), RunError> = runtime.run(async {
        let _main = log.on_drop("main");
        let guard = log.on_drop("task");
        let _task = spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        yield_now().await;
        ready.send(()).unwrap();
        pending().await
    });
    assert!(thread.join().unwrap());
    let Err(RunError::Cancelled { cancelled, signal }) = &outcome else { panic!("{outcome:?}") };
    assert_eq!(cancelled.reason().kind(), CancelKind::Shutdown);
    assert!(signal.is_none());
    assert_eq!(log.take(), ["main", "task"]);
    assert!(outcome.unwrap_err().to_string().contains("shutdown"));
}

#[test]
fn law_24_a_shutdown_sent_before_run_stops_main_at_its_first_wait() {
    let runtime = runtime();
    assert!(runtime.remote().shutdown());
    let outcome = runtime.run(pending::<()>());
    assert!(matches!(outcome, Err(RunError::Cancelled { .. })));
}

#[test]
fn law_05_a_value_of_main_wins_over_a_shutdown() {
    let runtime = runtime();
    let output = runtime.run(async {
        task::cancel_handle().unwrap().cancel();
        7
    });
    assert_eq!(output.unwrap(), 7);
}

#[test]
fn law_03_main_is_dropped_at_its_next_suspension_point() {
    let runtime = runtime();
    let log = Log::new();
    let outcome = runtime.run(async {
        let _guard = log.on_drop("dropped");
        task::cancel_handle().unwrap().cancel();
        log.push("still running");
        yield_now().await;
        log.push("not reached");
    });
    let Err(RunError::Cancelled { cancelled, .. }) = outcome else { panic!("not cancelled") };
    assert_eq!(cancelled.reason().kind(), CancelKind::Explicit);
    assert_eq!(log.take(), ["still running", "dropped"]);
}

#[test]
fn law_27_tasks_that_main_waited_for_have_ended_when_a_cancelled_run_returns() {
    let runtime = runtime();
    let drops = Count::new();
    let guard = drops.on_drop();
    let outcome = runtime.run(async {
        let child = spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        task::cancel_handle().unwrap().cancel();
        let _ = child.join_forwarding().await;
    });
    assert!(outcome.is_err());
    assert_eq!((drops.get(), runtime.alive()), (1, 0));
}

#[test]
fn law_24_without_a_main_that_can_stop_a_shutdown_asks_all_tasks() {
    let runtime = runtime();
    let remote = runtime.remote();
    let kinds = runtime.block_on(async {
        let tasks: Vec<_> = (0..3).map(|_| spawn(pending::<()>())).collect();
        remote.shutdown();
        let ended = futures::future::join_all(tasks).await;
        ended
            .into_iter()
            .map(|outcome| outcome.unwrap_err().reason().unwrap().kind())
            .collect::<Vec<_>>()
    });
    assert_eq!(kinds, [CancelKind::Shutdown; 3]);
}

#[test]
fn law_24_tasks_spawned_by_destructors_during_the_shutdown_are_waited_for() {
    let runtime = runtime();
    let drops = Count::new();
    runtime
        .run(async {
            let (first, second, third) = (drops.on_drop(), drops.on_drop(), drops.on_drop());
            let mut spawn_more = Some(move || {
                let _first = first;
                let mut again = Some(move || {
                    let _second = second;
                    drop(spawn(async move {
                        let _third = third;
                        pending::<()>().await;
                    }));
                });
                let guard = OnDrop(move || (again.take().unwrap())());
                drop(spawn(async move {
                    let _guard = guard;
                    pending::<()>().await;
                }));
            });
            let guard = OnDrop(move || (spawn_more.take().unwrap())());
            drop(spawn(async move {
                let _guard = guard;
                pending::<()>().await;
            }));
            yield_now().await;
        })
        .unwrap();
    assert_eq!((drops.get(), runtime.alive()), (3, 0));
}

thread_local! {
    // Not in the tasks: the last of them is leaked, and shall leak nothing else.
    static HEADS: Cell<usize> = const { Cell::new(0) };
}

/// A task that spawns its like when it is dropped.
fn hydra() {
    HEADS.set(HEADS.get() + 1);
    let guard = OnDrop(hydra);
    drop(spawn(async move {
        let _guard = guard;
        pending::<()>().await;
    }));
}

#[test]
fn law_22_destructors_that_spawn_without_end_do_not_hang_the_shutdown() {
    finishes(|| {
        let runtime = runtime();
        runtime.run(async { hydra() }).unwrap();
        assert!(HEADS.get() > 2, "their destructors have run");
        // Gives up in the end, too.
        drop(runtime);
    });
}

/// A value whose destructor spawns a task that is never done. The task counts its own drop.
fn spawns_a_busy_task(drops: &Count) -> OnDrop<impl FnMut() + use<>> {
    let guard = drops.on_drop();
    let mut busy = Some(async move {
        let _guard = guard;
        loop {
            yield_now().await;
        }
    });
    OnDrop(move || drop(spawn(busy.take().unwrap())))
}

#[test]
fn law_22_a_busy_task_spawned_by_a_destructor_does_not_hang_the_shutdown() {
    finishes(|| {
        let drops = Count::new();
        let spawns = spawns_a_busy_task(&drops);
        let runtime = runtime();
        runtime
            .run(async {
                drop(spawn(async move {
                    let _spawns = spawns;
                    pending::<()>().await;
                }));
                yield_now().await;
            })
            .unwrap();
        assert_eq!((drops.get(), runtime.alive()), (1, 0));
    });
}

#[test]
fn law_22_a_busy_task_spawned_while_a_runtime_is_dropped_does_not_hang_the_drop() {
    finishes(|| {
        let drops = Count::new();
        let spawns = spawns_a_busy_task(&drops);
        let runtime = runtime();
        drop(runtime.spawn(async move {
            let _spawns = spawns;
            pending::<()>().await;
        }));
        runtime.run_until_stalled();
        drop(runtime);
        assert_eq!(drops.get(), 1);
    });
}

#[test]
fn law_24_a_deep_chain_of_forwarding_waits_is_stopped_whole() {
    let runtime = runtime();
    let drops = Count::new();
    let guard = drops.on_drop();
    let mut last = runtime.spawn(async move {
        let _guard = guard;
        pending::<()>().await;
    });
    for _ in 0..1000 {
        let guard = drops.on_drop();
        last = runtime.spawn(async move {
            let _guard = guard;
            let _ = last.join_forwarding().await;
        });
    }
    runtime.run(yield_now()).unwrap();
    assert_eq!((drops.get(), runtime.alive()), (1001, 0));
    assert!(last.is_finished());
}

#[test]
fn law_24_a_hundred_thousand_tasks_are_stopped_in_one_go() {
    finishes(|| {
        let runtime = runtime();
        let drops = Count::new();
        for _ in 0..100_000 {
            let guard = drops.on_drop();
            drop(runtime.spawn(async move {
                let _guard = guard;
                pending::<()>().await;
            }));
        }
        runtime.run(yield_now()).unwrap();
        assert_eq!((drops.get(), runtime.alive()), (100_000, 0));
    });
}

#[test]
fn law_21_main_panics_only_after_the_other_tasks_have_stopped() {
    let runtime = runtime();
    let log = Log::new();
    let outcome = quietly(|| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.run(async {
                let _main = log.on_drop("main");
                let guard = log.on_drop("task");
                let _task = spawn(async move {
                    let _guard = guard;
                    pending::<()>().await;
                });
                yield_now().await;
                panic!("oh no");
            })
        }))
    });
    log.push("panic seen");
    assert_eq!(*outcome.unwrap_err().downcast::<&str>().unwrap(), "oh no");
    assert_eq!(log.take(), ["main", "task", "panic seen"]);
    assert_eq!(runtime.alive(), 0);
    assert_eq!(runtime.run(async { 7 }).unwrap(), 7, "it can be used again");
}

#[test]
fn law_21_a_panic_in_a_destructor_during_the_shutdown_stops_nobody() {
    let runtime = runtime();
    let drops = Count::new();
    let panicked = Rc::<RefCell<Option<JoinHandle<()>>>>::default();
    let output = quietly(|| {
        runtime.run(async {
            for i in 0..10 {
                let guard = drops.on_drop();
                let task = spawn(async move {
                    let _guard = guard;
                    let _panics = OnDrop(|| {
                        assert!(i != 5, "in the destructor of {i}");
                    });
                    pending::<()>().await;
                });
                if i == 5 {
                    *panicked.borrow_mut() = Some(task);
                }
            }
            yield_now().await;
            7
        })
    });
    assert_eq!(output.unwrap(), 7);
    assert_eq!((drops.get(), runtime.alive()), (10, 0));
    let mut panicked = panicked.take().unwrap();
    let Poll::Ready(Err(JoinError::Panicked(panic))) = poll_once(&mut panicked) else {
        panic!("the panic is the task's outcome")
    };
    assert_eq!(panic.message().unwrap(), "in the destructor of 5");
}

#[test]
fn law_21_a_runtime_dropped_by_a_panic_survives_destructors_that_panic() {
    let drops = Count::new();
    let outcome = quietly(|| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let runtime = runtime();
            for _ in 0..3 {
                let guard = drops.on_drop();
                drop(runtime.spawn(async move {
                    let _guard = guard;
                    let _panics = OnDrop(|| panic!("in a destructor"));
                    pending::<()>().await;
                }));
            }
            runtime.block_on(async {
                yield_now().await;
                panic!("in main")
            })
        }))
    });
    let payload: Box<dyn std::any::Any + Send> = match outcome {
        Err(payload) => payload,
        Ok(()) => unreachable!("main panics"),
    };
    assert_eq!(*payload.downcast::<&str>().unwrap(), "in main");
    assert_eq!(drops.get(), 3);
}

#[test]
fn law_24_dropping_a_runtime_stops_its_tasks_with_reason_shutdown() {
    let runtime = runtime();
    let drops = Count::new();
    let guard = drops.on_drop();
    let mut task = runtime.spawn(async move {
        let _guard = guard;
        pending::<()>().await;
    });
    runtime.run_until_stalled();
    drop(runtime);
    assert_eq!(drops.get(), 1);
    let Poll::Ready(Err(error)) = poll_once(&mut task) else { panic!("it has ended") };
    let reason = error.reason().unwrap();
    assert_eq!(reason.kind(), CancelKind::Shutdown);
    assert_eq!(reason.message(), Some("the runtime was dropped"));
}

#[test]
fn law_27_a_wait_for_a_task_of_another_runtime_ends_with_its_own_runtime() {
    finishes(|| {
        // The task of `ours` waits, forwarding, for a task of `theirs`, which nobody drives any
        // more when `ours` ends.
        let theirs = runtime();
        let child = theirs.spawn(pending::<()>());
        let child_scope = child.cancel_handle();
        theirs.run_until_stalled();
        let ours = runtime();
        let mut parent = ours.spawn(async move {
            let _ = child.join_forwarding().await;
        });
        ours.run_until_stalled();
        drop(ours);
        assert!(child_scope.is_requested());
        assert!(parent.is_finished(), "nobody can end it any more");
        let Poll::Ready(Err(error)) = poll_once(&mut parent) else { panic!("it has ended") };
        assert_eq!(error.reason().unwrap().kind(), CancelKind::Shutdown);
        theirs.run_until_stalled();
        assert!(child_scope.is_finished());
        // Their places can be used again.
        for _ in 0..4 {
            let next = runtime();
            assert_eq!(next.block_on(next.spawn(async { 7 })).unwrap(), 7);
        }
    });
}

#[test]
fn law_27_a_wait_for_a_task_of_another_runtime_forwards_and_waits() {
    finishes(|| {
        let (ours, theirs) = (runtime(), runtime());
        let drops = Count::new();
        let guard = drops.on_drop();
        let child = theirs.spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        theirs.run_until_stalled();
        let parent = ours.spawn(async move {
            let _ = child.join_forwarding().await;
        });
        ours.run_until_stalled();
        parent.cancel();
        ours.run_until_stalled();
        assert!(!parent.is_finished(), "its child has not ended");
        theirs.run_until_stalled();
        assert_eq!(drops.get(), 1);
        ours.run_until_stalled();
        assert!(parent.is_finished());
    });
}

#[test]
fn runs_of_one_runtime_follow_each_other() {
    let runtime = Runtime::new().unwrap();
    for i in 0..3 {
        let output = runtime.run(async move { spawn(async move { i }).await.unwrap() });
        assert_eq!(output.unwrap(), i);
    }
}

#[test]
fn mains_scope_ends_with_run() {
    let runtime = runtime();
    let scope: CancelHandle = runtime.run(async { task::cancel_handle().unwrap() }).unwrap();
    assert!(scope.is_finished());
    assert!(!scope.cancel());
    runtime.block_on(async { assert!(task::cancel_handle().is_none()) });
}
