//! Stands in for `wheel.rs` when the feature `time` is off: there are no timers.

use std::task::Waker;
use std::time::Instant;

pub(crate) struct Timers;

impl Timers {
    pub(crate) fn new(_start: Instant, _first_serial: u64) -> Self {
        Self
    }

    pub(crate) fn next_serial(&self) -> u64 {
        0
    }

    pub(crate) fn is_empty(&self) -> bool {
        true
    }

    pub(crate) fn due(&self, _now: Instant) -> impl Iterator<Item = Waker> + '_ {
        std::iter::empty()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        None
    }

    pub(crate) fn next_wake(&self) -> Option<Instant> {
        None
    }
}
