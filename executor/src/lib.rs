//! A single-threaded async executor whose tasks can be cancelled and cleaned up.
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
mod reactor;
mod remote;
mod runtime;
#[cfg_attr(not(feature = "signal"), path = "signal_off.rs")]
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
