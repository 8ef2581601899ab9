//! Making tasks and learning what became of them.

use super::Measured;
use crate::futures::Latch;
use crate::machine::Stopwatch;
use crate::runtimes::Runtime;
use std::rc::Rc;

/// Spawns `n` tasks, then joins them all.
pub async fn many<R: Runtime>(rt: &R, n: u64) -> Measured {
    let mut tasks = Vec::with_capacity(n as usize);
    let mut operations = 0;
    let start = Stopwatch::now();
    for i in 0..n {
        tasks.push(rt.spawn(async move { i }));
    }
    for (i, task) in (0..n).zip(tasks) {
        operations += u64::from(R::join(task).await == i);
    }
    Measured { time: start.elapsed(), operations }
}

/// Spawns a task and joins it, `n` times.
pub async fn one<R: Runtime>(rt: &R, n: u64) -> Measured {
    let mut operations = 0;
    let start = Stopwatch::now();
    for i in 0..n {
        operations += u64::from(R::join(rt.spawn(async move { i })).await == i);
    }
    Measured { time: start.elapsed(), operations }
}

/// Spawns `n` tasks that nobody waits for, and waits until the last one has run.
pub async fn detached<R: Runtime>(rt: &R, n: u64) -> Measured {
    let latch = Rc::new(Latch::new(n));
    let start = Stopwatch::now();
    for _ in 0..n {
        let latch = latch.clone();
        rt.spawn_detached(async move { latch.count_down() });
    }
    latch.wait().await;
    Measured { time: start.elapsed(), operations: n - latch.left() }
}
