//! Measures all workloads on all runtimes and prints a table.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput};
use quell_benches::contenders::{Row, rows};
use quell_benches::machine;
use quell_benches::table::Table;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

const COLUMNS: [&str; 5] =
    ["quell", "tokio LocalSet", "tokio LocalRuntime", "async-executor", "smol"];

/// How often each row is measured.
const PASSES: u32 = 3;

/// What the command line asks for.
#[derive(Default)]
struct Options {
    /// `cargo bench` passes this. Without it the program is run as a test.
    bench: bool,
    /// Shorter measurements.
    quick: bool,
    /// Only rows whose name contains this.
    filter: Option<String>,
}

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        for argument in arguments {
            match argument.as_str() {
                "--bench" => options.bench = true,
                "--quick" => options.quick = true,
                option if option.starts_with('-') => {
                    return Err(format!(
                        "unknown option `{option}`: there is `--quick`, and anything else is a \
                         part of a row's name"
                    ));
                }
                filter => options.filter = Some(filter.to_owned()),
            }
        }
        Ok(options)
    }

    fn wants(&self, row: &Row) -> bool {
        self.filter.as_ref().is_none_or(|filter| row.name.contains(filter))
    }
}

fn main() {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            std::process::exit(2);
        }
    };
    if options.bench {
        machine::keep_freed_memory();
        match machine::pin_to_one_core() {
            Some(core) => println!("on core {core}"),
            None => println!("not pinned to a core"),
        }
        measure(&options);
    } else {
        // The tests of the package run each row on each runtime; here it is about this program.
        for contender in &rows()[0].contenders {
            contender.start().run(10);
        }
    }
}

fn measure(options: &Options) {
    let directory = directory();
    let mut criterion = Criterion::default().output_directory(&directory).nresamples(10_000);
    criterion = if options.quick {
        criterion
            .warm_up_time(Duration::from_millis(50))
            .measurement_time(Duration::from_millis(300))
            .sample_size(10)
    } else {
        criterion
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_secs(3))
            .sample_size(50)
    };
    let mut table = Table::new("ns per operation (times quell's)", &COLUMNS);
    for row in rows().iter().filter(|row| options.wants(row)) {
        let mut group = criterion.benchmark_group(row.name.replace('/', "_"));
        group.throughput(Throughput::Elements(row.operations));
        // Some iterations take so long that more of them for each sample would take for ever.
        group.sampling_mode(SamplingMode::Flat);
        let medians = measure_row(&mut group, row, &directory);
        group.finish();
        let figures = COLUMNS.iter().map(|runtime| {
            let (_, nanoseconds) = medians.iter().find(|(name, _)| name == runtime)?;
            Some(nanoseconds / row.operations as f64)
        });
        table.row(row.name, figures.collect());
    }
    print!("\n{}", table.render(std::io::stdout().is_terminal()));
}

/// The median of each runtime's best pass, in nanoseconds.
///
/// The runtimes take turns, pass by pass: on a machine with other users, a bad moment does not fall
/// on one of them alone.
fn measure_row(
    group: &mut BenchmarkGroup<'_, WallTime>,
    row: &Row,
    directory: &Path,
) -> Vec<(&'static str, f64)> {
    let mut contenders: Vec<_> = row
        .contenders
        .iter()
        .map(|contender| (contender.runtime, contender.start(), f64::INFINITY))
        .collect();
    for pass in 1..=PASSES {
        for (runtime, running, best) in &mut contenders {
            let id = BenchmarkId::new(*runtime, pass);
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|iterations| {
                    (0..iterations).map(|_| running.run(row.operations)).sum()
                });
            });
            let group = row.name.replace('/', "_");
            let results = directory.join(group).join(&**runtime).join(pass.to_string());
            *best = median(&results).min(*best);
        }
    }
    contenders.into_iter().map(|(runtime, _, best)| (runtime, best)).collect()
}

/// Where criterion keeps its results: in the target directory.
fn directory() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    target.parent().unwrap_or(target).join("criterion")
}

/// The median of the measurements that criterion has just written, in nanoseconds.
fn median(benchmark: &Path) -> f64 {
    let path = benchmark.join("new").join("estimates.json");
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let estimates: serde_json::Value = serde_json::from_str(&text).expect("criterion writes JSON");
    estimates["median"]["point_estimate"].as_f64().expect("criterion estimates the median")
}
