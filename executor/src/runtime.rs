//! The runtime: an executor for one thread, as programs see it.

use crate::clock::{Clock, RealClock, VirtualClock};
use crate::context::{self, Enter};
use crate::executor::{Executor, Parts};
use crate::join::JoinHandle;
use crate::park::Park;
use crate::remote::RemoteHandle;
use crate::signal::{Signal, Watch};
use crate::spawn::LocalHandle;
use crate::trace::Tracer;
use quell_cancel::{CancelKind, Cancelled, Reason, cancellable};
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

/// Runs `main` to its end on this thread, then asks all other tasks to stop and waits until they
/// have. Ctrl-C and SIGTERM ask `main` to stop.
///
/// The same as [`Runtime::run`] on a new runtime. Compare `asyncio.run`.
///
/// ```
/// let answer = quell::run(async { quell::spawn(async { 42 }).await.unwrap() });
/// assert_eq!(answer.unwrap(), 42);
/// ```
///
/// # Errors
///
/// [`RunError::Cancelled`] if `main` was asked to stop before it returned;
/// [`RunError::Io`] if the operating system refuses what a runtime needs.
///
/// # Panics
///
/// If `main` panics, after the other tasks have stopped. If a runtime is running on this thread
/// already: await the future there instead.
pub fn run<F: Future>(main: F) -> Result<F::Output, RunError> {
    Runtime::new()?.run(main)
}

/// Runs `main` to its end on this thread. Tasks that are left are dropped.
///
/// The same as [`Runtime::block_on`] on a new runtime. Signals keep their usual effect.
///
/// # Panics
///
/// If `main` panics; if a runtime is running on this thread already.
pub fn block_on<F: Future>(main: F) -> F::Output {
    let runtime = Runtime::new().expect("a runtime without sockets needs nothing that can fail");
    runtime.block_on(main)
}

/// An executor for one thread: runs futures, and the tasks they spawn.
///
/// Three ways to drive it: [`run`](Self::run) for a whole program, [`block_on`](Self::block_on) for
/// a piece of one, and [`tick`](Self::tick) or [`run_until_stalled`](Self::run_until_stalled) for a
/// program that has an event loop of its own.
///
/// Dropping it asks all tasks to stop, with reason *shutdown*, and drops them.
pub struct Runtime {
    executor: Rc<Executor>,
    signals: bool,
}

impl Runtime {
    /// A runtime with the real clock. [`Builder`] makes others.
    ///
    /// # Errors
    ///
    /// None at present: what can fail is made when it is first needed.
    pub fn new() -> io::Result<Self> {
        Builder::new().build()
    }

    /// Runs `main` to its end, then asks all other tasks to stop and polls them until they have,
    /// those that they spawn meanwhile included.
    ///
    /// While it runs, Ctrl-C (and SIGTERM, where there is one) asks `main` to stop with reason
    /// *signal*, unless [`Builder::signals`] says otherwise; so does
    /// [`RemoteHandle::shutdown`], with reason *shutdown*. A third signal ends the process at once.
    ///
    /// # Errors
    ///
    /// [`RunError::Cancelled`] if `main` was asked to stop before it returned.
    ///
    /// # Panics
    ///
    /// If `main` panics, after the other tasks have stopped. If a runtime is running on this thread
    /// already.
    pub fn run<F: Future>(&self, main: F) -> Result<F::Output, RunError> {
        let enter = self.enter("run");
        let watch = if self.signals { Some(Watch::new()?) } else { None };
        let (main, scope) = cancellable(main);
        enter.set_main_scope(Some(scope.clone()));
        // Whatever becomes of `main`, the others are asked to stop.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            enter.block_on(crate::signal::stop_on_signal(watch.as_ref(), &scope, main))
        }));
        enter.set_main_scope(None);
        enter.stop_all(&Reason::new(CancelKind::Shutdown).with_message("main has ended"));
        let signal = watch.as_ref().and_then(Watch::first);
        match outcome {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(cancelled)) => Err(RunError::Cancelled { cancelled, signal }),
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Runs `main` to its end. Tasks that have not ended stay, and go on when the runtime is driven
    /// again.
    ///
    /// # Panics
    ///
    /// If `main` panics; the runtime can be used again. If a runtime is running on this thread
    /// already: await the future there instead.
    pub fn block_on<F: Future>(&self, main: F) -> F::Output {
        self.enter("block_on").block_on(main)
    }

    fn enter(&self, what: &str) -> Enter<'_> {
        let running = context::with(|executor| executor.is_some());
        assert!(
            !running,
            "`{what}` was called inside a running quell runtime, which it would block: \
             await the future instead, or spawn it"
        );
        Enter::new(&self.executor).expect("a running executor is the thread's current one")
    }

    /// Like [`quell::spawn`](crate::spawn()), on this runtime, also while it is not running.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        JoinHandle::new(self.executor.spawn(future, Location::caller()))
    }

    /// A handle for this thread.
    pub fn handle(&self) -> LocalHandle {
        LocalHandle::new(self.executor.clone())
    }

    /// A handle for other threads.
    pub fn remote(&self) -> RemoteHandle {
        self.executor.remote()
    }

    /// For a host with its own event loop: takes in what has happened outside and polls ready tasks,
    /// a bounded number of them. Never waits. `true` if there is more to do at once; if not, call it
    /// again at [`next_deadline`](Self::next_deadline), or when the parker's
    /// [`unpark`](crate::park::Unpark::unpark) is called; see [`Builder::parker`].
    ///
    /// Sockets are looked at in each call. A host that waits for something else meanwhile should
    /// therefore call it often enough, or wait in [`block_on`](Self::block_on).
    ///
    /// Inside a task of the same runtime it does nothing and answers `false`.
    pub fn tick(&self) -> bool {
        Enter::new(&self.executor).is_ok_and(|executor| executor.tick())
    }

    /// Calls [`tick`](Self::tick) until nothing is ready. Does not end if a task wakes itself for
    /// ever.
    ///
    /// ```
    /// let runtime = quell::Runtime::new()?;
    /// let task = runtime.spawn(async { quell::yield_now().await });
    /// runtime.run_until_stalled();
    /// assert!(task.is_finished());
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn run_until_stalled(&self) {
        while self.tick() {}
    }

    /// When the next timer is due; `None` if there is none. A virtual clock does not move by itself
    /// when the runtime is driven by hand: move it there.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.executor.next_deadline()
    }

    /// How many tasks have not ended.
    pub fn alive(&self) -> usize {
        self.executor.alive()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let executor = Enter::new(&self.executor);
        executor.expect("a runtime is borrowed while it runs, and so not dropped").close();
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("alive", &self.alive()).finish_non_exhaustive()
    }
}

/// Makes a [`Runtime`] with other parts than the usual ones.
///
/// ```
/// use std::time::Duration;
/// let runtime = quell::Builder::new().virtual_time().build()?;
/// // Takes no time.
/// runtime.block_on(quell::time::sleep(Duration::from_secs(86_400)));
/// # Ok::<_, std::io::Error>(())
/// ```
#[must_use = "nothing is made until `build` is called"]
pub struct Builder {
    parts: Parts,
    signals: bool,
}

impl Builder {
    /// The usual parts: the real clock, the reactor as parker, first-come-first-served.
    pub fn new() -> Self {
        let parts = Parts {
            clock: Box::new(RealClock),
            parker: None,
            tracer: Tracer::default(),
            seed: None,
        };
        Self { parts, signals: true }
    }

    /// Another clock.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.parts.clock = Box::new(clock);
        self
    }

    /// A [`VirtualClock`]: when nothing is ready, time jumps to the next timer.
    pub fn virtual_time(self) -> Self {
        self.clock(VirtualClock::new())
    }

    /// Another way to sleep, and to be woken from other threads. Sockets are looked at in each turn
    /// of the loop then, but do not end its sleep: bound it in [`Park::park`].
    pub fn parker(mut self, parker: impl Park + 'static) -> Self {
        self.parts.parker = Some(Box::new(parker));
        self
    }

    /// Somebody who is told what the loop does.
    #[cfg(feature = "trace")]
    pub fn tracer(mut self, tracer: impl crate::trace::Trace + 'static) -> Self {
        self.parts.tracer = Tracer::new(tracer);
        self
    }

    /// Polls ready tasks in a random order instead of the order of their wakes; the same for the
    /// same seed. For tests that want to know whether they depend on the order.
    pub fn shuffle(mut self, seed: u64) -> Self {
        self.parts.seed = Some(seed);
        self
    }

    /// Whether signals ask the main future of [`Runtime::run`] to stop. Yes, if not set.
    pub fn signals(mut self, signals: bool) -> Self {
        self.signals = signals;
        self
    }

    /// Makes the runtime.
    ///
    /// # Errors
    ///
    /// None at present: what can fail is made when it is first needed.
    pub fn build(self) -> io::Result<Runtime> {
        Ok(Runtime { executor: Executor::new(self.parts), signals: self.signals })
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("signals", &self.signals).finish_non_exhaustive()
    }
}

/// `run` has no output of its main future to return.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The main future was asked to stop, and has; so have all tasks.
    Cancelled {
        /// Why.
        cancelled: Cancelled,
        /// The signal it was asked by, if it was one.
        signal: Option<Signal>,
    },
    /// The operating system refused what the runtime needs, such as a file descriptor.
    Io(io::Error),
}

impl RunError {
    /// What a process that ends because of this tells its parent: 128 plus the signal's number
    /// (130 for Ctrl-C, 143 for SIGTERM), and 1 otherwise.
    ///
    /// ```no_run
    /// use std::process::ExitCode;
    ///
    /// fn main() -> ExitCode {
    ///     match quell::run(async { /* ... */ }) {
    ///         Ok(()) => ExitCode::SUCCESS,
    ///         Err(error) => {
    ///             eprintln!("{error}");
    ///             error.exit_code()
    ///         }
    ///     }
    /// }
    /// ```
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Cancelled { signal: Some(signal), .. } => signal.exit_code(),
            _ => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled { cancelled, .. } => write!(f, "the program was {cancelled}"),
            Self::Io(error) => write!(f, "the runtime could not be set up: {error}"),
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Cancelled { cancelled, .. } => Some(cancelled),
            Self::Io(error) => Some(error),
        }
    }
}

impl From<io::Error> for RunError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
