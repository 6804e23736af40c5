//! `batch-export backfill`: `run` for each business date of a range, in order.
//!
//! The order matters: what an earlier date leaves behind is carried over into the next one. So the first failure ends it, and the dates
//! after that are not touched.

use std::sync::Arc;

use super::args::{BackfillArgs, OutputFormat};
use super::render::{self, RetryResult};
use super::{open_destination, open_store, progress};
use crate::config::Config;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::outcome::BatchResult;
use crate::pass::{Pass, Request};
use crate::progress::Progress;
use crate::stop::Stop;

/// Runs the passes and prints their results, also when none could begin.
pub async fn execute(args: &BackfillArgs, config: &Config, stop: &Stop, output: OutputFormat) -> Exit {
    let (result, exit) = match passes(args, config, stop).await {
        Ok(batches) => RetryResult::new("backfill", batches),
        Err(failure) => (RetryResult::could_not_begin("backfill", &failure), failure.exit),
    };
    render::print(&result, output);
    exit
}

async fn passes(args: &BackfillArgs, config: &Config, stop: &Stop) -> Result<Vec<BatchResult>, Failure> {
    if args.from > args.to {
        let message = format!("--from {} is after --to {}", args.from, args.to);
        return Err(Failure::new(Exit::Usage, message).next("give the earlier date to --from"));
    }
    let destination = open_destination(config)?;
    let store = open_store(config, stop).await?;
    let progress = Arc::new(Progress::default());
    let _reporter = progress::report(&progress);
    let pass = Pass { config, store: &store, destination: &destination, stop, progress: &progress };
    let mut batches = Vec::new();
    for date in args.from.iter_days().take_while(|date| *date <= args.to) {
        let request = Request { command: "backfill", date, early: false, ignore_back_off: false };
        let result = if args.dry_run { pass.dry_run(request).await } else { pass.run(request).await };
        let exit = result.exit_code;
        if exit == Exit::Ok && !args.dry_run {
            pass.sweep_after(&result).await;
        }
        batches.push(result);
        if exit != Exit::Ok {
            break;
        }
    }
    Ok(batches)
}
