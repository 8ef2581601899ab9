//! hyper on quell: everything hyper wants to know of a runtime.
//!
//! hyper does no I/O of its own. It asks for three things, by traits: a stream to read from and to
//! write to ([`Io`]), and a timer ([`QuellTimer`] with its [`QuellSleep`]). A task to run its
//! connections in it leaves to the caller.
//!
//! ```
//! use hyper::body::Bytes;
//! use hyper::service::service_fn;
//! use hyper::{Request, Response};
//! use http_body_util::{BodyExt, Empty, Full};
//! use quell::net::{TcpListener, TcpStream};
//! use quell_examples::hyper_rt::Io;
//!
//! # quell::block_on(async {
//! let listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
//! let address = listener.local_addr()?;
//! let server = quell::spawn(async move {
//!     let (stream, _) = listener.accept().await.unwrap();
//!     let hello = service_fn(|_| async {
//!         Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from("hello"))))
//!     });
//!     hyper::server::conn::http1::Builder::new().serve_connection(Io::new(stream), hello).await
//! });
//!
//! let stream = TcpStream::connect(address).await?;
//! let (mut sender, connection) = hyper::client::conn::http1::handshake(Io::new(stream)).await?;
//! let connection = quell::spawn(connection).join_forwarding();
//! let response = sender.send_request(Request::new(Empty::<Bytes>::new())).await?;
//! assert_eq!(response.into_body().collect().await?.to_bytes(), "hello");
//!
//! drop(sender);
//! connection.await??;
//! server.await??;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

use futures_lite::{AsyncRead, AsyncWrite};
use hyper::rt::ReadBufCursor;
use quell::time;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// A stream with the traits of `futures-io`, such as quell's sockets, as one with hyper's.
pub struct Io<S> {
    stream: S,
    buffer: Box<[u8]>,
}

impl<S> Io<S> {
    /// How much is read at once, at most.
    const BUFFER: usize = 16 * 1024;

    /// Gives `stream` hyper's traits.
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: vec![0; Self::BUFFER].into() }
    }
}

impl<S> fmt::Debug for Io<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io").finish_non_exhaustive()
    }
}

impl<S: AsyncRead + Unpin> hyper::rt::Read for Io<S> {
    // hyper's buffer is memory that nobody has written to yet, which `AsyncRead` cannot take, and
    // to vouch for what was written there takes unsafe code. The way round is a buffer of our own
    // and one copy, which costs little next to the system call.
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let room = this.buffer.len().min(into.remaining());
        let buffer = &mut this.buffer[..room];
        let read = ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        into.put_slice(&buffer[..read]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> hyper::rt::Write for Io<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    // Lets hyper write the head and the body of a message in one system call without copying them
    // together first.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// Sets hyper's timers on the runtime that is running, on whichever clock that has.
#[derive(Clone, Copy, Debug, Default)]
pub struct QuellTimer;

impl hyper::rt::Timer for QuellTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(QuellSleep(time::sleep(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(QuellSleep(time::sleep_until(deadline)))
    }

    fn now(&self) -> Instant {
        time::now()
    }

    // Moves the timer that is there, where the default makes a new one.
    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<QuellSleep>() {
            Some(sleep) => Pin::new(&mut sleep.get_mut().0).reset(deadline),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

/// quell's `Sleep` with hyper's trait, which demands `Send` and `Sync`.
#[derive(Debug)]
pub struct QuellSleep(time::Sleep);

impl Future for QuellSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl hyper::rt::Sleep for QuellSleep {}
