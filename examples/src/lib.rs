//! Small real tools on quell, and what they share.
//!
//! | tool | what it does | begin reading at |
//! |---|---|---|
//! | `fetch` | downloads many files at once over HTTP/1.1 | [`fetch`] |
//! | `serve` | serves the files of a folder, and stops gracefully | [`server`] |
//!
//! ```text
//! cargo run --release --bin fetch
//! cargo run --release --bin serve -- FOLDER
//! ```

pub mod fetch;
pub mod hyper_rt;
pub mod server;
pub mod static_files;
pub mod text;
