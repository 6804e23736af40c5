//! A push message of LINE's Messaging API: a bearer token in the header, the user, group or room in each message.

use serde_json::{Value, json};

use super::{LINE, plain};
use crate::notify::message::Message;

pub(super) fn body(message: &Message<'_>, to: &str) -> Value {
    json!({ "to": to, "messages": [{ "type": "text", "text": plain::text(message, LINE) }] })
}
