//! The check before a pass: reads the ledger, and refuses a batch when the records contradict each other.
//!
//! Risk: a database that lost some of its records. A new ledger would begin at number 1 again, a new batch document
//! would export a day again, and an entry that is missing in `exportbatchentries` could get into a second file. Each of
//! these stops the pass before anything is generated, with a next step.
//!
//! A pass compares two numbers for that: how many entries the collection has, by the server's own count, which costs no
//! search, and how many the ledger says were recorded. So it notices a collection that was emptied, restored from an
//! older backup, or lost a single entry. It does not notice a lost entry in whose place somebody put another document,
//! nor one of before the last `init` of an earlier version. Only `doctor`, `init` and `verify` do: they count the entries of each batch.
//!
//! It also compares the last number with the number of committed batch documents. When documents are missing, the day may be one of theirs: then
//! its rows tell.

use chrono::{DateTime, Utc};
use futures_util::future::{join, join3, try_join3, try_join5};
use mongodb::action::FindOneAndUpdate;
use mongodb::bson::{Document, doc};
use mongodb::options::ReturnDocument;

use super::batches::Claim;
use super::error::{StoreError, on};
use super::indexes::QueueIndex;
use super::lost::{lacking, marked_by};
use super::read_back::{LogFacts, log_facts};
use super::snapshot::{Ledger, ledger};
use super::{LEDGER, Store, WAIT_MAX};
use crate::batch::BatchId;
use crate::failure::Failure;

/// The records before a pass.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// `None` before the first batch.
    ledger: Option<Ledger>,
    /// How many entries `exportbatchentries` has; `None` when it is missing.
    has: Option<u64>,
    /// The latest export of the log, of this date or an earlier one.
    log: Option<Box<LogFacts>>,
    /// The number of the committed batch of the latest date; 0 before the first one.
    newest: i64,
    /// How many committed batches have a document.
    committed: u64,
}

impl Records {
    /// The name of this installation; `None` before the first batch.
    pub fn installation(&self) -> Option<&str> {
        self.ledger.as_ref()?.installation.as_deref()
    }

    /// Whether the records contradict each other.
    fn contradict(&self, batch: BatchId) -> bool {
        let contradicts = |ledger: &Ledger| {
            forgets(ledger, self.has) || ledger.number < self.newest || ledger.number > 0 && self.log.is_none()
        };
        self.export_of(batch).is_some() || self.ledger.as_ref().is_some_and(contradicts)
    }

    /// The export of this batch in the log.
    fn export_of(&self, batch: BatchId) -> Option<&LogFacts> {
        self.log.as_deref().filter(|log| log.batch == Some(batch))
    }

    /// Whether committed batches may have no document. The two reads are not of one instant: a batch that was committed in between looks like
    /// one without a document.
    fn may_lack_documents(&self) -> bool {
        self.ledger.as_ref().is_some_and(|ledger| lacking(ledger.number, self.committed) > 0)
    }
}

impl Store {
    /// Reads the records of a batch, side by side; and checks that what is to be written can be written in transactions.
    pub async fn records(&self, batch: BatchId) -> Result<Records, StoreError> {
        let (ledger, has, log) = (self.find_ledger(), self.count_exported(), self.latest_log(batch));
        let read = try_join5(ledger, has, log, self.newest_batch(), self.count_committed());
        // The trial of a transaction is not dropped half way: on a server that passes over transactions it has to remove what it wrote.
        let (read, able) = join(read, self.check_transactions()).await;
        able?;
        let (ledger, has, log, newest, committed) = read?;
        Ok(Records { ledger, has, log, newest, committed })
    }

    /// The ledger for a pass over a batch that is not committed. A missing ledger is created, with the missing
    /// collections.
    ///
    /// # Errors
    /// `configuration` when the records contradict each other; `lease_lost` when another run took over meanwhile; or
    /// when the database fails.
    pub async fn ledger(&self, claim: &Claim, cutoff: DateTime<Utc>, mut records: Records) -> Result<Ledger, Failure> {
        if records.contradict(claim.batch) {
            // The records were read in parallel, and another run may have written in between.
            records = self.records(claim.batch).await?;
            if records.export_of(claim.batch).is_none() || records.ledger.is_none() {
                records.ledger = Some(self.check_records().await?);
            }
        }
        if let Some(export) = records.export_of(claim.batch) {
            return Err(match self.is_held(claim).await? {
                true => already_logged(claim.batch, export.number),
                false => Failure::lease_lost(),
            });
        }
        let may_lack_documents = records.may_lack_documents();
        match records.ledger {
            Some(ledger) if records.has.is_some() && ledger.installation.is_some() => {
                // The log of a batch that was backfilled has an earlier date.
                if records.log.as_ref().map(|log| log.number.unwrap_or(0)) < Some(ledger.number) && ledger.number > 0 {
                    self.warn_of_lost_logs(ledger.number).await;
                }
                if may_lack_documents && let Some(lost) = self.refuse_lost_day(claim.batch, cutoff).await? {
                    tracing::warn!(next = lost.failure.next_step(), "{}", lost.failure);
                }
                Ok(ledger)
            }
            Some(_) | None => {
                let (known, able) = join(self.check_records(), self.check_snapshot()).await;
                known.and(able)?;
                let made = self.create_ledger().await.map_err(StoreError::for_administrators)?;
                self.warn_without_init().await;
                Ok(made)
            }
        }
    }

    /// What is wrong when entries of committed batches are not on record, by a ledger that was read before. After a crash the server's own
    /// count may be too low until somebody runs `validate` on the collection; then this reads all entries once.
    pub(super) async fn forgotten_entries(&self, ledger: &Ledger) -> Result<Option<Failure>, StoreError> {
        let mut has = self.count_exported().await?;
        if has.is_some() && forgets(ledger, has) {
            has = Some(self.exported.count_documents(doc! {}).await?);
        }
        if !forgets(ledger, has) {
            return Ok(None);
        }
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
        Ok(Some(Failure::configuration(format!("{message}: entries of them could be exported again")).next(
            "restore the collection from a backup, or run `batch-export init` once: it records the entries again, from the rows and the \
             files of earlier batches, and names those that it cannot record",
        )))
    }

    /// The ledger as it is now, if the records of earlier batches let a further one begin. A database without one counts as before the first
    /// batch.
    ///
    /// # Errors
    /// `configuration` when a run would refuse to go on from them, or when the database fails.
    pub async fn check_records(&self) -> Result<Ledger, Failure> {
        let ledger = self.check_names(false).await?;
        match self.forgotten_entries(&ledger).await? {
            Some(forgotten) => Err(forgotten),
            None => Ok(ledger),
        }
    }

    /// Says that the log lacks exports of numbers up to this one: it may be another collection, such as an old copy.
    async fn warn_of_lost_logs(&self, number: i64) {
        if let Ok(Some(lost)) = self.lost_logs(number).await {
            tracing::warn!(next = lost.next_step(), "{lost}");
        }
    }

    /// Says what the first batch of a database goes without: it needs no `init`, and later ones get slower without it.
    async fn warn_without_init(&self) {
        let (missing, of_queue, marked) =
            join3(self.missing_batch_indexes(), self.queue_index(), self.marked_rows()).await;
        if let Ok(Some(batch)) = marked {
            let told = marked_by(&batch);
            tracing::warn!(next = told.next_step(), "{told}");
        }
        let mut missing = missing.unwrap_or_default();
        let lacks_index =
            matches!(of_queue, Ok(QueueIndex::Missing)) && !matches!(self.has_collection(&self.queue).await, Ok(false));
        if lacks_index {
            missing.push(format!("an index of {} for due rows, so that all of it is read", self.queue.name()));
        }
        if !missing.is_empty() {
            tracing::warn!(next = "run `batch-export init` once", "this database lacks {}", missing.join(", "));
        }
    }

    /// Says that there is no queue at all: an empty day would look as if nothing was due. Once batches up to this number were exported, there was
    /// one.
    ///
    /// # Errors
    /// `configuration` after the first batch; or when the database fails.
    pub async fn check_has_queue(&self, exported: i64) -> Result<(), Failure> {
        if let Some(missing) = self.missing_queue(exported).await? {
            return Err(missing);
        }
        if let Ok(false) = self.has_collection(&self.queue).await {
            let (database, queue) = (self.db.name(), self.queue.name());
            let next = "check --mongodb-uri, --database and --queue-collection";
            tracing::warn!(next, "the database {database} has no collection {queue}");
        }
        Ok(())
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
            self.check_records().await?;
            self.create_ledger().await.map_err(StoreError::for_administrators)?;
        }
        Ok(())
    }

    /// The ledger as it is now. A database without one counts as before the first batch.
    pub async fn ledger_now(&self) -> Result<Ledger, StoreError> {
        Ok(self.find_ledger().await?.unwrap_or_default())
    }

    pub(super) async fn find_ledger(&self) -> Result<Option<Ledger>, StoreError> {
        let found = self.bounded(self.batches.find_one(doc! { "_id": LEDGER })).await?;
        found.as_ref().map(ledger).transpose()
    }

    /// The latest export of the log, of this date or an earlier one: one query tells of both, because every run asks.
    async fn latest_log(&self, batch: BatchId) -> Result<Option<Box<LogFacts>>, StoreError> {
        let until = doc! { "$gte": BatchId::PREFIX, "$lte": batch };
        let latest = self.log.find_one(doc! { "action": "csv_generated", "metadata.batchId": until });
        let found = self.bounded(latest.sort(doc! { "metadata.batchId": -1 })).await?;
        Ok(found.as_ref().map(log_facts).map(Box::new))
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
        let made = self.bounded(self.first_ledger().max_time(WAIT_MAX)).await.map_err(on(&self.batches))?;
        Ok(made.as_ref().map(ledger).transpose()?.unwrap_or_default())
    }

    /// Names the installation of a ledger that was rebuilt and has no name yet. `false` when it has one.
    pub async fn name_installation(&self, name: &str) -> Result<bool, StoreError> {
        let unnamed = doc! { "_id": LEDGER, "installation": null };
        let update = self.batches.update_one(unnamed, doc! { "$set": { "installation": name } });
        Ok(self.bounded(update).await?.modified_count == 1)
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

/// Whether entries of committed batches are missing in `exportbatchentries`; `has` is the number of those in it. While a batch is marking,
/// some are rightly missing.
fn forgets(ledger: &Ledger, has: Option<u64>) -> bool {
    match has {
        None => ledger.number > 0,
        Some(has) => ledger.marking.is_none() && i64::try_from(has).is_ok_and(|has| has < ledger.recorded),
    }
}

/// The refusal of a batch that the log has as exported while its document has no commit.
pub fn already_logged(batch: BatchId, number: Option<i64>) -> Failure {
    let number = number.map_or("unknown".to_owned(), |number| number.to_string());
    Failure::configuration(format!(
        "the export log has {batch} as number {number}, but its batch document has no commit: the document was deleted or restored"
    ))
    .next("restore the collection from a backup, or rebuild the document from the log with `batch-export init --adopt`")
}
