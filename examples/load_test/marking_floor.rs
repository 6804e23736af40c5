//! The floor of the marking: the least that any client can do to mark the rows and to write their entries down.
//!
//! Bare updates by 10,000 ids, sorted, and an insert of one small document per entry, in transactions of their own, over two connections;
//! or the updates alone, which shows what the inserts cost.
//! No comparison of what was read, no log, no list of what is left.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::{StreamExt, TryStreamExt, stream};
use mongodb::Database;
use mongodb::bson::{Document, doc, oid::ObjectId};

use super::seed::QUEUE;

const PER_TRANSACTION: usize = 10_000;
const CONNECTIONS: usize = 2;

/// Marks every row of the queue. The collections are made before the clock starts.
pub async fn mark(database: &Database, inserts: bool) -> Result<Duration> {
    let queue = database.collection::<Document>(QUEUE);
    let rows: Vec<Document> = queue.find(doc! {}).projection(doc! {"entryId": 1}).await?.try_collect().await?;
    let mut rows: Vec<(ObjectId, ObjectId)> =
        rows.iter().map(|row| Ok((row.get_object_id("_id")?, row.get_object_id("entryId")?))).collect::<Result<_>>()?;
    rows.sort_unstable();
    database.collection::<Document>("floorentries").drop().await?;
    database.create_collection("floorentries").await?;
    let began = Instant::now();
    let transactions = rows.chunks(PER_TRANSACTION).map(|rows| {
        let (database, rows) = (database.clone(), rows.to_vec());
        async move { tokio::spawn(async move { transaction(&database, &rows, inserts).await }).await? }
    });
    stream::iter(transactions).buffer_unordered(CONNECTIONS).try_collect::<()>().await?;
    Ok(began.elapsed())
}

async fn transaction(database: &Database, rows: &[(ObjectId, ObjectId)], inserts: bool) -> Result<()> {
    let mut session = database.client().start_session().await?;
    session.start_transaction().await?;
    let ids: Vec<ObjectId> = rows.iter().map(|(row, _)| *row).collect();
    let marks = doc! {"$set": {
        "status": "completed",
        "completedAt": "$$NOW",
        "updatedAt": "$$NOW",
        "metadata.batchId": "batch_2026-01-18",
        "metadata.googleDriveFileId": "1AbcDefGhiJklMnoPqrStuVwxYz012345",
        "metadata.googleDriveUrl": "https://drive.google.com/file/d/1AbcDefGhiJklMnoPqrStuVwxYz012345/view",
    }};
    let queue = database.collection::<Document>(QUEUE);
    queue.update_many(doc! {"_id": {"$in": ids}, "status": "queued"}, vec![marks]).session(&mut session).await?;
    if inserts {
        let entries = rows.iter().map(|(_, entry)| doc! {"_id": entry, "n": 1_i64});
        database.collection::<Document>("floorentries").insert_many(entries).session(&mut session).await?;
    }
    session.commit_transaction().await?;
    Ok(())
}
