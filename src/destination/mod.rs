//! Where the file goes: a Google Drive folder, or a directory.
//!
//! Both obey one rule, on which the exactly-once promise rests: a file is WRITTEN ONCE. An id (on Drive) or a name (in a directory)
//! never changes its content; what turns out to be wrong is voided and replaced by a file under another id. The pass decides; a
//! destination only looks, creates and discards, and never does two of them in one call.

pub mod drive;

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
    /// It was stored, but the destination's checksum or size is not the spool's.
    Mismatch {
        /// Both values, for a person.
        reason: String,
        /// The checksum that the destination reports.
        sha256: Option<String>,
    },
}

/// Trouble at the destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// It may pass: network, 5xx, rate limit, no checksum to compare. Exit code 22.
    #[error("{0}")]
    Failed(String),
    /// A person has to act: credentials, permission, quota, missing folder. Exit code 31.
    #[error("{message}")]
    Rejected {
        /// What was refused.
        message: String,
        /// What to do about it.
        next: String,
    },
}
