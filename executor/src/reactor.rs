//! Sleeps until a socket is ready, and wakes those who wait for it.
//!
//! Whoever reads or writes tries the system call first. Only when that says `WouldBlock` does it
//! leave a waker here and wait:
//!
//! ```text
//!   Registration::poll                      Reactor::wait
//!
//!   system call ──▶ done                    events of the operating system
//!        │  ▲                                          │
//!        │  └──────── the task is polled ◀── wake ◀────┤ fire
//!        ▼                                             │
//!   WouldBlock ──▶ arm, leave a waker ─────────────────┘
//! ```
//!
//! There are two ways of arming; the operating system decides which one is used.
//!
//! - **Edge**: the poller is told of a socket once, and reports every change. Waiting costs no
//!   system call.
//! - **Oneshot**: the poller reports a socket once and must then be told to watch it again. It
//!   works everywhere.
//!
//! An edge is not repeated. Therefore a direction counts as drained only when a system call has
//! said `WouldBlock`. The well-known shortcut, to take a read that does not fill its buffer as a
//! sign that nothing more is there, saves a system call and would lose the end of the stream: it
//! may have come in one event with the bytes before it, and the poller does not tell.

mod events;
mod readiness;
#[cfg(all(test, unix))]
mod tests;

use crate::context;
use crate::park::Unpark;
use crate::task::contain;
use events::Events;
use polling::{AsRawSource, Event, PollMode, Poller};
use readiness::Readiness;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

#[cfg(unix)]
pub(crate) use std::os::fd::{AsFd as AsSource, BorrowedFd as BorrowedSource};
#[cfg(windows)]
pub(crate) use std::os::windows::io::{AsSocket as AsSource, BorrowedSocket as BorrowedSource};

#[cfg(unix)]
type RawSource = std::os::fd::RawFd;
#[cfg(windows)]
type RawSource = std::os::windows::io::RawSocket;

/// How long the thread rests between two looks when the poller does not work any more.
const LIMP: Duration = Duration::from_millis(10);

pub(crate) struct Reactor {
    poller: Arc<Poller>,
    mode: PollMode,
    /// What is registered, by the number of its file descriptor.
    sources: RefCell<HashMap<usize, Rc<Source>>>,
    events: RefCell<Events>,
    /// The wakers of one round of events, kept for its memory. Empty in between.
    batch: Cell<Vec<Waker>>,
}

/// Something that can be waited for.
struct Source {
    raw: RawSource,
    /// The file descriptor was closed behind our back: its number belongs to somebody else now.
    lost: Cell<bool>,
    read: Readiness,
    write: Readiness,
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

impl Source {
    /// The name by which the poller calls it.
    fn key(&self) -> usize {
        self.raw as usize
    }

    fn readiness(&self, direction: Direction) -> &Readiness {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }

    /// The file descriptor, for the poller.
    ///
    /// # Errors
    ///
    /// If its number belongs to somebody else.
    fn watched(&self) -> io::Result<BorrowedSource<'_>> {
        if self.lost.get() {
            return Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "the socket's file descriptor was closed by somebody else",
            ));
        }
        // SAFETY: by the contract of `Registration::new` it is open until the registration is
        // dropped. Only methods of a registration, its `drop` included, and the reactor for
        // sources in its table come here; a source leaves the table with its registration.
        Ok(unsafe { BorrowedSource::borrow_raw(self.raw) })
    }

    /// What the poller is to watch, in oneshot mode.
    fn interest(&self) -> Event {
        Event::new(self.key(), self.read.is_armed(), self.write.is_armed())
    }
}

#[cfg(test)]
thread_local! {
    /// Has tests use what other operating systems use: oneshot mode and the poller's own `wait`.
    pub(crate) static FORCE_PORTABLE: Cell<bool> = const { Cell::new(false) };
}

/// Whether to use what this operating system has and others have not.
fn native() -> bool {
    #[cfg(test)]
    if FORCE_PORTABLE.get() {
        return false;
    }
    true
}

impl Reactor {
    pub(crate) fn new() -> io::Result<Self> {
        let poller = Arc::new(Poller::new()?);
        let edge = native() && poller.supports_edge();
        Ok(Self {
            mode: if edge { PollMode::Edge } else { PollMode::Oneshot },
            sources: RefCell::default(),
            events: RefCell::new(Events::new(poller.clone(), native())),
            poller,
            batch: Cell::default(),
        })
    }

    /// The reactor of the runtime that is running on this thread.
    pub(crate) fn current() -> io::Result<Rc<Self>> {
        context::with(|executor| match executor {
            Some(executor) => executor.reactor(),
            None => Err(io::Error::other(
                "a quell socket was made where no quell runtime is running: \
                 use `quell::run`, `quell::block_on` or `Runtime::block_on` on this thread",
            )),
        })
    }

    /// Wakes the tasks whose sockets are ready. Waits for the first one for `timeout` at most, or
    /// until the unparker is used.
    pub(crate) fn wait(&self, timeout: Option<Duration>) {
        let look_only = timeout == Some(Duration::ZERO);
        if look_only && self.sources.borrow().is_empty() {
            return;
        }
        let mut batch = self.batch.take();
        let polled = self.take_events(timeout, &mut batch);
        if polled.is_err() && !look_only {
            self.limp(timeout, &mut batch);
        }
        wake_all(&mut batch);
        self.batch.set(batch);
    }

    fn take_events(&self, timeout: Option<Duration>, batch: &mut Vec<Waker>) -> io::Result<()> {
        self.events.borrow_mut().wait(timeout, |event| {
            let source = self.sources.borrow().get(&event.key).cloned();
            // There may be none: closed behind our back, and still open as a duplicate.
            if let Some(source) = source {
                self.fire(&source, event, batch);
            }
        })
    }

    fn fire(&self, source: &Source, event: Event, batch: &mut Vec<Waker>) {
        if self.mode == PollMode::Oneshot {
            source.read.disarm();
            source.write.disarm();
        }
        if event.readable {
            source.read.fire(batch);
        }
        if event.writable {
            source.write.fire(batch);
        }
        if self.mode == PollMode::Oneshot {
            // The event has ended the watch over the other direction as well.
            for direction in [Direction::Read, Direction::Write] {
                let readiness = source.readiness(direction);
                if readiness.is_awaited() && self.arm(source, direction).is_err() {
                    // Whoever waits shall find out why.
                    readiness.fire(batch);
                }
            }
        }
    }

    /// The poller has failed, which it should never do (somebody has closed its file descriptor,
    /// say). From now on everybody tries again a hundred times a second: slow, but neither dead
    /// nor busy.
    #[cold]
    fn limp(&self, timeout: Option<Duration>, batch: &mut Vec<Waker>) {
        std::thread::sleep(timeout.map_or(LIMP, |timeout| timeout.min(LIMP)));
        for source in self.sources.borrow().values() {
            source.read.fire(batch);
            source.write.fire(batch);
        }
    }

    /// The source's number belongs to somebody else, who must be left alone. Those who wait for
    /// the source get an error.
    #[cold]
    fn give_up(source: &Source) {
        source.lost.set(true);
        let mut batch = Vec::new();
        source.read.give_up(&mut batch);
        source.write.give_up(&mut batch);
        wake_all(&mut batch);
    }

    pub(crate) fn unparker(&self) -> Arc<dyn Unpark> {
        self.events.borrow().unparker()
    }

    /// Has the poller report `direction`, the next time it becomes ready or at once if it is.
    fn arm(&self, source: &Source, direction: Direction) -> io::Result<()> {
        let watched = source.watched()?;
        let readiness = source.readiness(direction);
        if readiness.is_armed() {
            return Ok(());
        }
        match self.mode {
            // It is drained: whatever comes now is an edge.
            PollMode::Edge if !readiness.maybe_ready() => {}
            // Its edge may have passed. Setting the interest again makes the poller look.
            PollMode::Edge => {
                let interest = Event::all(source.key());
                self.poller.modify_with_mode(watched, interest, self.mode)?;
            }
            _ => {
                readiness.arm();
                let modified = self.poller.modify(watched, source.interest());
                return modified.inspect_err(|_| readiness.disarm());
            }
        }
        readiness.arm();
        Ok(())
    }
}

/// Wakes them. Nothing may be borrowed: a foreign waker may come back for a socket.
fn wake_all(batch: &mut Vec<Waker>) {
    for waker in batch.drain(..) {
        contain(|| waker.wake());
    }
}

/// A file descriptor that its reactor watches until this is dropped.
pub(crate) struct Registration {
    reactor: Rc<Reactor>,
    source: Rc<Source>,
}

impl Registration {
    /// Registers with the runtime that is running on this thread.
    ///
    /// # Errors
    ///
    /// If no runtime is running, if this file descriptor is registered already, or if it cannot be
    /// waited for.
    ///
    /// # Safety
    ///
    /// The file descriptor must stay open until the registration is dropped.
    pub(crate) unsafe fn new(source: BorrowedSource<'_>) -> io::Result<Self> {
        let reactor = Reactor::current()?;
        let source = Source {
            raw: AsRawSource::raw(&&source),
            lost: Cell::new(false),
            read: Readiness::new(),
            write: Readiness::new(),
        };
        if reactor.mode == PollMode::Edge {
            source.read.arm();
            source.write.arm();
        }
        // SAFETY: `Drop` deletes it from the poller. It is open until then, says the caller.
        let added =
            unsafe { (reactor.poller).add_with_mode(source.raw, source.interest(), reactor.mode) };
        added.map_err(explain)?;
        let source = Rc::new(source);
        let same_number = (reactor.sources.borrow_mut()).insert(source.key(), source.clone());
        if let Some(lost) = same_number {
            // It was closed behind our back, or else the poller had said `AlreadyExists`.
            Reactor::give_up(&lost);
        }
        Ok(Self { reactor, source })
    }

    /// Tries `io` until it says something other than `WouldBlock`, for functions that poll.
    pub(crate) fn poll<R>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        io: impl FnMut() -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let readiness = self.source.readiness(direction);
        match readiness.attempt(io) {
            Some(result) => Poll::Ready(result),
            None => {
                self.arm(direction)?;
                readiness.add_poller(cx.waker());
                Poll::Pending
            }
        }
    }

    /// Tries `io` until it says something other than `WouldBlock`.
    pub(crate) async fn run<R>(
        &self,
        direction: Direction,
        mut io: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        let mut waiter = Waiter::new(self, direction);
        poll_fn(|cx| {
            let readiness = self.source.readiness(direction);
            match readiness.attempt(&mut io) {
                Some(result) => Poll::Ready(result),
                None => {
                    self.arm(direction)?;
                    waiter.wait(cx.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Waits until the poller says that `direction` is ready, now or later.
    pub(crate) async fn ready(&self, direction: Direction) -> io::Result<()> {
        let mut waiter = Waiter::new(self, direction);
        poll_fn(|cx| {
            if waiter.is_woken() {
                return Poll::Ready(Ok(()));
            }
            self.arm(direction)?;
            waiter.wait(cx.waker());
            Poll::Pending
        })
        .await
    }

    fn arm(&self, direction: Direction) -> io::Result<()> {
        let running = context::with(|executor| {
            executor.is_some_and(|executor| executor.drives(&self.reactor))
        });
        if !running {
            return Err(io::Error::other(
                "a quell socket has to wait, but the runtime it belongs to is not running on this \
                 thread, or has ended: use it in tasks of that runtime, or move it to another one \
                 with `into_std` and `from_std`",
            ));
        }
        self.reactor.arm(&self.source, direction)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let Ok(watched) = self.source.watched() else {
            return;
        };
        // Fails if the file descriptor was closed behind our back. Then the poller has forgotten it.
        let _ = self.reactor.poller.delete(watched);
        let source = (self.reactor.sources.borrow_mut()).remove(&self.source.key());
        drop(source);
    }
}

/// A future's place among those that wait.
struct Waiter<'a> {
    readiness: &'a Readiness,
    key: Option<usize>,
}

impl<'a> Waiter<'a> {
    fn new(registration: &'a Registration, direction: Direction) -> Self {
        Self { readiness: registration.source.readiness(direction), key: None }
    }

    fn wait(&mut self, waker: &Waker) {
        self.readiness.wait(&mut self.key, waker);
    }

    fn is_woken(&self) -> bool {
        self.key.is_some_and(|key| self.readiness.is_woken(key))
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.readiness.forget(key);
        }
    }
}

/// What the operating system means when it refuses to watch a file descriptor.
fn explain(error: io::Error) -> io::Error {
    let text = match error.kind() {
        io::ErrorKind::AlreadyExists => {
            "the file descriptor is registered with this runtime already: use the socket that \
             holds it, or a duplicate made with `try_clone`"
        }
        io::ErrorKind::PermissionDenied => {
            "the operating system cannot wait for this kind of file: it is always ready, as \
             regular files are; use a thread"
        }
        _ => return error,
    };
    io::Error::new(error.kind(), text)
}
