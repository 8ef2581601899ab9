//! Reaching an executor from other threads.

use crate::executor::Executor;
use crate::home::{Home, Message};
use crate::join::JoinError;
use parking_lot::Mutex;
use quell_cancel::{CancelHandle, CancelKind, Reason};
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Spawns on an executor, wakes it and shuts it down, from any thread.
///
/// Cheap to clone. Implements `futures_task::Spawn`.
///
/// ```
/// let runtime = quell::Runtime::new()?;
/// let remote = runtime.remote();
/// let thread = std::thread::spawn(move || {
///     // The future is sent to the executor's thread ...
///     let sum = remote.spawn(async { 1 + 1 });
///     // ... or made there, so that it need not be `Send`.
///     let text = remote.spawn_with(|| async { std::rc::Rc::new("local").to_string() });
///     (sum, text)
/// });
/// let (sum, text) = thread.join().unwrap();
/// runtime.block_on(async {
///     assert_eq!(sum.await.unwrap(), 2);
///     assert_eq!(text.await.unwrap(), "local");
/// });
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct RemoteHandle {
    link: Arc<Link>,
}

/// What connects remote handles with one executor, as long as it lives.
pub(crate) struct Link {
    home: &'static Home,
    /// Held while something is sent, so that nothing can arrive in the home after the executor has
    /// cleared it: the next executor there must not find it. Wakes do without.
    closed: Mutex<bool>,
}

impl Link {
    pub(crate) fn new(home: &'static Home) -> Arc<Self> {
        Arc::new(Self { home, closed: Mutex::new(false) })
    }

    pub(crate) fn close(&self) {
        *self.closed.lock() = true;
    }

    /// Sends code to the executor's thread. If there is no executor any more it is dropped.
    fn call(&self, call: impl FnOnce(&Executor) + Send + 'static) -> bool {
        let closed = self.closed.lock();
        if *closed {
            // Its destructor may come back here, and may panic.
            drop(closed);
            crate::task::contain(|| drop(call));
            return false;
        }
        self.home.push(Message::Call(Box::new(call)));
        // A parker of the host's may come back here as well.
        drop(closed);
        self.home.ring();
        true
    }
}

impl RemoteHandle {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self { link }
    }

    /// Runs `future` as a task on the executor's thread.
    ///
    /// Never blocks and never panics. If the executor is gone, or ends before it gets to it, the
    /// future is dropped and the handle says [`JoinError::ExecutorGone`].
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> RemoteJoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_with(move || future)
    }

    /// Calls `make` on the executor's thread and runs the future it returns as a task there. The
    /// future need not be `Send`.
    #[track_caller]
    pub fn spawn_with<F, M>(&self, make: M) -> RemoteJoinHandle<F::Output>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let scope = CancelHandle::new(None);
        let packet = Arc::new(Packet { state: Mutex::new(PacketState::Waiting(None)) });
        let delivery = Delivery { packet: packet.clone(), scope: scope.clone() };
        let spawned_at = Location::caller();
        self.link.call(move |executor| {
            // Made by the task's first poll: a panic in `make` is the task's, and a task that was
            // asked to stop before that never runs a line.
            let task = executor.spawn(async move { make().await }, spawned_at);
            task.header.adopt_scope(delivery.scope.clone());
            task.when_done(move |task| {
                let mut outcome: Option<Result<F::Output, JoinError>> = None;
                task.take_outcome(&mut outcome);
                delivery.deliver(outcome.expect("nobody else takes it"));
            });
        });
        RemoteJoinHandle { packet, scope }
    }

    /// Makes the executor take a turn. Useful for a host that waits in its own event loop.
    pub fn wake(&self) {
        self.link.call(|_| {});
    }

    /// Asks the executor to stop, with reason *shutdown*: the main future of
    /// [`run`](crate::run), or all tasks if none is running. `false` if the executor is gone.
    #[track_caller]
    pub fn shutdown(&self) -> bool {
        let reason = Reason::new(CancelKind::Shutdown);
        self.link.call(move |executor| executor.request_shutdown(&reason))
    }

    /// Whether the executor is gone.
    pub fn is_closed(&self) -> bool {
        *self.link.closed.lock()
    }
}

impl fmt::Debug for RemoteHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteHandle").field("closed", &self.is_closed()).finish()
    }
}

/// Waits, on any thread and any executor, for a task spawned through a [`RemoteHandle`].
///
/// Dropping it detaches the task.
///
/// # Cancel safety
///
/// Waiting through `&mut handle` loses nothing.
#[must_use = "dropping a join handle detaches the task: it runs on and nobody learns how it ended"]
pub struct RemoteJoinHandle<T> {
    packet: Arc<Packet<T>>,
    scope: CancelHandle,
}

impl<T> RemoteJoinHandle<T> {
    /// Asks the task to stop; see [`JoinHandle::cancel`](crate::JoinHandle::cancel).
    #[track_caller]
    pub fn cancel(&self) -> bool {
        self.scope.cancel()
    }

    /// A handle that can ask the task to stop and outlives this one.
    pub fn cancel_handle(&self) -> CancelHandle {
        self.scope.clone()
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        !matches!(*self.packet.state.lock(), PacketState::Waiting(_))
    }
}

impl<T> Future for RemoteJoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    ///
    /// If polled again after it returned `Ready`.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Cloned before and dropped after the lock is held: a foreign waker may do anything.
        let new = cx.waker().clone();
        let mut state = self.packet.state.lock();
        match &mut *state {
            PacketState::Waiting(waker) => {
                let old = waker.replace(new);
                drop(state);
                drop(old);
                Poll::Pending
            }
            delivered => match std::mem::replace(delivered, PacketState::Taken) {
                PacketState::Delivered(outcome) => Poll::Ready(outcome),
                _ => panic!("`RemoteJoinHandle` polled after it had returned `Ready`"),
            },
        }
    }
}

impl<T> Drop for RemoteJoinHandle<T> {
    fn drop(&mut self) {
        // Nobody waits any more, and a foreign waker may keep a whole task alive.
        let mut state = self.packet.state.lock();
        let waker = match &mut *state {
            PacketState::Waiting(waker) => waker.take(),
            _ => None,
        };
        drop(state);
        crate::task::contain(|| drop(waker));
    }
}

impl<T> fmt::Debug for RemoteJoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteJoinHandle").field("finished", &self.is_finished()).finish()
    }
}

/// How the outcome crosses threads.
struct Packet<T> {
    state: Mutex<PacketState<T>>,
}

enum PacketState<T> {
    Waiting(Option<Waker>),
    Delivered(Result<T, JoinError>),
    Taken,
}

/// The duty to deliver an outcome. If nothing else was delivered, its drop says why.
struct Delivery<T> {
    packet: Arc<Packet<T>>,
    scope: CancelHandle,
}

impl<T> Delivery<T> {
    fn deliver(&self, outcome: Result<T, JoinError>) {
        let mut state = self.packet.state.lock();
        let PacketState::Waiting(waker) = &mut *state else {
            return;
        };
        let waker = waker.take();
        *state = PacketState::Delivered(outcome);
        drop(state);
        self.scope.finish();
        if let Some(waker) = waker {
            crate::task::contain(|| waker.wake());
        }
    }
}

impl<T> Drop for Delivery<T> {
    fn drop(&mut self) {
        let error = self.scope.cancelled().map_or(JoinError::ExecutorGone, JoinError::Cancelled);
        self.deliver(Err(error));
    }
}
