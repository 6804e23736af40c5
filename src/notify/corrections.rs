//! Exported entries that were changed since, told as a summary: the list itself is for `batch-export corrections`.

use sha2::{Digest, Sha256};

use super::message::{Message, Topic};
use super::webhook;
use super::wire::{Wire, conceal_parts};
use crate::batch::BatchId;
use crate::config::{Config, Webhook};

/// Batches that a message names; the others are counted.
const NAMED: usize = 10;

/// A batch whose list is another one than people were told last.
#[derive(Clone, Debug)]
pub struct ChangedBatch {
    /// The batch.
    pub batch: BatchId,
    /// Its number.
    pub number: i64,
    /// Exported entries that have to be corrected; 0 when none has to any more.
    pub entries: u64,
    /// Checksum of its part of the list; `None` when that is empty.
    pub list_sha256: Option<String>,
}

/// Tells people of these batches, in one message.
///
/// # Errors
/// Why the receiver did not take it, for a person.
pub async fn tell_corrections(config: &Config, webhook: &Webhook, changed: &[ChangedBatch]) -> Result<(), String> {
    let wire = Wire::new(&config.proxies)?;
    conceal_parts(webhook.url.expose());
    wire.send(&webhook::call(webhook, &message(changed))).await.map(drop)
}

fn message(changed: &[ChangedBatch]) -> Message<'static> {
    let entries: u64 = changed.iter().map(|changed| changed.entries).sum();
    let title = match entries {
        0 => "No exported entry has to be corrected any more".to_owned(),
        1 => "1 exported entry has to be corrected".to_owned(),
        entries => format!("{entries} exported entries have to be corrected"),
    };
    let fact = |changed: &ChangedBatch| {
        let entries = match changed.entries {
            0 => "nothing to correct any more".to_owned(),
            1 => "1 entry".to_owned(),
            entries => format!("{entries} entries"),
        };
        ("Batch", format!("{} (number {}): {entries}", changed.batch, changed.number))
    };
    let mut facts: Vec<_> = changed.iter().take(NAMED).map(fact).collect();
    if let Some(more) = changed.len().checked_sub(NAMED).filter(|more| *more > 0) {
        facts.push(("And", format!("{more} more batches")));
    }
    let next = match (entries, changed) {
        (0, _) => "Nothing to do.".to_owned(),
        (_, [first, .., last]) => list_of(&format!("--from {} --to {}", first.batch.date(), last.batch.date())),
        (_, [only]) => list_of(&format!("--date {}", only.batch.date())),
        (_, []) => String::new(),
    };
    Message {
        topic: Topic::Corrections,
        id: format!("corrections/{}", digest(changed)),
        title,
        facts,
        next,
        result: None,
    }
}

fn list_of(dates: &str) -> String {
    format!(
        "They were edited, cancelled or deleted after their export. Operator: `batch-export corrections {dates} --output csv` lists the \
         lines. Accountant: the lines that were imported no longer stand; reverse them, and book what is right."
    )
}

/// The same whenever the same lists are told.
fn digest(changed: &[ChangedBatch]) -> String {
    let mut digest = Sha256::new();
    for changed in changed {
        digest.update(format!("{} {}\n", changed.batch, changed.list_sha256.as_deref().unwrap_or_default()));
    }
    hex::encode(digest.finalize())
}
