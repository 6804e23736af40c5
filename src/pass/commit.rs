//! The fourth stage: the file becomes official, or nothing happens.
//!
//! It is the one stage that a signal does not drop: an abandoned commit would leave an outcome that nobody knows. It ends within
//! [`COMMIT_LIMIT`](crate::store::COMMIT_LIMIT). A lost lease needs no cancellation here, because the transaction itself checks the fence.

use super::generate::{Generated, reads_metadata};
use super::lease::Lease;
use super::{Pass, Report, lease_lost};
use crate::batch::{Batch, FileFacts};
use crate::exit::Exit;
use crate::failure::{Failure, Stage};
use crate::outcome::Outcome;
use crate::spool::Spool;
use crate::store::{Claim, CommitError, CommitRequest};

/// What became of the commit.
pub(super) enum CommitOutcome {
    /// Committed, every row marked.
    Completed,
    /// Committed; rows remain to be marked.
    Marking,
    /// Not committed, because the file is stale.
    Conflict(String),
}

impl Pass<'_> {
    /// Makes the stored file official and marks its rows, in one transaction.
    pub(super) async fn commit(
        &self,
        lease: &mut Lease,
        claim: &Claim,
        batch: &Batch,
        generated: &Generated<Spool>,
        file: FileFacts,
        report: &mut Report,
    ) -> Result<CommitOutcome, Failure> {
        let began = report.enter(Stage::Commit);
        self.progress.enter(Stage::Commit, file.entries);
        // A fresh lease for the time of the transaction, and the last moment at which a stop means that nothing happened.
        self.under(lease, async { self.store.renew(claim).await?.ok_or_else(lease_lost) }).await?;
        lease.pause();
        let request = CommitRequest {
            claim,
            file: &file,
            ledger: &generated.ledger,
            rows: &generated.rows,
            fingerprints: &generated.fingerprints,
            with_metadata: reads_metadata(self.config.format),
            held: &generated.held,
            cutoff: batch.cutoff,
            transaction_rows: self.config.transaction_rows,
        };
        let committed = self.store.commit(&request, &|| self.stop.requested().is_some()).await;
        lease.resume();
        report.leave(began);
        match committed {
            Ok(committed) => {
                tracing::debug!(number = committed.number, marking = committed.marking, "committed");
                report.result.number = Some(committed.number);
                if committed.marking {
                    return Ok(CommitOutcome::Marking);
                }
                report.result.succeed(Outcome::Completed);
                Ok(CommitOutcome::Completed)
            }
            Err(CommitError::Conflict(reason)) => Ok(CommitOutcome::Conflict(reason)),
            Err(CommitError::LeaseLost) => Err(lease_lost()),
            Err(CommitError::Unknown(message)) => {
                Err(Failure::new(Exit::CommitUnknown, format!("the outcome of the commit is not known: {message}")))
            }
            // Nothing is committed, and it might have been if it had gone on trying: an interruption, which costs no attempt.
            Err(CommitError::Failed(error)) => match self.stop.requested() {
                Some(signal) => {
                    tracing::warn!("the commit did not take place: {error}");
                    Err(signal.failure())
                }
                None => Err(error.into()),
            },
        }
    }
}
