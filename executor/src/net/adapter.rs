//! Makes an asynchronous thing of a non-blocking one.

use crate::reactor::{self, AsSource, Direction, Registration};
use futures_io::{AsyncRead, AsyncWrite};
use socket2::SockRef;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Waits for anything that the operating system can wait for: sockets of all kinds, pipes,
/// terminals, inotify, event and timer descriptors; on Windows, sockets. Regular files are always
/// ready and need a thread instead.
///
/// The types of this module are built on it. Use it for those that are not here:
///
/// ```
/// # #[cfg(unix)]
/// # quell::block_on(async {
/// use futures::io::{AsyncReadExt, AsyncWriteExt};
/// use quell::net::Async;
/// use std::os::unix::net::UnixStream;
///
/// let (a, b) = UnixStream::pair()?;
/// let (mut a, mut b) = (Async::new(a)?, Async::new(b)?);
/// a.write_all(b"ping").await?;
/// let mut buffer = [0; 4];
/// b.read_exact(&mut buffer).await?;
/// assert_eq!(&buffer, b"ping");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// It gives out shared references only: with an exclusive one, the value could be replaced by one
/// that is not registered. That is why it reads and writes through `&T`, as the types of `std` can.
pub struct Async<T> {
    // Declared before `io`: fields are dropped in this order.
    registration: Registration,
    // Invariant: no `&mut` to it is ever made, and it is dropped or given away after
    // `registration`.
    io: T,
}

impl<T: AsSource + 'static> Async<T> {
    /// Registers `io` with the runtime that is running on this thread, and sets it to non-blocking
    /// mode.
    ///
    /// # Errors
    ///
    /// If no runtime is running; if the same file descriptor is registered there already
    /// ([`AlreadyExists`](io::ErrorKind::AlreadyExists)); if the operating system cannot wait for it
    /// ([`PermissionDenied`](io::ErrorKind::PermissionDenied)) or has no memory for it.
    pub fn new(io: T) -> io::Result<Self> {
        SockRef::from(&io).set_nonblocking(true)?;
        Self::new_nonblocking(io)
    }

    /// Like [`new`](Self::new), for a value that is in non-blocking mode already. If it is not, its
    /// operations block the thread.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn new_nonblocking(io: T) -> io::Result<Self> {
        // SAFETY: the file descriptor stays open until the registration is dropped. `as_fd`
        // promises that for as long as `io` is borrowed, and it counts as borrowed all that time:
        // there is no `&mut` to it, moving it runs no code, and it is dropped or given away after
        // the registration. If this `Async` is leaked, so is `io`; being `'static`, it contains no
        // borrow that could end nevertheless.
        let registration = unsafe { Registration::new(reactor::borrow(&io))? };
        Ok(Self { registration, io })
    }
}

impl<T> Async<T> {
    /// The value inside.
    ///
    /// It is in non-blocking mode. Operations that are called on it directly do not wait.
    pub fn get_ref(&self) -> &T {
        &self.io
    }

    /// Gives the value back, no longer registered and still in non-blocking mode.
    pub fn into_inner(self) -> T {
        let Self { registration, io } = self;
        drop(registration);
        io
    }

    /// Waits until there is something to read, or the other end is closed, or an error is to be
    /// collected. Rarely, there is nothing all the same.
    ///
    /// # Errors
    ///
    /// If it has to wait elsewhere than in its runtime.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn readable(&self) -> io::Result<()> {
        self.registration.ready(Direction::Read).await
    }

    /// Waits until there is room to write, or the other end is closed, or an error is to be
    /// collected. Rarely, there is no room all the same.
    ///
    /// # Errors
    ///
    /// If it has to wait elsewhere than in its runtime.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn writable(&self) -> io::Result<()> {
        self.registration.ready(Direction::Write).await
    }

    /// Calls `operation`, and calls it again each time there may be something to read, for as long
    /// as it answers [`WouldBlock`](io::ErrorKind::WouldBlock).
    ///
    /// It must answer `WouldBlock` only if the system call for reading did: otherwise nothing may
    /// ever happen that is worth another call.
    ///
    /// ```no_run
    /// # async fn listen(socket: std::net::UdpSocket) -> std::io::Result<()> {
    /// let socket = quell::net::Async::new(socket)?;
    /// let mut buffer = [0; 1500];
    /// let (len, from) = socket.read_with(|socket| socket.recv_from(&mut buffer)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// What `operation` returns. If it has to wait elsewhere than in its runtime.
    ///
    /// # Cancel safety
    ///
    /// As soon as `operation` has succeeded this is ready. Dropped earlier, it has done nothing.
    pub async fn read_with<R>(
        &self,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration.run(Direction::Read, || operation(&self.io)).await
    }

    /// Calls `operation`, and calls it again each time there may be room to write, for as long as
    /// it answers [`WouldBlock`](io::ErrorKind::WouldBlock). Otherwise like
    /// [`read_with`](Self::read_with).
    ///
    /// # Errors
    ///
    /// As [`read_with`](Self::read_with).
    ///
    /// # Cancel safety
    ///
    /// As [`read_with`](Self::read_with).
    pub async fn write_with<R>(
        &self,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration.run(Direction::Write, || operation(&self.io)).await
    }

    /// [`read_with`](Self::read_with), for functions that poll.
    ///
    /// Nobody tells when the caller loses interest. Therefore no more than 16 tasks can wait here
    /// in peace: each further one wakes one of them, which then has to come back.
    ///
    /// # Errors
    ///
    /// As [`read_with`](Self::read_with).
    pub fn poll_read_with<R>(
        &self,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.registration.poll(Direction::Read, cx, || operation(&self.io))
    }

    /// [`write_with`](Self::write_with), for functions that poll; see
    /// [`poll_read_with`](Self::poll_read_with).
    ///
    /// # Errors
    ///
    /// As [`read_with`](Self::read_with).
    pub fn poll_write_with<R>(
        &self,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.registration.poll(Direction::Write, cx, || operation(&self.io))
    }

    /// [`poll_read_with`](Self::poll_read_with), for a TCP connection and a buffer of `size` bytes.
    pub(super) fn poll_tcp_read_with(
        &self,
        cx: &mut Context<'_>,
        size: usize,
        mut operation: impl FnMut(&T) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.registration.poll_tcp_read(cx, size, || operation(&self.io))
    }
}

impl<T: fmt::Debug> fmt::Debug for Async<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Async").field(&self.io).finish()
    }
}

impl<T> AsyncRead for &Async<T>
where
    for<'a> &'a T: Read,
{
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_read_with(cx, |mut io| io.read(buffer))
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_read_with(cx, |mut io| io.read_vectored(buffers))
    }
}

impl<T> AsyncWrite for &Async<T>
where
    for<'a> &'a T: Write,
{
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |mut io| io.write(buffer))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |mut io| io.write_vectored(buffers))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Most have nothing to flush, and need not wait for room to write.
        match (&self.io).flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.poll_write_with(cx, |mut io| io.flush())
            }
            result => Poll::Ready(result),
        }
    }

    /// Flushes. What is behind a file descriptor is closed when the value is dropped.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl<T> AsyncRead for Async<T>
where
    for<'a> &'a T: Read,
{
    forward_read!(|this| &*this);
}

impl<T> AsyncWrite for Async<T>
where
    for<'a> &'a T: Write,
{
    forward_write!(|this| &*this);
    forward_close!(|this| &*this);
}
