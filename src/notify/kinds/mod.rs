//! The message formats of the services: one file per format that is more than a text, and their limits in one table.
//!
//! Risk: a service refuses a message that is one character too long or has an unknown key, and then nobody is notified.
//! So each format cuts long texts (facts, before the title and the next step) to the limits that the services document:
//!
//! | kind | takes | says that it was taken |
//! |---|---|---|
//! | `discord` | title 256, description 4096, 25 fields of 256 and 1024, 6000 in all | 204 |
//! | `slack` | header 150, section 3000 | 200 `ok` |
//! | `json` | anything | 2xx; 302 of a relay |
//! | `text` | [`TEXT`] (Mattermost takes 16383, Rocket.Chat 5000) | 2xx; 302 of a relay |
//! | `google-chat` | [`GOOGLE_CHAT`]; no unknown key | 200 |
//! | `teams` | 28 KiB in all | 202 |
//! | `telegram` | [`TELEGRAM`] | 200 |
//! | `line` | [`LINE`] | 200; 409 for a retry key that it has seen |
//!
//! Lengths of texts are in UTF-16 code units, as the strictest of them count.

mod discord;
mod json;
mod plain;
mod slack;
mod teams;
mod telegram;

use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::message::Message;
use crate::config::NotifyKind;

const TEXT: usize = 4000;
const GOOGLE_CHAT: usize = 4096;
const TELEGRAM: usize = 4096;
const LINE: usize = 5000;

/// The message in the format of a kind, with the chat for kinds that need one.
pub(super) fn body(kind: NotifyKind, message: &Message<'_>, to: &str) -> Value {
    match kind {
        NotifyKind::Discord => discord::body(message),
        NotifyKind::Slack => slack::body(message),
        NotifyKind::Json => json::body(message),
        // Mattermost, Rocket.Chat and most relays take it.
        NotifyKind::Text => json!({ "text": plain::text(message, TEXT) }),
        NotifyKind::GoogleChat => json!({ "text": plain::text(message, GOOGLE_CHAT) }),
        NotifyKind::Teams => teams::body(message),
        NotifyKind::Telegram => telegram::body(message, to),
        // A push message of the Messaging API: a bearer token is in the header.
        NotifyKind::Line => {
            json!({ "to": to, "messages": [{ "type": "text", "text": plain::text(message, LINE) }] })
        }
    }
}

/// The schema of a message of the kind `json`; the other kinds have the shapes of their services.
pub fn message_schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<json::Notice<'_>>()
}

/// The address to send messages to, made from the address of the settings.
pub(super) fn address(kind: NotifyKind, url: &str) -> String {
    match kind {
        NotifyKind::Telegram => telegram::address(url),
        _ => url.to_owned(),
    }
}

/// The text, cut to this many UTF-16 code units with an ellipsis at the cut. No character is cut in two.
fn cut(text: &str, units: usize) -> String {
    if text.encode_utf16().count() <= units {
        return text.to_owned();
    }
    let mut room = units.saturating_sub(1);
    let fits = |character: &char| {
        let left = room.checked_sub(character.len_utf16());
        room = left.unwrap_or(0);
        left.is_some()
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_text_is_cut_at_characters_and_measured_in_utf_16() {
        assert_eq!(cut("ค่าเช่า", 7), "ค่าเช่า");
        assert_eq!(cut("ค่าเช่า", 3), "ค่…");
        assert_eq!(cut("𠮷𠮷𠮷", 6), "𠮷𠮷𠮷");
        assert_eq!(cut("𠮷𠮷𠮷", 5), "𠮷𠮷…");
        assert_eq!(cut("𠮷𠮷𠮷", 4), "𠮷…");
    }
}
