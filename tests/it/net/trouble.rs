//! What goes wrong on networks.

use super::{block_on, here, nobody, tcp_pair};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use quell::net::{TcpListener, TcpStream};
use std::io::{self, ErrorKind};
use std::time::Duration;

#[test]
fn nobody_who_listens_is_an_error() {
    block_on(async {
        let error = TcpStream::connect(nobody()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn an_address_that_is_taken_is_an_error() {
    block_on(async {
        let listener = TcpListener::bind(here()).unwrap();
        let error = TcpListener::bind(listener.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    });
}

#[test]
fn a_reset_reaches_the_one_who_reads() {
    block_on(async {
        let (client, mut server) = tcp_pair().await;
        let reader = quell::spawn(async move { server.read(&mut [0; 8]).await });
        quell::yield_now().await;
        client.set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        let error = reader.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

/// Writes until that fails. The process survives it: a broken pipe is a signal, too.
async fn write_until_it_fails(mut stream: impl futures::AsyncWrite + Unpin) -> io::Error {
    loop {
        if let Err(error) = stream.write_all(&[0; 1000]).await {
            return error;
        }
    }
}

#[test]
fn writing_to_a_peer_that_is_gone_fails_and_the_process_lives_on() {
    block_on(async {
        let (client, server) = tcp_pair().await;
        drop(server);
        let kind = write_until_it_fails(client).await.kind();
        assert!(matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{kind}");

        let (client, _server) = tcp_pair().await;
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(write_until_it_fails(client).await.kind(), ErrorKind::BrokenPipe);
    });
}

#[cfg(unix)]
#[test]
fn writing_to_a_unix_peer_that_is_gone_fails_and_the_process_lives_on() {
    block_on(async {
        let (a, b) = quell::net::UnixStream::pair().unwrap();
        drop(b);
        assert_eq!(write_until_it_fails(a).await.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_writer_that_waits_is_told_when_the_peer_goes() {
    block_on(async {
        let (client, server) = tcp_pair().await;
        let writer = quell::spawn(write_until_it_fails(client));
        // It has filled all buffers by then, or will have to wait for them any moment.
        (&server).read_exact(&mut [0; 100_000]).await.unwrap();
        drop(server);
        let kind = writer.await.unwrap().kind();
        assert!(matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{kind}");
    });
}

/// A process of its own, because it uses up all file descriptors.
#[cfg(unix)]
#[test]
fn no_connection_is_lost_when_there_are_too_many_open_files() {
    const NAME: &str = "net::trouble::no_connection_is_lost_when_there_are_too_many_open_files";
    const IN_CHILD: &str = "QUELL_TEST_FEW_FILES";
    if std::env::var_os(IN_CHILD).is_some() {
        return run_out_of_files();
    }
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 40 && exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .arg(NAME)
        .env(IN_CHILD, "yes")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[cfg(unix)]
fn run_out_of_files() {
    block_on(async {
        let listener = TcpListener::bind(here()).unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        let mut files = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            files.push(file);
            assert!(files.len() < 40, "the limit is not in force");
        }
        let too_many = |error: io::Error| {
            let files = std::fs::File::open("/dev/null").unwrap_err();
            assert_eq!(error.raw_os_error(), files.raw_os_error(), "{error}");
        };
        too_many(listener.accept().await.unwrap_err());
        too_many(listener.accept().await.unwrap_err());
        too_many(TcpStream::connect(address).await.unwrap_err());
        files.pop();
        let (accepted, from) = listener.accept().await.unwrap();
        assert_eq!(from, client.local_addr().unwrap());
        drop((accepted, client));
        // The listener waits as before.
        files.clear();
        let client = quell::spawn(async move { TcpStream::connect(address).await.unwrap() });
        listener.accept().await.unwrap();
        client.await.unwrap();
    });
}
