//! An executor and other threads: spawning, waking, shutting down, and what is left of it when it is
//! gone.

use futures::channel::oneshot;
use quell::{CancelKind, JoinError, RemoteHandle, RemoteJoinHandle, spawn, task, yield_now};
use quell_tests::{Alarm, Count, OnDrop, Probe, block_on, finishes, leak_waker};
use quell_tests::{poll_once, quietly, runtime, storm_seconds};
use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Instant;

/// An executor on a thread of its own, which runs until it is shut down.
fn elsewhere() -> (RemoteHandle, thread::JoinHandle<()>) {
    let (send, receive) = mpsc::channel();
    let thread = thread::spawn(move || {
        let runtime = runtime();
        send.send(runtime.remote()).unwrap();
        let _ = runtime.run(pending::<()>());
    });
    (receive.recv().unwrap(), thread)
}

#[test]
fn a_future_is_run_on_the_executors_thread() {
    finishes(|| {
        let (remote, thread) = elsewhere();
        let there = thread.thread().id();
        let ran_on = block_on(remote.spawn(async { thread::current().id() })).unwrap();
        assert_eq!(ran_on, there);
        assert!(remote.shutdown());
        thread.join().unwrap();
    });
}

#[test]
fn a_future_that_is_not_send_is_made_there() {
    finishes(|| {
        let (remote, thread) = elsewhere();
        let text = String::from("sent");
        let task = remote.spawn_with(move || async move {
            let local = Rc::new(RefCell::new(text));
            yield_now().await;
            local.borrow_mut().push_str(" and made local");
            // A task of that executor like any other.
            assert!(task::id().is_some());
            spawn(async move { local.borrow().clone() }).await.unwrap()
        });
        assert_eq!(block_on(task).unwrap(), "sent and made local");
        remote.shutdown();
        thread.join().unwrap();
    });
}

#[test]
fn a_remote_join_handle_can_be_awaited_on_any_executor() {
    finishes(|| {
        let (remote, thread) = elsewhere();
        let task = remote.spawn(async { 1 });
        assert_eq!(futures::executor::block_on(task).unwrap(), 1);
        let task = remote.spawn(async { 2 });
        assert_eq!(block_on(async { spawn(task).await.unwrap().unwrap() }), 2);
        remote.shutdown();
        thread.join().unwrap();
    });
}

#[test]
fn law_01_a_remote_task_can_be_cancelled_from_any_thread() {
    finishes(|| {
        let (remote, thread) = elsewhere();
        let task = remote.spawn(pending::<()>());
        let canceller = thread::spawn(move || (task.cancel(), task));
        let (answer, task) = canceller.join().unwrap();
        assert!(answer);
        let error = block_on(task).unwrap_err();
        assert_eq!(error.reason().unwrap().kind(), CancelKind::Explicit);
        remote.shutdown();
        thread.join().unwrap();
    });
}

#[test]
fn law_02_a_remote_task_that_has_finished_keeps_its_output() {
    let runtime = runtime();
    let task = runtime.remote().spawn(async { 7 });
    assert!(!task.is_finished());
    runtime.run_until_stalled();
    assert!(task.is_finished());
    assert!(!task.cancel());
    assert!(task.cancel_handle().is_finished());
    assert_eq!(block_on(task).unwrap(), 7);
}

#[test]
fn law_03_a_remote_task_cancelled_before_it_arrives_never_runs() {
    let runtime = runtime();
    let made = Arc::new(AtomicBool::new(false));
    let task = runtime.remote().spawn_with({
        let made = made.clone();
        move || {
            made.store(true, Ordering::SeqCst);
            pending::<()>()
        }
    });
    assert!(task.cancel());
    runtime.run_until_stalled();
    assert!(task.is_finished());
    assert!(!made.load(Ordering::SeqCst), "not a line of it");
    assert!(block_on(task).unwrap_err().is_cancelled());
}

#[test]
fn law_21_a_panic_in_a_remote_task_or_its_maker_is_its_join_error() {
    quietly(|| {
        let runtime = runtime();
        let remote = runtime.remote();
        let body = remote.spawn(async { panic!("in the body") });
        let maker = remote.spawn_with(|| -> std::future::Pending<()> { panic!("in the maker") });
        runtime.run_until_stalled();
        let messages = [block_on(body), block_on(maker)].map(|outcome| match outcome {
            Err(JoinError::Panicked(panic)) => panic.message().unwrap(),
            other => panic!("{other:?}"),
        });
        assert_eq!(messages, ["in the body", "in the maker"]);
    });
}

#[test]
fn law_27_dropping_a_remote_join_handle_detaches() {
    let runtime = runtime();
    let drops = Arc::new(AtomicUsize::new(0));
    let output = OnDrop({
        let drops = drops.clone();
        move || drops.store(drops.load(Ordering::SeqCst) + 1, Ordering::SeqCst)
    });
    drop(runtime.remote().spawn(async move {
        yield_now().await;
        output
    }));
    runtime.run_until_stalled();
    assert_eq!((drops.load(Ordering::SeqCst), runtime.alive()), (1, 0));
}

#[test]
fn a_remote_join_handle_drops_its_waker_with_itself() {
    let runtime = runtime();
    let (alarm, waker) = Alarm::new();
    let mut task = runtime.remote().spawn(pending::<()>());
    assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(Arc::strong_count(&alarm), 3);
    drop(task);
    assert_eq!(Arc::strong_count(&alarm), 2);
}

#[test]
fn law_22_spawning_on_an_executor_that_is_gone_is_an_error_value() {
    let remote = {
        let runtime = runtime();
        runtime.remote()
    };
    assert!(remote.is_closed());
    let drops = Arc::new(AtomicUsize::new(0));
    let guard = OnDrop({
        let drops = drops.clone();
        move || {
            drops.fetch_add(1, Ordering::SeqCst);
        }
    });
    let mut task = remote.spawn(async move {
        let _guard = guard;
    });
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    assert!(task.is_finished());
    assert!(!task.cancel());
    assert!(matches!(poll_once(&mut task), Poll::Ready(Err(JoinError::ExecutorGone))));
    assert!(!remote.shutdown());
    remote.wake();
}

#[test]
fn law_22_a_refused_remote_future_that_panics_when_dropped_harms_nobody() {
    let remote = {
        let runtime = runtime();
        runtime.remote()
    };
    quietly(|| {
        let panics = OnDrop(|| panic!("in the destructor"));
        let mut task = remote.spawn(async move {
            let _panics = panics;
        });
        assert!(matches!(poll_once(&mut task), Poll::Ready(Err(JoinError::ExecutorGone))));
    });
}

#[test]
fn law_22_a_future_on_its_way_when_the_executor_ends_is_dropped_and_says_so() {
    finishes(|| {
        let runtime = runtime();
        let drops = Arc::new(AtomicUsize::new(0));
        let guard = OnDrop({
            let drops = drops.clone();
            move || {
                drops.fetch_add(1, Ordering::SeqCst);
            }
        });
        let remote = runtime.remote();
        let waits = remote.spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        drop(runtime);
        assert_eq!(drops.load(Ordering::SeqCst), 1);
        let error = block_on(waits).unwrap_err();
        assert!(matches!(error, JoinError::ExecutorGone) || error.is_cancelled(), "{error:?}");
    });
}

#[test]
fn law_22_a_remote_task_that_runs_when_the_executor_ends_is_cancelled() {
    let runtime = runtime();
    let task = runtime.remote().spawn(pending::<()>());
    runtime.run_until_stalled();
    drop(runtime);
    let error = block_on(task).unwrap_err();
    assert_eq!(error.reason().unwrap().kind(), CancelKind::Shutdown);
}

#[test]
fn law_22_spawning_while_the_executor_ends_never_hangs() {
    finishes(|| {
        let until = Instant::now() + storm_seconds() / 2;
        while Instant::now() < until {
            let (remote, executor) = elsewhere();
            let barrier = Arc::new(Barrier::new(4));
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    let (remote, barrier) = (remote.clone(), barrier.clone());
                    thread::spawn(move || {
                        barrier.wait();
                        let tasks: Vec<_> =
                            (0..20).map(|i| remote.spawn(async move { i })).collect();
                        for (i, task) in tasks.into_iter().enumerate() {
                            match block_on(task) {
                                Ok(output) => assert_eq!(output, i),
                                Err(JoinError::ExecutorGone | JoinError::Cancelled(_)) => {}
                                Err(error) => panic!("{error}"),
                            }
                        }
                    })
                })
                .collect();
            barrier.wait();
            remote.shutdown();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            executor.join().unwrap();
            assert!(remote.is_closed());
        }
    });
}

#[test]
fn a_wake_through_the_handle_makes_the_loop_take_a_turn() {
    finishes(|| {
        let runtime = runtime();
        let remote = runtime.remote();
        let (ready, is_ready) = mpsc::channel();
        // The flag is no waker: only a turn of the loop looks at it.
        let flag = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let flag = flag.clone();
            move || {
                is_ready.recv().unwrap();
                flag.store(true, Ordering::SeqCst);
                remote.wake();
                drop(remote.spawn(async {}));
            }
        });
        runtime.block_on(async {
            ready.send(()).unwrap();
            while !flag.load(Ordering::SeqCst) {
                yield_now().await;
            }
        });
        thread.join().unwrap();
    });
}

#[test]
fn futures_task_spawns_through_both_handles() {
    use futures::task::{LocalSpawnExt, SpawnExt};
    let runtime = runtime();
    let (local, remote) = (runtime.handle(), runtime.remote());
    let log = quell_tests::Log::new();
    local
        .spawn_local({
            let log = log.clone();
            async move { log.push("local") }
        })
        .unwrap();
    let sum = local.spawn_local_with_handle(async { 1 + 1 }).unwrap();
    let text = remote.spawn_with_handle(async { "remote" }).unwrap();
    let (sum, text) = runtime.block_on(async { (sum.await, text.await) });
    assert_eq!((sum, text, log.take()), (2, "remote", vec!["local"]));
    use futures::task::{LocalSpawn, Spawn};
    assert!(local.status_local().is_ok() && remote.status().is_ok());
    drop(runtime);
    assert!(remote.status().unwrap_err().is_shutdown());
    assert!(remote.spawn(async {}).is_finished());
    assert!(SpawnExt::spawn(&remote, async {}).unwrap_err().is_shutdown());
}

#[test]
fn handles_are_send_and_sync_where_they_should_be() {
    fn check<T: Send + Sync + 'static>() {}
    check::<RemoteHandle>();
    check::<RemoteJoinHandle<std::cell::Cell<u32>>>();
    check::<quell::CancelHandle>();
    check::<quell::time::Sleep>();
}

#[test]
fn a_wake_between_the_last_look_and_the_sleep_is_not_lost() {
    finishes(|| {
        // Each round the executor runs out of work at about the time the thread wakes it: a wake
        // that is lost leaves both waiting for ever.
        let runtime = runtime();
        let (to_thread, requests) = mpsc::channel::<Option<Waker>>();
        let answered = Arc::new(AtomicU64::new(0));
        let thread = thread::spawn({
            let answered = answered.clone();
            move || {
                while let Ok(Some(waker)) = requests.recv() {
                    answered.fetch_add(1, Ordering::Release);
                    waker.wake();
                }
            }
        });
        let until = Instant::now() + storm_seconds();
        let rounds = runtime.block_on(async {
            let mut round = 0;
            while Instant::now() < until {
                round += 1;
                let mut sent = false;
                poll_fn(|cx| {
                    if answered.load(Ordering::Acquire) == round {
                        return Poll::Ready(());
                    }
                    if !sent {
                        sent = true;
                        to_thread.send(Some(cx.waker().clone())).unwrap();
                    }
                    Poll::Pending
                })
                .await;
            }
            round
        });
        to_thread.send(None).unwrap();
        thread.join().unwrap();
        assert!(rounds > 0);
    });
}

#[test]
fn in_a_storm_of_wakes_every_wake_leads_to_a_later_poll() {
    const THREADS: usize = 8;
    finishes(|| {
        let runtime = runtime();
        // What each thread has said, and what the task has seen of it.
        let said: Arc<[AtomicU64; THREADS]> = Arc::default();
        let seen: Arc<[AtomicU64; THREADS]> = Arc::default();
        let finished = Arc::new(AtomicUsize::new(0));
        let (send, receive) = mpsc::channel::<Waker>();
        let inside = Arc::new(AtomicBool::new(false));
        let task = runtime.spawn({
            let (said, seen, finished) = (said.clone(), seen.clone(), finished.clone());
            let mut send = Some(send);
            poll_fn(move |cx| {
                assert!(!inside.swap(true, Ordering::SeqCst), "polled inside of its poll");
                if let Some(send) = send.take() {
                    for _ in 0..THREADS {
                        send.send(cx.waker().clone()).unwrap();
                    }
                }
                // Read before the counters: who has finished says nothing any more.
                let done = finished.load(Ordering::SeqCst) == THREADS;
                let mut sum = 0;
                for (said, seen) in said.iter().zip(seen.iter()) {
                    let value = said.load(Ordering::Acquire);
                    seen.store(value, Ordering::Release);
                    sum += value;
                }
                inside.store(false, Ordering::SeqCst);
                if done { Poll::Ready(sum) } else { Poll::Pending }
            })
        });
        let until = Instant::now() + storm_seconds();
        let spawner = thread::spawn(move || {
            let threads: Vec<_> = (0..THREADS)
                .map(|i| {
                    let waker = receive.recv().unwrap();
                    let (said, seen) = (said.clone(), seen.clone());
                    let finished = finished.clone();
                    thread::spawn(move || {
                        let mut value = 0;
                        while Instant::now() < until {
                            // A burst, of which only the last wake must lead to a poll, ...
                            for _ in 0..1 + value % 5 {
                                value += 1;
                                said[i].store(value, Ordering::Release);
                                waker.wake_by_ref();
                            }
                            // ... and then wait for that poll. If it is lost, this hangs.
                            while seen[i].load(Ordering::Acquire) < value {
                                thread::yield_now();
                            }
                        }
                        finished.fetch_add(1, Ordering::SeqCst);
                        waker.wake();
                        value
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u64>()
        });
        let seen_in_all = runtime.block_on(task).unwrap();
        assert_eq!(seen_in_all, spawner.join().unwrap());
    });
}

#[test]
fn a_storm_on_short_lived_executors_disturbs_nobody() {
    finishes(|| {
        // Threads wake wakers of executors that come and go, in homes that are used again.
        let until = Instant::now() + storm_seconds() / 2;
        let stop = Arc::new(AtomicBool::new(false));
        let pool = Arc::new(std::sync::Mutex::new(Vec::<Waker>::new()));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (stop, pool) = (stop.clone(), pool.clone());
                thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let wakers = pool.lock().unwrap().clone();
                        for waker in wakers {
                            waker.wake();
                        }
                        thread::yield_now();
                    }
                })
            })
            .collect();
        while Instant::now() < until {
            let runtime = runtime();
            let drops = Count::new();
            for _ in 0..5 {
                let (guard, pool) = (drops.on_drop(), pool.clone());
                drop(runtime.spawn(async move {
                    let _guard = guard;
                    leak_waker(move |waker| {
                        let mut pool = pool.lock().unwrap();
                        pool.push(waker);
                        if pool.len() > 50 {
                            pool.remove(0);
                        }
                    })
                    .await;
                }));
            }
            let (probe, _, probe_drops) = Probe::new();
            let own = runtime.spawn(probe);
            assert_eq!(runtime.block_on(async { spawn(async { 7 }).await.unwrap() }), 7);
            own.cancel();
            assert!(runtime.block_on(own).unwrap_err().is_cancelled());
            drop(runtime);
            assert_eq!((drops.get(), probe_drops.get()), (5, 1));
        }
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn requests_from_many_threads_meet_tasks_in_every_state() {
    finishes(|| {
        let until = Instant::now() + storm_seconds() / 2;
        let runtime = runtime();
        while Instant::now() < until {
            let barrier = Arc::new(Barrier::new(3));
            let tasks: Vec<_> = (0..60)
                .map(|i| {
                    runtime.spawn(async move {
                        for _ in 0..i % 20 {
                            yield_now().await;
                        }
                        i
                    })
                })
                .collect();
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let scopes: Vec<_> = tasks.iter().map(|task| task.cancel_handle()).collect();
                    let barrier = barrier.clone();
                    thread::spawn(move || {
                        barrier.wait();
                        scopes.iter().map(|scope| scope.cancel()).collect::<Vec<_>>()
                    })
                })
                .collect();
            barrier.wait();
            let outcomes = runtime.block_on(futures::future::join_all(tasks));
            let answers: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
            for (i, outcome) in outcomes.into_iter().enumerate() {
                match outcome {
                    // A value wins, also over a request that was answered with yes.
                    Ok(output) => assert_eq!(output, i),
                    Err(error) => {
                        assert!(error.is_cancelled());
                        assert!(answers[0][i] || answers[1][i], "nobody asked {i}");
                    }
                }
            }
        }
    });
}

#[test]
fn an_answer_from_another_thread_ends_the_wait_of_a_parked_loop() {
    finishes(|| {
        let (remote, there) = elsewhere();
        block_on(async {
            for i in 0..100 {
                // Both loops sleep in turns.
                let (send, receive) = oneshot::channel();
                drop(remote.spawn(async move { send.send(i).unwrap() }));
                assert_eq!(receive.await.unwrap(), i);
            }
        });
        remote.shutdown();
        there.join().unwrap();
    });
}
