//! The graves of other executors: what is dropped, woken or spawned at the worst time and place.

use futures::channel::oneshot;
use quell::time::{Duration, sleep};
use quell::{JoinError, JoinHandle, LocalHandle, Runtime, spawn, yield_now};
use quell_tests::{Alarm, Count, OnDrop, Probe, block_on, finishes, leak_waker, poll_once};
use quell_tests::{quietly, runtime};
use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;

/// A task's waker, from a runtime that is gone.
fn stale_waker() -> Waker {
    let runtime = runtime();
    let (send, mut receive) = oneshot::channel();
    drop(runtime.spawn(leak_waker(move |waker| send.send(waker).unwrap())));
    runtime.run_until_stalled();
    receive.try_recv().unwrap().unwrap()
}

#[test]
fn law_23_a_waker_may_outlive_its_executor() {
    let waker = stale_waker();
    waker.wake_by_ref();
    let copy = waker.clone();
    assert!(copy.will_wake(&waker));
    thread::spawn(move || {
        copy.wake_by_ref();
        drop(copy.clone());
        copy.wake();
    })
    .join()
    .unwrap();
    waker.wake();
}

#[test]
fn law_23_a_waker_may_outlive_its_thread() {
    let waker = thread::spawn(stale_waker).join().unwrap();
    waker.wake_by_ref();
    drop(waker);
}

#[test]
fn law_23_the_main_futures_waker_may_outlive_it() {
    let runtime = runtime();
    let waker = runtime.block_on(poll_fn(|cx| Poll::Ready(cx.waker().clone())));
    waker.wake_by_ref();
    runtime.run_until_stalled();
    let polls = Count::new();
    runtime.block_on(poll_fn(|_| {
        polls.up();
        waker.wake_by_ref();
        if polls.get() < 3 { Poll::Pending } else { Poll::Ready(()) }
    }));
    assert_eq!(polls.get(), 3, "the place is the same");
    drop(runtime);
    waker.wake();
}

#[test]
fn law_23_a_late_wake_costs_the_next_runtime_one_poll_at_most() {
    finishes(|| {
        let stale: Vec<_> = (0..8).map(|_| stale_waker()).collect();
        let runtime = runtime();
        let (probe, polls, drops) = Probe::new();
        drop(runtime.spawn(probe));
        runtime.run_until_stalled();
        let before = polls.get();
        for waker in &stale {
            waker.wake_by_ref();
        }
        runtime.run_until_stalled();
        assert!(polls.get() <= before + 1, "{polls:?}");
        runtime.run_until_stalled();
        assert!(polls.get() <= before + 1, "{polls:?}");
        assert_eq!(drops.get(), 0);
    });
}

#[test]
fn a_million_clones_of_a_waker_are_free() {
    // A reference count of 32 bits would overflow after a few thousand of these.
    block_on(poll_fn(|cx| {
        for _ in 0..1_000_000 {
            std::mem::forget(cx.waker().clone());
        }
        Poll::Ready(())
    }));
}

#[test]
fn a_sleep_may_be_dropped_on_a_foreign_thread() {
    finishes(|| {
        let runtime = runtime();
        let mut sleep = Box::pin(sleep(Duration::from_secs(60)));
        runtime.block_on(poll_fn(|cx| {
            assert!(sleep.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        }));
        assert!(runtime.next_deadline().is_some());
        thread::spawn(move || drop(sleep)).join().unwrap();
        runtime.run_until_stalled();
        assert_eq!(runtime.next_deadline(), None, "the timer is freed");
    });
}

#[test]
fn a_sleep_may_be_dropped_when_its_runtime_is_gone() {
    finishes(|| {
        let runtime = runtime();
        let mut sleeps: Vec<_> = (0..3).map(|_| Box::pin(sleep(Duration::from_secs(60)))).collect();
        runtime.block_on(poll_fn(|cx| {
            for sleep in &mut sleeps {
                assert!(sleep.as_mut().poll(cx).is_pending());
            }
            Poll::Ready(())
        }));
        drop(runtime);
        sleeps.pop();
        let next = quell_tests::runtime();
        next.block_on(async {
            // The next runtime's timers are its own, whatever is dropped of the last one's.
            let mut own = Box::pin(sleep(Duration::from_secs(1)));
            assert!(poll_once(&mut own).is_pending());
            sleeps.pop();
            thread::spawn(move || drop(sleeps)).join().unwrap();
            yield_now().await;
            own.await;
        });
    });
}

#[test]
fn a_task_that_is_woken_many_times_is_polled_once_a_turn() {
    block_on(async {
        let (send, receive) = oneshot::channel();
        let (polls, inside) = (Count::new(), Cell::new(false));
        let mut send = Some(send);
        let task = spawn({
            let polls = polls.clone();
            poll_fn(move |cx| {
                assert!(!inside.replace(true), "polled inside of its poll");
                polls.up();
                if let Some(send) = send.take() {
                    send.send(cx.waker().clone()).unwrap();
                }
                for _ in 0..10 {
                    // While it is polled: one more poll, later.
                    if polls.get() < 3 {
                        cx.waker().wake_by_ref();
                    }
                }
                inside.set(false);
                Poll::<()>::Pending
            })
        });
        let waker = receive.await.unwrap();
        yield_now().await;
        yield_now().await;
        yield_now().await;
        assert_eq!(polls.get(), 3);
        for _ in 0..100 {
            waker.wake_by_ref();
        }
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let waker = waker.clone();
                thread::spawn(move || (0..100).for_each(|_| waker.wake_by_ref()))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        yield_now().await;
        // One for the wakes on this thread, one for all those from others.
        for _ in 0..200 {
            yield_now().await;
        }
        assert!((4..=5).contains(&polls.get()), "{polls:?}");
        drop(task);
    });
}

#[test]
fn law_22_an_outputs_destructor_may_spawn_wake_cancel_and_join() {
    block_on(async {
        let (done, outcome) = oneshot::channel();
        let victim = spawn(pending::<()>());
        let scope = victim.cancel_handle();
        let mut work = Some(move || {
            scope.cancel();
            drop(spawn(async move {
                let error = victim.await.unwrap_err();
                done.send(error.is_cancelled()).unwrap();
            }));
        });
        let output = OnDrop(move || (work.take().unwrap())());
        drop(spawn(async move { output }));
        assert!(outcome.await.unwrap());
    });
}

#[test]
fn law_22_destructors_may_spawn_while_the_table_of_tasks_grows() {
    block_on(async {
        let drops = Count::new();
        let tasks: Vec<_> = (0..200)
            .map(|_| {
                let drops = drops.clone();
                let guard = OnDrop(move || {
                    for _ in 0..5 {
                        let guard = drops.on_drop();
                        drop(spawn(async move {
                            let _guard = guard;
                            yield_now().await;
                        }));
                    }
                });
                spawn(async move {
                    let _guard = guard;
                    pending::<()>().await;
                })
            })
            .collect();
        yield_now().await;
        for task in tasks {
            task.cancel_and_join().await.unwrap_err();
        }
        for _ in 0..3 {
            yield_now().await;
        }
        assert_eq!(drops.get(), 1000);
    });
}

#[test]
fn law_22_spawning_where_no_executor_is_running_drops_the_future_at_once() {
    let (probe, polls, drops) = Probe::new();
    let mut task = spawn(probe);
    assert_eq!((polls.get(), drops.get()), (0, 1));
    assert!(task.is_finished());
    assert!(!task.cancel());
    assert!(!task.abort());
    assert!(task.cancel_handle().is_finished());
    let Poll::Ready(Err(JoinError::ExecutorGone)) = poll_once(&mut task) else {
        panic!("nobody can run it")
    };
}

#[test]
fn law_22_a_refused_future_that_panics_when_dropped_harms_nobody() {
    quietly(|| {
        let panics = OnDrop(|| panic!("in the destructor"));
        let mut task = spawn(async move {
            let _panics = panics;
        });
        assert!(matches!(poll_once(&mut task), Poll::Ready(Err(JoinError::ExecutorGone))));
    });
}

#[test]
fn law_22_a_chain_of_refused_futures_ends() {
    thread_local! {
        // Not in the futures: the last of them is leaked, and shall leak nothing else.
        static COUNT: Cell<usize> = const { Cell::new(0) };
    }
    // Each is refused and spawns the next while it is dropped.
    fn next() {
        COUNT.set(COUNT.get() + 1);
        let spawns = OnDrop(next);
        drop(spawn(async move {
            let _spawns = spawns;
        }));
    }
    next();
    assert!(COUNT.get() >= 2);
    let (probe, polls, drops) = Probe::new();
    drop(spawn(probe));
    assert_eq!((polls.get(), drops.get()), (0, 1), "the limit is no lasting state");
}

#[test]
fn law_22_a_local_handle_refuses_when_its_runtime_is_gone() {
    let runtime = runtime();
    let handle = runtime.handle();
    drop(runtime);
    let (probe, polls, drops) = Probe::new();
    let mut task = handle.spawn(probe);
    assert!(matches!(poll_once(&mut task), Poll::Ready(Err(JoinError::ExecutorGone))));
    assert_eq!((polls.get(), drops.get(), handle.alive()), (0, 1, 0));
    assert!(handle.remote().is_closed());
    use futures::task::{LocalSpawn, LocalSpawnExt};
    assert!(handle.status_local().unwrap_err().is_shutdown());
    assert!(handle.spawn_local(async {}).unwrap_err().is_shutdown());
}

#[test]
fn law_22_everything_is_legal_in_a_destructor_while_the_runtime_is_dropped() {
    finishes(|| {
        let runtime = runtime();
        let drops = Count::new();
        let handle = runtime.handle();
        let remote = runtime.remote();
        let victim = runtime.spawn(pending::<()>());
        let (waker_out, mut waker_in) = oneshot::channel();
        let woken = runtime.spawn(leak_waker(move |waker| waker_out.send(waker).unwrap()));
        runtime.run_until_stalled();
        let waker = waker_in.try_recv().unwrap().unwrap();
        let mut work = Some({
            let drops = drops.clone();
            move || {
                waker.wake_by_ref();
                victim.cancel();
                drop(woken.join_forwarding());
                for spawned in [
                    spawn(async {}),
                    handle.spawn(pending()),
                    LocalHandle::current().unwrap().spawn(sleep(Duration::from_secs(1))),
                ] {
                    drop(spawned.cancel_and_join());
                }
                drop(remote.spawn(async {}));
                remote.shutdown();
                remote.wake();
                drops.up();
            }
        });
        let guard = OnDrop(move || (work.take().unwrap())());
        drop(runtime.spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        }));
        runtime.run_until_stalled();
        drop(runtime);
        assert_eq!(drops.get(), 1);
    });
}

/// What a destructor of a thread-local value does when everything is over.
struct LastWords {
    runtime: Option<Runtime>,
    handle: LocalHandle,
    task: Option<JoinHandle<()>>,
    waker: Waker,
    sleep: Option<std::pin::Pin<Box<quell::time::Sleep>>>,
    report: mpsc::Sender<bool>,
}

impl Drop for LastWords {
    fn drop(&mut self) {
        let here = spawn(async {});
        self.waker.wake_by_ref();
        let on_handle = self.handle.spawn(async {});
        let task = self.task.take().unwrap();
        task.cancel();
        drop(task);
        drop(self.sleep.take());
        drop(self.runtime.take());
        self.waker.wake_by_ref();
        let after = self.handle.spawn(async {});
        let fresh = runtime().block_on(async { spawn(async { 7 }).await.unwrap() });
        let well = here.is_finished() && on_handle.is_finished() && after.is_finished();
        self.report.send(well && fresh == 7).unwrap();
    }
}

thread_local! {
    static LAST_WORDS: RefCell<Option<LastWords>> = const { RefCell::new(None) };
}

fn last_words(keep_runtime: bool) -> bool {
    finishes(move || {
        let (report, reports) = mpsc::channel();
        thread::spawn(move || {
            // Initialised first: destroyed after most others.
            LAST_WORDS.with(|_| ());
            let runtime = runtime();
            let task = runtime.spawn(pending());
            let mut sleep = Box::pin(sleep(Duration::from_secs(60)));
            let waker = runtime.block_on(poll_fn(|cx| {
                assert!(sleep.as_mut().poll(cx).is_pending());
                Poll::Ready(cx.waker().clone())
            }));
            let words = LastWords {
                handle: runtime.handle(),
                runtime: keep_runtime.then_some(runtime),
                task: Some(task),
                waker,
                sleep: Some(sleep),
                report,
            };
            LAST_WORDS.set(Some(words));
        })
        .join()
        .unwrap();
        reports.recv().unwrap()
    })
}

#[test]
fn a_runtime_in_a_thread_local_ends_with_its_thread() {
    assert!(last_words(true));
}

#[test]
fn a_thread_local_destructor_may_use_what_is_left_of_a_runtime() {
    assert!(last_words(false));
}

#[test]
fn a_task_that_holds_its_own_handle_is_not_leaked() {
    // A join waker kept in a cycle with its task.
    let drops = Count::new();
    let output_drops = Count::new();
    block_on(async {
        let (send, own_handle) = oneshot::channel::<JoinHandle<quell_tests::Dropped>>();
        let guard = drops.on_drop();
        let output = output_drops.on_drop();
        let task = spawn(async move {
            let mut own_handle = own_handle.await.unwrap();
            // Leaves the task's own waker in its own join handle.
            poll_fn(|cx| {
                let polled = std::pin::Pin::new(&mut own_handle).poll(cx);
                assert!(polled.is_pending());
                Poll::Ready(())
            })
            .await;
            let _guard = guard;
            output
        });
        send.send(task).unwrap();
        for _ in 0..3 {
            yield_now().await;
        }
        assert_eq!((drops.get(), output_drops.get()), (1, 1));
    });
}

#[test]
fn a_task_that_waits_for_itself_is_dropped_with_its_runtime() {
    let drops = Count::new();
    let runtime = runtime();
    runtime.block_on(async {
        let (send, own_handle) = oneshot::channel::<JoinHandle<()>>();
        let guard = drops.on_drop();
        let task = spawn(async move {
            let _guard = guard;
            let _ = own_handle.await.unwrap().await;
        });
        send.send(task).unwrap();
        yield_now().await;
        yield_now().await;
    });
    assert_eq!(drops.get(), 0);
    drop(runtime);
    assert_eq!(drops.get(), 1);
}

#[test]
fn two_tasks_that_hold_each_others_handles_are_not_leaked() {
    let drops = Count::new();
    let runtime = runtime();
    runtime.block_on(async {
        let (to_a, handle_of_b) = oneshot::channel::<JoinHandle<()>>();
        let (to_b, handle_of_a) = oneshot::channel::<JoinHandle<()>>();
        let [a, b] = [handle_of_b, handle_of_a].map(|other| {
            let guard = drops.on_drop();
            spawn(async move {
                let _guard = guard;
                let _ = other.await.unwrap().await;
            })
        });
        to_a.send(b).unwrap();
        to_b.send(a).unwrap();
        yield_now().await;
        yield_now().await;
    });
    drop(runtime);
    assert_eq!(drops.get(), 2);
}

#[test]
fn a_foreign_join_waker_is_dropped_with_the_handle_and_at_the_end() {
    block_on(async {
        let (alarm, waker) = Alarm::new();
        let mut task = spawn(pending::<()>());
        let polled = std::pin::Pin::new(&mut task).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        assert_eq!(std::sync::Arc::strong_count(&alarm), 3);
        drop(task);
        assert_eq!(std::sync::Arc::strong_count(&alarm), 2);

        let mut task = spawn(async {});
        let polled = std::pin::Pin::new(&mut task).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        yield_now().await;
        assert_eq!((alarm.wakes(), std::sync::Arc::strong_count(&alarm)), (1, 2));
        task.await.unwrap();
    });
}

#[test]
fn a_foreign_timer_waker_is_dropped_with_the_timer_and_with_the_runtime() {
    let (alarm, waker) = Alarm::new();
    let runtime = runtime();
    runtime.block_on(async {
        let mut first = sleep(Duration::from_secs(1));
        // Leaked: its timer stays behind.
        let mut second = std::mem::ManuallyDrop::new(sleep(Duration::from_secs(1)));
        for sleep in [&mut first, &mut *second] {
            let polled = std::pin::Pin::new(sleep).poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
        }
        assert_eq!(std::sync::Arc::strong_count(&alarm), 4);
        drop(first);
        assert_eq!(std::sync::Arc::strong_count(&alarm), 3);
    });
    drop(runtime);
    assert_eq!((alarm.wakes(), std::sync::Arc::strong_count(&alarm)), (0, 2));
}

#[test]
fn a_runtime_may_be_made_driven_and_dropped_inside_a_task_of_another() {
    let drops = Count::new();
    block_on(async {
        let guard = drops.on_drop();
        let outer = LocalHandle::current().unwrap();
        let task = spawn(async move {
            let inner = runtime();
            let task = inner.spawn(async move {
                let _guard = guard;
                // Spawned where it is running, not where it was made.
                spawn(async { 7 }).await.unwrap()
            });
            inner.run_until_stalled();
            assert_eq!(outer.alive(), 1);
            assert_eq!(task.await.unwrap(), 7);
            let stays = inner.spawn(pending::<()>());
            inner.run_until_stalled();
            drop(inner);
            assert!(stays.is_finished());
            // This task's runtime is the current one again.
            spawn(async { 8 }).await.unwrap()
        });
        assert_eq!(task.await.unwrap(), 8);
    });
    assert_eq!(drops.get(), 1);
}

#[test]
fn a_runtime_may_be_dropped_by_a_task_of_another_while_it_holds_that_tasks_handle() {
    finishes(|| {
        let drops = Count::new();
        let (send, receive) = oneshot::channel::<JoinHandle<()>>();
        let inner = runtime();
        let guard = drops.on_drop();
        drop(inner.spawn(async move {
            let _guard = guard;
            let _ = receive.await.unwrap().join_forwarding().await;
        }));
        block_on(async {
            let task = spawn(async move {
                yield_now().await;
                // Stops the inner task, which forwards the request to this one.
                drop(inner);
                pending::<()>().await;
            });
            let scope = task.cancel_handle();
            send.send(task).unwrap();
            for _ in 0..4 {
                yield_now().await;
            }
            assert!(scope.is_requested() == scope.is_finished());
            scope.cancel();
            yield_now().await;
            assert!(scope.is_finished());
        });
        assert_eq!(drops.get(), 1);
    });
}

#[test]
fn two_runtimes_take_turns_on_one_thread() {
    let (ping, pong) = (runtime(), runtime());
    let (to_pong, from_ping) = async_channel::bounded(1);
    let (to_ping, from_pong) = async_channel::bounded(1);
    let pinger = ping.spawn(async move {
        for i in 0..10 {
            to_pong.send(i).await.unwrap();
            assert_eq!(from_pong.recv().await.unwrap(), i + 100);
        }
    });
    let ponger = pong.spawn(async move {
        while let Ok(i) = from_ping.recv().await {
            to_ping.send(i + 100).await.unwrap();
        }
    });
    for _ in 0..30 {
        ping.run_until_stalled();
        pong.run_until_stalled();
    }
    assert!(pinger.is_finished() && ponger.is_finished());
    assert_eq!(ping.block_on(pinger).ok(), Some(()));
}

#[test]
fn a_task_that_ends_in_the_queue_leaves_a_clean_place_to_the_next_runtime() {
    for _ in 0..4 {
        let runtime = runtime();
        runtime.block_on(async {
            let (wake_main, woken) = oneshot::channel();
            drop(spawn(poll_fn({
                let mut wake_main = Some(wake_main);
                move |cx| {
                    wake_main.take().unwrap().send(()).unwrap();
                    // Behind the main future in the queue, where nobody will look any more.
                    cx.waker().wake_by_ref();
                    Poll::Ready(())
                }
            })));
            woken.await.unwrap();
        });
        drop(runtime);
    }
    let next = runtime();
    let outputs = next.block_on(async {
        let tasks: Vec<_> = (0..100).map(|i| spawn(async move { i })).collect();
        futures::future::try_join_all(tasks).await.unwrap()
    });
    assert_eq!(outputs, (0..100).collect::<Vec<_>>());
}

#[test]
fn handles_of_a_dead_runtime_do_not_disturb_the_next_one() {
    let (local, remote, mut sleep, waker) = {
        let runtime = runtime();
        let mut sleep = Box::pin(sleep(Duration::from_secs(5)));
        let waker = runtime.block_on(poll_fn(|cx| {
            assert!(sleep.as_mut().poll(cx).is_pending());
            Poll::Ready(cx.waker().clone())
        }));
        (runtime.handle(), runtime.remote(), sleep, waker)
    };
    let clock = quell::clock::VirtualClock::new();
    let next = quell::Builder::new().clock(clock.clone()).signals(false).build().unwrap();
    let (probe, polls, drops) = Probe::new();
    drop(next.spawn(probe));
    next.run_until_stalled();
    let (refused, refused_polls, refused_drops) = Probe::new();
    drop(local.spawn(refused));
    assert!(!remote.shutdown());
    remote.wake();
    drop(remote.spawn(async { unreachable!("its runtime is gone") }));
    waker.wake();
    next.run_until_stalled();
    assert_eq!((polls.get(), drops.get(), next.alive()), (1, 0, 1));
    assert_eq!((refused_polls.get(), refused_drops.get()), (0, 1));
    // The sleep moves over to the runtime that polls it.
    next.block_on(&mut sleep);
    assert!(clock.elapsed() >= Duration::from_secs(4));
}

#[test]
fn a_rc_in_a_task_is_dropped_on_the_executors_thread_only() {
    // The task's `Rc` count would be corrupted otherwise; the sanitizers watch.
    finishes(|| {
        let runtime = runtime();
        let shared = Rc::new(Cell::new(0));
        let scopes: Vec<_> = (0..100)
            .map(|_| {
                let shared = shared.clone();
                let task = runtime.spawn(async move {
                    shared.set(shared.get() + 1);
                    pending::<()>().await;
                    drop(shared);
                });
                task.cancel_handle()
            })
            .collect();
        runtime.run_until_stalled();
        let thread = thread::spawn(move || {
            for scope in scopes {
                assert!(scope.cancel());
            }
        });
        while runtime.alive() > 0 {
            runtime.run_until_stalled();
            thread::yield_now();
        }
        thread.join().unwrap();
        assert_eq!((shared.get(), Rc::strong_count(&shared)), (100, 1));
    });
}
