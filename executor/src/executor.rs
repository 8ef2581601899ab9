//! The event loop and what it owns.
//!
//! One [`Executor`] a thread, reached through the thread's [`context`](crate::context) while it
//! runs. [`Runtime`](crate::Runtime) is its public face.
//!
//! A turn of the loop, in [`Executor::block_on`]:
//!
//! 1. **Poll** what is ready, first woken first, the main future included when it was woken.
//! 2. Every [`INTERVAL`] polls, and whenever nothing is ready, **look around**: take in what other
//!    threads have sent, fire the timers that are due, ask the reactor about sockets.
//! 3. Still nothing ready: **park** until the next timer, a socket or another thread.
//!
//! Nothing can starve the rest: a task that wakes itself goes to the back of the queue, and a flood
//! of wakes from other threads is taken in as far as it goes at the time of the look.

use crate::clock::Clock;
use crate::home::{Estate, Home, Message, PAGE, Page};
use crate::park::Park;
use crate::queue::ReadyQueue;
use crate::reactor::Reactor;
use crate::remote::{Link, RemoteHandle};
use crate::task::{Run, State, Task, TaskRef};
use crate::trace::{Event, Tracer};
use crate::waker::{Popped, Slot};
use crate::wheel::Timers;
use quell_cancel::{CancelHandle, CancelKind, Reason, TaskId};
use slab::Slab;
use std::cell::{Cell, OnceCell, RefCell};
use std::future::Future;
use std::io;
use std::num::NonZeroU64;
use std::panic::Location;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// How many polls the loop makes before it looks around. A look costs about as much as a few dozen
/// short polls once there are sockets; 61, the figure of tokio and Go, keeps it below that.
const INTERVAL: u32 = 61;

/// The main future's key. It is no task, but it has a slot and takes its turn like one.
const MAIN: u32 = 0;

/// How often a shutdown asks the tasks that are still there, or there again, because destructors
/// keep spawning.
const SHUTDOWN_ROUNDS: u32 = 64;

pub(crate) struct Executor {
    pub(crate) home: &'static Home,
    pub(crate) ready: ReadyQueue,
    pub(crate) timers: Timers,
    clock: Box<dyn Clock>,
    /// The latest time the clock has told.
    latest: Cell<Instant>,
    // Invariant: `tasks` holds a task under its slot's key until the task is done; then `None` if
    // the slot is still queued; then nothing. Key `MAIN` is `None`.
    //
    // Never borrowed while code of a task runs: not while it is polled, not while it is dropped.
    tasks: RefCell<Slab<Option<TaskRef>>>,
    pages: RefCell<Vec<Page>>,
    parker: RefCell<Box<dyn Park>>,
    /// Whether the reactor may take the parker's place as soon as there is a socket.
    reactor_parks: bool,
    reactor: OnceCell<Rc<Reactor>>,
    tracer: Tracer,
    /// The task that is being polled or dropped, or the main future.
    current: Cell<Option<TaskId>>,
    /// Its key. Means nothing while `current` is `None`.
    current_key: Cell<u32>,
    /// Polls left until the next look around.
    polls_left: Cell<u32>,
    /// Tasks that are not done.
    alive: Cell<usize>,
    /// While a task is being stopped: the tasks to which it has forwarded the request.
    adopted: RefCell<Option<Vec<TaskRef>>>,
    /// The main future's request to stop, while `run` is running.
    main_scope: RefCell<Option<CancelHandle>>,
    /// Whether it is running: entered on its thread, here or further down the stack.
    entered: Cell<bool>,
    /// The reason of the last `cancel()` through a join handle.
    last_explicit: RefCell<Option<Reason>>,
    /// No task is accepted any more.
    closed: Cell<bool>,
    /// Ids this executor may give out.
    ids: Cell<(u64, u64)>,
    /// Made when somebody wants to reach the executor from another thread.
    link: OnceCell<Arc<Link>>,
    this: Weak<Executor>,
}

/// What an executor is made of, chosen by [`Builder`](crate::Builder).
pub(crate) struct Parts {
    pub(crate) clock: Box<dyn Clock>,
    pub(crate) parker: Option<Box<dyn Park>>,
    pub(crate) tracer: Tracer,
    pub(crate) seed: Option<u64>,
}

/// Why [`Executor::run_ready`] stopped.
#[derive(Debug, PartialEq, Eq)]
enum Ran {
    /// The main future was woken and it is its turn.
    Main,
    /// Time to look around.
    Enough,
    /// Nothing is ready.
    Idle,
}

impl Executor {
    pub(crate) fn new(parts: Parts) -> Rc<Self> {
        quell_cancel::set_current_task(current_task);
        let reactor_parks = parts.parker.is_none();
        let parker = parts.parker.unwrap_or_else(|| Box::<crate::park::ThreadParker>::default());
        let home = Home::acquire();
        home.set_unparker(parker.unparker());
        // It is not in its loop yet: the parker is told of whatever comes before it is.
        home.leave();
        let estate = home.take_estate();
        let start = parts.clock.now();
        let executor = Rc::new_cyclic(|this| Self {
            home,
            ready: ReadyQueue::new(parts.seed),
            timers: Timers::new(start, estate.next_timer),
            clock: parts.clock,
            latest: Cell::new(start),
            tasks: RefCell::default(),
            pages: RefCell::new(estate.pages),
            parker: RefCell::new(parker),
            reactor_parks,
            reactor: OnceCell::new(),
            tracer: parts.tracer,
            current: Cell::new(None),
            current_key: Cell::new(MAIN),
            polls_left: Cell::new(INTERVAL),
            alive: Cell::new(0),
            adopted: RefCell::new(None),
            main_scope: RefCell::new(None),
            entered: Cell::new(false),
            last_explicit: RefCell::new(None),
            closed: Cell::new(false),
            ids: Cell::new((0, 0)),
            link: OnceCell::new(),
            this: this.clone(),
        });
        let main = executor.tasks.borrow_mut().insert(None);
        debug_assert_eq!(main, MAIN as usize);
        executor
    }

    // ---- the loop ----

    /// Polls `main` to its end, and the tasks meanwhile. The caller has entered the executor.
    pub(crate) fn block_on<F: Future>(&self, main: F) -> F::Output {
        let mut main = pin!(main);
        let id = self.next_id();
        let slot = self.slot(MAIN);
        let _main = OccupiedMain::new(self, slot);
        self.schedule(slot);
        let waker = slot.waker();
        let mut cx = Context::from_waker(&waker);
        loop {
            match self.run_ready() {
                Ran::Main => {
                    self.set_current(id, MAIN);
                    let polled = main.as_mut().poll(&mut cx);
                    self.current.set(None);
                    if let Poll::Ready(output) = polled {
                        return output;
                    }
                }
                Ran::Enough => self.look_around(),
                Ran::Idle => self.idle(),
            }
        }
    }

    /// Polls what is ready.
    fn run_ready(&self) -> Ran {
        while self.polls_left.get() > 0 {
            let Some(slot) = self.ready.pop() else {
                return Ran::Idle;
            };
            self.polls_left.set(self.polls_left.get() - 1);
            match slot.dequeue() {
                Popped::Live if slot.key == MAIN => return Ran::Main,
                Popped::Live => {
                    let task = self.tasks.borrow()[slot.key as usize].clone();
                    self.advance(slot, &task.expect("a live slot has a task"));
                }
                // The key of the main future is never given away.
                Popped::Ended if slot.key == MAIN => {}
                Popped::Ended => drop(self.tasks.borrow_mut().remove(slot.key as usize)),
            }
        }
        Ran::Enough
    }

    /// Takes a task as far as it goes: the transitions of the diagram in [`task`](crate::task).
    #[inline]
    fn advance(&self, slot: &'static Slot, task: &TaskRef) {
        let header = &task.header;
        self.set_current(header.id, slot.key);
        self.tracer.event(|| Event::PollStart { task: header.id });
        let done = if !header.stop_requested() {
            task.poll(&mut Context::from_waker(&slot.waker()))
        } else if header.state.get() == State::Draining {
            task.drained()
        } else {
            self.stop(task)
        };
        self.tracer.event(|| Event::PollEnd { task: header.id, done });
        self.current.set(None);
        if done {
            self.retire(slot, task);
        }
    }

    /// Drops a task's future because it was asked to stop. `true` if that is all.
    fn stop(&self, task: &TaskRef) -> bool {
        let outer = self.adopted.replace(Some(Vec::new()));
        task.stop();
        let children = self.adopted.replace(outer).unwrap_or_default();
        let draining = !children.is_empty() && task.drain(children);
        if draining {
            task.header.state.set(State::Draining);
        }
        !draining
    }

    /// A forwarding wait was dropped before `child` ended.
    pub(crate) fn adopt(&self, child: &TaskRef) {
        if let Some(adopted) = &mut *self.adopted.borrow_mut() {
            adopted.push(child.clone());
        }
    }

    /// The task is done: its slot is given back, and whoever waits is told.
    fn retire(&self, slot: &'static Slot, task: &TaskRef) {
        task.header.state.set(State::Done);
        self.alive.set(self.alive.get() - 1);
        let mut tasks = self.tasks.borrow_mut();
        let entry = if slot.vacate() {
            tasks.remove(slot.key as usize)
        } else {
            tasks[slot.key as usize].take()
        };
        drop(tasks);
        drop(entry);
        self.tracer.event(|| Event::Finished { task: task.header.id });
        task.announce();
    }

    /// A wake on this thread.
    #[inline]
    pub(crate) fn schedule(&self, slot: &'static Slot) {
        if slot.enqueue() {
            self.ready.push(slot);
        }
    }

    /// Takes in what has happened outside, without waiting.
    fn look_around(&self) {
        self.polls_left.set(INTERVAL);
        self.take_messages();
        self.fire_timers();
        self.poll_reactor();
    }

    /// Nothing is ready: takes in what has happened outside, and sleeps if that is nothing, too.
    fn idle(&self) {
        self.take_messages();
        self.fire_timers();
        if !self.ready.is_empty() {
            return;
        }
        if self.clock.is_virtual() && !self.timers.is_empty() {
            // Time stands still as long as a socket has something to say.
            self.poll_reactor();
            if !self.ready.is_empty() {
                return;
            }
            if let Some(deadline) = self.timers.next_deadline() {
                self.clock.skip_to(deadline);
                self.fire_timers();
                return;
            }
        }
        self.polls_left.set(INTERVAL);
        self.park(self.timers.next_wake().map(|at| at.saturating_duration_since(self.now())));
        self.take_messages();
        self.fire_timers();
    }

    fn park(&self, timeout: Option<Duration>) {
        if !self.home.fall_asleep() {
            return;
        }
        self.tracer.event(|| Event::Park { timeout });
        match self.reactor.get().filter(|_| self.reactor_parks) {
            Some(reactor) => reactor.wait(timeout),
            None => {
                self.parker.borrow_mut().park(timeout);
                // A parker of the host's knows nothing of sockets.
                self.poll_reactor();
            }
        }
        self.home.wake_up();
        self.tracer.event(|| Event::Unpark);
    }

    pub(crate) fn take_messages(&self) {
        if !self.home.has_news() {
            return;
        }
        for message in self.home.messages() {
            match message {
                Message::Wake(slot) => {
                    slot.dequeue_remote();
                    self.schedule(slot);
                }
                #[cfg(feature = "time")]
                Message::DropTimer(key) => self.timers.remove(key),
                #[cfg(feature = "time")]
                Message::FireTimer(key) => {
                    if let Some(waker) = self.timers.take(key) {
                        crate::task::contain(|| waker.wake());
                    }
                }
                Message::Call(call) => call(self),
            }
        }
    }

    fn fire_timers(&self) {
        if self.timers.is_empty() {
            return;
        }
        // One at a time: a foreign waker may come back here for a timer of its own.
        for waker in self.timers.due(self.now()) {
            crate::task::contain(|| waker.wake());
        }
    }

    fn poll_reactor(&self) {
        if let Some(reactor) = self.reactor.get() {
            reactor.wait(Some(Duration::ZERO));
        }
    }

    /// The reactor. Made when the first socket is.
    #[cfg_attr(not(feature = "net"), expect(dead_code, reason = "there are no sockets"))]
    pub(crate) fn reactor(&self) -> io::Result<Rc<Reactor>> {
        if let Some(reactor) = self.reactor.get() {
            return Ok(reactor.clone());
        }
        let reactor = Rc::new(Reactor::new()?);
        if self.reactor_parks {
            self.home.set_unparker(reactor.unparker());
        }
        Ok(self.reactor.get_or_init(|| reactor).clone())
    }

    /// Whether this executor waits on `reactor`.
    #[cfg_attr(not(feature = "net"), expect(dead_code, reason = "there are no sockets"))]
    pub(crate) fn drives(&self, reactor: &Reactor) -> bool {
        (self.reactor.get()).is_some_and(|mine| std::ptr::eq(&**mine, reactor))
    }

    /// Whether it is `instant` or later. Asks the clock only if the last answer does not tell.
    #[cfg_attr(not(feature = "time"), expect(dead_code, reason = "there are no timers"))]
    pub(crate) fn is_past(&self, instant: Instant) -> bool {
        self.latest.get() >= instant || self.now() >= instant
    }

    /// The time. A clock that is set back stands still here until it has caught up.
    pub(crate) fn now(&self) -> Instant {
        let now = self.clock.now().max(self.latest.get());
        self.latest.set(now);
        now
    }

    // ---- driven by a host ----

    /// One look around and one stretch of polls. `true` if there is more to do at once.
    pub(crate) fn tick(&self) -> bool {
        self.look_around();
        // A main future that is not running is not live, so `Main` does not come.
        self.run_ready();
        !self.ready.is_empty() || self.home.has_news()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    // ---- tasks ----

    /// Makes a task of `future` and puts it at the end of the ready queue.
    #[inline]
    pub(crate) fn spawn<F>(&self, future: F, spawned_at: &'static Location<'static>) -> TaskRef
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let id = self.next_id();
        if self.closed.get() {
            refuse(future);
            return Task::<dyn Run>::refused::<F>(id, spawned_at);
        }
        let slot = self.vacant_slot();
        let task = Task::<dyn Run>::new(id, spawned_at, slot, future);
        self.install(slot, task.clone());
        task
    }

    fn vacant_slot(&self) -> &'static Slot {
        let key = self.tasks.borrow().vacant_key();
        self.slot(u32::try_from(key).expect("memory is full before there are 2^32 tasks"))
    }

    fn install(&self, slot: &'static Slot, task: TaskRef) {
        let spawn = Event::Spawn { task: task.header.id, spawned_at: task.header.spawned_at };
        let key = self.tasks.borrow_mut().insert(Some(task));
        debug_assert_eq!(key, slot.key as usize);
        self.alive.set(self.alive.get() + 1);
        slot.occupy();
        self.tracer.event(|| spawn);
        self.schedule(slot);
        if !self.entered.get() {
            self.home.unpark_if_asleep();
        }
    }

    #[inline]
    fn slot(&self, key: u32) -> &'static Slot {
        let (page, index) = (key as usize / PAGE, key as usize % PAGE);
        if let Some(page) = self.pages.borrow().get(page) {
            return &page[index];
        }
        self.grow(page);
        &self.pages.borrow()[page][index]
    }

    #[cold]
    fn grow(&self, page: usize) {
        let mut pages = self.pages.borrow_mut();
        while pages.len() <= page {
            let first = (pages.len() * PAGE) as u32;
            pages.push(self.home.new_page(first));
        }
    }

    #[inline]
    fn next_id(&self) -> TaskId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        // Taken from the common counter in batches, to keep atomics out of `spawn`.
        const BATCH: u64 = 1024;
        let (mut next, mut end) = self.ids.get();
        if next == end {
            next = NEXT.fetch_add(BATCH, Ordering::Relaxed);
            end = next + BATCH;
        }
        self.ids.set((next + 1, end));
        TaskId::new(NonZeroU64::new(next).expect("the counter starts at 1"))
    }

    pub(crate) fn current(&self) -> Option<TaskId> {
        self.current.get()
    }

    #[inline]
    fn set_current(&self, id: TaskId, key: u32) {
        self.current.set(Some(id));
        self.current_key.set(key);
    }

    /// The request to stop of whoever is running. `None` for a main future that cannot be asked.
    pub(crate) fn current_scope(&self) -> Option<CancelHandle> {
        self.current.get()?;
        match self.current_key.get() {
            MAIN => self.main_scope.borrow().clone(),
            key => {
                let tasks = self.tasks.borrow();
                let task = tasks[key as usize].as_ref().expect("the running task is in the table");
                Some(task.header.scope().clone())
            }
        }
    }

    /// The reason for a `cancel()` at `location` by the running task.
    pub(crate) fn explicit_reason(&self, location: &'static Location<'static>) -> Reason {
        let mut last = self.last_explicit.borrow_mut();
        let same = |last: &&mut Reason| {
            std::ptr::eq(last.location(), location) && last.by() == self.current()
        };
        match last.as_mut().filter(same) {
            Some(reason) => reason.clone(),
            None => last.insert(Reason::at(CancelKind::Explicit, location)).clone(),
        }
    }

    pub(crate) fn remote(&self) -> RemoteHandle {
        let link = self.link.get_or_init(|| {
            let link = Link::new(self.home);
            if self.closed.get() {
                link.close();
            }
            link
        });
        RemoteHandle::new(link.clone())
    }

    pub(crate) fn alive(&self) -> usize {
        self.alive.get()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    pub(crate) fn this(&self) -> Rc<Self> {
        self.this.upgrade().expect("whoever has a reference holds the executor")
    }

    // ---- the end ----

    pub(crate) fn set_main_scope(&self, scope: Option<CancelHandle>) {
        *self.main_scope.borrow_mut() = scope;
    }

    /// Asks the main future to stop, if it runs in a way that allows it, or else all tasks.
    pub(crate) fn request_shutdown(&self, reason: &Reason) {
        let main = self.main_scope.borrow().clone();
        match main {
            Some(main) => drop(main.cancel_with(reason.clone())),
            None => self.cancel_all(reason),
        }
    }

    fn cancel_all(&self, reason: &Reason) {
        for task in self.tasks() {
            task.header.cancel(reason.clone());
        }
    }

    /// The tasks that are not done. A copy, because whatever is done with them may spawn.
    fn tasks(&self) -> Vec<TaskRef> {
        self.tasks.borrow().iter().filter_map(|(_, task)| task.clone()).collect()
    }

    /// Asks all tasks to stop and polls them until they have, and those that their destructors
    /// spawn as well.
    pub(crate) fn stop_all(&self, reason: &Reason) {
        for _ in 0..SHUTDOWN_ROUNDS {
            self.take_messages();
            if self.alive.get() == 0 {
                return;
            }
            self.cancel_all(reason);
            let asked = self.ids.get();
            // What is ready now, and then what that has woken. Whoever is spawned meanwhile has not
            // been asked, and might keep the loop busy for ever: the next round asks first.
            while self.ids.get() == asked && !self.ready.is_empty() {
                self.polls_left.set(u32::try_from(self.ready.len()).unwrap_or(u32::MAX));
                self.run_ready();
            }
        }
    }

    /// Marks it as running. `false` if it is already: its loop is further down the stack.
    pub(crate) fn enter(&self) -> bool {
        !self.entered.replace(true)
    }

    /// It runs no more.
    pub(crate) fn leave(&self) {
        self.entered.set(false);
        self.home.leave();
    }

    /// Ends all tasks and accepts no new ones.
    pub(crate) fn close(&self) {
        let reason = Reason::new(CancelKind::Shutdown).with_message("the runtime was dropped");
        self.stop_all(&reason);
        self.closed.set(true);
        if let Some(link) = self.link.get() {
            link.close();
        }
        // Destructors that spawn without end, if any, and threads that were faster than the line
        // above: what they spawn now is refused.
        self.take_messages();
        self.stop_all(&reason);
        // What is left has been dropped and waits for tasks of another executor, to which it had
        // forwarded the request. It cannot wait any longer.
        for task in self.tasks() {
            self.retire(task.header.slot.expect("it is in the table"), &task);
        }
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        // No slot may be left marked as being in a queue: the next executor gets them.
        while let Some(slot) = self.ready.pop() {
            slot.dequeue();
        }
        // What has been sent and not taken in. Calls are dropped, which tells their senders.
        for message in self.home.messages() {
            if let Message::Wake(slot) = message {
                slot.dequeue_remote();
            }
        }
        let next_timer = self.timers.next_serial();
        self.home.release(Estate { pages: self.pages.take(), next_timer });
    }
}

/// The main future's slot takes wakes from here to the end of `block_on`, also if it unwinds.
struct OccupiedMain<'a> {
    executor: &'a Executor,
    slot: &'static Slot,
}

impl<'a> OccupiedMain<'a> {
    fn new(executor: &'a Executor, slot: &'static Slot) -> Self {
        slot.occupy();
        Self { executor, slot }
    }
}

impl Drop for OccupiedMain<'_> {
    fn drop(&mut self) {
        self.executor.current.set(None);
        if !self.slot.vacate() {
            self.executor.ready.remove(self.slot);
            self.slot.dequeue();
        }
    }
}

/// Drops a future that nobody will run. Its destructor may spawn in its turn, which ends up here
/// again; a chain of those that does not end is cut by leaking the last one.
pub(crate) fn refuse<F>(future: F) {
    thread_local! {
        static DEPTH: Cell<u32> = const { Cell::new(0) };
    }
    let depth = DEPTH.get();
    if depth == 32 {
        return std::mem::forget(future);
    }
    DEPTH.set(depth + 1);
    crate::task::contain(|| drop(future));
    DEPTH.set(depth);
}

/// The task that is running on this thread.
pub(crate) fn current_task() -> Option<TaskId> {
    crate::context::with(|executor| executor?.current())
}
