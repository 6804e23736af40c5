//! A directory as destination: files appear complete, and never replace another file.
//!
//! People look for `batch_2026-01-18.csv`, so the file name is fixed, unlike an id on Drive. An id here is therefore
//! the name with a random part behind it, and the checksum in the batch document tells which content belongs to an id.
//! Others can write that document: an id whose name is more than a bare file name is refused.
//!
//! Risk: a run that was paused just before it removes a voided file would remove the official file that took its name.
//! So a pass holds an exclusive lock on the directory from before its last fenced write until its last change there.
//! The kernel releases the lock with the process. A run that holds the lock and then passes the fence check is the only
//! one that changes the folder.

use std::fs::{File, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::owner::{Mark, Owner, forged, protect};
use super::{Created, Destination, DestinationError, Known, Look, Named, NewFile, Result, Sealed, Stored};
use crate::batch::FileFacts;
use crate::failure::Explanation;
use crate::files::{open_folder, open_regular};
use crate::progress::Progress;
use crate::spool::Digests;

/// Bytes read between two points at which the reading can be stopped.
const PIECE_BYTES: usize = 256 * 1024;
/// Temporary names: hidden, and not `.csv`, so that nobody imports half a file.
const PART_PREFIX: &str = ".batch-export-";
const PART_SUFFIX: &str = ".part";
/// The wait between two looks at a directory that another run holds.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// A directory on a local or mounted file system.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// The name of files in the settings, with `{date}`; `None` for the usual one.
    file_name: Option<String>,
}

/// The longest file name, in bytes, that file systems take.
const NAME_MAX_BYTES: usize = 255;

impl Directory {
    /// The directory; it must exist already.
    pub fn new(path: PathBuf, file_name: Option<String>) -> Directory {
        Directory { path, file_name }
    }

    /// Whether it is the same directory as this one, by whatever path: a symbolic link, or a mount.
    pub(super) fn is(&self, other: &Path) -> bool {
        let identity = |path: &Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        self.path == other || identity(&self.path).is_some_and(|ours| Some(ours) == identity(other))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until no other run works in this directory, and keeps other runs out until the guard is dropped.
    pub(super) async fn lock(&self, limit: Duration) -> Result<File> {
        let folder = open_folder(&self.path).map_err(|error| self.failed("open", &error))?;
        let path = self.path.display();
        let free = async {
            let mut told = false;
            loop {
                match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
                    Ok(()) => return Ok(()),
                    Err(Errno::WOULDBLOCK) => {
                        if !std::mem::replace(&mut told, true) {
                            tracing::info!(directory = %path, "waits for another run that works in the directory");
                        }
                        tokio::time::sleep(LOCK_POLL).await;
                    }
                    Err(error) => return Err(self.failed("lock", &error.into())),
                }
            }
        };
        // The kernel releases the lock with its process, so a process that holds it still lives.
        tokio::time::timeout(limit, free).await.unwrap_or_else(|_| {
            let limit = humantime::format_duration(limit);
            Err(DestinationError::failed(Explanation::new(
                format!("another run kept the directory {path} busy for {limit}"),
                format!("if that run hangs or was stopped, end it: `fuser -v {path}` names it; `batch-export retry` then tries again"),
            )))
        })?;
        Ok(folder)
    }

    /// The file under the id's name. A file whose checksum was voided before is removed here; a file that the batch
    /// document does not know is not ours, and is an error.
    pub(super) async fn look(&self, id: &str, digests: &Digests, known: &Known<'_>) -> Result<Look> {
        let path = self.file(id)?;
        let Some(StoredContent { sha256, owner }) = self.read(&path).await? else { return Ok(Look::Absent) };
        if sha256 == digests.sha256 {
            return Ok(Look::Same(self.stored(&path), owner));
        }
        if known.is_void(&sha256) {
            self.check(id, &known.mark, &owner)?;
            std::fs::remove_file(&path).map_err(|error| self.failed("remove a voided file in", &error))?;
            return Ok(Look::Absent);
        }
        if known.is_stored(&sha256) {
            return Ok(Look::Different { reason: "another content".to_owned(), sha256: Some(sha256), owner });
        }
        Err(DestinationError::rejected(
            format!("{} exists and is not of this batch (sha256 {sha256})", path.display()),
            "move that file away, then run `batch-export retry`",
        ))
    }

    /// The file with this name, unless the batch document knows its content; and the files that a later state of this database committed.
    pub(super) async fn named(&self, name: &str, digests: &Digests, known: &Known<'_>) -> Result<Vec<Named>> {
        let mut found = Vec::new();
        for name in std::iter::once(name.to_owned()).chain(self.committed_ahead(name, known)) {
            let path = self.bare(&name)?;
            let Some(StoredContent { sha256, owner }) = self.read(&path).await? else { continue };
            // A copy of this database may have committed the file that this one voided: then the name is taken.
            if known.is_void(&sha256) && !owner.sealed || known.is_stored(&sha256) {
                continue;
            }
            let same = (sha256 == digests.sha256).then(|| self.stored(&path));
            found.push(Named { id: new_id(&name), name, same, sha256: Some(sha256), owner, is_voided: false });
        }
        Ok(found)
    }

    /// The names of other files that a later state of this database committed. What cannot be read is not one of them.
    fn committed_ahead(&self, name: &str, known: &Known<'_>) -> Vec<String> {
        let names = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok()).filter(|other| other != name);
        let owner = |name: &String| Owner::of(&open_regular(&self.path.join(name)).ok()?).ok();
        names.filter(|name| owner(name).is_some_and(|owner| known.is_ahead(name, &owner))).collect()
    }

    /// Checks that the file of an id, whose content is the voided one, may be removed.
    fn check(&self, id: &str, mark: &Mark<'_>, owner: &Owner) -> Result<()> {
        mark.check(id, name_of(id), owner, self.is_name_of(name_of(id), mark))
    }

    /// Whether the settings give a file of this batch this name.
    fn is_name_of(&self, name: &str, mark: &Mark<'_>) -> bool {
        let own = self.file_name.as_deref().zip(mark.batch).map(|(own, batch)| batch.file_name(Some(own), ""));
        mark.is_usual_name(name) || own.is_some_and(|own| own == name)
    }

    pub(super) fn owner(&self, id: &str) -> Result<Option<Owner>> {
        self.owner_of(name_of(id))
    }

    /// The owner of the file with this name; `None` when there is no such file.
    pub(super) fn owner_of(&self, name: &str) -> Result<Option<Owner>> {
        let file = self.open(&self.bare(name)?)?;
        file.map(|file| Owner::of(&file)).transpose().map_err(|error| self.failed("read in", &error))
    }

    /// Writes its batch number on a committed file and makes the file read-only, wherever in the directory people brought it. `None` when no
    /// file with the committed content is there, but for one in a trash.
    pub(super) async fn seal(&self, file: &FileFacts, owner: &Owner, look: bool) -> Result<Option<Sealed>> {
        let path = self.file(&file.id)?;
        let here = self.read(&path).await.map(|found| found.filter(|content| content.sha256 == file.sha256));
        let moved = match &here {
            // Another file took its name, or something that is no file.
            Ok(None) | Err(DestinationError { is_refusal: true, .. }) => self.elsewhere(file),
            Ok(Some(_)) | Err(_) => None,
        };
        let (path, found) = match &moved {
            Some(at) if Destination::is_in_trash(at) => return Ok(None),
            Some(at) => (self.path.join(at), self.read(&self.path.join(at)).await?),
            None => (path, here?),
        };
        let Some(StoredContent { owner: found, .. }) = found else { return Ok(None) };
        found.check_number(file, owner)?;
        if look && !found.sealed {
            self.check(&file.id, &owner.mark(), &found)?;
        }
        let Some(opened) = self.open(&path)? else { return Ok(None) };
        // The attribute is written first, so it may be there while the file is writable still; on a read-only file it is not written again.
        let sealed = if found.sealed { protect(&opened) } else { owner.seal(&opened) };
        sealed.map_err(|error| self.failed("make a file read-only in", &error))?;
        let notes = moved.iter().map(|at| super::brought_to(file, at)).collect();
        Ok(Some(Sealed { restricted: true, notes }))
    }

    /// Copies the spool file under a temporary name, syncs it to the disk, and renames it unless the name is taken.
    pub(super) async fn create(&self, file: &NewFile<'_>, progress: &Progress) -> Result<Created> {
        self.remove_parts();
        let (part, sha256) = match self.copy(file, progress).await {
            Ok(copied) => copied,
            // Only the rename brings a file under its name.
            Err(error) => return Ok(Created::NotSent(error)),
        };
        if sha256 != file.spool.digests().sha256 {
            let reason = "the spool file changed while it was copied".to_owned();
            return Ok(Created::Mismatch { reason, sha256: Some(sha256) });
        }
        tokio::task::yield_now().await;
        let failed = |error: io::Error| self.failed("write to", &error);
        let path = self.file(file.id)?;
        match part.persist_noclobber(&path) {
            Ok(_) => {}
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => return Ok(Created::IdTaken),
            Err(error) => return Err(failed(error.error)),
        }
        open_folder(&self.path).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(Created::Stored(self.stored(&path)))
    }

    /// Copies the spool file under a temporary name and syncs it to the disk. Returns its checksum, too.
    async fn copy(&self, file: &NewFile<'_>, progress: &Progress) -> Result<(tempfile::NamedTempFile, String)> {
        let failed = |error: io::Error| self.failed("write to", &error);
        let mut part = tempfile::Builder::new()
            .prefix(PART_PREFIX)
            .suffix(PART_SUFFIX)
            // Readable for the accountant, as far as the umask allows.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(&self.path)
            .map_err(failed)?;
        let spool = file.spool.open().map_err(failed)?;
        let copy = |piece: &[u8]| {
            part.write_all(piece)?;
            progress.add(piece.len() as u64);
            Ok(())
        };
        let sha256 = read_all(&spool, copy).await.map_err(failed)?;
        let owner = Owner {
            installation: file.mark.installation.map(str::to_owned),
            batch_id: Some(file.mark.batch_name()),
            ..Owner::default()
        };
        owner.write(part.as_file()).map_err(failed)?;
        part.as_file().sync_all().map_err(failed)?;
        Ok((part, sha256))
    }

    /// Removes a voided file, if the file there is that one. The caller holds the lock on the directory.
    pub(super) async fn discard(&self, id: &str, sha256: Option<&str>, mark: &Mark<'_>) -> Result<()> {
        let path = self.file(id)?;
        let Some(found) = self.read(&path).await? else { return Ok(()) };
        if Some(found.sha256.as_str()) != sha256 {
            return Ok(());
        }
        self.check(id, mark, &found.owner)?;
        std::fs::remove_file(&path).map_err(|error| self.failed("remove a voided file in", &error))
    }

    /// The file of an id.
    ///
    /// # Errors
    /// When the name in the id is more than a bare file name: ids come from the database, where others can write.
    pub fn file(&self, id: &str) -> Result<PathBuf> {
        self.bare(name_of(id))
    }

    fn bare(&self, name: &str) -> Result<PathBuf> {
        let mut parts = Path::new(name).components();
        match (parts.next(), parts.next()) {
            (Some(Component::Normal(part)), None)
                if part == name && !name.contains('\0') && name.len() <= NAME_MAX_BYTES =>
            {
                Ok(self.path.join(name))
            }
            (_, _) => Err(forged(name, &self.path.display())),
        }
    }

    fn stored(&self, path: &Path) -> Stored {
        Stored { link: url::Url::from_file_path(path).ok().map(String::from) }
    }

    /// Opens a file; `None` when there is none.
    fn open(&self, path: &Path) -> Result<Option<File>> {
        match open_regular(path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == ErrorKind::InvalidInput => Err(DestinationError::rejected(
                format!("{} is taken: {error}", path.display()),
                "move it away, then run `batch-export retry`",
            )),
            Err(error) => Err(self.failed("read in", &error)),
        }
    }

    /// Checksum and owner of a file; `None` when there is none.
    async fn read(&self, path: &Path) -> Result<Option<StoredContent>> {
        let failed = |error: io::Error| self.failed("read in", &error);
        let Some(file) = self.open(path)? else { return Ok(None) };
        let sha256 = read_all(&file, |_| Ok(())).await.map_err(failed)?;
        let owner = Owner::of(&file).map_err(failed)?;
        Ok(Some(StoredContent { sha256, owner }))
    }

    /// Removes half-written files of killed runs. The directory is locked, so no run is writing.
    fn remove_parts(&self) {
        for entry in std::fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(PART_PREFIX) && name.ends_with(PART_SUFFIX) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    fn failed(&self, action: &str, error: &io::Error) -> DestinationError {
        let message = format!("cannot {action} the directory {}: {error}", self.path.display());
        let is_loop = error.raw_os_error() == Some(Errno::LOOP.raw_os_error());
        let next = match error.kind() {
            ErrorKind::NotFound => "create the directory, or correct --destination",
            // A loop of links is one too.
            _ if error.kind() == ErrorKind::NotADirectory || is_loop => "correct --destination: it must be a directory",
            ErrorKind::PermissionDenied => "give the user of this job the right to write there",
            // Often read-only for this job alone: systemd and containers mount most folders read-only for a service.
            ErrorKind::ReadOnlyFilesystem => {
                "let this job write there: ReadWritePaths= of its systemd service, the volume of its container, or the mount itself"
            }
            _ => return DestinationError::failed(message),
        };
        DestinationError::rejected(message, next)
    }
}

/// The content of a file.
struct StoredContent {
    sha256: String,
    owner: Owner,
}

/// Hands out the pieces of a file, and returns the checksum of all. It can be dropped after each piece.
async fn read_all(mut file: &File, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<String> {
    let (mut buffer, mut sha256) = (vec![0; PIECE_BYTES], Sha256::new());
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok(hex::encode(sha256.finalize()));
        }
        each(&buffer[..length])?;
        sha256.update(&buffer[..length]);
        tokio::task::yield_now().await;
    }
}

/// An id for a new file of this name.
pub(super) fn new_id(name: &str) -> String {
    format!("{name}#{}", uuid::Uuid::new_v4().simple())
}

/// The name in an id.
pub(super) fn name_of(id: &str) -> &str {
    id.rsplit_once('#').map_or(id, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_read_only_for_this_job_is_told_from_one_without_rights() {
        let advice = |kind: ErrorKind| {
            let directory = Directory::new(PathBuf::from("/srv/accounting"), None);
            let DestinationError { is_refusal, why } = directory.failed("write to", &kind.into());
            assert!(is_refusal, "it waits for a person: {why}");
            why.next.unwrap_or_default()
        };
        assert!(advice(ErrorKind::ReadOnlyFilesystem).contains("ReadWritePaths="));
        assert!(advice(ErrorKind::PermissionDenied).starts_with("give the user of this job the right"));
    }
}
