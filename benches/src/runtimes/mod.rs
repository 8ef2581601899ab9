//! What the workloads need from a runtime, and the runtimes that are measured.
//!
//! Each is used as its documentation recommends, with the cheapest of its own means: `JoinHandle`
//! of tokio is aborted, `Task` of async-task is cancelled by its `cancel` or by being dropped.

mod quell;
mod smol;
mod tokio;

pub use self::quell::Quell;
pub use self::smol::{AsyncExecutor, Smol};
pub use self::tokio::{TokioLocalRuntime, TokioLocalSet};

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// A single-threaded executor.
pub trait Runtime: 'static {
    /// How it is called in tables.
    const NAME: &'static str;

    /// A task that can be joined or cancelled.
    type Join<T: 'static>: 'static;
    /// A task that has been asked to stop.
    type Stopping<T: 'static>: 'static;

    /// A new one.
    fn new() -> Self;

    /// Runs `main` to its end.
    fn run<F: Future>(&self, main: F) -> F::Output;

    /// Makes a task. Called inside [`run`](Self::run) only.
    fn spawn<F>(&self, future: F) -> Self::Join<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static;

    /// Makes a task that nobody waits for.
    fn spawn_detached<F: Future<Output = ()> + 'static>(&self, future: F);

    /// Waits for a task that ends with a value.
    fn join<T: 'static>(task: Self::Join<T>) -> impl Future<Output = T>;

    /// Asks a task to stop, without waiting.
    fn request_cancel<T: 'static>(task: Self::Join<T>) -> Self::Stopping<T>;

    /// Waits for a task that was asked to stop. Answers whether it was cancelled.
    fn stopped<T: 'static>(task: Self::Stopping<T>) -> impl Future<Output = bool>;

    /// Asks a task to stop and waits for it. Answers whether it was cancelled.
    fn cancel_and_join<T: 'static>(task: Self::Join<T>) -> impl Future<Output = bool>;
}

/// A runtime with timers.
pub trait Timers: Runtime {
    /// Waits.
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static;

    /// Waits for `future`, for `duration` at most.
    fn timeout<F: Future + 'static>(
        duration: Duration,
        future: F,
    ) -> impl Future<Output = Option<F::Output>> + 'static;
}

/// A runtime with sockets.
pub trait Net: Runtime {
    /// A listening TCP socket.
    type Listener: 'static;
    /// A TCP connection.
    type Stream: 'static;

    /// Listens. Called inside [`run`](Runtime::run) only.
    fn bind(address: SocketAddr) -> io::Result<Self::Listener>;

    /// The address it listens on.
    fn local_addr(listener: &Self::Listener) -> io::Result<SocketAddr>;

    /// The next connection, with `TCP_NODELAY` set.
    fn accept(listener: &Self::Listener) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Reads what there is; zero at the end.
    fn read(
        stream: &mut Self::Stream,
        buffer: &mut [u8],
    ) -> impl Future<Output = io::Result<usize>>;

    /// Writes all of it.
    fn write_all(stream: &mut Self::Stream, bytes: &[u8]) -> impl Future<Output = io::Result<()>>;
}
