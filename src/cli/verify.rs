//! `batch-export verify`: compares the files, the batch documents, the export log and the marked rows. Changes nothing.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::args::{OutputFormat, VerifyArgs};
use super::render::{self, Head, Render};
use super::table::more;
use super::{Chosen, TODAYS_SETTINGS, left_alone, open_store_to_look};
use crate::batch::BatchId;
use crate::command::CommandName;
use crate::config::Config;
use crate::csv::Difference;
use crate::destination::Destination;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::layout::quoted_against;
use crate::outcome::Done;
use crate::plausible::check_path;
use crate::reader::counted;
use crate::stop::Stop;
use crate::terminal::one_line;
use crate::verify::{Checked, Copy, CopyVerdict, Problem, ProblemKind, SettingsOf, Verification};

/// Problems that the text shows.
const LISTED: usize = 100;

/// Differences of a kind that the text shows.
const EACH: usize = 20;

/// What `verify` found.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct VerifyResult {
    #[serde(flatten)]
    head: Head,
    checked: Vec<Checked>,
    /// Batches that are older than these and were not looked at; absent with `--date` and with `--file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    older_batches: Option<u64>,
    /// At most 1000 of each kind and batch, and one more that says how many others there are.
    problems: Vec<Problem>,
    /// How many problems were found, listed or not.
    problem_count: u64,
    /// With `--file`: what was found of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<Copy>,
}

impl Render for VerifyResult {
    fn text(&self) -> String {
        let mut text = String::new();
        for batch in &self.checked {
            let verdict = if batch.problems == 0 { "ok".to_owned() } else { format!("problems: {}", batch.problems) };
            let number = batch.number.map_or("-".to_owned(), |number| number.to_string());
            let _ = writeln!(
                text,
                "{}  {:9}  number {number}  {}  debit {}  credit {}  {verdict}",
                batch.batch,
                batch.state.name(),
                counted(batch.entries, "entry", "entries"),
                batch.total_debit,
                batch.total_credit
            );
            for note in &batch.notes {
                let _ = writeln!(text, "  {}  {}", batch.batch, one_line(note));
            }
            if batch.settings == SettingsOf::Today && batch.number.is_some() {
                let _ = writeln!(text, "  {}  {TODAYS_SETTINGS}", batch.batch);
            }
        }
        for problem in self.problems.iter().take(LISTED) {
            text.push_str(&problem.lines());
        }
        const WAY: &str = "; `batch-export corrections` lists all edited, cancelled and deleted entries, --output json the other problems";
        text.push_str(&more(self.problem_count, LISTED, "  ", WAY));
        if let Some(file) = &self.file {
            match file.verdict {
                CopyVerdict::Same => text.push_str("the copy is the official file, byte for byte\n"),
                CopyVerdict::Unknown => text.push_str("the copy was not compared\n"),
                CopyVerdict::Rewritten | CopyVerdict::Different | CopyVerdict::Voided => {}
            }
            text.push_str(&differing(file));
        }
        text.push_str(&left_alone(self.older_batches));
        let (batches, problems) = (self.checked.len(), self.problem_count);
        if batches == 0 && problems == 0 && self.file.is_none() {
            text.push_str("no batch is recorded here: nothing was exported yet, or --mongodb-uri and --database name another database\n");
        }
        let _ = writeln!(text, "batches checked: {batches}, problems: {problems}");
        text
    }
}

/// The lines of a copy that differ.
fn differing(file: &Copy) -> String {
    let mut text = String::new();
    // Those that mean something else first.
    let (same, changed): (Vec<_>, Vec<_>) = file.differences.iter().partition(|difference| difference.same_value);
    let mut shown: Vec<&Difference> = Vec::new();
    for difference in changed.into_iter().chain(same) {
        let is_like =
            |other: &&&Difference| (other.change, other.same_value) == (difference.change, difference.same_value);
        if shown.iter().filter(is_like).count() < EACH {
            shown.push(difference);
        }
    }
    for difference in &shown {
        let at = match (difference.line, difference.copy_line) {
            (Some(line), Some(other)) if line != other => format!("line {line} (of the copy: {other})"),
            (Some(line), _) => format!("line {line}"),
            (None, other) => format!("line {} of the copy", other.unwrap_or_default()),
        };
        let said = |text: &Option<String>, other: &Option<String>| {
            let other = other.as_deref().unwrap_or_default();
            text.as_ref().map_or("nothing".to_owned(), |text| quoted_against(text, other))
        };
        let column = difference.column.as_ref().map_or(String::new(), |column| format!(", {column}"));
        let (official, copy) = (&difference.official, &difference.copy);
        let (official, copy) = (said(official, copy), said(copy, official));
        let same = if difference.same_value { ", which means the same" } else { "" };
        let _ = writeln!(text, "    {at}{column}: official {official}, copy {copy}{same}");
    }
    let others = shown.iter().filter(|difference| difference.same_value).count();
    let listed = shown.len() - others;
    text.push_str(&more(file.changed, listed, "    ", ""));
    text + &more(file.differing - file.changed, others, "    ", " that mean the same")
}

/// Checks the chosen batches, or compares a copy, and prints the problems.
pub async fn execute(args: &VerifyArgs, config: &Config, stop: &Stop, output: OutputFormat) -> Result<Exit> {
    if let Some(path) = &args.file {
        check_path(path).map_err(|misplaced| misplaced.failure("--file"))?;
    }
    let destination = Destination::open(config)?;
    let store = open_store_to_look(config, stop, args.date).await?;
    let verification = Verification { config, store: &store, destination: &destination };
    let work = async {
        let named = args.date.map(BatchId::new);
        if let Some(path) = &args.file {
            let (found, copy) = verification.check_copy(path, named).await?;
            return Ok((found, None, Some(copy)));
        }
        let Chosen { batches, older } = match named {
            Some(batch) => Chosen::named(vec![batch]),
            None => Chosen::latest(&store, args.last).await?,
        };
        Ok::<_, Failure>((verification.check(&batches).await?, older, None))
    };
    let (mut found, older_batches, file) = stop.until_signal(work).await?;
    if args.allow_trashed {
        found.accept(ProblemKind::TrashedFile, "its file is in the trash, which is accepted");
    }
    if args.allow_removed_rows {
        found.accept(ProblemKind::RemovedRows, "rows of its entries were removed, which is accepted");
    }
    // Two findings of a batch that are accepted for the same reason are one note.
    found.checked.iter_mut().for_each(|batch| batch.notes.dedup());
    let exit = if found.problems.is_empty() { Exit::Ok } else { Exit::CheckFailed };
    let result = VerifyResult {
        head: Head::new(CommandName::Verify, Done::Verified, exit),
        checked: found.checked,
        older_batches,
        problems: found.problems,
        problem_count: found.found,
        file,
    };
    render::print(&result, output);
    Ok(exit)
}
