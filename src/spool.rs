//! The spool file: the CSV of one attempt, complete on the local disk before anything leaves the machine.
//!
//! It holds a company's books, so it is private (0600), and it is removed on every way out. A killed process cannot
//! remove its file, so each file is locked while its owner lives, and the next run in the folder removes those that
//! nobody holds. A process id in the name would not help: containers that share a folder do not share process ids.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use md5::Md5;
use rustix::fs::FlockOperation;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::failure::Failure;
use crate::files::open_regular;

const PREFIX: &str = "batch-export-";
const SUFFIX: &str = ".spool";

/// Size and checksums of a file, as computed while it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    /// Bytes.
    pub bytes: u64,
    /// 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// 32 lower-case hexadecimal digits.
    pub md5: String,
}

/// The failure of a spool file in this folder, of which `what` is said. The library names the file in its error, which is of no use.
pub fn failed(folder: &Path, what: &str, error: &io::Error) -> Failure {
    let said = error.to_string();
    let said = said.split(" at path ").next().unwrap_or_default();
    let elsewhere = "set --spool-dir to a private folder with room for the file";
    let next = match error.kind() {
        ErrorKind::NotFound => format!("create that folder, or {elsewhere}"),
        ErrorKind::NotADirectory => elsewhere.to_owned(),
        ErrorKind::PermissionDenied => format!("give the user of this job the right to write there, or {elsewhere}"),
        _ => format!("free space there, or {elsewhere}"),
    };
    Failure::configuration(format!("{what} in {} cannot be used: {said}", folder.display())).next(next)
}

/// Bytes that are hashed at a time.
const PART_BYTES: usize = 64 * 1024;
/// Parts that may wait for it.
const PARTS_WAITING: usize = 2;

/// A writer that counts and digests what passes through it. Of all but a small file a thread computes the checksums, beside the writer: they
/// take two thirds of the time that making the rows takes.
#[derive(Debug)]
pub struct Digesting<W> {
    out: W,
    bytes: u64,
    /// What was written and not hashed yet.
    part: Vec<u8>,
    thread: Option<(SyncSender<Vec<u8>>, JoinHandle<Hashes>)>,
}

#[derive(Debug, Default)]
struct Hashes {
    sha256: Sha256,
    md5: Md5,
}

impl Hashes {
    fn with(mut self, part: &[u8]) -> Hashes {
        self.sha256.update(part);
        self.md5.update(part);
        self
    }
}

impl<W: Write> Digesting<W> {
    /// Digests what is written to `out`.
    pub fn new(out: W) -> Digesting<W> {
        Digesting { out, bytes: 0, part: Vec::new(), thread: None }
    }

    /// The inner writer, and the digests of everything written.
    pub fn finish(self) -> (W, Digests) {
        let hashes = self.thread.map_or_else(Hashes::default, |(parts, thread)| {
            // It ends with what it has received.
            drop(parts);
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        });
        let Hashes { sha256, md5 } = hashes.with(&self.part);
        let (sha256, md5) = (hex::encode(sha256.finalize()), hex::encode(md5.finalize()));
        (self.out, Digests { bytes: self.bytes, sha256, md5 })
    }

    fn hash_part(&mut self) -> io::Result<()> {
        let part = mem::replace(&mut self.part, Vec::with_capacity(PART_BYTES));
        let (parts, _) = match &mut self.thread {
            Some(begun) => begun,
            none => {
                let (parts, received) = sync_channel::<Vec<u8>>(PARTS_WAITING);
                let hash = move || received.iter().fold(Hashes::default(), |hashes, part| hashes.with(&part));
                none.insert((parts, thread::Builder::new().name("checksums".to_owned()).spawn(hash)?))
            }
        };
        parts.send(part).map_err(io::Error::other)
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Parts of one size: what waits for the thread is bounded, also where a row is very long.
        let written = self.out.write(&bytes[..bytes.len().min(PART_BYTES)])?;
        self.bytes += written as u64;
        self.part.extend_from_slice(&bytes[..written]);
        if self.part.len() >= PART_BYTES {
            self.hash_part()?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A spool file that is being written. Dropping it removes the file.
pub type SpoolWriter = Digesting<NamedTempFile>;

/// A finished spool file. Dropping it removes the file.
#[derive(Debug)]
pub struct Spool {
    file: NamedTempFile,
    digests: Digests,
}

impl Digesting<NamedTempFile> {
    /// Creates an empty spool file in `folder`, after removing the files that killed runs of this host left there.
    ///
    /// # Errors
    /// The file system's error; the caller names the folder.
    pub fn create(folder: &Path) -> io::Result<SpoolWriter> {
        remove_leftovers(folder);
        loop {
            let file = tempfile::Builder::new().prefix(PREFIX).suffix(SUFFIX).tempfile_in(folder)?;
            // Between these two lines another run may take the new file for a leftover: then make another one.
            if hold(file.as_file()).is_ok() && file.as_file().metadata()?.nlink() > 0 {
                return Ok(Digesting::new(file));
            }
        }
    }

    /// Completes the file.
    ///
    /// # Errors
    /// The file system's error, such as a full disk.
    pub fn into_spool(mut self) -> io::Result<Spool> {
        self.flush()?;
        let (file, digests) = self.finish();
        Ok(Spool { file, digests })
    }
}

impl Spool {
    /// Size and checksums.
    pub fn digests(&self) -> &Digests {
        &self.digests
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// A new handle on the file, at its beginning.
    ///
    /// # Errors
    /// When somebody removed the file, or no more files can be opened.
    pub fn open(&self) -> io::Result<File> {
        self.file.reopen()
    }
}

/// Removes the spool files that no process holds. A file that cannot be opened or locked belongs to another process or
/// user, and stays.
fn remove_leftovers(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let ours = name.starts_with(PREFIX) && name.ends_with(SUFFIX);
        if ours && open_regular(&path).is_ok_and(|file| hold(&file).is_ok()) {
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// Locks the file for as long as it is open. The kernel releases the lock when the process ends, however it ends.
fn hold(file: &File) -> io::Result<()> {
    Ok(rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive)?)
}
