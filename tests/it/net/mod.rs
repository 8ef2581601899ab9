//! Sockets, by situation. How tasks and the poller find each other is tested in `quell` itself.

mod lifetime;
mod tcp;
mod trouble;
mod udp;
#[cfg(unix)]
mod unix;

use futures::future::join;
use quell::net::{TcpListener, TcpStream};
use quell::{Builder, Runtime};
use std::net::SocketAddr;

/// A runtime on the real clock: the virtual one would run ahead of the operating system.
fn runtime() -> Runtime {
    Builder::new().signals(false).build().expect("needs nothing that can fail")
}

fn block_on<F: Future>(main: F) -> F::Output {
    runtime().block_on(main)
}

/// Any free port of this machine.
fn here() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// Nobody listens there: it belongs to a service that nobody has used for decades.
fn nobody() -> SocketAddr {
    ([127, 0, 0, 1], 1).into()
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(here()).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (client, accepted) = join(client, listener.accept()).await;
    (client.unwrap(), accepted.unwrap().0)
}
