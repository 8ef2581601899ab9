//! Libraries that know nothing of quell work on it unchanged.

use async_lock::{Barrier, Mutex, RwLock, Semaphore};
use event_listener::{Event, Listener};
use futures::channel::{mpsc, oneshot};
use futures::future::{self, Either, FutureExt, Shared};
use futures::stream::{self, FuturesOrdered, FuturesUnordered, StreamExt};
use futures::{SinkExt, join, select, try_join};
use quell::time::{Duration, now, sleep};
use quell::{JoinError, spawn, yield_now};
use quell_tests::{Count, Log, Probe, block_on, finishes};
use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;

const MS: Duration = Duration::from_millis(1);

#[test]
fn async_channel_carries_values_between_tasks() {
    block_on(async {
        let (send, receive) = async_channel::bounded(2);
        let producers: Vec<_> = (0..3)
            .map(|p| {
                let send = send.clone();
                spawn(async move {
                    for i in 0..10 {
                        send.send(p * 10 + i).await.unwrap();
                    }
                })
            })
            .collect();
        drop(send);
        let mut received = Vec::new();
        while let Ok(value) = receive.recv().await {
            received.push(value);
        }
        received.sort_unstable();
        assert_eq!(received, (0..30).collect::<Vec<_>>());
        assert!(future::join_all(producers).await.into_iter().all(|outcome| outcome.is_ok()));
    });
}

#[test]
fn async_channel_carries_values_between_threads() {
    finishes(|| {
        let (to_there, there) = async_channel::bounded(1);
        let (to_here, here) = async_channel::bounded(1);
        let thread = std::thread::spawn(move || {
            block_on(async {
                while let Ok(value) = there.recv().await {
                    to_here.send(value + 1).await.unwrap();
                }
            });
        });
        block_on(async {
            for i in 0..200 {
                to_there.send(i).await.unwrap();
                assert_eq!(here.recv().await.unwrap(), i + 1);
            }
            drop(to_there);
        });
        thread.join().unwrap();
    });
}

#[test]
fn a_cancelled_receiver_loses_no_message() {
    block_on(async {
        let (send, receive) = async_channel::unbounded();
        let waits = spawn({
            let receive = receive.clone();
            async move { receive.recv().await }
        });
        yield_now().await;
        waits.cancel();
        send.try_send(7).unwrap();
        assert!(waits.await.unwrap_err().is_cancelled());
        assert_eq!(receive.recv().await, Ok(7));
    });
}

#[test]
fn async_lock_excludes_and_is_released_by_a_cancelled_holder() {
    block_on(async {
        let lock = Rc::new(Mutex::new(Vec::new()));
        let holder = spawn({
            let lock = lock.clone();
            async move {
                let _guard = lock.lock().await;
                pending::<()>().await;
            }
        });
        let waiters: Vec<_> = (0..5)
            .map(|i| {
                let lock = lock.clone();
                spawn(async move {
                    let mut guard = lock.lock().await;
                    yield_now().await;
                    guard.push(i);
                })
            })
            .collect();
        yield_now().await;
        assert!(lock.try_lock().is_none());
        holder.cancel_and_join().await.unwrap_err();
        future::try_join_all(waiters).await.unwrap();
        assert_eq!(*lock.lock().await, [0, 1, 2, 3, 4]);
    });
}

#[test]
fn async_locks_barrier_semaphore_and_read_write_lock_work() {
    block_on(async {
        let barrier = Arc::new(Barrier::new(3));
        let semaphore = Arc::new(Semaphore::new(2));
        let value = Arc::new(RwLock::new(0));
        let (inside, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let (barrier, semaphore) = (barrier.clone(), semaphore.clone());
                let (value, inside, most) = (value.clone(), inside.clone(), most.clone());
                spawn(async move {
                    barrier.wait().await;
                    let _permit = semaphore.acquire().await;
                    inside.set(inside.get() + 1);
                    most.set(most.get().max(inside.get()));
                    yield_now().await;
                    *value.write().await += 1;
                    inside.set(inside.get() - 1);
                })
            })
            .collect();
        future::try_join_all(tasks).await.unwrap();
        assert_eq!((*value.read().await, most.get()), (3, 2));
    });
}

#[test]
fn event_listener_notifies_tasks() {
    block_on(async {
        let event = Rc::new(Event::new());
        let notified = Count::new();
        for _ in 0..3 {
            let (event, notified) = (event.clone(), notified.clone());
            drop(spawn(async move {
                event.listen().await;
                notified.up();
            }));
        }
        yield_now().await;
        event.notify(2);
        yield_now().await;
        assert_eq!(notified.get(), 2);
        event.notify(usize::MAX);
        yield_now().await;
        assert_eq!(notified.get(), 3);
    });
}

#[test]
fn event_listener_passes_a_cancelled_listeners_notification_on() {
    block_on(async {
        let event = Rc::new(Event::new());
        let notified = Count::new();
        let tasks: Vec<_> = (0..2)
            .map(|_| {
                let (event, notified) = (event.clone(), notified.clone());
                spawn(async move {
                    event.listen().await;
                    notified.up();
                })
            })
            .collect();
        yield_now().await;
        event.notify(1);
        tasks[0].cancel();
        for task in tasks {
            let _ = task.await;
        }
        assert_eq!(notified.get(), 1);
        assert!(event.listen().wait_timeout(Duration::ZERO).is_none());
    });
}

#[test]
fn futures_channels_work() {
    block_on(async {
        let (send, receive) = oneshot::channel();
        drop(spawn(async move { send.send(7).unwrap() }));
        assert_eq!(receive.await, Ok(7));

        let (send, receive) = oneshot::channel::<()>();
        spawn(async move { drop(send) }).await.unwrap();
        assert!(receive.await.is_err());

        let (mut send, mut receive) = mpsc::channel(1);
        drop(spawn(async move {
            for i in 0..10 {
                send.send(i).await.unwrap();
            }
        }));
        let mut received = Vec::new();
        while let Some(value) = receive.next().await {
            received.push(value);
        }
        assert_eq!(received, (0..10).collect::<Vec<_>>());
    });
}

#[test]
fn futures_unordered_gives_the_first_first() {
    block_on(async {
        let mut sleeps: FuturesUnordered<_> = [30, 10, 20]
            .into_iter()
            .map(|ms| async move {
                sleep(ms * MS).await;
                ms
            })
            .collect();
        let mut order = Vec::new();
        while let Some(ms) = sleeps.next().await {
            order.push(ms);
        }
        assert_eq!(order, [10, 20, 30]);
    });
}

#[test]
fn futures_unordered_holds_join_handles() {
    block_on(async {
        let mut tasks: FuturesUnordered<_> = (0..100)
            .map(|i| {
                spawn(async move {
                    sleep((100 - i) * MS).await;
                    i
                })
            })
            .collect();
        let mut order = Vec::new();
        while let Some(output) = tasks.next().await {
            order.push(output.unwrap());
        }
        assert_eq!(order, (0..100).rev().collect::<Vec<_>>());
    });
}

#[test]
fn dropping_futures_unordered_forwards_to_the_waits_inside() {
    block_on(async {
        let drops = Count::new();
        let parent = spawn({
            let drops = drops.clone();
            async move {
                let waits: FuturesUnordered<_> = (0..10)
                    .map(|_| {
                        let guard = drops.on_drop();
                        let child = spawn(async move {
                            let _guard = guard;
                            pending::<()>().await;
                        });
                        child.join_forwarding()
                    })
                    .collect();
                waits.for_each(|_| future::ready(())).await;
            }
        });
        yield_now().await;
        parent.cancel_and_join().await.unwrap_err();
        assert_eq!(drops.get(), 10);
    });
}

#[test]
fn futures_ordered_and_buffered_streams_work() {
    block_on(async {
        let task = |i: u32| {
            spawn(async move {
                sleep((10 - i) * MS).await;
                i
            })
        };
        let ordered: Vec<_> = (0..10).map(task).collect::<FuturesOrdered<_>>().collect().await;
        assert!(ordered.into_iter().map(Result::unwrap).eq(0..10));
        let start = now();
        let buffered: Vec<_> = stream::iter(0..10).map(task).buffered(10).collect().await;
        assert!(buffered.into_iter().map(Result::unwrap).eq(0..10));
        assert_eq!(now() - start, 10 * MS);
    });
}

#[test]
fn join_runs_side_by_side() {
    block_on(async {
        let start = now();
        let (a, b, c) = join!(
            async {
                sleep(3 * MS).await;
                1
            },
            spawn(async {
                sleep(5 * MS).await;
                2
            }),
            future::ready(3),
        );
        assert_eq!((a, b.unwrap(), c), (1, 2, 3));
        assert_eq!(now() - start, 5 * MS);
        let outcome = try_join!(spawn(async { 1 }), spawn(async { 2 }));
        assert_eq!(outcome.unwrap(), (1, 2));
    });
}

#[test]
fn select_drops_the_loser() {
    block_on(async {
        let (probe, _, drops) = Probe::new();
        let winner = select! {
            _ = sleep(MS).fuse() => "sleep",
            _ = probe.fuse() => "probe",
        };
        assert_eq!((winner, drops.get()), ("sleep", 1));

        let quick = spawn(async { 7 });
        let slow = spawn(pending::<()>());
        let slow_scope = slow.cancel_handle();
        match future::select(quick, slow).await {
            Either::Left((output, slow)) => {
                assert_eq!(output.unwrap(), 7);
                slow.cancel_and_join().await.unwrap_err();
            }
            Either::Right(_) => panic!("it never ends"),
        }
        assert!(slow_scope.is_finished());
    });
}

#[test]
fn law_27_a_child_that_several_tasks_wait_for_reaches_them_all() {
    block_on(async {
        // A handle has one owner; several waiters share it through `Shared`.
        type Wait = Shared<future::LocalBoxFuture<'static, Rc<JoinError>>>;
        let child = spawn(pending::<()>());
        let scope = child.cancel_handle();
        let wait: Wait = async move { Rc::new(child.join_forwarding().await.unwrap_err()) }
            .boxed_local()
            .shared();
        let kinds = Rc::new(RefCell::new(Vec::new()));
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let (wait, kinds) = (wait.clone(), kinds.clone());
                spawn(async move {
                    let error = wait.await;
                    kinds.borrow_mut().push(error.reason().unwrap().kind());
                })
            })
            .collect();
        drop(wait);
        yield_now().await;
        // One waiter gives up: the others still wait, and nothing is forwarded.
        waiters[0].cancel();
        yield_now().await;
        assert!(!scope.is_requested());
        scope.cancel_with(quell::Reason::new(quell::CancelKind::Parent));
        for (i, waiter) in waiters.into_iter().enumerate() {
            assert_eq!(waiter.await.is_ok(), i != 0);
        }
        assert_eq!(*kinds.borrow(), [quell::CancelKind::Parent; 2]);
    });
}

#[test]
fn law_27_the_last_of_several_waiters_forwards() {
    block_on(async {
        let drops = Count::new();
        let guard = drops.on_drop();
        let child = spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        let wait = async move { drop(child.join_forwarding().await) }.boxed_local().shared();
        let waiters = [spawn(wait.clone()), spawn(wait)];
        yield_now().await;
        let [first, last] = waiters;
        first.cancel_and_join().await.unwrap_err();
        assert_eq!(drops.get(), 0);
        last.cancel_and_join().await.unwrap_err();
        assert_eq!(drops.get(), 1);
    });
}

#[test]
fn a_local_pool_may_run_inside_a_task_and_a_runtime_inside_a_local_pool() {
    block_on(async {
        let task = spawn(async {
            let mut pool = futures::executor::LocalPool::new();
            pool.run_until(async { 7 })
        });
        assert_eq!(task.await.unwrap(), 7);
    });
    let mut pool = futures::executor::LocalPool::new();
    let output = pool.run_until(async { block_on(async { spawn(async { 8 }).await.unwrap() }) });
    assert_eq!(output, 8);
}

#[test]
fn a_stream_of_ticks_can_be_made_of_an_interval() {
    let log = Log::new();
    block_on(async {
        let start = now();
        let mut interval = quell::time::interval(10 * MS);
        stream::poll_fn(|cx| interval.poll_tick(cx).map(Some))
            .take(3)
            .for_each(|tick| {
                log.push((tick - start).as_millis());
                future::ready(())
            })
            .await;
    });
    assert_eq!(log.take(), [0, 10, 20]);
}
