//! `batch-export run`: one pass over one business date.

use std::sync::Arc;

use chrono::NaiveDate;

use super::args::{OutputFormat, RunArgs};
use super::{could_not_begin_for, open_both, progress, render};
use crate::command::CommandName;
use crate::config::Config;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::notify::Listeners;
use crate::outcome::BatchResult;
use crate::pass::{Pass, Request};
use crate::progress::Progress;
use crate::stop::{Stop, decide};

/// Runs the pass and prints its result, also when the pass could not begin.
pub async fn execute(args: &RunArgs, config: &Config, stop: &Stop, output: OutputFormat) -> Exit {
    let date = args.date.unwrap_or_else(|| config.calendar.today(config.clock.now()));
    // A dry run notifies nobody.
    let listeners = (!args.dry_run).then(|| Listeners::begin(config, stop));
    let (destination, store) = match open_both(config, stop).await {
        Ok(opened) => opened,
        Err(failure) => {
            let failure = could_not_begin_for(config, failure);
            let result = could_not_begin(date, &failure);
            render::print(&result, output);
            tell(listeners, &result).await;
            return failure.exit;
        }
    };
    if let Some(listeners) = &listeners {
        listeners.note_in(&store);
    }
    let progress = Arc::new(Progress::default());
    let reporter = progress::report(&progress);
    let on_claim = || listeners.iter().for_each(Listeners::started);
    let pass =
        Pass { config, store: &store, destination: &destination, stop, progress: &progress, on_claim: &on_claim };
    let request = Request { command: CommandName::Run, date, early: args.early, ignore_back_off: args.now };
    let result = if args.dry_run { pass.dry_run(request).await } else { pass.run(request).await };
    drop(reporter);
    decide(result.exit_code);
    render::print(&result, output);
    if !args.dry_run {
        pass.clear_up_after(&result).await;
    }
    tell(listeners, &result).await;
    result.exit_code
}

/// The result of a pass that could not begin.
pub fn could_not_begin(date: NaiveDate, failure: &Failure) -> BatchResult {
    let mut result = BatchResult::new(CommandName::Run, date);
    result.fail(failure, None);
    result
}

async fn tell(listeners: Option<Listeners<'_>>, result: &BatchResult) {
    if let Some(listeners) = listeners {
        listeners.end(result.exit_code, std::slice::from_ref(result)).await;
    }
}
