//! Wakes from another thread.

use super::Measured;
use super::schedule::share;
use crate::futures::RemoteSlot;
use crate::machine::Stopwatch;
use crate::runtimes::Runtime;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

/// `in_flight` tasks send values to another thread and wait for them to come back, `n` round trips
/// all together.
pub async fn wake<R: Runtime>(rt: &R, in_flight: u64, n: u64) -> Measured {
    let (requests, incoming) = mpsc::channel::<(Arc<RemoteSlot>, u64)>();
    let other = thread::spawn(move || {
        for (slot, value) in incoming {
            slot.put(value + 1);
        }
    });
    let start = Stopwatch::now();
    let tasks: Vec<_> = (0..in_flight)
        .map(|task| {
            let requests = requests.clone();
            rt.spawn(async move {
                let slot = Arc::new(RemoteSlot::default());
                let mut right = 0;
                for i in 0..share(n, in_flight, task) {
                    let request = (slot.clone(), i);
                    requests.send(request).expect("the thread is there");
                    right += u64::from(slot.take().await == i + 1);
                }
                right
            })
        })
        .collect();
    let mut operations = 0;
    for task in tasks {
        operations += R::join(task).await;
    }
    let time = start.elapsed();
    drop(requests);
    other.join().expect("nothing there panics");
    Measured { time, operations }
}
