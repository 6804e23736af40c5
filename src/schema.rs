//! The parts of the JSON schemas that all objects share: the version, and the closed lists of names and codes.
//!
//! Risk: a program that reads the JSON breaks on a new field, or on a change that nobody announced. So every object
//! that is printed, logged or sent has `format_version`. The minor number grows with additions, which readers ignore;
//! the major number grows with any other change.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::exit::Exit;

/// The version of every JSON object that this program writes for other programs.
pub const FORMAT_VERSION: &str = "1.0";

/// The field `format_version`: [`FORMAT_VERSION`], without a value of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FormatVersion;

impl Serialize for FormatVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(FORMAT_VERSION)
    }
}

impl JsonSchema for FormatVersion {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "FormatVersion".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let major = FORMAT_VERSION.split('.').next().unwrap_or_default();
        json_schema!({ "type": "string", "pattern": format!("^{major}\\.[0-9]+$") })
    }
}

/// The name that a value of a closed list has in JSON, for a text.
pub fn name_of(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(name)) => name,
        Ok(other) => other.to_string(),
        Err(error) => error.to_string(),
    }
}

/// An exit code.
pub fn exit_code(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "enum": Exit::ALL.map(Exit::code) })
}

/// The name of an exit code.
pub fn exit_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": exit_names() })
}

/// The names of the exit codes, each once: both interruptions have the same one.
pub fn exit_names() -> Vec<&'static str> {
    let mut names: Vec<&str> = Exit::ALL.map(Exit::name).to_vec();
    names.dedup();
    names
}

/// An instant, RFC 3339 in UTC, or null.
pub fn instant(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "null"], "format": "date-time" })
}
