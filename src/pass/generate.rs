//! The second stage: writes everything that is due at one snapshot into a spool file.
//!
//! Each due row is joined with its entry, which is exported, held back or refused. Entries are fetched while the search
//! for rows still goes on, which saves a third of the time of a large day.
//!
//! Risk: the file is half written when the search finds a row that belongs further up, or a second row for the same
//! entry. Then the file is discarded and generated again at the same snapshot, from all the rows.
//!
//! The stage has a time limit and can be dropped at any chunk; its spool file is then removed.

use std::io::{self, Write};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use futures_util::stream::Stream;

use super::lease::Lease;
use super::refused::{Needs, OTHERS_MAY_GO, invalid_entries, no_object_id, row_faults};
use super::{Pass, Report, asked};
use crate::batch::{Batch, BatchId, ExportSettings, Span};
use crate::config::{Config, Format, InvalidPolicy};
use crate::csv::{Sheet, SheetOptions, Tally};
use crate::entry::{EntryFields, FieldList};
use crate::exit::Exit;
use crate::failure::{Explanation, Failure, Invalid, Result, Stage};
use crate::id::{Id, content_hash};
use crate::money::Baht;
use crate::progress::Progress;
use crate::secret::cut;
use crate::spool::{self, Digesting, Spool, SpoolWriter};
use crate::store::{
    DueRow, DueRows, DueScan, EntryChunk, Fingerprint, Kind, Ledger, Records, RowKey, ScanError, Snapshot, Store,
    StoreError, in_chunks,
};
use crate::totals::ControlTotals;

/// Times that a new snapshot is taken because the server could not serve the old one.
const SNAPSHOT_TRIES: u32 = 6;
/// The wait before the second try; it grows before each further one.
const SNAPSHOT_PAUSE: Duration = Duration::from_millis(100);

/// The most rows that one commit holds back. More invalid rows point to a fault of the application, which a person
/// should see.
const HELD_MAX: usize = 10_000;

/// Invalid entries that are listed with everything that is wrong with them. A wrong encoding refuses every entry, each with kilobytes of
/// characters.
const REASONS_WHOLE: usize = 1_000;
/// Characters of the reason of each further one.
const REASON_MAX: usize = 200;

impl Pass<'_> {
    /// Writes everything that is due at a new snapshot into a spool file.
    pub(super) async fn generate(
        &self,
        lease: &Lease,
        batch: &Batch,
        records: Option<Records>,
        report: &mut Report,
    ) -> Result<Generated<Spool>> {
        let began = report.enter(Stage::Generate);
        report.result.forget_file();
        let ledger = self.free_ledger(lease, batch.cutoff, records).await?;
        report.result.installation.clone_from(&ledger.installation);
        let generation = Generation::new(self.config, batch.id, batch.cutoff, self.progress)?;
        let limit = self.config.generate_timeout;
        let _guard = self.guard(lease, Stage::Generate, limit, passed_limit(limit));
        let spool = || SpoolWriter::create(&self.config.spool_dir).map_err(|error| self.spool_failed(&error));
        let work = within(limit, generation.generate(self.store, ledger, spool));
        let generated = self.under(lease, work).await;
        report.leave(began);
        let generated = self.finish(generated?)?;
        report.describe(&generated);
        Ok(generated)
    }

    /// The settings that decide the bytes of the file, as they are stored with the batch.
    pub(super) fn export_settings(&self, batch: BatchId) -> Result<ExportSettings> {
        Ok(self.config.sheet_options(batch.date())?.to_settings(self.config.invalid.name()))
    }

    /// Generates within the limit of the settings and writes nothing, not even a spool file.
    pub(super) async fn generate_nowhere(
        &self,
        generation: &Generation<'_>,
        ledger: Ledger,
    ) -> Result<Generated<Digesting<io::Sink>>> {
        let limit = self.config.generate_timeout;
        within(limit, generation.generate(self.store, ledger, || Ok(Digesting::new(io::sink())))).await
    }

    /// With `--require-balanced`, refuses a file whose debits and credits differ.
    pub(super) fn check_balance(&self, totals: &ControlTotals) -> Result<()> {
        if !self.config.require_balanced || totals.difference() == 0 {
            return Ok(());
        }
        let message = format!(
            "the batch is not balanced: debits {} and credits {} differ by {}",
            Baht::new(totals.total_debit),
            Baht::new(totals.total_credit),
            Baht::new(totals.difference())
        );
        Err(Failure::new(Exit::InvalidEntries, message)
            .next("correct the entries, or queue those that are missing; `batch-export retry` takes the batch up once it is balanced"))
    }

    fn finish(&self, generated: Generated<SpoolWriter>) -> Result<Generated<Spool>> {
        self.check_balance(&generated.tally.totals)?;
        let Generated { file, ledger, rows, fingerprint, held, tally, carried_over, exported } = generated;
        let file = file.into_spool().map_err(|error| self.spool_failed(&error))?;
        Ok(Generated { file, ledger, rows, fingerprint, held, tally, carried_over, exported })
    }

    fn spool_failed(&self, error: &io::Error) -> Failure {
        spool::failed(&self.config.spool_dir, "the spool file", error)
    }
}

pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(passed_limit(limit)))
}

fn passed_limit(limit: Duration) -> Failure {
    let message = format!("generation passed its limit of {}", humantime::format_duration(limit));
    Failure::new(Exit::GenerateTimeout, message).next("raise --generate-timeout if this repeats")
}

/// A generated file, with the rows and totals that belong to it.
pub(super) struct Generated<F> {
    pub(super) file: F,
    /// The ledger at the snapshot.
    pub(super) ledger: Ledger,
    /// Every due row, in order.
    pub(super) rows: Vec<RowKey>,
    /// The fingerprint of the rows and their entries, which the commit compares.
    pub(super) fingerprint: Fingerprint,
    /// Rows that are held back, in order, with the reason.
    pub(super) held: Vec<(RowKey, String)>,
    /// Control totals of the file, and the counts of changed cells.
    pub(super) tally: Tally,
    /// Exported rows that were due by the previous day's cut-off.
    pub(super) carried_over: u64,
    /// The earliest and the latest `scheduledFor` of the exported rows.
    pub(super) exported: Option<Span>,
}

impl<F> Generated<F> {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows that are held back, as results list them.
    pub(super) fn held_for_people(&self) -> Vec<Invalid> {
        self.held.iter().map(|(key, reason)| key.invalid(reason.clone())).collect()
    }
}

pub(super) struct Generation<'a> {
    pub(super) cutoff: DateTime<Utc>,
    /// The previous day's cut-off: rows that were due by it are carried over.
    previous: DateTime<Utc>,
    format: &'a Format,
    options: SheetOptions,
    pub(super) policy: InvalidPolicy,
    /// Whether the log names the columns whose field no entry has.
    pub(super) warns: bool,
    progress: &'a Progress,
}

impl<'a> Generation<'a> {
    /// The generation of everything that is due by the cut-off.
    pub(super) fn new(
        config: &'a Config,
        batch: BatchId,
        cutoff: DateTime<Utc>,
        progress: &'a Progress,
    ) -> Result<Generation<'a>> {
        Ok(Generation {
            cutoff,
            previous: config.calendar.previous_cutoff(batch.date()),
            format: config.format()?,
            options: config.sheet_options(batch.date())?,
            policy: config.invalid,
            warns: true,
            progress,
        })
    }

    /// Generates from a new snapshot into the writer that `out` makes. The ledger must have been read before the snapshot.
    ///
    /// When the rows come out of order, the file is generated again at the same snapshot, from all the rows.
    pub(super) async fn generate<W: Write>(
        &self,
        store: &Store,
        ledger: Ledger,
        out: impl Fn() -> Result<W>,
    ) -> Result<Generated<W>> {
        self.progress.enter(Stage::Generate, 0);
        let (mut snapshot, scan) = scan_due(store, ledger, self.cutoff).await?;
        let as_found = scan.in_order(|rows| self.progress.expect(rows));
        match self.write(&snapshot, as_found, &[], out()?).await {
            Ok(written) if queued_twice(written.rows.iter()).is_empty() => {
                written.refuse_without_entries(store, self.policy == InvalidPolicy::Hold).await?;
                return self.judge(&snapshot, written, Vec::new());
            }
            Ok(_) | Err(ScanError::Irregular) => {}
            Err(ScanError::Failed(failure)) => return Err(failure),
        }
        let DueRows { rows, unaddressable } = snapshot.due_rows(self.cutoff).await?;
        let twice = queued_twice(rows.iter().map(|row| &row.key));
        self.progress.enter(Stage::Generate, rows.len() as u64);
        let written = self.write(&snapshot, in_chunks(&rows).map_err(Failure::from), &twice, out()?).await?;
        written.refuse_without_entries(store, self.policy == InvalidPolicy::Hold).await?;
        self.judge(&snapshot, written, unaddressable)
    }

    /// Writes the rows, in the given order.
    pub(super) async fn write<W: Write, E: From<StoreError> + From<Failure>>(
        &self,
        snapshot: &Snapshot,
        rows: impl Stream<Item = Result<Vec<DueRow>, E>>,
        twice: &[Id],
        out: W,
    ) -> Result<WrittenFile<W>, E> {
        let fields = FieldList::of(&self.options.layout);
        let options = SheetOptions { batch_number: snapshot.ledger().number + 1, ..self.options.clone() };
        let mut written = WrittenFile {
            sheet: Sheet::new(out, &options, &fields).map_err(write_failed)?,
            rows: Vec::new(),
            fingerprint: Fingerprint::default(),
            bad: Vec::new(),
            needs: Needs::default(),
            carried_over: 0,
            exported: None,
            read: 0,
        };
        let mut chunks = std::pin::pin!(snapshot.join(rows, &fields));
        while let Some((rows, chunk)) = chunks.try_next().await? {
            written.push_all(&rows, &chunk, &fields, twice, self.previous)?;
            self.progress.add(rows.len() as u64);
            written.rows.extend(rows.iter().map(|row| row.key));
        }
        Ok(written)
    }

    /// For people: the columns whose field no entry has.
    pub(super) fn without_field<W: Write>(&self, written: &WrittenFile<W>) -> Option<Explanation> {
        asked::without_field(self.format, &written.sheet.without_field(), written.read)
    }

    /// The failure of a layout that asks every entry for something in vain.
    pub(super) fn asked_in_vain<W: Write>(&self, written: &WrittenFile<W>) -> Option<Failure> {
        let unmet = written.sheet.unmet();
        let is_common = asked::are_all(&unmet, written.bad.iter().map(|(_, reason)| &**reason));
        let failure = asked::asked_in_vain(self.format, &unmet, written.read)?;
        Some(Failure { is_common, ..failure })
    }

    /// Decides whether the written file may be uploaded, or its invalid entries end the attempt.
    fn judge<W: Write>(
        &self,
        snapshot: &Snapshot,
        written: WrittenFile<W>,
        unaddressable: Vec<String>,
    ) -> Result<Generated<W>> {
        let (asked, without_field) = (self.asked_in_vain(&written), self.without_field(&written));
        let WrittenFile { sheet, rows, fingerprint, bad, needs, carried_over, exported, read } = written;
        let (file, tally) = sheet.finish().map_err(write_failed)?;
        let mut refused: Vec<Invalid> = unaddressable.into_iter().map(no_object_id).collect();
        match asked {
            Some(failure) if self.policy == InvalidPolicy::Fail && refused.is_empty() => {
                let invalid = bad.iter().map(|(key, reason)| key.invalid(reason.clone())).collect();
                return Err(Failure { invalid, ..failure });
            }
            Some(failure) => tracing::warn!(next = failure.next_step(), "{failure}"),
            None => {}
        }
        if let Some(why) = without_field.filter(|_| self.warns) {
            tracing::warn!(next = why.next, "{why}");
        }
        let next = match self.policy {
            _ if !refused.is_empty() => {
                "give each such row a new _id: until then nothing can be exported or held".to_owned()
            }
            InvalidPolicy::Fail if bad.len() == rows.len() => {
                let mistyped = if read == 0 { "; none of them was found: is --entries-collection right?" } else { "" };
                format!("{}; no other entry is due{mistyped}", needs.steps())
            }
            InvalidPolicy::Fail => format!("{}{OTHERS_MAY_GO}", needs.steps()),
            InvalidPolicy::Hold => {
                format!("{}, and look at the application that made them: so many are not held", needs.steps())
            }
        };
        if self.policy == InvalidPolicy::Fail || !refused.is_empty() || bad.len() > HELD_MAX {
            refused.extend(bad.iter().map(|(key, reason)| key.invalid(reason.clone())));
            if !refused.is_empty() {
                return Err(invalid_entries(refused, next));
            }
        }
        tally.totals.as_int64().map_err(|reason| Failure::new(Exit::InvalidEntries, reason))?;
        let ledger = snapshot.ledger().clone();
        let exported = exported.and_then(|(first, last)| span(first, last));
        Ok(Generated { file, ledger, rows, fingerprint, held: bad, tally, carried_over, exported })
    }
}

/// Takes a new snapshot and starts the search for due rows at it. For a moment after a collection or an index was
/// created, a server cannot serve a snapshot of it; so this is tried several times.
pub(super) async fn scan_due(store: &Store, ledger: Ledger, cutoff: DateTime<Utc>) -> Result<(Snapshot, DueScan)> {
    let mut tries = 0;
    loop {
        tries += 1;
        let start = async {
            let mut snapshot = Snapshot::of_new_file(store, ledger.clone());
            let scan = snapshot.scan_due(cutoff).await?;
            Ok((snapshot, scan))
        };
        match start.await {
            Err(StoreError { kind: Kind::Snapshot, .. }) if tries < SNAPSHOT_TRIES => {
                tokio::time::sleep(SNAPSHOT_PAUSE * tries).await;
            }
            result => {
                let (snapshot, scan) = result?;
                if !snapshot.has_queue() {
                    store.check_has_queue(ledger.number).await?;
                }
                return Ok((snapshot, scan));
            }
        }
    }
}

/// A written file, and the rows that it was made from.
pub(super) struct WrittenFile<W: Write> {
    pub(super) sheet: Sheet<W>,
    pub(super) rows: Vec<RowKey>,
    fingerprint: Fingerprint,
    pub(super) bad: Vec<(RowKey, String)>,
    /// What has to be done about those.
    needs: Needs,
    carried_over: u64,
    /// `scheduledFor` of the first and of the last row in it, milliseconds since 1970 UTC.
    pub(super) exported: Option<(i64, i64)>,
    /// Rows whose entry was there.
    read: usize,
}

pub(super) fn span(first_ms: i64, last_ms: i64) -> Option<Span> {
    Some(Span { first: DateTime::from_timestamp_millis(first_ms)?, last: DateTime::from_timestamp_millis(last_ms)? })
}

impl<W: Write> WrittenFile<W> {
    /// Refuses a collection without the entries, before each row is refused or held because its entry is missing.
    pub(super) async fn refuse_without_entries(&self, store: &Store, are_held: bool) -> Result<()> {
        let asked = self.rows.iter().filter(|key| key.entry != Id::ABSENT).count();
        match self.read > 0 || asked == 0 {
            true => Ok(()),
            false => store.check_has_entries(asked, are_held).await,
        }
    }

    fn push_all(
        &mut self,
        rows: &[DueRow],
        chunk: &EntryChunk,
        list: &FieldList,
        twice: &[Id],
        previous: DateTime<Utc>,
    ) -> Result<()> {
        self.fingerprint += chunk.fingerprint;
        let mut fields = EntryFields::default();
        for row in rows {
            let DueRow { scheduled_ms, key, .. } = row;
            let found = chunk.read(key.entry, list, &mut fields)?;
            self.read += usize::from(found);
            let exported = chunk.exported(&key.entry);
            let twice = twice.binary_search(&key.entry).is_ok();
            let mut faults = row_faults(row, found, twice, exported);
            let pushed = if found && faults.is_empty() {
                self.sheet.push(&fields).map_err(write_failed)?.inspect_err(|_| self.needs.corrections = true)
            } else {
                self.needs.add(found && twice, exported.is_some(), faults.len());
                if found && let Err(of_entry) = self.sheet.check(&fields) {
                    self.needs.corrections = true;
                    faults.push(of_entry);
                }
                Err(faults.join("; "))
            };
            match pushed {
                Ok(()) => {
                    self.carried_over += u64::from(*scheduled_ms <= previous.timestamp_millis());
                    let first = self.exported.map_or(*scheduled_ms, |(first, _)| first);
                    self.exported = Some((first, *scheduled_ms));
                }
                Err(reason) if self.bad.len() >= REASONS_WHOLE => self.bad.push((*key, cut(&reason, REASON_MAX))),
                Err(reason) => self.bad.push((*key, reason)),
            }
            self.sheet.forget_large();
        }
        Ok(())
    }
}

/// Entries that several due rows ask for, sorted: exporting them would put them into the file twice.
pub(super) fn queued_twice<'a>(rows: impl Iterator<Item = &'a RowKey> + Clone) -> Vec<Id> {
    // Four bytes of hash per row find the few candidates; the ids of all rows would need three times the memory.
    let hash = |entry: &Id| content_hash(entry) as u32;
    let candidates = repeated(rows.clone().map(|key| hash(&key.entry)).collect());
    let candidate = |entry: &Id| candidates.binary_search(&hash(entry)).is_ok();
    repeated(rows.map(|key| key.entry).filter(candidate).collect())
}

/// The values that occur more than once, sorted.
fn repeated<T: Ord + Copy>(mut values: Vec<T>) -> Vec<T> {
    values.sort_unstable();
    let pairs = values.windows(2).filter(|pair| pair[0] == pair[1]);
    let mut repeated: Vec<T> = pairs.map(|pair| pair[0]).collect();
    repeated.dedup();
    repeated
}

pub(super) fn write_failed(error: io::Error) -> Failure {
    Failure::configuration(format!("the spool file cannot be written: {error}"))
        .next("free space in the spool folder, or set --spool-dir to another one")
}
