//! The services that notify people, as strict as their documentation: a message that one of them would refuse is
//! refused here.

use std::collections::BTreeSet;
use std::sync::Mutex;

use serde_json::{Map, Value, json};

use super::receiver::{Posted, Reply};

/// Every kind, and the path of an address of it.
pub const KINDS: [(&str, &str); 8] = [
    ("discord", "/api/webhooks/1/s3cret-token-of-the-webhook"),
    ("slack", "/services/T0/B0/s3cret-token-of-the-webhook"),
    ("json", "/hook"),
    ("text", "/hooks/s3cret-token-of-the-webhook"),
    ("google-chat", "/v1/spaces/A/messages?key=s3cret-key&token=s3cret-token-of-the-webhook"),
    ("teams", "/workflows/x/triggers/manual/paths/invoke?sig=s3cret-token-of-the-webhook"),
    ("telegram", "/bot123456:s3cret-token-of-the-webhook"),
    ("line", "/v2/bot/message/push"),
];

/// The chat and the bearer token that the services know.
pub const CHAT: &str = "C4af4980629";
pub const TOKEN: &str = "s3cret-token-of-the-channel";

/// The service of a kind. LINE's remembers the retry keys that it accepted.
pub fn service(kind: &'static str) -> impl Fn(&Posted, usize) -> Reply + Send + 'static {
    let accepted = Mutex::new(BTreeSet::new());
    move |posted, _| {
        let reply = reply(kind, posted);
        let key = posted.header("x-line-retry-key").unwrap_or_default().to_owned();
        if kind == "line" && reply.status == 200 && !accepted.lock().expect("the keys").insert(key) {
            return Reply::saying(409, r#"{"message":"The retry key is already accepted"}"#);
        }
        reply
    }
}

/// What the service of a kind answers to a first request.
pub fn reply(kind: &str, posted: &Posted) -> Reply {
    let body = match serde_json::from_str::<Value>(&posted.body) {
        Ok(Value::Object(body)) if posted.method == "POST" => body,
        _ => return Reply::saying(400, "no object in JSON was posted"),
    };
    let judged = match kind {
        "discord" => discord(&body).map(|()| Reply::of(204)),
        "slack" => slack(&body).map(|()| Reply::saying(200, "ok")),
        "json" => check(body["id"].is_string(), "no id").map(|()| Reply::of(200)),
        "text" => only(&body, &["text"]).and_then(|()| text(&body, "text", 4_000)).map(|()| Reply::saying(200, "ok")),
        "google-chat" => google_chat(&body).map(|()| Reply::saying(200, "{}")),
        "teams" => teams(&body, posted.body.len()).map(|()| Reply::of(202)),
        "telegram" => telegram(&body, &posted.target).map(|()| Reply::saying(200, r#"{"ok":true}"#)),
        "line" => line(&body, posted).map(|()| Reply::saying(200, r#"{"sentMessages":[]}"#)),
        other => Err(format!("there is no kind {other}")),
    };
    judged.unwrap_or_else(|reason| Reply::saying(400, json!({ "message": reason }).to_string()))
}

fn discord(body: &Map<String, Value>) -> Result<(), String> {
    only(body, &["content", "embeds", "allowed_mentions"])?;
    check(body["allowed_mentions"] == json!({ "parse": [] }), "somebody may be called")?;
    let embed = &body["embeds"][0];
    let mut in_all = 0;
    let mut measured = |part: &Value, most: usize| {
        let length = part.as_str().map_or(0, |text| text.encode_utf16().count());
        in_all += length;
        check(length <= most && length > 0, &format!("{length} characters where 1 to {most} are allowed"))
    };
    measured(&embed["title"], 256)?;
    measured(&embed["description"], 4_096)?;
    let fields = embed["fields"].as_array().ok_or("no fields")?;
    for field in fields {
        measured(&field["name"], 256)?;
        measured(&field["value"], 1_024)?;
    }
    check(fields.len() <= 25 && in_all <= 6_000, &format!("{} fields, {in_all} characters", fields.len()))
}

fn slack(body: &Map<String, Value>) -> Result<(), String> {
    text(body, "text", 40_000)?;
    for block in body["blocks"].as_array().ok_or("no blocks")? {
        let most = if block["type"] == "header" { 150 } else { 3_000 };
        let shown = block["text"].as_object().ok_or("a block without a text")?;
        text(shown, "text", most)?;
        check(!shown["text"].to_string().contains("<!"), "somebody is called")?;
    }
    Ok(())
}

fn google_chat(body: &Map<String, Value>) -> Result<(), String> {
    if let Some(key) = body.keys().find(|key| *key != "text") {
        return Err(format!("Invalid JSON payload received. Unknown name \"{key}\": Cannot find field."));
    }
    text(body, "text", 4_096)?;
    check(!body["text"].to_string().contains("<users/"), "somebody is called")
}

fn teams(body: &Map<String, Value>, bytes: usize) -> Result<(), String> {
    check(bytes <= 28 * 1024, "RequestEntityTooLarge")?;
    only(body, &["type", "attachments"])?;
    let attachment = &body["attachments"][0];
    let kind = "application/vnd.microsoft.card.adaptive";
    check(body["type"] == "message" && attachment["contentType"] == kind, "no card in a message")?;
    check(attachment["contentUrl"].is_null(), "the card is here, not at an address")?;
    let card = &attachment["content"];
    check(card["type"] == "AdaptiveCard" && card["version"] == "1.4", "no Adaptive Card of a known version")?;
    for element in card["body"].as_array().ok_or("a card without a body")? {
        match element["type"].as_str() {
            Some("TextBlock") => text(element.as_object().ok_or("no object")?, "text", 4_000)?,
            Some("FactSet") => {
                let facts = element["facts"].as_array().filter(|facts| !facts.is_empty()).ok_or("no facts")?;
                let whole = |fact: &Value| fact["title"].is_string() && fact["value"].is_string();
                check(facts.iter().all(whole), "a fact without title or value")?;
            }
            _ => return Err(format!("there is no element {}", element["type"])),
        }
    }
    Ok(())
}

fn telegram(body: &Map<String, Value>, target: &str) -> Result<(), String> {
    check(target == "/bot123456:s3cret-token-of-the-webhook/sendMessage", "Not Found")?;
    check(body.get("chat_id") == Some(&json!(CHAT)), "Bad Request: chat_id is empty")?;
    only(body, &["chat_id", "text", "link_preview_options"])?;
    text(body, "text", 4_096)
}

fn line(body: &Map<String, Value>, posted: &Posted) -> Result<(), String> {
    let authorized = posted.header("authorization") == Some(&format!("Bearer {TOKEN}"));
    check(authorized, "Authentication failed due to the following reason: invalid token")?;
    let key = posted.header("x-line-retry-key").unwrap_or_default();
    check(uuid::Uuid::parse_str(key).is_ok(), "Invalid retry key")?;
    only(body, &["to", "messages"])?;
    check(body.get("to") == Some(&json!(CHAT)), "The property, 'to', in the request body is invalid")?;
    let messages = body["messages"].as_array().ok_or("no messages")?;
    check((1..=5).contains(&messages.len()), "1 to 5 messages")?;
    for message in messages {
        let message = message.as_object().ok_or("no object")?;
        only(message, &["type", "text"])?;
        check(message["type"] == "text", "no text")?;
        text(message, "text", 5_000)?;
    }
    Ok(())
}

fn check(holds: bool, reason: &str) -> Result<(), String> {
    holds.then_some(()).ok_or_else(|| reason.to_owned())
}

fn only(object: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(format!("unknown key {key}")),
    }
}

/// A text of 1 to `most` UTF-16 code units.
fn text(object: &Map<String, Value>, key: &str, most: usize) -> Result<(), String> {
    let length = object.get(key).and_then(Value::as_str).map_or(0, |text| text.encode_utf16().count());
    check((1..=most).contains(&length), &format!("{key} has {length} characters where 1 to {most} are allowed"))
}
