//! The request: a flag, a reason, and a waker, shared between whoever asks and whoever is asked.

use crate::error::Cancelled;
use crate::reason::{CancelKind, Reason};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

/// Asks one future to stop. Cheap to clone; may be sent to and used from any thread.
///
/// Compare tokio's `AbortHandle` and asyncio's `Task.cancel`.
#[derive(Clone)]
pub struct CancelHandle {
    shared: Arc<Shared>,
}

struct Shared {
    /// The one thing a task looks at in each poll.
    // Invariant: once true, `first` is set; never becomes false again (a level, not an edge).
    requested: AtomicBool,
    first: OnceLock<Reason>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    finished: bool,
    aborted: bool,
    later: Vec<Reason>,
    waker: Option<Waker>,
}

impl CancelHandle {
    /// How many reasons are remembered behind the first one.
    pub const LATER_REASONS: usize = 16;

    /// A request that has not been made yet. `waker` is woken when it is. For executors; everybody
    /// else gets a handle from [`cancellable`](crate::cancellable) or from a task.
    pub fn new(waker: Option<Waker>) -> Self {
        let state = State { waker, ..State::default() };
        let shared = Shared {
            requested: AtomicBool::new(false),
            first: OnceLock::new(),
            state: Mutex::new(state),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Asks the future to stop: its next poll drops it and yields [`Cancelled`].
    ///
    /// Answers whether the future had not yet finished; if it had, nothing changes and its output
    /// is not lost. Asking twice is the same as asking once, but the second reason is recorded.
    ///
    /// May be called from any thread, from inside the future itself and from inside any `Drop`.
    /// Nothing of the future runs inside this call.
    #[track_caller]
    pub fn cancel(&self) -> bool {
        self.cancel_with(Reason::new(CancelKind::Explicit))
    }

    /// [`cancel`](Self::cancel) with a reason of your own.
    pub fn cancel_with(&self, reason: Reason) -> bool {
        self.request(reason, false)
    }

    /// Asks the future to stop without waiting for asynchronous cleanups.
    ///
    /// For a future that has none this is the same as [`cancel`](Self::cancel): destructors run.
    #[track_caller]
    pub fn abort(&self) -> bool {
        self.request(Reason::new(CancelKind::Explicit).with_message("aborted"), true)
    }

    fn request(&self, reason: Reason, abort: bool) -> bool {
        let mut state = self.lock();
        if state.finished {
            return false;
        }
        // A repeated request wakes nobody: the first wake is still on its way.
        let mut news = abort && !state.aborted;
        state.aborted |= abort;
        match self.shared.first.set(reason) {
            Ok(()) => {
                self.shared.requested.store(true, Ordering::Release);
                news = true;
            }
            Err(reason) if state.later.len() < Self::LATER_REASONS => state.later.push(reason),
            Err(_) => {}
        }
        // Taken, because no later request has to wake: the poll that follows ends the future. Woken
        // outside of the lock, because a waker may call anything.
        let waker = if news { state.waker.take() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Whether the future has been asked to stop. Stays true.
    #[inline]
    pub fn is_requested(&self) -> bool {
        self.shared.requested.load(Ordering::Acquire)
    }

    /// Whether an [`abort`](Self::abort) was among the requests.
    pub fn is_aborted(&self) -> bool {
        self.lock().aborted
    }

    /// Whether the future has ended, with a value or without.
    pub fn is_finished(&self) -> bool {
        self.lock().finished
    }

    /// The first reason, if the future has been asked to stop.
    pub fn reason(&self) -> Option<&Reason> {
        self.shared.first.get()
    }

    /// The reasons that came after the first one, oldest first.
    pub fn later_reasons(&self) -> Vec<Reason> {
        self.lock().later.clone()
    }

    /// The error a stopped future ends with; `None` if it has not been asked to stop.
    pub fn cancelled(&self) -> Option<Cancelled> {
        self.reason().map(|reason| Cancelled::with_handle(reason.clone(), self.clone()))
    }

    /// Says that the future has ended: later requests answer `false`. For executors.
    pub fn finish(&self) {
        let waker = {
            let mut state = self.lock();
            state.finished = true;
            state.waker.take()
        };
        // Outside of the lock: dropping a foreign waker may run anything.
        drop(waker);
    }

    /// Sets who is woken by a request, and answers whether one has been made. For executors.
    pub fn set_waker(&self, waker: &Waker) -> bool {
        if self.lock().waker.as_ref().is_some_and(|current| current.will_wake(waker)) {
            return self.is_requested();
        }
        // Cloned and dropped outside of the lock, like every foreign waker.
        let waker = waker.clone();
        let old = self.lock().waker.replace(waker);
        drop(old);
        self.is_requested()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A poisoned lock means that a foreign waker panicked while it was cloned. The state
        // behind it is whole: no field is half written at any point where user code runs.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelHandle")
            .field("reason", &self.reason())
            .field("finished", &self.is_finished())
            .finish()
    }
}
