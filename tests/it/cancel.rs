//! Laws 1 to 6, 8 and 27 of the contract, for tasks without regions.

use quell::{CancelKind, JoinError, spawn, yield_now};
use quell_tests::{Count, Probe, block_on};
use std::future::pending;

#[test]
fn law_03_the_next_poll_drops_the_future_without_polling_it() {
    block_on(async {
        let (probe, polls, drops) = Probe::new();
        let task = spawn(probe);
        yield_now().await;
        assert_eq!((polls.get(), drops.get()), (1, 0));
        assert!(task.cancel());
        assert_eq!(
            (polls.get(), drops.get()),
            (1, 0),
            "nothing runs inside `cancel`"
        );
        let error = task.await.unwrap_err();
        assert_eq!((polls.get(), drops.get()), (1, 1));
        assert_eq!(error.reason().unwrap().kind(), CancelKind::Explicit);
    });
}

#[test]
fn law_03_a_task_cancelled_before_its_first_poll_never_runs() {
    block_on(async {
        let (probe, polls, drops) = Probe::new();
        let task = spawn(probe);
        task.cancel();
        assert!(matches!(task.await, Err(JoinError::Cancelled(_))));
        assert_eq!((polls.get(), drops.get()), (0, 1));
    });
}
#[test]
fn law_27_forwarding_chain() {
    block_on(async {
        let drops = Count::new();
        let guard = drops.on_drop();
        let child = spawn(async move {
            let _g = guard;
            pending::<()>().await
        });
        let scope = child.cancel_handle();
        let parent = spawn(async move { child.join_forwarding().await });
        yield_now().await;
        parent.cancel();
        assert!(parent.await.unwrap_err().is_cancelled());
        assert_eq!(drops.get(), 1);
        assert!(scope.is_finished());
    });
}
