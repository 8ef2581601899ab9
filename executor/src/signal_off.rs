//! Stands in for `signal.rs` when the feature `signal` is off: no signal is ever seen.

use quell_cancel::CancelHandle;
use std::future::Future;
use std::io;
use std::process::ExitCode;

/// A signal. There are none without the feature `signal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {}

impl Signal {
    pub(crate) fn exit_code(self) -> ExitCode {
        match self {}
    }
}

pub(crate) struct Watch;

impl Watch {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn first(&self) -> Option<Signal> {
        None
    }
}

pub(crate) async fn stop_on_signal<F: Future>(
    _watch: Option<&Watch>,
    _scope: &CancelHandle,
    main: F,
) -> F::Output {
    main.await
}
