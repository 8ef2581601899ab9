//! An HTTP server that can be asked to stop: it finishes what it is serving, for a while.
//!
//! Each connection is a task. All of them are told to stop at once, by closing a channel that
//! nothing is ever sent through; those that do not finish in time are cancelled, and the server
//! waits until they are gone.

use crate::hyper_rt::{Io, QuellTimer};
use crate::static_files::StaticFiles;
use crate::text::{count, describe, say};
use async_channel::{Receiver, Sender};
use futures_lite::future::or;
use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use quell::net::{TcpListener, TcpStream};
use quell::time::{now, sleep};
use quell::{JoinHandle, spawn, yield_now};
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long to wait after an error such as "too many open files", which more attempts would only
/// repeat.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long not to report such an error again.
const REPORT_PAUSE: Duration = Duration::from_secs(60);

/// How long to wait for a request, from the moment when the connection has nothing else to do.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves files until it is told to stop.
///
/// Dropping it cancels all connections.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    connections: Connections,
    shared: Rc<Shared>,
    /// Closing it is the signal: the connections hold the receivers.
    stop: Sender<Infallible>,
    stopped: Receiver<Infallible>,
}

/// What the connections share.
#[derive(Debug)]
struct Shared {
    files: StaticFiles,
    log: bool,
    /// One clone for each response that has not been sent.
    in_flight: Rc<()>,
}

impl Server {
    /// Listens on `address`. With `log`, each request is a line on standard error.
    ///
    /// # Errors
    ///
    /// If the address is taken or not one of this machine's.
    pub fn bind(address: SocketAddr, files: StaticFiles, log: bool) -> io::Result<Self> {
        let (stop, stopped) = async_channel::bounded(1);
        Ok(Self {
            listener: TcpListener::bind(address)?,
            connections: Connections::default(),
            shared: Rc::new(Shared { files, log, in_flight: Rc::new(()) }),
            stop,
            stopped,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// If the operating system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// How many responses are being made or sent.
    pub fn in_flight(&self) -> usize {
        Rc::strong_count(&self.shared.in_flight) - 1
    }

    /// Serves until `stop` is ready, and hands on what it yields. Connections stay open after that.
    ///
    /// # Cancel safety
    ///
    /// No connection is lost.
    pub async fn serve_until<S>(&mut self, stop: impl Future<Output = S>) -> S {
        or(stop, async { match self.serve().await {} }).await
    }

    async fn serve(&mut self) -> Infallible {
        let mut reported: Option<Instant> = None;
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let (shared, stopped) = (self.shared.clone(), self.stopped.clone());
                    self.connections.push(spawn(connection(stream, peer, shared, stopped)));
                }
                Err(error) => {
                    if reported.is_none_or(|then| now() - then > REPORT_PAUSE) {
                        reported = Some(now());
                        let why = describe(&error);
                        say(format_args!("cannot accept connections: {why}; trying again"));
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Accepts nothing more, closes connections that are idle, and lets the others finish the
    /// response they are sending. When `patience` is ready, those that have not are cut off.
    pub async fn drain(self, patience: impl Future<Output = ()>) -> Drained {
        let busy = self.in_flight();
        let Self { listener, mut connections, stop, .. } = self;
        drop((listener, stop));
        connections.reap();
        let open = connections.0.len();
        // The idle ones get their turn to close before `patience` is asked for the first time.
        yield_now().await;
        or(connections.join_all(), patience).await;

        connections.reap();
        let cut = connections.0.len();
        connections.cancel_all();
        connections.join_all().await;
        Drained {
            idle: open.saturating_sub(busy.max(cut)),
            finished: open.min(busy).saturating_sub(cut),
            cut,
        }
    }
}

/// What became of the connections of a server that was drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// They were idle, and were closed at once.
    pub idle: usize,
    /// They finished what they were sending.
    pub finished: usize,
    /// They did not, and were cancelled.
    pub cut: usize,
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests = count(self.finished, "request");
        let idle = count(self.idle, "idle connection");
        write!(f, "{requests} finished, {} cut off, {idle} closed", self.cut)
    }
}

/// One connection, until the client closes it, or until the server stops and the response that is
/// being sent has been sent.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    shared: Rc<Shared>,
    stopped: Receiver<Infallible>,
) {
    let service = service_fn(|request| {
        let shared = shared.clone();
        async move {
            let in_flight = shared.in_flight.clone();
            let response = shared.files.answer(&request).await;
            if shared.log {
                let (method, path) = (request.method(), request.uri().path());
                say(format_args!("{method} {path} {}", response.status().as_u16()));
            }
            // Lives as long as the body.
            let counted = response.map(|body| {
                body.map_frame(move |frame| {
                    let _in_flight = &in_flight;
                    frame
                })
            });
            Ok::<_, Infallible>(counted)
        }
    });
    let http = http1::Builder::new()
        .timer(QuellTimer)
        .header_read_timeout(REQUEST_TIMEOUT)
        .serve_connection(Io::new(stream), service);
    let mut http = pin!(http);

    let closed = async { Some(http.as_mut().await) };
    let asked_to_stop = async {
        let _ = stopped.recv().await;
        None
    };
    let result = match or(closed, asked_to_stop).await {
        Some(result) => result,
        None => {
            http.as_mut().graceful_shutdown();
            http.await
        }
    };
    if let (Err(error), true) = (result, shared.log) {
        say(format_args!("{peer}: {}", describe(&error)));
    }
}

/// The tasks of the connections that are open. Dropping it cancels them.
#[derive(Debug, Default)]
struct Connections(Vec<JoinHandle<()>>);

impl Connections {
    fn push(&mut self, connection: JoinHandle<()>) {
        // Reaped when the table is full, and at most half full afterwards: a constant cost for each
        // connection, however many are open.
        if self.0.len() == self.0.capacity() {
            self.reap();
            self.0.reserve(self.0.len() + 1);
        }
        self.0.push(connection);
    }

    fn reap(&mut self) {
        self.0.retain(|connection| !connection.is_finished());
    }

    fn cancel_all(&self) {
        for connection in &self.0 {
            connection.cancel();
        }
    }

    async fn join_all(&mut self) {
        while let Some(last) = self.0.last_mut() {
            // A panic has been reported, and the other connections do not care.
            let _ = last.await;
            self.0.pop();
        }
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.cancel_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::{AsyncReadExt, AsyncWriteExt};
    use std::future::pending;
    use std::net::Ipv4Addr;

    #[test]
    fn a_request_that_does_not_come_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let files = StaticFiles::new(folder.path(), Vec::new()).unwrap();
        // On the virtual clock the wait takes no time, and takes exactly as long as it should.
        let runtime = quell::Builder::new().virtual_time().build().unwrap();
        runtime.block_on(async {
            let mut server = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), files, false).unwrap();
            let address = server.local_addr().unwrap();
            let server = spawn(async move { server.serve_until(pending::<()>()).await });
            let began = now();
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            assert_eq!(now() - began, REQUEST_TIMEOUT);
            assert_eq!(answer, b"");
            server.cancel_and_join().await.unwrap_err();
        });
    }
}
