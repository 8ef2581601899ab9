//! Connecting without blocking the thread.

use super::Async;
use crate::reactor::{AsSource, Reactor};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::io;

/// Begins to connect, and waits until that has succeeded or failed.
pub(super) async fn connect<T>(domain: Domain, address: &SockAddr) -> io::Result<Async<T>>
where
    T: From<Socket> + AsSource + 'static,
{
    // Where it cannot wait it must not begin.
    Reactor::current()?;
    let socket = Socket::new(domain, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let begun = socket.connect(address);
    // Registered after that: a socket that does not even try to connect counts as hung up.
    let io = Async::new_nonblocking(T::from(socket))?;
    match begun {
        Ok(()) => return Ok(io),
        Err(error) if in_progress(&error) => {}
        Err(error) => return Err(error),
    }
    loop {
        io.writable().await?;
        let socket = SockRef::from(io.get_ref());
        if let Some(error) = socket.take_error()? {
            return Err(error);
        }
        match socket.peer_addr() {
            Ok(_) => return Ok(io),
            // It was not the connection that woke us.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(unix)]
fn in_progress(error: &io::Error) -> bool {
    // An interrupted `connect` goes on by itself.
    let going_on = [rustix::io::Errno::INPROGRESS, rustix::io::Errno::INTR];
    going_on.map(|errno| Some(errno.raw_os_error())).contains(&error.raw_os_error())
}

#[cfg(windows)]
fn in_progress(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}
