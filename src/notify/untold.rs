//! What an earlier invocation could not tell, told from what the batch document knows of it.
//!
//! The document knows less than the pass did: which entries were refused or held back is in the result and the log of that pass. What
//! people need is there: what happened, the totals, the file, the reason, and who acts next.

use super::message::Message;
use super::webhook;
use super::wire::Call;
use crate::batch::{Batch, Event, Untold};
use crate::config::Webhook;
use crate::exit::Exit;

use crate::outcome::{BatchResult, ErrorResult, Outcome};

/// The request that tells it.
pub(super) fn call(webhook: &Webhook, batch: &Batch, untold: &Untold) -> Call {
    webhook::call(webhook, &Message::about(untold.event, &result(batch, untold)))
}

/// The result of the attempt, as far as it is recorded.
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
