//! A future that can be asked to stop: the bare scope, on any executor.

use crate::error::Cancelled;
use crate::handle::CancelHandle;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Makes `future` stoppable: answers the future to await in its place, and the handle that asks it
/// to stop. See the [crate's front page](crate) for an example.
///
/// The future is `Send` if the inner one is; the handle always is.
///
/// # Cancel safety
///
/// Dropping the returned future drops the inner one and counts as its end.
pub fn cancellable<F: Future>(future: F) -> (Cancellable<F>, CancelHandle) {
    let handle = CancelHandle::new(None);
    (Cancellable { future: Some(future), handle: handle.clone() }, handle)
}

pin_project! {
    /// The future made by [`cancellable`].
    #[must_use = "a future does nothing unless it is awaited"]
    pub struct Cancellable<F> {
        // Invariant: `None` once the future has ended.
        #[pin]
        future: Option<F>,
        handle: CancelHandle,
    }

    impl<F> PinnedDrop for Cancellable<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // Also when the destructor of the inner future panics.
            let _finished = Finish(this.handle);
            this.future.set(None);
        }
    }
}

/// Declares the future ended when it goes out of scope, also while unwinding.
struct Finish<'a>(&'a CancelHandle);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.finish();
    }
}

impl<F: Future> Future for Cancellable<F> {
    type Output = Result<F::Output, Cancelled>;

    /// # Panics
    ///
    /// If polled again after it returned `Ready`.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            panic!("`Cancellable` polled after it had returned `Ready`");
        };
        // The waker goes in before the flag is read: a request that comes after the look finds it.
        if this.handle.set_waker(cx.waker()) {
            let _finished = Finish(this.handle);
            this.future.set(None);
            let cancelled = this.handle.cancelled();
            return Poll::Ready(Err(cancelled.expect("a request has a reason")));
        }
        let Poll::Ready(output) = future.poll(cx) else {
            return Poll::Pending;
        };
        let _finished = Finish(this.handle);
        this.future.set(None);
        Poll::Ready(Ok(output))
    }
}

impl<F> fmt::Debug for Cancellable<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancellable").field("handle", &self.handle).finish_non_exhaustive()
    }
}
