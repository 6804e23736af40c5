//! The client's clock, and the only place that reads it.
//!
//! It is used for the business date and for the question whether a cut-off has passed. Machines disagree about the
//! time, so leases and back-off use the database's clock.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::failure::Explanation;
use crate::plausible::shown_instant;

/// Where "now" comes from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    fixed: Option<DateTime<Utc>>,
}

/// The variable that replaces the client's clock.
pub const VARIABLE: &str = "BATCH_EXPORT_NOW";

impl Clock {
    /// The system's clock; when `BATCH_EXPORT_NOW` has a value, that instant for the whole invocation. A rehearsal then
    /// keeps its business date, however long a stage takes.
    pub fn from_env(value: Option<&str>) -> Result<Clock, Explanation> {
        let Some(text) = value else { return Ok(Clock::default()) };
        match DateTime::parse_from_rfc3339(text) {
            Ok(instant) => Ok(Clock { fixed: Some(instant.to_utc()) }),
            Err(_) => Err(Explanation::new(
                format!("{VARIABLE} is wrong: {} is not an instant", shown_instant(text)),
                "write it like 2026-01-18T18:00:00+07:00",
            )),
        }
    }

    /// Whether it stands still at an instant that a person chose.
    pub fn is_rehearsal(&self) -> bool {
        self.fixed.is_some()
    }

    /// The instant.
    #[expect(clippy::disallowed_methods, reason = "the one place where time enters")]
    pub fn now(&self) -> DateTime<Utc> {
        self.fixed.unwrap_or_else(Utc::now)
    }
}

/// An instant as results and documents for programs show it: RFC 3339, UTC, milliseconds.
pub fn rfc3339(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Writes an instant into JSON as [`rfc3339`] does.
pub fn serialize<S: serde::Serializer>(instant: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&instant.map(rfc3339), serializer)
}
