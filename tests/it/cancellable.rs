//! `quell-cancel` alone: laws 1 to 6 for `cancellable`, on executors that know nothing of quell.

use futures::executor::LocalPool;
use futures::future::{self, FutureExt};
use quell_cancel::{CancelHandle, CancelKind, Cancelled, Reason, cancellable};
use quell_tests::{Alarm, Count, Log, OnDrop, Probe, finishes, quietly};
use std::cell::RefCell;
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn law_01_cancel_sets_a_flag_and_wakes_and_nothing_runs_inside() {
    let (alarm, waker) = Alarm::new();
    let (probe, polls, drops) = Probe::new();
    let (task, handle) = cancellable(probe);
    let mut task = Box::pin(task);
    let mut cx = Context::from_waker(&waker);
    assert!(task.as_mut().poll(&mut cx).is_pending());
    assert_eq!((polls.get(), drops.get(), alarm.wakes()), (1, 0, 0));
    assert!(handle.cancel());
    assert!(handle.cancel());
    assert_eq!((polls.get(), drops.get(), alarm.wakes()), (1, 0, 1), "one wake is enough");
    assert!(matches!(task.as_mut().poll(&mut cx), Poll::Ready(Err(Cancelled { .. }))));
    assert_eq!((polls.get(), drops.get(), alarm.wakes()), (1, 1, 1));
    assert!(handle.is_finished());
}

#[test]
fn law_01_a_request_goes_to_the_waker_of_the_last_poll() {
    let (first, first_waker) = Alarm::new();
    let (second, second_waker) = Alarm::new();
    let (task, handle) = cancellable(pending::<()>());
    let mut task = pin!(task);
    for waker in [&first_waker, &second_waker] {
        assert!(task.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
    }
    assert_eq!(Arc::strong_count(&first), 2, "the first is not kept");
    handle.cancel();
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
}

#[test]
fn law_02_a_future_that_has_ended_is_not_asked_any_more() {
    let (task, handle) = cancellable(async { 7 });
    assert!(matches!(poll(pin!(task)), Poll::Ready(Ok(7))));
    assert!(handle.is_finished());
    assert!(!handle.cancel());
    assert!(!handle.abort());
    assert!(!handle.is_requested() && !handle.is_aborted() && handle.reason().is_none());
}

#[test]
fn law_02_a_future_that_was_dropped_has_ended() {
    let (task, handle) = cancellable(pending::<()>());
    drop(task);
    assert!(handle.is_finished());
    assert!(!handle.cancel());
}

#[test]
fn law_03_a_request_before_the_first_poll_means_there_is_none() {
    let (probe, polls, drops) = Probe::new();
    let (task, handle) = cancellable(probe);
    handle.cancel();
    assert!(matches!(poll(pin!(task)), Poll::Ready(Err(_))));
    assert_eq!((polls.get(), drops.get()), (0, 1));
}

#[test]
fn law_03_destructors_run_in_rusts_order() {
    let log = Log::new();
    let (task, handle) = cancellable(async {
        let _first = log.on_drop("first");
        let _second = log.on_drop("second");
        pending::<()>().await;
    });
    let mut task = pin!(task);
    assert!(poll(task.as_mut()).is_pending());
    handle.cancel();
    assert!(poll(task).is_ready());
    assert_eq!(log.take(), ["second", "first"]);
}

#[test]
fn law_04_the_end_shows_only_after_the_last_destructor() {
    let seen = RefCell::new(None);
    let slot = RefCell::<Option<CancelHandle>>::default();
    let (task, handle) = cancellable(async {
        let _looks =
            OnDrop(|| *seen.borrow_mut() = Some(slot.borrow().as_ref().unwrap().is_finished()));
        pending::<()>().await;
    });
    *slot.borrow_mut() = Some(handle.clone());
    let mut task = pin!(task);
    assert!(poll(task.as_mut()).is_pending());
    handle.cancel();
    assert!(poll(task).is_ready());
    assert_eq!((seen.take(), handle.is_finished()), (Some(false), true));
}

#[test]
fn law_04_a_destructor_that_panics_ends_the_future_all_the_same() {
    let (task, handle) = cancellable(async {
        let _panics = OnDrop(|| panic!("in the destructor"));
        pending::<()>().await;
    });
    let mut task = Box::pin(task);
    assert!(poll(task.as_mut()).is_pending());
    handle.cancel();
    quietly(|| catch_unwind(AssertUnwindSafe(|| poll(task.as_mut())))).unwrap_err();
    assert!(handle.is_finished());
    assert!(!handle.cancel());
}

#[test]
fn law_05_a_value_wins_over_a_request_of_the_same_poll() {
    let slot = RefCell::<Option<CancelHandle>>::default();
    let (task, handle) = cancellable(async {
        assert!(slot.borrow().as_ref().unwrap().cancel());
        7
    });
    *slot.borrow_mut() = Some(handle.clone());
    assert!(matches!(poll(pin!(task)), Poll::Ready(Ok(7))));
    assert!(handle.is_requested());
}

#[test]
fn law_06_who_ignores_the_request_is_dropped_at_the_next_suspension_point() {
    let slot = RefCell::<Option<CancelHandle>>::default();
    let turns = Count::new();
    let (task, handle) = cancellable(async {
        loop {
            turns.up();
            slot.borrow().as_ref().unwrap().cancel();
            quell::yield_now().await;
        }
    });
    *slot.borrow_mut() = Some(handle);
    let mut task = pin!(task);
    assert!(poll(task.as_mut()).is_pending());
    assert!(matches!(poll::<_>(task.as_mut()), Poll::Ready(Err(_))));
    assert_eq!(turns.get(), 1);
}

#[test]
fn law_07_reasons_are_kept_in_their_order() {
    let (task, handle) = cancellable(pending::<()>());
    for i in 0..20 {
        handle.cancel_with(Reason::new(CancelKind::Deadline).with_message(i.to_string()));
    }
    let Poll::Ready(Err(cancelled)) = poll(pin!(task)) else { panic!("not cancelled") };
    assert_eq!(cancelled.reason().message(), Some("0"));
    assert_eq!(cancelled.reason().kind(), CancelKind::Deadline);
    let later: Vec<_> =
        cancelled.later_reasons().iter().map(|r| r.message().unwrap().to_owned()).collect();
    assert_eq!(later, (1..=16).map(|i| i.to_string()).collect::<Vec<_>>());
    assert!(cancelled.to_string().starts_with("cancelled: deadline: 0 (at "), "{cancelled}");
}

#[test]
#[should_panic(expected = "polled after it had returned")]
fn polling_after_the_end_panics() {
    let (task, _) = cancellable(async {});
    let mut task = pin!(task);
    assert!(poll(task.as_mut()).is_ready());
    let _ = poll(task);
}

#[test]
fn cancellables_nest() {
    let (inner, inner_handle) = cancellable(pending::<()>());
    let (outer, outer_handle) = cancellable(async {
        assert!(inner.await.is_err());
        pending::<()>().await;
    });
    let mut outer = pin!(outer);
    assert!(poll(outer.as_mut()).is_pending());
    inner_handle.cancel();
    assert!(poll(outer.as_mut()).is_pending(), "the outer goes on");
    outer_handle.cancel();
    assert!(poll(outer.as_mut()).is_ready());
}

/// A future for other executors: it can be cancelled, and counts its drop.
fn sleeper(drops: &Arc<AtomicUsize>) -> (impl Future<Output = bool> + Send + use<>, CancelHandle) {
    let guard = OnDrop({
        let drops = drops.clone();
        move || {
            drops.fetch_add(1, Ordering::SeqCst);
        }
    });
    let (task, handle) = cancellable(async move {
        let _guard = guard;
        pending::<()>().await;
    });
    (task.map(|outcome| outcome.is_err()), handle)
}

/// Cancels each of `count` sleepers from another thread, and checks what they say.
fn check_on<S, W>(count: usize, mut spawn: S, wait: W)
where
    S: FnMut(Pin<Box<dyn Future<Output = ()> + Send>>),
    W: FnOnce(),
{
    let drops = Arc::new(AtomicUsize::new(0));
    let (report, reports) = mpsc::channel();
    let handles: Vec<_> = (0..count)
        .map(|_| {
            let (task, handle) = sleeper(&drops);
            let (report, drops) = (report.clone(), drops.clone());
            spawn(Box::pin(async move {
                let cancelled = task.await;
                // The destructors have run when the outcome is there.
                report.send(cancelled && drops.load(Ordering::SeqCst) > 0).unwrap();
            }));
            handle
        })
        .collect();
    drop(report);
    let canceller = thread::spawn(move || handles.iter().all(CancelHandle::cancel));
    wait();
    assert!(canceller.join().unwrap());
    let reports: Vec<_> = reports.into_iter().collect();
    assert_eq!(reports, vec![true; count]);
    assert_eq!(drops.load(Ordering::SeqCst), count);
}

#[test]
fn it_works_on_futures_local_pool() {
    finishes(|| {
        use futures::task::LocalSpawnExt;
        let mut pool = LocalPool::new();
        let spawner = pool.spawner();
        check_on(100, |task| spawner.spawn_local(task).unwrap(), || pool.run());
    });
}

fn check_on_tokio(runtime: &tokio::runtime::Runtime) {
    let tasks = RefCell::new(Vec::new());
    check_on(
        100,
        |task| tasks.borrow_mut().push(runtime.spawn(task)),
        || {
            runtime.block_on(async {
                for task in tasks.take() {
                    task.await.unwrap();
                }
            });
        },
    );
}

#[test]
fn it_works_on_tokio_with_one_thread() {
    finishes(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        check_on_tokio(&runtime);
    });
}

#[test]
fn it_works_on_tokio_with_many_threads() {
    finishes(|| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        check_on_tokio(&runtime);
    });
}

#[test]
fn it_works_on_async_executor() {
    finishes(|| {
        let executor = async_executor::Executor::new();
        let tasks = RefCell::new(Vec::new());
        check_on(
            100,
            |task| tasks.borrow_mut().push(executor.spawn(task)),
            || {
                futures::executor::block_on(executor.run(async {
                    for task in tasks.take() {
                        task.await;
                    }
                }));
            },
        );
    });
}

#[test]
fn it_works_inside_combinators() {
    finishes(|| {
        futures::executor::block_on(async {
            let (tasks, handles): (Vec<_>, Vec<_>) =
                (0..10).map(|_| cancellable(pending::<()>())).unzip();
            let canceller = thread::spawn(move || handles.iter().all(CancelHandle::cancel));
            let outcomes = future::join_all(tasks).await;
            assert!(outcomes.iter().all(Result::is_err));
            assert!(canceller.join().unwrap());
        });
    });
}

#[test]
fn requests_race_with_the_end() {
    finishes(|| {
        for _ in 0..300 {
            let (task, handle) = cancellable(async {
                for _ in 0..3 {
                    quell::yield_now().await;
                }
                7
            });
            let canceller = thread::spawn(move || (handle.cancel(), handle));
            let outcome = futures::executor::block_on(task);
            let (answer, handle) = canceller.join().unwrap();
            match outcome {
                // A value wins, also over a request that was answered with yes.
                Ok(output) => assert_eq!(output, 7),
                Err(_) => assert!(answer),
            }
            assert_eq!(handle.is_requested(), answer);
            assert!(handle.is_finished());
        }
    });
}

#[test]
fn a_waker_may_cancel_while_it_is_woken() {
    struct Cancels(CancelHandle, AtomicUsize);
    impl std::task::Wake for Cancels {
        fn wake(self: Arc<Self>) {
            self.1.fetch_add(1, Ordering::SeqCst);
            assert!(self.0.cancel());
        }
    }
    let (task, handle) = cancellable(pending::<()>());
    let cancels = Arc::new(Cancels(handle.clone(), AtomicUsize::new(0)));
    let waker = Waker::from(cancels.clone());
    let mut task = pin!(task);
    assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(handle.cancel());
    assert_eq!(cancels.1.load(Ordering::SeqCst), 1);
    assert_eq!(handle.later_reasons().len(), 1);
    assert!(poll(task).is_ready());
}

#[test]
fn futures_that_are_send_stay_send() {
    fn check<T: Send>(_: &T) {}
    fn check_sync<T: Send + Sync + 'static>() {}
    let (task, handle) = cancellable(async {});
    check(&task);
    check(&handle);
    check_sync::<CancelHandle>();
    check_sync::<Cancelled>();
    check_sync::<Reason>();
}
