//! The due entries as `doctor` sees them: compared with the layout as a run would, and sorted into rows that it would export and others.

use std::io;

use chrono::{DateTime, Days, Utc};
use futures_util::TryStreamExt;

use super::generate::{Generation, WrittenFile, queued_twice, scan_due, span, within, write_failed};
use crate::batch::{BatchId, Span};
use crate::config::Config;
use crate::failure::{Explanation, Failure, Result};
use crate::progress::Progress;
use crate::spool::Digesting;
use crate::store::{RowKey, Store, in_chunks};
use crate::totals::ControlTotals;

/// Due entries that were compared with the layout.
pub struct DueCompared {
    /// The rows that a run would export, in order.
    pub rows: Vec<RowKey>,
    /// The rows whose entries are invalid, with the reason.
    pub bad: Vec<(RowKey, String)>,
    /// The cut-off by which they are due.
    pub cutoff: DateTime<Utc>,
    /// The earliest and the latest `scheduledFor` of the rows that a run would export.
    pub exported: Option<Span>,
    /// The control totals and the bytes of the file.
    pub file: (ControlTotals, u64),
    /// The failure of a run, when the entries are gone, or the layout asks all of them for something in vain.
    pub in_vain: Option<Failure>,
    /// For people, when none of them has the field of a column that has an `empty`.
    pub without_field: Option<Explanation>,
}

/// Compares the entries that are due by the next cut-off with the layout, and writes nothing.
pub async fn compare_due(config: &Config, store: &Store) -> Result<DueCompared> {
    let calendar = &config.calendar;
    let date = calendar.latest_due(config.clock.now()) + Days::new(1);
    let progress = Progress::default();
    let generation = Generation::new(config, BatchId::new(date), calendar.cutoff(date), &progress)?;
    let look = async {
        let (mut snapshot, _) = scan_due(store, store.ledger_now().await?, generation.cutoff).await?;
        let due = snapshot.due_rows(generation.cutoff).await?.rows;
        let twice = queued_twice(due.iter().map(|row| &row.key));
        let digesting = Digesting::new(io::sink());
        let written = generation.write(&snapshot, in_chunks(&due).map_err(Failure::from), &twice, digesting).await?;
        let without_entries = written.refuse_without_entries(store, true).await.err();
        let in_vain = without_entries.or_else(|| generation.asked_in_vain(&written));
        let without_field = generation.without_field(&written);
        let WrittenFile { sheet, mut rows, bad, exported, .. } = written;
        let mut left = bad.iter().map(|(key, _)| key).peekable();
        rows.retain(|key| left.next_if_eq(&key).is_none());
        let (file, tally) = sheet.finish().map_err(write_failed)?;
        let file = (tally.totals, file.finish().1.bytes);
        let exported = exported.and_then(|(first, last)| span(first, last));
        Ok(DueCompared { rows, bad, cutoff: generation.cutoff, exported, file, in_vain, without_field })
    };
    within(config.generate_timeout, look).await
}
