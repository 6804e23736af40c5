//! The settings after validation. Behind this point nothing reads the environment, and nothing can be malformed.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::calendar::Calendar;
use crate::clock::Clock;
use crate::csv::{Encoding, Format};
use crate::secret::Secret;

/// What to do with entries that must not be exported as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidPolicy {
    /// Export nothing, list them.
    Fail,
    /// Export the others, mark these as failed.
    Hold,
}

/// Where the file goes, as it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `file:///dir`.
    Directory(PathBuf),
    /// `gdrive://FOLDER_ID`.
    Drive {
        /// Id of the folder.
        folder: String,
    },
}

/// Names of the collections.
#[derive(Clone, Debug)]
pub struct Collections {
    /// One row per queued entry.
    pub queue: String,
    /// The journal entries.
    pub entries: String,
    /// The append-only export log.
    pub log: String,
    /// Batches and the ledger.
    pub batches: String,
}

/// Everything that a pass depends on.
#[derive(Clone, Debug)]
pub struct Config {
    /// Connection string of MongoDB; may hold a password.
    pub mongodb_uri: Option<Secret>,
    /// Database; `None` for the one of the URI, else `auto_acct`.
    pub database: Option<String>,
    /// Names of the collections.
    pub collections: Collections,
    /// Where the file goes.
    pub destination: Option<Target>,
    /// A `service_account` or `authorized_user` JSON.
    pub credentials: Option<PathBuf>,
    /// User to act as.
    pub drive_subject: Option<String>,
    /// Whether a committed file is locked in Drive, where Drive allows it.
    pub drive_lock: bool,
    /// Base address of Drive.
    pub drive_url: String,
    /// First wait after a failure of Drive.
    pub drive_backoff: Duration,
    /// Longest silence of Drive.
    pub drive_idle: Duration,
    /// Bytes per request of an upload.
    pub drive_chunk_bytes: u64,
    /// The way out of this network.
    pub proxies: ProxyVariables,
    /// Zone and cut-off.
    pub calendar: Calendar,
    /// Name of the file, with `{date}` for the business date; `None` for `batch_{date}.` and the layout's ending.
    pub file_name: Option<String>,
    /// Layout of the file.
    pub format: Format,
    /// Its encoding; `None` for the format's own.
    pub encoding: Option<Encoding>,
    /// Contra account of entries that name none.
    pub contra_account: Option<String>,
    /// What to do with invalid entries.
    pub invalid: InvalidPolicy,
    /// Export an entry again that is in a committed file already.
    pub allow_reexport: bool,
    /// Refuse a file whose debits and credits differ.
    pub require_balanced: bool,
    /// Limit of the generation.
    pub generate_timeout: Duration,
    /// Limit of the upload as a whole.
    pub upload_timeout: Duration,
    /// Rows that one transaction may mark.
    pub transaction_rows: usize,
    /// Length of a lease.
    pub lease: Duration,
    /// Delays before the retries; their number is the retry limit.
    pub retry_delays: Vec<Duration>,
    /// Folder of the spool file.
    pub spool_dir: PathBuf,
    /// Webhook for people; a secret.
    pub notify_url: Option<Secret>,
    /// What the webhook understands; `None` to tell by its address.
    pub notify_kind: Option<NotifyKind>,
    /// Health check to ping; a secret.
    pub ping_url: Option<Secret>,
    /// Prometheus textfile.
    pub metrics_file: Option<PathBuf>,
    /// The client's clock.
    pub clock: Clock,
}

/// The variables of proxies that all programs share, as they stand: what they mean is decided where connections are made. Empty: not set.
#[derive(Clone, Default)]
pub struct ProxyVariables {
    /// `HTTPS_PROXY`; may hold a password.
    pub https: String,
    /// `HTTP_PROXY`; may hold a password.
    pub http: String,
    /// `ALL_PROXY`, for what has none of its own; may hold a password.
    pub all: String,
    /// `NO_PROXY`: hosts that are asked directly.
    pub no: String,
}

impl fmt::Debug for ProxyVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyVariables").field("no", &self.no).finish_non_exhaustive()
    }
}

/// What a webhook understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotifyKind {
    /// Discord's embeds.
    Discord,
    /// Slack's blocks.
    Slack,
    /// The result as plain JSON.
    Json,
}

impl NotifyKind {
    /// Every kind.
    pub const ALL: [NotifyKind; 3] = [NotifyKind::Discord, NotifyKind::Slack, NotifyKind::Json];

    /// The name in settings.
    pub fn name(self) -> &'static str {
        match self {
            NotifyKind::Discord => "discord",
            NotifyKind::Slack => "slack",
            NotifyKind::Json => "json",
        }
    }
}
