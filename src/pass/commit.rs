//! The fourth stage: the file becomes official, or nothing changes.
//!
//! Risk: a commit that is dropped half way has an unknown outcome. So a signal does not drop this stage; it ends within
//! [`COMMIT_LIMIT`](crate::store::COMMIT_LIMIT). A lost lease does not cancel it either, because the transaction itself
//! checks the fence.
//!
//! After the commit the file is sealed ([`super::seal`]), and the entries are read once more: an edit that was
//! acknowledged during the commit is in no file, and the result lists it. This read runs beside the marking of a large
//! batch, and a signal stops both.

use futures_util::future::join3;

use super::generate::Generated;
use super::lease::Lease;
use super::{Pass, Report};
use crate::batch::{Batch, BatchId, FileFacts};
use crate::entry::FieldList;
use crate::exit::Exit;
use crate::failure::{Failure, Result, Stage};
use crate::outcome::Outcome;
use crate::spool::Spool;
use crate::store::{CommitError, CommitRequest, Committed, already_logged};

pub(super) enum CommitOutcome {
    /// Committed, every row marked.
    Completed,
    /// Not committed, because the file is stale.
    Conflict(String),
}

impl Pass<'_> {
    /// Makes the stored file official and marks its rows.
    pub(super) async fn commit(
        &self,
        lease: &mut Lease,
        batch: &Batch,
        generated: &Generated<Spool>,
        file: &FileFacts,
        report: &mut Report,
    ) -> Result<CommitOutcome> {
        let (began, claim) = (report.enter(Stage::Commit), lease.claim);
        self.progress.enter(Stage::Commit, file.entries);
        // The last check for a signal or a lost lease: after it the commit runs to its end.
        self.under(lease, async { Ok(()) }).await?;
        lease.pause();
        let request = CommitRequest {
            claim: &claim,
            file,
            ledger: &generated.ledger,
            rows: &generated.rows,
            fingerprint: generated.fingerprint,
            settings: &self.export_settings(claim.batch)?,
            fields: &FieldList::of(&self.config.format()?.layout),
            held: &generated.held,
            carried_over: generated.carried_over,
            exported: generated.exported,
            cutoff: batch.cutoff,
            transaction_rows: self.config.transaction_rows,
        };
        let under_way = self.stop.commit_under_way();
        let committed = self.store.commit(&request, self.stop).await;
        drop(under_way);
        let outcome = match committed {
            Ok(committed) => {
                tracing::debug!(number = committed.number, marking = committed.marking, "committed");
                // From here on nobody holds the batch. A failure needs no record: the state of the batch shows what is
                // left to do.
                report.claim = None;
                report.result.number = Some(committed.number);
                self.after_commit(batch, &request, &committed, report).await
            }
            Err(error) => {
                lease.resume();
                self.not_committed(claim.batch, error)
            }
        };
        report.leave(began);
        outcome
    }

    /// Seals the file, marks the rows that the commit left, and reports entries that were edited during the commit.
    async fn after_commit(
        &self,
        batch: &Batch,
        request: &CommitRequest<'_>,
        committed: &Committed,
        report: &mut Report,
    ) -> Result<CommitOutcome> {
        let seal = self.seal(request.claim.batch, request.ledger, request.file);
        let look_again = self.stop.until_signal(self.store.edited_since(request, &committed.contents));
        let mark = async {
            match committed.marking {
                true => self.roll_forward(request.claim.batch, report).await,
                false => Ok(Outcome::Completed),
            }
        };
        let ((), edited, marked) = join3(seal, look_again, mark).await;
        report.result.is_tidy = batch.voided.is_empty();
        report.result.was_sealing = true;
        match edited {
            Ok(edited) if edited.is_empty() => {}
            Ok(edited) => {
                let ids: Vec<String> = edited.iter().take(10).map(|id| id.to_string()).collect();
                tracing::warn!(
                    entries = edited.len(),
                    "entries were edited during the commit, and the file lacks those edits: {}",
                    ids.join(", ")
                );
                if let Err(error) = self.store.note_edited(request.claim.batch, &edited).await {
                    tracing::warn!("the list of these entries could not be recorded: {error}");
                }
                report.result.edited_after_read = edited;
            }
            Err(failure) => tracing::warn!("it is not known whether entries were edited during the commit: {failure}"),
        }
        report.result.succeed(marked?);
        Ok(CommitOutcome::Completed)
    }

    fn not_committed(&self, batch: BatchId, error: CommitError) -> Result<CommitOutcome> {
        match error {
            CommitError::Conflict(reason) => Ok(CommitOutcome::Conflict(reason)),
            CommitError::LeaseLost => Err(Failure::lease_lost()),
            CommitError::Logged(number) => Err(already_logged(batch, number)),
            CommitError::Unknown(error) => Err(Failure::new(
                Exit::CommitUnknown,
                format!("the outcome of the commit is not known, because the database does not answer: {error}"),
            )),
            // A signal ended the retries of the commit, and nothing is committed: an interruption, which uses up no
            // attempt.
            CommitError::Failed(error) => match self.stop.requested() {
                Some(signal) => {
                    let mut failure = signal.failure();
                    failure.why.message += &format!("; the batch was not committed: {error}");
                    Err(failure)
                }
                None => Err(error.into()),
            },
        }
    }
}
