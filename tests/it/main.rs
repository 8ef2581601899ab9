//! Everything that needs more than one module, in one binary, by situation.

mod cancel;
mod cancellable;
mod checkers;
mod drop;
mod fairness;
mod host;
mod interop;
mod join;
mod net;
mod panic;
mod remote;
mod run;
mod signal;
mod time;
mod trace;
