//! `batch-export backfill`: `run` for each business date of a range, in order.
//!
//! The order matters: rows that an earlier date leaves are carried over into the next one. So the first failure ends
//! the backfill, and later dates stay as they are.
//!
//! People are notified of each date as by `run`, beside the next pass; metrics follow each date. The health check
//! watches the schedule: it is pinged only for the latest due date, and only when that date was still open. Otherwise a
//! day of last week would count for tonight's run, or raise its alarm.

use std::slice;
use std::sync::Arc;

use super::args::{BackfillArgs, OutputFormat};
use super::render::{self, RetryResult};
use super::{could_not_begin_for, open_both, progress};
use crate::command::CommandName;
use crate::config::Config;
use crate::exit::Exit;
use crate::failure::Result;
use crate::notify::Listeners;
use crate::outcome::{BatchResult, Outcome};
use crate::pass::{Pass, Request};
use crate::progress::Progress;
use crate::stop::{Stop, decide};

/// Runs the passes and prints their results, also when no pass could begin.
pub async fn execute(args: &BackfillArgs, config: &Config, stop: &Stop, output: OutputFormat) -> Exit {
    // A dry run notifies nobody.
    let listeners = (!args.dry_run).then(|| Listeners::prepare(config, stop));
    let (result, exit) = match passes(args, config, stop, listeners.as_ref()).await {
        Ok(batches) => RetryResult::new(CommandName::Backfill, batches, None),
        Err(failure) => {
            let failure = could_not_begin_for(config, failure);
            (RetryResult::could_not_begin(CommandName::Backfill, &failure), failure.exit)
        }
    };
    decide(exit);
    render::print(&result, output);
    if let Some(listeners) = listeners {
        if result.batches.is_empty() {
            listeners.measure(exit, &[]);
        }
        let of_schedule = result.batches.iter().find(|result| is_of_schedule(result, config));
        listeners.finish(of_schedule.map(|result| (result.exit_code, slice::from_ref(result)))).await;
    }
    exit
}

/// Whether a pass completed, or failed at, the date that the schedule waits for.
fn is_of_schedule(result: &BatchResult, config: &Config) -> bool {
    result.date == config.calendar.latest_due(config.clock.now()) && result.outcome != Outcome::AlreadyCompleted
}

async fn passes(
    args: &BackfillArgs,
    config: &Config,
    stop: &Stop,
    listeners: Option<&Listeners<'_>>,
) -> Result<Vec<BatchResult>> {
    let (destination, store) = open_both(config, stop).await?;
    if let Some(listeners) = listeners {
        listeners.note_in(&store);
    }
    let progress = Arc::new(Progress::default());
    let _reporter = progress::report(&progress);
    let pass = Pass { config, store: &store, destination: &destination, stop, progress: &progress, on_claim: &|| {} };
    let mut batches = Vec::new();
    for date in args.from.iter_days().take_while(|date| *date <= args.to) {
        let request = Request { command: CommandName::Backfill, date, early: false, ignore_back_off: false };
        let result = if args.dry_run { pass.dry_run(request).await } else { pass.run(request).await };
        let exit = result.exit_code;
        if let Some(listeners) = listeners {
            listeners.tell(&result);
            listeners.measure(exit, slice::from_ref(&result));
        }
        if exit == Exit::Ok && !args.dry_run {
            pass.clear_up_after(&result).await;
        }
        batches.push(result);
        if exit != Exit::Ok {
            break;
        }
    }
    Ok(batches)
}
