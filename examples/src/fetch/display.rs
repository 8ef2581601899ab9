//! What the user sees while a run goes on: bars on a terminal, lines elsewhere.

use super::ledger::{Finished, Ledger};
use super::{FetchError, Job};
use crate::text::say;
use indicatif::{DecimalBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::Cell;
use std::fmt;
use std::time::Duration;

/// Shows a run on standard error.
#[derive(Debug)]
pub struct Display {
    mode: Mode,
}

#[derive(Debug)]
enum Mode {
    Quiet,
    Lines,
    Bars(Bars),
}

#[derive(Debug)]
struct Bars {
    all: MultiProgress,
    /// The last one: all files.
    total: ProgressBar,
    bytes: Cell<u64>,
    /// How many of the others there are.
    shown: Cell<usize>,
    /// Nothing is drawn any more; see [`Bars::freeze`].
    frozen: Cell<bool>,
}

/// More bars than this are of no use to anybody, and do not fit on the screen.
const MOST_BARS: usize = 12;

impl Display {
    /// Bars if standard error is a terminal that can show them, and lines if not; nothing if it is
    /// to be `quiet`.
    pub fn new(quiet: bool) -> Self {
        let target = ProgressDrawTarget::stderr();
        let mode = match (quiet, target.is_hidden()) {
            (true, _) => Mode::Quiet,
            (false, true) => Mode::Lines,
            (false, false) => Mode::Bars(Bars {
                all: MultiProgress::with_draw_target(target),
                total: ProgressBar::hidden(),
                bytes: Cell::new(0),
                shown: Cell::new(0),
                frozen: Cell::new(false),
            }),
        };
        Self { mode }
    }

    /// Prints a line, above the bars if there are any.
    pub fn say(&self, line: impl fmt::Display) {
        match &self.mode {
            Mode::Quiet => {}
            Mode::Bars(bars) if !bars.frozen.get() => drop(bars.all.println(line.to_string())),
            Mode::Lines | Mode::Bars(_) => say(line),
        }
    }

    pub(super) fn begin(&self, jobs: usize) {
        if let Mode::Bars(bars) = &self.mode {
            // The total is hidden until it is added, and would stay so if it had been made here.
            bars.total
                .set_style(style("{prefix:24} {bar:24.green/dim} {pos:>4} of {len} files  {msg}"));
            bars.total.set_length(jobs as u64);
            bars.total.set_prefix("all");
            bars.all.add(bars.total.clone()).tick();
        }
    }

    /// Takes the bars away, unless they are frozen.
    pub fn end(&self) {
        match &self.mode {
            Mode::Bars(bars) if !bars.frozen.get() => {
                bars.total.finish_and_clear();
                drop(bars.all.clear());
            }
            _ => {}
        }
    }

    /// Shows a download and keeps its entry in the ledger.
    pub(super) fn progress<'a>(
        &'a self,
        job: &'a Job,
        ledger: &'a Ledger,
        index: usize,
    ) -> Progress<'a> {
        let bar = match &self.mode {
            Mode::Bars(bars) if bars.shown.get() < MOST_BARS => {
                bars.shown.set(bars.shown.get() + 1);
                let bar = bars.all.insert_before(&bars.total, ProgressBar::no_length());
                bar.set_prefix(job.label().to_owned());
                Some((bar, bars))
            }
            _ => None,
        };
        Progress { display: self, bar, job, ledger, index }
    }

    pub(super) fn ended(&self, job: &Job, result: &Result<Finished, String>) {
        let name = job.label();
        match result {
            Ok(Finished { bytes, took }) => {
                let (size, took) = (DecimalBytes(*bytes).to_string(), took.as_secs_f64());
                self.say(format_args!("finished  {name:<24} {size:>10} {took:>6.2} s"));
            }
            Err(why) => self.say(format_args!("failed    {name:<24} {why}")),
        }
        if let Mode::Bars(bars) = &self.mode {
            if let Ok(finished) = result {
                bars.bytes.set(bars.bytes.get() + finished.bytes);
            }
            bars.total.set_message(DecimalBytes(bars.bytes.get()).to_string());
            bars.total.inc(1);
        }
    }
}

impl Bars {
    /// Leaves the bars as they are, and goes on below them.
    ///
    /// After Ctrl-C they cannot be taken away: the terminal has written `^C` in their midst, and
    /// nothing is where it was. It is as well to see how far each had come.
    fn freeze(&self) {
        if !self.frozen.replace(true) {
            self.all.set_draw_target(ProgressDrawTarget::hidden());
            say("");
        }
    }
}

/// How far one download has come. Dropping it means that it was cancelled.
#[derive(Debug)]
pub(super) struct Progress<'a> {
    display: &'a Display,
    bar: Option<(ProgressBar, &'a Bars)>,
    job: &'a Job,
    ledger: &'a Ledger,
    index: usize,
}

impl Progress<'_> {
    /// A new attempt begins.
    pub(super) fn restart(&self) {
        self.ledger.received(self.index, 0);
        if let Some((bar, _)) = &self.bar {
            bar.set_style(style("{prefix:24!} connecting"));
            bar.reset();
            bar.tick();
        }
    }

    /// The response has come.
    pub(super) fn expect(&self, length: Option<u64>) {
        let Some((bar, _)) = &self.bar else { return };
        match length {
            Some(length) => {
                bar.set_length(length);
                bar.set_style(style(
                    "{prefix:24!} {bar:24.cyan/dim} {decimal_bytes:>9} {decimal_bytes_per_sec:>11}",
                ));
            }
            None => bar.set_style(style(
                "{prefix:24!} {spinner:24} {decimal_bytes:>9} {decimal_bytes_per_sec:>11}",
            )),
        }
    }

    /// So many bytes have come in this attempt.
    pub(super) fn received(&self, bytes: u64) {
        self.ledger.received(self.index, bytes);
        if let Some((bar, _)) = &self.bar {
            bar.set_position(bytes);
        }
    }

    /// The download has ended, in whatever way.
    pub(super) fn end(self) {
        if let Some((bar, bars)) = &self.bar {
            bar.finish_and_clear();
            bars.all.remove(bar);
        }
    }

    /// An attempt has failed, and the next one is `wait` away.
    pub(super) fn retry(&self, error: &FetchError, wait: Duration) {
        let (name, wait) = (self.job.label(), humantime::format_duration(wait));
        self.display.say(format_args!("retry     {name:<24} in {wait}: {error}"));
        if let Some((bar, _)) = &self.bar {
            bar.set_style(style("{prefix:24!} waiting to try again"));
            bar.tick();
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Some((bar, bars)) = &self.bar {
            if !bar.is_finished() {
                bars.freeze();
            }
            bars.shown.set(bars.shown.get() - 1);
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates in this file are valid")
}
