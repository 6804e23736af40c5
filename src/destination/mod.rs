//! Where the file goes: a Google Drive folder, or a directory.
//!
//! Both obey one rule, on which exactly-once rests: a file is written once. The content of an id never changes; a wrong
//! file is voided and replaced by a file under another id. The pass decides; a destination only looks, creates, seals
//! and discards, one of them per call.
//!
//! Code outside of this folder does not ask which kind of destination it has, only what the destination can do.

pub mod directory;
pub mod drive;
mod inspect;
mod location;
mod owner;
mod probe_file;
mod read_back;

use std::fs::File;
use std::time::Duration;

use chrono::{DateTime, Utc};

pub use inspect::Inspection;
pub use location::Reached;
pub use owner::{Mark, Owner};
pub use probe_file::probe_name;

use crate::batch::{BatchId, FileFacts, Voided};
use crate::exit::Exit;
use crate::failure::{Explanation, Failure};
use crate::progress::Progress;
use crate::spool::Digests;

/// A file to store.
#[derive(Clone, Copy, Debug)]
pub struct NewFile<'a> {
    /// Its id, from [`Destination::new_id`], stored in the batch document before the upload.
    pub id: &'a str,
    /// The name that people see.
    pub name: &'a str,
    /// The owner that is written on it: the batch and the installation.
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

/// The result of a look at an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// No file.
    Absent,
    /// A live file with the content of the spool file.
    Same(Stored, Owner),
    /// A file that cannot become the official one.
    Different {
        /// Why not, such as another content or in the trash; stored as the reason under `voided`.
        reason: String,
        /// Its checksum, when the destination reports one.
        sha256: Option<String>,
        /// Its owner.
        owner: Owner,
    },
}

/// A live file that has the batch's file name, or the number that this commit would allot, and that the batch document does not know, or
/// lists as voided although it is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The id under which it can become official.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Set when the file has the content of the spool file.
    pub same: Option<Stored>,
    /// Its checksum where the destination reports it.
    pub sha256: Option<String>,
    /// Whose it is.
    pub owner: Owner,
    /// Whether the batch document lists this id as voided, although the file is sealed.
    pub is_voided: bool,
}

/// The result of a creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// Stored, and verified.
    Stored(Stored),
    /// The id is taken: an earlier try stored a file under it. Look at the file.
    IdTaken,
    /// Drive refuses the id from these credentials, and nothing is stored. That is usual for an id that was issued to
    /// other credentials; for an id that was issued to these, the error counts.
    IdRefused(DestinationError),
    /// It failed before a byte of the file left: this call stored nothing under the id, and nothing of it can come later.
    NotSent(DestinationError),
    /// A file was stored, but its checksum or size differs from the spool file's.
    Mismatch {
        /// Both values, for a person.
        reason: String,
        /// The checksum that the destination reports.
        sha256: Option<String>,
    },
}

/// A failure of the destination, or a refusal by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct DestinationError {
    /// Whether a person has to act: credentials, permission, quota, missing folder. Exit code 31. Else it is temporary: network, 5xx, rate
    /// limit, no checksum to compare. Exit code 22.
    pub is_refusal: bool,
    /// What failed, and what to do about it; after a temporary failure, what to do when it lasts.
    pub why: Explanation,
}

/// What a destination answers.
pub type Result<T, E = DestinationError> = std::result::Result<T, E>;

impl DestinationError {
    /// A temporary failure.
    pub fn failed(why: impl Into<Explanation>) -> DestinationError {
        DestinationError { is_refusal: false, why: why.into() }
    }

    /// A refusal, and what a person does about it.
    pub fn rejected(message: impl AsRef<str>, next: impl AsRef<str>) -> DestinationError {
        DestinationError { is_refusal: true, why: Explanation::new(message, next) }
    }
}

impl From<DestinationError> for Failure {
    fn from(error: DestinationError) -> Failure {
        Failure::of(if error.is_refusal { Exit::DriveRejected } else { Exit::UploadFailed }, error.why)
    }
}

/// Where a file is, and what people call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// Its name.
    pub name: String,
    /// It is in the trash.
    pub trashed: bool,
    /// It is in another folder.
    pub moved: bool,
}

impl Whereabouts {
    /// What people did with the file that is no fault, for a person.
    pub fn notes(&self, file: &FileFacts) -> Vec<String> {
        let FileFacts { name, id, .. } = file;
        let moved = self.moved.then(|| format!("{name} ({id}) was moved to another folder"));
        let renamed = (self.name != *name).then(|| format!("{name} ({id}) was renamed to {}", self.name));
        moved.into_iter().chain(renamed).collect()
    }
}

/// A committed file that carries its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Whether it is protected from changes by people.
    pub restricted: bool,
    /// Where people brought it, for a person.
    pub notes: Vec<String>,
}

/// A file of a batch, as the destination lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// It is in the trash.
    pub trashed: bool,
    /// It is a link, a FIFO or a folder, and no file.
    pub irregular: bool,
    /// When it was stored, where the destination reports it.
    pub created: Option<DateTime<Utc>>,
    /// Its owner.
    pub owner: Owner,
}

/// The batch's own files, from its document.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The batch, and the installation.
    pub mark: Mark<'a>,
    /// The number that the commit would allot: a file that bears it was committed by a later state of this database.
    pub next: i64,
    /// The file that is stored, or was about to be, by this attempt or an earlier one.
    pub file: Option<&'a FileFacts>,
    /// The voided ids.
    pub voided: &'a [Voided],
    /// How the settings name files, with `{date}`; `None` for the usual names.
    pub file_name: Option<&'a str>,
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

    /// Whether this is a committed file that tells of a later state of this database: this installation has not allotted its number yet. Before
    /// the first number, a database that lost its ledger has another name, so each committed file that is named like those of the settings
    /// counts.
    fn is_ahead(&self, name: &str, owner: &Owner) -> bool {
        let is_ours = owner.installation.is_some() && owner.installation.as_deref() == self.mark.installation;
        let begins = self.next == 1 && BatchId::is_file_name(self.file_name, name);
        (is_ours || begins) && owner.number.is_some_and(|number| number >= self.next)
    }

    fn has_voided(&self, id: &str) -> bool {
        self.voided.iter().any(|voided| voided.id == id)
    }
}

/// A destination for files.
pub enum Destination {
    /// `file:///dir`.
    Directory(directory::Directory),
    /// `gdrive://FOLDER_ID`.
    Drive(Box<drive::Drive>),
}

/// Keeps other runs out of a destination that needs it. Dropping it lets them in.
#[derive(Debug)]
pub struct Exclusive {
    _folder: Option<File>,
}

impl Destination {
    /// Waits, for `limit` at most, until no other run works at a destination whose ids share file names.
    pub async fn exclusive(&self, limit: Duration) -> Result<Exclusive> {
        match self {
            Destination::Directory(directory) => Ok(Exclusive { _folder: Some(directory.lock(limit).await?) }),
            Destination::Drive(_) => Ok(Exclusive { _folder: None }),
        }
    }

    /// An id for a new file, not used by any other.
    pub async fn new_id(&self, name: &str) -> Result<String> {
        match self {
            Destination::Directory(_) => Ok(directory::new_id(name)),
            Destination::Drive(drive) => drive.new_id().await,
        }
    }

    /// Whether an id may be used for another content while nothing is stored under it. Not in a directory: there only
    /// the checksum in the batch document tells which file belongs to which id.
    pub fn reuses_ids(&self) -> bool {
        matches!(self, Destination::Drive(_))
    }

    /// Whether several ids share one file name. A voided file may then be discarded only when its checksum shows that
    /// it is that file.
    pub fn shares_names(&self) -> bool {
        matches!(self, Destination::Directory(_))
    }

    /// Whether files may exist that these credentials cannot see.
    pub fn hides_files(&self) -> bool {
        matches!(self, Destination::Drive(_))
    }

    /// The live files that have this name, or were committed by a later state of this database, and that the batch document does not know.
    ///
    /// # Errors
    /// When the destination cannot be read; then nothing may be stored.
    pub async fn named(&self, name: &str, digests: &Digests, known: &Known<'_>) -> Result<Vec<Named>> {
        match self {
            Destination::Directory(directory) => directory.named(name, digests, known).await,
            Destination::Drive(drive) => drive.named(name, digests, known).await,
        }
    }

    /// The owner of the file of an id; `None` when there is no such file.
    pub async fn owner(&self, id: &str) -> Result<Option<Owner>> {
        match self {
            Destination::Directory(directory) => directory.owner(id),
            Destination::Drive(drive) => drive.owner(id).await,
        }
    }

    /// Compares the file under an id with the spool file.
    ///
    /// # Errors
    /// When the file cannot be read; then nothing may be decided.
    pub async fn look(&self, id: &str, digests: &Digests, known: &Known<'_>) -> Result<Look> {
        match self {
            Destination::Directory(directory) => directory.look(id, digests, known).await,
            Destination::Drive(drive) => drive.look(id, digests).await,
        }
    }

    /// Stores a file under its id, once.
    ///
    /// # Errors
    /// When the file is not stored, or when that is not known; [`Destination::look`] finds out.
    pub async fn create(&self, file: &NewFile<'_>, progress: &Progress) -> Result<Created> {
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

    /// What it means that a committed file is not here.
    pub fn missing(&self, file: &FileFacts) -> Explanation {
        let FileFacts { name, id, .. } = file;
        match self {
            Destination::Drive(_) => Explanation::from(format!(
                "{name} ({id}) is not at the destination: it was removed for good, or moved to where this account does not see it; Drive does \
                 not tell which"
            )),
            Destination::Directory(_) => Explanation::new(
                format!(
                    "{name} is not at the destination, and no file there or in a subfolder has its content: moved elsewhere or removed, a \
                     directory does not tell which"
                ),
                "`verify --file PATH` tells whether a file is the official one",
            ),
        }
    }

    /// Whether a file that is not found at its place is in the trash.
    pub async fn is_trashed(&self, file: &FileFacts) -> Result<bool> {
        match self {
            Destination::Directory(directory) => {
                Ok(directory.elsewhere(file).is_some_and(|path| Destination::is_in_trash(&path)))
            }
            Destination::Drive(drive) => Ok(drive.whereabouts(&file.id).await?.is_some_and(|found| found.trashed)),
        }
    }

    /// The error of an id that is taken by a file that these credentials do not see.
    pub fn unseen(file: &FileFacts) -> DestinationError {
        let FileFacts { name, id, .. } = file;
        let message = format!(
            "Drive says that a file with the id {id} exists already, but does not show it: an earlier attempt stored {name} there, and \
             access to it was lost, or the credentials are of another OAuth client, or it was deleted for good"
        );
        let next = "use the credentials of the earlier attempt, or let these see the file again; uploading under another id could make \
                    a second file";
        DestinationError::failed(Explanation::new(message, next))
    }

    /// Moves a voided file with this checksum to the trash, or removes it at a destination without a trash. A missing file counts as done.
    ///
    /// # Errors
    /// When the destination fails (a later invocation tries again), or the file is sealed or not certain to be ours.
    pub async fn discard(&self, id: &str, sha256: Option<&str>, mark: &Mark<'_>) -> Result<()> {
        match self {
            Destination::Directory(directory) => directory.discard(id, sha256, mark).await,
            Destination::Drive(drive) => drive.discard(id, sha256, mark).await,
        }
    }

    /// Seals a committed file: writes its batch number on it, and protects it from changes where the destination can.
    /// People may have moved or renamed it. `None` when the committed file is not there, or in the trash. With `look` it first checks
    /// that the file is ours, and whether it is sealed already: its id is then from the database, where others can write.
    ///
    /// # Errors
    /// When the destination fails or refuses; a later invocation tries again.
    pub async fn seal(&self, file: &FileFacts, owner: &Owner, look: bool) -> Result<Option<Sealed>> {
        match self {
            Destination::Directory(directory) => directory.seal(file, owner, look).await,
            Destination::Drive(drive) => drive.seal(file, owner, look).await,
        }
    }

    /// Where a file is, wherever people brought it; `None` when that is not known by its id, as in a directory.
    pub async fn whereabouts(&self, id: &str) -> Result<Option<Whereabouts>> {
        match self {
            Destination::Directory(_) => Ok(None),
            Destination::Drive(drive) => drive.whereabouts(id).await,
        }
    }
}

/// Says where a file of a directory lies that is not under its own name.
pub fn brought_to(file: &FileFacts, path: &std::path::Path) -> String {
    format!("{} was moved or renamed: it is {} there", file.name, path.display())
}
