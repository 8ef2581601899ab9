//! Cancellation for any future, on any executor.
//!
//! Dropping a future stops it, but the one who drops it learns nothing: not why, not whether the
//! destructors have run, and the future itself can only be stopped by whoever owns it. This crate
//! adds the missing half: a **request**, which anybody may make from any thread, that lands when
//! the future is polled next, and whose outcome is a value.
//!
//! # Guide
//!
//! [`cancellable`] splits a future in two: the future itself, and a [`CancelHandle`] that can ask
//! it to stop.
//!
//! ```
//! use quell_cancel::{CancelKind, cancellable};
//! use std::future::{Future, pending};
//! use std::pin::pin;
//! use std::task::{Context, Poll, Waker};
//!
//! let (task, handle) = cancellable(pending::<()>());
//! let mut task = pin!(task);
//! let mut cx = Context::from_waker(Waker::noop());
//!
//! assert!(task.as_mut().poll(&mut cx).is_pending());
//!
//! // `cancel` is synchronous: it sets a flag and wakes the task. It answers whether the task had
//! // not yet finished.
//! assert!(handle.cancel());
//!
//! // The next poll does not poll the inner future any more. It drops it, here, and says why.
//! let Poll::Ready(Err(cancelled)) = task.as_mut().poll(&mut cx) else { panic!() };
//! assert_eq!(cancelled.reason().kind(), CancelKind::Explicit);
//!
//! // Asking a task that has ended changes nothing.
//! assert!(!handle.cancel());
//! ```
//!
//! A value wins: a future that returns `Ready` yields its value even if a request came in while
//! it was being polled.
//!
//! ```
//! # use quell_cancel::cancellable;
//! # use std::future::Future;
//! # use std::pin::pin;
//! # use std::task::{Context, Poll, Waker};
//! # let mut cx = Context::from_waker(Waker::noop());
//! use std::cell::OnceCell;
//!
//! let asked = OnceCell::<quell_cancel::CancelHandle>::new();
//! let (task, handle) = cancellable(async {
//!     asked.get().unwrap().cancel();
//!     7
//! });
//! asked.set(handle).unwrap();
//! assert!(matches!(pin!(task).poll(&mut cx), Poll::Ready(Ok(7))));
//! ```
//!
//! # The words
//!
//! * [`Cancelled`]: *I* was asked to stop. Carries the [`Reason`].
//! * [`Elapsed`]: *my own* timeout ran out.
//! * Executors add a third error for *the task I waited for* was cancelled or panicked.
//!
//! # For executors
//!
//! [`CancelHandle::new`], [`CancelHandle::is_requested`] and [`CancelHandle::finish`] let an
//! executor embed the request in its own task without wrapping the future.
#![deny(unsafe_code)]
#![doc(test(attr(deny(warnings))))]

mod cancellable;
mod error;
mod handle;
mod reason;

pub use cancellable::{Cancellable, cancellable};
pub use error::{Cancelled, Elapsed};
pub use handle::CancelHandle;
pub use reason::{CancelKind, Reason, TaskId, set_current_task};
