//! One URL, from the first attempt to the last.

use super::display::Progress;
use super::http::get;
use super::{Fetch, FetchError, Job, PartFile, plan};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{LOCATION, TRANSFER_ENCODING};
use hyper::{Response, StatusCode};
use quell::time::{sleep, timeout};
use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use url::Url;

/// How many redirects are followed, one after the other.
const REDIRECTS: usize = 10;

/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Downloads a job and writes down how it went.
pub(super) async fn download(fetch: Rc<Fetch>, index: usize) {
    let job = &fetch.jobs[index];
    fetch.ledger.begin(index);
    let progress = fetch.display.progress(job, &fetch.ledger, index);
    // Outside of the timeout, which drops everything inside.
    let last_error = RefCell::new(None);
    let limit = fetch.options.timeout;
    let outcome = match timeout(limit, attempts(&fetch, job, &progress, &last_error)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let earlier = last_error.take().map(Box::new);
            Err(FetchError::TimedOut(limit, earlier))
        }
    };
    progress.end();
    fetch.ended(index, outcome);
}

impl Fetch {
    /// A download has ended: the ledger and the user are told.
    pub(super) fn ended(&self, index: usize, outcome: Result<(), FetchError>) {
        self.ledger.end(index, outcome.map_err(|error| error.to_string()));
        self.display.ended(&self.jobs[index], &self.ledger.result(index));
    }
}

/// Tries until it works, or does not look as if it ever would.
async fn attempts(
    fetch: &Fetch,
    job: &Job,
    progress: &Progress<'_>,
    last_error: &RefCell<Option<FetchError>>,
) -> Result<(), FetchError> {
    let url = job.url.as_ref().map_err(|why| FetchError::BadUrl(why.clone()))?;
    let mut wait = fetch.options.backoff;
    for retries_left in (0..=fetch.options.retries).rev() {
        progress.restart();
        match attempt(fetch, job, url, progress).await {
            Err(error) if retries_left > 0 && error.is_worth_a_retry() => {
                progress.retry(&error, wait);
                last_error.replace(Some(error));
                sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT.max(fetch.options.backoff));
            }
            outcome => return outcome,
        }
    }
    unreachable!("the last round returns")
}

/// Tries once, and follows redirects.
async fn attempt(
    fetch: &Fetch,
    job: &Job,
    url: &Url,
    progress: &Progress<'_>,
) -> Result<(), FetchError> {
    let mut url = url.clone();
    for _ in 0..=REDIRECTS {
        let redirect = get(&url, async |response| {
            if let Some(next) = redirect(&url, &response)? {
                return Ok(Some(next));
            }
            if response.status() != StatusCode::OK {
                return Err(FetchError::Status(response.status()));
            }
            save(fetch, job, response, progress).await.map(|()| None)
        });
        match redirect.await? {
            Some(next) => url = next,
            None => return Ok(()),
        }
    }
    let why = format!("more than {REDIRECTS} redirects, the last to {url}");
    Err(FetchError::Redirect(why))
}

/// Where a response sends us, if it does.
fn redirect(url: &Url, response: &Response<Incoming>) -> Result<Option<Url>, FetchError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let status = response.status();
    let target = response
        .headers()
        .get(LOCATION)
        .and_then(|location| location.to_str().ok())
        .and_then(|location| url.join(location).ok())
        .ok_or_else(|| FetchError::Redirect(format!("the server answered {status} to nowhere")))?;
    plan::check(target.as_str())
        .map(Some)
        .map_err(|error| FetchError::Redirect(format!("redirected to {target}: {error}")))
}

/// Writes the body into a file.
async fn save(
    fetch: &Fetch,
    job: &Job,
    response: Response<Incoming>,
    progress: &Progress<'_>,
) -> Result<(), FetchError> {
    // Any other encoding leaves the end of the body to the end of the connection.
    let encoding = response.headers().get_all(TRANSFER_ENCODING).iter().next_back();
    let chunked = encoding.is_some_and(|encoding| {
        let last = encoding.as_bytes().rsplit(|byte| *byte == b',').next();
        last.is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"chunked"))
    });
    let mut body = response.into_body();
    let expected = body.size_hint().exact();
    if expected.is_none() && !chunked {
        return Err(FetchError::NoLength);
    }
    progress.expect(expected);
    let mut file = PartFile::create(&fetch.options.out)?;
    let mut received = 0;
    // hyper counts: a body that ends before its length, or without its last chunk, is an error.
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| body_error(error, received, expected))?;
        if let Some(data) = frame.data_ref() {
            received += data.len() as u64;
            progress.received(received);
            file.write(data).await?;
        }
    }
    file.complete(&fetch.options.out.join(&job.name)).await
}

fn body_error(error: hyper::Error, received: u64, expected: Option<u64>) -> FetchError {
    let ended = |cause: &(dyn Error + 'static)| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|cause| cause.kind() == io::ErrorKind::UnexpectedEof)
    };
    if error.is_incomplete_message() || error.source().is_some_and(ended) {
        FetchError::Truncated { received, expected }
    } else {
        FetchError::Http(error)
    }
}
