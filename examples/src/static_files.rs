//! The files of a folder as HTTP responses.

use crate::text::describe;
use blocking::unblock;
use futures_lite::stream;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Bytes, Frame};
use hyper::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use quell::time::{now, sleep_until};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;

/// A response's body: a file that is read while it is sent, or a short text.
pub type FileBody = Pin<Box<dyn Body<Data = Bytes, Error = io::Error>>>;

/// A folder whose files are served.
#[derive(Debug)]
pub struct StaticFiles {
    /// Without symbolic links, so that a path can be compared with it.
    root: PathBuf,
    throttles: Vec<Throttle>,
}

impl StaticFiles {
    /// Serves what is in `root` and below. Of several throttles the first that fits counts.
    ///
    /// # Errors
    ///
    /// If there is no such folder.
    pub fn new(root: &Path, throttles: Vec<Throttle>) -> io::Result<Self> {
        let root = root.canonicalize()?;
        if !root.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { root, throttles })
    }

    /// Answers a request. Whatever goes wrong is an answer, too.
    pub async fn answer<B>(&self, request: &Request<B>) -> Response<FileBody> {
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let mut response = message(StatusCode::METHOD_NOT_ALLOWED);
            let allowed = "GET, HEAD".parse().expect("a header's value");
            response.headers_mut().insert(ALLOW, allowed);
            return response;
        }
        let asked_for = request.uri().path();
        let Some(path) = relative_path(asked_for) else {
            return message(StatusCode::FORBIDDEN);
        };
        let (root, folder) = (self.root.clone(), asked_for.ends_with('/'));
        match unblock(move || look_up(&root, &path, folder)).await {
            Ok(Found::File { file, length, kind }) => {
                let response =
                    Response::builder().header(CONTENT_TYPE, kind).header(CONTENT_LENGTH, length);
                let body = match *request.method() {
                    Method::HEAD => text_body(""),
                    _ => file_body(file, length, self.rate(asked_for)),
                };
                response.body(body).expect("both headers are valid")
            }
            Ok(Found::Listing(html)) => Response::builder()
                .header(CONTENT_TYPE, "text/html; charset=utf-8")
                .body(text_body(html))
                .expect("the header is valid"),
            Ok(Found::Folder) => {
                // Relative, so that no path can make it point to another host.
                let name = asked_for.rsplit('/').next().unwrap_or_default();
                Response::builder()
                    .status(StatusCode::MOVED_PERMANENTLY)
                    .header(LOCATION, format!("./{name}/"))
                    .body(text_body(""))
                    .expect("part of a valid path is a valid header")
            }
            Err(error) => message(match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => StatusCode::NOT_FOUND,
                io::ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
                _ => {
                    crate::text::say(format_args!("{asked_for}: {}", describe(&error)));
                    StatusCode::INTERNAL_SERVER_ERROR
                }
            }),
        }
    }

    fn rate(&self, asked_for: &str) -> Option<NonZeroU64> {
        let name = asked_for.rsplit('/').next().unwrap_or_default();
        let fits = |throttle: &&Throttle| name.starts_with(&throttle.prefix);
        self.throttles.iter().find(fits).map(|throttle| throttle.rate)
    }
}

/// Limits how fast files are sent, each by itself.
///
/// ```
/// use quell_examples::static_files::Throttle;
/// let all: Throttle = "20000".parse().unwrap();
/// let some: Throttle = "slow=20000".parse().unwrap();
/// assert!("slow=fast".parse::<Throttle>().is_err());
/// # let _ = (all, some);
/// ```
#[derive(Clone, Debug)]
pub struct Throttle {
    prefix: String,
    rate: NonZeroU64,
}

impl Throttle {
    /// Files whose name begins with `prefix` are sent at `rate` bytes a second.
    pub fn new(prefix: impl Into<String>, rate: NonZeroU64) -> Self {
        Self { prefix: prefix.into(), rate }
    }
}

impl FromStr for Throttle {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (prefix, rate) = text.rsplit_once('=').unwrap_or(("", text));
        match rate.parse() {
            Ok(rate) => Ok(Self::new(prefix, rate)),
            Err(_) => Err("give bytes per second, as in 20000 or in slow=20000".into()),
        }
    }
}

/// What a request's path stands for below the root; `None` if that is outside, or if it is no name
/// that a file could have.
fn relative_path(asked_for: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    // Decoded piece by piece: a separator that comes out of a piece separates nothing.
    for piece in asked_for.split('/') {
        let name = percent_decode_str(piece).decode_utf8().ok()?;
        match &*name {
            "" | "." => {}
            ".." => return None,
            // The colon names a drive or a stream on Windows.
            name if name.contains(['/', '\\', '\0']) || cfg!(windows) && name.contains(':') => {
                return None;
            }
            name => path.push(name),
        }
    }
    Some(path)
}

enum Found {
    File {
        file: File,
        length: u64,
        kind: &'static str,
    },
    Listing(String),
    /// A folder whose path lacks the slash that its links need.
    Folder,
}

/// Opens what `path` stands for. Blocks.
fn look_up(root: &Path, path: &Path, folder: bool) -> io::Result<Found> {
    let mut path = root.join(path).canonicalize()?;
    // A symbolic link may lead anywhere.
    if !path.starts_with(root) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    if path.is_dir() {
        if !folder {
            return Ok(Found::Folder);
        }
        let index = path.join("index.html");
        if !index.is_file() {
            return listing(&path).map(Found::Listing);
        }
        path = index;
    } else if folder {
        return Err(io::ErrorKind::NotFound.into());
    }
    // Asked before it is opened: opening a pipe would wait for somebody to write to it.
    if !path.is_file() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let file = File::open(&path)?;
    let length = file.metadata()?.len();
    let kind = match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("md" | "rs" | "toml" | "txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    Ok(Found::File { file, length, kind })
}

fn listing(folder: &Path) -> io::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let slash = if entry.path().is_dir() { "/" } else { "" };
        names.push((entry.file_name().to_string_lossy().into_owned(), slash));
    }
    names.sort();
    let mut html = String::from("<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<ul>\n");
    for (name, slash) in names {
        let link = utf8_percent_encode(&name, NON_ALPHANUMERIC);
        let text = name.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(html, "<li><a href=\"./{link}{slash}\">{text}{slash}</a>");
    }
    html.push_str("</ul>\n");
    Ok(html)
}

fn message(status: StatusCode) -> Response<FileBody> {
    let mut response = Response::new(text_body(format!("{status}\n")));
    *response.status_mut() = status;
    response
}

fn text_body(text: impl Into<Bytes>) -> FileBody {
    Box::pin(Full::new(text.into()).map_err(|never| match never {}))
}

/// The first `length` bytes of `file`, read on the thread pool piece by piece as they are sent.
fn file_body(file: File, length: u64, rate: Option<NonZeroU64>) -> FileBody {
    const PIECE: u64 = 64 * 1024;
    let piece = match rate {
        // Twenty pieces a second look like a steady stream.
        Some(rate) => (rate.get() / 20).clamp(1, PIECE),
        None => PIECE,
    };
    let start = (file, length, now());
    let pieces = stream::try_unfold(start, move |(file, left, mut due)| async move {
        if left == 0 {
            return Ok(None);
        }
        let size = left.min(piece);
        if let Some(rate) = rate {
            // Counted from when the piece before was due: a late one does not delay the others.
            due += Duration::from_secs_f64(size as f64 / rate.get() as f64);
            sleep_until(due).await;
        }
        let (file, data) = unblock(move || read_exactly(file, size)).await?;
        Ok(Some((Frame::data(data), (file, left - size, due))))
    });
    Box::pin(StreamBody::new(pieces))
}

fn read_exactly(file: File, size: u64) -> io::Result<(File, Bytes)> {
    let mut data = Vec::with_capacity(size as usize);
    if (&file).take(size).read_to_end(&mut data)? < size as usize {
        let error = "the file has become shorter while it was sent";
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, error));
    }
    Ok((file, data.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_the_root() {
        let path = |text| relative_path(text);
        assert_eq!(path("/a/./b//c.txt").unwrap(), Path::new("a/b/c.txt"));
        assert_eq!(path("/a%20b").unwrap(), Path::new("a b"));
        assert_eq!(path("/").unwrap(), Path::new(""));
        for outside in ["/..", "/a/../..", "/%2e%2E/x", "/..%2f..%2fx", "/a%00", "/..%5cx"] {
            assert_eq!(path(outside), None, "{outside}");
        }
    }

    #[test]
    fn a_throttle_names_a_prefix_and_a_rate() {
        let throttle: Throttle = "slow=20".parse().unwrap();
        assert_eq!((&*throttle.prefix, throttle.rate.get()), ("slow", 20));
        let throttle: Throttle = "20".parse().unwrap();
        assert_eq!((&*throttle.prefix, throttle.rate.get()), ("", 20));
        for wrong in ["", "0", "-1", "slow", "slow="] {
            assert!(wrong.parse::<Throttle>().is_err(), "{wrong}");
        }
    }
}
