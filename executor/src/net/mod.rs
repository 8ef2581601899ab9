//! Sockets: TCP, UDP and Unix, and [`Async`] for everything else that can be waited for.
//!
//! The names and signatures are tokio's and async-net's as far as they fit. Streams implement
//! [`AsyncRead`] and [`AsyncWrite`] of the crate `futures-io`, by value and by shared reference, so
//! that the extension traits of `futures` and `futures-lite` work on them.
//!
//! ```
//! use futures::io::{AsyncReadExt, AsyncWriteExt};
//! use quell::net::{TcpListener, TcpStream};
//!
//! # quell::block_on(async {
//! let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
//! let address = listener.local_addr()?;
//! let server = quell::spawn(async move {
//!     let (stream, _) = listener.accept().await?;
//!     futures::io::copy(&stream, &mut &stream).await
//! });
//!
//! let mut client = TcpStream::connect(address).await?;
//! client.write_all(b"hello").await?;
//! client.close().await?;
//! let mut echo = String::new();
//! client.read_to_string(&mut echo).await?;
//! assert_eq!(echo, "hello");
//! assert_eq!(server.await.unwrap()?, 5);
//! # std::io::Result::Ok(())
//! # }).unwrap();
//! ```
//!
//! # Cancel safety
//!
//! Every operation is one system call, tried until it does not have to wait. A future that is
//! dropped before it is ready has therefore sent nothing, taken nothing and accepted nobody. What
//! is built of several operations, such as `read_exact` or `write_all`, may have done some of
//! them.
//!
//! # Errors
//!
//! Sockets are made inside a running runtime and belong to it: elsewhere they cannot be made, and
//! they cannot wait. Both are errors of kind [`Other`](std::io::ErrorKind::Other), never a panic. A
//! socket may outlive its runtime; then it can still be dropped and turned into its `std`
//! counterpart.
//!
//! Writing to a connection that the peer has closed is an error of kind
//! [`BrokenPipe`](std::io::ErrorKind::BrokenPipe) or
//! [`ConnectionReset`](std::io::ErrorKind::ConnectionReset). Rust programs ignore `SIGPIPE`, which
//! would end the process; a host in another language that embeds one must do so itself.
//!
//! # Names
//!
//! Addresses are [`SocketAddr`](std::net::SocketAddr): turning names into them blocks the thread
//! on all common systems. Do that on a thread of its own (the crate `blocking` makes it a future),
//! and give the result to [`TcpStream::connect_any`].

// First, for its macros.
#[macro_use]
mod socket;

#[expect(unsafe_code, reason = "vouches for the registered file descriptor")]
mod adapter;
mod connect;
mod split;
mod tcp;
mod udp;
#[cfg(unix)]
mod unix;

pub use adapter::Async;
pub use futures_io::{AsyncRead, AsyncWrite};
pub use split::{OwnedReadHalf, OwnedWriteHalf, ReuniteError};
pub use std::net::Shutdown;
pub use tcp::{TcpListener, TcpStream};
pub use udp::UdpSocket;
#[cfg(unix)]
pub use unix::{UnixDatagram, UnixListener, UnixStream};
