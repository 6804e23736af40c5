//! Counts rows of the queue that no pass exports: rows that came too late for their batch, and rows that will never become due.
//!
//! `status`, `doctor` and a run over a completed day use these counts. Each count is one command, served by the
//! application's index on `status` and `scheduledFor`.

use chrono::{DateTime, TimeDelta, Utc};
use mongodb::bson::doc;

use super::Store;
use super::document::{bson_date, date, int};
use super::due::{due_filter, undated_filter};
use super::error::Result;
use crate::calendar::Calendar;
use crate::failure::Explanation;

/// A row that is `processing` for longer than this counts as stuck.
const STUCK_AFTER: TimeDelta = TimeDelta::days(1);
/// A row that is due further ahead than this counts as a mistake.
const FAR_AHEAD: TimeDelta = TimeDelta::days(365);

/// Scheduled rows that no batch will ever take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NeverDue {
    /// Rows that are `processing` for more than a day.
    pub processing: u64,
    /// Rows that are due more than a year ahead.
    pub far_ahead: u64,
    /// The latest of those.
    pub latest: Option<DateTime<Utc>>,
    /// Queued rows whose `scheduledFor` is no Date. A run refuses them as invalid.
    pub undated: u64,
}

impl NeverDue {
    /// For people: each kind of such rows that there is.
    pub fn explained(&self, calendar: &Calendar) -> Vec<Explanation> {
        let mut told = Vec::new();
        if self.processing > 0 {
            let what =
                format!("scheduled rows of the queue that are processing for more than a day: {}", self.processing);
            told.push(Explanation::new(what, "no run takes them: set their status to queued, or to what they are"));
        }
        if self.far_ahead > 0 {
            let latest = self.latest.map(|latest| format!(", the last one on {}", calendar.today(latest)));
            let latest = latest.unwrap_or_default();
            let what = format!(
                "queued rows that are due more than a year ahead: {}{latest} (a Buddhist year?)",
                self.far_ahead
            );
            told.push(Explanation::new(what, "correct their scheduledFor"));
        }
        if self.undated > 0 {
            let what = format!("queued rows whose scheduledFor is no date: {}", self.undated);
            let next = "correct it: a run refuses them as invalid, and does not see lists of lists";
            told.push(Explanation::new(what, next));
        }
        told
    }
}

impl Store {
    /// How many rows are queued and due by a cut-off, or have no date and are refused with these. Once the batch of that
    /// cut-off is committed, these rows are late.
    pub async fn due_count(&self, cutoff: DateTime<Utc>) -> Result<u64> {
        let filter = doc! { "$or": [due_filter(cutoff), undated_filter()] };
        self.bounded(self.queue.count_documents(filter)).await
    }

    /// The late rows of a completed batch of this cut-off, and how many of them ask again for an entry that is in a file. While a batch is marking,
    /// its own rows would be among them.
    pub async fn late_rows(&self, cutoff: DateTime<Utc>) -> Result<(u64, u64)> {
        let due = self.due_count(cutoff).await?;
        let again = if due > 0 { self.queued_again(cutoff).await? } else { 0 };
        Ok((due, again))
    }

    async fn queued_again(&self, cutoff: DateTime<Utc>) -> Result<u64> {
        let recorded =
            doc! { "from": self.exported.name(), "localField": "entryId", "foreignField": "_id", "as": "in" };
        let count = [
            doc! { "$match": due_filter(cutoff) },
            doc! { "$project": { "entryId": 1 } },
            doc! { "$lookup": recorded },
            doc! { "$match": { "in.0": { "$exists": true } } },
            doc! { "$count": "rows" },
        ];
        let counted = self.all(self.queue.aggregate(count)).await?;
        Ok(counted.first().and_then(|counted| int(counted, "rows")).unwrap_or(0) as u64)
    }

    /// Counts the rows that will never become due; `now` by the database's clock.
    pub async fn never_due(&self, now: DateTime<Utc>) -> Result<NeverDue> {
        // Not `$lt`: a row without `updatedAt` counts as stuck too.
        let fresh = doc! { "$gte": bson_date(now - STUCK_AFTER) };
        let stuck = doc! { "exportPath": "scheduled", "status": "processing", "updatedAt": { "$not": fresh } };
        let processing = self.bounded(self.queue.count_documents(stuck)).await?;
        let far = doc! {
            "exportPath": "scheduled",
            "status": "queued",
            "scheduledFor": { "$gt": bson_date(now + FAR_AHEAD), "$not": { "$type": "array" } },
        };
        let group = doc! { "_id": null, "rows": { "$sum": 1 }, "latest": { "$max": "$scheduledFor" } };
        let found = self.all(self.queue.aggregate([doc! { "$match": far }, doc! { "$group": group }])).await?.pop();
        // A list matches by the types of its elements as well.
        let no_date = vec![
            doc! { "scheduledFor": { "$not": { "$type": "date" } } },
            doc! { "scheduledFor": { "$type": "array" } },
        ];
        let undated = doc! { "exportPath": "scheduled", "status": "queued", "$or": no_date };
        let undated = self.bounded(self.queue.count_documents(undated)).await?;
        let far_ahead = found.as_ref().and_then(|found| int(found, "rows")).unwrap_or(0) as u64;
        let latest = found.as_ref().and_then(|found| date(found, "latest"));
        Ok(NeverDue { processing, far_ahead, latest, undated })
    }
}
