//! The owner that a file names itself, and the check that it must pass before it may be discarded.
//!
//! The batch document alone cannot name the owner: a database that was copied or restored from a backup knows less than
//! the destination. So each file carries the installation that stored it and, once it is committed, its batch number:
//! as properties on Drive, as an extended attribute in a directory.
//!
//! Risk: a file that names no owner is taken for our own, because the database says so; and others can write there. So such a file is
//! removed only when both its name and its content are those of the batch, as of a file that an earlier version stored.

use std::fmt::Display;
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;

use rustix::fs::XattrFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{DestinationError, Result};
use crate::batch::{BatchId, FileFacts};
use crate::layout::quoted;

/// The extended attribute of a file in a directory. Not every file system keeps it.
const ATTRIBUTE: &str = "user.batch-export";
/// Far more than this program stores there.
const ATTRIBUTE_BYTES: usize = 1024;
/// The write permission of owner, group and others.
const WRITABLE: u32 = 0o222;

/// The owner that a file names. Fields are empty for files of earlier versions and of people, and on a file system
/// without attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Owner {
    /// The installation that stored the file, by the name in its ledger.
    pub installation: Option<String>,
    /// The batch that it was stored for. On Drive only the OAuth client that stored it sees this.
    pub batch_id: Option<String>,
    /// The number under which it was committed.
    pub number: Option<i64>,
    /// Whether the file was committed. A committed file is never removed.
    #[serde(skip)]
    pub sealed: bool,
    /// Whether the file is protected from changes by people.
    #[serde(skip)]
    pub restricted: bool,
}

/// The owner that is written on a file when it is stored, and checked before it is discarded.
#[derive(Clone, Copy, Debug)]
pub struct Mark<'a> {
    /// The batch; `None` for the probe file of `doctor`.
    pub batch: Option<BatchId>,
    /// The installation; `None` in a check of the destination, which has none.
    pub installation: Option<&'a str>,
}

/// The refusal of an id that cannot be one of a file at this destination.
pub(super) fn forged(id: &str, at: &dyn Display) -> DestinationError {
    DestinationError::rejected(
        format!("{} in the batch document cannot be the id of a file in {at}: somebody edited it", quoted(id)),
        "find out who edits the batch documents. As `file.id` of a committed batch, put `metadata.fileId` of its ExportLog back; of another \
         batch, set `file` to null, and the next attempt looks for the file by its name. In `voided`, set `trashed` of that id to true",
    )
}

impl Mark<'_> {
    /// Whether a file of this batch has this name, where no other name is set.
    pub(super) fn is_usual_name(&self, name: &str) -> bool {
        self.batch.is_some_and(|batch| name.starts_with(&batch.file_name(None, "")))
    }

    /// The owner as a file names it.
    pub(super) fn batch_name(&self) -> String {
        self.batch.map_or_else(|| "doctor".to_owned(), |batch| batch.to_string())
    }

    /// Checks that a voided file with this owner and name may be discarded. `is_voided` tells that its content is the voided one, and
    /// that its name is one that the settings give this batch.
    ///
    /// # Errors
    /// When the file is sealed, or is not certain to be a file of this batch.
    pub(super) fn check(&self, file: &str, name: &str, owner: &Owner, is_voided: bool) -> Result<()> {
        let foreign = |whose: String| {
            DestinationError::rejected(
                format!("{file} ({name}) is left as it is: {whose}"),
                "compare that file with `file` and `voided` of the batch document, which somebody may have edited",
            )
        };
        if owner.sealed {
            return Err(DestinationError::rejected(
                format!("{file} ({name}) is left as it is: {}", owner.text()),
                "this database is older than that file: it was restored from a backup, or it is a copy",
            ));
        }
        match (owner.installation.as_deref(), owner.batch_id.as_deref()) {
            (Some(installation), _) if Some(installation) != self.installation => Err(foreign(owner.text())),
            (_, Some(batch)) if batch != self.batch_name() => Err(foreign(format!("it was stored for {batch}"))),
            (Some(_), _) | (_, Some(_)) => Ok(()),
            // A file of an earlier version, or on a file system without attributes.
            (None, None) if is_voided => Ok(()),
            (None, None) => Err(foreign("it does not name its owner".to_owned())),
        }
    }
}

impl Owner {
    /// The mark of a file with this owner.
    pub(super) fn mark(&self) -> Mark<'_> {
        Mark {
            batch: self.batch_id.as_deref().and_then(|id| id.parse().ok()),
            installation: self.installation.as_deref(),
        }
    }

    /// Checks that the file of a committed batch carries no other number than that of the batch.
    pub(super) fn check_number(&self, file: &FileFacts, batch: &Owner) -> Result<()> {
        match (self.number, batch.number) {
            (Some(number), Some(own)) if number != own => Err(DestinationError::rejected(
                format!("{} is left as it is: {}, and this batch has number {own}", file.name, self.text()),
                "there are two copies of this database with one destination: find out whose books have this file, and give one of them \
                 another folder",
            )),
            (_, _) => Ok(()),
        }
    }

    /// The owner, in words for people.
    pub fn text(&self) -> String {
        let whose = match &self.installation {
            Some(installation) => format!("it belongs to the installation {installation}"),
            None => "it names no owner".to_owned(),
        };
        match self.number {
            Some(number) => format!("{whose} and was committed as number {number}"),
            None if self.sealed => format!("{whose} and was committed"),
            None => whose,
        }
    }

    /// The owner of a file in a directory. A file system without modes may lose the seal, and one without attributes
    /// the rest.
    pub(super) fn of(file: &File) -> io::Result<Owner> {
        let mut value = [0; ATTRIBUTE_BYTES];
        let told = match rustix::fs::fgetxattr(file.as_fd(), ATTRIBUTE, &mut value[..]) {
            Ok(length) => serde_json::from_slice(&value[..length]).unwrap_or_default(),
            Err(Errno::NODATA | Errno::NOTSUP | Errno::RANGE | Errno::NOSYS) => Owner::default(),
            Err(error) => return Err(error.into()),
        };
        let read_only = file.metadata()?.permissions().mode() & WRITABLE == 0;
        Ok(Owner { sealed: read_only || told.number.is_some(), restricted: read_only, ..told })
    }

    /// Writes the owner on a file in a directory, if the file system keeps attributes.
    pub(super) fn write(&self, file: &File) -> io::Result<()> {
        match rustix::fs::fsetxattr(file.as_fd(), ATTRIBUTE, &serde_json::to_vec(self)?, XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP | Errno::NOSYS | Errno::NOSPC | Errno::DQUOT | Errno::PERM) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the owner on a committed file, and removes every write permission. Who may read it stays as it was: the operator's umask
    /// decided that.
    pub(super) fn seal(&self, file: &File) -> io::Result<()> {
        self.write(file)?;
        protect(file)
    }
}

/// Makes a file read-only, if it is not.
pub(super) fn protect(file: &File) -> io::Result<()> {
    let mode = file.metadata()?.permissions().mode();
    if mode & WRITABLE != 0 {
        file.set_permissions(Permissions::from_mode(mode & !WRITABLE))?;
        file.sync_all()?;
    }
    Ok(())
}
