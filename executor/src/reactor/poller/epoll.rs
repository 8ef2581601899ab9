//! Linux.
//!
//! The crate `polling` knows epoll, too, but makes five system calls to wait where this here makes
//! one: it sets a timer, has that watched anew, waits, empties its notifier and has that watched
//! anew. And it does not tell the end of a stream from its bytes, which costs a read in vain for
//! each message (see `Event::ending`). An echo server needs a fifth more processor time with it for
//! one connection at a time, and a tenth more for fifty.

use super::{Event, Interest, Mode, Poller};
use crate::park::Unpark;
use crate::reactor::BorrowedSource;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The key of the bell. Those of sources are the numbers of file descriptors.
const BELL: u64 = u64::MAX;

/// How many events are fetched at once. The rest stays first in line.
const CAPACITY: usize = 1024;

pub(super) struct Epoll {
    epoll: OwnedFd,
    bell: Arc<Bell>,
    fetched: RefCell<Vec<epoll::Event>>,
}

/// Wakes the thread that waits. Never read: each write is an edge.
struct Bell(OwnedFd);

impl Epoll {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, &bell, EventData::new_u64(BELL), flags)?;
        Ok(Self { epoll, bell: Arc::new(Bell(bell)), fetched: RefCell::default() })
    }

    /// `epoll_wait` counts in milliseconds, and must not sleep longer than it is told.
    fn fetch(&self, timeout: Option<Duration>) -> rustix::io::Result<usize> {
        // More than the system call takes. Returning early is allowed.
        const LONG: Duration = Duration::from_secs(86_400);
        let timespec = |timeout: Duration, nanos: u32| Timespec {
            tv_sec: timeout.as_secs() as _,
            tv_nsec: nanos.into(),
        };
        let mut timeout = timeout.map(|timeout| timeout.min(LONG));
        if let Some(short) = timeout.filter(|short| !short.is_zero() && short.as_millis() == 0) {
            let mut epoll = [PollFd::new(&self.epoll, PollFlags::IN)];
            poll(&mut epoll, Some(&timespec(short, short.subsec_nanos())))?;
            timeout = Some(Duration::ZERO);
        }
        let timeout = timeout.map(|timeout| timespec(timeout, timeout.subsec_millis() * 1_000_000));
        let mut fetched = self.fetched.borrow_mut();
        fetched.clear();
        fetched.reserve(CAPACITY);
        epoll::wait(&self.epoll, spare_capacity(&mut fetched), timeout.as_ref())
    }
}

/// Everything that can happen, each change once.
fn interest() -> EventFlags {
    EventFlags::IN | EventFlags::PRI | EventFlags::RDHUP | EventFlags::OUT | EventFlags::ET
}

impl Poller for Epoll {
    fn mode(&self) -> Mode {
        Mode::Edge
    }

    unsafe fn add(&self, source: BorrowedSource<'_>, key: usize) -> io::Result<()> {
        let data = EventData::new_u64(key as u64);
        Ok(epoll::add(&self.epoll, source, data, interest())?)
    }

    fn arm(&self, source: BorrowedSource<'_>, Interest { key, .. }: Interest) -> io::Result<()> {
        let data = EventData::new_u64(key as u64);
        Ok(epoll::modify(&self.epoll, source, data, interest())?)
    }

    fn remove(&self, source: BorrowedSource<'_>) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, source)?)
    }

    fn wait(&self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        match self.fetch(timeout) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let over = EventFlags::HUP | EventFlags::ERR;
        let ending = over | EventFlags::RDHUP | EventFlags::PRI;
        for event in &*self.fetched.borrow() {
            let flags = event.flags;
            events.push(Event {
                key: event.data.u64() as usize,
                read: flags.intersects(EventFlags::IN | ending),
                write: flags.intersects(EventFlags::OUT | over),
                ending: flags.intersects(ending),
            });
        }
        Ok(())
    }

    fn unparker(&self) -> Arc<dyn Unpark> {
        self.bell.clone()
    }
}

impl Unpark for Bell {
    fn unpark(&self) {
        // Fails only after 2^64 times.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}
