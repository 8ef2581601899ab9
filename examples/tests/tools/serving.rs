//! The static file server: what it serves, what it refuses, and how it stops.

use crate::harness::*;
use rustix::process::Signal;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// The first line of an answer, and the answer.
fn status(address: SocketAddr, request: &str) -> (String, String) {
    let answer = ask(address, request);
    (answer.lines().next().unwrap_or_default().to_owned(), answer)
}

#[test]
fn it_serves_files_and_nothing_else() {
    let outer = folder();
    let root = outer.path().join("root");
    fs::create_dir_all(root.join("sub/with index")).unwrap();
    fs::write(outer.path().join("secret"), "secret").unwrap();
    fs::write(root.join("a b.txt"), "content").unwrap();
    fs::write(root.join("sub/<tag>"), "").unwrap();
    fs::write(root.join("sub/with index/index.html"), "the index").unwrap();
    std::os::unix::fs::symlink("../secret", root.join("link")).unwrap();
    let server = Serve::start(serve(&root));

    let cases = [
        ("GET /a%20b.txt HTTP/1.1", "200 OK", "\r\n\r\ncontent"),
        ("GET /a%20b.txt?query HTTP/1.1", "200 OK", "content-length: 7\r\n"),
        ("GET /missing HTTP/1.1", "404 Not Found", ""),
        ("GET /a%20b.txt/ HTTP/1.1", "404 Not Found", ""),
        ("GET /a%20b.txt/x HTTP/1.1", "404 Not Found", ""),
        ("GET /sub HTTP/1.1", "301 Moved Permanently", "location: ./sub/\r\n"),
        ("GET /sub/ HTTP/1.1", "200 OK", "<a href=\"./%3Ctag%3E\">&lt;tag></a>"),
        ("GET /sub/with%20index/ HTTP/1.1", "200 OK", "the index"),
        ("GET /../secret HTTP/1.1", "403 Forbidden", ""),
        ("GET /%2e%2e/secret HTTP/1.1", "403 Forbidden", ""),
        ("GET /sub/..%2f..%2fsecret HTTP/1.1", "403 Forbidden", ""),
        ("GET /link HTTP/1.1", "403 Forbidden", ""),
        ("POST /a%20b.txt HTTP/1.1", "405 Method Not Allowed", "allow: GET, HEAD\r\n"),
    ];
    for (request, wanted, part) in cases {
        let (status, answer) = status(server.address, request);
        assert_eq!(status, format!("HTTP/1.1 {wanted}"), "{request}");
        assert!(answer.contains(part), "{request}: {answer}");
        assert!(!answer.contains("secret"), "{request}: {answer}");
    }
    let (_, head) = status(server.address, "HEAD /a%20b.txt HTTP/1.1");
    assert!(head.contains("content-length: 7\r\n") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn one_connection_serves_many_requests() {
    let (served, files) = made_files(3, 1000);
    let server = Serve::start(serve(served.path()));
    let mut stream = TcpStream::connect(server.address).unwrap();
    for (name, bytes) in &files {
        assert_eq!(get_on(&mut stream, name), *bytes);
    }
}

/// Asks for a file on a connection that stays open.
fn get_on(stream: &mut TcpStream, name: &str) -> Vec<u8> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /{name} HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut body = vec![0; read_head_of(stream)];
    stream.read_exact(&mut body).unwrap();
    body
}

/// Reads an answer's head and says how long the body is.
fn read_head_of(stream: &mut TcpStream) -> usize {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.expect("files have a length").parse().unwrap()
}

/// A server with one response on its way, one connection that is idle after a response, and one
/// on which nothing was ever asked.
struct Busy {
    server: Serve,
    busy: TcpStream,
    left: Vec<u8>,
    idle: [TcpStream; 2],
    _folder: tempfile::TempDir,
}

fn busy(rate: u32, grace: &str) -> Busy {
    let folder = folder();
    let bytes = noise(1, 200_000);
    fs::write(folder.path().join("slow"), &bytes).unwrap();
    fs::write(folder.path().join("quick"), "quick").unwrap();
    let mut command = serve(folder.path());
    command.args(["--throttle", &format!("slow={rate}"), "--grace", grace]);
    let mut server = Serve::start(command);
    let silent = TcpStream::connect(server.address).unwrap();
    let mut idle = TcpStream::connect(server.address).unwrap();
    assert_eq!(get_on(&mut idle, "quick"), b"quick");
    let mut busy = TcpStream::connect(server.address).unwrap();
    busy.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(busy, "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    assert_eq!(read_head_of(&mut busy), bytes.len());
    let mut first = [0; 10];
    busy.read_exact(&mut first).unwrap();
    assert_eq!(first, bytes[..10]);
    server.tool.line("GET /slow 200");
    Busy { server, busy, left: bytes[10..].into(), idle: [idle, silent], _folder: folder }
}

#[test]
fn sigterm_lets_a_response_finish_and_closes_idle_connections() {
    let mut test = busy(100_000, "1h");
    test.server.tool.signal(Signal::TERM);
    test.server.tool.line("SIGTERM: 1 request in flight, 1h to finish");
    // Those are closed at once, while the response is still on its way.
    for stream in &test.idle {
        wait_for_close(stream);
    }
    assert!(TcpStream::connect(test.server.address).is_err(), "nothing is accepted any more");
    let mut rest = Vec::new();
    test.busy.read_to_end(&mut rest).unwrap();
    assert!(rest == test.left, "the response is complete");
    let line = "1 request finished, 0 cut off, 2 idle connections closed";
    test.server.tool.end().expect(143, &[line]);
}

#[test]
fn what_does_not_finish_within_the_grace_period_is_cut_off() {
    let mut test = busy(20_000, "200ms");
    test.server.tool.signal(Signal::INT);
    let line = "0 requests finished, 1 cut off, 2 idle connections closed";
    test.server.tool.end().expect(130, &["SIGINT: 1 request in flight, 200ms", line]);
    let mut rest = Vec::new();
    // A reset is as good as an early end.
    let _ = test.busy.read_to_end(&mut rest);
    assert!(rest.len() < test.left.len());
}

#[test]
fn a_second_signal_ends_the_grace_period() {
    let mut test = busy(20_000, "1h");
    test.server.tool.signal(Signal::TERM);
    test.server.tool.line("SIGTERM: 1 request in flight");
    test.server.tool.signal(Signal::TERM);
    test.server.tool.end().expect(143, &["0 requests finished, 1 cut off"]);
}

#[test]
fn an_idle_server_ends_at_once() {
    let folder = folder();
    let server = Serve::start(serve(folder.path()));
    server.tool.signal(Signal::TERM);
    let line = "0 requests finished, 0 cut off, 0 idle connections closed";
    server.tool.end().expect(143, &["SIGTERM: 0 requests in flight", line]);
}

#[test]
fn running_out_of_file_descriptors_is_reported_once_and_survived() {
    let folder = folder();
    fs::write(folder.path().join("file"), "content").unwrap();
    let mut server = Serve::start(after("ulimit -n 24", &serve(folder.path())));
    let streams: Vec<_> = (0..40).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    let line = server.tool.line("cannot accept connections: ");
    assert!(line.contains("Too many open files; trying again"), "{line}");
    drop(streams);
    let (status, _) = status(server.address, "GET /file HTTP/1.1");
    assert_eq!(status, "HTTP/1.1 200 OK");
    server.tool.signal(Signal::TERM);
    let ended = server.tool.end().expect(143, &[]);
    assert_eq!(ended.count("cannot accept connections"), 1, "{}", ended.output);
}

#[test]
fn what_cannot_be_served_is_reported() {
    let folder = folder();
    run(serve(&folder.path().join("missing"))).expect(1, &["error: cannot serve "]);
    let server = Serve::start(serve(folder.path()));
    let mut second = serve(folder.path());
    second.args(["--addr", &server.address.to_string()]);
    run(second).expect(1, &["error: cannot listen on 127.0.0.1:"]);
}
