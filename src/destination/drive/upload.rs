//! One upload: carries out what the session decides, then verifies.
//!
//! Sending every byte is not yet a success. The final answer carries Drive's checksum. When that answer was lost or
//! lacks the checksum, the metadata is read once more; a file that still cannot be verified is a failure.

use super::api::pause;
use super::client::Drive;
use super::fault::Fault;
use super::metadata::{Comparison, Metadata};
use super::session::{Heard, Session, Step, Then, UploadEnd};
use crate::destination::{Created, DestinationError, Look, NewFile, Result};
use crate::progress::Progress;
use crate::spool::Digests;

impl Drive {
    /// Compares the file under an id with the spool file.
    ///
    /// # Errors
    /// When Drive fails, refuses, or reports no checksum.
    pub async fn look(&self, id: &str, digests: &Digests) -> Result<Look> {
        let Some(metadata) = self.metadata(id).await? else { return Ok(Look::Absent) };
        let owner = metadata.owner();
        match metadata.compare(digests) {
            Comparison::Same(stored) => Ok(Look::Same(stored, owner)),
            Comparison::Different { reason, sha256 } => Ok(Look::Different { reason, sha256, owner }),
            Comparison::Unverified(reason) => Err(unverified(id, &reason)),
        }
    }

    /// Stores a file under its id, and verifies it. It creates a file or nothing, and never changes an existing file.
    ///
    /// # Errors
    /// When the file is not stored, or when that is not known: call [`Drive::look`] before the next try.
    pub async fn create(&self, file: &NewFile<'_>, progress: &Progress) -> Result<Created> {
        let total = file.spool.digests().bytes;
        let mut session = Session::new(total, self.chunk_bytes, self.api.patience());
        let ending = loop {
            let heard = carry_out(self, file, session.step()).await;
            if let Heard::Stored(stored) = heard {
                progress.set(stored.min(total));
            }
            match session.heard(heard) {
                Then::Go => {}
                Then::Wait(delay, reason) => pause(delay, &reason).await,
                Then::End(ending) => break ending,
            }
        };
        match ending {
            UploadEnd::Complete(metadata) => {
                progress.set(total);
                verify(self, file, metadata.map(|metadata| *metadata)).await
            }
            UploadEnd::Taken => Ok(Created::IdTaken),
            UploadEnd::Refused(fault) => Ok(Created::IdRefused(fault.give_up(self.identity()))),
            // A file comes into being only through the address of a session, and nobody was told one.
            UploadEnd::Gave(fault) if !session.was_opened() => Ok(Created::NotSent(fault.give_up(self.identity()))),
            UploadEnd::Gave(fault) => Err(fault.give_up(self.identity())),
        }
    }
}

async fn carry_out(drive: &Drive, file: &NewFile<'_>, step: Step) -> Heard {
    let heard = match &step {
        Step::Start => drive.api.start(&drive.folder, file).await.map_or_else(Heard::Fault, Heard::Opened),
        Step::Send { uri, first, end } => drive.api.send(uri, file, *first, *end).await,
        Step::Ask { uri } => drive.api.ask(uri, file.spool.digests().bytes).await,
        Step::Look => look(drive, file.id).await.map_or_else(Heard::Fault, Heard::Exists),
    };
    // Checked not only at the start: Drive may accept a start and refuse the folder at the PUT.
    match heard {
        Heard::Fault(Fault::Missing { reason, on_drive }) if on_drive || step == Step::Start => {
            Heard::Fault(drive.explain_missing(reason).await)
        }
        heard => heard,
    }
}

/// Whether the file exists. When it does not, the folder may be the reason that the session is gone: then a new session
/// is in vain.
async fn look(drive: &Drive, id: &str) -> Result<bool, Fault> {
    let exists = drive.api.metadata(id).await?.is_some();
    if !exists {
        drive.check_folder().await?;
    }
    Ok(exists)
}

/// Compares the stored file with the spool file, by the final answer or, when that lacks the checksum, by one more
/// read. A new file that is in the trash shows that its folder is in the trash, and only a person can restore that.
async fn verify(drive: &Drive, file: &NewFile<'_>, answer: Option<Metadata>) -> Result<Created> {
    let digests = file.spool.digests();
    let described = match answer.filter(|metadata| metadata.id.as_deref() == Some(file.id)) {
        Some(metadata) if !matches!(metadata.compare(digests), Comparison::Unverified(_)) => metadata,
        Some(_) | None => match drive.api.metadata(file.id).await.map_err(|fault| drive.error(fault))? {
            Some(metadata) => metadata,
            None => return Err(unverified(file.id, "it was reported complete, but it cannot be found")),
        },
    };
    if described.trashed {
        drive.folder_facts().await?.check()?;
    }
    match described.compare(digests) {
        Comparison::Same(stored) => Ok(Created::Stored(stored)),
        Comparison::Different { reason, sha256 } => Ok(Created::Mismatch { reason, sha256 }),
        Comparison::Unverified(reason) => Err(unverified(file.id, &reason)),
    }
}

/// The failure of a file that could not be verified.
pub(super) fn unverified(id: &str, reason: &str) -> DestinationError {
    DestinationError::failed(format!("the file {id} is unverified: {reason}"))
}
