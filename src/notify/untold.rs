//! A notification that an earlier invocation could not deliver, made from the batch document.
//!
//! Risk: it says less than the notification of the pass would have said, and somebody does not correct what was held
//! back. So the document keeps, until it is delivered, what it has nowhere else ([`Details`](crate::batch::Details)).

use super::message::{LeftOut, Message, Origin};
use super::sender::Call;
use super::webhook;
use crate::batch::{Batch, Class, Event, Untold};
use crate::command::CommandName;
use crate::config::Webhook;
use crate::exit::Exit;
use crate::outcome::{BatchResult, ErrorResult, Outcome};
use crate::pass::way_on;
use crate::reader::Reader;

/// The request that delivers the event.
pub(super) fn call(webhook: &Webhook, batch: &Batch, untold: &Untold, origin: Origin, reader: Reader) -> Call {
    let details = &batch.untold_details;
    let origin = Origin { trace: details.trace.clone().or(origin.trace), ..origin };
    let left_out = LeftOut { held: details.held.count, refused: details.refused.count };
    let result = BatchResult { reader: Some(reader), ..result(batch, untold) };
    webhook::call(webhook, &Message::about(untold.event, &result, left_out, origin))
}

/// The result of the attempt, as far as it is recorded.
fn result(batch: &Batch, untold: &Untold) -> BatchResult {
    let details = &batch.untold_details;
    let mut result = BatchResult::new(CommandName::Retry, batch.id.date());
    result.describe_batch(batch);
    (result.attempt, result.fence) = (untold.attempt, untold.fence);
    result.carried_over = details.carried_over;
    result.held.clone_from(&details.held.first);
    result.invalid.clone_from(&details.refused.first);
    if untold.event == Event::Completed {
        result.succeed(Outcome::Completed);
        return result;
    }
    let ended = batch.history.iter().rev().find(|ended| ended.attempt == untold.attempt);
    let exit = match ended.and_then(|ended| ended.class) {
        Some(Class::Exit(exit)) => exit,
        Some(Class::Crashed) | None => Exit::Unexpected,
    };
    let is_last = untold.event == Event::Exhausted;
    result.exit_code = if is_last { Exit::Exhausted } else { exit };
    result.outcome = Outcome::Failed(result.exit_code);
    let next = details.next.clone().unwrap_or_else(|| exit.next_step().to_owned());
    result.error = Some(ErrorResult {
        // A crash has no exit code of its own.
        class: if exit == Exit::Unexpected { result.exit_code } else { exit },
        stage: ended.and_then(|ended| ended.stage),
        message: ended.and_then(|ended| ended.message.clone()).unwrap_or_default(),
        next: if is_last { format!("that was the last retry; {}", way_on(batch)) } else { next },
    });
    result
}
