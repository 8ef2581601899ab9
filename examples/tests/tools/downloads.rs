//! Downloads that go well.

use crate::harness::*;
use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};

#[test]
fn two_hundred_files_arrive_bit_exact() {
    let (served, files) = made_files(200, 600_000);
    let server = Serve::start(serve(served.path()));
    let out = folder();
    let mut command = fetch();
    command.arg("--out").arg(out.path()).args(["--jobs", "16"]);
    command.args(files.keys().map(|name| server.url(name)));
    let ended = run(command).expect(0, &["200 of 200 files finished", "0 failed, 0 cancelled"]);
    assert_eq!(ended.count("finished  f"), 200);
    assert_same(&contents(out.path()), &files);
}

#[test]
fn files_from_pythons_http_server_arrive_bit_exact() {
    let python = Command::new("python3").arg("--version").stdout(Stdio::null()).status();
    if !python.is_ok_and(|status| status.success()) {
        eprintln!("there is no python3 on this machine: nothing to compare with");
        return;
    }
    let (served, files) = made_files(30, 2_000_000);
    // Python does not say which port it was given before it is asked for something.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut python = Command::new("python3");
    python.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory"]);
    python.arg(served.path()).arg(port.to_string());
    let mut python = Tool::start(python);
    python.line("Serving HTTP");

    let out = folder();
    let mut command = fetch();
    command.arg("--out").arg(out.path());
    command.args(files.keys().map(|name| format!("http://127.0.0.1:{port}/{name}")));
    run(command).expect(0, &["30 of 30 files finished"]);
    assert_same(&contents(out.path()), &files);
}

#[test]
fn urls_come_from_a_file_as_well() {
    let (served, files) = made_files(5, 1000);
    let server = Serve::start(serve(served.path()));
    let (lists, out) = (folder(), folder());
    let list = lists.path().join("urls");
    let urls: Vec<_> = files.keys().map(|name| server.url(name)).collect();
    fs::write(&list, format!("# a comment\n\n  {}  \r\n", urls[1..].join("\n"))).unwrap();
    let mut command = fetch();
    command.arg("--out").arg(out.path()).arg("--input").arg(list).arg(&urls[0]);
    run(command).expect(0, &["5 of 5 files finished"]);
    assert_same(&contents(out.path()), &files);
}

#[test]
fn quiet_means_no_line_if_all_goes_well() {
    let (served, _) = made_files(3, 1000);
    let server = Serve::start(serve(served.path()));
    let out = folder();
    let mut command = fetch();
    command.arg("--quiet").arg("--out").arg(out.path()).arg(server.url("f002.bin"));
    assert_eq!(run(command).expect(0, &[]).output, "");
}

#[test]
fn chunked_bodies_are_taken_out_of_their_chunks() {
    let body = noise(1, 300_000);
    let (halves, chunk) = (body.clone(), 100_000);
    let server = raw_server(move |_, _, stream| {
        let mut chunked = Vec::new();
        for chunk in halves.chunks(chunk) {
            chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            chunked.extend_from_slice(chunk);
            chunked.extend_from_slice(b"\r\n");
        }
        chunked.extend_from_slice(b"0\r\n\r\n");
        respond(&stream, "200 OK\r\nTransfer-Encoding: chunked", &chunked);
    });
    let out = folder();
    let mut command = fetch();
    command.arg("--out").arg(out.path()).arg(format!("http://{server}/a"));
    run(command).expect(0, &["1 of 1 file finished"]);
    assert_same(&contents(out.path()), &Files::from([("a".into(), body)]));
}

#[test]
fn urls_with_the_same_name_become_different_files() {
    let server = raw_server(|_, path, stream| {
        respond(&stream, &format!("200 OK\r\nContent-Length: {}", path.len()), path.as_bytes());
    });
    let out = folder();
    let mut command = fetch();
    command.arg("--out").arg(out.path());
    command.args(["x/same", "y/same", "x/", ""].map(|path| format!("http://{server}/{path}")));
    run(command).expect(0, &["4 of 4 files finished"]);
    let files = [("same", "/x/same"), ("same.1", "/y/same"), ("index.html", "/x/")];
    let mut wanted: Files = files.map(|(name, body)| (name.to_owned(), body.into())).into();
    wanted.insert("index.html.1".into(), "/".into());
    assert_same(&contents(out.path()), &wanted);
}

#[test]
fn a_name_from_a_url_cannot_lead_out_of_the_folder() {
    let server = raw_server(|_, _, stream| respond(&stream, "200 OK\r\nContent-Length: 1", b"x"));
    let outer = folder();
    let out = outer.path().join("inner");
    let mut command = fetch();
    command.arg("--out").arg(&out).arg(format!("http://{server}/..%2fescaped"));
    run(command).expect(0, &["1 of 1 file finished"]);
    assert_same(&contents(outer.path()), &Files::new());
    assert_same(&contents(&out), &Files::from([(".._escaped".into(), b"x".into())]));
}

#[test]
fn an_existing_file_is_replaced_when_the_new_one_is_complete() {
    let server = raw_server(|_, path, stream| {
        let length = if path == "/good" { 3 } else { 4 };
        respond(&stream, &format!("200 OK\r\nContent-Length: {length}"), b"new");
    });
    let out = folder();
    for name in ["good", "bad"] {
        fs::write(out.path().join(name), "old").unwrap();
    }
    let mut command = fetch();
    command.arg("--out").arg(out.path()).args(["--retries", "0"]);
    command.args(["good", "bad"].map(|name| format!("http://{server}/{name}")));
    run(command).expect(1, &["1 of 2 files finished"]);
    let wanted = [("good".into(), b"new".into()), ("bad".into(), b"old".into())];
    assert_same(&contents(out.path()), &Files::from(wanted));
}

#[test]
fn redirects_are_followed() {
    let server = raw_server(|_, path, stream| match path {
        "/a/start" => {
            respond(&stream, "302 Found\r\nLocation: ../b/middle\r\nContent-Length: 0", b"")
        }
        "/b/middle" => respond(&stream, "301 Moved\r\nLocation: end?x=1\r\nContent-Length: 0", b""),
        "/b/end?x=1" => respond(&stream, "200 OK\r\nContent-Length: 3", b"end"),
        other => panic!("asked for {other}"),
    });
    let out = folder();
    let mut command = fetch();
    command.arg("--out").arg(out.path()).arg(format!("http://{server}/a/start"));
    run(command).expect(0, &["1 of 1 file finished"]);
    assert_same(&contents(out.path()), &Files::from([("start".into(), b"end".into())]));
}

#[test]
fn an_error_that_passes_is_survived_by_a_retry() {
    let server = raw_server(|number, _, stream| match number {
        0 => respond(&stream, "503 Busy\r\nContent-Length: 0", b""),
        1 => respond(&stream, "200 OK\r\nContent-Length: 9", b"trunc"),
        2 => drop(stream),
        _ => respond(&stream, "200 OK\r\nContent-Length: 4", b"good"),
    });
    let out = folder();
    let mut command = fetch();
    command.arg("--out").arg(out.path()).arg(format!("http://{server}/a"));
    command.args(["--retries", "3", "--backoff", "1ms"]);
    let lines = [
        "in 1ms: the server answered 503",
        "in 2ms: truncated: 5 of 9 bytes came",
        "in 4ms: connection closed before message completed",
    ];
    run(command).expect(0, &lines);
    assert_same(&contents(out.path()), &Files::from([("a".into(), b"good".into())]));
}

#[test]
fn the_demonstration_goes_as_planned() {
    let out = folder();
    let mut command = fetch();
    // Longer than it would choose, for machines that are busy with other tests.
    command.arg("--out").arg(out.path()).args(["--timeout", "5s"]);
    let lines = ["19 of 20 files finished", "slow.bin: timed out after 5s", "As planned."];
    run(command).expect(0, &lines);
    assert_eq!(contents(out.path()).len(), 19);
}
