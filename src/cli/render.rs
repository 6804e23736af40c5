//! Prints the result on stdout: one JSON object, or a few lines for people. Nothing else writes to stdout.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::args::OutputFormat;
use super::table::{more, table};
use crate::command::CommandName;
use crate::exit::Exit;
use crate::failure::{Failure, Invalid};
use crate::outcome::{BatchResult, Done, ErrorResult, Outcome};
use crate::reader::counted;
use crate::schema::{self, FormatVersion};
use crate::secret::redact;
use crate::streams::{LAST_LINES, STDERR, STDOUT};
use crate::terminal::{escaped, lines, one_line, some};
use crate::trace;

/// Entries that a table on the terminal shows; all of them are in the JSON.
const LISTED: usize = 100;

/// How long to wait until a reader of stdout takes one piece.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes that are printed at once: the smallest pipe takes this many.
const PIECE_BYTES: usize = 4096;

/// Whether stdout refused a piece. What follows would leave a hole.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// Whether the result began to be printed.
static BEGUN: AtomicBool = AtomicBool::new(false);

/// Prints the failure of a process that has to end, unless a result is printed already: there is one.
pub fn print_instead(command: &'static str, failure: &Failure, format: OutputFormat) {
    if !BEGUN.load(Ordering::SeqCst) {
        print(&FailedCommand::new(command, failure), format);
    }
}

/// A result that can be printed as JSON or as text.
pub trait Render: Serialize {
    /// For people, with a newline at its end.
    fn text(&self) -> String;
}

/// Prints a result. A closed stdout is ignored: the work is done and recorded.
pub fn print(result: &impl Render, format: OutputFormat) {
    let text = match format {
        OutputFormat::Text => lines(&result.text()),
        OutputFormat::Json => {
            let printed = Printed { result, trace_id: trace::current() };
            serde_json::to_string(&printed).map_or_else(|error| error.to_string(), |json| escaped(&json) + "\n")
        }
    };
    print_text(&text);
}

/// A result of any command, and the trace that it belongs to.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{R}")]
pub(super) struct Printed<'a, R> {
    #[serde(flatten)]
    result: &'a R,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[0-9a-f]{32}$"))]
    trace_id: Option<&'static str>,
}

/// Prints a result as JSON while it is still being read.
///
/// # Errors
/// When the list cannot be read back. A reader of stdout that has gone is no error.
pub fn print_streaming(result: &impl Render) -> io::Result<()> {
    write_as(escaped, |out| {
        serde_json::to_writer(&mut *out, &Printed { result, trace_id: trace::current() })?;
        out.write_all(b"\n")
    })
}

/// Prints what `write` writes, masked, without holding all of it.
///
/// # Errors
/// What `write` says. A reader that is gone is no error.
pub fn write_masked(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    write_as(str::to_owned, write)
}

fn write_as(form: fn(&str) -> String, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = Masked { form, text: Vec::new() };
    write(&mut out)?;
    out.pass(out.text.len());
    Ok(())
}

/// Masks what passes through. It is cut at quotes and line ends only, which no secret contains.
struct Masked {
    /// What else is done to the text.
    form: fn(&str) -> String,
    text: Vec<u8>,
}

/// Bytes that are gathered before they are passed on.
const GATHERED_BYTES: usize = 64 * 1024;

impl Masked {
    fn pass(&mut self, bytes: usize) {
        print_text(&(self.form)(&String::from_utf8_lossy(&self.text[..bytes])));
        self.text.drain(..bytes);
    }
}

impl Write for Masked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        if self.text.len() > GATHERED_BYTES
            && let Some(end) = self.text.iter().rposition(|byte| matches!(byte, b'"' | b'\n'))
        {
            self.pass(end);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Prints a text that is the result itself, or a part of it. A reader that is gone changes nothing, and one that takes nothing more is not
/// waited for; but a person at the keyboard may look at a pager for an hour. A disk that is full is said, and changes nothing of what was done.
pub fn print_text(text: &str) {
    // The log, and the bar below it, come first.
    STDERR.flush(LAST_LINES);
    BEGUN.store(true, Ordering::SeqCst);
    let patience = if io::stdin().is_terminal() { Duration::MAX } else { PATIENCE };
    for piece in redact(text).as_bytes().chunks(PIECE_BYTES) {
        if REFUSED.load(Ordering::SeqCst) {
            return;
        }
        let piece = piece.to_vec();
        STDOUT.in_turn(move |_| write(&piece));
        if !STDOUT.flush(patience) {
            tracing::error!("nobody reads stdout: the result was not printed to its end");
            return;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the only writer of stdout")]
fn write(piece: &[u8]) {
    let mut stdout = io::stdout().lock();
    if let Err(error) = stdout.write_all(piece).and_then(|()| stdout.flush()) {
        REFUSED.store(true, Ordering::SeqCst);
        if error.kind() != ErrorKind::BrokenPipe {
            tracing::error!(
                "the result was not printed to its end, because stdout takes no more: {error}; print it again to another place"
            );
        }
    }
}

/// What every result has.
#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
pub struct Head {
    /// The command.
    pub command: &'static str,
    /// How it ended.
    #[schemars(schema_with = "schema::exit_name")]
    pub outcome: &'static str,
    /// The exit code.
    #[schemars(schema_with = "schema::exit_code")]
    pub exit_code: u8,
    /// Version of this object.
    pub format_version: FormatVersion,
}

impl Head {
    /// Of a command that ended with this code: its outcome is how it ended well, or the code's name.
    pub fn new(command: CommandName, done: Done, exit: Exit) -> Head {
        let outcome = if exit == Exit::Ok { done.name() } else { exit.name() };
        Head::of(command, outcome, exit)
    }

    fn of(command: CommandName, outcome: &'static str, exit: Exit) -> Head {
        Head { command: command.name(), outcome, exit_code: exit.code(), format_version: FormatVersion }
    }
}

/// A command that ended before it had a result of its own.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FailedCommand {
    /// What every result has.
    #[serde(flatten)]
    pub head: Head,
    /// What went wrong.
    pub error: ErrorResult,
}

impl FailedCommand {
    /// The result of a command that ended with a failure.
    pub fn new(command: &'static str, failure: &Failure) -> FailedCommand {
        let (outcome, exit_code) = (failure.exit.name(), failure.exit.code());
        let head = Head { command, outcome, exit_code, format_version: FormatVersion };
        FailedCommand { head, error: ErrorResult::of(failure, None) }
    }
}

impl Render for FailedCommand {
    fn text(&self) -> String {
        self.error.lines(self.head.exit_code)
    }
}

impl Render for BatchResult {
    fn text(&self) -> String {
        let mut text = format!("{}  {}", self.batch, self.outcome.name());
        if let Some(number) = self.number {
            let _ = write!(text, "  number {number}");
        }
        if self.attempt > 1 {
            let _ = write!(text, "  attempt {}", self.attempt);
        }
        text.push('\n');
        if self.sha256.is_some() {
            let carried = match self.carried_over {
                0 => String::new(),
                carried => format!(" ({carried} carried over)"),
            };
            let _ = writeln!(text, "  entries  {}{carried}, rows {}", self.entries, self.rows);
            let _ = writeln!(text, "  debit    {}", self.total_debit);
            let _ = writeln!(text, "  credit   {}", self.total_credit);
        }
        if let Some(file) = &self.file {
            let _ = writeln!(
                text,
                "  file     {} ({} bytes)",
                one_line(file.link.as_ref().unwrap_or(&file.name)),
                self.bytes
            );
        }
        if let Some(sha256) = &self.sha256 {
            let _ = writeln!(text, "  sha256   {sha256}");
        }
        let (guarded, trimmed, dropped) = (self.guarded_cells, self.trimmed_cells, self.dropped_characters);
        let (late, changed, edited) = (self.late, self.changed_after_commit, &self.edited_after_read);
        let (changed_rows, some_edited) = (counted(changed, "row was", "rows were"), some(edited, 1));
        const TAKEN_NEXT: &str = "the next run takes them, or refuses those that are invalid";
        let notes = [
            (u64::from(self.adopted), "the file was at the destination already, with the same content".to_owned()),
            (guarded, counted(guarded, "text cell", "text cells") + " got a leading ' against formulas"),
            (trimmed, format!("cells with codes that lost blanks or invisible characters at their ends: {trimmed}")),
            (dropped, counted(dropped, "invisible character was", "invisible characters were") + " left out"),
            (late, format!("rows that came too late for this day: {late}; {TAKEN_NEXT}")),
            (changed, format!("{changed_rows} changed after the commit; their entries are in the file")),
            (edited.len() as u64, format!("edited during the commit, the file lacks the edit: entry {some_edited}")),
        ];
        for (_, note) in notes.iter().filter(|(count, _)| *count > 0) {
            let _ = writeln!(text, "  {note}");
        }
        list(&mut text, "held back", &self.held);
        if !self.is_common {
            list(&mut text, "not to be exported", &self.invalid);
        }
        if let Some(error) = &self.error {
            text.push_str(&error.block(self.exit_code.code()));
        }
        if let Some((when, reader)) = self.next_retry_at.zip(self.reader) {
            let _ = writeln!(text, "  `batch-export retry` takes it up again at {}", reader.ahead(when));
        }
        text
    }
}

fn list(text: &mut String, title: &str, entries: &[Invalid]) {
    if entries.is_empty() {
        return;
    }
    let _ = writeln!(text, "  {} {title}:", entries.len());
    let cells = |entry: &Invalid| [&entry.entry_id, &entry.row_id, &entry.reason].map(|cell| one_line(cell));
    let rows: Vec<_> = entries.iter().take(LISTED).map(cells).collect();
    for line in table(["ENTRY", "QUEUE ROW", "REASON"], &rows, usize::MAX) {
        let _ = writeln!(text, "    {}", line.trim_end());
    }
    text.push_str(&more(entries.len() as u64, LISTED, "    ", "; --output json lists all"));
}

/// The result of `retry` or `backfill`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RetryResult {
    /// What every result has: of its most severe batch, or `nothing_due`.
    #[serde(flatten)]
    pub head: Head,
    /// What went wrong outside of any batch.
    pub error: Option<ErrorResult>,
    /// One result per batch.
    pub batches: Vec<BatchResult>,
}

impl RetryResult {
    /// The result of several batches, and of what went wrong outside of them.
    pub fn new(command: CommandName, batches: Vec<BatchResult>, failure: Option<&Failure>) -> (RetryResult, Exit) {
        let exits = batches.iter().map(|batch| batch.exit_code).chain(failure.map(|failure| failure.exit));
        let exit = exits.fold(Exit::Ok, Exit::worse);
        let outcome = match batches.iter().find(|batch| batch.exit_code == exit) {
            Some(decisive) => decisive.outcome,
            None if exit == Exit::Ok => Outcome::NothingDue,
            None => Outcome::Failed(exit),
        };
        let head = Head::of(command, outcome.name(), exit);
        (RetryResult { head, error: failure.map(|failure| ErrorResult::of(failure, None)), batches }, exit)
    }

    /// The result when no pass could begin.
    pub fn could_not_begin(command: CommandName, failure: &Failure) -> RetryResult {
        RetryResult::new(command, Vec::new(), Some(failure)).0
    }
}

impl Render for RetryResult {
    fn text(&self) -> String {
        let mut text: String = self.batches.iter().map(Render::text).collect();
        if let Some(error) = &self.error {
            text.push_str(&error.lines(self.head.exit_code));
        } else if text.is_empty() {
            text.push_str("nothing due\n");
        }
        text
    }
}
