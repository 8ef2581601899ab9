//! What is to be downloaded, and what the files will be called. Decided before the first byte.

use super::FetchError;
use percent_encoding::percent_decode_str;
use std::collections::HashSet;
use url::{ParseError, Url};

/// One URL and the name of its file.
#[derive(Debug)]
pub struct Job {
    /// The URL, or why it is none.
    pub url: Result<Url, String>,
    /// The URL as it was given, without control characters.
    pub text: String,
    /// The name of the file in the target folder. No two jobs have the same.
    pub name: String,
}

impl Job {
    /// What to call it in a line of its own: the file's name, or what should have been a URL.
    pub fn label(&self) -> &str {
        if self.name.is_empty() { &self.text } else { &self.name }
    }
}

/// Checks the URLs and names their files.
///
/// A file is called what the last piece of its URL's path is called, decoded, or `index.html`. If
/// several are called the same, the later ones get `.1`, `.2` and so on.
///
/// ```
/// use quell_examples::fetch::plan;
///
/// let jobs = plan(["http://a.org/x/a%20b.txt", "http://b.org/a%20b.txt", "oops"]);
/// assert_eq!(jobs[0].name, "a b.txt");
/// assert_eq!(jobs[1].name, "a b.txt.1");
/// assert!(jobs[2].url.is_err());
/// ```
pub fn plan(urls: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Job> {
    let mut taken = HashSet::new();
    urls.into_iter()
        .map(|text| {
            let text = text.as_ref().trim();
            let url = check(text);
            let name = match &url {
                Ok(url) => unique(&file_name(url), &mut taken),
                Err(_) => String::new(),
            };
            let text = match &url {
                Ok(url) => url.to_string(),
                Err(_) => text.escape_debug().to_string(),
            };
            Job { url: url.map_err(|error| error.to_string()), text, name }
        })
        .collect()
}

/// Parses a URL that this tool can download.
pub(super) fn check(text: &str) -> Result<Url, FetchError> {
    let url = Url::parse(text).map_err(|error| {
        FetchError::BadUrl(match error {
            ParseError::RelativeUrlWithoutBase => "not a URL: it must begin with http://".into(),
            error => format!("not a URL: {error}"),
        })
    })?;
    if url.scheme() != "http" {
        let why = format!("only http:// is supported, not {}:", url.scheme());
        return Err(FetchError::BadUrl(why));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let why = "user names and passwords in URLs are not supported";
        return Err(FetchError::BadUrl(why.into()));
    }
    Ok(url)
}

/// The last piece of the path as the name of a file, whatever the path is.
fn file_name(url: &Url) -> String {
    // Names of files are limited to 255 bytes nearly everywhere; this leaves room for a number.
    const LONGEST: usize = 240;

    let last = url.path_segments().and_then(|mut pieces| pieces.next_back());
    let decoded = percent_decode_str(last.unwrap_or_default()).decode_utf8_lossy();
    let mut name: String = decoded.chars().map(|c| if is_allowed(c) { c } else { '_' }).collect();
    if matches!(&*name, "" | "." | "..") {
        return "index.html".into();
    }
    let mut end = name.len().min(LONGEST);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name
}

fn is_allowed(c: char) -> bool {
    let reserved = if cfg!(windows) { "/\\:*?\"<>|" } else { "/\\" };
    !c.is_control() && !reserved.contains(c)
}

/// `name`, or `name.1`, or `name.2` ... Names that differ in case only are the same for some file
/// systems.
fn unique(name: &str, taken: &mut HashSet<String>) -> String {
    let numbered = (1..).map(|number| format!("{name}.{number}"));
    std::iter::once(name.to_owned())
        .chain(numbered)
        .find(|name| taken.insert(name.to_lowercase()))
        .expect("there are more numbers than names")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(urls: &[&str]) -> Vec<String> {
        plan(urls).into_iter().map(|job| job.name).collect()
    }

    #[test]
    fn a_file_is_called_like_the_last_piece_of_the_path() {
        let name = |url: &str| names(&[url]).remove(0);
        assert_eq!(name("http://h/a/b.txt?q=1#f"), "b.txt");
        assert_eq!(name("http://h/%C3%A4.txt"), "ä.txt");
        assert_eq!(name("http://h"), "index.html");
        assert_eq!(name("http://h/a/"), "index.html");
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let name = |url: &str| names(&[url]).remove(0);
        assert_eq!(name("http://h/..%2f..%2fetc%2fpasswd"), ".._.._etc_passwd");
        assert_eq!(name("http://h/a/%2e%2e"), "index.html");
        assert_eq!(name("http://h/..%5cx%00%1b"), ".._x__");
        let long = name(&format!("http://h/{}", "%C3%A4".repeat(200)));
        assert_eq!(long, "ä".repeat(120));
    }

    #[test]
    fn no_two_files_are_called_the_same() {
        let urls = ["http://h/a", "http://h/a.1", "http://g/a", "http://h/A", "http://h/a"];
        assert_eq!(names(&urls), ["a", "a.1", "a.2", "A.3", "a.4"]);
    }

    #[test]
    fn what_is_no_url_says_what_it_lacks() {
        let why = |text: &str| plan([text])[0].url.clone().unwrap_err();
        assert!(why("example.org/x").contains("must begin with http://"));
        assert!(why("https://example.org/").contains("only http:// is supported"));
        assert!(why("http://me:pw@h/").contains("not supported"));
        assert!(why("http://").contains("empty host"));
        assert_eq!(plan(["\u{1b}[2J"])[0].text, "\\u{1b}[2J");
    }
}
