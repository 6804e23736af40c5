//! Plain JSON, for a program of one's own: the result as on stdout, its lists cut.
//!
//! `id` names the event: a message that comes twice, because the answer to the first was lost, has the same one.

use serde_json::{Value, json};

use crate::notify::message::Message;
use crate::trace;

/// Entries of a list; all of them are in the result on stdout.
const LISTED: usize = 100;

pub(super) fn body(message: &Message<'_>) -> Value {
    let mut body = json!({
        "id": message.id,
        "event": message.name(),
        "title": message.title,
        "next": message.next,
    });
    if let Some(trace) = trace::current() {
        body["trace_id"] = json!(trace);
    }
    if let Some(result) = message.result {
        let mut result = serde_json::to_value(result).unwrap_or_default();
        for list in ["invalid", "held"] {
            if let Some(list) = result.get_mut(list).and_then(Value::as_array_mut) {
                list.truncate(LISTED);
            }
        }
        body["result"] = result;
    }
    body
}
