//! The measurements and their tables.

use crate::counting::{allocations, requested_bytes};
use quell_benches::futures::{Idle, idle_polls, yield_now};
use quell_benches::machine::resident_bytes;
use quell_benches::runtimes::{
    AsyncExecutor, Quell, Runtime, Smol, Timers, TokioLocalRuntime, TokioLocalSet,
};
use quell_benches::table::Table;
use std::future::{Future, poll_fn};
use std::io::IsTerminal;
use std::pin::Pin;
use std::process::{Command, ExitCode};
use std::task::Poll;
use std::time::Duration;

const TASKS: usize = 100_000;
const TIMERS: usize = 1_000_000;

const MEASUREMENTS: [Measurement; 4] = [
    Measurement {
        name: "future of 0 bytes",
        measure: [
            idle_tasks::<Quell, 0>,
            idle_tasks::<TokioLocalSet, 0>,
            idle_tasks::<TokioLocalRuntime, 0>,
            idle_tasks::<AsyncExecutor, 0>,
        ],
    },
    Measurement {
        name: "future of 64 bytes",
        measure: [
            idle_tasks::<Quell, 64>,
            idle_tasks::<TokioLocalSet, 64>,
            idle_tasks::<TokioLocalRuntime, 64>,
            idle_tasks::<AsyncExecutor, 64>,
        ],
    },
    Measurement {
        name: "future of 256 bytes",
        measure: [
            idle_tasks::<Quell, 256>,
            idle_tasks::<TokioLocalSet, 256>,
            idle_tasks::<TokioLocalRuntime, 256>,
            idle_tasks::<AsyncExecutor, 256>,
        ],
    },
    Measurement {
        name: "pending timer",
        measure: [
            pending_timers::<Quell>,
            pending_timers::<TokioLocalSet>,
            pending_timers::<TokioLocalRuntime>,
            pending_timers::<Smol>,
        ],
    },
];

const COLUMNS: [&str; 4] =
    ["quell", "tokio LocalSet", "tokio LocalRuntime", "async-executor / smol"];

struct Measurement {
    name: &'static str,
    /// A function for each column.
    measure: [fn() -> Footprint; COLUMNS.len()],
}

/// What one task, or one timer, takes up.
struct Footprint {
    requested: f64,
    resident: f64,
    allocations: f64,
}

pub(crate) fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => {
            compare();
            ExitCode::SUCCESS
        }
        [row, column] => {
            let Some(measure) = find(row, column) else {
                eprintln!("there is no row {row}, or no column {column} in it");
                return ExitCode::FAILURE;
            };
            let footprint = measure();
            println!("{} {} {}", footprint.requested, footprint.resident, footprint.allocations);
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: memory [ROW COLUMN]");
            ExitCode::FAILURE
        }
    }
}

fn find(row: &str, column: &str) -> Option<fn() -> Footprint> {
    let row: usize = row.parse().ok()?;
    let column: usize = column.parse().ok()?;
    MEASUREMENTS.get(row)?.measure.get(column).copied()
}

fn compare() {
    let mut tables = [
        "bytes of heap requested (times quell's)",
        "bytes of memory resident (times quell's)",
        "allocations (times quell's)",
    ]
    .map(|title| Table::new(title, &COLUMNS));
    for (row, measurement) in MEASUREMENTS.iter().enumerate() {
        let footprints: Vec<_> = (0..COLUMNS.len()).map(|column| measure(row, column)).collect();
        for (i, table) in tables.iter_mut().enumerate() {
            let figures = footprints.iter().map(|footprint| Some(footprint[i]));
            table.row(measurement.name, figures.collect());
        }
    }
    println!("Per task of {TASKS}, per timer of {TIMERS}.\n");
    for table in tables {
        println!("{}", table.render(std::io::stdout().is_terminal()));
    }
}

/// One measurement, in a process of its own.
fn measure(row: usize, column: usize) -> [f64; 3] {
    let output = Command::new(std::env::current_exe().expect("the program has a path"))
        .args([row.to_string(), column.to_string()])
        .output()
        .expect("the program can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", COLUMNS[column]);
    let answer = String::from_utf8(output.stdout).expect("text");
    let figures: Vec<f64> =
        answer.split_whitespace().map(|figure| figure.parse().expect("a number")).collect();
    figures.try_into().expect("three numbers")
}

/// Tasks that have been polled once and wait. Without the join handles.
fn idle_tasks<R: Runtime, const N: usize>() -> Footprint {
    let rt = R::new();
    let mut tasks = places(TASKS);
    rt.run(async {
        // What the runtime needs for itself is there from now on.
        R::join(rt.spawn(async {})).await;
        let before = Snapshot::take();
        for place in &mut tasks {
            *place = Some(rt.spawn(Idle::<N>::new()));
        }
        let mut turns = 0;
        while idle_polls() < TASKS as u64 {
            yield_now().await;
            turns += 1;
            assert!(turns <= TASKS, "some tasks have not been polled");
        }
        before.footprint(TASKS)
    })
}

/// Sleeping futures, each in a box of its own, that included: some runtimes keep the timer in the
/// future, others in a table.
fn pending_timers<R: Timers>() -> Footprint {
    let rt = R::new();
    let mut sleeps = places(TIMERS);
    rt.run(poll_fn(|cx| {
        // Some runtimes start a thread with the first timer.
        let mut first = Box::pin(R::sleep(Duration::from_secs(3600)));
        assert!(first.as_mut().poll(cx).is_pending());
        let before = Snapshot::take();
        for (place, i) in sleeps.iter_mut().zip(0..) {
            // Up to some twenty minutes, all different.
            let duration = Duration::from_secs(60) + Duration::from_micros(i * 1237);
            let mut sleep: Pin<Box<dyn Future<Output = ()>>> = Box::pin(R::sleep(duration));
            assert!(sleep.as_mut().poll(cx).is_pending());
            *place = Some(sleep);
        }
        Poll::Ready(before.footprint(TIMERS))
    }))
}

/// Room for that many, and the room is resident.
fn places<T>(count: usize) -> Vec<Option<T>> {
    let mut places = Vec::new();
    places.resize_with(count, || std::hint::black_box(None));
    places
}

struct Snapshot {
    requested: u64,
    resident: u64,
    allocations: u64,
}

impl Snapshot {
    fn take() -> Self {
        Self {
            requested: requested_bytes(),
            allocations: allocations(),
            resident: resident_bytes(),
        }
    }

    /// What has come since, shared out.
    fn footprint(&self, count: usize) -> Footprint {
        let now = Self::take();
        let each = |now: u64, then: u64| (now as f64 - then as f64) / count as f64;
        Footprint {
            requested: each(now.requested, self.requested),
            resident: each(now.resident, self.resident),
            allocations: each(now.allocations, self.allocations),
        }
    }
}
