//! UDP.

use super::Async;
use socket2::SockRef;
use std::fmt;
use std::io;
use std::net::{self, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Sends and receives UDP datagrams.
///
/// All methods take `&self`, and several tasks may use it at the same time; each datagram goes to
/// one of them.
///
/// ```
/// use quell::net::UdpSocket;
///
/// # quell::block_on(async {
/// let here = "127.0.0.1:0".parse().unwrap();
/// let (a, b) = (UdpSocket::bind(here)?, UdpSocket::bind(here)?);
/// a.send_to(b"ping", b.local_addr()?).await?;
/// let mut buffer = [0; 16];
/// let (len, from) = b.recv_from(&mut buffer).await?;
/// assert_eq!((&buffer[..len], from), (&b"ping"[..], a.local_addr()?));
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub struct UdpSocket(Async<net::UdpSocket>);

impl_socket!(UdpSocket, net::UdpSocket);
impl_datagram!(UdpSocket);

impl UdpSocket {
    /// A socket at `address`. Port 0 lets the operating system choose one; see
    /// [`local_addr`](Self::local_addr).
    ///
    /// # Errors
    ///
    /// If the address is in use or may not be used; if no runtime is running on this thread.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::from_std(net::UdpSocket::bind(address)?)
    }

    /// Sends one datagram to `target`.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has sent nothing.
    pub async fn send_to(&self, datagram: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.0.write_with(|socket| socket.send_to(datagram, target)).await
    }

    /// Receives one datagram, and tells who sent it. What does not fit into the buffer is lost; on
    /// Windows that is an error.
    ///
    /// # Cancel safety
    ///
    /// No datagram is lost.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.read_with(|socket| socket.recv_from(buffer)).await
    }

    /// Receives without taking: the next receiver gets the same datagram.
    ///
    /// # Cancel safety
    ///
    /// No datagram is lost.
    pub async fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.read_with(|socket| socket.peek_from(buffer)).await
    }

    /// Receives without taking, on a connected socket.
    ///
    /// # Cancel safety
    ///
    /// No datagram is lost.
    pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_with(|socket| socket.peek(buffer)).await
    }

    forward_options! {
        |this| this.0.get_ref();

        /// Fixes the peer: [`send`](Self::send) sends there, and nothing is received from others.
        /// Nothing is sent by this.
        fn connect(peer: SocketAddr) -> ();

        /// Its own address.
        fn local_addr() -> SocketAddr;

        /// The address that was given to [`connect`](Self::connect).
        fn peer_addr() -> SocketAddr;

        /// Whether it may send to broadcast addresses.
        fn broadcast() -> bool;

        /// Whether it may send to broadcast addresses. No, unless set.
        fn set_broadcast(broadcast: bool) -> ();

        /// How many routers a packet may pass.
        fn ttl() -> u32;

        /// Sets how many routers a packet may pass.
        fn set_ttl(ttl: u32) -> ();

        /// Whether it receives the multicast packets that are sent from this machine.
        fn multicast_loop_v4() -> bool;

        /// Whether it receives the multicast packets that are sent from this machine. Yes, unless
        /// set.
        fn set_multicast_loop_v4(multicast_loop: bool) -> ();

        /// How many routers a multicast packet may pass.
        fn multicast_ttl_v4() -> u32;

        /// Sets how many routers a multicast packet may pass: 1 unless set, which is the local
        /// network.
        fn set_multicast_ttl_v4(ttl: u32) -> ();
    }

    /// Joins a group, on the interface with this address; `0.0.0.0` lets the operating system
    /// choose.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.0.get_ref().join_multicast_v4(&group, &interface)
    }

    /// Leaves a group.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.0.get_ref().leave_multicast_v4(&group, &interface)
    }

    /// Joins a group, on the interface with this index; 0 lets the operating system choose.
    pub fn join_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        self.0.get_ref().join_multicast_v6(&group, interface)
    }

    /// Leaves a group.
    pub fn leave_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        self.0.get_ref().leave_multicast_v6(&group, interface)
    }

    forward_buffer_sizes!();
}
