//! The futures that the workloads are made of: one source for all runtimes.
//!
//! None of them uses anything of a runtime but the waker it is polled with.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// Wakes itself and is ready at the next poll.
#[derive(Debug, Default)]
pub struct YieldNow {
    yielded: bool,
}

/// Lets other tasks run.
pub fn yield_now() -> YieldNow {
    YieldNow::default()
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Passes values from one task to another, one at a time.
#[derive(Default)]
pub struct Slot {
    value: Cell<Option<u64>>,
    waker: Cell<Option<Waker>>,
}

impl Slot {
    /// Leaves a value and wakes whoever waits for it.
    pub fn put(&self, value: u64) {
        let old = self.value.replace(Some(value));
        assert!(old.is_none(), "the value before has not been taken");
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Waits for a value.
    pub fn take(&self) -> Take<'_> {
        Take(self)
    }
}

/// The future of [`Slot::take`].
pub struct Take<'a>(&'a Slot);

impl Future for Take<'_> {
    type Output = u64;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
        match self.0.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                remember(&self.0.waker, cx.waker());
                Poll::Pending
            }
        }
    }
}

/// Counts down to zero, and wakes one waiter then.
pub struct Latch {
    left: Cell<u64>,
    waker: Cell<Option<Waker>>,
}

impl Latch {
    /// Opens after `count` calls of [`count_down`](Self::count_down).
    pub fn new(count: u64) -> Self {
        Self { left: Cell::new(count), waker: Cell::new(None) }
    }

    /// One less to wait for.
    pub fn count_down(&self) {
        let left = self.left.get() - 1;
        self.left.set(left);
        let done = if left == 0 { self.waker.take() } else { None };
        if let Some(waker) = done {
            waker.wake();
        }
    }

    /// How many calls are missing.
    pub fn left(&self) -> u64 {
        self.left.get()
    }

    /// Waits until none is missing.
    pub fn wait(&self) -> Wait<'_> {
        Wait(self)
    }
}

/// The future of [`Latch::wait`].
pub struct Wait<'a>(&'a Latch);

impl Future for Wait<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.left() == 0 {
            return Poll::Ready(());
        }
        remember(&self.0.waker, cx.waker());
        Poll::Pending
    }
}

/// Keeps `waker`, without a clone if it is the one that is there.
fn remember(place: &Cell<Option<Waker>>, waker: &Waker) {
    let current = place.take().filter(|current| current.will_wake(waker));
    place.set(Some(current.unwrap_or_else(|| waker.clone())));
}

/// Where [`Parked`] tasks are counted.
pub struct ParkingLot {
    /// Open when all have been polled.
    pub parked: Latch,
    /// Open when all have been dropped.
    pub dropped: Latch,
}

impl ParkingLot {
    /// For `count` tasks.
    pub fn new(count: u64) -> Rc<Self> {
        Rc::new(Self { parked: Latch::new(count), dropped: Latch::new(count) })
    }

    /// A future that is never ready. It keeps the waker it is polled with, as everything does that
    /// means to wake a task some day.
    pub fn park(self: &Rc<Self>) -> Parked {
        Parked { waker: None, lot: self.clone() }
    }
}

/// The future of [`ParkingLot::park`].
pub struct Parked {
    waker: Option<Waker>,
    lot: Rc<ParkingLot>,
}

impl Future for Parked {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.waker.is_none() {
            self.waker = Some(cx.waker().clone());
            self.lot.parked.count_down();
        }
        Poll::Pending
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.lot.dropped.count_down();
    }
}

/// A [`Slot`] whose value comes from another thread.
#[derive(Default)]
pub struct RemoteSlot {
    state: Mutex<RemoteState>,
}

#[derive(Default)]
struct RemoteState {
    value: Option<u64>,
    waker: Option<Waker>,
}

impl RemoteSlot {
    /// Leaves a value and wakes whoever waits for it.
    pub fn put(&self, value: u64) {
        let mut state = self.state.lock().expect("nobody panics meanwhile");
        state.value = Some(value);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits for a value.
    pub fn take(self: &Arc<Self>) -> TakeRemote {
        TakeRemote(self.clone())
    }
}

/// The future of [`RemoteSlot::take`].
pub struct TakeRemote(Arc<RemoteSlot>);

impl Future for TakeRemote {
    type Output = u64;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
        let mut state = self.0.state.lock().expect("nobody panics meanwhile");
        match state.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Never ready; takes up `N` bytes.
pub struct Idle<const N: usize> {
    payload: [u8; N],
}

impl<const N: usize> Idle<N> {
    /// Counts its polls with [`idle_polls`].
    pub fn new() -> Self {
        Self { payload: [1; N] }
    }
}

impl<const N: usize> Default for Idle<N> {
    fn default() -> Self {
        Self::new()
    }
}

thread_local! {
    static IDLE_POLLS: Cell<u64> = const { Cell::new(0) };
}

/// How often [`Idle`] futures have been polled on this thread. Counted here and not through a
/// pointer, for which a future of no bytes has no place.
pub fn idle_polls() -> u64 {
    IDLE_POLLS.get()
}

impl<const N: usize> Future for Idle<N> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        std::hint::black_box(&self.payload);
        IDLE_POLLS.set(IDLE_POLLS.get() + 1);
        Poll::Pending
    }
}
