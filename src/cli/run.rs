//! `batch-export run`: one pass over one business date.

use chrono::NaiveDate;

use super::args::{OutputFormat, RunArgs};
use super::{open_destination, open_store, render};
use crate::config::Config;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::outcome::BatchResult;
use crate::pass::{Pass, Request};
use crate::progress::Progress;
use crate::stop::Stop;

/// Runs the pass and prints its result, also when a pass could not begin.
pub async fn execute(args: &RunArgs, config: &Config, stop: &Stop, output: OutputFormat) -> Exit {
    let date = args.date.unwrap_or_else(|| config.calendar.today(config.clock.now()));
    let opened = async { Ok((open_destination(config)?, open_store(config, stop).await?)) };
    let (destination, store) = match opened.await {
        Ok(opened) => opened,
        Err(failure) => return could_not_begin(date, &failure, output),
    };
    let progress = Progress::default();
    let pass = Pass { config, store: &store, destination: &destination, stop, progress: &progress };
    let request = Request { command: "run", date, early: args.early, ignore_back_off: args.now };
    let result = if args.dry_run { pass.dry_run(request).await } else { pass.run(request).await };
    render::print(&result, output);
    if !args.dry_run {
        pass.sweep_after(&result).await;
    }
    result.exit_code
}

fn could_not_begin(date: NaiveDate, failure: &Failure, output: OutputFormat) -> Exit {
    let mut result = BatchResult::new("run", date);
    result.fail(failure, None);
    render::print(&result, output);
    failure.exit
}
