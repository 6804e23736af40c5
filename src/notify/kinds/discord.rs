//! Discord's embeds. Its limits (title 256, description 4096, value 1024, 6000 in all) are kept, because it refuses what is longer.

use serde_json::{Value, json};

use super::cut;
use crate::notify::message::Message;

pub(super) fn body(message: &Message<'_>) -> Value {
    let fields: Vec<Value> = message
        .known_facts()
        .map(|(name, value)| json!({ "name": name, "value": cut(value, 1024), "inline": value.len() <= 40 }))
        .collect();
    json!({
        // A description may contain @everyone, which must mention nobody.
        "allowed_mentions": { "parse": [] },
        "embeds": [{
            "title": cut(&message.title, 256),
            "description": cut(&message.next, 1024),
            "color": message.colour(),
            "fields": fields,
        }],
    })
}
