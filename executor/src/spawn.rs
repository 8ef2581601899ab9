//! Making tasks.

use crate::context;
use crate::executor::Executor;
use crate::join::JoinHandle;
use crate::remote::RemoteHandle;
use crate::task::{Run, Task};
use futures_task::{FutureObj, LocalFutureObj, LocalSpawn, Spawn, SpawnError};
use quell_cancel::{CancelHandle, TaskId};
use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::num::NonZeroU64;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Runs `future` as a task of its own, on the executor that is running on this thread.
///
/// The task is polled after those that are ready already. It need not be `Send`. Dropping the
/// handle detaches it.
///
/// Never panics and never blocks, so that it may be called in any destructor. Where no executor is
/// running, or one that accepts nothing any more because it is being dropped, the future is dropped
/// at once and the handle says [`JoinError::ExecutorGone`](crate::JoinError::ExecutorGone).
///
/// ```
/// quell::block_on(async {
///     let handle = quell::spawn(async { "done" });
///     assert_eq!(handle.await.unwrap(), "done");
/// });
/// ```
#[track_caller]
#[inline]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let location = Location::caller();
    context::with(|executor| match executor {
        Some(executor) => JoinHandle::new(executor.spawn(future, location)),
        None => refuse(future, location),
    })
}

#[cold]
fn refuse<F>(future: F, location: &'static Location<'static>) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    crate::executor::refuse(future);
    // Nobody else has this id: executors count up from 1.
    let id = TaskId::new(NonZeroU64::MAX);
    JoinHandle::new(Task::<dyn Run>::refused::<F>(id, location))
}

/// Lets other tasks run: the task goes to the end of the ready queue.
///
/// A suspension point: a task that has been asked to stop stops here.
///
/// ```
/// # quell::block_on(async {
/// quell::yield_now().await;
/// # });
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// What `quell::task` shows of this file.
pub(crate) mod current {
    use super::*;

    /// The task that is running on this thread; `None` outside of any.
    pub fn id() -> Option<TaskId> {
        crate::executor::current_task()
    }

    /// The handle by which the running task can be asked to stop; `None` outside of any task and
    /// inside `block_on`, whose main future cannot be stopped.
    ///
    /// ```
    /// # quell::block_on(async {
    /// let task = quell::spawn(async {
    ///     quell::task::cancel_handle().unwrap().cancel();
    ///     quell::yield_now().await;
    ///     unreachable!("the request lands at the first suspension point");
    /// });
    /// assert!(task.await.unwrap_err().is_cancelled());
    /// # });
    /// ```
    pub fn cancel_handle() -> Option<CancelHandle> {
        context::with(|executor| executor?.current_scope())
    }

    /// Spawns tasks with a name, which shows in reports.
    ///
    /// ```
    /// # quell::block_on(async {
    /// let task = quell::task::Builder::new().name("worker 1").spawn(async { panic!("oh no") });
    /// let error = task.await.map(|()| ()).unwrap_err();
    /// assert!(error.to_string().contains("worker 1"));
    /// # });
    /// ```
    #[derive(Clone, Debug, Default)]
    #[must_use = "nothing is spawned until `spawn` is called"]
    pub struct Builder {
        name: Option<Cow<'static, str>>,
    }

    impl Builder {
        /// A task without a name.
        pub fn new() -> Self {
            Self::default()
        }

        /// The name, for people. Need not be unique.
        pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
            self.name = Some(name.into());
            self
        }

        /// Like [`quell::spawn`](crate::spawn()).
        #[track_caller]
        pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
        where
            F: Future + 'static,
            F::Output: 'static,
        {
            let handle = spawn(future);
            if let Some(name) = self.name {
                handle.set_name(name);
            }
            handle
        }
    }
}

/// Spawns on one executor from anywhere on its thread, also while it is not running.
///
/// Cheap to clone. Keeps the executor's memory, not its tasks: they end with the
/// [`Runtime`](crate::Runtime). Implements `futures_task::LocalSpawn`, for libraries that spawn.
#[derive(Clone)]
pub struct LocalHandle {
    executor: Rc<Executor>,
}

impl LocalHandle {
    pub(crate) fn new(executor: Rc<Executor>) -> Self {
        Self { executor }
    }

    /// The executor that is running on this thread.
    pub fn current() -> Option<Self> {
        context::with(|executor| Some(Self::new(executor?.this())))
    }

    /// Like [`quell::spawn`](crate::spawn()), on this executor. The task is polled when the
    /// executor runs.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        JoinHandle::new(self.executor.spawn(future, Location::caller()))
    }

    /// A handle for other threads.
    pub fn remote(&self) -> RemoteHandle {
        self.executor.remote()
    }

    /// How many tasks have not ended. The main future is not counted.
    pub fn alive(&self) -> usize {
        self.executor.alive()
    }
}

impl fmt::Debug for LocalHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalHandle").field("alive", &self.alive()).finish()
    }
}

impl LocalSpawn for LocalHandle {
    fn spawn_local_obj(&self, future: LocalFutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.status_local()?;
        drop(self.spawn(future));
        Ok(())
    }

    fn status_local(&self) -> Result<(), SpawnError> {
        if self.executor.is_closed() { Err(SpawnError::shutdown()) } else { Ok(()) }
    }
}

impl Spawn for RemoteHandle {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.status()?;
        drop(self.spawn(future));
        Ok(())
    }

    fn status(&self) -> Result<(), SpawnError> {
        if self.is_closed() { Err(SpawnError::shutdown()) } else { Ok(()) }
    }
}
