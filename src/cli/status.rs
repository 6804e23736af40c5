//! `batch-export status`: what happened per business date, and whether anything needs attention.
//!
//! Risk: a day without a batch does not show. So every business date from the first batch to the latest cut-off has a
//! line, also when nothing happened. `--check` also counts unfinished batches that are older than the table. The
//! client's clock decides which cut-offs have passed; the database's clock decides about leases and back-off.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::args::{OutputFormat, StatusArgs};
use super::batch_line::{BatchLine, DayState};
use super::open_store_to_look;
use super::render::{self, Head, Render};
use super::table::table;
use crate::batch::{Attempt, BatchId, Class, Ending, State, UNKNOWN, Voided};
use crate::calendar::Calendar;
use crate::command::CommandName;
use crate::config::Config;
use crate::exit::Exit;
use crate::failure::{Explanation, Result};
use crate::notify::Listeners;
use crate::outcome::Done;
use crate::pass::exhausted;
use crate::reader::Reader;
use crate::stop::Stop;
use crate::store::{Damaged, Lost, Overview, Store};
use crate::terminal::one_line;

/// How many batches one invocation reads at most: 30 years.
const READ_MAX: i64 = 11_000;
/// Problems that the line of the check names; all of them are in the JSON.
const NAMED: usize = 5;

/// What `status` found.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct StatusResult {
    #[serde(flatten)]
    head: Head,
    batches: Vec<BatchLine>,
    problems: Vec<StatusProblem>,
    /// With `--date`: its past attempts, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<Attempt>>,
    /// With `--date`: its file ids that will never be official, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    voided: Option<Vec<Voided>>,
    #[serde(skip)]
    one_line: bool,
}

/// Something that needs attention.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct StatusProblem {
    /// The batch it concerns; none when it concerns the queue.
    batch: Option<BatchId>,
    date: Option<NaiveDate>,
    kind: StatusKind,
    #[serde(flatten)]
    why: Explanation,
}

/// The kinds of what needs attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum StatusKind {
    Exhausted,
    NotDone,
    Missing,
    LateRows,
    NeverDue,
    Untold,
    Lost,
    /// The batch document cannot be read.
    Document,
}

impl StatusProblem {
    fn of(batch: Option<BatchId>, kind: StatusKind, why: Explanation) -> StatusProblem {
        StatusProblem { batch, date: batch.map(BatchId::date), kind, why }
    }

    fn damaged(damaged: &Damaged) -> StatusProblem {
        StatusProblem::of(Some(damaged.batch), StatusKind::Document, damaged.why())
    }
}

/// Prints the table, one date, or the line of the health check.
pub async fn execute(args: &StatusArgs, config: &Config, stop: &Stop, output: OutputFormat) -> Result<Exit> {
    let store = open_store_to_look(config, stop, args.date).await?;
    let result = stop.until_signal(look(args, config, &store)).await?;
    let exit = if args.check && !result.problems.is_empty() { Exit::CheckFailed } else { Exit::Ok };
    let head = Head::new(CommandName::Status, Done::Ok, exit);
    let result = StatusResult { head, one_line: args.check, ..result };
    render::print(&result, output);
    if args.check && args.date.is_none() {
        let closed =
            |row: &&BatchLine| row.state.is_any(&[State::Completed, State::Marking, State::Empty]) && !row.is_ahead;
        // While the newest one is marking, its own rows would count as late.
        let is_marking = |row: &&BatchLine| row.state == DayState::Known(State::Marking);
        let closed = result.batches.iter().find(closed).filter(|row| !is_marking(row)).map(|row| row.date);
        let listeners = Listeners::prepare(config, stop);
        let _guard = listeners.guard(exit);
        listeners.count_queue(&store, closed).await;
        listeners.measure_queue();
        listeners.finish(None).await;
    }
    Ok(exit)
}

async fn look(args: &StatusArgs, config: &Config, store: &Store) -> Result<StatusResult> {
    let calendar = &config.calendar;
    let judge = Judge { calendar, now: config.clock.now(), grace: args.grace };
    let latest = calendar.latest_due(judge.now);
    let lost = store.lost().await?;
    let mut result = StatusResult::default();
    if let Some(date) = args.date {
        let id = BatchId::new(date);
        let found = match store.batch_range(id..=id, 1).await?.pop().transpose() {
            Ok(found) => found,
            Err(damaged) => {
                result.batches.push(BatchLine::damaged(&damaged));
                result.problems.push(StatusProblem::damaged(&damaged));
                add_lost(&mut result.problems, &lost);
                return Ok(result);
            }
        };
        result.problems.extend(judge.problem(date, found.as_ref()));
        result.problems.extend(found.iter().filter_map(|found| judge.untold(found)));
        result.history = Some(found.as_ref().map_or_else(Vec::new, |found| found.batch.history.clone()));
        result.voided = Some(found.as_ref().map_or_else(Vec::new, |found| found.batch.voided.clone()));
        let mut only = BatchLine::of(date, found.as_ref());
        if let Some(found) = found.filter(is_closed) {
            count_late(store, &mut only, &found).await?;
            result.problems.extend(judge.late_rows(&only, &found));
        }
        add_lost(&mut result.problems, &lost);
        result.batches.push(only);
        return Ok(result);
    }
    let first = store.earliest_batch().await?.map(BatchId::date);
    let from = latest - Days::new(u64::from(args.last) - 1);
    // There are no gaps before the first batch, which may be of today, before the cut-off. Without any batch, the latest
    // date is missing.
    let from = first.map_or(latest, |first| first.min(calendar.today(judge.now))).max(from);
    let (found, damaged) = by_date(store.batch_range(BatchId::new(from)..=BatchId::LAST, READ_MAX).await?);
    let newest = found.keys().chain(damaged.keys()).max().map_or(latest, |date| latest.max(*date));
    let is_shown = |date: &NaiveDate| *date <= latest || found.contains_key(date) || damaged.contains_key(date);
    let dates: Vec<NaiveDate> = from.iter_days().take_while(|date| *date <= newest).filter(is_shown).collect();
    let line = |date: &NaiveDate| match damaged.get(date) {
        Some(damaged) => BatchLine::damaged(damaged),
        None => BatchLine::of(*date, found.get(date)),
    };
    result.batches = dates.iter().rev().map(line).collect();
    let mut late = Vec::new();
    let mut is_newest = true;
    for shown in &mut result.batches {
        let Some(closed) = found.get(&shown.date).filter(|found| is_closed(found)) else { continue };
        if closed.batch.early || is_newest {
            count_late(store, shown, closed).await?;
            late.extend(judge.late_rows(shown, closed));
        }
        is_newest = false;
    }
    // Unfinished batches that are older than the table.
    let (mut older, mut older_damaged) = by_date(store.unfinished(BatchId::new(latest)).await?);
    older.retain(|date, _| *date < from);
    older_damaged.retain(|date, _| *date < from);
    let of_batch = |(date, found): (&NaiveDate, &Overview)| judge.problem(*date, Some(found));
    let mut judged: Vec<StatusProblem> = older.iter().filter_map(of_batch).collect();
    judged.extend(older_damaged.values().map(StatusProblem::damaged));
    judged.extend(dates.iter().filter_map(|date| match damaged.get(date) {
        Some(damaged) => Some(StatusProblem::damaged(damaged)),
        None => judge.problem(*date, found.get(date)),
    }));
    judged.extend(older.values().chain(found.values()).filter_map(|found| judge.untold(found)));
    judged.reverse();
    judged.extend(late);
    let never_due = store.never_due(store.now_or(&config.clock)).await?.explained(calendar);
    let of_queue = |why| StatusProblem::of(None, StatusKind::NeverDue, why);
    judged.extend(never_due.into_iter().map(of_queue));
    add_lost(&mut judged, &lost);
    result.problems = judged;
    Ok(result)
}

/// Adds the records that are gone. A day whose document may be among them is not said to be missing: its run is refused.
fn add_lost(problems: &mut Vec<StatusProblem>, lost: &Lost) {
    let may_be_lost = |id: BatchId| lost.batches.as_ref().is_some_and(|batches| batches.may_be(id));
    problems.retain(|one| one.kind != StatusKind::Missing || one.batch.is_none_or(|id| !may_be_lost(id)));
    problems.extend(lost.failures().map(|failure| StatusProblem::of(None, StatusKind::Lost, failure.into())));
}

/// Counts the rows that came after the batch.
async fn count_late(store: &Store, row: &mut BatchLine, closed: &Overview) -> Result<()> {
    let cutoff = closed.batch.cutoff;
    (row.late, row.again) = match closed.batch.state {
        State::Completed => store.late_rows(cutoff).await?,
        State::Empty => (store.due_count(cutoff).await?, 0),
        // Its own rows are due until they are marked.
        State::Marking | State::Running | State::Failed | State::Exhausted => (0, 0),
    };
    Ok(())
}

/// Whether the batch takes no more rows, and its day has come.
fn is_closed(found: &Overview) -> bool {
    (found.batch.state.is_committed() || found.batch.state == State::Empty) && !found.is_ahead()
}

/// The batches, and the documents that cannot be read.
fn by_date(found: Vec<Result<Overview, Damaged>>) -> (BTreeMap<NaiveDate, Overview>, BTreeMap<NaiveDate, Damaged>) {
    let (mut read, mut damaged) = (BTreeMap::new(), BTreeMap::new());
    for found in found {
        match found {
            Ok(found) => drop(read.insert(found.batch.id.date(), found)),
            Err(unread) => drop(damaged.insert(unread.batch.date(), unread)),
        }
    }
    (read, damaged)
}

/// Separates batches that need attention from batches in progress.
struct Judge<'a> {
    calendar: &'a Calendar,
    now: DateTime<Utc>,
    grace: Duration,
}

impl Judge<'_> {
    /// What is wrong with the batch of a business date, if anything.
    fn problem(&self, date: NaiveDate, found: Option<&Overview>) -> Option<StatusProblem> {
        let id = BatchId::new(date);
        let problem = |kind, message| Some(StatusProblem::of(Some(id), kind, message));
        let state = found.map(|found| found.batch.state);
        let gives_way = matches!(state, Some(State::Failed | State::Exhausted | State::Running));
        if gives_way && found.is_some_and(Overview::is_ahead) {
            let what = format!("{id} is {}, and its day has not come: nothing was exported under it", state?.name());
            let next = format!("`batch-export unlock --date {date}` gives it up");
            return problem(StatusKind::NotDone, Explanation::new(what, next));
        }
        if state == Some(State::Exhausted) {
            let failure = exhausted(&found?.batch);
            return problem(StatusKind::Exhausted, (&failure).into());
        }
        if matches!(state, Some(State::Completed | State::Empty)) || !self.is_late(date, found) {
            return None;
        }
        match found {
            None => problem(
                StatusKind::Missing,
                Explanation::new(format!("{id} is missing"), format!("run `batch-export run --date {date}`")),
            ),
            Some(found) => {
                let Explanation { message, next } = BatchLine::of(date, Some(found)).standing();
                let message = format!("{id} is {} ({message})", found.batch.state.name());
                let of_attempt = || found.batch.history.last().and_then(|last| last.next.clone());
                let next = next.or_else(of_attempt).unwrap_or_else(|| "`batch-export retry` takes it up".to_owned());
                problem(StatusKind::NotDone, Explanation::new(message, next))
            }
        }
    }

    /// An event that nobody was notified of for longer than the grace.
    fn untold(&self, found: &Overview) -> Option<StatusProblem> {
        let untold = found.batch.untold?;
        let since = untold.since?;
        let (id, event) = (found.batch.id, untold.event.name());
        let what = format!("nobody was notified that {id} is {event}, since {}", Reader::of(found).day_and_time(since));
        let message = Explanation::new(what, "the log of `batch-export retry` says why");
        let waited = (found.now - since).to_std().is_ok_and(|waited| waited >= self.grace);
        waited.then(|| StatusProblem::of(Some(id), StatusKind::Untold, message))
    }

    /// What is wrong with a closed batch because of rows that came later: its day was closed by hand, or nobody does it
    /// again.
    fn late_rows(&self, row: &BatchLine, found: &Overview) -> Option<StatusProblem> {
        let message = if row.state == DayState::Known(State::Empty) && self.is_late(row.date, Some(found)) {
            let what = format!("{} was recorded as empty, and rows are due for it now: {}", row.batch, row.late);
            Explanation::new(what, "`batch-export retry` does it again")
        } else if row.early {
            let what =
                "was closed by hand before its cut-off; rows that came after that and wait for the next day's file";
            format!("{} {what}: {}", row.batch, row.late).into()
        } else {
            return None;
        };
        (row.late > 0).then(|| StatusProblem::of(Some(row.batch), StatusKind::LateRows, message))
    }

    /// Whether the date's cut-off passed, or its batch was begun early, longer ago than a batch may take.
    fn is_late(&self, date: NaiveDate, found: Option<&Overview>) -> bool {
        let begun_early = found.filter(|found| found.batch.early);
        let since_begin = begun_early.and_then(|found| Some(found.now - found.batch.created_at?));
        let since_cutoff = self.now - self.calendar.cutoff(date);
        since_begin.max(Some(since_cutoff)).is_some_and(|since| since.to_std().is_ok_and(|since| since >= self.grace))
    }
}

impl Render for StatusResult {
    fn text(&self) -> String {
        if self.one_line {
            return self.line();
        }
        let mut text = batch_table(&self.batches);
        let reader = self.batches.first().and_then(|only| only.reader);
        for attempt in self.history.iter().flatten() {
            let _ = writeln!(text, "  {}", attempt_line(attempt, reader));
        }
        for voided in self.voided.iter().flatten() {
            let state = if voided.trashed { "in the trash" } else { "not yet in the trash" };
            let at = voided.destination.as_ref().map_or(String::new(), |location| format!(" at {location}"));
            let _ =
                writeln!(text, "  voided   {}", one_line(&format!("{}{at} ({}), {state}", voided.id, voided.reason)));
        }
        for problem in &self.problems {
            let _ = write!(text, "! {}", problem.why.lines("  "));
        }
        text
    }
}

impl StatusResult {
    fn quiet_line(&self) -> String {
        let is_done = |row: &BatchLine| row.state.is_any(&[State::Completed, State::Empty]);
        let come: Vec<&BatchLine> = self.batches.iter().filter(|row| !row.is_ahead).collect();
        let mut line = match come.iter().find(|row| is_done(row)) {
            Some(row) => format!("ok: {} {}", row.batch, row.state.name()),
            None => "ok: no day is done yet".to_owned(),
        };
        if let Some(row) = come.first().filter(|row| !is_done(row)) {
            let _ = write!(line, "; {} is {}, within its grace", row.batch, row.state.name());
        }
        if come.len() > 1 {
            let _ = write!(line, "; {} business dates without a gap", come.len());
        }
        line + "\n"
    }

    fn line(&self) -> String {
        if self.problems.is_empty() {
            return self.quiet_line();
        }
        let named: Vec<&Explanation> = self.problems.iter().take(NAMED).map(|problem| &problem.why).collect();
        let message = |why: &&Explanation| why.message.trim_end_matches('.').to_owned();
        let messages = named.iter().map(message).collect::<Vec<_>>().join("; ");
        let more = match self.problems.len() - named.len() {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        let mut line = format!("{}: {messages}{more} (exit {})\n", self.head.outcome, self.head.exit_code);
        let mut steps: Vec<&String> = named.iter().filter_map(|why| why.next.as_ref()).collect();
        steps.dedup();
        steps.into_iter().for_each(|next| line += &format!("next: {next}\n"));
        line
    }
}

fn batch_table(rows: &[BatchLine]) -> String {
    let number = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let cells = |row: &BatchLine| {
        [
            row.date.to_string(),
            row.state.name().to_owned(),
            number(row.number.map(|number| number.to_string())),
            number(row.entries.map(|entries| entries.to_string())),
            number(row.total_debit.clone()),
            number(row.total_credit.clone()),
            row.attempt.to_string(),
        ]
    };
    let head = ["DATE", "STATE", "NUMBER", "ENTRIES", "DEBIT", "CREDIT", "ATTEMPT"];
    let lines = table(head, &rows.iter().map(cells).collect::<Vec<_>>(), 2);
    let notes = std::iter::once(String::new()).chain(rows.iter().map(|row| one_line(&row.note())));
    lines.iter().zip(notes).map(|(line, note)| format!("{line}  {note}").trim_end().to_owned() + "\n").collect()
}

fn attempt_line(attempt: &Attempt, reader: Option<Reader>) -> String {
    let ending = attempt.ending.map_or(UNKNOWN, Ending::name);
    let ended = attempt.ended_at.zip(reader);
    let mut line = ended.map(|(ended, reader)| reader.at(ended)).unwrap_or_default();
    let _ = write!(line, "  attempt {}  {ending}", attempt.attempt);
    if let Some(class) = attempt.class.map(Class::name).filter(|class| *class != ending) {
        let _ = write!(line, " ({class})");
    }
    if let Some(stage) = &attempt.stage {
        let _ = write!(line, " at {stage}");
    }
    if let Some(holder) = &attempt.holder {
        let _ = write!(line, "  {} pid {}", one_line(&holder.host), holder.pid);
    }
    if let Some(message) = &attempt.message {
        let _ = write!(line, ": {}", one_line(message));
    }
    line
}
