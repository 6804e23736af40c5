//! `batch-export retry`: finishes every batch that is due.
//!
//! One query finds the unfinished batches: failed ones whose back-off has passed, crashed ones whose lease has ended, those whose refused
//! entries may be corrected, and exhausted ones, which are only reported. The latest cut-off is due too when it has no batch, because the
//! database was down or the machine was off, or when it was recorded as empty and rows are due now. A batch that a live run holds is not due.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::NaiveDate;

use super::args::{OutputFormat, RetryArgs};
use super::render::{self, RetryResult};
use super::{could_not_begin_for, open_both, progress};
use crate::batch::{BatchId, State};
use crate::command::CommandName;
use crate::config::Config;
use crate::exit::Exit;
use crate::failure::Result;
use crate::notify::{Listeners, has_undelivered_event};
use crate::outcome::BatchResult;
use crate::pass::{Pass, Request, clear_up};
use crate::progress::Progress;
use crate::stop::{Stop, decide};
use crate::store::{Overview, Store};

/// Runs a pass for everything that is due, oldest first, and prints the results, also when none could begin.
pub async fn execute(args: &RetryArgs, config: &Config, stop: &Stop, output: OutputFormat) -> Exit {
    let mut listeners = None;
    let (result, exit) = match all_due(args, config, stop, &mut listeners).await {
        Ok(batches) => {
            // A layout that cannot be read is reported also while no batch needs it.
            let told = batches.iter().any(|batch| batch.exit_code == Exit::Configuration);
            let unknown = config.format().err().filter(|_| !told);
            if unknown.is_some() {
                listeners.get_or_insert_with(|| Listeners::begin(config, stop));
            }
            RetryResult::new(CommandName::Retry, batches, unknown.as_ref())
        }
        Err(failure) => {
            let failure = could_not_begin_for(config, failure);
            // No pass began; the health check hears that the job could not begin.
            listeners.get_or_insert_with(|| Listeners::begin(config, stop));
            (RetryResult::could_not_begin(CommandName::Retry, &failure), failure.exit)
        }
    };
    decide(exit);
    render::print(&result, output);
    if let Some(listeners) = listeners {
        listeners.end(exit, &result.batches).await;
    }
    exit
}

/// Makes the listeners only when something is due: a `retry` that finds nothing must not tell the health check
/// that exports work.
async fn all_due<'a>(
    args: &RetryArgs,
    config: &'a Config,
    stop: &Stop,
    listeners: &mut Option<Listeners<'a>>,
) -> Result<Vec<BatchResult>> {
    let (destination, store) = open_both(config, stop).await?;
    let latest = args.date.unwrap_or_else(|| config.calendar.latest_due(config.clock.now()));
    let found = stop.until_signal(store.unfinished(BatchId::new(latest))).await?;
    // The pass of such a day says what is wrong with its document.
    let damaged: Vec<NaiveDate> = found.iter().filter_map(|one| Some(one.as_ref().err()?.batch.date())).collect();
    let found: Vec<Overview> = found.into_iter().flatten().collect();
    let progress = Arc::new(Progress::default());
    let mut batches = Vec::new();
    let mut dates = due_dates(args, &found);
    dates.extend(stop.until_signal(latest_to_do(&store, &found, args, config)).await?);
    dates.extend(damaged.into_iter().filter(|date| args.date.is_none_or(|only| only == *date)));
    dates.sort_unstable();
    dates.dedup();
    if !dates.is_empty() {
        listeners.insert(Listeners::begin(config, stop)).note_in(&store);
    }
    let begun = listeners.as_ref();
    let on_claim = || begun.into_iter().for_each(Listeners::started);
    let pass =
        Pass { config, store: &store, destination: &destination, stop, progress: &progress, on_claim: &on_claim };
    let reporter = progress::report(&progress);
    for &date in &dates {
        if stop.requested().is_some() && !batches.is_empty() {
            break;
        }
        let request = Request { command: CommandName::Retry, date, early: false, ignore_back_off: false };
        let result = pass.run(request).await;
        pass.clear_up_after(&result).await;
        // Another machine may have taken the batch between the scan and the lock: then it is not due.
        if !matches!(result.exit_code, Exit::LockHeld | Exit::NotDue) {
            batches.push(result);
        }
    }
    drop(reporter);
    let untouched = found.iter().filter(|overview| !dates.contains(&overview.batch.id.date()));
    for overview in untouched {
        if stop.or_signal(clear_up(&store, &destination, &overview.batch)).await.is_err() {
            break;
        }
    }
    notify_undelivered(args, config, &store, stop, &found, &batches, listeners).await;
    Ok(batches)
}

/// Delivers notifications that earlier invocations could not deliver, except those that a newer result replaces.
async fn notify_undelivered<'a>(
    args: &RetryArgs,
    config: &'a Config,
    store: &Store,
    stop: &Stop,
    found: &[Overview],
    batches: &[BatchResult],
    listeners: &mut Option<Listeners<'a>>,
) {
    if config.webhook.is_none() {
        return;
    }
    let wanted = |id: &BatchId| args.date.is_none_or(|only| only == id.date());
    let undelivered = found.iter().filter(|overview| overview.batch.untold.is_some());
    let (fresh, stale): (Vec<&Overview>, Vec<&Overview>) =
        undelivered.partition(|overview| has_undelivered_event(overview));
    // The lock finds a last attempt that crashed, and nobody has been notified of it yet.
    let crashed = batches.iter().filter(|result| result.exit_code == Exit::Exhausted).map(|result| result.batch);
    let is_told = |id: &BatchId| batches.iter().any(|result| result.batch == *id && Listeners::is_news(result));
    let left: BTreeSet<BatchId> = fresh.iter().map(|overview| overview.batch.id).chain(crashed).collect();
    for id in left.into_iter().filter(|id| wanted(id) && !is_told(id)) {
        let listeners = listeners.get_or_insert_with(|| Listeners::prepare(config, stop));
        listeners.note_in(store);
        listeners.notify_undelivered(store, id).await;
    }
    for batch in stale.into_iter().map(|overview| &overview.batch) {
        let Some(untold) = batch.untold else { continue };
        tracing::warn!(
            "the notification that {} is {} could not be delivered within a day",
            batch.id,
            untold.event.name()
        );
        if let Err(error) = store.note_untold(batch.id, &untold, true).await {
            tracing::warn!("its removal could not be recorded: {error}");
        }
    }
}

/// The latest business date, when it has no batch, or was recorded as empty and rows are due for it now. A day before
/// the first batch was never missed; a person may ask for it.
async fn latest_to_do(
    store: &Store,
    found: &[Overview],
    args: &RetryArgs,
    config: &Config,
) -> Result<Option<NaiveDate>> {
    let now = config.clock.now();
    let date = args.date.unwrap_or_else(|| config.calendar.latest_due(now));
    let is_to_do = match found.iter().map(|overview| &overview.batch).find(|batch| batch.id == BatchId::new(date)) {
        Some(batch) => batch.state == State::Empty && store.due_count(batch.cutoff).await? > 0,
        None if args.date.is_some() => config.calendar.cutoff(date) <= now,
        None => store.earliest_batch().await?.is_none_or(|first| first.date() != config.calendar.today(now)),
    };
    Ok(is_to_do.then_some(date))
}

/// The business dates of unfinished batches that need a pass. An exhausted batch is among them: each `retry` reports it,
/// because it waits for a person.
fn due_dates(args: &RetryArgs, found: &[Overview]) -> Vec<NaiveDate> {
    let wanted = |date: &NaiveDate| args.date.is_none_or(|only| only == *date);
    found
        .iter()
        // With a day that has not come yet nothing can be done but to unlock it, and `status` says so.
        .filter(|overview| !overview.is_ahead())
        .filter(|overview| {
            overview.due || overview.batch.waits_for_entries() || overview.batch.state == State::Exhausted
        })
        .map(|overview| overview.batch.id.date())
        .filter(wanted)
        .collect()
}
