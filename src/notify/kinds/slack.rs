//! Slack's blocks. A header takes 150 characters, a section 3000; `&`, `<` and `>` are escaped, so that no text becomes a mention.

use serde_json::{Value, json};

use super::cut;
use crate::notify::message::Message;

pub(super) fn body(message: &Message<'_>) -> Value {
    let facts: String =
        message.known_facts().map(|(name, value)| format!("*{name}*: {}\n", escaped(&cut(value, 500)))).collect();
    json!({
        "text": escaped(&cut(&message.title, 300)),
        "blocks": [
            { "type": "header", "text": { "type": "plain_text", "text": cut(&message.title, 150) } },
            { "type": "section", "text": { "type": "mrkdwn", "text": cut(&facts, 3000) } },
            { "type": "section", "text": { "type": "mrkdwn", "text": cut(&escaped(&message.next), 3000) } },
        ],
    })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
