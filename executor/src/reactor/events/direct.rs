//! Linux: fetches events with one system call.
//!
//! `Poller::wait` makes five. It sets a timer, has that watched anew, waits, reads its notifier and
//! has that watched anew. This here waits on the poller's epoll descriptor itself; its own notifier
//! is watched for edges and never read; and timeouts of less than a millisecond, which `epoll_wait`
//! does not know, are left to the poller.
//!
//! That the poller hands keys to epoll as they are is nothing it promises. Therefore `new` looks.

use crate::park::Unpark;
use polling::{Event, PollMode, Poller};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Errno;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The notifier's key. The others are the numbers of file descriptors.
const BELL: usize = usize::MAX - 1;

/// How many events are fetched at once. The rest stays first in line.
const CAPACITY: usize = 1024;

pub(super) struct Direct {
    poller: Arc<Poller>,
    bell: Arc<Bell>,
    list: Vec<epoll::Event>,
}

/// Each write is an edge, whether or not the last one has been read.
struct Bell(OwnedFd);

impl Direct {
    /// `None` if it does not work here.
    pub(super) fn new(poller: &Arc<Poller>) -> Option<Self> {
        let bell = Bell(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?);
        // SAFETY: `Drop` deletes it from the poller, and the bell is open until then at least.
        let added = unsafe {
            poller.add_with_mode(bell.0.as_raw_fd(), Event::readable(BELL), PollMode::Edge)
        };
        added.ok()?;
        let mut direct = Self {
            poller: poller.clone(),
            bell: Arc::new(bell),
            list: Vec::with_capacity(CAPACITY),
        };
        direct.bell.unpark();
        direct.fetch(Some(Duration::ZERO)).ok()?;
        let keys = direct.list.iter().map(|event| event.data.u64());
        keys.eq([BELL as u64]).then_some(direct)
    }

    /// `None` if the poller has to wait so short a time.
    pub(super) fn wait(
        &mut self,
        timeout: Option<Duration>,
        each: &mut impl FnMut(Event),
    ) -> Option<io::Result<()>> {
        if timeout.is_some_and(|timeout| !timeout.is_zero() && timeout.as_millis() == 0) {
            return None;
        }
        let fetched = self.fetch(timeout);
        if fetched.is_ok() {
            for event in &self.list {
                let (flags, key) = (event.flags, event.data.u64() as usize);
                let read = EventFlags::IN | EventFlags::PRI | EventFlags::HUP | EventFlags::ERR;
                let write = EventFlags::OUT | EventFlags::HUP | EventFlags::ERR;
                each(Event::new(key, flags.intersects(read), flags.intersects(write)));
            }
        }
        Some(fetched)
    }

    /// Fills the list. Waits for whole milliseconds, so that it may return early.
    fn fetch(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        // Longer than that is more than the system call takes; returning early is allowed.
        const LONG: Duration = Duration::from_secs(86_400);
        let timeout = timeout.map(|timeout| timeout.min(LONG)).map(|timeout| Timespec {
            tv_sec: timeout.as_secs() as _,
            tv_nsec: (timeout.subsec_millis() * 1_000_000).into(),
        });
        self.list.clear();
        match epoll::wait(&*self.poller, spare_capacity(&mut self.list), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn unparker(&self) -> Arc<dyn Unpark> {
        self.bell.clone()
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        let _ = self.poller.delete(&self.bell.0);
    }
}

impl Unpark for Bell {
    fn unpark(&self) {
        // Fails only when it has been rung 2^64 times.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}
