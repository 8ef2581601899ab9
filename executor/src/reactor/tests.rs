//! The protocol between those who wait and the poller, in both modes of the poller.

use super::poller::portable::Portable;
use super::poller::{Event, INSTEAD, Interest, Make, Mode, Poller};
use super::{BorrowedSource, LIMP, Reactor, Source};
use crate::net::{Async, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixStream};
use crate::park::Unpark;
use crate::{block_on, spawn, yield_now};
use futures::future::{join, poll_immediate};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::net;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

/// The portable poller, as it is where there are no edges.
fn oneshot() -> Box<dyn Poller> {
    Box::new(Portable::new(Mode::Oneshot).unwrap())
}

fn in_both_modes<F: Future<Output = ()>>(test: impl Fn() -> F) {
    for instead in [None, Some(oneshot as Make)] {
        INSTEAD.set(instead);
        block_on(async {
            let reactor = Reactor::current().unwrap();
            if instead.is_some() {
                assert_eq!(reactor.poller.mode(), Mode::Oneshot);
            }
            test().await;
            assert!(reactor.sources.borrow().is_empty(), "a socket that is dropped leaves nothing");
        });
    }
}

fn here() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(here()).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (client, accepted) = join(client, listener.accept()).await;
    (client.unwrap(), accepted.unwrap().0)
}

/// Writes until there is no room left.
async fn fill(stream: &UnixStream) -> usize {
    let chunk = [7; 4096];
    let mut written = 0;
    while let Some(result) = poll_immediate((&mut &*stream).write(&chunk)).await {
        written += result.unwrap();
    }
    written
}

fn source_of(socket: &impl AsRawFd) -> Rc<Source> {
    let reactor = Reactor::current().unwrap();
    reactor.sources.borrow()[&(socket.as_raw_fd() as usize)].clone()
}

/// How many wakers and entries of futures a stream holds for reading.
fn waiting_to_read(stream: &UnixStream) -> (usize, usize) {
    source_of(stream).read.count_waiters()
}

#[derive(Default)]
struct CountWakes(AtomicUsize);

impl CountWakes {
    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for CountWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn what_one_end_writes_the_other_end_reads() {
    in_both_modes(|| async {
        let (mut client, mut server) = tcp_pair().await;
        let echo = spawn(async move {
            let mut buffer = [0; 4];
            for _ in 0..3 {
                server.read_exact(&mut buffer).await.unwrap();
                server.write_all(&buffer).await.unwrap();
            }
        });
        let mut buffer = [0; 4];
        for text in [b"ping", b"pong", b"pang"] {
            client.write_all(text).await.unwrap();
            client.read_exact(&mut buffer).await.unwrap();
            assert_eq!(&buffer, text);
        }
        echo.await.unwrap();
    });
}

#[test]
fn eight_megabytes_arrive_bit_by_bit_though_the_writer_has_to_wait() {
    // The period of the pattern has no common divisor with the size of a buffer.
    let sent: Rc<Vec<u8>> = Rc::new((0..8 << 20).map(|i| (i % 251) as u8).collect());
    in_both_modes(|| async {
        let (mut sender, mut receiver) = UnixStream::pair().unwrap();
        let writer = spawn({
            let sent = sent.clone();
            async move { sender.write_all(&sent).await.unwrap() }
        });
        let mut buffer = [0; 5000];
        let mut rest = &sent[..];
        loop {
            let len = receiver.read(&mut buffer).await.unwrap();
            if len == 0 {
                break;
            }
            let (expected, after) = rest.split_at(len);
            assert!(buffer[..len] == *expected, "{} bytes before the end", rest.len());
            rest = after;
        }
        assert_eq!(rest, b"");
        writer.await.unwrap();
    });
}

#[test]
fn the_end_is_seen_though_it_came_in_one_event_with_the_last_bytes() {
    in_both_modes(|| async {
        let (client, mut server) = tcp_pair().await;
        let reader = spawn(async move {
            let mut buffer = [0; 1024];
            let first = server.read(&mut buffer).await.unwrap();
            let second = server.read(&mut buffer).await.unwrap();
            (first, second)
        });
        // It waits now. When it is polled again everything is there.
        yield_now().await;
        (&client).write_all(b"bye").await.unwrap();
        drop(client);
        assert_eq!(reader.await.unwrap(), (3, 0));
    });
}

#[test]
fn an_error_is_seen_though_it_came_in_one_event_with_the_last_bytes() {
    in_both_modes(|| async {
        let (client, mut server) = tcp_pair().await;
        let reader = spawn(async move {
            let mut buffer = [0; 1024];
            // Whether the bytes survive the reset is up to the operating system.
            loop {
                if let Err(error) = server.read(&mut buffer).await {
                    return error.kind();
                }
            }
        });
        yield_now().await;
        client.set_linger(Some(Duration::ZERO)).unwrap();
        (&client).write_all(b"bye").await.unwrap();
        drop(client);
        assert_eq!(reader.await.unwrap(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn what_is_behind_urgent_data_is_read_though_all_came_in_one_event() {
    in_both_modes(|| async {
        let (client, mut server) = tcp_pair().await;
        let reader = spawn(async move {
            let mut received = Vec::new();
            let mut buffer = [0; 1024];
            while received.len() < 6 {
                let len = server.read(&mut buffer).await.unwrap();
                received.extend_from_slice(&buffer[..len]);
            }
            received
        });
        yield_now().await;
        (&client).write_all(b"abc").await.unwrap();
        socket2::SockRef::from(&client).send_out_of_band(b"!").unwrap();
        (&client).write_all(b"def").await.unwrap();
        assert_eq!(reader.await.unwrap(), b"abcdef");
    });
}

#[test]
fn a_reader_and_a_writer_wait_on_one_socket_and_both_are_woken() {
    in_both_modes(|| async {
        let (a, b) = UnixStream::pair().unwrap();
        let (a, b) = (Rc::new(a), Rc::new(b));
        let filled = fill(&a).await;
        let reader = spawn({
            let a = a.clone();
            async move {
                let mut byte = [0];
                (&*a).read_exact(&mut byte).await.unwrap();
                byte[0]
            }
        });
        let writer = spawn({
            let a = a.clone();
            async move { (&*a).write_all(b"x").await.unwrap() }
        });
        yield_now().await;
        // The reader's event must not end the watch over the writer's, ...
        (&*b).write_all(b"r").await.unwrap();
        assert_eq!(reader.await.unwrap(), b'r');
        assert!(!writer.is_finished());
        // ... which comes only now.
        let mut drained = vec![0; filled];
        (&*b).read_exact(&mut drained).await.unwrap();
        writer.await.unwrap();
        let mut last = [0];
        (&*b).read_exact(&mut last).await.unwrap();
        assert_eq!(last, *b"x");
    });
}

#[test]
fn several_tasks_accept_from_one_listener_and_none_is_forgotten() {
    in_both_modes(|| async {
        let listener = Rc::new(TcpListener::bind(here()).unwrap());
        let address = listener.local_addr().unwrap();
        let acceptors: Vec<_> = (0..20)
            .map(|_| {
                let listener = listener.clone();
                spawn(async move { listener.accept().await.unwrap().1 })
            })
            .collect();
        yield_now().await;
        let mut clients = Vec::new();
        for _ in 0..20 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let mut accepted = Vec::new();
        for acceptor in acceptors {
            accepted.push(acceptor.await.unwrap());
        }
        let mut connected: Vec<_> =
            (clients.iter()).map(|client| client.local_addr().unwrap()).collect();
        accepted.sort();
        connected.sort();
        assert_eq!(accepted, connected);
    });
}

#[test]
fn two_tasks_receive_from_one_udp_socket() {
    in_both_modes(|| async {
        let receiver = Rc::new(UdpSocket::bind(here()).unwrap());
        let sender = UdpSocket::bind(here()).unwrap();
        let tasks = [(); 2].map(|()| {
            let receiver = receiver.clone();
            spawn(async move {
                let mut buffer = [0; 8];
                let len = receiver.recv(&mut buffer).await.unwrap();
                buffer[..len].to_vec()
            })
        });
        yield_now().await;
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        for datagram in [b"one", b"two"] {
            sender.send(datagram).await.unwrap();
        }
        let [a, b] = tasks;
        let mut received = [a.await.unwrap(), b.await.unwrap()];
        received.sort();
        assert_eq!(received, [b"one", b"two"]);
    });
}

#[test]
fn more_tasks_than_are_remembered_may_poll_one_stream() {
    in_both_modes(|| async {
        let (a, b) = UnixStream::pair().unwrap();
        let a = Rc::new(a);
        let mut tasks = Vec::new();
        for _ in 0..40 {
            let a = a.clone();
            tasks.push(spawn(async move {
                let mut byte = [0];
                (&*a).read_exact(&mut byte).await.unwrap();
                usize::from(byte[0])
            }));
        }
        yield_now().await;
        let bytes: Vec<u8> = (0..40).collect();
        (&b).write_all(&bytes).await.unwrap();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        assert_eq!(sum, 39 * 40 / 2);
    });
}

#[test]
fn a_dropped_future_leaves_no_waker_behind() {
    in_both_modes(|| async {
        let (a, b) = UnixStream::pair().unwrap();
        for _ in 0..100 {
            // A waker of its own each time, as in `FuturesUnordered`.
            let waker = Waker::from(Arc::new(CountWakes::default()));
            let mut cx = Context::from_waker(&waker);
            let readable = pin!(a.readable());
            assert!(readable.poll(&mut cx).is_pending());
            assert_eq!(waiting_to_read(&a), (0, 1));
        }
        assert_eq!(waiting_to_read(&a), (0, 0));
        (&b).write_all(b"x").await.unwrap();
        a.readable().await.unwrap();
    });
}

#[test]
fn those_who_poll_and_go_away_do_not_accumulate_and_the_one_who_stays_is_woken() {
    in_both_modes(|| async {
        let (a, b) = UnixStream::pair().unwrap();
        let poll_with = |waker: &Waker| {
            let mut buffer = [0];
            let mut a = &a;
            let mut read = pin!(a.read(&mut buffer));
            read.as_mut().poll(&mut Context::from_waker(waker))
        };
        let first = Arc::new(CountWakes::default());
        assert!(poll_with(&first.clone().into()).is_pending());
        assert!(poll_with(&first.clone().into()).is_pending());
        assert_eq!(waiting_to_read(&a), (1, 0), "the same task counts once");
        for _ in 0..100 {
            let waker = Arc::new(CountWakes::default()).into();
            assert!(poll_with(&waker).is_pending());
        }
        assert_eq!(waiting_to_read(&a), (16, 0));
        assert_eq!(first.get(), 1, "pushed out, and told so");
        let last = Arc::new(CountWakes::default());
        assert!(poll_with(&last.clone().into()).is_pending());
        (&b).write_all(b"x").await.unwrap();
        a.readable().await.unwrap();
        assert_eq!(last.get(), 1);
    });
}

#[test]
fn a_read_that_was_dropped_takes_nothing() {
    in_both_modes(|| async {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        let mut buffer = [0; 8];
        assert!(poll_immediate(a.read(&mut buffer)).await.is_none());
        b.write_all(b"kept").await.unwrap();
        a.readable().await.unwrap();
        assert_eq!(a.read(&mut buffer).await.unwrap(), 4);
        assert_eq!(&buffer[..4], b"kept");
    });
}

#[test]
fn readable_tells_the_truth() {
    in_both_modes(|| async {
        let (a, b) = UnixStream::pair().unwrap();
        let mut buffer = [0; 8];
        for _ in 0..3 {
            // Nothing is there: it waits.
            let mut readable = pin!(a.readable());
            assert!(poll_immediate(&mut readable).await.is_none());
            (&b).write_all(b"abcd").await.unwrap();
            readable.await.unwrap();
            // Something is there: it does not wait for more, however often it is asked.
            a.readable().await.unwrap();
            a.readable().await.unwrap();
            // Somebody reads past the reactor, and it waits again.
            assert_eq!(rustix::io::read(&a, &mut buffer).unwrap(), 4);
            let mut readable = pin!(a.readable());
            assert!(poll_immediate(&mut readable).await.is_none());
            b.writable().await.unwrap();
            let polled = poll_immediate(&mut readable).await;
            assert!(polled.is_none(), "the loop has looked meanwhile");
        }
    });
}

#[test]
fn writable_is_ready_again_when_there_is_room() {
    in_both_modes(|| async {
        let (a, b) = UnixStream::pair().unwrap();
        a.writable().await.unwrap();
        a.writable().await.unwrap();
        let filled = fill(&a).await;
        assert!(poll_immediate(a.writable()).await.is_none());
        let mut drained = vec![0; filled];
        let (read, writable) =
            join(async { (&b).read_exact(&mut drained).await }, a.writable()).await;
        read.unwrap();
        writable.unwrap();
        assert!(poll_immediate((&mut &a).write(b"x")).await.is_some());
    });
}

#[test]
fn a_datagram_waits_until_its_receiver_has_room() {
    in_both_modes(|| async {
        let (a, b) = UnixDatagram::pair().unwrap();
        let mut sent = 0;
        while poll_immediate(a.send(b"x")).await.is_some() {
            sent += 1;
        }
        let receive_all = async {
            let mut received = Vec::new();
            while received.last() != Some(&b'y') {
                let mut buffer = [0; 8];
                assert_eq!(b.recv(&mut buffer).await.unwrap(), 1);
                received.push(buffer[0]);
            }
            received.len()
        };
        let (last, received) = join(a.send(b"y"), receive_all).await;
        assert_eq!((last.unwrap(), received), (1, sent + 1));
    });
}

#[test]
fn a_waker_may_use_the_sockets_that_woke_it() {
    // Foreign, and nosy: it is called while the reactor hands out events.
    struct Nosy(std::sync::Mutex<Option<std::sync::mpsc::Sender<usize>>>);
    impl Wake for Nosy {
        fn wake(self: Arc<Self>) {
            let (a, b) = UnixStream::pair().unwrap();
            let mut read = pin!(a.readable());
            let polled = read.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
            drop(b);
            let reactor = Reactor::current().unwrap();
            reactor.wait(Some(Duration::ZERO));
            let sources = reactor.sources.borrow().len();
            let sender = self.0.lock().unwrap().take().unwrap();
            sender.send(sources).unwrap();
        }
    }
    in_both_modes(|| async {
        let (sender, receiver) = std::sync::mpsc::channel();
        let waker = Waker::from(Arc::new(Nosy(Some(sender).into())));
        let (a, b) = UnixStream::pair().unwrap();
        let mut readable = pin!(a.readable());
        let polled = readable.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        (&b).write_all(b"x").await.unwrap();
        // The loop looks for events now.
        b.writable().await.unwrap();
        assert_eq!(receiver.try_recv(), Ok(3), "these two, and one of its own");
    });
}

#[test]
fn a_descriptor_is_registered_once() {
    in_both_modes(|| async {
        let (stream, _peer) = net::UnixStream::pair().unwrap();
        let stream = Rc::new(stream);
        let first = Async::new(stream.clone()).unwrap();
        let error = Async::new(stream.clone()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(error.to_string().contains("try_clone"), "{error}");
        // A failure that leaves no trace.
        first.writable().await.unwrap();
        let duplicate = Async::new(stream.try_clone().unwrap()).unwrap();
        join(first.writable(), duplicate.writable()).await.0.unwrap();
        drop(first);
        Async::new(stream).unwrap().writable().await.unwrap();
    });
}

/// Cannot wait, as if somebody had closed its file descriptor.
struct Broken(Box<dyn Poller>);

impl Poller for Broken {
    fn mode(&self) -> Mode {
        self.0.mode()
    }

    unsafe fn add(&self, source: BorrowedSource<'_>, key: usize) -> io::Result<()> {
        // SAFETY: the caller knows.
        unsafe { self.0.add(source, key) }
    }

    fn arm(&self, source: BorrowedSource<'_>, interest: Interest) -> io::Result<()> {
        self.0.arm(source, interest)
    }

    fn remove(&self, source: BorrowedSource<'_>) -> io::Result<()> {
        self.0.remove(source)
    }

    fn wait(&self, _: Option<Duration>, _: &mut Vec<Event>) -> io::Result<()> {
        Err(io::ErrorKind::InvalidInput.into())
    }

    fn unparker(&self) -> Arc<dyn Unpark> {
        self.0.unparker()
    }
}

#[test]
fn a_poller_that_fails_makes_sockets_slow_and_not_dead() {
    INSTEAD.set(Some(|| Box::new(Broken(oneshot()))));
    block_on(async {
        let (a, mut b) = UnixStream::pair().unwrap();
        let read = spawn(async move { (&a).read(&mut [0; 8]).await.unwrap() });
        yield_now().await;
        let start = Instant::now();
        Reactor::current().unwrap().wait(None);
        assert!(start.elapsed() >= LIMP, "it must not be busy");
        b.write_all(b"hello").await.unwrap();
        assert_eq!(read.await.unwrap(), 5);
    });
}

#[test]
fn without_sockets_a_look_costs_nothing() {
    block_on(async {
        let reactor = Reactor::current().unwrap();
        reactor.unparker().unpark();
        reactor.wait(Some(Duration::ZERO));
        // It is still there: nobody has asked the operating system.
        let start = Instant::now();
        reactor.wait(Some(Duration::from_secs(600)));
        assert!(start.elapsed() < Duration::from_secs(600));
    });
}

/// Other pollers do not notice that a file descriptor was closed, and take regular files.
#[cfg(all(target_os = "linux", not(polling_test_poll_backend)))]
mod on_epoll {
    use super::*;
    use std::os::fd::BorrowedFd;

    #[test]
    fn a_read_that_does_not_fill_its_buffer_spares_the_next_one_until_the_end_is_announced() {
        block_on(async {
            let (mut client, mut server) = tcp_pair().await;
            let mut buffer = [0; 8];
            let may_try = |server: &TcpStream| source_of(server).read.maybe_ready();
            for _ in 0..3 {
                client.write_all(b"abc").await.unwrap();
                assert_eq!(server.read(&mut buffer).await.unwrap(), 3);
                assert!(!may_try(&server));
            }
            client.write_all(b"12345678").await.unwrap();
            assert_eq!(server.read(&mut buffer).await.unwrap(), 8);
            assert!(may_try(&server), "there may be more");
            assert!(poll_immediate(server.read(&mut buffer)).await.is_none());
            client.write_all(b"abc").await.unwrap();
            client.close().await.unwrap();
            assert_eq!(server.read(&mut buffer).await.unwrap(), 3);
            assert!(may_try(&server), "the end is there");
            assert_eq!(server.read(&mut buffer).await.unwrap(), 0);
            assert_eq!(server.read(&mut buffer).await.unwrap(), 0);
        });
    }

    #[test]
    fn a_descriptor_closed_by_somebody_else_harms_nobody() {
        in_both_modes(|| async {
            let (a, peer) = at_number_500();
            // SAFETY: it will be closed while it is borrowed, which is the point of the test. Nothing
            // but system calls with a wrong number can come of it, and nobody else uses that number.
            let borrowed = unsafe { BorrowedFd::borrow_raw(a.as_raw_fd()) };
            let stale = Async::new(borrowed).unwrap();
            let mut waiting = Box::pin(stale.readable());
            assert!(poll_immediate(&mut waiting).await.is_none());
            drop((a, peer));

            let (a, mut peer) = at_number_500();
            let a = UnixStream::from_std(a).unwrap();
            waiting.await.unwrap();
            for result in [
                stale.read_with(|_| -> io::Result<()> { panic!("not ours") }).await,
                stale.write_with(|_| -> io::Result<()> { panic!("not ours") }).await,
                stale.readable().await,
            ] {
                let error = result.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::NotConnected, "{error}");
            }
            // It must not end the watch over the new one, ...
            drop(stale);
            let read = spawn(async move {
                let mut buffer = [0; 8];
                (&a).read(&mut buffer).await.unwrap()
            });
            yield_now().await;
            // ... which still hears from its peer.
            io::Write::write_all(&mut peer, b"hello").unwrap();
            assert_eq!(read.await.unwrap(), 5);
        });
    }

    #[test]
    fn a_regular_file_cannot_be_waited_for() {
        block_on(async {
            let file = std::fs::File::open("Cargo.toml").unwrap();
            let error = Async::new(file).unwrap_err();
            assert!(error.to_string().contains("use a thread"), "{error}");
        });
    }

    /// A pair, the first one of which has a number that other tests do not come to.
    fn at_number_500() -> (net::UnixStream, net::UnixStream) {
        let (a, b) = net::UnixStream::pair().unwrap();
        let a = rustix::io::fcntl_dupfd_cloexec(&a, 500).unwrap();
        assert_eq!(a.as_raw_fd(), 500);
        (a.into(), b)
    }
}
