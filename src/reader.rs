//! Times and numbers of things as the person reads them who looks at a result: times in the batch's zone, without fractions, with the
//! distance where that helps.
//!
//! Programs get RFC 3339 in UTC instead.

use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::batch::{Holder, UNKNOWN};
use crate::command::CommandName;
use crate::store::Overview;
use crate::terminal::one_line;

/// Where and when somebody reads.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    zone: Tz,
    now: DateTime<Utc>,
}

impl Reader {
    /// In this zone, at this instant.
    pub fn new(zone: Tz, now: DateTime<Utc>) -> Reader {
        Reader { zone, now }
    }

    /// The zone of a batch, and the database's clock when it was read.
    pub fn of(seen: &Overview) -> Reader {
        Reader { zone: seen.batch.timezone, now: seen.now }
    }

    /// `18:05`, or `2026-01-18 18:05` on another day.
    pub fn at(self, instant: DateTime<Utc>) -> String {
        let (instant, now) = (instant.with_timezone(&self.zone), self.now.with_timezone(&self.zone));
        let is_today = instant.date_naive() == now.date_naive();
        instant.format(if is_today { "%H:%M" } else { "%Y-%m-%d %H:%M" }).to_string()
    }

    /// `2026-01-18 18:05`, on any day.
    pub fn day_and_time(self, instant: DateTime<Utc>) -> String {
        instant.with_timezone(&self.zone).format("%Y-%m-%d %H:%M").to_string()
    }

    /// `2026-01-18 18:05 (Asia/Bangkok)`, for those who read it at another time and elsewhere.
    pub fn in_full(self, instant: DateTime<Utc>) -> String {
        format!("{} ({})", self.day_and_time(instant), self.zone)
    }

    /// `18:05, in 4 minutes`.
    pub fn ahead(self, instant: DateTime<Utc>) -> String {
        format!("{}, in {}", self.at(instant), distance(instant - self.now))
    }

    /// `17:58, 2 minutes ago`.
    pub fn back(self, instant: DateTime<Utc>) -> String {
        format!("{}, {} ago", self.at(instant), distance(self.now - instant))
    }

    /// Who holds a batch, and since when.
    pub fn holder(self, holder: &Holder) -> String {
        let since = holder.since.map_or("an unknown time".to_owned(), |since| self.back(since));
        let command = holder.command.map_or(UNKNOWN, CommandName::name);
        one_line(&format!("{} (pid {}, `{command}`, holder {}) since {since}", holder.host, holder.pid, holder.id))
    }
}

/// The largest unit alone, rounded up, so that a person who waits that long does not come too early.
fn distance(time: chrono::Duration) -> String {
    let seconds = time.to_std().unwrap_or(Duration::ZERO).as_secs();
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds.div_ceil(60), "minute"),
        3600..172_800 => (seconds.div_ceil(3600), "hour"),
        _ => (seconds.div_ceil(86_400), "day"),
    };
    counted(count, unit, &format!("{unit}s"))
}

/// A number of things: `1 entry`, `2 entries`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
