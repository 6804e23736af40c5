//! Plain JSON, for your own program: the result as on stdout, its lists cut.
//!
//! `id` names the event within its `installation`: a message that comes twice, because the answer to the first was
//! lost, has the same ones.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::Value;

use crate::batch::Event;
use crate::notify::message::{Message, Topic};
use crate::outcome::BatchResult;
use crate::schema::FormatVersion;

/// Entries of a list; all of them are in the result on stdout.
const LISTED: usize = 100;

/// What is sent.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::notify) struct Notice<'a> {
    /// The same id whenever this event of this installation is sent again.
    id: &'a str,
    /// The database that it is about.
    database: &'a str,
    /// The name of that database's installation: databases have batches, and so ids, of the same names.
    #[serde(skip_serializing_if = "Option::is_none")]
    installation: Option<&'a str>,
    /// What happened.
    #[schemars(schema_with = "events")]
    event: &'static str,
    /// In one line, for a person.
    title: &'a str,
    /// What happens next, and who does it, for a person.
    next: &'a str,
    /// The trace that the invocation belongs to, when it was given one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[0-9a-f]{32}$"))]
    trace_id: Option<&'a str>,
    /// Of corrections: the batches whose lists differ from the lists sent last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    facts: Vec<Fact<'a>>,
    /// The result of the pass, with at most 100 entries in each list; corrections and a test have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<BatchResult>,
    /// Version of this object.
    format_version: FormatVersion,
}

/// Something that a message says.
#[derive(Debug, Serialize, JsonSchema)]
struct Fact<'a> {
    /// What it is about.
    name: &'static str,
    /// What is said of it, for a person.
    value: &'a str,
}

fn events(_: &mut SchemaGenerator) -> Schema {
    let names: Vec<&str> = Event::ALL
        .map(Topic::Event)
        .iter()
        .chain(&[Topic::Corrections, Topic::Test])
        .map(|topic| topic.name())
        .collect();
    json_schema!({ "type": "string", "enum": names })
}

pub(super) fn body(message: &Message<'_>) -> Value {
    let result = message.result.map(|result| {
        let mut result = result.clone();
        result.invalid.truncate(LISTED);
        result.held.truncate(LISTED);
        result
    });
    // For other topics `result` has the facts.
    let facts = message.facts.iter().filter(|_| message.topic == Topic::Corrections);
    let notice = Notice {
        facts: facts.map(|(name, value)| Fact { name, value }).collect(),
        id: &message.id,
        database: &message.origin.database,
        installation: message.origin.installation.as_deref(),
        event: message.topic.name(),
        title: &message.title,
        next: &message.next,
        trace_id: message.origin.trace.as_deref(),
        result,
        format_version: FormatVersion,
    };
    serde_json::to_value(notice).unwrap_or_default()
}
