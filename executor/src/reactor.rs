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
//! said `WouldBlock`, or when a read from a TCP connection did not fill its buffer and nothing but
//! bytes had been announced: see [`Registration::poll_tcp_read`].

mod poller;
mod readiness;
mod source;
#[cfg(all(test, unix))]
mod tests;

pub(crate) use source::{AsSource, BorrowedSource, Direction, borrow};

use crate::context;
use crate::park::Unpark;
use crate::task::contain;
use poller::{Event, Mode, Poller};
use readiness::Readiness;
use source::Source;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

/// How long the thread rests between two looks when the poller does not work any more.
const LIMP: Duration = Duration::from_millis(10);

pub(crate) struct Reactor {
    poller: Box<dyn Poller>,
    /// What is registered, by the number of its file descriptor.
    sources: RefCell<HashMap<usize, Rc<Source>>>,
    // What one round of events needs, kept for its memory. Empty in between.
    events: Cell<Vec<Event>>,
    batch: Cell<Vec<Waker>>,
}

impl Reactor {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            poller: poller::new()?,
            sources: RefCell::default(),
            events: Cell::default(),
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
        let (mut events, mut batch) = (self.events.take(), self.batch.take());
        let waited = self.poller.wait(timeout, &mut events);
        for event in events.drain(..) {
            let source = self.sources.borrow().get(&event.key).cloned();
            // There may be none: closed behind our back, and still open as a duplicate.
            if let Some(source) = source {
                self.fire(&source, event, &mut batch);
            }
        }
        if waited.is_err() && !look_only {
            self.limp(timeout, &mut batch);
        }
        wake_all(&mut batch);
        self.events.set(events);
        self.batch.set(batch);
    }

    fn fire(&self, source: &Source, event: Event, batch: &mut Vec<Waker>) {
        if event.ending {
            source.read.set_ending();
        }
        if self.poller.mode() == Mode::Oneshot {
            source.read.disarm();
            source.write.disarm();
        }
        if event.read {
            source.read.fire(batch);
        }
        if event.write {
            source.write.fire(batch);
        }
        if self.poller.mode() == Mode::Oneshot {
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
        source.lose();
        let mut batch = Vec::new();
        source.read.give_up(&mut batch);
        source.write.give_up(&mut batch);
        wake_all(&mut batch);
    }

    pub(crate) fn unparker(&self) -> Arc<dyn Unpark> {
        self.poller.unparker()
    }

    /// Has the poller report `direction`, the next time it becomes ready or at once if it is.
    fn arm(&self, source: &Source, direction: Direction) -> io::Result<()> {
        let watched = source.watched()?;
        let readiness = source.readiness(direction);
        if readiness.is_armed() {
            return Ok(());
        }
        readiness.arm();
        if self.poller.mode() == Mode::Edge && !readiness.maybe_ready() {
            // Whatever comes now is an edge.
            return Ok(());
        }
        // In edge mode: its edge may have passed. This makes the poller look.
        let armed = self.poller.arm(watched, source.interest());
        armed.inspect_err(|_| readiness.disarm())
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
        // SAFETY: it stays open as long as this registration is there, says the caller, and all
        // calls of `watched` belong to that time. They come from methods of the registration, its
        // `drop` included, and from the reactor for sources in its table, which a source leaves
        // with its registration.
        let new = unsafe { Source::new(source) };
        // SAFETY: `drop` removes it.
        unsafe { reactor.poller.add(source, new.key()) }.map_err(explain)?;
        if reactor.poller.mode() == Mode::Edge {
            new.read.arm();
            new.write.arm();
        }
        let source = Rc::new(new);
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

    /// [`poll`](Self::poll), for reading from a TCP connection into a buffer of `size` bytes.
    ///
    /// A message that does not fill the buffer is all there is, as a rule, and then the next system
    /// call would be in vain. The exceptions are what may come behind bytes without an event of its
    /// own, because one event has announced both: the end of the stream, an error, urgent data. The
    /// poller tells, or else that has to be assumed. What comes after the last event has an event
    /// to come; that holds as well before the first one, because a poller looks when it is told of
    /// a source. tokio does the same.
    ///
    /// Not so with Unix sockets and pipes, where a read may end between the messages of two
    /// writers.
    pub(crate) fn poll_tcp_read(
        &self,
        cx: &mut Context<'_>,
        size: usize,
        io: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let read = ready!(self.poll(Direction::Read, cx, io))?;
        if (1..size).contains(&read) {
            self.source.read.exhaust();
        }
        Poll::Ready(Ok(read))
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
        let _ = self.reactor.poller.remove(watched);
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
