//! Ticks at a steady pace.

use super::{Sleep, deadline_after, now, sleep_until};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// Ticks now, and then every `period`.
///
/// # Panics
///
/// If `period` is zero.
///
/// ```
/// use quell::time::{self, Duration};
/// # quell::Builder::new().virtual_time().build()?.block_on(async {
/// let mut interval = time::interval(Duration::from_secs(1));
/// let first = interval.tick().await;
/// let second = interval.tick().await;
/// assert_eq!(second - first, Duration::from_secs(1));
/// # });
/// # Ok::<_, std::io::Error>(())
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(now(), period)
}

/// Ticks at `start`, and then every `period`.
///
/// # Panics
///
/// If `period` is zero.
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(period > Duration::ZERO, "an interval needs a period longer than zero");
    Interval { sleep: sleep_until(start), period, missed: MissedTickBehavior::default() }
}

/// What an [`Interval`] does when a tick was missed because nobody was waiting for it. The same
/// words as in tokio.
///
/// With a period of 10 ms, and the second tick taken 25 ms late:
///
/// ```text
/// planned   0    10    20    30    40    50    60
/// Burst     0          35 35 35    40    50    60
/// Delay     0          35    45    55    65
/// Skip      0          35          40    50    60
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTickBehavior {
    /// Catches up: missed ticks come one after the other without a wait. As many ticks as planned.
    #[default]
    Burst,
    /// Starts anew from the late tick: ticks are at least a period apart.
    Delay,
    /// Leaves missed ticks out and goes on as planned.
    Skip,
}

/// Ticks at a steady pace; see [`interval`].
#[derive(Debug)]
pub struct Interval {
    sleep: Sleep,
    period: Duration,
    missed: MissedTickBehavior,
}

impl Interval {
    /// Waits for the next tick. Answers when it was planned for.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no tick.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// [`tick`](Self::tick) as a poll function.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.sleep).poll(cx));
        let planned = self.sleep.deadline();
        let next = self.next(planned, now());
        self.sleep = sleep_until(next);
        Poll::Ready(planned)
    }

    fn next(&self, planned: Instant, now: Instant) -> Instant {
        let next = deadline_after(planned, self.period);
        if next > now {
            return next;
        }
        match self.missed {
            MissedTickBehavior::Burst => next,
            MissedTickBehavior::Delay => deadline_after(now, self.period),
            MissedTickBehavior::Skip => {
                let late = (now - planned).as_nanos() % self.period.as_nanos();
                // Less than a period, which is a `Duration` itself.
                let late =
                    Duration::new((late / 1_000_000_000) as u64, (late % 1_000_000_000) as u32);
                deadline_after(now, self.period - late)
            }
        }
    }

    /// The next tick comes a full period from now.
    pub fn reset(&mut self) {
        self.sleep = sleep_until(deadline_after(now(), self.period));
    }

    /// The time between two ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// What happens to missed ticks.
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.missed
    }

    /// Changes what happens to missed ticks.
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.missed = behavior;
    }
}
