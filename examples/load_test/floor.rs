//! The floor: the least that any client can do to join the queue with its entries and write as many cells as the layout, from its fields.
//!
//! Bare cursors, 5,000 ids per `$in`, two of them in flight while the next queue batch is fetched; documents are looked at in place,
//! and the rows go through the csv crate into a sink. No snapshot, no order, no checks, no checksums, no file. With the look-up, the same ids
//! are searched in `exportbatchentries` too, beside the entries: the least that finding an entry of an earlier file costs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt};
use mongodb::bson::{Bson, Document, RawBsonRef, RawDocument, doc, oid::ObjectId};
use mongodb::raw_batch_cursor::RawBatch;
use mongodb::{Collection, Database};

use super::seed::{ENTRIES, EXPORTED, QUEUE};
use batch_export::entry::FieldList;
use batch_export::layout::Layout;

const BATCH: u32 = 5_000;

/// What the floor took.
#[derive(Clone, Copy, Debug)]
pub struct Floor {
    /// From the first command to the last row.
    pub took: Duration,
    /// Entries written.
    pub rows: u64,
}

/// What a layout reads and writes.
#[derive(Clone)]
pub struct Shape {
    wanted: Document,
    columns: usize,
    rows_per_entry: u64,
}

impl Shape {
    /// The fields, columns and rows of a layout.
    pub fn of(layout: &Layout) -> Shape {
        Shape {
            wanted: FieldList::of(layout).outermost().map(|path| (path.to_owned(), Bson::Int32(1))).collect(),
            columns: layout.columns.len(),
            rows_per_entry: layout.rows_per_entry(),
        }
    }
}

/// Joins all queued rows.
pub async fn join(database: &Database, shape: &Shape, look_up: bool) -> Result<Floor> {
    let began = Instant::now();
    let (queue, entries) = (database.collection::<Document>(QUEUE), database.collection::<Document>(ENTRIES));
    let exported = look_up.then(|| database.collection::<Document>(EXPORTED));
    let ids = queue
        .find(doc! {"exportPath": "scheduled", "status": "queued"})
        .projection(doc! {"entryId": 1, "scheduledFor": 1})
        .batch_size(BATCH)
        .batch()
        .await?
        .map(|batch| entry_ids(&batch?));
    let chunks = ids
        .map(|ids| {
            let (entries, exported, wanted) = (entries.clone(), exported.clone(), shape.wanted.clone());
            async move {
                let ids = ids?;
                tokio::spawn(async move { fetch(&entries, wanted, exported.as_ref(), ids).await }).await?
            }
        })
        .buffered(2);
    let mut chunks = std::pin::pin!(chunks);
    let mut writer = csv::WriterBuilder::new().buffer_capacity(64 * 1024).from_writer(std::io::sink());
    let mut rows = 0;
    let (mut record, mut cells) = (csv::ByteRecord::new(), csv::ByteRecord::new());
    while let Some(batches) = chunks.try_next().await? {
        for batch in &batches {
            for entry in batch.doc_slices()? {
                cells.clear();
                push(entry?.as_document().context("a document")?, &mut cells)?;
                record.clear();
                cells.iter().cycle().take(shape.columns).for_each(|cell| record.push_field(cell));
                for _ in 0..shape.rows_per_entry {
                    writer.write_byte_record(&record)?;
                }
                rows += 1;
            }
        }
    }
    writer.flush()?;
    Ok(Floor { took: began.elapsed(), rows })
}

async fn fetch(
    entries: &Collection<Document>,
    wanted: Document,
    exported: Option<&Collection<Document>>,
    ids: Vec<ObjectId>,
) -> Result<Vec<RawBatch>> {
    let found = async {
        let found = entries.find(doc! {"_id": {"$in": &ids}}).projection(wanted).batch_size(BATCH + 1).batch().await?;
        found.try_collect().await
    };
    let known = async {
        if let Some(exported) = exported {
            let _: Vec<RawBatch> = exported.find(doc! {"_id": {"$in": &ids}}).batch().await?.try_collect().await?;
        }
        Ok::<_, mongodb::error::Error>(())
    };
    let (found, ()) = futures_util::future::try_join(found, known).await?;
    Ok(found)
}

fn entry_ids(batch: &RawBatch) -> Result<Vec<ObjectId>> {
    let rows = batch.doc_slices()?.into_iter();
    rows.map(|row| Ok(row?.as_document().context("a document")?.get_object_id("entryId")?)).collect()
}

/// The values of a document, and of those inside of it.
fn push(document: &RawDocument, cells: &mut csv::ByteRecord) -> Result<()> {
    for element in document.iter_elements() {
        match element?.value()? {
            RawBsonRef::ObjectId(id) => cells.push_field(&id.bytes()),
            RawBsonRef::String(text) => cells.push_field(text.as_bytes()),
            RawBsonRef::DateTime(date) => cells.push_field(&date.timestamp_millis().to_le_bytes()),
            RawBsonRef::Int32(number) => cells.push_field(&number.to_le_bytes()),
            RawBsonRef::Double(number) => cells.push_field(&number.to_le_bytes()),
            RawBsonRef::Document(inside) => push(inside, cells)?,
            _ => {}
        }
    }
    Ok(())
}
