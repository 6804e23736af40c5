//! `init` records the entries of earlier batches in `exportbatchentries`: from the rows that carry their batch's id, and
//! from the official file where such rows are gone.
//!
//! Risk: a half-filled collection, in which exported entries look new. So a collection that is missing is filled under
//! another name, and renamed at the end. And the entries of each batch are counted against its batch document, because
//! the application may have removed the rows.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{Bson, Document, doc, oid::ObjectId};

use super::batches::ids_of_batches;
use super::document::{self, int, text};
use super::error::{Kind, Result, StoreError, on};
use super::exported::ENTRIES_PER_COMMAND;
use super::lost::committed;
use super::{LEDGER, Store};
use crate::batch::{Batch, State};
use crate::id::Id;

/// The collection that is filled before it is renamed.
const FILLING: &str = "exportbatchentries_filling";

/// Recording that was begun and has to be ended.
pub struct Filling {
    target: Collection<Document>,
    /// Whether the target is the collection itself.
    complete: bool,
    /// Entries that were missing in the collection itself, as far as they were added. Their records were made by a version that refuses a
    /// second export, so what is found of them in two files was allowed.
    restored: BTreeSet<ObjectId>,
    /// Entries that were recorded.
    pub added: u64,
}

/// A completed batch that has fewer entries on record than in its file.
#[derive(Clone, Debug)]
pub struct Short {
    pub batch: Batch,
    /// How many entries are not recorded under its number.
    pub missing: u64,
}

impl Store {
    /// Creates the collection when it is missing, and fills it from the rows of earlier batches. It may be interrupted
    /// and run again.
    pub async fn begin_filling(&self) -> Result<Filling> {
        let complete = self.has_exported().await?;
        let target = if complete { self.exported.clone() } else { self.db.collection(FILLING) };
        self.create_collection(&target).await?;
        let mut filling = Filling { target, complete, restored: BTreeSet::new(), added: 0 };
        self.fill_from_rows(&mut filling).await?;
        Ok(filling)
    }

    /// Whether the files of completed batches have more entries together than are on record. This reads no record.
    pub async fn lacks_records(&self) -> Result<bool> {
        let entries = self.exported_entries().await?;
        Ok(self.count_exported().await?.is_some_and(|has| has < entries))
    }

    /// Whether there may be records of entries that are in no file: more than entries in files, or another number than the ledger counts. An entry
    /// that was exported again has one record. While a batch is marking, its records grow. This reads no record.
    pub async fn may_have_strange_records(&self) -> Result<bool> {
        let (entries, ledger) = (self.exported_entries().await?, self.ledger_now().await?);
        let is_wrong = |has| has > entries || has != ledger.recorded as u64;
        Ok(ledger.marking.is_none() && self.count_exported().await?.is_some_and(is_wrong))
    }

    /// How many entries the files of completed batches have together.
    async fn exported_entries(&self) -> Result<u64> {
        let sum = [
            doc! { "$match": { "_id": ids_of_batches(), "state": State::Completed.name() } },
            doc! { "$group": { "_id": null, "entries": { "$sum": "$file.entries" } } },
        ];
        let found = self.all(self.batches.aggregate(sum)).await?;
        Ok(found.first().and_then(|sum| int(sum, "entries")).unwrap_or(0) as u64)
    }

    /// The completed batches of which entries are not on record, by number.
    pub async fn short_batches(&self) -> Result<Vec<Short>> {
        self.short_in(&self.exported).await
    }

    /// The completed batches of which entries are missing still, by number. An entry that moved to another batch counts
    /// for both. A batch whose rows are being marked records its entries itself. `None` when another `init`, or a run, has made the
    /// collection meanwhile, and the filling has to begin again.
    pub async fn still_short(&self, filling: &Filling) -> Result<Option<Vec<Short>>> {
        let short = self.short_in(&filling.target).await?;
        // Asked last: what another `init` has renamed looks empty.
        let is_overtaken = !filling.complete && self.has_exported().await?;
        Ok((!is_overtaken).then_some(short))
    }

    async fn short_in(&self, entries: &Collection<Document>) -> Result<Vec<Short>> {
        let find = self.batches.find(doc! { "state": State::Completed.name(), "number": { "$gt": 0 } });
        let found = self.all(find).await?;
        let recorded = Store::count_by_number(entries).await?;
        let mut short = Vec::new();
        for batch in &found {
            // The others are reported one by one.
            let Some(Ok(batch)) = document::read(batch) else { continue };
            let expected = batch.file.as_ref().map_or(0, |file| file.entries);
            let has = batch.number.and_then(|number| recorded.get(&number)).copied().unwrap_or(0);
            if has < expected {
                short.push(Short { batch, missing: expected - has });
            }
        }
        short.sort_by_key(|short| short.batch.number);
        Ok(short)
    }

    /// How many entries are recorded under each number. An entry that moved to another number counts for both.
    pub async fn recorded_by_number(&self) -> Result<BTreeMap<i64, u64>> {
        Store::count_by_number(&self.exported).await
    }

    async fn count_by_number(entries: &Collection<Document>) -> Result<BTreeMap<i64, u64>> {
        // No time limit: this reads all entries once.
        let numbers = doc! { "$setUnion": [["$n"], { "$ifNull": ["$before", []] }] };
        let mut counted = entries
            .aggregate([
                doc! { "$project": { "_id": 0, "number": numbers } },
                doc! { "$unwind": "$number" },
                doc! { "$group": { "_id": "$number", "entries": { "$sum": 1_i64 } } },
            ])
            .await?;
        let mut recorded: BTreeMap<i64, u64> = BTreeMap::new();
        while let Some(count) = counted.try_next().await? {
            if let (Some(number), Some(entries)) = (int(&count, "_id"), int(&count, "entries")) {
                recorded.insert(number, entries as u64);
            }
        }
        Ok(recorded)
    }

    /// Records the entries of a file under its number. Returns how many of them are recorded under another one, and stay there.
    pub async fn fill_from_file(&self, filling: &mut Filling, number: i64, entries: &[Id]) -> Result<u64> {
        let mut elsewhere = 0;
        for entries in entries.chunks(ENTRIES_PER_COMMAND) {
            let ids: Vec<ObjectId> = entries.iter().map(|entry| ObjectId::from_bytes(entry.0)).collect();
            let documents: Vec<Document> = ids.iter().map(|id| doc! { "_id": id, "n": number }).collect();
            self.add_missing(filling, &documents, false).await?;
            let other = doc! { "_id": { "$in": ids }, "n": { "$ne": number }, "before": { "$ne": number } };
            elsewhere += self.bounded(filling.target.count_documents(other)).await?;
        }
        Ok(elsewhere)
    }

    /// Gives the filled collection its name, and counts it anew: what could not be recorded was reported, and is no reason to refuse the next
    /// run. The entries of batches whose documents are lost or cannot be read were not, so they still count. Returns how many entries were
    /// recorded; `None` when another `init`, or a run, has made the collection meanwhile, and the filling has to begin again.
    pub async fn end_filling(&self, filling: Filling) -> Result<Option<u64>> {
        if !filling.complete {
            let name = |collection: &Collection<Document>| format!("{}.{}", self.db.name(), collection.name());
            let rename = doc! { "renameCollection": name(&filling.target), "to": name(&self.exported) };
            if let Err(error) = self.bounded(self.client.database("admin").run_command(rename)).await {
                let is_overtaken = self.has_exported().await? || !self.has_collection(&filling.target).await?;
                return if is_overtaken { Ok(None) } else { Err(error) };
            }
        } else {
            self.remove_leftover().await?;
        }
        let marking = self.ledger_now().await?.marking;
        // What is committed or marked meanwhile makes this number too low, never too high. A batch that is marking counts as a whole.
        let recorded = self.exported.count_documents(doc! {}).await? as i64;
        let left = match marking {
            Some(id) => {
                let batch = self.bounded(self.batches.find_one(doc! { "_id": id })).await?.unwrap_or_default();
                let number = int(&batch, "number");
                let entries = batch.get_document("file").ok().and_then(|file| int(file, "entries")).unwrap_or(0);
                entries - self.exported.count_documents(doc! { "n": number }).await? as i64
            }
            None => 0,
        };
        let is_unsure = self.lost_batches().await?.is_some() || !self.damaged_among(committed()).await?.is_empty();
        let how = if is_unsure { "$max" } else { "$set" };
        let update = doc! { how: { "recorded": recorded + left } };
        self.bounded(self.batches.update_one(doc! { "_id": LEDGER, "marking": marking }, update)).await?;
        Ok(Some(filling.added))
    }

    /// Removes the half-filled collection of an `init` that another one overtook.
    async fn remove_leftover(&self) -> Result<()> {
        let leftover = self.db.collection::<Document>(FILLING);
        if !self.has_collection(&leftover).await? {
            return Ok(());
        }
        match self.bounded(leftover.drop()).await {
            Err(error) if error.kind != Kind::Denied => Err(on(&leftover)(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    async fn fill_from_rows(&self, filling: &mut Filling) -> Result<()> {
        let find = self.batches.find(committed()).projection(doc! { "number": 1 });
        let found = self.all(find).await?;
        let numbers: BTreeMap<String, i64> =
            found.iter().filter_map(|batch| Some((text(batch, "_id")?, int(batch, "number")?))).collect();
        // This scans the whole queue once, because no index of the application serves it.
        let marked = doc! { "metadata.batchId": { "$type": "string" }, "entryId": { "$type": "objectId" } };
        let wanted = doc! { "entryId": 1, "metadata.batchId": 1 };
        let mut rows = self.queue.find(marked).projection(wanted).await?;
        let is_new = !filling.complete;
        let mut documents = Vec::with_capacity(ENTRIES_PER_COMMAND);
        while let Some(row) = rows.try_next().await? {
            let batch = row.get_document("metadata").ok().and_then(|metadata| text(metadata, "batchId"));
            let number = batch.and_then(|batch| numbers.get(&batch).copied());
            if let (Some(number), Ok(entry)) = (number, row.get_object_id("entryId")) {
                documents.push(doc! { "_id": entry, "n": number, "row": row.get_object_id("_id").ok() });
            }
            if documents.len() == ENTRIES_PER_COMMAND {
                self.add_missing(filling, &std::mem::take(&mut documents), is_new).await?;
            }
        }
        self.add_missing(filling, &documents, is_new).await
    }

    /// Inserts the documents that do not exist yet. With `last_wins`, an entry of two batches belongs to the later one, as after an allowed
    /// second export; else it stays where it is recorded. `verify` reports it.
    async fn add_missing(&self, filling: &mut Filling, documents: &[Document], last_wins: bool) -> Result<()> {
        if documents.is_empty() {
            return Ok(());
        }
        let target = &filling.target;
        let command = doc! { "insert": target.name(), "documents": documents, "ordered": false };
        let answer = self.bounded(self.db.run_command(command)).await?;
        let errors = answer.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
        let errors = errors.iter().filter_map(Bson::as_document);
        let mut of_error = errors.clone().map(StoreError::in_write_error);
        if let Some(error) = of_error.find(|error| error.kind != Kind::DuplicateKey) {
            return Err(on(target)(error));
        }
        let twice: BTreeSet<usize> = errors.filter_map(|error| usize::try_from(int(error, "index")?).ok()).collect();
        let id = |document: &Document| document.get_object_id("_id").ok();
        if filling.complete {
            let added = documents.iter().enumerate().filter(|(at, _)| !twice.contains(at));
            filling.restored.extend(added.filter_map(|(_, document)| id(document)));
        }
        for found in twice.into_iter().filter_map(|at| documents.get(at)) {
            let (same, number) = (found.get("_id"), found.get("n"));
            if id(found).is_some_and(|id| filling.restored.contains(&id)) {
                let row = || found.get("row").cloned().unwrap_or_else(|| "$$REMOVE".into());
                let with =
                    |list: &str, one: Bson| doc! { "$concatArrays": [{ "$ifNull": [format!("${list}"), []] }, [one]] };
                let and_earlier = |n: Bson, row: Bson| {
                    doc! { "before": with("before", n.clone()), "earlier": with("earlier", doc! { "n": n, "row": row }.into()) }
                };
                let mut moved = and_earlier("$n".into(), "$row".into());
                moved.extend([("n".to_owned(), number.cloned().unwrap_or_default()), ("row".to_owned(), row())]);
                let kept = and_earlier(number.cloned().unwrap_or_default(), row());
                let from = doc! { "_id": same, "n": { "$lt": number } };
                self.bounded(target.update_one(from, vec![doc! { "$set": moved }])).await?;
                let later = doc! { "_id": same, "n": { "$gt": number }, "before": { "$ne": number } };
                self.bounded(target.update_one(later, vec![doc! { "$set": kept }])).await?;
            } else if last_wins {
                let earlier = doc! { "_id": same, "n": { "$lt": number } };
                self.bounded(target.update_one(earlier, doc! { "$set": found.clone() })).await?;
            }
        }
        filling.added += int(&answer, "n").unwrap_or(0) as u64;
        Ok(())
    }
}
