//! What a trial tries, and the rows that it marks first: due ones; where there are none, a row that the trial makes a queued one inside its transaction.
//!
//! Risk: a false alarm. A made row may break rules that a queued one keeps, such as a required field. So a row that is there is changed rather
//! than one inserted, and where none can be made, its marks are not tried, and the finding says so.

use chrono::{DateTime, Utc};
use mongodb::ClientSession;
use mongodb::bson::{Document, doc};

use super::abort;
use crate::batch::{BatchId, ExportSettings, FileFacts, Span};
use crate::entry::FieldList;
use crate::id::Id;
use crate::store::Store;
use crate::store::document::bson_date;
use crate::store::due::RowKey;
use crate::store::error::{Kind, Result, on};

/// A row of more bytes may have no room for marks.
const MADE_MAX_BYTES: i32 = 1 << 20;

/// The most rows that are tried in one transaction.
pub(super) const ROWS_MAX: usize = 1_000;

/// What two passes would store.
#[derive(Clone, Debug)]
pub struct Trial<'a> {
    /// The batches of two days, and the file of each.
    pub batches: [(BatchId, FileFacts); 2],
    /// The settings that decide the bytes.
    pub settings: &'a ExportSettings,
    /// The fields of the layout.
    pub fields: &'a FieldList,
    /// The due rows that a run would mark, in order.
    pub rows: &'a [RowKey],
    /// The earliest and the latest `scheduledFor` of these.
    pub exported: Option<Span>,
    /// The due rows that a run would refuse or hold back, in order, with the reason.
    pub bad: &'a [(RowKey, String)],
    /// Whether it would hold them back.
    pub holds: bool,
    /// All of them are due by then.
    pub cutoff: DateTime<Utc>,
    /// Rows that one transaction may mark.
    pub transaction_rows: usize,
}

impl Trial<'_> {
    /// Rows that are tried in one transaction: whoever writes one of them meanwhile waits for its end.
    pub(super) fn rows_together(&self) -> usize {
        self.transaction_rows.clamp(1, ROWS_MAX)
    }
}

pub(super) struct TriedRows {
    pub(super) rows: Vec<RowKey>,
    /// The earliest and the latest `scheduledFor`.
    pub(super) span: Span,
    /// They are due by then.
    pub(super) cutoff: DateTime<Utc>,
    pub(super) source: RowSource,
}

/// Where the rows come from.
pub(super) enum RowSource {
    /// They are due.
    Queue,
    /// A row of any state is made a queued one by this update.
    Change(Document),
    /// This row is inserted.
    Insert(Document),
    /// There is no such row: its update matches nothing, and shows only whether it is allowed.
    Nowhere,
}

impl Store {
    /// The first due rows, or one that can be made to be due at this time.
    pub(super) async fn rows_to_try(
        &self,
        session: &mut ClientSession,
        trial: &Trial<'_>,
        at: DateTime<Utc>,
    ) -> Result<TriedRows> {
        let made = Span { first: at, last: at };
        if let Some(rows) = trial.rows.chunks(trial.rows_together()).next() {
            let span = trial.exported.unwrap_or(made);
            return Ok(TriedRows { rows: rows.to_vec(), span, cutoff: trial.cutoff, source: RowSource::Queue });
        }
        let entry = new_id();
        let mut due =
            doc! { "entryId": entry, "exportPath": "scheduled", "status": "queued", "scheduledFor": bson_date(at) };
        let mut any = with_metadata();
        any.insert("_id", doc! { "$type": "objectId" });
        any.insert("$expr", doc! { "$lt": [{ "$bsonSize": "$$ROOT" }, MADE_MAX_BYTES] });
        let newest = self.queue.find_one(any).sort(doc! { "_id": -1 }).projection(doc! { "_id": 1 });
        let newest = self.bounded(newest).await?;
        let (row, source) = match newest.and_then(|row| row.get_object_id("_id").ok()) {
            Some(id) => (Id(id.bytes()), RowSource::Change(due)),
            None => {
                let row = new_id();
                due.insert("_id", row);
                due.extend(doc! { "metadata": {}, "createdAt": bson_date(at), "updatedAt": bson_date(at) });
                (row, RowSource::Insert(due))
            }
        };
        let mut made = TriedRows { rows: vec![RowKey { row, entry }], span: made, cutoff: at, source };
        self.bounded(session.start_transaction()).await?;
        let prepared = self.prepare(session, &made).await;
        abort(session).await;
        match (prepared, &made.source) {
            (Ok(()), _) => return Ok(made),
            (Err(error), RowSource::Change(_)) if error.kind == Kind::Denied => return Err(error),
            (Err(error), _) if error.kind.is_unanswered() => return Err(error),
            // A rule or a right that no pass needs.
            (Err(_), _) => {}
        }
        made.rows = vec![RowKey { row: new_id(), entry }];
        made.source = RowSource::Nowhere;
        Ok(made)
    }

    /// Makes the row that is to be marked, inside a transaction.
    pub(super) async fn prepare(&self, session: &mut ClientSession, tried: &TriedRows) -> Result<()> {
        let done = match (&tried.source, tried.rows.first()) {
            (RowSource::Change(due), Some(key)) => {
                let update = self.queue.update_one(doc! { "_id": key.row }, doc! { "$set": due });
                self.bounded(update.session(session)).await.map(drop)
            }
            (RowSource::Insert(row), _) => self.bounded(self.queue.insert_one(row).session(session)).await.map(drop),
            (RowSource::Change(_) | RowSource::Queue | RowSource::Nowhere, _) => Ok(()),
        };
        done.map_err(on(&self.queue))
    }
}

/// Matches the rows whose `metadata` can take the marks.
fn with_metadata() -> Document {
    doc! {
        "metadata": { "$not": { "$type": "array" } },
        "$or": [{ "metadata": null }, { "metadata": { "$type": "object" } }],
    }
}

/// An id that nobody has.
pub(super) fn new_id() -> Id {
    Id(mongodb::bson::oid::ObjectId::new().bytes())
}
