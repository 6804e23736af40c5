//! The settings as they are typed: each flag, its environment variable and its default, for every command.
//!
//! They are taken as text, also where they are numbers, and validated in [`settings`](super::settings): so a wrong setting is a wrong
//! setting (exit 30) wherever it came from. The order here is the order of `--help` and of the README's table.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
    /// Delays before the retries; their number is the retry limit (`none` for no retry)
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
