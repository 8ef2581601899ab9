//! Laws 1 to 6, 8, 22 and 23 of the contract, for tasks without regions: asking a task to stop.

use futures::channel::oneshot;
use quell::{CancelHandle, CancelKind, JoinError, Reason, spawn, task, yield_now};
use quell_tests::{Count, Log, OnDrop, Probe, block_on, leak_waker, poll_once};
use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::Location;
use std::rc::Rc;
use std::task::Poll;
use std::thread;

#[test]
fn law_01_nothing_of_the_task_runs_inside_cancel() {
    block_on(async {
        let (probe, polls, drops) = Probe::new();
        let task = spawn(probe);
        yield_now().await;
        assert_eq!((polls.get(), drops.get()), (1, 0));

        assert!(task.cancel());
        assert_eq!((polls.get(), drops.get()), (1, 0));
        assert!(!task.is_finished());

        let error = task.await.unwrap_err();
        assert_eq!((polls.get(), drops.get()), (1, 1));
        assert_eq!(error.reason().unwrap().kind(), CancelKind::Explicit);
    });
}

#[test]
fn law_01_asking_twice_is_the_same_as_asking_once() {
    block_on(async {
        let (probe, polls, drops) = Probe::new();
        let task = spawn(probe);
        yield_now().await;
        assert!(task.cancel());
        assert!(task.cancel(), "it has not finished yet");
        assert!(task.cancel_handle().cancel());
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!((polls.get(), drops.get()), (1, 1));
    });
}

#[test]
fn law_01_a_request_may_come_from_another_thread() {
    block_on(async {
        let here = thread::current().id();
        let dropped_on = Rc::new(Cell::new(None));
        let guard = OnDrop({
            let dropped_on = dropped_on.clone();
            move || dropped_on.set(Some(thread::current().id()))
        });
        let task = spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        yield_now().await;
        let handle = task.cancel_handle();
        // The main future waits without another wake: the request itself must end the wait.
        let thread = thread::spawn(move || handle.cancel());
        let error = task.await.unwrap_err();
        assert!(thread.join().unwrap());
        assert_eq!(error.reason().unwrap().by(), None, "no task asked");
        assert_eq!(dropped_on.get(), Some(here), "dropped by the executor");
    });
}

#[test]
fn law_01_many_threads_may_ask_at_once() {
    block_on(async {
        let (probe, polls, drops) = Probe::new();
        let task = spawn(probe);
        yield_now().await;
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let handle = task.cancel_handle();
                thread::spawn(move || handle.cancel())
            })
            .collect();
        let answers: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        assert_eq!(answers, [true; 8], "the executor had no turn in between");
        let JoinError::Cancelled(cancelled) = task.await.unwrap_err() else {
            panic!("not cancelled")
        };
        assert_eq!(cancelled.later_reasons().len(), 7);
        assert_eq!((polls.get(), drops.get()), (1, 1));
    });
}

#[test]
fn law_01_a_task_may_ask_itself() {
    block_on(async {
        let log = Log::new();
        let task = spawn({
            let log = log.clone();
            async move {
                let _guard = log.on_drop("dropped");
                assert!(task::cancel_handle().unwrap().cancel());
                log.push("runs on to its next suspension point");
                yield_now().await;
                log.push("and no further");
            }
        });
        let id = task.id();
        let error = task.await.unwrap_err();
        assert_eq!(error.reason().unwrap().by(), Some(id));
        assert_eq!(log.take(), ["runs on to its next suspension point", "dropped"]);
    });
}

#[test]
fn law_01_a_request_may_come_from_a_destructor() {
    block_on(async {
        let drops = Count::new();
        let sleeper = spawn({
            let guard = drops.on_drop();
            async move {
                let _guard = guard;
                pending::<()>().await;
            }
        });
        let handle = sleeper.cancel_handle();
        let answer = Rc::new(Cell::new(None));
        let asks = OnDrop({
            let answer = answer.clone();
            move || answer.set(Some(handle.cancel()))
        });
        let other = spawn(async move {
            let _asks = asks;
            pending::<()>().await;
        });
        yield_now().await;
        other.cancel();
        assert!(other.await.unwrap_err().is_cancelled());
        assert_eq!(answer.get(), Some(true));
        assert!(sleeper.await.unwrap_err().is_cancelled());
        assert_eq!(drops.get(), 1);
    });
}

#[test]
fn law_01_a_destructor_may_ask_the_task_that_it_is_part_of() {
    block_on(async {
        let answer = Rc::new(Cell::new(None));
        let task = spawn({
            let answer = answer.clone();
            async move {
                let handle = task::cancel_handle().unwrap();
                let _asks = OnDrop(move || answer.set(Some(handle.cancel())));
                pending::<()>().await;
            }
        });
        yield_now().await;
        task.cancel();
        let JoinError::Cancelled(cancelled) = task.await.unwrap_err() else {
            panic!("not cancelled")
        };
        assert_eq!(answer.get(), Some(true), "it has not ended yet");
        assert_eq!(cancelled.later_reasons().len(), 1);
    });
}

#[test]
fn law_02_cancel_answers_whether_the_task_had_not_yet_finished() {
    block_on(async {
        let task = spawn(async { 7 });
        let handle = task.cancel_handle();
        assert!(!handle.is_finished());
        yield_now().await;
        assert!(task.is_finished());
        assert!(handle.is_finished());
        assert!(!task.cancel());
        assert!(!task.abort());
        assert!(!handle.cancel());
        assert!(!handle.is_requested(), "nothing was changed");
        assert_eq!(task.await.unwrap(), 7, "the output is not lost");
        assert!(!handle.cancel(), "nor does it matter that it was taken");
    });
}

#[test]
fn law_02_a_handle_made_after_the_end_answers_false() {
    block_on(async {
        let task = spawn(async { 7 });
        yield_now().await;
        let handle = task.cancel_handle();
        assert!(handle.is_finished());
        assert!(!handle.cancel());
        assert_eq!(task.await.unwrap(), 7);
    });
}

#[test]
fn law_02_a_second_request_after_the_end_is_refused() {
    block_on(async {
        let task = spawn(pending::<()>());
        let handle = task.cancel_handle();
        assert!(handle.cancel());
        task.await.unwrap_err();
        assert!(!handle.cancel());
        assert!(handle.later_reasons().is_empty());
    });
}

#[test]
fn law_03_the_next_poll_drops_the_future_without_polling_it() {
    block_on(async {
        let (probe, polls, drops) = Probe::new();
        let task = spawn(probe.ready_at(2));
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!((polls.get(), drops.get()), (1, 1));
    });
}

#[test]
fn law_03_a_task_cancelled_before_its_first_poll_never_runs() {
    block_on(async {
        let (probe, polls, drops) = Probe::new();
        let task = spawn(probe);
        task.cancel();
        assert!(matches!(task.await, Err(JoinError::Cancelled(_))));
        assert_eq!((polls.get(), drops.get()), (0, 1));
    });
}

#[test]
fn law_03_destructors_run_in_rusts_order() {
    block_on(async {
        let log = Log::new();
        let task = spawn({
            let log = log.clone();
            async move {
                let _first = log.on_drop("first local");
                let _second = log.on_drop("second local");
                async {
                    let _inner = log.on_drop("local of the inner future");
                    pending::<()>().await;
                }
                .await;
            }
        });
        yield_now().await;
        task.cancel();
        task.await.unwrap_err();
        assert_eq!(log.take(), ["local of the inner future", "second local", "first local"]);
    });
}

#[test]
fn law_03_the_future_is_dropped_where_it_was_polled() {
    block_on(async {
        struct Place(Rc<RefCell<Vec<usize>>>, std::marker::PhantomPinned);
        impl Future for Place {
            type Output = ();
            fn poll(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<()> {
                let place = std::ptr::from_ref(&*self) as usize;
                self.0.borrow_mut().push(place);
                Poll::Pending
            }
        }
        impl Drop for Place {
            fn drop(&mut self) {
                let place = std::ptr::from_ref(self) as usize;
                self.0.borrow_mut().push(place);
            }
        }
        let places = Rc::<RefCell<Vec<usize>>>::default();
        let task = spawn(Place(places.clone(), std::marker::PhantomPinned));
        yield_now().await;
        task.cancel();
        task.await.unwrap_err();
        let places = places.take();
        assert_eq!(places.len(), 2);
        assert_eq!(places[0], places[1]);
    });
}

#[test]
fn law_04_the_end_shows_only_after_the_last_destructor() {
    block_on(async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let handle = Rc::<RefCell<Option<CancelHandle>>>::default();
        let looks = || {
            let (seen, handle) = (seen.clone(), handle.clone());
            OnDrop(move || {
                seen.borrow_mut().push(handle.borrow().as_ref().unwrap().is_finished());
            })
        };
        let (first, last) = (looks(), looks());
        let mut task = spawn(async move {
            let _last = last;
            let _first = first;
            pending::<()>().await;
        });
        *handle.borrow_mut() = Some(task.cancel_handle());
        yield_now().await;
        task.cancel();
        assert!(poll_once(&mut task).is_pending());
        task.await.unwrap_err();
        assert_eq!(*seen.borrow(), [false, false]);
        assert!(handle.borrow().as_ref().unwrap().is_finished());
    });
}

#[test]
fn law_05_a_value_wins_over_a_request_made_in_the_same_poll() {
    block_on(async {
        let task = spawn(async {
            assert!(task::cancel_handle().unwrap().cancel());
            7
        });
        let handle = task.cancel_handle();
        assert_eq!(task.await.unwrap(), 7);
        assert!(handle.is_requested(), "it was asked all the same");
    });
}

#[test]
fn law_05_a_request_before_the_poll_wins_over_a_value() {
    block_on(async {
        let (probe, polls, drops) = Probe::new();
        let task = spawn(probe.ready_at(1));
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!((polls.get(), drops.get()), (0, 1));
    });
}

#[test]
fn law_06_a_task_that_ignores_the_request_is_dropped_at_its_next_suspension_point() {
    block_on(async {
        let rounds = Count::new();
        let task = spawn({
            let rounds = rounds.clone();
            async move {
                loop {
                    // It knows and goes on.
                    let _asked = task::cancel_handle().unwrap().is_requested();
                    rounds.up();
                    yield_now().await;
                }
            }
        });
        yield_now().await;
        yield_now().await;
        let before = rounds.get();
        task.cancel();
        task.await.unwrap_err();
        assert_eq!(rounds.get(), before);
    });
}

#[test]
fn law_06_a_task_that_wakes_itself_in_its_destructor_is_not_polled_again() {
    block_on(async {
        let polls = Count::new();
        let task = spawn({
            let polls = polls.clone();
            let mut guard = None;
            poll_fn(move |cx| {
                polls.up();
                let waker = cx.waker().clone();
                guard.get_or_insert_with(|| OnDrop(move || waker.wake_by_ref()));
                Poll::<()>::Pending
            })
        });
        yield_now().await;
        task.cancel();
        task.await.unwrap_err();
        yield_now().await;
        assert_eq!(polls.get(), 1);
    });
}

#[test]
fn law_07_the_first_reason_is_kept_and_later_ones_are_recorded_behind_it() {
    block_on(async {
        let task = spawn(pending::<()>());
        task.cancel_with(Reason::new(CancelKind::Explicit).with_message("first"));
        task.cancel_with(Reason::new(CancelKind::Deadline).with_message("second"));
        task.cancel_with(Reason::new(CancelKind::Signal));
        let JoinError::Cancelled(cancelled) = task.await.unwrap_err() else {
            panic!("not cancelled")
        };
        assert_eq!(cancelled.reason().message(), Some("first"));
        let later = cancelled.later_reasons();
        assert_eq!(
            later.iter().map(Reason::kind).collect::<Vec<_>>(),
            [CancelKind::Deadline, CancelKind::Signal]
        );
        assert_eq!(later[0].message(), Some("second"));
    });
}

#[test]
fn law_07_sixteen_later_reasons_are_kept() {
    block_on(async {
        let task = spawn(pending::<()>());
        for i in 0..100 {
            task.cancel_with(Reason::new(CancelKind::Explicit).with_message(i.to_string()));
        }
        let JoinError::Cancelled(cancelled) = task.await.unwrap_err() else {
            panic!("not cancelled")
        };
        assert_eq!(cancelled.reason().message(), Some("0"));
        let later = cancelled.later_reasons();
        assert_eq!(later.len(), CancelHandle::LATER_REASONS);
        assert_eq!(later[0].message(), Some("1"));
        assert_eq!(later[15].message(), Some("16"));
    });
}

#[test]
fn a_reason_tells_who_asked_and_where() {
    block_on(async {
        let task = spawn(pending::<()>());
        let scope = task.cancel_handle();
        let asker = spawn(async move {
            let line = Location::caller().line() + 1;
            scope.cancel();
            line
        });
        let id = asker.id();
        let line = asker.await.unwrap();
        let error = task.await.unwrap_err();
        let reason = error.reason().unwrap();
        assert_eq!(reason.by(), Some(id));
        assert_eq!(reason.location().file(), file!());
        assert_eq!(reason.location().line(), line);
        assert_eq!(
            error.to_string(),
            format!(
                "the task was cancelled: explicit request (by task {id} at {})",
                reason.location()
            )
        );
    });
}

#[test]
fn every_way_of_asking_records_the_callers_line() {
    block_on(async {
        let asked_at = |ask: &dyn Fn(&quell::JoinHandle<()>) -> u32| {
            let task = spawn(pending::<()>());
            let line = ask(&task);
            let scope = task.cancel_handle();
            let location = scope.reason().unwrap().location();
            assert_eq!((location.file(), location.line()), (file!(), line));
        };
        asked_at(&|task| {
            task.cancel();
            line!() - 1
        });
        asked_at(&|task| {
            task.abort();
            line!() - 1
        });
        asked_at(&|task| {
            task.cancel_handle().abort();
            line!() - 1
        });
        let task = spawn(pending::<()>());
        let scope = task.cancel_handle();
        let join = task.cancel_and_join();
        let line = line!() - 1;
        assert_eq!(scope.reason().unwrap().location().line(), line);
        join.await.unwrap_err();
    });
}

#[test]
fn law_08_an_aborted_task_without_regions_runs_its_destructors() {
    block_on(async {
        let (probe, polls, drops) = Probe::new();
        let task = spawn(probe);
        let handle = task.cancel_handle();
        yield_now().await;
        assert!(task.abort());
        assert!(handle.is_aborted());
        assert_eq!((polls.get(), drops.get()), (1, 0), "nothing runs inside");
        let error = task.await.unwrap_err();
        assert_eq!(error.reason().unwrap().message(), Some("aborted"));
        assert_eq!((polls.get(), drops.get()), (1, 1));
    });
}

#[test]
fn law_08_an_abort_after_a_request_keeps_the_first_reason() {
    block_on(async {
        let task = spawn(pending::<()>());
        let handle = task.cancel_handle();
        assert!(!handle.is_aborted());
        task.cancel();
        assert!(!handle.is_aborted());
        task.abort();
        assert!(handle.is_aborted());
        let JoinError::Cancelled(cancelled) = task.await.unwrap_err() else {
            panic!("not cancelled")
        };
        assert_eq!(cancelled.reason().message(), None);
        assert_eq!(cancelled.later_reasons()[0].message(), Some("aborted"));
    });
}

#[test]
fn law_22_a_destructor_may_spawn_wake_cancel_and_join() {
    block_on(async {
        let (done, outcome) = oneshot::channel();
        let (waker_out, waker_in) = oneshot::channel();
        let woken = spawn(leak_waker(move |waker| waker_out.send(waker).unwrap()));
        let waker = waker_in.await.unwrap();
        let woken_scope = woken.cancel_handle();
        let mut work = Some(move || {
            let child = spawn(async { 6 * 7 });
            waker.wake();
            woken_scope.cancel();
            drop(spawn(async move { done.send(child.await.unwrap()).unwrap() }));
        });
        let guard = OnDrop(move || (work.take().unwrap())());
        let task = spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        yield_now().await;
        task.cancel_and_join().await.unwrap_err();
        assert_eq!(outcome.await.unwrap(), 42);
        assert!(woken.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn law_22_a_destructor_may_take_part_in_its_own_join() {
    block_on(async {
        // The task owns its own handle and touches it while it is being dropped.
        let (handle_out, handle_in) = oneshot::channel::<quell::JoinHandle<()>>();
        let drops = Count::new();
        let task = spawn({
            let guard = drops.on_drop();
            async move {
                let handle = RefCell::new(handle_in.await.unwrap());
                let _guard = guard;
                let _touches = OnDrop(|| {
                    let mut handle = handle.borrow_mut();
                    assert!(!handle.is_finished());
                    assert!(handle.cancel());
                    assert!(poll_once(&mut *handle).is_pending());
                });
                pending::<()>().await;
            }
        });
        let scope = task.cancel_handle();
        handle_out.send(task).unwrap();
        yield_now().await;
        yield_now().await;
        assert_eq!(drops.get(), 0);
        scope.cancel();
        yield_now().await;
        assert_eq!(drops.get(), 1);
        assert!(scope.is_finished());
    });
}

#[test]
fn law_23_a_waker_may_be_used_after_its_task_has_ended() {
    block_on(async {
        let (waker_out, waker_in) = oneshot::channel();
        let task = spawn(leak_waker(move |waker| waker_out.send(waker).unwrap()));
        let waker = waker_in.await.unwrap();
        task.cancel_and_join().await.unwrap_err();
        waker.wake_by_ref();
        let copy = waker.clone();
        yield_now().await;
        thread::spawn(move || copy.wake()).join().unwrap();
        yield_now().await;
        // At worst it wakes whoever has the place now: one poll that has no reason.
        let (probe, polls, drops) = Probe::new();
        let next = spawn(probe);
        yield_now().await;
        waker.wake();
        yield_now().await;
        assert!((1..=2).contains(&polls.get()), "{polls:?}");
        assert_eq!(drops.get(), 0);
        drop(next);
    });
}

#[test]
fn law_07_a_request_made_while_the_task_is_being_dropped_is_recorded() {
    block_on(async {
        let handle = Rc::<RefCell<Option<quell::JoinHandle<()>>>>::default();
        let asks = OnDrop({
            let handle = handle.clone();
            move || assert!(handle.borrow().as_ref().unwrap().cancel())
        });
        *handle.borrow_mut() = Some(spawn(async move {
            let _asks = asks;
            pending::<()>().await;
        }));
        yield_now().await;
        assert!(handle.borrow().as_ref().unwrap().cancel());
        yield_now().await;
        let JoinError::Cancelled(cancelled) = handle.take().unwrap().await.unwrap_err() else {
            panic!("not cancelled")
        };
        assert_eq!(cancelled.later_reasons().len(), 1);
    });
}
