//! Exported entries that were changed since, told as a summary: the list itself is for `batch-export corrections`.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::message::{Message, Origin, Topic};
use super::sender::Sender;
use super::webhook;
use crate::batch::BatchId;
use crate::config::{Config, Webhook};

/// Batches that a message names; the others are counted.
const NAMED: usize = 10;

/// The next step for a file that cannot be compared.
const REPAIR: &str = "Operator: put the official file back where it was stored, or correct what is named; until then nobody sees which \
                      of its entries were edited since.";

/// A batch whose list is another one than people were told last.
#[derive(Clone, Debug)]
pub struct ChangedBatch {
    /// The batch.
    pub batch: BatchId,
    /// Its number.
    pub number: i64,
    /// Exported entries that have to be corrected; 0 when none has to any more.
    pub entries: u64,
    /// Why it cannot be compared, for a person.
    pub unchecked: Option<String>,
    /// Checksum of its part of the list, or of the reason why there is none; `None` when the list is empty.
    pub list_sha256: Option<String>,
    /// When people were told of it before.
    pub told_at: Option<DateTime<Utc>>,
}

/// Tells people of these batches, in one message.
///
/// # Errors
/// Why the receiver did not take it, for a person.
pub async fn tell_corrections(config: &Config, webhook: &Webhook, changed: &[ChangedBatch]) -> Result<(), String> {
    let sender = Sender::new(&config.proxies)?;
    sender.send(&webhook::call(webhook, &message(changed, Origin::of(config)))).await.map(drop)
}

fn message(changed: &[ChangedBatch], origin: Origin) -> Message<'static> {
    let entries: u64 = changed.iter().map(|changed| changed.entries).sum();
    let unchecked = changed.iter().filter(|changed| changed.unchecked.is_some()).count();
    let not_checked = match unchecked {
        1 => "1 exported file cannot be checked for corrections".to_owned(),
        files => format!("{files} exported files cannot be checked for corrections"),
    };
    let title = match (entries, unchecked) {
        (0, 0) => "No exported entry has to be corrected any more".to_owned(),
        (0, _) => not_checked,
        (_, 0) => to_correct(entries),
        (_, _) => format!("{}; {not_checked}", to_correct(entries)),
    };
    let fact = |changed: &ChangedBatch| {
        let entries = match (&changed.unchecked, changed.entries) {
            (Some(reason), 0) => format!("cannot be checked: {reason}"),
            (Some(reason), entries) => format!("{entries} to correct, and more cannot be checked: {reason}"),
            (None, 0) => "nothing to correct any more".to_owned(),
            (None, 1) => "1 entry".to_owned(),
            (None, entries) => format!("{entries} entries"),
        };
        ("Batch", format!("{} (number {}): {entries}", changed.batch, changed.number))
    };
    let mut facts: Vec<_> = changed.iter().take(NAMED).map(fact).collect();
    if let Some(more) = changed.len().checked_sub(NAMED).filter(|more| *more > 0) {
        facts.push(("And", format!("{more} more batches")));
    }
    facts.extend(origin.facts());
    let dates = match changed {
        [first, .., last] => format!("--from {} --to {}", first.batch.date(), last.batch.date()),
        [only] => format!("--date {}", only.batch.date()),
        [] => String::new(),
    };
    let next = match (entries, unchecked) {
        (0, 0) => "Nothing to do.".to_owned(),
        (0, _) => REPAIR.to_owned(),
        (_, 0) => list_of(&dates),
        (_, _) => format!("{} {REPAIR}", list_of(&dates)),
    };
    Message {
        topic: Topic::Corrections,
        id: format!("corrections/{}", digest(changed)),
        origin,
        title,
        facts,
        next,
        result: None,
    }
}

fn to_correct(entries: u64) -> String {
    match entries {
        1 => "1 exported entry has to be corrected".to_owned(),
        entries => format!("{entries} exported entries have to be corrected"),
    }
}

fn list_of(dates: &str) -> String {
    format!(
        "They were edited, cancelled or deleted after their export. Operator: `batch-export corrections {dates} --output csv` lists the \
         lines; decide with the accountant which side is right. A mistaken edit is put back in the application; any other is reversed and \
         booked anew there. The accountant reverses by hand only what the application cannot."
    )
}

/// The same whenever the same message is sent again; another one when a list comes back that was told before the last one.
fn digest(changed: &[ChangedBatch]) -> String {
    let mut digest = Sha256::new();
    for changed in changed {
        let since = changed.told_at.map_or(0, |at| at.timestamp_millis());
        let list = changed.list_sha256.as_deref().unwrap_or_default();
        digest.update(format!("{} {list} {since}\n", changed.batch));
    }
    hex::encode(digest.finalize())
}
