//! A bot of Telegram. The address names the bot, and each message names the chat. Without a parse mode no text becomes
//! markup.

use serde_json::{Value, json};

use super::{TELEGRAM, plain};
use crate::notify::message::Message;

pub(super) fn body(message: &Message<'_>, to: &str) -> Value {
    json!({
        "chat_id": to,
        "text": plain::text(message, TELEGRAM),
        "link_preview_options": { "is_disabled": true },
    })
}

/// Adds the method to the usual address, `https://api.telegram.org/bot<token>`.
pub(super) fn address(url: &str) -> String {
    let url = url.trim_end_matches('/');
    if url.ends_with("/sendMessage") { url.to_owned() } else { format!("{url}/sendMessage") }
}
