//! `{"text": ...}`, which Mattermost, Rocket.Chat and most relays take.

use serde_json::{Value, json};

use super::{TEXT, plain};
use crate::notify::message::Message;

pub(super) fn body(message: &Message<'_>) -> Value {
    json!({ "text": plain::text(message, TEXT) })
}
