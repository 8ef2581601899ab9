//! A program with an event loop of its own drives the runtime by hand.

use futures::channel::oneshot;
use quell::clock::{Clock, VirtualClock};
use quell::park::{Park, ThreadParker, Unpark};
use quell::time::{Duration, sleep};
use quell::{Builder, Runtime, spawn, yield_now};
use quell_tests::{Count, Probe, finishes, runtime};
use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

#[test]
fn a_tick_polls_what_is_ready_and_says_whether_there_is_more() {
    let runtime = runtime();
    assert!(!runtime.tick(), "nothing to do");
    let (probe, polls, drops) = Probe::new();
    let task = runtime.spawn(probe);
    assert_eq!((polls.get(), drops.get()), (0, 0), "spawning polls nothing");
    assert!(!runtime.tick());
    assert_eq!((polls.get(), drops.get()), (1, 0));
    task.cancel();
    assert!(!runtime.tick());
    assert_eq!((polls.get(), drops.get()), (1, 1));
    assert!(task.is_finished());
}

#[test]
fn a_tick_is_bounded() {
    let runtime = runtime();
    let turns = Count::new();
    drop(runtime.spawn({
        let turns = turns.clone();
        async move {
            loop {
                turns.up();
                yield_now().await;
            }
        }
    }));
    assert!(runtime.tick());
    assert!((1..1000).contains(&turns.get()), "{turns:?}");
}

#[test]
fn run_until_stalled_runs_until_nothing_is_ready() {
    let runtime = runtime();
    let tasks: Vec<_> = (0..500)
        .map(|_| {
            runtime.spawn(async {
                for _ in 0..10 {
                    yield_now().await;
                }
            })
        })
        .collect();
    runtime.run_until_stalled();
    assert!(tasks.iter().all(quell::JoinHandle::is_finished));
}

#[test]
fn a_host_sleeps_until_the_next_deadline() {
    let clock = VirtualClock::new();
    let runtime = Builder::new().clock(clock.clone()).signals(false).build().unwrap();
    let task = runtime.spawn(async {
        for _ in 0..3 {
            sleep(Duration::from_millis(10)).await;
        }
        7
    });
    let mut naps = Vec::new();
    loop {
        runtime.run_until_stalled();
        let Some(deadline) = runtime.next_deadline() else { break };
        naps.push(deadline - clock.now());
        clock.advance(deadline - clock.now());
    }
    assert_eq!(naps, [Duration::from_millis(10); 3]);
    assert_eq!(runtime.block_on(task).unwrap(), 7);
}

#[test]
fn tasks_may_be_spawned_cancelled_and_looked_at_outside_of_the_loop() {
    let runtime = runtime();
    let handle = runtime.handle();
    let (first, second) = (runtime.spawn(async { 1 }), handle.spawn(async { 2 }));
    let third = handle.spawn(pending::<()>());
    assert_eq!((runtime.alive(), handle.alive()), (3, 3));
    third.cancel();
    runtime.run_until_stalled();
    assert_eq!((runtime.alive(), handle.alive()), (0, 0));
    assert_eq!(runtime.block_on(first).unwrap() + runtime.block_on(second).unwrap(), 3);
    assert!(quell::LocalHandle::current().is_none());
}

#[test]
fn a_tick_inside_a_task_of_the_same_runtime_does_nothing_and_answers_false() {
    let runtime = Rc::new(runtime());
    let (probe, polls, drops) = Probe::new();
    let answers = Rc::new(RefCell::new(Vec::new()));
    let task = runtime.spawn({
        let (runtime, answers) = (runtime.clone(), answers.clone());
        async move {
            let probe = spawn(probe);
            answers.borrow_mut().push(runtime.tick());
            runtime.run_until_stalled();
            answers.borrow_mut().push(runtime.tick());
            drop(probe);
        }
    });
    runtime.run_until_stalled();
    assert!(task.is_finished());
    assert_eq!(*answers.borrow(), [false, false]);
    assert_eq!((polls.get(), drops.get()), (1, 0));
}

#[test]
fn a_task_may_hold_its_own_runtime_until_it_ends() {
    // Who drives a runtime borrows it, so that the last owner cannot be one of its tasks while it
    // runs; between two turns it can.
    let drops = Count::new();
    let runtime = Rc::new(runtime());
    let guard = drops.on_drop();
    let task = runtime.spawn({
        let runtime = runtime.clone();
        async move {
            let _guard = guard;
            pending::<()>().await;
            drop(runtime);
        }
    });
    runtime.run_until_stalled();
    task.cancel();
    runtime.run_until_stalled();
    assert_eq!((drops.get(), Rc::strong_count(&runtime)), (1, 1));
}

#[test]
fn nested_ticks_of_different_runtimes_are_fine() {
    let (outer, inner) = (runtime(), Rc::new(runtime()));
    let value = outer.block_on(async {
        let task = inner.spawn(async { spawn(async { 7 }).await.unwrap() });
        inner.run_until_stalled();
        task.await.unwrap()
    });
    assert_eq!(value, 7);
}

/// A parker as a host's own loop would have one: it counts, and tells a channel.
struct HostParker {
    bell: Arc<Bell>,
    parks: Rc<RefCell<Vec<Option<Duration>>>>,
    woken: mpsc::Receiver<()>,
}

struct Bell {
    rings: AtomicUsize,
    wake: mpsc::Sender<()>,
}

impl Unpark for Bell {
    fn unpark(&self) {
        self.rings.fetch_add(1, Ordering::SeqCst);
        // The loop may be gone.
        let _ = self.wake.send(());
    }
}

impl Park for HostParker {
    fn park(&mut self, timeout: Option<Duration>) {
        self.parks.borrow_mut().push(timeout);
        match timeout {
            None => self.woken.recv().unwrap(),
            Some(timeout) => drop(self.woken.recv_timeout(timeout)),
        }
    }

    fn unparker(&self) -> Arc<dyn Unpark> {
        self.bell.clone()
    }
}

struct Host {
    runtime: Runtime,
    bell: Arc<Bell>,
    parks: Rc<RefCell<Vec<Option<Duration>>>>,
}

fn host() -> Host {
    let (wake, woken) = mpsc::channel();
    let bell = Arc::new(Bell { rings: AtomicUsize::new(0), wake });
    let parks = Rc::default();
    let parker = HostParker { bell: bell.clone(), parks: Rc::clone(&parks), woken };
    let runtime = Builder::new().parker(parker).signals(false).build().unwrap();
    Host { runtime, bell, parks }
}

#[test]
fn a_custom_parker_is_asked_to_sleep_and_told_about_a_remote_wake() {
    finishes(|| {
        let host = host();
        let (send, receive) = oneshot::channel();
        let (parked, is_parked) = mpsc::channel();
        let thread = thread::spawn(move || {
            is_parked.recv().unwrap();
            send.send(7).unwrap();
        });
        let value = host.runtime.block_on(async {
            drop(spawn(async move { parked.send(()).unwrap() }));
            receive.await.unwrap()
        });
        assert_eq!(value, 7);
        thread.join().unwrap();
        assert!(host.parks.borrow().iter().all(Option::is_none), "no timer is set");
    });
}

#[test]
fn a_host_that_sleeps_by_itself_is_told_of_a_remote_spawn() {
    finishes(|| {
        let host = host();
        host.runtime.run_until_stalled();
        let rings = host.bell.rings.load(Ordering::SeqCst);
        let remote = host.runtime.remote();
        let task = thread::spawn(move || remote.spawn(async { 7 })).join().unwrap();
        assert!(host.bell.rings.load(Ordering::SeqCst) > rings);
        assert!(!task.is_finished(), "nothing runs until the host says so");
        host.runtime.run_until_stalled();
        assert!(task.is_finished());
    });
}

#[test]
fn a_host_that_has_not_ticked_yet_is_told_as_well() {
    finishes(|| {
        // More than any pool of used parts could serve.
        let hosts: Vec<_> = (0..50).map(|_| host()).collect();
        for host in &hosts {
            let remote = host.runtime.remote();
            drop(thread::spawn(move || remote.spawn(async {})).join().unwrap());
            assert_eq!(host.bell.rings.load(Ordering::SeqCst), 1);
        }
    });
}

#[test]
fn a_host_is_told_of_wakes_by_its_own_thread_between_ticks() {
    let host = host();
    let (send, receive) = oneshot::channel();
    let task = host.runtime.spawn(receive);
    host.runtime.run_until_stalled();
    let rings = host.bell.rings.load(Ordering::SeqCst);
    send.send(7).unwrap();
    assert!(host.bell.rings.load(Ordering::SeqCst) > rings);
    host.runtime.run_until_stalled();
    assert!(task.is_finished());
}

#[test]
fn a_host_is_told_of_a_spawn_by_its_own_thread_between_ticks() {
    let host = host();
    host.runtime.run_until_stalled();
    let rings = || host.bell.rings.load(Ordering::SeqCst);
    let before = rings();
    let first = host.runtime.handle().spawn(yield_now());
    assert!(rings() > before, "somebody has to tick now");
    host.runtime.run_until_stalled();
    assert!(first.is_finished());
    // Inside of a tick it is the tick's business.
    let before = rings();
    let second = host.runtime.spawn(async { spawn(yield_now()).await.unwrap() });
    let told = rings();
    assert!(told > before);
    host.runtime.run_until_stalled();
    assert!(second.is_finished());
    assert_eq!(rings(), told);
}

#[test]
fn a_wake_before_the_loop_leaves_is_not_forgotten() {
    finishes(|| {
        let host = host();
        let remote = host.runtime.remote();
        // Sent while the loop runs, too late for its last look.
        let spawned = host.runtime.block_on(async {
            let (send, receive) = oneshot::channel();
            thread::spawn(move || send.send(remote.spawn(async { 7 }))).join().unwrap().unwrap();
            Some(receive.await.unwrap())
        });
        let spawned = spawned.unwrap();
        assert!(spawned.is_finished() || host.bell.rings.load(Ordering::SeqCst) > 0);
        host.runtime.run_until_stalled();
        assert!(spawned.is_finished());
    });
}

#[test]
fn the_thread_parker_remembers_one_unpark() {
    finishes(|| {
        let mut parker = ThreadParker::default();
        let unparker = parker.unparker();
        unparker.unpark();
        unparker.unpark();
        parker.park(None);
        // The second was the same as the first; only the time ends this one.
        parker.park(Some(Duration::from_millis(1)));
        parker.park(Some(Duration::ZERO));
    });
}

#[test]
fn the_thread_parker_is_woken_from_another_thread() {
    finishes(|| {
        let mut parker = ThreadParker::default();
        for _ in 0..1000 {
            let unparker = parker.unparker();
            let thread = thread::spawn(move || unparker.unpark());
            parker.park(None);
            thread.join().unwrap();
        }
    });
}
