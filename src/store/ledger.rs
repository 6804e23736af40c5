//! The check before a pass: reads the ledger, and refuses a batch when the records contradict each other.
//!
//! Risk: a database that lost some of its records. A new ledger would begin at number 1 again, a new batch document
//! would export a day again, and an entry that is missing in `exportbatchentries` could get into a second file. Each of
//! these stops the pass before anything is generated, with a next step.
//!
//! A pass compares two numbers for that: how many entries the collection has, by the server's own count, which costs no
//! search, and how many the ledger says were recorded. So it notices a collection that was emptied, restored from an
//! older backup, or lost a single entry. It does not notice a lost entry in whose place somebody put another document,
//! nor one of before the last `init` of an earlier version. Only `doctor` and `init` do: they count the entries of each batch.

use futures_util::future::{join, join3, try_join3};
use mongodb::action::FindOneAndUpdate;
use mongodb::bson::{Document, doc};
use mongodb::options::ReturnDocument;

use super::batches::Claim;
use super::document::log_number;
use super::error::StoreError;
use super::indexes::QueueIndex;
use super::snapshot::{Ledger, ledger};
use super::{LEDGER, Store};
use crate::batch::BatchId;
use crate::exit::Exit;
use crate::failure::Failure;

/// The records before a pass.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// `None` before the first batch.
    ledger: Option<Ledger>,
    /// How many entries `exportbatchentries` has; `None` when it is missing.
    has: Option<u64>,
    /// The number under which the log has this batch, as text.
    logged: Option<String>,
}

impl Records {
    /// The name of this installation; `None` before the first batch.
    pub fn installation(&self) -> Option<&str> {
        self.ledger.as_ref()?.installation.as_deref()
    }

    /// Whether the records contradict each other.
    fn contradict(&self) -> bool {
        self.logged.is_some() || self.ledger.as_ref().is_some_and(|ledger| forgets(ledger, self.has))
    }
}

impl Store {
    /// Reads the records of a batch, side by side.
    pub async fn records(&self, batch: BatchId) -> Result<Records, StoreError> {
        let (ledger, has, logged) = try_join3(self.find_ledger(), self.count_exported(), self.logged(batch)).await?;
        Ok(Records { ledger, has, logged })
    }

    /// The ledger for a pass over a batch that is not committed. A missing ledger is created, with the missing
    /// collections.
    ///
    /// # Errors
    /// `configuration` when the records contradict each other; `lease_lost` when another run took over meanwhile; or
    /// when the database fails.
    pub async fn ledger(&self, claim: &Claim, mut records: Records) -> Result<Ledger, Failure> {
        if records.contradict() {
            // The records were read in parallel, and another run may have written in between.
            records = self.records(claim.batch).await?;
            records.has = self.count_exported_one_by_one(records.ledger.as_ref(), records.has).await?;
        }
        if let Some(number) = &records.logged {
            return Err(match self.is_held(claim).await? {
                true => already_logged(claim.batch, number),
                false => Failure::new(Exit::LeaseLost, "another run took over this batch"),
            });
        }
        match records.ledger {
            Some(ledger) if forgets(&ledger, records.has) => Err(self.entries_forgotten(&ledger, records.has)),
            Some(ledger) if records.has.is_some() && ledger.installation.is_some() => Ok(ledger),
            Some(_) | None => {
                let (refused, able) = join(self.refuse_second_beginning(), self.check_snapshot()).await;
                refused.and(able)?;
                let made = self.create_ledger().await.map_err(StoreError::for_administrators)?;
                self.warn_without_init().await;
                Ok(made)
            }
        }
    }

    fn entries_forgotten(&self, ledger: &Ledger, has: Option<u64>) -> Failure {
        let (name, number) = (self.exported.name(), ledger.number);
        let message = match has {
            None => {
                format!("the collection {name} is missing, and the batches up to number {number} were exported before")
            }
            Some(has) => format!(
                "the collection {name} has {has} entries, and {} of the batches up to number {number} were recorded there",
                ledger.recorded
            ),
        };
        Failure::configuration(format!("{message}: entries of them could be exported again")).next(
            "restore the collection from a backup, or run `batch-export init` once: it records the entries again, from the rows and the \
             files of earlier batches, and names those that it cannot record",
        )
    }

    /// The count of a collection that seems to lack entries, after the ledger was read. After a crash the server's own count may be too low
    /// until somebody runs `validate` on the collection; then this reads all entries once.
    async fn count_exported_one_by_one(
        &self,
        ledger: Option<&Ledger>,
        has: Option<u64>,
    ) -> Result<Option<u64>, StoreError> {
        match ledger {
            Some(ledger) if has.is_some() && forgets(ledger, has) => {
                Ok(Some(self.exported.count_documents(doc! {}).await?))
            }
            Some(_) | None => Ok(has),
        }
    }

    /// The ledger as it is now, if the records of earlier batches let a further one begin. A database without one counts as before the first
    /// batch.
    ///
    /// # Errors
    /// `configuration` when a run would refuse to go on from them, or when the database fails.
    pub async fn check_records(&self) -> Result<Ledger, Failure> {
        let ledger = self.find_ledger().await?;
        let has = self.count_exported_one_by_one(ledger.as_ref(), self.count_exported().await?).await?;
        match ledger {
            Some(ledger) if forgets(&ledger, has) => Err(self.entries_forgotten(&ledger, has)),
            Some(ledger) => Ok(ledger),
            None => self.refuse_second_beginning().await.map(|()| Ledger::default()),
        }
    }

    /// Says what the first batch of a database goes without: it needs no `init`, and later ones get slower without it.
    async fn warn_without_init(&self) {
        let (missing, of_queue, marked_by) =
            join3(self.missing_batch_indexes(), self.queue_index(), self.marked_rows()).await;
        if let Ok(Some(batch)) = marked_by {
            tracing::warn!(
                "completed rows name {batch}, and no export is recorded here: right when an earlier program marked them; if records were \
                 lost, restore exportbatches, exportbatchentries and the export log, or their entries may be exported again"
            );
        }
        let mut missing = missing.unwrap_or_default();
        let no_queue =
            matches!(of_queue, Ok(QueueIndex::Missing)) && matches!(self.has_collection(&self.queue).await, Ok(false));
        if no_queue {
            let (database, queue) = (self.db.name(), self.queue.name());
            tracing::warn!(
                "the database {database} has no collection {queue}: check --mongodb-uri, --database and --queue-collection"
            );
        } else if let Ok(QueueIndex::Missing) = of_queue {
            missing.push(format!("an index of {} for due rows, so that all of it is read", self.queue.name()));
        }
        if !missing.is_empty() {
            tracing::warn!("run `batch-export init` once, because this database lacks {}", missing.join(", "));
        }
    }

    /// Whether there is a whole ledger.
    pub(super) async fn has_begun(&self) -> Result<bool, StoreError> {
        Ok(self.find_ledger().await?.is_some_and(|ledger| ledger.installation.is_some()))
    }

    /// Makes the ledger before the first run, so that a run needs no right to create anything.
    ///
    /// # Errors
    /// `configuration` when it was lost; or when the database fails.
    pub async fn begin(&self) -> Result<(), Failure> {
        if !self.has_begun().await? {
            self.refuse_second_beginning().await?;
            self.create_ledger().await.map_err(StoreError::for_administrators)?;
        }
        Ok(())
    }

    /// Refuses to create a second ledger: batches without a ledger mean that it was lost.
    async fn refuse_second_beginning(&self) -> Result<(), Failure> {
        let exported = self.log.find_one(doc! { "action": "csv_generated", "metadata.number": { "$gt": 0 } });
        let numbered = self.batches.find_one(doc! { "_id": { "$ne": LEDGER }, "number": { "$gt": 0 } });
        let entry = self.exported.find_one(doc! {}).projection(doc! { "_id": 1 });
        let (exported, numbered) = (self.bounded(exported.into_future()), self.bounded(numbered.into_future()));
        let (log, batch, entry) = try_join3(exported, numbered, self.bounded(entry.into_future())).await?;
        // Read last: another first run may have created the ledger and committed meanwhile.
        if (log.is_none() && batch.is_none() && entry.is_none())
            || self.find_ledger().await?.is_some_and(|ledger| ledger.number > 0)
        {
            return Ok(());
        }
        let name = self.batches.name();
        let failure = Failure::configuration(format!(
            "batches were exported before, and their ledger in {name} is lost: the numbers would begin at 1 again"
        ));
        Err(match log {
            Some(_) => failure.next(
                "restore the collection from a backup, or rebuild it from the export log with `batch-export init --adopt`",
            ),
            None => failure.next(format!(
                "restore the collection from a backup, and {} too: it has no export any more, so nothing can be rebuilt from it",
                self.log.name()
            )),
        })
    }

    /// The ledger as it is now. A database without one counts as before the first batch.
    pub async fn ledger_now(&self) -> Result<Ledger, StoreError> {
        Ok(self.find_ledger().await?.unwrap_or_default())
    }

    async fn find_ledger(&self) -> Result<Option<Ledger>, StoreError> {
        let found = self.bounded(self.batches.find_one(doc! { "_id": LEDGER }).into_future()).await?;
        found.as_ref().map(ledger).transpose()
    }

    /// The number under which the log has an export of this batch, as text.
    pub(super) async fn logged(&self, batch: BatchId) -> Result<Option<String>, StoreError> {
        let of_batch = doc! { "action": "csv_generated", "metadata.batchId": batch };
        let found = self.bounded(self.log.find_one(of_batch).into_future()).await?;
        Ok(found.as_ref().map(log_number))
    }

    /// Creates every collection that the commit transaction writes, in parallel, because creating a collection inside a
    /// transaction is fragile. A ledger of an earlier version gets its installation here. The ledger comes last: it says that the rest is there.
    async fn create_ledger(&self) -> Result<Ledger, StoreError> {
        try_join3(
            self.create_collection(&self.row_lists),
            self.create_collection(&self.exported),
            self.create_log_index(),
        )
        .await?;
        let made = self.bounded(self.first_ledger().into_future()).await?;
        Ok(made.as_ref().map(ledger).transpose()?.unwrap_or_default())
    }

    /// Makes the ledger; one that is there keeps what it has.
    pub(super) fn first_ledger(&self) -> FindOneAndUpdate<'_, Document> {
        let name = uuid::Uuid::new_v4().to_string();
        let first = vec![doc! { "$set": {
            "number": { "$ifNull": ["$number", 0_i64] },
            "lastSha256": { "$ifNull": ["$lastSha256", null] },
            "marking": { "$ifNull": ["$marking", null] },
            "installation": { "$ifNull": ["$installation", name] },
        }}];
        let upsert = self.batches.find_one_and_update(doc! { "_id": LEDGER }, first).upsert(true);
        upsert.return_document(ReturnDocument::After)
    }
}

/// Whether entries of committed batches are missing in `exportbatchentries`, which has so many. While a batch is marking, it has fewer by
/// right.
fn forgets(ledger: &Ledger, has: Option<u64>) -> bool {
    match has {
        None => ledger.number > 0,
        Some(has) => ledger.marking.is_none() && i64::try_from(has).is_ok_and(|has| has < ledger.recorded),
    }
}

/// The refusal of a batch that the log has as exported while its document has no commit.
pub fn already_logged(batch: BatchId, number: &str) -> Failure {
    Failure::configuration(format!(
        "the export log has {batch} as number {number}, but its batch document has no commit: the document was deleted or restored"
    ))
    .next("restore the collection from a backup, or rebuild the document from the log with `batch-export init --adopt`")
}
