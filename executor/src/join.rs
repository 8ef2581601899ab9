//! Waiting for a task, and learning what became of it.

use crate::context;
use crate::task::{Header, TaskRef, discard_payload};
use parking_lot::Mutex;
use quell_cancel::{CancelHandle, CancelKind, Cancelled, Reason, TaskId};
use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Owns the right to the output of a task. Made by [`spawn`](crate::spawn()).
///
/// There are three ways of waiting. They differ in what happens to the task when the one who
/// waits is cancelled (or dropped) while it waits:
///
/// | | the task | like |
/// |---|---|---|
/// | `handle.await` | runs on, detached | tokio's `JoinHandle`, asyncio's `shield(task)` |
/// | [`handle.join_forwarding().await`](Self::join_forwarding) | is asked to stop; the waiter has not ended before the task has | asyncio's `await task` |
/// | [`handle.cancel_and_join().await`](Self::cancel_and_join) | is asked to stop at once, whatever happens to the waiter | `task.cancel(); await task` |
///
/// Dropping the handle detaches the task: it runs on, and its output is dropped.
///
/// # Cancel safety
///
/// Waiting through `&mut handle` loses nothing: the output stays in the task until a poll hands it
/// over.
///
/// ```
/// quell::block_on(async {
///     let handle = quell::spawn(async { 6 * 7 });
///     assert_eq!(handle.await.unwrap(), 42);
///
///     let handle = quell::spawn(std::future::pending::<()>());
///     assert!(handle.cancel());
///     let error = handle.await.unwrap_err();
///     assert!(error.is_cancelled());
/// });
/// ```
#[must_use = "dropping a join handle detaches the task: it runs on and nobody learns how it ended"]
pub struct JoinHandle<T> {
    task: TaskRef,
    // Takes part in variance and auto traits as if it held the output.
    output: PhantomData<T>,
}

impl<T: 'static> JoinHandle<T> {
    /// The caller answers for `T` being the type of the task's output; if not, taking it panics.
    pub(crate) fn new(task: TaskRef) -> Self {
        Self { task, output: PhantomData }
    }

    pub(crate) fn set_name(&self, name: Cow<'static, str>) {
        self.task.header.set_name(name);
    }

    /// Waits for the task, and passes a cancellation of the waiter on to it.
    ///
    /// If the waiting task is asked to stop, the awaited one is too (with
    /// [`CancelKind::Parent`]), and the waiter's own `Cancelled` becomes visible only after the
    /// awaited task has ended, its destructors included.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the task, and its output is lost. That is what it is for.
    ///
    /// ```
    /// quell::block_on(async {
    ///     let child = quell::spawn(std::future::pending::<()>());
    ///     let child_scope = child.cancel_handle();
    ///     let parent = quell::spawn(async { child.join_forwarding().await });
    ///     quell::yield_now().await;
    ///
    ///     parent.cancel_and_join().await.unwrap_err();
    ///     assert!(child_scope.is_finished());
    /// });
    /// ```
    #[track_caller]
    pub fn join_forwarding(self) -> JoinForwarding<T> {
        JoinForwarding { handle: self, called_at: Location::caller(), finished: false }
    }

    /// Asks the task to stop and waits until it has. The answer is the task's output if it had
    /// finished already.
    ///
    /// The request is made by this call, not by the first poll.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses the outcome. The task stops all the same.
    #[track_caller]
    pub fn cancel_and_join(self) -> JoinForwarding<T> {
        self.cancel();
        self.join_forwarding()
    }

    /// Asks the task to stop: its next poll drops the future and the task ends as cancelled.
    ///
    /// Answers whether the task had not yet finished; if it had, its output is not lost. Nothing of
    /// the task runs inside this call. Asking twice is the same as asking once.
    #[track_caller]
    pub fn cancel(&self) -> bool {
        self.task.header.cancel(explicit(Location::caller()))
    }

    /// [`cancel`](Self::cancel) with a reason of your own.
    pub fn cancel_with(&self, reason: Reason) -> bool {
        self.task.header.cancel(reason)
    }

    /// Asks the task to stop without waiting for asynchronous cleanups. Destructors run.
    #[track_caller]
    pub fn abort(&self) -> bool {
        !self.task.header.is_done() && self.task.header.scope().abort()
    }

    /// A handle that can ask the task to stop from any thread and outlives this one.
    pub fn cancel_handle(&self) -> CancelHandle {
        self.task.header.scope().clone()
    }

    /// Whether the task has ended, with a value or without.
    pub fn is_finished(&self) -> bool {
        self.task.header.is_done()
    }

    /// The task's id.
    pub fn id(&self) -> TaskId {
        self.task.header.id
    }

    /// The task's name, if it was given one by [`task::Builder::name`](crate::task::Builder::name).
    pub fn name(&self) -> Option<&str> {
        self.task.header.name()
    }

    /// The line that spawned the task.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.task.header.spawned_at
    }
}

/// The reason for a `cancel()` at `location`. Tasks are often cancelled by the thousand, by one task
/// from one line: those share a record.
fn explicit(location: &'static Location<'static>) -> Reason {
    context::with(|executor| match executor {
        Some(executor) => executor.explicit_reason(location),
        None => Reason::at(CancelKind::Explicit, location),
    })
}

impl<T: 'static> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    ///
    /// If polled again after it returned `Ready`.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let header = &self.task.header;
        if !header.is_done() {
            header.set_joiner(cx.waker());
            return Poll::Pending;
        }
        let mut outcome: Option<Result<T, JoinError>> = None;
        self.task.take_outcome(&mut outcome);
        Poll::Ready(outcome.expect("`JoinHandle` polled after it had returned `Ready`"))
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        self.task.detach();
    }
}

// The handle does not contain the future or the output in place.
impl<T> Unpin for JoinHandle<T> {}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = &self.task.header;
        f.debug_struct("JoinHandle")
            .field("id", &header.id)
            .field("name", &header.name())
            .field("spawned_at", &format_args!("{}", header.spawned_at))
            .field("state", &header.state.get())
            .finish()
    }
}

/// A wait that passes a cancellation on. Made by [`JoinHandle::join_forwarding`].
#[must_use = "dropping a forwarding wait cancels the task it waits for"]
pub struct JoinForwarding<T: 'static> {
    handle: JoinHandle<T>,
    called_at: &'static Location<'static>,
    finished: bool,
}

impl<T: 'static> Future for JoinForwarding<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = Pin::new(&mut self.handle).poll(cx);
        self.finished = outcome.is_ready();
        outcome
    }
}

impl<T: 'static> Drop for JoinForwarding<T> {
    fn drop(&mut self) {
        let task = &self.handle.task;
        if self.finished || task.header.is_done() {
            return;
        }
        let reason = Reason::at(CancelKind::Parent, self.called_at);
        task.header.cancel(reason.with_message("its waiter was dropped"));
        // If the waiter is being stopped at this moment, its end must wait for the task's end.
        context::with(|executor| {
            if let Some(executor) = executor {
                executor.adopt(task);
            }
        });
    }
}

impl<T: 'static> fmt::Debug for JoinForwarding<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JoinForwarding").field(&self.handle).finish()
    }
}

/// The task I waited for did not return a value.
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinError {
    /// It was asked to stop, and has.
    Cancelled(Cancelled),
    /// It panicked: in its body, or in a destructor while it was being stopped.
    Panicked(Panic),
    /// It was never started, because its executor was gone or about to go.
    ExecutorGone,
}

impl JoinError {
    /// Whether the task was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_))
    }

    /// Whether the task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self, Self::Panicked(_))
    }

    /// Why the task was asked to stop, if that is how it ended.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Cancelled(cancelled) => Some(cancelled.reason()),
            _ => None,
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(cancelled) => write!(f, "the task was {cancelled}"),
            Self::Panicked(panic) => panic.fmt(f),
            Self::ExecutorGone => f.write_str(
                "the task was never started: its executor had ended \
                 (spawn while `run` or `block_on` is running, or from code that they call)",
            ),
        }
    }
}

impl std::error::Error for JoinError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Cancelled(cancelled) => Some(cancelled),
            _ => None,
        }
    }
}

/// A panic that ended a task, with the task it happened in.
pub struct Panic {
    inner: Box<PanicInner>,
}

struct PanicInner {
    task: TaskId,
    name: Option<String>,
    spawned_at: &'static Location<'static>,
    // A payload is `Send` and not `Sync`; behind the lock the error can be both, as the field's
    // error types want it. Nobody ever waits for this lock.
    payload: Mutex<Payload>,
    earlier: Option<Panic>,
}

/// A payload whose drop does not panic, whatever its destructor does.
struct Payload(Option<Box<dyn Any + Send>>);

impl Drop for Payload {
    fn drop(&mut self) {
        if let Some(payload) = self.0.take() {
            discard_payload(payload);
        }
    }
}

impl Panic {
    pub(crate) fn new(
        header: &Header,
        payload: Box<dyn Any + Send>,
        earlier: Option<Panic>,
    ) -> Self {
        Self {
            inner: Box::new(PanicInner {
                task: header.id,
                name: header.name().map(str::to_owned),
                spawned_at: header.spawned_at,
                payload: Mutex::new(Payload(Some(payload))),
                earlier,
            }),
        }
    }

    /// The task that panicked.
    pub fn task(&self) -> TaskId {
        self.inner.task
    }

    /// The panic's message, if it was a text, as nearly all are.
    pub fn message(&self) -> Option<String> {
        let payload = self.inner.payload.lock();
        let payload = payload.0.as_ref()?;
        let text = payload.downcast_ref::<&'static str>().map(ToString::to_string);
        text.or_else(|| payload.downcast_ref::<String>().cloned())
    }

    /// The value the task panicked with.
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        let mut payload = self.inner.payload.into_inner();
        payload.0.take().expect("only `into_payload` takes it")
    }

    /// Goes on panicking here, with the same value.
    pub fn resume(self) -> ! {
        std::panic::resume_unwind(self.into_payload())
    }

    /// The panic that this one came after, in the same task: a destructor that panicked when the
    /// body already had.
    pub fn earlier(&self) -> Option<&Panic> {
        self.inner.earlier.as_ref()
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.inner.task)?;
        if let Some(name) = &self.inner.name {
            write!(f, " ({name})")?;
        }
        write!(f, ", spawned at {}, panicked", self.inner.spawned_at)?;
        match self.message() {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Panic")
            .field("task", &self.inner.task)
            .field("name", &self.inner.name)
            .field("message", &self.message())
            .field("earlier", &self.inner.earlier)
            .finish()
    }
}
