//! Law 21 of the contract: a panic stays inside its task.

use quell::{CancelKind, JoinError, JoinHandle, Panic, Runtime, spawn, task, yield_now};
use quell_tests::{Bomb, Count, OnDrop, block_on, quietly, runtime};
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};

/// Runs `main`, in which tasks panic on purpose.
fn quiet_block_on<F: Future>(main: F) -> F::Output {
    quietly(|| block_on(main))
}

/// A bystander that must get through whatever happens to the others.
fn bystander() -> JoinHandle<u32> {
    spawn(async {
        for _ in 0..5 {
            yield_now().await;
        }
        7
    })
}

async fn panic_of<T: std::fmt::Debug + 'static>(task: JoinHandle<T>) -> Panic {
    match task.await {
        Err(JoinError::Panicked(panic)) => panic,
        other => panic!("no panic: {other:?}"),
    }
}

#[test]
fn law_21_a_panic_in_the_body_is_the_tasks_join_error() {
    quiet_block_on(async {
        let bystander = bystander();
        let drops = Count::new();
        let guard = drops.on_drop();
        let task = spawn(async move {
            let _guard = guard;
            yield_now().await;
            panic!("oh no");
        });
        let id = task.id();
        let panic = panic_of::<()>(task).await;
        assert_eq!(panic.message().as_deref(), Some("oh no"));
        assert_eq!(panic.task(), id);
        assert!(panic.earlier().is_none());
        assert_eq!(drops.get(), 1);
        assert_eq!(bystander.await.unwrap(), 7);
    });
}

#[test]
fn law_21_a_panic_in_the_first_poll_is_caught_as_well() {
    quiet_block_on(async {
        let panic = panic_of::<()>(spawn(poll_fn(|_| panic!("at once")))).await;
        assert_eq!(panic.message().as_deref(), Some("at once"));
    });
}

#[test]
fn law_21_a_panic_in_a_destructor_during_cancellation_is_the_outcome() {
    quiet_block_on(async {
        let bystander = bystander();
        let drops = Count::new();
        let guard = drops.on_drop();
        let task = spawn(async move {
            let _guard = guard;
            let _panics = OnDrop(|| panic!("in the destructor"));
            pending::<()>().await;
        });
        yield_now().await;
        task.cancel();
        let panic = panic_of(task).await;
        assert_eq!(panic.message().as_deref(), Some("in the destructor"));
        assert!(panic.earlier().is_none());
        assert_eq!(drops.get(), 1, "the remaining destructors have run");
        assert_eq!(bystander.await.unwrap(), 7);
    });
}

/// A future that panics when polled, and again when dropped.
struct Twice;

impl Future for Twice {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        panic!("in the body")
    }
}

impl Drop for Twice {
    fn drop(&mut self) {
        panic!("in the destructor")
    }
}

#[test]
fn law_21_of_two_panics_the_last_is_the_outcome_and_the_earlier_is_recorded() {
    quiet_block_on(async {
        let panic = panic_of(spawn(Twice)).await;
        assert_eq!(panic.message().as_deref(), Some("in the destructor"));
        let earlier = panic.earlier().unwrap();
        assert_eq!(earlier.message().as_deref(), Some("in the body"));
        assert!(earlier.earlier().is_none());
        assert!(format!("{panic:?}").contains("in the body"));
    });
}

#[test]
fn law_21_a_future_that_returns_a_value_and_panics_when_dropped_has_panicked() {
    struct Returns(Option<quell_tests::Dropped>);
    impl Future for Returns {
        type Output = quell_tests::Dropped;
        fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
            Poll::Ready(self.0.take().unwrap())
        }
    }
    impl Drop for Returns {
        fn drop(&mut self) {
            panic!("in the destructor")
        }
    }
    quiet_block_on(async {
        let drops = Count::new();
        let panic = panic_of(spawn(Returns(Some(drops.on_drop())))).await;
        assert_eq!(panic.message().as_deref(), Some("in the destructor"));
        assert_eq!(drops.get(), 1, "the output is not leaked");
    });
}

/// An output that panics when it is dropped.
#[derive(Debug)]
struct BadOutput(#[expect(dead_code, reason = "counts its drop")] quell_tests::Dropped);

impl Drop for BadOutput {
    fn drop(&mut self) {
        panic!("in the output's destructor")
    }
}

#[test]
fn law_21_a_panic_in_the_output_of_a_detached_task_is_contained() {
    quiet_block_on(async {
        let bystander = bystander();
        let drops = Count::new();
        let output = BadOutput(drops.on_drop());
        drop(spawn(async move { output }));
        yield_now().await;
        assert_eq!(drops.get(), 1);
        assert_eq!(bystander.await.unwrap(), 7);
    });
}

#[test]
fn law_21_a_panic_in_an_output_dropped_with_its_handle_is_contained() {
    quiet_block_on(async {
        let drops = Count::new();
        let output = BadOutput(drops.on_drop());
        let task = spawn(async move { output });
        yield_now().await;
        assert!(task.is_finished());
        drop(task);
        assert_eq!(drops.get(), 1);
    });
}

/// Wakers that do something bad in one of their functions.
mod bad_waker {
    use super::{RawWaker, RawWakerVTable, Waker};

    static CLONE: RawWakerVTable = RawWakerVTable::new(clone_panics, nothing, nothing, nothing);
    static WAKE: RawWakerVTable = RawWakerVTable::new(clone_wake, panics, panics, nothing);
    static DROP: RawWakerVTable = RawWakerVTable::new(clone_drop, nothing, nothing, panics);

    unsafe fn nothing(_: *const ()) {}

    unsafe fn panics(_: *const ()) {
        panic!("in a waker")
    }

    unsafe fn clone_panics(_: *const ()) -> RawWaker {
        panic!("in a waker")
    }

    unsafe fn clone_wake(_: *const ()) -> RawWaker {
        RawWaker::new(std::ptr::null(), &WAKE)
    }

    unsafe fn clone_drop(_: *const ()) -> RawWaker {
        RawWaker::new(std::ptr::null(), &DROP)
    }

    fn make(vtable: &'static RawWakerVTable) -> Waker {
        // SAFETY: the functions use no data, so that any pointer will do on any thread.
        unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), vtable)) }
    }

    pub(super) fn in_clone() -> Waker {
        make(&CLONE)
    }

    pub(super) fn in_wake() -> Waker {
        make(&WAKE)
    }

    pub(super) fn in_drop() -> Waker {
        make(&DROP)
    }
}

#[test]
fn law_21_a_join_waker_that_panics_harms_nobody() {
    quiet_block_on(async {
        struct Panics;
        impl Wake for Panics {
            fn wake(self: Arc<Self>) {
                panic!("in a waker")
            }
        }
        let bystander = bystander();
        let wakers = [Waker::from(Arc::new(Panics)), bad_waker::in_wake()];
        for waker in wakers {
            let mut task = spawn(async { 7 });
            let polled = Pin::new(&mut task).poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
            yield_now().await;
            assert_eq!(task.await.unwrap(), 7, "the output is not lost");
        }
        assert_eq!(bystander.await.unwrap(), 7);
    });
}

#[test]
fn law_21_a_waker_that_panics_when_cloned_is_the_pollers_panic() {
    quiet_block_on(async {
        let waiter = spawn(async {
            let mut task = pin!(spawn(pending::<()>()));
            let waker = bad_waker::in_clone();
            let _ = task.as_mut().poll(&mut Context::from_waker(&waker));
        });
        let panic = panic_of(waiter).await;
        assert_eq!(panic.message().as_deref(), Some("in a waker"));
    });
}

#[test]
fn law_21_a_join_waker_that_panics_when_dropped_harms_nobody() {
    quiet_block_on(async {
        let waker = std::mem::ManuallyDrop::new(bad_waker::in_drop());
        // Dropped with the handle, while the task runs.
        let mut task = spawn(yield_now());
        assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(task);
        // Dropped after it was woken.
        let mut task = spawn(async { 7 });
        assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
        yield_now().await;
        assert_eq!(task.await.unwrap(), 7);
    });
}

#[test]
fn law_21_a_timers_waker_that_panics_does_not_hold_up_the_others() {
    use quell::time::{Duration, sleep};
    quiet_block_on(async {
        let waker = bad_waker::in_wake();
        let mut first = Box::pin(sleep(Duration::from_millis(5)));
        assert!(first.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        sleep(Duration::from_millis(5)).await;
        first.await;
    });
}

#[test]
fn law_21_payloads_keep_their_type() {
    quiet_block_on(async {
        let seven = std::hint::black_box(7);
        let text = panic_of::<()>(spawn(async move { panic!("number {seven}") })).await;
        assert_eq!(text.message().as_deref(), Some("number 7"));
        assert_eq!(*text.into_payload().downcast::<String>().unwrap(), "number 7");

        let number = panic_of(spawn(async { panic_any(7_u32) })).await;
        assert_eq!(number.message(), None);
        assert_eq!(*number.into_payload().downcast::<u32>().unwrap(), 7);

        let resumed = panic_of(spawn(async { resume_unwind(Box::new("resumed")) })).await;
        assert_eq!(resumed.message().as_deref(), Some("resumed"));
    });
}

#[test]
fn a_panic_can_go_on_where_the_task_was_waited_for() {
    let payload = quietly(|| {
        catch_unwind(|| {
            block_on(async {
                panic_of(spawn(async { panic_any(7_u32) })).await.resume();
            })
        })
    });
    assert_eq!(*payload.unwrap_err().downcast::<u32>().unwrap(), 7);
}

/// A payload whose destructor always panics with another one.
struct EndlessBomb;

impl Drop for EndlessBomb {
    fn drop(&mut self) {
        panic_any(EndlessBomb);
    }
}

#[test]
fn law_21_a_payload_that_panics_when_dropped_harms_nobody() {
    quiet_block_on(async {
        let bystander = bystander();
        for depth in [1, 2] {
            drop(spawn(async move { panic_any(Bomb(depth)) }));
            yield_now().await;
            // Dropped by whoever took it.
            let task = spawn(async move { panic_any(Bomb(depth)) });
            drop(panic_of::<()>(task).await);
        }
        drop(spawn(async { panic_any(EndlessBomb) }));
        drop(panic_of::<()>(spawn(async { panic_any(EndlessBomb) })).await);
        assert_eq!(bystander.await.unwrap(), 7);
    });
}

#[test]
fn law_21_two_payloads_that_panic_when_dropped_do_not_end_the_process() {
    struct TwoBombs;
    impl Future for TwoBombs {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            panic_any(Bomb(1))
        }
    }
    impl Drop for TwoBombs {
        fn drop(&mut self) {
            panic_any(Bomb(1))
        }
    }
    quiet_block_on(async {
        let bystander = bystander();
        drop(spawn(TwoBombs));
        drop(panic_of(spawn(TwoBombs)).await);
        assert_eq!(bystander.await.unwrap(), 7);
    });
}

#[test]
fn the_texts_of_join_errors_name_the_task_and_its_place() {
    quiet_block_on(async {
        let task = task::Builder::new().name("worker 1").spawn(async { panic!("oh no") });
        let line = line!() - 1;
        let id = task.id();
        let error: JoinError = task.await.unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled() && error.reason().is_none());
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("task {id} (worker 1), spawned at {}:{line}:", file!())),
            "{text}"
        );
        assert!(text.ends_with("panicked: oh no"), "{text}");

        let task = spawn(pending::<()>());
        task.cancel_with(quell::Reason::new(CancelKind::Explicit).with_message("not needed"));
        let error = task.await.unwrap_err();
        assert!(!error.is_panic() && error.is_cancelled());
        let text = error.to_string();
        assert!(text.starts_with("the task was cancelled: explicit request: not needed"), "{text}");
        assert!(std::error::Error::source(&error).unwrap().is::<quell::Cancelled>());
    });
    let refused = spawn(async {});
    let error = block_on(refused).unwrap_err();
    assert!(matches!(error, JoinError::ExecutorGone));
    assert!(error.to_string().contains("never started"));
}

#[test]
fn join_errors_are_send_and_sync() {
    fn check<T: Send + Sync + 'static>() {}
    check::<JoinError>();
    check::<Panic>();
}

#[test]
fn law_21_main_panics_and_the_runtime_goes_on() {
    let runtime = runtime();
    let task = runtime.spawn(async {
        yield_now().await;
        7
    });
    let outcome = quietly(|| {
        catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(async {
                // Woken for another turn that it will not take.
                let _again = yield_now();
                poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    panic!("in main")
                })
                .await
            })
        }))
    });
    let payload: Result<(), _> = outcome;
    assert_eq!(*payload.unwrap_err().downcast::<&str>().unwrap(), "in main");
    assert_eq!(task::id(), None);
    assert_eq!(runtime.block_on(task).unwrap(), 7);
}

#[test]
fn law_21_a_main_future_that_panics_when_dropped_leaves_a_usable_runtime() {
    let runtime = runtime();
    let outcome = quietly(|| {
        catch_unwind(AssertUnwindSafe(|| {
            let panics = OnDrop(|| panic!("in the destructor"));
            runtime.block_on(poll_fn(move |_| {
                let _ = &panics;
                Poll::Ready(7)
            }))
        }))
    });
    assert!(outcome.is_err());
    assert_eq!(runtime.block_on(async { spawn(async { 7 }).await.unwrap() }), 7);
}

#[test]
fn a_second_block_on_inside_the_first_panics_and_the_outer_survives() {
    quiet_block_on(async {
        let bystander = bystander();
        let inner = spawn(async { block_on(async { 7 }) });
        let message = panic_of(inner).await.message().unwrap();
        assert!(message.starts_with("`block_on` was called inside a running quell"), "{message}");
        let inner = spawn(async { runtime().run(async { 7 }).unwrap() });
        let message = panic_of(inner).await.message().unwrap();
        assert!(message.starts_with("`run` was called inside a running quell"), "{message}");
        assert!(message.contains("await"), "the way out: {message}");
        assert_eq!(bystander.await.unwrap(), 7);
    });
}

#[test]
fn polling_a_timer_outside_of_a_runtime_panics_and_says_so() {
    let sleep = quell::time::sleep(std::time::Duration::from_secs(1));
    let outcome =
        quietly(|| catch_unwind(AssertUnwindSafe(|| quell_tests::poll_once(&mut { sleep }))));
    let message = outcome.map(|_| ()).unwrap_err().downcast::<&str>().unwrap();
    assert!(message.contains("no quell runtime is running"), "{message}");
}

#[test]
fn law_21_panics_in_many_tasks_are_kept_apart() {
    quiet_block_on(async {
        let tasks: Vec<JoinHandle<()>> =
            (0..100).map(|i| spawn(async move { panic_any(i) })).collect();
        for (i, task) in tasks.into_iter().enumerate() {
            let payload = panic_of(task).await.into_payload();
            assert_eq!(*payload.downcast::<i32>().unwrap(), i as i32);
        }
    });
}

#[test]
fn law_21_a_runtime_that_saw_panics_is_as_good_as_new() {
    let runtime = Runtime::new().unwrap();
    for round in 0..10 {
        let task = runtime.spawn(async move { panic_any(round) });
        let outcome: Result<(), JoinError> = quietly(|| runtime.block_on(task));
        assert!(outcome.unwrap_err().is_panic());
        assert_eq!(runtime.alive(), 0);
    }
}
