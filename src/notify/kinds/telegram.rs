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

/// Adds the method to the usual address, `https://api.telegram.org/bot<token>`. Tutorials show it with the method and
/// a query; the query is dropped, because each message names its chat and its text.
pub(super) fn address(address: &str) -> String {
    let Ok(mut url) = url::Url::parse(address) else { return address.to_owned() };
    url.set_query(None);
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/').trim_end_matches("/sendMessage").to_owned();
    url.set_path(&format!("{path}/sendMessage"));
    url.into()
}
