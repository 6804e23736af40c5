//! The log, on stderr.
//!
//! Secrets are masked at the sink, also in the messages of libraries and at every level. Libraries that log tokens at
//! their lower levels are capped above those levels, and no flag lifts the cap.

use std::fmt;
use std::io::{self, Write};

use chrono::SecondsFormat;
use chrono_tz::Tz;
use schemars::JsonSchema;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::prelude::*;

use crate::batch::BatchId;
use crate::clock::Clock;
use crate::failure::Stage;
use crate::schema::{FORMAT_VERSION, FormatVersion};
use crate::streams;
use crate::terminal::{escaped, log_line};
use crate::trace;

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Errors only.
    Quiet,
    /// What an operator needs to see.
    Normal,
    /// Each step.
    Verbose,
    /// Libraries too.
    Everything,
}

impl Level {
    fn filter(self) -> Targets {
        let (ours, others) = match self {
            Level::Quiet => (LevelFilter::ERROR, LevelFilter::ERROR),
            Level::Normal => (LevelFilter::INFO, LevelFilter::WARN),
            Level::Verbose => (LevelFilter::DEBUG, LevelFilter::WARN),
            Level::Everything => (LevelFilter::TRACE, LevelFilter::DEBUG),
        };
        // The caps: these print tokens or whole requests at their lower levels.
        let capped = ["hyper", "hyper_util", "rustls", "reqwest", "mongodb"]
            .map(|target| (target, others.min(LevelFilter::INFO)));
        Targets::new()
            .with_default(others)
            .with_target("batch_export", ours)
            .with_target("yup_oauth2", LevelFilter::OFF)
            .with_targets(capped)
    }
}

/// The time of a line for people: to the second, in the zone of the settings.
struct ZonedTime(Tz);

impl FormatTime for ZonedTime {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        let now = Clock::default().now().with_timezone(&self.0);
        out.write_str(&now.to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

/// Starts logging, as text with times in this zone, or as one JSON object a line with times in UTC; colours only on request.
pub fn start(level: Level, json: bool, colour: bool, zone: Tz) {
    let layer = tracing_subscriber::fmt::layer().with_writer(Sink { json }).with_target(level == Level::Everything);
    let registry = tracing_subscriber::registry().with(level.filter());
    if json {
        // The span is the pass: its batch, attempt and stage are on every line.
        registry.with(layer.json().flatten_event(true).with_span_list(false)).init();
    } else {
        // People read the lines in order, and one pass at a time.
        let layer = layer.with_ansi(colour).with_timer(ZonedTime(zone));
        registry.with(layer.with_filter(filter_fn(|metadata| metadata.is_event()))).init();
    }
}

/// A line of the JSON log. Readers may rely on these fields; an event adds fields of its own.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used: the library for the log writes the lines")]
pub struct LogLine {
    /// Version of this object.
    pub format_version: FormatVersion,
    /// The trace that the invocation belongs to, when it was given one.
    #[schemars(extend("pattern" = "^[0-9a-f]{32}$"), skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// When, RFC 3339, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub timestamp: String,
    /// The level of the event.
    #[schemars(extend("enum" = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"]))]
    pub level: String,
    /// What happened, for a person.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Where in the program, with `-vv`.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The pass that the line belongs to.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub span: Option<LogSpan>,
}

/// The pass that a line of the log belongs to; libraries have spans of their own.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub struct LogSpan {
    /// Its name.
    pub name: String,
    /// The batch.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchId>,
    /// Its attempt; 0 before it is acquired.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<i32>,
    /// The present stage.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
}

/// Stderr behind the masking of secrets; one event is one write. The version and the trace are added here, because
/// every line passes here, also lines of libraries and lines outside of a pass.
#[derive(Clone, Copy)]
struct Sink {
    json: bool,
}

impl Sink {
    fn completed(self, line: &str, trace: Option<&str>) -> String {
        let line = line.trim_end_matches('\n');
        match (trace, line.strip_prefix('{')) {
            (_, Some(rest)) if self.json => {
                let trace = trace.map(|trace| format!("\"trace_id\":\"{trace}\",")).unwrap_or_default();
                format!("{{\"format_version\":\"{FORMAT_VERSION}\",{trace}{}\n", escaped(rest))
            }
            (Some(trace), _) => format!("{} trace_id={trace}\n", log_line(line)),
            (None, _) => log_line(line) + "\n",
        }
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Sink;

    fn make_writer(&'a self) -> Sink {
        *self
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        streams::write_stderr(self.completed(&crate::secret::redact(&text), trace::current()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
