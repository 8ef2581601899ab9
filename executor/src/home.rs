//! What other threads can reach of an executor, and what outlives it.
//!
//! An executor is bound to its thread and dies some day; its wakers are neither. Everything they
//! need is in a **home**, which is never freed: an executor takes one from a pool when it is made
//! and gives it back when it ends. Memory for homes and slots is therefore bounded by the largest
//! number of executors and tasks that ever lived at the same time.

use crate::park::Unpark;
use crate::waker::Slot;
use crossbeam_queue::SegQueue;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) struct Home {
    queue: SegQueue<Message>,
    /// Whether the queue may hold something. Keeps the owner away from it while it is empty.
    news: AtomicBool,
    /// Whether the owner sleeps, or is about to, and wants to be woken.
    asleep: AtomicBool,
    /// Ends the owner's sleep. Locked for as long as it takes to clone or set the pointer.
    unparker: Mutex<Option<Arc<dyn Unpark>>>,
    /// What the next executor takes over from the last.
    estate: Mutex<Estate>,
}

/// What an executor leaves behind in its home.
#[derive(Default)]
pub(crate) struct Estate {
    /// The slots.
    pub(crate) pages: Vec<Page>,
    /// The serial number of the next timer.
    pub(crate) next_timer: u64,
}

/// Slots come in pages, so that each stays where it is while the table grows.
pub(crate) type Page = &'static [Slot; PAGE];
pub(crate) const PAGE: usize = 64;

/// Something another thread wants from the executor.
pub(crate) enum Message {
    Wake(&'static Slot),
    /// A timer was dropped on another thread.
    #[cfg(feature = "time")]
    DropTimer(crate::wheel::TimerKey),
    /// A timer was moved on another thread: whoever waits for it has to set it anew.
    #[cfg(feature = "time")]
    FireTimer(crate::wheel::TimerKey),
    /// Code to run on the executor's thread.
    Call(Box<dyn FnOnce(&crate::executor::Executor) + Send>),
}

static POOL: Mutex<Vec<&'static Home>> = Mutex::new(Vec::new());

impl Home {
    /// A home for a new executor.
    pub(crate) fn acquire() -> &'static Self {
        POOL.lock().pop().unwrap_or_else(|| {
            Box::leak(Box::new(Self {
                queue: SegQueue::new(),
                news: AtomicBool::new(false),
                asleep: AtomicBool::new(false),
                unparker: Mutex::new(None),
                estate: Mutex::default(),
            }))
        })
    }

    /// The executor has ended.
    pub(crate) fn release(&'static self, estate: Estate) {
        let unparker = self.unparker.lock().take();
        drop(unparker);
        *self.estate.lock() = estate;
        POOL.lock().push(self);
    }

    pub(crate) fn take_estate(&self) -> Estate {
        std::mem::take(&mut self.estate.lock())
    }

    /// A page of slots with the keys from `first` on. Never freed.
    pub(crate) fn new_page(&'static self, first: u32) -> Page {
        let page: Box<[Slot; PAGE]> =
            Box::new(std::array::from_fn(|i| Slot::new(self, first + i as u32)));
        Box::leak(page)
    }

    pub(crate) fn set_unparker(&self, unparker: Arc<dyn Unpark>) {
        let old = self.unparker.lock().replace(unparker);
        drop(old);
    }

    // ---- any thread ----

    /// Wakes the slot's task from any thread. Does not block.
    pub(crate) fn wake(&self, slot: &'static Slot) {
        if slot.enqueue_remote() {
            self.send(Message::Wake(slot));
        }
    }

    // A wake is not lost between the owner's last look at the queue and its sleep, because each
    // side writes its own flag before it reads the other's:
    //
    //     sender                            owner
    //     queue.push(message)               asleep = true
    //     if news { done }                  if news { asleep = false; do not sleep }
    //     news = true                       sleep
    //     if asleep { unpark }
    //
    // All of it is sequentially consistent, so that at least one of the two sees the other's flag.
    // A sender that finds `news` raised is done: the owner lowers it before it looks at the queue,
    // so it has not looked yet; and whoever raised it sees to it that the owner is awake.

    pub(crate) fn send(&self, message: Message) {
        self.push(message);
        self.ring();
    }

    /// The first half of `send`.
    pub(crate) fn push(&self, message: Message) {
        self.queue.push(message);
    }

    /// The second half.
    pub(crate) fn ring(&self) {
        // Most messages of a flood end here, without writing to memory that others read.
        if !self.news.load(Ordering::SeqCst) {
            self.news.store(true, Ordering::SeqCst);
            self.unpark_if_asleep();
        }
    }

    /// Tells the parker that there is something to do.
    pub(crate) fn unpark_if_asleep(&self) {
        // The load keeps the cache line shared while the owner is awake; of several senders the
        // swap lets one make the system call.
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            let unparker = self.unparker.lock().clone();
            if let Some(unparker) = unparker {
                unparker.unpark();
            }
        }
    }

    // ---- the owner ----

    /// Announces that the owner goes to sleep. `false` if it must not, because there is news.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let sleep = !self.news.load(Ordering::SeqCst);
        if !sleep {
            self.wake_up();
        }
        sleep
    }

    pub(crate) fn wake_up(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// The owner leaves its loop, with work undone perhaps: the parker is told at once of what is
    /// waiting, and of whatever comes later.
    pub(crate) fn leave(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        if self.news.load(Ordering::SeqCst) {
            self.unpark_if_asleep();
        }
    }

    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        self.news.load(Ordering::Relaxed)
    }

    /// What other threads have sent, up to what is there now: a flood of messages that arrive
    /// while these are worked on has to wait for the next look.
    pub(crate) fn messages(&self) -> impl Iterator<Item = Message> + '_ {
        // Lowered before the look: a message that comes after it raises the flag again.
        self.news.swap(false, Ordering::SeqCst);
        let count = self.queue.len();
        (0..count).map_while(|_| self.queue.pop())
    }
}
