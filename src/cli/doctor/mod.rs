//! `batch-export doctor`: everything that a run needs, checked in the order in which a run needs it.
//!
//! Each check reports what it found and, after a fault, the fix. Checks that depend on a failed one are skipped, so
//! that the first bad line is the one to fix. No entry is changed: the database is checked inside an aborted
//! transaction, and the destination gets one small probe file, which is trashed.

mod database;
mod destination;
mod machine;
mod telling;

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::args::{DoctorArgs, OutputFormat};
use super::render::{self, Head, Render};
use crate::command::CommandName;
use crate::config::Config;
use crate::exit::Exit;
use crate::failure::{Explanation, Failure, Result};
use crate::named::named;
use crate::outcome::Done;
use crate::stop::Stop;
use crate::terminal::one_line;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// In order.
    Ok,
    /// A run will succeed, but somebody should check this.
    Warning,
    /// A run will fail.
    Bad,
    /// Not checked, because an earlier check failed.
    Skipped,
}

/// One check.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    found: String,
    fix: Option<String>,
    /// Whether `init` makes good what is wrong.
    #[serde(skip)]
    is_for_init: bool,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Check {
        Check { name, verdict: Verdict::Ok, found: found.into(), fix: None, is_for_init: false }
    }

    fn warning(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Check {
        Check { name, verdict: Verdict::Warning, found: found.into(), fix: Some(fix.into()), is_for_init: false }
    }

    fn warned(name: &'static str, why: Explanation) -> Check {
        Check { name, verdict: Verdict::Warning, found: why.message, fix: why.next, is_for_init: false }
    }

    fn bad(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Check {
        Check { name, verdict: Verdict::Bad, found: found.into(), fix: Some(fix.into()), is_for_init: false }
    }

    /// A failed check with the next step of its failure, or `fix` when the failure has none.
    fn failed(name: &'static str, failure: Failure, fix: &str) -> Check {
        Check::bad(name, failure.why.message, failure.why.next.unwrap_or_else(|| fix.to_owned()))
    }

    fn for_init(self) -> Check {
        Check { is_for_init: true, ..self }
    }

    fn skipped(name: &'static str, because: &str) -> Check {
        Check {
            name,
            verdict: Verdict::Skipped,
            found: format!("not checked: {because}"),
            fix: None,
            is_for_init: false,
        }
    }
}

named! {
    /// A command to type, or a schedule to make.
    pub enum NextStep {
        Init = "batch-export init",
        DryRun = "batch-export run --dry-run",
        Again = "batch-export doctor",
        /// A batch was exported before: whether a schedule starts the next one, nothing here can tell.
        Schedule = "schedule `batch-export run` at the cut-off and `batch-export retry` every five minutes, if nothing does so yet (README, \"Schedule it\")",
    }
}

/// What `doctor` found.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DoctorResult {
    #[serde(flatten)]
    head: Head,
    checks: Vec<Check>,
    /// What to do next: a command to type, or a schedule to make.
    #[schemars(with = "String")]
    next: NextStep,
}

/// Makes every check and prints them.
///
/// # Errors
/// Only after a signal: faults are findings, not errors.
pub async fn execute(args: &DoctorArgs, config: &Config, stop: &Stop, output: OutputFormat) -> Result<Exit> {
    let (checks, has_exported) = stop.until_signal(async { Ok::<_, Failure>(all(args, config).await) }).await?;
    let bad: Vec<&Check> = checks.iter().filter(|check| check.verdict == Verdict::Bad).collect();
    let exit = if bad.is_empty() { Exit::Ok } else { Exit::CheckFailed };
    let next = match bad.iter().all(|check| check.is_for_init) {
        true if checks.iter().any(|check| check.is_for_init) => NextStep::Init,
        true if has_exported => NextStep::Schedule,
        true => NextStep::DryRun,
        false => NextStep::Again,
    };
    let head = Head::new(CommandName::Doctor, Done::Ok, exit);
    render::print(&DoctorResult { head, checks, next }, output);
    Ok(exit)
}

async fn all(args: &DoctorArgs, config: &Config) -> (Vec<Check>, bool) {
    let (mut checks, has_exported) = database::checks(config).await;
    checks.push(machine::calendar(config));
    checks.push(machine::layout(config));
    let (spool, probe) = machine::spool_in_time(&config.spool_dir).await;
    checks.extend(destination::checks_in_time(config, probe).await);
    checks.extend(spool);
    checks.extend(telling::checks(config, args.send).await);
    if let Some(path) = &config.metrics_file {
        checks.push(machine::metrics_file(path).await);
    }
    (checks, has_exported)
}

impl Render for DoctorResult {
    fn text(&self) -> String {
        let mut text = String::new();
        for check in &self.checks {
            let mark = match check.verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "WARNING",
                Verdict::Bad => "BAD",
                Verdict::Skipped => "-",
            };
            let _ = writeln!(text, "{mark:7}  {:16}  {}", check.name, one_line(&check.found));
            if let Some(fix) = &check.fix {
                let _ = writeln!(text, "{:7}  {:16}  fix: {}", "", "", one_line(fix));
            }
        }
        let count = |verdict| self.checks.iter().filter(|check| check.verdict == verdict).count();
        let (bad, warnings) = (count(Verdict::Bad), count(Verdict::Warning));
        let _ = match (bad, warnings) {
            (0, 0) => writeln!(text, "everything that a run needs is there"),
            (0, warnings) => writeln!(text, "a run will do its work; warnings: {warnings}"),
            (bad, warnings) => {
                writeln!(text, "{}: bad {bad}, warnings {warnings} (exit {})", self.head.outcome, self.head.exit_code)
            }
        };
        let is_unsure = |check: &Check| check.name == database::COLLECTIONS && check.verdict == Verdict::Warning;
        let before = match self.next {
            NextStep::Again => "fix what is BAD, then ",
            _ if self.checks.iter().any(is_unsure) => "see to the warning of collections, then ",
            _ => "",
        };
        let _ = writeln!(text, "next: {before}{}", self.next.name());
        text
    }
}
