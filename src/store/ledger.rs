//! The look before a pass: the ledger, and whether the records agree that this batch is still to be exported.
//!
//! Risk: a database that lost a part of its records. A ledger that is made anew would begin at number 1 again, a batch document that is
//! made anew would export a day again, and without `exportbatchentries` nothing keeps an entry out of a second file. Each of them stops the
//! pass, with the way out, before anything is generated.

use futures_util::future::{try_join, try_join_all, try_join3};
use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;

use super::document::int;
use super::error::StoreError;
use super::snapshot::{Ledger, ledger};
use super::{LEDGER, Store};
use crate::batch::BatchId;
use crate::failure::Failure;

/// What the records say before a pass.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// `None` before the first batch.
    ledger: Option<Ledger>,
    /// Whether `exportbatchentries` exists.
    has_exported: bool,
    /// Number of the export that the log has of this batch, as text.
    logged: Option<String>,
}

impl Store {
    /// Reads the records of a batch, side by side.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn records(&self, batch: BatchId) -> Result<Records, StoreError> {
        let (ledger, has_exported, logged) =
            try_join3(self.find_ledger(), self.has_exported(), self.logged(batch)).await?;
        Ok(Records { ledger, has_exported, logged })
    }

    /// The ledger of a pass over a batch that is not committed, made when there is none yet. `create`: also make the collections that are
    /// missing.
    ///
    /// # Errors
    /// `configuration` when the records contradict each other; or when the database fails.
    pub async fn ledger(&self, batch: BatchId, records: Records, create: bool) -> Result<Ledger, Failure> {
        if let Some(number) = &records.logged {
            return Err(already_logged(batch, number));
        }
        match records.ledger {
            Some(ledger) if ledger.number > 0 && !records.has_exported => Err(Failure::configuration(format!(
                "the collection {} is missing, and {} batches were exported before: nothing would keep their entries out of another file",
                self.exported.name(),
                ledger.number
            ))
            .next("run `batch-export init` once: it fills the collection from the rows of earlier batches")),
            Some(ledger) if records.has_exported || !create => Ok(ledger),
            None if !create => Ok(Ledger::default()),
            Some(_) | None => {
                self.refuse_second_beginning().await?;
                self.create_ledger().await?;
                Ok(self.find_ledger().await?.unwrap_or_default())
            }
        }
    }

    /// A ledger is made once. Batches without one mean that it was lost.
    async fn refuse_second_beginning(&self) -> Result<(), Failure> {
        let (log, batch) = try_join(
            self.bounded(
                self.log.find_one(doc! { "action": "csv_generated", "metadata.number": { "$gt": 0 } }).into_future(),
            ),
            self.bounded(
                self.batches.find_one(doc! { "_id": { "$ne": LEDGER }, "number": { "$gt": 0 } }).into_future(),
            ),
        )
        .await?;
        let ledger = self.find_ledger().await?;
        if (log.is_none() && batch.is_none()) || ledger.is_some_and(|ledger| ledger.number > 0) {
            return Ok(());
        }
        let name = self.batches.name();
        Err(Failure::configuration(format!(
            "batches were exported before, and their ledger in {name} is lost: the numbers would begin at 1 again"
        ))
        .next(
            "restore the collection from a backup, or rebuild it from the export log with `batch-export init --adopt`",
        ))
    }

    /// The ledger as it is now. A database without one counts as before the first batch.
    ///
    /// # Errors
    /// When the database fails.
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

    async fn create_ledger(&self) -> Result<(), StoreError> {
        // Everything that the commit transaction writes has to exist before it: creating a collection inside of one is fragile.
        let collections = [&self.batches, &self.log, &self.row_lists, &self.exported];
        try_join_all(collections.map(|collection| self.create_collection(collection))).await?;
        let first = doc! { "$setOnInsert": { "number": 0_i64, "lastSha256": null, "marking": null } };
        let upsert = self.batches.update_one(doc! { "_id": LEDGER }, first).upsert(true);
        try_join(self.bounded(upsert.into_future()), self.create_log_index()).await?;
        Ok(())
    }

    /// The index that finds a batch's export: the log may hold much else of the application's.
    pub(super) async fn create_log_index(&self) -> Result<(), StoreError> {
        let options = IndexOptions::builder()
            .name("batch_export".to_owned())
            .partial_filter_expression(doc! { "action": "csv_generated" })
            .build();
        let index = IndexModel::builder().keys(doc! { "metadata.batchId": 1 }).options(options).build();
        self.bounded(self.log.create_index(index).into_future()).await?;
        Ok(())
    }
}

/// The number of an export in the log, as text.
pub(super) fn log_number(log: &Document) -> String {
    let number = log.get_document("metadata").ok().and_then(|metadata| int(metadata, "number"));
    number.map_or("unknown".to_owned(), |number| number.to_string())
}

/// The refusal of a batch that has an export in the log while its document knows of none.
pub fn already_logged(batch: BatchId, number: &str) -> Failure {
    Failure::configuration(format!(
        "the export log has {batch} as number {number}, and its batch document knows of no commit: it was deleted or restored"
    ))
    .next("restore the collection from a backup, or rebuild the document from the log with `batch-export init --adopt`")
}
