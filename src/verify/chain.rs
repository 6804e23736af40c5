//! Checks the numbers and the chain of checksums of all batches, which show that a batch was removed or changed.

use std::collections::BTreeMap;

use super::{Findings, Problem, ProblemKind, Verification};
use crate::batch::BatchId;
use crate::failure::{Explanation, Result};
use crate::store::{Ledger, LogFacts, Snapshot};

impl Verification<'_> {
    pub(super) async fn check_chain(&self, findings: &mut Findings) -> Result<()> {
        let mut snapshot = Snapshot::open(self.store).await?;
        let ledger = snapshot.ledger().clone();
        let log = snapshot.log(None).await?;
        let mut holders: BTreeMap<i64, Vec<BatchId>> = BTreeMap::new();
        let (batches, damaged) = snapshot.numbered_batches().await?;
        for unread in &damaged {
            if let Some(number) = unread.number {
                holders.entry(number).or_default().push(unread.batch);
            }
            self.damaged(unread, findings);
        }
        for batch in batches {
            holders.entry(batch.number.unwrap_or(0)).or_default().push(batch.id);
        }
        for number in 1..=ledger.number {
            match holders.get(&number).map(Vec::as_slice) {
                Some([_]) => {}
                Some(several) => {
                    let batches: Vec<String> = several.iter().map(BatchId::to_string).collect();
                    let message = format!("number {number} is used by {}", batches.join(", "));
                    findings.add(several[0], ProblemKind::Number, message);
                }
                None => {
                    let batch = named(&log, number);
                    let is_unread = |one: &Problem| one.kind == ProblemKind::Document && one.batch == batch;
                    if findings.problems.iter().any(is_unread) {
                        continue;
                    }
                    let way_out = match batch {
                        None => "restore the batch documents and the export log from a backup",
                        Some(_) => {
                            "its document is lost: restore it from a backup, or rebuild it with `batch-export init --adopt`"
                        }
                    };
                    let what = format!("no batch has the number {number}");
                    findings.add(batch, ProblemKind::Number, Explanation::new(what, way_out));
                }
            }
        }
        let lost = self.store.lost().await?;
        // A ledger that is older than the batches is told once.
        let ahead = holders.range(ledger.number + 1..).filter(|_| lost.ledger.is_none());
        for (number, batches) in holders.range(..1).chain(ahead) {
            let message = format!("it has the number {number}; the last one given out is {}", ledger.number);
            findings.add(batches[0], ProblemKind::Number, message);
        }
        // Where there is none at all, mostly the collection is another one.
        let has_log = log.iter().any(|entry| entry.number.is_some());
        if has_log {
            check_links(&ledger, &log, findings);
        }
        // What the ledger knows is told above, number by number, and entries that are nowhere with their batches.
        let has = |kind| findings.problems.iter().any(|problem| problem.kind == kind);
        let batches = lost.batches.as_ref().filter(|batches| batches.told > ledger.number);
        let logs = lost.logs.as_ref().filter(|_| lost.ledger.is_some() || !has_log);
        let entries = lost.entries.as_ref().filter(|_| !has(ProblemKind::Unrecorded));
        let batches = batches.map(|batches| &batches.failure);
        for failure in [batches, lost.ledger.as_ref(), lost.queue.as_ref(), logs, entries, lost.marked.as_ref()]
            .into_iter()
            .flatten()
        {
            findings.add(None, ProblemKind::Lost, failure);
        }
        Ok(())
    }
}

fn named(log: &[LogFacts], number: i64) -> Option<BatchId> {
    log.iter().find(|entry| entry.number == Some(number))?.batch
}

/// Each log entry names the checksum of the file before it, and the ledger names the last one.
fn check_links(ledger: &Ledger, log: &[LogFacts], findings: &mut Findings) {
    let mut previous: Option<&LogFacts> = None;
    for number in 1..=ledger.number {
        let Some(entry) = log.iter().find(|entry| entry.number == Some(number)) else {
            let next = "see whether a run with another --log-collection wrote it elsewhere, and copy it back; else restore the export log \
                        from a backup: nothing else can rebuild it";
            let message = Explanation::new(format!("the ExportLog number {number} is missing"), next);
            findings.add(None, ProblemKind::Chain, message);
            previous = None;
            continue;
        };
        // After a gap there is nothing to compare with; the gap itself is reported.
        let expected = previous.map(|previous| previous.file.sha256.as_str());
        if (number == 1 || previous.is_some()) && entry.previous_sha256.as_deref() != expected {
            let message = format!("the ExportLog number {number} does not continue number {}", number - 1);
            findings.add(entry.batch, ProblemKind::Chain, message);
        }
        previous = Some(entry);
    }
    let last = previous.map(|last| last.file.sha256.as_str());
    if ledger.number > 0 && previous.is_some() && ledger.last_sha256.as_deref() != last {
        let message = format!("the ledger does not end with the file of number {}", ledger.number);
        findings.add(previous.and_then(|last| last.batch), ProblemKind::Chain, message);
    }
}
