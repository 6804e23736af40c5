//! A space of Google Chat. Its webhooks refuse a message with a key that they do not know.

use serde_json::{Value, json};

use super::{GOOGLE_CHAT, plain};
use crate::notify::message::Message;

pub(super) fn body(message: &Message<'_>) -> Value {
    json!({ "text": plain::text(message, GOOGLE_CHAT) })
}
