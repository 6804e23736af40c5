//! The validated settings. Code that has a [`Config`] reads no environment variable, and no setting in it is malformed.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use percent_encoding::percent_decode_str;

use crate::calendar::Calendar;
use crate::clock::Clock;
use crate::csv::SheetOptions;
use crate::failure::{Failure, Result};
use crate::layout::{Encoding, Layout};
use crate::named::named;
use crate::secret::Secret;

named! {
    /// What to do with entries that must not be exported as they are.
    pub enum InvalidPolicy {
        /// Export nothing, list them.
        Fail = "fail",
        /// Export the others, mark these as failed.
        Hold = "hold",
    }
}

/// The destination as the settings name it.
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

/// What decides the bytes of a file, besides its entries.
#[derive(Clone, Debug)]
pub struct Format {
    /// Layout of the file.
    pub layout: Arc<Layout>,
    /// Path of the layout's file; `None` for a built-in layout.
    pub layout_file: Option<String>,
    /// Its encoding; `None` for the layout's own.
    pub encoding: Option<Encoding>,
    /// Contra account of entries that name none.
    pub contra_account: Option<String>,
}

/// How Google Drive is used.
#[derive(Clone, Debug)]
pub struct DriveSettings {
    /// The base address of the API.
    pub url: String,
    /// The user to act as (domain-wide delegation).
    pub subject: Option<String>,
    /// The longest silence on a connection, and the longest time that a small request takes.
    pub idle: Duration,
    /// Bytes sent per request, rounded up to a multiple of 256 KiB.
    pub chunk_bytes: u64,
    /// The first wait after a failure; later ones double.
    pub backoff_unit: Duration,
    /// Lock the content of a committed file, where Drive allows that.
    pub lock: bool,
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
    /// How Drive is used.
    pub drive: DriveSettings,
    /// The way out of this network.
    pub proxies: ProxyVariables,
    /// The file of the certificates to trust; `None` for those of the system.
    pub certificate_file: Option<PathBuf>,
    /// Zone and cut-off.
    pub calendar: Calendar,
    /// Name of the file, with `{date}` for the business date; `None` for `batch_{date}.` and the layout's ending.
    pub file_name: Option<String>,
    /// What decides the bytes of a file, besides its entries; or why it is unknown. `run` refuses it, and the commands that look at past
    /// days need it only for batches of earlier versions.
    pub format: Result<Format>,
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
    /// The webhook that notifies people.
    pub webhook: Option<Webhook>,
    /// Health check to ping.
    pub health_check: Option<HealthCheck>,
    /// Prometheus textfile.
    pub metrics_file: Option<PathBuf>,
    /// Base address of a Pushgateway; may hold a password.
    pub metrics_url: Option<Secret>,
    /// The client's clock.
    pub clock: Clock,
}

/// Name of the database when neither setting nor connection string has one.
const DATABASE_DEFAULT: &str = "auto_acct";

impl Config {
    /// What decides the bytes of a file.
    ///
    /// # Errors
    /// `configuration`: the layout cannot be read, or a setting of the file is wrong.
    pub fn format(&self) -> Result<&Format> {
        self.format.as_ref().map_err(Failure::clone)
    }

    /// The settings that decide the bytes of a file of this business date; its number is set once there is a snapshot.
    ///
    /// # Errors
    /// As [`Config::format`].
    pub fn sheet_options(&self, business_date: NaiveDate) -> Result<SheetOptions> {
        let Format { layout, encoding, contra_account, .. } = self.format()?.clone();
        Ok(SheetOptions { layout, encoding, zone: self.calendar.zone, business_date, batch_number: 0, contra_account })
    }

    /// Whether people or monitors are notified over HTTP.
    pub fn notifies(&self) -> bool {
        self.webhook.is_some() || self.health_check.is_some() || self.metrics_url.is_some()
    }

    /// Whether one of them is reached with TLS, or through a proxy with TLS.
    pub fn notifies_by_tls(&self) -> bool {
        let webhook = self.webhook.as_ref().map(|webhook| &webhook.url);
        let health_check = self.health_check.as_ref().map(|check| &check.url);
        let addresses = [webhook, health_check, self.metrics_url.as_ref()].into_iter().flatten().map(Secret::expose);
        let proxies = [&self.proxies.https, &self.proxies.http, &self.proxies.all].map(String::as_str);
        addresses.chain(proxies).any(|address| address.to_ascii_lowercase().starts_with("https:"))
    }

    /// Whether the connection string asks for TLS.
    pub fn reaches_database_by_tls(&self) -> bool {
        let uri = self.mongodb_uri.as_ref().map_or(String::new(), |uri| uri.expose().to_ascii_lowercase());
        let options = uri.split_once('?').map_or("", |(_, options)| options);
        uri.starts_with("mongodb+srv://") || options.split('&').any(|option| matches!(option, "tls=true" | "ssl=true"))
    }

    /// The database: the setting, else the connection string's, else the default.
    pub fn database_name(&self) -> String {
        let uri = self.mongodb_uri.as_ref().map_or("", |uri| uri.expose());
        self.database.clone().or_else(|| database_of(uri)).unwrap_or_else(|| DATABASE_DEFAULT.to_owned())
    }
}

/// The database in a connection string: the text between hosts and options. Cut by hand, because a URL parser refuses
/// several hosts.
fn database_of(uri: &str) -> Option<String> {
    let (_, rest) = uri.split_once("://")?;
    let (rest, _) = rest.split_once('?').unwrap_or((rest, ""));
    let (_, name) = rest.rsplit_once('@').map_or(rest, |(_, hosts)| hosts).split_once('/')?;
    (!name.is_empty()).then(|| percent_decode_str(name).decode_utf8_lossy().into_owned())
}

/// The proxy variables that all programs share, unparsed: [`crate::http`] gives them their meaning. Empty means not
/// set.
#[derive(Clone, Default)]
pub struct ProxyVariables {
    /// `HTTPS_PROXY`; may hold a password.
    pub https: String,
    /// `HTTP_PROXY`; may hold a password.
    pub http: String,
    /// `ALL_PROXY`, for addresses without a proxy variable of their own; may hold a password.
    pub all: String,
    /// `NO_PROXY`: hosts that are reached without a proxy.
    pub no: String,
}

impl fmt::Debug for ProxyVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyVariables").field("no", &self.no).finish_non_exhaustive()
    }
}

/// The webhook that notifies people.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its address; a secret.
    pub url: Secret,
    /// The format of its messages.
    pub kind: NotifyKind,
    /// Sent as a bearer token.
    pub token: Option<Secret>,
    /// The chat, for kinds whose one address serves many chats.
    pub to: Option<String>,
}

/// The health check that notices a run that failed or did not start.
#[derive(Clone, Debug)]
pub struct HealthCheck {
    /// Its address; a secret.
    pub url: Secret,
    /// The form of its pings.
    pub kind: PingKind,
}

named! {
    /// The message format of a webhook.
    pub enum NotifyKind {
        /// Discord's embeds.
        Discord = "discord",
        /// Slack's blocks.
        Slack = "slack",
        /// The result as plain JSON.
        Json = "json",
        /// `{"text": ...}`: Mattermost, Rocket.Chat, and your own relay.
        Text = "text",
        /// A space of Google Chat.
        GoogleChat = "google-chat",
        /// An Adaptive Card for the Workflows of Teams.
        Teams = "teams",
        /// A bot of Telegram.
        Telegram = "telegram",
        /// A push message of LINE's Messaging API.
        Line = "line",
    }
}

impl NotifyKind {
    /// The hosts that belong to this kind, with their subdomains.
    fn hosts(self) -> &'static [&'static str] {
        match self {
            NotifyKind::Discord => &["discord.com", "discordapp.com"],
            NotifyKind::Slack => &["hooks.slack.com", "hooks.slack-gov.com"],
            NotifyKind::GoogleChat => &["chat.googleapis.com"],
            NotifyKind::Teams => {
                &["webhook.office.com", "logic.azure.com", "powerautomate.com", "api.powerplatform.com"]
            }
            NotifyKind::Telegram => &["api.telegram.org"],
            NotifyKind::Line => &["api.line.me"],
            NotifyKind::Json | NotifyKind::Text => &[],
        }
    }

    /// The kind that this host belongs to; `json` for any other host.
    pub fn of_host(host: &str) -> NotifyKind {
        // A complete name may end with a dot.
        let host = host.strip_suffix('.').unwrap_or(host);
        let is = |name: &&str| host == *name || host.strip_suffix(*name).is_some_and(|rest| rest.ends_with('.'));
        let known = NotifyKind::ALL.into_iter().find(|kind| kind.hosts().iter().any(is));
        known.unwrap_or(NotifyKind::Json)
    }

    /// Whether one address serves many chats, so that each message names its own.
    pub fn needs_chat(self) -> bool {
        matches!(self, NotifyKind::Telegram | NotifyKind::Line)
    }

    /// Whether it takes messages only from the bearer of a token.
    pub fn needs_token(self) -> bool {
        self == NotifyKind::Line
    }
}

named! {
    /// The protocol of a health check.
    pub enum PingKind {
        /// `URL/start`, then `URL/<exit code>`, paired by a run id.
        Healthchecks = "healthchecks",
        /// A GET after each success, and nothing else.
        Plain = "plain",
        /// A push monitor of Uptime Kuma: `status` and `msg` in the query, nothing at the start.
        Kuma = "kuma",
    }
}

#[cfg(test)]
mod tests {
    use super::database_of;

    #[test]
    fn the_database_is_told_by_the_connection_string() {
        let name = |uri| database_of(uri);
        assert_eq!(name("mongodb://u:p%2F@a:1,b:2/books?replicaSet=rs/0").as_deref(), Some("books"));
        assert_eq!(name("mongodb+srv://host/?w=majority"), None);
        assert_eq!(name("mongodb://host:27017"), None);
    }
}
