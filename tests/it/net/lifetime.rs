//! Sockets and runtimes that do not live equally long, and runtimes that are driven in other ways.

use super::{block_on, here, runtime, tcp_pair};
use futures::channel::oneshot;
use futures::future::{join, poll_immediate};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use quell::net::{TcpListener, TcpStream, UdpSocket};
use quell::park::{Park, ThreadParker, Unpark};
use quell::time::{self, timeout};
use quell::{Builder, spawn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn a_socket_made_outside_of_a_runtime_is_an_error_that_names_the_way_out() {
    let errors = [
        TcpListener::bind(here()).unwrap_err(),
        UdpSocket::bind(here()).unwrap_err(),
        futures::executor::block_on(TcpStream::connect(here())).unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("`quell::run`"), "{error}");
    }
}

#[test]
fn a_socket_that_has_to_wait_outside_of_its_runtime_is_an_error() {
    let first = runtime();
    let (client, server) = first.block_on(tcp_pair());
    let read = || futures::executor::block_on((&server).read(&mut [0])).unwrap_err();
    let outside = read();
    assert!(outside.to_string().contains("`from_std`"), "{outside}");
    let elsewhere = block_on(async { read() });
    assert!(elsewhere.to_string().contains("`from_std`"), "{elsewhere}");
    // What need not wait works everywhere.
    futures::executor::block_on((&client).write_all(b"x")).unwrap();
    // And in its runtime everything does.
    assert_eq!(first.block_on((&server).read(&mut [0; 8])).unwrap(), 1);
}

#[test]
fn a_socket_may_outlive_its_runtime() {
    let first = runtime();
    let (mut client, server) = first.block_on(tcp_pair());
    let mut buffer = [0; 8];
    {
        let mut server = &server;
        let mut read = pin!(server.read(&mut buffer));
        assert!(first.block_on(poll_immediate(&mut read)).is_none());
        drop(first);
        let error = futures::executor::block_on(read).unwrap_err();
        assert!(error.to_string().contains("has ended"), "{error}");
    }
    // Another runtime can take it over.
    let server = server.into_std();
    block_on(async {
        let mut server = TcpStream::from_std(server).unwrap();
        client.write_all(b"hello").await.unwrap();
        assert_eq!(server.read(&mut buffer).await.unwrap(), 5);
    });
    drop(client);
}

#[test]
fn a_task_that_is_cancelled_closes_its_socket() {
    block_on(async {
        let (mut client, mut server) = tcp_pair().await;
        let reader = spawn(async move { server.read(&mut [0]).await });
        quell::yield_now().await;
        reader.cancel();
        assert!(reader.await.unwrap_err().is_cancelled());
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    });
}

#[test]
fn dropping_the_runtime_closes_the_sockets_of_its_tasks() {
    let first = runtime();
    let mut client = first.block_on(async {
        let (client, mut server) = tcp_pair().await;
        drop(spawn(async move { server.read(&mut [0]).await }));
        quell::yield_now().await;
        client.into_std()
    });
    drop(first);
    client.set_nonblocking(false).unwrap();
    assert_eq!(io::Read::read(&mut client, &mut [0]).unwrap(), 0);
}

#[test]
fn a_socket_can_be_made_and_waited_for_in_a_destructor() {
    block_on(async {
        let guard = quell_tests::OnDrop(|| {
            let listener = TcpListener::bind(here()).unwrap();
            let polled = futures::executor::block_on(poll_immediate(listener.accept()));
            assert!(polled.is_none());
        });
        let task = spawn(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
        quell::yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn other_threads_reach_a_runtime_that_waits_for_sockets() {
    let runtime = runtime();
    let remote = runtime.remote();
    runtime.block_on(async {
        let listener = TcpListener::bind(here()).unwrap();
        let accepting = spawn(async move { listener.accept().await.map(drop) });
        let (sender, receiver) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            // One after the other, so that the runtime sleeps in between.
            for i in 0..100 {
                let task = remote.spawn(async move { i });
                assert_eq!(futures::executor::block_on(task).unwrap(), i);
            }
            sender.send("done").unwrap();
        });
        assert_eq!(receiver.await.unwrap(), "done");
        thread.join().unwrap();
        assert!(!accepting.is_finished());
    });
}

#[test]
fn timers_fire_in_time_while_sockets_wait() {
    block_on(async {
        let listener = TcpListener::bind(here()).unwrap();
        for micros in [300, 1700] {
            let limit = Duration::from_micros(micros);
            let start = Instant::now();
            timeout(limit, listener.accept()).await.unwrap_err();
            assert!(start.elapsed() >= limit);
        }
    });
}

#[test]
fn virtual_time_stands_still_while_a_socket_has_something_to_say() {
    let runtime = Builder::new().virtual_time().signals(false).build().unwrap();
    runtime.block_on(async {
        let (a, b) = (UdpSocket::bind(here()).unwrap(), UdpSocket::bind(here()).unwrap());
        let start = time::now();
        for _ in 0..10 {
            let mut buffer = [0; 8];
            let receive = timeout(Duration::from_secs(1), b.recv(&mut buffer));
            let (received, sent) = join(receive, a.send_to(b"now", b.local_addr().unwrap())).await;
            sent.unwrap();
            assert_eq!(received.unwrap().unwrap(), 3);
        }
        assert_eq!(time::now(), start);
        timeout(Duration::from_secs(1), b.recv(&mut [0; 8])).await.unwrap_err();
        assert_eq!(time::now() - start, Duration::from_secs(1));
    });
}

async fn say_hello() {
    let (mut client, mut server) = tcp_pair().await;
    let reader = spawn(async move {
        let mut buffer = [0; 5];
        server.read_exact(&mut buffer).await.unwrap();
        buffer
    });
    quell::yield_now().await;
    client.write_all(b"hello").await.unwrap();
    assert_eq!(&reader.await.unwrap(), b"hello");
}

#[test]
fn a_host_that_ticks_need_not_know_of_sockets() {
    let runtime = runtime();
    let task = runtime.spawn(say_hello());
    while !task.is_finished() {
        runtime.tick();
    }
    runtime.block_on(task).unwrap();
}

#[test]
fn a_parker_of_the_host_need_not_know_of_sockets() {
    /// Looks at something else for a millisecond at a time.
    #[derive(Default)]
    struct Host(ThreadParker);
    impl Park for Host {
        fn park(&mut self, timeout: Option<Duration>) {
            let millisecond = Duration::from_millis(1);
            self.0.park(Some(timeout.map_or(millisecond, |timeout| timeout.min(millisecond))));
        }
        fn unparker(&self) -> Arc<dyn Unpark> {
            self.0.unparker()
        }
    }
    let runtime = Builder::new().parker(Host::default()).signals(false).build().unwrap();
    runtime.block_on(say_hello());
}

#[test]
fn main_may_be_asked_to_stop_while_it_waits_for_a_socket() {
    let runtime = Builder::new().build().unwrap();
    let remote = runtime.remote();
    let outcome = runtime.run(async {
        let listener = TcpListener::bind(here()).unwrap();
        drop(spawn(async move { remote.shutdown() }));
        listener.accept().await.map(drop)
    });
    let error = outcome.unwrap_err();
    assert!(error.to_string().contains("cancelled"), "{error}");
}
