//! The command line as it is typed: every flag, its environment variable and its default.
//!
//! Settings are taken as text here and validated in [`settings`](super::settings), so that a wrong setting is a wrong setting (exit 30)
//! wherever it came from. Only what belongs to one command, such as a date, is refused as a bad command line (exit 2).

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::calendar::parse_date;

/// Exports the day's due journal entries from MongoDB into one CSV, exactly once.
#[derive(Debug, Parser)]
#[command(name = "batch-export", version, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Settings of all commands.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Give consent for a personal Google account, once
    ///
    /// Prints an address to open in a browser, waits for Google's answer on 127.0.0.1, and writes an authorized_user file (mode 0600) to
    /// --credentials, or credentials.json in the current folder. An existing consent is replaced; any other file is left alone. On a
    /// machine without a browser: choose a --port, run `ssh -L PORT:127.0.0.1:PORT this-machine` on one that has a browser, and open
    /// the address there.
    Auth(AuthArgs),
    /// Run each business date of a range, oldest first
    ///
    /// One pass per date, in order, as `run` makes it; stops at the first failure and ends with its code. What is done already stays as
    /// it is. With --dry-run nothing is committed in between, so rows that are due on several dates are counted on each of them.
    Backfill(BackfillArgs),
    /// Export one business date: lock, generate, upload, commit
    ///
    /// One idempotent pass over the batch of a business date. A second run changes nothing.
    Run(RunArgs),
    /// Finish what is due and not done
    ///
    /// Takes up failed batches whose back-off has passed, crashed ones whose lease has run out, and the latest cut-off if no batch
    /// exists for it. Always safe, every few minutes, from several machines.
    Retry(RetryArgs),
    /// Print a shell's completion script
    #[command(hide = true)]
    Completions(CompletionsArgs),
    /// Check everything that a run needs, each finding with its fix
    ///
    /// The database (reachable, replica set, version, rights, majority, index, clock), the next cut-off, the destination (credentials,
    /// account, folder, and a small file that is stored, verified and removed again), the spool folder, where messages go. Touches no
    /// entry. Ends with 34 when a run would fail.
    Doctor,
    /// Create the collections and the indexes that are needed
    Init,
    /// Write the manual pages
    #[command(hide = true)]
    Man(ManArgs),
    /// Show what happened per business date; --check makes it a health check
    ///
    /// A line per business date, newest first; a date without a batch between the first one known and the latest cut-off is shown as
    /// `missing`. With --check one line only, and code 34 unless every business date is done: a batch is exhausted, failed, still held
    /// or not there, while its cut-off passed more than --grace ago. Exhausted batches count at once, however old they are.
    Status(StatusArgs),
    /// Release a batch by hand
    ///
    /// Only a batch whose lease has run out (its run crashed) or whose retries are used up; --force also takes it from a live run, which
    /// then ends with 25 and changes nothing more. Shows who held it and what is at the destination. The batch is due at once, with all
    /// its attempts before it.
    Unlock(UnlockArgs),
    /// Compare the files with the batches, the export log and the marked rows
    ///
    /// Reads each file back from the destination. Says what was edited, cancelled or deleted since its export, which copies and
    /// leftovers exist, and where numbers or the chain of checksums break. Changes nothing. Use the settings of the exports.
    Verify(VerifyArgs),
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
    /// Generate only: read, count and total; write nothing anywhere
    #[arg(long)]
    pub dry_run: bool,
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
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Only this business date, with its whole history
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_date, conflicts_with = "last")]
    pub date: Option<NaiveDate>,
    /// So many business dates, up to the latest cut-off (and whatever ran early)
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u16).range(1..=3660))]
    pub last: u16,
    /// Health check: one line, and code 34 when something is not as it should be
    #[arg(long)]
    pub check: bool,
    /// How long after its cut-off a batch may be under way before --check complains
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = grace)]
    pub grace: std::time::Duration,
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
    /// Why; recorded in the history of the batch
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

fn grace(text: &str) -> Result<std::time::Duration, String> {
    humantime::parse_duration(text).map_err(|_| format!("{text:?} is not a duration; write it like 15m"))
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Business date [default: today in --timezone]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_date)]
    pub date: Option<NaiveDate>,
    /// Generate only: read, count and total; write nothing anywhere
    #[arg(long)]
    pub dry_run: bool,
    /// Do not wait for the cut-off: take now in its place
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

/// `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Only this business date
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_date, conflicts_with = "last")]
    pub date: Option<NaiveDate>,
    /// The latest batches
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..))]
    pub last: u32,
}

/// The settings, as text.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Settings")]
pub struct SettingsArgs {
    /// Connection string of a replica set or mongos; `file:/path` reads it from a file
    #[arg(long, global = true, env = "MONGODB_URI", hide_env_values = true, value_name = "URI")]
    pub mongodb_uri: Option<String>,
    /// Database [default: the URI's, else auto_acct]
    #[arg(long, global = true, env = "MONGODB_DATABASE", hide_env_values = true, value_name = "NAME")]
    pub database: Option<String>,
    /// gdrive://FOLDER_ID or file:///dir
    #[arg(long, global = true, env = "BATCH_EXPORT_DESTINATION", hide_env_values = true, value_name = "URL")]
    pub destination: Option<String>,
    /// For gdrive: JSON file of a service_account or authorized_user
    #[arg(long, global = true, env = "GOOGLE_APPLICATION_CREDENTIALS", hide_env_values = true, value_name = "FILE")]
    pub credentials: Option<String>,
    /// User to act as (domain-wide delegation)
    #[arg(long, global = true, env = "BATCH_EXPORT_DRIVE_SUBJECT", hide_env_values = true, value_name = "EMAIL")]
    pub drive_subject: Option<String>,
    /// Base address of Drive; tests and proxies point it elsewhere
    #[arg(
        long,
        global = true,
        env = "BATCH_EXPORT_DRIVE_URL",
        hide_env_values = true,
        value_name = "URL",
        default_value = "https://www.googleapis.com"
    )]
    pub drive_url: String,
    /// First wait after a failure of Drive; later ones double
    #[arg(
        long,
        global = true,
        env = "BATCH_EXPORT_DRIVE_BACKOFF",
        hide_env_values = true,
        value_name = "DURATION",
        default_value = "1s"
    )]
    pub drive_backoff: String,
    /// Longest silence of Drive before a connection is given up
    #[arg(
        long,
        global = true,
        env = "BATCH_EXPORT_DRIVE_IDLE",
        hide_env_values = true,
        value_name = "DURATION",
        default_value = "30s"
    )]
    pub drive_idle: String,
    /// Bytes per request of an upload, rounded up to a multiple of 256 KiB
    #[arg(
        long,
        global = true,
        env = "BATCH_EXPORT_DRIVE_CHUNK",
        hide_env_values = true,
        value_name = "BYTES",
        default_value = "8388608"
    )]
    pub drive_chunk: String,
    /// Zone of business dates and of the cut-off
    #[arg(
        long,
        global = true,
        env = "BATCH_EXPORT_TIMEZONE",
        hide_env_values = true,
        value_name = "ZONE",
        default_value = "Asia/Bangkok"
    )]
    pub timezone: String,
    /// Time of day at which a business date's batch closes
    #[arg(
        long,
        global = true,
        env = "BATCH_EXPORT_CUTOFF",
        hide_env_values = true,
        value_name = "HH:MM",
        default_value = "18:00"
    )]
    pub cutoff: String,
    /// Layout of the file: journal or express
    #[arg(
        long,
        global = true,
        env = "BATCH_EXPORT_FORMAT",
        hide_env_values = true,
        value_name = "FORMAT",
        default_value = "journal"
    )]
    pub format: String,
    /// utf-8, utf-8-bom or windows-874 [default: the format's]
    #[arg(long, global = true, env = "BATCH_EXPORT_ENCODING", hide_env_values = true, value_name = "ENCODING")]
    pub encoding: Option<String>,
    /// Contra account of entries that name none (express only)
    #[arg(long, global = true, env = "BATCH_EXPORT_CONTRA_ACCOUNT", hide_env_values = true, value_name = "CODE")]
    pub contra_account: Option<String>,
    /// Entries that must not be exported as they are: fail (export nothing) or hold (export the others)
    #[arg(
        long,
        global = true,
        env = "BATCH_EXPORT_INVALID",
        hide_env_values = true,
        value_name = "POLICY",
        default_value = "fail"
    )]
    pub invalid: String,
    /// Refuse a batch whose debits and credits differ
    #[arg(long, global = true, env = "BATCH_EXPORT_REQUIRE_BALANCED", hide_env_values = true)]
    pub require_balanced: bool,
    /// Limit of the generation
    #[arg(
        long,
        global = true,
        env = "BATCH_EXPORT_GENERATE_TIMEOUT",
        hide_env_values = true,
        value_name = "DURATION",
        default_value = "30s"
    )]
    pub generate_timeout: String,
    /// Limit of the upload as a whole
    #[arg(
        long,
        global = true,
        env = "BATCH_EXPORT_UPLOAD_TIMEOUT",
        hide_env_values = true,
        value_name = "DURATION",
        default_value = "10m"
    )]
    pub upload_timeout: String,
    /// Rows that one transaction may mark
    #[arg(
        long,
        global = true,
        env = "BATCH_EXPORT_TRANSACTION_ROWS",
        hide_env_values = true,
        value_name = "ROWS",
        default_value = "10000"
    )]
    pub transaction_rows: String,
    /// Length of a lease; it is renewed every third of it
    #[arg(
        long,
        global = true,
        env = "BATCH_EXPORT_LEASE",
        hide_env_values = true,
        value_name = "DURATION",
        default_value = "2m"
    )]
    pub lease: String,
    /// Delays before the retries; their number is the retry limit
    #[arg(
        long,
        global = true,
        env = "BATCH_EXPORT_RETRY_DELAYS",
        hide_env_values = true,
        value_name = "DURATIONS",
        default_value = "5m,15m,45m"
    )]
    pub retry_delays: String,
    /// Collection of the queue rows
    #[arg(
        long,
        global = true,
        env = "BATCH_EXPORT_QUEUE_COLLECTION",
        hide_env_values = true,
        value_name = "NAME",
        default_value = "exportqueues"
    )]
    pub queue_collection: String,
    /// Collection of the journal entries
    #[arg(
        long,
        global = true,
        env = "BATCH_EXPORT_ENTRIES_COLLECTION",
        hide_env_values = true,
        value_name = "NAME",
        default_value = "journalentries"
    )]
    pub entries_collection: String,
    /// Collection of the export log
    #[arg(
        long,
        global = true,
        env = "BATCH_EXPORT_LOG_COLLECTION",
        hide_env_values = true,
        value_name = "NAME",
        default_value = "exportlogs"
    )]
    pub log_collection: String,
    /// Collection of the batches
    #[arg(
        long,
        global = true,
        env = "BATCH_EXPORT_BATCH_COLLECTION",
        hide_env_values = true,
        value_name = "NAME",
        default_value = "exportbatches"
    )]
    pub batch_collection: String,
    /// Folder of the spool file [default: the system's temporary folder]
    #[arg(long, global = true, env = "BATCH_EXPORT_SPOOL_DIR", hide_env_values = true, value_name = "DIR")]
    pub spool_dir: Option<PathBuf>,
    /// Webhook that tells people the result (Discord, Slack or plain JSON); `file:/path` reads it from a file
    #[arg(long, global = true, env = "BATCH_EXPORT_NOTIFY_URL", hide_env_values = true, value_name = "URL")]
    pub notify_url: Option<String>,
    /// What the webhook understands: discord, slack or json [default: told by its address]
    #[arg(long, global = true, env = "BATCH_EXPORT_NOTIFY_KIND", hide_env_values = true, value_name = "KIND")]
    pub notify_kind: Option<String>,
    /// Health check to ping at start and end; `file:/path` reads it from a file
    #[arg(long, global = true, env = "BATCH_EXPORT_PING_URL", hide_env_values = true, value_name = "URL")]
    pub ping_url: Option<String>,
    /// Prometheus textfile to write, name ending in .prom
    #[arg(long, global = true, env = "BATCH_EXPORT_METRICS_FILE", hide_env_values = true, value_name = "FILE")]
    pub metrics_file: Option<PathBuf>,
    /// How the result is printed on stdout
    #[arg(
        long,
        global = true,
        env = "BATCH_EXPORT_OUTPUT",
        hide_env_values = true,
        value_enum,
        default_value_t = OutputFormat::Text
    )]
    pub output: OutputFormat,
    /// How the log is printed on stderr
    #[arg(
        long,
        global = true,
        env = "BATCH_EXPORT_LOG_FORMAT",
        hide_env_values = true,
        value_enum,
        default_value_t = OutputFormat::Text
    )]
    pub log_format: OutputFormat,
    /// More log; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Only errors in the log
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Replaces the client's clock, for tests and rehearsals
    #[arg(long, global = true, env = "BATCH_EXPORT_NOW", hide = true, value_name = "RFC3339")]
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
