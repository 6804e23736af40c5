//! Exported entries that were changed since, told as a summary: the list itself is for `batch-export corrections`.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::message::{Message, Origin, Topic};
use super::sender::Sender;
use super::webhook;
use crate::batch::BatchId;
use crate::config::{Config, Webhook};
use crate::exit::Exit;
use crate::failure::Explanation;
use crate::reader::counted;
use crate::verify::ComparedBatch;

/// Batches that a message names; the others are counted.
const NAMED: usize = 10;

/// Why a batch cannot be compared, and what helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// The official file is not there, or is not the committed one.
    File,
    /// Some of its lines cannot be matched to entries.
    Lines,
    /// Anything else; its explanation has the next step.
    Other,
}

impl Obstacle {
    fn next(self, why: &Explanation) -> String {
        let step = match self {
            Obstacle::Lines => {
                return "Operator: compare the named lines by hand with the entries in the application; the file is in order, and the other lines were compared.".to_owned();
            }
            Obstacle::File => "put the official file back where it was stored",
            Obstacle::Other => why.next.as_deref().unwrap_or(Exit::CheckFailed.next_step()),
        };
        format!("Operator: {step}; until then nobody sees which of its entries were edited since.")
    }
}

#[derive(Clone, Debug)]
pub struct LookedAt<'a> {
    pub compared: &'a ComparedBatch,
    /// Why it cannot be compared.
    pub unchecked: Option<(Obstacle, Explanation)>,
}

impl LookedAt<'_> {
    /// Whether its list differs from the list that people were sent last.
    pub fn is_news(&self) -> bool {
        let known = self.compared.told.as_ref().and_then(|told| told.sha256.as_ref());
        self.compared.list_sha256.as_ref() != known
    }

    /// Exported entries that have to be corrected.
    fn entries(&self) -> u64 {
        self.compared.corrections.unwrap_or_default()
    }
}

/// Tells people what is new in these batches, in one message. Its title and its next step go by all of them: whoever reads that nothing has
/// to be corrected must not be wrong because of a batch that was told before.
///
/// # Errors
/// Why the receiver did not take it, for a person.
pub async fn tell_corrections(config: &Config, webhook: &Webhook, batches: &[LookedAt<'_>]) -> Result<(), Explanation> {
    let sender = Sender::new(config);
    sender.send(&webhook::call(webhook, &message(batches, Origin::of(config)))).await.map(drop)
}

fn message(batches: &[LookedAt<'_>], origin: Origin) -> Message<'static> {
    let (news, known): (Vec<&LookedAt<'_>>, Vec<&LookedAt<'_>>) = batches.iter().partition(|looked| looked.is_news());
    let entries: u64 = batches.iter().map(LookedAt::entries).sum();
    let obstacles = batches.iter().filter_map(|looked| looked.unchecked.as_ref());
    let not_checked = match obstacles.clone().count() as u64 {
        0 => None,
        files => Some(counted(files, "exported file", "exported files") + " cannot be checked for corrections"),
    };
    let title = match (entries, not_checked) {
        (0, None) => "No exported entry has to be corrected any more".to_owned(),
        (0, Some(not_checked)) => not_checked,
        (_, None) => to_correct(entries),
        (_, Some(not_checked)) => format!("{}; {not_checked}", to_correct(entries)),
    };
    let mut facts: Vec<_> = news.iter().take(NAMED).map(|looked| ("Batch", fact(looked))).collect();
    if news.len() > NAMED {
        facts.push(("And", counted((news.len() - NAMED) as u64, "more batch", "more batches")));
    }
    let standing: Vec<_> =
        known.into_iter().filter(|looked| looked.entries() > 0 || looked.unchecked.is_some()).collect();
    facts.extend(standing.iter().take(NAMED).map(|looked| ("Told before", fact(looked))));
    if standing.len() > NAMED {
        facts.push(("Told before", format!("and of {} more", standing.len() - NAMED)));
    }
    facts.push(("Looked at", counted(batches.len() as u64, "batch", "batches")));
    facts.extend(origin.facts());
    let listed = batches.iter().filter(|looked| looked.entries() > 0).map(|looked| looked.compared.batch);
    let listed: Vec<BatchId> = listed.collect();
    let list = match listed[..] {
        [first, .., last] => Some(list_of(&format!("--from {} --to {}", first.date(), last.date()))),
        [only] => Some(list_of(&format!("--date {}", only.date()))),
        [] => None,
    };
    let helps: BTreeSet<_> = obstacles.map(|(obstacle, why)| (*obstacle, obstacle.next(why))).collect();
    let steps: Vec<String> = list.into_iter().chain(helps.into_iter().map(|(_, helps)| helps)).collect();
    Message {
        topic: Topic::Corrections,
        id: format!("corrections/{}", digest(&news)),
        origin,
        title,
        facts,
        next: if steps.is_empty() { "Nothing to do.".to_owned() } else { steps.join(" ") },
        result: None,
    }
}

fn fact(looked: &LookedAt<'_>) -> String {
    let entries = match (&looked.unchecked, looked.entries()) {
        (Some((_, reason)), 0) => format!("cannot be checked: {reason}"),
        (Some((_, reason)), entries) => format!("{entries} to correct, and more cannot be checked: {reason}"),
        (None, 0) => "nothing to correct any more".to_owned(),
        (None, entries) => counted(entries, "entry", "entries"),
    };
    format!("{} (number {}): {entries}", looked.compared.batch, looked.compared.number.unwrap_or_default())
}

fn to_correct(entries: u64) -> String {
    counted(entries, "exported entry has", "exported entries have") + " to be corrected"
}

fn list_of(dates: &str) -> String {
    format!(
        "They were edited, cancelled or deleted after their export. Operator: `batch-export corrections {dates} --output csv` lists the \
         lines; decide with the accountant which side is right. A mistaken edit is put back in the application; any other is reversed and \
         booked anew there. The accountant reverses by hand only what the application cannot."
    )
}

/// The same whenever the same message is sent again; another one when a list comes back that was told before the last one.
fn digest(news: &[&LookedAt<'_>]) -> String {
    let mut digest = Sha256::new();
    for ComparedBatch { batch, list_sha256, told, .. } in news.iter().map(|looked| looked.compared) {
        let since = told.as_ref().and_then(|told| told.at).map_or(0, |at| at.timestamp_millis());
        let list = list_sha256.as_deref().unwrap_or_default();
        digest.update(format!("{batch} {list} {since}\n"));
    }
    hex::encode(digest.finalize())
}
