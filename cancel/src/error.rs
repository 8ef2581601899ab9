//! The two errors a scope can end with.

use crate::handle::CancelHandle;
use crate::reason::Reason;
use std::fmt;

/// *I* was asked to stop, and have: every destructor has run.
///
/// Compare [`Elapsed`] (my own timeout ran out) and an executor's join error (the task I waited
/// for did not return a value).
#[derive(Clone)]
pub struct Cancelled {
    reason: Reason,
    /// Where later reasons are, if there can be any.
    handle: Option<CancelHandle>,
}

impl Cancelled {
    /// For executors whose tasks are asked to stop without a [`CancelHandle`].
    pub fn new(reason: Reason) -> Self {
        Self { reason, handle: None }
    }

    pub(crate) fn with_handle(reason: Reason, handle: CancelHandle) -> Self {
        Self { reason, handle: Some(handle) }
    }

    /// The first reason: the one that made it stop.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// The reasons of requests that came later, oldest first; at most
    /// [`CancelHandle::LATER_REASONS`] are kept.
    pub fn later_reasons(&self) -> Vec<Reason> {
        self.handle.as_ref().map(CancelHandle::later_reasons).unwrap_or_default()
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cancelled: {}", self.reason())
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancelled").field(self.reason()).finish()
    }
}

impl std::error::Error for Cancelled {}

/// A timeout ran out before the future inside it finished. The future has been dropped.
///
/// The same word as in tokio. In asyncio this is `TimeoutError`, in Trio `TooSlowError`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Elapsed {}

impl Elapsed {
    /// For timers that implement a timeout.
    pub const fn new() -> Self {
        Self {}
    }
}

impl Default for Elapsed {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the timeout ran out before the future finished")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for std::io::Error {
    fn from(elapsed: Elapsed) -> Self {
        std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed)
    }
}
