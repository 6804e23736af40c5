//! The file at the destination: its bytes, its totals, and the files beside it.

use std::io;

use super::{Findings, Kind, Verification};
use crate::batch::{Batch, FileFacts};
use crate::csv::{Recount, SheetOptions, recount};
use crate::destination::{Destination, Known, Look};
use crate::failure::Failure;
use crate::spool::{Digests, Spool, SpoolWriter};

impl Verification<'_> {
    /// Reads the file back and compares it with the record. `None` when it is not the committed content.
    pub(super) async fn check_file(
        &self,
        batch: &Batch,
        file: &FileFacts,
        findings: &mut Findings,
    ) -> Result<Option<Spool>, Failure> {
        let mut content = self.spool()?;
        if self.destination.read_back(&file.id, &mut content).await?.is_none() {
            let message = format!("{} is not at the destination", file.name);
            findings.add(batch.id, Kind::MissingFile, message);
            return Ok(None);
        }
        let content = content.into_spool().map_err(|error| self.spool_failed(&error))?;
        let found = content.digests();
        if found.sha256 != file.sha256 || found.bytes != file.bytes {
            let message = format!(
                "{} has {} bytes and sha256 {}; committed were {} bytes and sha256 {}",
                file.name, found.bytes, found.sha256, file.bytes, file.sha256
            );
            findings.add(batch.id, Kind::Content, message);
        } else if (found.md5 != file.md5 && !file.md5.is_empty()) || file.name != batch.id.file_name() {
            let message = format!(
                "the batch document has the name {} and md5 {}; the file is {} with md5 {}",
                file.name,
                file.md5,
                batch.id.file_name(),
                found.md5
            );
            findings.add(batch.id, Kind::Content, message);
        }
        let SheetOptions { layout, encoding, .. } = self.options(batch);
        let encoding = encoding.unwrap_or(layout.encoding);
        let open = content.open().map_err(|error| self.spool_failed(&error))?;
        match recount(open, &layout, encoding) {
            Err(reason) => {
                let name = &layout.name;
                let message = format!("it cannot be counted as {name} in {}: {reason}", encoding.name());
                findings.add(batch.id, Kind::Totals, message);
                return Ok(None);
            }
            Ok(Recount { totals, has_sums }) => {
                let sums = |debit, credit| if has_sums { (debit, credit) } else { (0, 0) };
                let recounted = (totals.entries, totals.rows, sums(totals.total_debit, totals.total_credit));
                let (debit, credit) = (i128::from(file.total_debit), i128::from(file.total_credit));
                let recorded = (file.entries, file.rows, sums(debit, credit));
                if recounted != recorded {
                    let message = format!(
                        "a recount of the file gives (entries, rows, debit and credit in satang) {recounted:?}, \
                         the record says {recorded:?}"
                    );
                    findings.add(batch.id, Kind::Totals, message);
                }
            }
        }
        Ok((content.digests().sha256 == file.sha256).then_some(content))
    }

    /// Files of the batch that should not be there, and whether the official one is in the trash.
    pub(super) async fn check_copies(
        &self,
        batch: &Batch,
        official: Option<&FileFacts>,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        let official_id = official.map(|file| self.listed_id(&file.id));
        let listed = self.destination.files_of(batch.id, &batch.id.file_name()).await?;
        for voided in batch.voided.iter().filter(|voided| !voided.trashed) {
            let message = format!("the voided file {} is not known to be in the trash; `retry` trashes it", voided.id);
            findings.add(batch.id, Kind::UntrashedVoided, message);
        }
        for file in listed.iter().filter(|file| !file.trashed && Some(&*file.id) != official_id) {
            match batch.voided.iter().find(|voided| voided.id == file.id) {
                Some(voided) if voided.trashed => {
                    let message = format!("the voided file {} was taken out of the trash; put it back", file.id);
                    findings.add(batch.id, Kind::UntrashedVoided, message);
                }
                Some(_) => {}
                // Before the commit, the attempt's own file is where it belongs.
                None if official.is_none()
                    && batch.file.as_ref().is_some_and(|own| self.listed_id(&own.id) == file.id) => {}
                None => {
                    let message = format!("{} ({}) is another live file of this batch; trash it", file.name, file.id);
                    findings.add(batch.id, Kind::SecondFile, message);
                }
            }
        }
        let Some(file) = official else { return Ok(()) };
        if self
            .is_trashed(file, listed.iter().find(|listed| Some(&*listed.id) == official_id).map(|l| l.trashed))
            .await?
        {
            let message = format!("{} ({}) is in the trash; restore it", file.name, file.id);
            findings.add(batch.id, Kind::MissingFile, message);
        }
        Ok(())
    }

    /// Whether the official file is in the trash, also when it was moved to another folder, where the list does not show it.
    async fn is_trashed(&self, file: &FileFacts, listed: Option<bool>) -> Result<bool, Failure> {
        match (self.destination, listed) {
            (Destination::Directory(_), _) => Ok(false),
            (Destination::Drive(_), Some(trashed)) => Ok(trashed),
            (Destination::Drive(_), None) => {
                let digests = Digests { bytes: file.bytes, sha256: file.sha256.clone(), md5: file.md5.clone() };
                let known = Known { stored_sha256: None, voided: &[] };
                let look = self.destination.look(&file.id, &digests, &known).await?;
                Ok(matches!(look, Look::Different { sha256, .. } if sha256.as_deref() == Some(&*file.sha256)))
            }
        }
    }

    /// The id as a list shows it: in a directory the name.
    fn listed_id<'a>(&self, id: &'a str) -> &'a str {
        match self.destination {
            Destination::Directory(_) => id.split_once('#').map_or(id, |(name, _)| name),
            Destination::Drive(_) => id,
        }
    }

    pub(super) fn spool(&self) -> Result<SpoolWriter, Failure> {
        SpoolWriter::create(&self.config.spool_dir).map_err(|error| self.spool_failed(&error))
    }

    pub(super) fn spool_failed(&self, error: &io::Error) -> Failure {
        let folder = self.config.spool_dir.display();
        Failure::configuration(format!("a temporary file in {folder} cannot be used: {error}"))
            .next("free space there, or set BATCH_EXPORT_SPOOL_DIR to a private folder with room for the file")
    }
}
