//! The second stage: everything that is due, at one instant of the database, as a spool file.
//!
//! The stage has a limit and can be dropped at any chunk; then the spool file goes with it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;

use super::lease::Lease;
use super::{Course, Pass};
use crate::batch::{Batch, date_of};
use crate::config::{Config, InvalidPolicy};
use crate::csv::{Format, Sheet, SheetOptions};
use crate::entry::{NO_SUCH_ENTRY, validate};
use crate::exit::Exit;
use crate::failure::{Failure, Invalid, Stage};
use crate::money::Baht;
use crate::progress::Progress;
use crate::spool::{Spool, SpoolWriter, hex};
use crate::store::{DueRows, EntryChunk, Kind, Ledger, RowKey, Snapshot, Store, StoreError};
use crate::totals::ControlTotals;

/// Times that a new snapshot is taken because the server could not serve the old one.
const SNAPSHOT_TRIES: u32 = 6;
/// Before the second of them; longer before each further one.
const SNAPSHOT_PAUSE: Duration = Duration::from_millis(100);

/// Rows that one commit can hold back. More of them are no exceptions but a fault of the application, which a person should see.
const HELD_MAX: usize = 10_000;

/// A generated file and what it stands for.
pub(super) struct Generated<F> {
    /// The file.
    pub(super) file: F,
    /// The ledger at the snapshot.
    pub(super) ledger: Ledger,
    /// Every due row, in order.
    pub(super) rows: Vec<RowKey>,
    /// What the entries of each chunk of rows looked like.
    pub(super) fingerprints: Vec<u64>,
    /// Rows that are held back, in order, with the reason.
    pub(super) held: Vec<(RowKey, String)>,
    /// Control totals of the file.
    pub(super) totals: ControlTotals,
    /// Text cells that got a leading `'`.
    pub(super) guarded_cells: u64,
    /// Exported rows that were due by the previous day's cut-off.
    pub(super) carried_over: u64,
}

impl<F> Generated<F> {
    /// Whether nothing was due.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows that are held back, as results list them.
    pub(super) fn held_for_people(&self) -> Vec<Invalid> {
        self.held.iter().map(|(key, reason)| invalid(key, reason.clone())).collect()
    }
}

/// What to generate.
pub(super) struct Window {
    pub(super) cutoff: DateTime<Utc>,
    /// The previous day's cut-off: what was due by it is carried over.
    pub(super) previous: DateTime<Utc>,
}

impl Pass<'_> {
    pub(super) async fn generate(
        &self,
        lease: &Lease,
        batch: &Batch,
        course: &mut Course,
    ) -> Result<Generated<Spool>, Failure> {
        let began = course.enter(Stage::Generate);
        self.wait_for_marking(lease, &batch.id).await?;
        let options = sheet_options(self.config, course.result.date);
        let date = date_of(&batch.id).unwrap_or(course.result.date);
        let window = Window { cutoff: batch.cutoff, previous: self.config.calendar.previous_cutoff(date) };
        let limit = self.config.generate_timeout;
        let work = async {
            let spool = SpoolWriter::create(&self.config.spool_dir).map_err(|error| self.spool_trouble(&error))?;
            let generate = async {
                let (snapshot, due) = read_due(self.store, window.cutoff, true).await?;
                generate(snapshot, due, &window, options, self.config.invalid, spool, self.progress).await
            };
            match tokio::time::timeout(limit, generate).await {
                Ok(generated) => generated,
                Err(_) => Err(passed_limit(limit)),
            }
        };
        let generated = self.under(lease, work).await;
        course.leave(began);
        let generated = self.finish(generated?)?;
        course.describe(&generated);
        Ok(generated)
    }

    fn finish(&self, generated: Generated<SpoolWriter>) -> Result<Generated<Spool>, Failure> {
        if self.config.require_balanced && generated.totals.difference() != 0 {
            let totals = &generated.totals;
            let message = format!(
                "the batch is not balanced: debits {} and credits {} differ by {}",
                Baht::new(totals.total_debit),
                Baht::new(totals.total_credit),
                Baht::new(totals.difference())
            );
            return Err(Failure::new(Exit::InvalidEntries, message).next("correct the entries; `retry` goes on"));
        }
        let Generated { file, ledger, rows, fingerprints, held, totals, guarded_cells, carried_over } = generated;
        let file = file.into_spool().map_err(|error| self.spool_trouble(&error))?;
        Ok(Generated { file, ledger, rows, fingerprints, held, totals, guarded_cells, carried_over })
    }

    fn spool_trouble(&self, error: &io::Error) -> Failure {
        spool_trouble(self.config, error)
    }
}

fn spool_trouble(config: &Config, error: &io::Error) -> Failure {
    Failure::configuration(format!("the spool file in {} cannot be written: {error}", config.spool_dir.display()))
        .next("free space there, or set BATCH_EXPORT_SPOOL_DIR to a private folder with room for the file")
}

/// What decides the bytes of the file.
pub(super) fn sheet_options(config: &Config, business_date: chrono::NaiveDate) -> SheetOptions {
    SheetOptions {
        format: config.format,
        encoding: config.encoding,
        zone: config.calendar.zone,
        business_date,
        contra_account: config.contra_account.clone(),
    }
}

/// Whether the format reads `metadata`.
pub(super) fn reads_metadata(format: Format) -> bool {
    match format {
        Format::Journal => false,
        Format::Express => true,
    }
}

pub(super) fn passed_limit(limit: Duration) -> Failure {
    let message = format!("generation passed its limit of {}", humantime::format_duration(limit));
    Failure::new(Exit::GenerateTimeout, message).next("raise --generate-timeout if this repeats")
}

/// The due rows at a new snapshot; `create`: make the ledger if there is none. A server that has just made a collection or an index cannot
/// serve a snapshot of it for a moment.
pub(super) async fn read_due(
    store: &Store,
    cutoff: DateTime<Utc>,
    create: bool,
) -> Result<(Snapshot, DueRows), StoreError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let read = async {
            let mut snapshot = Snapshot::open(store, create).await?;
            let due = snapshot.due_rows(cutoff).await?;
            Ok((snapshot, due))
        };
        match read.await {
            Err(StoreError { kind: Kind::Snapshot, .. }) if tries < SNAPSHOT_TRIES => {
                tokio::time::sleep(SNAPSHOT_PAUSE * tries).await;
            }
            result => return result,
        }
    }
}

/// Generates into `out` from the rows of a snapshot.
pub(super) async fn generate<W: Write>(
    snapshot: Snapshot,
    due: DueRows,
    window: &Window,
    options: SheetOptions,
    policy: InvalidPolicy,
    out: W,
    progress: &Progress,
) -> Result<Generated<W>, Failure> {
    progress.enter(Stage::Generate, due.rows.len() as u64);
    let mut refused: Vec<Invalid> = due.unaddressable.into_iter().map(unaddressable).collect();
    let twice = queued_twice(&due.rows);
    let with_metadata = reads_metadata(options.format);
    let mut writing = Writing { sheet: Sheet::new(out, options).map_err(write_trouble)?, bad: Vec::new() };
    let mut fingerprints = Vec::new();
    {
        let mut chunks = std::pin::pin!(snapshot.chunks(&due.rows, with_metadata));
        while let Some((rows, chunk)) = chunks.try_next().await? {
            fingerprints.push(chunk.fingerprint);
            writing.push_all(rows, &chunk, &twice)?;
            progress.add(rows.len() as u64);
        }
    }
    let (out, tally) = writing.sheet.finish().map_err(write_trouble)?;
    let bad = writing.bad;
    if policy == InvalidPolicy::Fail || !refused.is_empty() || bad.len() > HELD_MAX {
        refused.extend(bad.iter().map(|(key, reason)| invalid(key, reason.clone())));
        if !refused.is_empty() {
            return Err(invalid_entries(refused));
        }
    }
    tally.totals.as_int64().map_err(|reason| Failure::new(Exit::InvalidEntries, reason))?;
    let before = |key: &&RowKey| key.scheduled_ms <= window.previous.timestamp_millis();
    let carried = due.rows.iter().take_while(before).count();
    let held_before = bad.iter().filter(|(key, _)| before(&key)).count();
    let ledger = snapshot.ledger().clone();
    Ok(Generated {
        file: out,
        ledger,
        rows: due.rows,
        fingerprints,
        held: bad,
        totals: tally.totals,
        guarded_cells: tally.guarded_cells,
        carried_over: (carried - held_before) as u64,
    })
}

struct Writing<W: Write> {
    sheet: Sheet<W>,
    bad: Vec<(RowKey, String)>,
}

impl<W: Write> Writing<W> {
    fn push_all(&mut self, rows: &[RowKey], chunk: &EntryChunk, twice: &[[u8; 12]]) -> Result<(), Failure> {
        for key in rows {
            let pushed = match chunk.entry(&key.entry)? {
                None => Err(NO_SUCH_ENTRY.to_owned()),
                Some(_) if twice.binary_search(&key.entry).is_ok() => {
                    Err("the entry is queued more than once for this file".to_owned())
                }
                Some(fields) => match validate(&fields) {
                    Ok(valid) => self.sheet.push(&valid).map_err(write_trouble)?,
                    Err(reason) => Err(reason),
                },
            };
            if let Err(reason) = pushed {
                self.bad.push((*key, reason));
            }
        }
        Ok(())
    }
}

/// Entries that several due rows ask for, sorted: exporting them would put them into the file twice.
fn queued_twice(rows: &[RowKey]) -> Vec<[u8; 12]> {
    // Four bytes of hash a row find the few candidates; the ids of all rows would be three times the memory.
    let hash = |entry: &[u8; 12]| {
        let mut hasher = DefaultHasher::new();
        entry.hash(&mut hasher);
        hasher.finish() as u32
    };
    let candidates = repeated(rows.iter().map(|key| hash(&key.entry)).collect());
    let candidate = |entry: &[u8; 12]| candidates.binary_search(&hash(entry)).is_ok();
    repeated(rows.iter().map(|key| key.entry).filter(candidate).collect())
}

/// The values that occur more than once, sorted.
fn repeated<T: Ord + Copy>(mut values: Vec<T>) -> Vec<T> {
    values.sort_unstable();
    let pairs = values.windows(2).filter(|pair| pair[0] == pair[1]);
    let mut repeated: Vec<T> = pairs.map(|pair| pair[0]).collect();
    repeated.dedup();
    repeated
}

fn invalid(key: &RowKey, reason: String) -> Invalid {
    Invalid { entry_id: hex(&key.entry), row_id: hex(&key.row), reason }
}

fn unaddressable(row_id: String) -> Invalid {
    Invalid { entry_id: String::new(), row_id, reason: "the queue row's _id is not an ObjectId".to_owned() }
}

fn invalid_entries(refused: Vec<Invalid>) -> Failure {
    let message = match &refused[..] {
        [only] => format!("entry {} must not be exported: {}", only.entry_id, only.reason),
        all => {
            format!("{} entries must not be exported, the first one {}: {}", all.len(), all[0].entry_id, all[0].reason)
        }
    };
    let mut failure = Failure::new(Exit::InvalidEntries, message)
        .next("correct them, or export the others with --invalid hold; `retry` goes on meanwhile");
    failure.invalid = refused;
    failure
}

fn write_trouble(error: io::Error) -> Failure {
    Failure::configuration(format!("the spool file cannot be written: {error}"))
        .next("free space in the spool folder, or set BATCH_EXPORT_SPOOL_DIR")
}
