//! TCP on the loopback interface.

use super::Measured;
use crate::machine::Stopwatch;
use crate::runtimes::Net;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;

const MESSAGE: usize = 64;

/// A server echoes `n` messages of 64 bytes, over `connections` connections.
///
/// The client is a thread with blocking sockets, the same for all. It sends a message on each
/// connection, then reads the answer from each.
pub async fn echo<R: Net>(rt: &R, connections: u64, n: u64) -> Measured {
    let listener = R::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    let address = R::local_addr(&listener).expect("it is bound");
    let client = thread::spawn(move || client(address, connections, n));
    let mut servers = Vec::new();
    for _ in 0..connections {
        let stream = R::accept(&listener).await.expect("a connection");
        servers.push(rt.spawn(serve::<R>(stream)));
    }
    let mut echoed = 0;
    for server in servers {
        echoed += R::join(server).await.expect("the client hangs up in peace");
    }
    let measured = client.join().expect("a client").expect("a connection");
    assert_eq!(echoed, measured.operations * MESSAGE as u64);
    measured
}

/// Sends back what comes, to the end. Answers how many bytes.
async fn serve<R: Net>(mut stream: R::Stream) -> io::Result<u64> {
    let mut buffer = [0; 4 * MESSAGE];
    let mut echoed = 0;
    loop {
        match R::read(&mut stream, &mut buffer).await? {
            0 => return Ok(echoed),
            read => {
                R::write_all(&mut stream, &buffer[..read]).await?;
                echoed += read as u64;
            }
        }
    }
}

fn client(address: SocketAddr, connections: u64, n: u64) -> io::Result<Measured> {
    let mut streams = (0..connections)
        .map(|_| {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            Ok(stream)
        })
        .collect::<io::Result<Vec<_>>>()?;
    let mut operations = 0;
    let mut answer = [0; MESSAGE];
    let start = Stopwatch::now();
    let mut sent = 0;
    while sent < n {
        let round = connections.min(n - sent);
        let streams = &mut streams[..round as usize];
        for (stream, i) in streams.iter_mut().zip(sent..) {
            stream.write_all(&message(i))?;
        }
        for (stream, i) in streams.iter_mut().zip(sent..) {
            stream.read_exact(&mut answer)?;
            operations += u64::from(answer == message(i));
        }
        sent += round;
    }
    Ok(Measured { time: start.elapsed(), operations })
}

/// No two are the same.
fn message(i: u64) -> [u8; MESSAGE] {
    let mut message = [b'.'; MESSAGE];
    message[..8].copy_from_slice(&i.to_le_bytes());
    message
}
