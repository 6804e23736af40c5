//! The table of settings: flag, environment variable, default and meaning of each. The command line, the help and the
//! error messages are made from it, and a test compares the README's table with it.
//!
//! Order: as in the help and in the README.

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// The flag without its dashes.
    pub flag: &'static str,
    /// The environment variable.
    pub variable: &'static str,
    /// The placeholder for the value in the help; `None` for a switch, which needs no value.
    pub value: Option<&'static str>,
    /// What it is, in one line.
    pub about: &'static str,
    /// The default.
    pub default: Default,
    /// Whether the summary (`-h`) shows it: few operators set the others.
    pub common: bool,
}

/// The default of a setting.
#[derive(Debug)]
pub enum Default {
    /// Nothing.
    None,
    /// This value.
    Value(&'static str),
    /// A default that depends on something else, in words.
    Words(&'static str),
}

/// The headings of the help, and the settings under each.
pub const GROUPS: [(&str, &[&Setting]); 5] = [
    (
        "Database",
        &[&MONGODB_URI, &DATABASE, &QUEUE_COLLECTION, &ENTRIES_COLLECTION, &LOG_COLLECTION, &BATCH_COLLECTION],
    ),
    (
        "Destination",
        &[
            &DESTINATION,
            &CREDENTIALS,
            &DRIVE_SUBJECT,
            &DRIVE_LOCK,
            &DRIVE_URL,
            &DRIVE_BACKOFF,
            &DRIVE_IDLE,
            &DRIVE_CHUNK,
        ],
    ),
    ("File", &[&FILE_NAME, &FORMAT, &ENCODING, &CONTRA_ACCOUNT]),
    (
        "Run",
        &[
            &TIMEZONE,
            &CUTOFF,
            &INVALID,
            &ALLOW_REEXPORT,
            &REQUIRE_BALANCED,
            &GENERATE_TIMEOUT,
            &UPLOAD_TIMEOUT,
            &TRANSACTION_ROWS,
            &LEASE,
            &RETRY_DELAYS,
            &SPOOL_DIR,
        ],
    ),
    ("Telling people", TELLING),
];

/// The settings of notifications.
pub const TELLING: &[&Setting] =
    &[&NOTIFY_URL, &NOTIFY_KIND, &NOTIFY_TOKEN, &NOTIFY_TO, &PING_URL, &PING_KIND, &METRICS_FILE, &METRICS_URL];

/// Every setting.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    GROUPS.iter().flat_map(|(_, settings)| settings.iter().copied())
}

/// `MONGODB_URI`; a secret.
pub const MONGODB_URI: Setting =
    setting("mongodb-uri", "MONGODB_URI", "URI", "Replica set or mongos; `file:/path` reads the URI from a file")
        .common();
/// Database.
pub const DATABASE: Setting =
    setting("database", "MONGODB_DATABASE", "NAME", "Database").or_else("the URI's, else auto_acct").common();
/// Collection of the application's queue.
pub const QUEUE_COLLECTION: Setting =
    setting("queue-collection", "BATCH_EXPORT_QUEUE_COLLECTION", "NAME", "Collection of the queue rows")
        .or("exportqueues");
/// Collection of the application's entries.
pub const ENTRIES_COLLECTION: Setting =
    setting("entries-collection", "BATCH_EXPORT_ENTRIES_COLLECTION", "NAME", "Collection of the journal entries")
        .or("journalentries");
/// Collection of the application's export log.
pub const LOG_COLLECTION: Setting =
    setting("log-collection", "BATCH_EXPORT_LOG_COLLECTION", "NAME", "Collection of the export log").or("exportlogs");
/// Our collection of batches and the ledger.
pub const BATCH_COLLECTION: Setting =
    setting("batch-collection", "BATCH_EXPORT_BATCH_COLLECTION", "NAME", "Collection of the batches")
        .or("exportbatches");

/// A Drive folder or a directory.
pub const DESTINATION: Setting =
    setting("destination", "BATCH_EXPORT_DESTINATION", "URL", "gdrive://FOLDER_ID or file:///dir").common();
/// Credentials for Drive.
pub const CREDENTIALS: Setting = setting(
    "credentials",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "FILE",
    "For gdrive: JSON file of a service_account or authorized_user",
)
.common();
/// The user that a service account acts as.
pub const DRIVE_SUBJECT: Setting =
    setting("drive-subject", "BATCH_EXPORT_DRIVE_SUBJECT", "EMAIL", "User to act as (domain-wide delegation)");
/// Whether a committed file is locked in Drive.
pub const DRIVE_LOCK: Setting = setting(
    "drive-lock",
    "BATCH_EXPORT_DRIVE_LOCK",
    "on|off",
    "Lock a committed file in Drive against changes, where Drive allows it",
)
.or("on");
/// Base address of Drive.
pub const DRIVE_URL: Setting =
    setting("drive-url", "BATCH_EXPORT_DRIVE_URL", "URL", "Base address of Drive; for tests and gateways")
        .or("https://www.googleapis.com");
/// First wait after a failure of Drive.
pub const DRIVE_BACKOFF: Setting = setting(
    "drive-backoff",
    "BATCH_EXPORT_DRIVE_BACKOFF",
    "DURATION",
    "First wait after a failure of Drive; later ones double",
)
.or("1s");
/// Longest silence of Drive.
pub const DRIVE_IDLE: Setting = setting(
    "drive-idle",
    "BATCH_EXPORT_DRIVE_IDLE",
    "DURATION",
    "Longest silence of Drive before a connection is closed",
)
.or("30s");
/// Bytes per request of an upload.
pub const DRIVE_CHUNK: Setting = setting(
    "drive-chunk",
    "BATCH_EXPORT_DRIVE_CHUNK",
    "BYTES",
    "Bytes per request of an upload, rounded up to a multiple of 256 KiB",
)
.or("8388608");

/// Name of the file.
pub const FILE_NAME: Setting =
    setting("file-name", "BATCH_EXPORT_FILE_NAME", "NAME", "Name of the file; {date} stands for the business date")
        .or_else("batch_{date}.csv");
/// Layout of the file.
pub const FORMAT: Setting = setting(
    "format",
    "BATCH_EXPORT_FORMAT",
    "FORMAT",
    "Layout of the file: journal, express or the path of a layout file",
)
.or("journal")
.common();
/// Encoding of the file.
pub const ENCODING: Setting =
    setting("encoding", "BATCH_EXPORT_ENCODING", "ENCODING", "utf-8, utf-8-bom or windows-874").or_else("the layout's");
/// Contra account of entries that name none.
pub const CONTRA_ACCOUNT: Setting =
    setting("contra-account", "BATCH_EXPORT_CONTRA_ACCOUNT", "CODE", "Contra account of entries that name none");

/// Zone of business dates.
pub const TIMEZONE: Setting =
    setting("timezone", "BATCH_EXPORT_TIMEZONE", "ZONE", "Zone of business dates and of the cut-off")
        .or("Asia/Bangkok");
/// Cut-off.
pub const CUTOFF: Setting =
    setting("cutoff", "BATCH_EXPORT_CUTOFF", "HH:MM", "Time of day at which a business date's batch closes")
        .or("18:00");
/// What to do with invalid entries.
pub const INVALID: Setting = setting(
    "invalid",
    "BATCH_EXPORT_INVALID",
    "POLICY",
    "Invalid entries: fail (export nothing) or hold (export the others)",
)
.or("fail");
/// Whether an entry of a committed file may be exported again.
pub const ALLOW_REEXPORT: Setting =
    switch("allow-reexport", "BATCH_EXPORT_ALLOW_REEXPORT", "Export an entry again although it is in a committed file");
/// Whether debits and credits must agree.
pub const REQUIRE_BALANCED: Setting =
    switch("require-balanced", "BATCH_EXPORT_REQUIRE_BALANCED", "Refuse a batch whose debits and credits differ");
/// Limit of the generation.
pub const GENERATE_TIMEOUT: Setting =
    setting("generate-timeout", "BATCH_EXPORT_GENERATE_TIMEOUT", "DURATION", "Limit of the generation").or("30s");
/// Limit of the upload.
pub const UPLOAD_TIMEOUT: Setting =
    setting("upload-timeout", "BATCH_EXPORT_UPLOAD_TIMEOUT", "DURATION", "Limit of the upload as a whole").or("10m");
/// Rows per transaction.
pub const TRANSACTION_ROWS: Setting =
    setting("transaction-rows", "BATCH_EXPORT_TRANSACTION_ROWS", "ROWS", "Rows that one transaction may mark")
        .or("10000");
/// Length of a lease.
pub const LEASE: Setting =
    setting("lease", "BATCH_EXPORT_LEASE", "DURATION", "Length of a lease; it is renewed every third of it").or("2m");
/// Delays before the retries.
pub const RETRY_DELAYS: Setting = setting(
    "retry-delays",
    "BATCH_EXPORT_RETRY_DELAYS",
    "DURATIONS",
    "Delays before the retries; their number is the retry limit (`none` for no retry)",
)
.or("5m,15m,45m");
/// Folder of the spool file.
pub const SPOOL_DIR: Setting = setting("spool-dir", "BATCH_EXPORT_SPOOL_DIR", "DIR", "Folder of the spool file")
    .or_else("the system's temporary folder");

/// Webhook for people; a secret.
pub const NOTIFY_URL: Setting = setting(
    "notify-url",
    "BATCH_EXPORT_NOTIFY_URL",
    "URL",
    "Webhook that notifies people; `file:/path` reads it from a file",
)
.common();
/// Message format of the webhook.
pub const NOTIFY_KIND: Setting = setting(
    "notify-kind",
    "BATCH_EXPORT_NOTIFY_KIND",
    "KIND",
    "Format of the webhook: discord, slack, json, text, google-chat, teams, telegram or line",
)
.or_else("by its address");
/// Bearer token; a secret.
pub const NOTIFY_TOKEN: Setting = setting(
    "notify-token",
    "BATCH_EXPORT_NOTIFY_TOKEN",
    "TOKEN",
    "Bearer token of the webhook (line needs one); `file:/path` reads it from a file",
);
/// The chat, for kinds whose one address serves many chats.
pub const NOTIFY_TO: Setting =
    setting("notify-to", "BATCH_EXPORT_NOTIFY_TO", "CHAT", "Chat to notify; telegram and line need it");
/// Health check; a secret.
pub const PING_URL: Setting = setting(
    "ping-url",
    "BATCH_EXPORT_PING_URL",
    "URL",
    "Health check to ping at start and end; `file:/path` reads it from a file",
)
.common();
/// Protocol of the health check.
pub const PING_KIND: Setting =
    setting("ping-kind", "BATCH_EXPORT_PING_KIND", "KIND", "Protocol of the health check: healthchecks, plain or kuma")
        .or_else("kuma for its push addresses, else healthchecks");
/// Prometheus textfile.
pub const METRICS_FILE: Setting =
    setting("metrics-file", "BATCH_EXPORT_METRICS_FILE", "FILE", "Prometheus textfile to write, name ending in .prom");
/// Pushgateway; may hold a password.
pub const METRICS_URL: Setting = setting(
    "metrics-url",
    "BATCH_EXPORT_METRICS_URL",
    "URL",
    "Prometheus Pushgateway to send the same metrics to; `file:/path` reads it from a file",
);

const fn setting(flag: &'static str, variable: &'static str, value: &'static str, about: &'static str) -> Setting {
    Setting { flag, variable, value: Some(value), about, default: Default::None, common: false }
}

const fn switch(flag: &'static str, variable: &'static str, about: &'static str) -> Setting {
    Setting { flag, variable, value: None, about, default: Default::None, common: false }
}

impl Setting {
    const fn or(self, value: &'static str) -> Setting {
        Setting { default: Default::Value(value), ..self }
    }

    const fn or_else(self, words: &'static str) -> Setting {
        Setting { default: Default::Words(words), ..self }
    }

    const fn common(self) -> Setting {
        Setting { common: true, ..self }
    }
}
