//! `serve`: a static file server that stops gracefully.

use clap::Parser;
use futures_lite::future::or;
use quell::signal::{Signal, Signals};
use quell::time::sleep;
use quell_examples::server::Server;
use quell_examples::static_files::{StaticFiles, Throttle};
use quell_examples::text::{count, describe, say};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Serves the files of a folder over HTTP/1.1.
///
/// Ctrl-C or SIGTERM: it accepts nothing more, closes idle connections, finishes the responses that
/// it is sending, for --grace at most, and ends with exit status 130 or 143. A second signal cuts
/// them off at once.
#[derive(Parser)]
struct Args {
    /// The folder. Nothing outside of it is served, symbolic links included.
    dir: PathBuf,

    /// Where to listen. Port 0 lets the system choose; the choice is the first line of output.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    addr: SocketAddr,

    /// How long the responses that are being sent may take to finish.
    #[arg(long, value_name = "DURATION", default_value = "5s",
          value_parser = humantime::parse_duration)]
    grace: Duration,

    /// Send each file at this rate on average, in bytes per second; as `slow=20000`, only files
    /// whose name begins with `slow`. May be given several times; the first that fits counts.
    #[arg(long, value_name = "[PREFIX=]RATE")]
    throttle: Vec<Throttle>,

    /// No line for each request.
    #[arg(short, long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    // `run` would drop the main future at the first signal. This one has work left then.
    let served = quell::Builder::new()
        .signals(false)
        .build()
        .and_then(|runtime| runtime.block_on(serve(args)));
    match served {
        Ok(signal) => signal.exit_code(),
        Err(error) => {
            say(format_args!("error: {}", describe(&error)));
            ExitCode::FAILURE
        }
    }
}

/// Answers the signal that ended it.
async fn serve(args: Args) -> io::Result<Signal> {
    let mut signals = Signals::new(&[Signal::Interrupt, Signal::Terminate])?;
    let files = StaticFiles::new(&args.dir, args.throttle)
        .map_err(|error| with_context(&error, "cannot serve", args.dir.display()))?;
    let mut server = Server::bind(args.addr, files, !args.quiet)
        .map_err(|error| with_context(&error, "cannot listen on", args.addr))?;
    writeln!(io::stdout(), "listening on http://{}", server.local_addr()?)?;

    let signal = server.serve_until(signals.recv()).await;
    say(format_args!(
        "{signal}: {} in flight, {} to finish",
        count(server.in_flight(), "request"),
        humantime::format_duration(args.grace)
    ));
    let second_signal = async {
        signals.recv().await;
    };
    let drained = server.drain(or(sleep(args.grace), second_signal)).await;
    say(drained);
    Ok(signal)
}

fn with_context(error: &io::Error, doing: &str, what: impl std::fmt::Display) -> io::Error {
    io::Error::new(error.kind(), format!("{doing} {what}: {}", describe(error)))
}
