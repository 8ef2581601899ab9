//! Helpers of the tests: futures that count, and runtimes that do not depend on real time.

use quell::{Builder, Runtime};
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A runtime with a virtual clock and without signals: what most tests run on.
pub fn runtime() -> Runtime {
    Builder::new()
        .virtual_time()
        .signals(false)
        .build()
        .expect("needs nothing that can fail")
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
        let probe = Self {
            polls: polls.clone(),
            ready_at: usize::MAX,
            _dropped: drops.on_drop(),
        };
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
