//! Sleeping, ticking, and giving up after a while.
//!
//! Deadlines are kept to the nanosecond. No timer fires early; how late it fires is up to the
//! operating system and to what else is ready. Setting and dropping a timer are constant-time, and
//! dropping one frees it at once.
//!
//! Under a [virtual clock](crate::clock::VirtualClock) nothing here takes real time.

mod interval;
mod sleep;
mod timeout;

pub use interval::{Interval, MissedTickBehavior, interval, interval_at};
pub use quell_cancel::Elapsed;
pub use sleep::{Sleep, sleep, sleep_until};
pub use std::time::{Duration, Instant};
pub use timeout::{Timeout, timeout, timeout_at};

/// The time of the clock of the runtime that is running on this thread; the real time outside of
/// any.
///
/// ```
/// use quell::time::{self, Duration};
/// let runtime = quell::Builder::new().virtual_time().build()?;
/// runtime.block_on(async {
///     let start = time::now();
///     time::sleep(Duration::from_secs(60)).await;
///     assert_eq!(time::now() - start, Duration::from_secs(60));
/// });
/// # Ok::<_, std::io::Error>(())
/// ```
pub fn now() -> Instant {
    crate::context::with(|executor| match executor {
        Some(executor) => executor.now(),
        None => Instant::now(),
    })
}

/// `start + duration`, and "never" where that does not fit.
fn deadline_after(start: Instant, duration: Duration) -> Instant {
    // A century is longer than any process lives, and fits.
    const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);
    start.checked_add(duration).unwrap_or_else(|| start + NEVER)
}
