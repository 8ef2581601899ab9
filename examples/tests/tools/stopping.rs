//! Downloads that are stopped in the middle: by Ctrl-C, by SIGTERM, by the deadline.

use crate::harness::*;
use rustix::process::Signal;
use std::io::Write;
use std::net::SocketAddr;

const SIZE: usize = 300_000;

/// Sends `/half` half of what it announces and then waits, `/never` nothing at all, and everything
/// else a short file.
fn stalling_server() -> SocketAddr {
    raw_server(|_, path, stream| match path {
        "/half" => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
            (&stream).write_all(head.as_bytes()).unwrap();
            (&stream).write_all(&noise(1, SIZE / 2)).unwrap();
            wait_for_close(&stream);
        }
        "/never" => wait_for_close(&stream),
        _ => respond(&stream, "200 OK\r\nContent-Length: 5", b"short"),
    })
}

/// `fetch` with one file there, one half there, one waiting for an answer and two not begun.
fn in_the_middle(out: &std::path::Path, options: &[&str]) -> Tool {
    let server = stalling_server();
    let mut command = fetch();
    command.arg("--out").arg(out).args(["--jobs", "2"]).args(options);
    let paths = ["short", "half", "never", "last-1", "last-2"];
    command.args(paths.map(|path| format!("http://{server}/{path}")));
    let mut tool = Tool::start(command);
    tool.line("finished  short");
    wait_for("half a file", || part_file(out));
    tool
}

const WHAT_IS_LEFT: &str = "1 of 5 files finished, 5 B";

#[track_caller]
fn assert_only_the_short_one(out: &std::path::Path) {
    assert_same(&contents(out), &Files::from([("short".into(), b"short".into())]));
}

#[test]
fn ctrl_c_leaves_no_temporary_file_and_says_what_became_of_each() {
    let out = folder();
    let tool = in_the_middle(out.path(), &[]);
    tool.signal(Signal::INT);
    let lines = [
        WHAT_IS_LEFT,
        "0 failed, 4 cancelled",
        "/half: SIGINT, after 1",
        "/never: SIGINT, after 0 B",
        "2 files not begun: SIGINT",
    ];
    tool.end().expect(130, &lines);
    assert_only_the_short_one(out.path());
}

#[test]
fn sigterm_does_the_same_with_another_status() {
    let out = folder();
    let tool = in_the_middle(out.path(), &[]);
    tool.signal(Signal::TERM);
    tool.end().expect(143, &[WHAT_IS_LEFT, "/half: SIGTERM, after 1"]);
    assert_only_the_short_one(out.path());
}

#[test]
fn the_deadline_cancels_what_is_not_done() {
    let out = folder();
    let tool = in_the_middle(out.path(), &["--deadline", "4s"]);
    let lines = [WHAT_IS_LEFT, "/half: deadline, after 150.00 kB", "2 files not begun: deadline"];
    tool.end().expect(1, &lines);
    assert_only_the_short_one(out.path());
}

#[test]
fn ctrl_c_during_the_wait_before_a_retry_ends_the_wait() {
    let server = raw_server(|_, _, stream| respond(&stream, "503 Busy\r\nContent-Length: 0", b""));
    let out = folder();
    let mut command = fetch();
    command.arg("--out").arg(out.path()).args(["--backoff", "1h", "--timeout", "2h"]);
    command.arg(format!("http://{server}/x"));
    let mut tool = Tool::start(command);
    tool.line("retry     x");
    tool.signal(Signal::INT);
    tool.end().expect(130, &["/x: SIGINT, after 0 B"]);
}

#[test]
fn ctrl_c_during_the_demonstration_ends_its_server_as_well() {
    let out = folder();
    let temporary = folder();
    let mut command = fetch();
    command.arg("--out").arg(out.path()).env("TMPDIR", temporary.path());
    let mut tool = Tool::start(command);
    tool.line("finished  file-10");
    tool.signal(Signal::INT);
    tool.end().expect(130, &["slow.bin: SIGINT"]);
    assert_eq!(part_file(out.path()), None);
    let left = std::fs::read_dir(temporary.path()).unwrap().count();
    assert_eq!(left, 0, "the folder that was served is gone");
}

/// Ctrl-C at another point each time: whatever is there is complete, and nothing else is there.
///
/// `QUELL_SIGINT_ROUNDS` sets how often; ten times by default.
#[test]
fn ctrl_c_at_any_point_leaves_complete_files_only() {
    const FILES: usize = 60;
    let rounds = std::env::var("QUELL_SIGINT_ROUNDS").map_or(10, |rounds| rounds.parse().unwrap());
    let (served, files) = made_files(FILES, 400_000);
    // This one is on its way whenever the signal comes; of the others, some.
    std::fs::write(served.path().join("slow.bin"), noise(1, SIZE)).unwrap();
    let mut command = serve(served.path());
    command.args(["--quiet", "--throttle", "slow=1000", "--throttle", "4000000"]);
    let server = Serve::start(command);
    let mut cut = 0;
    for round in 0..rounds {
        let out = folder();
        let mut command = fetch();
        command.arg("--out").arg(out.path()).args(["--jobs", "8"]).arg(server.url("slow.bin"));
        // Large ones first, so that there is something to cut from the beginning.
        command.args(files.keys().rev().map(|name| server.url(name)));
        let mut tool = Tool::start(command);
        let lines = round * FILES / rounds;
        if lines == 0 {
            wait_for("a temporary file", || part_file(out.path()));
        }
        for _ in 0..lines {
            tool.line("finished  f");
        }
        tool.signal(Signal::INT);
        let ended = tool.end().expect(130, &["/slow.bin: SIGINT, after "]);
        cut += ended.count(": SIGINT, after ");

        let got = contents(out.path());
        assert!(got.len() >= lines, "{}", ended.output);
        let line = format!("{} of {} files finished", got.len(), FILES + 1);
        assert!(ended.output.contains(&line), "{}", ended.output);
        let whole = files.iter().filter(|(name, _)| got.contains_key(*name));
        let whole = whole.map(|(name, bytes)| (name.clone(), bytes.clone())).collect();
        assert_same(&got, &whole);
    }
    println!("{rounds} rounds: {cut} downloads were cut, and left nothing");
}
