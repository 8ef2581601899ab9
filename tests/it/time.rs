//! Timers: when they fire, in which order, and that dropping one frees it.

use quell::clock::{Clock, VirtualClock};
use quell::time::{
    self, Duration, Instant, MissedTickBehavior, interval, interval_at, now, sleep, sleep_until,
    timeout, timeout_at,
};
use quell::{Builder, Runtime, spawn, yield_now};
use quell_tests::{Count, Log, Probe, block_on, finishes, poll_once};
use std::cell::Cell;
use std::future::{Future, pending, poll_fn, ready};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::thread;

const MS: Duration = Duration::from_millis(1);

/// A runtime and its clock, which the test may move.
fn clocked() -> (Runtime, VirtualClock) {
    let clock = VirtualClock::new();
    let runtime = Builder::new().clock(clock.clone()).signals(false).build().unwrap();
    (runtime, clock)
}

/// Registers a timer with the running runtime.
fn arm<F: Future + Unpin>(timer: &mut F) {
    assert!(poll_once(timer).is_pending());
}

#[test]
fn a_sleep_takes_exactly_its_time() {
    let (runtime, clock) = clocked();
    for duration in [Duration::from_nanos(1), MS, Duration::from_secs(86_400 * 365)] {
        let before = clock.elapsed();
        runtime.block_on(sleep(duration));
        assert_eq!(clock.elapsed() - before, duration);
    }
}

#[test]
fn a_sleep_on_the_real_clock_is_never_early() {
    // The one test that waits for real time: the operating system's timeout is what is tested.
    let runtime = Builder::new().signals(false).build().unwrap();
    let start = Instant::now();
    runtime.block_on(sleep(2 * MS));
    assert!(start.elapsed() >= 2 * MS);
}

#[test]
fn sleeps_run_side_by_side() {
    let (runtime, clock) = clocked();
    runtime.block_on(async {
        let tasks: Vec<_> = (1..=10).map(|i| spawn(sleep(i * MS))).collect();
        futures::future::join_all(tasks).await;
    });
    assert_eq!(clock.elapsed(), 10 * MS);
}

#[test]
fn a_sleep_counts_from_its_making() {
    let (runtime, clock) = clocked();
    runtime.block_on(async {
        let late = sleep(10 * MS);
        sleep(7 * MS).await;
        late.await;
    });
    assert_eq!(clock.elapsed(), 10 * MS);
}

#[test]
fn a_sleep_made_outside_of_a_runtime_counts_from_its_first_poll() {
    let sleep = sleep(10 * MS);
    let (runtime, clock) = clocked();
    clock.advance(Duration::from_secs(3600));
    runtime.block_on(sleep);
    assert_eq!(clock.elapsed(), Duration::from_secs(3600) + 10 * MS);
}

#[test]
fn a_sleep_of_zero_and_one_in_the_past_are_ready_at_once() {
    let (runtime, _) = clocked();
    runtime.block_on(async {
        assert!(poll_once(&mut pin!(sleep(Duration::ZERO))).is_ready());
        assert!(poll_once(&mut pin!(sleep_until(now()))).is_ready());
        let past = now().checked_sub(Duration::from_secs(1)).unwrap_or_else(now);
        assert!(poll_once(&mut pin!(sleep_until(past))).is_ready());
    });
    assert_eq!(runtime.next_deadline(), None);
}

#[test]
fn a_sleep_of_the_longest_duration_never_ends_and_never_overflows() {
    let (runtime, clock) = clocked();
    runtime.block_on(async {
        let mut never = pin!(sleep(Duration::MAX));
        arm(&mut never);
        let mut guarded = pin!(timeout(Duration::MAX, pending::<()>()));
        arm(&mut guarded);
        sleep(Duration::from_secs(86_400 * 365 * 10)).await;
        arm(&mut never);
        arm(&mut guarded);
    });
    assert_eq!(clock.elapsed(), Duration::from_secs(86_400 * 365 * 10));
}

#[test]
fn timers_of_one_deadline_fire_in_the_order_in_which_they_were_set() {
    let log = Log::new();
    block_on(async {
        let deadline = now() + 5 * MS;
        let tasks: Vec<_> = (0..10)
            .map(|i| {
                let log = log.clone();
                spawn(async move {
                    sleep_until(deadline).await;
                    log.push(i);
                })
            })
            .collect();
        futures::future::join_all(tasks).await;
    });
    assert_eq!(log.take(), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_hundred_thousand_timers_fire_in_the_order_of_deadline_then_of_insertion() {
    let log = Log::new();
    let (runtime, clock) = clocked();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut expected = Vec::new();
    for i in 0..100_000_usize {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // Few enough deadlines for many ties, of all magnitudes.
        let nanos = (random % 1000) << ((random >> 32) % 30);
        expected.push((nanos, i));
        let log = log.clone();
        drop(runtime.spawn(async move {
            sleep(Duration::from_nanos(nanos)).await;
            log.push((nanos, i));
        }));
    }
    expected.sort_unstable();
    runtime.run_until_stalled();
    while let Some(deadline) = runtime.next_deadline() {
        clock.skip_to(deadline);
        runtime.run_until_stalled();
    }
    assert_eq!(runtime.alive(), 0);
    assert!(log.take() == expected);
}

#[test]
fn a_million_pending_timers_are_set_and_dropped() {
    let (runtime, clock) = clocked();
    runtime.block_on(async {
        let mut sleeps: Vec<_> = (0..1_000_000_u64)
            .map(|i| Box::pin(sleep(Duration::from_nanos(1 + i.wrapping_mul(7919) % 1_000_000))))
            .collect();
        for sleep in &mut sleeps {
            arm(sleep);
        }
        assert_eq!(clock.elapsed(), Duration::ZERO);
    });
    assert_eq!(runtime.next_deadline(), None);
}

#[test]
fn dropping_a_timer_frees_it_at_once() {
    let (runtime, _) = clocked();
    let mut sleep = Box::pin(sleep(MS));
    let mut timeout = Box::pin(timeout(MS, pending::<()>()));
    runtime.block_on(poll_fn(|cx| {
        assert!(sleep.as_mut().poll(cx).is_pending());
        assert!(timeout.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    }));
    assert!(runtime.next_deadline().is_some());
    runtime.block_on(async {
        drop(sleep);
        drop(timeout);
    });
    assert_eq!(runtime.next_deadline(), None);
}

#[test]
fn a_cancelled_task_frees_its_timers() {
    let (runtime, clock) = clocked();
    let task = runtime.spawn(sleep(Duration::from_secs(3600)));
    runtime.run_until_stalled();
    assert!(runtime.next_deadline().is_some());
    task.cancel();
    runtime.run_until_stalled();
    assert_eq!(runtime.next_deadline(), None);
    assert_eq!(clock.elapsed(), Duration::ZERO);
    drop(task);
}

#[test]
fn the_next_deadline_is_that_of_the_first_timer() {
    let (runtime, clock) = clocked();
    assert_eq!(runtime.next_deadline(), None);
    let start = clock.now();
    let mut sleeps: Vec<_> =
        [30, 10, 20].map(|ms| Box::pin(sleep_until(start + ms * MS))).into_iter().collect();
    runtime.block_on(async { sleeps.iter_mut().for_each(arm) });
    assert_eq!(runtime.next_deadline(), Some(start + 10 * MS));
    runtime.block_on(async { drop(sleeps.remove(1)) });
    assert_eq!(runtime.next_deadline(), Some(start + 20 * MS));
    runtime.block_on(async { drop(sleeps.remove(1)) });
    assert_eq!(runtime.next_deadline(), Some(start + 30 * MS));
}

#[test]
fn a_sleep_can_be_moved_while_a_task_waits_for_it() {
    let (runtime, clock) = clocked();
    for (first, second) in [(10, 30), (30, 10), (10, 10), (10, 0)] {
        let before = clock.elapsed();
        runtime.block_on(async {
            let start = now();
            let shared = Rc::new(std::cell::RefCell::new(Box::pin(sleep(first * MS))));
            let waits = spawn({
                let shared = shared.clone();
                poll_fn(move |cx| shared.borrow_mut().as_mut().poll(cx))
            });
            yield_now().await;
            shared.borrow_mut().as_mut().reset(start + second * MS);
            assert_eq!(shared.borrow().deadline(), start + second * MS);
            waits.await.unwrap();
        });
        assert_eq!(clock.elapsed() - before, second * MS, "{first} to {second}");
    }
}

#[test]
fn a_sleep_that_is_over_can_be_used_again() {
    let (runtime, clock) = clocked();
    runtime.block_on(async {
        let mut sleep = pin!(sleep(MS));
        sleep.as_mut().await;
        let next = now() + MS;
        sleep.as_mut().reset(next);
        sleep.as_mut().await;
    });
    assert_eq!(clock.elapsed(), 2 * MS);
}

#[test]
fn a_sleep_moved_from_outside_of_its_runtime_wakes_at_the_new_time() {
    // By a host between two ticks, and on another thread.
    for elsewhere in [false, true] {
        let (runtime, clock) = clocked();
        let start = clock.now();
        let shared = std::sync::Arc::new(std::sync::Mutex::new(Box::pin(sleep_until(
            start + Duration::from_secs(3600),
        ))));
        let task = runtime.spawn({
            let shared = shared.clone();
            poll_fn(move |cx| shared.lock().unwrap().as_mut().poll(cx))
        });
        runtime.run_until_stalled();
        if elsewhere {
            let shared = shared.clone();
            let moves = move || shared.lock().unwrap().as_mut().reset(start + MS);
            thread::spawn(moves).join().unwrap();
        } else {
            shared.lock().unwrap().as_mut().reset(start + MS);
        }
        runtime.block_on(task).unwrap();
        assert_eq!(clock.elapsed(), MS);
    }
}

#[test]
fn a_sleep_moves_over_to_the_runtime_that_polls_it() {
    let (first, first_clock) = clocked();
    let (second, second_clock) = clocked();
    let mut sleep = Box::pin(sleep_until(first_clock.now().max(second_clock.now()) + MS));
    first.block_on(async { arm(&mut sleep) });
    assert!(first.next_deadline().is_some());
    second.block_on(async { arm(&mut sleep) });
    assert!(second.next_deadline().is_some());
    first.run_until_stalled();
    assert_eq!(first.next_deadline(), None, "the old timer is freed");
    second.block_on(sleep);
    assert!(second_clock.elapsed() >= MS);
    assert_eq!(first_clock.elapsed(), Duration::ZERO);
}

#[test]
fn a_sleep_may_be_sent_to_another_threads_runtime() {
    let (here, _) = clocked();
    let mut sleep = Box::pin(sleep(Duration::from_secs(60)));
    here.block_on(async { arm(&mut sleep) });
    thread::spawn(move || block_on(sleep)).join().unwrap();
    here.run_until_stalled();
    assert_eq!(here.next_deadline(), None);
}

#[test]
fn timers_survive_from_one_block_on_to_the_next() {
    let (runtime, clock) = clocked();
    let task = runtime.spawn(sleep(10 * MS));
    runtime.block_on(sleep(3 * MS));
    assert_eq!(clock.elapsed(), 3 * MS);
    assert!(!task.is_finished());
    runtime.block_on(task).unwrap();
    assert_eq!(clock.elapsed(), 10 * MS);
}

#[test]
fn the_waker_of_the_last_poll_is_the_one_a_timer_wakes() {
    block_on(async {
        let mut sleep = Box::pin(sleep(MS));
        let (first, first_waker) = quell_tests::Alarm::new();
        let (second, second_waker) = quell_tests::Alarm::new();
        for waker in [&first_waker, &second_waker] {
            assert!(sleep.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
        }
        time::sleep(2 * MS).await;
        assert_eq!((first.wakes(), second.wakes()), (0, 1));
        assert!(poll_once(&mut sleep).is_ready());
    });
}

#[test]
fn a_waker_may_use_timers_while_it_is_cloned() {
    use std::task::{RawWaker, RawWakerVTable};
    // A foreign waker may do anything in any of its functions.
    unsafe fn clone(data: *const ()) -> RawWaker {
        drop(spawn(async {}));
        let mut other = Box::pin(sleep(MS));
        arm(&mut other);
        RawWaker::new(data, &VTABLE)
    }
    unsafe fn nothing(_: *const ()) {}
    static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, nothing, nothing, nothing);
    block_on(async {
        // SAFETY: the functions use no data, so that any pointer will do on any thread.
        let waker = unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &VTABLE)) };
        let mut sleep = Box::pin(sleep(MS));
        arm(&mut sleep);
        let polled = sleep.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    });
}

#[test]
fn law_15_a_timeout_lets_a_value_through() {
    let (runtime, clock) = clocked();
    runtime.block_on(async {
        assert_eq!(timeout(MS, ready(7)).await, Ok(7));
        assert_eq!(timeout(Duration::ZERO, ready(7)).await, Ok(7));
        let quick = async {
            sleep(MS).await;
            7
        };
        assert_eq!(timeout(2 * MS, quick).await, Ok(7));
    });
    assert_eq!(clock.elapsed(), MS);
    assert_eq!(runtime.next_deadline(), None);
}

#[test]
fn law_15_a_timeout_drops_the_future_when_its_time_is_over() {
    let (runtime, clock) = clocked();
    runtime.block_on(async {
        let (probe, polls, drops) = Probe::new();
        let mut guarded = pin!(timeout(MS, probe));
        assert!(guarded.as_mut().await.is_err());
        assert_eq!((polls.get(), drops.get()), (2, 1), "polled once more, then dropped");
    });
    assert_eq!(clock.elapsed(), MS);
}

#[test]
fn law_15_on_a_tie_the_value_wins() {
    block_on(async {
        for inner_first in [true, false] {
            let deadline = now() + MS;
            let outcome = if inner_first {
                let mut inner = Box::pin(sleep_until(deadline));
                arm(&mut inner);
                timeout_at(deadline, inner).await
            } else {
                timeout_at(deadline, async {
                    yield_now().await;
                    sleep_until(deadline).await;
                })
                .await
            };
            assert_eq!(outcome, Ok(()));
        }
    });
}

#[test]
fn law_15_a_timeout_of_zero_gives_one_poll() {
    block_on(async {
        let (probe, polls, drops) = Probe::new();
        assert!(timeout(Duration::ZERO, probe).await.is_err());
        assert_eq!((polls.get(), drops.get()), (1, 1));
    });
}

#[test]
fn law_15_a_timeouts_deadline_can_be_read_and_moved() {
    let (runtime, clock) = clocked();
    runtime.block_on(async {
        let mut guarded = pin!(timeout(10 * MS, pending::<()>()));
        assert_eq!(guarded.deadline(), None, "it has not begun to count");
        arm(&mut guarded);
        let start = now();
        assert_eq!(guarded.deadline(), Some(start + 10 * MS));
        guarded.as_mut().reset(start + 3 * MS);
        assert_eq!(guarded.deadline(), Some(start + 3 * MS));
        assert!(guarded.await.is_err());

        let mut early = pin!(timeout(10 * MS, pending::<()>()));
        early.as_mut().reset(now() + MS);
        assert!(early.await.is_err());
    });
    assert_eq!(clock.elapsed(), 4 * MS);
}

#[test]
fn law_15_a_request_from_outside_passes_through_a_timeout() {
    let (runtime, clock) = clocked();
    runtime.block_on(async {
        let drops = Count::new();
        let guard = drops.on_drop();
        let task = spawn(timeout(Duration::from_secs(60), async move {
            let _guard = guard;
            pending::<()>().await;
        }));
        yield_now().await;
        assert!(task.cancel_and_join().await.unwrap_err().is_cancelled());
        assert_eq!(drops.get(), 1);
    });
    assert_eq!(clock.elapsed(), Duration::ZERO);
}

#[test]
fn law_28_elapsed_is_an_error_of_its_own() {
    let elapsed = block_on(timeout(MS, pending::<()>())).unwrap_err();
    assert!(elapsed.to_string().contains("timeout"));
    let error = std::io::Error::from(elapsed);
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}

#[test]
fn an_interval_ticks_at_once_and_then_every_period() {
    let (runtime, clock) = clocked();
    runtime.block_on(async {
        let start = now();
        let mut interval = interval(10 * MS);
        for i in 0..5 {
            assert_eq!(interval.tick().await, start + i * 10 * MS);
            assert_eq!(now(), start + i * 10 * MS);
        }
        let mut later = interval_at(now() + 5 * MS, 10 * MS);
        assert_eq!(later.tick().await, start + 45 * MS);
        assert_eq!(later.period(), 10 * MS);
    });
    assert_eq!(clock.elapsed(), 45 * MS);
}

/// When the ticks of a period of 10 ms come, if the second is taken 25 ms late.
fn ticks(missed: MissedTickBehavior, count: usize) -> Vec<u128> {
    block_on(async {
        let start = now();
        let mut interval = interval(10 * MS);
        assert_eq!(interval.missed_tick_behavior(), MissedTickBehavior::Burst);
        interval.set_missed_tick_behavior(missed);
        assert_eq!(interval.missed_tick_behavior(), missed);
        interval.tick().await;
        let mut ticks = vec![0];
        sleep(35 * MS).await;
        for _ in 1..count {
            interval.tick().await;
            ticks.push((now() - start).as_millis());
        }
        ticks
    })
}

#[test]
fn missed_ticks_behave_as_the_documentation_says() {
    use MissedTickBehavior::{Burst, Delay, Skip};
    assert_eq!(ticks(Burst, 7), [0, 35, 35, 35, 40, 50, 60]);
    assert_eq!(ticks(Delay, 5), [0, 35, 45, 55, 65]);
    assert_eq!(ticks(Skip, 5), [0, 35, 40, 50, 60]);
}

#[test]
fn a_tick_that_is_not_waited_for_to_its_end_is_not_lost() {
    block_on(async {
        let start = now();
        let mut interval = interval(10 * MS);
        interval.tick().await;
        assert!(timeout(5 * MS, interval.tick()).await.is_err());
        assert_eq!(interval.tick().await, start + 10 * MS);
        interval.reset();
        assert_eq!(interval.tick().await, start + 20 * MS);
    });
}

#[test]
#[should_panic(expected = "longer than zero")]
fn an_interval_of_zero_is_refused() {
    block_on(async { drop(interval(Duration::ZERO)) });
}

#[test]
fn now_is_the_time_of_the_running_runtime() {
    let (runtime, clock) = clocked();
    clock.advance(Duration::from_secs(3600));
    runtime.block_on(async { assert_eq!(now(), clock.now()) });
    let outside = now();
    assert!(outside >= Instant::now() - Duration::from_secs(60));
    assert!(outside <= Instant::now());
}

/// A clock that goes where the test says, backwards as well.
#[derive(Clone)]
struct Jumpy {
    start: Instant,
    offset: Rc<Cell<Duration>>,
}

impl Jumpy {
    fn new() -> Self {
        // Room to go back.
        Self { start: Instant::now(), offset: Rc::new(Cell::new(Duration::from_secs(1000))) }
    }
}

impl Clock for Jumpy {
    fn now(&self) -> Instant {
        self.start + self.offset.get()
    }
}

fn jumpy() -> (Runtime, Jumpy) {
    let clock = Jumpy::new();
    let runtime = Builder::new().clock(clock.clone()).signals(false).build().unwrap();
    (runtime, clock)
}

#[test]
fn a_clock_that_leaps_fires_all_it_has_passed_in_order() {
    let (runtime, clock) = jumpy();
    let log = Log::new();
    for i in [3, 1, 2] {
        let log = log.clone();
        drop(runtime.spawn(async move {
            sleep(i * MS).await;
            log.push(i);
        }));
    }
    runtime.run_until_stalled();
    clock.offset.set(clock.offset.get() + Duration::from_secs(86_400));
    runtime.run_until_stalled();
    assert_eq!(log.take(), [1, 2, 3]);
}

#[test]
fn a_clock_that_runs_backwards_makes_no_timer_early_and_nobody_busy() {
    let (runtime, clock) = jumpy();
    let polls = Count::new();
    let before = clock.offset.get();
    let task = runtime.spawn({
        let polls = polls.clone();
        let mut sleep = Box::pin(sleep(Duration::ZERO));
        let mut armed = false;
        poll_fn(move |cx| {
            polls.up();
            if !armed {
                armed = true;
                sleep.as_mut().reset(now() + 10 * MS);
            }
            sleep.as_mut().poll(cx)
        })
    });
    runtime.run_until_stalled();
    // Let the loop see a later time, and then take it back.
    clock.offset.set(before + 9 * MS);
    runtime.run_until_stalled();
    runtime.run_until_stalled();
    clock.offset.set(before);
    for _ in 0..100 {
        runtime.tick();
    }
    assert!(polls.get() <= 2, "busy: {polls:?}");
    assert!(!task.is_finished());
    // A timer set while the clock is behind.
    let second = runtime.spawn(sleep(5 * MS));
    for _ in 0..100 {
        runtime.tick();
    }
    assert!(!second.is_finished());
    clock.offset.set(before + 30 * MS);
    runtime.run_until_stalled();
    assert!(task.is_finished() && second.is_finished());
}

#[test]
fn a_timer_set_while_the_clock_is_behind_keeps_nobody_busy() {
    finishes(|| {
        let (runtime, clock) = jumpy();
        let before = clock.offset.get();
        clock.offset.set(before + Duration::from_secs(60));
        let anchor = runtime.spawn(sleep(Duration::from_secs(3600)));
        // The first sets the timer; the second looks at the clock because there is one.
        runtime.run_until_stalled();
        runtime.run_until_stalled();
        clock.offset.set(before);
        let (polls, mut sleep) = (Count::new(), Box::pin(sleep_until(clock.now() + MS)));
        let task = runtime.spawn({
            let polls = polls.clone();
            poll_fn(move |cx| {
                polls.up();
                sleep.as_mut().poll(cx)
            })
        });
        for _ in 0..100 {
            runtime.tick();
        }
        assert!(polls.get() <= 2, "busy: {polls:?}");
        drop((task, anchor));
    });
}
