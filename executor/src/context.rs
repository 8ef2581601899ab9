//! Which executor is running on this thread.

use crate::executor::Executor;
use std::cell::Cell;
use std::ptr;
use std::rc::Rc;

thread_local! {
    // Const-initialised and without a destructor: reading it is one instruction, and it can be read
    // while the thread's other locals are being destroyed.
    //
    // Invariant: null, or points to the executor that the `Enter` further down this thread's
    // stack keeps alive.
    static CURRENT: Cell<*const Executor> = const { Cell::new(ptr::null()) };
}

/// Calls `f` with the executor that is running on this thread.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(Option<&Executor>) -> R) -> R {
    let current = CURRENT.get();
    // SAFETY: by the invariant the pointer is null or points to a live executor. It stays alive
    // for the whole call: the `Enter` that holds it is on this thread's stack, below this frame,
    // and so cannot be dropped before `f` returns. Only shared references are ever made from it.
    f(unsafe { current.as_ref() })
}

/// Makes `executor` the current one of this thread until it is dropped.
///
/// Another executor that is running further down the stack waits meanwhile; its tasks can be woken
/// as if from another thread.
pub(crate) struct Enter<'a> {
    executor: &'a Rc<Executor>,
    below: *const Executor,
}

/// This executor is running already, further down the stack.
#[derive(Debug)]
pub(crate) struct Entered;

impl<'a> Enter<'a> {
    pub(crate) fn new(executor: &'a Rc<Executor>) -> Result<Self, Entered> {
        if !executor.enter() {
            return Err(Entered);
        }
        let below = CURRENT.replace(Rc::as_ptr(executor));
        executor.home.wake_up();
        Ok(Self { executor, below })
    }
}

impl Drop for Enter<'_> {
    fn drop(&mut self) {
        // Also when `leave` unwinds.
        let _restore = Restore(self.below);
        self.executor.leave();
    }
}

struct Restore(*const Executor);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

impl std::ops::Deref for Enter<'_> {
    type Target = Executor;
    fn deref(&self) -> &Executor {
        self.executor
    }
}
