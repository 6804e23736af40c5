//! The commit: one transaction that makes the file official, and what to believe when its outcome is not told.
//!
//! In this order: the ledger (another batch that committed since the snapshot stops it here) and the batch document (a lost lease stops it
//! here; and as this transaction now holds that document, an acquisition or a renewal has to wait for its end). Then, side by side, the
//! content is compared with what is there now ([`content`]), and the rows are marked and their entries written down. The log comes last.
//!
//! A batch of more rows than one transaction may mark is official by the same transaction, which then marks none of them: their list was
//! stored before, in pieces, and the marking takes it from there ([`super::marking`]).
//!
//! Nothing but that list is written before the transaction succeeds, so whatever stops it leaves nothing behind.

mod content;
mod writes;

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use mongodb::ClientSession;
use mongodb::options::{Acknowledgment, ReadConcern, TransactionOptions, WriteConcern};
use writes::Stopped;
pub(super) use writes::{chunks, completed, ids, log_entry, marks};

use super::Store;
use super::batches::Claim;
use super::due::RowKey;
use super::entries::Fingerprint;
use super::error::{Kind, StoreError};
use super::snapshot::Ledger;
use crate::batch::{ExportSettings, FileFacts, Span};
use crate::entry::FieldList;

/// Times that the whole transaction is run when the server asks for it. A server short of cache asks for ever.
const TRANSACTION_TRIES: u32 = 6;
/// Times that the commit alone is sent when its outcome is not told.
const COMMIT_TRIES: u32 = 3;
/// How long one commit command may take before its outcome counts as not told.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long all tries together may take: the bound that a stop has to wait for.
pub const COMMIT_LIMIT: Duration = Duration::from_secs(90);

/// What is to be committed.
#[derive(Clone, Copy, Debug)]
pub struct CommitRequest<'a> {
    /// The right to do it.
    pub claim: &'a Claim,
    /// The stored file.
    pub file: &'a FileFacts,
    /// The ledger as it was at the snapshot.
    pub ledger: &'a Ledger,
    /// Every row that was due at the snapshot, in order.
    pub rows: &'a [RowKey],
    /// Per 5,000 of them, what they and their entries looked like.
    pub fingerprints: &'a [Fingerprint],
    /// What decided the bytes of the file.
    pub settings: &'a ExportSettings,
    /// The fields that the fingerprints cover.
    pub fields: &'a FieldList,
    /// The rows among them that are held back, in order, with the reason.
    pub held: &'a [(RowKey, String)],
    /// From when until when the exported rows were scheduled; `None` when all are held back.
    pub exported: Option<Span>,
    /// The window's cut-off.
    pub cutoff: DateTime<Utc>,
    /// Rows that one transaction may mark.
    pub transaction_rows: usize,
}

impl<'a> CommitRequest<'a> {
    /// The rows that the file holds, in order: all but those that are held back, which are in the same order.
    fn exported(&self) -> impl Iterator<Item = &'a RowKey> + Send + Clone + 'a {
        let mut held = self.held.iter().map(|(key, _)| key).peekable();
        self.rows.iter().filter(move |key| held.next_if_eq(key).is_none())
    }

    /// Whether the rows are marked after the commit, piece by piece.
    fn in_pieces(&self) -> bool {
        self.rows.len() - self.held.len() > self.transaction_rows
    }
}

/// A commit that took place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The batch's number.
    pub number: i64,
    /// Whether the rows are still to be marked.
    pub marking: bool,
    /// Per row, what its entry looked like, for a comparison after the commit.
    pub contents: Vec<u32>,
}

/// A commit that did not, or of which that is not known.
#[derive(Clone, Debug)]
pub enum CommitError {
    /// What the file shows is not what the database has now: regenerate.
    Conflict(String),
    /// Another run holds the batch.
    LeaseLost,
    /// Nobody can tell whether it took place.
    Unknown(String),
    /// The log has an export of this batch already, under this number.
    Logged(String),
    /// It did not take place, because the database fails.
    Failed(StoreError),
}

impl Store {
    /// Commits a batch. Once `stopping` says so, a transaction that did not take place is not run again.
    ///
    /// # Errors
    /// Nothing was committed, but for [`CommitError::Unknown`].
    pub async fn commit(
        &self,
        request: &CommitRequest<'_>,
        stopping: &(dyn Fn() -> bool + Sync),
    ) -> Result<Committed, CommitError> {
        if request.in_pieces() {
            let rows: Vec<&RowKey> = request.exported().collect();
            if !self.store_row_list(request.claim, rows, request.transaction_rows).await.map_err(CommitError::Failed)? {
                return Err(CommitError::LeaseLost);
            }
        }
        let deadline = Instant::now() + COMMIT_LIMIT;
        let (mut tries, mut contents) = (0, Vec::new());
        let committed =
            |contents| Ok(Committed { number: request.ledger.number + 1, marking: request.in_pieces(), contents });
        loop {
            tries += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            let result = match tokio::time::timeout(left, self.transaction(request, &mut contents)).await {
                Ok(result) => result,
                Err(_) => Err(Stopped::Unanswered(StoreError::timeout(COMMIT_LIMIT))),
            };
            let error = match result {
                Ok(()) => return committed(contents),
                Err(Stopped::Conflict(reason)) => return Err(CommitError::Conflict(reason)),
                Err(Stopped::Logged(number)) => {
                    // It may be the log of the run that took over, while this one was paused in the middle.
                    return Err(match self.is_held(request.claim).await {
                        Ok(true) => CommitError::Logged(number),
                        Ok(false) => CommitError::LeaseLost,
                        Err(error) => CommitError::Failed(error),
                    });
                }
                Err(Stopped::LeaseLost) => return Err(CommitError::LeaseLost),
                Err(Stopped::Error(error)) if !error.kind.may_run_again() => {
                    return Err(CommitError::Failed(error));
                }
                Err(Stopped::Error(error)) => error,
                Err(Stopped::Unanswered(error)) => match self.settle(request).await? {
                    true => return committed(contents),
                    false => error,
                },
            };
            tracing::warn!(tries, "the commit transaction has to be run again: {error}");
            if tries == TRANSACTION_TRIES || Instant::now() >= deadline || stopping() {
                return Err(CommitError::Failed(error));
            }
            tokio::time::sleep(Duration::from_millis(50) * 2_u32.pow(tries)).await;
        }
    }

    /// Finds out what became of a commit that was not answered, by a fenced write on the batch document. The transaction wrote that
    /// document too, so this waits for its end; and when it then still finds the batch uncommitted under our fence, that transaction
    /// is gone for good. `false`: not committed.
    async fn settle(&self, request: &CommitRequest<'_>) -> Result<bool, CommitError> {
        let unknown = |error: StoreError| CommitError::Unknown(error.message);
        let found = match self.renew(request.claim).await.map_err(unknown)? {
            Some(batch) => batch,
            None => match self.batch(request.claim.batch).await.map_err(unknown)? {
                Some(batch) => batch,
                None => return Err(CommitError::LeaseLost),
            },
        };
        let ours = found.number == Some(request.ledger.number + 1)
            && found.file.as_ref().is_some_and(|file| file.id == request.file.id);
        if found.fence != request.claim.fence {
            return Err(CommitError::LeaseLost);
        }
        Ok(found.state.is_committed() && ours)
    }

    async fn transaction(&self, request: &CommitRequest<'_>, contents: &mut Vec<u32>) -> Result<(), Stopped> {
        let mut session = self.client.start_session().await?;
        session.start_transaction().with_options(transaction_options()).await?;
        match self.write_all(&mut session, request).await {
            Ok(compared) => *contents = compared,
            Err(stopped) => {
                abort(&mut session).await;
                return Err(stopped);
            }
        }
        commit_session(&mut session).await
    }
}

/// Best effort: a transaction that nobody commits ends by itself.
pub(super) async fn abort(session: &mut ClientSession) {
    let _ = tokio::time::timeout(Duration::from_secs(2), session.abort_transaction()).await;
}

/// Sends the commit until it is answered, a bounded number of times.
pub(super) async fn send_commit(session: &mut ClientSession) -> Result<(), StoreError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let error = match tokio::time::timeout(COMMIT_TIMEOUT, session.commit_transaction()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => StoreError::from(error),
            Err(_) => StoreError { kind: Kind::UnknownCommit, ..StoreError::timeout(COMMIT_TIMEOUT) },
        };
        if error.kind != Kind::UnknownCommit || tries == COMMIT_TRIES {
            return Err(error);
        }
        tracing::warn!(tries, "the outcome of the commit is not told, asking again: {error}");
        tokio::time::sleep(Duration::from_millis(100) * tries).await;
    }
}

async fn commit_session(session: &mut ClientSession) -> Result<(), Stopped> {
    send_commit(session).await.map_err(|error| match error.kind {
        // The server rolled it back, and says so.
        Kind::TransientTransaction | Kind::WriteConflict => Stopped::Error(error),
        Kind::Denied
        | Kind::UnknownCommit
        | Kind::Snapshot
        | Kind::Rule
        | Kind::DuplicateKey
        | Kind::PathNotViable
        | Kind::BadName
        | Kind::IndexConflict
        | Kind::Unavailable => Stopped::Unanswered(error),
    })
}

pub(super) fn transaction_options() -> TransactionOptions {
    TransactionOptions::builder()
        .read_concern(ReadConcern::snapshot())
        .write_concern(WriteConcern::builder().w(Acknowledgment::Majority).build())
        .build()
}
