//! Who asked for a cancellation, why, and where.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU64;
use std::panic::Location;
use std::sync::{Arc, OnceLock};

/// Names a task in reasons and reports. Unique within the process.
///
/// Ids are given out by executors; this crate only carries them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(NonZeroU64);

impl TaskId {
    /// An id from its number. For executors.
    pub const fn new(number: NonZeroU64) -> Self {
        Self(number)
    }

    /// The number behind the id.
    pub const fn get(self) -> NonZeroU64 {
        self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({})", self.0)
    }
}

/// What sort of event asked for the cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CancelKind {
    /// Somebody called `cancel()` or `abort()`.
    Explicit,
    /// A deadline passed.
    Deadline,
    /// Another member of the same group failed.
    SiblingFailed,
    /// The task that waits for this one was itself asked to stop, and passed the request on.
    Parent,
    /// The runtime is shutting down.
    Shutdown,
    /// The process received a signal, such as Ctrl-C.
    Signal,
}

impl fmt::Display for CancelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Explicit => "explicit request",
            Self::Deadline => "deadline",
            Self::SiblingFailed => "sibling failed",
            Self::Parent => "parent cancelled",
            Self::Shutdown => "shutdown",
            Self::Signal => "signal",
        })
    }
}

/// Why a task was asked to stop: what kind of request, by whom, from which line, with what message.
///
/// Cheap to clone: clones share one record.
///
/// ```
/// use quell_cancel::{CancelKind, Reason};
/// let reason = Reason::new(CancelKind::Shutdown).with_message("config reloaded");
/// assert!(reason.to_string().starts_with("shutdown: config reloaded"));
/// assert_eq!(reason.location().file(), file!());
/// ```
#[derive(Clone)]
pub struct Reason {
    record: Arc<Record>,
}

#[derive(Clone)]
struct Record {
    kind: CancelKind,
    message: Option<Cow<'static, str>>,
    by: Option<TaskId>,
    location: &'static Location<'static>,
}

impl Reason {
    /// A reason of this kind, from the caller's line, in the name of the task that is running on
    /// this thread, if its executor has announced itself (see [`set_current_task`]).
    #[track_caller]
    pub fn new(kind: CancelKind) -> Self {
        Self::at(kind, Location::caller())
    }

    /// [`new`](Self::new), from another line.
    pub fn at(kind: CancelKind, location: &'static Location<'static>) -> Self {
        let by = CURRENT_TASK.get().and_then(|current| current());
        Self { record: Arc::new(Record { kind, message: None, by, location }) }
    }

    /// The same reason with a text for people.
    #[must_use = "returns a new reason"]
    pub fn with_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        Arc::make_mut(&mut self.record).message = Some(message.into());
        self
    }

    /// What sort of event asked.
    pub fn kind(&self) -> CancelKind {
        self.record.kind
    }

    /// The text given with the request, if any.
    pub fn message(&self) -> Option<&str> {
        self.record.message.as_deref()
    }

    /// The task that asked; `None` if it was not asked from inside a task.
    pub fn by(&self) -> Option<TaskId> {
        self.record.by
    }

    /// The line that asked.
    pub fn location(&self) -> &'static Location<'static> {
        self.record.location
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { kind, message, by, location } = &*self.record;
        write!(f, "{kind}")?;
        if let Some(message) = message {
            write!(f, ": {message}")?;
        }
        match by {
            Some(by) => write!(f, " (by task {by} at {location})"),
            None => write!(f, " (at {location})"),
        }
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { kind, message, by, location } = &*self.record;
        f.debug_struct("Reason")
            .field("kind", kind)
            .field("message", message)
            .field("by", by)
            .field("location", &format_args!("{location}"))
            .finish()
    }
}

static CURRENT_TASK: OnceLock<fn() -> Option<TaskId>> = OnceLock::new();

/// Tells this crate how to find the task that is running on the calling thread, so that reasons
/// can say who asked. For executors; the first call in a process wins.
///
/// The function must answer `None` on threads it knows nothing of, and must not panic.
pub fn set_current_task(current: fn() -> Option<TaskId>) {
    // A second executor in the process finds the place taken: its reasons say `by: None`.
    let _ = CURRENT_TASK.set(current);
}
