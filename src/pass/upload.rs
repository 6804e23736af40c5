//! The third stage: stores the spool file at the destination, once, under an id that was written into the database before.
//!
//! The stage looks first, then records its decision, then acts. The name must be free or of this installation
//! ([`super::ownership`]). A file that is there already is adopted when its content is the same, and voided when it is
//! not; when the content cannot be read, the attempt fails. Each decision is a fenced write in the database before it
//! is an action at the destination, so a run that lost its lease stops before it touches anything.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::generate::Generated;
use super::lease::Lease;
use super::ownership::Numbering;
use super::voided::voided_record;
use super::{Pass, Report};
use crate::batch::{Batch, BatchId, FileFacts};
use crate::destination::{Created, Destination, Look, Mark, NewFile};
use crate::exit::Exit;
use crate::failure::{Failure, Result, Stage};
use crate::spool::Spool;
use crate::store::Claim;

/// How often the stage looks again because another file was stored in between.
const ROUNDS: u32 = 5;

impl Pass<'_> {
    /// Stores the spool file at the destination, or adopts what an earlier attempt stored. Returns the manifest of the
    /// stored file, with its id and link. The batch document is as it was last written under this claim, and is kept
    /// so.
    pub(super) async fn upload(
        &self,
        lease: &Lease,
        batch: &mut Batch,
        generated: &Generated<Spool>,
        report: &mut Report,
    ) -> Result<FileFacts> {
        let (began, claim) = (report.enter(Stage::Upload), &lease.claim);
        self.progress.enter(Stage::Upload, generated.file.digests().bytes);
        let (limit, end) = (self.config.upload_timeout, Instant::now() + self.config.upload_timeout);
        let _guard = self.guard(lease, Stage::Upload, limit, passed(limit));
        let work = async {
            let _exclusive = self.destination.exclusive(limit).await?;
            let brought = timeout_at(end, self.bring(claim, batch, generated)).await.map_err(|_| passed(limit))?;
            self.unless_taken_over(claim, brought).await
        };
        let result = self.under(lease, work).await;
        report.leave(began);
        let (file, adopted) = result?;
        tracing::debug!(id = file.id, name = file.name, adopted, "stored");
        report.result.adopted = adopted;
        report.result.describe_file(&file);
        Ok(file)
    }

    async fn bring(&self, claim: &Claim, batch: &mut Batch, generated: &Generated<Spool>) -> Result<(FileFacts, bool)> {
        let (numbering, digests) = (Numbering::of(&generated.ledger), generated.file.digests());
        let mut file = self.manifest(batch.id, generated)?;
        if let Some(found) = self.find_taken(batch, &file, digests, &numbering).await? {
            (file.id, file.name) = (found.id, found.name);
            file.link = found.same.and_then(|stored| stored.link);
            (file.sealed, file.restricted) = (found.owner.sealed, found.owner.restricted);
            *batch = match &batch.file {
                Some(old) => {
                    self.void_uncommitted(claim, old, "its file was found under another id", Some(&file), &numbering)
                        .await?
                }
                None => self.remember(claim, &file).await?,
            };
            return Ok((file, true));
        }
        let mark = Mark { batch: Some(batch.id), installation: numbering.installation };
        // `issued`: the id was issued in this attempt, hence to the present credentials. `fresh`: nothing can be stored
        // under the id yet. `unsent`: no attempt has sent a byte under it.
        let mut issued = self.choose_id(claim, batch, &mut file, &numbering).await?;
        let mut unsent = issued || batch.file.as_ref().is_some_and(|stored| stored.unsent);
        let (mut fresh, mut taken) = (issued, false);
        for _ in 0..ROUNDS {
            let known = self.known(batch, &numbering);
            // An id that was issued a moment ago has no file yet.
            let look = match fresh && self.destination.reuses_ids() {
                true => Look::Absent,
                false => self.destination.look(&file.id, digests, &known).await?,
            };
            match look {
                Look::Same(stored, owner) => {
                    numbering.may_adopt(&file.name, &file.id, &owner)?;
                    file.link = stored.link;
                    (file.sealed, file.restricted) = (owner.sealed, owner.restricted);
                    *batch = self.remember(claim, &file).await?;
                    return Ok((file, true));
                }
                // A new id could make a second file, because these credentials may not see the first one.
                Look::Absent if taken && self.destination.hides_files() => {
                    return Err(Destination::unseen(&file).into());
                }
                Look::Absent => {
                    if !fresh {
                        *batch = self.remember(claim, &file).await?;
                    }
                    let (id, name, spool) = (&file.id, &file.name, &generated.file);
                    let new = NewFile { id, name, mark, mime_type: "text/csv", spool };
                    match self.destination.create(&new, self.progress).await? {
                        Created::Stored(stored) => {
                            file.link = stored.link;
                            return Ok((file, false));
                        }
                        Created::IdTaken => (taken, unsent) = (true, false),
                        Created::IdRefused(_) if !issued => {
                            let reason = "its id was issued to other credentials";
                            *batch = self.replace_id(claim, &mut file, None, reason).await?;
                            (issued, unsent) = (true, true);
                        }
                        Created::IdRefused(error) | Created::NotSent(error) => {
                            // An earlier attempt may have stored something under an id that is not new.
                            if unsent {
                                self.note_unsent(claim, &file.id).await;
                            }
                            return Err(error.into());
                        }
                        Created::Mismatch { reason, sha256 } => {
                            self.void(claim, &voided_record(&file, sha256, &reason), None).await?;
                            let message = format!("the stored file is not what was sent: {reason}");
                            return Err(Failure::new(Exit::UploadFailed, message));
                        }
                    }
                }
                Look::Different { reason, sha256, owner } => {
                    numbering.may_void(&file.name, &file.id, &owner)?;
                    *batch = self.replace_id(claim, &mut file, sha256, &reason).await?;
                    (issued, unsent, taken) = (true, true, false);
                }
            }
            fresh = false;
        }
        Err(Failure::new(
            Exit::UploadFailed,
            format!("{} was stored by another program {ROUNDS} times during this upload", file.name),
        ))
    }

    /// Voids the id of a file, and continues with a new id.
    async fn replace_id(
        &self,
        claim: &Claim,
        file: &mut FileFacts,
        sha256: Option<String>,
        reason: &str,
    ) -> Result<Batch> {
        let old = voided_record(file, sha256, reason);
        file.id = self.destination.new_id(&file.name).await?;
        self.void(claim, &old, Some(file)).await
    }

    /// Chooses the id of an earlier attempt or a new one, and stores it in the database before anything is sent. `true`
    /// when it is new.
    async fn choose_id(
        &self,
        claim: &Claim,
        batch: &mut Batch,
        file: &mut FileFacts,
        numbering: &Numbering<'_>,
    ) -> Result<bool> {
        let unchanged = |stored: &FileFacts| stored.sha256 == file.sha256 && stored.name == file.name;
        let reason = match &batch.file {
            Some(stored) if !self.destination.owns(stored) => "the settings name another destination",
            Some(stored) if !self.destination.is_named(stored) => "its id named another file",
            Some(stored) if self.destination.reuses_ids() || unchanged(stored) => {
                file.id.clone_from(&stored.id);
                return Ok(false);
            }
            Some(stored) if stored.name != file.name => "the settings name another file name",
            Some(_) | None => "the rows, the entries or the settings changed since it was generated",
        };
        file.id = self.destination.new_id(&file.name).await?;
        *batch = match &batch.file {
            Some(old) => self.void_uncommitted(claim, old, reason, Some(file), numbering).await?,
            None => self.remember(claim, file).await?,
        };
        Ok(true)
    }

    pub(super) async fn batch_of(&self, claim: &Claim) -> Result<Batch> {
        let batch = self.store.batch(claim.batch).await?;
        batch.filter(|batch| batch.fence == claim.fence).ok_or_else(Failure::lease_lost)
    }

    fn manifest(&self, batch: BatchId, generated: &Generated<Spool>) -> Result<FileFacts> {
        let (digests, totals) = (generated.file.digests(), &generated.tally.totals);
        // The totals were checked when the file was generated, so they fit.
        let (total_debit, total_credit) = totals.as_int64().unwrap_or_default();
        Ok(FileFacts {
            name: batch.file_name(self.config.file_name.as_deref(), &self.config.format()?.layout.ending),
            destination: Some(self.destination.location()),
            sha256: digests.sha256.clone(),
            md5: digests.md5.clone(),
            bytes: digests.bytes,
            rows: totals.rows,
            entries: totals.entries,
            total_debit,
            total_credit,
            ..FileFacts::default()
        })
    }

    /// With another destination, nobody then has to look for a file here.
    async fn note_unsent(&self, claim: &Claim, id: &str) {
        if let Err(error) = self.store.mark_unsent(claim, id).await {
            tracing::debug!("it is not recorded that nothing is stored under {id}: {error}");
        }
    }

    async fn remember(&self, claim: &Claim, file: &FileFacts) -> Result<Batch> {
        self.store.record_file(claim, file, &self.export_settings(claim.batch)?).await?.ok_or_else(Failure::lease_lost)
    }
}

fn passed(limit: Duration) -> Failure {
    Failure::new(Exit::UploadFailed, format!("the upload passed its limit of {}", humantime::format_duration(limit)))
}
