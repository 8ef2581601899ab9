//! kqueue, event ports, IOCP, poll(2): whatever the operating system has, through the crate
//! `polling`.

use super::{Event, Interest, Mode};
use crate::park::Unpark;
use crate::reactor::BorrowedSource;
use polling::{AsRawSource, Events, PollMode, Poller};
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub(in crate::reactor) struct Portable {
    poller: Arc<Poller>,
    mode: Mode,
    events: RefCell<Events>,
}

impl Portable {
    /// Edge mode is a wish: not every operating system has it.
    pub(in crate::reactor) fn new(mode: Mode) -> io::Result<Self> {
        let poller = Poller::new()?;
        Ok(Self {
            mode: if poller.supports_edge() { mode } else { Mode::Oneshot },
            poller: Arc::new(poller),
            events: RefCell::new(Events::new()),
        })
    }

    fn poll_mode(&self) -> PollMode {
        match self.mode {
            Mode::Edge => PollMode::Edge,
            Mode::Oneshot => PollMode::Oneshot,
        }
    }
}

impl super::Poller for Portable {
    fn mode(&self) -> Mode {
        self.mode
    }

    unsafe fn add(&self, source: BorrowedSource<'_>, key: usize) -> io::Result<()> {
        let armed = self.mode == Mode::Edge;
        let interest = polling::Event::new(key, armed, armed);
        let raw = AsRawSource::raw(&&source);
        // SAFETY: it stays open until it is removed, says the caller.
        unsafe { self.poller.add_with_mode(raw, interest, self.poll_mode()) }
    }

    fn arm(&self, source: BorrowedSource<'_>, interest: Interest) -> io::Result<()> {
        let interest = match self.mode {
            Mode::Edge => polling::Event::all(interest.key),
            Mode::Oneshot => polling::Event::new(interest.key, interest.read, interest.write),
        };
        self.poller.modify_with_mode(source, interest, self.poll_mode())
    }

    fn remove(&self, source: BorrowedSource<'_>) -> io::Result<()> {
        self.poller.delete(source)
    }

    fn wait(&self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        let mut list = self.events.borrow_mut();
        list.clear();
        // An interruption by a signal is no error: it goes on waiting by itself.
        self.poller.wait(&mut list, timeout)?;
        events.extend(list.iter().map(|event| Event {
            key: event.key,
            read: event.readable,
            write: event.writable,
            ending: true,
        }));
        Ok(())
    }

    fn unparker(&self) -> Arc<dyn Unpark> {
        Arc::new(Notifier(self.poller.clone()))
    }
}

struct Notifier(Arc<Poller>);

impl Unpark for Notifier {
    fn unpark(&self) {
        // It fails only where `Poller::wait` fails too, and then nobody sleeps for long.
        let _ = self.0.notify();
    }
}
