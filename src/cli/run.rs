//! `batch-export run`: one pass over one business date.

use super::args::{OutputFormat, RunArgs};
use super::{open_destination, open_store, render};
use crate::config::Config;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::pass::{Pass, Request, sweep};
use crate::progress::Progress;
use crate::stop::Stop;

/// Runs the pass and prints its result.
///
/// # Errors
/// What keeps a pass from beginning: settings, an unreachable database.
pub async fn execute(args: &RunArgs, config: &Config, stop: &Stop, output: OutputFormat) -> Result<Exit, Failure> {
    let date = args.date.unwrap_or_else(|| config.calendar.today(config.clock.now()));
    let destination = open_destination(config)?;
    let store = open_store(config, stop).await?;
    let progress = Progress::default();
    let pass = Pass { config, store: &store, destination: &destination, stop, progress: &progress };
    let request = Request { command: "run", date, early: args.early, ignore_back_off: args.now };
    let result = if args.dry_run { pass.dry_run(request).await } else { pass.run(request).await };
    render::print(&result, output);
    if let (false, Ok(Some(batch))) = (args.dry_run, store.batch(&result.batch).await) {
        sweep(&store, &destination, &batch).await;
    }
    Ok(result.exit_code)
}
