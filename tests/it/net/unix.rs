//! Unix sockets, and other things that `Async` can wait for.

use super::block_on;
use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use quell::net::{Async, UnixDatagram, UnixListener, UnixStream};
use quell::spawn;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A path for a socket; the file is removed in the end.
struct SocketPath(PathBuf);

impl SocketPath {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("quell-test-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl AsRef<Path> for SocketPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        // Not every test gets so far as to make it.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_client_finds_the_server_at_its_path() {
    block_on(async {
        let path = SocketPath::new();
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(path.as_ref()));
        let server = spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            futures::io::copy(&stream, &mut &stream).await.unwrap()
        });
        let mut client = UnixStream::connect(&path).await.unwrap();
        assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(path.as_ref()));
        client.write_all(b"hello").await.unwrap();
        client.close().await.unwrap();
        let mut echo = String::new();
        client.read_to_string(&mut echo).await.unwrap();
        assert_eq!(echo, "hello");
        assert_eq!(server.await.unwrap(), 5);
    });
}

#[test]
fn nobody_at_a_path_is_an_error_and_so_is_somebody_at_ones_own() {
    block_on(async {
        let path = SocketPath::new();
        let error = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let _listener = UnixListener::bind(&path).unwrap();
        let error = UnixListener::bind(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    });
}

// Elsewhere a full queue counts as refused.
#[cfg(target_os = "linux")]
#[test]
fn a_full_queue_of_connections_says_so_and_empties_again() {
    block_on(async {
        let path = SocketPath::new();
        let listener = UnixListener::bind(&path).unwrap();
        let mut clients = Vec::new();
        let error = loop {
            match UnixStream::connect(&path).await {
                Ok(client) => clients.push(client),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(error.to_string().contains("try again later"), "{error}");
        listener.accept().await.unwrap();
        UnixStream::connect(&path).await.unwrap();
    });
}

#[test]
fn the_halves_of_a_pair_talk_in_both_directions_at_once() {
    block_on(async {
        let (a, b) = UnixStream::pair().unwrap();
        let exchange = |stream: UnixStream, text: &'static str| {
            spawn(async move {
                let (mut read, mut write) = stream.into_split();
                let writer = spawn(async move { write.write_all(text.as_bytes()).await.unwrap() });
                let mut received = String::new();
                read.read_to_string(&mut received).await.unwrap();
                writer.await.unwrap();
                received
            })
        };
        let (a, b) = join(exchange(a, "to b"), exchange(b, "to a")).await;
        assert_eq!((a.unwrap().as_str(), b.unwrap().as_str()), ("to a", "to b"));
    });
}

#[test]
fn datagrams_keep_their_bounds_and_name_their_sender() {
    block_on(async {
        let (here, there) = (SocketPath::new(), SocketPath::new());
        let receiver = UnixDatagram::bind(&here).unwrap();
        let sender = UnixDatagram::bind(&there).unwrap();
        sender.connect(&here).unwrap();
        assert_eq!(sender.peer_addr().unwrap().as_pathname(), Some(here.as_ref()));
        let nameless = UnixDatagram::unbound().unwrap();
        nameless.connect(&here).unwrap();
        let mut buffer = [0; 16];
        let (received, sent) = join(receiver.recv_from(&mut buffer), sender.send(b"one")).await;
        sent.unwrap();
        let (len, from) = received.unwrap();
        assert_eq!((len, from.as_pathname()), (3, Some(there.as_ref())));
        nameless.send(b"three").await.unwrap();
        let (len, from) = receiver.recv_from(&mut buffer).await.unwrap();
        assert!(len == 5 && from.is_unnamed());
        sender.shutdown(std::net::Shutdown::Write).unwrap();
        sender.send(b"no more").await.unwrap_err();
    });
}

#[test]
fn a_pipe_can_be_read_like_a_socket() {
    block_on(async {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // The types of `std` for pipes read through `&mut` only; files read through `&` as well.
        let file = |fd: std::os::fd::OwnedFd| std::fs::File::from(fd);
        let mut stdin = Async::new(file(child.stdin.take().unwrap().into())).unwrap();
        let mut stdout = Async::new(file(child.stdout.take().unwrap().into())).unwrap();
        let writer = spawn(async move {
            // More than a pipe holds.
            stdin.write_all(&[b'x'; 200_000]).await.unwrap();
            stdin.close().await.unwrap();
        });
        let mut read = Vec::new();
        stdout.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, [b'x'; 200_000]);
        writer.await.unwrap();
        assert!(child.wait().unwrap().success());
    });
}
