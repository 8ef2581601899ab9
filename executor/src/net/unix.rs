//! Unix sockets.

use super::socket::accept;
use super::{
    Async, AsyncRead, AsyncWrite, OwnedReadHalf, OwnedWriteHalf, Shutdown, connect, split,
};
use socket2::{Domain, SockAddr, SockRef};
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Listens for connections at a path.
///
/// Dropping it leaves the file there, and a second `bind` finds the address in use: remove it.
pub struct UnixListener(Async<net::UnixListener>);

impl_socket!(UnixListener, net::UnixListener);
impl_listener!(UnixListener, UnixStream, SocketAddr);

impl UnixListener {
    /// Listens at `path`.
    ///
    /// # Errors
    ///
    /// If there is a file; if no runtime is running on this thread.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::from_std(net::UnixListener::bind(path)?)
    }
}

/// A connection between two processes of one machine, or within one.
///
/// ```
/// use futures::io::{AsyncReadExt, AsyncWriteExt};
/// use quell::net::UnixStream;
///
/// # quell::block_on(async {
/// let (mut a, mut b) = UnixStream::pair()?;
/// a.write_all(b"hello").await?;
/// drop(a);
/// let mut text = String::new();
/// b.read_to_string(&mut text).await?;
/// assert_eq!(text, "hello");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub struct UnixStream(Async<net::UnixStream>);

impl_socket!(UnixStream, net::UnixStream);
impl_stream!(UnixStream, SocketAddr);

impl AsyncRead for &UnixStream {
    forward_read!(|this| &this.0);
}

impl UnixStream {
    /// Connects to the listener at `path`.
    ///
    /// # Errors
    ///
    /// What the operating system says. [`WouldBlock`](io::ErrorKind::WouldBlock) means that the
    /// listener's queue is full (Linux; elsewhere that counts as refused). Nobody tells when it is
    /// no longer: try again later.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the attempt.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        let address = SockAddr::unix(path)?;
        let connected = connect::connect(Domain::UNIX, &address).await;
        connected.map(Self).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::Error::new(
                error.kind(),
                "the listener's queue of connections is full: try again later",
            ),
            _ => error,
        })
    }

    /// Two that are connected to each other.
    ///
    /// # Errors
    ///
    /// If no runtime is running on this thread, or the operating system refuses.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = net::UnixStream::pair()?;
        Ok((Self::from_std(a)?, Self::from_std(b)?))
    }

    forward_buffer_sizes!();
}

/// Sends and receives datagrams between the processes of one machine.
///
/// Nothing is lost on the way: a sender whose peer does not keep up has to wait.
pub struct UnixDatagram(Async<net::UnixDatagram>);

impl_socket!(UnixDatagram, net::UnixDatagram);
impl_datagram!(UnixDatagram);

impl UnixDatagram {
    /// A socket at `path`.
    ///
    /// # Errors
    ///
    /// If there is a file; if no runtime is running on this thread.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::from_std(net::UnixDatagram::bind(path)?)
    }

    /// A socket without an address: it can send, and nobody can answer.
    ///
    /// # Errors
    ///
    /// If no runtime is running on this thread, or the operating system refuses.
    pub fn unbound() -> io::Result<Self> {
        Self::from_std(net::UnixDatagram::unbound()?)
    }

    /// Two that are connected to each other.
    ///
    /// # Errors
    ///
    /// If no runtime is running on this thread, or the operating system refuses.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = net::UnixDatagram::pair()?;
        Ok((Self::from_std(a)?, Self::from_std(b)?))
    }

    /// Fixes the peer to which [`send`](Self::send) sends.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.0.get_ref().connect(path)
    }

    /// Receives one datagram, and tells who sent it. What does not fit into the buffer is lost.
    ///
    /// # Cancel safety
    ///
    /// No datagram is lost.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.read_with(|socket| socket.recv_from(buffer)).await
    }

    forward_options! {
        |this| this.0.get_ref();

        /// Its own address.
        fn local_addr() -> SocketAddr;

        /// The address that was given to [`connect`](Self::connect).
        fn peer_addr() -> SocketAddr;

        /// Closes one direction, or both.
        fn shutdown(how: Shutdown) -> ();
    }

    forward_buffer_sizes!();
}
