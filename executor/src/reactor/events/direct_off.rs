//! Stands in for `direct.rs` where there is no epoll: the poller does all the waiting.

use crate::park::Unpark;
use polling::{Event, Poller};
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub(super) enum Direct {}

impl Direct {
    pub(super) fn new(_poller: &Arc<Poller>) -> Option<Self> {
        None
    }

    pub(super) fn wait(
        &mut self,
        _timeout: Option<Duration>,
        _each: &mut impl FnMut(Event),
    ) -> Option<io::Result<()>> {
        match *self {}
    }

    pub(super) fn unparker(&self) -> Arc<dyn Unpark> {
        match *self {}
    }
}
