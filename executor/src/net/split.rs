//! A stream as two halves, for two tasks.

use futures_io::{AsyncRead, AsyncWrite};
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The half of a stream that reads. Made by `into_split`.
///
/// [`as_ref`](AsRef::as_ref) gives the stream itself.
#[derive(Debug)]
pub struct OwnedReadHalf<S>(Rc<S>);

/// The half of a stream that writes. Made by `into_split`.
///
/// Dropping it shuts down writing, as [`close`](AsyncWrite::poll_close) does: the peer reads to the
/// end, and this side can go on reading. [`as_ref`](AsRef::as_ref) gives the stream itself.
#[derive(Debug)]
pub struct OwnedWriteHalf<S>
where
    for<'a> &'a S: AsyncWrite,
{
    stream: Rc<S>,
    close_on_drop: bool,
}

pub(super) fn split<S>(stream: S) -> (OwnedReadHalf<S>, OwnedWriteHalf<S>)
where
    for<'a> &'a S: AsyncWrite,
{
    let stream = Rc::new(stream);
    let write = OwnedWriteHalf { stream: stream.clone(), close_on_drop: true };
    (OwnedReadHalf(stream), write)
}

impl<S> OwnedReadHalf<S>
where
    for<'a> &'a S: AsyncWrite,
{
    /// Makes the stream whole again.
    ///
    /// # Errors
    ///
    /// Gives the halves back if they come from different streams.
    pub fn reunite(self, write: OwnedWriteHalf<S>) -> Result<S, ReuniteError<S>> {
        if !Rc::ptr_eq(&self.0, &write.stream) {
            return Err(ReuniteError(self, write));
        }
        write.forget();
        Ok(Rc::into_inner(self.0).expect("a stream has two halves"))
    }
}

impl<S> OwnedWriteHalf<S>
where
    for<'a> &'a S: AsyncWrite,
{
    /// Makes the stream whole again.
    ///
    /// # Errors
    ///
    /// Gives the halves back if they come from different streams.
    pub fn reunite(self, read: OwnedReadHalf<S>) -> Result<S, ReuniteError<S>> {
        read.reunite(self)
    }

    /// Drops it without shutting down writing. The stream is then closed by the end of the other
    /// half.
    pub fn forget(mut self) {
        self.close_on_drop = false;
    }
}

impl<S> Drop for OwnedWriteHalf<S>
where
    for<'a> &'a S: AsyncWrite,
{
    fn drop(&mut self) {
        if self.close_on_drop {
            // Closing a stream does not wait, and an error has nobody to go to.
            let mut cx = Context::from_waker(Waker::noop());
            let _ = Pin::new(&mut &*self.stream).poll_close(&mut cx);
        }
    }
}

impl<S> AsRef<S> for OwnedReadHalf<S> {
    fn as_ref(&self) -> &S {
        &self.0
    }
}

impl<S> AsRef<S> for OwnedWriteHalf<S>
where
    for<'a> &'a S: AsyncWrite,
{
    fn as_ref(&self) -> &S {
        &self.stream
    }
}

impl<S> AsyncRead for OwnedReadHalf<S>
where
    for<'a> &'a S: AsyncRead,
{
    forward_read!(|this| &*this.0);
}

impl<S> AsyncWrite for OwnedWriteHalf<S>
where
    for<'a> &'a S: AsyncWrite,
{
    forward_write!(|this| &*this.stream);
    forward_close!(|this| &*this.stream);
}

/// Two halves that do not belong together.
///
/// Holds them.
#[derive(Debug)]
pub struct ReuniteError<S>(pub OwnedReadHalf<S>, pub OwnedWriteHalf<S>)
where
    for<'a> &'a S: AsyncWrite;

impl<S> fmt::Display for ReuniteError<S>
where
    for<'a> &'a S: AsyncWrite,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves come from different streams")
    }
}

impl<S: fmt::Debug> std::error::Error for ReuniteError<S> where for<'a> &'a S: AsyncWrite {}
