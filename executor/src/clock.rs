//! What time it is: the real clock, and one that tests can move.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Where the event loop gets the time from.
///
/// The loop reads the clock once a turn and whenever a timer is made.
pub trait Clock {
    /// The time now. Must not run backwards: if it does, the loop keeps the later time.
    fn now(&self) -> Instant;

    /// Whether the loop may move this clock with [`skip_to`](Self::skip_to) instead of sleeping.
    fn is_virtual(&self) -> bool {
        false
    }

    /// Called when nothing is ready and the next timer is due at `deadline`, if
    /// [`is_virtual`](Self::is_virtual) says so: the clock must go there.
    fn skip_to(&self, deadline: Instant) {
        let _ = deadline;
    }
}

/// The operating system's monotonic clock. Used unless another is set.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// A clock that stands still while anything is ready, and jumps to the next timer when nothing is.
///
/// A test of an hour's timeout takes no time, and gives the same result on every machine. The same
/// idea as Trio's `MockClock(autojump_threshold=0)` and tokio's `start_paused`.
///
/// Clones show the same time.
///
/// ```
/// use quell::{Builder, clock::VirtualClock, time};
/// use std::time::Duration;
///
/// let clock = VirtualClock::new();
/// let runtime = Builder::new().clock(clock.clone()).build()?;
/// runtime.block_on(time::sleep(Duration::from_secs(3600)));
/// assert_eq!(clock.elapsed(), Duration::from_secs(3600));
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct VirtualClock {
    start: Instant,
    elapsed: Rc<Cell<Duration>>,
}

impl VirtualClock {
    /// A clock that stands at the present time.
    pub fn new() -> Self {
        Self { start: Instant::now(), elapsed: Rc::default() }
    }

    /// How far the clock has moved since it was made.
    pub fn elapsed(&self) -> Duration {
        self.elapsed.get()
    }

    /// Moves the clock on. Timers that are due by then fire in the loop's next turn.
    pub fn advance(&self, by: Duration) {
        self.elapsed.set(self.elapsed.get() + by);
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        self.start + self.elapsed.get()
    }

    fn is_virtual(&self) -> bool {
        true
    }

    fn skip_to(&self, deadline: Instant) {
        let target = deadline.saturating_duration_since(self.start);
        self.elapsed.set(self.elapsed.get().max(target));
    }
}
