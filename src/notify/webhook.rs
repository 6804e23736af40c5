//! Makes the request for one message to one webhook.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::kinds;
use super::message::Message;
use super::sender::{Call, taken_by_relay};
use crate::config::{NotifyKind, Webhook};
use crate::secret::redact;

/// The request that notifies people.
pub(super) fn call(webhook: &Webhook, message: &Message<'_>) -> Call {
    let to = webhook.to.as_deref().unwrap_or_default();
    let body = masked(kinds::body(webhook.kind, message, to)).to_string();
    let call = Call::post(kinds::address(webhook.kind, webhook.url.expose()), "application/json", body);
    let call = match &webhook.token {
        Some(token) => call.header("authorization", &format!("Bearer {}", token.expose())),
        None => call,
    };
    match webhook.kind {
        // LINE delivers one message per key, and answers 409 to a second one.
        NotifyKind::Line => {
            call.header("x-line-retry-key", &retry_key(message, to)).also_taken(|status, _, _| status.as_u16() == 409)
        }
        NotifyKind::Json | NotifyKind::Text => call.also_taken(taken_by_relay),
        NotifyKind::Discord | NotifyKind::Slack | NotifyKind::GoogleChat | NotifyKind::Teams | NotifyKind::Telegram => {
            call
        }
    }
}

/// Masks each text, because a library's message in the result may hold a secret; but no key, which may be the word of a short password.
fn masked(body: Value) -> Value {
    match body {
        Value::String(text) => redact(&text).into_owned().into(),
        Value::Array(list) => list.into_iter().map(masked).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, masked(value))).collect(),
        other => other,
    }
}

/// A UUID that is the same whenever the same event of the same database is sent to the same chat, and at no other time:
/// LINE drops a message whose key it has seen in the last day, whatever the message says.
fn retry_key(message: &Message<'_>, to: &str) -> String {
    let installation = message.origin.installation.as_deref().unwrap_or_default();
    let digest = Sha256::digest([installation, &message.origin.database, to, &message.id].join("\n"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}
