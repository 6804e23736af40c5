//! Parts of update pipelines, which the server evaluates: constants, deadlines, the history, and the voided file of a
//! batch that is given up.

use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};

use crate::batch::{Class, Ending, State};
use crate::failure::{Failure, Stage};

/// Attempts that the history keeps.
const HISTORY_CAP: i32 = 50;
/// Bytes of a message in the history: some errors quote a whole command.
const MESSAGE_BYTES: usize = 2048;

/// A value as a constant inside an aggregation expression, where a `$` at its beginning would name a field.
pub(super) fn literal(value: impl Into<Bson>) -> Bson {
    Bson::Document(doc! { "$literal": value.into() })
}

/// Milliseconds for date arithmetic on the server.
pub(super) fn millis(duration: Duration) -> i64 {
    duration.as_millis().try_into().unwrap_or(i64::MAX)
}

/// Whether an instant has passed by the database's clock; a missing one has.
pub(super) fn passed(field: &str) -> Document {
    doc! { "$lte": [{ "$ifNull": [field, "$$NOW"] }, "$$NOW"] }
}

/// The history entry of the present holder's attempt, which ends now.
pub(super) fn attempt(ending: Ending, class: Option<Class>, stage: Option<Stage>, message: Option<&str>) -> Document {
    let message = message.map(cut);
    doc! {
        "attempt": "$attempt",
        "holder": "$holder",
        "startedAt": "$holder.since",
        "endedAt": "$$NOW",
        "outcome": ending.name(),
        "class": class.map(Class::name),
        "stage": stage.map(Stage::name),
        "message": literal(message),
    }
}

/// The history entry of an attempt that ends so because of a failure.
pub(super) fn failed_attempt(ending: Ending, stage: Stage, failure: &Failure) -> Document {
    let mut entry = attempt(ending, Some(Class::Exit(failure.exit)), Some(stage), Some(&failure.why.message));
    entry.insert("next", literal(cut(failure.next_step())));
    entry
}

/// Text for the history.
fn cut(text: &str) -> String {
    let end = (0..=text.len().min(MESSAGE_BYTES)).rev().find(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or(0)].to_owned()
}

/// The history with more attempts, an expression that gives an array; the newest are kept.
pub(super) fn history_with(attempts: impl Into<Bson>) -> Document {
    let history = doc! { "$concatArrays": [{ "$ifNull": ["$history", []] }, attempts.into()] };
    doc! { "$slice": [history, -HISTORY_CAP] }
}

/// A pipeline stage that voids the file of a batch that waits for a person or for its day: until then its entries may be
/// exported with another date, and must not be in two live files.
pub(super) fn void_when_given_up() -> Document {
    let given_up = [State::Exhausted.name(), State::Empty.name()];
    let gives_up = doc! { "$and": [
        { "$in": ["$state", &given_up[..]] },
        { "$eq": [{ "$type": "$file" }, "object"] },
        // A restored database adopted a file that was committed before.
        { "$ne": ["$file.sealed", true] },
    ]};
    let entry = doc! {
        "id": "$file.id",
        "destination": { "$ifNull": ["$file.destination", null] },
        "sha256": "$file.sha256",
        "reason": "it was given up before it was committed",
        "at": "$$NOW",
        "trashed": false,
    };
    let voided = doc! { "$ifNull": ["$voided", []] };
    let may_exist = doc! { "$and": [&gives_up, { "$ne": ["$file.unsent", true] }] };
    doc! { "$set": {
        "voided": { "$cond": [may_exist, { "$concatArrays": [&voided, [entry]] }, &voided] },
        "file": { "$cond": [&gives_up, null, "$file"] },
    }}
}
