//! tokio's current-thread scheduler, in its two forms for futures that are not `Send`.

use super::{Net, Runtime, Timers};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::task::{JoinHandle, LocalSet};

/// A `LocalSet` on a current-thread runtime.
pub struct TokioLocalSet {
    runtime: tokio::runtime::Runtime,
    local: LocalSet,
}

impl TokioLocalSet {
    fn build() -> Self {
        Self { runtime: builder().build().expect("a runtime"), local: LocalSet::new() }
    }

    fn block_on<F: Future>(&self, main: F) -> F::Output {
        self.local.block_on(&self.runtime, main)
    }
}

/// `LocalRuntime`, its designated successor.
pub struct TokioLocalRuntime(LocalRuntime);

impl TokioLocalRuntime {
    fn build() -> Self {
        let runtime = builder().build_local(LocalOptions::default());
        Self(runtime.expect("a runtime"))
    }

    fn block_on<F: Future>(&self, main: F) -> F::Output {
        self.0.block_on(main)
    }
}

/// As `#[tokio::main]` builds it.
fn builder() -> Builder {
    let mut builder = Builder::new_current_thread();
    builder.enable_all();
    builder
}

/// Both have the same tasks, timers and sockets.
macro_rules! tokio_runtime {
    ($runtime:ty, $name:literal) => {
        impl Runtime for $runtime {
            const NAME: &'static str = $name;

            type Join<T: 'static> = JoinHandle<T>;
            type Stopping<T: 'static> = JoinHandle<T>;

            fn new() -> Self {
                Self::build()
            }

            fn run<F: Future>(&self, main: F) -> F::Output {
                self.block_on(main)
            }

            fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
            where
                F: Future + 'static,
                F::Output: 'static,
            {
                tokio::task::spawn_local(future)
            }

            fn spawn_detached<F: Future<Output = ()> + 'static>(&self, future: F) {
                drop(tokio::task::spawn_local(future));
            }

            async fn join<T: 'static>(task: JoinHandle<T>) -> T {
                task.await.expect("the task ends with a value")
            }

            fn request_cancel<T: 'static>(task: JoinHandle<T>) -> JoinHandle<T> {
                task.abort();
                task
            }

            async fn stopped<T: 'static>(task: JoinHandle<T>) -> bool {
                task.await.is_err_and(|error| error.is_cancelled())
            }

            async fn cancel_and_join<T: 'static>(task: JoinHandle<T>) -> bool {
                Self::stopped(Self::request_cancel(task)).await
            }
        }

        impl Timers for $runtime {
            fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
                tokio::time::sleep(duration)
            }

            async fn timeout<F: Future + 'static>(
                duration: Duration,
                future: F,
            ) -> Option<F::Output> {
                tokio::time::timeout(duration, future).await.ok()
            }
        }

        impl Net for $runtime {
            type Listener = TcpListener;
            type Stream = TcpStream;

            fn bind(address: SocketAddr) -> io::Result<TcpListener> {
                let listener = std::net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener)
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
    };
}

tokio_runtime!(TokioLocalSet, "tokio LocalSet");
tokio_runtime!(TokioLocalRuntime, "tokio LocalRuntime");
