//! The commit: one transaction that makes the file official, and the way to find out its outcome when no answer comes.
//!
//! In this order: the ledger (another batch that committed since the snapshot stops it here) and the batch document (a
//! lost lease stops it here; and as this transaction now holds that document, an acquisition or a renewal has to wait
//! for its end). Then, side by side, the content is compared with the database ([`content`]), and the rows are marked
//! and their entries recorded. The log comes last.
//!
//! A batch with more rows than one transaction may mark becomes official by the same transaction, but its rows are
//! marked afterwards, from a row list that was stored before in pieces ([`super::marking`]).
//!
//! Only that list is written before the transaction succeeds, so a commit that fails leaves nothing else behind.

mod content;
mod same_keys;
mod trial;
mod tried_rows;
mod writes;

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use mongodb::ClientSession;
use mongodb::bson::doc;
use mongodb::options::{Acknowledgment, ReadConcern, TransactionOptions, WriteConcern};
pub use tried_rows::Trial;
pub(super) use writes::{completed, marks};

use super::Store;
use super::batches::Claim;
use super::document::int;
use super::due::RowKey;
use super::entries::Fingerprint;
use super::error::{Kind, Result, StoreError};
use super::neighbours::each;
use super::snapshot::Ledger;
use crate::batch::{ExportSettings, FileFacts, Span};
use crate::entry::FieldList;
use crate::id::Id;
use crate::stop::Stop;

/// How often the whole transaction is run when the server asks to run it again. A server that is short of cache would
/// ask for ever.
const TRANSACTION_TRIES: u32 = 6;
/// Rows of more bytes than this may be too large for one transaction: a server holds changes of a fifth of its cache at most, 51 MB of the
/// smallest one.
const LARGE_BYTES: i64 = 16 << 20;
/// The size from which a row may be the one that exceeds what a server takes: 16 MiB with what is written into it.
const FULL_ROW_BYTES: i32 = 8 << 20;
/// Rows whose bytes are added up.
const ROWS_WEIGHED: usize = 10_000;
/// How often the commit alone is sent when no answer comes.
const COMMIT_TRIES: u32 = 3;
/// How long one commit command may take before its outcome counts as unknown.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long all tries together may take. A signal waits for this long at most.
pub const COMMIT_LIMIT: Duration = Duration::from_secs(90);

/// How long the writes before the commit may go on after a signal.
const WRITES_GRACE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
pub struct CommitRequest<'a> {
    pub claim: &'a Claim,
    pub file: &'a FileFacts,
    /// The ledger as it was at the snapshot.
    pub ledger: &'a Ledger,
    /// Every row that was due at the snapshot, in order.
    pub rows: &'a [RowKey],
    /// The fingerprint of these rows and their entries.
    pub fingerprint: Fingerprint,
    /// The settings that decided the bytes of the file.
    pub settings: &'a ExportSettings,
    /// The fields that the fingerprints cover.
    pub fields: &'a FieldList,
    /// The rows among them that are held back, in order, with the reason.
    pub held: &'a [(RowKey, String)],
    /// How many of the exported rows an earlier day left behind.
    pub carried_over: u64,
    /// The earliest and the latest `scheduledFor` of the exported rows; `None` when all are held back.
    pub exported: Option<Span>,
    pub cutoff: DateTime<Utc>,
    /// Rows that one transaction may mark.
    pub transaction_rows: usize,
}

impl<'a> CommitRequest<'a> {
    /// The rows in the file, in order: all rows without the held ones, which have the same order.
    fn exported(&self) -> impl Iterator<Item = &'a RowKey> + Send + Clone + 'a {
        let mut held = self.held.iter().map(|(key, _)| key).peekable();
        self.rows.iter().filter(move |key| held.next_if_eq(key).is_none())
    }

    /// Where the held rows are among all rows.
    fn positions_of_held(&self) -> Vec<u32> {
        let mut held = self.held.iter().map(|(key, _)| key).peekable();
        (0..).zip(self.rows).filter(|(_, key)| held.next_if_eq(key).is_some()).map(|(at, _)| at).collect()
    }

    /// Whether the rows are marked after the commit, piece by piece.
    fn in_pieces(&self) -> bool {
        self.exported_rows() > self.transaction_rows
    }

    /// The rows that the transaction changes.
    fn changed_rows(&self) -> Vec<Id> {
        match self.in_pieces() {
            true => self.held.iter().map(|(key, _)| key.row).collect(),
            false => self.rows.iter().map(|key| key.row).collect(),
        }
    }

    fn exported_rows(&self) -> usize {
        self.rows.len() - self.held.len()
    }

    /// Whether a smaller transaction would do: one that leaves the rows to pieces.
    fn may_be_smaller(&self) -> bool {
        !self.in_pieces() && self.exported_rows() > 0
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub number: i64,
    /// Whether the rows are still to be marked.
    pub marking: bool,
    /// A hash of each row's entry, in the order of the entries' ids, for the comparison after the commit.
    pub contents: Vec<u32>,
}

/// A commit, or one run of its transaction, that failed or whose outcome is unknown.
#[derive(Clone, Debug)]
pub enum CommitError {
    /// The database no longer has the content of the file: generate again.
    Conflict(String),
    LeaseLost,
    /// The commit was sent and not answered, so it is not known whether it succeeded.
    Unknown(StoreError),
    /// The log has an export of this batch already, under this number.
    Logged(Option<i64>),
    /// The commit failed because the database failed.
    Failed(StoreError),
}

impl Store {
    /// Commits a batch. After a signal a failed transaction is not run again, and one that waits for an answer to its writes is given up.
    ///
    /// # Errors
    /// Nothing was committed, except perhaps with [`CommitError::Unknown`].
    pub async fn commit(&self, request: &CommitRequest<'_>, stop: &Stop) -> Result<Committed, CommitError> {
        let deadline = Instant::now() + COMMIT_LIMIT;
        let mut ended = self.try_commit(request, deadline, stop).await;
        if let Err(CommitError::Failed(StoreError { kind: Kind::CacheFull, message })) = &ended
            && request.may_be_smaller()
        {
            let transaction_rows = smaller(request.exported_rows());
            tracing::warn!("the rows are marked after the commit, {transaction_rows} at a time: {message}");
            ended = self.try_commit(&CommitRequest { transaction_rows, ..*request }, deadline, stop).await;
        }
        match ended {
            Err(CommitError::Failed(error)) => Err(CommitError::Failed(self.cause_of(error).await)),
            ended => ended,
        }
    }

    async fn try_commit(
        &self,
        request: &CommitRequest<'_>,
        deadline: Instant,
        stop: &Stop,
    ) -> Result<Committed, CommitError> {
        if request.in_pieces() {
            let held = request.positions_of_held();
            let stored = self.store_row_list(request.claim, request.rows, &held, request.transaction_rows).await;
            if !stored.map_err(CommitError::Failed)? {
                return Err(CommitError::LeaseLost);
            }
        }
        let (mut tries, mut contents) = (0, Vec::new());
        let committed =
            |contents| Ok(Committed { number: request.ledger.number + 1, marking: request.in_pieces(), contents });
        loop {
            tries += 1;
            let error = match self.transaction(request, &mut contents, deadline, stop).await {
                Ok(()) => return committed(contents),
                Err(CommitError::Unknown(error)) => match self.settle(request).await? {
                    true => return committed(contents),
                    false => error,
                },
                Err(CommitError::Failed(error))
                    if error.kind.may_run_again() && !(error.kind == Kind::CacheFull && request.may_be_smaller()) =>
                {
                    error
                }
                // The log may be of a run that took over while this one was paused.
                Err(CommitError::Logged(number)) => {
                    let is_held = self.is_held(request.claim).await.map_err(CommitError::Failed)?;
                    return Err(if is_held { CommitError::Logged(number) } else { CommitError::LeaseLost });
                }
                Err(ended @ (CommitError::Conflict(_) | CommitError::LeaseLost | CommitError::Failed(_))) => {
                    return Err(ended);
                }
            };
            tracing::warn!(tries, "the commit transaction has to be run again: {error}");
            if tries == TRANSACTION_TRIES || Instant::now() >= deadline || stop.requested().is_some() {
                return Err(CommitError::Failed(error));
            }
            tokio::time::sleep(Duration::from_millis(50) * 2_u32.pow(tries)).await;
        }
    }

    /// Finds out the outcome of a commit that was not answered, by a fenced write on the batch document. The
    /// transaction wrote that document too, so this write waits for its end. When the batch is then still uncommitted
    /// under our fence, the transaction was aborted for good. Returns whether the batch is committed.
    async fn settle(&self, request: &CommitRequest<'_>) -> Result<bool, CommitError> {
        let unknown = |error: StoreError| CommitError::Unknown(error);
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

    async fn transaction(
        &self,
        request: &CommitRequest<'_>,
        contents: &mut Vec<u32>,
        deadline: Instant,
        stop: &Stop,
    ) -> Result<(), CommitError> {
        let mut session = self.client.start_session().await?;
        session.start_transaction().with_options(transaction_options()).await?;
        // Nothing is committed as long as no commit was sent, so a write that is not answered leaves no doubt.
        let unanswered = |limit| Err(CommitError::Failed(StoreError::timeout(limit)));
        let written = tokio::select! {
            biased;
            written = self.write_all(&mut session, request) => written,
            _ = stop.wait_and(WRITES_GRACE) => unanswered(WRITES_GRACE),
            () = tokio::time::sleep_until(deadline.into()) => unanswered(COMMIT_LIMIT),
        };
        match written {
            Ok(compared) => *contents = compared,
            Err(stopped) => {
                abort(&mut session).await;
                return Err(match stopped {
                    CommitError::Failed(error) => {
                        CommitError::Failed(self.by_size(error, &request.changed_rows()).await)
                    }
                    stopped => stopped,
                });
            }
        }
        commit_session(&mut session).await
    }

    /// Runs these writes in a transaction of their own. `None`: they found that it is not for them, and nothing is written.
    pub(super) async fn in_transaction<T>(
        &self,
        writes: impl AsyncFnOnce(&mut ClientSession) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let mut session = self.client.start_session().await?;
        session.start_transaction().with_options(transaction_options()).await?;
        let written = writes(&mut session).await;
        match written {
            Ok(Some(_)) => send_commit(&mut session).await?,
            Ok(None) | Err(_) => abort(&mut session).await,
        }
        written
    }
}

impl Store {
    /// A write conflict over more bytes than [`LARGE_BYTES`] is one with the cache: the server's answer does not tell the two apart.
    pub(super) async fn by_size(&self, error: StoreError, rows: &[Id]) -> StoreError {
        match error.kind {
            Kind::WriteConflict if self.bytes_of(rows).await > Some(LARGE_BYTES) => {
                StoreError { kind: Kind::CacheFull, ..error }
            }
            Kind::TooLarge => match self.fullest_of(rows).await {
                Some(row) => StoreError { message: format!("{} (the row {row})", error.message), ..error },
                None => error,
            },
            _ => error,
        }
    }

    /// The largest row among these, if it may be the one that exceeds what the server takes.
    async fn fullest_of(&self, rows: &[Id]) -> Option<String> {
        let size = doc! { "bytes": { "$bsonSize": "$$ROOT" } };
        let stages = [
            doc! { "$match": each(rows) },
            doc! { "$project": size },
            doc! { "$match": { "bytes": { "$gt": FULL_ROW_BYTES } } },
            doc! { "$sort": { "bytes": -1 } },
            doc! { "$limit": 1 },
        ];
        let cursor = self.bounded(self.queue.aggregate(stages).into_future()).await;
        let found = self.bounded(cursor.ok()?.try_next()).await.ok()??;
        found.get_object_id("_id").ok().map(|id| id.to_hex())
    }

    /// The bytes of these rows, or of the first of them; `None` when the database does not report them.
    pub(super) async fn bytes_of(&self, rows: &[Id]) -> Option<i64> {
        let sum = doc! { "_id": null, "bytes": { "$sum": { "$bsonSize": "$$ROOT" } } };
        let rows = each(&rows[..rows.len().min(ROWS_WEIGHED)]);
        let weighed = self.all(self.queue.aggregate([doc! { "$match": rows }, doc! { "$group": sum }])).await;
        int(weighed.ok()?.first()?, "bytes")
    }
}

/// Best effort: the server ends an abandoned transaction by itself.
async fn abort(session: &mut ClientSession) {
    let _ = tokio::time::timeout(Duration::from_secs(2), session.abort_transaction()).await;
}

/// Sends the commit until it is answered, [`COMMIT_TRIES`] times at most.
async fn send_commit(session: &mut ClientSession) -> Result<()> {
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
        tracing::warn!(tries, "the commit was not answered, sending it again: {error}");
        tokio::time::sleep(Duration::from_millis(100) * tries).await;
    }
}

async fn commit_session(session: &mut ClientSession) -> Result<(), CommitError> {
    send_commit(session).await.map_err(|error| {
        // The server says that it rolled the transaction back, or that it knows no commits.
        let is_answered = match error.kind {
            Kind::Unsupported => true,
            kind => kind.may_run_again() && kind != Kind::UnknownCommit,
        };
        if is_answered { CommitError::Failed(error) } else { CommitError::Unknown(error) }
    })
}

/// Rows of each of the transactions that take the place of one for which the server's cache is too small.
pub(super) fn smaller(rows: usize) -> usize {
    (rows / 4).max(1)
}

fn transaction_options() -> TransactionOptions {
    TransactionOptions::builder()
        .read_concern(ReadConcern::snapshot())
        .write_concern(WriteConcern::builder().w(Acknowledgment::Majority).build())
        .build()
}
