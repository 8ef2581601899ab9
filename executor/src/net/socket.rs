//! What several types of sockets have in common, written once.

use std::io;

/// `AsyncRead`, as something else has it: `forward_read!(|this| &this.0)`.
macro_rules! forward_read {
    (|$this:ident| $to:expr) => {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let $this = self;
            Pin::new(&mut $to).poll_read(cx, buffer)
        }

        fn poll_read_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffers: &mut [IoSliceMut<'_>],
        ) -> Poll<io::Result<usize>> {
            let $this = self;
            Pin::new(&mut $to).poll_read_vectored(cx, buffers)
        }
    };
}

/// The part of `AsyncWrite` that writes, as something else has it.
macro_rules! forward_write {
    (|$this:ident| $to:expr) => {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &[u8],
        ) -> Poll<io::Result<usize>> {
            let $this = self;
            Pin::new(&mut $to).poll_write(cx, buffer)
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffers: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let $this = self;
            Pin::new(&mut $to).poll_write_vectored(cx, buffers)
        }
    };
}

/// The rest of `AsyncWrite`, as something else has it.
macro_rules! forward_close {
    (|$this:ident| $to:expr) => {
        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            let $this = self;
            Pin::new(&mut $to).poll_flush(cx)
        }

        fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            let $this = self;
            Pin::new(&mut $to).poll_close(cx)
        }
    };
}

/// What all sockets have. The type is a tuple struct around `Async<$std>`.
macro_rules! impl_socket {
    ($socket:ident, $std:ty) => {
        impl $socket {
            /// Makes one of its counterpart in `std`, and sets that to non-blocking mode.
            ///
            /// # Errors
            ///
            /// If no runtime is running on this thread, or if the operating system refuses.
            pub fn from_std(socket: $std) -> io::Result<Self> {
                socket.set_nonblocking(true)?;
                Self::register(socket)
            }

            /// Gives its counterpart in `std` back, still in non-blocking mode: see
            #[doc = concat!("[`set_nonblocking`](", stringify!($std), "::set_nonblocking).")]
            pub fn into_std(self) -> $std {
                self.0.into_inner()
            }

            /// For a socket in non-blocking mode.
            fn register(socket: $std) -> io::Result<Self> {
                Ok(Self(Async::new_nonblocking(socket)?))
            }

            /// Waits until there is something to take, or an error is to be collected; see
            /// [`Async::readable`].
            ///
            /// # Errors
            ///
            /// If it has to wait elsewhere than in its runtime.
            ///
            /// # Cancel safety
            ///
            /// Nothing is lost.
            pub async fn readable(&self) -> io::Result<()> {
                self.0.readable().await
            }

            /// Waits until there is room to send, or an error is to be collected; see
            /// [`Async::writable`].
            ///
            /// # Errors
            ///
            /// If it has to wait elsewhere than in its runtime.
            ///
            /// # Cancel safety
            ///
            /// Nothing is lost.
            pub async fn writable(&self) -> io::Result<()> {
                self.0.writable().await
            }

            /// Takes the error that waits to be collected, `SO_ERROR`, if there is one.
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                self.0.get_ref().take_error()
            }
        }

        impl fmt::Debug for $socket {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.get_ref().fmt(f)
            }
        }

        /// Lets `socket2::SockRef` set the options that are not here.
        #[cfg(unix)]
        impl std::os::fd::AsFd for $socket {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.0.get_ref().as_fd()
            }
        }

        #[cfg(unix)]
        impl std::os::fd::AsRawFd for $socket {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                self.0.get_ref().as_raw_fd()
            }
        }

        /// Lets `socket2::SockRef` set the options that are not here.
        #[cfg(windows)]
        impl std::os::windows::io::AsSocket for $socket {
            fn as_socket(&self) -> std::os::windows::io::BorrowedSocket<'_> {
                self.0.get_ref().as_socket()
            }
        }

        #[cfg(windows)]
        impl std::os::windows::io::AsRawSocket for $socket {
            fn as_raw_socket(&self) -> std::os::windows::io::RawSocket {
                self.0.get_ref().as_raw_socket()
            }
        }
    };
}

/// What all listeners have.
macro_rules! impl_listener {
    ($listener:ident, $stream:ident, $address:ty) => {
        impl $listener {
            /// Waits for a connection, and takes it.
            ///
            /// Several tasks may wait here; each connection goes to one of them.
            ///
            /// # Errors
            ///
            /// What the operating system says, above all that there are too many open files. The
            /// connection is not lost by that: it waits in the listener's queue for the next
            /// `accept`. Wait a little before that.
            ///
            /// # Cancel safety
            ///
            /// No connection is lost.
            pub async fn accept(&self) -> io::Result<($stream, $address)> {
                let accepted = self.0.read_with(|listener| accept(|| listener.accept()));
                let (stream, address) = accepted.await?;
                Ok(($stream::from_std(stream)?, address))
            }

            /// [`accept`](Self::accept), for functions that poll; see
            /// [`Async::poll_read_with`].
            ///
            /// # Errors
            ///
            /// As [`accept`](Self::accept).
            pub fn poll_accept(
                &self,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<($stream, $address)>> {
                let accepted = (self.0).poll_read_with(cx, |listener| accept(|| listener.accept()));
                let (stream, address) = ready!(accepted)?;
                Poll::Ready(Ok(($stream::from_std(stream)?, address)))
            }

            /// Where it listens.
            pub fn local_addr(&self) -> io::Result<$address> {
                self.0.get_ref().local_addr()
            }
        }
    };
}

/// Calls `accept` once more if it reports a connection that ended while it was waiting: that is no
/// error of the listener. Go does the same.
pub(super) fn accept<R>(mut accept: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    loop {
        match accept() {
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            result => return result,
        }
    }
}

/// What all streams have.
macro_rules! impl_stream {
    ($stream:ident, $address:ty) => {
        impl $stream {
            /// Closes one direction, or both. Closing the one for writing tells the peer that
            /// nothing more will come, once it has read what came before.
            pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                self.0.get_ref().shutdown(how)
            }

            /// One half for reading and one for writing, for two tasks.
            ///
            /// Within one task no halves are needed: a shared reference can be read from and
            /// written to.
            pub fn into_split(self) -> (OwnedReadHalf<Self>, OwnedWriteHalf<Self>) {
                split::split(self)
            }

            /// Its own address.
            pub fn local_addr(&self) -> io::Result<$address> {
                self.0.get_ref().local_addr()
            }

            /// The address of the other end.
            pub fn peer_addr(&self) -> io::Result<$address> {
                self.0.get_ref().peer_addr()
            }
        }

        impl AsyncRead for $stream {
            forward_read!(|this| &*this);
        }

        impl AsyncWrite for &$stream {
            forward_write!(|this| &this.0);

            /// Does nothing: what has been written is on its way.
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            /// Shuts down writing. Does not wait. Does nothing if the connection has ended.
            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(match self.shutdown(Shutdown::Write) {
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
                    result => result,
                })
            }
        }

        impl AsyncWrite for $stream {
            forward_write!(|this| &*this);
            forward_close!(|this| &*this);
        }
    };
}

/// What all datagram sockets have.
macro_rules! impl_datagram {
    ($socket:ident) => {
        impl $socket {
            /// Sends one datagram to the peer that was given to [`connect`](Self::connect).
            ///
            /// # Cancel safety
            ///
            /// Dropped before it is ready, it has sent nothing.
            pub async fn send(&self, datagram: &[u8]) -> io::Result<usize> {
                self.0.write_with(|socket| socket.send(datagram)).await
            }

            /// Receives one datagram. What does not fit into the buffer is lost; on Windows that is
            /// an error.
            ///
            /// # Cancel safety
            ///
            /// No datagram is lost.
            pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0.read_with(|socket| socket.recv(buffer)).await
            }
        }
    };
}

/// Options and questions that something else answers at once, under the same names.
macro_rules! forward_options {
    (
        |$this:ident| $to:expr;
        $($(#[$attribute:meta])* fn $name:ident($($argument:ident: $type:ty),*) -> $output:ty;)*
    ) => {
        $(
            $(#[$attribute])*
            pub fn $name(&self, $($argument: $type),*) -> io::Result<$output> {
                let $this = self;
                $to.$name($($argument),*)
            }
        )*
    };
}

/// The sizes of the buffers in the operating system.
macro_rules! forward_buffer_sizes {
    () => {
        forward_options! {
            |this| SockRef::from(this.0.get_ref());

            /// The size of the operating system's buffer for sending.
            fn send_buffer_size() -> usize;

            /// Sets the size of the operating system's buffer for sending. It may round it; Linux
            /// doubles it.
            fn set_send_buffer_size(bytes: usize) -> ();

            /// The size of the operating system's buffer for what has been received.
            fn recv_buffer_size() -> usize;

            /// Sets the size of the operating system's buffer for what has been received. It may
            /// round it; Linux doubles it.
            fn set_recv_buffer_size(bytes: usize) -> ();
        }
    };
}
