//! Where the file goes: a Google Drive folder, or a directory.
//!
//! Both obey one rule, on which the exactly-once promise rests: a file is WRITTEN ONCE. An id (on Drive) or a name (in a directory)
//! never changes its content; what turns out to be wrong is voided and replaced by a file under another id. The pass decides; a
//! destination only looks, creates, seals and discards, and never does two of them in one call.
//!
//! This is the one face of both: outside of this folder nobody asks which of them it is, only what it can do.

pub mod directory;
pub mod drive;
mod inspect;
mod location;
mod owner;
mod probe_file;
mod read_back;

use std::fs::File;
use std::time::Duration;

pub use inspect::{Inspected, Inspection};
pub use location::Reached;
pub use owner::{Mark, Owner};
pub use probe_file::probe_name;

use crate::batch::{FileFacts, Voided};
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
    /// What is written on it: the batch and the installation that it belongs to.
    pub mark: Mark<'a>,
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
    Same(Stored, Owner),
    /// Something that cannot become the official file.
    Different {
        /// Why not: another content, in the trash, ...; becomes the reason under `voided`.
        reason: String,
        /// Its checksum where the destination tells it.
        sha256: Option<String>,
        /// Whose it is.
        owner: Owner,
    },
}

/// A live file with the name that is to be given, which the batch document does not know, or which is sealed though it was given up there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The id under which it can become official.
    pub id: String,
    /// Set when it has the content of the spool file.
    pub same: Option<Stored>,
    /// Its checksum where the destination tells it.
    pub sha256: Option<String>,
    /// Whose it is.
    pub owner: Owner,
    /// The batch document gave up this id, and somebody committed it all the same.
    pub given_up: bool,
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
    /// The batch, and the installation.
    pub mark: Mark<'a>,
    /// The file that is stored, or was about to be, by this attempt or an earlier one.
    pub file: Option<&'a FileFacts>,
    /// The ids that were given up.
    pub voided: &'a [Voided],
}

impl Known<'_> {
    fn is_void(&self, sha256: &str) -> bool {
        self.voided.iter().any(|voided| voided.sha256.as_deref() == Some(sha256))
    }

    fn is_stored(&self, sha256: &str) -> bool {
        self.file.is_some_and(|file| file.sha256 == sha256)
    }

    fn has_id(&self, id: &str) -> bool {
        self.file.is_some_and(|file| file.id == id)
    }

    fn gave_up(&self, id: &str) -> bool {
        self.voided.iter().any(|voided| voided.id == id)
    }
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

    /// Whether several ids name one file, so that a voided one may be discarded only when it is certain whose content lies there.
    pub fn shares_names(&self) -> bool {
        match self {
            Destination::Directory(_) => true,
            Destination::Drive(_) => false,
        }
    }

    /// Whether a file may be there that these credentials cannot see.
    pub fn hides_files(&self) -> bool {
        match self {
            Destination::Directory(_) => false,
            Destination::Drive(_) => true,
        }
    }

    /// Files of this name that the batch document does not know, apart from those in the trash.
    ///
    /// # Errors
    /// When it cannot be told: then nothing may be stored.
    pub async fn named(
        &self,
        name: &str,
        digests: &Digests,
        known: &Known<'_>,
    ) -> Result<Vec<Named>, DestinationError> {
        match self {
            Destination::Directory(directory) => Ok(directory.named(name, digests, known).await?.into_iter().collect()),
            Destination::Drive(drive) => drive.named(name, digests, known).await,
        }
    }

    /// Whose the file of an id is; `None` when there is no such file.
    ///
    /// # Errors
    /// When it cannot be told.
    pub async fn owner(&self, id: &str) -> Result<Option<Owner>, DestinationError> {
        match self {
            Destination::Directory(directory) => directory.owner(id),
            Destination::Drive(drive) => drive.owner(id).await,
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
    /// When the destination fails, and a later invocation tries again; or when the file is sealed, or is not certain to be ours.
    pub async fn discard(&self, id: &str, sha256: Option<&str>, mark: &Mark<'_>) -> Result<(), DestinationError> {
        match self {
            Destination::Directory(directory) => directory.discard(id, sha256, mark).await,
            Destination::Drive(drive) => drive.discard(id, mark).await,
        }
    }

    /// Seals a committed file: its number, and what keeps people from changing it, where the destination allows that. Returns whether
    /// it is kept from change; `None` when the committed file is not there. `look` first where it may be sealed already.
    ///
    /// # Errors
    /// When the destination fails or refuses; a later invocation tries again.
    pub async fn seal(&self, file: &FileFacts, owner: &Owner, look: bool) -> Result<Option<bool>, DestinationError> {
        match self {
            Destination::Directory(directory) => Ok(directory.seal(file, owner).await?.map(|()| true)),
            Destination::Drive(drive) => drive.seal(file, owner, look).await,
        }
    }

    /// Whether a file is in the trash, wherever it was moved to.
    ///
    /// # Errors
    /// When it cannot be told.
    pub async fn is_trashed(&self, id: &str) -> Result<bool, DestinationError> {
        match self {
            Destination::Directory(_) => Ok(false),
            Destination::Drive(drive) => drive.is_trashed(id).await,
        }
    }
}
