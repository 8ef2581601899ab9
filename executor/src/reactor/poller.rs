//! What the reactor wants from the operating system.

#[cfg(all(any(target_os = "linux", target_os = "android"), not(polling_test_poll_backend)))]
mod epoll;
pub(super) mod portable;

use crate::park::Unpark;
use crate::reactor::BorrowedSource;
#[cfg(test)]
use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Watches sources and says when they are ready.
pub(super) trait Poller {
    fn mode(&self) -> Mode;

    /// Begins to watch a source. In edge mode it is armed by that.
    ///
    /// # Safety
    ///
    /// The source must stay open until it is removed.
    unsafe fn add(&self, source: BorrowedSource<'_>, key: usize) -> io::Result<()>;

    /// Has these directions reported, the next time they become ready or at once if they are. In
    /// edge mode it is always both.
    fn arm(&self, source: BorrowedSource<'_>, interest: Interest) -> io::Result<()>;

    /// Watches a source no longer.
    fn remove(&self, source: BorrowedSource<'_>) -> io::Result<()>;

    /// Waits for events, for `timeout` at most or until the unparker is used. May return early.
    fn wait(&self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()>;

    fn unparker(&self) -> Arc<dyn Unpark>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Reports each change once, and goes on watching.
    Edge,
    /// Reports a source once, and watches it no longer.
    Oneshot,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Interest {
    pub(super) key: usize,
    pub(super) read: bool,
    pub(super) write: bool,
}

/// What a poller has to say about one source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) key: usize,
    pub(super) read: bool,
    pub(super) write: bool,
    /// Behind the bytes that can be read there may be something else: the end, an error, urgent
    /// data. Always true where the poller does not tell.
    pub(super) ending: bool,
}

#[cfg(test)]
pub(super) type Make = fn() -> Box<dyn Poller>;

#[cfg(test)]
thread_local! {
    /// Has tests use another one.
    pub(super) static INSTEAD: Cell<Option<Make>> = const { Cell::new(None) };
}

pub(super) fn new() -> io::Result<Box<dyn Poller>> {
    #[cfg(test)]
    if let Some(instead) = INSTEAD.get() {
        return Ok(instead());
    }
    // Some sandboxes lack what it needs and have what the other one falls back on.
    #[cfg(all(any(target_os = "linux", target_os = "android"), not(polling_test_poll_backend)))]
    if let Ok(epoll) = epoll::Epoll::new() {
        return Ok(Box::new(epoll));
    }
    Ok(Box::new(portable::Portable::new(Mode::Edge)?))
}
