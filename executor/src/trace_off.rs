//! Stands in for `trace.rs` when the feature `trace` is off: nobody listens, at no cost.

use quell_cancel::TaskId;
use std::panic::Location;
use std::time::Duration;

#[expect(dead_code, reason = "nobody reads them")]
pub(crate) enum Event {
    Spawn { task: TaskId, spawned_at: &'static Location<'static> },
    PollStart { task: TaskId },
    PollEnd { task: TaskId, done: bool },
    Finished { task: TaskId },
    Park { timeout: Option<Duration> },
    Unpark,
}

#[derive(Default)]
pub(crate) struct Tracer {}

impl Tracer {
    #[inline]
    pub(crate) fn event(&self, _event: impl FnOnce() -> Event) {}
}
