//! What the event loop does, event by event.

use quell::park::{Park, Unpark};
use quell::task::TaskId;
use quell::time::{Duration, sleep};
use quell::trace::{Event, Trace};
use quell::{Builder, JoinHandle, Runtime, spawn, yield_now};
use quell_tests::{Log, quietly};
use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;

/// Notes events, with small numbers for tasks in the order in which they were spawned.
#[derive(Clone, Default)]
struct Recorder {
    log: Log<String>,
    tasks: Rc<RefCell<Vec<TaskId>>>,
}

impl Recorder {
    fn number(&self, id: TaskId) -> usize {
        let mut tasks = self.tasks.borrow_mut();
        tasks.iter().position(|known| *known == id).unwrap_or_else(|| {
            tasks.push(id);
            tasks.len() - 1
        })
    }
}

impl Trace for Recorder {
    fn event(&self, event: &Event) {
        self.log.push(match event {
            Event::Spawn { task, spawned_at } => {
                assert_eq!(spawned_at.file(), file!());
                format!("spawn {}", self.number(*task))
            }
            Event::PollStart { task } => format!("poll {}", self.number(*task)),
            Event::PollEnd { task, done: false } => format!("pending {}", self.number(*task)),
            Event::PollEnd { task, done: true } => format!("done {}", self.number(*task)),
            Event::Finished { task } => format!("finished {}", self.number(*task)),
            Event::Park { timeout: None } => String::from("park"),
            Event::Park { timeout: Some(timeout) } => format!("park {timeout:?}"),
            Event::Unpark => String::from("unpark"),
            _ => String::from("unknown"),
        });
    }
}

fn recorded() -> (Runtime, Log<String>) {
    let recorder = Recorder::default();
    let log = recorder.log.clone();
    let runtime = Builder::new().virtual_time().signals(false).tracer(recorder).build().unwrap();
    (runtime, log)
}

#[test]
fn two_tasks_that_yield_take_turns() {
    let (runtime, log) = recorded();
    runtime.block_on(async {
        let tasks: [JoinHandle<()>; 2] = [spawn(yield_now()), spawn(yield_now())];
        for task in tasks {
            task.await.unwrap();
        }
    });
    let expected = [
        "spawn 0",    // by the main future, which is no task and has no events
        "spawn 1",    // the main future waits for 0 now
        "poll 0",     // first spawned, first polled
        "pending 0",  // it has woken itself: behind 1
        "poll 1",     // its turn
        "pending 1",  // behind 0
        "poll 0",     // goes on behind its yield
        "done 0",     // and is ready
        "finished 0", // wakes the main future: behind 1
        "poll 1",     // before the main future, which was woken later
        "done 1",     // nobody waits for it yet
        "finished 1", // the main future finds it so when it gets there
    ];
    assert_eq!(log.take(), expected);
}

#[test]
fn a_cancelled_task_is_dropped_in_its_next_turn() {
    let (runtime, log) = recorded();
    runtime.block_on(async {
        let task = spawn(pending::<()>());
        yield_now().await;
        task.cancel_and_join().await.unwrap_err();
    });
    let expected = [
        "spawn 0",    // by the main future
        "poll 0",     // its only poll
        "pending 0",  // for ever, as it believes
        "poll 0",     // woken by the request; this turn drops it without polling
        "done 0",     // it has been dropped
        "finished 0", // only now the main future is told
    ];
    assert_eq!(log.take(), expected);
}

#[test]
fn a_forwarding_waiter_ends_after_the_one_it_waits_for() {
    let (runtime, log) = recorded();
    runtime.block_on(async {
        let child = spawn(pending::<()>());
        let parent = spawn(async { drop(child.join_forwarding().await) });
        yield_now().await;
        parent.cancel_and_join().await.unwrap_err();
    });
    let expected = [
        "spawn 0",    // the child
        "spawn 1",    // the parent
        "poll 0",     // the child waits
        "pending 0",  // for ever
        "poll 1",     // the parent waits
        "pending 1",  // for the child
        "poll 1",     // it was asked to stop and is dropped, which asks the child
        "pending 1",  // it drains: not done before the child is
        "poll 0",     // the child is dropped
        "done 0",     // it waits for nobody
        "finished 0", // wakes the parent, which drains
        "poll 1",     // looks whether all its children have ended
        "done 1",     // they have
        "finished 1", // only now the main future is told
    ];
    assert_eq!(log.take(), expected);
}

#[test]
fn a_panic_ends_a_task_like_a_value() {
    let (runtime, log) = recorded();
    let outcome = quietly(|| runtime.block_on(async { spawn(async { panic!("oh no") }).await }));
    let error: Result<(), _> = outcome;
    assert!(error.unwrap_err().is_panic());
    let expected = [
        "spawn 0",    // by the main future
        "poll 0",     // panics
        "done 0",     // the panic is its outcome
        "finished 0", // the main future is told
    ];
    assert_eq!(log.take(), expected);
}

#[test]
fn on_a_virtual_clock_a_sleep_parks_nobody() {
    let (runtime, log) = recorded();
    runtime.block_on(async { spawn(sleep(Duration::from_secs(60))).await.unwrap() });
    let expected = [
        "spawn 0",    // by the main future
        "poll 0",     // sets its timer
        "pending 0",  // nothing is ready: the clock jumps
        "poll 0",     // the timer has fired
        "done 0",     // it was early enough
        "finished 0", // the main future is told
    ];
    assert_eq!(log.take(), expected);
}

/// A parker that does not sleep: it moves a clock.
struct Mover(quell::clock::VirtualClock);

/// The same time as a clock that the loop may not move by itself.
struct Steady(quell::clock::VirtualClock);

impl quell::clock::Clock for Steady {
    fn now(&self) -> quell::time::Instant {
        quell::clock::Clock::now(&self.0)
    }
}

impl Park for Mover {
    fn park(&mut self, timeout: Option<Duration>) {
        self.0.advance(timeout.expect("a timer is set"));
    }

    fn unparker(&self) -> Arc<dyn Unpark> {
        struct Nobody;
        impl Unpark for Nobody {
            fn unpark(&self) {}
        }
        Arc::new(Nobody)
    }
}

#[test]
fn on_a_steady_clock_a_sleep_parks_the_thread_for_its_time() {
    let recorder = Recorder::default();
    let log = recorder.log.clone();
    let clock = quell::clock::VirtualClock::new();
    let runtime = Builder::new()
        .clock(Steady(clock.clone()))
        .parker(Mover(clock))
        .signals(false)
        .tracer(recorder)
        .build()
        .unwrap();
    runtime.block_on(async {
        let late = spawn(sleep(Duration::from_millis(7)));
        spawn(sleep(Duration::from_millis(3))).await.unwrap();
        late.await.unwrap();
    });
    let expected = [
        "spawn 0",    // sleeps for 7 ms
        "spawn 1",    // sleeps for 3 ms
        "poll 0",     // sets its timer
        "pending 0",  // due at 7
        "poll 1",     // sets its timer
        "pending 1",  // due at 3
        "park 3ms",   // until the first of the two
        "unpark",     // it is 3
        "poll 1",     // its timer has fired
        "done 1",     // on time
        "finished 1", // wakes the main future, which waits for 0 next
        "park 4ms",   // what is left
        "unpark",     // it is 7
        "poll 0",     // its timer has fired
        "done 0",     // on time
        "finished 0", // wakes the main future, which ends
    ];
    assert_eq!(log.take(), expected);
}

#[test]
fn the_end_of_a_runtime_is_recorded_as_well() {
    let (runtime, log) = recorded();
    drop(runtime.spawn(pending::<()>()));
    drop(runtime);
    let expected = [
        "spawn 0",    // by the host
        "poll 0",     // asked to stop before its first poll: dropped
        "done 0",     // it never ran
        "finished 0", // nobody waits
    ];
    assert_eq!(log.take(), expected);
}
