//! The workloads. Each does what it is told, times the part that matters, and counts what has
//! really happened.

pub mod cancel;
pub mod net;
pub mod remote;
pub mod schedule;
pub mod spawn;
pub mod time;

use std::time::Duration;

/// What a workload has done.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// What the timed part took.
    pub time: Duration,
    /// How many operations have had the right result.
    pub operations: u64,
}
