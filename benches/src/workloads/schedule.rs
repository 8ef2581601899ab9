//! Tasks that take turns. Nothing is spawned in the timed part, or next to nothing.

use super::Measured;
use crate::futures::{Slot, yield_now};
use crate::machine::Stopwatch;
use crate::runtimes::Runtime;
use std::rc::Rc;

/// `tasks` tasks yield, `n` times all together.
pub async fn yields<R: Runtime>(rt: &R, tasks: u64, n: u64) -> Measured {
    let start = Stopwatch::now();
    let handles: Vec<_> = (0..tasks)
        .map(|task| {
            let share = share(n, tasks, task);
            rt.spawn(async move {
                let mut yielded = 0;
                for _ in 0..share {
                    yield_now().await;
                    yielded += 1;
                }
                yielded
            })
        })
        .collect();
    let mut operations = 0;
    for handle in handles {
        operations += R::join(handle).await;
    }
    Measured { time: start.elapsed(), operations }
}

/// Two tasks hand a value to and fro, `n` hand-offs.
pub async fn ping_pong<R: Runtime>(rt: &R, n: u64) -> Measured {
    pass_on(rt, 2, n).await
}

/// A value goes round in a ring of tasks, `n` hand-offs.
pub async fn ring<R: Runtime>(rt: &R, tasks: u64, n: u64) -> Measured {
    pass_on(rt, tasks, n).await
}

async fn pass_on<R: Runtime>(rt: &R, tasks: u64, n: u64) -> Measured {
    let slots: Rc<[Slot]> = (0..tasks).map(|_| Slot::default()).collect();
    let start = Stopwatch::now();
    let handles: Vec<_> = (0..tasks)
        .map(|task| {
            let slots = slots.clone();
            rt.spawn(async move {
                let mine = &slots[task as usize];
                let next = &slots[((task + 1) % tasks) as usize];
                let mut passed = 0;
                for _ in 0..share(n, tasks, task) {
                    // The value counts its hand-offs: a value out of turn is not counted.
                    let value = mine.take().await;
                    passed += u64::from(value % tasks == task);
                    // The last one goes to nobody.
                    if value + 1 < n {
                        next.put(value + 1);
                    }
                }
                passed
            })
        })
        .collect();
    if n > 0 {
        slots[0].put(0);
    }
    let mut operations = 0;
    for handle in handles {
        operations += R::join(handle).await;
    }
    Measured { time: start.elapsed(), operations }
}

/// How many of `n` operations fall to `task`, if the tasks take turns.
pub(super) fn share(n: u64, tasks: u64, task: u64) -> u64 {
    n / tasks + u64::from(task < n % tasks)
}
