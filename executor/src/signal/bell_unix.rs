//! A pipe that the signal handler writes to and the reactor watches.

use crate::net::UnixStream;
use futures_io::AsyncRead;
use signal_hook::{SigId, low_level};
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::Pin;
use std::task::{Context, Poll};

pub(super) struct Bell {
    receiver: UnixStream,
    sender: StdUnixStream,
}

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        let (receiver, sender) = StdUnixStream::pair()?;
        Ok(Self { receiver: UnixStream::from_std(receiver)?, sender })
    }

    /// Has the handler ring at each `signal`.
    pub(super) fn register(&self, signal: i32) -> io::Result<SigId> {
        low_level::pipe::register(signal, self.sender.try_clone()?)
    }

    /// Ready if it has rung since the last time.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut rung = false;
        let mut buffer = [0; 64];
        // Until there is nothing left, so that the next ring makes the pipe readable anew.
        while let Poll::Ready(read) = Pin::new(&mut self.receiver).poll_read(cx, &mut buffer) {
            rung = true;
            if !matches!(read, Ok(1..)) {
                // The other end is ours, so that neither end nor error of the pipe can be.
                break;
            }
        }
        if rung { Poll::Ready(()) } else { Poll::Pending }
    }
}
