//! `fetch`: a concurrent downloader that leaves no mess.

use clap::Parser;
use quell::RunError;
use quell_examples::fetch::demo::{self, Outcome, demo};
use quell_examples::fetch::{DeadlinePassed, Display, Fetch, Options, plan};
use quell_examples::text::{describe, say};
use std::cell::OnceCell;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Downloads many files at once over HTTP/1.1.
///
/// A file appears under its name only when it is complete; until then it is a temporary file in the
/// same folder, which is removed on any error, timeout or Ctrl-C. A file that has the name already
/// is replaced. The name is the last piece of the URL's path, or index.html; if several URLs have
/// the same, the later ones get .1, .2 and so on.
///
/// Without a URL it demonstrates itself: it serves a folder of files, and downloads them.
///
/// Exit status: 0 if everything is there, 1 if something failed or the deadline passed, 2 if it was
/// called wrongly, 130 after Ctrl-C, 143 after SIGTERM.
#[derive(Parser)]
struct Args {
    /// What to download. Only http:// is supported.
    #[arg(value_name = "URL")]
    urls: Vec<String>,

    /// Read further URLs from a file, one a line; from standard input if it is `-`. Empty lines and
    /// lines that begin with # are skipped.
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,

    /// The folder for the files. Made if it is not there. [default: the current one; in the
    /// demonstration, fetch-demo next to this program]
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// How many downloads run at the same time.
    #[arg(short, long, value_name = "N", default_value = "8")]
    jobs: NonZeroUsize,

    /// How long one URL may take: redirects, retries and the waits between them included.
    /// [default: 60s; in the demonstration 3s]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,

    /// How long all of it may take. What is not done then is cancelled.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    deadline: Option<Duration>,

    /// How often to try again after an error that may pass: a connection that is refused or breaks,
    /// a truncated file, status 429 or 5xx.
    #[arg(long, value_name = "N", default_value = "2")]
    retries: u32,

    /// How long to wait before the first retry. Each further wait is twice as long, up to 30s.
    #[arg(long, value_name = "DURATION", default_value = "200ms",
          value_parser = humantime::parse_duration)]
    backoff: Duration,

    /// No progress. A summary only if something is missing.
    #[arg(short, long)]
    quiet: bool,
}

const TIMEOUT: Duration = Duration::from_secs(60);
const CALLED_WRONGLY: u8 = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    let is_demo = args.urls.is_empty() && args.input.is_none();
    let urls = match args.all_urls() {
        Ok(urls) => urls,
        Err(why) => {
            say(format_args!("error: {why}"));
            return ExitCode::from(CALLED_WRONGLY);
        }
    };
    let options = args.options(is_demo);
    if let Err(error) = fs::create_dir_all(&options.out) {
        let (out, why) = (options.out.display(), describe(&error));
        say(format_args!("error: cannot make the folder {out}: {why}"));
        return ExitCode::FAILURE;
    }
    if is_demo {
        run_demo(options, args.quiet)
    } else {
        let fetch = Fetch::new(options, plan(urls), Display::new(args.quiet));
        let end = match quell::run(fetch.run()) {
            Ok(Ok(())) => End::Done,
            Ok(Err(DeadlinePassed)) => End::Deadline,
            Err(error) => End::Stopped(error),
        };
        finish(&fetch, &end, args.quiet)
    }
}

impl Args {
    fn all_urls(&self) -> Result<Vec<String>, String> {
        let mut urls = self.urls.clone();
        if let Some(path) = &self.input {
            let text = read(path)
                .map_err(|error| format!("cannot read {}: {}", path.display(), describe(&error)))?;
            let lines = text.lines().map(str::trim);
            urls.extend(
                lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned),
            );
            if urls.is_empty() {
                return Err(format!("there is no URL in {}", path.display()));
            }
        }
        Ok(urls)
    }

    fn options(&self, is_demo: bool) -> Options {
        let out = || {
            // Where cargo puts what can be made anew.
            let program = std::env::current_exe().ok().filter(|_| is_demo);
            program.map_or_else(|| ".".into(), |program| program.with_file_name("fetch-demo"))
        };
        let timeout = if is_demo { demo::TIMEOUT } else { TIMEOUT };
        Options {
            out: self.out.clone().unwrap_or_else(out),
            jobs: self.jobs,
            timeout: self.timeout.unwrap_or(timeout),
            deadline: self.deadline,
            retries: self.retries,
            backoff: self.backoff,
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    if path == Path::new("-") { io::read_to_string(io::stdin()) } else { fs::read_to_string(path) }
}

/// How a run came to its end.
enum End {
    Done,
    Deadline,
    Stopped(RunError),
}

/// Prints the summary and chooses the exit status.
fn finish(fetch: &Fetch, end: &End, quiet: bool) -> ExitCode {
    fetch.display().end();
    let stopped_by = match end {
        End::Done => None,
        End::Deadline => Some("deadline".to_owned()),
        End::Stopped(RunError::Cancelled { signal: Some(signal), .. }) => Some(signal.to_string()),
        End::Stopped(error) => Some(error.to_string()),
    };
    let summary = fetch.summary(stopped_by.as_deref());
    if !(quiet && summary.is_complete()) {
        say(&summary);
    }
    match end {
        End::Stopped(error) => error.exit_code(),
        _ if summary.is_complete() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn run_demo(options: Options, quiet: bool) -> ExitCode {
    let out = options.out.clone();
    // The main future is dropped when a signal comes. What it borrows is not.
    let fetch = OnceCell::new();
    let (end, outcome) = match quell::run(demo(options, Display::new(quiet), &fetch)) {
        Ok(Ok(Outcome::DeadlinePassed)) => (End::Deadline, None),
        Ok(Ok(outcome)) => (End::Done, Some(outcome)),
        Err(error) => (End::Stopped(error), None),
        Ok(Err(error)) => {
            say(format_args!("error: {}", describe(&error)));
            return ExitCode::FAILURE;
        }
    };
    let status = match (fetch.get(), &end) {
        (Some(fetch), end) => finish(fetch, end, quiet),
        // Stopped before there was anything to download.
        (None, End::Stopped(error)) => error.exit_code(),
        (None, _) => ExitCode::FAILURE,
    };
    match outcome {
        Some(Outcome::AsPlanned) => {
            if !quiet {
                say(format_args!(
                    "\nAs planned. What finished is byte for byte what was served; what failed\n\
                     left no temporary file and no connection behind. Look around in\n  {}",
                    from_here(&out).display()
                ));
            }
            ExitCode::SUCCESS
        }
        Some(Outcome::Differently(why)) => {
            say(format_args!("\nNot as planned: {why}"));
            ExitCode::FAILURE
        }
        _ => status,
    }
}

/// A path below the current folder without that.
fn from_here(path: &Path) -> &Path {
    let here = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path)
}
