//! A file that appears under its name only when it is complete.

use super::FetchError;
use blocking::unblock;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempPath;

/// A file on its way. Dropping it removes it.
///
/// Bytes are written on the thread pool, since a disk may block for as long as it likes. All that
/// a job there gets is the open file. Its name stays here, and only here is it given or taken away:
///
/// * The file is created on the executor's thread. Were that a job of the pool, a cancellation, or
///   the end of the process, might come when the file exists and nobody has its guard.
/// * A download that is dropped in the middle of a write removes the name at once. The write goes
///   on into a file without a name, which the system frees when the job closes it.
/// * It is renamed on the executor's thread, when no write is left. There is no suspension point
///   between that and the end of the download.
///
/// It is not forced onto the disk: after a power failure it may be there and empty, as with most
/// tools.
#[derive(Debug)]
pub struct PartFile {
    path: TempPath,
    file: Arc<File>,
    /// Received and not yet written: few large jobs cost less than many small ones.
    buffer: Vec<u8>,
}

impl PartFile {
    const BUFFER: usize = 128 * 1024;

    /// How the names of temporary files begin and end.
    pub const AFFIXES: (&'static str, &'static str) = (".fetch-", ".part");

    /// Creates it in `folder`, which must be the folder of the complete file as well: files can be
    /// renamed, but not moved, in one step.
    ///
    /// # Errors
    ///
    /// If the folder is not there or not writable.
    pub fn create(folder: &Path) -> Result<Self, FetchError> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(Self::AFFIXES.0).suffix(Self::AFFIXES.1);
        // Temporary files are private unless one says otherwise. This one will be a normal file:
        // what may be done with it is up to the user's umask.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let (file, path) = builder
            .tempfile_in(folder)
            .map_err(|error| failed("create a file in", folder, error))?
            .into_parts();
        Ok(Self { path, file: Arc::new(file), buffer: Vec::new() })
    }

    /// Appends `data`.
    ///
    /// # Errors
    ///
    /// If the disk is full, for example.
    ///
    /// # Cancel safety
    ///
    /// None: what has been written is unknown then. Drop the file.
    pub async fn write(&mut self, data: &[u8]) -> Result<(), FetchError> {
        self.buffer.extend_from_slice(data);
        if self.buffer.len() < Self::BUFFER {
            return Ok(());
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), FetchError> {
        let (file, mut buffer) = (self.file.clone(), std::mem::take(&mut self.buffer));
        let written = unblock(move || {
            (&*file).write_all(&buffer)?;
            buffer.clear();
            Ok(buffer)
        });
        match written.await {
            Ok(buffer) => self.buffer = buffer,
            // The user knows the folder; the name of a file that is about to go helps nobody.
            Err(error) => {
                let folder = self.path.parent().unwrap_or(&self.path);
                return Err(failed("write a file in", folder, error));
            }
        }
        Ok(())
    }

    /// Writes what is left and gives the file its name. A file that has the name is replaced.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write); if the name belongs to a folder. The file is removed then.
    ///
    /// # Cancel safety
    ///
    /// Dropping it removes the file.
    pub async fn complete(mut self, name: &Path) -> Result<(), FetchError> {
        if !self.buffer.is_empty() {
            self.flush().await?;
        }
        drop(self.file);
        self.path.persist(name).map_err(|error| failed("replace", name, error.error))
    }
}

fn failed(action: &'static str, path: &Path, error: io::Error) -> FetchError {
    let path = path.display().to_string();
    FetchError::File { action, path, error }
}
