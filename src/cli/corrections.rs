//! `batch-export corrections`: exported entries that were edited, cancelled or deleted since. Changes nothing, except that `--tell` records
//! what was sent.
//!
//! With `--tell` people are notified when the list of a batch differs from the list that they were notified of last. This is recorded after
//! the receiver has accepted the message; until then the next `--tell` sends it.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::ser::{Error as _, SerializeSeq as _};
use serde::{Serialize, Serializer};

use super::args::{CorrectionsArgs, OutputFormat, ResultFormat};
use super::render::{self, Head, Render};
use super::table::{more, table};
use super::{Chosen, TODAYS_SETTINGS, left_alone, open_store_to_look};
use crate::batch::{BatchId, State};
use crate::command::CommandName;
use crate::config::{Config, Webhook};
use crate::csv::List;
use crate::destination::Destination;
use crate::exit::Exit;
use crate::failure::{Explanation, Failure, Result};
use crate::notify::{LookedAt, Obstacle, tell_corrections};
use crate::outcome::Done;
use crate::reader::counted;
use crate::schema::name_of;
use crate::stop::Stop;
use crate::store::Store;
use crate::verify::{
    ComparedBatch, Correction, CorrectionList, Corrections, Problem, ProblemKind, SettingsOf, Verification,
};

/// Corrections that the text shows; all of them are in JSON and CSV.
const LISTED: usize = 100;
/// Characters of a cell in the text.
const CELL_CHARS: usize = 40;
/// Characters of a whole line in the text.
const LINE_CHARS: usize = 100;
/// Batches that one command looks at.
const BATCHES_MAX: i64 = 10_000;

/// The value of the column "What happened" for a batch that was not, or not completely, compared.
const NOT_COMPARED: &str = "not_compared";

/// The header of the CSV.
const HEADER: [&str; 11] = [
    "Business date",
    "Batch number",
    "File",
    "Line",
    "Entry",
    "What happened",
    "Column",
    "Exported value",
    "Present value",
    "Reason",
    "Next step",
];

/// What `corrections` found.
#[derive(Serialize, JsonSchema)]
pub(super) struct CorrectionsResult {
    #[serde(flatten)]
    head: Head,
    /// The batches that were looked at.
    batches: Vec<ComparedBatch>,
    /// Batches that are older than these and were not looked at; absent when dates were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    older_batches: Option<u64>,
    /// Batches whose documents are lost: nothing of them was compared.
    lost_batches: u64,
    /// By batch and line.
    #[serde(serialize_with = "streamed")]
    #[schemars(with = "Vec<Correction>")]
    corrections: CorrectionList,
    /// Batches of which nothing can be said.
    problems: Vec<Problem>,
    /// With `--tell`: whether people were told now, or had nothing new to hear.
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<Telling>,
}

/// What became of `--tell`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Telling {
    /// They were told.
    Sent,
    /// List and problems are those that they were told last.
    Unchanged,
    /// The batch that was asked for is not recorded: there is nothing to tell.
    Nothing,
    /// The receiver did not take the message; the next `--tell` sends it.
    Failed,
}

/// Serializes the corrections one at a time, from the disk.
fn streamed<S: Serializer>(list: &CorrectionList, serializer: S) -> Result<S::Ok, S::Error> {
    let mut sequence = serializer.serialize_seq(None)?;
    for correction in list.read().map_err(S::Error::custom)? {
        sequence.serialize_element(&correction.map_err(S::Error::custom)?)?;
    }
    sequence.end()
}

/// Compares what was asked for and prints what is to be corrected.
pub async fn execute(args: &CorrectionsArgs, config: &Config, stop: &Stop, output: ResultFormat) -> Result<Exit> {
    let webhook = match (args.tell, &config.webhook) {
        (true, None) => {
            return Err(Failure::configuration("--tell needs a webhook, and none is set")
                .next("set --notify-url, or leave --tell out"));
        }
        (true, Some(webhook)) => Some(webhook),
        (false, _) => None,
    };
    let destination = Destination::open(config)?;
    let store = open_store_to_look(config, stop, args.date).await?;
    let verification = Verification { config, store: &store, destination: &destination };
    let work = async {
        let (Chosen { batches, older }, within) = chosen(args, &store).await?;
        Ok::<_, Failure>((verification.corrections(&batches, within).await?, older))
    };
    let (Corrections { batches, lost, problems, list }, older_batches) = stop.until_signal(work).await?;
    let told = match webhook {
        Some(webhook) => {
            let tell = async { Ok::<_, Failure>(tell(config, webhook, &store, &batches, &problems).await) };
            Some(stop.until_signal(tell).await?)
        }
        None => None,
    };
    let exit = if list.count == 0 && problems.is_empty() { Exit::Ok } else { Exit::CheckFailed };
    let result = CorrectionsResult {
        head: Head::new(CommandName::Corrections, Done::NothingToCorrect, exit),
        batches,
        older_batches,
        lost_batches: lost,
        corrections: list,
        problems,
        told,
    };
    let printed = match output {
        ResultFormat::Text => {
            render::print(&result, OutputFormat::Text);
            Ok(())
        }
        ResultFormat::Json => render::print_streaming(&result),
        ResultFormat::Csv => {
            for problem in &result.problems {
                tracing::error!(next = problem.why.next, "{}: {}", problem.batch_name(), problem.why);
            }
            render::write_masked(|out| csv(&result, out))
        }
    };
    printed.map_err(|error| {
        Failure::configuration(format!("the list of corrections cannot be read back: {error}"))
            .next("free space in the spool folder, or set --spool-dir")
    })?;
    Ok(exit)
}

/// The batches to look at, oldest first, and the range in which none may be missing; none when one batch is asked for.
async fn chosen(args: &CorrectionsArgs, store: &Store) -> Result<(Chosen, Option<RangeInclusive<BatchId>>)> {
    match (args.date, args.from, args.to) {
        (Some(date), ..) => Ok((Chosen::named(vec![BatchId::new(date)]), None)),
        (None, Some(from), Some(to)) => {
            let within = BatchId::new(from)..=BatchId::new(to);
            Ok((Chosen::named(store.batch_ids(within.clone(), BATCHES_MAX).await?), Some(within)))
        }
        (None, ..) => Ok((Chosen::latest(store, args.last).await?, Some(BatchId::FIRST..=BatchId::LAST))),
    }
}

/// Tells people what they do not know yet, and notes what they know then.
async fn tell(
    config: &Config,
    webhook: &Webhook,
    store: &Store,
    batches: &[ComparedBatch],
    problems: &[Problem],
) -> Telling {
    let looked_at = |compared| LookedAt { compared, unchecked: obstacle(compared, problems) };
    let looked: Vec<LookedAt<'_>> = batches.iter().map(looked_at).collect();
    if !looked.iter().any(LookedAt::is_news) {
        // A batch that is not recorded has no document to note anything in, so nobody was ever told of it.
        let is_known = |problem: &Problem| problem.batch.is_none_or(|id| batches.iter().any(|one| one.batch == id));
        let known = problems.iter().all(is_known);
        return if known && !batches.is_empty() { Telling::Unchanged } else { Telling::Nothing };
    }
    if let Err(why) = tell_corrections(config, webhook, &looked).await {
        tracing::warn!(next = why.next, "the webhook was not notified: {why}");
        return Telling::Failed;
    }
    let news = looked.iter().filter(|looked| looked.is_news());
    for ComparedBatch { batch, list_sha256, .. } in news.map(|news| news.compared) {
        if let Err(error) = store.note_corrections(*batch, list_sha256.as_deref()).await {
            tracing::warn!("what people were told of {batch} could not be noted: {error}; they will hear it again");
        }
    }
    Telling::Sent
}

/// Why nothing, or not everything, can be said of a batch.
fn obstacle(compared: &ComparedBatch, problems: &[Problem]) -> Option<(Obstacle, Explanation)> {
    let Problem { kind, why, .. } = problems.iter().find(|problem| problem.batch == Some(compared.batch))?;
    let obstacle = if matches!(kind, ProblemKind::MissingFile | ProblemKind::Content) {
        Obstacle::File
    } else if *kind == ProblemKind::Rows && compared.state == State::Completed {
        Obstacle::Lines
    } else {
        Obstacle::Other
    };
    Some((obstacle, why.clone()))
}

/// The list for a spreadsheet. What could not be compared comes first: whoever sees no line of a batch takes it for right.
fn csv(result: &CorrectionsResult, out: &mut dyn Write) -> io::Result<()> {
    let by_todays = |batch: &&ComparedBatch| {
        batch.settings == SettingsOf::Today && batch.corrections.is_some() && batch.number.is_some()
    };
    for batch in result.batches.iter().filter(by_todays) {
        tracing::warn!("{}: {TODAYS_SETTINGS}", batch.batch);
    }
    let mut lines = List::new(out, &HEADER)?;
    for problem in &result.problems {
        let found = result.batches.iter().find(|batch| Some(batch.batch) == problem.batch);
        let number = found.and_then(|batch| batch.number).map_or(String::new(), |number| number.to_string());
        let date = problem.batch.map(|batch| batch.date().to_string()).unwrap_or_default();
        let Explanation { message, next } = &problem.why;
        let next = next.as_deref().unwrap_or_default();
        lines.push([&*date, &number, "", "", "", NOT_COMPARED, "", "", "", message, next])?;
    }
    for correction in result.corrections.read()? {
        let correction = correction?;
        let Correction { batch, number, line, entry_id, kind, file, exported, .. } = &correction;
        let (date, number, line) = (batch.date().to_string(), number.to_string(), line.to_string());
        let (entry, kind) = (entry_id.to_string(), name_of(kind));
        let [column, present, reason] = [&correction.column, &correction.present, &correction.reason]
            .map(|text| text.as_deref().unwrap_or_default());
        lines.push([&*date, &number, file, &line, &entry, &kind, column, exported, present, reason, ""])?;
    }
    lines.finish()
}

impl Render for CorrectionsResult {
    fn text(&self) -> String {
        let mut text = String::new();
        for batch in self.batches.iter().filter(|batch| batch.number.is_some()) {
            let to_correct = |entries| format!("{} to correct", counted(entries, "entry", "entries"));
            let verdict = match (batch.corrections, batch.not_compared) {
                (None, _) => "not compared".to_owned(),
                (Some(0), 0) => "as exported".to_owned(),
                (Some(entries), 0) => to_correct(entries),
                (Some(entries), others) => format!("{}, {others} not compared", to_correct(entries)),
            };
            let (number, entries) = (batch.number.unwrap_or_default(), counted(batch.entries, "entry", "entries"));
            let _ = writeln!(text, "{}  number {number}  {entries}  {verdict}", batch.batch);
            if batch.settings == SettingsOf::Today && batch.corrections.is_some() {
                let _ = writeln!(text, "  {}  {TODAYS_SETTINGS}", batch.batch);
            }
        }
        // Cut at once: a cell may have megabytes.
        let cut = |correction: io::Result<Correction>| {
            let correction = correction?;
            let exported = match &correction.column {
                Some(_) => short(&correction.exported),
                None => recognisable(&correction),
            };
            let present = correction.present.as_deref().map(short);
            Ok(Correction { exported, present, ..correction })
        };
        let shown = self.corrections.read().and_then(|list| list.take(LISTED).map(cut).collect::<io::Result<Vec<_>>>());
        match shown {
            Ok(none) if none.is_empty() => {}
            Ok(some) => text.push_str(&listed(&some)),
            Err(error) => drop(writeln!(text, "  the list cannot be read back: {error}")),
        }
        text.push_str(&more(self.corrections.count, LISTED, "  ", "; --output csv lists all"));
        for problem in &self.problems {
            text.push_str(&problem.lines());
        }
        match self.told {
            None => {}
            Some(Telling::Sent) => text.push_str("people were notified\n"),
            Some(Telling::Unchanged) => text.push_str("no message: nothing has changed since the last one\n"),
            Some(Telling::Nothing) => text.push_str("no message: no batch was compared\n"),
            Some(Telling::Failed) => {
                text.push_str("the webhook did not accept the message; the next --tell sends it\n");
            }
        }
        text.push_str(&left_alone(self.older_batches));
        let compared = self.batches.iter().filter(|batch| batch.corrections.is_some()).count();
        let missing = self.problems.iter().filter(|problem| problem.kind == ProblemKind::MissingBatch).count();
        let not_compared = match (self.batches.len() - compared + missing) as u64 + self.lost_batches {
            0 => String::new(),
            some => format!(", not compared: {some}"),
        };
        let lines = self.corrections.count;
        let entries: u64 = self.batches.iter().filter_map(|batch| batch.corrections).sum();
        let corrections = match lines {
            0 => "0".to_owned(),
            lines => {
                let entries = counted(entries, "entry", "entries");
                format!("{} in {entries}", counted(lines, "line or cell", "lines or cells"))
            }
        };
        let _ = writeln!(text, "batches compared: {compared}{not_compared}, corrections: {corrections}");
        if lines > 0 {
            text.push_str(
                "next: decide for each entry which side is right; README, \"How to correct an exported entry\"\n",
            );
        }
        text
    }
}

/// A line each. A reason belongs to the entry, so it follows the last of its lines.
fn listed(corrections: &[Correction]) -> String {
    let head = ["NUMBER", "LINE", "ENTRY", "WHAT", "COLUMN", "EXPORTED", "NOW / WHY"];
    let lines = table(head, &corrections.iter().map(row).collect::<Vec<_>>(), usize::MAX);
    let mut text = format!("  {}\n", lines[0]);
    for (number, (line, one)) in lines[1..].iter().zip(corrections).enumerate() {
        let _ = writeln!(text, "  {}", line.trim_end());
        let is_last = corrections.get(number + 1).is_none_or(|next| next.entry_id != one.entry_id);
        if let Some(reason) = one.reason.as_ref().filter(|_| is_last) {
            let _ = writeln!(text, "    {}: {}", one.entry_id, clean(reason));
        }
    }
    text
}

/// A whole line, by which a person recognises the entry: without the entry's id, which has its own column, and without cells of zeros.
fn recognisable(correction: &Correction) -> String {
    let cells = correction.exported.split(" | ");
    let entry = correction.entry_id.to_string();
    let says = |cell: &&str| *cell != entry && !cell.bytes().all(|byte| matches!(byte, b'0' | b'.' | b','));
    cut(cells.filter(says).map(short).collect::<Vec<_>>().join(" | "), LINE_CHARS)
}

/// The cells of a correction, whose exported value was cut before.
fn row(correction: &Correction) -> [String; 7] {
    let now = correction.present.as_deref().unwrap_or("-");
    [
        correction.number.to_string(),
        correction.line.to_string(),
        correction.entry_id.to_string(),
        name_of(correction.kind),
        short(correction.column.as_deref().unwrap_or("(all)")),
        correction.exported.clone(),
        short(now),
    ]
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn short(cell: &str) -> String {
    cut(clean(cell), CELL_CHARS)
}

fn cut(text: String, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text,
        Some(_) => text.chars().take(most - 1).chain(['…']).collect(),
    }
}
