//! Which workload is measured on which runtime, and at what size.

use crate::runtimes::{AsyncExecutor, Quell, Runtime, Smol, TokioLocalRuntime, TokioLocalSet};
use crate::workloads::{Measured, cancel, net, remote, schedule, spawn, time};
use std::time::Duration;

/// One row of the table: a workload.
pub struct Row {
    /// What it is called.
    pub name: &'static str,
    /// How many operations make a measurement.
    pub operations: u64,
    /// The runtimes, quell first.
    pub contenders: Vec<Contender>,
}

impl Row {
    /// The runtime of that name, if it takes part.
    pub fn contender(&self, runtime: &str) -> Option<&Contender> {
        self.contenders.iter().find(|contender| contender.runtime == runtime)
    }
}

/// A workload on a runtime.
pub struct Contender {
    /// What the runtime is called.
    pub runtime: &'static str,
    start: fn() -> Box<dyn FnMut(u64) -> Measured>,
}

impl Contender {
    /// Makes a runtime.
    pub fn start(&self) -> Running {
        Running { runtime: self.runtime, run: (self.start)() }
    }
}

/// A workload on a runtime that is there and may be warm.
pub struct Running {
    runtime: &'static str,
    run: Box<dyn FnMut(u64) -> Measured>,
}

impl Running {
    /// Runs the workload once, with `operations` operations. Answers what its timed part took.
    ///
    /// # Panics
    ///
    /// If the workload's result is wrong: a broken runtime has no speed.
    pub fn run(&mut self, operations: u64) -> Duration {
        let measured = (self.run)(operations);
        assert_eq!(
            measured.operations, operations,
            "{} did not do what it was asked to",
            self.runtime
        );
        measured.time
    }
}

/// The workload is an async function of the runtime and the number of operations; it may have a
/// parameter in between.
macro_rules! contender {
    ($runtime:ty, $workload:path $(, $parameter:literal)?) => {
        Contender {
            runtime: <$runtime>::NAME,
            start: || {
                let rt = <$runtime>::new();
                Box::new(move |n| rt.run($workload(&rt, $($parameter,)? n)))
            },
        }
    };
}

/// A row. What async-executor is called in it: `AsyncExecutor`, or `Smol` if timers or sockets are
/// needed as well.
macro_rules! row {
    ($last:ident, $name:literal, $operations:literal, $workload:path $(, $parameter:literal)?) => {
        Row {
            name: $name,
            operations: $operations,
            contenders: vec![
                contender!(Quell, $workload $(, $parameter)?),
                contender!(TokioLocalSet, $workload $(, $parameter)?),
                contender!(TokioLocalRuntime, $workload $(, $parameter)?),
                contender!($last, $workload $(, $parameter)?),
            ],
        }
    };
}

/// All rows, in the order of the table.
pub fn rows() -> Vec<Row> {
    vec![
        row!(AsyncExecutor, "spawn_many_local/1k", 1_000, spawn::many),
        row!(AsyncExecutor, "spawn_many_local/100k", 100_000, spawn::many),
        row!(AsyncExecutor, "spawn_one", 10_000, spawn::one),
        row!(AsyncExecutor, "spawn_detached", 100_000, spawn::detached),
        row!(AsyncExecutor, "yield_now/1", 100_000, schedule::yields, 1),
        row!(AsyncExecutor, "yield_now/1000", 100_000, schedule::yields, 1000),
        row!(AsyncExecutor, "ping_pong", 100_000, schedule::ping_pong),
        row!(AsyncExecutor, "ring/1000", 100_000, schedule::ring, 1000),
        row!(AsyncExecutor, "cancel_many/100k", 100_000, cancel::many),
        row!(AsyncExecutor, "cancel_each/100k", 100_000, cancel::each),
        row!(Smol, "timeout_ready", 10_000, time::timeout_ready),
        row!(Smol, "timeout_cancelled", 10_000, time::timeout_cancelled),
        row!(Smol, "sleep/10k", 10_000, time::sleeps),
        row!(AsyncExecutor, "remote_wake/1", 1_000, remote::wake, 1),
        row!(AsyncExecutor, "remote_wake/64", 10_000, remote::wake, 64),
        row!(Smol, "tcp_echo/1", 1_000, net::echo, 1),
        row!(Smol, "tcp_echo/100", 10_000, net::echo, 100),
    ]
}

/// What the rows named `cancel_*` do before their timed part.
pub fn park() -> Row {
    row!(AsyncExecutor, "park", 100_000, cancel::park)
}
