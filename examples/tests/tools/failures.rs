//! Downloads that fail: one clear line each, nothing left behind, and the others go on.

use crate::harness::*;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::channel;

/// Fetches `bad` and, from another server, a file that is fine.
fn with_a_good_one(bad: &str, out: &Path, options: &[&str]) -> Ended {
    let good = raw_server(|_, _, stream| respond(&stream, "200 OK\r\nContent-Length: 4", b"good"));
    let mut command = fetch();
    command.arg("--out").arg(out).args(options);
    if !options.contains(&"--backoff") {
        command.args(["--backoff", "1ms"]);
    }
    command.arg(bad).arg(format!("http://{good}/good"));
    run(command)
}

/// The same, where the bad one must fail with `why`, and only the good one be there.
#[track_caller]
fn fails(bad: &str, options: &[&str], why: &str) -> Ended {
    let out = folder();
    let lines = ["1 of 2 files finished, 4 B", "1 failed, 0 cancelled", why];
    let ended = with_a_good_one(bad, out.path(), options).expect(1, &lines);
    assert_same(&contents(out.path()), &Files::from([("good".into(), b"good".into())]));
    ended
}

fn refusing_url() -> String {
    // Bound and closed again: nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("http://{address}/x")
}

#[test]
fn a_refused_connection_is_tried_again_and_reported() {
    let ended =
        fails(&refusing_url(), &["--retries", "2"], "/x: cannot connect: Connection refused");
    assert_eq!(ended.count("retry     x"), 2);
}

#[test]
fn a_missing_file_is_not_asked_for_twice() {
    let empty = folder();
    let server = Serve::start(serve(empty.path()));
    let ended = fails(&server.url("x"), &[], "/x: the server answered 404 Not Found");
    assert_eq!(ended.count("retry"), 0);
}

#[test]
fn what_is_no_url_is_reported() {
    fails("not a url", &[], "failed     not a url: not a URL: it must begin with http://");
    fails("https://127.0.0.1/x", &[], "only http:// is supported, not https:");
    fails("http://[1/x", &[], "not a URL: invalid IPv6 address");
}

#[test]
fn a_host_without_an_address_is_reported() {
    // Reserved for names that do not exist.
    fails("http://nowhere.invalid/x", &[], "host not found: ");
}

#[test]
fn a_truncated_body_is_no_file() {
    let server = raw_server(|_, path, stream| match path {
        "/length" => respond(&stream, "200 OK\r\nContent-Length: 10", b"12345"),
        "/chunk" => respond(&stream, "200 OK\r\nTransfer-Encoding: chunked", b"a\r\n12345"),
        _ => respond(&stream, "200 OK\r\nTransfer-Encoding: chunked", b"5\r\n12345\r\n"),
    });
    let url = |path| format!("http://{server}/{path}");
    let ended = fails(&url("length"), &["--retries", "1"], "truncated: 5 of 10 bytes came");
    assert_eq!(ended.count("retry"), 1);
    fails(&url("chunk"), &["--retries", "0"], "truncated: the last chunk is missing");
    fails(&url("last-chunk"), &["--retries", "0"], "truncated: the last chunk is missing");
}

#[test]
fn a_body_whose_end_cannot_be_told_is_no_file() {
    let server = raw_server(|_, _, stream| respond(&stream, "200 OK", b"12345"));
    fails(&format!("http://{server}/x"), &[], "the server tells no length");
}

#[test]
fn what_is_not_http_is_reported_and_not_tried_again() {
    let server = raw_server(|_, _, stream| {
        use std::io::Write;
        let _ = (&stream).write_all(b"220 mail.example.org ESMTP\r\n");
    });
    let ended = fails(&format!("http://{server}/x"), &[], "invalid HTTP version parsed");
    assert_eq!(ended.count("retry"), 0);
}

#[test]
fn redirects_that_lead_nowhere_are_reported() {
    let server = raw_server(|_, path, stream| {
        let location = match path {
            "/loop" => "Location: /loop",
            "/tls" => "Location: https://127.0.0.1/x",
            _ => "X-Location: none",
        };
        respond(&stream, &format!("302 Found\r\n{location}\r\nContent-Length: 0"), b"");
    });
    let url = |path| format!("http://{server}/{path}");
    fails(&url("loop"), &[], "/loop: more than 10 redirects, the last to http://");
    fails(&url("tls"), &[], "redirected to https://127.0.0.1/x: only http:// is supported");
    fails(&url("none"), &[], "the server answered 302 Found to nowhere");
}

#[test]
fn a_server_that_stalls_is_given_up_and_its_connection_closed() {
    let (closed, was_closed) = channel();
    let closed = Mutex::new(closed);
    let stalling = raw_server(move |_, _, stream| {
        use std::io::Write;
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n";
        (&stream).write_all(head).unwrap();
        (&stream).write_all(&noise(1, 200_000)).unwrap();
        wait_for_close(&stream);
        closed.lock().unwrap().send(()).unwrap();
    });
    // Answers when the connection to the other one has been closed: it is not the end of the
    // process that closes it.
    let was_closed = Mutex::new(was_closed);
    let patient = raw_server(move |number, _, stream| {
        if number == 0 {
            was_closed.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
        respond(&stream, "200 OK\r\nContent-Length: 4", b"good");
    });
    let out = folder();
    let mut command = fetch();
    command.arg("--out").arg(out.path()).args(["--timeout", "1s", "--jobs", "1"]);
    command.arg(format!("http://{stalling}/stalls")).arg(format!("http://{patient}/good"));
    run(command).expect(1, &["1 of 2 files finished", "/stalls: timed out after 1s"]);
    assert_same(&contents(out.path()), &Files::from([("good".into(), b"good".into())]));
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let server = raw_server(|_, _, stream| wait_for_close(&stream));
    fails(&format!("http://{server}/x"), &["--timeout", "300ms"], "/x: timed out after 300ms");
}

#[test]
fn a_timeout_covers_the_retries_and_tells_what_they_met() {
    let options = ["--timeout", "1s", "--retries", "99", "--backoff", "1h"];
    let why = "timed out after 1s; before that: cannot connect: Connection refused";
    fails(&refusing_url(), &options, why);
}

#[test]
fn a_folder_that_cannot_be_one_is_reported_once() {
    let outer = folder();
    let file = outer.path().join("file");
    fs::write(&file, "").unwrap();
    for out in [file.clone(), file.join("deeper")] {
        let ended = with_a_good_one(&refusing_url(), &out, &[]);
        let ended = ended.expect(1, &["error: cannot make the folder"]);
        assert_eq!(ended.output.lines().count(), 1, "{}", ended.output);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_takes_no_files_is_reported_for_each() {
    // Nobody can make a file there, not even root.
    let ended = with_a_good_one(&refusing_url(), Path::new("/proc"), &["--retries", "0"]);
    ended.expect(1, &["/good: cannot create a file in /proc: "]);
}

#[test]
fn a_name_that_belongs_to_a_folder_is_reported() {
    let server = raw_server(|_, _, stream| respond(&stream, "200 OK\r\nContent-Length: 1", b"x"));
    let out = folder();
    fs::create_dir(out.path().join("taken")).unwrap();
    let ended = with_a_good_one(&format!("http://{server}/taken"), out.path(), &[]);
    ended.expect(1, &["1 of 2 files finished", "/taken: cannot replace "]);
    assert_same(&contents(out.path()), &Files::from([("good".into(), b"good".into())]));
}

#[test]
fn a_file_that_cannot_be_written_to_the_end_is_removed() {
    let server = raw_server(|_, path, stream| {
        let size = if path == "/large" { 400_000 } else { 1000 };
        respond(&stream, &format!("200 OK\r\nContent-Length: {size}"), &noise(1, size));
    });
    let out = folder();
    let mut command = fetch();
    command.arg("--out").arg(out.path());
    command.args(["large", "small"].map(|name| format!("http://{server}/{name}")));
    // A full disk for everybody: the system lets no file grow beyond 200 blocks of 512 or 1024
    // bytes. The signal that goes with it would end the process; without it the write fails.
    let ended = run(after("trap '' XFSZ; ulimit -f 200", &command));
    let ended = ended.expect(1, &["1 of 2 files finished", "/large: cannot write a file in "]);
    assert_eq!(ended.count("retry"), 0);
    assert_same(&contents(out.path()), &Files::from([("small".into(), noise(1, 1000))]));
}

#[test]
fn to_call_it_wrongly_is_status_two() {
    let mut command = fetch();
    command.args(["--jobs", "0"]);
    run(command).expect(2, &["invalid value '0' for '--jobs"]);

    let mut command = fetch();
    command.args(["--timeout", "5", "http://h/"]);
    run(command).expect(2, &["invalid value '5' for '--timeout"]);

    let lists = folder();
    let mut command = fetch();
    command.arg("--input").arg(lists.path().join("missing"));
    run(command).expect(2, &["error: cannot read "]);

    let empty = lists.path().join("empty");
    fs::write(&empty, "# nothing\n").unwrap();
    let mut command = fetch();
    command.arg("--input").arg(empty);
    run(command).expect(2, &["error: there is no URL in "]);
}
