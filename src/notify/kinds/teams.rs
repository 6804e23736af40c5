//! An Adaptive Card in an attachment, for the webhooks of Teams' Workflows. The limit is 28 KiB in all, so facts are
//! cut early.

use serde_json::{Value, json};

use super::cut;
use crate::batch::Event;
use crate::notify::message::{Message, Topic};

pub(super) fn body(message: &Message<'_>) -> Value {
    let facts: Vec<Value> =
        message.known_facts().map(|(name, value)| json!({ "title": name, "value": cut(value, 300) })).collect();
    let mut parts = vec![json!({
        "type": "TextBlock",
        "text": cut(&message.title, 256),
        "weight": "Bolder",
        "size": "Medium",
        "color": colour(message.topic),
        "wrap": true,
    })];
    if !facts.is_empty() {
        parts.push(json!({ "type": "FactSet", "facts": facts }));
    }
    parts.push(json!({ "type": "TextBlock", "text": cut(&message.next, 1024), "wrap": true }));
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": parts,
            },
        }],
    })
}

/// One of the colours that a card has names for.
fn colour(topic: Topic) -> &'static str {
    match topic {
        Topic::Event(Event::Completed) => "Good",
        Topic::Event(Event::Failed) | Topic::Corrections => "Warning",
        Topic::Event(Event::Exhausted) => "Attention",
        Topic::Event(Event::Interrupted) | Topic::Test => "Default",
    }
}
