//! A bot of Telegram: the bot is in the address, the chat in each message. Without a parse mode no text becomes markup.

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

/// `https://api.telegram.org/bot<token>` is what people have; the method is added.
pub(super) fn address(url: &str) -> String {
    let url = url.trim_end_matches('/');
    if url.ends_with("/sendMessage") { url.to_owned() } else { format!("{url}/sendMessage") }
}
