//! Plain JSON: what a program of one's own makes something of. The result as on stdout, its lists cut.

use serde_json::{Value, json};

use super::message::Message;

/// Entries of a list; all of them are in the result on stdout.
const LISTED: usize = 100;

pub(super) fn body(message: &Message<'_>) -> Value {
    let mut result = serde_json::to_value(message.result).unwrap_or_default();
    for list in ["invalid", "held"] {
        if let Some(list) = result.get_mut(list).and_then(Value::as_array_mut) {
            list.truncate(LISTED);
        }
    }
    json!({ "event": message.event.name(), "title": message.title, "next": message.next, "result": result })
}
