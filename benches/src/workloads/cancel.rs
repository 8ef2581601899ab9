//! Cancelling tasks that wait for something. Spawning and parking them is not timed.

use super::Measured;
use crate::futures::{Parked, ParkingLot};
use crate::machine::Stopwatch;
use crate::runtimes::Runtime;
use std::rc::Rc;

/// Asks `n` parked tasks to stop, then waits for all.
pub async fn many<R: Runtime>(rt: &R, n: u64) -> Measured {
    let (lot, tasks) = parked(rt, n).await;
    let mut stopping = Vec::with_capacity(tasks.len());
    let mut operations = 0;
    let start = Stopwatch::now();
    for task in tasks {
        stopping.push(R::request_cancel(task));
    }
    for task in stopping {
        operations += u64::from(R::stopped(task).await);
    }
    // For runtimes that cannot wait for a task they have asked to stop. Open already for the
    // others.
    lot.dropped.wait().await;
    Measured { time: start.elapsed(), operations }
}

/// Asks a parked task to stop and waits for it, `n` times.
pub async fn each<R: Runtime>(rt: &R, n: u64) -> Measured {
    let (lot, tasks) = parked(rt, n).await;
    let mut operations = 0;
    let start = Stopwatch::now();
    for task in tasks {
        operations += u64::from(R::cancel_and_join(task).await);
    }
    let time = start.elapsed();
    assert_eq!(lot.dropped.left(), 0, "cancelled tasks are still there");
    Measured { time, operations }
}

/// What comes before the timed part of the other two, and nothing else: the tasks stay. For
/// measurements that see the whole process and have to subtract it.
pub async fn park<R: Runtime>(rt: &R, n: u64) -> Measured {
    let start = Stopwatch::now();
    let (lot, tasks) = parked(rt, n).await;
    std::mem::forget(tasks);
    Measured { time: start.elapsed(), operations: n - lot.parked.left() }
}

async fn parked<R: Runtime>(rt: &R, n: u64) -> (Rc<ParkingLot>, Vec<R::Join<()>>) {
    let lot = ParkingLot::new(n);
    let spawn = |_| {
        let parked: Parked = lot.park();
        rt.spawn(parked)
    };
    let tasks = (0..n).map(spawn).collect();
    lot.parked.wait().await;
    (lot, tasks)
}
