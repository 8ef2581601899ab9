//! What can be watched: file descriptors, or sockets on Windows.

#[cfg(unix)]
pub(crate) use std::os::fd::{AsFd as AsSource, BorrowedFd as BorrowedSource};
#[cfg(unix)]
use std::os::fd::{AsRawFd as _, RawFd as RawSource};
#[cfg(windows)]
use std::os::windows::io::{AsRawSocket as _, RawSocket as RawSource};
#[cfg(windows)]
pub(crate) use std::os::windows::io::{AsSocket as AsSource, BorrowedSocket as BorrowedSource};

use super::poller::Interest;
use super::readiness::Readiness;
use std::cell::Cell;
use std::io;

pub(crate) fn borrow(source: &impl AsSource) -> BorrowedSource<'_> {
    #[cfg(unix)]
    return source.as_fd();
    #[cfg(windows)]
    return source.as_socket();
}

fn raw(source: BorrowedSource<'_>) -> RawSource {
    #[cfg(unix)]
    return source.as_raw_fd();
    #[cfg(windows)]
    return source.as_raw_socket();
}

/// Something that is being watched.
pub(super) struct Source {
    raw: RawSource,
    /// The file descriptor was closed behind our back: its number belongs to somebody else now.
    lost: Cell<bool>,
    pub(super) read: Readiness,
    pub(super) write: Readiness,
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

impl Source {
    /// # Safety
    ///
    /// The file descriptor must stay open for as long as [`watched`](Self::watched) is called and
    /// its result is used.
    pub(super) unsafe fn new(source: BorrowedSource<'_>) -> Self {
        Self {
            raw: raw(source),
            lost: Cell::new(false),
            read: Readiness::default(),
            write: Readiness::default(),
        }
    }

    /// The name by which the poller calls it: the number of its file descriptor.
    pub(super) fn key(&self) -> usize {
        self.raw as usize
    }

    pub(super) fn readiness(&self, direction: Direction) -> &Readiness {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }

    /// What the poller is to watch, if it has to be told.
    pub(super) fn interest(&self) -> Interest {
        Interest { key: self.key(), read: self.read.is_armed(), write: self.write.is_armed() }
    }

    /// The number belongs to somebody else now, who must be left alone.
    pub(super) fn lose(&self) {
        self.lost.set(true);
    }

    /// The file descriptor, for the poller.
    ///
    /// # Errors
    ///
    /// If its number belongs to somebody else.
    pub(super) fn watched(&self) -> io::Result<BorrowedSource<'_>> {
        if self.lost.get() {
            return Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "the socket's file descriptor was closed by somebody else",
            ));
        }
        // SAFETY: it is open, as whoever called `new` has promised.
        Ok(unsafe { BorrowedSource::borrow_raw(self.raw) })
    }
}
