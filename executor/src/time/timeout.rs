//! Giving up on a future after a while.

use super::sleep::sleep_from_first_poll;
use super::{Elapsed, Sleep, sleep_until};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// Waits for `future`, for `duration` at most.
///
/// The time counts from the first poll that had to wait: a future that is ready at once needs no
/// timer. When the time is over the future is polled once more, so that a value which is ready at
/// the same moment wins; then it is dropped, its destructors run, and the answer is [`Elapsed`].
///
/// # Cancel safety
///
/// As safe as the future inside.
///
/// ```
/// use quell::time::{Duration, sleep, timeout};
/// # quell::Builder::new().virtual_time().build()?.block_on(async {
/// let quick = timeout(Duration::from_secs(1), async { 7 }).await;
/// assert_eq!(quick, Ok(7));
/// let slow = timeout(Duration::from_secs(1), sleep(Duration::from_secs(9))).await;
/// assert!(slow.is_err());
/// # });
/// # Ok::<_, std::io::Error>(())
/// ```
pub fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    Timeout { future: Some(future), limit: Limit::After { duration } }
}

/// Waits for `future`, until `deadline` at most. Otherwise like [`timeout`].
pub fn timeout_at<F: Future>(deadline: Instant, future: F) -> Timeout<F> {
    Timeout { future: Some(future), limit: Limit::At { sleep: sleep_until(deadline) } }
}

pin_project! {
    /// The future of [`timeout`] and [`timeout_at`].
    #[must_use = "a future does nothing unless it is awaited"]
    pub struct Timeout<F> {
        // Invariant: `None` once it has returned `Ready`.
        #[pin]
        future: Option<F>,
        #[pin]
        limit: Limit,
    }
}

pin_project! {
    #[project = LimitProjection]
    enum Limit {
        After { duration: Duration },
        At { #[pin] sleep: Sleep },
    }
}

impl<F> Timeout<F> {
    /// When it gives up; `None` if the time has not begun to count.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.limit {
            Limit::After { .. } => None,
            Limit::At { sleep } => Some(sleep.deadline()),
        }
    }

    /// Moves the deadline.
    pub fn reset(self: Pin<&mut Self>, deadline: Instant) {
        let mut limit = self.project().limit;
        match limit.as_mut().project() {
            LimitProjection::After { .. } => limit.set(Limit::At { sleep: sleep_until(deadline) }),
            LimitProjection::At { sleep } => sleep.reset(deadline),
        }
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    /// # Panics
    ///
    /// If polled again after it returned `Ready`; if the future has to wait where no runtime is
    /// running.
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            panic!("`Timeout` polled after it had returned `Ready`");
        };
        if let Poll::Ready(output) = future.poll(cx) {
            this.future.set(None);
            return Poll::Ready(Ok(output));
        }
        if let LimitProjection::After { duration } = this.limit.as_mut().project() {
            let sleep = sleep_from_first_poll(*duration);
            this.limit.set(Limit::At { sleep });
        }
        let LimitProjection::At { sleep } = this.limit.project() else {
            unreachable!("set a line ago")
        };
        ready!(sleep.poll(cx));
        this.future.set(None);
        Poll::Ready(Err(Elapsed::new()))
    }
}

impl<F> fmt::Debug for Timeout<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout").field("deadline", &self.deadline()).finish_non_exhaustive()
    }
}
