//! Stands in for `reactor.rs` when the feature `net` is off: there are no sockets, and so this is
//! never made.

use crate::park::Unpark;
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub(crate) enum Reactor {}

impl Reactor {
    pub(crate) fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn wait(&self, _timeout: Option<Duration>) {
        match *self {}
    }

    pub(crate) fn unparker(&self) -> Arc<dyn Unpark> {
        match *self {}
    }
}
