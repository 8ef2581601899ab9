//! Whether one direction of a socket is ready, and who waits for it.

use slab::Slab;
use std::cell::{Cell, RefCell};
use std::io;
use std::mem;
use std::task::Waker;

/// How many wakers are kept for functions that poll, such as `AsyncRead::poll_read`. Nobody tells
/// when the one who called them has lost interest. One more, and the oldest is woken and
/// forgotten; if it was still interested it comes back.
const MAX_POLLERS: usize = 16;

#[derive(Default)]
pub(super) struct Readiness {
    /// A system call has said `WouldBlock`, or we know that it would, and there has been no event
    /// since.
    drained: Cell<bool>,
    /// An event has announced that there will be something other than bytes.
    ending: Cell<bool>,
    /// The poller will report it, once it is ready or at once if it is. Not so after an event: see
    /// `Reactor::arm`.
    armed: Cell<bool>,
    // Never borrowed while a waker is cloned, woken or dropped: that may be foreign code, and come
    // back here.
    waiters: RefCell<Waiters>,
}

#[derive(Default)]
struct Waiters {
    /// Those who called a function that polls. Each task once.
    pollers: Vec<Waker>,
    /// Those whose futures take their entry with them when they are dropped.
    futures: Slab<Entry>,
}

enum Entry {
    Waiting(Waker),
    Woken,
}

impl Readiness {
    pub(super) fn maybe_ready(&self) -> bool {
        !self.drained.get()
    }

    pub(super) fn is_armed(&self) -> bool {
        self.armed.get()
    }

    pub(super) fn arm(&self) {
        self.armed.set(true);
    }

    pub(super) fn disarm(&self) {
        self.armed.set(false);
    }

    /// Tries `io` unless it is known to block. `None` if it would.
    pub(super) fn attempt<R>(
        &self,
        mut io: impl FnMut() -> io::Result<R>,
    ) -> Option<io::Result<R>> {
        while self.maybe_ready() {
            match io() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.drained.set(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Some(result),
            }
        }
        None
    }

    /// There will be something other than bytes.
    pub(super) fn set_ending(&self) {
        self.ending.set(true);
    }

    /// All bytes have been taken that were there.
    pub(super) fn exhaust(&self) {
        if !self.ending.get() {
            self.drained.set(true);
        }
    }

    /// The poller says that it is ready: everybody who waits is to try.
    ///
    /// Everybody, and not only the first: that one may lose interest before it has its turn.
    pub(super) fn fire(&self, batch: &mut Vec<Waker>) {
        self.drained.set(false);
        self.disarm();
        let mut waiters = self.waiters.borrow_mut();
        batch.append(&mut waiters.pollers);
        for (_, entry) in &mut waiters.futures {
            if let Entry::Waiting(waker) = mem::replace(entry, Entry::Woken) {
                batch.push(waker);
            }
        }
    }

    /// It will never be ready again, and nobody must try: everybody who waits is to find out.
    pub(super) fn give_up(&self, batch: &mut Vec<Waker>) {
        self.fire(batch);
        self.drained.set(true);
    }

    /// Whether somebody waits.
    pub(super) fn is_awaited(&self) -> bool {
        let waiters = self.waiters.borrow();
        let waits = |(_, entry): (_, &Entry)| matches!(entry, Entry::Waiting(_));
        !waiters.pollers.is_empty() || waiters.futures.iter().any(waits)
    }

    pub(super) fn add_poller(&self, waker: &Waker) {
        let known = |known: &Waker| known.will_wake(waker);
        if self.waiters.borrow().pollers.iter().any(known) {
            return;
        }
        let waker = waker.clone();
        let mut waiters = self.waiters.borrow_mut();
        let oldest = (waiters.pollers.len() == MAX_POLLERS).then(|| waiters.pollers.remove(0));
        waiters.pollers.push(waker);
        drop(waiters);
        if let Some(oldest) = oldest {
            crate::task::contain(|| oldest.wake());
        }
    }

    /// Enters a future, or its new waker.
    pub(super) fn wait(&self, key: &mut Option<usize>, waker: &Waker) {
        let entry = Entry::Waiting(waker.clone());
        let mut waiters = self.waiters.borrow_mut();
        let old = match *key {
            Some(key) => Some(mem::replace(&mut waiters.futures[key], entry)),
            None => {
                *key = Some(waiters.futures.insert(entry));
                None
            }
        };
        drop(waiters);
        drop(old);
    }

    /// Whether there has been an event since the future's last `wait`.
    pub(super) fn is_woken(&self, key: usize) -> bool {
        matches!(self.waiters.borrow().futures[key], Entry::Woken)
    }

    /// The future waits no longer.
    pub(super) fn forget(&self, key: usize) {
        let entry = self.waiters.borrow_mut().futures.remove(key);
        drop(entry);
    }

    /// Those who poll, and the futures.
    #[cfg(test)]
    pub(super) fn count_waiters(&self) -> (usize, usize) {
        let waiters = self.waiters.borrow();
        (waiters.pollers.len(), waiters.futures.len())
    }
}
