//! `batch-export init`: the collections and the indexes that are needed, and the entries of earlier batches.
//!
//! Risk: an exported entry that is nowhere on record can be exported again. So what could not be recorded is reported by batch, with the next
//! step. The settings of the destination are read only when entries are missing: an administrator of the database may have none.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::args::{InitArgs, OutputFormat};
use super::open_store;
use super::render::{self, Head, Render};
use crate::batch::BatchId;
use crate::command::CommandName;
use crate::config::Config;
use crate::destination::Destination;
use crate::exit::Exit;
use crate::failure::{Explanation, Failure, Result};
use crate::outcome::Done;
use crate::stop::Stop;
use crate::store::{Damaged, Filling, Lost, Short, Snapshot, Store, StoreError};
use crate::verify::{Verification, unread};

/// How often the entries of earlier batches are gathered at most.
const FILLINGS: usize = 3;

/// The result of `init`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct InitResult {
    #[serde(flatten)]
    head: Head,
    database: String,
    queue_index: String,
    queue_index_created: bool,
    batch_indexes: Vec<String>,
    entries_added: u64,
    /// Batches of which entries could not be recorded. An entry that is recorded nowhere gets into another file when the application
    /// queues it again.
    unfilled: Vec<Unfilled>,
    adopted: Vec<BatchId>,
    /// Whether the ledger was missing, and was rebuilt.
    ledger_rebuilt: bool,
    /// Whether the installation has a new name with it, because no official file could be read for its old name.
    #[serde(skip)]
    is_renamed: bool,
    /// Records of earlier batches that are gone still or cannot be read, and the ways out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Option<Vec<Explanation>>")]
    lost: Vec<Explanation>,
}

/// A batch of which entries are not on record.
#[derive(Debug, Serialize, JsonSchema)]
struct Unfilled {
    batch: BatchId,
    /// How many of its entries are not recorded under its number.
    missing: u64,
    /// Why they could not be recorded.
    reason: String,
    /// What to do.
    next: Option<String>,
}

impl Unfilled {
    fn of(short: &Short, why: Explanation) -> Unfilled {
        Unfilled { batch: short.batch.id, missing: short.missing, reason: why.message, next: why.next }
    }
}

impl Render for InitResult {
    fn text(&self) -> String {
        let mut text = format!("database {} is ready\n", self.database);
        let what = if self.queue_index_created { "created for" } else { "exists and serves" };
        let _ = writeln!(text, "  index {} {what} the query for due rows", self.queue_index);
        let _ = writeln!(text, "  indexes of the batches: {}", self.batch_indexes.join(", "));
        if self.entries_added > 0 {
            let _ = writeln!(text, "  {} entries of earlier batches were recorded", self.entries_added);
        }
        for Unfilled { batch, missing, reason, next } in &self.unfilled {
            let message =
                format!("  warning: {missing} entries of {batch} could not be recorded under its number: {reason}");
            text += &Explanation { message, next: next.clone() }.lines("    ");
        }
        if !self.unfilled.is_empty() {
            text.push_str(
                "  an entry that is recorded nowhere gets into another file when the application queues it again\n",
            );
        }
        for batch in &self.adopted {
            let _ = writeln!(text, "  {batch} was rebuilt from the export log");
        }
        if self.ledger_rebuilt && !self.is_renamed {
            text.push_str("  the ledger was rebuilt\n");
        }
        if self.is_renamed {
            text.push_str(
                "  the ledger was rebuilt, and this installation has a new name: if an unfinished batch is refused because of its own file \
                 (exit 31), that message has the way out\n",
            );
        }
        for lost in &self.lost {
            let _ = write!(text, "  warning: {}", lost.lines("    "));
        }
        text
    }
}

/// Creates what is missing. `whole` reads the settings of the destination too.
pub async fn execute(
    args: &InitArgs,
    config: &Config,
    whole: impl Fn() -> Result<Config>,
    stop: &Stop,
    output: OutputFormat,
) -> Result<Exit> {
    let store = open_store(config, stop).await?;
    let result = stop.until_signal(initialize(args, config, whole, &store)).await?;
    render::print(&result, output);
    Ok(Exit::Ok)
}

async fn initialize(
    args: &InitArgs,
    config: &Config,
    whole: impl Fn() -> Result<Config>,
    store: &Store,
) -> Result<InitResult> {
    store.check_abilities().await?;
    store.check_names(args.adopt).await?;
    // Its index makes the collection, and from then on a mistyped name looks like a day without entries.
    store.check_has_queue(0).await?;
    // Before the entries of earlier batches are recorded: rebuilt batches have entries too.
    let (adopted, ledger_rebuilt) = if args.adopt { rebuild(store, config).await? } else { (Vec::new(), false) };
    let is_renamed = ledger_rebuilt && !keep_name(store, &whole).await?;
    let (entries_added, unfilled) = record(store, &whole).await?;
    let made = store.initialize().await.map_err(StoreError::for_administrators)?;
    store.begin().await?;
    Ok(InitResult {
        head: Head::new(CommandName::Init, Done::Completed, Exit::Ok),
        database: store.database_name().to_owned(),
        queue_index: made.queue_index,
        queue_index_created: made.queue_index_created,
        batch_indexes: made.batch_indexes,
        entries_added,
        unfilled,
        adopted,
        ledger_rebuilt,
        is_renamed,
        lost: lost(args, store).await?,
    })
}

/// Gives a rebuilt ledger the name of the installation that the newest official file bears. `false` when no name can be read.
async fn keep_name(store: &Store, whole: impl Fn() -> Result<Config>) -> Result<bool> {
    let newest = Snapshot::open(store).await?.numbered_batches().await?.0.pop();
    let (Some(batch), Ok(config)) = (newest, whole()) else { return Ok(false) };
    let Ok(destination) = Destination::open(&config) else { return Ok(false) };
    match (Verification { config: &config, store, destination: &destination }).installation_of(&batch).await {
        Ok(Some(name)) => Ok(store.name_installation(&name).await?),
        Ok(None) => Ok(false),
        Err(failure) => {
            tracing::warn!("the official file of {} could not be read: {failure}", batch.id);
            Ok(false)
        }
    }
}

/// Records the entries of earlier batches. Returns how many it recorded, and what is missing still.
async fn record(store: &Store, whole: impl Fn() -> Result<Config>) -> Result<(u64, Vec<Unfilled>)> {
    // Where another `init` or a run has made the collection meanwhile, only what is missing there is added.
    for _ in 0..FILLINGS {
        if let Some(recorded) = record_once(store, &whole).await? {
            return Ok(recorded);
        }
    }
    let message =
        "the entries of earlier batches could not be recorded: others keep making and removing exportbatchentries";
    Err(Failure::new(Exit::DatabaseUnavailable, message).next("run `batch-export init` again, when no other one runs"))
}

/// From their rows, then from their files. `None` when the collection was made by somebody else meanwhile.
async fn record_once(store: &Store, whole: impl Fn() -> Result<Config>) -> Result<Option<(u64, Vec<Unfilled>)>> {
    let mut filling = store.begin_filling().await.map_err(StoreError::for_administrators)?;
    let Some(short) = store.still_short(&filling).await? else { return Ok(None) };
    let mut unfilled = Vec::new();
    if !short.is_empty() {
        match whole().and_then(|config| Ok((Destination::open(&config)?, config))) {
            Ok((destination, config)) => {
                let files = Verification { config: &config, store, destination: &destination };
                for short in short {
                    unfilled.extend(record_file(&files, &mut filling, short).await?);
                }
            }
            Err(failure) => {
                let why = unread(&failure).of("rows of them are gone, and");
                unfilled.extend(short.iter().map(|short| Unfilled::of(short, why.clone())));
            }
        }
    }
    let Some(added) = store.end_filling(filling).await.map_err(StoreError::for_administrators)? else {
        return Ok(None);
    };
    for Unfilled { batch, missing, reason, .. } in &unfilled {
        tracing::warn!(%batch, missing, "entries could not be recorded under its number: {reason}");
    }
    Ok(Some((added, unfilled)))
}

/// Records the entries that the official file of a batch names; or says what is missing still.
async fn record_file(files: &Verification<'_>, filling: &mut Filling, short: Short) -> Result<Option<Unfilled>> {
    let entries = match files.entries_of(&short.batch).await? {
        Ok(entries) => entries,
        Err(why) => return Ok(Some(Unfilled::of(&short, why))),
    };
    let number = short.batch.number.unwrap_or_default();
    let missing = files.store.fill_from_file(filling, number, &entries).await?;
    let next = format!("`batch-export verify --date {}` names them", short.batch.id.date());
    let why = Explanation::new("they are recorded under another number", next);
    let left = Unfilled::of(&Short { missing, ..short }, why);
    Ok((missing > 0).then_some(left))
}

/// The records of earlier batches that are gone still, or cannot be read.
///
/// # Errors
/// `configuration` when exported entries are not on record because the documents of their batches are lost or cannot be read; and with
/// `--adopt`, when nothing is left to rebuild the batches of marked rows from.
async fn lost(args: &InitArgs, store: &Store) -> Result<Vec<Explanation>> {
    let lost = store.lost().await?;
    let damaged: Vec<Explanation> = store.damaged_batches().await?.iter().map(Damaged::why).collect();
    let unrecorded = |what: &Explanation| {
        Failure::configuration(format!("exported entries are not on record, and could be exported again: {what}"))
    };
    match &lost {
        Lost { marked: Some(marked), .. } if args.adopt => {
            let message = format!("{}, so nothing is left to rebuild its batch from", marked.why);
            return Err(Failure::configuration(message).next(
                "restore exportbatches, exportbatchentries and the export log from a backup; if an earlier program marked these rows, run \
                 `batch-export init` without --adopt",
            ));
        }
        Lost { batches: Some(batches), entries: Some(_), .. } => {
            return Err(unrecorded(&batches.failure.why).next(batches.failure.next_step()));
        }
        _ => {}
    }
    if let (Some(_), Some(first)) = (&lost.entries, damaged.first()) {
        let next = first.next.as_deref().unwrap_or_default();
        return Err(unrecorded(first).next(format!("{next}; then run `batch-export init` again")));
    }
    Ok(lost.failures().map(Explanation::from).chain(damaged).collect())
}

async fn rebuild(store: &Store, config: &Config) -> Result<(Vec<BatchId>, bool), StoreError> {
    let calendar = &config.calendar;
    store.rebuild(calendar.zone.name(), &|date| calendar.cutoff(date)).await
}
