//! Text for people.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};

/// An error with its causes, in one line, and without the number that the operating system has for
/// it: `error reading a body from connection: Connection reset by peer`.
pub fn describe(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Some errors quote their cause themselves.
        let text = error.to_string();
        if !line.ends_with(&text) {
            let _ = write!(line, ": {text}");
        }
        cause = error.source();
    }
    if let Some(number) = line.rfind(" (os error ") {
        line.truncate(number);
    }
    line
}

/// Prints a line to standard error. That nobody reads it is no reason to stop, let alone to panic,
/// which is what `eprintln!` does.
pub fn say(line: impl fmt::Display) {
    // In one piece: standard error has no buffer, and others may write there, too.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// `1 file`, `2 files`.
pub fn count(number: usize, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {one}s"),
    }
}
