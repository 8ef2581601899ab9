//! What has become of each download.

use super::Job;
use crate::text::count;
use indicatif::DecimalBytes;
use std::cell::RefCell;
use std::fmt;
use std::time::{Duration, Instant};

/// One entry for each job. Kept outside of the futures that do the work, so that it is still there
/// when they have been dropped.
#[derive(Debug)]
pub(super) struct Ledger {
    began: Instant,
    entries: RefCell<Vec<Entry>>,
}

#[derive(Clone, Debug)]
struct Entry {
    state: State,
    received: u64,
    began: Instant,
}

#[derive(Clone, Debug)]
enum State {
    Waiting,
    /// If it is still in this state at the end, it was cancelled.
    Running,
    Ended(Result<Duration, String>),
}

/// What a finished download amounts to.
#[derive(Clone, Debug)]
pub(super) struct Finished {
    pub(super) bytes: u64,
    pub(super) took: Duration,
}

impl Ledger {
    pub(super) fn new(jobs: usize) -> Self {
        let began = Instant::now();
        let entry = Entry { state: State::Waiting, received: 0, began };
        Self { began, entries: RefCell::new(vec![entry; jobs]) }
    }

    pub(super) fn begin(&self, index: usize) {
        let entry = &mut self.entries.borrow_mut()[index];
        entry.state = State::Running;
        entry.began = Instant::now();
    }

    pub(super) fn received(&self, index: usize, bytes: u64) {
        self.entries.borrow_mut()[index].received = bytes;
    }

    pub(super) fn end(&self, index: usize, outcome: Result<(), String>) {
        let entry = &mut self.entries.borrow_mut()[index];
        entry.state = State::Ended(outcome.map(|()| entry.began.elapsed()));
    }

    /// How a job has ended.
    pub(super) fn result(&self, index: usize) -> Result<Finished, String> {
        let entry = &self.entries.borrow()[index];
        match &entry.state {
            State::Ended(Ok(took)) => Ok(Finished { bytes: entry.received, took: *took }),
            State::Ended(Err(why)) => Err(why.clone()),
            State::Waiting | State::Running => Err("it has not ended".into()),
        }
    }

    pub(super) fn summary<'a>(&self, jobs: &'a [Job], stopped_by: Option<&'a str>) -> Summary<'a> {
        let mut summary = Summary {
            total: jobs.len(),
            bytes: 0,
            took: self.began.elapsed(),
            finished: Vec::new(),
            failed: Vec::new(),
            cancelled: Vec::new(),
            not_begun: 0,
            stopped_by: stopped_by.unwrap_or("cancelled"),
        };
        for (entry, job) in self.entries.borrow().iter().zip(jobs) {
            match &entry.state {
                State::Waiting => summary.not_begun += 1,
                State::Running => summary.cancelled.push((job, entry.received)),
                State::Ended(Err(why)) => summary.failed.push((job, why.clone())),
                State::Ended(Ok(_)) => {
                    summary.bytes += entry.received;
                    summary.finished.push(job);
                }
            }
        }
        summary
    }
}

/// What finished, what failed, what was cancelled, and why. Prints as lines for people.
#[derive(Debug)]
pub struct Summary<'a> {
    total: usize,
    bytes: u64,
    took: Duration,
    /// These are there.
    pub finished: Vec<&'a Job>,
    /// These are not, and why.
    pub failed: Vec<(&'a Job, String)>,
    /// These were on their way, and how many bytes had come.
    pub cancelled: Vec<(&'a Job, u64)>,
    /// So many had not begun.
    pub not_begun: usize,
    stopped_by: &'a str,
}

impl Summary<'_> {
    /// Whether everything is there.
    pub fn is_complete(&self) -> bool {
        self.finished.len() == self.total
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = self.took.as_secs_f64();
        let (finished, failed) = (self.finished.len(), self.failed.len());
        let (files, size) = (count(self.total, "file"), DecimalBytes(self.bytes));
        write!(f, "{finished} of {files} finished, {size} in {took:.1} s; {failed} failed")?;
        let cancelled = self.cancelled.len() + self.not_begun;
        write!(f, ", {cancelled} cancelled")?;
        for (job, why) in &self.failed {
            write!(f, "\n  failed     {}: {why}", job.text)?;
        }
        for (job, bytes) in &self.cancelled {
            let bytes = DecimalBytes(*bytes);
            write!(f, "\n  cancelled  {}: {}, after {bytes}", job.text, self.stopped_by)?;
        }
        if self.not_begun > 0 {
            let files = count(self.not_begun, "file");
            write!(f, "\n  cancelled  {files} not begun: {}", self.stopped_by)?;
        }
        Ok(())
    }
}
