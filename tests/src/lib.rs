//! Helpers of the tests: futures that count, and runtimes that do not depend on real time.

use quell::{Builder, Runtime};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// A runtime with a virtual clock and without signals: what most tests run on.
pub fn runtime() -> Runtime {
    Builder::new().virtual_time().signals(false).build().expect("needs nothing that can fail")
}

/// Runs a test's main future on [`runtime`].
pub fn block_on<F: Future>(main: F) -> F::Output {
    runtime().block_on(main)
}

/// How often something happened. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Count(Rc<Cell<usize>>);

impl Count {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// It happened once more.
    pub fn up(&self) {
        self.0.set(self.0.get() + 1);
    }

    /// How often.
    pub fn get(&self) -> usize {
        self.0.get()
    }

    /// A value that counts its drop.
    pub fn on_drop(&self) -> Dropped {
        Dropped(self.clone())
    }
}

impl PartialEq<usize> for Count {
    fn eq(&self, other: &usize) -> bool {
        self.get() == *other
    }
}

/// Counts its drop.
#[derive(Debug)]
pub struct Dropped(Count);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.up();
    }
}

/// Runs a closure when it is dropped.
pub struct OnDrop<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A future that counts its polls and its drop. Pending for ever unless told otherwise.
#[derive(Debug)]
pub struct Probe {
    polls: Count,
    ready_at: usize,
    _dropped: Dropped,
}

impl Probe {
    /// A probe, its polls, and its drops.
    pub fn new() -> (Self, Count, Count) {
        let (polls, drops) = (Count::new(), Count::new());
        let probe = Self { polls: polls.clone(), ready_at: usize::MAX, _dropped: drops.on_drop() };
        (probe, polls, drops)
    }

    /// Ready in its `poll`th poll. Does not wake itself.
    pub fn ready_at(mut self, poll: usize) -> Self {
        self.ready_at = poll;
        self
    }
}

impl Future for Probe {
    type Output = usize;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<usize> {
        self.polls.up();
        if self.polls.get() >= self.ready_at {
            Poll::Ready(self.polls.get())
        } else {
            Poll::Pending
        }
    }
}

/// What happened, in order. Clones write to the same log.
#[derive(Debug)]
pub struct Log<T = &'static str>(Rc<RefCell<Vec<T>>>);

impl<T> Log<T> {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        Self(Rc::default())
    }

    /// This happened.
    pub fn push(&self, entry: T) {
        self.0.borrow_mut().push(entry);
    }

    /// What happened since the last call.
    pub fn take(&self) -> Vec<T> {
        self.0.take()
    }
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Clone> Log<T> {
    /// A value that notes its drop.
    pub fn on_drop(&self, entry: T) -> OnDrop<impl FnMut() + use<T>> {
        let log = self.clone();
        OnDrop(move || log.push(entry.clone()))
    }
}

/// A foreign waker that counts its wakes.
#[derive(Debug, Default)]
pub struct Alarm {
    wakes: AtomicUsize,
}

impl Alarm {
    /// The counter, and the waker that counts.
    pub fn new() -> (Arc<Self>, Waker) {
        let alarm = Arc::new(Self::default());
        (alarm.clone(), alarm.into())
    }

    /// How often it was woken.
    pub fn wakes(&self) -> usize {
        self.wakes.load(Ordering::SeqCst)
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls once, with a waker that does nothing.
pub fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Gives the task's waker away and is pending for ever.
pub async fn leak_waker(into: impl FnOnce(Waker)) {
    let mut into = Some(into);
    std::future::poll_fn(|cx| {
        if let Some(into) = into.take() {
            into(cx.waker().clone());
        }
        Poll::Pending
    })
    .await
}

/// Runs `f` without the panic hook's output for panics on this thread: the test wants them.
pub fn quietly<R>(f: impl FnOnce() -> R) -> R {
    thread_local! {
        static QUIET: Cell<usize> = const { Cell::new(0) };
    }
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if QUIET.get() == 0 {
                usual(info);
            }
        }));
    });
    QUIET.set(QUIET.get() + 1);
    let _quiet = OnDrop(|| QUIET.set(QUIET.get() - 1));
    f()
}

/// Runs `f` on a thread of its own and fails if it hangs. The time is a bound for failures only:
/// no test waits for it.
pub fn finishes<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let result = f();
        // The receiver is gone only if the test has failed already.
        let _ = sender.send(());
        result
    });
    // Generous, because valgrind slows everything down by a factor of fifty.
    match receiver.recv_timeout(Duration::from_secs(300) + storm_seconds()) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("hangs"),
        // Finished, or panicked, which `join` tells.
        _ => thread.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload)),
    }
}

/// A panic payload whose destructor panics with another one of its kind, so many times.
pub struct Bomb(pub usize);

impl fmt::Debug for Bomb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bomb({})", self.0)
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 > 0 {
            std::panic::panic_any(Bomb(self.0 - 1));
        }
    }
}

/// How long a stress test goes on: a fraction of a second, or `QUELL_STORM_SECONDS`.
pub fn storm_seconds() -> Duration {
    std::env::var("QUELL_STORM_SECONDS")
        .ok()
        .and_then(|seconds| seconds.parse().ok())
        .map_or(Duration::from_millis(700), Duration::from_secs_f64)
}
