//! Timers: most never fire, some do.

use super::Measured;
use crate::futures::yield_now;
use crate::machine::Stopwatch;
use crate::runtimes::Timers;
use std::future::{Future, ready};
use std::time::{Duration, Instant};

/// Longer than any workload takes.
const LONG: Duration = Duration::from_secs(60);

/// Timeouts around futures that are ready at once.
pub async fn timeout_ready<R: Timers>(rt: &R, n: u64) -> Measured {
    timeouts(rt, n, ready).await
}

/// Timeouts around futures that are ready at the second poll: the timer is set, and cancelled.
pub async fn timeout_cancelled<R: Timers>(rt: &R, n: u64) -> Measured {
    let second_poll = |i| async move {
        yield_now().await;
        i
    };
    timeouts(rt, n, second_poll).await
}

async fn timeouts<R, F>(rt: &R, n: u64, future: impl Fn(u64) -> F + 'static) -> Measured
where
    R: Timers,
    F: Future<Output = u64> + 'static,
{
    // In a task and not in the main future, which some runtimes treat differently.
    let task = rt.spawn(async move {
        let mut operations = 0;
        let start = Stopwatch::now();
        for i in 0..n {
            operations += u64::from(R::timeout(LONG, future(i)).await == Some(i));
        }
        Measured { time: start.elapsed(), operations }
    });
    R::join(task).await
}

/// `n` tasks sleep for 0 to 10 ms each. Sleep costs no CPU time and so does not count.
pub async fn sleeps<R: Timers>(rt: &R, n: u64) -> Measured {
    let start = Stopwatch::now();
    let tasks: Vec<_> = (0..n)
        .map(|i| {
            // In no order, and the same for all.
            let duration = Duration::from_micros(i * 7919 % 10_000);
            rt.spawn(async move {
                let start = Instant::now();
                R::sleep(duration).await;
                start.elapsed() >= duration
            })
        })
        .collect();
    let mut operations = 0;
    for task in tasks {
        let in_time = R::join(task).await;
        assert!(in_time, "a timer fired too early");
        operations += 1;
    }
    Measured { time: start.elapsed(), operations }
}
