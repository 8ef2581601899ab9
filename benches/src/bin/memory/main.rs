//! What an idle task takes up, and a pending timer.
//!
//! Each measurement runs in a process of its own, and starts it, so that none finds the memory that
//! another one has left; the parent prints the tables. Linux only.
#![deny(unsafe_code)]

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "an allocator")]
mod counting;
#[cfg(target_os = "linux")]
mod measure;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    measure::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("how much memory a process takes up is read from /proc, on Linux only");
}
