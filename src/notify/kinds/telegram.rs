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

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn the_method_is_in_the_address_once_however_it_was_copied() {
        let wanted = "https://api.telegram.org/bot1:x/sendMessage";
        for copied in ["", "/", "/sendMessage", "/sendMessage/", "/sendMessage?chat_id=-1001234&text=hi", "?chat_id=-1"]
        {
            assert_eq!(address(&format!("https://api.telegram.org/bot1:x{copied}")), wanted, "{copied}");
        }
    }
}
