//! `exportbatchentries`: which batch exported an entry, one small document an entry.
//!
//! It is inserted in the transaction that marks the entry's row. Its unique `_id` keeps an entry in one committed file,
//! whatever the application does with the row: queue it again, empty its `metadata`, change its `entryId`, or delete
//! it.
//!
//! Risk: the collection is missing or lacks entries, and exported entries look new. So the ledger counts what is recorded
//! here, and a run refuses to go on with less ([`ledger`](super::ledger)); `init` fills it ([`filling`](super::filling)).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures_util::TryStreamExt;
use mongodb::ClientSession;
use mongodb::bson::raw::CStr;
use mongodb::bson::{Bson, Document, RawArrayBuf, RawDocumentBuf, cstr, doc, oid::ObjectId, rawdoc};

use super::document::{int, text};
use super::error::{Kind, Result, StoreError, on};
use super::neighbours::each;
use super::portion::chunks;
use super::{LEDGER, RowKey, Store};
use crate::batch::BatchId;
use crate::id::Id;

/// Documents per command: the server is fastest with few large commands.
pub(super) const ENTRIES_PER_COMMAND: usize = 10_000;
/// The `_id` of the row that was marked for the entry; batches of earlier versions have none.
const ROW: &CStr = cstr!("row");
/// Which entry of its file it is, from 0; batches of earlier versions have none.
const POSITION: &CStr = cstr!("place");
/// Number, row and position of an entry in each file before the last one; exports again by earlier versions have none.
const EARLIER: &str = "earlier";

/// How the reason begins that is given for an entry that is in a file already.
pub(super) const EXPORTED_AS: &str = "exported as number";

/// The batch that has an entry in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportedIn {
    pub number: i64,
    /// The batch; `None` when its document is gone.
    pub batch: Option<BatchId>,
}

impl fmt::Display for ExportedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{EXPORTED_AS} {}", self.number)?;
        if let Some(batch) = self.batch {
            write!(f, " in {batch}")?;
        }
        f.write_str("; reverse it there, or allow a second export with --allow-reexport")
    }
}

/// What is recorded of an entry of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportedEntry {
    /// The entry, and the row that was marked for it; [`Id::ABSENT`] where the row is not recorded.
    pub key: RowKey,
    /// Which entry of the file it is, from 0.
    pub position: Option<u32>,
    /// The number under which the entry is recorded now: that of a later file when it was exported again.
    pub number: i64,
}

/// An entry of a file that is not written down under the number of that file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misplaced {
    pub entry: Id,
    /// Where it is written down; `None` when it is nowhere.
    pub under: Option<ExportedIn>,
}

/// What to do with an entry that is already in a committed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// Nothing is written: an error of the kind [`DuplicateKey`](super::error::Kind::DuplicateKey).
    Refuse,
    /// It moves to the new number.
    Move,
}

impl Store {
    /// The entries of this sorted list that are in a committed file, with the file's batch; read in the given session.
    pub(super) async fn exported(
        &self,
        session: &mut ClientSession,
        entries: &[Id],
    ) -> Result<BTreeMap<Id, ExportedIn>> {
        let mut ranges = self.near_exported.ranges(entries);
        let numbers = loop {
            // Hardly ever is one of them in a file already, so more than a few in the ranges are strangers.
            let limit = ranges.as_ref().map_or(usize::MAX, |ranges| ranges.limit - entries.len());
            let find = match ranges.take() {
                Some(ranges) => self.exported.find(ranges.filter).limit(limit as i64).batch_size(limit as u32),
                None => self.exported.find(each(entries)).batch_size(entries.len() as u32 + 1),
            };
            let mut cursor = find.projection(doc! { "n": 1 }).session(&mut *session).await?;
            let found: Vec<Document> = cursor.stream(&mut *session).try_collect().await?;
            if found.len() < limit {
                let wanted = found.iter().filter_map(|entry| {
                    let id = Id(entry.get_object_id("_id").ok()?.bytes());
                    entries.binary_search(&id).ok()?;
                    Some((id, int(entry, "n").unwrap_or(0)))
                });
                break wanted.collect::<BTreeMap<Id, i64>>();
            }
            self.near_exported.expect(false);
        };
        if numbers.is_empty() {
            return Ok(BTreeMap::new());
        }
        let batches = self.batches_of_numbers(&numbers.values().copied().collect()).await?;
        let named = |number: i64| ExportedIn { number, batch: batches.get(&number).copied() };
        Ok(numbers.into_iter().map(|(entry, number)| (entry, named(number))).collect())
    }

    /// What is recorded of these entries of the file with this number, and the entries that are not written down under it.
    /// Entries that moved from it to another number, because somebody allowed to export them again, count as written down. Both are empty in
    /// a database that has no such collection yet.
    pub(super) async fn recorded(
        &self,
        session: &mut ClientSession,
        number: i64,
        entries: &[Id],
    ) -> Result<(Vec<ExportedEntry>, Vec<Misplaced>)> {
        let (mut records, mut misplaced) = (Vec::with_capacity(entries.len()), Vec::new());
        if !self.has_exported().await? {
            return Ok((records, misplaced));
        }
        for entries in entries.chunks(ENTRIES_PER_COMMAND) {
            let found = self.find_recorded(&mut *session, number, each(entries)).await?;
            let missing: Vec<Id> = entries
                .iter()
                .filter(|entry| found.binary_search_by_key(*entry, |record| record.key.entry).is_err())
                .copied()
                .collect();
            let mut ids = missing.clone();
            ids.sort_unstable();
            let elsewhere = if ids.is_empty() { BTreeMap::new() } else { self.exported(session, &ids).await? };
            misplaced
                .extend(missing.into_iter().map(|entry| Misplaced { entry, under: elsewhere.get(&entry).copied() }));
            records.extend(found);
        }
        Ok((records, misplaced))
    }

    /// What is recorded under this number, sorted by entry: of all entries, or of those that match.
    pub(super) async fn find_recorded(
        &self,
        session: &mut ClientSession,
        number: i64,
        which: Document,
    ) -> Result<Vec<ExportedEntry>> {
        let own = doc! { "$or": [{ "n": number }, { "before": number }] };
        let mut cursor = self.exported.find(doc! { "$and": [which, own] }).session(&mut *session).await?;
        let mut records = Vec::new();
        while let Some(found) = cursor.next(&mut *session).await.transpose()? {
            let Ok(entry) = found.get_object_id("_id") else { continue };
            let last = int(&found, "n").unwrap_or(0);
            let of_file = if last == number { Some(&found) } else { earlier(&found, number) };
            let row = of_file.and_then(|record| record.get_object_id(ROW.as_str()).ok());
            let position = of_file.and_then(|record| int(record, POSITION.as_str()));
            records.push(ExportedEntry {
                key: RowKey { row: row.map_or(Id::ABSENT, |row| Id(row.bytes())), entry: Id(entry.bytes()) },
                position: position.and_then(|position| u32::try_from(position).ok()),
                number: last,
            });
        }
        records.sort_unstable_by_key(|record| record.key.entry);
        Ok(records)
    }

    pub async fn batches_of_numbers(&self, numbers: &BTreeSet<i64>) -> Result<BTreeMap<i64, BatchId>> {
        let wanted: Vec<i64> = numbers.iter().copied().collect();
        let find = self.batches.find(doc! { "number": { "$in": wanted } }).projection(doc! { "number": 1 });
        let found = self.all(find).await?;
        Ok(found.iter().filter_map(|batch| Some((int(batch, "number")?, text(batch, "_id")?.parse().ok()?))).collect())
    }

    /// Records that a batch exported the entries of these rows, inside the transaction that marks them. The row and the position in the file are
    /// recorded too, so that both are known whatever the application changes in the row.
    pub(super) async fn insert_exported(
        &self,
        session: &mut ClientSession,
        rows: impl Iterator<Item = (&RowKey, Option<u32>)>,
        number: i64,
        again: Again,
    ) -> Result<()> {
        let mut moved = 0;
        for rows in chunks(rows, ENTRIES_PER_COMMAND) {
            let command = match again {
                Again::Refuse => insert_command(self.exported.name(), &rows, number),
                Again::Move => upsert_command(self.exported.name(), &rows, number),
            };
            let answer = self.db.run_raw_command(command).session(&mut *session).await;
            let answer = answer.map_err(on(&self.exported))?;
            match StoreError::in_answer(&answer) {
                None => {}
                Some(error) if error.kind == Kind::DuplicateKey => return Err(error),
                Some(error) => return Err(on(&self.exported)(error)),
            }
            if again == Again::Move {
                moved += (rows.len() - answer.get_array("upserted").map_or(0, Vec::len)) as i64;
            }
        }
        if moved > 0 {
            // The commit counts every entry of the file as a new one.
            let fewer = doc! { "$inc": { "recorded": -moved } };
            self.batches.update_one(doc! { "_id": LEDGER }, fewer).session(session).await?;
        }
        Ok(())
    }

    pub(super) async fn has_exported(&self) -> Result<bool> {
        self.has_collection(&self.exported).await
    }

    /// How many entries it has by the server's own count; `None` when the collection is missing.
    pub(super) async fn count_exported(&self) -> Result<Option<u64>> {
        match self.bounded(self.exported.estimated_document_count()).await? {
            0 => Ok(self.has_exported().await?.then_some(0)),
            count => Ok(Some(count)),
        }
    }
}

fn insert_command(collection: &str, rows: &[(&RowKey, Option<u32>)], number: i64) -> RawDocumentBuf {
    let mut documents = RawArrayBuf::new();
    for (key, position) in rows {
        let mut document = rawdoc! { "_id": ObjectId::from_bytes(key.entry.0), "n": number };
        if key.row != Id::ABSENT {
            document.append(ROW, ObjectId::from_bytes(key.row.0));
        }
        if let Some(position) = position {
            document.append(POSITION, *position as i32);
        }
        documents.push(document);
    }
    rawdoc! { "insert": collection, "documents": documents }
}

/// What is recorded of an entry in an earlier file with this number.
fn earlier(found: &Document, number: i64) -> Option<&Document> {
    let all = found.get_array(EARLIER).ok()?.iter().filter_map(Bson::as_document);
    all.into_iter().find(|record| int(record, "n") == Some(number))
}

/// The number that an entry had is kept, with its row and its position: `verify` knows then that it is in two files because somebody allowed it,
/// and on which line of each.
fn upsert_command(collection: &str, rows: &[(&RowKey, Option<u32>)], number: i64) -> RawDocumentBuf {
    let is_moved = rawdoc! { "$not": [{ "$in": [{ "$ifNull": ["$n", null] }, [number, null]] }] };
    let with_it = rawdoc! { "$concatArrays": [{ "$ifNull": ["$before", []] }, ["$n"]] };
    let as_it_is = rawdoc! { "$ifNull": ["$before", "$$REMOVE"] };
    let before = rawdoc! { "$cond": [is_moved.clone(), with_it, as_it_is] };
    let record = rawdoc! { "n": "$n", "row": "$row", "place": "$place" };
    let with_it = rawdoc! { "$concatArrays": [{ "$ifNull": ["$earlier", []] }, [record]] };
    let as_it_is = rawdoc! { "$ifNull": ["$earlier", "$$REMOVE"] };
    let earlier = rawdoc! { "$cond": [is_moved, with_it, as_it_is] };
    let mut updates = RawArrayBuf::new();
    for (key, position) in rows {
        let same = rawdoc! { "_id": ObjectId::from_bytes(key.entry.0) };
        let mut set = rawdoc! { "before": before.clone(), "earlier": earlier.clone(), "n": number };
        match key.row {
            Id::ABSENT => set.append(ROW, "$$REMOVE"),
            row => set.append(ROW, ObjectId::from_bytes(row.0)),
        }
        match position {
            None => set.append(POSITION, "$$REMOVE"),
            Some(position) => set.append(POSITION, *position as i32),
        }
        updates.push(rawdoc! { "q": same, "u": [{ "$set": set }], "upsert": true });
    }
    rawdoc! { "update": collection, "updates": updates }
}
