//! In which order tasks take their turns, and that nobody is left out.

use futures::channel::oneshot;
use quell::time::{Duration, sleep};
use quell::{Builder, spawn, yield_now};
use quell_tests::{Count, Log, block_on, finishes, runtime};
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;

/// Spawns a task that notes each of its turns.
fn turns(log: &Log<char>, name: char, turns: usize) -> quell::JoinHandle<()> {
    let log = log.clone();
    spawn(async move {
        for _ in 0..turns {
            log.push(name);
            yield_now().await;
        }
    })
}

#[test]
fn first_woken_is_first_polled() {
    let log = Log::new();
    block_on(async {
        let tasks = ['A', 'B', 'C'].map(|name| turns(&log, name, 3));
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(log.take().iter().collect::<String>(), "ABCABCABC");
}

#[test]
fn the_main_future_takes_its_turn_like_a_task() {
    let log = Log::new();
    block_on(async {
        let tasks = ['A', 'B'].map(|name| turns(&log, name, 3));
        for _ in 0..3 {
            yield_now().await;
            log.push('m');
        }
        drop(tasks);
    });
    assert_eq!(log.take().iter().collect::<String>(), "ABmABmABm");
}

#[test]
fn a_task_spawned_in_a_turn_is_polled_after_those_that_are_ready() {
    let log = Log::new();
    block_on(async {
        let (a, b) = (log.clone(), log.clone());
        drop(spawn(async move {
            a.push('a');
            drop(turns(&a, 'n', 1));
        }));
        drop(spawn(async move { b.push('b') }));
        for _ in 0..3 {
            yield_now().await;
        }
    });
    assert_eq!(log.take(), ['a', 'b', 'n']);
}

#[test]
fn wakes_are_served_in_their_order_not_in_that_of_spawning() {
    let log = Log::new();
    block_on(async {
        let mut wake = Vec::new();
        for name in ['A', 'B', 'C'] {
            let (send, receive) = oneshot::channel::<()>();
            let log = log.clone();
            wake.push(send);
            drop(spawn(async move {
                receive.await.unwrap();
                log.push(name);
            }));
        }
        yield_now().await;
        for index in [1, 1, 0] {
            wake.remove(index).send(()).unwrap();
        }
        yield_now().await;
    });
    assert_eq!(log.take(), ['B', 'C', 'A']);
}

#[test]
fn a_task_that_wakes_itself_for_ever_starves_nobody() {
    finishes(|| {
        let runtime = runtime();
        let remote = runtime.remote();
        runtime.block_on(async {
            let busy = Count::new();
            for _ in 0..3 {
                let busy = busy.clone();
                drop(spawn(async move {
                    loop {
                        busy.up();
                        yield_now().await;
                    }
                }));
            }
            // Other tasks, and the main future.
            spawn(async {
                for _ in 0..10 {
                    yield_now().await;
                }
            })
            .await
            .unwrap();
            // Other threads.
            let answer = thread::spawn(move || remote.spawn(async { 7 })).join().unwrap();
            let before = busy.get();
            assert_eq!(answer.await.unwrap(), 7);
            // Taken in within 61 polls, and polled after those that were ready.
            assert!(busy.get() - before < 100, "{}", busy.get() - before);
        });
    });
}

#[test]
fn a_task_that_wakes_itself_for_ever_does_not_stop_time() {
    finishes(|| {
        // On the real clock: a virtual one stands still while anything is ready.
        let runtime = Builder::new().signals(false).build().unwrap();
        runtime.block_on(async {
            drop(spawn(async {
                loop {
                    yield_now().await;
                }
            }));
            sleep(Duration::from_millis(1)).await;
        });
    });
}

#[test]
fn a_flood_of_wakes_from_another_thread_starves_nobody() {
    finishes(|| {
        let runtime = runtime();
        let stop = Arc::new(AtomicBool::new(false));
        let (send, mut receive) = oneshot::channel();
        let woken = Count::new();
        let flooded = runtime.spawn({
            let (woken, mut send) = (woken.clone(), Some(send));
            poll_fn(move |cx| {
                woken.up();
                if let Some(send) = send.take() {
                    send.send(cx.waker().clone()).unwrap();
                }
                Poll::<()>::Pending
            })
        });
        runtime.run_until_stalled();
        let waker = receive.try_recv().unwrap().unwrap();
        let flood = thread::spawn({
            let stop = stop.clone();
            let remote = runtime.remote();
            move || {
                let mut sent = 0_usize;
                while !stop.load(Ordering::Relaxed) {
                    waker.wake_by_ref();
                    remote.wake();
                    sent += 1;
                    if sent % 64 == 0 {
                        // One core must be enough for this test.
                        thread::yield_now();
                    }
                }
            }
        });
        runtime.block_on(async {
            for _ in 0..1000 {
                yield_now().await;
            }
            sleep(Duration::from_secs(1)).await;
        });
        stop.store(true, Ordering::Relaxed);
        flood.join().unwrap();
        assert!(woken.get() >= 1);
        drop(flooded);
    });
}

#[test]
fn the_main_future_is_polled_only_when_it_was_woken() {
    let polls = Count::new();
    block_on(async {
        let task = spawn(async {
            for _ in 0..1000 {
                yield_now().await;
            }
        });
        let mut task = pin!(task);
        poll_fn(|cx| {
            polls.up();
            task.as_mut().poll(cx).map(drop)
        })
        .await;
    });
    assert_eq!(polls.get(), 2);
}

#[test]
fn the_main_future_is_not_polled_for_wakes_of_tasks_from_other_threads() {
    finishes(|| {
        let polls = Count::new();
        let runtime = runtime();
        let (send, receive) = std::sync::mpsc::channel();
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let task = runtime.spawn({
            let acknowledged = acknowledged.clone();
            poll_fn(move |cx| {
                if acknowledged.fetch_add(1, Ordering::SeqCst) == 0 {
                    send.send(cx.waker().clone()).unwrap();
                }
                if acknowledged.load(Ordering::SeqCst) > 100 {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
        });
        let thread = thread::spawn(move || {
            let waker = receive.recv().unwrap();
            while acknowledged.load(Ordering::SeqCst) <= 100 {
                waker.wake_by_ref();
                thread::yield_now();
            }
        });
        runtime.block_on(async {
            let mut task = pin!(task);
            poll_fn(|cx| {
                polls.up();
                task.as_mut().poll(cx).map(drop)
            })
            .await;
        });
        thread.join().unwrap();
        assert_eq!(polls.get(), 2);
    });
}

/// The order in which 20 tasks take three turns each.
fn shuffled(seed: u64) -> Vec<usize> {
    let log = Log::new();
    let runtime = Builder::new().virtual_time().signals(false).shuffle(seed).build().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..20)
            .map(|name| {
                let log = log.clone();
                spawn(async move {
                    for _ in 0..3 {
                        log.push(name);
                        yield_now().await;
                    }
                })
            })
            .collect();
        futures::future::join_all(tasks).await;
    });
    log.take()
}

#[test]
fn the_same_seed_gives_the_same_order() {
    for seed in [0, 1, u64::MAX] {
        assert_eq!(shuffled(seed), shuffled(seed));
    }
}

#[test]
fn different_seeds_give_different_orders() {
    let orders: std::collections::HashSet<_> = (0..20).map(shuffled).collect();
    assert_eq!(orders.len(), 20);
    for order in &orders {
        let mut turns = order.clone();
        turns.sort_unstable();
        let expected: Vec<_> = (0..60).map(|turn| turn / 3).collect();
        assert_eq!(turns, expected, "everybody takes all turns");
    }
}

#[test]
fn a_shuffled_main_future_that_ends_while_queued_leaves_a_usable_runtime() {
    for seed in 0..20 {
        let runtime = Builder::new().virtual_time().signals(false).shuffle(seed).build().unwrap();
        for _ in 0..3 {
            let polls = Rc::new(Cell::new(0));
            runtime.block_on(poll_fn(|cx| {
                polls.set(polls.get() + 1);
                cx.waker().wake_by_ref();
                if polls.get() == 3 { Poll::Ready(()) } else { Poll::Pending }
            }));
            assert_eq!(polls.get(), 3);
        }
    }
}
