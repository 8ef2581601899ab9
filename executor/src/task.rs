//! Tasks: naming them, waiting for them, asking about the one that is running.

use crate::waker::Slot;
use quell_cancel::{CancelHandle, Cancelled, Reason};
use std::any::Any;
use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

pub use crate::join::{JoinError, JoinForwarding, JoinHandle, Panic};
pub use crate::remote::RemoteJoinHandle;
pub use crate::spawn::current::{Builder, cancel_handle, id};
pub use quell_cancel::TaskId;

// The task: a future, what became of it, and who wants to know.
//
//                 poll: Pending
//                   ┌──────┐
//                   │      │(1)
//                   ▼      │       (2) Ready, panic
//   spawn ──────▶ ALIVE ───┴────────────────────────────────▶ DONE
//                   │                                          ▲ ▲
//                   │ (3) asked to stop, no one to wait for    │ │
//                   ├──────────────────────────────────────────┘ │
//                   │ (4) asked to stop, its request forwarded   │ (5) the last child ended
//                   ▼                                            │
//                DRAINING ───────────────────────────────────────┘
//
// 1. `Run::poll`, the future waits for a wake.
// 2. `Run::poll`, the future is dropped in place and its output or its panic is the outcome.
// 3. `Run::stop`, the future is dropped in place without being polled; the outcome is
//    *cancelled*, or the panic of a destructor.
// 4. The same, but a forwarding wait inside the future has passed the request on. *Cancelled*
//    must not be visible before those tasks have ended, too.
// 5. `Executor::advance` drives all of these; nothing else changes
//    the state.
//
// A task is one allocation, shared by the task table (while it is alive) and its
// `JoinHandle`. Only `Run` is compiled for each type of future.

pub(crate) type TaskRef = Rc<Task<dyn Run>>;

pub(crate) struct Task<B: ?Sized> {
    pub(crate) header: Header,
    body: B,
}

/// What is the same for all tasks.
pub(crate) struct Header {
    pub(crate) id: TaskId,
    pub(crate) spawned_at: &'static Location<'static>,
    /// Where the task's wakers point. `None` for a task that was refused.
    pub(crate) slot: Option<&'static Slot>,
    pub(crate) state: Cell<State>,
    /// Whether the join handle is gone: nobody will take the output.
    detached: Cell<bool>,
    /// Whether there is a reason to look for a request to stop: the test that each poll makes.
    // Invariant: true if `reason` or `Rare::scope` is set.
    watched: Cell<bool>,
    /// Why the task was asked to stop, if that was through the join handle.
    reason: Cell<Option<Reason>>,
    /// The join handle's waker.
    joiner: Cell<Option<Waker>>,
    rare: OnceCell<Box<Rare>>,
}

/// What few tasks have.
#[derive(Default)]
struct Rare {
    name: OnceCell<Cow<'static, str>>,
    /// The request to stop as others see it: made when somebody wants a handle to ask with, or
    /// asks a second time.
    scope: OnceCell<CancelHandle>,
    /// Tasks that drain and wait for this one.
    waiting: RefCell<Vec<TaskRef>>,
    /// Tasks that this one waits for before it is done. Empty unless it drains.
    draining: RefCell<Vec<TaskRef>>,
    /// What it panicked with.
    panic: Cell<Option<Panic>>,
    /// Takes the outcome in place of a join handle.
    when_done: Cell<Option<WhenDone>>,
}

type WhenDone = Box<dyn FnOnce(&Task<dyn Run>)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Alive,
    Draining,
    Done,
}

impl Header {
    fn new(
        id: TaskId,
        spawned_at: &'static Location<'static>,
        slot: Option<&'static Slot>,
    ) -> Self {
        Self {
            id,
            spawned_at,
            slot,
            state: Cell::new(State::Alive),
            detached: Cell::new(false),
            watched: Cell::new(false),
            reason: Cell::new(None),
            joiner: Cell::new(None),
            rare: OnceCell::new(),
        }
    }

    fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    pub(crate) fn set_name(&self, name: Cow<'static, str>) {
        // A task is named once, by its builder.
        let _ = self.rare().name.set(name);
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.rare.get()?.name.get().map(AsRef::as_ref)
    }

    /// Asks the task to stop. Answers whether it had not yet ended.
    pub(crate) fn cancel(&self, reason: Reason) -> bool {
        if self.is_done() {
            return false;
        }
        if self.watched.get() {
            // Not the first request, or somebody has a handle: the scope keeps the reasons in order.
            return self.scope().cancel_with(reason);
        }
        self.reason.set(Some(reason));
        self.watched.set(true);
        if let Some(slot) = self.slot {
            slot.wake();
        }
        true
    }

    fn with_reason<R>(&self, f: impl FnOnce(Option<&Reason>) -> R) -> R {
        let reason = self.reason.take();
        let result = f(reason.as_ref());
        self.reason.set(reason);
        result
    }

    fn shared_scope(&self) -> Option<&CancelHandle> {
        self.rare.get()?.scope.get()
    }

    /// The handle by which anybody can ask the task to stop.
    pub(crate) fn scope(&self) -> &CancelHandle {
        self.rare().scope.get_or_init(|| {
            let scope = CancelHandle::new(self.slot.map(|slot| (*slot.waker()).clone()));
            if let Some(reason) = self.with_reason(|reason| reason.cloned()) {
                scope.cancel_with(reason);
            }
            if self.is_done() {
                scope.finish();
            }
            self.watched.set(true);
            scope
        })
    }

    /// A handle that exists already becomes the task's own.
    pub(crate) fn adopt_scope(&self, scope: CancelHandle) {
        if let Some(slot) = self.slot {
            scope.set_waker(&slot.waker());
        }
        // A task without a slot was refused: it has ended, and whoever adopts says so.
        let _ = self.rare().scope.set(scope);
        self.watched.set(true);
    }

    /// Whether the task has been asked to stop.
    #[inline]
    pub(crate) fn stop_requested(&self) -> bool {
        self.watched.get() && self.look_for_request()
    }

    fn look_for_request(&self) -> bool {
        match self.shared_scope() {
            Some(scope) => scope.is_requested(),
            None => self.with_reason(|reason| reason.is_some()),
        }
    }

    /// The task, or a destructor of its future, has panicked.
    fn panicked(&self, payload: Box<dyn Any + Send>) {
        let panic = &self.rare().panic;
        panic.set(Some(Panic::new(self, payload, panic.take())));
    }

    /// Why the task has ended without a value. Asked once.
    fn failure(&self) -> JoinError {
        if let Some(panic) = self.rare.get().and_then(|rare| rare.panic.take()) {
            return JoinError::Panicked(panic);
        }
        let cancelled = match self.shared_scope() {
            Some(scope) => scope.cancelled(),
            None => self.reason.take().map(Cancelled::new),
        };
        cancelled.map_or(JoinError::ExecutorGone, JoinError::Cancelled)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state.get() == State::Done
    }

    /// The join handle waits, and `waker` tells it.
    pub(crate) fn set_joiner(&self, waker: &Waker) {
        let current = self.joiner.take().filter(|current| current.will_wake(waker));
        self.joiner.set(Some(current.unwrap_or_else(|| waker.clone())));
    }

    /// The join handle waits no longer.
    pub(crate) fn clear_joiner(&self) {
        if let Some(waker) = self.joiner.take() {
            contain(|| drop(waker));
        }
    }

    /// Adds the tasks it waits for in order to end itself.
    fn add_draining(&self, to: &mut Vec<TaskRef>) {
        if let Some(rare) = self.rare.get() {
            to.extend(rare.draining.borrow().iter().cloned());
        }
    }

    /// Whether this task, directly or through others, waits for the end of `id` in order to end
    /// itself.
    fn drains(&self, id: TaskId) -> bool {
        // Not recursive: a chain of waits may be longer than the stack is deep.
        let mut waits_for = Vec::new();
        self.add_draining(&mut waits_for);
        while let Some(task) = waits_for.pop() {
            if task.header.id == id {
                return true;
            }
            task.header.add_draining(&mut waits_for);
        }
        false
    }
}

impl Task<dyn Run> {
    pub(crate) fn new<F>(
        id: TaskId,
        spawned_at: &'static Location<'static>,
        slot: &'static Slot,
        future: F,
    ) -> TaskRef
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let header = Header::new(id, spawned_at, Some(slot));
        Rc::new(Task { header, body: Body(RefCell::new(Stage::Running(future))) })
    }

    /// A task that has ended before it began, because its executor is gone.
    pub(crate) fn refused<F>(id: TaskId, spawned_at: &'static Location<'static>) -> TaskRef
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let header = Header::new(id, spawned_at, None);
        header.state.set(State::Done);
        Rc::new(Task { header, body: Body(RefCell::new(Stage::<F>::Failed)) })
    }

    /// Polls the future. `true` if it has ended.
    #[inline]
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> bool {
        self.body.poll(&self.header, cx)
    }

    /// Drops the future in place; the outcome is *cancelled*.
    pub(crate) fn stop(&self) {
        self.body.stop(&self.header);
    }

    /// Moves the outcome out, into an `Option<Result<T, JoinError>>`.
    pub(crate) fn take_outcome(&self, into: &mut dyn Any) {
        self.body.take_outcome(&self.header, into);
    }

    /// The task waits for `children` to end. `false` if there is none to wait for.
    pub(crate) fn drain(self: &Rc<Self>, mut children: Vec<TaskRef>) -> bool {
        // A child that itself waits for this task would wait for ever.
        children.retain(|child| {
            let id = self.header.id;
            !child.header.is_done() && child.header.id != id && !child.header.drains(id)
        });
        if children.is_empty() {
            return false;
        }
        for child in &children {
            child.header.rare().waiting.borrow_mut().push(self.clone());
        }
        *self.header.rare().draining.borrow_mut() = children;
        true
    }

    /// Whether all tasks it waited for have ended.
    pub(crate) fn drained(&self) -> bool {
        let Some(rare) = self.header.rare.get() else {
            return true;
        };
        let mut draining = rare.draining.borrow_mut();
        draining.retain(|child| !child.header.is_done());
        draining.is_empty()
    }

    /// Tells everybody who waits for the task that it has ended.
    pub(crate) fn announce(&self) {
        if let Some(rare) = self.header.rare.get() {
            if let Some(scope) = rare.scope.get() {
                scope.finish();
            }
            for task in rare.waiting.take() {
                task.header.slot.expect("a draining task has a slot").wake();
            }
            if let Some(when_done) = rare.when_done.take() {
                contain(|| when_done(self));
            }
        }
        if let Some(waker) = self.header.joiner.take() {
            // A foreign waker may panic. Its task is to blame, not this one.
            contain(|| waker.wake());
        }
        if self.header.detached.get() {
            self.body.discard();
        }
    }

    /// Has `f` called when the task ends, in place of a join handle; at once if it has.
    pub(crate) fn when_done(&self, f: impl FnOnce(&Self) + 'static) {
        if self.header.is_done() {
            f(self);
        } else {
            self.header.rare().when_done.set(Some(Box::new(f)));
        }
    }

    /// The join handle is gone: a waker and an output that are there now, or that come later, are
    /// dropped by the executor.
    pub(crate) fn detach(&self) {
        self.header.detached.set(true);
        self.header.clear_joiner();
        if self.header.is_done() {
            self.body.discard();
        }
    }
}

/// Runs `f`; a panic ends here. It has been reported by the panic hook; its payload has no taker.
pub(crate) fn contain(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        discard_payload(payload);
    }
}

/// Drops a panic's payload, which may panic in its turn, and whose payload may panic in turn ...
pub(crate) fn discard_payload(mut payload: Box<dyn Any + Send>) {
    for _ in 0..3 {
        match catch_unwind(AssertUnwindSafe(move || drop(payload))) {
            Ok(()) => return,
            Err(next) => payload = next,
        }
    }
    // Somebody means it.
    std::mem::forget(payload);
}

/// What has to know the type of the future.
pub(crate) trait Run {
    /// Polls the future. `true` if it has ended; its outcome is stored then.
    fn poll(&self, header: &Header, cx: &mut Context<'_>) -> bool;
    /// Drops the future in place. It has no output.
    fn stop(&self, header: &Header);
    /// Moves the outcome out, into an `Option<Result<T, JoinError>>`.
    fn take_outcome(&self, header: &Header, into: &mut dyn Any);
    /// Drops the outcome. Does not panic.
    fn discard(&self);
}

// Borrowed for the whole of each poll and of each drop. Nothing that runs inside borrows it a
// second time: the executor polls a task that is being polled never again, and everybody else
// looks at `Header::state` first.
struct Body<F: Future>(RefCell<Stage<F>>);

enum Stage<F: Future> {
    Running(F),
    /// It has ended with a value.
    Value(F::Output),
    /// It has ended without one. `Header::failure` knows why.
    Failed,
    Taken,
}

impl<F> Run for Body<F>
where
    F: Future + 'static,
    F::Output: 'static,
{
    #[inline]
    fn poll(&self, header: &Header, cx: &mut Context<'_>) -> bool {
        let mut stage = self.0.borrow_mut();
        let Stage::Running(future) = &mut *stage else { unreachable!("polled after its end") };
        // SAFETY: the future is inside an `Rc` and does not move from `Task::new` until it is
        // dropped in place, which is what assigning another stage does. No other code gets a
        // `&mut` to it: `Body` is private, and this and `end` are all that touch `Running`.
        let future = unsafe { Pin::new_unchecked(future) };
        let output = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => return false,
            Ok(Poll::Ready(output)) => Some(output),
            Err(payload) => {
                header.panicked(payload);
                None
            }
        };
        end(&mut stage, header, output);
        true
    }

    fn stop(&self, header: &Header) {
        end(&mut self.0.borrow_mut(), header, None);
    }

    fn take_outcome(&self, header: &Header, into: &mut dyn Any) {
        let into: &mut Option<Result<F::Output, JoinError>> =
            into.downcast_mut().expect("a join handle has the type of its task's output");
        *into = match std::mem::replace(&mut *self.0.borrow_mut(), Stage::Taken) {
            Stage::Value(output) => Some(Ok(output)),
            Stage::Failed => Some(Err(header.failure())),
            Stage::Taken => None,
            Stage::Running(_) => unreachable!("nobody takes an outcome before there is one"),
        };
    }

    fn discard(&self) {
        let outcome = match self.0.try_borrow_mut() {
            Ok(mut stage) if matches!(*stage, Stage::Value(_)) => {
                std::mem::replace(&mut *stage, Stage::Taken)
            }
            _ => return,
        };
        // Dropped when the cell is free again: the destructor may look at the join handle.
        contain(|| drop(outcome));
    }
}

/// Drops the future in place, and stores its output if it has one and its destructor agrees.
fn end<F: Future>(stage: &mut Stage<F>, header: &Header, output: Option<F::Output>) {
    // An assignment drops the old value where it is, which pinning demands, and writes the new one
    // even if that unwinds.
    match (catch_unwind(AssertUnwindSafe(|| *stage = Stage::Failed)), output) {
        (Ok(()), Some(output)) => *stage = Stage::Value(output),
        (Ok(()), None) => {}
        (Err(payload), output) => {
            header.panicked(payload);
            contain(|| drop(output));
        }
    }
}
