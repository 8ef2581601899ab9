//! A flag and a waker, for systems whose signal handlers run on a thread of their own, such as
//! Windows: there a handler may take a lock.

use parking_lot::Mutex;
use signal_hook::{SigId, low_level};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

pub(super) struct Bell {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    rung: bool,
    waker: Option<Waker>,
}

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { state: Arc::default() })
    }

    /// Has the handler ring at each `signal`.
    pub(super) fn register(&self, signal: i32) -> io::Result<SigId> {
        let state = self.state.clone();
        let ring = move || {
            let waker = {
                let mut state = state.lock();
                state.rung = true;
                state.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        };
        // SAFETY: this file is compiled where handlers are ordinary functions on a thread that the
        // C runtime makes for them. They interrupt nobody, so that a lock cannot be held by the
        // code they interrupted.
        unsafe { low_level::register(signal, ring) }
    }

    /// Ready if it has rung since the last time.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if std::mem::take(&mut state.rung) {
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
