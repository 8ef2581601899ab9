//! Each workload runs once on each runtime, and finds out runtimes that cheat.

use quell_benches::contenders::{Row, park, rows};
use quell_benches::runtimes::{Quell, Runtime, Timers};
use quell_benches::workloads::{cancel, time};
use std::future::{Future, ready};
use std::time::Duration;

/// Not a multiple of the number of tasks or connections of any row, so that shares are uneven.
const FEW: u64 = 1_234;

fn run_twice(row: &Row) {
    for contender in &row.contenders {
        let mut running = contender.start();
        for _ in 0..2 {
            running.run(FEW);
        }
    }
}

fn rows_named(prefix: &str) -> Vec<Row> {
    let rows: Vec<_> = rows().into_iter().filter(|row| row.name.starts_with(prefix)).collect();
    assert!(!rows.is_empty(), "there is a row named {prefix}");
    rows
}

macro_rules! workloads {
    ($($test:ident: $prefix:literal,)+) => {
        $(#[test]
        fn $test() {
            rows_named($prefix).iter().for_each(run_twice);
        })+

        #[test]
        fn every_row_has_a_test() {
            for row in rows() {
                let tested = [$($prefix),+].iter().any(|prefix| row.name.starts_with(prefix));
                assert!(tested, "{}", row.name);
            }
        }
    };
}

workloads! {
    spawned_tasks_are_joined: "spawn_many_local",
    tasks_are_spawned_and_joined_one_by_one: "spawn_one",
    detached_tasks_run: "spawn_detached",
    yielding_tasks_take_turns: "yield_now",
    two_tasks_hand_over: "ping_pong",
    a_value_goes_round: "ring",
    parked_tasks_are_cancelled_all_at_once: "cancel_many",
    parked_tasks_are_cancelled_one_by_one: "cancel_each",
    timeouts_let_a_ready_value_through: "timeout_ready",
    timeouts_let_a_later_value_through: "timeout_cancelled",
    sleeps_end_and_not_too_early: "sleep",
    values_come_back_from_another_thread: "remote_wake",
    messages_are_echoed: "tcp_echo",
}

#[test]
fn quell_is_first_in_every_row() {
    for row in rows() {
        assert_eq!(row.contenders[0].runtime, Quell::NAME, "{}", row.name);
    }
}

#[test]
fn tasks_are_parked() {
    run_twice(&park());
}

/// Quell, but it does not do what it says.
struct Cheat(Quell);

impl Runtime for Cheat {
    const NAME: &'static str = "cheat";

    type Join<T: 'static> = <Quell as Runtime>::Join<T>;
    type Stopping<T: 'static> = <Quell as Runtime>::Stopping<T>;

    fn new() -> Self {
        Self(Quell::new())
    }

    fn run<F: Future>(&self, main: F) -> F::Output {
        self.0.run(main)
    }

    fn spawn<F>(&self, future: F) -> Self::Join<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.0.spawn(future)
    }

    fn spawn_detached<F: Future<Output = ()> + 'static>(&self, future: F) {
        self.0.spawn_detached(future);
    }

    async fn join<T: 'static>(task: Self::Join<T>) -> T {
        Quell::join(task).await
    }

    fn request_cancel<T: 'static>(task: Self::Join<T>) -> Self::Stopping<T> {
        Quell::request_cancel(task)
    }

    async fn stopped<T: 'static>(task: Self::Stopping<T>) -> bool {
        Quell::stopped(task).await;
        false
    }

    async fn cancel_and_join<T: 'static>(task: Self::Join<T>) -> bool {
        drop(task);
        true
    }
}

impl Timers for Cheat {
    fn sleep(_: Duration) -> impl Future<Output = ()> + 'static {
        ready(())
    }

    async fn timeout<F: Future + 'static>(_: Duration, _: F) -> Option<F::Output> {
        None
    }
}

#[test]
fn tasks_that_were_not_cancelled_do_not_count() {
    let rt = Cheat::new();
    assert_eq!(rt.run(cancel::many(&rt, FEW)).operations, 0);
}

#[test]
#[should_panic = "cancelled tasks are still there"]
fn tasks_that_were_only_said_to_be_cancelled_are_found_out() {
    let rt = Cheat::new();
    rt.run(cancel::each(&rt, FEW));
}

#[test]
fn timeouts_that_lose_the_value_do_not_count() {
    let rt = Cheat::new();
    assert_eq!(rt.run(time::timeout_ready(&rt, FEW)).operations, 0);
}

#[test]
#[should_panic = "a timer fired too early"]
fn sleeps_that_do_not_sleep_are_found_out() {
    let rt = Cheat::new();
    rt.run(time::sleeps(&rt, FEW));
}
