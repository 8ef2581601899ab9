//! smol: async-executor's `LocalExecutor`, and with it async-io for timers and sockets.

use super::{Net, Runtime, Timers};
use async_executor::{LocalExecutor, Task};
use async_io::{Async, Timer};
use futures_lite::{AsyncReadExt, AsyncWriteExt, FutureExt};
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// `LocalExecutor` alone, driven by the `block_on` of futures-lite: the faster of the two where
/// neither timers nor sockets are needed.
pub struct AsyncExecutor(LocalExecutor<'static>);

/// `LocalExecutor`, driven by the `block_on` of async-io.
pub struct Smol(LocalExecutor<'static>);

/// They differ in their `block_on`.
macro_rules! smol_runtime {
    ($runtime:ty, $name:literal, $block_on:path) => {
        impl Runtime for $runtime {
            const NAME: &'static str = $name;

            type Join<T: 'static> = Task<T>;
            /// Asking without waiting is done by dropping the task: there is nothing left to wait
            /// for, and no outcome.
            type Stopping<T: 'static> = ();

            fn new() -> Self {
                Self(LocalExecutor::new())
            }

            fn run<F: Future>(&self, main: F) -> F::Output {
                $block_on(self.0.run(main))
            }

            fn spawn<F>(&self, future: F) -> Task<F::Output>
            where
                F: Future + 'static,
                F::Output: 'static,
            {
                self.0.spawn(future)
            }

            fn spawn_detached<F: Future<Output = ()> + 'static>(&self, future: F) {
                self.0.spawn(future).detach();
            }

            async fn join<T: 'static>(task: Task<T>) -> T {
                task.await
            }

            fn request_cancel<T: 'static>(task: Task<T>) {
                drop(task);
            }

            async fn stopped<T: 'static>((): ()) -> bool {
                true
            }

            async fn cancel_and_join<T: 'static>(task: Task<T>) -> bool {
                task.cancel().await.is_none()
            }
        }
    };
}

smol_runtime!(AsyncExecutor, "async-executor", futures_lite::future::block_on);
smol_runtime!(Smol, "smol", async_io::block_on);

impl Timers for Smol {
    async fn sleep(duration: Duration) {
        Timer::after(duration).await;
    }

    /// As in the documentation of `Timer`.
    async fn timeout<F: Future + 'static>(duration: Duration, future: F) -> Option<F::Output> {
        let value = async { Some(future.await) };
        let elapsed = async {
            Timer::after(duration).await;
            None
        };
        value.or(elapsed).await
    }
}

impl Net for Smol {
    type Listener = Async<TcpListener>;
    type Stream = Async<TcpStream>;

    fn bind(address: SocketAddr) -> io::Result<Self::Listener> {
        Async::<TcpListener>::bind(address)
    }

    fn local_addr(listener: &Self::Listener) -> io::Result<SocketAddr> {
        listener.get_ref().local_addr()
    }

    async fn accept(listener: &Self::Listener) -> io::Result<Self::Stream> {
        let (stream, _) = listener.accept().await?;
        stream.get_ref().set_nodelay(true)?;
        Ok(stream)
    }

    async fn read(stream: &mut Self::Stream, buffer: &mut [u8]) -> io::Result<usize> {
        stream.read(buffer).await
    }

    async fn write_all(stream: &mut Self::Stream, bytes: &[u8]) -> io::Result<()> {
        stream.write_all(bytes).await
    }
}
