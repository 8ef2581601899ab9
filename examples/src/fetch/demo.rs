//! What `fetch` does without a URL: it serves a folder itself, and downloads from there.

use super::{DeadlinePassed, Display, Fetch, Options, PartFile, plan};
use crate::server::Server;
use crate::static_files::{StaticFiles, Throttle};
use crate::text::{count, describe};
use indicatif::DecimalBytes;
use quell::spawn;
use quell::time::sleep;
use std::cell::OnceCell;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::num::NonZeroU64;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// The file that is too slow, on purpose.
const SLOW: &str = "slow.bin";
const SLOW_SIZE: usize = 1_000_000;
const SLOW_RATE: NonZeroU64 = NonZeroU64::new(100_000).unwrap();

/// What the other files come at, so that one can watch.
const RATE: NonZeroU64 = NonZeroU64::new(4_000_000).unwrap();

/// The timeout that it misses, if the user has not chosen another one.
pub const TIMEOUT: Duration = Duration::from_secs(3);

/// Sizes of the other files, from nothing to more than fits into any buffer on the way.
const SIZES: [usize; 19] = [
    0, 1, 100, 1_000, 4_095, 4_096, 4_097, 10_000, 20_000, 50_000, 65_536, 100_000, 131_072,
    200_000, 500_000, 1_000_000, 2_000_000, 3_000_000, 5_000_000,
];

/// How a demonstration went.
#[derive(Debug)]
pub enum Outcome {
    /// As it was meant to.
    AsPlanned,
    /// The user's options, or something else, made it go differently.
    Differently(String),
    /// The user's deadline passed first.
    DeadlinePassed,
}

/// Shows what the tool can do. The run is left in `run` as soon as there is one.
///
/// # Errors
///
/// If there is no room for the files or no port for the server.
///
/// # Cancel safety
///
/// Dropping it removes the files that it served.
pub async fn demo(
    options: Options,
    display: Display,
    run: &OnceCell<Rc<Fetch>>,
) -> io::Result<Outcome> {
    // Made, and removed when this future ends or is dropped, on this thread: there is no moment at
    // which a cancellation could leave it behind.
    let folder = tempfile::Builder::new().prefix("quell-demo-").tempdir()?;
    let names = make_files(folder.path())?;

    let throttles = vec![Throttle::new(SLOW, SLOW_RATE), Throttle::new("", RATE)];
    let files = StaticFiles::new(folder.path(), throttles)?;
    let mut server = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), files, false)?;
    let address = server.local_addr()?;
    let (stop, stopped) = async_channel::bounded::<()>(1);
    let server = spawn(async move {
        let _ = server.serve_until(stopped.recv()).await;
        server.drain(sleep(Duration::from_secs(1))).await
    });

    display.say(format_args!(
        "No URL given: this is a demonstration. This process serves {} made for it\n\
         on http://{address} and downloads them, {} at a time. {SLOW} comes\n\
         at {} a second and will miss its timeout of {}, on purpose.",
        count(names.len(), "file"),
        options.jobs,
        DecimalBytes(SLOW_RATE.get()),
        humantime::format_duration(options.timeout),
    ));
    display.say("");
    let out = options.out.clone();
    let urls = names.iter().map(|name| format!("http://{address}/{name}"));
    let fetch = run.get_or_init(|| Fetch::new(options, plan(urls), display));
    let ended = fetch.run().await;

    drop(stop);
    let _ = server.join_forwarding().await;
    Ok(match ended {
        Ok(()) => check(fetch, folder.path(), &out),
        Err(DeadlinePassed) => Outcome::DeadlinePassed,
    })
}

/// Compares what is there with what was served.
fn check(fetch: &Fetch, served: &Path, out: &Path) -> Outcome {
    let summary = fetch.summary(None);
    for (job, why) in &summary.failed {
        if job.name != SLOW {
            return Outcome::Differently(format!("{}: {why}", job.name));
        }
    }
    for job in &summary.finished {
        let same = fs::read(served.join(&job.name))
            .and_then(|served| Ok(served == fs::read(out.join(&job.name))?));
        match same {
            Ok(true) if job.name == SLOW => {
                return Outcome::Differently(format!("{SLOW} was quicker than its timeout"));
            }
            Ok(true) => {}
            Ok(false) => return Outcome::Differently(format!("{} differs", job.name)),
            Err(error) => {
                return Outcome::Differently(format!("{}: {}", job.name, describe(&error)));
            }
        }
    }
    match left_behind(out) {
        Some(name) => Outcome::Differently(format!("{name} was left behind")),
        None => Outcome::AsPlanned,
    }
}

/// A temporary file of a download, if there is one.
fn left_behind(out: &Path) -> Option<String> {
    let (prefix, suffix) = PartFile::AFFIXES;
    let names = fs::read_dir(out).ok()?.flatten().map(|entry| entry.file_name());
    names
        .filter_map(|name| name.into_string().ok())
        .find(|name| name.starts_with(prefix) && name.ends_with(suffix))
}

/// Files with the same content in each demonstration.
fn make_files(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    // In the middle, so that one sees it wait while others come and go.
    let (small, large) = SIZES.split_at(SIZES.len() / 2);
    let sizes = small.iter().chain([&SLOW_SIZE]).chain(large);
    for (number, size) in sizes.enumerate() {
        let name = match *size {
            SLOW_SIZE if number == small.len() => SLOW.to_owned(),
            size => format!("file-{number:02}-{size}.bin"),
        };
        fs::write(folder.join(&name), noise(number as u64 + 1, *size))?;
        names.push(name);
    }
    Ok(names)
}

/// Bytes without a pattern: xorshift64, from a seed that is not 0.
fn noise(mut seed: u64, size: usize) -> Vec<u8> {
    let next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()
    };
    let mut bytes: Vec<u8> =
        std::iter::repeat_with(next).take(size.div_ceil(8)).flatten().collect();
    bytes.truncate(size);
    bytes
}
