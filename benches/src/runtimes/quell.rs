//! The executor of this project.

use super::{Net, Runtime, Timers};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use quell::JoinHandle;
use quell::net::{TcpListener, TcpStream};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// `quell::Runtime`.
pub struct Quell(quell::Runtime);

impl Runtime for Quell {
    const NAME: &'static str = "quell";

    type Join<T: 'static> = JoinHandle<T>;
    type Stopping<T: 'static> = JoinHandle<T>;

    fn new() -> Self {
        Self(quell::Runtime::new().expect("a runtime"))
    }

    fn run<F: Future>(&self, main: F) -> F::Output {
        self.0.block_on(main)
    }

    fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        quell::spawn(future)
    }

    fn spawn_detached<F: Future<Output = ()> + 'static>(&self, future: F) {
        drop(quell::spawn(future));
    }

    async fn join<T: 'static>(task: JoinHandle<T>) -> T {
        task.await.expect("the task ends with a value")
    }

    fn request_cancel<T: 'static>(task: JoinHandle<T>) -> JoinHandle<T> {
        task.cancel();
        task
    }

    async fn stopped<T: 'static>(task: JoinHandle<T>) -> bool {
        task.await.is_err_and(|error| error.is_cancelled())
    }

    async fn cancel_and_join<T: 'static>(task: JoinHandle<T>) -> bool {
        task.cancel_and_join().await.is_err_and(|error| error.is_cancelled())
    }
}

impl Timers for Quell {
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        quell::time::sleep(duration)
    }

    async fn timeout<F: Future + 'static>(duration: Duration, future: F) -> Option<F::Output> {
        quell::time::timeout(duration, future).await.ok()
    }
}

impl Net for Quell {
    type Listener = TcpListener;
    type Stream = TcpStream;

    fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::bind(address)
    }

    fn local_addr(listener: &TcpListener) -> io::Result<SocketAddr> {
        listener.local_addr()
    }

    async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        stream.read(buffer).await
    }

    async fn write_all(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
        stream.write_all(bytes).await
    }
}
