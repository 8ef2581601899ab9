//! The downloader behind the tool `fetch`.
//!
//! A run is made of tasks in three layers, and a request to stop goes down through all of them:
//!
//! ```text
//! Fetch::run               waits for the workers, until the deadline
//!  ├─ worker               takes one URL after the other; --jobs of them
//!  │   └─ download         one URL: attempts, waits between them, under --timeout
//!  ├─ worker
//!  │   └─ download
//!  ⋮
//! ```
//!
//! Each layer waits for the next with [`join_forwarding`](quell::JoinHandle::join_forwarding): when
//! a worker is cancelled its download is, too, and the worker has not ended before the download's
//! destructors have run. What a download holds cleans up after itself when it is dropped, without
//! waiting for anything: [`PartFile`] removes the file, and the connection,
//! which is polled by the download itself and no task of its own, closes the socket. So there is
//! no path out of a download, be it success, an error, a timeout, the deadline, Ctrl-C or a panic,
//! that leaves something behind.

pub mod demo;
mod display;
mod download;
mod error;
mod http;
mod ledger;
mod part_file;
mod plan;

pub use display::Display;
pub use error::FetchError;
pub use ledger::Summary;
pub use part_file::PartFile;
pub use plan::{Job, plan};

use ledger::Ledger;
use quell::time::timeout;
use quell::{CancelKind, JoinError, JoinForwarding, Reason, spawn, task};
use std::cell::Cell;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// How to download.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder for the files.
    pub out: PathBuf,
    /// How many downloads may run at the same time.
    pub jobs: NonZeroUsize,
    /// How long one URL may take: redirects, retries and the waits between them included.
    pub timeout: Duration,
    /// How long the whole run may take.
    pub deadline: Option<Duration>,
    /// How often a URL is tried again after an error that may pass.
    pub retries: u32,
    /// How long to wait before the first retry. Each further wait is twice as long.
    pub backoff: Duration,
}

/// One run: what is to be downloaded, and how far it has come.
///
/// It outlives the futures of the run, which may be dropped at any time: the summary is made from
/// what is written down here.
#[derive(Debug)]
pub struct Fetch {
    options: Options,
    jobs: Vec<Job>,
    ledger: Ledger,
    display: Display,
    /// The first job that nobody has taken.
    next: Cell<usize>,
}

/// The deadline of the whole run passed before everything was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadlinePassed;

impl Fetch {
    /// A run that has not begun.
    pub fn new(options: Options, jobs: Vec<Job>, display: Display) -> Rc<Self> {
        Rc::new(Self {
            ledger: Ledger::new(jobs.len()),
            options,
            jobs,
            display,
            next: Cell::new(0),
        })
    }

    /// Downloads everything.
    ///
    /// # Errors
    ///
    /// [`DeadlinePassed`], after all downloads have stopped. Downloads that fail are no error here:
    /// the [summary](Self::summary) has them.
    ///
    /// # Cancel safety
    ///
    /// Dropping it cancels all downloads. They are gone when the executor has polled them.
    pub async fn run(self: &Rc<Self>) -> Result<(), DeadlinePassed> {
        self.display.begin(self.jobs.len());
        let count = self.options.jobs.get().min(self.jobs.len());
        let workers: Vec<_> = (0..count).map(|_| spawn(worker(self.clone()))).collect();
        let handles: Vec<_> = workers.iter().map(|worker| worker.cancel_handle()).collect();
        let mut workers = workers.into_iter().map(|worker| worker.join_forwarding()).collect();

        let Some(deadline) = self.options.deadline else {
            join_all(&mut workers).await;
            return Ok(());
        };
        if timeout(deadline, join_all(&mut workers)).await.is_ok() {
            return Ok(());
        }
        let reason = Reason::new(CancelKind::Deadline).with_message("--deadline");
        for handle in handles {
            handle.cancel_with(reason.clone());
        }
        join_all(&mut workers).await;
        Err(DeadlinePassed)
    }

    /// What has become of the run so far. `stopped_by` is what ended it early, if anything did.
    pub fn summary<'a>(&'a self, stopped_by: Option<&'a str>) -> Summary<'a> {
        self.ledger.summary(&self.jobs, stopped_by)
    }

    /// Where the run is shown.
    pub fn display(&self) -> &Display {
        &self.display
    }

    /// What is to be downloaded.
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }
}

/// Waits for all of them. Those that have ended are taken out at once, so that the wait can be
/// dropped and begun again.
async fn join_all(workers: &mut Vec<JoinForwarding<()>>) {
    while let Some(last) = workers.last_mut() {
        let ended = last.await;
        workers.pop();
        if let Err(JoinError::Panicked(panic)) = ended {
            panic.resume();
        }
    }
}

/// Takes one job after the other until none is left.
async fn worker(fetch: Rc<Fetch>) {
    while let Some(job) = fetch.jobs.get(fetch.next.get()) {
        let index = fetch.next.replace(fetch.next.get() + 1);
        // A task of its own, so that a panic is the end of one download only.
        let download = task::Builder::new()
            .name(job.name.clone())
            .spawn(download::download(fetch.clone(), index));
        if let Err(error) = download.join_forwarding().await {
            fetch.ended(index, Err(FetchError::Task(error)));
        }
    }
}
