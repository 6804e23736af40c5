//! Records of exported batches that are gone: a part of the database was deleted or restored.
//!
//! Risk: a check that finds nothing to look at, and says that all is well. So ledger, batch documents, ExportLogs and recorded entries are
//! compared with the highest number that any of them knows. An index serves each read.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::{try_join, try_join3};
use mongodb::bson::{Document, doc};

use super::batches::ids_of_batches;
use super::document::{bson_date, int, text};
use super::error::{Kind, Result};
use super::read_back::log_facts;
use super::snapshot::Ledger;
use super::{LEDGER, Store};
use crate::batch::{BatchId, State};
use crate::failure::Failure;
use crate::terminal::some;

/// Batches that a message names.
const NAMED: usize = 5;
/// Completed rows that are looked at.
const ROWS_MAX: i64 = 1_000;

/// Records of exported batches that are gone, each with the way out.
#[derive(Clone, Debug, Default)]
pub struct Lost {
    /// Batch documents.
    pub batches: Option<LostBatches>,
    /// The ledger is gone, or older than the other records.
    pub ledger: Option<Failure>,
    /// The collection of the queue rows.
    pub queue: Option<Failure>,
    /// ExportLogs.
    pub logs: Option<Failure>,
    /// Records of exported entries.
    pub entries: Option<Failure>,
    /// Rows are marked, and nothing is recorded of any export.
    pub marked: Option<Failure>,
}

/// Batch documents that are gone.
#[derive(Clone, Debug)]
pub struct LostBatches {
    /// The highest number that anything knows.
    pub told: i64,
    /// How many are gone.
    pub count: u64,
    /// Those that the log names.
    pub logged: Vec<BatchId>,
    /// What is gone, and the way out.
    pub failure: Failure,
}

impl LostBatches {
    /// Whether the document of this batch is gone, as far as that is known: the log may not name it.
    pub fn may_be(&self, id: BatchId) -> bool {
        self.logged.contains(&id) || self.count > self.logged.len() as u64
    }
}

impl Lost {
    /// What is gone, and the ways out.
    pub fn failures(&self) -> impl Iterator<Item = &Failure> {
        let batches = self.batches.as_ref().map(|lost| &lost.failure);
        let others = [&self.ledger, &self.queue, &self.logs, &self.entries, &self.marked];
        batches.into_iter().chain(others.into_iter().flatten())
    }
}

/// The highest number that each kind of record knows.
pub(super) struct KnownNumbers {
    pub(super) ledger: Option<Ledger>,
    log: i64,
    entry: i64,
    batch: i64,
}

impl KnownNumbers {
    fn highest(&self) -> i64 {
        self.others().max(self.ledger.as_ref().map_or(0, |ledger| ledger.number))
    }

    /// Of all records but the ledger.
    fn others(&self) -> i64 {
        self.log.max(self.entry).max(self.batch)
    }
}

impl Store {
    /// The records of exported batches that are gone.
    pub async fn lost(&self) -> Result<Lost> {
        let told = self.told().await?;
        let mut lost = Lost {
            batches: self.lost_of(&told).await?,
            queue: self.missing_queue(told.highest()).await?,
            ..Lost::default()
        };
        // What is told of lost documents has the way out for ledger and log as well.
        if lost.batches.is_none() {
            lost.ledger = self.lost_ledger(&told);
            lost.logs = self.lost_logs(told.highest()).await?;
        }
        // An earlier version recorded no entries, and named no installation.
        if let Some(ledger) = told.ledger.as_ref().filter(|ledger| ledger.installation.is_some()) {
            lost.entries = self.forgotten_entries(ledger).await?;
        }
        if told.highest() == 0 {
            lost.marked = self.marked_rows().await?.map(|batch| marked_by(&batch));
        }
        Ok(lost)
    }

    /// Reads the ledger last: then its number is not lower because of a commit meanwhile.
    pub(super) async fn told(&self) -> Result<KnownNumbers> {
        let (log, entry, batch) = try_join3(self.newest_log(), self.newest_entry(), self.newest_batch()).await?;
        Ok(KnownNumbers { ledger: self.find_ledger().await?, log, entry, batch })
    }

    /// What is wrong when the other records know a higher number than the ledger.
    pub(super) fn lost_ledger(&self, told: &KnownNumbers) -> Option<Failure> {
        let number = told.ledger.as_ref().map_or(0, |ledger| ledger.number);
        let others = told.others();
        (others > number).then(|| {
            let name = self.batches.name();
            let failure = Failure::configuration(match told.ledger {
                Some(_) => format!(
                    "the ledger in {name} has number {number} as the last one, and number {others} was exported: it is older than the other \
                     records, and would give out numbers twice"
                ),
                None => format!(
                    "batches were exported before, and their ledger in {name} is lost: the numbers would begin at 1 again"
                ),
            });
            match told.log.max(told.batch) {
                0 => failure.next(format!(
                    "restore the collection from a backup, and {} too: it has no export any more, so nothing can be rebuilt from it",
                    self.log.name()
                )),
                _ => failure.next(
                    "restore the collection from a backup, or rebuild it from the other records with `batch-export init --adopt`",
                ),
            }
        })
    }

    /// Refuses collections that are not those of the batches on record: mostly a name is mistyped. With `rebuilds`, records may be lost.
    ///
    /// # Errors
    /// `configuration`, with the collection's name; or when the database fails.
    pub async fn check_names(&self, rebuilds: bool) -> Result<Ledger, Failure> {
        let told = self.told().await?;
        let found = match self.missing_queue(told.highest()).await? {
            Some(queue) => Some(queue),
            None => match self.another_ledger(&told).await? {
                None if !rebuilds => match self.lost_ledger(&told) {
                    None => self.another_log(&told).await?,
                    lost => lost,
                },
                other => other,
            },
        };
        found.map_or_else(|| Ok(told.ledger.unwrap_or_default()), Err)
    }

    /// What is wrong when batches up to this number were exported, and there is no queue: each day would be empty.
    pub async fn missing_queue(&self, told: i64) -> Result<Option<Failure>> {
        if told == 0 || self.has_collection(&self.queue).await? {
            return Ok(None);
        }
        let (database, queue) = (self.db.name(), self.queue.name());
        let message =
            format!("batches up to number {told} were exported, and the database {database} has no collection {queue}");
        Ok(Some(Failure::configuration(message).next(format!(
            "see whether --queue-collection is right; if it is, make the collection anew: db.createCollection({queue:?})"
        ))))
    }

    /// What is wrong when the collection of the batches has no ledger, and another one of this database has.
    async fn another_ledger(&self, told: &KnownNumbers) -> Result<Option<Failure>> {
        if told.ledger.is_some() || told.others() == 0 {
            return Ok(None);
        }
        let ours = self.batches.name();
        for name in self.bounded(self.db.list_collection_names().authorized_collections(true)).await? {
            let ledger = doc! { "_id": LEDGER, "installation": { "$type": "string" } };
            let found = self.bounded(self.db.collection::<Document>(&name).find_one(ledger)).await;
            // Not every collection can be read by this user.
            if name != ours && matches!(found, Ok(Some(_))) {
                let message = format!("the ledger of the exported batches is not in {ours}, but in {name}");
                return Ok(Some(Failure::configuration(message).next(format!(
                    "see whether --batch-collection is right: {name} may be the one; if {name} is an old copy, drop it"
                ))));
            }
        }
        Ok(None)
    }

    /// What is wrong when batches were exported, and the log collection has no ExportLog and was never made ready for one. A log that was made
    /// ready and emptied is no reason to stop.
    async fn another_log(&self, told: &KnownNumbers) -> Result<Option<Failure>> {
        if told.log > 0 || told.highest() == 0 {
            return Ok(None);
        }
        match self.has_log_index().await {
            Ok(false) => self.lost_logs(told.highest()).await,
            Ok(true) => Ok(None),
            // This user's rights name the collections, so none is mistyped.
            Err(error) if error.kind == Kind::Denied => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is wrong when ExportLogs of numbers up to this one are gone.
    pub(super) async fn lost_logs(&self, told: i64) -> Result<Option<Failure>> {
        let has = self.bounded(self.log.count_documents(logs())).await?;
        let name = self.log.name();
        let failure = || {
            let message =
                format!("batches up to number {told} were exported, and {name} has {has} of their ExportLogs");
            let way_on = match has {
                0 => "without a backup, `batch-export init --adopt` begins a new log",
                _ => "runs go on meanwhile",
            };
            Failure::configuration(message).next(format!(
                "see whether --log-collection is right; if it is, restore {name} from a backup: nothing else can rebuild it; {way_on}"
            ))
        };
        Ok((i64::try_from(has).unwrap_or(i64::MAX) < told).then(failure))
    }

    /// The batches whose documents are gone; `None` when none is known to be.
    pub async fn lost_batches(&self) -> Result<Option<LostBatches>> {
        self.lost_of(&self.told().await?).await
    }

    async fn lost_of(&self, known: &KnownNumbers) -> Result<Option<LostBatches>> {
        let told = known.highest();
        // Counted last: a batch may be committed meanwhile.
        let has = self.count_committed().await?;
        let count = lacking(told, has);
        if count == 0 {
            return Ok(None);
        }
        let logged = self.logged_and_gone().await?;
        let name = self.batches.name();
        let lost = match logged.is_empty() {
            true => "the others are lost".to_owned(),
            false => format!("lost: {}", some(&logged, NAMED)),
        };
        let failure = Failure::configuration(format!(
            "batches up to number {told} were exported, and {name} has {has} of their documents; {lost}"
        ));
        let failure = match logged.is_empty() {
            true => failure.next(format!(
                "restore {name} and {} from a backup: without an ExportLog, the document of a batch cannot be rebuilt",
                self.log.name()
            )),
            false => failure.next(format!(
                "restore {name} from a backup, or rebuild the documents from the export log with `batch-export init --adopt`"
            )),
        };
        let failure = self.another_ledger(known).await?.unwrap_or(failure);
        Ok(Some(LostBatches { told, count, logged, failure }))
    }

    /// How many committed batches have a document. The index on `state` serves it.
    pub(super) async fn count_committed(&self) -> Result<u64> {
        self.bounded(self.batches.count_documents(committed())).await
    }

    /// Refuses to begin a day anew, or to record it as empty, whose rows carry its mark, while its batch document and its ExportLog are lost.
    /// Returns the batches whose documents are lost, when this day is none of them as far as its rows tell.
    pub async fn refuse_lost_day(&self, batch: BatchId, cutoff: DateTime<Utc>) -> Result<Option<LostBatches>, Failure> {
        let Some(lost) = self.lost_batches().await? else { return Ok(None) };
        let within = doc! { "$gt": bson_date(cutoff - TimeDelta::days(1)), "$lte": bson_date(cutoff) };
        let marked = doc! { "exportPath": "scheduled", "status": "completed", "scheduledFor": within, "metadata.batchId": batch };
        if self.bounded(self.queue.find_one(marked)).await?.is_none() {
            return Ok(Some(lost));
        }
        let message = format!("rows are marked as exported by {batch}, whose batch document and ExportLog are lost");
        Err(Failure::configuration(format!("{message}; {}", lost.failure)).next(
            "restore both from a backup, that document in place of the present one: the entries are not exported again meanwhile. Without a \
             backup, rename `metadata.batchId` of these rows, and the day begins anew, without their entries",
        ))
    }

    /// A batch that the newest completed rows name as theirs.
    pub(super) async fn marked_rows(&self) -> Result<Option<String>> {
        let newest = [
            doc! { "$match": { "exportPath": "scheduled", "status": "completed", "scheduledFor": { "$type": "date" } } },
            doc! { "$sort": { "scheduledFor": -1 } },
            doc! { "$limit": ROWS_MAX },
            doc! { "$match": { "metadata.batchId": { "$regex": format!("^{}", BatchId::PREFIX) } } },
            doc! { "$limit": 1 },
        ];
        let found = self.all(self.queue.aggregate(newest)).await?;
        Ok(found.first().and_then(|row| text(row.get_document("metadata").ok()?, "batchId")))
    }

    /// Of the latest date, which mostly has the highest number.
    pub(super) async fn newest_batch(&self) -> Result<i64> {
        let find = self.batches.find_one(committed()).sort(doc! { "_id": -1 }).projection(doc! { "number": 1 });
        let found = self.bounded(find).await?;
        Ok(found.and_then(|batch| int(&batch, "number")).unwrap_or(0))
    }

    async fn newest_log(&self) -> Result<i64> {
        let find = self.log.find_one(logs()).sort(doc! { "metadata.batchId": -1 });
        let found = self.bounded(find).await?;
        Ok(found.and_then(|log| log_facts(&log).number).unwrap_or(0))
    }

    /// The highest number that a batch document or an exported entry knows, with the checksum of its file. This reads all entries once.
    pub(super) async fn highest_number(&self) -> Result<(i64, Option<String>)> {
        let batch = self.batches.find_one(committed()).sort(doc! { "number": -1 });
        let entry = self.exported.find_one(doc! {}).sort(doc! { "n": -1 });
        let (batch, entry) = try_join(self.bounded(batch), self.bounded(entry)).await?;
        let of_entry = entry.and_then(|entry| int(&entry, "n")).unwrap_or(0);
        let of_batch = batch.as_ref().and_then(|batch| int(batch, "number")).unwrap_or(0);
        if of_entry > of_batch {
            return Ok((of_entry, None));
        }
        let sha256 = batch.and_then(|batch| text(batch.get_document("file").ok()?, "sha256"));
        Ok((of_batch, sha256))
    }

    async fn newest_entry(&self) -> Result<i64> {
        let find = self.exported.find_one(doc! {}).sort(doc! { "_id": -1 });
        let found = self.bounded(find).await?;
        Ok(found.and_then(|entry| int(&entry, "n")).unwrap_or(0))
    }

    async fn logged_and_gone(&self) -> Result<Vec<BatchId>> {
        let found = self.all(self.log.find(logs()).projection(doc! { "metadata.batchId": 1 })).await?;
        let mut logged: BTreeSet<BatchId> = found.iter().filter_map(|log| log_facts(log).batch).collect();
        let find = self.batches.find(committed()).projection(doc! { "_id": 1 });
        let there = self.all(find).await?;
        for batch in there.iter().filter_map(|batch| text(batch, "_id")?.parse().ok()) {
            logged.remove(&batch);
        }
        Ok(logged.into_iter().collect())
    }
}

/// How many of the batches up to this number are not among so many documents.
pub(super) fn lacking(told: i64, documents: u64) -> u64 {
    u64::try_from(told).unwrap_or_default().saturating_sub(documents)
}

/// What completed rows tell where nothing is recorded.
pub(super) fn marked_by(batch: &str) -> Failure {
    Failure::configuration(format!("completed rows name {batch}, and no export is recorded here")).next(
        "if records were lost, restore exportbatches, exportbatchentries and the export log from a backup before the next run, or their \
         entries may be exported again; if an earlier program marked these rows, there is nothing to do: the first batch ends this",
    )
}

/// A state that this program does not know is no lost document.
pub(super) fn committed() -> Document {
    let others = State::ALL.into_iter().filter(|state| !state.is_committed()).map(State::name);
    doc! { "_id": ids_of_batches(), "state": { "$nin": others.collect::<Vec<_>>() } }
}

/// The ExportLogs of this program: those of an earlier one have no number.
fn logs() -> Document {
    doc! { "action": "csv_generated", "metadata.batchId": { "$gte": BatchId::PREFIX }, "metadata.number": { "$gt": 0 } }
}
