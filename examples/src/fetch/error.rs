//! Why a URL was not downloaded.

use crate::text::describe;
use hyper::StatusCode;
use quell::JoinError;
use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

/// Why a URL was not downloaded.
#[derive(Debug)]
pub enum FetchError {
    /// It is not a URL, or not one for this tool.
    BadUrl(String),
    /// The host's name has no address.
    Resolve(io::Error),
    /// No address of the host accepts a connection.
    Connect(io::Error),
    /// The connection broke, or what came through it was not HTTP.
    Http(hyper::Error),
    /// The body ended early.
    Truncated {
        /// Bytes that came.
        received: u64,
        /// Bytes that were announced, if they were.
        expected: Option<u64>,
    },
    /// The server says no.
    Status(StatusCode),
    /// A redirect that leads nowhere.
    Redirect(String),
    /// The end of the body could not be told from a connection that breaks.
    NoLength,
    /// A file could not be created, written or renamed.
    File {
        /// `create`, `write`, ...
        action: &'static str,
        /// The file or the folder.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// `--timeout` passed. With what went wrong last, if it was not the first attempt.
    TimedOut(Duration, Option<Box<FetchError>>),
    /// The task of the download did not return.
    Task(JoinError),
}

impl FetchError {
    /// Whether another attempt may do better.
    pub fn is_worth_a_retry(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Truncated { .. } => true,
            Self::Http(error) => !error.is_parse() && !error.is_user(),
            Self::Status(status) => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            _ => false,
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadUrl(why) | Self::Redirect(why) => f.write_str(why),
            Self::Resolve(error) => write!(f, "host not found: {}", describe(error)),
            Self::Connect(error) => write!(f, "cannot connect: {}", describe(error)),
            Self::Http(error) => f.write_str(&describe(error)),
            Self::Truncated { received, expected: Some(expected) } => {
                write!(f, "truncated: {received} of {expected} bytes came")
            }
            Self::Truncated { received, .. } => {
                write!(f, "truncated: the last chunk is missing after {received} bytes")
            }
            Self::Status(status) => write!(f, "the server answered {status}"),
            Self::NoLength => f.write_str(
                "the server tells no length, so that nobody could tell whether it is complete",
            ),
            Self::File { action, path, error } => {
                write!(f, "cannot {action} {path}: {}", describe(error))
            }
            Self::TimedOut(timeout, earlier) => {
                write!(f, "timed out after {}", humantime::format_duration(*timeout))?;
                match earlier {
                    Some(earlier) => write!(f, "; before that: {earlier}"),
                    None => Ok(()),
                }
            }
            Self::Task(error) => error.fmt(f),
        }
    }
}

impl Error for FetchError {}
