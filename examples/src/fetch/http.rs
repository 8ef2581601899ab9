//! One request on one connection.

use super::FetchError;
use crate::hyper_rt::Io;
use blocking::unblock;
use futures_lite::future::or;
use http_body_util::Empty;
use hyper::Request;
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use quell::net::TcpStream;
use std::future::pending;
use url::{Position, Url};

/// Asks for `url` and hands the response to `receive`.
///
/// The connection lives exactly as long as this future: it is polled in here, next to `receive`,
/// and closed by being dropped. As a task of its own it would have to be stopped and waited for.
///
/// # Cancel safety
///
/// Dropping it closes the connection.
pub(super) async fn get<T>(
    url: &Url,
    receive: impl AsyncFnOnce(Response<Incoming>) -> Result<T, FetchError>,
) -> Result<T, FetchError> {
    let stream = connect(url).await?;
    let (mut sender, connection) =
        http1::handshake(Io::new(stream)).await.map_err(FetchError::Http)?;
    let connection = async {
        // Its errors arrive through the response, too, or through the body.
        let _ = connection.await;
        pending().await
    };
    let exchange = async {
        let response = sender.send_request(request(url)).await;
        receive(response.map_err(FetchError::Http)?).await
    };
    or(exchange, connection).await
}

fn request(url: &Url) -> Request<Empty<Bytes>> {
    Request::get(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(USER_AGENT, concat!("quell-fetch/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::new())
        .expect("a URL's parts are encoded")
}

/// Connects to the first address of the host that accepts.
async fn connect(url: &Url) -> Result<TcpStream, FetchError> {
    let addresses = match url.domain() {
        // The system's resolver blocks.
        Some(_) => {
            let url = url.clone();
            unblock(move || url.socket_addrs(|| None)).await
        }
        None => url.socket_addrs(|| None),
    };
    let addresses = addresses.map_err(FetchError::Resolve)?;
    TcpStream::connect_any(&addresses).await.map_err(FetchError::Connect)
}
