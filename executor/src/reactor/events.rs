//! Fetches events from the poller.

#[cfg_attr(
    not(all(any(target_os = "linux", target_os = "android"), not(polling_test_poll_backend))),
    path = "events/direct_off.rs"
)]
mod direct;

use crate::park::Unpark;
use direct::Direct;
use polling::{Event, Poller};
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Events {
    direct: Option<Direct>,
    poller: Arc<Poller>,
    list: polling::Events,
}

impl Events {
    pub(super) fn new(poller: Arc<Poller>, shortcut: bool) -> Self {
        Self {
            direct: if shortcut { Direct::new(&poller) } else { None },
            poller,
            list: polling::Events::new(),
        }
    }

    /// Waits for events, for `timeout` at most or until the unparker is used, and calls `each` with
    /// every one of them. May return early.
    pub(super) fn wait(
        &mut self,
        timeout: Option<Duration>,
        mut each: impl FnMut(Event),
    ) -> io::Result<()> {
        if let Some(direct) = &mut self.direct {
            if let Some(result) = direct.wait(timeout, &mut each) {
                return result;
            }
        }
        self.list.clear();
        // An interruption by a signal is no error: `Poller` goes on waiting by itself.
        self.poller.wait(&mut self.list, timeout)?;
        self.list.iter().for_each(each);
        Ok(())
    }

    pub(super) fn unparker(&self) -> Arc<dyn Unpark> {
        match &self.direct {
            Some(direct) => direct.unparker(),
            None => Arc::new(Notifier(self.poller.clone())),
        }
    }
}

struct Notifier(Arc<Poller>);

impl Unpark for Notifier {
    fn unpark(&self) {
        // It fails only where `Poller::wait` fails too, and then nobody sleeps for long.
        let _ = self.0.notify();
    }
}
