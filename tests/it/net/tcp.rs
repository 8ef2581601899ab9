//! What TCP connections can do.

use super::{block_on, here, tcp_pair};
use futures::future::{join, join_all};
use futures::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use quell::net::{TcpListener, TcpStream};
use quell::{JoinHandle, spawn};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

/// A server that gives back what it gets, a task for each connection.
fn serve_echo() -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(here()).unwrap();
    let address = listener.local_addr().unwrap();
    let server = spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            drop(spawn(async move { futures::io::copy(&stream, &mut &stream).await }));
        }
    });
    (address, server)
}

#[test]
fn a_hundred_connections_at_once_each_get_their_own_echo() {
    block_on(async {
        let (address, server) = serve_echo();
        let clients = (0..100u32).map(|i| {
            spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                for round in 0..10u32 {
                    let message = (i * 1000 + round).to_be_bytes();
                    stream.write_all(&message).await.unwrap();
                    let mut echo = [0; 4];
                    stream.read_exact(&mut echo).await.unwrap();
                    assert_eq!(echo, message);
                }
            })
        });
        for client in join_all(clients).await {
            client.unwrap();
        }
        server.cancel();
        assert!(server.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn eight_megabytes_go_through_an_echo_unchanged() {
    let sent: Rc<Vec<u8>> = Rc::new((0..8 << 20).map(|i| (i % 251) as u8).collect());
    block_on(async {
        let (address, _server) = serve_echo();
        let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
        let writer = spawn({
            let sent = sent.clone();
            async move {
                for chunk in sent.chunks(10_007) {
                    write.write_all(chunk).await.unwrap();
                }
            }
        });
        let mut received = Vec::with_capacity(sent.len());
        let mut buffer = [0; 5003];
        loop {
            let len = read.read(&mut buffer).await.unwrap();
            if len == 0 {
                break;
            }
            received.extend_from_slice(&buffer[..len]);
        }
        writer.await.unwrap();
        assert!(received == **sent);
    });
}

#[test]
fn a_stream_that_has_closed_for_writing_can_still_be_answered() {
    block_on(async {
        let (mut client, mut server) = tcp_pair().await;
        client.write_all(b"question").await.unwrap();
        client.close().await.unwrap();
        client.close().await.unwrap();
        let mut text = String::new();
        server.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "question");
        server.write_all(b"answer").await.unwrap();
        drop(server);
        text.clear();
        client.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "answer");
        // The connection has ended. Nobody is told of that as an error.
        client.close().await.unwrap();
    });
}

#[test]
fn shutting_down_reading_ends_a_read_that_waits() {
    block_on(async {
        let (client, _server) = tcp_pair().await;
        let client = Rc::new(client);
        let reader = spawn({
            let client = client.clone();
            async move { (&*client).read(&mut [0; 8]).await.unwrap() }
        });
        quell::yield_now().await;
        client.shutdown(Shutdown::Read).unwrap();
        assert_eq!(reader.await.unwrap(), 0);
    });
}

#[test]
fn the_halves_of_a_stream_live_in_two_tasks() {
    block_on(async {
        let (client, server) = tcp_pair().await;
        let (mut read, mut write) = client.into_split();
        let address = server.peer_addr().unwrap();
        assert_eq!(read.as_ref().local_addr().unwrap(), address);
        assert_eq!(write.as_ref().local_addr().unwrap(), address);
        let writer = spawn(async move {
            write.write_all(b"from the writing half").await.unwrap();
            // Dropped here, which closes this direction.
        });
        let reader = spawn(async move {
            let mut text = String::new();
            read.read_to_string(&mut text).await.unwrap();
            text
        });
        let mut text = String::new();
        (&server).read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "from the writing half");
        writer.await.unwrap();
        (&server).write_all(b"to the reading half").await.unwrap();
        drop(server);
        assert_eq!(reader.await.unwrap(), "to the reading half");
    });
}

#[test]
fn halves_reunite_with_each_other_and_nobody_else() {
    block_on(async {
        let (client, server) = tcp_pair().await;
        let (a_read, a_write) = client.into_split();
        let (b_read, b_write) = server.into_split();
        let error = a_read.reunite(b_write).unwrap_err();
        assert!(error.to_string().contains("different streams"));
        let (a_read, b_write) = (error.0, error.1);
        let mut client = a_write.reunite(a_read).unwrap();
        let mut server = b_read.reunite(b_write).unwrap();
        // Both directions are open.
        client.write_all(b"1").await.unwrap();
        server.write_all(b"2").await.unwrap();
        let (mut one, mut two) = ([0], [0]);
        server.read_exact(&mut one).await.unwrap();
        client.read_exact(&mut two).await.unwrap();
        assert_eq!((&one, &two), (b"1", b"2"));
    });
}

#[test]
fn a_writing_half_that_is_forgotten_leaves_its_direction_open() {
    block_on(async {
        let (client, mut server) = tcp_pair().await;
        let (read, write) = client.into_split();
        write.forget();
        let mut stream: &TcpStream = read.as_ref();
        stream.write_all(b"still open").await.unwrap();
        let mut buffer = [0; 10];
        server.read_exact(&mut buffer).await.unwrap();
        drop(read);
        assert_eq!(server.read(&mut buffer).await.unwrap(), 0);
    });
}

#[test]
fn several_buffers_are_written_and_read_in_one_go() {
    block_on(async {
        let (mut client, mut server) = tcp_pair().await;
        let parts = [IoSlice::new(b"one"), IoSlice::new(b", "), IoSlice::new(b"two")];
        assert_eq!(client.write_vectored(&parts).await.unwrap(), 8);
        let (mut head, mut tail) = ([0; 3], [0; 10]);
        let mut parts = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)];
        assert_eq!(server.read_vectored(&mut parts).await.unwrap(), 8);
        assert_eq!((&head, &tail[..5]), (b"one", &b", two"[..]));
        let (_, mut write) = client.into_split();
        let parts = [IoSlice::new(b"ha"), IoSlice::new(b"lf")];
        assert_eq!(write.write_vectored(&parts).await.unwrap(), 4);
        server.read_exact(&mut tail[..4]).await.unwrap();
        assert_eq!(&tail[..4], b"half");
    });
}

#[test]
fn the_adapters_of_futures_work_on_streams() {
    block_on(async {
        let (client, server) = tcp_pair().await;
        let sender = spawn(async move {
            let lines: &[u8] = b"first\nsecond\n";
            futures::io::copy(lines, &mut &client).await.unwrap()
        });
        let mut lines = BufReader::new(server).lines();
        let mut read = Vec::new();
        while let Some(line) = futures::StreamExt::next(&mut lines).await {
            read.push(line.unwrap());
        }
        assert_eq!(read, ["first", "second"]);
        assert_eq!(sender.await.unwrap(), 13);
    });
}

#[test]
fn peeking_takes_nothing() {
    block_on(async {
        let (mut client, mut server) = tcp_pair().await;
        let mut buffer = [0; 4];
        let (peeked, written) = join(server.peek(&mut buffer), client.write_all(b"peek")).await;
        written.unwrap();
        assert_eq!(peeked.unwrap(), 4);
        server.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"peek");
    });
}

#[test]
fn the_first_address_that_answers_is_taken() {
    block_on(async {
        let listener = TcpListener::bind(here()).unwrap();
        let good = listener.local_addr().unwrap();
        let stream = TcpStream::connect_any(&[super::nobody(), good]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        let refused = TcpStream::connect_any(&[super::nobody(); 2]).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let none = TcpStream::connect_any(&[]).await.unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::InvalidInput);
    });
}

#[test]
fn a_connection_may_use_ipv6() {
    block_on(async {
        // Some machines have none.
        let Ok(listener) = TcpListener::bind("[::1]:0".parse().unwrap()) else {
            return;
        };
        let address = listener.local_addr().unwrap();
        let (client, accepted) = join(TcpStream::connect(address), listener.accept()).await;
        assert_eq!(accepted.unwrap().1, client.unwrap().local_addr().unwrap());
    });
}

#[test]
fn options_are_kept() {
    block_on(async {
        let (stream, _peer) = tcp_pair().await;
        stream.set_nodelay(true).unwrap();
        assert!(stream.nodelay().unwrap());
        stream.set_ttl(7).unwrap();
        assert_eq!(stream.ttl().unwrap(), 7);
        stream.set_linger(Some(Duration::ZERO)).unwrap();
        assert_eq!(stream.linger().unwrap(), Some(Duration::ZERO));
        assert!(!stream.keepalive().unwrap());
        stream.set_keepalive(Some(Duration::from_secs(60))).unwrap();
        assert!(stream.keepalive().unwrap());
        stream.set_keepalive(None).unwrap();
        assert!(!stream.keepalive().unwrap());
        stream.set_send_buffer_size(20_000).unwrap();
        assert!(stream.send_buffer_size().unwrap() >= 20_000);
        stream.set_recv_buffer_size(20_000).unwrap();
        assert!(stream.recv_buffer_size().unwrap() >= 20_000);
        assert!(stream.take_error().unwrap().is_none());
        let text = format!("{stream:?}");
        assert!(text.contains(&stream.local_addr().unwrap().to_string()), "{text}");
    });
}

#[test]
fn listeners_can_be_polled_by_hand() {
    block_on(async {
        let listener = TcpListener::bind(here()).unwrap();
        listener.set_ttl(9).unwrap();
        assert_eq!(listener.ttl().unwrap(), 9);
        let address = listener.local_addr().unwrap();
        let mut polls = 0;
        let accept = std::future::poll_fn(|cx| {
            polls += 1;
            listener.poll_accept(cx)
        });
        let (accepted, client) = join(accept, TcpStream::connect(address)).await;
        assert_eq!(accepted.unwrap().1, client.unwrap().local_addr().unwrap());
        assert_eq!(polls, 2, "once in vain, and once when it was woken");
    });
}
