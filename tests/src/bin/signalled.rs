//! The process that `it/signal.rs` sends signals to. Its argument says what it does with them; what
//! it prints says how far it has come.

use quell::signal::{Signal, Signals};
use quell::time::{Duration, sleep};
use quell::{Builder, RunError, spawn, yield_now};
use quell_tests::OnDrop;
use std::future::pending;
use std::process::ExitCode;

fn say(line: &str) {
    println!("{line}");
}

fn main() -> ExitCode {
    let what = std::env::args().nth(1).expect("an argument");
    let result = match what.as_str() {
        // Waits to be stopped, with something to clean up in main and in a task.
        "run" => quell::run(async {
            let _task = spawn(async {
                let _guard = OnDrop(|| say("task dropped"));
                pending::<()>().await;
            });
            let _guard = OnDrop(|| say("main dropped"));
            yield_now().await;
            say("ready");
            pending().await
        }),
        // Does not come back to the loop.
        "stuck" => quell::run(async {
            say("ready");
            loop {
                std::thread::park();
            }
        }),
        // Returns a value in the poll in which the signal is there.
        "value" => quell::run(async {
            say("ready");
            // Until the parent has sent the signal and closed our input.
            std::io::read_to_string(std::io::stdin()).expect("a pipe");
        }),
        // Signals as usual after `run`.
        "after" => quell::run(async {}).map(|()| {
            say("ready");
            loop {
                std::thread::park();
            }
        }),
        // Receives signals, then lets go of them.
        "signals" => {
            let runtime = Builder::new().signals(false).build().expect("a runtime");
            runtime.block_on(async {
                let mut signals =
                    Signals::new(&[Signal::Interrupt, Signal::Terminate]).expect("signals");
                say("ready");
                for _ in 0..4 {
                    say(&signals.recv().await.to_string());
                }
            });
            say("let go");
            runtime.block_on(pending())
        }
        // Wakes itself all the time, so that the loop never sleeps.
        "busy" => quell::run(async {
            say("ready");
            loop {
                yield_now().await;
            }
        }),
        // Sleeps in the reactor with a timer set.
        "sleeping" => quell::run(async {
            say("ready");
            sleep(Duration::from_secs(3600)).await;
        }),
        other => panic!("no such mode: {other}"),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ RunError::Cancelled { .. }) => {
            say(&error.to_string());
            error.exit_code()
        }
        Err(error) => panic!("{error}"),
    }
}
