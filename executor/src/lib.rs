//! A single-threaded async executor whose tasks can be cancelled and cleaned up, small enough to
//! read in an afternoon.
//!
//! # Goals
//!
//! * A task can be asked to stop, and *ends*: its next poll drops it, its destructors run, and
//!   whoever waits learns why, who asked, and from which line.
//! * Nothing is lost, leaked or left hanging, whatever panics, and in whichever order things are
//!   dropped.
//! * A reader understands it. `docs/design.md` in the repository is the map.
//! * As fast as a single thread can be.
//!
//! Not goals: a multi-threaded scheduler, `no_std`, locks and channels (those of async-lock,
//! async-channel, event-listener and futures work unchanged), a macro.
//!
//! # Guide
//!
//! [`run`] runs a program: a main future, and the tasks it spawns, on this thread.
//!
//! ```
//! let answer = quell::run(async {
//!     let task = quell::spawn(async { 6 * 7 });
//!     task.await.expect("it neither panicked nor was it cancelled")
//! });
//! assert_eq!(answer.unwrap(), 42);
//! ```
//!
//! Tasks need not be `Send`. They share by `Rc` and `Cell`:
//!
//! ```
//! use std::{cell::Cell, rc::Rc};
//! # quell::run(async {
//! let count = Rc::new(Cell::new(0));
//! let tasks: Vec<_> = (0..10)
//!     .map(|_| {
//!         let count = count.clone();
//!         quell::spawn(async move { count.set(count.get() + 1) })
//!     })
//!     .collect();
//! for task in tasks {
//!     task.await.unwrap();
//! }
//! assert_eq!(count.get(), 10);
//! # }).unwrap();
//! ```
//!
//! ## Stopping a task
//!
//! [`JoinHandle::cancel`] asks a task to stop. It is a flag and a wake: nothing of the task runs
//! inside the call. The next poll drops the future, and then the outcome is visible.
//!
//! ```
//! use quell::{JoinError, time::{Duration, sleep}};
//! # quell::Builder::new().virtual_time().build().unwrap().block_on(async {
//! struct TempFile;
//! impl Drop for TempFile {
//!     fn drop(&mut self) { /* remove it */ }
//! }
//!
//! let task = quell::spawn(async {
//!     let _file = TempFile;
//!     sleep(Duration::from_secs(3600)).await;
//! });
//! sleep(Duration::from_secs(1)).await;
//! assert!(task.cancel());
//!
//! let Err(JoinError::Cancelled(cancelled)) = task.await else { panic!() };
//! // explicit request (by task #1 at src/main.rs:15:9)
//! println!("{}", cancelled.reason());
//! # });
//! ```
//!
//! From another thread, or from where the handle cannot be, [`JoinHandle::cancel_handle`] does the
//! same. Dropping a handle does not stop the task; it detaches it.
//!
//! ## Which wait do I want?
//!
//! | what happens to the task when the waiter is cancelled | |
//! |---|---|
//! | it runs on | `handle.await` |
//! | it is asked to stop, and the waiter ends after it | [`handle.join_forwarding().await`](JoinHandle::join_forwarding) |
//! | it is asked to stop now, come what may | [`handle.cancel_and_join().await`](JoinHandle::cancel_and_join) |
//!
//! ## Giving up after a while
//!
//! ```
//! use quell::time::{Duration, sleep, timeout};
//! # quell::Builder::new().virtual_time().build().unwrap().block_on(async {
//! let result = timeout(Duration::from_millis(50), sleep(Duration::from_secs(1))).await;
//! assert!(result.is_err());
//! # });
//! ```
//!
//! ## Ctrl-C
//!
//! Under [`run`], Ctrl-C and SIGTERM ask the main future to stop; then all other tasks are asked,
//! their destructors run, and `run` returns [`RunError::Cancelled`], whose
//! [`exit_code`](RunError::exit_code) is 130 or 143, as a shell expects.
//!
//! ## Tests without waiting
//!
//! [`Builder::virtual_time`] makes a clock that jumps to the next timer when nothing is ready;
//! [`Builder::shuffle`] polls in random order, to show whether a test depends on it.
//!
//! ## Your own loop
//!
//! [`Runtime::tick`], [`Runtime::run_until_stalled`] and [`Runtime::next_deadline`] drive the
//! executor from a loop that is yours; [`RemoteHandle`] reaches it from other threads.
//!
//! # Comparison
//!
//! | | quell | tokio | smol / async-executor |
//! |---|---|---|---|
//! | threads | one | one or many | one or many |
//! | a cancelled task's outcome | reason, asker, line | "cancelled" | `None` |
//! | a waiter's cancellation reaches the task | if asked for | no | by dropping the `Task` |
//! | virtual clock | any runtime, any test | `start_paused`, feature `test-util` | no |
//! | drawbacks of quell | | far more libraries; files, processes, multi-threading | larger family of small crates |
//!
//! # When not to use this
//!
//! For a program that needs several cores for its tasks, use tokio, or one quell runtime for each
//! core. For libraries that call `tokio::spawn` or need tokio's sockets, use tokio.
//!
//! # Features
//!
//! `time`, `net` and `signal` are on by default; `trace` is not. Without any of them, what is left is
//! the executor. `Cargo.toml` says what each is for.
#![deny(unsafe_code)]

#[cfg(all(doctest, feature = "net", feature = "signal"))]
#[doc = include_str!("../../README.md")]
struct ReadmeListings;

pub mod clock;
#[expect(unsafe_code, reason = "the pointer to the running executor")]
mod context;
mod executor;
mod home;
mod join;
#[cfg(feature = "net")]
pub mod net;
pub mod park;
mod queue;
#[cfg_attr(not(feature = "net"), path = "reactor_off.rs")]
#[cfg_attr(feature = "net", expect(unsafe_code, reason = "registers file descriptors"))]
mod reactor;
mod remote;
mod runtime;
#[cfg_attr(not(feature = "signal"), path = "signal_off.rs")]
#[cfg_attr(feature = "signal", expect(unsafe_code, reason = "installs signal handlers"))]
pub mod signal;
mod spawn;
#[expect(unsafe_code, reason = "pins the future inside the task")]
pub mod task;
#[cfg(feature = "time")]
pub mod time;
#[cfg_attr(not(feature = "trace"), path = "trace_off.rs")]
pub mod trace;
#[expect(unsafe_code, reason = "the waker's table of functions")]
mod waker;
#[cfg_attr(not(feature = "time"), path = "wheel_off.rs")]
mod wheel;

pub use join::{JoinError, JoinForwarding, JoinHandle, Panic};
pub use quell_cancel as cancel;
pub use quell_cancel::{CancelHandle, CancelKind, Cancelled, Elapsed, Reason};
pub use remote::{RemoteHandle, RemoteJoinHandle};
pub use runtime::{Builder, RunError, Runtime, block_on, run};
pub use spawn::{LocalHandle, YieldNow, spawn, yield_now};
