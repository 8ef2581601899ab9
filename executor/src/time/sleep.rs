//! A future that is ready at a given time.

use super::{deadline_after, now};
use crate::context;
use crate::executor::Executor;
use crate::home::{Home, Message};
use crate::wheel::TimerKey;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Waits for `duration`, counted from this call; made where no runtime is running, from the first
/// poll.
///
/// # Cancel safety
///
/// Dropping it frees the timer. Nothing is lost.
///
/// ```
/// # use quell::time::{self, Duration};
/// # quell::Builder::new().virtual_time().build()?.block_on(async {
/// time::sleep(Duration::from_millis(1500)).await;
/// # });
/// # Ok::<_, std::io::Error>(())
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    let start = context::with(|executor| Some(executor?.now()));
    Sleep {
        due: start.map_or(Due::After(duration), |now| Due::At(deadline_after(now, duration))),
        timer: None,
    }
}

/// Waits until `deadline`. Ready at once if that has passed.
///
/// # Cancel safety
///
/// As [`sleep`].
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { due: Due::At(deadline), timer: None }
}

/// Waits for `duration`, counted from the first poll.
pub(super) fn sleep_from_first_poll(duration: Duration) -> Sleep {
    Sleep { due: Due::After(duration), timer: None }
}

/// The future of [`sleep`] and [`sleep_until`].
///
/// It is `Send` and `Sync`, as libraries like hyper demand, although the timer belongs to one
/// thread: polled on another one it sets a timer there, and dropped on another one it sends word.
///
/// # Panics
///
/// When polled, if no runtime is running on the thread: there is nobody to fire the timer.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Sleep {
    due: Due,
    timer: Option<Registration>,
}

#[derive(Clone, Copy)]
enum Due {
    At(Instant),
    /// So long after the first poll: the clock to go by is not known yet.
    After(Duration),
}

struct Registration {
    home: &'static Home,
    key: TimerKey,
}

impl Sleep {
    /// When it is ready.
    pub fn deadline(&self) -> Instant {
        match self.due {
            Due::At(deadline) => deadline,
            Due::After(duration) => deadline_after(now(), duration),
        }
    }

    /// Moves the deadline. The task that waits need not poll in between: it is woken at the new
    /// time, or at the old one for no reason.
    pub fn reset(self: Pin<&mut Self>, deadline: Instant) {
        let this = self.get_mut();
        this.due = Due::At(deadline);
        let Some(Registration { home, key }) = this.timer.take() else {
            return;
        };
        // The waiting task goes with the timer, if that can be done here. Elsewhere the task is
        // woken, and sets the new timer itself.
        this.timer = context::with(|executor| match executor {
            Some(executor) if std::ptr::eq(executor.home, home) => {
                let waker = executor.timers.take(key)?;
                Some(Registration { home, key: executor.timers.insert(deadline, waker) })
            }
            _ => {
                home.send(Message::FireTimer(key));
                None
            }
        });
    }

    fn poll_on(&mut self, executor: &Executor, cx: &mut Context<'_>) -> Poll<()> {
        let (deadline, is_past) = match self.due {
            Due::At(deadline) => (deadline, executor.is_past(deadline)),
            Due::After(duration) => {
                (deadline_after(executor.now(), duration), duration == Duration::ZERO)
            }
        };
        self.due = Due::At(deadline);
        if is_past {
            self.unregister();
            return Poll::Ready(());
        }
        if let Some(Registration { home, key }) = &self.timer {
            let here = std::ptr::eq(*home, executor.home);
            if here && executor.timers.set_waker(*key, cx.waker()) {
                return Poll::Pending;
            }
            self.unregister();
        }
        let key = executor.timers.insert(deadline, cx.waker().clone());
        self.timer = Some(Registration { home: executor.home, key });
        Poll::Pending
    }

    fn unregister(&mut self) {
        let Some(Registration { home, key }) = self.timer.take() else {
            return;
        };
        context::with(|executor| match executor {
            Some(executor) if std::ptr::eq(executor.home, home) => executor.timers.remove(key),
            _ => home.send(Message::DropTimer(key)),
        });
    }
}

impl Future for Sleep {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        context::with(|executor| match executor {
            Some(executor) => this.poll_on(executor, cx),
            None => panic!(
                "a quell timer was polled where no quell runtime is running: \
                 use `quell::run`, `quell::block_on` or `Runtime::block_on` on this thread"
            ),
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.unregister();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline()).finish_non_exhaustive()
    }
}
