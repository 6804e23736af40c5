//! The day: entries as the application writes them (some 420 bytes each), and a row in the queue for each (some 160 bytes).
//!
//! Entries are stored once per size. The queue is made anew before each run, because a run uses it up, and taking the marks off again
//! would cost as much as setting them. Then as many entries of an earlier day are on record, so that a look-up searches what it searches
//! in real life.

use anyhow::{Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use mongodb::Database;
use mongodb::bson::{Bson, DateTime, Document, doc, oid::ObjectId};

/// The application's collections.
pub const QUEUE: &str = "exportqueues";
/// The journal entries.
pub const ENTRIES: &str = "journalentries";
/// The entries that a batch has exported.
pub const EXPORTED: &str = "exportbatchentries";
/// The business date of every row.
pub const DATE: &str = "2026-01-18";

/// 2026-01-18 08:00 in Bangkok.
const MORNING_MS: i64 = 1_768_698_000_000;
const PER_COMMAND: u32 = 10_000;
const IN_FLIGHT: usize = 3;

/// Stores the entries, and nothing else.
pub async fn entries(database: &Database, count: u32) -> Result<()> {
    database.drop().await?;
    insert(database, ENTRIES, count, entry).await
}

/// Queues all entries, and forgets every earlier export. In no order: neither the rows nor their entries lie on the disk in the order of the
/// file, and the entries lie in another order than the rows, too.
pub async fn queue(database: &Database, count: u32, in_no_order: bool) -> Result<()> {
    for name in database.list_collection_names().await? {
        if name != ENTRIES {
            database.collection::<Document>(&name).drop().await?;
        }
    }
    let index = doc! {"key": {"status": 1, "scheduledFor": 1}, "name": "status_1_scheduledFor_1"};
    database.run_command(doc! {"createIndexes": QUEUE, "indexes": [index]}).await?;
    match in_no_order {
        true => insert(database, QUEUE, count, move |number| shuffled_row(number, count)).await?,
        false => insert(database, QUEUE, count, row).await?,
    }
    checkpoint(database).await
}

/// Records so many entries of an earlier batch, whose ids are lower, and the batch itself; `init` has made the ledger.
pub async fn exported(database: &Database, count: u32) -> Result<()> {
    let record = |number: u32| doc! {"_id": id(0, number), "n": 1_i64, "row": id(2, number), "place": number};
    insert(database, EXPORTED, count, record).await?;
    let counted = doc! {"$set": {"number": 1_i64, "recorded": i64::from(count)}};
    let updated = database.collection::<Document>("exportbatches").update_one(doc! {"_id": "ledger"}, counted).await?;
    ensure!(updated.matched_count == 1, "init made no ledger");
    let file = doc! {"id": "batch_2026-01-17.csv#1", "name": "batch_2026-01-17.csv", "entries": i64::from(count), "sealed": true};
    let batch = doc! {"_id": "batch_2026-01-17", "state": "completed", "number": 1_i64, "file": file};
    database.collection::<Document>("exportbatches").insert_one(batch).await?;
    let log = doc! {"action": "csv_generated", "metadata": {"batchId": "batch_2026-01-17", "number": 1_i64}};
    database.collection::<Document>("exportlogs").insert_one(log).await?;
    checkpoint(database).await
}

/// A checkpoint now, or it would fall into the time of the run.
async fn checkpoint(database: &Database) -> Result<()> {
    database.client().database("admin").run_command(doc! {"fsync": 1}).await?;
    Ok(())
}

async fn insert(
    database: &Database,
    collection: &str,
    count: u32,
    document: impl Fn(u32) -> Document + Copy,
) -> Result<()> {
    let collection = database.collection::<Document>(collection);
    let inserts = (0..count).step_by(PER_COMMAND as usize).map(|first| {
        let collection = collection.clone();
        async move {
            let documents: Vec<Document> = (first..count.min(first + PER_COMMAND)).map(document).collect();
            tokio::spawn(async move { collection.insert_many(documents).ordered(false).await }).await??;
            Ok::<_, anyhow::Error>(())
        }
    });
    stream::iter(inserts).buffer_unordered(IN_FLIGHT).try_collect::<()>().await
}

fn entry(number: u32) -> Document {
    const DESCRIPTIONS: [&str; 5] = [
        "ค่าเช่าสำนักงาน เดือนมกราคม 2569",
        "Office supplies, paper and toner",
        "รับชำระค่าสินค้า INV-2569/001",
        "Bank fee \"SWIFT\" transfer",
        "Consulting services January",
    ];
    const ACCOUNTS: [&str; 5] = ["1101-00", "2101-00", "4101-01", "5101-00", "5302-10"];
    let at = approved_at(number);
    let satang = 100 + i64::from(number) * 7_919 % 10_000_000;
    let amount = if number.is_multiple_of(3) { Bson::Double(satang as f64) } else { Bson::Int32(satang as i32) };
    doc! {
        "_id": id(1, number),
        "clientId": id(3, number % 50),
        "date": DateTime::from_millis(MORNING_MS),
        "accountCode": ACCOUNTS[number as usize % ACCOUNTS.len()],
        "description": DESCRIPTIONS[number as usize % DESCRIPTIONS.len()],
        "amount": amount,
        "type": if number.is_multiple_of(2) { "debit" } else { "credit" },
        "category": "general",
        "vatAmount": 0,
        "metadata": {"crAccount": "1102-00", "drAccount": "1102-00", "voucherNo": format!("JV{number:06}")},
        "createdBy": "staff@example.com",
        "approvedBy": "owner@example.com",
        "status": "approved",
        "createdAt": at,
        "updatedAt": at,
    }
}

fn row(number: u32) -> Document {
    let at = approved_at(number);
    doc! {
        "_id": id(2, number),
        "entryId": id(1, number),
        "exportPath": "scheduled",
        "status": "queued",
        "scheduledFor": at,
        "attempts": 0,
        "metadata": {"requestedBy": "owner@example.com"},
        "createdAt": at,
        "updatedAt": at,
    }
}

/// Row after row is due at another time and names another entry. A stride without a common divisor with any round number of rows, so that
/// every entry has its turn once.
fn shuffled_row(number: u32, count: u32) -> Document {
    const STRIDE: u64 = 7_368_787;
    let mixed = |number: u32| (u64::from(number) * STRIDE % u64::from(count)) as u32;
    let mut document = row(number);
    document.insert("scheduledFor", approved_at(mixed(number)));
    document.insert("entryId", id(1, mixed(mixed(number))));
    document
}

/// Over nine hours, in minutes, nearly in the order of the numbers: people approve in bulk.
fn approved_at(number: u32) -> DateTime {
    DateTime::from_millis(MORNING_MS + i64::from(number / 50 % 540) * 60_000)
}

fn id(what: u8, number: u32) -> ObjectId {
    let mut bytes = [0x69, 0x6c, 0x2e, 0x10, what, 0, 0, 0, 0, 0, 0, 0];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    ObjectId::from_bytes(bytes)
}
