//! The tools as processes: what a user sees, and what is left on the disk.
//!
//! Nothing here waits for a time to pass. A test goes on when the tool has printed a line, when a
//! server has been asked, or when a file is there.
#![cfg(unix)]

mod downloads;
mod failures;
mod harness;
mod serving;
mod stopping;
