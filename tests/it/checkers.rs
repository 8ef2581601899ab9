//! The tests' own instruments, against planted faults.

use quell_tests::{Alarm, Bomb, Count, Log, OnDrop, Probe, finishes, poll_once, quietly};
use std::mem::ManuallyDrop;
use std::panic::catch_unwind;

#[test]
fn a_count_shows_a_leak_and_a_double_drop() {
    let count = Count::new();
    let value = ManuallyDrop::new(count.on_drop());
    assert_eq!(count.get(), 0, "leaked");
    // A second `Dropped` of the same count stands for the second drop of one value.
    drop(ManuallyDrop::into_inner(value));
    drop(count.on_drop());
    assert_eq!(count.get(), 2, "dropped twice");
    assert!(count == 2 && !(count == 1));
}

#[test]
fn a_probe_counts_polls_and_its_drop() {
    let (probe, polls, drops) = Probe::new();
    let mut probe = probe.ready_at(3);
    assert!(poll_once(&mut probe).is_pending());
    assert!(poll_once(&mut probe).is_pending());
    assert!(poll_once(&mut probe).is_ready());
    assert_eq!((polls.get(), drops.get()), (3, 0));
    drop(probe);
    assert_eq!((polls.get(), drops.get()), (3, 1));
    let (probe, polls, drops) = Probe::new();
    let leaked = ManuallyDrop::new(probe);
    assert_eq!((polls.get(), drops.get()), (0, 0));
    drop(ManuallyDrop::into_inner(leaked));
}

#[test]
fn a_log_keeps_the_order() {
    let log = Log::new();
    let guard = log.on_drop("dropped");
    log.push("pushed");
    drop(guard);
    assert_eq!(log.take(), ["pushed", "dropped"]);
    assert!(log.take().is_empty());
}

#[test]
fn on_drop_runs_once() {
    let count = Count::new();
    drop(OnDrop(|| count.up()));
    assert_eq!(count.get(), 1);
}

#[test]
fn an_alarm_counts_wakes() {
    let (alarm, waker) = Alarm::new();
    waker.wake_by_ref();
    waker.wake();
    assert_eq!(alarm.wakes(), 2);
}

#[test]
fn a_bomb_explodes_as_often_as_it_says() {
    let mut explosions = 0;
    let mut bomb: Box<dyn std::any::Any + Send> = Box::new(Bomb(3));
    while let Err(next) = quietly(|| catch_unwind(std::panic::AssertUnwindSafe(|| drop(bomb)))) {
        explosions += 1;
        bomb = next;
    }
    assert_eq!(explosions, 3);
}

#[test]
fn finishes_passes_panics_on() {
    let outcome = quietly(|| catch_unwind(|| finishes(|| quietly(|| panic!("inside")))));
    assert_eq!(*outcome.unwrap_err().downcast::<&str>().unwrap(), "inside");
}
