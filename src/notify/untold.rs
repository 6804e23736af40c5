//! A notification that an earlier invocation could not deliver, made from the batch document.
//!
//! The document has less than the result of the pass: refused and held entries are only in the result and the log of
//! that pass. It has what people need: the event, the totals, the file, the reason, and the next step.

use super::message::Message;
use super::webhook;
use super::wire::Call;
use crate::batch::{Batch, Event, Untold};
use crate::config::Webhook;
use crate::exit::Exit;

use crate::outcome::{BatchResult, ErrorResult, Outcome};

/// The request that delivers the event.
pub(super) fn call(webhook: &Webhook, batch: &Batch, untold: &Untold) -> Call {
    webhook::call(webhook, &Message::about(untold.event, &result(batch, untold)))
}

/// The recorded part of the attempt's result.
fn result(batch: &Batch, untold: &Untold) -> BatchResult {
    let mut result = BatchResult::new("retry", batch.id.date());
    result.describe_batch(batch);
    (result.attempt, result.fence) = (untold.attempt, untold.fence);
    if untold.event == Event::Completed {
        result.succeed(Outcome::Completed);
        return result;
    }
    let ended = batch.history.iter().rev().find(|ended| ended.attempt == untold.attempt);
    let class = ended.and_then(|ended| ended.class.as_deref());
    let exit = Exit::ALL.into_iter().find(|exit| Some(exit.name()) == class).unwrap_or(Exit::Unexpected);
    result.exit_code = if untold.event == Event::Exhausted { Exit::Exhausted } else { exit };
    result.outcome = Outcome::Failed(result.exit_code);
    result.error = Some(ErrorResult {
        // A crash has no exit code of its own.
        class: if exit == Exit::Unexpected { result.exit_code.name() } else { exit.name() },
        stage: ended.and_then(|ended| ended.stage),
        message: ended.and_then(|ended| ended.message.clone()).unwrap_or_default(),
        next: result.exit_code.next_step().to_owned(),
    });
    result
}
