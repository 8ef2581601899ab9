//! What UDP sockets can do.

use super::{block_on, here};
use futures::future::join;
use quell::net::UdpSocket;
use quell::spawn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

fn pair() -> (UdpSocket, UdpSocket) {
    (UdpSocket::bind(here()).unwrap(), UdpSocket::bind(here()).unwrap())
}

fn address(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().unwrap()
}

#[test]
fn datagrams_arrive_whole_and_tell_their_sender() {
    block_on(async {
        let (a, b) = pair();
        let mut buffer = [0; 16];
        let (received, sent) =
            join(b.recv_from(&mut buffer), a.send_to(b"hello", address(&b))).await;
        assert_eq!(sent.unwrap(), 5);
        assert_eq!(received.unwrap(), (5, address(&a)));
        assert_eq!(&buffer[..5], b"hello");
        // An empty one counts.
        a.send_to(b"", address(&b)).await.unwrap();
        assert_eq!(b.recv_from(&mut buffer).await.unwrap(), (0, address(&a)));
    });
}

#[test]
fn a_connected_socket_hears_its_peer_only() {
    block_on(async {
        let (a, b) = pair();
        let stranger = UdpSocket::bind(here()).unwrap();
        b.connect(address(&a)).unwrap();
        assert_eq!(b.peer_addr().unwrap(), address(&a));
        stranger.send_to(b"junk", address(&b)).await.unwrap();
        a.send_to(b"news", address(&b)).await.unwrap();
        let mut buffer = [0; 16];
        assert_eq!(b.recv(&mut buffer).await.unwrap(), 4);
        assert_eq!(&buffer[..4], b"news");
        b.send(b"thanks").await.unwrap();
        assert_eq!(a.recv(&mut buffer).await.unwrap(), 6);
    });
}

#[test]
fn peeking_leaves_the_datagram_to_the_next_receiver() {
    block_on(async {
        let (a, b) = pair();
        a.send_to(b"peek", address(&b)).await.unwrap();
        let mut buffer = [0; 16];
        assert_eq!(b.peek_from(&mut buffer).await.unwrap(), (4, address(&a)));
        assert_eq!(b.peek(&mut buffer).await.unwrap(), 4);
        assert_eq!(b.recv(&mut buffer).await.unwrap(), 4);
    });
}

#[test]
fn what_does_not_fit_the_buffer_is_lost_and_nothing_else() {
    block_on(async {
        let (a, b) = pair();
        a.send_to(b"too long", address(&b)).await.unwrap();
        a.send_to(b"ok", address(&b)).await.unwrap();
        let mut buffer = [0; 3];
        assert_eq!(b.recv(&mut buffer).await.unwrap(), 3);
        assert_eq!(b.recv(&mut buffer).await.unwrap(), 2);
    });
}

#[test]
fn many_tasks_share_one_socket_and_each_datagram_goes_to_one() {
    block_on(async {
        let (a, b) = pair();
        let b = Rc::new(b);
        let receivers: Vec<_> = (0..50)
            .map(|_| {
                let b = b.clone();
                spawn(async move {
                    let mut buffer = [0; 8];
                    b.recv(&mut buffer).await.unwrap();
                    buffer[0]
                })
            })
            .collect();
        quell::yield_now().await;
        for i in 0..50u8 {
            a.send_to(&[i], address(&b)).await.unwrap();
        }
        let mut received = Vec::new();
        for receiver in receivers {
            received.push(receiver.await.unwrap());
        }
        received.sort();
        assert_eq!(received, (0..50).collect::<Vec<_>>());
    });
}

// Elsewhere the answer that nobody listens may take its time or not come at all.
#[cfg(target_os = "linux")]
#[test]
fn a_peer_that_is_not_there_is_an_error_that_can_be_collected() {
    block_on(async {
        let (a, b) = pair();
        a.connect(address(&b)).unwrap();
        drop(b);
        a.send(b"anybody?").await.unwrap();
        let error = a.recv(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        a.send(b"anybody?").await.unwrap();
        a.readable().await.unwrap();
        let error = a.take_error().unwrap().expect("there is one");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(a.take_error().unwrap().is_none(), "taken");
    });
}

#[test]
fn options_are_kept() {
    block_on(async {
        let socket = UdpSocket::bind(here()).unwrap();
        assert!(!socket.broadcast().unwrap());
        socket.set_broadcast(true).unwrap();
        assert!(socket.broadcast().unwrap());
        socket.set_ttl(7).unwrap();
        assert_eq!(socket.ttl().unwrap(), 7);
        socket.set_multicast_ttl_v4(3).unwrap();
        assert_eq!(socket.multicast_ttl_v4().unwrap(), 3);
        assert!(socket.multicast_loop_v4().unwrap());
        socket.set_multicast_loop_v4(false).unwrap();
        assert!(!socket.multicast_loop_v4().unwrap());
        socket.set_recv_buffer_size(20_000).unwrap();
        assert!(socket.recv_buffer_size().unwrap() >= 20_000);
    });
}

#[test]
fn a_group_is_joined_once_and_left_once() {
    block_on(async {
        let socket = UdpSocket::bind(([0, 0, 0, 0], 0).into()).unwrap();
        let (group, interface) = (Ipv4Addr::new(224, 0, 0, 251), Ipv4Addr::LOCALHOST);
        socket.join_multicast_v4(group, interface).unwrap();
        socket.join_multicast_v4(group, interface).unwrap_err();
        socket.leave_multicast_v4(group, interface).unwrap();
        socket.leave_multicast_v4(group, interface).unwrap_err();
    });
}
