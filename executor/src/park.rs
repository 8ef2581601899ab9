//! How the thread sleeps when there is nothing to do, and how others wake it.

use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::Duration;

/// Puts the event loop's thread to sleep.
///
/// The loop uses the reactor when there are sockets and [`ThreadParker`] when there are none. A
/// program that owns its own loop can bring its own, so that a wake from another thread reaches
/// that loop; see [`Builder::parker`](crate::Builder::parker).
pub trait Park {
    /// Sleeps until [`Unpark::unpark`] is called, or has been called since the last `park`, or
    /// until `timeout` is over. `None` means without limit. May return early for no reason.
    fn park(&mut self, timeout: Option<Duration>);

    /// What other threads use to end the sleep.
    fn unparker(&self) -> Arc<dyn Unpark>;
}

/// Ends a [`Park::park`] from any thread.
pub trait Unpark: Send + Sync {
    /// Ends the present `park`, or the next one if there is none at the moment. Must not block and
    /// must not panic.
    fn unpark(&self);
}

/// Sleeps on a condition variable. Needs no file descriptor.
#[derive(Debug, Default)]
pub struct ThreadParker {
    token: Arc<Token>,
}

#[derive(Debug, Default)]
struct Token {
    // Invariant: true if `unpark` was called and no `park` has returned because of it.
    unparked: Mutex<bool>,
    changed: Condvar,
}

impl Park for ThreadParker {
    fn park(&mut self, timeout: Option<Duration>) {
        let mut unparked = self.token.unparked.lock();
        if !*unparked {
            match timeout {
                // Returning early is allowed, so that no loop is needed here.
                Some(timeout) => drop(self.token.changed.wait_for(&mut unparked, timeout)),
                None => self.token.changed.wait(&mut unparked),
            }
        }
        *unparked = false;
    }

    fn unparker(&self) -> Arc<dyn Unpark> {
        self.token.clone()
    }
}

impl Unpark for Token {
    fn unpark(&self) {
        *self.unparked.lock() = true;
        self.changed.notify_one();
    }
}
