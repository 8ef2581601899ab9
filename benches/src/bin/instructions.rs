//! Counts instructions per operation with valgrind's callgrind: the same in every run, also on a
//! busy machine.
//!
//! Each workload runs in a process of its own, and starts it; the parent prints the table.

use quell_benches::contenders::{Contender, Row, park, rows};
use quell_benches::machine::KEEP_FREED_MEMORY;
use quell_benches::table::Table;
use std::io::IsTerminal;
use std::process::{Command, ExitCode};

const COLUMNS: [&str; 4] = ["quell", "tokio LocalSet", "async-executor", "smol"];

/// The rows that do not wait for other threads or for time, and how many operations make a run.
const ROWS: [(&str, u64); 12] = [
    ("spawn_many_local/1k", 1_000),
    ("spawn_many_local/100k", 20_000),
    ("spawn_one", 5_000),
    ("spawn_detached", 10_000),
    ("yield_now/1", 20_000),
    ("yield_now/1000", 20_000),
    ("ping_pong", 20_000),
    ("ring/1000", 20_000),
    ("cancel_many/100k", 20_000),
    ("cancel_each/100k", 20_000),
    ("timeout_ready", 10_000),
    ("timeout_cancelled", 10_000),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["run", row, runtime, operations, times] => {
            let (Ok(operations), Ok(times)) = (operations.parse(), times.parse()) else {
                eprintln!("not a number: `{operations}` or `{times}`");
                return ExitCode::FAILURE;
            };
            run(row, runtime, operations, times)
        }
        [] => compare(""),
        [filter] => compare(filter),
        _ => {
            eprintln!(
                "usage: instructions [FILTER]\n       instructions run ROW RUNTIME OPERATIONS TIMES"
            );
            ExitCode::FAILURE
        }
    }
}

/// Runs one workload: what callgrind looks at.
fn run(row: &str, runtime: &str, operations: u64, times: u64) -> ExitCode {
    let row = rows().into_iter().chain([park()]).find(|found| found.name == row);
    let Some(contender) = row.as_ref().and_then(|row| row.contender(runtime)) else {
        eprintln!("there is no such row, or no such runtime in it");
        return ExitCode::FAILURE;
    };
    let mut running = contender.start();
    for _ in 0..times {
        running.run(operations);
    }
    // Without the end of the runtime, which is no part of the workload.
    std::process::exit(0)
}

fn compare(filter: &str) -> ExitCode {
    let mut table = Table::new("instructions per operation (times quell's)", &COLUMNS);
    let all = rows();
    for (name, operations) in ROWS.iter().filter(|(name, _)| name.contains(filter)) {
        let row = all.iter().find(|row| row.name == *name).expect("a row of that name");
        let figures = COLUMNS.map(|runtime| {
            let contender = row.contender(runtime)?;
            Some(per_operation(row, contender, *operations))
        });
        eprintln!("{name}: {figures:.0?}");
        table.row(name, figures.to_vec());
    }
    if table.is_empty() {
        eprintln!("no row has `{filter}` in its name");
        return ExitCode::FAILURE;
    }
    print!("{}", table.render(std::io::stdout().is_terminal()));
    ExitCode::SUCCESS
}

fn per_operation(row: &Row, contender: &Contender, operations: u64) -> f64 {
    let count = |row, times| count(row, contender.runtime, operations, times);
    let (total, operations) = if row.name.starts_with("cancel") {
        // Parking the tasks does not belong to it.
        (count(row.name, 1) - count(park().name, 1), operations)
    } else {
        // Nor does the first time, in which tables and queues grow.
        (count(row.name, 3) - count(row.name, 1), 2 * operations)
    };
    total as f64 / operations as f64
}

/// The instructions of a process that runs one workload.
fn count(row: &str, runtime: &str, operations: u64, times: u64) -> u64 {
    let (variable, value) = KEEP_FREED_MEMORY;
    let program = std::env::current_exe().expect("the program has a path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .env(variable, value)
        .arg(program)
        .args(["run", row, runtime, &operations.to_string(), &times.to_string()])
        .output()
        .expect("valgrind is installed");
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{row} on {runtime}:\n{report}");
    let collected = report.lines().find_map(|line| line.split_once("Collected : "));
    let (_, instructions) = collected.expect("callgrind says how many it has collected");
    instructions.trim().parse().expect("a number")
}
