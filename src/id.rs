//! The 12-byte ids of the application's documents.
//!
//! A batch may have a million of them in memory, so an id is its bytes and nothing more.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, Hash};

use foldhash::quality::FixedState;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// `_id` of a queue row or a journal entry (an ObjectId): 12 bytes, shown as 24 lower-case hexadecimal digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub [u8; 12]);

impl Id {
    /// Used for an id that a document lacks; no id generator makes it.
    pub const ABSENT: Id = Id([0; 12]);

    /// The id of 24 hexadecimal digits; `None` for anything else.
    pub fn from_hex(digits: &str) -> Option<Id> {
        let mut id = Id::ABSENT;
        hex::decode_to_slice(digits, &mut id.0).ok()?;
        Some(id)
    }

    /// The 24 hexadecimal digits, without an allocation.
    pub fn hex(self) -> [u8; 24] {
        let mut digits = [0; 24];
        // The length fits by construction.
        let _ = hex::encode_to_slice(self.0, &mut digits);
        digits
    }
}

/// Tells one content from another within this process; no checksum for anybody else.
pub fn content_hash(content: impl Hash) -> u64 {
    FixedState::default().hash_one(content)
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.hex()))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        let digits = String::deserialize(deserializer)?;
        Id::from_hex(&digits).ok_or_else(|| serde::de::Error::custom("it is no id of 24 hexadecimal digits"))
    }
}

impl JsonSchema for Id {
    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9a-f]{24}$" })
    }
}
