//! Where the file goes: a Google Drive folder, or a directory.
//!
//! Both obey one rule, on which the exactly-once promise rests: a file is WRITTEN ONCE. An id (on Drive) or a name (in a directory)
//! never changes its content; what turns out to be wrong is voided and replaced by a file under another id. The pass decides; a
//! destination only looks, creates and discards, and never does two of them in one call.

pub mod directory;
pub mod drive;
mod probe_file;
mod read_back;

use std::fs::File;
use std::time::Duration;

pub use probe_file::probe_name;

use crate::batch::Voided;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::spool::Digests;

/// What is to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewFile<'a> {
    /// The id under which it is stored, from [`Destination::new_id`] and written down in the batch document beforehand.
    pub id: &'a str,
    /// The name that people see.
    pub name: &'a str,
    /// The batch it belongs to.
    pub batch: &'a str,
    /// The MIME type.
    pub mime_type: &'static str,
    /// The content.
    pub spool: &'a crate::spool::Spool,
}

/// A stored file whose content was verified: Drive's (or the directory's) own checksum and size equal the spool's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where a person finds it.
    pub link: Option<String>,
}

/// What is found under an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing.
    Absent,
    /// Live, and the same content as the spool file.
    Same(Stored),
    /// Something that cannot become the official file.
    Different {
        /// Why not: another content, in the trash, ...; becomes the reason under `voided`.
        reason: String,
        /// Its checksum where the destination tells it.
        sha256: Option<String>,
    },
}

/// What became of a creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// Stored, and verified.
    Stored(Stored),
    /// The id is taken already: an earlier try of ours stored a file there. Look.
    IdTaken,
    /// Drive does not accept the id from these credentials, and nothing was stored. So it does with an id that was issued to others;
    /// for one that was issued to these it means what the error says.
    IdRefused(DestinationError),
    /// It was stored, but the destination's checksum or size is not the spool's.
    Mismatch {
        /// Both values, for a person.
        reason: String,
        /// The checksum that the destination reports.
        sha256: Option<String>,
    },
}

/// A failure of the destination, or a refusal by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// It may pass: network, 5xx, rate limit, no checksum to compare. Exit code 22.
    #[error("{0}")]
    Failed(String),
    /// It may pass too, and a person can help it. Exit code 22.
    #[error("{message}")]
    Passing {
        /// What failed.
        message: String,
        /// What helps.
        next: String,
    },
    /// A person has to act: credentials, permission, quota, missing folder. Exit code 31.
    #[error("{message}")]
    Rejected {
        /// What was refused.
        message: String,
        /// What to do about it.
        next: String,
    },
}

impl From<DestinationError> for Failure {
    fn from(error: DestinationError) -> Failure {
        match error {
            DestinationError::Failed(message) => Failure::new(Exit::UploadFailed, message),
            DestinationError::Passing { message, next } => Failure::new(Exit::UploadFailed, message).next(next),
            DestinationError::Rejected { message, next } => Failure::new(Exit::DriveRejected, message).next(next),
        }
    }
}

/// What the batch document knows of its own files.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Checksum stored with the current id, by this attempt or an earlier one.
    pub stored_sha256: Option<&'a str>,
    /// The ids that were given up.
    pub voided: &'a [Voided],
}

/// A place for files.
pub enum Destination {
    /// `file:///dir`.
    Directory(directory::Directory),
    /// `gdrive://FOLDER_ID`.
    Drive(Box<drive::Drive>),
}

/// Keeps other runs out, where the destination needs that; dropped when the upload stage ends.
#[derive(Debug)]
pub struct Exclusive {
    _folder: Option<File>,
}

impl Destination {
    /// Waits until no other run works at a destination that tells files by name, for the limit at most.
    ///
    /// # Errors
    /// When the destination cannot be reached, or is not free in time.
    pub async fn exclusive(&self, limit: Duration) -> Result<Exclusive, DestinationError> {
        match self {
            Destination::Directory(directory) => Ok(Exclusive { _folder: Some(directory.lock(limit).await?) }),
            Destination::Drive(_) => Ok(Exclusive { _folder: None }),
        }
    }

    /// An id for a new file, not used by any other.
    ///
    /// # Errors
    /// When the destination cannot be reached.
    pub async fn new_id(&self, name: &str) -> Result<String, DestinationError> {
        match self {
            Destination::Directory(directory) => Ok(directory.new_id(name)),
            Destination::Drive(drive) => drive.new_id().await,
        }
    }

    /// Whether an id may get another content as long as nothing is stored under it. In a directory it may not: there the checksum in
    /// the batch document is all that tells which file is whose.
    pub fn reuses_ids(&self) -> bool {
        match self {
            Destination::Directory(_) => false,
            Destination::Drive(_) => true,
        }
    }

    /// What is stored under an id.
    ///
    /// # Errors
    /// When it cannot be told: then nothing may be decided.
    pub async fn look(&self, id: &str, digests: &Digests, known: &Known<'_>) -> Result<Look, DestinationError> {
        match self {
            Destination::Directory(directory) => directory.look(id, digests, known).await,
            Destination::Drive(drive) => drive.look(id, digests).await,
        }
    }

    /// Stores a file under its id, once.
    ///
    /// # Errors
    /// When it is not stored, or that cannot be told; looking under the id tells.
    pub async fn create(&self, file: &NewFile<'_>, progress: &Progress) -> Result<Created, DestinationError> {
        match self {
            Destination::Directory(directory) => directory.create(file, progress).await,
            Destination::Drive(drive) => drive.create(file, progress).await,
        }
    }

    /// What [`Destination::discard`] does, as the end of a sentence about a file.
    pub fn discarded(&self) -> &'static str {
        match self {
            Destination::Directory(_) => "removed again",
            Destination::Drive(_) => "put into the trash",
        }
    }

    /// Brings a voided file to the trash, or removes it where there is none. Nothing there counts as done.
    ///
    /// # Errors
    /// When the destination fails; a later invocation tries again.
    pub async fn discard(&self, id: &str, sha256: Option<&str>) -> Result<(), DestinationError> {
        match self {
            Destination::Directory(directory) => directory.discard(id, sha256).await,
            Destination::Drive(drive) => drive.trash(id).await,
        }
    }
}
