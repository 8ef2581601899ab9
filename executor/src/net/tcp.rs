//! TCP.

use super::socket::accept;
use super::{
    Async, AsyncRead, AsyncWrite, OwnedReadHalf, OwnedWriteHalf, Shutdown, connect, split,
};
use socket2::{Domain, SockAddr, SockRef, TcpKeepalive};
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::net::{self, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Listens for TCP connections.
///
/// ```
/// use quell::net::TcpListener;
///
/// async fn serve(listener: TcpListener) -> std::io::Result<()> {
///     loop {
///         let (stream, _) = listener.accept().await?;
///         // A task for each connection: it writes back what it reads.
///         drop(quell::spawn(async move { futures::io::copy(&stream, &mut &stream).await }));
///     }
/// }
/// ```
pub struct TcpListener(Async<net::TcpListener>);

impl_socket!(TcpListener, net::TcpListener);
impl_listener!(TcpListener, TcpStream, SocketAddr);

impl TcpListener {
    /// Listens at `address`. Port 0 lets the operating system choose one; see
    /// [`local_addr`](Self::local_addr).
    ///
    /// On Unix, an address at which connections of an earlier listener are still winding up can be
    /// used again at once (`SO_REUSEADDR`).
    ///
    /// # Errors
    ///
    /// If the address is in use or may not be used; if no runtime is running on this thread.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::from_std(net::TcpListener::bind(address)?)
    }

    forward_options! {
        |this| this.0.get_ref();

        /// How many routers a packet may pass, for the connections to come.
        fn ttl() -> u32;

        /// Sets how many routers a packet may pass, for the connections to come.
        fn set_ttl(ttl: u32) -> ();
    }
}

/// A TCP connection.
///
/// Dropping it closes both directions. What has been written is still sent, unless there was
/// something left to read: then the peer gets a reset.
///
/// If the kernel has been told to do more than TCP here (`TCP_ULP`, for kernel TLS), a read may end
/// where TCP's would not: use [`Async`] for that.
///
/// ```no_run
/// use futures::io::{AsyncReadExt, AsyncWriteExt};
/// use quell::net::TcpStream;
///
/// # async fn get() -> std::io::Result<()> {
/// let mut stream = TcpStream::connect("127.0.0.1:8080".parse().unwrap()).await?;
/// stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
/// let mut response = Vec::new();
/// stream.read_to_end(&mut response).await?;
/// # Ok(())
/// # }
/// ```
pub struct TcpStream(Async<net::TcpStream>);

impl_socket!(TcpStream, net::TcpStream);
impl_stream!(TcpStream, SocketAddr);

impl AsyncRead for &TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        (self.0).poll_tcp_read_with(cx, buffer.len(), |mut stream| stream.read(buffer))
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let size = buffers.iter().map(|buffer| buffer.len()).sum();
        (self.0).poll_tcp_read_with(cx, size, |mut stream| stream.read_vectored(buffers))
    }
}

impl TcpStream {
    /// Connects to `address`.
    ///
    /// # Errors
    ///
    /// What the operating system says, above all
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused); if no runtime is running on this
    /// thread. How long it tries is up to the operating system, too: see `quell::time::timeout`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the attempt.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let domain = Domain::for_address(address);
        let io = connect::connect(domain, &SockAddr::from(address)).await?;
        Ok(Self(io))
    }

    /// Connects to the first of `addresses` that answers. They are tried one after the other.
    ///
    /// # Errors
    ///
    /// The last one's, if none does; [`InvalidInput`](io::ErrorKind::InvalidInput) if there is none.
    ///
    /// # Cancel safety
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_any(addresses: &[SocketAddr]) -> io::Result<Self> {
        let mut outcome =
            Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no address to connect to"));
        for address in addresses {
            outcome = Self::connect(*address).await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// Reads without taking: the next read gets the same bytes.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_with(|stream| stream.peek(buffer)).await
    }

    forward_options! {
        |this| this.0.get_ref();

        /// Whether small packets are sent at once.
        fn nodelay() -> bool;

        /// Whether small packets are sent at once (`TCP_NODELAY`) or, as is usual, kept back for a
        /// moment while others are on their way, so that they can be sent together.
        fn set_nodelay(nodelay: bool) -> ();

        /// How many routers a packet may pass.
        fn ttl() -> u32;

        /// Sets how many routers a packet may pass.
        fn set_ttl(ttl: u32) -> ();
    }

    forward_options! {
        |this| SockRef::from(this.0.get_ref());

        /// How long closing waits for what has not been sent.
        fn linger() -> Option<Duration>;

        /// Sets how long closing waits for what has not been sent. Zero: it is thrown away, and the
        /// peer gets a reset. More than zero: dropping the stream **blocks the thread** so long.
        /// `None`, as is usual: it is sent in the background.
        fn set_linger(linger: Option<Duration>) -> ();

        /// Whether a silent connection is probed from time to time.
        fn keepalive() -> bool;
    }

    /// Has a connection that has been silent for so long probed from time to time, so that a peer
    /// that is gone becomes an error. `None`: never, as is usual.
    pub fn set_keepalive(&self, after: Option<Duration>) -> io::Result<()> {
        let socket = SockRef::from(self.0.get_ref());
        match after {
            Some(after) => socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(after)),
            None => socket.set_keepalive(false),
        }
    }

    forward_buffer_sizes!();
}
