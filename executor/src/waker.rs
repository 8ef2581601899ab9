//! Wakers that are plain pointers.
//!
//! A waker may be cloned, kept and used by anybody, on any thread, long after its task and its
//! executor are gone. The usual answer is a reference count, an atomic operation for each clone
//! and each drop. Ours is a **slot** that is never freed: cloning a waker copies a pointer, and
//! dropping one does nothing. Slots belong to a [`Home`](crate::home::Home) for ever and are used
//! again by later tasks, so that a waker that comes too late wakes the wrong task at worst. Every
//! future has to put up with a poll that has no reason anyway.

use crate::context;
use crate::home::Home;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{RawWaker, RawWakerVTable, Waker};

/// The place a waker points to. Sixteen bytes, never freed.
///
/// ```text
///             spawn                     wake
///   VACANT ──────────▶ LIVE ───────────────────────▶ LIVE|QUEUED
///     ▲                 │ ▲                             │    │
///     │      end        │ │        popped, polled       │    │ end while queued
///     ├─────────────────┘ └─────────────────────────────┘    ▼
///     └──────────────────────────────────────────────────  QUEUED
///                            popped
/// ```
///
/// A wake does something only in state `LIVE`: that is how each task is in the queue at most once,
/// and how a slot never enters the queue without a task. A slot that is still queued when its
/// task ends is not given to another one until it has been popped, or else the new task would
/// take the old one's place in the queue.
pub(crate) struct Slot {
    pub(crate) home: &'static Home,
    /// The task's key in the task table. The same for ever.
    pub(crate) key: u32,
    // Invariant: written by the owner's thread only, which is why loads and stores will do. It is
    // an atomic because the slot as a whole is visible to all threads.
    state: AtomicU8,
    /// Whether the slot is in its home's remote queue: many wakes from other threads make one
    /// entry there.
    remote: AtomicBool,
}

const LIVE: u8 = 1;
const QUEUED: u8 = 2;

/// What the loop finds when it takes a slot out of the ready queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Popped {
    /// Poll the task.
    Live,
    /// The task ended while it was queued. The slot may be given to another one now.
    Ended,
}

impl Slot {
    pub(crate) fn new(home: &'static Home, key: u32) -> Self {
        Self { home, key, state: AtomicU8::new(0), remote: AtomicBool::new(false) }
    }

    /// The slot gets a task. From now on wakes count.
    #[inline]
    pub(crate) fn occupy(&self) {
        debug_assert_eq!(self.state.load(Ordering::Relaxed), 0);
        self.state.store(LIVE, Ordering::Relaxed);
    }

    /// The task has ended. Answers whether the slot can be used again at once.
    #[inline]
    pub(crate) fn vacate(&self) -> bool {
        let state = self.state.load(Ordering::Relaxed) & !LIVE;
        self.state.store(state, Ordering::Relaxed);
        state == 0
    }

    /// A wake on the owner's thread. Answers whether the slot must be put in the ready queue.
    #[inline]
    pub(crate) fn enqueue(&self) -> bool {
        let idle = self.state.load(Ordering::Relaxed) == LIVE;
        if idle {
            self.state.store(LIVE | QUEUED, Ordering::Relaxed);
        }
        idle
    }

    /// The slot was taken out of the ready queue. A wake after this puts it in again.
    #[inline]
    pub(crate) fn dequeue(&self) -> Popped {
        let state = self.state.load(Ordering::Relaxed) & !QUEUED;
        self.state.store(state, Ordering::Relaxed);
        if state == LIVE { Popped::Live } else { Popped::Ended }
    }

    /// A wake from another thread. Answers whether the slot must be put in the remote queue.
    pub(crate) fn enqueue_remote(&self) -> bool {
        // Read-modify-write on both sides: a wake that finds the flag set is ordered before the
        // owner's `dequeue_remote`, and therefore before the poll that follows it.
        !self.remote.swap(true, Ordering::AcqRel)
    }

    /// The owner took the slot out of the remote queue.
    pub(crate) fn dequeue_remote(&self) {
        self.remote.swap(false, Ordering::AcqRel);
    }

    #[inline]
    pub(crate) fn wake(&'static self) {
        context::with(|executor| match executor {
            Some(executor) if std::ptr::eq(executor.home, self.home) => executor.schedule(self),
            _ => self.home.wake(self),
        });
    }

    /// A waker for this slot. There is nothing to drop in it.
    #[inline]
    pub(crate) fn waker(&'static self) -> ManuallyDrop<Waker> {
        // SAFETY: the data is a `&'static Slot`, as every function in `VTABLE` expects. They
        // uphold the contract of `RawWaker`: the data is shared and never freed, so clone and drop
        // have nothing to do; `Slot` is `Sync`, and `Slot::wake` tells threads apart by itself.
        ManuallyDrop::new(unsafe { Waker::from_raw(raw_waker(self)) })
    }
}

/// One table for all wakers, at one address: `Waker::will_wake` compares it.
static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, drop);

#[inline]
fn raw_waker(slot: &'static Slot) -> RawWaker {
    RawWaker::new(std::ptr::from_ref(slot).cast(), &VTABLE)
}

unsafe fn clone(data: *const ()) -> RawWaker {
    RawWaker::new(data, &VTABLE)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: `data` came from a `&'static Slot` in `raw_waker`, and slots are never freed.
    let slot: &'static Slot = unsafe { &*data.cast() };
    slot.wake();
}

fn drop(_data: *const ()) {}

const _: () = assert!(size_of::<Slot>() == if size_of::<usize>() == 8 { 16 } else { 12 });
