//! Rows that a unique index of the queue tells apart while they are queued, and not once they are marked.
//!
//! The trial marks a thousand rows at a time and undoes that before the next thousand: two rows of different thousands never meet in it. So the
//! server also computes in a query, which writes nothing, what all rows will be, and groups them by the keys of each unique index.
//!
//! Risk: a false alarm. A missing value is null, as in an index. Lists are the same where they are equal as a whole. Times are the same in the
//! rows of one command only. An index that cannot be read in this way is passed over.

use mongodb::IndexModel;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::Collation;

use super::tried_rows::{ROWS_MAX, Trial};
use super::writes::ROWS_PER_COMMAND;
use super::{completed, marks};
use crate::id::Id;
use crate::store::Store;
use crate::store::due::due_filter;
use crate::store::error::{Kind, Result, StoreError};
use crate::store::indexes::name_of;
use crate::store::neighbours::each;

impl Store {
    /// Refuses a unique index in which two of the rows of a pass would have the same keys.
    ///
    /// # Errors
    /// `Kind::Rule`, with the index and two rows.
    pub(super) async fn refuse_same_keys(&self, trial: &Trial<'_>) -> Result<()> {
        let [(batch, file), _] = &trial.batches;
        let bad: Vec<Id> = trial.bad.iter().map(|(key, _)| key.row).collect();
        let mut due = due_filter(trial.cutoff);
        due.insert("_id", doc! { "$nin": bad.iter().copied().map(Bson::from).collect::<Vec<_>>() });
        let mut made = vec![completed(&marks((*batch).into(), file))];
        if trial.rows.len() > trial.transaction_rows.min(ROWS_PER_COMMAND) {
            made.push(doc! { "$set": { "completedAt": "$_id", "updatedAt": "$_id" } });
        }
        let failed = vec![doc! { "$set": { "status": "failed", "lastError": "$_id", "updatedAt": "$_id" } }];
        let tried = [
            (trial.rows.len(), trial.rows_together(), due, made),
            (if trial.holds { bad.len() } else { 0 }, ROWS_MAX, each(&bad), failed),
        ];
        for (count, together, which, made) in tried {
            if count <= together {
                continue;
            }
            // A run needs no right to list the indexes.
            for index in self.indexes(&self.queue).await.unwrap_or_default().iter().filter(|index| is_unique(index)) {
                self.refuse_same_keys_of(index, &which, &made).await?;
            }
        }
        Ok(())
    }

    async fn refuse_same_keys_of(&self, index: &IndexModel, which: &Document, made: &[Document]) -> Result<()> {
        let options = index.options.clone().unwrap_or_default();
        let keys: Vec<Document> = index.keys.keys().map(|key| doc! { "$ifNull": [format!("${key}"), null] }).collect();
        let mut stages = vec![doc! { "$match": which }];
        stages.extend_from_slice(made);
        stages.extend([
            doc! { "$match": options.partial_filter_expression.unwrap_or_default() },
            doc! { "$group": { "_id": keys, "one": { "$min": "$_id" }, "other": { "$max": "$_id" } } },
            doc! { "$match": { "$expr": { "$ne": ["$one", "$other"] } } },
            doc! { "$limit": 1 },
        ]);
        let collation = options.collation.unwrap_or_else(|| Collation::builder().locale("simple").build());
        let found = self.all(self.queue.aggregate(stages).collation(collation).allow_disk_use(true)).await;
        let found: Vec<Document> = found.unwrap_or_default();
        let Some(pair) = found.first() else { return Ok(()) };
        let id = |key: &str| pair.get_object_id(key).map(|id| id.to_hex()).unwrap_or_default();
        let message = format!(
            "{}: its unique index {} would refuse a mark, because the rows {} and {} then have the same keys",
            self.queue.name(),
            name_of(index),
            id("one"),
            id("other")
        );
        Err(StoreError { kind: Kind::Rule, message })
    }
}

/// A unique index of plain values.
fn is_unique(index: &IndexModel) -> bool {
    let is_unique = index.options.as_ref().is_some_and(|options| options.unique == Some(true));
    is_unique && index.keys.values().all(|order| order.as_str().is_none())
}
