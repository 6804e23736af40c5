//! The command line: the commands and the arguments of each. The settings that all commands share are in [`settings`](super::settings).
//!
//! An argument of one command, such as a date, is parsed here, and a wrong one is a bad command line (exit 2). The
//! comments on the items are the help texts: an operator reads each without the others.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::settings::{Settings, duration_of};
use crate::calendar::parse_date;
use crate::clock;
use crate::command::CommandName;

/// Exports the day's due journal entries from MongoDB into one CSV, exactly once
///
/// A scheduler starts `run` at the cut-off, and `retry` every few minutes to finish what `run` did not. `status` shows
/// what happened, and `doctor` checks everything that a run needs; neither changes an entry. The result is on stdout,
/// the log on stderr. `batch-export COMMAND --help` explains a command.
#[derive(Parser)]
#[command(name = "batch-export", version, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The name of the command; set where the command line is parsed.
    #[arg(skip = CommandName::Run)]
    pub name: CommandName,
    /// Settings of all commands; they are in a table, and not derived.
    #[arg(skip)]
    pub settings: Settings,
    /// How result and log are printed.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// The variable that says how the result is printed.
pub const OUTPUT: &str = "BATCH_EXPORT_OUTPUT";

/// How result and log are printed, and the clock of tests.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// The result on stdout: text or json
    #[arg(
        long = "output",
        global = true,
        env = OUTPUT,
        hide_env_values = true,
        hide_possible_values = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t = ResultFormat::Text
    )]
    pub result: ResultFormat,
    /// The log on stderr: text or json
    #[arg(
        long = "log-format",
        global = true,
        env = "BATCH_EXPORT_LOG_FORMAT",
        hide_env_values = true,
        hide_possible_values = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t = OutputFormat::Text
    )]
    pub log: OutputFormat,
    /// More log; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Only errors in the log
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Replaces the client's clock, for tests and rehearsals
    #[arg(long, global = true, env = clock::VARIABLE, hide = true, value_name = "RFC3339")]
    pub client_now: Option<String>,
}

/// For people or for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    Text,
    /// One object (a line each in the log).
    Json,
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ResultFormat {
    /// For people.
    Text,
    /// One object.
    Json,
    /// For a spreadsheet; only of `corrections`.
    Csv,
}

/// The commands, in the order in which an operator meets them: day by day, at set-up, by hand.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Export one business date: lock, generate, upload, commit
    ///
    /// One pass over the batch of a business date: everything that is due by its cut-off goes into one file, which one
    /// transaction makes official once it is stored. A second run over a completed date changes nothing. After a
    /// failure `retry` continues; before the back-off has passed, `run` ends with 11 unless --now is given.
    Run(RunArgs),
    /// Finish what is due and not done
    ///
    /// Takes up failed batches whose back-off has passed, crashed ones whose lease has run out, and the latest cut-off
    /// if no batch exists for it. It is safe to run every few minutes and from several machines. When nothing is due,
    /// it does nothing and ends with 0.
    Retry(RetryArgs),
    /// Show what happened per business date; --check makes it a health check
    ///
    /// A line per business date, newest first; a date without a batch between the first one known and the latest cut-off is shown as
    /// `missing`. With --check: one line, the next steps below it, and code 34 when a batch is failed, still held or missing although its cut-off passed more than
    /// --grace ago, or exhausted (at once, and however old it is).
    Status(StatusArgs),
    /// Compare the files with the batches, the export log and the marked rows
    ///
    /// Reads each file back from the destination, and compares it with the file that the same entries would give now.
    /// Reports entries that were edited, cancelled or deleted since their export, copies and leftovers of files, and
    /// gaps in the numbers or in the chain of checksums. Changes nothing. Batches of earlier versions are compared with
    /// today's format, encoding and time zone.
    Verify(VerifyArgs),
    /// List exported entries that were edited, cancelled or deleted since
    ///
    /// Compares each line of the official files with what its entry would give now, cell by cell: batch number, line, column, exported and
    /// present value. --output csv is a list for the accountant: import it into a spreadsheet as text (Data > From Text/CSV, every column as
    /// text), because a double click makes 1215 of account 001215. With --tell, --notify-url hears of it when the
    /// list differs from the list sent last. Changes no entry and no file; ends with 34 when there is anything to correct. How to correct
    /// it: put a mistaken edit back in the application, or reverse and re-book there; README, "How to correct an exported entry".
    Corrections(CorrectionsArgs),
    /// Check everything that a run needs, each finding with its fix
    ///
    /// The database (reachable, replica set, version, rights, majority, index, clock), the next cut-off, the
    /// destination (credentials, account, folder, and a small file that is stored, verified, and removed or put into
    /// the trash), the spool folder, the receivers of notifications; with --send also whether a test arrives. Changes
    /// no entry. Ends with 34 when a run would fail.
    Doctor(DoctorArgs),
    /// Create the collections and the indexes that are needed
    ///
    /// Run it once before the first run, and after an upgrade; running it again does no harm. The queue gets an index
    /// only when no index of the application serves the query for due rows. Entries of earlier batches are recorded, so
    /// that none of them gets into another file: from the rows that carry their batch's id and, where such rows are gone, from the
    /// official file at --destination.
    Init(InitArgs),
    /// Give consent for a personal Google account, once
    ///
    /// Prints an address to open in a browser, waits for Google's answer on 127.0.0.1, and writes an authorized_user file (mode 0600) to
    /// --credentials, or credentials.json in the current folder. An existing consent is replaced; any other file is left alone. On a
    /// machine without a browser: choose a --port, run `ssh -L PORT:127.0.0.1:PORT this-machine` on one that has a browser, and open
    /// the address there.
    Auth(AuthArgs),
    /// Run each business date of a range, oldest first
    ///
    /// Makes one pass per date, in order, as `run` does; stops at the first failure and ends with its code. Completed
    /// dates stay as they are. Each date that is exported or fails is sent to --notify-url, as `run` does. The health
    /// check at --ping-url watches the schedule: it is pinged only for the latest due date, and only when that date was
    /// still open. With --dry-run nobody is notified and nothing is committed, so rows that are due on several dates
    /// are counted on each of them.
    Backfill(BackfillArgs),
    /// Release a batch by hand
    ///
    /// Releases a batch whose lease has run out (its run crashed) or whose retries are used up. --force also takes it
    /// from a live run, which then ends with 25 and changes nothing more. Shows the holder and the file of the batch.
    /// Afterwards the batch is due at once, with all its attempts again: the next `retry` or `run --date` takes it up.
    Unlock(UnlockArgs),
    /// Show the layouts of the file, or check one of your own
    ///
    /// `list` names the built-in layouts, `show` prints one to start from, and `check` reports every error of a layout
    /// file with its line, or prints three sample entries in that layout. Needs no database and no settings.
    Layout(LayoutArgs),
    /// Print the completion script of a shell
    Completions(CompletionsArgs),
    /// Write the manual pages
    Man(ManArgs),
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Business date [default: today in --timezone]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_date)]
    pub date: Option<NaiveDate>,
    /// Generate, count and total only; write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not wait for today's cut-off: take what is queued for it so far, and close the day
    #[arg(long)]
    pub early: bool,
    /// Do not wait for the back-off of a failed batch
    #[arg(long)]
    pub now: bool,
}

/// `retry`.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// Only this business date [default: all that is due]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_date)]
    pub date: Option<NaiveDate>,
}

/// `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Only this business date, with its history
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_date, conflicts_with = "last")]
    pub date: Option<NaiveDate>,
    /// Number of business dates, up to the latest cut-off (and dates that ran early)
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u16).range(1..=3660))]
    pub last: u16,
    /// Health check: one line, the next steps below it, and code 34 when something is wrong
    #[arg(long)]
    pub check: bool,
    /// How long after its cut-off a batch may take before --check reports it
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = duration_of, allow_hyphen_values = true)]
    pub grace: std::time::Duration,
}

/// `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Only this business date
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_date, conflicts_with = "last")]
    pub date: Option<NaiveDate>,
    /// Number of the latest batches
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..))]
    pub last: u32,
    /// Accept official files that are in the trash
    #[arg(long)]
    pub allow_trashed: bool,
    /// Accept that the application removed or emptied rows of exported entries
    #[arg(long)]
    pub allow_removed_rows: bool,
    /// Compare this copy, such as the one that was imported, with the official file; look at nothing else
    #[arg(long, value_name = "PATH")]
    pub file: Option<String>,
}

/// `corrections`.
#[derive(Debug, Args)]
pub struct CorrectionsArgs {
    /// Only this business date
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_date, conflicts_with_all = ["last", "from", "to"])]
    pub date: Option<NaiveDate>,
    /// Number of the latest batches
    #[arg(
        long,
        value_name = "N",
        default_value_t = 14,
        value_parser = clap::value_parser!(u32).range(1..),
        conflicts_with_all = ["from", "to"]
    )]
    pub last: u32,
    /// First business date
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_date, requires = "to")]
    pub from: Option<NaiveDate>,
    /// Last business date
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_date, requires = "from")]
    pub to: Option<NaiveDate>,
    /// Tell --notify-url when the list differs from the list sent last
    #[arg(long)]
    pub tell: bool,
}

/// `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Rebuild a lost ledger, and lost batch documents, from the export log
    #[arg(long)]
    pub adopt: bool,
}

/// `auth`.
#[derive(Debug, Args)]
pub struct AuthArgs {
    /// The OAuth client (type "Desktop app"), as downloaded from the Google Cloud console
    #[arg(long, value_name = "FILE")]
    pub client: PathBuf,
    /// Port on 127.0.0.1 for the answer [default: a free one]
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub port: u16,
    /// Only print the address; open no browser
    #[arg(long)]
    pub no_browser: bool,
}

/// `backfill`.
#[derive(Debug, Args)]
pub struct BackfillArgs {
    /// First business date
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_date)]
    pub from: NaiveDate,
    /// Last business date
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_date)]
    pub to: NaiveDate,
    /// Generate, count and total only; write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Also send a test message and a test ping, each marked as a test
    #[arg(long)]
    pub send: bool,
}

/// `unlock`.
#[derive(Debug, Args)]
pub struct UnlockArgs {
    /// Business date
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_date)]
    pub date: NaiveDate,
    /// Take it from a live run as well
    #[arg(long)]
    pub force: bool,
    /// Reason; recorded in the history of the batch
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Folder for a page per command [default: the program's page goes to stdout]
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Arguments of `layout`.
#[derive(Debug, Args)]
pub struct LayoutArgs {
    /// What to do; `list` when left out.
    #[command(subcommand)]
    pub action: Option<LayoutAction>,
}

/// What `layout` can do.
#[derive(Debug, Subcommand)]
pub enum LayoutAction {
    /// Name the built-in layouts
    List,
    /// Print a built-in layout, to start from
    Show {
        /// Name of the layout
        name: String,
    },
    /// Report the errors of a layout file, or show three sample entries in that layout
    Check {
        /// Path of the layout file
        file: String,
    },
}
