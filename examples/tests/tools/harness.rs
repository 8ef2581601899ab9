//! Processes, folders and servers for the tests.

use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A test that waits longer than this for something has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn fetch() -> Command {
    Command::new(env!("CARGO_BIN_EXE_fetch"))
}

pub(crate) fn serve(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_serve"));
    command.arg(folder);
    command
}

/// A shell that does something to itself, and then becomes the program.
pub(crate) fn after(preparation: &str, program: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{preparation}; exec \"$@\"")).arg("sh");
    shell.arg(program.get_program()).args(program.get_args());
    shell
}

/// A tool that is running. Killed if the test ends before it does.
pub(crate) struct Tool {
    child: Child,
    lines: Receiver<String>,
    /// What it has printed so far, both outputs together.
    seen: Vec<String>,
}

/// A tool that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) output: String,
}

impl Tool {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tool starts");
        let (sender, lines) = channel();
        forward_lines(child.stdout.take().unwrap(), sender.clone());
        forward_lines(child.stderr.take().unwrap(), sender);
        Self { child, lines, seen: Vec::new() }
    }

    /// Waits for a line that contains `text`.
    pub(crate) fn line(&mut self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(error) => panic!("{error}; no line with {text:?} in {:#?}", self.seen),
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the tool is running");
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Ended {
        let give_up = Instant::now() + PATIENCE;
        // Both outputs are closed at the end, and not before.
        loop {
            match self.lines.recv_timeout(give_up.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {:#?}", self.seen),
            }
        }
        let status: ExitStatus = self.child.wait().expect("it is our child");
        Ended { status: status.code(), output: self.seen.join("\n") }
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // It has ended already in a test that went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward_lines(output: impl Read + Send + 'static, sender: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            if line.and_then(|line| sender.send(line).map_err(io::Error::other)).is_err() {
                break;
            }
        }
    });
}

pub(crate) fn run(command: Command) -> Ended {
    Tool::start(command).end()
}

impl Ended {
    #[track_caller]
    pub(crate) fn expect(self, status: i32, lines: &[&str]) -> Self {
        assert_eq!(self.status, Some(status), "{}", self.output);
        for line in lines {
            let found = self.output.lines().any(|printed| printed.contains(line));
            assert!(found, "no line with {line:?} in:\n{}", self.output);
        }
        self
    }

    pub(crate) fn count(&self, text: &str) -> usize {
        self.output.lines().filter(|line| line.contains(text)).count()
    }
}

/// `serve` on a folder.
pub(crate) struct Serve {
    pub(crate) tool: Tool,
    pub(crate) address: SocketAddr,
}

impl Serve {
    pub(crate) fn start(command: Command) -> Self {
        let mut tool = Tool::start(command);
        let line = tool.line("listening on http://");
        let address = line.rsplit('/').next().unwrap().parse().expect("an address");
        Self { tool, address }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }
}

pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("there is room for temporary files")
}

/// Bytes without a pattern.
pub(crate) fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Files of all sizes from nothing to `largest`, named `f000.bin` and so on, in a new folder.
pub(crate) fn made_files(number: usize, largest: usize) -> (TempDir, Files) {
    let folder = folder();
    let mut files = Files::new();
    for i in 0..number {
        let size = largest * i * i / (number * number).max(1);
        let (name, bytes) = (format!("f{i:03}.bin"), noise(i as u64, size));
        fs::write(folder.path().join(&name), &bytes).unwrap();
        files.insert(name, bytes);
    }
    (folder, files)
}

/// What is in a folder, temporary files included.
pub(crate) fn contents(folder: &Path) -> Files {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.is_file())
        .map(|path| (name_of(&path), fs::read(&path).unwrap()))
        .collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[track_caller]
pub(crate) fn assert_same(got: &Files, wanted: &Files) {
    // Names first: the bytes would make a long message.
    let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(got), names(wanted));
    for (name, bytes) in wanted {
        assert!(got[name] == *bytes, "{name} differs");
    }
}

/// Waits until `ready` yields something.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, ready: impl Fn() -> Option<T>) -> T {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < give_up, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The temporary file in `folder`, when it is there and something has been written to it.
pub(crate) fn part_file(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    entries.map(|entry| entry.path()).find(|path| {
        path.extension().is_some_and(|extension| extension == "part")
            && path.metadata().is_ok_and(|file| file.len() > 0)
    })
}

/// A server that does with each connection, once the request's head has come, whatever `handle`
/// says. `handle` gets the number of the connection and the path that was asked for.
pub(crate) fn raw_server(
    handle: impl Fn(usize, &str, TcpStream) + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let handle = std::sync::Arc::new(handle);
    // Ends with the process of the tests.
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (stream, handle) = (stream.unwrap(), handle.clone());
            thread::spawn(move || {
                let path = read_head(&stream);
                handle(number, &path, stream);
            });
        }
    });
    address
}

fn read_head(stream: &TcpStream) -> String {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    let _rest: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    first.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// Writes a response as it stands, and closes the connection.
pub(crate) fn respond(mut stream: &TcpStream, head: &str, body: &[u8]) {
    // The client may have gone.
    let _ = stream
        .write_all(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes())
        .and_then(|()| stream.write_all(body))
        .and_then(|()| stream.shutdown(Shutdown::Write));
}

/// Waits until the client has closed the connection.
pub(crate) fn wait_for_close(mut stream: &TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut rest = [0; 16];
    match stream.read(&mut rest) {
        Ok(0) => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
        other => panic!("the client did not close the connection: {other:?}"),
    }
}

/// Sends a request's text and reads all that comes back.
pub(crate) fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("{request}\r\nHost: h\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
