//! Real signals, sent to a process of its own.
#![cfg(unix)]

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

struct Signalled {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Signalled {
    /// Starts the process and waits until it is ready.
    fn start(what: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_signalled"))
            .arg(what)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary is built with the tests");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut process = Self { child, output };
        process.expect("ready");
        process
    }

    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is alive");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a pipe");
        line.trim_end().to_owned()
    }

    fn expect(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }

    /// Closes its input and waits for its end, which must print nothing more.
    fn end(mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        let status = self.child.wait().expect("it ends");
        self.expect("");
        status
    }
}

impl Drop for Signalled {
    fn drop(&mut self) {
        // A test that fails leaves no process behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn ctrl_c_stops_main_and_then_the_tasks_and_the_status_is_130() {
    let mut process = Signalled::start("run");
    process.send(Signal::INT);
    process.expect("main dropped");
    process.expect("task dropped");
    let line = process.line();
    assert!(line.starts_with("the program was cancelled: signal: SIGINT"), "{line}");
    assert_eq!(process.end().code(), Some(130));
}

#[test]
fn sigterm_does_the_same_and_the_status_is_143() {
    let mut process = Signalled::start("run");
    process.send(Signal::TERM);
    process.expect("main dropped");
    process.expect("task dropped");
    let line = process.line();
    assert!(line.starts_with("the program was cancelled: signal: SIGTERM"), "{line}");
    assert_eq!(process.end().code(), Some(143));
}

#[test]
fn a_loop_that_never_sleeps_hears_ctrl_c() {
    let mut process = Signalled::start("busy");
    process.send(Signal::INT);
    assert!(process.line().starts_with("the program was cancelled"));
    assert_eq!(process.end().code(), Some(130));
}

#[test]
fn a_loop_that_sleeps_until_a_timer_hears_ctrl_c() {
    let mut process = Signalled::start("sleeping");
    process.send(Signal::INT);
    assert!(process.line().starts_with("the program was cancelled"));
    assert_eq!(process.end().code(), Some(130));
}

#[test]
fn the_third_signal_ends_a_process_that_is_stuck() {
    let process = Signalled::start("stuck");
    // Signals of different kinds, because pending ones of the same kind merge.
    process.send(Signal::INT);
    process.send(Signal::TERM);
    // Both have been delivered when a further one of either kind is pending on its own.
    let pid = process.child.id();
    while pending_signals(pid) != 0 {
        std::thread::yield_now();
    }
    process.send(Signal::INT);
    assert_eq!(process.end().signal(), Some(Signal::INT.as_raw()));
}

/// The process's pending signals, as the kernel shows them.
#[cfg(target_os = "linux")]
fn pending_signals(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it is alive");
    let line = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).expect("is there");
    u64::from_str_radix(line.trim(), 16).expect("hexadecimal")
}

#[cfg(not(target_os = "linux"))]
fn pending_signals(_pid: u32) -> u64 {
    std::thread::sleep(std::time::Duration::from_millis(200));
    0
}

#[test]
fn a_value_wins_over_a_signal_in_the_same_poll() {
    let process = Signalled::start("value");
    process.send(Signal::INT);
    assert_eq!(process.end().code(), Some(0));
}

#[test]
fn after_run_a_signal_has_its_usual_effect() {
    let process = Signalled::start("after");
    process.send(Signal::INT);
    assert_eq!(process.end().signal(), Some(Signal::INT.as_raw()));
}

#[test]
fn signals_are_received_one_by_one_and_let_go_of_at_the_end() {
    let mut process = Signalled::start("signals");
    for signal in [Signal::INT, Signal::TERM, Signal::INT, Signal::INT] {
        process.send(signal);
        process.expect(if signal == Signal::INT { "SIGINT" } else { "SIGTERM" });
    }
    process.expect("let go");
    process.send(Signal::TERM);
    assert_eq!(process.end().signal(), Some(Signal::TERM.as_raw()));
}
