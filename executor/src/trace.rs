//! What the event loop does, as a stream of events.
//!
//! For tests that pin down an order of events, for teaching, and for finding out why a program
//! waits.
//!
//! ```
//! use quell::{Builder, trace::{Event, Trace}};
//! use std::{cell::RefCell, rc::Rc};
//!
//! #[derive(Clone, Default)]
//! struct Log(Rc<RefCell<Vec<String>>>);
//!
//! impl Trace for Log {
//!     fn event(&self, event: &Event) {
//!         self.0.borrow_mut().push(format!("{event:?}"));
//!     }
//! }
//!
//! let log = Log::default();
//! let runtime = Builder::new().tracer(log.clone()).build()?;
//! runtime.block_on(async { quell::spawn(async {}).await.unwrap() });
//! assert!(log.0.borrow()[0].starts_with("Spawn"));
//! # Ok::<_, std::io::Error>(())
//! ```

use quell_cancel::TaskId;
use std::panic::Location;
use std::time::Duration;

/// Something the event loop did.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A task was made and put in the ready queue.
    Spawn {
        /// The new task.
        task: TaskId,
        /// The line that spawned it.
        spawned_at: &'static Location<'static>,
    },
    /// A task is about to be polled, or stopped if it was asked to.
    PollStart {
        /// Which one.
        task: TaskId,
    },
    /// The poll has returned.
    PollEnd {
        /// Which one.
        task: TaskId,
        /// Whether the task has ended by it.
        done: bool,
    },
    /// A task has ended. Those who wait for it are told next.
    Finished {
        /// Which one.
        task: TaskId,
    },
    /// Nothing is ready; the thread goes to sleep.
    Park {
        /// Until then at most; `None`: no timer is set.
        timeout: Option<Duration>,
    },
    /// The thread is awake again.
    Unpark,
}

/// Receives the events of an event loop, on its thread.
///
/// Must not panic. May not spawn or wake.
pub trait Trace {
    /// Something has happened.
    fn event(&self, event: &Event);
}

/// The loop's end of it: nothing, or somebody who listens.
#[derive(Default)]
pub(crate) struct Tracer {
    trace: Option<Box<dyn Trace>>,
}

impl Tracer {
    pub(crate) fn new(trace: impl Trace + 'static) -> Self {
        Self { trace: Some(Box::new(trace)) }
    }

    #[inline]
    pub(crate) fn event(&self, event: impl FnOnce() -> Event) {
        if let Some(trace) = &self.trace {
            trace.event(&event());
        }
    }
}
